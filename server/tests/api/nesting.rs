//! Pools inside of pools: their ranges are taken from the parent's free space and given back to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, VRFS, cidrs, path};

fn pool_path(pool: &Value) -> String {
    format!("{POOLS}/{}", pool["id"].as_str().expect("an id"))
}

/// A profile whose only block comes from the pool of that name.
async fn profile(api: &Api, pool: &str) {
    api.sql(&format!(
        "insert into profile (name) values ('{pool}');
        insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length,
            max_prefix_length) select profile_id, 1, 'main', name, 0, 0, 32 from profile where name = '{pool}'"
    ))
    .await;
}

/// Three levels of pools below `primary`: `region`, `zone` and `leaf`.
async fn tree(api: &Api, primary: &Value) -> [Value; 3] {
    let region = api
        .post(
            POOLS,
            &json!({"name": "region", "parent": "primary", "ranges": ["10.0.64.0/18"], "range_prefix_lengths": [20, 19]}),
        )
        .await
        .ok(201);
    // The largest first, and best fit.
    assert_eq!(
        region["ranges"],
        json!(["10.0.0.0/19", "10.0.32.0/20", "10.0.64.0/18"])
    );
    assert_eq!(
        (&region["parent"], &region["parent_id"], &region["family"]),
        (&json!("primary"), &primary["id"], &json!("ipv4"))
    );
    let zone = api
        .post(
            POOLS,
            &json!({"name": "zone", "parent": region["id"], "range_prefix_lengths": [20, 22]}),
        )
        .await
        .ok(201);
    assert_eq!(zone["ranges"], json!(["10.0.0.0/22", "10.0.32.0/20"]));
    let leaf = api
        .post(
            POOLS,
            &json!({"name": "leaf", "parent": "zone", "ranges": ["10.0.40.0/21"], "max_prefix_length": 28}),
        )
        .await
        .ok(201);
    api.verify().await;
    [region, zone, leaf]
}

/// Allocations from the root keep off, and those from the leaf stay inside. Answers one of each.
async fn allocate_in_the_tree(api: &Api) -> [Value; 2] {
    profile(api, "leaf").await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "profile": "leaf", "prefix_length": 28}))
        .await;
    assert_eq!(cidrs(&made), ["10.0.40.0/28"]);
    let node = api.allocate(json!({"vpc": "a", "prefix_length": 24})).await;
    assert_eq!(cidrs(&node)[0], "10.0.48.0/24");
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "a", "cidr": "10.0.42.0/24"}))
        .await;
    let (detail, details) = reply.problem(409, "overlap");
    assert!(
        detail.contains("10.0.32.0/20 is a range of pool \"region\""),
        "{detail}"
    );
    assert_eq!(details["conflicts"][0]["child_pool"], "region");
    api.verify().await;
    [made, node]
}

#[tokio::test]
async fn a_tree_of_pools_three_levels_deep() {
    let api = Api::start().await;
    let before = api.get(&format!("{POOLS}/primary")).await.ok(200);
    let [region, zone, leaf] = tree(&api, &before).await;
    let used = |pool: &str| {
        let path = format!("{POOLS}/{pool}");
        let api = &api;
        async move { api.get(&path).await.ok(200)["used_addresses"].clone() }
    };
    assert_eq!(used("primary").await, (1 << 14) + (1 << 13) + (1 << 12));
    assert_eq!(used("region").await, (1 << 12) + (1 << 10));
    assert_eq!(used("zone").await, 1 << 11);
    assert_eq!(used("leaf").await, 0);

    let [made, node] = allocate_in_the_tree(&api).await;

    // From the bottom to the top, each says who is in the way.
    for (pool, word) in [
        (
            &before,
            "pool \"primary\" is the parent of pools: \"region\"",
        ),
        (&region, "pool \"region\" is the parent of pools: \"zone\""),
        (&zone, "\"leaf\""),
        (&leaf, "10.0.40.0/28 belongs to allocation \"a/n\""),
    ] {
        let reply = api.delete(&pool_path(pool)).await;
        let (detail, details) = reply.problem(409, "in_use");
        assert!(
            detail.contains(word) && details["users"] == 1,
            "{detail} {details}"
        );
    }
    let reply = api
        .patch(
            &pool_path(&region),
            &json!({"ranges": ["10.0.0.0/19", "10.0.64.0/18"]}),
        )
        .await;
    let (detail, _) = reply.problem(409, "in_use");
    assert!(
        detail.contains("the range 10.0.32.0/20 of pool \"region\" is in use: 10.0.32.0/20 is a range of pool \"zone\""),
        "{detail}"
    );
    let less = api
        .patch(
            &pool_path(&region),
            &json!({"ranges": ["10.0.0.0/19", "10.0.32.0/20"]}),
        )
        .await
        .ok(200);
    assert_eq!(less["revision"], 2);
    assert_eq!(used("primary").await, (1 << 13) + (1 << 12) + 256);
    let more = api
        .patch(
            &pool_path(&region),
            &json!({"add_range_prefix_lengths": [17, 24]}),
        )
        .await
        .ok(200);
    assert_eq!(
        more["ranges"],
        json!([
            "10.0.0.0/19",
            "10.0.32.0/20",
            "10.0.49.0/24",
            "10.0.128.0/17"
        ])
    );
    api.verify().await;

    api.delete(&path(&made)).await.ok(204);
    api.delete(&path(&node)).await.ok(204);
    for pool in [&leaf, &zone, &region] {
        api.delete(&pool_path(pool)).await.ok(204);
        api.verify().await;
    }
    // As if nothing had been.
    assert_eq!(
        api.get(&format!("{POOLS}/primary")).await.ok(200)["free"],
        before["free"]
    );
    assert_eq!(api.count("select count(*) from block").await, 0);
}

#[tokio::test]
async fn ranges_by_size_are_cut_as_the_parent_s_strategy_says() {
    let api = Api::start().await;
    for (strategy, first, second) in [
        ("best_fit", "10.9.0.0/24", "10.9.1.0/24"),
        ("first_fit", "10.9.0.0/24", "10.9.1.0/24"),
        ("last_fit", "10.9.255.0/24", "10.9.254.0/24"),
        ("sparse", "10.9.128.0/24", "10.9.64.0/24"),
    ] {
        let parent = api
            .post(
                POOLS,
                &json!({"name": "p", "ranges": ["10.9.0.0/16"], "strategy": strategy}),
            )
            .await
            .ok(201);
        let child = api
            .post(
                POOLS,
                &json!({"name": "c", "parent": "p", "range_prefix_lengths": [24]}),
            )
            .await
            .ok(201);
        assert_eq!(child["ranges"], json!([first]), "{strategy}");
        let child = api
            .patch(
                &pool_path(&child),
                &json!({"add_range_prefix_lengths": [24]}),
            )
            .await
            .ok(200);
        let mut both = [first, second];
        both.sort_unstable();
        let mut ranges: Vec<String> = serde_json::from_value(child["ranges"].clone()).unwrap();
        ranges.sort_unstable();
        assert_eq!(ranges, both, "{strategy}");
        // And a request from the child, as the child's says.
        let made = api
            .allocate(json!({"vpc": "a", "pools": ["c"], "prefix_length": 26}))
            .await;
        let block = cidrs(&made)[0].to_owned();
        assert!(block.starts_with("10.9."), "{block}");
        api.verify().await;
        api.delete(&path(&made)).await.ok(204);
        api.delete(&pool_path(&child)).await.ok(204);
        api.delete(&pool_path(&parent)).await.ok(204);
    }
    api.verify().await;
}

#[tokio::test]
async fn a_child_gets_what_is_free_in_its_parent_only() {
    let api = Api::start().await;
    api.post(VRFS, &json!({"name": "lab"})).await.ok(201);
    api.allocate(json!({"vpc": "a", "name": "n", "prefix_length": 24}))
        .await;
    let state = api.state().await;
    for range in ["10.0.0.0/24", "10.0.0.0/26", "10.0.0.0/16"] {
        let reply = api
            .post(
                POOLS,
                &json!({"name": "x", "parent": "primary", "ranges": [range]}),
            )
            .await;
        let (detail, details) = reply.problem(409, "overlap");
        assert!(
            detail.contains(&format!("{range} is not free in pool \"primary\""))
                && detail.contains("10.0.0.0/24 belongs to allocation \"a/n\""),
            "{detail}"
        );
        assert_eq!(details["conflicts"][0]["cidr"], "10.0.0.0/24");
    }
    // All or nothing, and the refusal counts what this request would have taken.
    let reply = api
        .post(
            POOLS,
            &json!({"name": "x", "parent": "primary", "ranges": ["10.0.2.0/24"], "range_prefix_lengths": [17, 17]}),
        )
        .await;
    let (detail, details) = reply.problem(409, "pool_exhausted");
    assert!(
        detail.contains("no /17 is left in pool \"primary\"")
            && detail.contains("its largest free block is a /18"),
        "{detail}"
    );
    assert_eq!(details["pools"][0]["free_addresses"], 65536 - 32768 - 512);
    // A parent is a pool of the same VRF, by name or id.
    let reply = api
        .post(
            POOLS,
            &json!({"name": "x", "vrf": "lab", "parent": "primary", "range_prefix_lengths": [24]}),
        )
        .await;
    let (detail, _) = reply.problem(404, "not_found");
    assert!(detail.contains("in VRF \"lab\""), "{detail}");
    let reply = api
        .post(
            POOLS,
            &json!({"name": "x", "parent": "primary", "ranges": ["172.16.0.0/16"]}),
        )
        .await;
    reply.problem(400, "invalid_request");
    assert_eq!(state, api.state().await);
}

#[tokio::test]
async fn what_one_range_gives_back_another_takes_in_the_same_change() {
    let api = Api::start().await;
    let child = api
        .post(
            POOLS,
            &json!({"name": "x", "parent": "primary", "ranges": ["10.0.0.0/18", "10.0.64.0/18"]}),
        )
        .await
        .ok(201);
    let merged = api
        .patch(&pool_path(&child), &json!({"ranges": ["10.0.0.0/17"]}))
        .await
        .ok(200);
    assert_eq!(merged["ranges"], json!(["10.0.0.0/17"]));
    api.verify().await;
    let split = api
        .patch(
            &pool_path(&child),
            &json!({"ranges": ["10.0.0.0/20"], "add_range_prefix_lengths": [17]}),
        )
        .await
        .ok(200);
    assert_eq!(split["ranges"], json!(["10.0.0.0/20", "10.0.128.0/17"]));
    api.verify().await;
    let none = api
        .patch(&pool_path(&child), &json!({"ranges": []}))
        .await
        .ok(200);
    assert_eq!((&none["ranges"], &none["free"]), (&json!([]), &json!([])));
    api.verify().await;
    let primary = api.get(&format!("{POOLS}/primary")).await.ok(200);
    assert_eq!(primary["free"], json!([{"prefix_length": 16, "count": 1}]));
    // IPv6, and a parent with several ranges.
    let six = api
        .post(
            POOLS,
            &json!({"name": "six", "ranges": ["2001:db8::/32", "fd00::/40"]}),
        )
        .await
        .ok(201);
    let inner = api
        .post(
            POOLS,
            &json!({"name": "inner", "parent": "six", "ranges": ["2001:db8:1::/48"], "range_prefix_lengths": [40, 64]}),
        )
        .await
        .ok(201);
    assert_eq!(
        inner["ranges"],
        json!(["2001:db8::/64", "2001:db8:1::/48", "2001:db8:100::/40"])
    );
    assert_eq!(inner["parent_id"], six["id"]);
    api.verify().await;
    api.delete(&pool_path(&inner)).await.ok(204);
    api.delete(&pool_path(&six)).await.ok(204);
    api.verify().await;
}

/// A forest of pools under random changes, against a model that knows which pool has which ranges.
#[tokio::test]
async fn whatever_happens_to_a_tree_of_pools_adds_up() {
    let api = Api::start().await;
    for seed in [1_u32, 2, 3] {
        let mut state = seed.wrapping_mul(2_654_435_761);
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 12) % below
        };
        // By name: path, parent and ranges.
        let mut pools: BTreeMap<String, (String, String, Vec<String>)> = BTreeMap::new();
        let mut counts: BTreeMap<u16, u32> = BTreeMap::new();
        for step in 0..50 {
            let names: Vec<_> = pools.keys().cloned().collect();
            let any = |number: u32| names.get(number as usize).cloned();
            let reply = match next(5) {
                0 | 1 => {
                    let parent = any(next(6)).unwrap_or("primary".to_owned());
                    let name = format!("s{seed} {step}");
                    let body = json!({"name": name, "parent": parent,
                        "range_prefix_lengths": [18 + next(10), 20 + next(8)]});
                    let reply = api.post(POOLS, &body).await;
                    if reply.status == 201 {
                        let ranges = serde_json::from_value(reply.json["ranges"].clone()).unwrap();
                        pools.insert(name, (pool_path(&reply.json), parent, ranges));
                    }
                    reply
                }
                2 => {
                    let Some(name) = any(next(6)) else { continue };
                    let body = json!({"add_range_prefix_lengths": [20 + next(8)]});
                    let reply = api.patch(&pools[&name].0, &body).await;
                    if reply.status == 200 {
                        let ranges = serde_json::from_value(reply.json["ranges"].clone()).unwrap();
                        pools.get_mut(&name).unwrap().2 = ranges;
                    }
                    reply
                }
                3 => {
                    let Some(name) = any(next(6)) else { continue };
                    let mut ranges = pools[&name].2.clone();
                    if ranges.is_empty() {
                        continue;
                    }
                    ranges.swap_remove(next(ranges.len().try_into().unwrap()) as usize);
                    let reply = api.patch(&pools[&name].0, &json!({"ranges": ranges})).await;
                    if reply.status == 200 {
                        ranges = serde_json::from_value(reply.json["ranges"].clone()).unwrap();
                        pools.get_mut(&name).unwrap().2 = ranges;
                    }
                    reply
                }
                _ => {
                    let Some(name) = any(next(6)) else { continue };
                    let reply = api.delete(&pools[&name].0).await;
                    if reply.status == 204 {
                        assert!(pools.values().all(|(_, parent, _)| *parent != name));
                        pools.remove(&name);
                    }
                    reply
                }
            };
            *counts.entry(reply.status).or_default() += 1;
            if reply.status >= 300 {
                let code = reply.json["code"].as_str().unwrap_or_default();
                assert!(
                    ["pool_exhausted", "in_use"].contains(&code),
                    "{}",
                    reply.text
                );
            }
            if step % 5 == 0 {
                api.verify().await;
            }
        }
        // What every pool has used is what its children have, to the address.
        for (name, (path, ..)) in &pools {
            let pool = api.get(path).await.ok(200);
            let children: u64 = pools
                .values()
                .filter(|(_, parent, _)| parent == name)
                .flat_map(|(.., ranges)| ranges)
                .map(|cidr| {
                    let length: u32 = cidr.split_once('/').unwrap().1.parse().unwrap();
                    1_u64 << (32 - length)
                })
                .sum();
            assert_eq!(pool["used_addresses"], children, "{name}");
        }
        assert!(
            counts.len() >= 4 && counts.values().sum::<u32>() > 30,
            "{counts:?} tests little"
        );
        api.verify().await;
        while let Some(leaf) = pools
            .keys()
            .find(|name| pools.values().all(|(_, parent, _)| parent != *name))
            .cloned()
        {
            let (path, ..) = pools.remove(&leaf).unwrap();
            api.delete(&path).await.ok(204);
        }
        let primary = api.get(&format!("{POOLS}/primary")).await.ok(200);
        assert_eq!(primary["free"], json!([{"prefix_length": 16, "count": 1}]));
    }
    api.verify().await;
}

#[tokio::test]
async fn a_child_range_as_large_as_its_parents_is_the_deeper_one() {
    let api = Api::start().await;
    let new = json!({"name": "parent", "ranges": ["10.9.0.0/24"]});
    api.post(POOLS, &new).await.ok(201);
    let new = json!({"name": "child", "parent": "parent", "ranges": ["10.9.0.0/24"]});
    api.post(POOLS, &new).await.ok(201);
    for (pools, cidr) in [
        (["parent", "child"], "10.9.0.0/26"),
        (["child", "parent"], "10.9.0.64/26"),
    ] {
        let ask = json!({"vpc": "a", "pools": pools, "cidr": cidr});
        let made = api.post(ALLOCATIONS, &ask).await.ok(201);
        assert_eq!(made["blocks"][0]["pool"], "child");
    }
    let reserved = json!({"cidr": "10.9.0.128/26", "reason": "a test"});
    let reserved = api.post("/api/v1/reservations", &reserved).await.ok(201);
    assert_eq!(reserved["pools"], json!(["child"]));
    api.verify().await;
}

#[tokio::test]
async fn of_equal_ranges_in_two_vrfs_the_pool_that_is_named_first_gives_a_network() {
    let api = Api::start().await;
    api.post("/api/v1/vrfs", &json!({"name": "blue"}))
        .await
        .ok(201);
    for (name, vrf) in [("p", "default"), ("q", "blue")] {
        let new = json!({"name": name, "vrf": vrf, "ranges": ["10.9.0.0/24"]});
        api.post(POOLS, &new).await.ok(201);
    }
    for (pools, cidr) in [(["p", "q"], "10.9.0.0/26"), (["q", "p"], "10.9.0.64/26")] {
        let ask = json!({"vpc": "a", "vrf": "blue", "pools": pools, "cidr": cidr});
        let made = api.post(ALLOCATIONS, &ask).await.ok(201);
        assert_eq!(made["blocks"][0]["pool"], pools[0]);
    }
    api.verify().await;
}
