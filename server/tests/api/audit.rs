//! The audit log: where changes came from, what was there before and after, what was denied, and that nobody who follows it
//! misses anything.

use std::{collections::BTreeMap, time::Duration};

use ipam_server::domain::seal::Sealer;
use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, PROFILES, RESERVATIONS, TOKENS, VPCS, VRFS, path};

const EVENTS: &str = "/api/v1/events";
const FEED: &str = "/api/v1/events/feed";

/// The newest event of an action.
async fn last(api: &Api, action: &str) -> Value {
    let path = format!("{EVENTS}?action={action}&limit=1");
    api.get(&path).await.ok(200)["items"][0].clone()
}

/// Finds out how far the log is complete, for as long as this is not dropped.
struct Sealing(tokio::task::JoinHandle<()>);

impl Sealing {
    fn of(api: &Api) -> Self {
        let sealer = Sealer::default().run(api.ipam.clone(), Duration::from_millis(10));
        Self(tokio::spawn(sealer))
    }
}

impl Drop for Sealing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test]
async fn an_event_says_where_its_change_came_from() {
    let api = Api::start().await;
    let new = json!({"name": "ci", "roles": ["allocator", "operator"]});
    let made = api
        .with("POST", TOKENS, &[("ipam-owner", "team net")], &new)
        .await
        .ok(201);
    let secret = made["secret"].as_str().unwrap();
    let said = [
        ("x-api-key", secret),
        ("content-type", "application/json"),
        ("ipam-workspace", "größe"),
        ("ipam-run", "https://ci.example/42"),
        ("ipam-commit", "0a1b2c"),
    ];
    let source = json!({
        "token": made["id"], "owner": "team net", "workspace": "größe", "run": "https://ci.example/42", "commit": "0a1b2c",
    });
    let send = async |method: &str, path: &str, body: Value| {
        let reply = api.send(method, path, &said, body.to_string()).await;
        assert!(reply.status < 300, "{method} {path}: {}", reply.text);
        reply.json
    };
    // The hot path, several at once, the ledger, and what makes and changes one row.
    let batch = json!({"requests": [{"vpc": "b", "hosts": 5}, {"vpc": "b", "hosts": 6}]});
    let allocation = send("POST", ALLOCATIONS, json!({"vpc": "a", "hosts": 5})).await;
    send("PATCH", &path(&allocation), json!({"prefix_length": 25})).await;
    send("POST", &format!("{ALLOCATIONS}/batch"), batch).await;
    send("DELETE", &path(&allocation), Value::Null).await;
    send(
        "POST",
        POOLS,
        json!({"name": "p", "ranges": ["172.16.0.0/16"]}),
    )
    .await;
    send("PATCH", &format!("{POOLS}/p"), json!({"description": "d"})).await;
    send(
        "POST",
        RESERVATIONS,
        json!({"cidr": "172.16.1.0/24", "reason": "r"}),
    )
    .await;
    send(
        "POST",
        "/allocate?vpc=old&hosts=9",
        json!({"vpc": "old", "hosts": 9}),
    )
    .await;
    let events = api.get(&format!("{EVENTS}?actor=token/ci")).await.ok(200);
    let events = events["items"].as_array().unwrap();
    assert!(events.len() >= 10, "{events:#?}");
    for event in events {
        assert_eq!(event["source"], source, "{event}");
    }
    // Whoever has the administrator's key has no token.
    api.post(VRFS, &json!({"name": "x"})).await.ok(201);
    assert_eq!(last(&api, "vrf.create").await["source"], Value::Null);

    let before = api.state().await;
    for (value, name) in [("a\tb", "ipam-run"), (&"x".repeat(256), "ipam-commit")] {
        let headers = [(name, value)];
        let reply = api
            .with("POST", VRFS, &headers, &json!({"name": "y"}))
            .await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains(name) && detail.contains("255"), "{detail}");
    }
    assert_eq!(api.state().await, before);
}

#[tokio::test]
async fn an_event_says_what_was_there_before_and_what_came() {
    let api = Api::start().await;
    let token = json!({"name": "n", "roles": ["reader"], "description": "one"});
    let new = [
        (VRFS, "vrf", json!({"name": "n", "description": "one"})),
        (VPCS, "vpc", json!({"name": "n", "description": "one"})),
        (
            POOLS,
            "pool",
            json!({"name": "n", "description": "one", "ranges": ["172.16.0.0/16"]}),
        ),
        (
            PROFILES,
            "profile",
            json!({
                "name": "n", "description": "one", "members": [{"role": "a", "pool": "primary"}],
            }),
        ),
        (TOKENS, "token", token),
    ];
    for (path, noun, body) in &new {
        let made = api.post(path, body).await.ok(201);
        let event = last(&api, &format!("{noun}.create")).await;
        let after = if *noun == "token" {
            &event["detail"]
        } else {
            &event["detail"]["after"]
        };
        assert_eq!(after["description"], "one", "{event}");
        let path = format!("{path}/n");
        api.patch(&path, &json!({"description": "two"}))
            .await
            .ok(200);
        let event = last(&api, &format!("{noun}.update")).await;
        assert_eq!(
            event["detail"],
            json!({"description": "two", "before": {"description": "one"}})
        );
        let shown = api.get(&path).await.ok(200);
        api.delete(&path).await;
        let end = if *noun == "token" { "revoke" } else { "delete" };
        let event = last(&api, &format!("{noun}.{end}")).await;
        assert_eq!(event["subject"], made["id"]);
        let before = &event["detail"]["before"];
        assert_eq!(
            (&before["name"], &before["description"]),
            (&json!("n"), &json!("two")),
            "{event}"
        );
        assert_eq!(before["revision"], shown["revision"], "{event}");
        assert_eq!(
            (&before["claim"], &before["secret"]),
            (&Value::Null, &Value::Null),
            "{event}"
        );
    }

    // More addresses than 64 bits count.
    let pool = json!({"name": "six", "ranges": ["fd00:1234::/32"]});
    api.post(POOLS, &pool).await.ok(201);
    api.delete(&format!("{POOLS}/six")).await.ok(204);
    let event = last(&api, "pool.delete").await;
    assert_eq!(
        event["detail"]["before"]["ranges"][0], "fd00:1234::/32",
        "{event}"
    );

    let reservation = json!({"cidr": "172.20.0.0/24", "reason": "one", "labels": {"a": "b"}});
    let made = api.post(RESERVATIONS, &reservation).await.ok(201);
    let of_it = format!("{RESERVATIONS}/{}", made["id"].as_str().unwrap());
    api.patch(&of_it, &json!({"reason": "two", "labels": {}}))
        .await
        .ok(200);
    let event = last(&api, "reservation.update").await;
    assert_eq!(
        event["detail"]["before"],
        json!({"reason": "one", "labels": {"a": "b"}})
    );
    api.delete(&of_it).await.ok(204);
    assert_eq!(
        last(&api, "reservation.delete").await["detail"]["before"]["reason"],
        "two"
    );

    let body =
        json!({"vpc": "a", "name": "n", "hosts": 5, "labels": {"k": "v"}, "description": "one"});
    let made = api.allocate(body).await;
    let event = last(&api, "allocation.create").await;
    assert_eq!(event["detail"]["labels"], json!({"k": "v"}), "{event}");
    let patch = json!({"vpc": "b", "hosts": 40, "labels": {}, "dry_run": false});
    api.patch(&path(&made), &patch).await.ok(200);
    let event = last(&api, "allocation.update").await;
    assert_eq!(
        event["detail"],
        json!({
            "vpc": "b", "hosts": 40, "labels": {}, "before": {"vpc": "a", "hosts": 5, "labels": {"k": "v"}},
        })
    );
    api.delete(&path(&made)).await.ok(204);
    let event = last(&api, "allocation.release").await;
    assert_eq!(event["detail"]["before"]["description"], "one", "{event}");
    assert_eq!(event["detail"]["before"]["created_by"], "admin", "{event}");
}

#[tokio::test]
async fn what_was_denied_is_counted_and_costs_a_row_each_kind() {
    let api = Api::start().await;
    let reader = api
        .token(json!({"name": "reader", "roles": ["reader"]}))
        .await;
    let other = api
        .token(json!({"name": "other", "roles": ["reader"]}))
        .await;
    for _ in 0..7 {
        api.as_who(&reader, "POST", VRFS, &json!({"name": "x"}))
            .await
            .problem(403, "forbidden");
    }
    api.as_who(&other, "POST", VRFS, &json!({"name": "x"}))
        .await
        .problem(403, "forbidden");
    api.as_who(&reader, "DELETE", "/vpcs/none", &Value::Null)
        .await;
    for number in 0..300 {
        let key = format!("guess-{number}");
        api.as_who(&key, "GET", VRFS, &Value::Null)
            .await
            .problem(401, "unauthorized");
    }
    // What nobody sent a key for is no attempt.
    api.send("GET", VRFS, &[], "")
        .await
        .problem(401, "unauthorized");
    api.get("/api/v1/export").await;
    let before = api.count("select count(*) from event").await;
    api.ipam.write_notes().await.unwrap();
    let events = api.get(&format!("{EVENTS}?limit=1000")).await.ok(200);
    let events: Vec<_> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["id"].as_i64().unwrap() > before)
        .collect();
    let mut found = BTreeMap::new();
    for event in &events {
        let key = format!(
            "{} {} {}",
            event["action"].as_str().unwrap(),
            event["actor"].as_str().unwrap(),
            event["detail"]["request"].as_str().unwrap_or("-")
        );
        found.insert(key, event["detail"]["count"].as_u64().unwrap());
        assert!(
            !event["request_id"].is_null() && !event["detail"]["since"].is_null(),
            "{event}"
        );
        assert!(
            !event.to_string().contains("guess-"),
            "no key is kept: {event}"
        );
    }
    let expected = [
        ("access.denied token/other POST /api/v1/vrfs", 1),
        ("access.denied token/reader DELETE /vpcs/{name}", 1),
        ("access.denied token/reader POST /api/v1/vrfs", 7),
        ("access.wrong_key nobody -", 300),
        ("plan.export admin GET /api/v1/export", 1),
    ];
    assert_eq!(
        found,
        expected.map(|(key, count)| (key.to_owned(), count)).into()
    );
    let denied = events
        .iter()
        .find(|event| event["actor"] == "token/other")
        .unwrap();
    assert_eq!(denied["subject"], denied["source"]["token"]);
    // And nothing twice.
    api.ipam.write_notes().await.unwrap();
    assert_eq!(api.count("select count(*) from event").await, before + 5);
    api.verify().await;
}

#[tokio::test]
async fn a_batch_says_of_its_requests_what_was_denied() {
    let api = Api::start().await;
    let limits = json!({"vpcs": ["network-*"]});
    let key = api
        .token(json!({"name": "limited", "roles": ["allocator"], "limits": limits}))
        .await;
    let denied = || json!({"vpc": "secret", "hosts": 5});
    let full = || json!({"vpc": "network-a", "hosts": 100_000});
    for (atomic, requests, status) in [
        (false, [denied(), full()], 200),
        (true, [full(), denied()], 403),
        (true, [denied(), full()], 403),
        (false, [full(), full()], 200),
    ] {
        let body = json!({"atomic": atomic, "requests": requests});
        let reply = api
            .as_who(&key, "POST", "/api/v1/allocations/batch", &body)
            .await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text);
    }
    api.ipam.write_notes().await.unwrap();
    let noted = last(&api, "access.denied").await;
    assert_eq!(noted["actor"], "token/limited");
    assert_eq!(noted["detail"]["count"], 3, "{noted}");
}

#[tokio::test]
async fn what_can_not_be_recorded_is_kept_until_it_can() {
    let api = Api::start().await;
    let reader = api
        .token(json!({"name": "reader", "roles": ["reader"]}))
        .await;
    let denied = async || {
        api.as_who(&reader, "POST", VRFS, &json!({"name": "x"}))
            .await
            .problem(403, "forbidden");
    };
    denied().await;
    api.sql("alter table event rename to other").await;
    api.ipam.write_notes().await.unwrap_err();
    denied().await;
    api.sql("alter table other rename to event").await;
    api.ipam.write_notes().await.unwrap();
    assert_eq!(last(&api, "access.denied").await["detail"]["count"], 2);
}

#[tokio::test]
async fn a_feed_waits_for_what_may_still_come_before() {
    let api = Api::with_connections(8).await;
    let _sealing = Sealing::of(&api);
    let begin = api.get(FEED).await.ok(200)["next"].as_i64().unwrap();
    // It has its number, and is not there yet.
    let mut slow = api.database.connect().await;
    let insert = "insert into event (actor, action, subject, request_id)
        values ('slow', 'vrf.slow', gen_random_uuid(), gen_random_uuid()) returning event_id";
    sqlx::raw_sql("begin").execute(&mut slow).await.unwrap();
    let late: i64 = sqlx::query_scalar(insert)
        .fetch_one(&mut slow)
        .await
        .unwrap();
    api.post(VRFS, &json!({"name": "x"})).await.ok(201);
    let after = format!("{FEED}?after={begin}&wait=1");
    let feed = api.get(&after).await.ok(200);
    assert_eq!(
        (&feed["items"], &feed["next"]),
        (&json!([]), &json!(begin)),
        "the second one alone would hide the first"
    );
    let commit = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        sqlx::raw_sql("commit").execute(&mut slow).await.unwrap();
    };
    // The sealer may have looked between the two, and then tells of the first one first.
    let read = async {
        let (mut ids, mut next) = (Vec::new(), begin);
        while ids.len() < 2 {
            let feed = api
                .get(&format!("{FEED}?after={next}&wait=20"))
                .await
                .ok(200);
            let items = feed["items"].as_array().unwrap();
            assert!(!items.is_empty(), "{feed}");
            ids.extend(items.iter().map(|it| it["id"].as_i64().unwrap()));
            next = feed["next"].as_i64().unwrap();
        }
        (ids, next)
    };
    let (read, ()) = tokio::join!(read, commit);
    assert_eq!(read, (vec![late, late + 1], late + 1));
}

#[tokio::test]
async fn many_who_follow_see_everything_once_and_in_order() {
    let api = Api::with_connections(12).await;
    let _sealing = Sealing::of(&api);
    let begin = api.get(FEED).await.ok(200)["next"].as_i64().unwrap();
    let follow = |more: &'static str| {
        let api = &api;
        async move {
            let (mut after, mut seen) = (begin, Vec::new());
            while seen.last() != Some(&"vrf.delete".to_owned()) {
                let path = format!("{FEED}?after={after}&wait=5{more}");
                let feed = api.get(&path).await.ok(200);
                let next = feed["next"].as_i64().unwrap();
                for event in feed["items"].as_array().unwrap() {
                    let id = event["id"].as_i64().unwrap();
                    assert!(id > after && id <= next, "{feed}");
                    after = id;
                    seen.push(event["action"].as_str().unwrap().to_owned());
                }
                after = next;
            }
            seen
        }
    };
    let work = async {
        let each = (0..8).map(|worker| {
            let api = &api;
            async move {
                for number in 0..10 {
                    api.allocate(json!({"vpc": format!("v{worker}"), "hosts": 5 + number}))
                        .await;
                }
            }
        });
        futures::future::join_all(each).await;
        api.post(VRFS, &json!({"name": "x"})).await.ok(201);
        api.delete(&format!("{VRFS}/x")).await.ok(204);
    };
    let (all, small, of_vrfs, ()) = tokio::join!(
        follow(""),
        follow("&limit=3"),
        follow("&action=vrf.delete"),
        work
    );
    let creations = all
        .iter()
        .filter(|action| *action == "allocation.create")
        .count();
    assert_eq!((creations, &all), (80, &small));
    assert_eq!(of_vrfs, ["vrf.delete"]);
    let stored = api
        .count(&format!(
            "select count(*) from event where event_id > {begin}"
        ))
        .await;
    assert_eq!(usize::try_from(stored).unwrap(), all.len());
}

#[tokio::test]
async fn a_feed_refuses_what_it_can_not_follow() {
    let api = Api::start().await;
    for (query, word) in [
        ("after=999999999", "restored"),
        ("after=-1", "the last event is"),
        ("wait=31", "between 0 and 30"),
        ("limit=0", "limit"),
        ("after=x", "after"),
        ("since=1", "since"),
    ] {
        let reply = api.get(&format!("{FEED}?{query}")).await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains(word), "{query}: {detail}");
    }
    let headers = [("x-api-key", crate::support::KEY), ("last-event-id", "x")];
    api.send("GET", FEED, &headers, "")
        .await
        .problem(400, "invalid_request");
    // Whoever has followed for too long finds the places taken, and they are given back.
    let mut followers = Vec::new();
    for _ in 0..100 {
        followers.push(api.ipam.follow(None).await.unwrap());
    }
    let reply = api.get(FEED).await;
    assert!(reply.problem(503, "unavailable").0.contains("too many"));
    followers.clear();
    api.get(FEED).await.ok(200);
}

#[tokio::test]
async fn a_limited_auditor_follows_what_it_sees() {
    let api = Api::start().await;
    let _sealing = Sealing::of(&api);
    let limited = json!({"name": "lim", "roles": ["auditor"], "limits": {"vpcs": ["mine-*"]}});
    let limited = api.token(limited).await;
    let begin = api.get(FEED).await.ok(200)["next"].as_i64().unwrap();
    api.allocate(json!({"vpc": "mine-1", "hosts": 5})).await;
    api.allocate(json!({"vpc": "other", "hosts": 5})).await;
    api.post(VRFS, &json!({"name": "end"})).await.ok(201);
    let mut vpcs = Vec::new();
    let mut after = begin;
    let last = api.count("select max(event_id) from event").await;
    while after < last {
        let feed = api
            .as_who(
                &limited,
                "GET",
                &format!("{FEED}?after={after}&wait=5"),
                &Value::Null,
            )
            .await
            .ok(200);
        after = feed["next"].as_i64().unwrap();
        for event in feed["items"].as_array().unwrap() {
            vpcs.push(
                event["detail"]["vpc"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
    }
    assert!(
        vpcs.contains(&"mine-1".to_owned()) && !vpcs.contains(&"other".to_owned()),
        "{vpcs:?}"
    );
}

#[tokio::test]
async fn the_head_is_that_of_the_last_seal() {
    let api = Api::start().await;
    api.get(&format!("{EVENTS}/head"))
        .await
        .problem(404, "not_found");
    api.post(VRFS, &json!({"name": "x"})).await.ok(201);
    let _sealing = Sealing::of(&api);
    let head = loop {
        let reply = api.get(&format!("{EVENTS}/head")).await;
        if reply.status == 200 {
            break reply.json;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let report = api.ipam.verify().await.unwrap();
    assert_eq!(serde_json::to_value(report.head).unwrap(), head);
    let feed = api.get(&format!("{FEED}?after=0&wait=5")).await.ok(200);
    assert!(
        feed["head"].is_object() && feed["items"][0]["id"].is_i64(),
        "{feed}"
    );
}

#[tokio::test]
async fn events_are_found_by_time() {
    let api = Api::start().await;
    api.post(VRFS, &json!({"name": "one"})).await.ok(201);
    tokio::time::sleep(Duration::from_millis(50)).await;
    api.post(VRFS, &json!({"name": "two"})).await.ok(201);
    let two = last(&api, "vrf.create").await;
    let at = two["at"].as_str().unwrap();
    let names = async |query: String| {
        let found = api
            .get(&format!("{EVENTS}?action=vrf.create&{query}"))
            .await
            .ok(200);
        let items = found["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|it| it["detail"]["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(format!("before={at}")).await, ["one"]);
    assert_eq!(names(format!("after={at}")).await, Vec::<String>::new());
    assert_eq!(
        names("before=2999-01-01T00:00:00Z&after=2000-01-01T00:00:00Z".to_owned()).await,
        ["two", "one"]
    );
}

/// A request that is repeated with something else makes it so; what was there before is in the log.
#[tokio::test]
async fn an_adoption_says_what_it_replaced() {
    let api = Api::start().await;
    for (path, action, first, again, changed, before) in [
        (
            ALLOCATIONS,
            "allocation.adopt",
            json!({"vpc": "v", "name": "a", "hosts": 9, "labels": {"k": "v"}, "description": "d", "deletion_protection": true}),
            json!({"vpc": "v", "name": "a", "hosts": 9}),
            json!({"labels": {}, "description": "", "deletion_protection": false}),
            json!({"labels": {"k": "v"}, "description": "d", "deletion_protection": true}),
        ),
        (
            ALLOCATIONS,
            "allocation.adopt",
            json!({"vpc": "v", "name": "same", "hosts": 9, "labels": {"k": "v"}}),
            json!({"vpc": "v", "name": "same", "hosts": 9, "labels": {"k": "v"}}),
            json!({}),
            json!({}),
        ),
        (
            VRFS,
            "vrf.adopt",
            json!({"name": "r", "labels": {"k": "v"}}),
            json!({"name": "r", "description": "new"}),
            json!({"labels": {}, "description": "new"}),
            json!({"labels": {"k": "v"}, "description": ""}),
        ),
        (
            POOLS,
            "pool.adopt",
            json!({"name": "p", "family": "ipv4", "description": "d"}),
            json!({"name": "p", "family": "ipv4"}),
            json!({"description": ""}),
            json!({"description": "d"}),
        ),
        (
            PROFILES,
            "profile.adopt",
            json!({"name": "f", "members": [{"role": "a", "pool": "primary"}], "description": "d"}),
            json!({"name": "f", "members": [{"role": "a", "pool": "primary"}]}),
            json!({"description": ""}),
            json!({"description": "d"}),
        ),
        (
            VPCS,
            "vpc.adopt",
            json!({"name": "w", "labels": {"k": "v"}}),
            json!({"name": "W"}),
            json!({"name": "W", "labels": {}}),
            json!({"name": "w", "labels": {"k": "v"}}),
        ),
        (
            RESERVATIONS,
            "reservation.adopt",
            json!({"cidr": "172.31.0.0/24", "reason": "old"}),
            json!({"cidr": "172.31.0.0/24", "reason": "new"}),
            json!({"reason": "new"}),
            json!({"reason": "old"}),
        ),
        (
            TOKENS,
            "token.adopt",
            json!({"name": "t", "roles": ["reader"], "description": "d"}),
            json!({"name": "t", "roles": ["reader"]}),
            json!({"description": ""}),
            json!({"description": "d"}),
        ),
    ] {
        api.post(path, &first).await.ok(201);
        api.post(path, &again).await.ok(200);
        let detail = &last(&api, action).await["detail"];
        assert_eq!(detail["changed"], changed, "{action}: {detail}");
        assert_eq!(detail["before"], before, "{action}: {detail}");
    }
}

#[tokio::test]
async fn an_event_calls_things_by_their_names_and_leaves_out_what_they_do_not_have() {
    let api = Api::start().await;
    api.post(VPCS, &json!({"name": "Prod"})).await.ok(201);
    let made = api
        .allocate(json!({"vpc": "prod", "name": "n", "hosts": 5}))
        .await;
    let event = last(&api, "allocation.create").await;
    assert_eq!(event["detail"]["vpc"], "Prod", "{event}");
    api.post(
        ALLOCATIONS,
        &json!({"vpc": "PROD", "name": "n", "hosts": 5}),
    )
    .await
    .ok(200);
    let event = last(&api, "allocation.adopt").await;
    assert_eq!(event["detail"]["vpc"], "Prod", "{event}");
    for vpc in ["moved", "PROD"] {
        api.patch(&path(&made), &json!({"vpc": vpc})).await.ok(200);
    }
    let event = last(&api, "vpc.create").await;
    assert_eq!(event["detail"], json!({"name": "moved", "vrf": "default"}));
    let event = last(&api, "allocation.update").await;
    assert_eq!(event["detail"]["vpc"], "Prod", "{event}");

    let parent = json!({"name": "parent", "ranges": ["172.16.0.0/16", "172.18.0.0/16"]});
    api.post(POOLS, &parent).await.ok(201);
    let patch = json!({"ranges": ["172.16.0.0/16", "172.19.0.0/16"]});
    api.patch(&format!("{POOLS}/parent"), &patch).await.ok(200);
    let event = last(&api, "pool.update").await;
    assert_eq!(
        event["detail"],
        json!({
            "ranges": ["172.16.0.0/16", "172.19.0.0/16"],
            "added_ranges": ["172.19.0.0/16"], "removed_ranges": ["172.18.0.0/16"],
            "before": {"ranges": ["172.16.0.0/16", "172.18.0.0/16"]},
        })
    );
    let child = json!({"name": "child", "parent": "parent", "range_prefix_lengths": [24]});
    let child = api.post(POOLS, &child).await.ok(201);
    let patch = json!({"add_range_prefix_lengths": [25]});
    let after = api.patch(&format!("{POOLS}/child"), &patch).await.ok(200);
    let event = last(&api, "pool.update").await;
    assert_eq!(
        event["detail"]["before"],
        json!({"ranges": child["ranges"]}),
        "{event}"
    );
    assert_eq!(event["detail"]["ranges"], after["ranges"], "{event}");
}

#[tokio::test]
async fn old_idempotency_keys_are_forgotten_some_at_a_time() {
    let api = Api::start().await;
    let keyed = [("idempotency-key", "new")];
    let new = json!({"vpc": "a", "hosts": 5});
    api.with("POST", ALLOCATIONS, &keyed, &new).await.ok(201);
    api.sql(
        "insert into idempotency_key (actor, key, fingerprint, allocation_id, created_at)
        select 'admin', 'old ' || n, fingerprint, allocation_id, now() - interval '25 hours'
        from idempotency_key, generate_series(1, 25000) as n",
    )
    .await;
    let _sealing = Sealing::of(&api);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while api.count("select count(*) from idempotency_key").await > 1 {
        assert!(std::time::Instant::now() < deadline, "they are kept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let again = api.with("POST", ALLOCATIONS, &keyed, &new).await;
    assert_eq!(again.status, 200, "{}", again.text);
}
