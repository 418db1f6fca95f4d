//! The original API, to the letter: what scripts and clients written for the original system send, and what they must
//! get back. The expected replies were recorded from the original itself.

mod original;

use original::{Original, error, fault};
use serde_json::{Value, json};

#[tokio::test]
async fn an_allocation_answers_every_field_in_the_recorded_order() {
    let api = Original::start().await;
    let body =
        r#"{"vpc":"production","hosts":500,"labels":{"region":"us-east","environment":"prod"}}"#;
    let reply = api.post("/allocate", body).await;
    let id = reply.header("x-request-id");
    assert_eq!(
        reply.text,
        format!(
            r#"{{"ok":true,"allocation_id":1,"vpc":"production","primary_cidr":"10.0.0.0/23","cgnat_cidr":"100.64.0.0/18","primary_subnet_size":"/23","cgnat_subnet_size":"/18","usable_primary":507,"usable_cgnat":16379,"requested_hosts":500,"requested_prefix":null,"labels":{{"environment":"prod","region":"us-east"}},"request_id":"{id}"}}"#
        )
    );
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/json");
    assert!(
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{id}"
    );

    let reply = api
        .post("/allocate", r#"{"vpc":"development","prefix_length":24}"#)
        .await;
    assert_eq!(reply.status, 200);
    for (key, value) in [
        ("primary_cidr", json!("10.0.2.0/24")),
        ("cgnat_cidr", json!("100.64.64.0/19")),
        ("requested_hosts", Value::Null),
        ("requested_prefix", json!(24)),
        ("labels", json!({})),
    ] {
        assert_eq!(reply.json[key], value, "{key}");
    }
    assert_ne!(reply.json["allocation_id"], 1);
}

#[tokio::test]
async fn every_size_of_the_table_is_allocated() {
    let api = Original::start().await;
    let table = [
        (1, 59, 26),
        (60, 123, 25),
        (124, 251, 24),
        (252, 507, 23),
        (508, 1019, 22),
        (1020, 2043, 21),
        (2044, 4000, 20),
    ];
    for (low, high, length) in table {
        for hosts in [low, high] {
            let dry = api
                .post(
                    "/allocate?dry_run=true",
                    &format!(r#"{{"vpc":"a","hosts":{hosts}}}"#),
                )
                .await;
            assert_eq!(
                dry.json["primary_subnet_size"],
                format!("/{length}"),
                "{hosts} hosts"
            );
            assert_eq!(
                dry.json["cgnat_subnet_size"],
                format!("/{}", length - 5),
                "{hosts} hosts"
            );
            assert_eq!(dry.json["usable_primary"], 2_u64.pow(32 - length) - 5);
            assert_eq!(dry.json["usable_cgnat"], 2_u64.pow(37 - length) - 5);
        }
        let real = api
            .post(
                "/allocate",
                &format!(r#"{{"vpc":"a","prefix_length":{length}}}"#),
            )
            .await;
        let primary = real.json["primary_cidr"].as_str().unwrap();
        let cgnat = real.json["cgnat_cidr"].as_str().unwrap();
        assert!(
            primary.starts_with("10.0.") && primary.ends_with(&format!("/{length}")),
            "{primary}"
        );
        assert!(
            cgnat.starts_with("100.") && cgnat.ends_with(&format!("/{}", length - 5)),
            "{cgnat}"
        );
    }
}

#[tokio::test]
async fn a_dry_run_has_no_ids_and_writes_nothing() {
    let api = Original::start().await;
    let body = r#"{"vpc":"drytest","hosts":100,"labels":{"region":"eu"}}"#;
    for yes in ["true", "1", "yes", "on", "True", "TRUE", "t", "y"] {
        let reply = api.post(&format!("/allocate?dry_run={yes}"), body).await;
        assert_eq!(
            reply.text,
            r#"{"ok":true,"dry_run":true,"vpc":"drytest","primary_cidr":"10.0.0.0/25","cgnat_cidr":"100.64.0.0/20","primary_subnet_size":"/25","cgnat_subnet_size":"/20","usable_primary":123,"usable_cgnat":4091,"requested_hosts":100,"requested_prefix":null,"labels":{"region":"eu"}}"#
        );
    }
    assert_eq!(api.get("/allocations").await.json["total_count"], 0);
    assert_eq!(
        api.delete("/vpcs/drytest").await.json,
        json!({"ok": true, "deleted": false})
    );
    for no in ["false", "0", "no", "off", "F", "n"] {
        let reply = api.post(&format!("/allocate?dry_run={no}"), body).await;
        assert!(reply.json["allocation_id"].is_i64(), "{no}: {}", reply.text);
    }
    for neither in ["", "maybe", "2"] {
        let reply = api
            .post(&format!("/allocate?dry_run={neither}"), body)
            .await;
        let msg = "Input should be a valid boolean, unable to interpret input";
        let expected = fault(
            "bool_parsing",
            json!(["query", "dry_run"]),
            msg,
            json!(neither),
            None,
        );
        assert_eq!(
            (reply.status, reply.json),
            (422, json!({ "detail": [expected] }))
        );
    }
}

#[tokio::test]
async fn bodies_are_read_as_generously_as_before() {
    let api = Original::start().await;
    for hosts in [
        "50", "50.0", "5e1", "\"50\"", "\" 50 \"", "\"+50\"", "\"50.0\"", "\"5_0\"",
    ] {
        let reply = api
            .post("/allocate", &format!(r#"{{"vpc":"a","hosts":{hosts}}}"#))
            .await;
        assert_eq!(
            (reply.status, &reply.json["requested_hosts"]),
            (200, &json!(50)),
            "{hosts}"
        );
    }
    let reply = api.post("/allocate", r#"{"vpc":"a","hosts":true}"#).await;
    assert_eq!(reply.json["requested_hosts"], 1);
    let reply = api
        .post(
            "/allocate",
            r#"{"vpc":"a","hosts":null,"prefix_length":"26"}"#,
        )
        .await;
    assert_eq!(reply.json["requested_prefix"], 26);
    let reply = api
        .post(
            "/allocate",
            r#"{"vpc":"a","hosts":5,"foo":1,"labels":{"team":"x","environment":"dev"}}"#,
        )
        .await;
    assert_eq!(
        (reply.status, &reply.json["labels"]),
        (200, &json!({"environment": "dev"}))
    );
    for labels in ["null", "{}", r#"{"environment":null,"region":null}"#] {
        let reply = api
            .post(
                "/allocate",
                &format!(r#"{{"vpc":"a","hosts":5,"labels":{labels}}}"#),
            )
            .await;
        assert_eq!(
            (reply.status, &reply.json["labels"]),
            (200, &json!({})),
            "{labels}"
        );
    }
    let reply = api
        .post("/allocate", r#"{"vpc":"a","hosts":5,"hosts":70}"#)
        .await;
    assert_eq!(
        reply.json["requested_hosts"], 70,
        "the last of two equal keys counts"
    );
    let reply = api
        .post("/allocate", r#"{"vpc":"  padded  ","hosts":5}"#)
        .await;
    assert_eq!((reply.status, &reply.json["vpc"]), (200, &json!("padded")));
    assert_eq!(
        api.get("/allocations?vpc=%20padded%20").await.json["total_count"],
        1
    );
    assert_eq!(
        api.delete("/vpcs/%20padded").await.json["deleted"],
        false,
        "nothing is deleted by a name that is not exact"
    );
    let reply = api
        .post("/allocate", r#"{"vpc":"Größe ☃ 5%","hosts":5}"#)
        .await;
    assert_eq!(
        (reply.status, &reply.json["vpc"]),
        (200, &json!("Größe ☃ 5%"))
    );

    let body = r#"{"vpc":"a","hosts":5}"#;
    for content_type in [
        None,
        Some("application/json; charset=utf-8"),
        Some("application/vnd.x+json"),
    ] {
        assert_eq!(
            api.post_as("/allocate", content_type, body.as_bytes())
                .await
                .status,
            200,
            "{content_type:?}"
        );
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
        let reply = api
            .post_as("/allocate", Some(content_type), body.as_bytes())
            .await;
        let msg = "Input should be a valid dictionary or object to extract fields from";
        let expected = fault(
            "model_attributes_type",
            json!(["body"]),
            msg,
            json!(body),
            None,
        );
        assert_eq!(
            (reply.status, reply.json),
            (422, json!({ "detail": [expected] }))
        );
    }
}

#[tokio::test]
async fn what_the_original_refused_is_refused_in_the_same_words() {
    let api = Original::start().await;
    let not_both = "Specify either 'hosts' or 'prefix_length', not both";
    let neither = "Must specify either 'hosts' or 'prefix_length'";
    let hosts = "hosts must be between 1 and 4000";
    for (body, message) in [
        (r#"{"vpc":"a"}"#, neither),
        (r#"{"vpc":"a","hosts":null}"#, neither),
        (r#"{"vpc":"a","hosts":5,"prefix_length":24}"#, not_both),
        (r#"{"vpc":"a","hosts":0,"prefix_length":24}"#, not_both),
        (r#"{"vpc":"a","hosts":0}"#, hosts),
        (r#"{"vpc":"a","hosts":-1}"#, hosts),
        (r#"{"vpc":"a","hosts":4001}"#, hosts),
        (r#"{"vpc":"a","hosts":4091}"#, hosts),
        (r#"{"vpc":"a","hosts":99999999999999999999}"#, hosts),
    ] {
        for path in ["/allocate", "/allocate?dry_run=true"] {
            let reply = api.post(path, body).await;
            assert_eq!(
                (reply.status, reply.json),
                (400, error("BAD_REQUEST", message)),
                "{body}"
            );
        }
    }
    // The original let these fail in its database, or made VPCs that no URL could name.
    for body in [
        r#"{"vpc":"","hosts":5}"#,
        r#"{"vpc":"  ","hosts":5}"#,
        r#"{"vpc":"a\u0000b","hosts":5}"#,
        r#"{"vpc":"a/b","hosts":5}"#,
        r#"{"vpc":"a","hosts":5,"labels":{"region":" "}}"#,
    ] {
        let reply = api.post("/allocate", body).await;
        assert_eq!(
            (reply.status, &reply.json["code"]),
            (400, &json!("BAD_REQUEST")),
            "{body}: {}",
            reply.text
        );
        assert_eq!(reply.json["details"], Value::Null);
    }
    assert_eq!(api.get("/allocations").await.json["total_count"], 0);
}

/// Bodies with one mistake each, and how it is explained.
fn mistakes() -> Vec<(&'static str, Value)> {
    let integer = "Input should be a valid integer";
    let parse = "Input should be a valid integer, unable to parse string as an integer";
    let whole = "Input should be a valid integer, got a number with a fractional part";
    let string = "Input should be a valid string";
    let object = "Input should be a valid dictionary or object to extract fields from";
    let words = "Input should be 'dev', 'stage' or 'prod'";
    let expected = Some(json!({"expected": "'dev', 'stage' or 'prod'"}));
    let low = fault(
        "greater_than_equal",
        json!(["body", "prefix_length"]),
        "Input should be greater than or equal to 20",
        json!(19),
        Some(json!({"ge": 20})),
    );
    let high = fault(
        "less_than_equal",
        json!(["body", "prefix_length"]),
        "Input should be less than or equal to 26",
        json!(27),
        Some(json!({"le": 26})),
    );
    let of = |kind, field, msg, input| fault(kind, json!(["body", field]), msg, input, None);
    vec![
        (r#"{"vpc":"a","prefix_length":19}"#, low),
        (r#"{"vpc":"a","prefix_length":27}"#, high),
        (
            r#"{"vpc":"a","hosts":50.5}"#,
            of("int_from_float", "hosts", whole, json!(50.5)),
        ),
        (
            r#"{"vpc":"a","hosts":""}"#,
            of("int_parsing", "hosts", parse, json!("")),
        ),
        (
            r#"{"vpc":"a","hosts":[1]}"#,
            of("int_type", "hosts", integer, json!([1])),
        ),
        (
            r#"{"vpc":"a","prefix_length":"/26"}"#,
            of("int_parsing", "prefix_length", parse, json!("/26")),
        ),
        (
            r#"{"hosts":5}"#,
            of("missing", "vpc", "Field required", json!({"hosts": 5})),
        ),
        (
            r#"{"vpc":null,"hosts":5}"#,
            of("string_type", "vpc", string, Value::Null),
        ),
        (
            r#"{"vpc":5,"hosts":5}"#,
            of("string_type", "vpc", string, json!(5)),
        ),
        (
            r#"{"vpc":"a","hosts":5,"labels":"x"}"#,
            of("model_attributes_type", "labels", object, json!("x")),
        ),
        (
            r#"{"vpc":"a","hosts":5,"labels":{"environment":"Prod"}}"#,
            fault(
                "literal_error",
                json!(["body", "labels", "environment"]),
                words,
                json!("Prod"),
                expected.clone(),
            ),
        ),
        (
            r#"{"vpc":"a","hosts":5,"labels":{"region":5}}"#,
            fault(
                "string_type",
                json!(["body", "labels", "region"]),
                string,
                json!(5),
                None,
            ),
        ),
        (
            "[1]",
            fault(
                "model_attributes_type",
                json!(["body"]),
                object,
                json!([1]),
                None,
            ),
        ),
        (
            "null",
            fault(
                "missing",
                json!(["body"]),
                "Field required",
                Value::Null,
                None,
            ),
        ),
        (
            "",
            fault(
                "missing",
                json!(["body"]),
                "Field required",
                Value::Null,
                None,
            ),
        ),
    ]
}

#[tokio::test]
async fn malformed_bodies_are_explained_field_by_field() {
    let api = Original::start().await;
    for (body, detail) in mistakes() {
        let reply = api.post("/allocate", body).await;
        assert_eq!(
            (reply.status, reply.json),
            (422, json!({ "detail": [detail] })),
            "{body}"
        );
    }

    let body =
        json!({"hosts": "x", "prefix_length": 1, "labels": {"environment": "q", "region": 1}});
    let reply = api.post("/allocate", &body.to_string()).await;
    let at: Vec<&Value> = reply.json["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| &fault["loc"])
        .collect();
    assert_eq!(
        json!(at),
        json!([
            ["body", "vpc"],
            ["body", "hosts"],
            ["body", "prefix_length"],
            ["body", "labels", "environment"],
            ["body", "labels", "region"]
        ])
    );
}

#[tokio::test]
async fn what_is_no_json_is_told_by_its_place() {
    let api = Original::start().await;
    for (body, offset) in [
        ("vpc=a", 0),
        (r#"{"vpc":"a","hosts":5}x"#, 21),
        (r#"{'vpc':'a'}"#, 1),
        (r#"{"vpc":"a","hosts":NaN}"#, 19),
    ] {
        let reply = api.post("/allocate", body).await;
        let fault = &reply.json["detail"][0];
        assert_eq!(
            (reply.status, &fault["type"], &fault["msg"]),
            (422, &json!("json_invalid"), &json!("JSON decode error"))
        );
        assert_eq!(fault["loc"], json!(["body", offset]), "{body}");
    }
    let reply = api
        .post_as(
            "/allocate",
            Some("application/json"),
            b"{\"vpc\":\"\xff\",\"hosts\":5}",
        )
        .await;
    assert_eq!(
        (reply.status, reply.json),
        (
            400,
            json!({"detail": "There was an error parsing the body"})
        )
    );
}

#[tokio::test]
async fn a_key_is_asked_for_where_it_was() {
    let api = Original::start().await;
    let missing = fault(
        "missing",
        json!(["header", "X-API-Key"]),
        "Field required",
        Value::Null,
        None,
    );
    let keyed = [
        ("POST", "/allocate"),
        ("GET", "/allocations"),
        ("GET", "/allocations?limit=0"),
        ("PUT", "/allocations/1"),
        ("DELETE", "/allocations/1"),
        ("DELETE", "/vpcs/a"),
        ("GET", "/calculate?hosts=5"),
    ];
    for (method, path) in keyed {
        let reply = api.call(method, path, None, &[], b"").await;
        assert_eq!(
            (reply.status, reply.json),
            (422, json!({ "detail": [missing] })),
            "{method} {path}"
        );
        for wrong in ["wrong", ""] {
            let reply = api.call(method, path, Some(wrong), &[], b"").await;
            assert_eq!(
                (reply.status, reply.json),
                (401, error("UNAUTHORIZED", "Invalid API Key")),
                "{method} {path}"
            );
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            api.call("GET", path, None, &[], b"").await.status,
            200,
            "{path}"
        );
    }
    // New: the key as a bearer token.
    let bearer = format!("Bearer {}", api.key());
    let reply = api
        .call(
            "GET",
            "/allocations",
            None,
            &[("authorization", &bearer)],
            b"",
        )
        .await;
    assert_eq!(reply.status, 200);
}

/// Five allocations in three VPCs.
async fn five() -> Original {
    let api = Original::start().await;
    for (vpc, hosts) in [
        ("beta", 500),
        ("Alpha", 5),
        ("BETA", 5),
        ("gamma", 100),
        ("alpha", 100),
    ] {
        let reply = api
            .post(
                "/allocate",
                &json!({"vpc": vpc, "hosts": hosts, "labels": {"environment": "dev"}}).to_string(),
            )
            .await;
        assert_eq!(
            (reply.status, &reply.json["vpc"]),
            (200, &json!(vpc)),
            "the reply echoes the request's spelling"
        );
    }
    api
}

#[tokio::test]
async fn the_list_is_ordered_and_says_all_of_each() {
    let api = five().await;
    let all = api.get("/allocations").await;
    assert_eq!(
        (
            &all.json["total_count"],
            &all.json["limit"],
            &all.json["offset"]
        ),
        (&json!(5), &json!(50), &json!(0))
    );
    let seen: Vec<(&str, &str)> = all
        .items()
        .map(|item| {
            (
                item["vpc"].as_str().unwrap(),
                item["primary_cidr"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen.iter().map(|(vpc, _)| *vpc).collect::<Vec<_>>(),
        ["Alpha", "Alpha", "beta", "beta", "gamma"]
    );
    let address = |cidr: &str| {
        cidr.split('/')
            .next()
            .unwrap()
            .parse::<std::net::Ipv4Addr>()
            .unwrap()
    };
    for pair in seen.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        assert!(address(pair[0].1) < address(pair[1].1), "{pair:?}");
    }

    let item = all
        .items()
        .find(|item| item["requested_hosts"] == 500)
        .unwrap();
    let keys: Vec<&String> = item.as_object().unwrap().keys().collect();
    let mut expected = vec![
        "vpc",
        "allocation_id",
        "primary_cidr",
        "usable_primary",
        "cgnat_cidr",
        "usable_cgnat",
        "requested_hosts",
        "requested_prefix",
        "labels",
        "request_id",
        "created_at",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(
        (&item["usable_primary"], &item["usable_cgnat"]),
        (&json!(507), &json!(16379))
    );
    assert_eq!(
        (&item["allocation_id"], &item["labels"]),
        (&json!(1), &json!({"environment": "dev"}))
    );
    assert_eq!(item["requested_prefix"], Value::Null);
    let created = item["created_at"].as_str().unwrap();
    assert!(
        created.len() >= 25 && created.ends_with("+00:00") && created.as_bytes()[10] == b'T',
        "{created}"
    );
}

#[tokio::test]
async fn the_list_is_filtered_and_paged() {
    let api = five().await;
    let filtered = api.get("/allocations?vpc=bEtA").await;
    assert_eq!(filtered.json["total_count"], 2);
    assert!(filtered.items().all(|item| item["vpc"] == "beta"));
    assert_eq!(
        api.get("/allocations?vpc=nope").await.json,
        json!({"total_count": 0, "limit": 50, "offset": 0, "items": []})
    );
    for everything in [
        "/allocations?vpc=",
        "/allocations?unknown=1",
        "/allocations?offset=0&limit=100",
    ] {
        assert_eq!(
            api.get(everything).await.json["total_count"],
            5,
            "{everything}"
        );
    }

    let all = api.get("/allocations").await;
    let mut paged = Vec::new();
    for offset in [0, 2, 4, 6] {
        let page = api
            .get(&format!("/allocations?limit=2&offset={offset}"))
            .await;
        assert_eq!(
            (
                &page.json["total_count"],
                &page.json["limit"],
                &page.json["offset"]
            ),
            (&json!(5), &json!(2), &json!(offset))
        );
        paged.extend(page.items().cloned());
    }
    assert_eq!(json!(paged), all.json["items"]);
    for offset in ["9223372036854775807", "9223372036854775808"] {
        let page = api.get(&format!("/allocations?offset={offset}")).await;
        assert_eq!(
            (page.status, &page.json["items"]),
            (200, &json!([])),
            "{offset}"
        );
    }
}

#[tokio::test]
async fn list_bounds_are_refused_in_the_same_words() {
    let api = Original::start().await;
    for (query, limit) in [
        ("limit=100", 100),
        ("limit=1.0", 1),
        ("limit=+5", 5),
        ("limit=%205%20", 5),
        ("limit=5&limit=7", 7),
        ("limit=05", 5),
    ] {
        let reply = api.get(&format!("/allocations?{query}")).await;
        assert_eq!(
            (reply.status, &reply.json["limit"]),
            (200, &json!(limit)),
            "{query}"
        );
    }
    let parse = "Input should be a valid integer, unable to parse string as an integer";
    for (query, kind, field, msg, input, ctx) in [
        (
            "limit=0",
            "greater_than_equal",
            "limit",
            "Input should be greater than or equal to 1",
            "0",
            Some(json!({"ge": 1})),
        ),
        (
            "limit=101",
            "less_than_equal",
            "limit",
            "Input should be less than or equal to 100",
            "101",
            Some(json!({"le": 100})),
        ),
        (
            "offset=-1",
            "greater_than_equal",
            "offset",
            "Input should be greater than or equal to 0",
            "-1",
            Some(json!({"ge": 0})),
        ),
        ("limit=abc", "int_parsing", "limit", parse, "abc", None),
        ("limit=", "int_parsing", "limit", parse, "", None),
        ("limit=1.5", "int_parsing", "limit", parse, "1.5", None),
    ] {
        let reply = api.get(&format!("/allocations?{query}")).await;
        let expected = fault(kind, json!(["query", field]), msg, json!(input), ctx);
        assert_eq!(
            (reply.status, reply.json),
            (422, json!({ "detail": [expected] })),
            "{query}"
        );
    }
    let reply = api.get("/allocations?limit=abc&offset=-1").await;
    assert_eq!(reply.json["detail"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_same_request_id_is_in_the_header_the_reply_and_the_list() {
    let api = Original::start().await;
    let reply = api
        .call(
            "POST",
            "/allocate",
            Some(api.key()),
            &[("x-request-id", "client-1")],
            br#"{"vpc":"a","hosts":5}"#,
        )
        .await;
    let id = reply.header("x-request-id");
    assert_eq!(reply.json["request_id"], id);
    let dashed = api.get("/allocations").await.json["items"][0]["request_id"].clone();
    let dashed = dashed.as_str().unwrap();
    assert_eq!(dashed.len(), 36);
    assert_eq!(dashed.replace('-', ""), id);
    for (method, path) in [
        ("GET", "/healthz"),
        ("GET", "/nope"),
        ("PATCH", "/allocations"),
        ("DELETE", "/allocations/77"),
    ] {
        let reply = api.call(method, path, Some(api.key()), &[], b"").await;
        assert_eq!(reply.header("x-request-id").len(), 32, "{method} {path}");
    }
}

#[tokio::test]
async fn an_allocation_moves_to_another_vpc() {
    let api = Original::start().await;
    let id = api.allocate("mover", 5).await;
    api.allocate("Production", 5).await;
    let path = format!("/allocations/{id}");
    for (asked, answered, stored) in [
        ("Brand-New", "Brand-New", "Brand-New"),
        ("BRAND-NEW", "BRAND-NEW", "Brand-New"),
        ("  target  ", "target", "target"),
        ("production", "production", "Production"),
    ] {
        let reply = api
            .put(&path, &json!({"new_vpc_name": asked, "x": 1}).to_string())
            .await;
        assert_eq!(
            reply.text,
            format!(r#"{{"ok":true,"allocation_id":{id},"new_vpc_name":"{answered}"}}"#)
        );
        let items = api.get("/allocations").await;
        assert_eq!(
            items
                .items()
                .find(|item| item["allocation_id"] == id)
                .unwrap()["vpc"],
            stored
        );
    }
    assert_eq!(
        api.get("/allocations?vpc=production").await.json["total_count"],
        2
    );

    let required = error("BAD_REQUEST", "new_vpc_name is required");
    for path in [path.as_str(), "/allocations/999999"] {
        let reply = api.put(path, r#"{"new_vpc_name":"   "}"#).await;
        assert_eq!((reply.status, reply.json), (400, required.clone()));
    }
    for path in [
        "/allocations/999999",
        "/allocations/0",
        "/allocations/-1",
        "/allocations/9223372036854775808",
    ] {
        let reply = api.put(path, r#"{"new_vpc_name":"b"}"#).await;
        let id = path.rsplit('/').next().unwrap();
        assert_eq!(
            (reply.status, reply.json),
            (
                404,
                error("NOT_FOUND", &format!("Allocation {id} not found"))
            )
        );
    }
    let short = fault(
        "string_too_short",
        json!(["body", "new_vpc_name"]),
        "String should have at least 1 character",
        json!(""),
        Some(json!({"min_length": 1})),
    );
    let absent = fault(
        "missing",
        json!(["body", "new_vpc_name"]),
        "Field required",
        json!({}),
        None,
    );
    let number = fault(
        "string_type",
        json!(["body", "new_vpc_name"]),
        "Input should be a valid string",
        json!(5),
        None,
    );
    let id = fault(
        "int_parsing",
        json!(["path", "allocation_id"]),
        "Input should be a valid integer, unable to parse string as an integer",
        json!("abc"),
        None,
    );
    for (path, body, detail) in [
        (path.as_str(), r#"{"new_vpc_name":""}"#, json!([short])),
        (path.as_str(), "{}", json!([absent])),
        (path.as_str(), r#"{"new_vpc_name":5}"#, json!([number])),
        ("/allocations/abc", r#"{"new_vpc_name":"b"}"#, json!([id])),
        ("/allocations/abc", "{}", json!([id, absent])),
    ] {
        let reply = api.put(path, body).await;
        assert_eq!(
            (reply.status, reply.json),
            (422, json!({ "detail": detail })),
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn an_allocation_is_deleted_once() {
    let api = Original::start().await;
    let (first, second, third) = (
        api.allocate("a", 5).await,
        api.allocate("a", 5).await,
        api.allocate("a", 5).await,
    );
    let path = format!("/allocations/{first}");
    assert_eq!(
        api.delete(&path).await.text,
        r#"{"ok":true,"deleted":true}"#
    );
    let reply = api.delete(&path).await;
    assert_eq!(
        (reply.status, reply.json),
        (
            404,
            error("NOT_FOUND", &format!("Allocation {first} not found"))
        )
    );
    for unknown in ["0", "-1", "99999999999", "9223372036854775808"] {
        let reply = api.delete(&format!("/allocations/{unknown}")).await;
        assert_eq!(
            (reply.status, reply.json),
            (
                404,
                error("NOT_FOUND", &format!("Allocation {unknown} not found"))
            )
        );
    }
    for text in ["abc", "1.5", "0x1", "1e3"] {
        assert_eq!(
            api.delete(&format!("/allocations/{text}")).await.status,
            422,
            "{text}"
        );
    }
    assert_eq!(
        api.delete(&format!("/allocations/{second}.0")).await.status,
        200
    );
    assert_eq!(
        api.delete(&format!("/allocations/+{third}")).await.status,
        200
    );
    assert_eq!(api.get("/allocations").await.json["total_count"], 0);

    let again = api.post("/allocate", r#"{"vpc":"a","hosts":5}"#).await;
    assert_eq!(
        again.json["primary_cidr"], "10.0.0.0/26",
        "what was released is handed out again"
    );
    assert!(
        again.json["allocation_id"].as_i64() > Some(third),
        "ids are not"
    );
}

#[tokio::test]
async fn a_vpc_is_deleted_with_its_allocations() {
    let api = Original::start().await;
    api.allocate("Production", 5).await;
    api.allocate("production", 500).await;
    api.allocate("Größe ☃", 5).await;
    let gone = json!({"ok": true, "deleted": true});
    let nothing = json!({"ok": true, "deleted": false});
    for (name, expected) in [
        ("unknown", &nothing),
        ("%20production", &nothing),
        ("a%2Fb", &nothing),
        ("a%00b", &nothing),
        ("PRODUCTION", &gone),
        ("production", &nothing),
        ("Gr%C3%B6%C3%9Fe%20%E2%98%83", &gone),
    ] {
        let reply = api.delete(&format!("/vpcs/{name}")).await;
        assert_eq!((reply.status, &reply.json), (200, expected), "{name}");
    }
    assert_eq!(api.get("/allocations").await.json["total_count"], 0);
    // A VPC that lost its allocations is still a VPC.
    let id = api.allocate("empty", 5).await;
    api.delete(&format!("/allocations/{id}")).await;
    assert_eq!(api.delete("/vpcs/empty").await.json, gone);
}

#[tokio::test]
async fn exhaustion_names_the_pool_and_the_size() {
    let api = Original::start().await;
    for _ in 0..16 {
        assert_eq!(
            api.post("/allocate", r#"{"vpc":"fill","prefix_length":20}"#)
                .await
                .status,
            200
        );
    }
    let details = json!({"primary_conflicts": ["exhausted"]});
    for (path, body, length) in [
        ("/allocate", r#"{"vpc":"fill","prefix_length":20}"#, 20),
        ("/allocate", r#"{"vpc":"fill","hosts":5}"#, 26),
        (
            "/allocate?dry_run=true",
            r#"{"vpc":"fill","hosts":4000}"#,
            20,
        ),
    ] {
        let reply = api.post(path, body).await;
        let message = format!("No available /{length} in 10.0.0.0/16");
        let expected = json!({"code": "NO_SPACE", "message": message, "details": details});
        assert_eq!((reply.status, reply.json), (400, expected));
    }
    assert_eq!(api.delete("/vpcs/fill").await.json["deleted"], true);
    assert_eq!(
        api.post("/allocate", r#"{"vpc":"fill","prefix_length":20}"#)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn calculations_answer_the_recorded_figures() {
    let api = Original::start().await;
    let reply = api.get("/calculate?hosts=500").await;
    assert_eq!(
        reply.text,
        r#"{"requested_hosts":500,"requested_prefix":23,"calculated_prefix":23,"primary_subnet_size":"/23","cgnat_subnet_size":"/18","usable_primary_ips":507,"usable_cgnat_ips":16379,"total_addresses_primary":512,"total_addresses_cgnat":16384}"#
    );
    for (query, hosts, prefix, usable, usable_cgnat) in [
        ("hosts=1", json!(1), 26, 59_i64, 2043_i64),
        ("hosts=50.0", json!(50), 26, 59, 2043),
        ("hosts=60", json!(60), 25, 123, 4091),
        ("hosts=4000", json!(4000), 20, 4091, 131_067),
        ("prefix_length=19", Value::Null, 19, 8187, 262_139),
        ("prefix_length=30", Value::Null, 30, -1, 123),
        ("prefix_length=32", Value::Null, 32, -4, 27),
        (
            "prefix_length=5",
            Value::Null,
            5,
            134_217_723,
            4_294_967_291,
        ),
    ] {
        let reply = api.get(&format!("/calculate?{query}")).await;
        let expected = json!({
            "requested_hosts": hosts, "requested_prefix": prefix, "calculated_prefix": prefix,
            "primary_subnet_size": format!("/{prefix}"), "cgnat_subnet_size": format!("/{}", prefix - 5),
            "usable_primary_ips": usable, "usable_cgnat_ips": usable_cgnat,
            "total_addresses_primary": usable + 5, "total_addresses_cgnat": usable_cgnat + 5,
        });
        assert_eq!((reply.status, reply.json), (200, expected), "{query}");
    }
    let hosts = error("BAD_REQUEST", "hosts must be between 1 and 4000");
    let policy = error("BAD_POLICY", "Computed CGNAT prefix invalid");
    for (query, expected) in [
        (
            "",
            error("BAD_REQUEST", "Must specify either hosts or prefix_length"),
        ),
        (
            "hosts=5&prefix_length=24",
            error(
                "BAD_REQUEST",
                "Specify either hosts or prefix_length, not both",
            ),
        ),
        ("hosts=0", hosts.clone()),
        ("hosts=4001", hosts.clone()),
        ("hosts=99999999999999999999", hosts),
        ("prefix_length=4", policy.clone()),
        ("prefix_length=-1", policy),
        (
            "prefix_length=33",
            error("BAD_REQUEST", "prefix_length must be between 5 and 32"),
        ),
    ] {
        let reply = api.get(&format!("/calculate?{query}")).await;
        assert_eq!((reply.status, reply.json), (400, expected), "{query}");
    }
    for query in ["hosts=abc", "hosts=", "hosts=1.5", "prefix_length=abc"] {
        let reply = api.get(&format!("/calculate?{query}")).await;
        assert_eq!(
            (reply.status, &reply.json["detail"][0]["type"]),
            (422, &json!("int_parsing")),
            "{query}"
        );
    }
    assert_eq!(
        api.get("/calculate?hosts=a&prefix_length=b").await.json["detail"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn probes_answer_a_status_and_the_time() {
    let api = Original::start().await;
    for (path, status) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let reply = api.call("GET", path, None, &[], b"").await;
        assert_eq!((reply.status, &reply.json["status"]), (200, &json!(status)));
        assert_eq!(reply.json.as_object().unwrap().len(), 2);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let timestamp = reply.json["timestamp"].as_f64().unwrap();
        assert!((now - timestamp).abs() < 60.0, "{timestamp}");
        assert!(
            reply.text.contains('.'),
            "the time has a fraction: {}",
            reply.text
        );
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_answer_as_before() {
    let api = Original::start().await;
    let not_found = json!({"detail": "Not Found"});
    for (method, path) in [("GET", "/nope"), ("POST", "/vpcs"), ("DELETE", "/vpcs/")] {
        let reply = api.call(method, path, Some(api.key()), &[], b"").await;
        assert_eq!(
            (reply.status, reply.json),
            (404, not_found.clone()),
            "{method} {path}"
        );
    }
    for (method, path, allowed) in [
        ("GET", "/allocate", "POST"),
        ("PATCH", "/allocations", "GET"),
        ("POST", "/healthz", "GET"),
        ("GET", "/vpcs/x", "DELETE"),
        ("GET", "/allocations/1", "PUT"),
        ("OPTIONS", "/allocate", "POST"),
    ] {
        let reply = api
            .call(
                method,
                path,
                Some(api.key()),
                &[("origin", "http://a.example")],
                b"",
            )
            .await;
        assert_eq!(
            (reply.status, &reply.json),
            (405, &json!({"detail": "Method Not Allowed"})),
            "{method} {path}"
        );
        assert!(reply.header("allow").contains(allowed), "{method} {path}");
        assert!(!reply.headers.contains_key("access-control-allow-origin"));
    }
    for path in ["/allocations/", "/healthz/", "/calculate/"] {
        let reply = api.call("GET", path, Some(api.key()), &[], b"").await;
        assert_eq!(reply.status, 307, "{path}");
        assert!(
            reply
                .header("location")
                .ends_with(path.trim_end_matches('/')),
            "{path}"
        );
    }
}

/// The original knew no names, no protection and no repeatable requests.
#[tokio::test]
async fn what_came_after_the_original_is_respected() {
    let api = Original::start().await;
    let named = |vpc: &str| {
        json!({"vpc": vpc, "name": "nodes", "hosts": 5, "deletion_protection": true}).to_string()
    };
    let first = api.post("/api/v1/allocations", &named("a")).await;
    let number = first.json["number"].as_i64().expect(&first.text);
    api.post("/api/v1/allocations", &named("b")).await;
    for refused in [
        api.delete(&format!("/allocations/{number}")).await,
        api.delete("/vpcs/a").await,
        api.put(&format!("/allocations/{number}"), r#"{"new_vpc_name":"b"}"#)
            .await,
    ] {
        assert_eq!(
            (refused.status, &refused.json["code"]),
            (409, &json!("CONFLICT")),
            "{}",
            refused.text
        );
        assert_eq!(refused.json["details"], Value::Null);
    }
    assert_eq!(api.get("/allocations?vpc=a").await.json["total_count"], 1);

    let headers = [("idempotency-key", "key-1")];
    let body = br#"{"vpc":"c","hosts":5}"#;
    let once = api
        .call("POST", "/allocate", Some(api.key()), &headers, body)
        .await;
    let twice = api
        .call("POST", "/allocate", Some(api.key()), &headers, body)
        .await;
    assert_eq!((once.status, &once.text), (200, &twice.text));
    assert_eq!(api.get("/allocations?vpc=c").await.json["total_count"], 1);
}

#[tokio::test]
async fn a_database_that_is_away_is_told_as_before() {
    let api = Original::without_database();
    let ready = api.get("/readyz").await;
    assert_eq!(
        (ready.status, ready.json),
        (500, error("SERVICE_UNAVAILABLE", "Database not ready"))
    );
    let away = error("DB_CONNECTION_ERROR", "Database unavailable");
    for reply in [
        api.get("/allocations").await,
        api.post("/allocate", r#"{"vpc":"a","hosts":5}"#).await,
        api.post("/allocate?dry_run=true", r#"{"vpc":"a","hosts":5}"#)
            .await,
        api.put("/allocations/1", r#"{"new_vpc_name":"b"}"#).await,
        api.delete("/allocations/1").await,
        api.delete("/vpcs/a").await,
    ] {
        assert_eq!((reply.status, reply.json), (500, away.clone()));
    }
    assert_eq!(api.get("/healthz").await.status, 200);
    assert_eq!(api.get("/calculate?hosts=5").await.status, 200);
    assert_eq!(api.post("/allocate", r#"{"vpc":"a"}"#).await.status, 400);
}

/// The original's command line sends a content type with every request, also without a body, and formats the numbers
/// that it gets with thousands separators, which fails on anything but a number.
#[tokio::test]
async fn the_requests_of_the_original_command_line_work() {
    let api = Original::start().await;
    let json_type = [("content-type", "application/json")];
    let key = Some(api.key());
    let made = api
        .call(
            "POST",
            "/allocate",
            key,
            &json_type,
            br#"{"vpc": "production", "hosts": 500, "labels": {"environment": "prod"}}"#,
        )
        .await;
    assert_eq!(
        (&made.json["primary_cidr"], &made.json["cgnat_cidr"]),
        (&json!("10.0.0.0/23"), &json!("100.64.0.0/18"))
    );
    assert!(made.json["usable_primary"].is_u64());
    let list = api
        .call(
            "GET",
            "/allocations?limit=50&vpc=production",
            key,
            &json_type,
            b"",
        )
        .await;
    assert_eq!(list.json["total_count"], 1);
    for item in list.items() {
        assert!(
            item["usable_primary"].is_u64()
                && item["usable_cgnat"].is_u64()
                && item["labels"].is_object()
        );
    }
    let sizes = api
        .call("GET", "/calculate?hosts=500", key, &json_type, b"")
        .await;
    assert!(sizes.json["usable_primary_ips"].is_i64() && sizes.json["usable_cgnat_ips"].is_i64());
    let id = list.json["items"][0]["allocation_id"].as_i64().unwrap();
    let gone = api
        .call(
            "DELETE",
            &format!("/allocations/{id}"),
            key,
            &json_type,
            b"",
        )
        .await;
    assert_eq!(
        (gone.status, gone.json),
        (200, json!({"ok": true, "deleted": true}))
    );
}
