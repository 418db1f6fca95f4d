//! An import beside clients who ask another server for space all the time: nobody fails, and only who wants space from the
//! pools of the file waits for it.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};

use crate::client::Client;

const ALLOCATIONS: &str = "/api/v1/allocations";
/// Clients of each of two pools.
const CLIENTS: usize = 8;

/// How many blocks are imported: as many as CI has time for, or as many as one wants to know about.
fn rows() -> u32 {
    let asked = std::env::var("IPAM_IMPORT_ROWS");
    asked.ok().map_or(20_000, |rows| {
        rows.parse().expect("IPAM_IMPORT_ROWS is a number")
    })
}

/// A request: when it was answered, how long that took, and how it ended.
struct Asked {
    at: Instant,
    took: Duration,
    status: u16,
    retry_after: bool,
}

/// Asks for one block after the other from a pool.
async fn ask(mut client: Client, pool: &str, number: usize, stop: &AtomicBool) -> Vec<Asked> {
    let mut asked = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let body = json!({"vpc": format!("{pool}-{number}"), "pools": [pool], "prefix_length": 28});
        let reply = client
            .post(ALLOCATIONS, &body)
            .await
            .expect("there is a reply");
        asked.push(Asked {
            at: Instant::now(),
            took: begin.elapsed(),
            status: reply.status,
            retry_after: reply.headers.contains_key("retry-after"),
        });
    }
    asked
}

/// As an export of another server has it: with numbers, and in VPCs of its own.
fn plan(rows: u32) -> Value {
    let record = |index: u32| {
        let first = u32::from_be_bytes([172, 24, 0, 0]) + index * 2;
        let first = std::net::Ipv4Addr::from(first);
        json!({"cidr": format!("{first}/31"), "vpc": format!("moved-{}", index / 100), "name": format!("n{index}"),
            "number": 1_000_000 + index, "labels": {"env": "prod"}})
    };
    (0..rows).map(record).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_shuts_nobody_out() {
    let database = TestDatabase::new().await;
    let near = TestServer::start(&database).await;
    let far = TestServer::start(&database).await;
    let mut client = Client::connect(near.address()).await.expect("it listens");
    for (name, range) in [("target", "172.16.0.0/12"), ("other", "192.168.0.0/16")] {
        let body = json!({"name": name, "ranges": [range]});
        let reply = client.post("/api/v1/pools", &body).await.expect("a reply");
        assert_eq!(reply.status, 201, "{}", reply.json);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = [Vec::new(), Vec::new()];
    for number in 0..CLIENTS {
        for (tasks, pool) in tasks.iter_mut().zip(["other", "target"]) {
            let client = Client::connect(near.address()).await.expect("it listens");
            let stop = Arc::clone(&stop);
            tasks.push(tokio::spawn(async move {
                ask(client, pool, number, &stop).await
            }));
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let rows = rows();
    let file = plan(rows);
    let mut importer = Client::connect(far.address()).await.expect("it listens");
    let begin = Instant::now();
    let reply = importer
        .post("/api/v1/import", &file)
        .await
        .expect("a reply");
    let took = begin.elapsed();
    assert_eq!(reply.status, 200, "{}", reply.json);
    assert_eq!(reply.json["created"]["allocations"], rows);
    tokio::time::sleep(Duration::from_secs(1)).await;
    stop.store(true, Ordering::Relaxed);
    println!("{rows} rows were imported in {took:.1?}");
    println!(
        "{}",
        far.log()
            .lines()
            .filter(|line| line.contains("import"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    let mut longest = Vec::new();
    for (tasks, pool) in tasks.into_iter().zip(["other", "target"]) {
        let mut asked = Vec::new();
        for task in tasks {
            asked.extend(task.await.expect("no client panics"));
        }
        let (mut during, mut before): (Vec<Asked>, Vec<Asked>) = asked
            .into_iter()
            .filter(|asked| asked.at < begin + took)
            .partition(|asked| asked.at >= begin);
        for asked in before.iter().chain(&during) {
            let good = asked.status == 201 || (asked.status == 503 && asked.retry_after);
            assert!(good, "{pool}: {} after {:.1?}", asked.status, asked.took);
            assert!(
                pool == "target" || asked.status == 201,
                "{pool}: {}",
                asked.status
            );
        }
        let median = |asked: &mut Vec<Asked>| {
            asked.sort_by_key(|asked| asked.took);
            let middle = asked.get(asked.len() / 2).map(|asked| asked.took);
            (
                asked.len(),
                middle.unwrap_or_default(),
                asked.last().map(|asked| asked.took).unwrap_or_default(),
            )
        };
        let (before, during) = (median(&mut before), median(&mut during));
        println!(
            "{pool}: (requests, median, longest) {before:.1?} before, {during:.1?} while it was imported"
        );
        longest.push(during.2);
        assert!(during.0 > 0, "nobody was answered meanwhile");
    }
    // An import and its neighbours share two cores; what they must not share is a lock, which takes as long as the writing.
    assert!(
        longest[0] < Duration::from_secs(1).max(took / 8),
        "who wanted another pool waited for {:.1?} of {took:.1?}",
        longest[0]
    );
    let output = Command::new(env!("CARGO_BIN_EXE_ipam"))
        .args(["verify", "--database-url", &database.url()])
        .output()
        .expect("ipam can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("all is well"), "{text}");
}
