//! A client of the original API, with as little help as a script has: texts in, texts out.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::time::Duration;

use axum::{Router, body::Body};
use http::{HeaderMap, Request, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use ipam_server::{app::App, auth::Auth, domain::Ipam, router::router};
use ipam_testing::TestDatabase;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tower::ServiceExt as _;

#[path = "../support/server_role.rs"]
mod server_role;

const KEY: &str = "original-key";

/// The whole application over a database of its own.
pub(crate) struct Original {
    app: Router,
    /// Dropped with this value.
    _database: Option<TestDatabase>,
}

fn serve(pool: PgPool) -> Router {
    router(App::new(Ipam::new(pool), Auth::new(KEY)))
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Null if the body is not JSON.
    pub(crate) json: Value,
}

impl Reply {
    /// The header, or an empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> impl Iterator<Item = &Value> {
        self.json["items"].as_array().expect(&self.text).iter()
    }
}

impl Original {
    pub(crate) async fn start() -> Self {
        let database = TestDatabase::new().await;
        let options = server_role::of(&database).await;
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect_lazy_with(options);
        let app = serve(pool);
        Self {
            app,
            _database: Some(database),
        }
    }

    /// Over a database that is not there.
    pub(crate) fn without_database() -> Self {
        let options = "postgres://nobody@127.0.0.1:1/nothing".parse().unwrap();
        let timeout = Duration::from_millis(50);
        let app = serve(
            PgPoolOptions::new()
                .acquire_timeout(timeout)
                .connect_lazy_with(options),
        );
        Self {
            app,
            _database: None,
        }
    }

    pub(crate) fn key(&self) -> &'static str {
        KEY
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("X-API-Key", key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_vec())).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text,
            json,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, Some(KEY), &[], b"").await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.call("DELETE", path, Some(KEY), &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Reply {
        self.post_as(path, Some("application/json"), body.as_bytes())
            .await
    }

    pub(crate) async fn post_as(
        &self,
        path: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Reply {
        let headers: Vec<_> = content_type
            .iter()
            .map(|value| (CONTENT_TYPE.as_str(), *value))
            .collect();
        self.call("POST", path, Some(KEY), &headers, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &str) -> Reply {
        self.call(
            "PUT",
            path,
            Some(KEY),
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
        .await
    }

    /// Allocates, and answers the id.
    pub(crate) async fn allocate(&self, vpc: &str, hosts: u32) -> i64 {
        let reply = self
            .post(
                "/allocate",
                &json!({ "vpc": vpc, "hosts": hosts }).to_string(),
            )
            .await;
        reply.json["allocation_id"].as_i64().expect(&reply.text)
    }
}

/// The body of a refusal without details.
pub(crate) fn error(code: &str, message: &str) -> Value {
    json!({ "code": code, "message": message, "details": null })
}

/// One entry of the list in a 422.
pub(crate) fn fault(kind: &str, loc: Value, msg: &str, input: Value, ctx: Option<Value>) -> Value {
    let mut fault = json!({ "type": kind, "loc": loc, "msg": msg, "input": input });
    if let Some(ctx) = ctx {
        fault["ctx"] = ctx;
    }
    fault
}
