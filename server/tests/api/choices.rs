//! Where a block is cut from: lists of pools, labels, strategies, networks to keep away from, required labels, VRFs.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, PROFILES, VRFS, cidrs};

/// Makes a pool of one range.
async fn pool(api: &Api, name: &str, range: &str, more: Value) -> Value {
    let mut body = json!({"name": name, "ranges": [range]});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    api.post(POOLS, &body).await.ok(201)
}

/// The pool and the CIDR of an allocation from pools.
fn place(allocation: &Value) -> (&str, &str) {
    let blocks = allocation["blocks"].as_array().expect("blocks");
    assert_eq!(blocks.len(), 1, "{allocation}");
    assert_eq!(blocks[0]["role"], "main");
    (
        blocks[0]["pool"].as_str().expect("a pool"),
        blocks[0]["cidr"].as_str().expect("a CIDR"),
    )
}

#[tokio::test]
async fn of_a_list_of_pools_the_first_that_has_room_is_taken() {
    let api = Api::start().await;
    pool(&api, "small", "192.168.0.0/28", json!({})).await;
    let big = pool(&api, "big", "192.168.8.0/24", json!({})).await;
    let ask = |name: &str, length: u8| json!({"vpc": "a", "name": name, "pools": ["small", big["id"]], "prefix_length": length});
    let first = api.allocate(ask("one", 29)).await;
    assert_eq!(place(&first), ("small", "192.168.0.0/29"));
    assert_eq!(first["profile"], Value::Null);
    assert_eq!(first["requested_pools"], json!(["small", big["id"]]));
    // Too large for the first, whatever is free in it.
    let second = api.allocate(ask("two", 25)).await;
    assert_eq!(place(&second), ("big", "192.168.8.0/25"));
    let third = api.allocate(ask("three", 29)).await;
    assert_eq!(place(&third), ("small", "192.168.0.8/29"));
    let fourth = api.allocate(ask("four", 29)).await;
    assert_eq!(place(&fourth), ("big", "192.168.8.128/29"));
    // The same request answers the same; another order of pools is another request.
    let again = api.post(ALLOCATIONS, &ask("one", 29)).await.ok(200);
    assert_eq!(again["id"], first["id"]);
    let other =
        json!({"vpc": "a", "name": "one", "pools": [big["id"], "small"], "prefix_length": 29});
    let reply = api.post(ALLOCATIONS, &other).await;
    let (detail, _) = reply.problem(409, "name_taken");
    assert!(detail.contains("from the pools small"), "{detail}");
    // A dry run says the same.
    let mut dry = ask("five", 29);
    dry["dry_run"] = json!(true);
    let dry = api.post(ALLOCATIONS, &dry).await.ok(200);
    let fifth = api.allocate(ask("five", 29)).await;
    assert_eq!(place(&dry), place(&fifth));
    // None has room: each says what is left of it.
    let reply = api.post(ALLOCATIONS, &ask("six", 24)).await;
    let (_, details) = reply.problem(409, "pool_exhausted");
    let pools = details["pools"].as_array().unwrap();
    assert_eq!(pools[0]["pool"], "small", "{details}");
    assert_eq!(pools[1]["pool"], "big", "{details}");
    assert_eq!(pools[1]["largest_free_prefix_length"], 26);
    api.verify().await;
}

#[tokio::test]
async fn many_clients_fill_a_list_of_pools_to_the_last_block_in_order() {
    let api = Api::with_connections(8).await;
    for number in 0..6 {
        pool(
            &api,
            &format!("p{number}"),
            &format!("192.168.{number}.0/26"),
            json!({"labels": {"tier": "x"}}),
        )
        .await;
    }
    // 6 pools of 4 blocks each, asked for by list and by label at once.
    let list: Vec<_> = (0..6).map(|number| format!("p{number}")).collect();
    let replies = join_all((0..30).map(|number| {
        let mut ask = json!({"vpc": "a", "prefix_length": 28});
        if number % 2 == 0 {
            ask["pools"] = json!(list);
        } else {
            ask["pool_selector"] = json!({"tier": "x"});
        }
        let api = &api;
        async move { api.post(ALLOCATIONS, &ask).await }
    }))
    .await;
    let mut made: Vec<_> = replies
        .iter()
        .filter(|reply| reply.status == 201)
        .map(|reply| place(&reply.json).1.to_owned())
        .collect();
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 24);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        let (_, details) = reply.problem(409, "pool_exhausted");
        assert_eq!(details["pools"].as_array().unwrap().len(), 6);
    }
    api.verify().await;
}

#[tokio::test]
async fn pools_are_selected_by_all_of_the_labels_in_the_vrf_before_default() {
    let api = Api::start().await;
    api.post(VRFS, &json!({"name": "dev"})).await.ok(201);
    let labels = |tier: &str| json!({"labels": {"tier": tier, "region": "eu"}});
    pool(&api, "b", "192.168.0.0/24", labels("gold")).await;
    pool(&api, "a", "192.168.1.0/24", labels("silver")).await;
    let mut own = labels("gold");
    own["vrf"] = json!("dev");
    pool(&api, "z", "192.168.0.0/24", own).await;
    let ask = |vpc: &str, selector: Value| json!({"vpc": vpc, "pool_selector": selector, "prefix_length": 25});
    let made = api.allocate(ask("prod", json!({"region": "eu"}))).await;
    assert_eq!(place(&made), ("a", "192.168.1.0/25"));
    let made = api
        .allocate(ask("prod", json!({"region": "eu", "tier": "gold"})))
        .await;
    assert_eq!(place(&made), ("b", "192.168.0.0/25"));
    // The same CIDR, in the VRF of its own.
    let mut first = ask("dev vpc", json!({"tier": "gold"}));
    first["vrf"] = json!("dev");
    let made = api.allocate(first.clone()).await;
    assert_eq!(place(&made), ("z", "192.168.0.0/25"));
    assert_eq!(made["vrf"], "dev");
    // From now on its VRF is known without saying.
    api.allocate(ask("DEV vpc", json!({"tier": "gold"}))).await;
    let made = api.allocate(ask("dev vpc", json!({"tier": "gold"}))).await;
    assert_eq!(
        place(&made),
        ("b", "192.168.0.128/25"),
        "its own is full, that of default is not"
    );
    first["vrf"] = json!("default");
    let reply = api.post(ALLOCATIONS, &first).await;
    let (detail, _) = reply.problem(400, "invalid_request");
    assert!(detail.contains("is in VRF \"dev\""), "{detail}");
    let reply = api
        .post(ALLOCATIONS, &ask("prod", json!({"tier": "lead"})))
        .await;
    reply.problem(404, "not_found");
    first["vrf"] = json!("nowhere");
    api.post(ALLOCATIONS, &first)
        .await
        .problem(404, "not_found");
    for wrong in [
        json!({"vpc": "x", "pool_selector": {}, "hosts": 1}),
        json!({"vpc": "x", "pools": [], "hosts": 1}),
        json!({"vpc": "x", "pools": ["a"], "profile": "node-pod", "hosts": 1}),
        json!({"vpc": "x", "pools": ["a"], "pool_selector": {"a": "b"}, "hosts": 1}),
        json!({"vpc": "x", "pools": ["a"]}),
        json!({"vpc": "x"}),
    ] {
        api.post(ALLOCATIONS, &wrong)
            .await
            .problem(400, "invalid_request");
    }
    api.verify().await;
}

#[tokio::test]
async fn each_strategy_chooses_its_own_place() {
    let api = Api::start().await;
    for (strategy, expected) in [
        // After a /26 at .64 and a /27 at .192 are taken.
        ("best_fit", ["10.9.0.224/27", "10.9.0.0/26"]),
        ("first_fit", ["10.9.0.0/27", "10.9.0.128/26"]),
        ("last_fit", ["10.9.0.224/27", "10.9.0.128/26"]),
        ("sparse", ["10.9.0.32/27", "10.9.0.128/26"]),
    ] {
        let made = pool(&api, strategy, "10.9.0.0/24", json!({"strategy": strategy})).await;
        for cidr in ["10.9.0.64/26", "10.9.0.192/27"] {
            api.allocate(json!({"vpc": "a", "pools": [strategy], "cidr": cidr}))
                .await;
        }
        for (length, expected) in [27, 26].into_iter().zip(expected) {
            let path = format!("{POOLS}/{strategy}");
            assert_eq!(api.get(&path).await.ok(200)["strategy"], strategy);
            let got = api
                .allocate(json!({"vpc": "a", "pools": [strategy], "prefix_length": length}))
                .await;
            assert_eq!(place(&got).1, expected, "{strategy} /{length}");
        }
        api.verify().await;
        // The next one takes its place in the same VRF.
        api.delete("/api/v1/vpcs/a?cascade=true").await.ok(200);
        api.delete(&format!("{POOLS}/{}", made["id"].as_str().unwrap()))
            .await
            .ok(204);
    }
}

#[tokio::test]
async fn a_block_keeps_away_from_excluded_networks() {
    let api = Api::start().await;
    for (name, range, strategy) in [
        ("best", "10.9.0.0/24", "best_fit"),
        ("last", "10.9.1.0/24", "last_fit"),
        ("six", "2001:db8::/48", "sparse"),
    ] {
        pool(&api, name, range, json!({"strategy": strategy})).await;
    }
    let ask = |pool: &str, length: u8, away: &[&str]| json!({"vpc": "a", "pools": [pool], "prefix_length": length, "exclude_cidrs": away});
    let made = api
        .allocate(ask("best", 26, &["10.9.0.0/26", "10.9.0.70/32"]))
        .await;
    assert_eq!(place(&made).1, "10.9.0.128/26");
    assert_eq!(
        made["exclude_cidrs"],
        json!(["10.9.0.0/26", "10.9.0.70/32"])
    );
    let made = api
        .allocate(ask("last", 26, &["10.9.1.255/32", "0.0.0.0/8"]))
        .await;
    assert_eq!(place(&made).1, "10.9.1.128/26");
    let made = api
        .allocate(ask("six", 64, &["2001:db8:0:8000::/49"]))
        .await;
    assert_eq!(place(&made).1, "2001:db8::/64");
    let reply = api
        .post(ALLOCATIONS, &ask("best", 26, &["10.0.0.0/8"]))
        .await;
    reply.problem(409, "pool_exhausted");
    let mut explicit = ask("best", 26, &["10.9.0.3/32"]);
    explicit["prefix_length"] = Value::Null;
    explicit["cidr"] = json!("10.9.0.0/26");
    let reply = api.post(ALLOCATIONS, &explicit).await;
    let (detail, _) = reply.problem(400, "invalid_request");
    assert!(detail.contains("10.9.0.3/32"), "{detail}");
    // Every block of a profile keeps away.
    let made = api
        .allocate(
            json!({"vpc": "a", "hosts": 50, "exclude_cidrs": ["100.64.0.0/12", "10.0.0.0/24"]}),
        )
        .await;
    assert_eq!(cidrs(&made), ["10.0.1.0/26", "100.80.0.0/21"]);
    // More free blocks inside the excluded network than requests in the batch.
    for _ in 0..40 {
        api.allocate(ask("last", 30, &[])).await;
    }
    api.verify().await;
}

#[tokio::test]
async fn a_pool_can_require_labels() {
    let api = Api::start().await;
    pool(
        &api,
        "strict",
        "10.9.0.0/24",
        json!({"required_labels": {"env": ["dev", "prod"], "owner": []}}),
    )
    .await;
    pool(&api, "lax", "10.9.1.0/24", json!({})).await;
    let ask = |pools: Value, labels: Value| json!({"vpc": "a", "pools": pools, "prefix_length": 28, "labels": labels});
    let reply = api
        .post(ALLOCATIONS, &ask(json!(["strict"]), json!({"env": "dev"})))
        .await;
    let (detail, _) = reply.problem(400, "invalid_request");
    assert!(detail.contains("requires the label \"owner\""), "{detail}");
    let reply = api
        .post(
            ALLOCATIONS,
            &ask(json!(["strict"]), json!({"env": "test", "owner": "x"})),
        )
        .await;
    let (detail, _) = reply.problem(400, "invalid_request");
    assert!(
        detail.contains("one of dev, prod") && detail.contains("\"test\""),
        "{detail}"
    );
    // Of several pools one that takes it will do.
    let made = api.allocate(ask(json!(["strict", "lax"]), json!({}))).await;
    assert_eq!(place(&made).0, "lax");
    let made = api
        .allocate(ask(
            json!(["strict", "lax"]),
            json!({"env": "dev", "owner": "x"}),
        ))
        .await;
    assert_eq!(place(&made).0, "strict");
    // And it stays so.
    let path = crate::support::path(&made);
    let reply = api.patch(&path, &json!({"labels": {"env": "dev"}})).await;
    reply.problem(400, "invalid_request");
    api.patch(&path, &json!({"labels": {"env": "prod", "owner": "y"}}))
        .await
        .ok(200);
}

#[tokio::test]
async fn a_repeated_request_does_not_take_the_labels_that_the_pool_requires() {
    let api = Api::start().await;
    let required = json!({"required_labels": {"env": []}});
    let strict = pool(&api, "strict", "10.9.0.0/24", required.clone()).await;
    pool(&api, "lax", "10.9.1.0/24", json!({})).await;
    for pools in [json!(["strict"]), json!(["strict", "lax"])] {
        let ask = |labels: Value| json!({"vpc": "a", "name": pools.to_string(), "pools": pools, "prefix_length": 28, "labels": labels});
        let made = api.allocate(ask(json!({"env": "prod"}))).await;
        assert_eq!(place(&made).0, "strict");
        for dry in [true, false] {
            let mut again = ask(json!({}));
            again["dry_run"] = json!(dry);
            let reply = api.post(ALLOCATIONS, &again).await;
            let (detail, _) = reply.problem(400, "invalid_request");
            assert!(detail.contains("requires the label \"env\""), "{detail}");
        }
        let now = api.get(&crate::support::path(&made)).await.ok(200);
        assert_eq!(now["labels"], json!({"env": "prod"}));
        // Others that will do are taken.
        let again = api.post(ALLOCATIONS, &ask(json!({"env": "dev"}))).await;
        assert_eq!(again.ok(200)["labels"], json!({"env": "dev"}));
        // What a pool has come to require since is nothing that a repetition changes.
        let more = json!({"required_labels": {"env": [], "owner": []}});
        let path = crate::support::path(&strict).replace(ALLOCATIONS, POOLS);
        api.patch(&path, &more).await.ok(200);
        let again = api.post(ALLOCATIONS, &ask(json!({"env": "dev"}))).await;
        assert_eq!(again.ok(200)["id"], made["id"]);
        api.patch(&path, &required).await.ok(200);
    }
}

#[tokio::test]
async fn the_size_may_be_left_to_a_pool_that_has_a_default() {
    let api = Api::start().await;
    pool(&api, "plain", "10.9.0.0/24", json!({})).await;
    pool(
        &api,
        "sized",
        "10.9.1.0/24",
        json!({"default_prefix_length": 27}),
    )
    .await;
    let ask = |name: &str| json!({"vpc": "a", "name": name, "pools": [name]});
    let reply = api.post(ALLOCATIONS, &ask("plain")).await;
    let (detail, _) = reply.problem(400, "invalid_request");
    assert!(detail.contains("default_prefix_length"), "{detail}");
    let made = api.allocate(ask("sized")).await;
    assert_eq!(place(&made).1, "10.9.1.0/27");
    assert_eq!(
        api.post(ALLOCATIONS, &ask("sized")).await.ok(200)["id"],
        made["id"]
    );
    api.verify().await;
}

#[tokio::test]
async fn a_change_of_the_plan_is_seen_by_the_next_request() {
    let api = Api::start().await;
    let ask = json!({"vpc": "dev", "vrf": "dev", "hosts": 50});
    api.post(ALLOCATIONS, &ask).await.problem(404, "not_found");
    api.post(VRFS, &json!({"name": "dev"})).await.ok(201);
    let made = api.allocate(ask.clone()).await;
    assert_eq!(made["blocks"][1]["vrf"], "default");
    api.post(
        POOLS,
        &json!({"name": "cgnat", "vrf": "dev", "ranges": ["100.64.0.0/10"]}),
    )
    .await
    .ok(201);
    let made = api.allocate(ask.clone()).await;
    assert_eq!(made["blocks"][0]["vrf"], "default");
    assert_eq!(
        (&made["blocks"][1]["vrf"], cidrs(&made)[1]),
        (&json!("dev"), "100.64.0.0/21")
    );
    // A pool that is changed by hand, with a plan in memory that knows nothing of it.
    api.sql("update pool set max_prefix_length = 25 where name = 'primary'")
        .await;
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "b", "prefix_length": 26}))
        .await;
    reply.problem(400, "invalid_request");
    api.sql("update profile set name = 'other' where name = 'node-pod'")
        .await;
    api.post(ALLOCATIONS, &json!({"vpc": "b", "prefix_length": 25}))
        .await
        .problem(404, "not_found");
    api.allocate(json!({"vpc": "b", "profile": "other", "prefix_length": 25}))
        .await;
    api.verify().await;
}

#[tokio::test]
async fn one_allocation_takes_from_both_families_or_from_none() {
    let api = Api::start().await;
    pool(&api, "services", "172.16.0.0/19", json!({})).await;
    pool(&api, "six", "2001:db8::/62", json!({})).await;
    let members = json!([
        {"role": "node", "pool": "primary"},
        {"role": "pod", "pool": "cgnat", "size_offset": -5},
        {"role": "service", "pool": "services", "min_prefix_length": 20, "max_prefix_length": 20},
        {"role": "six", "pool": "six", "min_prefix_length": 64, "max_prefix_length": 64},
    ]);
    api.post(PROFILES, &json!({"name": "full", "members": members}))
        .await
        .ok(201);
    let ask = |name: &str, hosts: u16| json!({"vpc": "a", "name": name, "profile": "full", "hosts": hosts});
    let made = api.allocate(ask("one", 500)).await;
    assert_eq!(
        cidrs(&made),
        [
            "10.0.0.0/23",
            "100.64.0.0/18",
            "172.16.0.0/20",
            "2001:db8::/64"
        ]
    );
    let made = api.allocate(ask("two", 50)).await;
    assert_eq!(
        cidrs(&made),
        [
            "10.0.2.0/26",
            "100.64.64.0/21",
            "172.16.16.0/20",
            "2001:db8:0:1::/64"
        ]
    );
    let before = api.state().await;
    let reply = api.post(ALLOCATIONS, &ask("three", 50)).await;
    let (detail, _) = reply.problem(409, "pool_exhausted");
    assert!(detail.contains("services"), "{detail}");
    assert_eq!(api.state().await, before);
    api.verify().await;
}

#[tokio::test]
async fn a_vpc_that_is_gone_does_not_say_in_which_vrf_the_next_of_its_name_is() {
    let api = Api::start().await;
    api.post("/api/v1/vrfs", &json!({"name": "blue"}))
        .await
        .ok(201);
    let new = json!({"name": "primary", "vrf": "blue", "ranges": ["10.0.0.0/24"], "max_prefix_length": 28, "min_prefix_length": 28});
    api.post(POOLS, &new).await.ok(201);
    let ask = |length: u8| json!({"vpc": "a", "pools": ["primary"], "prefix_length": length});
    let new = json!({"name": "a", "vrf": "blue"});
    api.post("/api/v1/vpcs", &new).await.ok(201);
    // It is learnt that the VPC is in `blue`.
    api.allocate(ask(28)).await;
    api.delete("/api/v1/vpcs/a?cascade=true").await.ok(200);
    let made = api.allocate(ask(24)).await;
    assert_eq!(made["vrf"], "default");
    api.verify().await;
}
