//! VRFs: address spaces of their own, in which the same network exists once more.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, POOLS, VPCS, VRFS, cidrs, column, unclaimed};

#[tokio::test]
async fn a_vrf_is_made_changed_and_deleted() {
    let api = Api::start().await;
    let reply = api
        .post(
            VRFS,
            &json!({"name": "dev", "labels": {"a": "b"}, "description": "d"}),
        )
        .await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let vrf = &unclaimed(reply.json.clone());
    let path = format!("{VRFS}/{}", vrf["id"].as_str().unwrap());
    assert_eq!(
        (reply.header("location"), reply.header("etag")),
        (path.as_str(), "\"1\"")
    );
    for (field, value) in [
        ("name", json!("dev")),
        ("labels", json!({"a": "b"})),
        ("description", json!("d")),
        ("pools", json!(0)),
        ("vpcs", json!(0)),
        ("reservations", json!(0)),
        ("revision", json!(1)),
    ] {
        assert_eq!(vrf[field], value, "{field}");
    }
    assert_eq!(&api.get(&path).await.ok(200), vrf);
    assert_eq!(&api.get(&format!("{VRFS}/dev")).await.ok(200), vrf);
    let other = [("ipam-owner", "other")];
    let reply = api
        .with("POST", VRFS, &other, &json!({"name": "dev"}))
        .await;
    let (detail, details) = reply.problem(409, "claimed");
    assert!(detail.contains("\"dev\""), "{detail}");
    assert_eq!(details["import_id"], "dev");
    for body in [
        json!({"name": "a/b"}),
        json!({"name": "x", "nane": 1}),
        json!({"name": "x", "description": "x".repeat(1001)}),
        json!({}),
    ] {
        api.post(VRFS, &body).await.problem(400, "invalid_request");
    }

    let changed = api
        .with(
            "PATCH",
            &path,
            &[("if-match", "\"1\"")],
            &json!({"name": "test"}),
        )
        .await;
    assert_eq!(changed.header("etag"), "\"2\"");
    let changed = changed.ok(200);
    assert_eq!(
        (
            &changed["name"],
            &changed["labels"],
            &changed["description"],
            &changed["revision"]
        ),
        (&json!("test"), &json!({"a": "b"}), &json!("d"), &json!(2))
    );
    api.with(
        "PATCH",
        &path,
        &[("if-match", "\"1\"")],
        &json!({"labels": {}}),
    )
    .await
    .problem(412, "stale");
    let same = api.patch(&path, &json!({})).await.ok(200);
    assert_eq!(same, changed);
    api.patch(&path, &json!({"name": "default"}))
        .await
        .problem(409, "name_taken");
    api.patch(&path, &json!({"name": null, "labels": {"a": "\n"}}))
        .await
        .problem(400, "invalid_request");

    api.with("DELETE", &path, &[("if-match", "\"1\"")], &Value::Null)
        .await
        .problem(412, "stale");
    api.delete(&path).await.ok(204);
    for reply in [
        api.delete(&path).await,
        api.get(&path).await,
        api.patch(&path, &json!({})).await,
    ] {
        let (detail, details) = reply.problem(410, "gone");
        assert!(
            detail.contains("VRF") && details["deleted_by"] == "admin",
            "{detail}"
        );
    }
    api.delete(&format!("{VRFS}/test"))
        .await
        .problem(404, "not_found");
    api.delete(&format!(
        "{VRFS}/{}",
        "00000000-0000-0000-0000-000000000000"
    ))
    .await
    .problem(404, "not_found");
    for action in ["create", "update", "delete"] {
        assert_eq!(api.events(&format!("vrf.{action}")).await, 1, "{action}");
    }
    api.verify().await;
}

#[tokio::test]
async fn the_default_vrf_stays() {
    let api = Api::start().await;
    let path = format!("{VRFS}/default");
    let reply = api.delete(&path).await;
    let (detail, _) = reply.problem(400, "invalid_request");
    assert!(detail.contains("always exists"), "{detail}");
    api.patch(&path, &json!({"name": "x"}))
        .await
        .problem(400, "invalid_request");
    let changed = api
        .patch(
            &path,
            &json!({"name": "default", "description": "everything"}),
        )
        .await
        .ok(200);
    assert_eq!(
        (&changed["description"], &changed["pools"]),
        (&json!("everything"), &json!(2))
    );
}

#[tokio::test]
async fn vrfs_are_listed_in_pages() {
    let api = Api::start().await;
    for index in 0..7 {
        api.post(VRFS, &json!({"name": format!("v{index}")}))
            .await
            .ok(201);
    }
    let all = api.get(VRFS).await.ok(200);
    let mut names = column(&all, "name");
    assert_eq!((names.len(), &all["next_cursor"]), (8, &Value::Null));
    let mut paged: Vec<String> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("{VRFS}?limit=3{cursor}")).await.ok(200);
        paged.extend(column(&page, "name").into_iter().map(str::to_owned));
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, names);
    names.sort_unstable();
    assert_eq!(names[0], "default");
    let one = api.get(&format!("{VRFS}?name=v3")).await.ok(200);
    assert_eq!(column(&one, "name"), ["v3"]);
    for query in ["limit=0", "limit=1001", "cursor=x", "nane=x"] {
        api.get(&format!("{VRFS}?{query}"))
            .await
            .problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_vrf_in_use_is_not_deleted_and_says_by_whom() {
    let api = Api::start().await;
    api.post(VRFS, &json!({"name": "dev"})).await.ok(201);
    let path = format!("{VRFS}/dev");
    let pool = api
        .post(POOLS, &json!({"vrf": "dev", "name": "p", "family": "ipv4"}))
        .await
        .ok(201);
    for index in 10..21 {
        api.post(VPCS, &json!({"vrf": "dev", "name": format!("vpc {index}")}))
            .await
            .ok(201);
    }
    api.sql(
        "insert into reservation (vrf_id, cidr, reason, created_by)
        select vrf_id, '192.168.0.0/16', 'office', 'psql' from vrf where name = 'dev'",
    )
    .await;
    let vrf = api.get(&path).await.ok(200);
    assert_eq!(
        (&vrf["pools"], &vrf["vpcs"], &vrf["reservations"]),
        (&json!(1), &json!(11), &json!(1))
    );
    let state = api.state().await;
    let reply = api.delete(&path).await;
    let (detail, details) = reply.problem(409, "in_use");
    assert_eq!(details["users"], 13);
    assert!(
        detail.contains("pool \"p\", VPC \"vpc 10\"")
            && detail.contains("VPC \"vpc 18\"")
            && !detail.contains("vpc 19")
            && detail.contains("and 3 more"),
        "{detail}"
    );
    assert_eq!(state, api.state().await);
    api.delete(&format!("{POOLS}/{}", pool["id"].as_str().unwrap()))
        .await
        .ok(204);
    for index in 10..21 {
        api.delete(&format!("{VPCS}/vpc%20{index}")).await.ok(200);
    }
    let reply = api.delete(&path).await;
    let (detail, details) = reply.problem(409, "in_use");
    assert!(
        detail.contains("reservation 192.168.0.0/16") && details["users"] == 1,
        "{detail}"
    );
    api.sql("delete from reservation").await;
    api.delete(&path).await.ok(204);
    api.verify().await;
}

#[tokio::test]
async fn each_environment_has_its_own_pod_ranges_and_shares_the_node_ranges() {
    let api = Api::start().await;
    api.post(VRFS, &json!({"name": "dev"})).await.ok(201);
    let pods = api
        .post(
            POOLS,
            &json!({"vrf": "dev", "name": "cgnat", "ranges": ["100.64.0.0/10"], "min_prefix_length": 15,
                "max_prefix_length": 21}),
        )
        .await
        .ok(201);
    api.post(VPCS, &json!({"vrf": "dev", "name": "dev-vpc"}))
        .await
        .ok(201);
    api.allocate(json!({"vpc": "prod-vpc", "prefix_length": 24}))
        .await;
    let dev = api
        .allocate(json!({"vpc": "dev-vpc", "prefix_length": 24}))
        .await;
    // The same pod range as that of the other environment, and a node range beside it.
    assert_eq!(cidrs(&dev), ["10.0.1.0/24", "100.64.0.0/19"]);
    assert_eq!(
        dev["blocks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|block| block["vrf"].as_str().unwrap())
            .collect::<Vec<_>>(),
        ["default", "dev"]
    );
    let prod = api
        .allocate(json!({"vpc": "prod-vpc", "prefix_length": 24}))
        .await;
    assert_eq!(cidrs(&prod), ["10.0.2.0/24", "100.64.32.0/19"]);
    api.verify().await;
    // Who uses a pool is known across VRFs.
    let reply = api
        .delete(&format!("{POOLS}/{}", pods["id"].as_str().unwrap()))
        .await;
    let (detail, _) = reply.problem(409, "in_use");
    assert!(
        detail.contains("100.64.0.0/19 belongs to an allocation of VPC \"dev-vpc\""),
        "{detail}"
    );
    // Once dev's pods pool is gone its VPCs mean the shared one.
    api.delete(&crate::support::path(&dev)).await.ok(204);
    api.delete(&format!("{POOLS}/{}", pods["id"].as_str().unwrap()))
        .await
        .ok(204);
    let dev = api
        .allocate(json!({"vpc": "dev-vpc", "prefix_length": 24}))
        .await;
    assert_eq!(cidrs(&dev), ["10.0.1.0/24", "100.64.64.0/19"]);
    api.verify().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vrf_that_gets_a_vpc_at_the_same_moment_stays_or_the_vpc_is_refused() {
    let api = Arc::new(Api::with_connections(8).await);
    let (mut deleted, mut kept) = (0, 0);
    for round in 0..20 {
        let vrf = format!("v{round}");
        api.post(VRFS, &json!({"name": vrf})).await.ok(201);
        let path = format!("{VRFS}/{vrf}");
        let (vpc, pool, gone) = tokio::join!(
            tokio::spawn({
                let (api, vrf) = (Arc::clone(&api), vrf.clone());
                async move { api.post(VPCS, &json!({"vrf": vrf, "name": vrf})).await }
            }),
            tokio::spawn({
                let (api, vrf) = (Arc::clone(&api), vrf.clone());
                async move {
                    api.post(
                        POOLS,
                        &json!({"vrf": vrf, "name": "p", "ranges": ["10.0.0.0/8"]}),
                    )
                    .await
                }
            }),
            tokio::spawn({
                let api = Arc::clone(&api);
                async move { api.delete(&path).await }
            })
        );
        let (vpc, pool, gone) = (vpc.unwrap(), pool.unwrap(), gone.unwrap());
        match gone.status {
            204 => {
                deleted += 1;
                assert!(matches!(vpc.status, 404 | 409), "{}", vpc.text);
                pool.problem(404, "not_found");
            }
            _ => {
                kept += 1;
                gone.problem(409, "in_use");
                assert!(
                    vpc.status == 201 || pool.status == 201,
                    "{} {}",
                    vpc.text,
                    pool.text
                );
            }
        }
    }
    println!("{deleted} deleted, {kept} kept");
    api.verify().await;
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "x", "hosts": 5}))
        .await;
    assert_eq!(reply.status, 201, "{}", reply.text);
}
