//! What a move to an empty server keeps: whoever repeats a request by name is answered as before, and nothing is lost of
//! profiles, of what cools down, and of the past. The state machine in `tests/model` does the same with random worlds.

use serde_json::{Value, json};

use crate::{
    support::{ALLOCATIONS, Api, POOLS, PROFILES, RESERVATIONS, Reply, cidrs, path},
    transfer::{carry_over, check, conflicts, import, send},
};

const FORMATS: [(&str, &str); 2] = [("csv", "text/csv"), ("json", "application/x-ndjson")];

/// Everybody who ever held a part of a network.
async fn history(api: &Api, cidr: &str) -> Value {
    let page = api.get(&format!("/api/v1/history?cidr={cidr}")).await;
    page.ok(200)["items"].clone()
}

async fn ask(api: &Api, body: &Value) -> Reply {
    api.post(ALLOCATIONS, body).await
}

#[tokio::test]
async fn a_request_for_the_default_size_is_answered_again() {
    let api = Api::start().await;
    api.post(
        POOLS,
        &json!({"name": "corp", "ranges": ["172.16.0.0/16"], "default_prefix_length": 24, "labels": {"tier": "corp"}}),
    )
    .await
    .ok(201);
    let bodies = [
        json!({"vpc": "prod", "name": "listed", "pools": ["corp"]}),
        json!({"vpc": "prod", "name": "selected", "pool_selector": {"tier": "corp"}}),
        json!({"vpc": "prod", "name": "exact", "pools": ["corp"], "cidr": "172.16.9.0/24"}),
    ];
    let mut made = Vec::new();
    for body in &bodies {
        made.push(ask(&api, body).await.ok(201));
    }
    for (format, kind) in FORMATS {
        let other = carry_over(&api, format, kind).await;
        for (body, made) in bodies.iter().zip(&made) {
            let again = ask(&other, body).await.ok(200);
            for field in ["id", "cidr", "requested_cidr", "requested_prefix_length"] {
                assert_eq!(again[field], made[field], "{field} of {body}");
            }
        }
    }
}

#[tokio::test]
async fn a_retired_member_is_there_although_its_role_is_used_again() {
    let api = Api::start().await;
    for (name, cidr) in [("a", "172.16.0.0/16"), ("b", "172.17.0.0/16")] {
        let body = json!({"name": name, "ranges": [cidr], "max_prefix_length": 28});
        api.post(POOLS, &body).await.ok(201);
    }
    let member = |pool: &str| json!([{"role": "nodes", "pool": pool, "min_prefix_length": 20, "max_prefix_length": 28}]);
    let body = json!({"name": "cluster", "members": member("a")});
    let profile = api.post(PROFILES, &body).await.ok(201);
    let profile = format!("{PROFILES}/{}", profile["id"].as_str().unwrap());
    // The same role with the same bounds, of another pool, and then of the first again.
    for (pool, name) in [("a", "first"), ("b", "second"), ("a", "third")] {
        api.patch(&profile, &json!({"members": member(pool)}))
            .await
            .ok(200);
        let body = json!({"vpc": "prod", "name": name, "profile": "cluster", "prefix_length": 24});
        ask(&api, &body).await.ok(201);
    }
    let members = "select string_agg(format('%s %s %s', allocation.name, pool_name, retired_at is null), ', ' order by allocation.name)
        from block join allocation using (allocation_id) join profile_member using (member_id)";
    let before = api.text(members).await;
    assert_eq!(before, "first a f, second b f, third a t");
    for (format, kind) in FORMATS {
        let other = carry_over(&api, format, kind).await;
        assert_eq!(other.text(members).await, before);
    }
}

#[tokio::test]
async fn what_cools_down_does_so_elsewhere() {
    let api = Api::start().await;
    api.post(
        POOLS,
        &json!({"name": "slow", "ranges": ["172.16.0.0/23"], "release_cooldown_seconds": 86_400}),
    )
    .await
    .ok(201);
    let body = |vpc: &str, name: &str| json!({"vpc": vpc, "name": name, "pools": ["slow"], "prefix_length": 24});
    let gone = ask(&api, &body("Prod", "web")).await.ok(201);
    api.delete(&path(&gone)).await.ok(204);
    // Its pool has no cooldown any more, and its VPC is gone.
    let pool = api.get(POOLS).await.ok(200);
    let pool = pool["items"].as_array().unwrap().iter();
    let pool = pool.clone().find(|pool| pool["name"] == "slow").unwrap();
    let pool = format!("{POOLS}/{}", pool["id"].as_str().unwrap());
    api.patch(&pool, &json!({"release_cooldown_seconds": 0}))
        .await
        .ok(200);
    api.delete("/api/v1/vpcs/prod").await.ok(200);
    for (format, kind) in FORMATS {
        let other = carry_over(&api, format, kind).await;
        assert_eq!(
            history(&other, "172.16.0.0/23").await,
            history(&api, "172.16.0.0/23").await
        );
        let found = other.get("/api/v1/lookup?ip=172.16.0.1").await.ok(200);
        assert_eq!(found["holders"][0]["kind"], "cooldown", "{found}");
        let stranger = ask(&other, &body("other", "web")).await.ok(201);
        assert_eq!(cidrs(&stranger), ["172.16.1.0/24"]);
        ask(&other, &body("other", "more"))
            .await
            .problem(409, "pool_exhausted");
        let again = ask(&other, &body("prod", "web")).await.ok(201);
        assert_eq!(cidrs(&again), cidrs(&gone), "the same name gets it back");
        other.verify().await;
    }
}

#[tokio::test]
async fn the_past_moves_along() {
    let api = Api::start().await;
    let dev = api
        .post("/api/v1/vrfs", &json!({"name": "dev"}))
        .await
        .ok(201);
    let pool = json!({"name": "old", "vrf": "dev", "ranges": ["172.16.0.0/16"]});
    let pool = api.post(POOLS, &pool).await.ok(201);
    let vpc = json!({"name": "lab", "vrf": "dev"});
    let vpc = api.post("/api/v1/vpcs", &vpc).await.ok(201);
    let body = json!({"vpc": "lab", "name": "first", "pools": ["old"], "prefix_length": 24});
    let gone = ask(&api, &body).await.ok(201);
    api.delete(&path(&gone)).await.ok(204);
    let body = json!({"cidr": "172.16.8.0/24", "vrf": "dev", "reason": "for a while"});
    let reserved = api.post(RESERVATIONS, &body).await.ok(201);
    let reservation = format!("{RESERVATIONS}/{}", reserved["id"].as_str().unwrap());
    api.delete(&reservation).await.ok(204);
    let grown = api
        .allocate(json!({"vpc": "prod", "name": "grown", "prefix_length": 26}))
        .await;
    api.patch(&path(&grown), &json!({"prefix_length": 25}))
        .await
        .ok(200);
    // Pool and VRF are gone too.
    for (noun, it, status) in [
        ("pools", &pool, 204),
        ("vpcs", &vpc, 200),
        ("vrfs", &dev, 204),
    ] {
        let path = format!("/api/v1/{noun}/{}", it["id"].as_str().unwrap());
        assert_eq!(api.delete(&path).await.status, status, "{noun}");
    }
    let past = history(&api, "172.16.0.0/16").await;
    assert_eq!(past.as_array().map(Vec::len), Some(2), "{past}");
    let then = past[1]["since"].as_str().unwrap();
    let lookup = format!("/api/v1/lookup?ip=172.16.0.1&at={then}");
    for (format, kind) in FORMATS {
        let other = carry_over(&api, format, kind).await;
        assert_eq!(history(&other, "172.16.0.0/16").await, past);
        assert_eq!(
            history(&other, "10.0.0.0/16").await,
            history(&api, "10.0.0.0/16").await
        );
        let found = other.get(&lookup).await.ok(200);
        assert_eq!(found["holders"][0]["allocation_id"], gone["id"], "{found}");
        // Deleted is not unknown, there neither.
        let reply = other.get(&path(&gone)).await;
        let (detail, _) = reply.problem(410, "gone");
        assert!(detail.contains("was deleted at"), "{detail}");
        other.get(&path(&grown)).await.ok(200);
    }
}

#[tokio::test]
async fn what_cools_down_and_the_past_have_to_make_sense() {
    let api = Api::start().await;
    import(&api, "cidr,vpc,name\n10.0.0.0/24,prod,web\n").await;
    let id = "01a22601-57ce-733b-a991-3c303f62517a";
    let file = format!(
        "kind,pool,cidr,vpc,name,role,reason,id,pool_id,vrf_id,since,released_at,until\n\
         cooldown,primary,10.0.0.0/25,prod,web,main,,{id},,,2025-01-01T00:00:00Z,,2025-02-01T00:00:00Z\n\
         cooldown,nopool,10.0.4.0/24,prod,web,main,,{id},,,2025-01-01T00:00:00Z,,2025-02-01T00:00:00Z\n\
         cooldown,primary,10.0.5.0/24,prod,web,main,,{id},,,2025-01-01T00:00:00Z,,2999-12-01T00:00:00Z\n\
         cooldown,primary,10.0.6.0/24,prod,web,main,,,,,2025-01-01T00:00:00Z,,2025-02-01T00:00:00Z\n\
         past_block,primary,10.0.7.0/24,prod,web,main,,{id},{id},,2025-01-02T00:00:00Z,,2025-01-01T00:00:00Z\n\
         past_block,primary,10.0.7.0/24,prod,web,main,,{id},{id},,2025-01-02T00:00:00Z,,2999-01-01T00:00:00Z\n\
         past_block,primary,10.0.7.0/24,,,,,{id},{id},,2025-01-01T00:00:00Z,,2025-01-02T00:00:00Z\n"
    );
    let found = conflicts(&api, &file).await;
    check(
        &found,
        &[
            (2, "overlap", "belongs to allocation \"prod/web\""),
            (3, "unknown_pool", "no pool \"nopool\""),
            (4, "bad_value", "until"),
            (5, "bad_value", "needs id"),
            (6, "bad_value", "until"),
            (7, "bad_value", "until"),
            (8, "bad_value", "vpc"),
        ],
    );
    // What is said of the past can be said again, and something else of the same time beside it.
    let file = format!(
        "kind,pool,cidr,vpc,name,role,id,pool_id,since,until\n\
         past_block,primary,10.0.7.0/24,prod,web,main,{id},{id},2025-01-01T00:00:00Z,2025-01-02T00:00:00Z\n\
         cooldown,primary,10.0.8.0/24,prod,web,main,{id},,2025-01-01T00:00:00Z,2025-02-01T00:00:00Z\n"
    );
    import(&api, file.clone()).await;
    let again = import(&api, file).await;
    assert_eq!(again["unchanged"], 2, "{again}");
    api.verify().await;
    assert_eq!(
        history(&api, "10.0.7.0/24").await[0]["name"],
        "web",
        "said once"
    );
}

#[tokio::test]
async fn exports_of_the_first_release_can_be_imported() {
    let file = include_str!("../fixtures/export-1.ndjson");
    let api = Api::start().await;
    let result = send(&api, "application/x-ndjson", "", file).await.ok(200);
    assert_eq!(result["total_conflicts"], 0);
    api.verify().await;
    // They did not say of a request that it was for the default size, but of every other what its size was.
    let body = json!({"vpc": "prod", "name": "default-size", "pools": ["corp"]});
    ask(&api, &body).await.ok(200);
    let body =
        json!({"vpc": "prod", "name": "by-cidr", "pools": ["six"], "cidr": "2001:db8:abcd::/48"});
    ask(&api, &body).await.ok(200);
    let again = send(&api, "application/x-ndjson", "", file).await.ok(200);
    assert_eq!(again["unchanged"], again["records"], "{again}");
}
