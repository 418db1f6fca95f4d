//! Lists: page by page, for as long as more are wanted; and configurations for what they find.

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::{Stack, TYPE};

impl Stack {
    /// Calls the API as a script would.
    async fn api(&self, method: Method, path: &str, body: Json) -> String {
        _ = rustls::crypto::ring::default_provider().install_default();
        let request = reqwest::Client::new()
            .request(method, format!("{}{path}", self.server.url()))
            .bearer_auth(ipam_testing::TestServer::API_KEY)
            .json(&body);
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{text}");
        text
    }

    /// How many lists of allocations the server has answered.
    async fn lists(&self) -> u64 {
        let metrics = self.api(Method::GET, "/metrics", Json::Null).await;
        let line = metrics.lines().filter(|line| {
            let is_list = line.contains("route=\"/api/v1/allocations\"") && line.contains("GET");
            is_list && line.starts_with("ipam_http_requests_total{")
        });
        line.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum()
    }
}

#[tokio::test]
async fn no_more_pages_are_read_than_are_wanted() {
    let stack = Stack::start().await;
    let pool = json!({"name": "wide", "ranges": ["10.64.0.0/12"]});
    stack.api(Method::POST, "/api/v1/pools", pool).await;
    for batch in 0..3 {
        let ask = |index: usize| {
            let label = if index == 0 { "first" } else { "other" };
            json!({"name": format!("n{index}"), "vpc": format!("v{batch}"), "pools": ["wide"],
                   "prefix_length": 28, "labels": {"which": label, "team": "net", "a=b": label}})
        };
        let requests: Vec<Json> = (0..900).map(ask).collect();
        let body = json!({"requests": requests});
        stack
            .api(Method::POST, "/api/v1/allocations/batch", body)
            .await;
    }
    let driver = stack.provider().await;
    let two = json!({"team": "net", "which": "first"});
    for (config, limit, found, pages) in [
        (json!({}), 2, 2, 1),
        (json!({}), 1000, 1000, 1),
        (json!({}), 1001, 1001, 2),
        (json!({}), 100_000, 2700, 3),
        (json!({"vpc": "v1"}), 100_000, 900, 1),
        // Of two labels the server compares one, and so we read on until there are enough: of `team`, which comes first.
        (json!({"labels": two}), 1, 1, 1),
        (json!({"labels": two}), 2, 2, 1),
        (json!({"labels": two}), 100, 3, 3),
        (json!({"labels": {"which": "first"}}), 100, 3, 1),
        // The server takes what comes before the first = as the key, so it can't compare this one.
        (json!({"labels": {"a=b": "first"}}), 100, 3, 3),
        (
            json!({"labels": {"a=b": "first", "which": "first"}}),
            100,
            3,
            1,
        ),
        (json!({"vrf": "nowhere"}), 100, 0, 3),
    ] {
        let before = stack.lists().await;
        let items = driver
            .list(TYPE, config.clone(), limit, false)
            .await
            .unwrap();
        assert_eq!(items.len(), found, "{config} {limit}");
        assert_eq!(stack.lists().await - before, pages, "{config} {limit}");
    }
}

/// What is found is imported with the configuration that is written for it, and plans nothing.
#[tokio::test]
async fn what_is_found_has_a_configuration_that_changes_nothing() {
    let stack = Stack::start().await;
    let allocations = "/api/v1/allocations";
    for ask in [
        json!({"vpc": "prod", "name": "a", "hosts": 500, "labels": {"a": "b"}}),
        json!({"vpc": "prod", "name": "b", "prefix_length": 24, "deletion_protection": true}),
        json!({"vpc": "prod", "name": "c", "pools": ["primary"], "cidr": "10.0.128.0/26"}),
    ] {
        stack.api(Method::POST, allocations, ask).await;
    }
    // One that nobody has named has an identity too, and needs a name before it can be configured.
    let unnamed = json!({"vpc": "prod", "hosts": 100});
    stack.api(Method::POST, allocations, unnamed).await;
    let driver = stack.provider().await;
    let wanted = [
        json!({"vpc": "prod", "name": "a", "hosts": 500, "labels": {"a": "b"}}),
        json!({"vpc": "prod", "name": "b", "prefix_length": 24, "deletion_protection": true}),
        json!({"vpc": "prod", "name": "c", "prefix_length": 26, "pools": ["primary"]}),
        json!({"vpc": "prod", "hosts": 100}),
    ];
    let items = driver.list(TYPE, json!({}), 100, true).await.unwrap();
    assert_eq!(items.len(), wanted.len());
    for (item, wanted) in items.iter().zip(wanted) {
        let imported = driver.import_identity(TYPE, item.identity.clone()).await;
        let imported = imported.unwrap();
        assert_eq!(Some(&imported.values), item.values.as_ref());
        assert_eq!(imported.identity.as_ref(), Some(&item.identity));
        let config = driver.generate(&imported).await.unwrap();
        assert_eq!(config, wanted);
        if config["name"].is_null() {
            assert_eq!(item.display_name, item.identity["id"]);
            continue;
        }
        let plan = driver.plan(TYPE, Some(&imported), config).await.unwrap();
        assert_eq!(plan.values, imported.values);
    }
}
