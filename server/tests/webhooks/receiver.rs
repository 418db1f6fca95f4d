//! Somebody who is told what happens, and may answer in any way. It checks signatures as the specification says, with
//! nothing of the server's code.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac as _};
use ipam_testing::TestServer;
use serde_json::{Value, json};
use sha2::Sha256;

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Status(u16),
    RetryAfter(u16, &'static str),
    /// Not at all.
    Hang,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) at: Instant,
}

#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<Answer>>,
}

#[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            answer: Arc::new(Mutex::new(Answer::Status(204))),
        };
        let router = Router::new()
            .fallback(received)
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?of=test", self.address)
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until something holds of the requests so far.
    #[track_caller]
    pub(crate) fn until(
        &self,
        what: &'static str,
        holds: impl Fn(&[Request]) -> bool + Send + 'static,
    ) -> impl Future<Output = Vec<Request>> {
        let caller = std::panic::Location::caller();
        let receiver = self.clone();
        async move {
            let end = Instant::now() + Duration::from_secs(90);
            loop {
                let requests = receiver.requests();
                if holds(&requests) {
                    return requests;
                }
                let ids: Vec<_> = requests.iter().map(Request::ids).collect();
                assert!(Instant::now() < end, "{caller}: {what}: {ids:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn received(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let request = Request {
        headers,
        body,
        at: Instant::now(),
    };
    let answer = receiver.answer.lock().expect("nobody panics").clone();
    receiver
        .requests
        .lock()
        .expect("nobody panics")
        .push(request);
    let status = |status| StatusCode::from_u16(status).expect("a status");
    match answer {
        Answer::Status(code) => status(code).into_response(),
        Answer::RetryAfter(code, after) => (status(code), [("retry-after", after)]).into_response(),
        Answer::Hang => std::future::pending().await,
    }
}

#[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
impl Request {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn feed(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn ids(&self) -> Vec<i64> {
        let feed = self.feed();
        let items = feed["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| item["id"].as_i64().unwrap())
            .collect()
    }

    /// How many signatures there are.
    pub(crate) fn signatures(&self) -> usize {
        self.header("webhook-signature").split(' ').count()
    }

    /// Whether one of the signatures is by this secret, and the request is recent.
    pub(crate) fn is_signed_by(&self, secret: &str) -> bool {
        let key = secret.strip_prefix("whsec_").unwrap();
        let key = BASE64_STANDARD.decode(key).unwrap();
        let (id, timestamp) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs().abs_diff(timestamp.parse().unwrap());
        let mut signed = format!("{id}.{timestamp}.").into_bytes();
        signed.extend_from_slice(&self.body);
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(&signed);
        let wanted = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
        let mut all = self.header("webhook-signature").split(' ');
        age < 300 && all.any(|signature| signature == wanted)
    }
}

/// The events of all of these requests, each once, in the order in which they first came. Those of one number are the same.
#[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
pub(crate) fn events(requests: &[Request]) -> Vec<Value> {
    let mut seen: BTreeMap<i64, Value> = BTreeMap::new();
    let mut order = Vec::new();
    for request in requests {
        for event in request.feed()["items"].as_array().unwrap() {
            let id = event["id"].as_i64().unwrap();
            match seen.insert(id, event.clone()) {
                None => order.push(event.clone()),
                Some(before) => assert_eq!(before, *event),
            }
        }
    }
    order
}

pub(crate) fn numbers(events: &[Value]) -> Vec<i64> {
    let ids = events.iter().map(|event| event["id"].as_i64());
    ids.map(|id| id.expect("a number")).collect()
}

/// Of the server: with everything that webhooks may reach here.
pub(crate) const LOCAL: [(&str, &str); 1] = [("IPAM_WEBHOOK_NETWORKS", "127.0.0.0/8")];

/// A request to a server, and its reply.
#[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
pub(crate) async fn ask(
    server: &TestServer,
    method: &str,
    path: &str,
    body: &Value,
) -> (u16, Value) {
    let mut client = crate::client::Client::connect(server.address())
        .await
        .unwrap();
    let path = format!("/api/v1/{path}");
    let reply = client.send(method, &path, &[], body).await.unwrap();
    (reply.status, reply.json)
}

/// The same, for what must be answered like that.
#[track_caller]
pub(crate) fn ok(
    server: &TestServer,
    method: &'static str,
    path: &str,
    body: Value,
    wanted: u16,
) -> impl Future<Output = Value> {
    let caller = std::panic::Location::caller();
    async move {
        let (status, json) = ask(server, method, path, &body).await;
        assert_eq!(status, wanted, "{caller}: {method} {path}: {json}");
        json
    }
}

/// A webhook to a receiver, from the beginning of the log, with more settings.
pub(crate) async fn webhook(
    server: &TestServer,
    name: &str,
    receiver: &Receiver,
    more: &Value,
) -> Value {
    let mut new = json!({"name": name, "url": receiver.url(), "after": 0});
    for (field, value) in more.as_object().into_iter().flatten() {
        new[field] = value.clone();
    }
    ok(server, "POST", "webhooks", new, 201).await
}

/// What a webhook says of itself, once something holds of how far it is.
#[track_caller]
pub(crate) fn state(
    server: &TestServer,
    name: &str,
    what: &'static str,
    holds: impl Fn(&Value) -> bool,
) -> impl Future<Output = Value> {
    let caller = std::panic::Location::caller();
    async move {
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            let webhook = ok(server, "GET", &format!("webhooks/{name}"), Value::Null, 200).await;
            if holds(&webhook["delivery"]) {
                return webhook;
            }
            assert!(Instant::now() < end, "{caller}: {what}: {webhook}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
