//! kill -9 in the middle of a thousand concurrent allocations: of the server, of PostgreSQL, of both.
//!
//! What was acknowledged is there afterwards, unchanged; what was not is there whole or not at all; and who repeats a
//! request by name or Idempotency-Key ends with one allocation. A run in which too little was under way proves nothing
//! and fails.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use ipam_server::{
    domain::Ipam,
    postgres::{Managed, Options},
};
use ipam_testing::{TestServer, cluster_dir};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use sqlx::{postgres::PgPoolOptions, types::ipnet::IpNet};
use tokio::sync::{Barrier, Notify};

use crate::client::Client;

const ALLOCATIONS: &str = "/api/v1/allocations";
const REQUESTS: usize = 1000;
/// Acknowledged when the victim is killed, at least.
const ACKNOWLEDGED: usize = 150;
/// Under way when the victim is killed, at least.
const UNDER_WAY: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Server,
    Postgres,
    Both,
}

/// A request and how it can be repeated.
#[derive(Clone, Debug)]
struct Request {
    body: Value,
    key: Option<String>,
}

impl Request {
    /// Half of them are named, a quarter has an Idempotency-Key, a quarter can't be repeated.
    fn new(number: usize) -> Self {
        let mut body = json!({"vpc": format!("vpc {}", number % 10), "prefix_length": 26});
        if number % 4 < 2 {
            body["name"] = json!(format!("n{number}"));
        }
        Self {
            body,
            key: (number % 4 == 2).then(|| format!("key {number}")),
        }
    }

    fn is_repeatable(&self) -> bool {
        self.key.is_some() || self.body["name"].is_string()
    }

    async fn send(&self, client: &mut Client) -> Option<(u16, Value)> {
        let headers: Vec<_> = self
            .key
            .iter()
            .map(|key| ("idempotency-key", key.as_str()))
            .collect();
        let reply = client
            .send("POST", ALLOCATIONS, &headers, &self.body)
            .await
            .ok()?;
        Some((reply.status, reply.json))
    }
}

async fn start(dir: &Path) -> Managed {
    Managed::start(dir, Options::default())
        .await
        .expect("PostgreSQL starts")
}

/// Kills every process of the cluster, as a power failure would: all of them work in the directory of the data.
async fn kill_all(postgres: Managed) {
    let master = i32::try_from(postgres.pid()).expect("process numbers are small");
    let place = |pid: i32| fs::read_link(format!("/proc/{pid}/cwd")).ok();
    let data = place(master);
    assert!(data.is_some());
    kill(Pid::from_raw(master), Signal::SIGKILL).expect("it runs");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if place(pid) == data {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    postgres.exited().await;
}

fn cidrs(allocation: &Value) -> Vec<String> {
    let blocks = allocation["blocks"].as_array().expect("blocks");
    blocks
        .iter()
        .map(|block| block["cidr"].as_str().expect("a CIDR").to_owned())
        .collect()
}

fn id(allocation: &Value) -> String {
    allocation["id"].as_str().expect("an id").to_owned()
}

/// All allocations with their CIDRs, read past the server.
async fn stored(ipam: &Ipam) -> HashMap<String, Vec<String>> {
    let rows: Vec<(String, Vec<IpNet>)> = sqlx::query_as(
        "select allocation_id::text, (select array_agg(cidr order by member_id) from block
            where block.allocation_id = allocation.allocation_id) from allocation",
    )
    .fetch_all(&ipam.connections().usual)
    .await
    .expect("the tables can be read");
    rows.into_iter()
        .map(|(id, nets)| (id, nets.iter().map(ToString::to_string).collect()))
        .collect()
}

async fn survives(victim: Victim) {
    let dir = cluster_dir();
    let mut postgres = start(dir.path()).await;
    let mut server = TestServer::start_with(&postgres.database_url(), &[]).await;
    let requests: Vec<_> = (0..REQUESTS).map(Request::new).collect();

    // All connections are open before the first request is sent.
    let (begin, acknowledged) = (
        Arc::new(Barrier::new(REQUESTS)),
        Arc::new(AtomicUsize::new(0)),
    );
    let enough = Arc::new(Notify::new());
    let mut tasks = Vec::new();
    for request in requests.clone() {
        let mut client = Client::connect(server.address())
            .await
            .expect("the server listens");
        let (begin, acknowledged, enough) = (
            Arc::clone(&begin),
            Arc::clone(&acknowledged),
            Arc::clone(&enough),
        );
        tasks.push(tokio::spawn(async move {
            begin.wait().await;
            let (mut status, mut json) = request.send(&mut client).await?;
            // On a machine that is busy with something else some have to ask again; nothing was begun for them.
            while status == 503 && json["code"] == "overloaded" {
                tokio::time::sleep(Duration::from_millis(50)).await;
                (status, json) = request.send(&mut client).await?;
            }
            if status == 201 {
                if acknowledged.fetch_add(1, Ordering::SeqCst) + 1 == ACKNOWLEDGED {
                    enough.notify_one();
                }
                return Some(json);
            }
            // The server outlives its database: then nothing was done, or the outcome is not known.
            assert!(
                victim == Victim::Postgres && matches!(status, 503 | 504),
                "{status}: {json}"
            );
            None
        }));
    }
    enough.notified().await;
    let done = tasks.iter().filter(|task| task.is_finished()).count();
    if victim != Victim::Postgres {
        server.kill_9();
    }
    if victim != Victim::Server {
        kill_all(postgres).await;
        postgres = start(dir.path()).await;
    }
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("no client panics"));
    }
    let acked = answers.iter().flatten().count();
    assert!(acked >= ACKNOWLEDGED, "{acked} were acknowledged");
    let under_way = REQUESTS - done;
    assert!(
        under_way >= UNDER_WAY,
        "{under_way} were under way: that proves nothing"
    );
    // A server that stays waits for its database a while, so that few notice that it was away.
    assert!(
        victim == Victim::Postgres || REQUESTS - acked >= UNDER_WAY,
        "{acked} were acknowledged: that proves nothing"
    );

    recover(victim, &mut server).await;
    let ipam = Ipam::new(
        PgPoolOptions::new()
            .max_connections(4)
            .connect_lazy_with(postgres.connect_options()),
    );
    // A server that was killed leaves sessions behind that PostgreSQL may still be busy for.
    let before = settled(&ipam).await;
    check(&ipam).await;
    for answer in answers.iter().flatten() {
        assert_eq!(
            before.get(&id(answer)),
            Some(&cidrs(answer)),
            "acknowledged, and lost or changed"
        );
    }

    everybody_tries_again(&server, &ipam, &requests, &answers, &before).await;

    ipam.connections().close().await;
    drop(server);
    postgres.stop().await.expect("PostgreSQL stops");
}

/// Waits for the server to be ready again, or starts it.
async fn recover(victim: Victim, server: &mut TestServer) {
    if victim == Victim::Postgres {
        // The server finds its database again by itself.
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut client = Client::connect(server.address())
            .await
            .expect("the server listens");
        while client.get("/readyz").await.expect("an answer").status != 200 {
            assert!(Instant::now() < deadline, "not ready:\n{}", server.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    } else {
        server.restart().await;
    }
}

/// Those who got an answer too. What was acknowledged is answered again, and nobody has two.
async fn everybody_tries_again(
    server: &TestServer,
    ipam: &Ipam,
    requests: &[Request],
    answers: &[Option<Value>],
    before: &HashMap<String, Vec<String>>,
) {
    let repeated: Vec<(usize, Value)> = stream::iter(
        requests
            .iter()
            .enumerate()
            .filter(|(_, request)| request.is_repeatable()),
    )
    .map(|(number, request)| {
        let address = server.address();
        async move {
            let mut client = Client::connect(address).await.expect("the server listens");
            let (status, json) = request.send(&mut client).await.expect("an answer");
            assert!(matches!(status, 200 | 201), "{status}: {json}");
            // Made now means that it was not there before.
            (number, status, json)
        }
    })
    .buffer_unordered(32)
    .map(|(number, status, json)| {
        assert_eq!(status == 200, before.contains_key(&id(&json)), "{json}");
        (number, json)
    })
    .collect()
    .await;
    for (number, json) in &repeated {
        if let Some(first) = &answers[*number] {
            assert_eq!((id(json), cidrs(json)), (id(first), cidrs(first)));
        }
    }
    let ids: HashSet<_> = repeated.iter().map(|(_, json)| id(json)).collect();
    assert_eq!(
        ids.len(),
        REQUESTS / 4 * 3,
        "one allocation for each request"
    );
    let after = stored(ipam).await;
    let others = after.keys().filter(|id| !ids.contains(*id)).count();
    let acked_others = requests
        .iter()
        .zip(answers)
        .filter(|(request, answer)| !request.is_repeatable() && answer.is_some())
        .count();
    assert!(
        (acked_others..=REQUESTS / 4).contains(&others),
        "{others} that can't be repeated, {acked_others} of them acknowledged"
    );
    assert!(
        before
            .iter()
            .all(|(id, cidrs)| after.get(id) == Some(cidrs)),
        "what was there stays"
    );
    check(ipam).await;
}

/// What is stored once no session of the killed server is at work any more.
async fn settled(ipam: &Ipam) -> HashMap<String, Vec<String>> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let busy: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
            where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle' and backend_type = 'client backend'",
        )
        .fetch_one(&ipam.connections().usual)
        .await
        .expect("pg_stat_activity can be read");
        if busy == 0 {
            return stored(ipam).await;
        }
        assert!(Instant::now() < deadline, "{busy} sessions do not end");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Every allocation is whole, and in the audit log.
async fn check(ipam: &Ipam) {
    let report = ipam.verify().await.expect("it can be verified");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let made: i64 = sqlx::query_scalar(
        "select count(distinct subject) from event where action = 'allocation.create'",
    )
    .fetch_one(&ipam.connections().usual)
    .await
    .expect("the log can be read");
    assert_eq!(made, report.extent.allocations);
    assert_eq!(report.extent.blocks, 2 * report.extent.allocations);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_killed() {
    survives(Victim::Server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_killed() {
    survives(Victim::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_are_killed() {
    survives(Victim::Both).await;
}
