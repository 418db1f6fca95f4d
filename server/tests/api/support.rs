//! A client of `/api/v1`: texts in, texts out. Every refusal is checked for what all refusals have in common.

use std::sync::Arc;

use axum::{Router, body::Body};
use http::{HeaderMap, Request, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use ipam_server::{
    app::App, auth::Auth, domain::Ipam, manners::Manners, router::router, secret::Peppers,
};
use ipam_testing::TestDatabase;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, postgres::PgPoolOptions};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{described, server_role, state};

pub(crate) const KEY: &str = "correct-horse-battery-staple-and-a-paper-clip";
pub(crate) const ALLOCATIONS: &str = "/api/v1/allocations";
pub(crate) const VPCS: &str = "/api/v1/vpcs";
pub(crate) const POOLS: &str = "/api/v1/pools";
pub(crate) const VRFS: &str = "/api/v1/vrfs";
pub(crate) const PROFILES: &str = "/api/v1/profiles";
pub(crate) const RESERVATIONS: &str = "/api/v1/reservations";
pub(crate) const TOKENS: &str = "/api/v1/tokens";
pub(crate) const WEBHOOKS: &str = "/api/v1/webhooks";

/// The peppers of every server of these tests.
pub(crate) fn peppers() -> Peppers {
    Peppers::parse("a pepper that only these tests know").expect("a pepper")
}

/// The application.
pub(crate) struct Api {
    pub(crate) router: Router,
    pub(crate) ipam: Ipam,
    pub(crate) database: Arc<TestDatabase>,
}

/// An operation of the document.
pub(crate) struct Operation {
    /// Its `operationId`.
    pub(crate) id: String,
    pub(crate) method: String,
    /// With names and ids in it.
    pub(crate) path: String,
    /// A body that it takes.
    pub(crate) body: Value,
    /// As the document has it.
    pub(crate) described: Value,
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
            .map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }

    /// A problem (RFC 9457) with that status and code; its detail and details.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> (&str, &Value) {
        assert_eq!(
            (self.status, &self.json["code"]),
            (status, &json!(code)),
            "{}",
            self.text
        );
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.text
        );
        assert_eq!(self.json["status"], status);
        assert_eq!(self.json["type"], format!("urn:ipam:problem:{code}"));
        assert!(
            self.json["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
        assert_eq!(
            self.json["request_id"],
            self.header("x-request-id"),
            "{}",
            self.text
        );
        let detail = self.json["detail"].as_str().expect("a detail");
        assert!(detail.len() > 10, "{detail}");
        (detail, &self.json["details"])
    }
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::with_connections(4).await
    }

    /// With that many connections to the database.
    pub(crate) async fn with_connections(connections: u32) -> Self {
        Self::asking(Manners::default(), connections).await
    }

    /// Where that is asked of clients.
    pub(crate) async fn with_manners(manners: Manners) -> Self {
        Self::asking(manners, 4).await
    }

    async fn asking(manners: Manners, connections: u32) -> Self {
        Self::on(Arc::new(TestDatabase::new().await), manners, connections).await
    }

    /// Another server on the same database, which knows nothing of the first.
    pub(crate) async fn another(&self) -> Self {
        Self::on(Arc::clone(&self.database), Manners::default(), 8).await
    }

    async fn on(database: Arc<TestDatabase>, manners: Manners, connections: u32) -> Self {
        // As the role that servers are to have, so that each test shows that it suffices.
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .connect_lazy_with(server_role::of(&database).await);
        let ipam = Ipam::new(pool).with_peppers(peppers());
        let address = ([127, 0, 0, 1], 8000).into();
        let app = App::new(ipam.clone(), Auth::new(KEY))
            .listening_on(address)
            .with_manners(manners);
        let router = router(app);
        Self {
            router,
            ipam,
            database,
        }
    }

    /// Any request at all.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a valid request");
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("the body is whole").to_bytes();
        // But for a picture, everything is text.
        let is_png = parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == "image/png");
        let text = match String::from_utf8(body.to_vec()) {
            Err(_) if is_png => String::new(),
            text => text.expect("UTF-8"),
        };
        let json = serde_json::from_str(&text).unwrap_or_default();
        let reply = Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text,
            json,
        };
        described::compare(method, path, &reply);
        reply
    }

    /// With the key, more headers, and a JSON body.
    pub(crate) async fn with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Reply {
        let mut all = vec![
            ("x-api-key", KEY),
            (CONTENT_TYPE.as_str(), "application/json"),
        ];
        all.extend_from_slice(headers);
        self.send(method, path, &all, body.to_string()).await
    }

    /// With that key, and a JSON body.
    pub(crate) async fn as_who(&self, key: &str, method: &str, path: &str, body: &Value) -> Reply {
        let headers = [
            ("x-api-key", key),
            (CONTENT_TYPE.as_str(), "application/json"),
        ];
        self.send(method, path, &headers, body.to_string()).await
    }

    /// The secret of a new token.
    pub(crate) async fn token(&self, new: Value) -> String {
        let made = self.post(TOKENS, &new).await.ok(201);
        made["secret"].as_str().expect("a secret").to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[("x-api-key", KEY)], "").await
    }

    /// The headers and the body of what is no text.
    pub(crate) async fn bytes(&self, path: &str) -> (HeaderMap, Vec<u8>) {
        let request = Request::builder().uri(path).header("x-api-key", KEY);
        let request = request.body(Body::empty()).expect("a valid request");
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("infallible");
        let (parts, body) = response.into_parts();
        assert_eq!(parts.status, 200, "{path}");
        let body = body.collect().await.expect("the body is whole");
        (parts.headers, body.to_bytes().to_vec())
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[("x-api-key", KEY)], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.with("POST", path, &[], body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.with("PATCH", path, &[], body).await
    }

    /// Allocates, and answers the allocation.
    #[track_caller]
    pub(crate) fn allocate(&self, body: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let reply = self.post(ALLOCATIONS, &body).await;
            assert_eq!(reply.status, 201, "{caller}: {body}: {}", reply.text);
            reply.json
        }
    }

    /// Every operation of the document, with something in the place of each parameter of its path that exists and that
    /// nobody uses.
    pub(crate) async fn operations(&self, document: &Value) -> Vec<Operation> {
        let allocation = self.allocate(json!({"vpc": "spare", "hosts": 5})).await;
        for (path, body) in [
            (VRFS, json!({"name": "spare"})),
            (POOLS, json!({"name": "spare", "family": "ipv4"})),
            (
                PROFILES,
                json!({"name": "spare", "members": [{"role": "a", "pool": "primary"}]}),
            ),
        ] {
            self.post(path, &body).await.ok(201);
        }
        let reservation = json!({"cidr": "172.30.0.0/24", "reason": "r"});
        let reservation = self.post(RESERVATIONS, &reservation).await.ok(201);
        let token = json!({"name": "spare", "roles": ["reader"]});
        self.post(TOKENS, &token).await.ok(201);
        let webhook = json!({"name": "spare", "url": "https://siem.example/ipam"});
        self.post(WEBHOOKS, &webhook).await.ok(201);
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for (method, described) in methods.as_object().expect("operations") {
                let id = match path.starts_with(RESERVATIONS) {
                    true => &reservation["id"],
                    false => &allocation["id"],
                };
                let path = path.replace("{id}", id.as_str().expect("an id"));
                let path = ["vpc", "vrf", "pool", "profile", "token", "webhook"]
                    .iter()
                    .fold(path, |path, name| {
                        path.replace(&format!("{{{name}}}"), "spare")
                    });
                assert!(
                    !path.contains('{'),
                    "{path}: a parameter that the tests don't know"
                );
                let id = described["operationId"].as_str().expect("an id");
                operations.push(Operation {
                    id: id.to_owned(),
                    body: body_of(id),
                    method: method.to_uppercase(),
                    path,
                    described: described.clone(),
                });
            }
        }
        operations
    }

    /// SQL by hand, several statements.
    pub(crate) async fn sql(&self, sql: &str) {
        let mut db = self.database.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut db)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The text that a query answers.
    pub(crate) async fn text(&self, sql: &'static str) -> String {
        let mut connection = self.database.connect().await;
        sqlx::query_scalar(sql)
            .fetch_one(&mut connection)
            .await
            .expect("a text")
    }

    /// The text that a statement answers, which is made here.
    pub(crate) async fn text_of(&self, sql: &str) -> String {
        let mut connection = self.database.connect().await;
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut connection)
            .await
            .expect("a text")
    }

    /// A number that SQL answers.
    pub(crate) async fn count(&self, sql: &str) -> i64 {
        let mut db = self.database.connect().await;
        let count = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut db)
            .await;
        count.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Everything that a request could have changed, as one text: each row of each table that there is.
    pub(crate) async fn state(&self) -> String {
        state::state(&mut self.database.connect().await, &[]).await
    }

    /// How often each action is in the audit log.
    pub(crate) async fn events(&self, action: &str) -> i64 {
        self.count(&format!(
            "select count(*) from event where action = '{action}'"
        ))
        .await
    }

    /// Nothing is wrong in the database.
    pub(crate) async fn verify(&self) {
        let report = self.ipam.verify().await.expect("it can be verified");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
    }
}

/// A body that an operation takes, which makes something new or changes what [`Api::operations`] made.
fn body_of(operation: &str) -> Value {
    match operation {
        "create_allocation" => json!({"vpc": "new", "hosts": 5}),
        "create_allocations" => json!({"requests": [{"vpc": "newest", "hosts": 5}]}),
        "create_vpc" | "create_vrf" => json!({"name": "newer"}),
        "create_pool" => json!({"name": "newer", "ranges": ["172.31.0.0/24"]}),
        "create_profile" => {
            json!({"name": "newer", "members": [{"role": "a", "pool": "primary"}]})
        }
        "create_token" => json!({"name": "newer", "roles": ["reader"]}),
        "create_webhook" => json!({"name": "newer", "url": "https://siem.example/ipam"}),
        "rotate_webhook" | "resume_webhook" => json!({}),
        "confirm_claims" | "take_over" => {
            json!({"claims": [{"kind": "vpc", "id": Uuid::nil(), "claim": Uuid::nil()}]})
        }
        "create_reservation" => json!({"cidr": "192.168.0.0/24", "reason": "r"}),
        "import_plan" => json!([{"kind": "reservation", "cidr": "192.168.9.0/24", "reason": "r"}]),
        "update_reservation" => json!({"reason": "changed"}),
        "update_allocation" | "update_vpc" | "update_vrf" | "update_pool" | "update_profile"
        | "update_token" | "update_webhook" => json!({"description": "changed"}),
        _ => Value::Null,
    }
}

/// The reply to a creation without the claim, as a reader sees what was made.
pub(crate) fn unclaimed(mut made: Value) -> Value {
    let claim = made
        .as_object_mut()
        .and_then(|made| made.remove("claim"))
        .expect("a claim");
    assert!(claim.is_string(), "{claim}");
    made
}

/// Path of an allocation.
pub(crate) fn path(allocation: &Value) -> String {
    format!(
        "{ALLOCATIONS}/{}",
        allocation["id"].as_str().expect("an id")
    )
}

/// CIDRs of its blocks, in the order of the profile.
pub(crate) fn cidrs(allocation: &Value) -> Vec<&str> {
    let blocks = allocation["blocks"].as_array().expect("blocks");
    blocks
        .iter()
        .map(|block| block["cidr"].as_str().expect("a CIDR"))
        .collect()
}

/// One field of each item of a page.
pub(crate) fn column<'a>(page: &'a Value, field: &str) -> Vec<&'a str> {
    let items = page["items"].as_array().expect("items");
    items
        .iter()
        .map(|item| item[field].as_str().unwrap_or_default())
        .collect()
}
