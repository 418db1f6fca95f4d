//! Requests that are not as they should be, and what every reply has.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, KEY, POOLS, VPCS, path};

const JSON: (&str, &str) = ("content-type", "application/json");
const WITH_KEY: (&str, &str) = ("x-api-key", KEY);

#[tokio::test]
async fn a_body_that_is_not_understood_is_refused_with_its_place() {
    let api = Api::start().await;
    let before = api.state().await;
    for (body, word) in [
        (r#"{"vpc":"a","hosts":5,"host":6}"#, "host"),
        (r#"{"vpc":"a","hosts":5,"id":"x"}"#, "id"),
        (r#"{"vpc":"a","hosts":5,"created_by":"root"}"#, "created_by"),
        (r#"{"hosts":5}"#, "vpc"),
        (r#"{"vpc":"a","hosts":"5"}"#, "hosts"),
        (r#"{"vpc":"a","hosts":-5}"#, "hosts"),
        (r#"{"vpc":"a","hosts":5.5}"#, "hosts"),
        (r#"{"vpc":1,"hosts":5}"#, "vpc"),
        (r#"{"vpc":"a","hosts":5,"labels":{"a":1}}"#, "labels"),
        (r#"{"vpc":"a","hosts":5,"labels":{"":"x"}}"#, "label"),
        (r#"{"vpc":"a","hosts":5,"hosts":6}"#, "hosts"),
        (r#"{"vpc":"a","hosts":5"#, "line 1"),
        (r#"{"vpc":"a","hosts":5}}"#, "line 1"),
        ("", "line 1"),
        ("[]", "line 1"),
        ("null", "line 1"),
        ("\u{0}", "line 1"),
    ] {
        let reply = api.send("POST", ALLOCATIONS, &[WITH_KEY, JSON], body).await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains(word), "{body}: {detail}");
    }
    let long = "x".repeat(1001);
    for description in [long.as_str(), "a\u{0}b"] {
        api.post(
            ALLOCATIONS,
            &json!({"vpc": "a", "hosts": 5, "description": description}),
        )
        .await
        .problem(400, "invalid_request");
    }
    let reply = api
        .send(
            "POST",
            ALLOCATIONS,
            &[WITH_KEY, JSON],
            b"{\"vpc\":\"\xff\",\"hosts\":5}".to_vec(),
        )
        .await;
    reply.problem(400, "invalid_request");
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonp"),
    ] {
        let headers: Vec<_> = [WITH_KEY]
            .into_iter()
            .chain(kind.map(|kind| ("content-type", kind)))
            .collect();
        let reply = api
            .send("POST", ALLOCATIONS, &headers, r#"{"vpc":"a","hosts":5}"#)
            .await;
        reply.problem(415, "unsupported_media_type");
    }
    assert_eq!(api.state().await, before);
    let reply = api
        .send(
            "POST",
            ALLOCATIONS,
            &[
                WITH_KEY,
                ("content-type", "application/json; charset=utf-8"),
            ],
            r#"{"vpc":"a","hosts":5}"#,
        )
        .await;
    assert_eq!(reply.status, 201, "{}", reply.text);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let api = Api::start().await;
    let before = api.state().await;
    let body = format!(
        "{{\"vpc\":\"a\",\"hosts\":5,\"description\":\"{}\"}}",
        "x".repeat(1 << 20)
    );
    let length = body.len().to_string();
    // With its length said before, and without.
    let reply = api
        .send(
            "POST",
            ALLOCATIONS,
            &[WITH_KEY, JSON, ("content-length", &length)],
            body.clone(),
        )
        .await;
    reply.problem(413, "body_too_large");
    let pieces: Vec<Result<_, std::io::Error>> = body
        .as_bytes()
        .chunks(64 << 10)
        .map(|piece| Ok(piece.to_vec()))
        .collect();
    let stream = axum::body::Body::from_stream(futures::stream::iter(pieces));
    let reply = api
        .send("POST", ALLOCATIONS, &[WITH_KEY, JSON], stream)
        .await;
    reply.problem(413, "body_too_large");
    assert_eq!(api.state().await, before);
}

#[tokio::test]
async fn paths_ids_and_methods_that_do_not_exist_are_refused() {
    let api = Api::start().await;
    let made = api.allocate(json!({"vpc": "a", "hosts": 5})).await;
    for id in [
        "1",
        "x",
        "00000000-0000-0000-0000-00000000000",
        "%00",
        "..",
        "018f0000-0000-7000-8000-00000000000g",
        &"a".repeat(4000),
    ] {
        for method in ["GET", "DELETE"] {
            let reply = api
                .send(method, &format!("{ALLOCATIONS}/{id}"), &[WITH_KEY], "")
                .await;
            reply.problem(400, "invalid_request");
        }
    }
    for path in [
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/allocations",
        "/api/v1/allocations/",
        "/api/v1/allocations/a/b",
    ] {
        api.get(path).await.problem(404, "not_found");
    }
    for (method, path) in [
        ("PUT", path(&made)),
        ("POST", path(&made)),
        ("DELETE", ALLOCATIONS.to_owned()),
        ("PATCH", ALLOCATIONS.to_owned()),
        ("PATCH", POOLS.to_owned()),
        ("POST", format!("{POOLS}/primary")),
        ("PUT", VPCS.to_owned()),
        ("TRACE", ALLOCATIONS.to_owned()),
    ] {
        let reply = api.send(method, &path, &[WITH_KEY], "").await;
        reply.problem(405, "method_not_allowed");
        assert!(
            !reply.header("allow").is_empty(),
            "{method} {path} does not say what is allowed"
        );
    }
    let reply = api.get(&format!("{VPCS}/%FF")).await;
    reply.problem(400, "invalid_request");
    // The database can't take a NUL character in a text.
    for path in [
        format!("{VPCS}/a%00b"),
        format!("{POOLS}/a%00b"),
        format!("{VPCS}?name=%00"),
        format!("{ALLOCATIONS}?vpc=%00"),
        format!("{ALLOCATIONS}?name=%00"),
        format!("{ALLOCATIONS}?label=a=%00"),
        format!("{ALLOCATIONS}?pool=%00"),
    ] {
        api.get(&path).await.problem(400, "invalid_request");
    }
}

#[tokio::test]
async fn every_reply_has_a_request_id_of_its_own() {
    let api = Api::start().await;
    let own = [
        WITH_KEY,
        ("x-request-id", "11111111111111111111111111111111"),
    ];
    let paths = [
        ALLOCATIONS,
        VPCS,
        POOLS,
        "/api/v1/none",
        "/healthz",
        "/readyz",
        "/docs/",
        "/api/v1/openapi.json",
        "/none",
    ];
    let replies = futures::future::join_all(
        (0..180).map(|number| api.send("GET", paths[number % paths.len()], &own, "")),
    )
    .await;
    let ids: HashSet<_> = replies
        .iter()
        .map(|reply| reply.header("x-request-id").to_owned())
        .collect();
    assert_eq!(ids.len(), replies.len());
    assert!(
        ids.iter()
            .all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())),
        "{ids:?}"
    );
    assert!(
        !ids.contains("11111111111111111111111111111111"),
        "the client does not choose it"
    );
}

#[tokio::test]
async fn the_id_of_the_request_is_in_the_audit_log() {
    let api = Api::start().await;
    let reply = api
        .post(ALLOCATIONS, &json!({"vpc": "a", "hosts": 5}))
        .await;
    let id = reply.header("x-request-id").to_owned();
    assert_eq!(
        api.count(&format!(
            "select count(*) from event where request_id = '{id}'"
        ))
        .await,
        2
    );
    let reply = api.delete(&path(&reply.json)).await;
    let id = reply.header("x-request-id").to_owned();
    assert_eq!(
        api.count(&format!(
            "select count(*) from event where request_id = '{id}' and action = 'allocation.release'"
        ))
        .await,
        1
    );
}

#[tokio::test]
async fn a_failure_of_the_server_shows_nothing_of_its_inside() {
    let api = Api::start().await;
    let made = api
        .allocate(json!({"vpc": "a", "name": "n", "hosts": 5}))
        .await;
    api.sql("alter table allocation rename column description to described_in_secret")
        .await;
    for reply in [
        api.get(&path(&made)).await,
        api.post(ALLOCATIONS, &json!({"vpc": "a", "hosts": 5}))
            .await,
        api.patch(&path(&made), &json!({"description": "x"})).await,
        api.delete(&path(&made)).await,
    ] {
        let (_, details) = reply.problem(500, "internal");
        assert_eq!(details, &Value::Null);
        let text = reply.text.to_lowercase();
        for word in [
            "description",
            "secret",
            "column",
            "sql",
            "postgres",
            "select",
            "42703",
            "panic",
            ".rs",
            "error returned",
        ] {
            assert!(!text.contains(word), "{word} in {text}");
        }
    }
    api.sql("alter table allocation rename column described_in_secret to description")
        .await;
    // It goes on as if nothing had happened, and nothing was half done.
    api.delete(&path(&made)).await.ok(204);
    api.verify().await;
}

#[tokio::test]
async fn every_noun_refuses_what_only_looks_like_a_patch() {
    let api = Api::start().await;
    let before = api.state().await;
    let id = "019ac0de-5d3a-7c55-9a4e-2f1d6a0b7c11";
    for noun in [
        "allocations",
        "vpcs",
        "vrfs",
        "pools",
        "profiles",
        "reservations",
    ] {
        let list = format!("/api/v1/{noun}");
        let one = format!("{list}/{id}");
        for (method, path) in [("POST", &list), ("PATCH", &one)] {
            for kind in [
                "application/json-patch+json",
                "application/merge-patch+json",
            ] {
                let headers = [WITH_KEY, ("content-type", kind)];
                let reply = api.send(method, path, &headers, "{}").await;
                reply.problem(415, "unsupported_media_type");
            }
            let headers = [WITH_KEY, JSON, ("content-encoding", "gzip")];
            let reply = api.send(method, path, &headers, "\u{1f}").await;
            reply.problem(415, "unsupported_media_type");
        }
        let field = if noun == "reservations" {
            "reason"
        } else {
            "description"
        };
        let name = match noun {
            "allocations" | "reservations" => one,
            "pools" => format!("{list}/primary"),
            "profiles" => format!("{list}/node-pod"),
            "vrfs" => format!("{list}/default"),
            _ => one,
        };
        let reply = api.patch(&name, &json!({ field: null })).await;
        let (detail, _) = reply.problem(400, "invalid_request");
        assert!(detail.contains("null"), "{name}: {detail}");
    }
    let headers = [
        WITH_KEY,
        ("content-type", "text/csv"),
        ("content-encoding", "gzip"),
    ];
    let reply = api.send("POST", "/api/v1/import", &headers, "x").await;
    reply.problem(415, "unsupported_media_type");
    assert_eq!(api.state().await, before);
}

/// What browsers and caches between are told about replies, whatever they hold.
#[tokio::test]
async fn no_reply_is_guessed_at_or_kept() {
    let api = Api::start().await;
    for (path, is_api) in [
        (ALLOCATIONS, true),
        (VPCS, true),
        (POOLS, true),
        ("/api/v1/none", true),
        ("/api/v1/export", true),
        ("/api/v1/openapi.json", true),
        ("/healthz", false),
        ("/readyz", false),
        ("/metrics", false),
        ("/docs/", false),
        ("/docs/swagger-ui.css", false),
        ("/", false),
        ("/ui/sign-in", false),
        ("/allocations", false),
        ("/none", false),
    ] {
        let key: &[_] = if path == "/api/v1/none" {
            &[]
        } else {
            &[WITH_KEY]
        };
        let reply = api.send("GET", path, key, "").await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        if is_api {
            assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        }
        if path.starts_with("/docs") {
            let policy = reply.header("content-security-policy");
            assert!(policy.contains("default-src 'self'"), "{path}: {policy}");
        }
    }
}

/// Large replies are, for who asks; what has to be read line by line is not.
#[tokio::test]
async fn replies_are_compressed_where_it_pays() {
    let api = Api::start().await;
    for number in 0..40 {
        let vpc = json!({"name": format!("vpc-{number}"), "description": "one of many"});
        api.post(VPCS, &vpc).await.ok(201);
    }
    // What is compressed is what would be sent otherwise, to its end: pieces of a file too, and refusals that are large.
    let conflicts: String = (0..200)
        .map(|n| format!("allocation,10.0.0.{n}/33,a\n"))
        .collect();
    let file = format!("kind,cidr,vpc\n{conflicts}");
    let mut large = 0;
    for (method, path, body) in [
        ("GET", VPCS, ""),
        ("GET", "/api/v1/export?format=csv", ""),
        ("GET", "/api/v1/export?format=json", ""),
        ("GET", "/api/v1/openapi.json", ""),
        ("POST", "/api/v1/import", &file),
        ("POST", "/api/v1/import?dry_run=true", &file),
        ("GET", "/api/v1/vpcs/none", ""),
    ] {
        let mut texts = Vec::new();
        for encoding in ["identity", "gzip"] {
            let request = http::Request::builder()
                .method(method)
                .uri(path)
                .header(WITH_KEY.0, WITH_KEY.1)
                .header("content-type", "text/csv")
                .header("accept-encoding", encoding)
                .body(axum::body::Body::from(body.to_owned()))
                .unwrap();
            let reply = tower::ServiceExt::oneshot(api.router.clone(), request)
                .await
                .unwrap();
            let is_compressed = reply.headers().contains_key("content-encoding");
            let id = reply.headers()["x-request-id"].to_str().unwrap().to_owned();
            let bytes = http_body_util::BodyExt::collect(reply.into_body())
                .await
                .unwrap_or_else(|error| panic!("{method} {path} {encoding}: {error}"))
                .to_bytes();
            let mut text = String::new();
            if is_compressed {
                large += 1;
                std::io::Read::read_to_string(
                    &mut flate2::read::GzDecoder::new(&bytes[..]),
                    &mut text,
                )
                .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            } else {
                text = String::from_utf8(bytes.to_vec()).unwrap();
            }
            texts.push(text.replace(&id, ""));
        }
        assert_eq!(texts[0], texts[1], "{method} {path}");
    }
    assert_eq!(large, 6);
    let encoding = async |path: &str, headers: &[(&str, &str)]| {
        let mut request = http::Request::get(path).header(WITH_KEY.0, WITH_KEY.1);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(axum::body::Body::empty()).unwrap();
        let reply = tower::ServiceExt::oneshot(api.router.clone(), request)
            .await
            .unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        let encoding = reply.headers().get("content-encoding");
        encoding.map(|encoding| encoding.to_str().unwrap().to_owned())
    };
    let gzip = ("accept-encoding", "gzip");
    for path in [VPCS, "/api/v1/export?format=csv", "/api/v1/openapi.json"] {
        assert_eq!(
            encoding(path, &[gzip]).await.as_deref(),
            Some("gzip"),
            "{path}"
        );
        assert_eq!(encoding(path, &[]).await, None, "{path}");
    }
    assert_eq!(
        encoding("/api/v1/vpcs/vpc-1", &[gzip]).await,
        None,
        "it is small"
    );
    let lines = [
        WITH_KEY,
        gzip,
        ("accept", "application/x-ndjson"),
        ("content-type", "text/csv"),
    ];
    let reply = api
        .send(
            "POST",
            "/api/v1/import?dry_run=true",
            &lines,
            "kind,vpc\nvpc,a\n",
        )
        .await;
    assert_eq!(
        (reply.status, reply.header("content-encoding")),
        (200, ""),
        "{}",
        reply.text
    );
}

/// Each path of the document takes the methods that the document has, and says so to who uses another.
#[tokio::test]
async fn other_methods_are_refused_with_those_that_exist() {
    let api = Api::start().await;
    let document = api
        .send("GET", "/api/v1/openapi.json", &[], "")
        .await
        .ok(200);
    let operations = api.operations(&document).await;
    let mut tried = 0;
    for operation in &operations {
        let mut allowed: Vec<_> = operations
            .iter()
            .filter(|other| other.path == operation.path)
            .map(|other| other.method.as_str())
            .collect();
        // What can be read can be asked about.
        if allowed.contains(&"GET") {
            allowed.push("HEAD");
        }
        let described = &operation.described["responses"]["405"];
        let said = described["headers"]["Allow"]["schema"]["const"].as_str();
        let mut said: Vec<_> = said.unwrap_or_default().split(',').collect();
        said.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(said, allowed, "{} {}", operation.method, operation.path);
        for method in [
            "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY",
        ] {
            if allowed.contains(&method) {
                continue;
            }
            let reply = api.with(method, &operation.path, &[], &json!({})).await;
            if method != "HEAD" {
                reply.problem(405, "method_not_allowed");
            }
            let mut allow: Vec<_> = reply.header("allow").split(',').map(str::trim).collect();
            allow.sort_unstable();
            assert_eq!(
                (reply.status, allow),
                (405, allowed.clone()),
                "{method} {}",
                operation.path
            );
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}
