//! Several requests at once.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Api, POOLS, cidrs, path};

const BATCH: &str = "/api/v1/allocations/batch";

fn asks(count: usize) -> Vec<Value> {
    (0..count)
        .map(|number| json!({"vpc": format!("v{}", number % 3), "name": format!("n{number}"), "hosts": 50}))
        .collect()
}

#[tokio::test]
async fn all_get_what_they_ask_for_and_a_repeated_batch_gets_the_same() {
    let api = Api::start().await;
    let mut requests = asks(20);
    requests.push(json!({"vpc": "v0", "cidr": "10.0.8.0/24"}));
    requests.push(json!({"vpc": "new", "pools": ["primary"], "prefix_length": 24}));
    let body = json!({"requests": requests});
    let key = [("idempotency-key", "k")];
    let first = api.with("POST", BATCH, &key, &body).await.ok(200);
    assert_eq!(first["succeeded"], 22);
    let results = first["results"].as_array().unwrap();
    assert!(
        results.iter().all(|result| result["status"] == 201),
        "{first}"
    );
    assert_eq!(cidrs(&results[20]["allocation"])[0], "10.0.8.0/24");
    assert_eq!(results[21]["allocation"]["profile"], Value::Null);
    let again = api.with("POST", BATCH, &key, &body).await.ok(200);
    for (one, other) in results.iter().zip(again["results"].as_array().unwrap()) {
        assert_eq!(other["status"], 200);
        assert_eq!(one["allocation"]["id"], other["allocation"]["id"]);
    }
    assert_eq!(api.events("allocation.create").await, 22);
    api.verify().await;
}

#[tokio::test]
async fn one_that_cannot_be_met_undoes_all_and_every_one_is_named() {
    let api = Api::start().await;
    api.post(POOLS, &json!({"name": "tiny", "ranges": ["10.9.0.0/30"]}))
        .await
        .ok(201);
    let taken = api
        .allocate(json!({"vpc": "x", "cidr": "10.0.0.0/24"}))
        .await;
    let before = api.state().await;
    let mut requests = asks(5);
    requests[1] = json!({"vpc": "a", "cidr": "10.0.0.0/25"});
    requests[3] = json!({"vpc": "a", "pools": ["tiny"], "prefix_length": 29});
    requests.push(json!({"vpc": "a", "pools": ["tiny"], "prefix_length": 30}));
    requests.push(json!({"vpc": "a", "pools": ["tiny"], "prefix_length": 31}));
    let reply = api.post(BATCH, &json!({"requests": requests})).await;
    let (detail, details) = reply.problem(409, "overlap");
    assert!(
        detail.starts_with("request 1 of 7 (counted from 0): 10.0.0.0/25 is not free"),
        "{detail}"
    );
    let refused: Vec<_> = details["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["request"], &one["problem"]["code"]))
        .collect();
    assert_eq!(
        refused,
        [
            (&json!(1), &json!("overlap")),
            (&json!(3), &json!("pool_exhausted")),
            (&json!(6), &json!("pool_exhausted"))
        ]
    );
    assert_eq!(api.state().await, before);
    // Each for itself, the others get theirs.
    let each = api
        .post(BATCH, &json!({"atomic": false, "requests": requests}))
        .await
        .ok(200);
    assert_eq!(each["succeeded"], 4);
    assert_eq!(each["results"][1]["problem"]["code"], "overlap");
    assert_eq!(each["results"][1]["status"], 409);
    assert_eq!(each["results"][2]["status"], 201);
    assert!(api.get(&path(&taken)).await.status == 200);
    api.verify().await;
}

#[tokio::test]
async fn a_dry_run_says_exactly_what_the_batch_gets() {
    let api = Api::start().await;
    let mut requests = asks(30);
    for (number, request) in requests.iter_mut().enumerate() {
        request["hosts"] = json!(20 + 37 * number);
    }
    let before = api.state().await;
    let dry = api
        .post(BATCH, &json!({"dry_run": true, "requests": requests}))
        .await
        .ok(200);
    assert_eq!(api.state().await, before);
    let real = api
        .post(BATCH, &json!({"requests": requests}))
        .await
        .ok(200);
    let places = |batch: &Value| -> Vec<Value> {
        batch["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|result| result["allocation"]["blocks"].clone())
            .collect()
    };
    assert_eq!(places(&dry), places(&real));
    api.verify().await;
}

#[tokio::test]
async fn nonsense_is_refused_as_a_whole() {
    let api = Api::start().await;
    let before = api.state().await;
    for body in [
        json!({"requests": []}),
        json!({"requests": vec![json!({"vpc": "a", "hosts": 1}); 1001]}),
        json!({"requests": [{"vpc": "a", "name": "n", "hosts": 1}, {"vpc": "A", "name": "n", "hosts": 2}]}),
        json!({"requests": [{"vpc": "a", "hosts": 1, "dry_run": true}]}),
        json!({"requests": [{"vpc": "a"}, {"vpc": "b", "hosts": 1}]}),
        json!({"requests": [{"vpc": "a", "hosts": 1}], "atomc": true}),
    ] {
        api.post(BATCH, &body).await.problem(400, "invalid_request");
    }
    assert_eq!(api.state().await, before);
}

#[tokio::test]
async fn batches_against_each_other_fill_the_pool_exactly() {
    let api = Api::with_connections(8).await;
    // 1024 /26 in 10.0.0.0/16; batches of 100, all or nothing, and single requests between them.
    let batches = join_all((0..12).map(|batch| {
        let requests: Vec<_> = (0..100)
            .map(|number| json!({"vpc": "a", "name": format!("{batch}-{number}"), "hosts": 50}))
            .collect();
        let api = &api;
        async move { api.post(BATCH, &json!({"requests": requests})).await.status }
    }));
    let singles = join_all((0..10).map(|_| async {
        api.post(
            crate::support::ALLOCATIONS,
            &json!({"vpc": "b", "hosts": 50}),
        )
        .await
        .status
    }));
    let (batches, singles) = futures::join!(batches, singles);
    assert_eq!(singles, [201; 10]);
    assert_eq!(batches.iter().filter(|status| **status == 200).count(), 10);
    assert_eq!(batches.iter().filter(|status| **status == 409).count(), 2);
    assert_eq!(api.count("select count(*) from allocation").await, 1010);
    api.verify().await;
}

#[tokio::test]
async fn of_two_requests_of_a_batch_for_one_network_the_second_is_refused() {
    let api = Api::start().await;
    let before = api.state().await;
    let requests = json!([
        {"vpc": "a", "pools": ["primary"], "cidr": "10.0.0.0/24"},
        {"vpc": "b", "pools": ["primary"], "cidr": "10.0.0.128/25"},
    ]);
    for dry_run in [true, false] {
        let body = json!({"requests": requests, "dry_run": dry_run});
        let reply = api.post(BATCH, &body).await;
        let (detail, _) = reply.problem(409, "overlap");
        assert!(
            detail.starts_with("request 1 of 2 (counted from 0): 10.0.0.128/25 is not free"),
            "{detail}"
        );
    }
    assert_eq!(api.state().await, before);
}
