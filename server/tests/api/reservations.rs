//! Reservations: networks that nobody gets, wherever they lie, and who is in whose way.

use std::{sync::Arc, time::Duration};

use ipam_shared::cidr::Cidr;
use serde_json::{Value, json};

use crate::scans::rows_read;
use crate::support::{ALLOCATIONS, Api, POOLS, RESERVATIONS, cidrs, column, path, unclaimed};

/// A child pool of `primary` with the range 10.0.64.0/18, an IPv6 pool, a second pool with two ranges in 192.168.0.0/16,
/// and a VRF `lab` with the same range as `primary`.
const POOLS_SQL: &str = r"
insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length, parent_pool_id)
    select vrf_id, 'child', 4, 0, 32, pool_id from pool where name = 'primary';
insert into block (range_id, cidr, range_cidr, reason)
    select range_id, '10.0.64.0/18', cidr, 'child_range' from pool_range where cidr = '10.0.0.0/16';
insert into pool_range (pool_id, vrf_id, family, cidr, parent_range_id, parent_pool_id)
    select child.pool_id, child.vrf_id, 4, '10.0.64.0/18', range_id, range.pool_id
    from pool as child, pool_range as range where child.name = 'child' and range.cidr = '10.0.0.0/16';
delete from free_block where cidr = '10.0.0.0/16';
insert into free_block (range_id, host_bits, cidr)
    select range_id, 32 - masklen(free), free from pool_range, (values ('10.0.128.0/17'::cidr), ('10.0.0.0/18')) as f (free)
    where cidr = '10.0.0.0/16';
update free_count set blocks = (host_bits in (14, 15))::integer
    from pool_range where free_count.range_id = pool_range.range_id and cidr = '10.0.0.0/16';
insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
    select vrf_id, pool.name, family, 0, case family when 4 then 32 else 128 end
    from vrf, (values ('six', 6), ('legacy', 4)) as pool (name, family);
insert into vrf (name) values ('lab');
insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
    select vrf_id, 'primary', 4, 0, 32 from vrf where name = 'lab';
insert into pool_range (pool_id, vrf_id, family, cidr)
    select pool_id, vrf_id, family, range.cidr
    from (values ('default', 'six', '2001:db8::/32'::cidr), ('default', 'legacy', '192.168.16.0/20'),
            ('default', 'legacy', '192.168.128.0/17'), ('lab', 'primary', '10.0.0.0/16')) as range (vrf, pool, cidr)
        join vrf on vrf.name = range.vrf join pool using (vrf_id)
    where pool.name = range.pool";

fn at(reservation: &Value) -> String {
    format!(
        "{RESERVATIONS}/{}",
        reservation["id"].as_str().expect("an id")
    )
}

async fn reserve(api: &Api, cidr: &str, reason: &str) -> Value {
    api.post(RESERVATIONS, &json!({"cidr": cidr, "reason": reason}))
        .await
        .ok(201)
}

/// What is in the way of a reservation, as a sentence and for programs.
async fn refused(api: &Api, cidr: &str) -> (String, Value) {
    let before = api.state().await;
    let reply = api
        .post(RESERVATIONS, &json!({"cidr": cidr, "reason": "x"}))
        .await;
    let (detail, details) = reply.problem(409, "overlap");
    assert_eq!(api.state().await, before);
    (detail.to_owned(), details["conflicts"].clone())
}

/// The blocks of a reservation, each with its pool.
async fn blocks(api: &Api, reservation: &Value) -> Vec<String> {
    let mut db = api.database.connect().await;
    sqlx::query_scalar(
        "select pool.name || ' ' || block.cidr::text from block join pool_range using (range_id) join pool using (pool_id)
        where reservation_id = $1::uuid order by block.cidr",
    )
    .bind(reservation["id"].as_str().expect("an id"))
    .fetch_all(&mut db)
    .await
    .expect("blocks can be read")
}

#[tokio::test]
async fn a_network_is_reserved_found_changed_and_freed() {
    let api = Api::start().await;
    let free = api.get(&format!("{POOLS}/primary")).await.ok(200);
    let body = json!({"cidr": "10.0.8.0/22", "reason": "on-prem", "labels": {"site": "berlin"}});
    let reply = api.post(RESERVATIONS, &body).await;
    let path = at(&reply.json);
    assert_eq!(
        (reply.header("location"), reply.header("etag")),
        (path.as_str(), "\"1\"")
    );
    let mut made = unclaimed(reply.ok(201));
    for (field, value) in [
        ("cidr", json!("10.0.8.0/22")),
        ("vrf", json!("default")),
        ("reason", json!("on-prem")),
        ("labels", json!({"site": "berlin"})),
        ("pools", json!(["primary"])),
        ("revision", json!(1)),
        ("created_by", json!("admin")),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert_eq!(api.get(&path).await.ok(200), made);
    let pool = api.get(&format!("{POOLS}/primary")).await.ok(200);
    assert_eq!(pool["used_addresses"], 1024);

    // The same again answers the same; somebody else's request is refused.
    let reply = api.post(RESERVATIONS, &body).await;
    assert_eq!(
        (reply.header("location"), reply.header("etag")),
        ("", "\"1\"")
    );
    let again = unclaimed(reply.ok(200));
    assert_ne!(again["claim_digest"], made["claim_digest"]);
    made["claim_digest"] = again["claim_digest"].clone();
    assert_eq!(again, made);
    let before = api.state().await;
    let other = [("ipam-owner", "other")];
    let reply = api.with("POST", RESERVATIONS, &other, &body).await;
    reply.problem(409, "claimed");
    assert_eq!(api.state().await, before);

    let patch = json!({"reason": "on-prem, second floor"});
    let reply = api
        .with("PATCH", &path, &[("if-match", "\"7\"")], &patch)
        .await;
    assert_eq!(reply.problem(412, "stale").1["revision"], 1);
    let changed = api
        .with("PATCH", &path, &[("if-match", "\"1\"")], &patch)
        .await
        .ok(200);
    assert_eq!(
        (
            &changed["reason"],
            &changed["labels"],
            &changed["revision"],
            &changed["cidr"]
        ),
        (&patch["reason"], &made["labels"], &json!(2), &made["cidr"])
    );
    assert_eq!(api.patch(&path, &json!({})).await.ok(200), changed);
    let changed = api.patch(&path, &json!({"labels": {}})).await.ok(200);
    assert_eq!(
        (&changed["labels"], &changed["revision"]),
        (&json!({}), &json!(3))
    );
    api.patch(&path, &json!({"cidr": "10.0.0.0/24"}))
        .await
        .problem(400, "invalid_request");

    api.with("DELETE", &path, &[("if-match", "\"1\"")], &Value::Null)
        .await
        .problem(412, "stale");
    api.delete(&path).await.ok(204);
    for reply in [
        api.get(&path).await,
        api.delete(&path).await,
        api.patch(&path, &patch).await,
    ] {
        assert_eq!(reply.problem(410, "gone").1["deleted_by"], "admin");
    }
    assert_eq!(api.get(&format!("{POOLS}/primary")).await.ok(200), free);
    let past = "select count(*) from past_block join pool using (pool_id, vrf_id)
        where past_block.cidr = '10.0.8.0/22' and pool = 'primary' and pool.name = 'primary'
            and reason = 'on-prem, second floor' and reservation_id is not null and allocation_id is null
            and since < until and until <= now()";
    assert_eq!(api.count(past).await, 1);
    let unknown = format!("{RESERVATIONS}/00000000-0000-0000-0000-000000000000");
    for reply in [
        api.get(&unknown).await,
        api.delete(&unknown).await,
        api.patch(&unknown, &patch).await,
    ] {
        reply.problem(404, "not_found");
    }
    for (action, count) in [("create", 1), ("update", 2), ("delete", 1)] {
        assert_eq!(
            api.events(&format!("reservation.{action}")).await,
            count,
            "{action}"
        );
    }
    api.verify().await;
}

#[tokio::test]
async fn a_wrong_request_says_what_is_wrong_and_leaves_no_trace() {
    let api = Api::start().await;
    let before = api.state().await;
    for (body, part) in [
        (json!({"cidr": "10.0.0.1/24", "reason": "x"}), "10.0.0.0/24"),
        (json!({"cidr": "10.0.0.0", "reason": "x"}), ""),
        (json!({"cidr": "10.0.0.0/24"}), "reason"),
        (json!({"cidr": "10.0.0.0/24", "reason": ""}), "1 to 1000"),
        (json!({"cidr": "10.0.0.0/24", "reason": " \n"}), "1 to 1000"),
        (
            json!({"cidr": "10.0.0.0/24", "reason": "x".repeat(1001)}),
            "has 1001",
        ),
        (json!({"cidr": "10.0.0.0/24", "reason": "a\0b"}), "NUL"),
        (
            json!({"cidr": "10.0.0.0/24", "reason": "x", "pool": "primary"}),
            "unknown field",
        ),
        (
            json!({"cidr": "10.0.0.0/24", "reason": "x", "labels": {"": "x"}}),
            "label key",
        ),
    ] {
        let reply = api.post(RESERVATIONS, &body).await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains(part), "{detail}");
    }
    let reply = api
        .post(
            RESERVATIONS,
            &json!({"cidr": "10.0.0.0/24", "reason": "x", "vrf": "none"}),
        )
        .await;
    assert!(reply.problem(404, "not_found").0.contains("\"none\""));
    assert_eq!(api.state().await, before);
    // The longest reason is counted in characters.
    reserve(&api, "10.0.0.0/24", &"ü".repeat(1000)).await;
}

#[tokio::test]
async fn a_reservation_takes_the_place_of_what_could_be_allocated() {
    let api = Api::start().await;
    api.sql(POOLS_SQL).await;
    api.verify().await;
    // Where, and which blocks it takes.
    for (cidr, taken) in [
        // In a range; the whole of a range; a single address.
        ("10.0.8.0/22", vec!["primary 10.0.8.0/22"]),
        ("100.64.0.0/10", vec!["cgnat 100.64.0.0/10"]),
        ("10.0.255.255/32", vec!["primary 10.0.255.255/32"]),
        // In the range of the child, which is not free in the parent.
        ("10.0.70.0/24", vec!["child 10.0.70.0/24"]),
        // Around two ranges.
        (
            "192.168.0.0/16",
            vec!["legacy 192.168.16.0/20", "legacy 192.168.128.0/17"],
        ),
        // IPv6: in a range, and outside of all, also shorter than a range can be.
        ("2001:db8:5::/48", vec!["six 2001:db8:5::/48"]),
        ("2001:db8::1/128", vec!["six 2001:db8::1/128"]),
        ("fd00::/8", vec![]),
        // Outside of all pools.
        ("172.16.0.0/12", vec![]),
    ] {
        let made = reserve(&api, cidr, cidr).await;
        assert_eq!(blocks(&api, &made).await, taken, "{cidr}");
        let mut pools: Vec<_> = taken
            .iter()
            .map(|block| block.split(' ').next().unwrap())
            .collect();
        pools.dedup();
        assert_eq!(made["pools"], json!(pools), "{cidr}");
    }
    api.verify().await;
    // Another VRF is another address space.
    let body = json!({"cidr": "10.0.8.0/21", "reason": "lab", "vrf": "lab"});
    let made = api.post(RESERVATIONS, &body).await.ok(201);
    assert_eq!(
        (&made["vrf"], blocks(&api, &made).await),
        (&json!("lab"), vec!["primary 10.0.8.0/21".to_owned()])
    );
    let body = json!({"cidr": "::/0", "reason": "no IPv6 here", "vrf": "lab"});
    assert_eq!(
        api.post(RESERVATIONS, &body).await.ok(201)["pools"],
        json!([])
    );
    // What is reserved whole is full.
    let body = json!({"vpc": "a", "prefix_length": 20, "dry_run": true});
    let reply = api.post(ALLOCATIONS, &body).await;
    let (_, details) = reply.problem(409, "pool_exhausted");
    assert_eq!(
        (
            &details["pools"][0]["pool"],
            &details["pools"][0]["free_addresses"]
        ),
        (&json!("cgnat"), &json!(0))
    );
    // All of it is given back, as if it had never been.
    let page = api.get(RESERVATIONS).await.ok(200);
    for reservation in page["items"].as_array().unwrap() {
        api.delete(&at(reservation)).await.ok(204);
    }
    assert_eq!(
        api.count("select count(*) from block where reason is null")
            .await,
        0
    );
    assert_eq!(api.count("select count(*) from free_block").await, 8);
    assert_eq!(api.count("select count(*) from past_block where vrf_id = (select vrf_id from vrf where name = 'lab')").await, 1);
    assert_eq!(api.count("select count(*) from past_block").await, 9);
    api.verify().await;
    // The whole address space of a family: nothing can be allocated from then on.
    let all = api
        .post(
            RESERVATIONS,
            &json!({"cidr": "0.0.0.0/0", "reason": "frozen", "vrf": "lab"}),
        )
        .await
        .ok(201);
    assert_eq!(blocks(&api, &all).await, ["primary 10.0.0.0/16"]);
    api.verify().await;
}

/// A block that cools down, as a release would leave it.
async fn cool_down(api: &Api) {
    api.sql("insert into block (range_id, cidr, range_cidr, reason)
            select range_id, '192.168.16.0/24', cidr, 'cooldown' from pool_range where cidr = '192.168.16.0/20';
        insert into cooldown (range_id, cidr, allocation_id, vpc, name, role, free_at)
            select range_id, '192.168.16.0/24', '00000000-0000-0000-0000-000000000001', 'old', 'db', 'main',
                '2099-01-02 03:04:05Z' from pool_range where cidr = '192.168.16.0/20';
        delete from free_block where cidr = '192.168.16.0/20';
        insert into free_block (range_id, host_bits, cidr)
            select range_id, 32 - length, set_masklen('192.168.16.0'::inet + (1::bigint << (32 - length)), length)::cidr
            from pool_range, generate_series(21, 24) as length where cidr = '192.168.16.0/20';
        update free_count set blocks = (host_bits between 8 and 11)::integer
            from pool_range where free_count.range_id = pool_range.range_id and cidr = '192.168.16.0/20'")
        .await;
    api.verify().await;
}

#[tokio::test]
async fn who_is_in_the_way_is_named() {
    let api = Api::start().await;
    api.sql(POOLS_SQL).await;
    let owned = api
        .allocate(json!({"vpc": "a", "name": "web", "cidr": "10.0.8.0/22"}))
        .await;
    let unnamed = api
        .allocate(json!({"vpc": "b", "cidr": "10.0.12.0/24"}))
        .await;
    let reserved = reserve(&api, "10.0.16.0/24", "printer farm").await;
    reserve(&api, "192.168.0.0/24", "outside").await;
    cool_down(&api).await;

    // The same, inside, around.
    for cidr in ["10.0.8.0/22", "10.0.9.128/25", "10.0.8.0/21"] {
        let (detail, conflicts) = refused(&api, cidr).await;
        assert!(
            detail.contains("10.0.8.0/22 belongs to allocation \"a/web\""),
            "{detail}"
        );
        let conflict = &conflicts[0];
        assert_eq!(
            (
                &conflict["allocation_id"],
                &conflict["pool"],
                &conflict["reservation_id"]
            ),
            (&owned["id"], &json!("primary"), &Value::Null)
        );
    }
    let (detail, conflicts) = refused(&api, "10.0.12.0/23").await;
    assert!(
        detail.contains("belongs to an allocation of VPC \"b\""),
        "{detail}"
    );
    assert_eq!(conflicts[0]["allocation_id"], unnamed["id"]);
    for cidr in ["10.0.16.128/25", "10.0.16.0/23"] {
        let (detail, conflicts) = refused(&api, cidr).await;
        assert!(
            detail.contains("10.0.16.0/24 is reserved: printer farm"),
            "{detail}"
        );
        assert_eq!(conflicts.as_array().unwrap().len(), 1, "{conflicts}");
        assert_eq!(
            (
                &conflicts[0]["reservation_id"],
                &conflicts[0]["reason"],
                &conflicts[0]["pool"]
            ),
            (&reserved["id"], &json!("printer farm"), &json!("primary"))
        );
    }
    let (detail, conflicts) = refused(&api, "192.168.0.128/25").await;
    assert!(
        detail.contains("192.168.0.0/24 is reserved: outside"),
        "{detail}"
    );
    assert_eq!(conflicts[0]["pool"], Value::Null);
    // Around the child's range, of which nothing may be in use; and around its whole parent.
    let (detail, conflicts) = refused(&api, "10.0.0.0/17").await;
    assert!(detail.contains("is not free"), "{detail}");
    assert_eq!(conflicts.as_array().unwrap().len(), 4, "{conflicts}");
    assert_eq!(conflicts[3]["child_pool"], "child");
    // The range of the child itself is reserved within it.
    api.delete(&at(&reserve(&api, "10.0.64.0/18", "all of the child").await))
        .await
        .ok(204);
    let (detail, conflicts) = refused(&api, "192.168.16.0/22").await;
    assert!(
        detail.contains(
            "belonged to allocation \"old/db\" and cools down until 2099-01-02T03:04:05Z"
        ),
        "{detail}"
    );
    assert_eq!(
        (&conflicts[0]["free_at"], &conflicts[0]["vpc"]),
        (&json!("2099-01-02T03:04:05Z"), &json!("old"))
    );
    // Around everything: ten are named.
    let (_, conflicts) = refused(&api, "0.0.0.0/0").await;
    let mut named: Vec<_> = conflicts
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["cidr"].as_str().unwrap())
        .collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            "10.0.12.0/24",
            "10.0.16.0/24",
            "10.0.64.0/18",
            "10.0.8.0/22",
            "100.64.0.0/17",
            "100.64.128.0/19",
            "192.168.0.0/24",
            "192.168.16.0/24"
        ]
    );
}

#[tokio::test]
async fn an_allocation_by_cidr_learns_why_it_is_not_free() {
    let api = Api::start().await;
    api.sql(POOLS_SQL).await;
    let made = reserve(&api, "10.0.8.0/24", "printer farm").await;
    for cidr in ["10.0.8.0/24", "10.0.8.64/26", "10.0.0.0/20"] {
        let reply = api
            .post(ALLOCATIONS, &json!({"vpc": "a", "cidr": cidr}))
            .await;
        let (detail, details) = reply.problem(409, "overlap");
        assert_eq!(
            detail,
            format!("{cidr} is not free: 10.0.8.0/24 is reserved: printer farm")
        );
        assert_eq!(details["conflicts"][0]["reservation_id"], made["id"]);
    }
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "a", "cidr": "10.0.64.0/20"}))
        .await;
    let (detail, details) = reply.problem(409, "overlap");
    assert!(
        detail.contains("10.0.64.0/18 is a range of pool \"child\""),
        "{detail}"
    );
    assert_eq!(details["conflicts"][0]["child_pool"], "child");
    // By size it goes around.
    let next = api.allocate(json!({"vpc": "a", "prefix_length": 21})).await;
    assert_eq!(cidrs(&next)[0], "10.0.0.0/21");
    let next = api.allocate(json!({"vpc": "a", "prefix_length": 21})).await;
    assert_eq!(cidrs(&next)[0], "10.0.16.0/21");
    // And right after it was freed, it is to be had.
    api.delete(&at(&made)).await.ok(204);
    let next = api
        .allocate(json!({"vpc": "a", "cidr": "10.0.8.0/21"}))
        .await;
    api.delete(&path(&next)).await.ok(204);
    api.verify().await;
}

#[tokio::test]
async fn reservations_are_listed_in_pages_and_by_what_they_are() {
    let api = Api::start().await;
    api.sql(POOLS_SQL).await;
    for (cidr, vrf, labels) in [
        ("10.0.8.0/24", "default", json!({"site": "berlin"})),
        (
            "10.0.70.0/24",
            "default",
            json!({"site": "berlin", "floor": "2"}),
        ),
        ("192.168.0.0/16", "default", json!({})),
        ("172.16.0.0/12", "default", json!({"site": "rome"})),
        ("2001:db8:5::/48", "default", json!({})),
        ("10.0.8.0/22", "lab", json!({})),
    ] {
        let body = json!({"cidr": cidr, "vrf": vrf, "labels": labels, "reason": "r"});
        api.post(RESERVATIONS, &body).await.ok(201);
    }
    for (query, expected) in [
        (
            "",
            vec![
                "10.0.8.0/24",
                "10.0.70.0/24",
                "192.168.0.0/16",
                "172.16.0.0/12",
                "2001:db8:5::/48",
                "10.0.8.0/22",
            ],
        ),
        ("vrf=lab", vec!["10.0.8.0/22"]),
        ("pool=primary", vec!["10.0.8.0/24", "10.0.8.0/22"]),
        ("pool=primary&vrf=default", vec!["10.0.8.0/24"]),
        ("pool=child", vec!["10.0.70.0/24"]),
        ("pool=legacy", vec!["192.168.0.0/16"]),
        ("label=site=berlin", vec!["10.0.8.0/24", "10.0.70.0/24"]),
        ("label=floor=2", vec!["10.0.70.0/24"]),
        ("contains=10.0.8.7", vec!["10.0.8.0/24", "10.0.8.0/22"]),
        ("contains=10.0.9.7", vec!["10.0.8.0/22"]),
        ("contains=172.31.255.255", vec!["172.16.0.0/12"]),
        ("contains=2001:db8:5::1", vec!["2001:db8:5::/48"]),
        ("contains=8.8.8.8", vec![]),
        (
            "within=10.0.0.0/8",
            vec!["10.0.8.0/24", "10.0.70.0/24", "10.0.8.0/22"],
        ),
        ("within=10.0.8.0/24", vec!["10.0.8.0/24"]),
        ("within=::/0", vec!["2001:db8:5::/48"]),
        (
            "within=10.0.0.0/8&vrf=default&label=floor=2",
            vec!["10.0.70.0/24"],
        ),
    ] {
        let page = api.get(&format!("{RESERVATIONS}?{query}")).await.ok(200);
        assert_eq!(column(&page, "cidr"), expected, "{query}");
        assert_eq!(page["next_cursor"], Value::Null);
        // The same in pages of one.
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api
                .get(&format!("{RESERVATIONS}?{query}&limit=1{cursor}"))
                .await
                .ok(200);
            found.extend(column(&page, "cidr").into_iter().map(str::to_owned));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, expected, "{query}");
    }
    for query in [
        "limit=0",
        "cursor=x",
        "label=x",
        "contains=x",
        "within=10.0.0.1/8",
        "cidr=10.0.0.0/8",
    ] {
        api.get(&format!("{RESERVATIONS}?{query}"))
            .await
            .problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_reservation_in_the_midst_of_allocations_wins_whole_or_names_who_won() {
    let api = Arc::new(Api::with_connections(12).await);
    let mut won = [false; 2];
    for round in 0..6_u64 {
        let mut tasks = Vec::new();
        for client in 0..16 {
            let api = api.clone();
            tasks.push(tokio::spawn(async move {
                let mut got: Vec<Value> = Vec::new();
                for n in 0..6 {
                    let body = json!({"vpc": format!("v{client}"), "name": format!("{round}.{n}"), "prefix_length": 26});
                    got.push(api.allocate(body).await);
                }
                got
            }));
        }
        // By turns where the last of them will be, from the start, and where the first are, a little later.
        let (target, delay) =
            [("10.0.22.0/23", 0), ("10.0.2.0/23", 15 + round)][round as usize % 2];
        let cidr: Cidr = target.parse().unwrap();
        let reserving = api.clone();
        let reservation = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            let body = json!({"cidr": target, "reason": format!("round {round}")});
            reserving.post(RESERVATIONS, &body).await
        });
        let mut allocations = Vec::new();
        for task in tasks {
            allocations.extend(task.await.expect("no client panics"));
        }
        let reply = reservation.await.expect("it ends");
        let inside: Vec<_> = allocations
            .iter()
            .filter(|one| cidr.overlaps(cidrs(one)[0].parse().unwrap()))
            .collect();
        if reply.status == 201 {
            won[0] = true;
            assert!(inside.is_empty(), "{inside:?}");
            assert_eq!(
                blocks(&api, &reply.json).await,
                [format!("primary {target}")]
            );
            api.delete(&at(&reply.json)).await.ok(204);
        } else {
            won[1] = true;
            let (detail, details) = reply.problem(409, "overlap");
            assert!(detail.contains("belongs to allocation \"v"), "{detail}");
            for conflict in details["conflicts"].as_array().unwrap() {
                let id = &conflict["allocation_id"];
                assert!(inside.iter().any(|one| &one["id"] == id), "{conflict}");
            }
        }
        api.verify().await;
        for one in &allocations {
            api.delete(&path(one)).await.ok(204);
        }
    }
    assert_eq!(api.count("select count(*) from block").await, 0);
    assert_eq!(api.count("select count(*) from free_block").await, 2);
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(api.count(deadlocks).await, 0);
    assert!(won[0] && won[1], "that tests one side only: {won:?}");
}

#[tokio::test]
async fn of_two_overlapping_reservations_at_once_exactly_one_wins() {
    let api = Api::with_connections(8).await;
    api.sql(POOLS_SQL).await;
    for (one, other) in [
        ("10.0.8.0/22", "10.0.9.0/24"),
        ("192.168.0.0/16", "192.168.128.0/18"),
        ("172.16.0.0/12", "172.20.0.0/16"),
        ("2001:db8:1::/48", "2001:db8:1:1::/64"),
        ("2001::/16", "2001:db8::/32"),
    ] {
        for _ in 0..4 {
            let ask = async |cidr: &str| {
                api.post(RESERVATIONS, &json!({"cidr": cidr, "reason": cidr}))
                    .await
            };
            let replies = tokio::join!(ask(one), ask(other), ask(other), ask(one));
            let replies = [replies.0, replies.1, replies.2, replies.3];
            let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
            statuses.sort_unstable();
            // Who won, and its own repetition; the others are refused.
            assert_eq!(statuses, [200, 201, 409, 409]);
            let won = replies.iter().find(|reply| reply.status == 201).unwrap();
            for reply in replies.iter().filter(|reply| reply.status == 409) {
                reply.problem(409, "overlap");
            }
            assert_eq!(api.count("select count(*) from reservation").await, 1);
            api.verify().await;
            api.delete(&at(&won.json)).await.ok(204);
        }
    }
}

/// 20,000 reservations: of each ten, nine in a pool and one outside; every hundredth
/// with a label of its own; beside them a VRF with one.
const MANY: &str = r"
insert into vrf (name) values ('lab');
insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
    select vrf_id, 'big', 4, 0, 32 from vrf where name = 'default';
insert into pool_range (pool_id, vrf_id, family, cidr)
    select pool_id, vrf_id, 4, '172.0.0.0/11' from pool where name = 'big';
insert into reservation (reservation_id, vrf_id, cidr, reason, labels, created_by)
    select ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, vrf_id,
        set_masklen(case when n % 10 = 0 then '11.0.0.0'::inet else '172.0.0.0'::inet end + n::bigint * 64, 26)::cidr, 'r',
        case when n % 100 = 0 then jsonb_build_object('n', n::text) else '{}' end, 'admin'
    from vrf, generate_series(0, 19999) as n where name = 'default';
insert into reservation (reservation_id, vrf_id, cidr, reason, created_by)
    select '01900000-0000-7000-8000-00000000ffff', vrf_id, '10.0.0.0/8', 'r', 'x' from vrf where name = 'lab';
insert into block (range_id, cidr, range_cidr, reservation_id)
    select range_id, reservation.cidr, pool_range.cidr, reservation_id
    from reservation join pool_range on pool_range.cidr >>= reservation.cidr join vrf on vrf.vrf_id = reservation.vrf_id
    where vrf.name = 'default'";

#[tokio::test]
async fn a_list_reads_no_more_than_it_shows() {
    let api = Api::with_connections(1).await;
    api.sql(MANY).await;
    api.sql("vacuum analyze").await;
    let mut greedy = Vec::new();
    for (query, found) in [
        ("", 100),
        ("cursor=01900000-0000-7000-8000-000000002000", 100),
        ("vrf=default", 100),
        ("vrf=lab", 1),
        ("pool=big", 100),
        ("pool=big&vrf=default", 100),
        ("pool=big&cursor=01900000-0000-7000-8000-000000002000", 100),
        ("pool=primary", 0),
        ("label=n=700", 1),
        ("label=n=700&pool=big", 0),
        ("label=n=701", 0),
        ("contains=172.0.5.65", 1),
        ("contains=11.0.10.1", 1),
        ("contains=10.0.0.1&vrf=lab", 1),
        ("contains=9.0.0.1", 0),
        ("within=172.0.5.0/24", 3),
        ("within=172.0.5.0/24&pool=big", 3),
        ("within=172.0.5.0/24&pool=primary", 0),
        ("within=172.0.0.0/8", 100),
        ("within=0.0.0.0/0", 100),
        ("within=2001:db8::/32", 0),
    ] {
        let path = format!("{RESERVATIONS}?{query}");
        let before = rows_read(&api).await;
        // A prepared statement may become generic after five.
        for _ in 0..8 {
            let page = api.get(&path).await.ok(200);
            assert_eq!(page["items"].as_array().unwrap().len(), found, "{query}");
        }
        let after = rows_read(&api).await;
        for (table, rows) in &after {
            let each = (rows - before[table]) / 8;
            if each > 800 {
                greedy.push(format!("{query}: {each} rows of {table}"));
            }
        }
    }
    for (what, body, status) in [
        (
            "taken",
            json!({"cidr": "172.0.5.64/27", "reason": "x"}),
            409,
        ),
        (
            "around",
            json!({"cidr": "172.0.0.0/12", "reason": "x"}),
            409,
        ),
        ("same", json!({"cidr": "172.0.5.64/26", "reason": "r"}), 200),
        ("free", json!({"cidr": "12.0.0.0/8", "reason": "r"}), 201),
    ] {
        let before = rows_read(&api).await;
        let reply = api.post(RESERVATIONS, &body).await;
        assert_eq!(reply.status, status, "{}", reply.text);
        let after = rows_read(&api).await;
        for (table, rows) in &after {
            if rows - before[table] > 800 {
                greedy.push(format!("{what}: {} rows of {table}", rows - before[table]));
            }
        }
    }
    assert!(greedy.is_empty(), "{greedy:#?}");
}

/// Whether a limited token sees the reservation of a block is looked up for the blocks that it asks for, and not for all.
#[tokio::test]
async fn what_a_limited_token_sees_of_reservations_is_looked_up_one_by_one() {
    let api = Api::with_connections(1).await;
    api.sql(MANY).await;
    api.sql("vacuum analyze").await;
    let limited = json!({"name": "t", "roles": ["reader"], "limits": {"pools": ["default/big"]}});
    let key = api.token(limited).await;
    let mut greedy = Vec::new();
    for (path, shown) in [
        ("/api/v1/lookup?ip=172.0.5.65", "172.0.5.64/26"),
        ("/api/v1/lookup?cidr=172.0.5.0/24", "172.0.5.64/26"),
        ("/api/v1/history?cidr=172.0.5.0/24", "172.0.5.64/26"),
        ("/api/v1/pools/big/map.svg?at=172.0.4.0/23", "reserved"),
        (
            "/api/v1/pools/big/map.svg?at=172.0.4.0/23&highlight=172.0.5.64/26",
            "reserved: r",
        ),
        ("/api/v1/reservations?pool=big&limit=10", "172.0.0.64/26"),
    ] {
        let before = rows_read(&api).await;
        for _ in 0..8 {
            let reply = api.as_who(&key, "GET", path, &Value::Null).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            assert!(reply.text.contains(shown), "{}", reply.text);
        }
        let after = rows_read(&api).await;
        for (table, rows) in &after {
            let each = (rows - before[table]) / 8;
            if each > 800 {
                greedy.push(format!("{path}: {each} rows of {table}"));
            }
        }
    }
    assert!(greedy.is_empty(), "{greedy:#?}");
}

#[tokio::test]
async fn a_reason_says_something() {
    let api = Api::start().await;
    let long = "x".repeat(1001);
    for (reason, word) in [
        ("", "is empty"),
        (" \t", "nothing but whitespace"),
        (long.as_str(), "has 1001"),
    ] {
        let body = json!({"cidr": "172.30.0.0/24", "reason": reason});
        let reply = api.post(RESERVATIONS, &body).await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains(word), "{detail}");
    }
}
