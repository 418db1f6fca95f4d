//! Many clients at once, through two real servers on one database: what one process can keep apart in its memory, two
//! can't. Who wins is computed beforehand, and overlaps are looked for in the replies, not asked of the server.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    process::Command,
    sync::Arc,
};

use ipam_shared::cidr::Cidr;
use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::client::{Client, Reply};

const ALLOCATIONS: &str = "/api/v1/allocations";

/// Two servers on one database.
struct Pair {
    database: TestDatabase,
    servers: [TestServer; 2],
}

impl Pair {
    async fn start() -> Self {
        let database = TestDatabase::new().await;
        // One after the other, since the first brings the schema up to date.
        let first = TestServer::start(&database).await;
        let second = TestServer::start(&database).await;
        Self {
            database,
            servers: [first, second],
        }
    }

    /// A client of one of the two, by turns.
    async fn client(&self, number: usize) -> Client {
        let server = &self.servers[number % 2];
        Client::connect(server.address())
            .await
            .expect("the server listens")
    }

    /// Runs one task per client, and answers what each came to.
    async fn clients<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        count: usize,
        task: impl Fn(usize, Client) -> F,
    ) -> Vec<T> {
        let mut tasks = Vec::new();
        for number in 0..count {
            tasks.push(tokio::spawn(task(number, self.client(number).await)));
        }
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.expect("no client panics"));
        }
        results
    }

    async fn count(&self, sql: &str) -> i64 {
        let mut db = self.database.connect().await;
        sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_one(&mut db)
            .await
            .expect("the statement is valid")
    }

    /// `ipam verify` finds nothing, nothing waited for each other in a circle, and nothing failed.
    async fn check(&self) {
        let output = Command::new(env!("CARGO_BIN_EXE_ipam"))
            .args(["verify", "--database-url", &self.database.url()])
            .output()
            .expect("ipam can be run");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("all is well"),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            self.count("select deadlocks from pg_stat_database where datname = current_database()")
                .await,
            0
        );
        for server in &self.servers {
            let log = server.log();
            assert!(
                !log.contains("internal error") && !log.contains("panicked"),
                "{log}"
            );
        }
    }
}

/// The blocks of an allocation: two, the second 32 times as large as the first.
fn blocks(allocation: &Value) -> [Cidr; 2] {
    let cidr = |index: usize| -> Cidr {
        allocation["blocks"][index]["cidr"]
            .as_str()
            .expect("a CIDR")
            .parse()
            .expect("a CIDR")
    };
    let pair = [cidr(0), cidr(1)];
    assert_eq!(
        pair[0].prefix_length() - 5,
        pair[1].prefix_length(),
        "{allocation}"
    );
    assert_eq!(allocation["blocks"].as_array().map(Vec::len), Some(2));
    pair
}

/// None of these networks overlaps another.
fn assert_disjoint(mut networks: Vec<Cidr>) {
    networks.sort_unstable_by_key(|network| (network.number(), network.prefix_length()));
    for pair in networks.windows(2) {
        assert!(!pair[0].overlaps(pair[1]), "{} and {}", pair[0], pair[1]);
    }
}

/// Asks for these lengths by turns, for each until it is exhausted; what was won, and how often it was exhausted.
async fn fill(
    mut client: Client,
    vpc: String,
    scarce: &str,
    mut lengths: Vec<u8>,
) -> (Vec<[Cidr; 2]>, usize) {
    let (mut won, mut lost, mut turn) = (Vec::new(), 0, 0);
    while !lengths.is_empty() {
        turn = (turn + 1) % lengths.len();
        let length = lengths[turn];
        let body = json!({"vpc": vpc, "prefix_length": length});
        let reply = client.post(ALLOCATIONS, &body).await.expect("an answer");
        match (reply.status, reply.json["code"].as_str()) {
            (201, _) => won.push(blocks(&reply.json)),
            (409, Some("pool_exhausted")) => {
                assert_eq!(reply.headers["content-type"], "application/problem+json");
                let left = &reply.json["details"]["pools"][0];
                let length = if left["pool"] == "cgnat" {
                    length - 5
                } else {
                    length
                };
                assert_eq!(left["prefix_length"], length, "{left}");
                assert_eq!(left["pool"], scarce, "{left}");
                // Nothing of that size or larger is left.
                assert!(
                    left["largest_free_prefix_length"]
                        .as_u64()
                        .is_none_or(|largest| largest > length.into()),
                    "{left}"
                );
                lost += 1;
                lengths.remove(turn);
            }
            _ => panic!("{}: {}", reply.status, reply.json),
        }
    }
    (won, lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_256_blocks_has_256_winners() {
    let pair = Pair::start().await;
    let results = pair
        .clients(32, |number, client| {
            fill(client, format!("vpc {}", number % 5), "primary", vec![24])
        })
        .await;
    let lost: usize = results.iter().map(|(_, lost)| lost).sum();
    let won: Vec<_> = results.into_iter().flat_map(|(won, _)| won).collect();
    assert_eq!((won.len(), lost), (256, 32), "10.0.0.0/16 has 256 /24");
    for side in [0, 1] {
        assert_disjoint(won.iter().map(|blocks| blocks[side]).collect());
    }
    assert_eq!(pair.count("select count(*) from block").await, 512);
    assert_eq!(
        pair.count("select count(*) from event where action = 'allocation.create'")
            .await,
        256
    );
    assert_eq!(pair.count("select count(*) from vpc").await, 5);
    pair.check().await;
}

/// All sizes by turns, each client beginning with another one. Every length is asked for until it is exhausted, and when
/// no /26 is left, nothing is: all blocks are at least that large.
async fn fill_with_a_mix(pair: &Pair, scarce: &'static str, addresses: [u128; 2]) {
    let mix = |number: usize| {
        (0..7)
            .map(|step| [20, 23, 26, 22, 25, 21, 24][(step + number) % 7])
            .collect()
    };
    let results = pair
        .clients(32, |number, client| {
            fill(client, format!("vpc {number}"), scarce, mix(number))
        })
        .await;
    assert!(
        results.iter().all(|(_, lost)| *lost == 7),
        "each length was exhausted once for each client"
    );
    let won: Vec<_> = results.into_iter().flat_map(|(won, _)| won).collect();
    for (side, total) in addresses.into_iter().enumerate() {
        let sum: u128 = won.iter().map(|blocks| blocks[side].addresses()).sum();
        assert_eq!(sum, total);
        assert_disjoint(won.iter().map(|blocks| blocks[side]).collect());
    }
    let lengths: BTreeSet<_> = won.iter().map(|blocks| blocks[0].prefix_length()).collect();
    assert!(lengths.len() >= 5, "{lengths:?}: that is no mix");
    pair.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragmenting_mix_of_sizes_fills_the_pool_to_the_last_address() {
    let pair = Pair::start().await;
    fill_with_a_mix(&pair, "primary", [1 << 16, 32 << 16]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_second_pool_is_the_scarce_one_the_first_loses_nothing() {
    let pair = Pair::start().await;
    let mut db = pair.database.connect().await;
    for sql in [
        "delete from pool_range where cidr = '100.64.0.0/10'",
        "insert into pool_range (pool_id, vrf_id, family, cidr)
            select pool_id, vrf_id, 4, '100.64.0.0/12' from pool where name = 'cgnat'",
    ] {
        sqlx::query(sql).execute(&mut db).await.unwrap();
    }
    // What is taken from the first pool for a request that then fails has to go back, also when the request shares its
    // transaction with others that succeed.
    fill_with_a_mix(&pair, "cgnat", [(1 << 20) / 32, 1 << 20]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_who_want_one_explicit_block_one_gets_it() {
    let pair = Pair::start().await;
    // 64 blocks, wanted by 16 clients each, and the areas around them.
    let results = pair
        .clients(16, |number, mut client| async move {
            let mut won = Vec::new();
            for step in 0..80 {
                let place = (step * 7 + number * 3) % 80;
                let cidr = if place < 64 {
                    format!("10.0.{}.0/22", place * 4)
                } else {
                    format!("10.0.{}.0/20", (place - 64) * 16)
                };
                let reply = client
                    .post(ALLOCATIONS, &json!({"vpc": "a", "cidr": cidr}))
                    .await
                    .expect("an answer");
                match (reply.status, reply.json["code"].as_str()) {
                    (201, _) => {
                        assert_eq!(reply.json["cidr"], cidr);
                        won.push(blocks(&reply.json));
                    }
                    (409, Some("overlap")) => {}
                    _ => panic!("{}: {}", reply.status, reply.json),
                }
            }
            won
        })
        .await;
    let won: Vec<_> = results.into_iter().flatten().collect();
    for side in [0, 1] {
        assert_disjoint(won.iter().map(|blocks| blocks[side]).collect());
    }
    // Every address was wanted by somebody who could have had it.
    assert_eq!(
        won.iter().map(|blocks| blocks[0].addresses()).sum::<u128>(),
        1 << 16
    );
    pair.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_for_one_name_makes_one_allocation() {
    let pair = Pair::start().await;
    for round in 0..3 {
        let replies: Vec<Reply> = pair
            .clients(64, move |number, mut client| async move {
                let vpc = if number % 3 == 0 {
                    format!("VPC {round}")
                } else {
                    format!("vpc {round}")
                };
                client
                    .post(
                        ALLOCATIONS,
                        &json!({"vpc": vpc, "name": "web", "hosts": 200}),
                    )
                    .await
                    .expect("an answer")
            })
            .await;
        let made = replies.iter().filter(|reply| reply.status == 201).count();
        assert_eq!(
            made,
            1,
            "{:?}",
            replies.iter().map(|reply| reply.status).collect::<Vec<_>>()
        );
        let ids: HashSet<_> = replies
            .iter()
            .map(|reply| reply.json["id"].as_str().unwrap())
            .collect();
        let claims: HashSet<_> = replies
            .iter()
            .map(|reply| reply.json["claim"].as_str().unwrap())
            .collect();
        assert_eq!(
            (ids.len(), claims.len()),
            (1, 64),
            "one allocation, and a claim of its own for each who asked"
        );
        assert_eq!(
            pair.count("select count(*) from allocation").await,
            round + 1
        );
        assert_eq!(pair.count("select count(*) from vpc").await, round + 1);
    }
    pair.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_use_of_a_vpc_makes_it_once() {
    let pair = Pair::start().await;
    for round in 0..3 {
        let replies: Vec<Reply> = pair
            .clients(32, move |number, mut client| async move {
                let vpc = if number % 2 == 0 {
                    format!("Prod {round}")
                } else {
                    format!("PROD {round}")
                };
                client
                    .post(
                        ALLOCATIONS,
                        &json!({"vpc": vpc, "name": format!("n{number}"), "prefix_length": 26}),
                    )
                    .await
                    .expect("an answer")
            })
            .await;
        for reply in &replies {
            assert_eq!(reply.status, 201, "{}", reply.json);
            assert_eq!(reply.json["vpc_id"], replies[0].json["vpc_id"]);
        }
        assert_eq!(pair.count("select count(*) from vpc").await, round + 1);
        assert_eq!(
            pair.count("select count(*) from event where action = 'vpc.create'")
                .await,
            round + 1
        );
    }
    pair.check().await;
}

/// A small generator of numbers, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }
}

/// Does something to the allocation at path `some`, if there is one, or to the VPC; says what.
async fn anything(
    client: &mut Client,
    dice: &mut Dice,
    step: usize,
    vpc: &str,
    some: &str,
) -> (&'static str, Reply) {
    let (kind, reply) = match dice.roll(20) {
        0..=8 => {
            let length = 21 + dice.roll(6);
            let mut body = json!({"vpc": vpc, "prefix_length": length});
            if dice.roll(2) == 0 {
                body["name"] = json!(format!("n{}", dice.roll(12)));
            }
            ("allocate", client.post(ALLOCATIONS, &body).await)
        }
        9..=12 if !some.is_empty() => (
            "release",
            client.send("DELETE", some, &[], &Value::Null).await,
        ),
        13..=16 if !some.is_empty() => (
            "move",
            client.send("PATCH", some, &[], &json!({"vpc": vpc})).await,
        ),
        17 if !some.is_empty() => (
            "change",
            client
                .send(
                    "PATCH",
                    some,
                    &[],
                    &json!({"description": format!("{step}")}),
                )
                .await,
        ),
        18 => (
            "delete vpc",
            client
                .send(
                    "DELETE",
                    &format!("/api/v1/vpcs/{vpc}?cascade=true"),
                    &[],
                    &Value::Null,
                )
                .await,
        ),
        _ => (
            "list",
            client.get(&format!("{ALLOCATIONS}?vpc={vpc}")).await,
        ),
    };
    (kind, reply.expect("an answer"))
}

/// How that may be answered while others do the same.
fn allowed(kind: &str) -> &'static [u16] {
    match kind {
        "allocate" => &[200, 201, 409],
        "release" => &[204, 410],
        "move" => &[200, 409, 410],
        "change" => &[200, 410],
        // By name, a VPC that was deleted is not known any more; behind its lock it is known to be gone.
        "delete vpc" => &[200, 404, 410],
        "list" => &[200, 404],
        _ => &[200],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_and_goes_nothing_is_lost_and_nobody_waits_in_a_circle() {
    let pair = Pair::start().await;
    let live: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let results = pair
        .clients(16, |number, mut client| {
            let live = Arc::clone(&live);
            async move {
                let mut dice = Dice(u64::try_from(number).expect("small") + 1);
                let mut outcomes: BTreeMap<(&str, u16), usize> = BTreeMap::new();
                for step in 0..60 {
                    let vpc = format!("v{}", dice.roll(4));
                    let some = {
                        let live = live.lock().expect("no panic");
                        let place = dice.roll(live.len().max(1));
                        live.get(place)
                            .map_or_else(String::new, |id| format!("{ALLOCATIONS}/{id}"))
                    };
                    let (kind, reply) = anything(&mut client, &mut dice, step, &vpc, &some).await;
                    assert!(
                        allowed(kind).contains(&reply.status),
                        "{kind}: {} {}",
                        reply.status,
                        reply.json
                    );
                    if reply.status == 201 {
                        live.lock()
                            .expect("no panic")
                            .push(reply.json["id"].as_str().expect("an id").to_owned());
                    }
                    // What is known to be gone is not asked for for ever, else little is left to change.
                    if matches!(reply.status, 204 | 410) {
                        live.lock()
                            .expect("no panic")
                            .retain(|id| !some.ends_with(id));
                    }
                    *outcomes.entry((kind, reply.status)).or_default() += 1;
                }
                outcomes
            }
        })
        .await;
    let mut outcomes: BTreeMap<_, usize> = BTreeMap::new();
    for (outcome, count) in results.into_iter().flatten() {
        *outcomes.entry(outcome).or_default() += count;
    }
    for kind in [
        ("allocate", 201),
        ("release", 204),
        ("move", 200),
        ("delete vpc", 200),
        ("change", 200),
    ] {
        assert!(
            outcomes.get(&kind).is_some_and(|count| *count >= 5),
            "too little happened: {outcomes:?}"
        );
    }
    // Each that was made is there or has been released, once.
    let (made, released, there) = (
        pair.count("select count(*) from event where action = 'allocation.create'")
            .await,
        pair.count("select count(distinct subject) from event where action = 'allocation.release'")
            .await,
        pair.count("select count(*) from allocation").await,
    );
    assert_eq!(made, released + there);
    assert_eq!(
        released,
        pair.count("select count(*) from event where action = 'allocation.release'")
            .await
    );
    pair.check().await;
}
