//! What is wrong in a request is told with its field, for those who have a form or a configuration in front of them. That the
//! field exists in the document is checked for every reply of every test.

use serde_json::{Value, json};

use crate::support::Api;

#[tokio::test]
async fn a_refusal_names_its_field() {
    let api = Api::start().await;
    let profile = |member: Value| json!({"name": "p", "members": [member]});
    for (path, body, code, field) in [
        ("pools", json!({"name": "p"}), "invalid_request", "family"),
        (
            "pools",
            json!({"name": "a/b", "family": "ipv4"}),
            "invalid_request",
            "name",
        ),
        (
            "pools",
            json!({"name": "p", "ranges": ["172.16.0.0/12", "172.16.0.1/16"]}),
            "invalid_request",
            "ranges",
        ),
        (
            "pools",
            json!({"name": "p", "ranges": ["172.16.0.0/12", "172.16.0.0/16"]}),
            "invalid_request",
            "ranges",
        ),
        (
            "pools",
            json!({"name": "p", "family": "ipv4", "min_prefix_length": 24, "max_prefix_length": 20}),
            "invalid_request",
            "min_prefix_length",
        ),
        (
            "pools",
            json!({"name": "p", "family": "ipv4", "max_prefix_length": 33}),
            "invalid_request",
            "max_prefix_length",
        ),
        (
            "pools",
            json!({"name": "p", "family": "ipv4", "default_prefix_length": 20, "min_prefix_length": 24}),
            "invalid_request",
            "default_prefix_length",
        ),
        (
            "pools",
            json!({"name": "p", "family": "ipv4", "release_cooldown_seconds": 99_999_999}),
            "invalid_request",
            "release_cooldown_seconds",
        ),
        (
            "pools",
            json!({"name": "p", "family": "ipv4", "range_prefix_lengths": [20]}),
            "invalid_request",
            "range_prefix_lengths",
        ),
        (
            "pools",
            json!({"name": "p", "family": "ipv4", "vrf": "nowhere"}),
            "not_found",
            "vrf",
        ),
        (
            "pools",
            json!({"name": "p", "parent": "nobody"}),
            "not_found",
            "parent",
        ),
        (
            "vpcs",
            json!({"name": "v", "vrf": "nowhere"}),
            "not_found",
            "vrf",
        ),
        (
            "vpcs",
            json!({"name": "v", "description": "x".repeat(1001)}),
            "invalid_request",
            "description",
        ),
        (
            "vrfs",
            json!({"name": "a\u{202e}b"}),
            "invalid_request",
            "name",
        ),
        (
            "profiles",
            profile(json!({"role": "No", "pool": "primary"})),
            "invalid_request",
            "members",
        ),
        (
            "reservations",
            json!({"cidr": "10.0.0.0/24", "reason": " "}),
            "invalid_request",
            "reason",
        ),
        (
            "reservations",
            json!({"cidr": "10.0.0.0/24", "reason": "r", "vrf": "nowhere"}),
            "not_found",
            "vrf",
        ),
        (
            "tokens",
            json!({"name": "t", "roles": []}),
            "invalid_request",
            "roles",
        ),
        (
            "tokens",
            json!({"name": "t", "roles": ["reader"], "limits": {"vrfs": ["nowhere"]}}),
            "invalid_request",
            "limits.vrfs",
        ),
        (
            "tokens",
            json!({"name": "t", "roles": ["reader"], "expires_at": "2001-01-01T00:00:00Z"}),
            "invalid_request",
            "expires_at",
        ),
        (
            "webhooks",
            json!({"name": "w", "url": "http://10.0.0.1/"}),
            "invalid_request",
            "url",
        ),
        (
            "allocations",
            json!({"vpc": "v", "hosts": 99_999}),
            "invalid_request",
            "hosts",
        ),
        (
            "allocations",
            json!({"vpc": "v", "prefix_length": 2}),
            "invalid_request",
            "prefix_length",
        ),
        (
            "allocations",
            json!({"vpc": "v", "cidr": "192.168.0.0/24"}),
            "invalid_request",
            "cidr",
        ),
        (
            "allocations",
            json!({"vpc": "v", "hosts": 9, "pools": ["nowhere"]}),
            "not_found",
            "pools",
        ),
        (
            "allocations",
            json!({"vpc": "v", "hosts": 9, "profile": "nowhere"}),
            "not_found",
            "profile",
        ),
        (
            "allocations",
            json!({"vpc": "v", "hosts": 9, "vrf": "nowhere"}),
            "not_found",
            "vrf",
        ),
        (
            "allocations",
            json!({"vpc": "v", "hosts": 9, "pool_selector": {"a": "b"}}),
            "not_found",
            "pool_selector",
        ),
        (
            "allocations",
            json!({"vpc": "v", "hosts": 9, "labels": {"a": 3}}),
            "invalid_request",
            "labels.a",
        ),
        (
            "allocations",
            json!({"vpc": "v", "hosts": "many"}),
            "invalid_request",
            "hosts",
        ),
    ] {
        let reply = api.post(&format!("/api/v1/{path}"), &body).await;
        let status = if code == "not_found" { 404 } else { 400 };
        let (_, details) = reply.problem(status, code);
        assert_eq!(details["field"], field, "{body}: {}", reply.text);
    }
    // What several fields are about belongs to none of them.
    let both = json!({"vpc": "v", "hosts": 9, "prefix_length": 24});
    let reply = api.post("/api/v1/allocations", &both).await;
    assert_eq!(reply.problem(400, "invalid_request").1, &Value::Null);
    // And a thing that is not there was named in the path.
    let reply = api.get("/api/v1/pools/nowhere").await;
    assert_eq!(reply.problem(404, "not_found").1, &Value::Null);
    let made = api
        .post(
            "/api/v1/allocations",
            &json!({"vpc": "v", "name": "n", "hosts": 9}),
        )
        .await
        .ok(201);
    for (patch, field) in [
        (json!({"hosts": 99_999}), "hosts"),
        (json!({"prefix_length": 2}), "prefix_length"),
        (json!({"name": "a\u{202e}b"}), "name"),
    ] {
        let path = format!("/api/v1/allocations/{}", made["id"].as_str().unwrap());
        let reply = api.patch(&path, &patch).await;
        let (_, details) = reply.problem(400, "invalid_request");
        assert_eq!(details["field"], field, "{patch}: {}", reply.text);
    }
}
