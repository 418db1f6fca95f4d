//! A browser that is signed in to a server, over HTTP, on a database per test.

use axum::{Router, body::Body};
use http::{HeaderMap, Request, Response, header};
use http_body_util::BodyExt as _;
use ipam_server::{app::App, auth::Auth, domain::Ipam, router::router, secret::Peppers};
use ipam_testing::TestDatabase;
use sqlx::{PgPool, Row as _, postgres::PgPoolOptions};
use tower::ServiceExt as _;

use crate::server_role;

pub(crate) const KEY: &str = "dashboard-key";
/// What separates the fields of a form with files.
const BOUNDARY: &str = "----a-boundary-of-a-browser";
pub(crate) const HOST: &str = "ipam.example:8000";

/// A server, and a browser that may be signed in to it.
pub(crate) struct Visitor {
    pub(crate) app: Router,
    pub(crate) pool: PgPool,
    pub(crate) cookie: Option<String>,
    /// Dropped with this value.
    pub(crate) database: Option<TestDatabase>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The value of the input with that name.
    pub(crate) fn input(&self, name: &str) -> String {
        let start = self
            .text
            .find(&format!("name=\"{name}\" value=\""))
            .expect(&self.text);
        let value = &self.text[start + name.len() + 15..];
        value[..value.find('"').unwrap()].to_owned()
    }

    #[track_caller]
    pub(crate) fn shows(&self, texts: &[&str]) {
        for text in texts {
            assert!(
                self.text.contains(text),
                "{text:?} is not on the page:\n{}",
                self.text
            );
        }
    }

    #[track_caller]
    pub(crate) fn does_not_show(&self, text: &str) {
        assert!(
            !self.text.contains(text),
            "{text:?} is on the page:\n{}",
            self.text
        );
    }

    #[track_caller]
    pub(crate) fn leads_to(&self, location: &str) {
        assert_eq!(
            (self.status, self.header("location")),
            (303, location),
            "{}",
            self.text
        );
    }
}

/// A form's body.
pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        for byte in value.bytes() {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    text
}

/// What the secrets of tokens are stored with.
pub(crate) fn peppers() -> Peppers {
    Peppers::parse("a pepper that only these tests know").unwrap()
}

impl Visitor {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::new().await;
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect_lazy_with(server_role::of(&database).await);
        let ipam = Ipam::new(pool.clone()).with_peppers(peppers());
        let app = router(App::new(ipam, Auth::new(KEY)));
        Self {
            app,
            pool,
            cookie: None,
            database: Some(database),
        }
    }

    pub(crate) async fn signed_in() -> Self {
        let mut visitor = Self::new().await;
        visitor.sign_in().await;
        visitor
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response: Response<Body> = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text,
        }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, HOST);
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        request
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request("GET", path).body(Body::empty()).unwrap())
            .await
    }

    /// Sends a form as a browser sends it from a page of this server.
    pub(crate) async fn post_raw(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let request = self
            .request("POST", path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin");
        self.send(request.body(Body::from(encode(fields))).unwrap())
            .await
    }

    /// The same, with the token of the session.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = self.token().await;
        let mut all = vec![("csrf", token.as_str())];
        all.extend(fields);
        self.post_raw(path, &all).await
    }

    /// Sends a form with files as a browser sends it: the name of a field, that of its file if it is one, and its content.
    pub(crate) async fn upload_raw(
        &self,
        path: &str,
        fields: &[(&str, Option<&str>, &[u8])],
    ) -> Reply {
        let mut body = Vec::new();
        for (name, file, content) in fields {
            body.extend(format!("--{BOUNDARY}\r\n").bytes());
            body.extend(format!("Content-Disposition: form-data; name=\"{name}\"").bytes());
            if let Some(file) = file {
                body.extend(format!("; filename=\"{file}\"\r\nContent-Type: text/csv").bytes());
            }
            body.extend(b"\r\n\r\n");
            body.extend(*content);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{BOUNDARY}--\r\n").bytes());
        let request = self
            .request("POST", path)
            .header(
                header::CONTENT_TYPE,
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .header("sec-fetch-site", "same-origin");
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    /// The same, with the token of the session.
    pub(crate) async fn upload(&self, path: &str, fields: &[(&str, Option<&str>, &[u8])]) -> Reply {
        let token = self.token().await;
        let mut all = vec![("csrf", None, token.as_bytes())];
        all.extend(fields);
        self.upload_raw(path, &all).await
    }

    /// What the API answers to the administrator.
    pub(crate) async fn api(&self, path: &str) -> Reply {
        let request = self.request("GET", path).header("x-api-key", KEY);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn token(&self) -> String {
        self.get("/").await.input("csrf")
    }

    pub(crate) async fn sign_in(&mut self) {
        let reply = self.post_raw("/ui/sign-in", &[("key", KEY)]).await;
        reply.leads_to("/");
        let cookie = reply.header("set-cookie");
        self.cookie = Some(cookie[..cookie.find(';').unwrap()].to_owned());
    }

    /// Allocates through the form, and answers the path of the allocation.
    pub(crate) async fn allocate(&self, fields: &[(&str, &str)]) -> String {
        let mut all = vec![("action", "confirm")];
        all.extend(fields);
        let reply = self.post("/ui/allocations/new", &all).await;
        assert_eq!(reply.status, 303, "{}", reply.text);
        let location = reply.header("location");
        location[..location.find('?').unwrap()].to_owned()
    }

    /// Fills in the form that changes something, as it is now, and presses its button.
    pub(crate) async fn preview(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.changed(path, fields, "preview").await
    }

    /// The same, and confirms.
    pub(crate) async fn change(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.changed(path, fields, "confirm").await
    }

    async fn changed(&self, path: &str, fields: &[(&str, &str)], action: &str) -> Reply {
        let path = format!("{path}/edit");
        let revision = self.get(&path).await.input("revision");
        let mut all = vec![("revision", revision.as_str()), ("action", action)];
        all.extend(fields);
        self.post(&path, &all).await
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        let sql = format!("select count(*) from {table}");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_one(&self.pool)
            .await
            .unwrap()
            .get(0)
    }

    pub(crate) async fn pool_path(&self, name: &str) -> String {
        let row = sqlx::query("select pool_id::text from pool where name = $1")
            .bind(name)
            .fetch_one(&self.pool);
        format!("/ui/pools/{}", row.await.unwrap().get::<String, _>(0))
    }

    pub(crate) async fn vpc_path(&self, name: &str) -> String {
        let row = sqlx::query("select vpc_id::text from vpc where name = $1")
            .bind(name)
            .fetch_one(&self.pool);
        format!("/ui/vpcs/{}", row.await.unwrap().get::<String, _>(0))
    }

    /// Every page there is, once something is allocated.
    pub(crate) async fn pages(&self, allocation: &str, vpc: &str) -> Vec<String> {
        vec![
            "/".to_owned(),
            self.pool_path("primary").await,
            self.pool_path("cgnat").await,
            "/ui/allocations".to_owned(),
            "/ui/allocations/new".to_owned(),
            allocation.to_owned(),
            format!("{allocation}/edit"),
            format!("{allocation}/release"),
            "/ui/vpcs".to_owned(),
            format!("{}/delete", self.vpc_path(vpc).await),
            "/ui/events".to_owned(),
            "/ui/webhooks".to_owned(),
            "/ui/import".to_owned(),
            "/ui/export".to_owned(),
            "/ui/sessions".to_owned(),
        ]
    }
}
