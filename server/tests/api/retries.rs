//! What makes a creation repeatable: names, Idempotency-Keys, claims.
//!
//! A second owner is simulated with the same actor.

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, cidrs, path};

#[tokio::test]
async fn the_same_request_by_name_is_answered_with_the_same_allocation() {
    let api = Api::start().await;
    let body = json!({"vpc": "prod", "name": "web", "hosts": 100, "labels": {"a": "1"}});
    let first = api.allocate(body.clone()).await;
    let second = api.post(ALLOCATIONS, &body).await;
    assert_eq!((second.status, second.header("location")), (200, ""));
    assert_eq!(
        (&second.json["id"], cidrs(&second.json)),
        (&first["id"], cidrs(&first))
    );
    assert_ne!(
        second.json["claim"], first["claim"],
        "an adoption draws a new claim"
    );
    assert!(second.json["claim"].is_string());
    // The VPC's name is compared without regard to case, the allocation's with.
    let third = api
        .post(
            ALLOCATIONS,
            &json!({"vpc": "PROD", "name": "web", "hosts": 100, "labels": {"a": "2"}}),
        )
        .await
        .ok(200);
    assert_eq!(
        (
            &third["id"],
            &third["vpc"],
            &third["labels"],
            &third["revision"]
        ),
        (&first["id"], &json!("prod"), &json!({"a": "2"}), &json!(2))
    );
    let other = api
        .allocate(json!({"vpc": "prod", "name": "Web", "hosts": 100}))
        .await;
    assert_ne!(other["id"], first["id"]);
    assert_eq!(api.count("select count(*) from allocation").await, 2);
    assert_eq!(api.count("select count(*) from vpc").await, 1);
    assert_eq!(
        (
            api.events("allocation.create").await,
            api.events("allocation.adopt").await
        ),
        (2, 2)
    );
    api.verify().await;
}

#[tokio::test]
async fn a_different_request_under_a_taken_name_is_refused() {
    let api = Api::start().await;
    api.allocate(json!({"vpc": "prod", "name": "web", "hosts": 100}))
        .await;
    let before = api.state().await;
    for other in [
        json!({"hosts": 101}),
        json!({"prefix_length": 25}),
        json!({"cidr": "10.0.0.0/25"}),
    ] {
        let mut body = other;
        body["vpc"] = json!("prod");
        body["name"] = json!("web");
        let reply = api.post(ALLOCATIONS, &body).await;
        let (detail, details) = reply.problem(409, "name_taken");
        assert!(
            detail.contains("prod/web") && detail.contains("100 hosts"),
            "{detail}"
        );
        assert_eq!(details["import_id"], "prod/web");
    }
    assert_eq!(api.state().await, before);
    // In another VPC the name is free.
    api.allocate(json!({"vpc": "dev", "name": "web", "hosts": 101}))
        .await;
    // And here, once it is released.
    let id = api
        .get(&format!("{ALLOCATIONS}?vpc=prod&name=web"))
        .await
        .ok(200)["items"][0]
        .clone();
    api.delete(&path(&id)).await.ok(204);
    let again = api
        .allocate(json!({"vpc": "prod", "name": "web", "hosts": 101}))
        .await;
    assert_ne!(again["id"], id["id"]);
}

#[tokio::test]
async fn an_idempotency_key_makes_an_unnamed_creation_repeatable() {
    let api = Api::start().await;
    let key = [("idempotency-key", "7c9e6679")];
    let body = json!({"vpc": "prod", "hosts": 100});
    let first = api.with("POST", ALLOCATIONS, &key, &body).await.ok(201);
    let second = api.with("POST", ALLOCATIONS, &key, &body).await.ok(200);
    assert_eq!(
        (&second["id"], cidrs(&second)),
        (&first["id"], cidrs(&first))
    );
    assert_eq!(
        api.events("allocation.replay").await,
        1,
        "a replay asserts ownership, so it commits something of its own"
    );

    let reply = api
        .with(
            "POST",
            ALLOCATIONS,
            &key,
            &json!({"vpc": "prod", "hosts": 101}),
        )
        .await;
    let (detail, _) = reply.problem(422, "idempotency_key_reused");
    assert!(detail.contains("7c9e6679"), "{detail}");
    let reply = api
        .with(
            "POST",
            ALLOCATIONS,
            &key,
            &json!({"vpc": "prod", "hosts": 100, "labels": {"a": "b"}}),
        )
        .await;
    reply.problem(422, "idempotency_key_reused");
    let other = api
        .with(
            "POST",
            ALLOCATIONS,
            &[("idempotency-key", "7c9e6678")],
            &body,
        )
        .await
        .ok(201);
    assert_ne!(other["id"], first["id"]);

    api.delete(&path(&first)).await.ok(204);
    let reply = api.with("POST", ALLOCATIONS, &key, &body).await;
    let (_, details) = reply.problem(410, "gone");
    assert_eq!(details["deleted_by"], "admin");
    assert_eq!(api.count("select count(*) from allocation").await, 1);

    let long = "x".repeat(256);
    for wrong in ["", long.as_str(), "a\tb", "ä"] {
        api.with("POST", ALLOCATIONS, &[("idempotency-key", wrong)], &body)
            .await
            .problem(400, "invalid_request");
    }
    let longest = "x".repeat(255);
    // The same for a batch, whose requests get keys of their own from it, and also if all of them have names.
    let batch = format!("{ALLOCATIONS}/batch");
    let named =
        json!({"requests": [{"vpc": "a", "name": "in-a-batch", "hosts": 5}], "dry_run": true});
    for (wrong, status) in [("", 400), (&"k".repeat(251), 400), (&"k".repeat(250), 200)] {
        let reply = api
            .with("POST", &batch, &[("idempotency-key", wrong)], &named)
            .await;
        assert_eq!(reply.status, status, "{wrong:?}: {}", reply.text);
    }
    api.with("POST", ALLOCATIONS, &[("idempotency-key", &longest)], &body)
        .await
        .ok(201);
    // A refused request uses no key up.
    let key = [("idempotency-key", "later")];
    api.with(
        "POST",
        ALLOCATIONS,
        &key,
        &json!({"vpc": "prod", "hosts": 9999}),
    )
    .await
    .problem(400, "invalid_request");
    api.with("POST", ALLOCATIONS, &key, &body).await.ok(201);
    api.verify().await;
}

#[tokio::test]
async fn many_at_once_with_one_idempotency_key_allocate_once() {
    let api = Api::start().await;
    let body = json!({"vpc": "prod", "hosts": 100});
    let key = [("idempotency-key", "storm")];
    let replies =
        futures::future::join_all((0..40).map(|_| api.with("POST", ALLOCATIONS, &key, &body)))
            .await;
    let made: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(made.len(), 1);
    for reply in &replies {
        assert!(matches!(reply.status, 200 | 201), "{}", reply.text);
        assert_eq!(reply.json["id"], made[0].json["id"]);
    }
    assert_eq!(api.count("select count(*) from allocation").await, 1);
}

#[tokio::test]
async fn whoever_shows_the_claim_is_the_owner_from_then_on() {
    let api = Api::start().await;
    let body = json!({"vpc": "prod", "name": "web", "hosts": 100});
    let first = api.allocate(body.clone()).await;
    let claim = |allocation: &Value| allocation["claim"].as_str().unwrap().to_owned();
    let show = async |claim: &str| {
        api.with("GET", &path(&first), &[("ipam-claim", claim)], &Value::Null)
            .await
    };

    // Reading without the claim confirms nothing.
    api.get(&path(&first)).await.ok(200);
    let adopted = api.post(ALLOCATIONS, &body).await.ok(200);
    // The first owner finds out at its next look.
    let reply = show(&claim(&first)).await;
    let (detail, details) = reply.problem(409, "claimed");
    assert!(
        detail.contains("terraform import") && detail.contains("prod/web"),
        "{detail}"
    );
    assert_eq!(details["import_id"], "prod/web");
    assert_eq!(api.events("allocation.confirm").await, 0);

    for _ in 0..2 {
        let read = show(&claim(&adopted)).await.ok(200);
        assert_eq!(
            (&read["id"], &read["claim"], &read["revision"]),
            (&first["id"], &Value::Null, &json!(1))
        );
    }
    assert_eq!(api.events("allocation.confirm").await, 1);

    let before = api.state().await;
    let reply = api.post(ALLOCATIONS, &body).await;
    let (detail, details) = reply.problem(409, "claimed");
    assert!(
        detail.contains("terraform import <address> 'prod/web'"),
        "{detail}"
    );
    assert_eq!(details["import_id"], "prod/web");
    show(&claim(&first)).await.problem(409, "claimed");
    assert_eq!(api.state().await, before);
    // To an importer, who has no claim, it is readable.
    api.get(&path(&first)).await.ok(200);

    for wrong in ["", "x", "00000000-0000-0000-0000-00000000000"] {
        show(wrong).await.problem(400, "invalid_request");
    }
    show("00000000-0000-0000-0000-000000000000")
        .await
        .problem(409, "claimed");
    api.delete(&path(&first)).await.ok(204);
    show(&claim(&adopted)).await.problem(410, "gone");
}

#[tokio::test]
async fn every_adoption_is_in_the_audit_log() {
    let api = Api::start().await;
    let body = json!({"vpc": "prod", "name": "web", "hosts": 100});
    api.allocate(body.clone()).await;
    let reply = api.post(ALLOCATIONS, &body).await;
    let request = reply.header("x-request-id").to_owned();
    let count = format!(
        "select count(*) from event where action = 'allocation.adopt' and actor = 'admin'
        and request_id = '{request}' and subject = '{}'",
        reply.json["id"].as_str().unwrap()
    );
    assert_eq!(api.count(&count).await, 1);
}
