//! Profiles: recipes that change for what comes, never for what exists.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::support::{ALLOCATIONS, Api, PROFILES, cidrs, column, path, unclaimed};

fn member(role: &str, pool: &str) -> Value {
    json!({"role": role, "pool": pool})
}

/// What a member is when nothing else was said of it.
fn full(role: &str, pool: &str) -> Value {
    json!({"role": role, "pool": pool, "size_offset": 0, "min_prefix_length": 0, "max_prefix_length": 128})
}

fn id(body: &Value) -> String {
    body["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_profile_is_made_found_changed_and_deleted() {
    let api = Api::start().await;
    let body = json!({"name": "Flat", "description": "d", "members": [member("main", "primary")]});
    let reply = api.post(PROFILES, &body).await;
    let at = format!("{PROFILES}/{}", id(&reply.json));
    assert_eq!(
        (reply.header("location"), reply.header("etag")),
        (at.as_str(), "\"1\"")
    );
    let made = unclaimed(reply.ok(201));
    assert_eq!(made["members"], json!([full("main", "primary")]));
    assert_eq!(
        (
            &made["name"],
            &made["description"],
            &made["allocations"],
            &made["revision"]
        ),
        (&json!("Flat"), &json!("d"), &json!(0), &json!(1))
    );
    for key in [&at, &format!("{PROFILES}/Flat")] {
        assert_eq!(api.get(key).await.ok(200), made);
    }
    // Names of profiles differ by case.
    api.get(&format!("{PROFILES}/flat"))
        .await
        .problem(404, "not_found");
    let other = json!({"name": "Flat", "members": [{"role": "else", "pool": "primary"}]});
    let reply = api.post(PROFILES, &other).await;
    let (detail, _) = reply.problem(409, "name_taken");
    assert!(detail.contains("the profile \"Flat\""), "{detail}");

    let reply = api
        .with(
            "PATCH",
            &at,
            &[("if-match", "\"2\"")],
            &json!({"name": "New"}),
        )
        .await;
    assert_eq!(reply.problem(412, "stale").1["revision"], 1);
    let reply = api.patch(&at, &json!({"name": "node-pod"})).await;
    let (detail, _) = reply.problem(409, "name_taken");
    assert!(detail.contains("a profile \"node-pod\""), "{detail}");
    let changed = api
        .with(
            "PATCH",
            &at,
            &[("if-match", "\"1\"")],
            &json!({"name": "New", "description": ""}),
        )
        .await
        .ok(200);
    assert_eq!(
        (
            &changed["name"],
            &changed["description"],
            &changed["revision"],
            &changed["members"]
        ),
        (&json!("New"), &json!(""), &json!(2), &made["members"])
    );
    assert_eq!(api.patch(&at, &json!({})).await.ok(200), changed);
    let made = api
        .allocate(json!({"vpc": "a", "profile": "New", "prefix_length": 24}))
        .await;
    assert_eq!(
        (&made["profile"], cidrs(&made)),
        (&json!("New"), vec!["10.0.0.0/24"])
    );
    assert_eq!(api.get(&at).await.ok(200)["allocations"], 1);
    api.delete(&path(&made)).await.ok(204);

    let reply = api
        .with("DELETE", &at, &[("if-match", "\"1\"")], &Value::Null)
        .await;
    reply.problem(412, "stale");
    api.delete(&at).await.ok(204);
    for reply in [
        api.get(&at).await,
        api.delete(&at).await,
        api.patch(&at, &json!({"name": "x"})).await,
    ] {
        assert_eq!(reply.problem(410, "gone").1["deleted_by"], "admin");
    }
    api.get(&format!("{PROFILES}/New"))
        .await
        .problem(404, "not_found");
    api.get(&format!("{PROFILES}/00000000-0000-0000-0000-000000000000"))
        .await
        .problem(404, "not_found");
    let reply = api
        .post(
            ALLOCATIONS,
            &json!({"vpc": "a", "profile": "New", "prefix_length": 24}),
        )
        .await;
    assert!(reply.problem(404, "not_found").0.contains("New"));
    for (action, count) in [("create", 1), ("update", 1), ("delete", 1)] {
        assert_eq!(
            api.events(&format!("profile.{action}")).await,
            count,
            "{action}"
        );
    }
    api.verify().await;
}

#[tokio::test]
async fn profiles_are_listed_in_pages() {
    let api = Api::start().await;
    for n in 0..5 {
        let body = json!({"name": format!("p{n}"), "members": [member("main", "primary")]});
        api.post(PROFILES, &body).await.ok(201);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    let mut pages = 0;
    loop {
        let page = api
            .get(&format!("{PROFILES}?limit=2{cursor}"))
            .await
            .ok(200);
        names.extend(column(&page, "name").into_iter().map(str::to_owned));
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    names.sort();
    assert_eq!(names, ["node-pod", "p0", "p1", "p2", "p3", "p4"]);
    assert!((3..=4).contains(&pages), "{pages}");
    let page = api.get(&format!("{PROFILES}?name=p3")).await.ok(200);
    assert_eq!(column(&page, "name"), ["p3"]);
    let node_pod = api.get(&format!("{PROFILES}/node-pod")).await.ok(200);
    assert_eq!(
        node_pod["members"],
        json!([
            {"role": "primary", "pool": "primary", "size_offset": 0, "min_prefix_length": 20, "max_prefix_length": 26},
            {"role": "cgnat", "pool": "cgnat", "size_offset": -5, "min_prefix_length": 15, "max_prefix_length": 21},
        ])
    );
    for query in ["limit=0", "limit=1001", "cursor=x", "nane=p3"] {
        api.get(&format!("{PROFILES}?{query}"))
            .await
            .problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_wrong_recipe_says_what_is_wrong_and_leaves_no_trace() {
    let api = Api::start().await;
    let before = api.state().await;
    let bounds = |min: u8, max: u8| json!([{"role": "a", "pool": "p", "min_prefix_length": min, "max_prefix_length": max}]);
    let many: Vec<_> = (0..33).map(|n| member(&format!("r{n}"), "p")).collect();
    for (members, part) in [
        (json!([]), "1 to 32"),
        (json!(many), "has 33"),
        (
            json!([member("a", "p"), member("a", "q")]),
            "\"a\" is there twice",
        ),
        (json!([member("A", "p")]), "\"A\" is not a role"),
        (json!([member("", "p")]), "is not a role"),
        (json!([member("a", "p/q")]), "a name can't contain"),
        (bounds(25, 24), "min_prefix_length 25"),
        (bounds(0, 129), "129"),
        (bounds(0, 255), "255"),
        (
            json!([{"role": "a", "pool": "p", "size_offset": -128}]),
            "-127 to 127",
        ),
        (
            json!([{"role": "a", "pool": "p", "size_offset": 128}]),
            "i8",
        ),
        (
            json!([{"role": "a", "pool": "p", "size": 1}]),
            "unknown field",
        ),
        (
            json!([
                {"role": "a", "pool": "p", "min_prefix_length": 20, "max_prefix_length": 26},
                {"role": "b", "pool": "q", "min_prefix_length": 8, "max_prefix_length": 10},
            ]),
            "no size fits both \"a\" and \"b\"",
        ),
    ] {
        for reply in [
            api.post(PROFILES, &json!({"name": "x", "members": members}))
                .await,
            api.patch(
                &format!("{PROFILES}/node-pod"),
                &json!({"members": members}),
            )
            .await,
        ] {
            let (detail, _) = reply.problem(400, "invalid_request");
            assert!(detail.contains(part), "{detail}");
        }
    }
    for body in [
        json!({"name": "x"}),
        json!({"members": [member("a", "p")]}),
        json!({"name": "x/y", "members": [member("a", "p")]}),
        json!({"name": "x", "members": [member("a", "p")], "description": "x".repeat(1001)}),
    ] {
        api.post(PROFILES, &body)
            .await
            .problem(400, "invalid_request");
    }
    assert_eq!(api.state().await, before);
}

#[tokio::test]
async fn a_change_is_for_what_comes() {
    let api = Api::start().await;
    let at = format!("{PROFILES}/node-pod");
    let old = api
        .allocate(json!({"vpc": "a", "name": "old", "prefix_length": 24}))
        .await;
    assert_eq!(cidrs(&old), ["10.0.0.0/24", "100.64.0.0/19"]);
    let primary = "select member_id::bigint from profile_member where role = 'primary' and retired_at is null";
    let kept = api.count(primary).await;
    // The first stays as it is, the second is wider from now on, the third is new.
    let members = json!([
        {"role": "primary", "pool": "primary", "size_offset": 0, "min_prefix_length": 20, "max_prefix_length": 26},
        {"role": "cgnat", "pool": "cgnat", "size_offset": -3, "min_prefix_length": 15, "max_prefix_length": 23},
        {"role": "spare", "pool": "primary", "size_offset": 1, "min_prefix_length": 0, "max_prefix_length": 128},
    ]);
    let changed = api.patch(&at, &json!({"members": members})).await.ok(200);
    assert_eq!(
        (&changed["members"], &changed["revision"]),
        (&members, &json!(2))
    );
    assert_eq!(api.count(primary).await, kept);
    assert_eq!(
        api.count("select count(*) from profile_member where retired_at is not null")
            .await,
        1
    );
    assert_eq!(api.get(&path(&old)).await.ok(200)["blocks"], old["blocks"]);
    let repeated = api
        .post(
            ALLOCATIONS,
            &json!({"vpc": "a", "name": "old", "prefix_length": 24}),
        )
        .await
        .ok(200);
    assert_eq!(repeated["blocks"], old["blocks"]);
    // A size that was good before need not be so now.
    api.post(ALLOCATIONS, &json!({"vpc": "a", "prefix_length": 26}))
        .await
        .problem(400, "invalid_request");
    let new = api
        .allocate(json!({"vpc": "a", "name": "new", "prefix_length": 24}))
        .await;
    assert_eq!(
        cidrs(&new),
        ["10.0.1.0/24", "100.64.32.0/21", "10.0.2.0/25"]
    );
    let roles: Vec<_> = new["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| &block["role"])
        .collect();
    assert_eq!(roles, ["primary", "cgnat", "spare"]);

    // Another order is another recipe: the size is asked for the first.
    let mut turned = members.as_array().unwrap().clone();
    turned.rotate_right(1);
    let changed = api.patch(&at, &json!({"members": turned})).await.ok(200);
    assert_eq!(changed["members"], json!(turned));
    assert_eq!(
        api.count("select count(*) from profile_member where retired_at is null")
            .await,
        3
    );
    // The same once more changes no row.
    let rows = api.count("select count(*) from profile_member").await;
    api.patch(&at, &json!({"members": turned})).await.ok(200);
    assert_eq!(api.count("select count(*) from profile_member").await, rows);
    for one in [&old, &new] {
        assert_eq!(api.get(&path(one)).await.ok(200)["blocks"], one["blocks"]);
        api.delete(&path(one)).await.ok(204);
    }
    api.delete(&at).await.ok(204);
    assert_eq!(api.count("select count(*) from profile_member").await, 0);
    api.verify().await;
}

#[tokio::test]
async fn pools_are_looked_up_when_space_is_asked_for() {
    let api = Api::start().await;
    let body = json!({"name": "later", "members": [member("main", "later")]});
    api.post(PROFILES, &body).await.ok(201);
    let ask = json!({"vpc": "a", "profile": "later", "prefix_length": 64});
    let reply = api.post(ALLOCATIONS, &ask).await;
    let (detail, _) = reply.problem(404, "not_found");
    assert!(detail.contains("\"later\""), "{detail}");
    api.sql(
        "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
            select vrf_id, 'later', 6, 40, 64 from vrf;
        insert into pool_range (pool_id, vrf_id, family, cidr)
            select pool_id, vrf_id, 6, '2001:db8::/32' from pool where name = 'later'",
    )
    .await;
    let made = api.allocate(ask).await;
    assert_eq!(cidrs(&made), ["2001:db8::/64"]);
    api.verify().await;
}

#[tokio::test]
async fn a_profile_in_use_stays_and_its_users_are_named() {
    let api = Api::start().await;
    let at = format!("{PROFILES}/node-pod");
    let first = api
        .allocate(json!({"vpc": "a", "name": "n0", "prefix_length": 26}))
        .await;
    let reply = api.delete(&at).await;
    let (detail, details) = reply.problem(409, "in_use");
    assert!(
        detail.contains("were made from profile") && detail.contains("a/n0"),
        "{detail}"
    );
    assert_eq!(details["users"], 1);
    let unnamed = api.allocate(json!({"vpc": "b", "prefix_length": 26})).await;
    for n in 2..12 {
        api.allocate(json!({"vpc": "a", "name": format!("n{n}"), "prefix_length": 26}))
            .await;
    }
    let before = api.state().await;
    let reply = api.delete(&at).await;
    let (detail, details) = reply.problem(409, "in_use");
    assert_eq!(details["users"], 12);
    for part in [
        "a/n0",
        &format!("b/{}", id(&unnamed)),
        "a/n2",
        "a/n9",
        "and 2 more",
    ] {
        assert!(detail.contains(part), "{part}: {detail}");
    }
    assert!(!detail.contains("n10"), "{detail}");
    assert_eq!(api.state().await, before);
    // One that nobody uses goes, whoever uses the others.
    let body = json!({"name": "free", "members": [member("main", "primary")]});
    api.post(PROFILES, &body).await.ok(201);
    api.delete(&format!("{PROFILES}/free")).await.ok(204);
    assert_eq!(api.get(&path(&first)).await.ok(200)["profile"], "node-pod");
    api.verify().await;
}

#[tokio::test]
async fn one_allocation_takes_a_block_of_each_of_four_pools_or_none() {
    let api = Api::start().await;
    // Two blocks of services, and as much as anybody wants of everything else.
    api.sql("insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
            select vrf_id, pool.name, family, 0, case family when 4 then 32 else 128 end
            from vrf, (values ('services', 4), ('six', 6)) as pool (name, family);
        insert into pool_range (pool_id, vrf_id, family, cidr)
            select pool_id, vrf_id, family, case family when 4 then '172.20.0.0/19' else '2001:db8::/32' end::cidr
            from pool where name in ('services', 'six')")
        .await;
    let members = json!([
        {"role": "node", "pool": "primary", "min_prefix_length": 20, "max_prefix_length": 26},
        {"role": "pod", "pool": "cgnat", "size_offset": -5, "min_prefix_length": 15, "max_prefix_length": 21},
        {"role": "service", "pool": "services", "min_prefix_length": 20, "max_prefix_length": 20},
        {"role": "six", "pool": "six", "size_offset": 3, "min_prefix_length": 64, "max_prefix_length": 64},
    ]);
    api.post(PROFILES, &json!({"name": "cluster", "members": members}))
        .await
        .ok(201);
    let ask = |name: &str, size: Value| {
        let mut body = json!({"vpc": "a", "name": name, "profile": "cluster"});
        body.as_object_mut()
            .unwrap()
            .extend(size.as_object().unwrap().clone());
        body
    };
    let first = api
        .allocate(ask("first", json!({"prefix_length": 24})))
        .await;
    assert_eq!(
        cidrs(&first),
        [
            "10.0.0.0/24",
            "100.64.0.0/19",
            "172.20.0.0/20",
            "2001:db8::/64"
        ]
    );
    let roles: Vec<_> = first["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| &block["role"])
        .collect();
    assert_eq!(roles, ["node", "pod", "service", "six"]);
    let second = api.allocate(ask("second", json!({"hosts": 1000}))).await;
    assert_eq!(
        cidrs(&second),
        [
            "10.0.4.0/22",
            "100.64.128.0/17",
            "172.20.16.0/20",
            "2001:db8:0:1::/64"
        ]
    );
    // The third pool is full: no pool gives anything.
    let before = api.state().await;
    for size in [
        json!({"prefix_length": 24}),
        json!({"hosts": 1}),
        json!({"cidr": "10.0.128.0/20"}),
    ] {
        let reply = api.post(ALLOCATIONS, &ask("third", size)).await;
        let (detail, details) = reply.problem(409, "pool_exhausted");
        assert!(
            detail.contains("no /20 is left in pool \"services\""),
            "{detail}"
        );
        assert_eq!(details["pools"][0]["role"], "service");
    }
    assert_eq!(api.state().await, before);
    api.verify().await;
    // What one gives back is whole again, for the next.
    api.delete(&path(&first)).await.ok(204);
    let third = api
        .allocate(ask("third", json!({"cidr": "10.0.128.0/20"})))
        .await;
    assert_eq!(
        cidrs(&third),
        [
            "10.0.128.0/20",
            "100.66.0.0/15",
            "172.20.0.0/20",
            "2001:db8::/64"
        ]
    );
    for one in [&second, &third] {
        api.delete(&path(one)).await.ok(204);
    }
    assert_eq!(api.count("select count(*) from free_block").await, 4);
    api.verify().await;
}

/// Waits until so many sessions of the database wait for a lock.
async fn until_waiting(observer: &mut PgConnection, sessions: i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(&mut *observer)
        .await
        .expect("pg_stat_activity can be read");
        if waiting >= sessions {
            return;
        }
        assert!(Instant::now() < deadline, "{waiting} of {sessions} wait");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_deletion_and_an_allocation_at_once_are_one_after_the_other() {
    for allocation_first in [true, false] {
        let api = Api::start().await;
        let at = format!("{PROFILES}/node-pod");
        let mut observer = api.database.connect().await;
        let mut holder = api.database.connect().await;
        for sql in ["begin", "select from profile for update"] {
            sqlx::query(sql).execute(&mut holder).await.expect(sql);
        }
        let ask = json!({"vpc": "a", "name": "x", "prefix_length": 24});
        let allocate = async |api: &Api| api.post(ALLOCATIONS, &ask).await;
        let delete = async |api: &Api| api.delete(&at).await;
        let let_go = async |observer: &mut PgConnection, holder: &mut PgConnection| {
            until_waiting(observer, 2).await;
            sqlx::query("commit").execute(holder).await.expect("commit");
        };
        let (allocated, deleted, ()) = if allocation_first {
            tokio::join!(
                allocate(&api),
                async {
                    until_waiting(&mut api.database.connect().await, 1).await;
                    delete(&api).await
                },
                let_go(&mut observer, &mut holder)
            )
        } else {
            tokio::join!(
                async {
                    until_waiting(&mut api.database.connect().await, 1).await;
                    allocate(&api).await
                },
                delete(&api),
                let_go(&mut observer, &mut holder)
            )
        };
        if allocation_first {
            assert_eq!(allocated.status, 201, "{}", allocated.text);
            assert!(deleted.problem(409, "in_use").0.contains("a/x"));
        } else {
            assert_eq!(deleted.status, 204, "{}", deleted.text);
            assert!(allocated.problem(404, "not_found").0.contains("node-pod"));
        }
        let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
        assert_eq!(api.count(deadlocks).await, 0);
        api.verify().await;
    }
}
