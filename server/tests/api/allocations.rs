//! Creating allocations: sizes, explicit CIDRs, dry runs, exhaustion.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, cidrs, path};

#[tokio::test]
async fn a_creation_answers_all_that_there_is_to_know() {
    let api = Api::start().await;
    let body = json!({"vpc": "production", "name": "cluster-1", "hosts": 500, "labels": {"environment": "prod"},
        "description": "first", "deletion_protection": true});
    let reply = api.post(ALLOCATIONS, &body).await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let made = &reply.json;
    assert_eq!(reply.header("location"), path(made));
    assert_eq!(reply.header("etag"), "\"1\"");
    for (field, value) in [
        ("number", json!(1)),
        ("vpc", json!("production")),
        ("name", json!("cluster-1")),
        ("profile", json!("node-pod")),
        ("cidr", json!("10.0.0.0/23")),
        ("prefix_length", json!(23)),
        ("requested_hosts", json!(500)),
        ("requested_prefix_length", Value::Null),
        ("requested_cidr", Value::Null),
        ("labels", json!({"environment": "prod"})),
        ("description", json!("first")),
        ("deletion_protection", json!(true)),
        ("revision", json!(1)),
        ("created_by", json!("admin")),
        (
            "blocks",
            json!([
                {"role": "primary", "cidr": "10.0.0.0/23", "pool": "primary", "vrf": "default", "usable": 507},
                {"role": "cgnat", "cidr": "100.64.0.0/18", "pool": "cgnat", "vrf": "default", "usable": 16379},
            ]),
        ),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    let mut read = api.get(&path(made)).await.ok(200);
    assert_eq!(
        read["claim"],
        Value::Null,
        "the claim is for who created it"
    );
    read["claim"] = made["claim"].clone();
    assert_eq!(&read, made);
    assert_eq!(
        (
            api.events("vpc.create").await,
            api.events("allocation.create").await
        ),
        (1, 1)
    );
    api.verify().await;
}

#[tokio::test]
async fn the_sizing_table_holds_at_every_boundary() {
    let api = Api::start().await;
    let table = [
        (1, 59, 26),
        (60, 123, 25),
        (124, 251, 24),
        (252, 507, 23),
        (508, 1019, 22),
        (1020, 2043, 21),
        (2044, 4091, 20),
    ];
    let mut expected_low = 1;
    for (low, high, length) in table {
        assert_eq!(low, expected_low, "the table has no holes");
        expected_low = high + 1;
        for hosts in [low, high] {
            let made = api.allocate(json!({"vpc": "a", "hosts": hosts})).await;
            let [node, pod] = &made["blocks"].as_array().unwrap()[..] else {
                panic!("{made}")
            };
            let ends = |block: &Value, length: u32| {
                assert!(
                    block["cidr"]
                        .as_str()
                        .unwrap()
                        .ends_with(&format!("/{length}")),
                    "{hosts} hosts: {block}"
                );
                assert_eq!(block["usable"], 2_u64.pow(32 - length) - 5, "{hosts} hosts");
            };
            ends(node, length);
            ends(pod, length - 5);
            assert_eq!(
                (&made["prefix_length"], &made["requested_hosts"]),
                (&json!(length), &json!(hosts))
            );
        }
    }
    for hosts in [
        json!(0),
        json!(4092),
        json!(4_000_000_000_u64),
        json!(i64::MAX),
    ] {
        let reply = api
            .post(ALLOCATIONS, &json!({"vpc": "a", "hosts": hosts}))
            .await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(hosts == 0 || detail.contains("4091"), "{detail}");
    }
    api.verify().await;
}

#[tokio::test]
async fn sizes_by_prefix_length_are_bounded() {
    let api = Api::start().await;
    for length in 20..=26 {
        let made = api
            .allocate(json!({"vpc": "a", "prefix_length": length}))
            .await;
        assert_eq!(
            (&made["prefix_length"], &made["requested_prefix_length"]),
            (&json!(length), &json!(length))
        );
    }
    for length in [
        json!(0),
        json!(19),
        json!(27),
        json!(32),
        json!(255),
        json!(256),
        json!(-1),
        json!("24"),
        json!(24.5),
    ] {
        let reply = api
            .post(ALLOCATIONS, &json!({"vpc": "b", "prefix_length": length}))
            .await;
        reply.problem(400, "invalid_request");
    }
    for sizes in [
        json!({}),
        json!({"hosts": 5, "prefix_length": 24}),
        json!({"hosts": 5, "cidr": "10.0.9.0/24"}),
        json!({"hosts": 5, "prefix_length": 24, "cidr": "10.0.9.0/24"}),
    ] {
        let mut body = sizes;
        body["vpc"] = json!("b");
        let reply = api.post(ALLOCATIONS, &body).await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains("exactly one"), "{detail}");
    }
    assert_eq!(
        api.count("select count(*) from vpc").await,
        1,
        "a refused request makes no VPC"
    );
    api.verify().await;
}

#[tokio::test]
async fn an_explicit_block_is_given_or_its_owner_named() {
    let api = Api::start().await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "x", "cidr": "10.0.8.0/21"}))
        .await;
    assert_eq!(cidrs(&made), ["10.0.8.0/21", "100.64.0.0/16"]);
    assert_eq!(made["requested_cidr"], "10.0.8.0/21");

    // What it is, what lies inside, what lies around.
    for taken in ["10.0.8.0/21", "10.0.15.192/26", "10.0.0.0/20"] {
        let reply = api
            .post(ALLOCATIONS, &json!({"vpc": "b", "cidr": taken}))
            .await;
        let (detail, details) = reply.problem(409, "overlap");
        assert!(
            detail.contains("a/x") && detail.contains("10.0.8.0/21"),
            "{detail}"
        );
        let conflict = &details["conflicts"][0];
        assert_eq!(
            (
                &conflict["cidr"],
                &conflict["vpc"],
                &conflict["name"],
                &conflict["allocation_id"],
                &conflict["pool"]
            ),
            (
                &json!("10.0.8.0/21"),
                &json!("a"),
                &json!("x"),
                &made["id"],
                &json!("primary")
            )
        );
    }
    // Taken out of circulation by hand.
    api.sql("insert into block (range_id, cidr, range_cidr, reason) select range_id, '10.0.64.0/20', cidr, 'data centre 3'
        from pool_range where cidr = '10.0.0.0/16'").await;
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "b", "cidr": "10.0.64.0/24"}))
        .await;
    // The free list was not told, so that the constraint is what stands in the way. No 5xx, and no block.
    reply.problem(409, "overlap");

    for wrong in [
        "10.0.8.1/21",
        "10.1.0.0/24",
        "192.168.0.0/24",
        "2001:db8::/64",
        "10.0.0.0/8",
        "10.0.16.0/27",
        "10.0.16.0/19",
        "10.0.16.0",
        "10.0.16.0/33",
        "010.0.16.0/24",
        "x",
        "",
    ] {
        api.post(ALLOCATIONS, &json!({"vpc": "b", "cidr": wrong}))
            .await
            .problem(400, "invalid_request");
    }
    assert_eq!(api.count("select count(*) from allocation").await, 1);
}

#[tokio::test]
async fn a_dry_run_answers_what_is_then_allocated_and_writes_nothing() {
    let api = Api::start().await;
    // A fragmented state, so that the answer is not just the first address.
    let mut live = Vec::new();
    for step in 0..24 {
        live.push(
            api.allocate(json!({"vpc": "a", "prefix_length": 20 + (step * 5) % 7}))
                .await,
        );
        if step % 3 == 2 {
            let gone = live.remove(usize::try_from(step).unwrap() % live.len());
            api.delete(&path(&gone)).await.ok(204);
        }
    }
    for body in [
        json!({"vpc": "a", "hosts": 500}),
        json!({"vpc": "new", "name": "n", "hosts": 60, "labels": {"a": "b"}, "description": "d", "deletion_protection": true}),
        json!({"vpc": "A", "prefix_length": 26}),
        json!({"vpc": "b", "prefix_length": 20}),
        json!({"vpc": "b", "cidr": "10.0.240.0/22"}),
    ] {
        let before = api.state().await;
        let mut dry = body.clone();
        dry["dry_run"] = json!(true);
        let would = api.post(ALLOCATIONS, &dry).await.ok(200);
        assert_eq!(api.state().await, before, "{dry}");
        assert_eq!(
            (&would["id"], &would["claim"]),
            (&json!("00000000-0000-0000-0000-000000000000"), &Value::Null)
        );
        let is = api.allocate(body.clone()).await;
        for field in [
            "vpc",
            "name",
            "profile",
            "cidr",
            "prefix_length",
            "requested_hosts",
            "requested_prefix_length",
            "requested_cidr",
            "blocks",
            "labels",
            "description",
            "deletion_protection",
            "revision",
            "created_by",
        ] {
            assert_eq!(would[field], is[field], "{field} of {body}");
        }
    }
    // It is as exact about what would be refused.
    for (body, status, code) in [
        (json!({"vpc": "a", "cidr": "10.0.240.0/22"}), 409, "overlap"),
        (json!({"vpc": "a", "hosts": 4092}), 400, "invalid_request"),
        (
            json!({"vpc": "new", "name": "n", "hosts": 61}),
            409,
            "name_taken",
        ),
        (
            json!({"vpc": "a", "hosts": 5, "profile": "none"}),
            404,
            "not_found",
        ),
    ] {
        let before = api.state().await;
        let mut dry = body.clone();
        dry["dry_run"] = json!(true);
        api.post(ALLOCATIONS, &dry).await.problem(status, code);
        assert_eq!(api.state().await, before);
        api.post(ALLOCATIONS, &body).await.problem(status, code);
        assert_eq!(api.state().await, before, "{body}");
    }
    // A dry run of what exists answers what exists, and adopts nothing.
    let before = api.state().await;
    let dry = api
        .post(
            ALLOCATIONS,
            &json!({"vpc": "new", "name": "n", "hosts": 60, "dry_run": true}),
        )
        .await
        .ok(200);
    assert_eq!(
        (&dry["claim"], &dry["name"], api.state().await),
        (&Value::Null, &json!("n"), before)
    );
    assert_ne!(dry["number"], 0);
    api.verify().await;
}

#[tokio::test]
async fn an_exhausted_pool_says_what_is_left() {
    let api = Api::start().await;
    // A /26 in each of the 16 /20: a /20 fits nowhere, though nearly all is free.
    for third in (0..256).step_by(16) {
        api.allocate(json!({"vpc": "a", "cidr": format!("10.0.{third}.0/26")}))
            .await;
    }
    let before = api.state().await;
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "a", "prefix_length": 20}))
        .await;
    let (detail, details) = reply.problem(409, "pool_exhausted");
    for (field, value) in [
        ("pool", json!("primary")),
        ("vrf", json!("default")),
        ("ranges", json!(["10.0.0.0/16"])),
        ("role", json!("primary")),
        ("prefix_length", json!(20)),
        ("largest_free_prefix_length", json!(21)),
        ("free_addresses", json!(65536 - 16 * 64)),
        ("fits_if_defragmented", json!(15)),
        ("fits", json!(0)),
        (
            "advice",
            json!(
                "release or move an allocation of a (10.0.0.0/26): then 10.0.0.0/20 is free; or add a range of /20 or \
            larger to pool \"primary\""
            ),
        ),
    ] {
        assert_eq!(details["pools"][0][field], value, "{field}");
    }
    let fix = &details["pools"][0]["fix"];
    assert_eq!(
        (
            &fix["region"],
            &fix["used_addresses"],
            &fix["blocks"][0]["cidr"]
        ),
        (&json!("10.0.0.0/20"), &json!(64), &json!("10.0.0.0/26"))
    );
    assert!(
        [
            "/20",
            "primary",
            "10.0.0.0/16",
            "/21",
            "15",
            "release or move an allocation of a"
        ]
        .iter()
        .all(|word| detail.contains(word)),
        "{detail}"
    );
    assert_eq!(api.state().await, before);
    // What is left can be had: to the last block.
    for _ in 0..16 {
        api.allocate(json!({"vpc": "a", "prefix_length": 21})).await;
    }
    for length in 22..=26 {
        for _ in 0..16 {
            api.allocate(json!({"vpc": "a", "prefix_length": length}))
                .await;
        }
    }
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "a", "prefix_length": 26}))
        .await;
    let (detail, details) = reply.problem(409, "pool_exhausted");
    assert_eq!(
        (
            &details["pools"][0]["largest_free_prefix_length"],
            &details["pools"][0]["free_addresses"]
        ),
        (&Value::Null, &json!(0))
    );
    assert!(detail.contains("full"), "{detail}");
    api.verify().await;
}

#[tokio::test]
async fn when_the_second_pool_is_full_the_first_keeps_nothing() {
    let api = Api::start().await;
    api.sql(
        "delete from pool_range where cidr = '100.64.0.0/10';
        insert into pool_range (pool_id, vrf_id, family, cidr)
        select pool_id, vrf_id, 4, '100.64.0.0/15' from pool where name = 'cgnat'",
    )
    .await;
    api.allocate(json!({"vpc": "a", "prefix_length": 21})).await;
    let before = api.state().await;
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "b", "prefix_length": 20}))
        .await;
    let (_, details) = reply.problem(409, "pool_exhausted");
    let left = &details["pools"][0];
    assert_eq!(
        (
            &left["pool"],
            &left["role"],
            &left["prefix_length"],
            &left["largest_free_prefix_length"],
            &left["fits_if_defragmented"]
        ),
        (
            &json!("cgnat"),
            &json!("cgnat"),
            &json!(15),
            &json!(16),
            &json!(0)
        )
    );
    assert_eq!(api.state().await, before);
    assert_eq!(
        api.get(&format!("{POOLS}/primary")).await.ok(200)["used_addresses"],
        2048
    );
    api.allocate(json!({"vpc": "a", "prefix_length": 21})).await;
    api.verify().await;
}

#[tokio::test]
async fn unknown_profiles_and_missing_pools_are_named() {
    let api = Api::start().await;
    let reply = api
        .post(
            ALLOCATIONS,
            &json!({"vpc": "a", "hosts": 5, "profile": "gpu"}),
        )
        .await;
    let (detail, _) = reply.problem(404, "not_found");
    assert!(detail.contains("gpu"), "{detail}");
    api.sql("update pool set name = 'pods' where name = 'cgnat'")
        .await;
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "a", "hosts": 5}))
        .await;
    let (detail, _) = reply.problem(404, "not_found");
    assert!(detail.contains("node-pod"), "{detail}");
    assert_eq!(api.count("select count(*) from vpc").await, 0);
}

#[tokio::test]
async fn a_free_list_that_lost_a_block_hangs_nobody() {
    let api = Api::start().await;
    api.sql("delete from free_block").await;
    let body = json!({"vpc": "a", "cidr": "10.0.0.0/24"});
    let reply = tokio::time::timeout(Duration::from_secs(20), api.post(ALLOCATIONS, &body)).await;
    reply
        .expect("an answer, whatever the state of the database")
        .problem(500, "internal");
}
