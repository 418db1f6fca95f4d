//! Lists of allocations: filters and pages.

use serde_json::json;

use crate::support::{ALLOCATIONS, Api, POOLS, VPCS, column, path};

#[tokio::test]
async fn filters_narrow_the_list() {
    let api = Api::start().await;
    api.allocate(json!({"vpc": "a", "name": "one", "cidr": "10.0.0.0/24", "labels": {"env": "prod", "team": "x=y"}})).await;
    api.allocate(
        json!({"vpc": "a", "name": "two", "cidr": "10.0.16.0/20", "labels": {"env": "dev"}}),
    )
    .await;
    api.allocate(
        json!({"vpc": "b", "name": "one", "cidr": "10.0.1.0/24", "labels": {"env": "prod"}}),
    )
    .await;
    api.allocate(json!({"vpc": "c d/".trim_end_matches('/'), "cidr": "10.0.255.192/26"}))
        .await;
    // What the second blocks are decides what `contains` and `within` must find in pool cgnat.
    let all = api.get(ALLOCATIONS).await.ok(200);
    let pods: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["blocks"][1]["cidr"].as_str().unwrap())
        .collect();
    assert_eq!(
        pods,
        [
            "100.64.0.0/19",
            "100.66.0.0/15",
            "100.64.32.0/19",
            "100.64.64.0/21"
        ]
    );

    let cases: &[(&str, &[i64])] = &[
        ("", &[1, 2, 3, 4]),
        ("vpc=a", &[1, 2]),
        ("vpc=A", &[1, 2]),
        ("vpc=c%20d", &[4]),
        ("name=one", &[1, 3]),
        ("name=ONE", &[]),
        ("vpc=b&name=one", &[3]),
        ("number=2", &[2]),
        ("number=99", &[]),
        ("number=-1", &[]),
        ("pool=primary", &[1, 2, 3, 4]),
        ("label=env%3Dprod", &[1, 3]),
        ("label=env=dev", &[2]),
        ("label=team=x=y", &[1]),
        ("label=env=", &[]),
        ("contains=10.0.0.0", &[1]),
        ("contains=10.0.0.255", &[1]),
        ("contains=10.0.1.0", &[3]),
        ("contains=10.0.2.0", &[]),
        ("contains=100.67.255.255", &[2]),
        ("contains=100.68.0.0", &[]),
        ("contains=192.168.0.1", &[]),
        ("contains=2001:db8::1", &[]),
        ("contains=::ffff:10.0.0.1", &[]),
        ("within=10.0.0.0/24", &[1]),
        ("within=10.0.0.0/23", &[1, 3]),
        ("within=10.0.0.0/25", &[]),
        ("within=10.0.0.0/16", &[1, 2, 3, 4]),
        ("within=0.0.0.0/0", &[1, 2, 3, 4]),
        ("within=100.64.0.0/18", &[1, 3]),
        ("within=100.0.0.0/8", &[1, 2, 3, 4]),
        ("within=172.16.0.0/12", &[]),
        ("within=::/0", &[]),
        ("within=10.0.255.192/26", &[4]),
        (
            "vpc=a&label=env=prod&contains=10.0.0.9&within=10.0.0.0/16&pool=cgnat&name=one&number=1",
            &[1],
        ),
        ("vpc=b&label=env=prod&contains=10.0.0.9", &[]),
    ];
    for (query, numbers) in cases {
        let page = api.get(&format!("{ALLOCATIONS}?{query}")).await.ok(200);
        let found: Vec<_> = page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["number"].as_i64().unwrap())
            .collect();
        assert_eq!(&found, numbers, "{query}");
    }
    for query in [
        "vpcs=a",
        "contains=10.0.0",
        "contains=10.0.0.0/24",
        "within=10.0.0.1/24",
        "within=10.0.0.0",
        "label=env",
        "number=x",
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "cursor=x",
        "limit=1&limit=2",
    ] {
        api.get(&format!("{ALLOCATIONS}?{query}"))
            .await
            .problem(400, "invalid_request");
    }
}

/// A name that leads nowhere is a mistake, and no list of nothing. What exists and has nothing is an empty list.
#[tokio::test]
async fn a_filter_that_names_what_does_not_exist_is_answered_alike_everywhere() {
    let api = Api::start().await;
    let document = api
        .send("GET", "/api/v1/openapi.json", &[], "")
        .await
        .ok(200);
    let mut tried = Vec::new();
    let operations = api.operations(&document).await;
    let made = operations
        .iter()
        .find(|operation| operation.id == "get_allocation")
        .unwrap();
    let made = api.get(&made.path).await.ok(200);
    let id = "019ac0de-5d3a-7c55-9a4e-2f1d6a0b7c11";
    for operation in &operations {
        let parameters = operation.described["parameters"].as_array();
        for parameter in parameters.into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            if parameter["in"] != "query"
                || !["vrf", "vpc", "pool", "parent", "profile"].contains(&name)
            {
                continue;
            }
            let more = match operation.id.as_str() {
                "lookup" | "list_history" => "&ip=10.0.0.1",
                _ => "",
            };
            let of = |value: &str| format!("{}?{name}={value}{more}", operation.path);
            let at = format!("{} {name}", operation.id);
            for (unknown, shown) in [("none%20such", "\"none such\""), (id, id)] {
                let reply = api.get(&of(unknown)).await;
                assert_eq!(reply.status, 404, "{at}: {}", reply.text);
                let (detail, _) = reply.problem(404, "not_found");
                assert!(detail.contains(shown), "{at}: {detail}");
            }
            // What is there is found by its name and by its id.
            let noun = if name == "parent" { "pool" } else { name };
            let spare = api.get(&format!("/api/v1/{noun}s/spare")).await.ok(200);
            let by_name = api.get(&of("spare")).await.ok(200);
            let by_id = api.get(&of(spare["id"].as_str().unwrap())).await.ok(200);
            assert_eq!(by_name["items"], by_id["items"], "{at}");
            assert!(operation.described["responses"]["404"].is_object(), "{at}");
            tried.push(at);
        }
    }
    assert_eq!(
        tried,
        [
            "list_allocations vpc",
            "list_allocations pool",
            "list_history vrf",
            "lookup vrf",
            "list_pools vrf",
            "list_pools parent",
            "list_reservations vrf",
            "list_reservations pool",
        ]
    );
    // The ids find what the names find.
    let pool = api.get(&format!("{POOLS}/primary")).await.ok(200)["id"].clone();
    let vpc = &made["vpc_id"];
    for query in [
        format!("vpc={}", vpc.as_str().unwrap()),
        format!("pool={}", pool.as_str().unwrap()),
    ] {
        let page = api.get(&format!("{ALLOCATIONS}?{query}")).await.ok(200);
        assert_eq!(
            column(&page, "id"),
            [made["id"].as_str().unwrap()],
            "{query}"
        );
    }
    // What was deleted is told apart.
    let spare = api.get(&format!("{VPCS}/spare")).await.ok(200)["id"].clone();
    api.delete(&format!("{VPCS}/spare?cascade=true"))
        .await
        .ok(200);
    let gone = api
        .get(&format!("{ALLOCATIONS}?vpc={}", spare.as_str().unwrap()))
        .await;
    gone.problem(410, "gone");
}

#[tokio::test]
async fn an_address_is_found_in_a_second_vrf_too() {
    let api = Api::start().await;
    api.sql("insert into vrf (name) values ('lab');
        insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
            select vrf_id, 'primary', 4, 20, 26 from vrf where name = 'lab';
        insert into pool_range (pool_id, vrf_id, family, cidr)
            select pool_id, vrf_id, 4, '10.0.0.0/16' from pool join vrf using (vrf_id) where vrf.name = 'lab'").await;
    api.post("/api/v1/vpcs", &json!({"name": "lab", "vrf": "lab"}))
        .await
        .ok(201);
    let one = api
        .allocate(json!({"vpc": "a", "cidr": "10.0.8.0/24"}))
        .await;
    let two = api
        .allocate(json!({"vpc": "lab", "cidr": "10.0.8.0/24"}))
        .await;
    assert_eq!(
        (
            &one["blocks"][0]["vrf"],
            &two["blocks"][0]["vrf"],
            &two["blocks"][1]["vrf"]
        ),
        (&json!("default"), &json!("lab"), &json!("default"))
    );
    let page = api
        .get(&format!("{ALLOCATIONS}?contains=10.0.8.77"))
        .await
        .ok(200);
    assert_eq!(column(&page, "vpc"), ["a", "lab"]);
    let page = api
        .get(&format!("{ALLOCATIONS}?within=10.0.0.0/8"))
        .await
        .ok(200);
    assert_eq!(column(&page, "vpc"), ["a", "lab"]);
    api.verify().await;
}

#[tokio::test]
async fn pages_show_each_once_whatever_comes_and_goes_meanwhile() {
    let api = Api::start().await;
    let mut made = Vec::new();
    for number in 0..10 {
        made.push(
            api.allocate(json!({"vpc": "a", "name": format!("n{number}"), "prefix_length": 26}))
                .await,
        );
    }
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let query = cursor.map_or_else(String::new, |cursor| format!("&cursor={cursor}"));
        let page = api
            .get(&format!("{ALLOCATIONS}?limit=3{query}"))
            .await
            .ok(200);
        seen.extend(column(&page, "name").into_iter().map(str::to_owned));
        pages += 1;
        match pages {
            1 => {
                // One that was shown goes, also the one that the cursor stands on; others come.
                api.delete(&path(&made[1])).await.ok(204);
                api.delete(&path(&made[2])).await.ok(204);
                api.allocate(json!({"vpc": "a", "name": "late 1", "prefix_length": 26}))
                    .await;
            }
            // One that was not shown yet goes.
            2 => api
                .delete(&path(&made[7]))
                .await
                .ok(204)
                .is_null()
                .then_some(())
                .unwrap(),
            _ => {}
        }
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
        assert!(pages < 10, "pages without end");
    }
    assert_eq!(
        seen,
        [
            "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n8", "n9", "late 1"
        ]
    );
    let page = api.get(&format!("{ALLOCATIONS}?limit=1000")).await.ok(200);
    assert_eq!(
        (column(&page, "name").len(), &page["next_cursor"]),
        (8, &serde_json::Value::Null)
    );
}

#[tokio::test]
async fn a_page_has_a_hundred_items_unless_asked_otherwise() {
    let api = Api::start().await;
    for _ in 0..3 {
        let requests = (0..40).map(|_| api.allocate(json!({"vpc": "a", "prefix_length": 26})));
        futures::future::join_all(requests).await;
    }
    let page = api.get(ALLOCATIONS).await.ok(200);
    assert_eq!(column(&page, "id").len(), 100);
    let rest = api
        .get(&format!(
            "{ALLOCATIONS}?cursor={}",
            page["next_cursor"].as_str().unwrap()
        ))
        .await
        .ok(200);
    assert_eq!(column(&rest, "id").len(), 20);
    let mut ids = [column(&page, "id"), column(&rest, "id")].concat();
    let ordered = ids.is_sorted();
    ids.sort_unstable();
    ids.dedup();
    assert!(ordered && ids.len() == 120);
    api.verify().await;
}
