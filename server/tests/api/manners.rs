//! Conditional requests, links between pages, and limits on requests, for every noun and every list of the document.

use std::collections::HashSet;

use ipam_server::{http::openapi, manners::Manners};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    ALLOCATIONS, Api, KEY, POOLS, PROFILES, RESERVATIONS, Reply, TOKENS, VPCS, VRFS, WEBHOOKS, path,
};

impl Api {
    /// A request with the key and more headers, without a body.
    async fn bare(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let mut all = vec![("x-api-key", KEY)];
        all.extend_from_slice(headers);
        self.send(method, path, &all, "").await
    }
}

/// Where something of each noun is, and a change of it.
async fn nouns(api: &Api) -> Vec<(String, Value)> {
    let operations = api.operations(&openapi::document()).await;
    let changes = (operations.into_iter()).filter(|operation| operation.method == "PATCH");
    let nouns: Vec<_> = changes.map(|change| (change.path, change.body)).collect();
    assert_eq!(nouns.len(), 8, "a noun that these tests don't know");
    nouns
}

#[tokio::test]
async fn what_the_caller_has_already_is_not_sent_again() {
    let api = Api::start().await;
    api.post(VRFS, &json!({"name": "elsewhere"})).await.ok(201);
    let limits = json!({"vrfs": ["elsewhere"]});
    let limited = json!({"name": "limited", "roles": ["reader"], "limits": limits});
    let limited = api.token(limited).await;
    for (path, change) in nouns(&api).await {
        let first = api.get(&path).await;
        assert_eq!(first.status, 200, "{path}");
        let etag = first.header("etag");
        for had in [
            etag.to_owned(),
            format!("W/{etag}"),
            format!("\"1\", W/\"a,b\" ,{etag}"),
            format!("{}{etag}", "\"x\",".repeat(16 << 10)),
            "*".to_owned(),
        ] {
            for method in ["GET", "HEAD"] {
                let again = api.bare(method, &path, &[("if-none-match", &had)]).await;
                assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}");
                assert_eq!(again.header("etag"), etag);
                assert_eq!(again.header("cache-control"), first.header("cache-control"));
                assert_eq!(again.header("x-request-id").len(), 32);
                for absent in ["content-type", "content-length", "content-encoding"] {
                    assert_eq!(again.header(absent), "", "{path}");
                }
            }
        }
        for other in [
            "",
            "\"1\"",
            "\"0-0000000000000000\"",
            "'",
            "\"",
            "\"unclosed, \"",
            "** ",
        ] {
            let again = api.bare("GET", &path, &[("if-none-match", other)]).await;
            assert_eq!(
                (again.status, &again.json),
                (200, &first.json),
                "{path}: {other}"
            );
        }
        // Several headers are one list.
        let twice = [("if-none-match", "\"1\""), ("if-none-match", etag)];
        assert_eq!(api.bare("GET", &path, &twice).await.status, 304);

        // Whoever may not see it learns nothing.
        for (had, key) in [
            ("*", limited.as_str()),
            (etag, &limited),
            (etag, "wrong"),
            (etag, ""),
        ] {
            let headers = [("x-api-key", key), ("if-none-match", had)];
            let refused = api.send("GET", &path, &headers, "").await;
            let status = match key {
                "wrong" | "" => 401,
                // A token that may not read tokens and webhooks, and profiles, which everybody sees.
                _ if path.starts_with(TOKENS) || path.starts_with(WEBHOOKS) => 403,
                _ if path.starts_with(PROFILES) => 304,
                _ => 404,
            };
            assert_eq!(
                (refused.status, refused.header("etag").is_empty()),
                (status, status != 304),
                "{path}"
            );
        }

        // A change has another ETag, with either form of the one before in If-Match.
        let changed = api
            .with("PATCH", &path, &[("if-match", etag)], &change)
            .await;
        assert_eq!(changed.status, 200, "{path}: {}", changed.text);
        let after = api.bare("GET", &path, &[("if-none-match", etag)]).await;
        assert_eq!(after.status, 200, "{path}");
        assert_ne!(after.header("etag"), etag);
        let stale = api
            .with("PATCH", &path, &[("if-match", etag)], &change)
            .await;
        stale.problem(412, "stale");
        let odd = api
            .with("PATCH", &path, &[("if-match", "\"-1\"")], &change)
            .await;
        odd.problem(400, "invalid_request");
        // A condition of a read does not concern changes.
        let headers = [("if-none-match", "*")];
        assert_eq!(
            api.with("PATCH", &path, &headers, &change).await.status,
            200
        );
    }
    for missing in [
        VRFS,
        POOLS,
        PROFILES,
        VPCS,
        RESERVATIONS,
        ALLOCATIONS,
        TOKENS,
    ] {
        let path = format!("{missing}/{}", Uuid::new_v4());
        let reply = api.bare("GET", &path, &[("if-none-match", "*")]).await;
        reply.problem(404, "not_found");
    }
}

#[tokio::test]
async fn what_changes_without_a_revision_is_sent_again() {
    let api = Api::start().await;
    let pool = format!("{POOLS}/primary");
    let empty = api.get(&pool).await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "hosts": 5}))
        .await;
    let full = api
        .bare("GET", &pool, &[("if-none-match", empty.header("etag"))])
        .await;
    assert_eq!(full.status, 200);
    assert_ne!(full.json["used_addresses"], empty.json["used_addresses"]);
    assert_eq!(full.json["revision"], empty.json["revision"]);
    // Nobody has changed the pool, so a change on what was read before goes through.
    let headers = [("if-match", empty.header("etag"))];
    let changed = api
        .with("PATCH", &pool, &headers, &json!({"description": "d"}))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);

    // A read that shows a claim confirms it, whatever the caller has already.
    let allocation = path(&made);
    let before = api.get(&allocation).await;
    let headers = [
        ("if-none-match", before.header("etag")),
        ("ipam-claim", made["claim"].as_str().unwrap()),
    ];
    let confirmed = api.bare("GET", &allocation, &headers).await;
    assert_eq!(confirmed.status, 200, "it is another body: confirmed");
    assert_eq!(
        (&before.json["confirmed"], &confirmed.json["confirmed"]),
        (&json!(false), &json!(true))
    );
    let headers = [("if-none-match", confirmed.header("etag"))];
    assert_eq!(api.bare("GET", &allocation, &headers).await.status, 304);

    // The names of other things are in it.
    let vpc = format!("{VPCS}/a");
    api.patch(&vpc, &json!({"name": "b"})).await.ok(200);
    let renamed = api.bare("GET", &allocation, &headers).await;
    assert_eq!((renamed.status, &renamed.json["vpc"]), (200, &json!("b")));
    // What was released is gone, for those who had it too.
    api.delete(&allocation).await.ok(204);
    api.bare("GET", &allocation, &[("if-none-match", "*")])
        .await
        .problem(410, "gone");
}

/// The target of the link to the next page.
fn next(reply: &Reply) -> Option<String> {
    let link = reply.headers.get("link")?.to_str().expect("ASCII");
    let target = link
        .strip_prefix('<')
        .and_then(|link| link.strip_suffix(">; rel=\"next\""));
    Some(target.expect(link).to_owned())
}

/// All items of a list, by its links.
async fn follow(api: &Api, list: &str) -> Vec<Value> {
    let (mut items, mut query, mut seen) = (Vec::new(), list.to_owned(), HashSet::new());
    loop {
        let page = api.get(&query).await;
        assert_eq!(page.status, 200, "{query}: {}", page.text);
        items.extend(
            page.json["items"]
                .as_array()
                .expect("items")
                .iter()
                .cloned(),
        );
        let head = api.bare("HEAD", &query, &[]).await;
        assert_eq!(head.header("link"), page.header("link"), "{query}");
        let Some(target) = next(&page) else {
            assert!(page.json["next_cursor"].is_null(), "{query}");
            return items;
        };
        assert!(!page.json["next_cursor"].is_null(), "{query}");
        let path = list.split('?').next().expect("a path");
        assert!(target.starts_with('?'), "{target}");
        query = format!("{path}{target}");
        assert!(seen.insert(query.clone()), "{query} again");
    }
}

#[tokio::test]
async fn links_lead_through_every_list_with_its_filters() {
    let api = Api::start().await;
    let document = openapi::document();
    api.operations(&document).await;
    let label = json!({"a b": "x=y&z"});
    for number in 0..5 {
        let name = format!("n {number} \u{fc}+&");
        let vpc = if number == 4 {
            "elsewhere"
        } else {
            "prod & dev"
        };
        api.allocate(json!({"vpc": vpc, "name": name, "hosts": 5, "labels": label}))
            .await;
        let pool =
            json!({"name": name, "ranges": [format!("172.20.{number}.0/24")], "labels": label});
        api.post(POOLS, &pool).await.ok(201);
        api.post(VRFS, &json!({"name": name})).await.ok(201);
        api.post(VPCS, &json!({"name": name})).await.ok(201);
        api.post(
            PROFILES,
            &json!({"name": name, "members": [{"role": "a", "pool": "primary"}]}),
        )
        .await
        .ok(201);
        api.post(
            RESERVATIONS,
            &json!({"cidr": format!("172.21.{number}.0/24"), "reason": "r"}),
        )
        .await
        .ok(201);
        api.post(TOKENS, &json!({"name": name, "roles": ["reader"]}))
            .await
            .ok(201);
        api.post(
            WEBHOOKS,
            &json!({"name": name, "url": "https://siem.example/"}),
        )
        .await
        .ok(201);
    }
    let lists = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, item)| {
            let page = "/get/responses/200/headers/Link";
            item.pointer(page).is_some()
        });
    let mut lists: Vec<_> = lists.map(|(path, _)| path.clone()).collect();
    assert_eq!(lists.len(), 10, "{lists:?}");
    lists.retain(|list| !list.ends_with("/history"));
    lists.push("/api/v1/history?cidr=10.0.0.0/8".to_owned());
    for list in &lists {
        let and = if list.contains('?') { '&' } else { '?' };
        let whole = api.get(&format!("{list}{and}limit=1000")).await.ok(200);
        let whole = whole["items"].as_array().unwrap();
        assert!(whole.len() > 4, "{list}");
        for limit in [1, 2, 3, whole.len()] {
            let followed = follow(&api, &format!("{list}{and}limit={limit}")).await;
            assert_eq!(&followed, whole, "{list}");
        }
    }
    for (list, many) in [
        (
            format!("{ALLOCATIONS}?vpc=prod+%26%20dev&label=a+b%3Dx=y%26z"),
            4,
        ),
        (
            format!(
                "{ALLOCATIONS}?cursor={}&within=10.0.0.0%2F8&vpc=elsewhere",
                Uuid::nil()
            ),
            1,
        ),
        (format!("{POOLS}?label=a%20b=x%3Dy%26z"), 5),
        (format!("{VPCS}?owner="), 8),
    ] {
        let followed = follow(&api, &format!("{list}&limit=1")).await;
        assert_eq!(followed.len(), many, "{list}");
    }
    // Nothing that has no next page has a link, nor has a refusal.
    for none in [
        format!("{VPCS}?limit=1000"),
        format!("{VPCS}?limit=0"),
        format!("{VPCS}/spare"),
    ] {
        assert_eq!(api.get(&none).await.header("link"), "", "{none}");
    }
}

#[tokio::test]
async fn a_change_without_if_match_is_refused_where_that_is_asked_for() {
    let api = Api::with_manners(Manners::default().requiring_if_match(true)).await;
    let document = openapi::document();
    let operations = api.operations(&document).await;
    let (changes, others): (Vec<_>, Vec<_>) = (operations.into_iter())
        .partition(|operation| ["PATCH", "PUT", "DELETE"].contains(&operation.method.as_str()));
    assert_eq!(changes.len(), 16, "eight nouns");
    let before = api.state().await;
    for change in &changes {
        assert!(
            change.described["responses"]["428"].is_object(),
            "{}",
            change.id
        );
        let refused = api
            .with(&change.method, &change.path, &[], &change.body)
            .await;
        let (detail, _) = refused.problem(428, "precondition_required");
        assert!(detail.contains("ETag"), "{detail}");
        // Who may not do it at all is told that.
        let headers = [("x-api-key", "wrong"), ("content-type", "application/json")];
        let refused = api
            .send(
                &change.method,
                &change.path,
                &headers,
                change.body.to_string(),
            )
            .await;
        refused.problem(401, "unauthorized");
    }
    assert_eq!(api.state().await, before);
    for change in changes.iter().filter(|change| change.method == "PATCH") {
        let api = &api;
        let send = |tag: String| async move {
            api.with("PATCH", &change.path, &[("if-match", &tag)], &change.body)
                .await
        };
        let etag = api.get(&change.path).await.header("etag").to_owned();
        send("\"99\"".to_owned()).await.problem(412, "stale");
        send(etag).await.ok(200);
        send("*".to_owned()).await.ok(200);
        let revision = api.get(&change.path).await.ok(200)["revision"].to_string();
        send(format!("\"{revision}\"")).await.ok(200);
    }
    for change in changes.iter().filter(|change| change.method == "DELETE") {
        let etag = api.get(&change.path).await.header("etag").to_owned();
        let deleted = api
            .with("DELETE", &change.path, &[("if-match", &etag)], &Value::Null)
            .await;
        assert!(
            [200, 204].contains(&deleted.status),
            "{}: {}",
            change.path,
            deleted.text
        );
    }
    for other in others {
        assert!(
            other.described["responses"]["428"].is_null(),
            "{}",
            other.id
        );
        let reply = api.with(&other.method, &other.path, &[], &other.body).await;
        assert_ne!(reply.status, 428, "{}", other.id);
    }
    // What is not there is not there, and the original API is as it was.
    api.with("DELETE", VRFS, &[], &Value::Null)
        .await
        .problem(405, "method_not_allowed");
    api.with("DELETE", "/api/v1/nothing", &[], &Value::Null)
        .await
        .problem(404, "not_found");
    let made = api
        .post("/allocate", &json!({"vpc": "old", "hosts": 5}))
        .await
        .ok(200);
    let old = format!("/allocations/{}", made["allocation_id"]);
    api.with("PUT", &old, &[], &json!({"new_vpc_name": "older"}))
        .await
        .ok(200);
    api.delete(&old).await.ok(200);
    api.delete("/vpcs/older").await.ok(200);
}

#[tokio::test]
async fn each_token_has_a_limit_of_its_own() {
    let api = Api::with_manners(Manners::default().with_limits(12, 0)).await;
    let token = |name: &str| json!({"name": name, "roles": ["reader", "metrics"]});
    let (one, other) = (
        api.token(token("one")).await,
        api.token(token("other")).await,
    );
    let get = |key: String, path: &'static str| {
        let api = &api;
        async move { api.send("GET", path, &[("x-api-key", &key)], "").await }
    };
    for left in (0..12).rev() {
        let path = [
            "/api/v1/vrfs",
            "/allocations",
            "/api/v1/nothing",
            "/metrics",
        ][left % 4];
        let reply = get(one.clone(), path).await;
        assert!([200, 404].contains(&reply.status), "{path}: {}", reply.text);
        assert_eq!(reply.header("ratelimit-policy"), "\"token\";q=12;w=60");
        let full = 5 * (12 - left);
        let said = reply.header("ratelimit").to_owned();
        // A moment has passed since the first one.
        let late = format!("\"token\";r={left};t={}", full - 1);
        assert!(
            [format!("\"token\";r={left};t={full}"), late].contains(&said),
            "{said}"
        );
    }
    for path in ["/api/v1/vrfs", "/api/v1/nothing", "/metrics", "/docs/"] {
        let refused = get(one.clone(), path).await;
        let (detail, _) = refused.problem(429, "rate_limited");
        assert!(detail.contains("12 a minute"), "{detail}");
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((1..=5).contains(&wait), "{wait}");
        assert!(detail.contains(&format!("in {wait} s")), "{detail}");
        assert!(refused.header("ratelimit").starts_with("\"token\";r=0;t="));
    }
    for path in ["/allocations", "/calculate?hosts=5", "/nothing"] {
        let refused = get(one.clone(), path).await;
        assert_eq!(
            (refused.status, &refused.json["code"]),
            (429, &json!("TOO_MANY_REQUESTS")),
            "{path}"
        );
        assert!(!refused.header("retry-after").is_empty());
    }
    for free in ["/healthz", "/readyz"] {
        let reply = get(one.clone(), free).await;
        assert_eq!((reply.status, reply.header("ratelimit")), (200, ""));
    }
    // Neither other tokens nor the administrator pay for it, nor do those without a key.
    assert_eq!(get(other.clone(), "/api/v1/vrfs").await.status, 200);
    let stranger = api.send("GET", "/api/v1/vrfs", &[], "").await;
    stranger.problem(401, "unauthorized");
    assert_eq!(stranger.header("ratelimit"), "");
    let metrics = api.get("/metrics").await;
    assert!(
        metrics.header("ratelimit").starts_with("\"token\";r=9;"),
        "two tokens were made"
    );
    assert!(
        metrics
            .text
            .contains("ipam_http_requests_limited_total{kind=\"token\"} 7"),
        "{}",
        metrics.text
    );
    assert!(
        metrics
            .text
            .contains("ipam_http_requests_limited_total{kind=\"address\"} 0")
    );
    // A refused change changes nothing, and is counted as one.
    let before = api.state().await;
    let body = json!({"name": "v"});
    api.as_who(&one, "POST", VPCS, &body)
        .await
        .problem(429, "rate_limited");
    let metrics = get(other, "/metrics").await;
    assert!(
        metrics
            .text
            .contains("ipam_refusals_total{code=\"rate_limited\"} 1"),
        "{}",
        metrics.text
    );
    assert_eq!(api.state().await, before);
}

#[tokio::test]
async fn without_settings_nothing_is_asked_of_anybody() {
    let api = Api::start().await;
    let origin = ("origin", "https://portal.example");
    for _ in 0..50 {
        let reply = api.bare("GET", VRFS, &[origin]).await;
        let unexpected = reply.headers.keys().find(|name| {
            name.as_str().starts_with("ratelimit") || name.as_str().starts_with("access-control")
        });
        assert_eq!((reply.status, unexpected), (200, None));
        assert!(!reply.header("vary").contains("origin"));
    }
    let preflight = [origin, ("access-control-request-method", "GET")];
    api.bare("OPTIONS", VRFS, &preflight)
        .await
        .problem(405, "method_not_allowed");
    api.send("OPTIONS", VRFS, &preflight, "")
        .await
        .problem(405, "method_not_allowed");
}
