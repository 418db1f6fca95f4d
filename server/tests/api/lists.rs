//! Lists of allocations: filters and pages.

use serde_json::json;

use crate::support::{ALLOCATIONS, Api, column, path};

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
        ("vpc=none", &[]),
        ("name=one", &[1, 3]),
        ("name=ONE", &[]),
        ("vpc=b&name=one", &[3]),
        ("number=2", &[2]),
        ("number=99", &[]),
        ("number=-1", &[]),
        ("pool=primary", &[1, 2, 3, 4]),
        ("pool=none", &[]),
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
