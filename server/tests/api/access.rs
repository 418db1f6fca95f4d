//! Nobody comes in without the key, whatever the route: every operation of the OpenAPI document is tried.

use std::time::Duration;

use ipam_server::domain::seal::Sealer;
use serde_json::json;

use crate::support::{Api, KEY};

#[tokio::test]
async fn no_operation_answers_or_does_anything_without_the_key() {
    let api = Api::start().await;
    // The document is public, as are its reader and the probes.
    let document = api
        .send("GET", "/api/v1/openapi.json", &[], "")
        .await
        .ok(200);
    let mut operations = api.operations(&document).await;
    // The one that needs no key says so, and it is the only one.
    let open: Vec<_> = operations
        .extract_if(.., |operation| {
            operation.described["security"] == json!([{}])
        })
        .map(|operation| operation.id)
        .collect();
    assert_eq!(open, ["get_proof"]);
    let mut operations: Vec<_> = (operations.into_iter())
        .map(|operation| (operation.method, operation.path, operation.body))
        .collect();
    assert!(operations.len() >= 12, "{operations:?}");
    let before = api.state().await;
    let (upper, longer, shorter) = (KEY.to_uppercase(), format!("{KEY}x"), &KEY[..KEY.len() - 1]);
    let bearer = format!("Bearer {longer}");
    let basic = format!("Basic {KEY}");
    let strangers: &[&[(&str, &str)]] = &[
        &[],
        &[("x-api-key", "")],
        &[("x-api-key", &upper)],
        &[("x-api-key", &longer)],
        &[("x-api-key", shorter)],
        &[("authorization", KEY)],
        &[("authorization", &basic)],
        &[("authorization", &bearer)],
        &[("authorization", "Bearer")],
        &[("cookie", &format!("session={KEY}; ipam={KEY}; key={KEY}"))],
        // A wrong key is not made good by a right one beside it.
        &[
            ("x-api-key", "wrong"),
            ("authorization", &format!("Bearer {KEY}")),
        ],
    ];
    for (method, path, body) in &operations {
        for stranger in strangers {
            let mut headers = vec![("content-type", "application/json")];
            headers.extend_from_slice(stranger);
            let reply = api.send(method, path, &headers, body.to_string()).await;
            let (detail, _) = reply.problem(401, "unauthorized");
            assert!(detail.contains("key"), "{detail}");
            assert_eq!(reply.header("www-authenticate"), "Bearer");
            // In the query it would end up in logs.
            let reply = api
                .send(
                    method,
                    &format!("{path}?api_key={KEY}"),
                    &headers,
                    body.to_string(),
                )
                .await;
            reply.problem(401, "unauthorized");
        }
    }
    assert_eq!(
        api.state().await,
        before,
        "somebody without a key changed something"
    );
    // There is a head to show only once something is sealed.
    let sealing = Sealer::default().run(api.ipam.clone(), Duration::from_millis(10));
    let sealing = tokio::spawn(sealing);
    while api.count("select count(*) from event_seal").await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sealing.abort();
    // With the key, the same requests pass: it was the key that they lacked. What deletes comes last.
    operations.sort_by_key(|(method, path, _)| (method == "DELETE", path.contains("/vpcs/")));
    for (method, path, body) in &operations {
        let bearer = format!("bearer {KEY}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", bearer.as_str()),
        ];
        let query = match path.rsplit('/').next() {
            Some("lookup" | "history") => "?ip=10.0.0.1",
            _ => "",
        };
        let reply = api
            .send(
                method,
                &format!("{path}{query}"),
                &headers,
                body.to_string(),
            )
            .await;
        assert!(
            (200..300).contains(&reply.status),
            "{method} {path}: {}",
            reply.text
        );
    }
    assert_ne!(api.state().await, before);
}

#[tokio::test]
async fn what_is_under_the_key_does_not_say_whether_it_exists() {
    let api = Api::start().await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "hosts": 5}))
        .await;
    let known = api.send("GET", &crate::support::path(&made), &[], "").await;
    let unknown = api
        .send(
            "GET",
            "/api/v1/allocations/018f0000-0000-7000-8000-000000000000",
            &[],
            "",
        )
        .await;
    assert_eq!(
        (known.status, &known.json["detail"]),
        (unknown.status, &unknown.json["detail"])
    );
}

#[tokio::test]
async fn probes_and_documents_need_no_key() {
    let api = Api::start().await;
    for path in ["/healthz", "/readyz", "/api/v1/openapi.json", "/docs/"] {
        let reply = api.send("GET", path, &[], "").await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        assert!(!reply.text.contains(KEY));
    }
}
