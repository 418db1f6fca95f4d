//! Tokens: made, used, changed, revoked; and that nothing of a secret is anywhere but in the reply that shows it.

use std::time::{Duration, Instant};

use ipam_server::{app::App, auth::Auth, domain::Ipam, router::router, secret::Peppers};
use ipam_shared::secret::Secret;
use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, KEY, TOKENS, peppers};

const WHOAMI: &str = "/api/v1/whoami";
/// Time after which no server accepts what was revoked or changed.
const SECOND: Duration = Duration::from_secs(1);

/// Another server on the same database.
fn replica(api: &Api, peppers: Peppers) -> Api {
    let ipam = Ipam::new(api.database.pool(4)).with_peppers(peppers);
    Api {
        router: router(App::new(ipam.clone(), Auth::new(KEY))),
        ipam,
        database: api.database.clone(),
    }
}

#[tokio::test]
async fn a_token_is_shown_once_used_changed_and_revoked() {
    let api = Api::start().await;
    let new = json!({"name": "ci", "roles": ["allocator"], "description": "the pipeline"});
    let made = api.post(TOKENS, &new).await.ok(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(
        secret.starts_with("ipam_") && secret.len() == 56,
        "{secret}"
    );
    assert!(secret.contains(made["public_id"].as_str().unwrap()));
    let path = format!("{TOKENS}/{}", made["id"].as_str().unwrap());
    let shown = api.get(&path).await;
    assert!(shown.header("etag").starts_with("\"1-"));
    let shown = shown.ok(200);
    assert_eq!(shown["secret"], Value::Null, "{shown}");
    assert!(!api.get(TOKENS).await.text.contains(&secret));
    assert_eq!(
        api.get(&format!("{TOKENS}/CI")).await.ok(200)["id"],
        made["id"]
    );

    let who = api
        .as_who(&secret, "GET", WHOAMI, &Value::Null)
        .await
        .ok(200);
    assert_eq!(
        (&who["actor"], &who["roles"]),
        (&json!("token/ci"), &json!(["allocator"]))
    );
    let ask = json!({"vpc": "a", "name": "n", "hosts": 5});
    let got = api.as_who(&secret, "POST", ALLOCATIONS, &ask).await.ok(201);
    assert_eq!(got["created_by"], "token/ci");
    let events = api.get("/api/v1/events?actor=token/ci").await.ok(200);
    assert_eq!(events["items"][0]["action"], "allocation.create");
    let bearer = format!("Bearer {secret}");
    let reply = api
        .send("GET", ALLOCATIONS, &[("authorization", &bearer)], "")
        .await;
    assert_eq!(reply.ok(200)["items"][0]["id"], got["id"]);

    let patch = json!({"roles": ["reader"], "expires_at": "2099-01-01T00:00:00Z"});
    let changed = api.patch(&path, &patch).await.ok(200);
    assert_eq!(
        (&changed["revision"], &changed["secret"]),
        (&json!(2), &Value::Null)
    );
    tokio::time::sleep(SECOND).await;
    let refused = api.as_who(&secret, "POST", ALLOCATIONS, &ask).await;
    let (detail, _) = refused.problem(403, "forbidden");
    assert!(
        detail.contains("allocator") && detail.contains("token/ci"),
        "{detail}"
    );

    api.delete(&path).await.ok(204);
    tokio::time::sleep(SECOND).await;
    api.as_who(&secret, "GET", WHOAMI, &Value::Null)
        .await
        .problem(401, "unauthorized");
    api.get(&path).await.problem(410, "gone");
    let events = format!("/api/v1/events?subject={}", made["id"].as_str().unwrap());
    let events = api.get(&events).await.ok(200);
    assert_eq!(events["items"][0]["action"], "token.revoke");
    api.verify().await;
}

#[tokio::test]
async fn no_server_accepts_what_was_revoked_for_longer_than_a_second() {
    let api = Api::with_connections(8).await;
    let other = replica(&api, peppers());
    let made = api
        .post(TOKENS, &json!({"name": "ci", "roles": ["allocator"]}))
        .await
        .ok(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    let path = format!("{TOKENS}/{}", made["id"].as_str().unwrap());
    let is_revoked = std::sync::Mutex::new(None::<Instant>);
    // Both servers are under load from before the change until a while after it.
    let load = |server: Api| {
        let (secret, is_revoked) = (&secret, &is_revoked);
        async move {
            let (mut accepted, mut late, mut refused) = (0, 0, 0);
            while refused < 200 {
                let begun = Instant::now();
                let reply = server.as_who(secret, "GET", WHOAMI, &Value::Null).await;
                let since = *is_revoked.lock().unwrap();
                match reply.status {
                    200 => {
                        accepted += 1;
                        late += usize::from(since.is_some_and(|at| begun > at + SECOND));
                    }
                    401 => refused += 1,
                    other => panic!("{other}: {}", reply.text),
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            assert!(accepted > 20, "{accepted}");
            assert_eq!(late, 0, "of {accepted}");
        }
    };
    let revoke = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        api.delete(&path).await.ok(204);
        *is_revoked.lock().unwrap() = Some(Instant::now());
    };
    tokio::join!(load(replica(&api, peppers())), load(other), revoke);
}

#[tokio::test]
async fn a_token_ends_when_it_says() {
    let api = Api::start().await;
    let soon = time::OffsetDateTime::now_utc() + Duration::from_millis(1500);
    let soon = soon
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let new = json!({"name": "short", "roles": ["reader"], "expires_at": soon});
    let secret = api.token(new).await;
    api.as_who(&secret, "GET", WHOAMI, &Value::Null)
        .await
        .ok(200);
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let reply = api.as_who(&secret, "GET", WHOAMI, &Value::Null).await;
    assert!(reply.problem(401, "unauthorized").0.contains("expired at"));
    // A longer life brings it back, and so does one without an end.
    let patch = json!({"expires_at": null});
    let changed = api.patch(&format!("{TOKENS}/short"), &patch).await.ok(200);
    assert_eq!(changed["expires_at"], Value::Null);
    let patch = json!({"expires_at": "2099-01-01T00:00:00Z"});
    api.patch(&format!("{TOKENS}/short"), &patch).await.ok(200);
    tokio::time::sleep(SECOND).await;
    api.as_who(&secret, "GET", WHOAMI, &Value::Null)
        .await
        .ok(200);
}

#[tokio::test]
async fn a_creation_that_is_repeated_gets_another_secret_until_it_is_confirmed() {
    let api = Api::start().await;
    let new = json!({"name": "ci", "roles": ["reader"]});
    let owner = [("ipam-owner", "ws-1")];
    let first = api.with("POST", TOKENS, &owner, &new).await.ok(201);
    let second = api.with("POST", TOKENS, &owner, &new).await.ok(200);
    assert_eq!(first["id"], second["id"]);
    let (old, now) = (
        first["secret"].as_str().unwrap(),
        second["secret"].as_str().unwrap(),
    );
    assert_ne!(old, now);
    api.as_who(old, "GET", WHOAMI, &Value::Null)
        .await
        .problem(401, "unauthorized");
    api.as_who(now, "GET", WHOAMI, &Value::Null).await.ok(200);
    let differently = json!({"name": "CI", "roles": ["reader", "allocator"]});
    api.with("POST", TOKENS, &owner, &differently)
        .await
        .problem(409, "name_taken");
    api.with("POST", TOKENS, &[("ipam-owner", "ws-2")], &new)
        .await
        .problem(409, "claimed");
    let claim = second["claim"].as_str().unwrap();
    let path = format!("{TOKENS}/{}", first["id"].as_str().unwrap());
    api.send(
        "GET",
        &path,
        &[("x-api-key", KEY), ("ipam-claim", claim)],
        "",
    )
    .await
    .ok(200);
    api.with("POST", TOKENS, &owner, &new)
        .await
        .problem(409, "claimed");
    api.as_who(now, "GET", WHOAMI, &Value::Null).await.ok(200);
}

#[tokio::test]
async fn a_secret_that_its_user_has_made_is_taken_and_never_shown() {
    let api = Api::start().await;
    let secret = || Secret::generate().unwrap().reveal().to_owned();
    let (first, second) = (secret(), secret());
    let new = json!({"name": "ci", "roles": ["reader"], "secret": first});
    let owner = [("ipam-owner", "ws-1")];
    let reply = api.with("POST", TOKENS, &owner, &new).await;
    assert!(!reply.text.contains(&first[18..]), "{}", reply.text);
    let made = reply.ok(201);
    assert_eq!(made["public_id"], first[5..17]);
    api.as_who(&first, "GET", WHOAMI, &Value::Null)
        .await
        .ok(200);
    // Repeated, it is the same; and with another secret, that one is valid.
    let again = api.with("POST", TOKENS, &owner, &new).await.ok(200);
    assert_eq!(
        (&again["id"], &again["secret"]),
        (&made["id"], &Value::Null)
    );
    api.as_who(&first, "GET", WHOAMI, &Value::Null)
        .await
        .ok(200);
    let other = json!({"name": "ci", "roles": ["reader"], "secret": second});
    let taken = api.with("POST", TOKENS, &owner, &other).await.ok(200);
    assert_eq!(taken["public_id"], second[5..17]);
    tokio::time::sleep(SECOND).await;
    let refused = api.as_who(&first, "GET", WHOAMI, &Value::Null).await;
    refused.problem(401, "unauthorized");

    // No two tokens have one, nor two that differ behind the public id.
    let ci = format!("{TOKENS}/ci");
    let taken = json!({"name": "cd", "roles": ["admin"], "secret": second});
    let reply = api.post(TOKENS, &taken).await;
    assert!(!reply.text.contains(&second[18..]));
    reply.problem(409, "secret_taken");
    let cd = api
        .post(
            TOKENS,
            &json!({"name": "cd", "roles": ["reader"], "secret": first}),
        )
        .await;
    cd.ok(201);
    api.patch(&ci, &json!({"secret": first}))
        .await
        .problem(409, "secret_taken");
    api.delete(&format!("{TOKENS}/cd")).await.ok(204);

    // In place, and once; what a token had before it may have again. Sessions end that began with the one before.
    let opened = "select count(*) from session";
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-site", "same-origin"),
    ];
    api.send("POST", "/ui/sign-in", &form, format!("key={second}"))
        .await;
    assert_eq!(api.count(opened).await, 1);
    let before = api.get(&ci).await.ok(200)["revision"].as_i64().unwrap();
    for _ in 0..2 {
        let reply = api.patch(&ci, &json!({"secret": first})).await;
        assert!(!reply.text.contains(&first[18..]), "{}", reply.text);
        let changed = reply.ok(200);
        assert_eq!(changed["revision"], before + 1);
        assert_eq!(changed["public_id"], first[5..17]);
    }
    assert_eq!(api.count(opened).await, 0);
    tokio::time::sleep(SECOND).await;
    api.as_who(&first, "GET", WHOAMI, &Value::Null)
        .await
        .ok(200);
    let refused = api.as_who(&second, "GET", WHOAMI, &Value::Null).await;
    refused.problem(401, "unauthorized");
    let path = format!("/api/v1/events?subject={}", made["id"].as_str().unwrap());
    let events = api.get(&path).await.ok(200);
    assert_eq!(events["items"][0]["action"], "token.update");
    assert_eq!(
        events["items"][0]["detail"],
        json!({"public_id": first[5..17], "before": {"public_id": second[5..17]}})
    );
    let state = api.state().await;
    for secret in [first, second] {
        assert!(!state.contains(&secret[18..30]));
    }
    // What is none is refused, and not repeated.
    for bad in [
        json!("ipam_mine"),
        json!(5),
        json!(["x"]),
        json!(null),
        json!("K".repeat(56)),
    ] {
        let reply = api.patch(&ci, &json!({"secret": bad})).await;
        reply.problem(400, "invalid_request");
        assert!(
            !reply.text.contains("mine") && !reply.text.contains("KKK"),
            "{}",
            reply.text
        );
    }
    api.verify().await;
}

#[tokio::test]
async fn the_same_request_many_times_at_once_makes_one_token() {
    let api = Api::with_connections(16).await;
    let secret = Secret::generate().unwrap().reveal().to_owned();
    for round in 0..10 {
        let new = json!({"name": format!("ci-{round}"), "roles": ["reader"], "secret": secret});
        let asks = (0..16).map(|_| api.with("POST", TOKENS, &[("ipam-owner", "ws-1")], &new));
        let mut statuses: Vec<_> = futures::future::join_all(asks)
            .await
            .iter()
            .map(|reply| reply.status)
            .collect();
        statuses.sort_unstable();
        assert_eq!(statuses[..15], [200; 15], "{round}");
        assert_eq!(statuses[15], 201, "{round}");
        api.delete(&format!("{TOKENS}/ci-{round}")).await.ok(204);
    }
}

#[tokio::test]
async fn of_many_who_bring_the_same_secret_one_gets_the_token() {
    let api = Api::with_connections(8).await;
    let secret = Secret::generate().unwrap().reveal().to_owned();
    let asks = (0..16).map(|at| {
        let (api, secret) = (&api, &secret);
        async move {
            let new = json!({"name": format!("t{at}"), "roles": ["reader"], "secret": secret});
            api.post(TOKENS, &new).await.status
        }
    });
    let mut statuses = futures::future::join_all(asks).await;
    statuses.sort_unstable();
    assert_eq!(statuses[0], 201);
    assert!(
        statuses[1..].iter().all(|status| *status == 409),
        "{statuses:?}"
    );
    assert_eq!(api.count("select count(*) from token").await, 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let api = Api::start().await;
    let many: Vec<_> = (0..101).map(|at| format!("vpc-{at}")).collect();
    for (more, word) in [
        (json!({"roles": []}), "at least one role"),
        (
            json!({"roles": ["admin"], "limits": {"vpcs": ["a"]}}),
            "can't be limited",
        ),
        (json!({"limits": {"vrfs": ["nowhere"]}}), "nowhere"),
        (json!({"limits": {"pools": ["nowhere"]}}), "nowhere"),
        (json!({"limits": {"profiles": ["nowhere"]}}), "nowhere"),
        (json!({"limits": {"vpcs": many}}), "at most 100"),
        (json!({"limits": {"vpcs": ["a/b"]}}), "pattern"),
        (json!({"limits": {"colour": "red"}}), "colour"),
        (json!({"roles": ["root"]}), "root"),
        (json!({"expires_at": "2001-01-01T00:00:00Z"}), "past"),
        (json!({"expires_at": "9999-12-31T23:59:59-12:00"}), "9999"),
        (json!({"secret": "ipam_mine"}), "secret"),
        (json!({"name": "a\u{202e}b"}), "invisible"),
    ] {
        let mut new = json!({"name": "x", "roles": ["reader"]});
        new.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let reply = api.post(TOKENS, &new).await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains(word), "{new}: {detail}");
    }
    api.post("/api/v1/vrfs", &json!({"name": "dev"}))
        .await
        .ok(201);
    let pool = json!({"name": "primary", "vrf": "dev", "ranges": ["10.0.0.0/16"]});
    api.post("/api/v1/pools", &pool).await.ok(201);
    let new = json!({"name": "x", "roles": ["reader"], "limits": {"pools": ["primary"]}});
    let reply = api.post(TOKENS, &new).await;
    assert!(
        reply
            .problem(400, "invalid_request")
            .0
            .contains("dev/primary")
            || reply.text.contains("vrf/primary")
    );
    let new = json!({"name": "x", "roles": ["reader"], "limits": {"pools": ["dev/primary"]}});
    api.post(TOKENS, &new).await.ok(201);
    assert_eq!(api.count("select count(*) from token").await, 1);
}

#[tokio::test]
async fn a_database_beside_another_pepper_accepts_no_token() {
    let api = Api::start().await;
    let secret = api.token(json!({"name": "ci", "roles": ["admin"]})).await;
    let stranger = "another pepper of another place entirely";
    for (peppers, status) in [
        (Peppers::parse(stranger).unwrap(), 401),
        (Peppers::default(), 401),
        // Rotated: new secrets have the new one, old ones stay valid.
        (
            Peppers::parse(&format!(
                "2:{stranger},1:a pepper that only these tests know"
            ))
            .unwrap(),
            200,
        ),
    ] {
        let server = replica(&api, peppers);
        let reply = server.as_who(&secret, "GET", WHOAMI, &Value::Null).await;
        assert_eq!(reply.status, status, "{}", reply.text);
    }
    let without = replica(&api, Peppers::default());
    let reply = without
        .post(TOKENS, &json!({"name": "new", "roles": ["reader"]}))
        .await;
    assert!(
        reply
            .problem(503, "unavailable")
            .0
            .contains("IPAM_TOKEN_PEPPER")
    );
}

#[tokio::test]
async fn a_secret_is_stored_nowhere() {
    let api = Api::start().await;
    let mut secrets = Vec::new();
    for at in 0..50 {
        let new = json!({"name": format!("t{at}"), "roles": ["reader"]});
        let secret = api.token(new).await;
        api.as_who(&secret, "GET", WHOAMI, &Value::Null)
            .await
            .ok(200);
        secrets.push(secret);
    }
    let state = api.state().await;
    for secret in secrets {
        assert!(state.contains(&secret[5..17]), "the public id is stored");
        assert!(!state.contains(&secret[18..30]), "the secret is not");
    }
}

#[tokio::test]
async fn a_server_may_do_without_the_administrators_key() {
    let api = Api::start().await;
    let secret = api.token(json!({"name": "root", "roles": ["admin"]})).await;
    let closed = Api {
        router: router(App::new(api.ipam.clone(), Auth::without_administrator())),
        ipam: api.ipam.clone(),
        database: api.database.clone(),
    };
    for key in [KEY, ""] {
        closed
            .as_who(key, "GET", WHOAMI, &Value::Null)
            .await
            .problem(401, "unauthorized");
    }
    closed
        .as_who(&secret, "GET", TOKENS, &Value::Null)
        .await
        .ok(200);
}

#[tokio::test]
async fn when_a_token_was_last_used_is_known() {
    let api = Api::start().await;
    let secret = api.token(json!({"name": "ci", "roles": ["reader"]})).await;
    assert_eq!(
        api.get(&format!("{TOKENS}/ci")).await.ok(200)["last_used_at"],
        Value::Null
    );
    for _ in 0..20 {
        api.as_who(&secret, "GET", WHOAMI, &Value::Null)
            .await
            .ok(200);
    }
    let mut shown = Value::Null;
    for _ in 0..50 {
        shown = api.get(&format!("{TOKENS}/ci")).await.ok(200);
        if shown["last_used_at"].is_string() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(shown["last_used_at"].is_string(), "{shown}");
    assert_eq!(shown["revision"], 1, "a use is no change");
}
