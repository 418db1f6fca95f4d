//! More requests than a server can answer soon: some are told to come back, so that the others are answered, and nothing
//! that waits for one thing keeps anything else waiting.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ipam_client::Settings;
use ipam_shared::api::allocation::{NewAllocation, Size};
use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::task::JoinHandle;

#[path = "support/client.rs"]
mod client;

use client::{Client, Reply};

const ALLOCATIONS: &str = "/api/v1/allocations";

async fn connect(server: &TestServer) -> Client {
    Client::connect(server.address()).await.expect("connected")
}

/// Makes a pool that has room.
async fn pool(server: &TestServer, name: &str, range: &str) {
    let body = json!({"name": name, "ranges": [range], "max_prefix_length": 28});
    let made = connect(server).await.post("/api/v1/pools", &body).await;
    let made = made.expect("answered");
    assert_eq!(made.status, 201, "{}", made.json);
}

fn ask(name: &str, pool: &str) -> Value {
    json!({"vpc": "crowd", "name": name, "pools": [pool], "prefix_length": 28})
}

/// What a crowd of clients saw.
#[derive(Debug, Default)]
struct Seen {
    /// How long each answer with 2xx took.
    answered: Vec<Duration>,
    /// How often each other answer came: the status, and the code of the refusal.
    refused: BTreeMap<(u16, String), usize>,
}

impl Seen {
    fn quantile(&mut self, part: f64) -> Duration {
        self.answered.sort_unstable();
        let index = (self.answered.len() as f64 * part) as usize;
        self.answered[index.min(self.answered.len() - 1)]
    }
}

#[track_caller]
fn retry_after(reply: &Reply) -> Duration {
    let seconds = reply.headers.get("retry-after");
    let seconds = seconds.unwrap_or_else(|| panic!("no Retry-After: {}", reply.json));
    Duration::from_secs(seconds.to_str().expect("text").parse().expect("seconds"))
}

/// A session that holds something until it is dropped.
async fn holding(database: &TestDatabase, lock: &'static str) -> PgConnection {
    let mut db = database.connect().await;
    sqlx::raw_sql(AssertSqlSafe(format!("begin; {lock}")))
        .execute(&mut db)
        .await
        .expect(lock);
    db
}

/// Asks on a connection of its own.
fn send(
    server: &TestServer,
    method: &'static str,
    path: &str,
    body: Value,
) -> JoinHandle<(Reply, Duration)> {
    let (address, path) = (server.address(), path.to_owned());
    tokio::spawn(async move {
        let mut client = Client::connect(address).await.expect("connected");
        let begin = Instant::now();
        let reply = client.send(method, &path, &[], &body).await;
        (reply.expect("answered"), begin.elapsed())
    })
}

#[track_caller]
fn is_shed(reply: &Reply, took: Duration) {
    assert_eq!(reply.status, 503, "{}", reply.json);
    assert_eq!(reply.json["code"], "overloaded", "{}", reply.json);
    assert_eq!(retry_after(reply), Duration::from_secs(1));
    assert!(took < Duration::from_secs(4), "it took {took:?}");
}

async fn shed(server: &TestServer, kind: &str) -> u64 {
    let path = format!("{}/metrics", server.url());
    let text = tokio::task::spawn_blocking(move || {
        let output = std::process::Command::new("curl")
            .args(["--silent", "--max-time", "10", "-H"])
            .arg(format!("X-API-Key: {}", TestServer::API_KEY))
            .arg(path)
            .output()
            .expect("curl");
        String::from_utf8(output.stdout).expect("UTF-8")
    });
    let text = text.await.expect("it ends");
    let name = format!("ipam_http_requests_shed_total{{kind=\"{kind}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    let value = value.unwrap_or_else(|| panic!("no {name} in {text}"));
    value.parse().expect("a number")
}

/// The smallest number of places, so that few requests are enough to take all of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_one_thing_keeps_nothing_else_waiting() {
    let database = TestDatabase::empty().await;
    let server = TestServer::start_with(&database.url(), &[("IPAM_REQUESTS_IN_FLIGHT", "4")]).await;
    pool(&server, "wide", "11.0.0.0/8").await;
    pool(&server, "other", "12.0.0.0/8").await;
    let mut held = Vec::new();
    for name in ["held-0", "held-1"] {
        let made = send(&server, "POST", ALLOCATIONS, ask(name, "wide")).await;
        let (made, _) = made.expect("it ends");
        assert_eq!(made.status, 201, "{}", made.json);
        held.push(format!(
            "{ALLOCATIONS}/{}",
            made.json["id"].as_str().expect("an id")
        ));
    }

    // A pool that somebody else has locked: as many wait for it as there are places, and the others are told so.
    let lock = holding(&database, "select from pool where name = 'wide' for update").await;
    let waiting: Vec<_> = (0..4)
        .map(|number| {
            send(
                &server,
                "POST",
                ALLOCATIONS,
                ask(&format!("waits-{number}"), "wide"),
            )
        })
        .chain([send(&server, "DELETE", &held[0], Value::Null)])
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    for request in [
        send(&server, "POST", ALLOCATIONS, ask("late", "wide")),
        send(&server, "DELETE", &held[1], Value::Null),
    ] {
        let (reply, took) = request.await.expect("it ends");
        is_shed(&reply, took);
    }
    // Nobody else notices.
    for (method, path, body, status) in [
        ("POST", ALLOCATIONS, ask("beside", "other"), 201),
        ("POST", "/api/v1/vpcs", json!({"name": "beside"}), 201),
        ("GET", ALLOCATIONS, Value::Null, 200),
        ("GET", "/readyz", Value::Null, 200),
    ] {
        let (reply, took) = send(&server, method, path, body).await.expect("it ends");
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.json);
        assert!(took < Duration::from_secs(4), "{method} {path}: {took:?}");
    }
    assert_eq!(
        (
            shed(&server, "space").await,
            shed(&server, "allocation").await
        ),
        (1, 1)
    );
    drop(lock);
    for request in waiting {
        let (reply, _) = request.await.expect("it ends");
        assert!(matches!(reply.status, 201 | 204), "{}", reply.json);
    }
    let (reply, _) = send(&server, "POST", ALLOCATIONS, ask("late", "wide"))
        .await
        .expect("it ends");
    assert_eq!(reply.status, 201, "nothing was begun: {}", reply.json);

    // Reads that wait for a table.
    let lock = holding(&database, "lock table allocation in access exclusive mode").await;
    let waiting: Vec<_> = (0..16)
        .map(|_| send(&server, "GET", ALLOCATIONS, Value::Null))
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (reply, took) = send(&server, "GET", ALLOCATIONS, Value::Null)
        .await
        .expect("it ends");
    is_shed(&reply, took);
    let (reply, _) = send(&server, "GET", "/allocations", Value::Null)
        .await
        .expect("it ends");
    assert_eq!(
        (reply.status, &reply.json["code"]),
        (503, &json!("RETRY_EXHAUSTED")),
        "in the words of the original: {}",
        reply.json
    );
    assert_eq!(retry_after(&reply), Duration::from_secs(1));
    // What asks after its health takes no place, and nor do the metrics.
    let (reply, took) = send(&server, "GET", "/healthz", Value::Null)
        .await
        .expect("it ends");
    assert_eq!(reply.status, 200, "{}", reply.json);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(shed(&server, "read").await, 2);
    drop(lock);
    for request in waiting {
        let (reply, _) = request.await.expect("it ends");
        assert_eq!(reply.status, 200, "{}", reply.json);
    }
}

/// More than there are places for, at the default: each is served, and by default a client repeats what was not begun.
#[tokio::test(flavor = "multi_thread")]
async fn dozens_of_terraform_runs_are_all_served() {
    const RUNS: usize = 50;
    const PARALLEL: usize = 10;
    let database = TestDatabase::empty().await;
    let server = TestServer::start(&database).await;
    pool(&server, "wide", "11.0.0.0/8").await;
    let mut tasks = Vec::new();
    for run in 0..RUNS {
        // One client a run, as in a provider.
        let client = ipam_client::Client::new(&Settings::new(server.url(), TestServer::API_KEY))
            .expect("settings");
        for lane in 0..PARALLEL {
            let client = client.clone();
            tasks.push(tokio::spawn(async move {
                let new = NewAllocation {
                    name: Some(format!("r{run}-{lane}").parse().expect("a name")),
                    pools: Some(vec!["wide".to_owned()]),
                    ..NewAllocation::new("runs".parse().expect("a name"), Size::PrefixLength(28))
                };
                let made = client.create_allocation(&new).await.expect("allocated");
                assert!(
                    made.new,
                    "nothing of what was told to come back had been begun"
                );
                let id = made.made.id;
                client
                    .get_allocation(id, made.made.claim)
                    .await
                    .expect("read");
                if lane % 5 == 0 {
                    client.delete_allocation(id, None).await.expect("released");
                }
                made.made.cidr
            }));
        }
    }
    for task in tasks {
        task.await.expect("it ends");
    }
    let (count,): (i64,) =
        sqlx::query_as("select count(*) from event where action = 'allocation.release'")
            .fetch_one(&mut database.connect().await)
            .await
            .expect("counted");
    assert_eq!(count, (RUNS * PARALLEL / 5) as i64);
}

const CLIENTS: usize = 200;

/// So many clients take a block, look at it, and release it, each as soon as it was answered. Who is told to come back does
/// so when it was told to. What they saw, and how many answers with 2xx came in a second.
async fn crowd(server: &TestServer, name: &str, time: Duration) -> (Seen, f64) {
    let over = Arc::new(AtomicBool::new(false));
    let (mut tasks, begin) = (Vec::new(), Instant::now());
    for number in 0..CLIENTS {
        let (over, name) = (Arc::clone(&over), name.to_owned());
        let mut client = connect(server).await;
        tasks.push(tokio::spawn(async move {
            let (mut seen, mut count, mut own) = (Seen::default(), 0, None::<String>);
            while !over.load(Ordering::Relaxed) {
                let begin = Instant::now();
                let reply = match &own {
                    None => {
                        let body = ask(&format!("{name}-{number}-{count}"), "wide");
                        client.post(ALLOCATIONS, &body).await
                    }
                    Some(path) if count % 4 < 3 => client.get(path).await,
                    Some(path) => client.send("DELETE", path, &[], &Value::Null).await,
                };
                let reply = reply.expect("answered");
                if !(200..300).contains(&reply.status) {
                    let code = reply.json["code"].as_str().unwrap_or_default().to_owned();
                    *seen.refused.entry((reply.status, code)).or_default() += 1;
                    tokio::time::sleep(retry_after(&reply)).await;
                    continue;
                }
                seen.answered.push(begin.elapsed());
                count += 1;
                if reply.status == 201 {
                    let id = reply.json["id"].as_str().expect("an id");
                    own = Some(format!("{ALLOCATIONS}/{id}"));
                } else if reply.status == 204 {
                    own = None;
                }
            }
            seen
        }));
    }
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let mut all = Seen::default();
    for task in tasks {
        let seen = task.await.expect("it ends");
        all.answered.extend(seen.answered);
        for (what, count) in seen.refused {
            *all.refused.entry(what).or_default() += count;
        }
    }
    let rate = all.answered.len() as f64 / begin.elapsed().as_secs_f64();
    (all, rate)
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of[of.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_answered_sooner_when_a_part_of_it_waits_elsewhere() {
    const ROUNDS: usize = 3;
    let database = TestDatabase::empty().await;
    let limited = TestServer::start(&database).await;
    let all = [("IPAM_REQUESTS_IN_FLIGHT", "1000000")];
    let unlimited = TestServer::start_with(&database.url(), &all).await;
    pool(&limited, "wide", "11.0.0.0/8").await;
    let (mut slowest, mut rates) = ([vec![], vec![]], [vec![], vec![]]);
    for round in 0..ROUNDS {
        for (which, server) in [&unlimited, &limited].into_iter().enumerate() {
            let over = Arc::new(AtomicBool::new(false));
            let (mut prober, stop) = (connect(server).await, Arc::clone(&over));
            let healthy = tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let begin = Instant::now();
                    let reply = prober.get("/healthz").await.expect("answered");
                    assert_eq!(reply.status, 200);
                    longest = longest.max(begin.elapsed());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                longest
            });
            let name = format!("{which}-{round}");
            let (mut seen, rate) = crowd(server, &name, Duration::from_secs(4)).await;
            over.store(true, Ordering::Relaxed);
            let health = healthy.await.expect("it ends");
            let p99 = seen.quantile(0.99);
            println!(
                "{}: {rate:.0}/s, p50 {:?}, p99 {p99:?}, /healthz {health:?}, refused {:?}",
                ["unlimited", "limited"][which],
                seen.quantile(0.5),
                seen.refused
            );
            assert!(
                seen.refused
                    .keys()
                    .all(|(status, code)| (*status, code.as_str()) == (503, "overloaded")),
                "{:?}",
                seen.refused
            );
            assert!(health < Duration::from_secs(2), "/healthz took {health:?}");
            slowest[which].push(p99);
            rates[which].push(rate);
        }
    }
    // Rates vary more from round to round than the two differ.
    let rates = rates.map(|rates: Vec<f64>| rates.iter().sum::<f64>() / ROUNDS as f64);
    let slowest = slowest.map(median);
    println!("p99 {slowest:?}, {rates:?} a second");
    assert!(
        slowest[1] < slowest[0].mul_f64(0.85),
        "p99 {:?} with limits, {:?} without",
        slowest[1],
        slowest[0]
    );
    assert!(
        rates[1] > 0.7 * rates[0],
        "{:.0} answers a second with limits, {:.0} without",
        rates[1],
        rates[0]
    );
}
