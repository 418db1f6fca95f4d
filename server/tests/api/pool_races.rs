//! Changes of pools while others change them or allocate from them: everybody gets an answer that is true, and nothing is
//! given away twice.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, RESERVATIONS, cidrs, path};

fn pool_path(pool: &Value) -> String {
    format!("{POOLS}/{}", pool["id"].as_str().expect("an id"))
}

/// A pool of /22, 16 of its smallest blocks; the pod ranges have room for more.
async fn small(api: &Api) -> String {
    let primary = api.get(&format!("{POOLS}/primary")).await.ok(200);
    let path = pool_path(&primary);
    api.patch(&path, &json!({"ranges": ["10.0.0.0/22"]}))
        .await
        .ok(200);
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_overlapping_ranges_at_the_same_moment_one_wins() {
    let api = Arc::new(Api::with_connections(8).await);
    for round in 0_u8..12 {
        let mut tasks = Vec::new();
        for client in 0_u8..8 {
            let api = Arc::clone(&api);
            // Equal, larger and smaller ones: all of them contain the address 11.round.0.0.
            let cidr = format!("11.{round}.0.0/{}", 16 + client % 4);
            tasks.push(tokio::spawn(async move {
                let body = json!({"name": format!("p{round} {client}"), "ranges": [cidr]});
                api.post(POOLS, &body).await
            }));
        }
        let mut won = 0;
        let mut lost = Vec::new();
        for task in tasks {
            let reply = task.await.unwrap();
            match reply.status {
                201 => won += 1,
                _ => lost.push(reply),
            }
        }
        assert_eq!((won, lost.len()), (1, 7));
        for reply in lost {
            let (detail, details) = reply.problem(409, "overlap");
            assert!(
                detail.contains(&format!("of pool \"p{round} "))
                    && !details["conflicts"].as_array().unwrap().is_empty(),
                "{detail}"
            );
        }
    }
    api.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_added_while_clients_allocate_until_the_pool_is_full() {
    const RANGES: u32 = 6;
    let api = Arc::new(Api::with_connections(12).await);
    let pool = small(&api).await;
    let complete = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for client in 0..16 {
        let (api, complete) = (Arc::clone(&api), Arc::clone(&complete));
        clients.push(tokio::spawn(async move {
            let (mut blocks, mut full) = (Vec::new(), 0);
            loop {
                // Once a request that began after the last range came finds nothing, nothing is left.
                let last = complete.load(Ordering::SeqCst);
                let body = json!({"vpc": format!("c{client}"), "prefix_length": 26});
                let reply = api.post(ALLOCATIONS, &body).await;
                if reply.status == 201 {
                    blocks.push(cidrs(&reply.json)[0].to_owned());
                    continue;
                }
                reply.problem(409, "pool_exhausted");
                full += 1;
                if last {
                    return (blocks, full);
                }
                tokio::task::yield_now().await;
            }
        }));
    }
    let mut ranges = vec!["10.0.0.0/22".to_owned()];
    for index in 1..=RANGES {
        ranges.push(format!("10.0.{}.0/22", index * 8));
        let changed = api.patch(&pool, &json!({"ranges": ranges})).await.ok(200);
        assert_eq!(changed["ranges"].as_array().unwrap().len(), ranges.len());
    }
    complete.store(true, Ordering::SeqCst);
    let (mut blocks, mut full) = (Vec::new(), 0);
    for client in clients {
        let (some, times) = client.await.unwrap();
        blocks.extend(some);
        full += times;
    }
    let distinct: BTreeSet<_> = blocks.iter().collect();
    assert_eq!(distinct.len(), blocks.len(), "a block was given twice");
    assert_eq!(blocks.len(), 16 * (RANGES as usize + 1));
    assert!(full >= 16);
    let pool = api.get(&pool).await.ok(200);
    assert_eq!(
        (&pool["free"], &pool["utilisation"]),
        (&json!([]), &json!(1.0))
    );
    api.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_removed_while_clients_allocate() {
    let api = Arc::new(Api::with_connections(12).await);
    let pool = small(&api).await;
    let done = Arc::new(AtomicBool::new(false));
    let allocated = Arc::new(AtomicU32::new(0));
    let mut clients = Vec::new();
    for client in 0..8 {
        let (api, done, allocated) = (Arc::clone(&api), Arc::clone(&done), Arc::clone(&allocated));
        clients.push(tokio::spawn(async move {
            while !done.load(Ordering::SeqCst) {
                // Three of four /24 are left for eight clients, so that both ranges are wanted.
                let body = json!({"vpc": format!("c{client}"), "prefix_length": 24 + client % 2});
                let reply = api.post(ALLOCATIONS, &body).await;
                if reply.status == 201 {
                    allocated.fetch_add(1, Ordering::Relaxed);
                    api.delete(&path(&reply.json)).await.ok(204);
                } else {
                    reply.problem(409, "pool_exhausted");
                }
            }
        }));
    }
    // Who names a network of the range that comes and goes hears that it is taken, or that it is not there.
    let mut named = Vec::new();
    for client in 0..2 {
        let (api, done) = (Arc::clone(&api), Arc::clone(&done));
        named.push(tokio::spawn(async move {
            let (mut had, mut outside) = (0, 0);
            while !done.load(Ordering::SeqCst) {
                let body = json!({"vpc": format!("n{client}"), "cidr": format!("10.0.8.{}/26", client * 64)});
                let reply = api.post(ALLOCATIONS, &body).await;
                match reply.status {
                    201 => {
                        had += 1;
                        api.delete(&path(&reply.json)).await.ok(204);
                    }
                    409 => _ = reply.problem(409, "overlap"),
                    _ => {
                        outside += 1;
                        reply.problem(400, "invalid_request");
                    }
                }
            }
            (had, outside)
        }));
    }
    let (mut removed, mut refused) = (0, 0);
    for round in 0.. {
        let wide = json!({"ranges": ["10.0.0.0/22", "10.0.8.0/24"]});
        api.patch(&pool, &wide).await.ok(200);
        let reply = api.patch(&pool, &json!({"ranges": ["10.0.0.0/22"]})).await;
        match reply.status {
            200 => removed += 1,
            _ => {
                let (detail, _) = reply.problem(409, "in_use");
                assert!(detail.contains("the range 10.0.8.0/24"), "{detail}");
                refused += 1;
            }
        }
        if round >= 40 && removed > 0 && refused > 0 || round >= 400 {
            break;
        }
    }
    done.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    for client in named {
        let (had, outside) = client.await.unwrap();
        println!("named: {had} times had, {outside} times outside");
    }
    let allocated = allocated.load(Ordering::Relaxed);
    assert!(
        removed > 0 && refused > 0 && allocated > 20,
        "{removed} removed, {refused} refused, {allocated} allocated: that tests nothing"
    );
    api.patch(&pool, &json!({"ranges": ["10.0.0.0/22"]}))
        .await
        .ok(200);
    assert_eq!(api.count("select count(*) from block").await, 0);
    api.verify().await;
}

/// Parents and children are changed from all sides, while others allocate from the root: nobody waits for ever, and
/// nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parents_and_children_change_at_the_same_moment() {
    let api = Arc::new(Api::with_connections(12).await);
    let mut tasks = Vec::new();
    for client in 0..6_u32 {
        let api = Arc::clone(&api);
        tasks.push(tokio::spawn(async move {
            let mut statuses = Vec::new();
            for round in 0..12 {
                let name = format!("c{client} {round}");
                let body = json!({"name": name, "parent": "primary", "range_prefix_lengths": [22, 24]});
                let child = api.post(POOLS, &body).await.ok(201);
                let body = json!({"name": format!("{name} inner"), "parent": child["id"], "range_prefix_lengths": [25]});
                let inner = api.post(POOLS, &body).await.ok(201);
                let node = api
                    .allocate(json!({"vpc": format!("v{client}"), "prefix_length": 26}))
                    .await;
                let grown = api
                    .patch(
                        &pool_path(&child),
                        &json!({"add_range_prefix_lengths": [26]}),
                    )
                    .await
                    .ok(200);
                assert_eq!(grown["ranges"].as_array().unwrap().len(), 3);
                let reply = api.delete(&pool_path(&child)).await;
                reply.problem(409, "in_use");
                api.delete(&pool_path(&inner)).await.ok(204);
                api.delete(&path(&node)).await.ok(204);
                statuses.push(api.delete(&pool_path(&child)).await.status);
            }
            statuses
        }));
    }
    for task in tasks {
        assert!(task.await.unwrap().iter().all(|status| *status == 204));
    }
    let primary = api.get(&format!("{POOLS}/primary")).await.ok(200);
    assert_eq!(primary["free"], json!([{"prefix_length": 16, "count": 1}]));
    assert_eq!(api.count("select count(*) from block").await, 0);
    api.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_and_a_reservation_at_the_same_moment_know_of_each_other() {
    let api = Arc::new(Api::with_connections(8).await);
    let (mut before, mut after) = (0, 0);
    for round in 0..16 {
        let inside = json!({"cidr": format!("12.{round}.3.0/24"), "reason": "inside"});
        let around = json!({"cidr": format!("13.{round}.0.0/16"), "reason": "around"});
        let wide = json!({"name": format!("a{round}"), "ranges": [format!("12.{round}.0.0/16")]});
        let narrow = json!({"name": format!("b{round}"), "ranges": [format!("13.{round}.7.0/24")]});
        let send = |path: &'static str, body: Value| {
            let api = Arc::clone(&api);
            tokio::spawn(async move { api.post(path, &body).await })
        };
        let (one, other, third, fourth) = tokio::join!(
            send(RESERVATIONS, inside),
            send(POOLS, wide),
            send(POOLS, narrow),
            send(RESERVATIONS, around)
        );
        // Whichever came first, the reservation is kept out of the range.
        one.unwrap().ok(201);
        let pool = other.unwrap().ok(201);
        let pool = api.get(&pool_path(&pool)).await.ok(200);
        assert_eq!(pool["used_addresses"], 256);
        fourth.unwrap().ok(201);
        // And a range inside a reservation is refused, or was there before and has nothing left.
        let third = third.unwrap();
        if third.status == 201 {
            before += 1;
            let pool = api.get(&pool_path(&third.json)).await.ok(200);
            assert_eq!(pool["free"], json!([]));
        } else {
            after += 1;
            let (detail, _) = third.problem(409, "overlap");
            assert!(detail.contains("is reserved (around)"), "{detail}");
        }
    }
    println!("{before} ranges before, {after} after");
    api.verify().await;
}
