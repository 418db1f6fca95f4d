//! Pools: made, changed in place and deleted; what is refused, and in which words.

use serde_json::{Value, json};

use crate::support::{Api, POOLS, VRFS, cidrs, column, unclaimed};

/// Path of a pool.
fn path(pool: &Value) -> String {
    format!("{POOLS}/{}", pool["id"].as_str().expect("an id"))
}

#[tokio::test]
async fn a_pool_is_what_was_asked_for() {
    let api = Api::start().await;
    api.post(VRFS, &json!({"name": "lab"})).await.ok(201);
    let asked = json!({
        "name": "apps", "vrf": "lab", "family": "ipv4", "ranges": ["172.16.0.0/16", "10.0.0.0/16"],
        "min_prefix_length": 20, "max_prefix_length": 28, "default_prefix_length": 24, "reserved_addresses": 3,
        "strategy": "first_fit", "release_cooldown_seconds": 60, "labels": {"tier": "app"},
        "required_labels": {"team": [], "environment": ["dev", "test"]}, "description": "d",
    });
    let reply = api.post(POOLS, &asked).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let pool = &reply.json;
    assert_eq!(
        (reply.header("location"), reply.header("etag")),
        (path(pool).as_str(), "\"1\"")
    );
    for (field, value) in asked.as_object().unwrap() {
        if field != "ranges" {
            assert_eq!(&pool[field], value, "{field}");
        }
    }
    // In address order.
    assert_eq!(pool["ranges"], json!(["10.0.0.0/16", "172.16.0.0/16"]));
    assert_eq!(pool["parent"], Value::Null);
    assert_eq!(pool["total_addresses"], 131_072);
    assert_eq!(pool["free"], json!([{"prefix_length": 16, "count": 2}]));
    assert_eq!(api.get(&path(pool)).await.ok(200), unclaimed(pool.clone()));

    // What is not said has a default, and the family follows from the range.
    let six = api
        .post(
            POOLS,
            &json!({"name": "six", "ranges": ["2001:db8::/32", "fd00::/40"]}),
        )
        .await
        .ok(201);
    for (field, value) in [
        ("vrf", json!("default")),
        ("family", json!("ipv6")),
        ("min_prefix_length", json!(0)),
        ("max_prefix_length", json!(128)),
        ("default_prefix_length", Value::Null),
        ("reserved_addresses", json!(5)),
        ("strategy", json!("best_fit")),
        ("release_cooldown_seconds", json!(0)),
        ("labels", json!({})),
        ("required_labels", json!({})),
        ("ranges", json!(["2001:db8::/32", "fd00::/40"])),
    ] {
        assert_eq!(six[field], value, "{field}");
    }
    let empty = api
        .post(POOLS, &json!({"name": "empty", "family": "ipv4"}))
        .await
        .ok(201);
    assert_eq!(
        (
            &empty["ranges"],
            &empty["total_addresses"],
            &empty["utilisation"]
        ),
        (&json!([]), &json!(0), &json!(0.0))
    );
    assert_eq!(api.events("pool.create").await, 3);
    api.verify().await;
}

/// What is wrong with the ranges of a new pool, and words that say so.
fn wrong_ranges() -> Vec<(Value, &'static str)> {
    let many: Vec<_> = (0..1001)
        .map(|n| format!("172.{}.{}.{}/32", 16 + n / 65536, n / 256, n % 256))
        .collect();
    vec![
        (json!({"name": "x"}), "family"),
        (
            json!({"name": "x", "family": "ipv6", "ranges": ["172.16.0.0/16"]}),
            "172.16.0.0/16 is not IPv6",
        ),
        (
            json!({"name": "x", "ranges": ["172.16.0.0/16", "fd00::/40"]}),
            "fd00::/40 is not IPv4",
        ),
        (
            json!({"name": "x", "ranges": ["2001::/16"]}),
            "an IPv6 range is a /32 or smaller",
        ),
        (
            json!({"name": "x", "ranges": ["::/0"]}),
            "an IPv6 range is a /32 or smaller",
        ),
        (
            json!({"name": "x", "ranges": ["172.16.0.1/16"]}),
            "host bits",
        ),
        (
            json!({"name": "x", "ranges": ["172.16.0.0/16", "172.16.0.0/16"]}),
            "overlap; name each network once",
        ),
        (
            json!({"name": "x", "ranges": ["172.16.5.0/24", "172.16.0.0/16"]}),
            "172.16.0.0/16 and 172.16.5.0/24 overlap",
        ),
        (
            json!({"name": "x", "ranges": many}),
            "at most 1000 ranges, these would be 1001",
        ),
        (
            json!({"name": "x", "parent": "primary", "family": "ipv6"}),
            "the other address family",
        ),
        (
            json!({"name": "x", "parent": "primary", "ranges": ["fd00::/40"]}),
            "fd00::/40 is not IPv4",
        ),
        (
            json!({"name": "x", "parent": "primary", "range_prefix_lengths": [33]}),
            "a range of /33 is not IPv4",
        ),
        (
            json!({"name": "x", "parent": "primary", "ranges": ["10.1.0.0/24"]}),
            "does not lie in pool \"primary\", the parent of \"x\", which consists of 10.0.0.0/16",
        ),
    ]
}

/// What is wrong with the rest of it.
fn wrong_settings() -> Vec<(Value, &'static str)> {
    let labels: serde_json::Map<_, _> = (0..65).map(|n| (n.to_string(), json!([]))).collect();
    vec![
        (
            json!({"name": "x", "ranges": ["172.16.0.0/16"], "max_prefix_length": 33}),
            "max_prefix_length is 33",
        ),
        (
            json!({"name": "x", "family": "ipv6", "max_prefix_length": 129}),
            "at most 128 bits",
        ),
        (
            json!({"name": "x", "family": "ipv4", "min_prefix_length": 25, "max_prefix_length": 24}),
            "min_prefix_length 25 is longer than max_prefix_length 24",
        ),
        (
            json!({"name": "x", "family": "ipv4", "min_prefix_length": 33}),
            "min_prefix_length 33 is longer",
        ),
        (
            json!({"name": "x", "family": "ipv4", "max_prefix_length": 24, "default_prefix_length": 25}),
            "default_prefix_length 25 is not between",
        ),
        (
            json!({"name": "x", "ranges": ["172.16.0.0/28"], "max_prefix_length": 26}),
            "smaller than the smallest block",
        ),
        (
            json!({"name": "x", "family": "ipv4", "reserved_addresses": 2_147_483_648_u32}),
            "reserved_addresses is at most",
        ),
        (
            json!({"name": "x", "family": "ipv4", "reserved_addresses": -1}),
            "reserved_addresses",
        ),
        (
            json!({"name": "x", "family": "ipv4", "release_cooldown_seconds": 31_536_001}),
            "a year",
        ),
        (
            json!({"name": "x", "family": "ipv4", "strategy": "worst_fit"}),
            "worst_fit",
        ),
        (
            json!({"name": "x", "family": "ipv4", "required_labels": labels}),
            "at most 64 labels",
        ),
        (
            json!({"name": "x", "family": "ipv4", "required_labels": {"": []}}),
            "label key",
        ),
        (
            json!({"name": "x", "family": "ipv4", "required_labels": {"team": ["a\n"]}}),
            "the value of label \"team\"",
        ),
        (
            json!({"name": "x", "family": "ipv4", "description": "x".repeat(1001)}),
            "1000",
        ),
        (
            json!({"name": "x", "family": "ipv4", "range_prefix_lengths": [24]}),
            "no parent",
        ),
        (json!({"name": "a/b", "family": "ipv4"}), "'/'"),
        (json!({"name": "x", "family": "ipv4", "size": 3}), "size"),
    ]
}

#[tokio::test]
async fn what_can_not_be_a_pool_is_refused_in_clear_words() {
    let api = Api::start().await;
    let state = api.state().await;
    for (body, word) in [wrong_ranges(), wrong_settings()].concat() {
        let reply = api.post(POOLS, &body).await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains(word), "{body}: {detail}");
    }
    for (body, word) in [
        (
            json!({"name": "x", "vrf": "none", "family": "ipv4"}),
            "no VRF \"none\"",
        ),
        (json!({"name": "x", "parent": "none"}), "no pool \"none\""),
    ] {
        let reply = api.post(POOLS, &body).await;
        let (detail, _) = reply.problem(404, "not_found");
        assert!(detail.contains(word), "{body}: {detail}");
    }
    let reply = api
        .post(POOLS, &json!({"name": "primary", "family": "ipv6"}))
        .await;
    let (detail, details) = reply.problem(409, "claimed");
    assert!(
        detail.contains("pool \"primary\" of VRF \"default\"")
            && details["import_id"] == "default/primary",
        "{detail}"
    );
    assert_eq!(state, api.state().await);
}

#[tokio::test]
async fn ranges_of_a_vrf_never_overlap_and_the_refusal_says_with_what() {
    let api = Api::start().await;
    api.post(VRFS, &json!({"name": "lab"})).await.ok(201);
    let state = api.state().await;
    for (ranges, words) in [
        (
            json!(["10.0.0.0/16"]),
            ["the range 10.0.0.0/16 of pool \"primary\"", "\"parent\""],
        ),
        (
            json!(["172.16.0.0/12", "10.0.7.0/24"]),
            ["10.0.7.0/24 overlaps the range 10.0.0.0/16", "\"parent\""],
        ),
        (
            json!(["10.0.0.0/8"]),
            ["10.0.0.0/8 overlaps the range 10.0.0.0/16", "another VRF"],
        ),
        (
            json!(["0.0.0.0/0"]),
            ["pool \"primary\" in VRF \"default\"", "another VRF"],
        ),
    ] {
        let reply = api
            .post(POOLS, &json!({"name": "x", "ranges": ranges}))
            .await;
        let (detail, details) = reply.problem(409, "overlap");
        for word in words {
            assert!(detail.contains(word), "{detail}");
        }
        assert_eq!(details["conflicts"][0]["cidr"], "10.0.0.0/16");
        assert_eq!(details["conflicts"][0]["pool"], "primary");
    }
    assert_eq!(state, api.state().await);
    let primary = api.get(&format!("{POOLS}/primary")).await.ok(200);
    let reply = api
        .patch(
            &path(&primary),
            &json!({"ranges": ["10.0.0.0/16", "10.0.0.0/15"]}),
        )
        .await;
    let (detail, _) = reply.problem(409, "overlap");
    assert!(
        detail.contains("never resized; add the networks beside it"),
        "{detail}"
    );
    // In another VRF there is room for all of them.
    api.post(
        POOLS,
        &json!({"name": "x", "vrf": "lab", "ranges": ["10.0.0.0/8", "100.64.0.0/11"]}),
    )
    .await
    .ok(201);
    api.verify().await;
}

#[tokio::test]
async fn a_pool_is_changed_in_place() {
    let api = Api::start().await;
    let primary = api.get(&format!("{POOLS}/primary")).await.ok(200);
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "prefix_length": 26}))
        .await;
    let changed = api
        .with(
            "PATCH",
            &path(&primary),
            &[("if-match", "\"1\"")],
            &json!({"ranges": ["10.0.0.0/16", "10.2.0.0/16"], "max_prefix_length": 25, "labels": {"a": "b"},
                "required_labels": {"team": []}, "release_cooldown_seconds": 5, "strategy": "sparse",
                "reserved_addresses": 2, "description": "new"}),
        )
        .await;
    assert_eq!(changed.header("etag"), "\"2\"");
    let changed = changed.ok(200);
    for (field, value) in [
        ("ranges", json!(["10.0.0.0/16", "10.2.0.0/16"])),
        ("min_prefix_length", json!(20)),
        ("max_prefix_length", json!(25)),
        ("default_prefix_length", json!(24)),
        ("labels", json!({"a": "b"})),
        ("required_labels", json!({"team": []})),
        ("release_cooldown_seconds", json!(5)),
        ("strategy", json!("sparse")),
        ("reserved_addresses", json!(2)),
        ("description", json!("new")),
        ("name", json!("primary")),
        ("total_addresses", json!(131_072)),
        ("used_addresses", json!(64)),
        ("revision", json!(2)),
    ] {
        assert_eq!(changed[field], value, "{field}");
    }
    // The block is smaller than the smallest now, and stays.
    assert_eq!(
        cidrs(&api.get(&crate::support::path(&made)).await.ok(200))[0],
        "10.0.0.0/26"
    );
    api.with(
        "PATCH",
        &path(&primary),
        &[("if-match", "\"1\"")],
        &json!({"ranges": ["10.0.0.0/16"]}),
    )
    .await
    .problem(412, "stale");
    for (body, word) in [
        (
            json!({"max_prefix_length": 19}),
            "longer than max_prefix_length 19",
        ),
        (json!({"min_prefix_length": 25}), "default_prefix_length 24"),
        (json!({"max_prefix_length": 40}), "at most 32"),
        (
            json!({"default_prefix_length": 26}),
            "default_prefix_length 26",
        ),
        (json!({"add_range_prefix_lengths": [24]}), "no parent"),
        (json!({"ranges": ["fd00::/40"]}), "not IPv4"),
        (json!({"family": "ipv6"}), "family"),
    ] {
        let reply = api.patch(&path(&primary), &body).await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains(word), "{body}: {detail}");
    }
    let none = api
        .patch(&path(&primary), &json!({"default_prefix_length": null}))
        .await
        .ok(200);
    assert_eq!(none["default_prefix_length"], Value::Null);
    api.patch(&path(&primary), &json!({"name": "cgnat"}))
        .await
        .problem(409, "name_taken");
    let renamed = api
        .patch(&path(&primary), &json!({"name": "nodes"}))
        .await
        .ok(200);
    assert_eq!(
        (&renamed["name"], &renamed["revision"]),
        (&json!("nodes"), &json!(4))
    );
    let same = api.patch(&path(&primary), &json!({})).await.ok(200);
    assert_eq!(same, renamed);
    // What came and what went is in the log.
    let moved = api
        .patch(
            &path(&primary),
            &json!({"ranges": ["10.3.0.0/16", "10.0.0.0/16"]}),
        )
        .await
        .ok(200);
    assert_eq!(moved["ranges"], json!(["10.0.0.0/16", "10.3.0.0/16"]));
    assert_eq!(moved["revision"], 5);
    assert_eq!(
        api.count(
            "select count(*) from event where action = 'pool.update'
                and detail -> 'added_ranges' = '[\"10.3.0.0/16\"]' and detail -> 'removed_ranges' = '[\"10.2.0.0/16\"]'"
        )
        .await,
        1
    );
    api.verify().await;
}

#[tokio::test]
async fn what_is_in_use_stays_and_its_users_are_named() {
    let api = Api::start().await;
    let primary = api.get(&format!("{POOLS}/primary")).await.ok(200);
    let mut made = Vec::new();
    for index in 0..12 {
        made.push(
            api.allocate(json!({"vpc": "a", "name": format!("n{index:02}"), "prefix_length": 26}))
                .await,
        );
    }
    let state = api.state().await;
    for reply in [
        api.patch(&path(&primary), &json!({"ranges": ["10.1.0.0/16"]}))
            .await,
        api.patch(&path(&primary), &json!({"ranges": ["10.0.0.0/15"]}))
            .await,
        api.delete(&path(&primary)).await,
    ] {
        let (detail, details) = reply.problem(409, "in_use");
        assert_eq!(details["users"], 12);
        assert!(
            detail.contains("the range 10.0.0.0/16 of pool \"primary\" is in use: ")
                && detail.contains("10.0.0.0/26 belongs to allocation \"a/n00\", 10.0.0.64/26")
                && detail.contains("a/n09")
                && !detail.contains("a/n10")
                && detail.contains("and 2 more"),
            "{detail}"
        );
    }
    assert_eq!(state, api.state().await);
    for one in made {
        api.delete(&crate::support::path(&one)).await.ok(204);
    }
    let wider = api
        .patch(&path(&primary), &json!({"ranges": ["10.0.0.0/15"]}))
        .await
        .ok(200);
    assert_eq!(wider["free"], json!([{"prefix_length": 15, "count": 1}]));
    api.with(
        "DELETE",
        &path(&primary),
        &[("if-match", "\"1\"")],
        &Value::Null,
    )
    .await
    .problem(412, "stale");
    api.delete(&path(&primary)).await.ok(204);
    for reply in [
        api.delete(&path(&primary)).await,
        api.get(&path(&primary)).await,
        api.patch(&path(&primary), &json!({})).await,
    ] {
        let (detail, _) = reply.problem(410, "gone");
        assert!(detail.contains("pool"), "{detail}");
    }
    assert_eq!(api.events("pool.delete").await, 1);
    assert_eq!(
        api.count("select count(*) from free_block where cidr <<= '10.0.0.0/8'")
            .await,
        0
    );
    api.verify().await;
}

#[tokio::test]
async fn blocks_that_cool_down_keep_a_range_until_they_have() {
    let api = Api::start().await;
    // As a release leaves it: the block stays, without an owner.
    let cool = |until: &str| {
        format!(
            "insert into block (range_id, cidr, range_cidr, reason)
                select range_id, '10.9.0.0/17', cidr, 'cooldown' from pool_range where cidr = '10.9.0.0/16';
            insert into cooldown (range_id, cidr, allocation_id, vpc, name, role, free_at)
                select range_id, '10.9.0.0/17', gen_random_uuid(), 'a', 'n', 'main', {until}
                from pool_range where cidr = '10.9.0.0/16';
            update free_block set cidr = '10.9.128.0/17', host_bits = 15 where cidr = '10.9.0.0/16';
            update free_count set blocks = 1 - blocks where host_bits in (15, 16)
                and range_id = (select range_id from pool_range where cidr = '10.9.0.0/16')"
        )
    };
    let pool = api
        .post(POOLS, &json!({"name": "x", "ranges": ["10.9.0.0/16"]}))
        .await
        .ok(201);
    api.sql(&cool("now() + interval '1 hour'")).await;
    let reply = api.delete(&path(&pool)).await;
    let (detail, _) = reply.problem(409, "in_use");
    assert!(
        detail.contains("10.9.0.0/17 belonged to allocation \"a/n\" and cools down until"),
        "{detail}"
    );
    api.verify().await;
    api.sql("update cooldown set free_at = now() - interval '1 second'")
        .await;
    api.delete(&path(&pool)).await.ok(204);
    assert_eq!(api.count("select count(*) from cooldown").await, 0);
    api.verify().await;
}

#[tokio::test]
async fn a_new_range_respects_reservations_that_waited_for_it() {
    let api = Api::start().await;
    let reserve = |vrf: &str, cidr: &str, reason: &str| {
        format!(
            "insert into reservation (vrf_id, cidr, reason, created_by)
            select vrf_id, '{cidr}', '{reason}', 'psql' from vrf where name = '{vrf}'"
        )
    };
    api.post(VRFS, &json!({"name": "lab"})).await.ok(201);
    for (vrf, cidr, reason) in [
        ("default", "10.2.3.0/24", "office"),
        ("default", "10.2.128.0/17", "data centre"),
        ("default", "192.168.0.0/16", "homes"),
        ("lab", "10.2.0.0/16", "in another address space"),
    ] {
        api.sql(&reserve(vrf, cidr, reason)).await;
    }
    let pool = api
        .post(
            POOLS,
            &json!({"name": "x", "ranges": ["10.2.0.0/16", "10.3.0.0/16"]}),
        )
        .await
        .ok(201);
    assert_eq!(pool["used_addresses"], 256 + 32768);
    assert_eq!(
        api.count("select count(*) from block join reservation using (reservation_id) where block.cidr = reservation.cidr")
            .await,
        2
    );
    api.verify().await;
    let state = api.state().await;
    for range in ["192.168.0.0/16", "192.168.7.0/24"] {
        let reply = api
            .patch(
                &path(&pool),
                &json!({"ranges": ["10.2.0.0/16", "10.3.0.0/16", range]}),
            )
            .await;
        let (detail, details) = reply.problem(409, "overlap");
        assert!(
            detail.contains("192.168.0.0/16 is reserved (homes)") && detail.contains(range),
            "{detail}"
        );
        assert_eq!(details["conflicts"][0]["reason"], "homes");
    }
    // A child gets nothing of what is reserved in its parent.
    for range in ["10.2.3.0/24", "10.2.3.128/25", "10.2.2.0/23"] {
        let reply = api
            .post(
                POOLS,
                &json!({"name": "child", "parent": "x", "ranges": [range]}),
            )
            .await;
        let (detail, _) = reply.problem(409, "overlap");
        assert!(
            detail.contains("10.2.3.0/24 is reserved: office"),
            "{detail}"
        );
    }
    let reply = api
        .patch(&path(&pool), &json!({"ranges": ["10.3.0.0/16"]}))
        .await;
    let (detail, details) = reply.problem(409, "in_use");
    assert!(
        detail.contains("10.2.3.0/24 is reserved: office") && details["users"] == 2,
        "{detail}"
    );
    assert_eq!(state, api.state().await);
    // The other range has no part in it.
    api.patch(&path(&pool), &json!({"ranges": ["10.2.0.0/16"]}))
        .await
        .ok(200);
    api.verify().await;
}

#[tokio::test]
async fn hundreds_of_pools_are_listed_in_pages_and_filtered() {
    let api = Api::start().await;
    api.sql(
        "insert into vrf (name) select 'v' || n from generate_series(1, 3) as n;
        insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length, labels)
            select vrf_id, 'pool ' || n, 4, 8, 32, jsonb_build_object('team', 't' || n % 10)
            from vrf, generate_series(1, 120) as n;
        insert into pool_range (pool_id, vrf_id, family, cidr)
            select pool_id, vrf_id, 4, set_masklen('20.0.0.0'::inet + (substr(name, 6)::bigint << 16), 16)::cidr
            from pool where name like 'pool %'",
    )
    .await;
    let everything = api.get(&format!("{POOLS}?limit=1000")).await.ok(200);
    let key = |page: &Value| -> Vec<(String, String)> {
        let names = column(page, "name").into_iter().map(str::to_owned);
        column(page, "vrf")
            .into_iter()
            .map(str::to_owned)
            .zip(names)
            .collect()
    };
    let all = key(&everything);
    assert_eq!(all.len(), 482);
    assert_eq!(all[0], ("default".to_owned(), "cgnat".to_owned()));
    assert!(all.is_sorted_by_key(|(vrf, _)| (vrf != "default", vrf.clone())));
    assert_eq!(everything["next_cursor"], Value::Null);
    for limit in [1, 7, 100, 241, 482] {
        if limit == 1 {
            let first = api.get(&format!("{POOLS}?limit=1")).await.ok(200);
            assert_eq!(key(&first), all[..1]);
            continue;
        }
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api
                .get(&format!("{POOLS}?limit={limit}{cursor}"))
                .await
                .ok(200);
            paged.extend(key(&page));
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, all, "{limit}");
    }
    let child = api
        .post(
            POOLS,
            &json!({"name": "child", "parent": "primary", "range_prefix_lengths": [24]}),
        )
        .await
        .ok(201);
    let parent = child["parent_id"].as_str().unwrap();
    for (query, count) in [
        ("vrf=v2&limit=1000".to_owned(), 120),
        ("name=pool%207".to_owned(), 4),
        ("name=pool%207&vrf=v1".to_owned(), 1),
        ("label=team%3Dt3&limit=1000".to_owned(), 48),
        ("label=team%3Dt3&vrf=v3".to_owned(), 12),
        ("label=team%3Dx".to_owned(), 0),
        ("parent=primary".to_owned(), 1),
        (format!("parent={parent}"), 1),
        ("parent=cgnat".to_owned(), 0),
    ] {
        let page = api.get(&format!("{POOLS}?{query}")).await.ok(200);
        assert_eq!(column(&page, "name").len(), count, "{query}");
    }
    for query in [
        "limit=0",
        "limit=1001",
        "cursor=x",
        "cursor=%C3%BC",
        "label=x",
        "nane=x",
    ] {
        api.get(&format!("{POOLS}?{query}"))
            .await
            .problem(400, "invalid_request");
    }
    // A page goes on where it was, also when its last pool is gone.
    let page = api.get(&format!("{POOLS}?limit=10&vrf=v1")).await.ok(200);
    let last = &page["items"][9];
    api.delete(&path(last)).await.ok(204);
    let next = page["next_cursor"].as_str().unwrap();
    let rest = api
        .get(&format!("{POOLS}?limit=1000&vrf=v1&cursor={next}"))
        .await
        .ok(200);
    assert_eq!(key(&rest).len(), 110);
    // A name that looks like an id is found, unless it is one.
    let odd = "11111111-1111-7111-8111-111111111111";
    api.post(POOLS, &json!({"name": odd, "family": "ipv4"}))
        .await
        .ok(201);
    assert_eq!(
        api.get(&format!("{POOLS}/{odd}")).await.ok(200)["name"],
        odd
    );
}

#[tokio::test]
async fn the_smallest_block_stays_no_larger_than_a_range() {
    let api = Api::start().await;
    let new =
        json!({"name": "p", "ranges": ["10.9.0.0/24", "10.9.2.0/26"], "max_prefix_length": 28});
    api.post(POOLS, &new).await.ok(201);
    let path = format!("{POOLS}/p");
    let patch = json!({"max_prefix_length": 25});
    let reply = api.patch(&path, &patch).await;
    let (detail, _) = reply.problem(400, "invalid_request");
    assert!(detail.contains("10.9.2.0/26"), "{detail}");
    api.patch(&path, &json!({"max_prefix_length": 26}))
        .await
        .ok(200);
    // If that range goes at the same time, nothing is in the way.
    let patch = json!({"max_prefix_length": 25, "ranges": ["10.9.0.0/24"]});
    api.patch(&path, &patch).await.ok(200);
}
