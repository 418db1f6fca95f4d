//! Quotas: how many addresses of a pool what a token's limits cover may hold. Never one more, whoever asks at the same time,
//! and never refused before the last one is taken.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, RESERVATIONS, Reply, TOKENS, VPCS, VRFS, path};

/// A pool of 1,024 addresses, and one of 2^64.
async fn world() -> Api {
    let api = Api::with_connections(8).await;
    for (name, range, shortest) in [("small", "10.8.0.0/22", 24), ("six", "2001:db8::/64", 64)] {
        let new = json!({
            "name": name, "ranges": [range], "min_prefix_length": shortest,
            "max_prefix_length": if shortest == 64 { 128 } else { 32 }, "reserved_addresses": 0,
        });
        api.post(POOLS, &new).await.ok(201);
    }
    api
}

/// Who allocates in the VPCs of a team, with these quotas.
fn of_team(name: &str, quotas: &Value) -> Value {
    json!({"name": name, "roles": ["allocator"], "limits": {"vpcs": ["team-*"], "quotas": quotas}})
}

async fn ask(api: &Api, key: &str, body: &Value) -> Reply {
    api.as_who(key, "POST", ALLOCATIONS, body).await
}

fn of_pool(name: &str, pool: &str, length: u8) -> Value {
    json!({"vpc": "team-a", "name": name, "pools": [pool], "prefix_length": length})
}

/// What a token says is used of its quotas, by itself and to the administrator.
async fn used(api: &Api, key: &str) -> Vec<u64> {
    let who = api
        .as_who(key, "GET", "/api/v1/whoami", &Value::Null)
        .await
        .ok(200);
    let path = format!("{TOKENS}/{}", who["token"].as_str().expect("a token"));
    let token = api.get(&path).await.ok(200);
    assert_eq!(who["usage"], token["usage"]);
    let used = who["usage"].as_array().expect("a list").iter();
    used.map(|it| it["used_addresses"].as_u64().expect("a number"))
        .collect()
}

async fn change_limits(api: &Api, name: &str, limits: Value) {
    let patch = json!({ "limits": limits });
    api.patch(&format!("{TOKENS}/{name}"), &patch).await.ok(200);
    tokio::time::sleep(std::time::Duration::from_millis(750)).await;
}

/// Addresses of allocations in the VPCs of the team, by pool, counted with a statement that the server does not have.
async fn held(api: &Api, pool: &str) -> String {
    let sql = format!(
        "select coalesce(sum(pow(2::numeric, (family(block.cidr) / 6 * 96 + 32) - masklen(block.cidr))), 0)::numeric(40)::text
        from block join allocation using (allocation_id) join vpc using (vpc_id) join pool_range using (range_id)
            join pool using (pool_id)
        where vpc.name like 'team-%' and pool.name = '{pool}'"
    );
    api.text_of(&sql).await
}

#[tokio::test]
async fn a_quota_can_be_used_up_and_no_further() {
    let api = world().await;
    let key = api.token(of_team("ci", &json!({"small": 96}))).await;
    // What the limits don't cover does not count, and is not told.
    api.allocate(json!({"vpc": "others", "pools": ["small"], "prefix_length": 26}))
        .await;
    let mut made = Vec::new();
    for name in ["a", "b", "c"] {
        made.push(ask(&api, &key, &of_pool(name, "small", 27)).await.ok(201));
    }
    assert_eq!(used(&api, &key).await, [96]);
    let before = (
        api.events("allocation.create").await,
        held(&api, "small").await,
    );
    let reply = ask(&api, &key, &of_pool("d", "small", 32)).await;
    let (detail, details) = reply.problem(409, "quota_exceeded");
    assert_eq!(
        detail,
        "this token's quota of pool \"default/small\" is 96 addresses; what its limits cover holds 96 of them, and this \
         takes 1 more; release what is no longer needed, ask for less, or ask an administrator for a larger quota"
    );
    assert_eq!(
        *details,
        json!({"quotas": [{"pool": "default/small", "quota": 96, "held": 96, "asked": 1}]})
    );
    assert!(reply.headers.get("retry-after").is_none());
    let after = (
        api.events("allocation.create").await,
        held(&api, "small").await,
    );
    assert_eq!(after, before);
    // What exists is found, changed and given back.
    ask(&api, &key, &of_pool("c", "small", 27)).await.ok(200);
    let shrunk = json!({"prefix_length": 28});
    let own = path(&made[0]);
    api.as_who(&key, "PATCH", &own, &shrunk).await.ok(200);
    assert_eq!(used(&api, &key).await, [80]);
    let reply = ask(&api, &key, &of_pool("d", "small", 27)).await;
    reply.problem(409, "quota_exceeded");
    // Not beside the one that is to grow again.
    let mut apart = of_pool("d", "small", 28);
    apart["exclude_cidrs"] = json!([made[0]["cidr"]]);
    ask(&api, &key, &apart).await.ok(201);
    let reply = api
        .as_who(&key, "PATCH", &own, &json!({"prefix_length": 27}))
        .await;
    let (_, details) = reply.problem(409, "quota_exceeded");
    assert_eq!(details["quotas"][0]["asked"], 16);
    let gone = api
        .as_who(&key, "DELETE", &path(&made[1]), &Value::Null)
        .await;
    assert_eq!(gone.status, 204);
    let grown = json!({"prefix_length": 27});
    api.as_who(&key, "PATCH", &own, &grown).await.ok(200);
    assert_eq!(used(&api, &key).await, [80]);
    // Nobody else is asked.
    api.allocate(json!({"vpc": "team-a", "pools": ["small"], "prefix_length": 26}))
        .await;
    assert_eq!(used(&api, &key).await, [144]);
    let reply = ask(&api, &key, &of_pool("e", "small", 32)).await;
    let (_, details) = reply.problem(409, "quota_exceeded");
    assert_eq!(details["quotas"][0]["held"], 144);
    let shrunk = json!({"prefix_length": 28});
    api.as_who(&key, "PATCH", &own, &shrunk).await.ok(200);
    api.verify().await;
}

/// Two servers, two tokens with the same limits, 32 clients, and others who take from the same pools.
#[tokio::test]
async fn not_one_address_too_many_under_concurrency() {
    let first = world().await;
    let second = first.another().await;
    // Neither is a sum of the larger blocks alone.
    let quotas = json!({"small": 101, "six": 5 * (1_u64 << 60) + 3});
    let mut keys = Vec::new();
    for name in ["one", "two"] {
        keys.push(first.token(of_team(name, &quotas)).await);
    }
    let servers = [Arc::new(first), Arc::new(second)];
    let mut clients = Vec::new();
    for number in 0..32_usize {
        let (api, key) = (
            Arc::clone(&servers[number % 2]),
            keys[number / 2 % 2].clone(),
        );
        clients.push(tokio::spawn(async move {
            let (pool, lengths) = match number / 4 % 2 {
                0 => ("small", [30, 31, 32]),
                _ => ("six", [70, 72, 128]),
            };
            // Each length until it is refused, from the largest block to a single address.
            let mut lengths = lengths.into_iter().peekable();
            let mut won = 0;
            while let Some(length) = lengths.peek().copied() {
                let body = json!({"vpc": format!("team-{}", number % 3), "pools": [pool], "prefix_length": length});
                let reply = ask(&api, &key, &body).await;
                match reply.status {
                    201 => won += 1,
                    503 => {}
                    _ => {
                        reply.problem(409, "quota_exceeded");
                        lengths.next();
                    }
                }
                if won % 8 == 7 {
                    let other = json!({"vpc": "others", "pools": [pool], "prefix_length": length});
                    api.post(ALLOCATIONS, &other).await;
                }
            }
            won
        }));
    }
    let mut won = 0;
    for client in clients {
        won += client.await.unwrap();
    }
    // 25 blocks of four addresses, 20 of 2^58, and the rest.
    assert!(won >= 49, "{won}");
    let api = &servers[0];
    assert_eq!(held(api, "small").await, "101");
    assert_eq!(held(api, "six").await, "5764607523034234883");
    api.verify().await;
}

/// While some give back, resize and take at the same time, the sum is never above the quota.
#[tokio::test]
async fn it_holds_at_every_moment() {
    let first = world().await;
    let second = first.another().await;
    let mut keys = Vec::new();
    for name in ["one", "two"] {
        keys.push(first.token(of_team(name, &json!({"small": 48}))).await);
    }
    let servers = [Arc::new(first), Arc::new(second)];
    let is_over = Arc::new(AtomicBool::new(false));
    let (api, stop) = (Arc::clone(&servers[0]), Arc::clone(&is_over));
    let watcher = tokio::spawn(async move {
        let mut most = 0;
        while !stop.load(Ordering::Relaxed) {
            most = most.max(held(&api, "small").await.parse::<u32>().unwrap());
        }
        most
    });
    let mut clients = Vec::new();
    for number in 0..16_usize {
        let (api, key) = (
            Arc::clone(&servers[number % 2]),
            keys[number / 2 % 2].clone(),
        );
        clients.push(tokio::spawn(async move {
            let mut refused = 0;
            for round in 0..8 {
                let body = of_pool(&format!("{number}-{round}"), "small", 29);
                let reply = ask(&api, &key, &body).await;
                if reply.status != 201 {
                    refused += 1;
                    continue;
                }
                let own = path(&reply.json);
                let grown = api
                    .as_who(&key, "PATCH", &own, &json!({"prefix_length": 28}))
                    .await;
                assert!([200, 409].contains(&grown.status), "{}", grown.text);
                let gone = api.as_who(&key, "DELETE", &own, &Value::Null).await;
                assert_eq!(gone.status, 204, "{}", gone.text);
            }
            refused
        }));
    }
    let mut refused = 0;
    for client in clients {
        refused += client.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    let most = watcher.await.unwrap();
    assert!((1..=48).contains(&most), "{most}");
    assert!(refused > 0, "nobody was ever refused");
    assert_eq!(held(&servers[0], "small").await, "0");
    servers[0].verify().await;
}

#[tokio::test]
async fn what_comes_under_the_limits_counts_whoever_moved_it() {
    let api = world().await;
    let key = api.token(of_team("ci", &json!({"small": 32}))).await;
    let labelled = json!({"name": "l", "roles": ["allocator"], "limits": {"labels": {"team": "a"}, "quotas": {"small": 32}}});
    let labelled = api.token(labelled).await;
    let other = api
        .allocate(json!({"vpc": "others", "pools": ["small"], "prefix_length": 27}))
        .await;
    ask(&api, &key, &of_pool("a", "small", 28)).await.ok(201);
    let moved = json!({"vpc": "team-b", "labels": {"team": "a"}});
    api.patch(&path(&other), &moved).await.ok(200);
    assert_eq!(used(&api, &key).await, [48]);
    assert_eq!(used(&api, &labelled).await, [32]);
    for (key, body) in [
        (&key, of_pool("b", "small", 32)),
        (
            &labelled,
            json!({"vpc": "x", "pools": ["small"], "prefix_length": 32, "labels": {"team": "a"}}),
        ),
    ] {
        ask(&api, key, &body).await.problem(409, "quota_exceeded");
    }
    // A move within the limits takes nothing more, and neither does a name.
    let moved = json!({"vpc": "team-c", "name": "new", "description": "d"});
    api.as_who(&key, "PATCH", &path(&other), &moved)
        .await
        .ok(200);
    api.patch(&path(&other), &json!({"vpc": "others", "labels": {}}))
        .await
        .ok(200);
    ask(&api, &key, &of_pool("b", "small", 28)).await.ok(201);
}

#[tokio::test]
async fn a_profile_counts_in_each_of_its_pools() {
    let api = Api::start().await;
    // A /26 has a /21 beside it.
    let quotas = json!({"default/primary": 65_536, "default/cgnat": 4096 + 2047});
    let key = api.token(of_team("ci", &quotas)).await;
    let body = |name: &str| json!({"vpc": "team-a", "name": name, "prefix_length": 26});
    ask(&api, &key, &body("a")).await.ok(201);
    ask(&api, &key, &body("b")).await.ok(201);
    let reply = ask(&api, &key, &body("c")).await;
    let (detail, details) = reply.problem(409, "quota_exceeded");
    assert!(detail.contains("default/cgnat") && !detail.contains("primary"));
    assert_eq!(
        details["quotas"],
        json!([{"pool": "default/cgnat", "quota": 6143, "held": 4096, "asked": 2048}])
    );
    assert_eq!(used(&api, &key).await, [4096, 128]);
    // Two blocks of one pool are one sum.
    let profile = json!({"name": "twice", "members": [
        {"role": "one", "pool": "primary", "size_offset": 0, "min_prefix_length": 20, "max_prefix_length": 26},
        {"role": "two", "pool": "primary", "size_offset": 0, "min_prefix_length": 20, "max_prefix_length": 26},
    ]});
    api.post("/api/v1/profiles", &profile).await.ok(201);
    let twice = json!({"vpc": "team-a", "profile": "twice", "prefix_length": 26});
    let limits = |primary: u32| json!({"vpcs": ["team-*"], "quotas": {"default/primary": primary}});
    change_limits(&api, "ci", limits(128 + 127)).await;
    let reply = ask(&api, &key, &twice).await;
    let (_, details) = reply.problem(409, "quota_exceeded");
    assert_eq!(details["quotas"][0]["asked"], 128);
    change_limits(&api, "ci", limits(128 + 128)).await;
    ask(&api, &key, &twice).await.ok(201);
    api.verify().await;
}

#[tokio::test]
async fn batches_dry_runs_and_lists_of_pools_are_within_it_too() {
    let api = world().await;
    api.post(
        POOLS,
        &json!({"name": "more", "ranges": ["10.9.0.0/24"], "reserved_addresses": 0, "max_prefix_length": 32}),
    )
    .await
    .ok(201);
    let key = api
        .token(of_team("ci", &json!({"small": 64, "more": 16})))
        .await;
    let batch = |atomic: bool, dry: bool, count: usize| {
        let requests: Vec<_> = (0..count)
            .map(|_| json!({"vpc": "team-a", "pools": ["small"], "prefix_length": 27}))
            .collect();
        json!({"requests": requests, "atomic": atomic, "dry_run": dry})
    };
    let send = async |body: Value| {
        api.as_who(&key, "POST", "/api/v1/allocations/batch", &body)
            .await
    };
    let reply = send(batch(true, false, 3)).await;
    assert_eq!(reply.status, 409, "{}", reply.text);
    assert!(reply.text.contains("quota_exceeded"), "{}", reply.text);
    let reply = send(batch(false, true, 3)).await;
    assert!(reply.text.contains("quota_exceeded"), "{}", reply.text);
    let dry = json!({"vpc": "team-a", "pools": ["small"], "prefix_length": 25, "dry_run": true});
    ask(&api, &key, &dry).await.problem(409, "quota_exceeded");
    assert_eq!(api.events("allocation.create").await, 0);
    assert_eq!(held(&api, "small").await, "0");
    let reply = send(batch(false, false, 3)).await;
    assert_eq!(
        reply.text.matches(r#""code":"quota_exceeded""#).count(),
        1,
        "{}",
        reply.text
    );
    assert_eq!(used(&api, &key).await, [0, 64]);
    // A pool whose quota is used up has no room; the next one of the list may have some.
    let list = json!({"vpc": "team-a", "pools": ["small", "more"], "prefix_length": 28});
    let made = ask(&api, &key, &list).await.ok(201);
    assert_eq!(made["blocks"][0]["pool"], "more");
    let reply = ask(&api, &key, &list).await;
    let (_, details) = reply.problem(409, "quota_exceeded");
    assert_eq!(details["quotas"].as_array().unwrap().len(), 2, "{details}");
    // An explicit network, and a resize that is only tried.
    let cidr = json!({"vpc": "team-a", "pools": ["more"], "cidr": "10.9.0.128/32"});
    ask(&api, &key, &cidr).await.problem(409, "quota_exceeded");
    let dry = json!({"prefix_length": 27, "dry_run": true});
    let reply = api.as_who(&key, "PATCH", &path(&made), &dry).await;
    reply.problem(409, "quota_exceeded");
    api.verify().await;
}

#[tokio::test]
async fn only_what_allocations_hold_counts() {
    let api = world().await;
    let operator = json!({"name": "op", "roles": ["allocator", "operator"], "limits": {"quotas": {"small": 16, "child": 8}}});
    let child = json!({"name": "child", "parent": "small", "range_prefix_lengths": [26], "reserved_addresses": 0, "max_prefix_length": 32});
    api.post(POOLS, &child).await.ok(201);
    let key = api.token(operator).await;
    let reserved = json!({"cidr": "10.8.0.128/25", "reason": "elsewhere"});
    api.as_who(&key, "POST", RESERVATIONS, &reserved)
        .await
        .ok(201);
    assert_eq!(used(&api, &key).await, [0, 0]);
    // A quota says how much, and not where: this token sees and does everything that its roles allow.
    api.as_who(&key, "POST", VRFS, &json!({"name": "dev"}))
        .await
        .ok(201);
    ask(&api, &key, &of_pool("a", "child", 29)).await.ok(201);
    assert_eq!(used(&api, &key).await, [8, 0]);
    let reply = ask(&api, &key, &of_pool("b", "child", 32)).await;
    reply.problem(409, "quota_exceeded");
    ask(&api, &key, &of_pool("b", "small", 28)).await.ok(201);
    let reply = ask(&api, &key, &of_pool("c", "small", 32)).await;
    reply.problem(409, "quota_exceeded");
}

#[tokio::test]
async fn what_cools_down_is_not_held_and_counts_when_it_comes_back() {
    let api = world().await;
    let patch = json!({"release_cooldown_seconds": 3600});
    api.patch(&format!("{POOLS}/small"), &patch).await.ok(200);
    let key = api.token(of_team("ci", &json!({"small": 16}))).await;
    let made = ask(&api, &key, &of_pool("a", "small", 28)).await.ok(201);
    let gone = api.as_who(&key, "DELETE", &path(&made), &Value::Null).await;
    assert_eq!(gone.status, 204);
    assert_eq!(used(&api, &key).await, [0]);
    ask(&api, &key, &of_pool("b", "small", 32)).await.ok(201);
    let reply = ask(&api, &key, &of_pool("a", "small", 28)).await;
    reply.problem(409, "quota_exceeded");
    change_limits(
        &api,
        "ci",
        json!({"vpcs": ["team-*"], "quotas": {"small": 17}}),
    )
    .await;
    let back = ask(&api, &key, &of_pool("a", "small", 28)).await.ok(201);
    assert_eq!(back["cidr"], made["cidr"]);
    api.verify().await;
}

#[tokio::test]
async fn a_quota_stays_with_its_pool_and_its_limits() {
    let api = world().await;
    let key = api
        .token(of_team("ci", &json!({"default/small": 16})))
        .await;
    ask(&api, &key, &of_pool("a", "small", 28)).await.ok(201);
    // A token that takes its place begins where it is.
    api.delete(&format!("{TOKENS}/ci")).await.ok(204);
    let key = api
        .token(of_team("ci", &json!({"default/small": 16})))
        .await;
    let reply = ask(&api, &key, &of_pool("b", "small", 32)).await;
    reply.problem(409, "quota_exceeded");
    // Renamed, it is the same pool.
    api.patch(&format!("{POOLS}/small"), &json!({"name": "tiny"}))
        .await
        .ok(200);
    let reply = ask(&api, &key, &of_pool("b", "tiny", 32)).await;
    let (detail, _) = reply.problem(409, "quota_exceeded");
    assert!(detail.contains("default/tiny"), "{detail}");
    // Lowered below what is held, it refuses more and takes nothing away.
    change_limits(
        &api,
        "ci",
        json!({"vpcs": ["team-*"], "quotas": {"tiny": 0}}),
    )
    .await;
    assert_eq!(used(&api, &key).await, [16]);
    let listed = api
        .as_who(&key, "GET", ALLOCATIONS, &Value::Null)
        .await
        .ok(200);
    let own = path(&listed["items"][0]);
    ask(&api, &key, &of_pool("a", "tiny", 28))
        .await
        .problem(409, "name_taken");
    api.as_who(&key, "PATCH", &own, &json!({"prefix_length": 29}))
        .await
        .ok(200);
    let gone = api.as_who(&key, "DELETE", &own, &Value::Null).await;
    assert_eq!(gone.status, 204);
    // Deleted and made again under its name, it has the quota too.
    api.delete(&format!("{POOLS}/tiny")).await.ok(204);
    let who = api
        .as_who(&key, "GET", "/api/v1/whoami", &Value::Null)
        .await
        .ok(200);
    assert_eq!(
        who["usage"],
        json!([{"quota": "tiny", "pool_id": null, "addresses": 0, "used_addresses": 0}])
    );
    let again = json!({"name": "tiny", "ranges": ["10.8.0.0/24"], "max_prefix_length": 32});
    api.post(POOLS, &again).await.ok(201);
    let reply = ask(&api, &key, &of_pool("b", "tiny", 32)).await;
    reply.problem(409, "quota_exceeded");
}

/// For most of a second after its end another server still knows a token. What it covers can't be added up any more, and is
/// not taken for nothing.
#[tokio::test]
async fn a_revoked_token_takes_nothing_where_it_is_still_known() {
    let first = world().await;
    let second = first.another().await;
    let key = first.token(of_team("ci", &json!({"small": 16}))).await;
    let made = ask(&second, &key, &of_pool("a", "small", 28)).await.ok(201);
    first.delete(&format!("{TOKENS}/ci")).await.ok(204);
    let reply = ask(&second, &key, &of_pool("b", "small", 28)).await;
    assert!([401, 403].contains(&reply.status), "{}", reply.text);
    let grown = json!({"prefix_length": 27});
    let reply = second.as_who(&key, "PATCH", &path(&made), &grown).await;
    assert!([401, 403, 404].contains(&reply.status), "{}", reply.text);
    assert_eq!(held(&first, "small").await, "16");
}

#[tokio::test]
async fn quotas_that_mean_nothing_are_refused() {
    let api = world().await;
    api.post(VRFS, &json!({"name": "dev"})).await.ok(201);
    api.post(
        POOLS,
        &json!({"name": "small", "vrf": "dev", "ranges": ["10.8.0.0/24"]}),
    )
    .await
    .ok(201);
    let many: serde_json::Map<_, _> = (0..101).map(|n| (n.to_string(), json!(1))).collect();
    for (quotas, says) in [
        (json!({"nowhere": 1}), "nowhere"),
        (json!({"dev/six": 1}), "dev/six"),
        (json!({"small": 1}), "several VRFs"),
        (json!({"six": 1, "default/six": 1}), "the same pool"),
        (json!({"six": -1}), "whole number"),
        (json!({"six": 1.5}), "whole number"),
        (json!({"six": "1"}), "number"),
        (json!(["six"]), "quotas"),
        (Value::Object(many), "at most 100"),
    ] {
        let reply = api.post(TOKENS, &of_team("bad", &quotas)).await;
        assert!(
            [400, 422].contains(&reply.status),
            "{quotas}: {}",
            reply.text
        );
        assert!(reply.text.contains(says), "{quotas}: {}", reply.text);
    }
    let admin = json!({"name": "a", "roles": ["admin"], "limits": {"quotas": {"six": 1}}});
    api.post(TOKENS, &admin)
        .await
        .problem(400, "invalid_request");
    // Everything of IPv6, as a power of two that doubles hold exactly, and as a number that they don't.
    let large = json!({"six": 2_f64.powi(128)});
    let made = api.post(TOKENS, &of_team("large", &large)).await.ok(201);
    assert_eq!(made["limits"]["quotas"], large);
    let key = made["secret"].as_str().unwrap();
    ask(&api, key, &of_pool("a", "six", 64)).await.ok(201);
    let who = api.as_who(key, "GET", "/api/v1/whoami", &Value::Null).await;
    assert!(
        who.text
            .contains(r#""used_addresses":18446744073709551616"#),
        "{}",
        who.text
    );
    // The same request is the same token, and another quota is another one.
    api.post(TOKENS, &of_team("large", &large)).await.ok(200);
    api.post(TOKENS, &of_team("large", &json!({"six": 1})))
        .await
        .problem(409, "name_taken");
    let none = api.get(&format!("{TOKENS}?name=large")).await.ok(200);
    assert!(none["items"][0].get("usage").is_none());
}

#[tokio::test]
async fn the_original_api_has_it_too() {
    let api = Api::start().await;
    let key = api
        .token(of_team("ci", &json!({"default/primary": 64})))
        .await;
    let body = json!({"vpc": "team-a", "prefix_length": 26});
    let reply = api.as_who(&key, "POST", "/allocate", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let reply = api.as_who(&key, "POST", "/allocate", &body).await;
    assert_eq!(
        (reply.status, &reply.json["code"]),
        (409, &json!("CONFLICT"))
    );
    assert!(reply.text.contains("quota"), "{}", reply.text);
    let reply = api
        .as_who(&key, "POST", "/allocate?dry_run=true", &body)
        .await;
    assert_eq!(reply.status, 409, "{}", reply.text);
    let vpcs = api.get(VPCS).await.ok(200);
    assert_eq!(vpcs["items"].as_array().unwrap().len(), 1);
}
