//! What a limited token sees and does: what it does not cover looks like what does not exist, everywhere.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{ALLOCATIONS, Api, POOLS, PROFILES, RESERVATIONS, TOKENS, VPCS, VRFS};

/// A world with two teams, and what each of them has.
struct World {
    api: Api,
    /// Of team a, and of team b: an allocation each.
    a: Value,
    b: Value,
}

const A: &str = "team-a-prod";
const B: &str = "team-b-prod";

impl World {
    async fn new() -> Self {
        let api = Api::with_connections(8).await;
        api.post(VRFS, &json!({"name": "dev"})).await.ok(201);
        for (name, vrf, range) in [
            ("left", "default", "10.8.0.0/16"),
            ("right", "default", "10.9.0.0/16"),
            ("left", "dev", "10.8.0.0/16"),
        ] {
            let new = json!({"name": name, "vrf": vrf, "ranges": [range], "max_prefix_length": 28});
            api.post(POOLS, &new).await.ok(201);
        }
        let one = |vpc: &str, pool: &str| json!({"vpc": vpc, "name": "one", "pools": [pool], "prefix_length": 24, "labels": {"team": vpc[5..6]}});
        let a = api.allocate(one(A, "left")).await;
        let b = api.allocate(one(B, "right")).await;
        api.post(VPCS, &json!({"name": "dev-a", "vrf": "dev"}))
            .await
            .ok(201);
        let reserved = json!({"cidr": "10.9.128.0/24", "reason": "the secret of team b"});
        api.post(RESERVATIONS, &reserved).await.ok(201);
        Self { api, a, b }
    }

    async fn token(&self, roles: &[&str], limits: Value) -> String {
        let name = format!("t-{}", Uuid::new_v4());
        self.api
            .token(json!({"name": name, "roles": roles, "limits": limits}))
            .await
    }

    async fn get(&self, key: &str, path: &str) -> crate::support::Reply {
        self.api.as_who(key, "GET", path, &Value::Null).await
    }
}

/// The limits that keep to team a, each by other means.
fn limits() -> [Value; 4] {
    [
        json!({"vpcs": ["team-a-*"]}),
        json!({"labels": {"team": "a"}}),
        json!({"pools": ["default/left"]}),
        json!({"vpcs": ["TEAM-A-*"], "pools": ["default/left"], "vrfs": ["default"]}),
    ]
}

/// A refusal without what names the request.
fn text(reply: &crate::support::Reply, id: &str) -> String {
    let mut json = reply.json.clone();
    json["request_id"] = Value::Null;
    json.to_string().replace(id, "ID")
}

#[tokio::test]
async fn what_is_not_covered_looks_like_what_does_not_exist() {
    let world = World::new().await;
    let nobody = Uuid::now_v7().to_string();
    let (own, foreign) = (
        world.a["id"].as_str().unwrap(),
        world.b["id"].as_str().unwrap(),
    );
    for limits in limits() {
        let key = world.token(&["allocator", "auditor"], limits.clone()).await;
        world
            .get(&key, &format!("{ALLOCATIONS}/{own}"))
            .await
            .ok(200);
        let list = world.get(&key, ALLOCATIONS).await.ok(200);
        assert_eq!(
            list["items"].as_array().unwrap().len(),
            1,
            "{limits}: {list}"
        );
        assert_eq!(list["items"][0]["id"], own);
        for (method, body) in [
            ("GET", Value::Null),
            ("PATCH", json!({"description": "mine"})),
            ("PATCH", json!({"prefix_length": 25, "dry_run": true})),
            ("PATCH", json!({"vpc": A})),
            ("DELETE", Value::Null),
        ] {
            let of = async |id: &str| {
                let path = format!("{ALLOCATIONS}/{id}");
                let reply = world.api.as_who(&key, method, &path, &body).await;
                assert_eq!(
                    reply.status, 404,
                    "{limits} {method} {body}: {}",
                    reply.text
                );
                text(&reply, id)
            };
            assert_eq!(
                of(foreign).await,
                of(&nobody).await,
                "{limits} {method} {body}"
            );
        }
        // Confirmed by nobody who does not see it.
        let claims = json!({"claims": [
            {"kind": "allocation", "id": foreign, "claim": world.b["claim"]},
            {"kind": "allocation", "id": nobody, "claim": Uuid::new_v4()},
            {"kind": "allocation", "id": own, "claim": world.a["claim"]},
        ]});
        for path in ["/api/v1/confirmations", "/api/v1/claims"] {
            let reply = world.api.as_who(&key, "POST", path, &claims).await.ok(200);
            let status: Vec<_> = (0..3)
                .map(|at| reply["results"][at]["status"].as_str().unwrap())
                .collect();
            assert_eq!(
                status,
                ["unknown", "unknown", "confirmed"],
                "{limits} {path}"
            );
        }
        // Everything that reads, and nothing of the other team in it.
        for path in [
            VPCS,
            POOLS,
            RESERVATIONS,
            "/api/v1/events",
            "/api/v1/history?cidr=10.0.0.0/8",
            "/api/v1/lookup?ip=10.9.0.1",
            "/api/v1/lookup?ip=10.9.128.1",
            "/api/v1/lookup?ip=10.8.0.1",
            "/allocations",
            "/api/v1/allocations?within=10.0.0.0/8",
            "/api/v1/allocations?contains=10.9.0.1",
        ] {
            let reply = world.get(&key, path).await;
            assert_eq!(reply.status, 200, "{limits} {path}: {}", reply.text);
            // Pools and labels limit allocations, and not VPCs.
            if limits["vpcs"].is_null() && [VPCS, "/api/v1/events"].contains(&path) {
                continue;
            }
            for secret in [B, foreign, "team-b"] {
                // A reservation has no VPC and no labels: only limits to pools or VRFs hide it.
                let is_reason = secret == "team-b" && reply.text.contains("secret of team b");
                assert!(
                    !reply.text.contains(secret) || is_reason,
                    "{limits} {path}: {}",
                    reply.text
                );
            }
        }
        let page = world.get(&key, &format!("{ALLOCATIONS}?vpc={B}")).await;
        if limits["vpcs"].is_array() {
            page.problem(404, "not_found");
        } else {
            assert_eq!(page.ok(200)["items"], json!([]));
        }
        for path in ["/api/v1/export", "/metrics"] {
            world.get(&key, path).await.problem(403, "forbidden");
        }
    }
    world.api.verify().await;
}

#[tokio::test]
async fn nothing_gets_out_of_the_limits() {
    let world = World::new().await;
    let (own, foreign) = (
        world.a["id"].as_str().unwrap(),
        world.b["id"].as_str().unwrap(),
    );
    let before = world.api.count("select count(*) from allocation").await;
    for limits in limits() {
        let key = world.token(&["allocator"], limits.clone()).await;
        let ask = async |body: Value| world.api.as_who(&key, "POST", ALLOCATIONS, &body).await;
        // In another VPC, pool, VRF, without the label: whichever the limits forbid, and for the dry run too.
        for dry_run in [false, true] {
            for (body, limit) in [
                (
                    json!({"vpc": B, "pools": ["left"], "prefix_length": 24, "labels": {"team": "a"}}),
                    "vpcs",
                ),
                (
                    json!({"vpc": A, "pools": ["right"], "prefix_length": 24, "labels": {"team": "a"}}),
                    "pools",
                ),
                (
                    json!({"vpc": A, "pools": ["left"], "prefix_length": 24}),
                    "labels",
                ),
                (
                    json!({"vpc": A, "hosts": 5, "labels": {"team": "a"}}),
                    "pools",
                ),
                (
                    json!({"vpc": "dev-a", "pools": ["left"], "prefix_length": 24, "labels": {"team": "a"}}),
                    "vrfs",
                ),
            ] {
                if limits[limit].is_null() {
                    continue;
                }
                let mut body = body;
                body["dry_run"] = json!(dry_run);
                let reply = ask(body.clone()).await;
                assert!(
                    [403, 404].contains(&reply.status),
                    "{limits} {body}: {}",
                    reply.text
                );
                assert!(!reply.text.contains(foreign));
            }
        }
        // What it has can't leave them either.
        let path = format!("{ALLOCATIONS}/{own}");
        for (patch, limit) in [
            (json!({"vpc": B}), "vpcs"),
            (json!({"labels": {}}), "labels"),
        ] {
            if limits[limit].is_null() {
                continue;
            }
            world
                .api
                .as_who(&key, "PATCH", &path, &patch)
                .await
                .problem(403, "forbidden");
        }
        // An explicit network of somebody else says that it is taken, and not by whom.
        let body =
            json!({"vpc": A, "pools": ["left"], "cidr": "10.8.0.0/24", "labels": {"team": "a"}});
        let reply = ask(body).await;
        let (detail, _) = reply.problem(409, "overlap");
        assert!(!detail.contains(A), "{detail}");
        // And within the limits it works.
        let body =
            json!({"vpc": A, "pools": ["left"], "prefix_length": 28, "labels": {"team": "a"}});
        let made = ask(body).await.ok(201);
        let path = format!("{ALLOCATIONS}/{}", made["id"].as_str().unwrap());
        world
            .api
            .as_who(&key, "PATCH", &path, &json!({"description": "d"}))
            .await
            .ok(200);
        world
            .api
            .as_who(&key, "DELETE", &path, &Value::Null)
            .await
            .ok(204);
        // Deleted is not unknown: a state that has it may forget it.
        let reply = world.get(&key, &path).await;
        assert_eq!(reply.status, 410, "{limits}: {}", reply.text);
    }
    assert_eq!(
        world.api.count("select count(*) from allocation").await,
        before
    );
    world.api.verify().await;
}

#[tokio::test]
async fn what_others_released_within_the_limits_is_gone_and_not_unknown() {
    let world = World::new().await;
    let path = |it: &Value| format!("{ALLOCATIONS}/{}", it["id"].as_str().unwrap());
    world.api.delete(&path(&world.a)).await.ok(204);
    world.api.delete(&path(&world.b)).await.ok(204);
    for limits in limits() {
        let key = world.token(&["reader"], limits.clone()).await;
        for (released, status, code) in [(&world.a, 410, "gone"), (&world.b, 404, "not_found")] {
            let reply = world.get(&key, &path(released)).await;
            assert_eq!(reply.status, status, "{limits}: {}", reply.text);
            reply.problem(status, code);
        }
    }
    // Labels and the profile are those of the end.
    let pair = json!({"vpc": A, "name": "pair", "hosts": 50, "labels": {"team": "b"}});
    let pair = world.api.allocate(pair).await;
    let labels = json!({"labels": {"team": "a"}});
    world.api.patch(&path(&pair), &labels).await.ok(200);
    world.api.delete(&path(&pair)).await.ok(204);
    for (limits, status) in [
        (json!({"profiles": ["node-pod"]}), 410),
        (
            json!({"profiles": ["node-pod"], "labels": {"team": "a"}}),
            410,
        ),
        (
            json!({"profiles": ["node-pod"], "labels": {"team": "b"}}),
            404,
        ),
    ] {
        let key = world.token(&["reader"], limits.clone()).await;
        let reply = world.get(&key, &path(&pair)).await;
        assert_eq!(reply.status, status, "{limits}: {}", reply.text);
        let other = world.get(&key, &path(&world.a)).await;
        assert_eq!(other.status, 404, "{limits}: {}", other.text);
    }
}

#[tokio::test]
async fn what_moved_out_of_the_limits_is_neither_gone_nor_remembered() {
    let world = World::new().await;
    let path = |it: &Value| format!("{ALLOCATIONS}/{}", it["id"].as_str().unwrap());
    let (moved, nobody) = (path(&world.a), format!("{ALLOCATIONS}/{}", Uuid::now_v7()));
    let key = world
        .token(&["reader"], json!({"vpcs": ["team-a-*"]}))
        .await;
    let seen = async |what: &str| {
        let (hidden, unknown) = (
            world.get(&key, &moved).await,
            world.get(&key, &nobody).await,
        );
        hidden.problem(404, "not_found");
        let ids = [&moved, &nobody].map(|path| path.rsplit('/').next().unwrap().to_owned());
        assert_eq!(text(&hidden, &ids[0]), text(&unknown, &ids[1]), "{what}");
        let history = world.get(&key, "/api/v1/history?cidr=10.0.0.0/8").await;
        assert!(!history.text.contains(&ids[0]), "{what}: {}", history.text);
    };
    // It leaves blocks behind that bear the name of the VPC of that time.
    world
        .api
        .patch(&moved, &json!({"prefix_length": 25}))
        .await
        .ok(200);
    let elsewhere = json!({"vpc": B, "name": "moved"});
    world.api.patch(&moved, &elsewhere).await.ok(200);
    seen("while it exists").await;
    world.api.delete(&moved).await.ok(204);
    seen("after its release").await;

    // What came into the limits is gone once it is released, whatever it was before.
    let came = path(&world.b);
    world
        .api
        .patch(&came, &json!({"prefix_length": 25}))
        .await
        .ok(200);
    let here = json!({"vpc": A, "name": "came"});
    world.api.patch(&came, &here).await.ok(200);
    world.get(&key, &came).await.ok(200);
    world.api.delete(&came).await.ok(204);
    world.get(&key, &came).await.problem(410, "gone");
    let history = world.get(&key, "/api/v1/history?cidr=10.0.0.0/8").await;
    assert!(!history.text.contains(B), "{}", history.text);
    world.api.verify().await;
}

#[tokio::test]
async fn what_needed_more_than_the_limits_cover_stays_hidden_when_it_ends() {
    let world = World::new().await;
    let reserve = json!({"cidr": "10.8.0.0/15", "reason": "the secret of both"});
    world
        .api
        .delete(&format!(
            "{ALLOCATIONS}/{}",
            world.a["id"].as_str().unwrap()
        ))
        .await
        .ok(204);
    world
        .api
        .delete(&format!(
            "{ALLOCATIONS}/{}",
            world.b["id"].as_str().unwrap()
        ))
        .await
        .ok(204);
    let before = world.api.get(RESERVATIONS).await.ok(200);
    let before = before["items"][0]["id"].as_str().unwrap().to_owned();
    world
        .api
        .delete(&format!("{RESERVATIONS}/{before}"))
        .await
        .ok(204);
    let reserved = world.api.post(RESERVATIONS, &reserve).await;
    let reserved = reserved.ok(201)["id"].as_str().unwrap().to_owned();
    world
        .api
        .delete(&format!("{RESERVATIONS}/{reserved}"))
        .await
        .ok(204);

    let pair = json!({"vpc": "secret-vpc", "name": "secret-name", "hosts": 200});
    let pair = world.api.allocate(pair).await;
    let id = pair["id"].as_str().unwrap();
    let path = format!("{ALLOCATIONS}/{id}");
    let limits = json!({"pools": ["default/primary", "default/left"]});
    let key = world.token(&["reader", "auditor"], limits).await;
    let now = "select to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let then = world.api.text(now).await;
    let hidden = async |what: &str| {
        world.get(&key, &path).await.problem(404, "not_found");
        for path in [
            "/api/v1/history?cidr=10.0.0.0/8".to_owned(),
            format!("/api/v1/lookup?ip=10.0.0.1&at={then}"),
            format!("/api/v1/events?subject={id}"),
        ] {
            let reply = world.get(&key, &path).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text);
            for secret in ["secret", id, "100.64"] {
                assert!(
                    !reply.text.contains(secret),
                    "{what}, {path}: {}",
                    reply.text
                );
            }
        }
    };
    hidden("while it exists").await;
    world.api.patch(&path, &json!({"hosts": 50})).await.ok(200);
    hidden("after a resize").await;
    world.api.delete(&path).await.ok(204);
    hidden("after its release").await;
    world.api.verify().await;
}

#[tokio::test]
async fn what_cools_down_is_named_to_who_saw_it() {
    let world = World::new().await;
    for pool in ["left", "right"] {
        let found = world
            .api
            .get(&format!("{POOLS}?name={pool}&vrf=default"))
            .await
            .ok(200);
        let path = format!("{POOLS}/{}", found["items"][0]["id"].as_str().unwrap());
        world
            .api
            .patch(&path, &json!({"release_cooldown_seconds": 3600}))
            .await
            .ok(200);
    }
    let profile = json!({"name": "both", "members": [{"role": "l", "pool": "left"}, {"role": "r", "pool": "right"}]});
    world.api.post(PROFILES, &profile).await.ok(201);
    let pair = json!({"vpc": A, "name": "pair", "profile": "both", "prefix_length": 24});
    let pair = world.api.allocate(pair).await;
    let at = pair["blocks"][0]["cidr"].as_str().unwrap().to_owned();
    for it in [&world.a, &pair] {
        world
            .api
            .delete(&format!("{ALLOCATIONS}/{}", it["id"].as_str().unwrap()))
            .await
            .ok(204);
    }
    let lone = "/api/v1/lookup?cidr=10.8.0.0/24";
    let paired = &*format!("/api/v1/lookup?cidr={at}");
    for (limits, path, is_named) in [
        (json!({"vpcs": ["team-a-*"]}), lone, true),
        (json!({"vpcs": ["team-a-*"]}), paired, true),
        (json!({"vpcs": ["team-b-*"]}), lone, false),
        (json!({"pools": ["default/left"]}), lone, true),
        (json!({"pools": ["default/left"]}), paired, false),
        (json!({"labels": {"team": "b"}}), lone, false),
        (json!({"profiles": ["node-pod"]}), paired, false),
    ] {
        let key = world.token(&["reader"], limits.clone()).await;
        let reply = world.get(&key, path).await.ok(200);
        let holder = &reply["holders"][0];
        let kind = if is_named { "cooldown" } else { "other" };
        assert_eq!(holder["kind"], kind, "{limits} {path}: {reply}");
        assert_eq!(
            holder["vpc"].is_string(),
            is_named,
            "{limits} {path}: {reply}"
        );
        assert_eq!(
            holder["allocation_id"].is_string(),
            is_named,
            "{limits} {path}: {reply}"
        );
        assert_eq!(
            holder["name"].is_string(),
            is_named,
            "{limits} {path}: {reply}"
        );
    }
}

#[tokio::test]
async fn a_token_does_not_see_what_another_one_of_its_name_did() {
    let world = World::new().await;
    let new =
        json!({"name": "ci", "roles": ["allocator", "auditor"], "limits": {"vpcs": ["team-a-*"]}});
    let made = world.api.post(TOKENS, &new).await.ok(201);
    let first = made["secret"].as_str().unwrap();
    let ask = json!({"vpc": A, "pools": ["left"], "prefix_length": 28});
    let made_by_first = world
        .api
        .as_who(first, "POST", ALLOCATIONS, &ask)
        .await
        .ok(201);
    let id = made_by_first["id"].as_str().unwrap();
    let sees = async |key: &str| {
        let events = world
            .get(key, &format!("/api/v1/events?subject={id}"))
            .await
            .ok(200);
        events["items"].as_array().unwrap().len()
    };
    let path = format!("{ALLOCATIONS}/{id}");
    world.api.patch(&path, &json!({"vpc": B})).await.ok(200);
    assert_eq!(sees(first).await, 1, "what it did itself");
    let path = format!("{}/{}", TOKENS, made["id"].as_str().unwrap());
    world.api.delete(&path).await.ok(204);
    let mut new = new;
    new["limits"] = json!({"vpcs": ["team-c-*"]});
    let second = world.api.token(new).await;
    assert_eq!(sees(&second).await, 0);
}

#[tokio::test]
async fn a_name_that_something_hidden_has_is_taken_and_no_more_is_said() {
    let world = World::new().await;
    let owned = json!({"vpc": A, "name": "theirs", "pools": ["right"], "prefix_length": 28, "labels": {"team": "b"}});
    let headers = [("ipam-owner", "secret-owner")];
    world
        .api
        .with("POST", ALLOCATIONS, &headers, &owned)
        .await
        .ok(201);
    let owned = json!({"vpc": A, "name": "ours", "pools": ["left"], "prefix_length": 28, "labels": {"team": "a"}});
    world
        .api
        .with("POST", ALLOCATIONS, &headers, &owned)
        .await
        .ok(201);
    for limits in limits() {
        if limits["vpcs"].is_array() && limits["pools"].is_null() {
            continue;
        }
        let key = world.token(&["allocator"], limits.clone()).await;
        for same in [true, false] {
            let pool = if same && limits["pools"].is_null() {
                "right"
            } else {
                "left"
            };
            let ask = json!({"vpc": A, "name": "theirs", "pools": [pool], "prefix_length": 28, "labels": {"team": "a"}});
            for dry_run in [false, true] {
                let mut ask = ask.clone();
                ask["dry_run"] = json!(dry_run);
                let reply = world.api.as_who(&key, "POST", ALLOCATIONS, &ask).await;
                reply.problem(409, "name_taken");
                for secret in ["secret", "right", "key", "theirs"] {
                    assert!(!reply.text.contains(secret), "{limits}: {}", reply.text);
                }
            }
        }
        // Of what it sees it is told how to take it over.
        let ask = json!({"vpc": A, "name": "ours", "pools": ["left"], "prefix_length": 28, "labels": {"team": "a"}});
        let reply = world.api.as_who(&key, "POST", ALLOCATIONS, &ask).await;
        let (detail, _) = reply.problem(409, "claimed");
        assert!(detail.contains("terraform import"), "{limits}: {detail}");
    }
    // A VPC of that name in another VRF.
    let key = world
        .token(&["allocator"], json!({"vrfs": ["default"]}))
        .await;
    let vpc = world
        .api
        .as_who(&key, "POST", VPCS, &json!({"name": "dev-a"}))
        .await;
    vpc.problem(409, "name_taken");
    let ask = json!({"vpc": "dev-a", "vrf": "default", "pools": ["left"], "prefix_length": 28});
    let allocation = world.api.as_who(&key, "POST", ALLOCATIONS, &ask).await;
    allocation.problem(403, "forbidden");
    for reply in [vpc, allocation] {
        assert!(!reply.text.contains("\"dev\\\""), "{}", reply.text);
    }
}

#[tokio::test]
async fn an_operator_of_one_vrf_keeps_to_it() {
    let world = World::new().await;
    let key = world.token(&["operator"], json!({"vrfs": ["dev"]})).await;
    let post = async |path: &str, body: Value| world.api.as_who(&key, "POST", path, &body).await;
    let new = |vrf: &str| json!({"name": "mine", "vrf": vrf, "ranges": ["10.77.0.0/16"]});
    post(POOLS, new("dev")).await.ok(201);
    let (hidden, missing) = (
        post(POOLS, new("default")).await,
        post(POOLS, new("nowhere")).await,
    );
    hidden.problem(404, "not_found");
    assert_eq!(text(&hidden, "default"), text(&missing, "nowhere"));
    let reserve = |vrf: &str| json!({"cidr": "10.77.0.0/24", "reason": "r", "vrf": vrf});
    post(RESERVATIONS, reserve("dev")).await.ok(201);
    post(RESERVATIONS, reserve("default"))
        .await
        .problem(404, "not_found");
    post(RESERVATIONS, json!({"cidr": "10.77.0.0/24", "reason": "r"}))
        .await
        .problem(404, "not_found");
    post(VRFS, json!({"name": "another"}))
        .await
        .problem(403, "forbidden");
    let profile = json!({"name": "p", "members": [{"role": "a", "pool": "mine"}]});
    post(PROFILES, profile).await.problem(403, "forbidden");
    let vrfs = world.get(&key, VRFS).await.ok(200);
    assert_eq!(vrfs["items"].as_array().unwrap().len(), 1);
    assert_eq!(vrfs["items"][0]["name"], "dev");
    assert_eq!(
        world.get(&key, POOLS).await.ok(200)["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let primary = world
        .api
        .get(&format!("{POOLS}?name=primary"))
        .await
        .ok(200)["items"][0]["id"]
        .clone();
    for method in ["PATCH", "DELETE"] {
        let path = format!("{POOLS}/{}", primary.as_str().unwrap());
        world
            .api
            .as_who(&key, method, &path, &json!({"description": "mine"}))
            .await
            .problem(404, "not_found");
    }
    world
        .api
        .as_who(
            &key,
            "PATCH",
            &format!("{VRFS}/dev"),
            &json!({"description": "ours"}),
        )
        .await
        .ok(200);
    world.api.verify().await;
}

#[tokio::test]
async fn a_vpc_is_not_deleted_with_what_the_token_does_not_cover() {
    let world = World::new().await;
    let more = json!({"vpc": A, "pools": ["right"], "prefix_length": 24, "labels": {"team": "b"}});
    world.api.allocate(more).await;
    for limits in [
        json!({"labels": {"team": "a"}}),
        json!({"pools": ["default/left"]}),
    ] {
        let key = world.token(&["allocator"], limits).await;
        let path = format!("{VPCS}/{A}?cascade=true");
        world
            .api
            .as_who(&key, "DELETE", &path, &Value::Null)
            .await
            .problem(403, "forbidden");
    }
    let key = world
        .token(&["allocator"], json!({"vpcs": ["team-a-*"]}))
        .await;
    let path = format!("{VPCS}/{A}?cascade=true");
    assert_eq!(
        world
            .api
            .as_who(&key, "DELETE", &path, &Value::Null)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_full_pool_names_nobody_that_the_token_does_not_cover() {
    let world = World::new().await;
    let pool = json!({"name": "small", "ranges": ["10.10.0.0/24"], "max_prefix_length": 28});
    world.api.post(POOLS, &pool).await.ok(201);
    world
        .api
        .allocate(json!({"vpc": B, "name": "all", "pools": ["small"], "prefix_length": 24}))
        .await;
    let key = world
        .token(&["allocator"], json!({"vpcs": ["team-a-*"]}))
        .await;
    let ask = json!({"vpc": A, "pools": ["small"], "prefix_length": 26});
    let reply = world.api.as_who(&key, "POST", ALLOCATIONS, &ask).await;
    reply.problem(409, "pool_exhausted");
    assert!(!reply.text.contains(B), "{}", reply.text);
    let small = world
        .get(&key, &format!("{POOLS}?name=small"))
        .await
        .ok(200)["items"][0]["id"]
        .clone();
    let free = world
        .get(
            &key,
            &format!("{POOLS}/{}/free?prefix_length=26", small.as_str().unwrap()),
        )
        .await;
    assert_eq!(free.status, 200, "{}", free.text);
    assert!(!free.text.contains(B), "{}", free.text);
}

#[tokio::test]
async fn a_limited_reader_does_not_change_what_others_read() {
    // Both are served by the same connections and the same memory of the address plan.
    let world = World::new().await;
    let key = world
        .token(&["reader", "planner"], json!({"vrfs": ["dev"]}))
        .await;
    for _ in 0..20 {
        assert_eq!(
            world.get(&key, POOLS).await.ok(200)["items"]
                .as_array()
                .unwrap()
                .len(),
            1
        );
        let dry = json!({"vpc": "dev-a", "pools": ["left"], "prefix_length": 24, "dry_run": true});
        world
            .api
            .as_who(&key, "POST", ALLOCATIONS, &dry)
            .await
            .ok(200);
        assert_eq!(
            world.api.get(POOLS).await.ok(200)["items"]
                .as_array()
                .unwrap()
                .len(),
            5
        );
        let dry = json!({"vpc": A, "pools": ["right"], "prefix_length": 24, "dry_run": true});
        world.api.post(ALLOCATIONS, &dry).await.ok(200);
    }
}

#[tokio::test]
async fn every_table_has_a_view_for_limited_callers() {
    let api = Api::start().await;
    // What has none is read as it is, and says nothing of anybody.
    let open = "'_sqlx_migrations', 'address_plan', 'event_seal', 'idempotency_key', 'origin'";
    let missing = api
        .text_of(&format!(
            "select coalesce(string_agg(relname, ', '), '') from pg_class as t
            where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and relname not in ({open})
                and not exists (
                    select from pg_class as v where v.relnamespace = 'ipam_scoped'::regnamespace and v.relname = t.relname
                )"
        ))
        .await;
    assert_eq!(missing, "", "tables without a view in ipam_scoped");
    // A column that a later migration adds has to be added to the view.
    let missing = api
        .text_of(
            "select coalesce(string_agg(table_name || '.' || column_name, ', '), '') from information_schema.columns as t
            where table_schema = 'public'
                and exists (select from pg_class where relnamespace = 'ipam_scoped'::regnamespace and relname = table_name)
                and not exists (
                    select from information_schema.columns as v
                    where v.table_schema = 'ipam_scoped' and v.table_name = t.table_name
                        and v.column_name = t.column_name and v.udt_name = t.udt_name
                )",
        )
        .await;
    assert_eq!(missing, "", "columns without a view");
}

#[tokio::test]
async fn what_uses_a_pool_out_of_sight_keeps_it() {
    let world = World::new().await;
    let parent = json!({"name": "parent", "ranges": ["10.66.0.0/16"]});
    world.api.post(POOLS, &parent).await.ok(201);
    let child = json!({"name": "hidden", "parent": "parent"});
    world.api.post(POOLS, &child).await.ok(201);
    let limits = json!({"pools": ["default/parent"]});
    let key = world.token(&["operator"], limits).await;
    let path = format!("{POOLS}/parent");
    let reply = world.api.as_who(&key, "DELETE", &path, &Value::Null).await;
    let (detail, _) = reply.problem(409, "in_use");
    assert!(!detail.contains("hidden"), "{detail}");
    let reply = world.api.delete(&path).await;
    let (detail, _) = reply.problem(409, "in_use");
    assert!(detail.contains("hidden"), "{detail}");
}

#[tokio::test]
async fn a_vrf_does_not_take_vpcs_with_it_that_are_out_of_sight() {
    let world = World::new().await;
    world.api.post(VRFS, &json!({"name": "lab"})).await.ok(201);
    let pool = json!({"name": "lab", "vrf": "lab", "ranges": ["10.66.0.0/24"]});
    world.api.post(POOLS, &pool).await.ok(201);
    let ask = json!({"vpc": "secret", "vrf": "lab", "pools": ["lab"], "prefix_length": 28});
    let made = world.api.allocate(ask).await;
    world.api.delete(&crate::support::path(&made)).await.ok(204);
    let pools = world.api.get(&format!("{POOLS}?vrf=lab")).await.ok(200);
    let pool = pools["items"][0]["id"].as_str().unwrap();
    world.api.delete(&format!("{POOLS}/{pool}")).await.ok(204);
    let key = world
        .token(&["operator"], json!({"vpcs": ["team-a-*"]}))
        .await;
    let path = format!("{VRFS}/lab");
    let reply = world.api.as_who(&key, "DELETE", &path, &Value::Null).await;
    let (detail, _) = reply.problem(403, "forbidden");
    assert!(!detail.contains("secret"), "{detail}");
    world.api.get(&format!("{VPCS}/secret")).await.ok(200);
    world.api.delete(&path).await.ok(204);
    world
        .api
        .get(&format!("{VPCS}/secret"))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_vpc_of_a_vrf_out_of_sight_is_refused_without_the_name_of_that_vrf() {
    let world = World::new().await;
    let limits = json!({"vpcs": ["team-a-*", "dev-*"], "vrfs": ["default"]});
    let key = world.token(&["allocator"], limits).await;
    let ask = async |method: &str, path: &str, body: Value| {
        let reply = world.api.as_who(&key, method, path, &body).await;
        assert!(!reply.text.contains("\\\"dev\\\""), "{}", reply.text);
        reply
    };
    let own = crate::support::path(&world.a);
    let mut answers = Vec::new();
    for dry_run in [true, false] {
        let patch = json!({"vpc": "dev-a", "dry_run": dry_run});
        let reply = ask("PATCH", &own, patch).await;
        reply.problem(404, "not_found");
        answers.push(text(&reply, ""));
        for vrf in [json!("default"), Value::Null] {
            let body = json!({"vpc": "dev-a", "vrf": vrf, "pools": ["left"], "prefix_length": 28, "dry_run": dry_run});
            let reply = ask("POST", ALLOCATIONS, body).await;
            reply.problem(403, "forbidden");
        }
    }
    assert_eq!(answers[0], answers[1]);
    let reply = ask("POST", VPCS, json!({"name": "dev-a"})).await;
    reply.problem(409, "name_taken");
    // Whoever is limited to another VRF is told to name it.
    let key = world.token(&["allocator"], json!({"vrfs": ["dev"]})).await;
    let body = json!({"vpc": "new", "pools": ["left"], "prefix_length": 28});
    let reply = world.api.as_who(&key, "POST", ALLOCATIONS, &body).await;
    let (detail, _) = reply.problem(404, "not_found");
    assert!(detail.contains("does not cover"), "{detail}");
}
