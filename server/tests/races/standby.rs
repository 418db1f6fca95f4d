//! A commit that waits for its standby, and whose wait is cancelled: PostgreSQL warns, says that it is done, and does not
//! know whether the standby has it. Who was told more than that would believe in something that a fail-over loses.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ipam_testing::{Canceller, Pair, TestServer};
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use tokio::task::JoinHandle;

use crate::client::{Client, Reply};

const ALLOCATIONS: &str = "/api/v1/allocations";
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Cancels every wait for the standby, until it is told to stop.
struct Cancelling {
    stop: Arc<AtomicBool>,
    cancelled: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Cancelling {
    fn start(mut canceller: Canceller) -> Self {
        let (stop, cancelled) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (told, count) = (Arc::clone(&stop), Arc::clone(&cancelled));
        let task = tokio::spawn(async move {
            while !told.load(Ordering::Relaxed) {
                count.fetch_add(canceller.cancel().await, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self {
            stop,
            cancelled,
            task,
        }
    }

    /// How many waits were cancelled.
    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("nobody else cancels");
        self.cancelled.load(Ordering::Relaxed)
    }
}

fn problem(reply: &Reply) -> (u16, &str) {
    let code = reply.json["code"].as_str().unwrap_or_default();
    (reply.status, code)
}

const UNKNOWN: (u16, &str) = (504, "unknown_outcome");

/// Several at once, of which the first is alone and the others are a batch, and none of them may be told that it has
/// something. Whatever is logged: with `IPAM_LOG=off` the warning is not.
#[tokio::test(flavor = "multi_thread")]
async fn an_allocation_that_only_the_primary_has_is_not_acknowledged() {
    let mut pair = Pair::start().await;
    let server = TestServer::start_with(&pair.url(), &[("IPAM_LOG", "off")]).await;
    let address = server.address();
    let ask = |number: usize| json!({"vpc": "a", "name": format!("n{number}"), "hosts": 100});
    let mut client = Client::connect(address).await.unwrap();
    let before = client.post(ALLOCATIONS, &ask(0)).await.unwrap();
    assert_eq!(before.status, 201, "{}", before.json);

    pair.replication().hold();
    let send = |number: usize| {
        let body = ask(number);
        tokio::spawn(async move {
            let mut client = Client::connect(address).await.unwrap();
            client.post(ALLOCATIONS, &body).await.unwrap()
        })
    };
    let mut tasks = vec![send(1)];
    let mut canceller = pair.canceller().await;
    let begin = Instant::now();
    while canceller.waiting().await == 0 {
        assert!(begin.elapsed() < PATIENCE, "nothing waits for the standby");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tasks.extend((2..=5).map(send));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        tasks.iter().all(|task| !task.is_finished()),
        "nobody gets an answer while the standby is away"
    );
    let cancelling = Cancelling::start(canceller);
    for task in tasks {
        let reply = task.await.unwrap();
        assert_eq!(problem(&reply), UNKNOWN, "{}", reply.json);
        assert_eq!(reply.headers["retry-after"], "1");
    }
    assert!(cancelling.stop().await >= 2, "one alone, and a batch");

    // Whoever asks again before the fail-over gets no other answer: it would be as wrong.
    let cancelling = Cancelling::start(pair.canceller().await);
    let again = client.post(ALLOCATIONS, &ask(1)).await.unwrap();
    assert_eq!(problem(&again), UNKNOWN, "{}", again.json);
    cancelling.stop().await;

    pair.fail_over().await;
    pair.rebuild().await;
    let mut client = Client::connect(address).await.unwrap();
    let begin = Instant::now();
    let kept = loop {
        let reply = client.post(ALLOCATIONS, &ask(0)).await.unwrap();
        if reply.status < 500 {
            break reply;
        }
        assert!(begin.elapsed() < PATIENCE, "{}", reply.json);
    };
    assert_eq!(
        (kept.status, &kept.json["id"]),
        (200, &before.json["id"]),
        "what was acknowledged is there"
    );
    let mut taken = BTreeSet::from([kept.json["blocks"][0]["cidr"].to_string()]);
    for number in 1..=5 {
        let made = client.post(ALLOCATIONS, &ask(number)).await.unwrap();
        assert_eq!(made.status, 201, "the standby never had it: {}", made.json);
        assert!(taken.insert(made.json["blocks"][0]["cidr"].to_string()));
    }
}

/// What a request does, as the OpenAPI document writes its path, and how it is sent.
struct Change {
    method: &'static str,
    described: &'static str,
    path: String,
    body: Value,
}

fn change(method: &'static str, described: &'static str, key: &str, body: Value) -> Change {
    let path = match described.split_once('{') {
        Some((before, after)) => {
            let rest = after.split_once('}').map_or("", |(_, rest)| rest);
            format!("{before}{key}{rest}")
        }
        None => described.to_owned(),
    };
    Change {
        method,
        described,
        path,
        body,
    }
}

/// Makes something, and answers its id.
async fn make(client: &mut Client, path: &str, body: Value) -> String {
    let reply = client.post(path, &body).await.expect("an answer");
    assert_eq!(reply.status, 201, "{path} {body}: {}", reply.json);
    let id = &reply.json["id"];
    id.as_str().expect("an id").to_owned()
}

/// Every change of every noun, made on something of its own, so that none needs what another has done.
async fn changes(client: &mut Client) -> Vec<Change> {
    let vpcs = "/api/v1/vpcs";
    let (vrfs, pools) = ("/api/v1/vrfs", "/api/v1/pools");
    let (tokens, webhooks) = ("/api/v1/tokens", "/api/v1/webhooks");
    // Nothing is sent to it meanwhile.
    let webhook =
        |name: &str| json!({"name": name, "url": "https://receiver.invalid/", "enabled": false});
    let (profiles, reservations) = ("/api/v1/profiles", "/api/v1/reservations");
    let member = |role: &str| json!([{"role": role, "pool": "primary", "min_prefix_length": 20, "max_prefix_length": 26}]);
    let mut all = vec![
        change(
            "POST",
            ALLOCATIONS,
            "",
            json!({"vpc": "a", "name": "new", "hosts": 5}),
        ),
        change(
            "POST",
            "/api/v1/allocations/batch",
            "",
            json!({"requests": [{"vpc": "a", "name": "b1", "hosts": 5}, {"vpc": "b", "name": "b2", "hosts": 5}]}),
        ),
        change("POST", vpcs, "", json!({"name": "new"})),
        change("POST", vrfs, "", json!({"name": "new"})),
        change(
            "POST",
            tokens,
            "",
            json!({"name": "new", "roles": ["reader"]}),
        ),
        change("POST", webhooks, "", webhook("new")),
        change(
            "POST",
            pools,
            "",
            json!({"name": "new", "ranges": ["10.99.0.0/16"], "min_prefix_length": 20}),
        ),
        change(
            "POST",
            profiles,
            "",
            json!({"name": "new", "members": member("new")}),
        ),
        change(
            "POST",
            reservations,
            "",
            json!({"cidr": "10.0.255.0/24", "reason": "new"}),
        ),
        change(
            "POST",
            "/api/v1/import",
            "",
            json!([{"cidr": "10.0.254.0/24", "vpc": "imported", "name": "n"}]),
        ),
    ];
    let new = json!({"name": "confirmed"});
    let vrf = client.post(vrfs, &new).await.expect("an answer").json;
    all.push(change(
        "POST",
        "/api/v1/confirmations",
        "",
        json!({"claims": [{"kind": "vrf", "id": vrf["id"], "claim": vrf["claim"]}]}),
    ));
    let id = make(client, vrfs, json!({"name": "taken over"})).await;
    all.push(change(
        "POST",
        "/api/v1/claims",
        "",
        json!({"claims": [{"kind": "vrf", "id": id, "claim": vrf["claim"]}]}),
    ));
    for (method, name) in [("PATCH", "patched"), ("DELETE", "deleted")] {
        let of = |patch: Value| {
            if method == "PATCH" {
                patch
            } else {
                Value::Null
            }
        };
        let ask = json!({"vpc": "a", "name": name, "prefix_length": 25});
        let id = make(client, ALLOCATIONS, ask).await;
        let path = "/api/v1/allocations/{id}";
        if method == "PATCH" {
            all.push(change(method, path, &id, json!({"prefix_length": 26})));
        }
        all.push(change(method, path, &id, of(json!({"description": "new"}))));
        let id = make(client, tokens, json!({"name": name, "roles": ["reader"]})).await;
        let path = "/api/v1/tokens/{token}";
        all.push(change(method, path, &id, of(json!({"description": "new"}))));
        let id = make(client, webhooks, webhook(name)).await;
        let path = "/api/v1/webhooks/{webhook}";
        if method == "PATCH" {
            for more in ["rotate", "resume"] {
                let path = format!("{path}/{more}");
                all.push(change("POST", path.leak(), &id, json!({})));
            }
        }
        all.push(change(method, path, &id, of(json!({"description": "new"}))));
        let id = make(client, vpcs, json!({"name": name})).await;
        let patch = json!({"description": "new"});
        all.push(change(method, "/api/v1/vpcs/{vpc}", &id, of(patch.clone())));
        let id = make(client, vrfs, json!({"name": name})).await;
        all.push(change(method, "/api/v1/vrfs/{vrf}", &id, of(patch.clone())));
        let second = if method == "PATCH" { 1 } else { 2 };
        let range = format!("10.{second}.0.0/16");
        let new = json!({"name": name, "ranges": [range], "min_prefix_length": 20});
        let id = make(client, pools, new).await;
        all.push(change(
            method,
            "/api/v1/pools/{pool}",
            &id,
            of(patch.clone()),
        ));
        let new = json!({"name": name, "members": member(name)});
        let id = make(client, profiles, new).await;
        all.push(change(method, "/api/v1/profiles/{profile}", &id, of(patch)));
        let cidr = format!("192.168.{second}.0/24");
        let id = make(client, reservations, json!({"cidr": cidr, "reason": "old"})).await;
        all.push(change(
            method,
            "/api/v1/reservations/{id}",
            &id,
            of(json!({"reason": "new"})),
        ));
    }
    all
}

/// None is forgotten: those that the OpenAPI document knows are all among them.
#[tokio::test(flavor = "multi_thread")]
async fn no_change_that_only_the_primary_has_is_acknowledged() {
    let pair = Pair::start().await;
    // The server wants to hear them all the same.
    let mut database = pair.primary().connect().await.unwrap();
    sqlx::query("alter database ipam set client_min_messages = error")
        .execute(&mut database)
        .await
        .unwrap();
    let server = TestServer::start_with(&pair.url(), &[]).await;
    assert!(!server.log().contains("do not arrive"), "{}", server.log());
    let mut client = Client::connect(server.address()).await.unwrap();
    let changes = changes(&mut client).await;
    let document = client.get("/api/v1/openapi.json").await.unwrap().json;
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .keys()
                .map(move |method| (method.to_uppercase(), path.clone()))
        })
        .filter(|(method, path)| {
            // Trying a webhook changes nothing.
            ["POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str())
                && !path.ends_with("/test")
        })
        .collect();
    let done: BTreeSet<_> = changes
        .iter()
        .map(|change| (change.method.to_owned(), change.described.to_owned()))
        .collect();
    assert_eq!(done, described, "a change is missing here");
    // One that is confirmed by its first read, which is a change, too.
    let ask = json!({"vpc": "a", "name": "claimed", "hosts": 5});
    let claimed = client.post(ALLOCATIONS, &ask).await.unwrap().json;
    let number = {
        let ask = json!({"vpc": "a", "hosts": 5});
        let reply = client.post("/allocate", &ask).await.unwrap();
        reply.json["allocation_id"].as_i64().expect("a number")
    };

    pair.replication().hold();
    let cancelling = Cancelling::start(pair.canceller().await);
    let mut wrong = Vec::new();
    // A second time it finds what it has done, which only the primary has.
    for Change {
        method, path, body, ..
    } in changes.iter().chain(&changes)
    {
        let reply = client.send(method, path, &[], body).await.unwrap();
        if problem(&reply) != UNKNOWN {
            wrong.push(format!(
                "{method} {path}: {} {}",
                reply.status, reply.json["code"]
            ));
        }
    }
    let claim = claimed["claim"].as_str().expect("a claim");
    let path = format!("{ALLOCATIONS}/{}", claimed["id"].as_str().expect("an id"));
    let reply = client
        .send("GET", &path, &[("ipam-claim", claim)], &Value::Null)
        .await
        .unwrap();
    if problem(&reply) != UNKNOWN {
        wrong.push(format!("GET with a claim: {}", reply.status));
    }
    let each =
        json!({"atomic": false, "requests": [{"vpc": "a", "hosts": 5}, {"vpc": "b", "hosts": 5}]});
    let reply = client
        .post("/api/v1/allocations/batch", &each)
        .await
        .unwrap();
    for result in reply.json["results"].as_array().expect("results") {
        if result["status"] != 504 {
            wrong.push(format!("one of a batch: {}", result["status"]));
        }
    }
    // The original API has a code of its own for all of it.
    for (method, path, body) in [
        ("POST", "/allocate", json!({"vpc": "a", "hosts": 5})),
        (
            "PUT",
            &format!("/allocations/{number}"),
            json!({"new_vpc_name": "b"}),
        ),
        ("DELETE", &format!("/allocations/{number}"), Value::Null),
        ("DELETE", "/vpcs/imported", Value::Null),
    ] {
        let reply = client.send(method, path, &[], &body).await.unwrap();
        if problem(&reply) != (503, "RETRY_EXHAUSTED") {
            wrong.push(format!("{method} {path}: {} {}", reply.status, reply.json));
        }
    }
    let cancelled = cancelling.stop().await;
    assert!(wrong.is_empty(), "acknowledged:\n{}", wrong.join("\n"));
    assert!(cancelled >= 2 * changes.len(), "{cancelled}");
    assert!(
        server.log().contains("synchronous replication"),
        "operators are told what PostgreSQL says:\n{}",
        server.log()
    );

    // The standby is back, and the server goes on as if nothing had been.
    pair.replication().release();
    let reply = client
        .post(ALLOCATIONS, &json!({"vpc": "a", "name": "new", "hosts": 5}))
        .await
        .unwrap();
    assert_eq!(reply.status, 200, "{}", reply.json);
}

/// The revision that a lost change had made comes again, with another change.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_fail_over_took_back_is_forgotten() {
    let mut pair = Pair::start().await;
    let server = TestServer::start_with(&pair.url(), &[]).await;
    let mut client = Client::connect(server.address()).await.unwrap();
    let new = json!({"name": "p", "ranges": ["10.1.0.0/24"], "min_prefix_length": 24, "max_prefix_length": 28});
    let id = make(&mut client, "/api/v1/pools", new).await;
    let pool = format!("/api/v1/pools/{id}");
    let ranges = |more: &str| json!({"ranges": ["10.1.0.0/24", more]});
    let ask =
        |name: &str, cidr: &str| json!({"vpc": "a", "name": name, "pools": ["p"], "cidr": cidr});
    let kept = client
        .post(ALLOCATIONS, &ask("kept", "10.1.0.0/26"))
        .await
        .unwrap();
    assert_eq!(kept.status, 201, "{}", kept.json);

    pair.replication().hold();
    let cancelling = Cancelling::start(pair.canceller().await);
    let reply = client
        .send("PATCH", &pool, &[], &ranges("10.2.0.0/24"))
        .await
        .unwrap();
    assert_eq!(problem(&reply), UNKNOWN, "{}", reply.json);
    let reply = client
        .post(ALLOCATIONS, &ask("lost", "10.2.0.0/26"))
        .await
        .unwrap();
    assert_eq!(
        problem(&reply),
        UNKNOWN,
        "the range is known: {}",
        reply.json
    );
    cancelling.stop().await;

    pair.fail_over().await;
    pair.rebuild().await;
    let begin = Instant::now();
    loop {
        let reply = client
            .send("PATCH", &pool, &[], &ranges("10.3.0.0/24"))
            .await
            .unwrap();
        if reply.status == 200 {
            break;
        }
        assert!(
            reply.status > 500 && begin.elapsed() < PATIENCE,
            "{}",
            reply.json
        );
    }
    for (name, cidr, status) in [
        ("new", "10.3.0.0/26", 201),
        ("lost", "10.2.0.0/26", 400),
        ("kept", "10.1.0.0/26", 200),
    ] {
        let reply = client.post(ALLOCATIONS, &ask(name, cidr)).await.unwrap();
        assert_eq!(reply.status, status, "{name}: {}", reply.json);
    }
}
