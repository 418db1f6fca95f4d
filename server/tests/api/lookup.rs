//! Who holds an address now, who held it at any time before, and what is in the audit log.

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, VPCS, column, path};

const LOOKUP: &str = "/api/v1/lookup";
const HISTORY: &str = "/api/v1/history";
const EVENTS: &str = "/api/v1/events";

impl Api {
    /// The time by the clock of the database, as a parameter.
    async fn now(&self) -> String {
        let mut db = self.database.connect().await;
        let now = "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        sqlx::query_scalar(now)
            .fetch_one(&mut db)
            .await
            .expect("a time")
    }
}

/// What a holder is, in a line.
fn lines(holders: &Value) -> Vec<String> {
    let holders = holders.as_array().expect("holders");
    holders
        .iter()
        .map(|holder| {
            ["kind", "cidr", "pool", "vpc", "name"]
                .map(|field| holder[field].as_str().unwrap_or("-"))
                .join(" ")
        })
        .collect()
}

/// A pool with an allocation and a child in it, and a reservation elsewhere; answers the allocation.
async fn held() -> (Api, Value) {
    let api = Api::start().await;
    let one = api
        .allocate(json!({"vpc": "prod", "name": "nodes", "cidr": "10.0.4.0/23"}))
        .await;
    let child = json!({"name": "kid", "parent": "primary", "ranges": ["10.0.64.0/20"]});
    api.post(POOLS, &child).await.ok(201);
    api.sql(
        "insert into reservation (vrf_id, cidr, reason, created_by) select vrf_id, '192.168.0.0/16', 'office', 'x' from vrf",
    )
    .await;
    (api, one)
}

#[tokio::test]
async fn whoever_holds_an_address_is_found_from_the_outside_in() {
    let (api, one) = held().await;
    for query in [
        "ip=10.0.5.200",
        "cidr=10.0.5.200/32",
        "cidr=10.0.5.0/24",
        "cidr=10.0.0.0/20&vrf=default",
    ] {
        let found = api.get(&format!("{LOOKUP}?{query}")).await.ok(200);
        assert_eq!(
            lines(&found["holders"]),
            ["allocation 10.0.4.0/23 primary prod nodes"],
            "{query}"
        );
        let holder = &found["holders"][0];
        assert_eq!(
            (
                &holder["allocation_id"],
                &holder["role"],
                &holder["vrf"],
                &holder["until"]
            ),
            (
                &one["id"],
                &json!("primary"),
                &json!("default"),
                &Value::Null
            )
        );
        assert!(
            holder["since"].as_str() >= one["created_at"].as_str(),
            "{holder}"
        );
        assert_eq!(
            (&found["free"], &found["more"], &found["pools"][0]["cidr"]),
            (&json!(false), &json!(false), &json!("10.0.0.0/16")),
            "{query}"
        );
    }
    let found = api.get(&format!("{LOOKUP}?ip=192.168.7.7")).await.ok(200);
    assert_eq!(
        lines(&found["holders"]),
        ["reservation 192.168.0.0/16 - - -"]
    );
    assert_eq!(
        (
            &found["holders"][0]["reason"],
            &found["pools"],
            &found["free"]
        ),
        (&json!("office"), &json!([]), &json!(false))
    );
    // Everything at once, in address order.
    let found = api.get(&format!("{LOOKUP}?cidr=0.0.0.0/0")).await.ok(200);
    assert_eq!(
        lines(&found["holders"]),
        [
            "allocation 10.0.4.0/23 primary prod nodes",
            "child_pool 10.0.64.0/20 primary - kid",
            "allocation 100.64.0.0/18 cgnat prod nodes",
            "reservation 192.168.0.0/16 - - -",
        ]
    );
    // Nobody: in a pool it is free, elsewhere it is not ours.
    let free = |reply: Value| (reply["free"].clone(), reply["holders"].clone());
    assert_eq!(
        free(api.get(&format!("{LOOKUP}?ip=10.0.6.0")).await.ok(200)),
        (json!(true), json!([]))
    );
    assert_eq!(
        free(api.get(&format!("{LOOKUP}?ip=11.0.0.0")).await.ok(200)),
        (json!(false), json!([]))
    );
    // In another VRF the same address is another one.
    api.post("/api/v1/vrfs", &json!({"name": "lab"}))
        .await
        .ok(201);
    let found = api
        .get(&format!("{LOOKUP}?ip=10.0.5.200&vrf=lab"))
        .await
        .ok(200);
    assert_eq!(free(found), (json!(false), json!([])));
}

#[tokio::test]
async fn in_a_child_pool_it_is_free_until_it_is_taken() {
    let (api, _) = held().await;
    let found = api.get(&format!("{LOOKUP}?ip=10.0.64.1")).await.ok(200);
    assert_eq!(
        lines(&found["holders"]),
        ["child_pool 10.0.64.0/20 primary - kid"]
    );
    let pools: Vec<_> = found["pools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|range| (&range["pool"], &range["cidr"]))
        .collect();
    assert_eq!(
        pools,
        [
            (&json!("primary"), &json!("10.0.0.0/16")),
            (&json!("kid"), &json!("10.0.64.0/20"))
        ]
    );
    // In the child it is free; what is taken there, or reaches beyond it, is not.
    assert_eq!(found["free"], true, "{found}");
    for (query, is_free) in [
        ("cidr=10.0.64.0/20", true),
        ("cidr=10.0.64.0/19", false),
        ("cidr=10.0.72.0/24", true),
    ] {
        let found = api.get(&format!("{LOOKUP}?{query}")).await.ok(200);
        assert_eq!(found["free"], is_free, "{query}: {found}");
    }
    let body = json!({"vpc": "prod", "pools": ["kid"], "cidr": "10.0.72.0/24"});
    let in_kid = api.post(ALLOCATIONS, &body).await.ok(201);
    for query in ["ip=10.0.72.9", "cidr=10.0.64.0/20"] {
        let found = api.get(&format!("{LOOKUP}?{query}")).await.ok(200);
        assert_eq!(found["free"], false, "{query}: {found}");
    }
    api.delete(&path(&in_kid)).await.ok(204);
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused() {
    let api = Api::start().await;
    for (query, word) in [
        ("", "give ip"),
        ("?ip=10.0.0.1&cidr=10.0.0.0/24", "give ip"),
        ("?ip=10.0.0.256", "ip"),
        ("?cidr=10.0.0.1/24", "host bits"),
        ("?ip=::ffff:10.0.0.1", "write it as IPv4"),
        ("?ip=10.0.0.1&at=yesterday", "at"),
        ("?ip=10.0.0.1&at=2999-01-01T00:00:00Z", "future"),
        ("?ip=10.0.0.1&vfr=lab", "vfr"),
    ] {
        let reply = api.get(&format!("{LOOKUP}{query}")).await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains(word), "{query}: {detail}");
    }
    api.get(&format!("{LOOKUP}?ip=10.0.0.1&vrf=nope"))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_released_block_that_cools_down_says_whose_it_was() {
    let api = Api::start().await;
    api.sql(
        "insert into block (range_id, cidr, range_cidr, reason) select range_id, '10.0.9.0/24', cidr, 'cooldown' from pool_range
            where cidr = '10.0.0.0/16';
        insert into cooldown (range_id, cidr, allocation_id, vpc, name, role, free_at)
            select range_id, '10.0.9.0/24', gen_random_uuid(), 'prod', 'old', 'primary', '2100-01-01 00:00:00Z' from pool_range
            where cidr = '10.0.0.0/16'",
    )
    .await;
    let found = api.get(&format!("{LOOKUP}?ip=10.0.9.1")).await.ok(200);
    assert_eq!(
        lines(&found["holders"]),
        ["cooldown 10.0.9.0/24 primary prod old"]
    );
    let holder = &found["holders"][0];
    assert_eq!(
        (&holder["until"], &holder["role"], &holder["reason"]),
        (
            &json!("2100-01-01T00:00:00Z"),
            &json!("primary"),
            &Value::Null
        )
    );
}

#[tokio::test]
async fn there_is_no_moment_between_a_block_and_what_it_is_resized_to() {
    let api = Api::start().await;
    let made = api
        .allocate(json!({"vpc": "prod", "name": "grows", "prefix_length": 24}))
        .await;
    api.patch(&path(&made), &json!({"prefix_length": 23}))
        .await
        .ok(200);
    let all = api.get(&format!("{HISTORY}?cidr=0.0.0.0/0")).await.ok(200);
    let (ended, there): (Vec<_>, Vec<_>) = (all["items"].as_array().expect("items").iter())
        .partition(|holder| holder["until"].is_string());
    assert_eq!((ended.len(), there.len()), (2, 2), "{all}");
    for (ended, there) in ended.iter().zip(there) {
        assert_eq!(ended["until"], there["since"], "{all}");
    }
}

/// The whole story of what began with `one`, page by page.
async fn the_history_tells_all(api: &Api, one: &Value) {
    let all = api.get(&format!("{HISTORY}?ip=10.0.5.1")).await.ok(200);
    assert_eq!(
        lines(&all["items"]),
        [
            "allocation 10.0.4.0/23 primary x late",
            "allocation 10.0.4.0/22 primary last nodes",
            "allocation 10.0.4.0/23 primary stage workers",
        ]
    );
    assert_eq!(
        (&all["next_cursor"], &all["items"][0]["until"]),
        (&Value::Null, &Value::Null)
    );
    assert!(
        all["items"][2]["since"].as_str() >= one["created_at"].as_str(),
        "{all}"
    );
    for holder in &all["items"].as_array().expect("items")[1..] {
        assert!(
            holder["since"].as_str() < holder["until"].as_str(),
            "{holder}"
        );
    }
    let whole = api.get(&format!("{HISTORY}?cidr=0.0.0.0/0")).await.ok(200);
    assert_eq!(whole["items"].as_array().expect("items").len(), 6);
    for limit in 1..=3 {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = api
                .get(&format!("{HISTORY}?cidr=0.0.0.0/0&limit={limit}{cursor}"))
                .await
                .ok(200);
            items.extend(page["items"].as_array().expect("items").clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(json!(items), whole["items"], "{limit}");
    }
    api.get(&format!("{HISTORY}?ip=10.0.5.1&cursor=x"))
        .await
        .problem(400, "invalid_request");
}

#[tokio::test]
async fn whoever_held_an_address_is_known_by_the_names_of_that_time() {
    let api = Api::start().await;
    let before = api.now().await;
    let one = api
        .allocate(json!({"vpc": "prod", "name": "nodes", "cidr": "10.0.4.0/23"}))
        .await;
    let made = api.now().await;
    api.patch(&path(&one), &json!({"name": "workers"}))
        .await
        .ok(200);
    let renamed = api.now().await;
    api.patch(&format!("{VPCS}/prod"), &json!({"name": "production"}))
        .await
        .ok(200);
    let vpc_renamed = api.now().await;
    api.patch(&path(&one), &json!({"vpc": "stage"}))
        .await
        .ok(200);
    let moved = api.now().await;
    let lookup = async |at: &str| {
        let found = api
            .get(&format!("{LOOKUP}?ip=10.0.5.1&at={at}"))
            .await
            .ok(200);
        lines(&found["holders"])
    };
    let holder = |names: &str| vec![format!("allocation 10.0.4.0/23 primary {names}")];
    for (at, names) in [
        (&made, "prod nodes"),
        (&renamed, "prod workers"),
        // It left the VPC since, which has another name now than when it came: that is not known any more.
        (&vpc_renamed, "prod workers"),
        (&moved, "stage workers"),
    ] {
        assert_eq!(lookup(at).await, holder(names), "{at}");
    }
    assert_eq!(lookup(&before).await, Vec::<String>::new());
    api.delete(&path(&one)).await.ok(204);
    let released = api.now().await;
    let two = api
        .allocate(json!({"vpc": "next", "name": "nodes", "cidr": "10.0.4.0/22"}))
        .await;
    let heir = api.now().await;
    assert_eq!(lookup(&renamed).await, holder("prod workers"));
    assert_eq!(lookup(&moved).await, holder("stage workers"));
    assert_eq!(lookup(&released).await, Vec::<String>::new());
    assert_eq!(
        lookup(&heir).await,
        ["allocation 10.0.4.0/22 primary next nodes"]
    );
    // It was never moved: its VPC is known even after both are gone, by the name that it had when it was in it.
    api.patch(&format!("{VPCS}/next"), &json!({"name": "last"}))
        .await
        .ok(200);
    assert_eq!(
        lookup(&heir).await,
        ["allocation 10.0.4.0/22 primary next nodes"]
    );
    api.delete(&path(&two)).await.ok(204);
    assert_eq!(
        lookup(&heir).await,
        ["allocation 10.0.4.0/22 primary next nodes"]
    );
    api.delete(&format!("{VPCS}/last")).await.ok(200);
    assert_eq!(
        lookup(&heir).await,
        ["allocation 10.0.4.0/22 primary next nodes"]
    );
    // An unnamed one that was named later had no name then.
    let three = api
        .allocate(json!({"vpc": "x", "cidr": "10.0.4.0/23"}))
        .await;
    let unnamed = api.now().await;
    api.patch(&path(&three), &json!({"name": "late"}))
        .await
        .ok(200);
    assert_eq!(lookup(&unnamed).await, holder("x -"));
    the_history_tells_all(&api, &one).await;
}

#[tokio::test]
async fn a_look_up_of_more_than_a_page_says_so() {
    let api = Api::start().await;
    api.sql(
        "insert into block (range_id, cidr, range_cidr, reason)
        select range_id, set_masklen(cidr::inet + 32 * n, 27)::cidr, cidr, 'by hand' from pool_range, generate_series(0, 1100) as n
        where cidr = '10.0.0.0/16'",
    )
    .await;
    let found = api.get(&format!("{LOOKUP}?cidr=10.0.0.0/8")).await.ok(200);
    let holders = found["holders"].as_array().unwrap();
    assert_eq!((holders.len(), &found["more"]), (1000, &json!(true)));
    assert_eq!(
        (
            &holders[0]["cidr"],
            &holders[999]["cidr"],
            &holders[0]["reason"]
        ),
        (
            &json!("10.0.0.0/27"),
            &json!("10.0.124.224/27"),
            &json!("by hand")
        )
    );
    let found = api
        .get(&format!("{LOOKUP}?cidr=10.0.136.0/23"))
        .await
        .ok(200);
    assert_eq!(
        (found["holders"].as_array().unwrap().len(), &found["more"]),
        (13, &json!(false))
    );
    let page = api
        .get(&format!("{HISTORY}?cidr=10.0.0.0/8&limit=1000"))
        .await
        .ok(200);
    let cursor = page["next_cursor"].as_str().expect("there are more");
    let page = api
        .get(&format!(
            "{HISTORY}?cidr=10.0.0.0/8&limit=1000&cursor={cursor}"
        ))
        .await
        .ok(200);
    assert_eq!(page["items"][0]["cidr"], "10.0.125.0/27");
    assert_eq!(
        (
            page["items"].as_array().unwrap().len(),
            &page["next_cursor"]
        ),
        (101, &Value::Null)
    );
}

#[tokio::test]
async fn the_audit_log_is_read_from_its_end() {
    let api = Api::start().await;
    let one = api
        .allocate(json!({"vpc": "a", "name": "x", "hosts": 50}))
        .await;
    let between = api.now().await;
    api.patch(&path(&one), &json!({"name": "y"})).await.ok(200);
    api.delete(&path(&one)).await.ok(204);
    let id = one["id"].as_str().unwrap();
    let log = api.get(&format!("{EVENTS}?subject={id}")).await.ok(200);
    assert_eq!(
        column(&log, "action"),
        [
            "allocation.release",
            "allocation.update",
            "allocation.create"
        ]
    );
    let made = &log["items"][2];
    assert_eq!(
        (
            &made["subject"],
            &made["actor"],
            &made["detail"]["vpc"],
            &made["detail"]["cidrs"][0]
        ),
        (&one["id"], &one["created_by"], &json!("a"), &one["cidr"])
    );
    assert_eq!(log["items"][0]["detail"]["name"], "y");
    let all = api.get(EVENTS).await.ok(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 4);
    for (query, actions) in [
        ("action=vpc.create", &["vpc.create"][..]),
        ("action=VPC.*", &["vpc.create"]),
        ("action=*.release", &["allocation.release"]),
        // The percent sign and the underscore are signs like others.
        ("action=vpc%25", &[]),
        ("action=vpc_create", &[]),
        ("actor=nobody", &[]),
        (
            &format!("after={between}"),
            &["allocation.release", "allocation.update"],
        ),
        (
            &format!("after={between}&action=allocation.update"),
            &["allocation.update"],
        ),
        (
            &format!("subject={id}&action=allocation.release"),
            &["allocation.release"],
        ),
    ] {
        let log = api.get(&format!("{EVENTS}?{query}")).await.ok(200);
        assert_eq!(column(&log, "action"), actions, "{query}");
        assert_eq!(log["next_cursor"], Value::Null, "{query}");
    }
    // A rare one in a long log: pages may be short, but nothing is left out.
    api.sql(
        "insert into event (actor, action, subject, request_id)
        select 'bulk', 'vpc.update', gen_random_uuid(), gen_random_uuid() from generate_series(1, 120000)",
    )
    .await;
    let (mut pages, mut found) = (0, Vec::new());
    let mut cursor = String::new();
    loop {
        let page = api
            .get(&format!(
                "{EVENTS}?action=allocation.update&limit=5{cursor}"
            ))
            .await
            .ok(200);
        pages += 1;
        found.extend(column(&page, "subject").into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((pages, found), (3, vec![id.to_owned()]));
    let page = api.get(&format!("{EVENTS}?limit=2")).await.ok(200);
    let next = page["next_cursor"].as_str().unwrap();
    let second = api
        .get(&format!("{EVENTS}?limit=1&cursor={next}"))
        .await
        .ok(200);
    let number = |page: &Value, index: usize| page["items"][index]["id"].as_i64().unwrap();
    assert_eq!(
        (number(&page, 0), number(&page, 1), number(&second, 0)),
        (number(&page, 0), number(&page, 0) - 1, number(&page, 0) - 2)
    );
    // An auditor who sees few of them gets short pages too, and all that it may see.
    let limited = api
        .token(json!({"name": "limited", "roles": ["auditor"], "limits": {"vpcs": ["a"]}}))
        .await;
    let (mut pages, mut found) = (0, Vec::new());
    let mut cursor = String::new();
    loop {
        let page = api
            .as_who(
                &limited,
                "GET",
                &format!("{EVENTS}?limit=50{cursor}"),
                &Value::Null,
            )
            .await
            .ok(200);
        pages += 1;
        found.extend(column(&page, "action").into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, 3);
    assert!(
        found.contains(&"allocation.update".to_owned())
            && !found.contains(&"vpc.update".to_owned()),
        "{found:?}"
    );
    for query in [
        "subject=x",
        "after=x",
        "after=9999-12-31T23:59:59-12:00",
        "limit=0",
        "cursor=x",
        "before=1",
    ] {
        api.get(&format!("{EVENTS}?{query}"))
            .await
            .problem(400, "invalid_request");
    }
}

/// Who holds something still comes first, all of them, however small the pages are.
#[tokio::test]
async fn no_holder_falls_between_two_pages() {
    let api = Api::start().await;
    for number in 0..7 {
        api.allocate(json!({"vpc": "a", "name": format!("n{number}"), "prefix_length": 26}))
            .await;
    }
    for number in [1, 4] {
        let made = api
            .get(&format!("{ALLOCATIONS}?vpc=a&name=n{number}"))
            .await
            .ok(200);
        api.delete(&path(&made["items"][0])).await.ok(204);
    }
    let query = format!("{HISTORY}?cidr=10.0.0.0/16");
    let whole = api.get(&query).await.ok(200);
    assert_eq!(whole["items"].as_array().unwrap().len(), 7);
    for limit in 1..=7 {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = api
                .get(&format!("{query}&limit={limit}{cursor}"))
                .await
                .ok(200);
            found.extend(page["items"].as_array().unwrap().clone());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(json!(found), whole["items"], "in pages of {limit}");
    }
}

/// What a reservation over several pools takes is taken for who sees one of them only, who is not told by what.
#[tokio::test]
async fn what_a_reservation_that_is_not_seen_takes_is_not_free() {
    let api = Api::with_connections(8).await;
    for (name, ranges) in [
        ("left", json!(["10.8.0.0/24", "10.8.2.0/24"])),
        ("right", json!(["10.8.1.0/24"])),
    ] {
        let new = json!({"name": name, "ranges": ranges, "max_prefix_length": 28});
        api.post(POOLS, &new).await.ok(201);
    }
    for cidr in ["10.8.0.0/23", "10.8.2.0/26"] {
        let new = json!({"cidr": cidr, "reason": "a secret"});
        api.post("/api/v1/reservations", &new).await.ok(201);
    }
    let limited = json!({"name": "t", "roles": ["reader"], "limits": {"pools": ["default/left"]}});
    let key = api.token(limited).await;
    let look = async |cidr: &str| {
        let path = format!("{LOOKUP}?cidr={cidr}");
        let found = api.as_who(&key, "GET", &path, &Value::Null).await.ok(200);
        (found["free"] == true, lines(&found["holders"]), found)
    };
    let (free, holders, found) = look("10.8.0.64/26").await;
    assert!(!free, "{found}");
    assert_eq!(holders, ["other 10.8.0.0/24 left - -"]);
    assert_eq!(found["holders"][0]["reason"], "in use");
    assert!(found["holders"][0]["reservation_id"].is_null(), "{found}");
    assert!(!found.to_string().contains("a secret"));
    // One that takes space of that pool alone is seen.
    let (free, holders, found) = look("10.8.2.0/28").await;
    assert!(!free);
    assert_eq!(holders, ["reservation 10.8.2.0/26 left - -"]);
    assert!(found.to_string().contains("a secret"));
    assert!(look("10.8.2.64/26").await.0);
    // Who sees everything sees it once.
    let all = api
        .get(&format!("{LOOKUP}?cidr=10.8.0.64/26"))
        .await
        .ok(200);
    assert_eq!(lines(&all["holders"]), ["reservation 10.8.0.0/23 left - -"]);
    api.verify().await;
}
