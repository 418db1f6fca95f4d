//! Resize in place, and cooldown after a release.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, PROFILES, cidrs, path};

async fn past(api: &Api) -> i64 {
    api.count("select count(*) from past_block").await
}

#[tokio::test]
async fn every_block_grows_and_shrinks_in_place() {
    let api = Api::start().await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "hosts": 200}))
        .await;
    assert_eq!(cidrs(&made), ["10.0.0.0/24", "100.64.0.0/19"]);
    let dry = api
        .patch(&path(&made), &json!({"hosts": 500, "dry_run": true}))
        .await
        .ok(200);
    assert_eq!(cidrs(&dry), ["10.0.0.0/23", "100.64.0.0/18"]);
    assert_eq!(
        api.get(&path(&made)).await.ok(200)["revision"],
        1,
        "a dry run writes nothing"
    );
    let grown = api
        .patch(&path(&made), &json!({"hosts": 500}))
        .await
        .ok(200);
    assert_eq!(cidrs(&grown), cidrs(&dry));
    assert_eq!(
        (
            &grown["id"],
            &grown["prefix_length"],
            &grown["requested_hosts"]
        ),
        (&made["id"], &json!(23), &json!(500))
    );
    let shrunk = api
        .patch(
            &path(&made),
            &json!({"prefix_length": 26, "description": "less"}),
        )
        .await
        .ok(200);
    assert_eq!(cidrs(&shrunk), ["10.0.0.0/26", "100.64.0.0/21"]);
    assert_eq!(shrunk["description"], "less");
    assert_eq!(api.events("allocation.resize").await, 2);
    assert_eq!(past(&api).await, 4, "what each block was is history");
    // The space that was given up is free for others, at once.
    let other = api
        .allocate(json!({"vpc": "b", "cidr": "10.0.0.64/26"}))
        .await;
    let reply = api.patch(&path(&made), &json!({"prefix_length": 25})).await;
    let (detail, details) = reply.problem(409, "overlap");
    assert!(
        detail.contains(
            "from 10.0.0.0/26 to 10.0.0.0/25: 10.0.0.64/26 belongs to an allocation of VPC \"b\""
        ),
        "{detail}"
    );
    assert_eq!(details["conflicts"][0]["allocation_id"], other["id"]);
    assert_eq!(
        details["conflicts"].as_array().unwrap().len(),
        1,
        "its own block is not in its way"
    );
    api.verify().await;
    api.delete(&path(&made)).await.ok(204);
    api.verify().await;
}

#[tokio::test]
async fn if_one_block_cannot_grow_none_does() {
    let api = Api::start().await;
    let made = api.allocate(json!({"vpc": "a", "hosts": 50})).await;
    // Beside the second block, out of the way of the first.
    api.post(
        "/api/v1/reservations",
        &json!({"cidr": "100.64.8.0/24", "reason": "legacy"}),
    )
    .await
    .ok(201);
    let before = api.state().await;
    let reply = api.patch(&path(&made), &json!({"prefix_length": 25})).await;
    let (detail, _) = reply.problem(409, "overlap");
    assert!(
        detail.contains("100.64.8.0/24 is reserved: legacy"),
        "{detail}"
    );
    assert_eq!(api.state().await, before);
    api.verify().await;
}

#[tokio::test]
async fn a_block_in_the_upper_half_grows_downwards_and_never_beyond_its_range() {
    let api = Api::start().await;
    api.post(
        POOLS,
        &json!({"name": "p", "ranges": ["10.9.0.0/25", "10.9.0.128/25"], "max_prefix_length": 30}),
    )
    .await
    .ok(201);
    let made = api
        .allocate(json!({"vpc": "a", "pools": ["p"], "cidr": "10.9.0.112/28"}))
        .await;
    let grown = api
        .patch(&path(&made), &json!({"prefix_length": 26}))
        .await
        .ok(200);
    assert_eq!(cidrs(&grown), ["10.9.0.64/26"]);
    assert_eq!(grown["requested_cidr"], Value::Null);
    api.patch(&path(&made), &json!({"prefix_length": 25}))
        .await
        .ok(200);
    let reply = api.patch(&path(&made), &json!({"prefix_length": 24})).await;
    let (detail, _) = reply.problem(409, "overlap");
    assert!(
        detail.contains("its range 10.9.0.0/25 of pool \"p\" is not larger"),
        "{detail}"
    );
    api.patch(&path(&made), &json!({"prefix_length": 31}))
        .await
        .problem(400, "invalid_request");
    api.verify().await;
}

#[tokio::test]
async fn a_member_with_one_length_stays_and_excluded_networks_stay_out() {
    let api = Api::start().await;
    api.post(
        POOLS,
        &json!({"name": "services", "ranges": ["172.16.0.0/16"]}),
    )
    .await
    .ok(201);
    let members = json!([{"role": "node", "pool": "primary"},
        {"role": "service", "pool": "services", "min_prefix_length": 20, "max_prefix_length": 20}]);
    api.post(PROFILES, &json!({"name": "p", "members": members}))
        .await
        .ok(201);
    let made = api.allocate(json!({"vpc": "a", "profile": "p", "prefix_length": 25, "exclude_cidrs": ["10.0.1.0/24"]})).await;
    let grown = api
        .patch(&path(&made), &json!({"prefix_length": 24}))
        .await
        .ok(200);
    assert_eq!(cidrs(&grown), ["10.0.0.0/24", "172.16.0.0/20"]);
    let reply = api.patch(&path(&made), &json!({"prefix_length": 23})).await;
    let (detail, _) = reply.problem(409, "overlap");
    assert!(detail.contains("10.0.1.0/24 (exclude_cidrs)"), "{detail}");
    assert_eq!(past(&api).await, 1, "the block that stayed is no history");
    api.verify().await;
}

#[tokio::test]
async fn neighbours_that_want_the_same_space_at_once_never_share_it() {
    let api = Api::with_connections(8).await;
    let mut all = Vec::new();
    for _ in 0..16 {
        all.push(api.allocate(json!({"vpc": "a", "hosts": 50})).await);
    }
    // Every second one goes, and the others all want to grow while new ones come.
    join_all(
        all.iter()
            .step_by(2)
            .map(|one| async { api.delete(&path(one)).await.ok(204) }),
    )
    .await;
    let grown = join_all(all.iter().skip(1).step_by(2).map(|one| async {
        api.patch(&path(one), &json!({"prefix_length": 25}))
            .await
            .status
    }));
    let new = join_all((0..8).map(|_| async {
        api.post(ALLOCATIONS, &json!({"vpc": "b", "hosts": 50}))
            .await
            .status
    }));
    let (grown, new) = futures::join!(grown, new);
    assert!(new.iter().all(|status| *status == 201), "{new:?}");
    assert!(
        grown.iter().all(|status| [200, 409].contains(status)),
        "{grown:?}"
    );
    api.verify().await;
}

#[tokio::test]
async fn released_space_cools_down_and_goes_back_to_the_same_name_only() {
    let api = Api::start().await;
    api.patch(
        &format!("{POOLS}/primary"),
        &json!({"release_cooldown_seconds": 3600}),
    )
    .await
    .ok(200);
    api.patch(
        &format!("{POOLS}/cgnat"),
        &json!({"release_cooldown_seconds": 3600}),
    )
    .await
    .ok(200);
    let ask = |name: &str, hosts: u16| json!({"vpc": "Prod", "name": name, "hosts": hosts});
    let one = api.allocate(ask("one", 200)).await;
    let two = api.allocate(ask("two", 200)).await;
    api.delete(&path(&one)).await.ok(204);
    api.delete(&path(&two)).await.ok(204);
    api.verify().await;
    // Somebody else gets other space, and an explicit request is told until when.
    let other = api.allocate(ask("three", 200)).await;
    assert_eq!(cidrs(&other)[0], "10.0.2.0/24");
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "b", "cidr": "10.0.0.0/24"}))
        .await;
    let (detail, details) = reply.problem(409, "overlap");
    assert!(
        detail.contains("belonged to allocation \"prod/one\" and cools down until 20"),
        "{detail}"
    );
    assert!(details["conflicts"][0]["free_at"].is_string());
    // Another size is another thing.
    let larger = api.allocate(ask("two", 500)).await;
    assert_eq!(cidrs(&larger)[0], "10.0.4.0/23");
    // The VPC may go meanwhile, and a dry run says what comes back.
    api.delete("/api/v1/vpcs/prod?cascade=true").await.ok(200);
    let mut dry = ask("one", 200);
    dry["vpc"] = json!("prod");
    dry["dry_run"] = json!(true);
    assert_eq!(
        cidrs(&api.post(ALLOCATIONS, &dry).await.ok(200)),
        cidrs(&one)
    );
    let back = api
        .allocate(json!({"vpc": "prod", "name": "one", "hosts": 200}))
        .await;
    assert_eq!(cidrs(&back), cidrs(&one));
    assert_ne!(back["id"], one["id"]);
    api.verify().await;
}

#[tokio::test]
async fn space_is_free_again_when_its_time_is_over() {
    let api = Api::start().await;
    api.post(
        POOLS,
        &json!({"name": "p", "ranges": ["10.9.0.0/28"], "release_cooldown_seconds": 1}),
    )
    .await
    .ok(201);
    let ask = json!({"vpc": "a", "pools": ["p"], "prefix_length": 28});
    let made = api.allocate(ask.clone()).await;
    api.delete(&path(&made)).await.ok(204);
    api.post(ALLOCATIONS, &ask)
        .await
        .problem(409, "pool_exhausted");
    let deadline = Instant::now() + Duration::from_secs(20);
    while api.ipam.end_cooldowns().await.unwrap() == 0 {
        assert!(Instant::now() < deadline, "it never cools down");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    api.verify().await;
    api.allocate(ask).await;
    assert_eq!(api.count("select count(*) from cooldown").await, 0);
    api.verify().await;
}

#[tokio::test]
async fn what_an_allocation_gave_up_it_can_grow_back_into() {
    let api = Api::start().await;
    for pool in ["primary", "cgnat"] {
        api.patch(
            &format!("{POOLS}/{pool}"),
            &json!({"release_cooldown_seconds": 3600}),
        )
        .await
        .ok(200);
    }
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "prefix_length": 22}))
        .await;
    api.patch(&path(&made), &json!({"prefix_length": 26}))
        .await
        .ok(200);
    api.verify().await;
    assert!(api.count("select count(*) from cooldown").await > 2);
    let other = api.allocate(json!({"vpc": "b", "prefix_length": 26})).await;
    assert_eq!(cidrs(&other)[0], "10.0.4.0/26");
    let back = api
        .patch(&path(&made), &json!({"prefix_length": 22}))
        .await
        .ok(200);
    assert_eq!(cidrs(&back), cidrs(&made));
    assert_eq!(api.count("select count(*) from cooldown").await, 0);
    api.verify().await;
}

#[tokio::test]
async fn what_cools_down_keeps_its_owner_when_the_cooldown_is_switched_off() {
    let api = Api::start().await;
    let set = async |seconds: u32| {
        for pool in ["primary", "cgnat"] {
            let patch = json!({"release_cooldown_seconds": seconds});
            api.patch(&format!("{POOLS}/{pool}"), &patch).await.ok(200);
        }
    };
    set(3600).await;
    let ask = |name: &str, length: u8| json!({"vpc": "a", "name": name, "prefix_length": length});
    let small = api.allocate(ask("small", 22)).await;
    let gone = api.allocate(ask("gone", 24)).await;
    api.patch(&path(&small), &json!({"prefix_length": 26}))
        .await
        .ok(200);
    api.delete(&path(&gone)).await.ok(204);
    set(0).await;
    let back = api.allocate(ask("gone", 24)).await;
    assert_eq!(cidrs(&back), cidrs(&gone));
    let grown = api
        .patch(&path(&small), &json!({"prefix_length": 22}))
        .await
        .ok(200);
    assert_eq!(cidrs(&grown), cidrs(&small));
    api.verify().await;
}

#[tokio::test]
async fn what_cools_down_for_a_name_decides_only_what_it_is_given_back_for() {
    let api = Api::start().await;
    for (pool, range) in [("p", "10.9.0.0/24"), ("q", "10.9.1.0/24")] {
        let new = json!({"name": pool, "ranges": [range], "release_cooldown_seconds": 3600});
        api.post(POOLS, &new).await.ok(201);
    }
    let ask = |pools: &[&str], length: u8| json!({"vpc": "a", "name": "n", "pools": pools, "prefix_length": length});
    let made = api.allocate(ask(&["q"], 26)).await;
    api.delete(&path(&made)).await.ok(204);
    // Another size comes from the first pool, as it does without a name.
    let other = api.allocate(ask(&["p", "q"], 27)).await;
    assert_eq!(cidrs(&other), ["10.9.0.0/27"]);
    api.delete(&path(&other)).await.ok(204);
    let made = api.allocate(ask(&["p", "q"], 26)).await;
    assert_eq!(cidrs(&made), ["10.9.0.64/26"]);
    api.delete(&path(&made)).await.ok(204);
    // Nor is it given to a request that has to keep away from it.
    let mut away = ask(&["p", "q"], 26);
    away["exclude_cidrs"] = json!(["10.9.0.64/28"]);
    let other = api.allocate(away).await;
    assert_eq!(cidrs(&other), ["10.9.0.128/26"]);
    api.verify().await;
}

#[tokio::test]
async fn more_hosts_than_can_be_stored_are_refused_and_never_forgotten() {
    let api = Api::start().await;
    let pool = json!({"name": "six", "ranges": ["fd00:1234::/40"], "min_prefix_length": 40});
    api.post(POOLS, &pool).await.ok(201);
    let member = json!({"role": "a", "pool": "six", "min_prefix_length": 40});
    let profile = json!({"name": "six", "members": [member]});
    api.post(PROFILES, &profile).await.ok(201);
    let most = i64::MAX.unsigned_abs();
    for (number, from) in [json!({"pools": ["six"]}), json!({"profile": "six"})]
        .into_iter()
        .enumerate()
    {
        let ask = |hosts: u64, dry_run: bool| {
            let mut body = from.clone();
            body["vpc"] = json!("a");
            body["name"] = json!(format!("n-{number}"));
            body["hosts"] = json!(hosts);
            body["dry_run"] = json!(dry_run);
            body
        };
        for dry_run in [true, false] {
            let reply = api.post(ALLOCATIONS, &ask(most + 1, dry_run)).await;
            let (detail, _) = reply.problem(400, "invalid_request");
            assert!(detail.contains(&most.to_string()), "{detail}");
        }
        let made = api.allocate(ask(most, false)).await;
        assert_eq!(made["requested_hosts"], most);
        for dry_run in [true, false] {
            let patch = json!({"hosts": most + 1, "dry_run": dry_run});
            let reply = api.patch(&path(&made), &patch).await;
            reply.problem(400, "invalid_request");
        }
        let again = api.post(ALLOCATIONS, &ask(most, false)).await.ok(200);
        assert_eq!(again["id"], made["id"]);
    }
    api.verify().await;
}

#[tokio::test]
async fn a_pool_that_somebody_has_locked_keeps_no_other_from_cooling_down() {
    let api = Api::start().await;
    for (name, range) in [("p", "10.9.0.0/28"), ("q", "10.9.1.0/28")] {
        let pool = json!({"name": name, "ranges": [range], "release_cooldown_seconds": 1});
        api.post(POOLS, &pool).await.ok(201);
        let ask = json!({"vpc": "a", "pools": [name], "prefix_length": 28});
        let made = api.allocate(ask).await;
        api.delete(&path(&made)).await.ok(204);
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let first =
        "(select pool_id from cooldown join pool_range using (range_id) order by 1 limit 1)";
    let mut holder = api.database.connect().await;
    let hold = format!("begin; select from pool where pool_id = {first} for update");
    sqlx::raw_sql(sqlx::AssertSqlSafe(hold))
        .execute(&mut holder)
        .await
        .unwrap();
    api.ipam.end_cooldowns().await.unwrap_err();
    assert_eq!(api.count("select count(*) from cooldown").await, 1);
    drop(holder);
    assert_eq!(api.ipam.end_cooldowns().await.unwrap(), 1);
    api.verify().await;
}
