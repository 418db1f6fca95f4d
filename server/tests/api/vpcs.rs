//! VPCs: made by name or on first use, and deleted with or without what is in them.

use std::time::Duration;

use ipam_shared::name::Name;
use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, VPCS, column, path, unclaimed};

#[tokio::test]
async fn a_vpc_is_one_whatever_the_case_of_its_name() {
    let api = Api::start().await;
    let reply = api
        .post(
            VPCS,
            &json!({"name": "Prod", "labels": {"a": "b"}, "description": "d"}),
        )
        .await;
    assert_eq!(reply.status, 201, "{}", reply.text);
    let vpc = &unclaimed(reply.json.clone());
    assert_eq!(
        (reply.header("location"), reply.header("etag")),
        (
            format!("{VPCS}/{}", vpc["id"].as_str().unwrap()).as_str(),
            "\"1\""
        )
    );
    assert_eq!(
        (
            &vpc["name"],
            &vpc["vrf"],
            &vpc["labels"],
            &vpc["description"],
            &vpc["allocations"]
        ),
        (
            &json!("Prod"),
            &json!("default"),
            &json!({"a": "b"}),
            &json!("d"),
            &json!(0)
        )
    );
    for key in ["Prod", "prod", "PROD", vpc["id"].as_str().unwrap()] {
        assert_eq!(
            &api.get(&format!("{VPCS}/{key}")).await.ok(200),
            vpc,
            "{key}"
        );
    }
    let other = [("ipam-owner", "other")];
    let reply = api
        .with("POST", VPCS, &other, &json!({"name": "pROD"}))
        .await;
    let (detail, _) = reply.problem(409, "claimed");
    assert!(detail.contains("VPC \"Prod\""), "{detail}");
    let made = api.allocate(json!({"vpc": "PROD", "hosts": 5})).await;
    assert_eq!(
        (&made["vpc"], &made["vpc_id"]),
        (&json!("Prod"), &vpc["id"])
    );
    assert_eq!(
        api.get(&format!("{VPCS}/prod")).await.ok(200)["allocations"],
        1
    );
    let list = api.get(&format!("{VPCS}?name=prOD")).await.ok(200);
    assert_eq!(column(&list, "name"), ["Prod"]);
    assert_eq!(api.events("vpc.create").await, 1);
    for name in ["", " a", "a/b", "a\nb", &"x".repeat(129)] {
        api.post(VPCS, &json!({"name": name}))
            .await
            .problem(400, "invalid_request");
        api.post(ALLOCATIONS, &json!({"vpc": name, "hosts": 5}))
            .await
            .problem(400, "invalid_request");
    }
    api.post(VPCS, &json!({"name": "x", "vrf": "none"}))
        .await
        .problem(404, "not_found");
    let odd = api
        .post(VPCS, &json!({"name": "über vpc.1 🦀"}))
        .await
        .ok(201);
    assert_eq!(
        api.get(&format!("{VPCS}/%C3%BCber%20vpc.1%20%F0%9F%A6%80"))
            .await
            .ok(200),
        unclaimed(odd)
    );
}

#[tokio::test]
async fn a_vpc_is_changed_in_place() {
    let api = Api::start().await;
    api.post(VPCS, &json!({"name": "other"})).await.ok(201);
    let made = api
        .allocate(json!({"vpc": "prod", "name": "n", "hosts": 5}))
        .await;
    let renamed = api
        .with(
            "PATCH",
            &format!("{VPCS}/prod"),
            &[("if-match", "\"1\"")],
            &json!({"name": "live", "description": "d"}),
        )
        .await
        .ok(200);
    assert_eq!(
        (&renamed["name"], &renamed["id"], &renamed["revision"]),
        (&json!("live"), &made["vpc_id"], &json!(2))
    );
    assert_eq!(api.get(&path(&made)).await.ok(200)["vpc"], "live");
    api.get(&format!("{VPCS}/prod"))
        .await
        .problem(404, "not_found");
    let before = api.state().await;
    api.patch(&format!("{VPCS}/live"), &json!({"name": "OTHER"}))
        .await
        .problem(409, "name_taken");
    api.with(
        "PATCH",
        &format!("{VPCS}/live"),
        &[("if-match", "\"1\"")],
        &json!({"name": "x"}),
    )
    .await
    .problem(412, "stale");
    api.patch(&format!("{VPCS}/live"), &json!({"vrf": "x"}))
        .await
        .problem(400, "invalid_request");
    api.patch(&format!("{VPCS}/none"), &json!({"name": "x"}))
        .await
        .problem(404, "not_found");
    assert_eq!(
        api.patch(&format!("{VPCS}/live"), &json!({})).await.ok(200)["revision"],
        2
    );
    assert_eq!(api.state().await, before);
    // Only the case changes.
    assert_eq!(
        api.patch(&format!("{VPCS}/live"), &json!({"name": "LIVE"}))
            .await
            .ok(200)["name"],
        "LIVE"
    );
}

#[tokio::test]
async fn a_vpc_in_use_is_deleted_only_with_all_that_is_in_it() {
    let api = Api::start().await;
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(
            api.allocate(
                json!({"vpc": "prod", "name": format!("n{number}"), "prefix_length": 22 + number}),
            )
            .await,
        );
    }
    let other = api
        .allocate(json!({"vpc": "dev", "prefix_length": 24}))
        .await;
    let vpc = format!("{VPCS}/PROD");
    let before = api.state().await;
    let reply = api.delete(&vpc).await;
    let (detail, details) = reply.problem(409, "in_use");
    assert_eq!(details["users"], 5);
    assert!(detail.contains("cascade=true"), "{detail}");
    api.with(
        "DELETE",
        &format!("{vpc}?cascade=true"),
        &[("if-match", "\"7\"")],
        &Value::Null,
    )
    .await
    .problem(412, "stale");
    for query in ["cascade=yes", "force=true"] {
        api.delete(&format!("{vpc}?{query}"))
            .await
            .problem(400, "invalid_request");
    }
    assert_eq!(api.state().await, before);

    // All or nothing: one of them is protected, the last to be made.
    api.patch(&path(&made[4]), &json!({"deletion_protection": true}))
        .await
        .ok(200);
    let before = api.state().await;
    let reply = api.delete(&format!("{vpc}?cascade=true")).await;
    let (detail, _) = reply.problem(409, "deletion_protected");
    assert!(detail.contains("prod/n4"), "{detail}");
    assert_eq!(api.state().await, before);

    api.patch(&path(&made[4]), &json!({"deletion_protection": false}))
        .await
        .ok(200);
    assert_eq!(
        api.delete(&format!("{vpc}?cascade=true")).await.ok(200),
        json!({"released_allocations": 5})
    );
    for gone in &made {
        api.get(&path(gone)).await.problem(410, "gone");
    }
    api.get(&vpc).await.problem(404, "not_found");
    api.delete(&vpc).await.problem(404, "not_found");
    api.get(&path(&other)).await.ok(200);
    assert_eq!(
        (
            api.events("allocation.release").await,
            api.events("vpc.delete").await
        ),
        (5, 1)
    );
    api.verify().await;
    // The name is free again, for another VPC.
    let again = api
        .allocate(json!({"vpc": "prod", "prefix_length": 22}))
        .await;
    assert_ne!(again["vpc_id"], made[0]["vpc_id"]);

    api.post(VPCS, &json!({"name": "empty"})).await.ok(201);
    assert_eq!(
        api.delete(&format!("{VPCS}/empty")).await.ok(200),
        json!({"released_allocations": 0})
    );
}

#[tokio::test]
async fn vpcs_are_listed_in_pages() {
    let api = Api::start().await;
    for number in 0..5 {
        api.post(VPCS, &json!({"name": format!("v{number}")}))
            .await
            .ok(201);
    }
    let first = api.get(&format!("{VPCS}?limit=3")).await.ok(200);
    let rest = api
        .get(&format!(
            "{VPCS}?limit=3&cursor={}",
            first["next_cursor"].as_str().unwrap()
        ))
        .await
        .ok(200);
    assert_eq!(
        [column(&first, "name"), column(&rest, "name")].concat(),
        ["v0", "v1", "v2", "v3", "v4"]
    );
    assert_eq!(rest["next_cursor"], Value::Null);
    for query in ["limit=0", "limit=1001", "cursor=x", "vpc=x"] {
        api.get(&format!("{VPCS}?{query}"))
            .await
            .problem(400, "invalid_request");
    }
}

/// A to Z are a to z, and nothing else is the same, whatever the locale of the database and the language of the letters.
#[tokio::test]
async fn case_is_folded_by_one_rule_everywhere() {
    let api = Api::start().await;
    let mut db = api.database.connect().await;
    for odd in [
        "Zürich",
        "ZÜRICH",
        "İstanbul",
        "istanbul",
        "ISTANBUL",
        "Straße",
        "STRASSE",
        "\u{212a}elvin",
        "ΣΊΣΥΦΟΣ",
        "σίσυφος",
        "ǅ",
        "Ａ",
        "ﬀ",
        "Ж",
        "ж",
    ] {
        let name: Name = odd.parse().unwrap();
        let folded: String = sqlx::query_scalar(r#"select lower($1 collate "C")"#)
            .bind(odd)
            .fetch_one(&mut db)
            .await
            .unwrap();
        assert_eq!(folded, name.folded(), "{odd}");
    }
    // With and without a lock, made ahead and on first use, by creation, look-up, filter and deletion.
    let made = api
        .post(VPCS, &json!({"name": "Team-Zürich"}))
        .await
        .ok(201);
    let found = api.get(&format!("{VPCS}/TEAM-ZüRICH")).await.ok(200);
    assert_eq!(found["id"], made["id"]);
    api.get(&format!("{VPCS}/TEAM-ZÜRICH"))
        .await
        .problem(404, "not_found");
    let allocate = async |vpc: &str| {
        let body = json!({"vpc": vpc, "name": "web", "hosts": 9});
        let reply = api.post(ALLOCATIONS, &body).await;
        (
            reply.status,
            reply.json["vpc_id"].clone(),
            reply.json["id"].clone(),
        )
    };
    let (status, vpc, first) = allocate("team-zürich").await;
    assert_eq!((status, &vpc), (201, &made["id"]));
    assert_eq!(allocate("TEAM-ZüRICH").await, (200, vpc.clone(), first));
    let (status, other, _) = allocate("TEAM-ZÜRICH").await;
    assert_eq!(status, 201);
    assert_ne!(other, vpc, "another letter, another VPC");
    let page = api
        .get(&format!("{ALLOCATIONS}?vpc=tEAM-zürich"))
        .await
        .ok(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    for (name, released) in [("team-zÜrich", 1), ("TEAM-züRICH", 1)] {
        let gone = api
            .delete(&format!("{VPCS}/{name}?cascade=true"))
            .await
            .ok(200);
        assert_eq!(gone["released_allocations"], released, "{name}");
    }
}

#[tokio::test]
async fn a_vpc_that_is_refused_to_be_deleted_waits_for_no_pool() {
    let api = Api::start().await;
    api.allocate(json!({"vpc": "a", "hosts": 5})).await;
    let mut holder = api.database.connect().await;
    sqlx::raw_sql("begin; select from pool for update; select from allocation for update")
        .execute(&mut holder)
        .await
        .unwrap();
    let path = format!("{VPCS}/a");
    let reply = tokio::time::timeout(Duration::from_secs(5), api.delete(&path));
    let reply = reply.await.expect("it waits for nothing that is held");
    let (detail, _) = reply.problem(409, "in_use");
    assert!(detail.contains("1 allocation;"), "{detail}");
}
