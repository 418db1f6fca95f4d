//! What is sent, over every operation of the document that takes a body.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{ALLOCATIONS, Api, Operation, POOLS, PROFILES, VPCS, VRFS};

/// A body of an operation in which one object is written as an array of its values in their order.
struct Listed {
    operation: &'static str,
    /// Where the array stands, as a JSON pointer without indices.
    at: &'static str,
    body: Value,
}

/// One for each object of each body. Each would be understood if arrays were read by position.
fn listed() -> Vec<Listed> {
    let allocation = json!(["a", null, null, null, null, null, [], 5]);
    let member = json!(["r", "primary"]);
    [
        ("create_vpc", "", json!(["a", null, {}, "d"])),
        ("update_vpc", "", json!(["other"])),
        ("create_vrf", "", json!(["a"])),
        ("update_vrf", "", json!(["other"])),
        ("create_token", "", json!(["a", "d", ["reader"]])),
        (
            "create_token",
            "/limits",
            json!({"name": "a", "roles": ["reader"], "limits": [["default"]]}),
        ),
        ("update_token", "", json!(["other"])),
        (
            "create_webhook",
            "",
            json!(["a", "d", "https://siem.example/"]),
        ),
        ("update_webhook", "", json!(["other"])),
        ("rotate_webhook", "", json!([0])),
        ("resume_webhook", "", json!([0])),
        ("update_token", "/limits", json!({"limits": [["default"]]})),
        ("create_pool", "", json!(["a", null, "ipv4"])),
        ("update_pool", "", json!(["other"])),
        (
            "create_profile",
            "",
            json!(["a", "d", [{"role": "r", "pool": "primary"}]]),
        ),
        (
            "create_profile",
            "/members",
            json!({"name": "a", "members": [member]}),
        ),
        ("update_profile", "", json!(["other"])),
        ("update_profile", "/members", json!({"members": [member]})),
        (
            "create_reservation",
            "",
            json!(["172.30.0.0/24", null, "r"]),
        ),
        ("update_reservation", "", json!(["another reason"])),
        ("create_allocation", "", allocation.clone()),
        ("update_allocation", "", json!(["other"])),
        (
            "create_allocations",
            "",
            json!([[{"vpc": "a", "hosts": 5}]]),
        ),
        (
            "create_allocations",
            "/requests",
            json!({"requests": [allocation]}),
        ),
        ("confirm_claims", "", json!([[]])),
        ("take_over", "", json!([[]])),
        (
            "take_over",
            "/claims",
            json!({"claims": [["vrf", uuid::Uuid::nil(), uuid::Uuid::nil()]]}),
        ),
        (
            "confirm_claims",
            "/claims",
            json!({"claims": [["vrf", uuid::Uuid::nil(), uuid::Uuid::nil()]]}),
        ),
        // The file itself is a list of records.
        ("import_plan", "", json!([["vrf", "new"]])),
    ]
    .into_iter()
    .map(|(operation, at, body)| Listed {
        operation,
        at,
        body,
    })
    .collect()
}

/// Where objects with fields of their own stand in a schema.
fn objects(document: &Value, schema: &Value, at: &str, found: &mut BTreeSet<String>) {
    let schema = behind(document, schema);
    if let Some(properties) = schema["properties"].as_object() {
        found.insert(at.to_owned());
        for (name, property) in properties {
            objects(document, property, &format!("{at}/{name}"), found);
        }
    }
    if schema["items"].is_object() {
        objects(document, &schema["items"], at, found);
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        for choice in schema[word].as_array().into_iter().flatten() {
            objects(document, choice, at, found);
        }
    }
}

#[tokio::test]
async fn an_array_is_no_object() {
    let api = Api::start().await;
    let document = api
        .send("GET", "/api/v1/openapi.json", &[], "")
        .await
        .ok(200);
    let operations = api.operations(&document).await;
    let mut expected = BTreeSet::new();
    for operation in &operations {
        let content = &operation.described["requestBody"]["content"]["application/json"];
        if !content.is_null() {
            let mut found = BTreeSet::new();
            objects(&document, &content["schema"], "", &mut found);
            expected.extend(found.into_iter().map(|at| (operation.id.clone(), at)));
        }
    }
    let listed = listed();
    let tried: BTreeSet<_> = listed
        .iter()
        .map(|listed| (listed.operation.to_owned(), listed.at.to_owned()))
        .collect();
    assert_eq!(tried, expected, "a body that this test does not know");

    let before = api.state().await;
    for Listed {
        operation,
        at,
        body,
    } in &listed
    {
        let operation = operations.iter().find(|one| &one.id == operation).unwrap();
        let reply = api
            .with(&operation.method, &operation.path, &[], body)
            .await;
        let code = match operation.id.as_str() {
            // It names every record that is not as it should be.
            "import_plan" => "import_conflict",
            _ => "invalid_request",
        };
        let status = if code == "import_conflict" { 409 } else { 400 };
        reply.problem(status, code);
        assert!(
            reply.text.contains("invalid type: sequence"),
            "{} {at}: {}",
            operation.id,
            reply.text
        );
    }
    assert_eq!(api.state().await, before);
}

/// Bodies that are understood.
fn smallest(operation: &str, field: &str) -> Value {
    match operation {
        "create_vpc" | "create_vrf" => json!({"name": "new"}),
        "create_token" => json!({"name": "new", "roles": ["reader"]}),
        "create_webhook" => json!({"name": "new", "url": "https://siem.example/"}),
        "create_pool" => json!({"name": "new", "family": "ipv4"}),
        "create_profile" => json!({"name": "new", "members": [{"role": "r", "pool": "primary"}]}),
        "update_profile" => json!({"members": [{"role": "r", "pool": "primary"}]}),
        "create_reservation" => json!({"cidr": "192.168.0.0/24", "reason": "r"}),
        "create_allocation" => json!({"vpc": "new", "hosts": 5}),
        "create_allocations" => json!({"requests": [{"vpc": "new", "hosts": 5}]}),
        // Neither kind of record can do without these.
        "import_plan" if ["cidr", "vpc"].contains(&field) => json!([{"kind": "vrf", "vrf": "new"}]),
        "import_plan" => json!([{"cidr": "10.0.64.0/24", "vpc": "new"}]),
        _ => json!({}),
    }
}

/// The schema that a reference leads to, or the schema itself.
pub(crate) fn behind<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.trim_start_matches('#'))
            .expect("it leads to something"),
        None => schema,
    }
}

/// Whether a schema allows null.
fn allows_null(document: &Value, schema: &Value) -> bool {
    let schema = behind(document, schema);
    let types = &schema["type"];
    types == "null"
        || types
            .as_array()
            .is_some_and(|types| types.contains(&json!("null")))
        || schema["oneOf"]
            .as_array()
            .is_some_and(|choices| choices.iter().any(|choice| allows_null(document, choice)))
}

/// Null stands for a field that is not given wherever a new thing is described, so that a null of a reply can be sent back.
/// In a change it would be taken for "clear it", so that it is refused where that can't be.
#[tokio::test]
async fn null_means_in_a_body_what_the_document_says() {
    let api = Api::start().await;
    let document = api
        .send("GET", "/api/v1/openapi.json", &[], "")
        .await
        .ok(200);
    let mut tried = 0;
    for operation in api.operations(&document).await {
        let content = &operation.described["requestBody"]["content"]["application/json"];
        if content.is_null() {
            continue;
        }
        let whole = behind(&document, &content["schema"]);
        // The object itself, and those that are in it.
        let whole = match operation.id.as_str() {
            "import_plan" => behind(&document, &whole["oneOf"][1]),
            _ => whole,
        };
        let inner = |name: &str| behind(&document, &whole["properties"][name]["items"]);
        let mut places = vec![("", whole)];
        for name in ["members", "requests"] {
            if !whole["properties"][name].is_null() {
                places.push((name, inner(name)));
            }
        }
        for (place, schema) in places {
            for (field, property) in schema["properties"].as_object().unwrap() {
                let mut body = smallest(&operation.id, field);
                let object = match (place, operation.id.as_str()) {
                    ("", "import_plan") => &mut body[0],
                    ("", _) => &mut body,
                    (place, _) => &mut body[place][0],
                };
                let is_required = schema["required"]
                    .as_array()
                    .is_some_and(|required| required.contains(&json!(field)));
                // Without it the family or the size would be missing, which is another matter.
                let (instead, value) = match field.as_str() {
                    "family" => ("ranges", json!(["172.31.0.0/24"])),
                    "hosts" => ("prefix_length", json!(24)),
                    _ => ("", Value::Null),
                };
                if !instead.is_empty() && operation.id.starts_with("create") {
                    object[instead] = value;
                }
                object[field] = Value::Null;
                let reply = api
                    .with(&operation.method, &operation.path, &[], &body)
                    .await;
                let at = format!("{} {place} {field}: {}", operation.id, reply.text);
                let is_new = !operation.id.starts_with("update") || place == "members";
                let allowed = allows_null(&document, property);
                assert_eq!(
                    allowed,
                    (is_new && !is_required)
                        || ["default_prefix_length", "expires_at"].contains(&field.as_str()),
                    "{at}"
                );
                assert_eq!(reply.status < 300, allowed, "{at}");
                if !allowed {
                    let status = if operation.id == "import_plan" {
                        409
                    } else {
                        400
                    };
                    assert_eq!(reply.status, status, "{at}");
                }
                // Whatever was made is gone before the next try.
                api.sql("delete from idempotency_key").await;
                forget(&api, &operation, &body).await;
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

/// Deletes what a body made, by its name.
async fn forget(api: &Api, operation: &Operation, body: &Value) {
    if operation.method != "POST" {
        return;
    }
    let noun = operation.path.split('/').nth(3).unwrap_or_default();
    match noun {
        "allocations" => {
            api.delete("/api/v1/vpcs/new?cascade=true").await;
        }
        "reservations" => {
            let all = api.get("/api/v1/reservations?within=192.168.0.0/16").await;
            for found in all.json["items"].as_array().into_iter().flatten() {
                let id = found["id"].as_str().expect("an id");
                api.delete(&format!("/api/v1/reservations/{id}"))
                    .await
                    .ok(204);
            }
        }
        "import" => {
            api.delete("/api/v1/vpcs/new?cascade=true").await;
            api.delete("/api/v1/vrfs/new").await;
        }
        noun => {
            if body["name"] == "new" {
                api.delete(&format!("/api/v1/{noun}/new")).await;
            }
        }
    }
}

/// What would pass for another name is no name for anything new, whatever it is; what has such a name keeps it.
#[tokio::test]
async fn new_names_look_like_what_they_are() {
    let api = Api::start().await;
    let odd = "pr\u{200b}od";
    let made = |name: &str| {
        [
            (VRFS, json!({"name": name})),
            (VPCS, json!({"name": name})),
            (POOLS, json!({"name": name, "ranges": ["10.200.0.0/16"]})),
            (
                PROFILES,
                json!({"name": name, "members": [{"role": "main", "pool": "primary"}]}),
            ),
            (
                ALLOCATIONS,
                json!({"vpc": "prod", "name": name, "hosts": 5}),
            ),
        ]
    };
    let says = "which is invisible";
    for ((path, odd), (_, plain)) in made(odd).into_iter().zip(made("plain")) {
        let refused = api.post(path, &odd).await;
        let (detail, _) = refused.problem(400, "invalid_request");
        assert!(detail.contains(says), "{path}: {detail}");
        let id = api.post(path, &plain).await.ok(201)["id"].clone();
        let path = format!("{path}/{}", id.as_str().unwrap());
        let patch = json!({"name": odd["name"]});
        let refused = api.patch(&path, &patch).await;
        let (detail, _) = refused.problem(400, "invalid_request");
        assert!(detail.contains(says), "{path}: {detail}");
    }
    // A VPC that a request or a move would make, too.
    let new = json!({"vpc": odd, "name": "b", "hosts": 5});
    api.post(ALLOCATIONS, &new)
        .await
        .problem(400, "invalid_request");
    let new = json!({"vpc": "prod", "name": "c", "hosts": 5});
    let id = api.post(ALLOCATIONS, &new).await.ok(201)["id"].clone();
    let path = format!("{ALLOCATIONS}/{}", id.as_str().unwrap());
    api.patch(&path, &json!({"vpc": odd}))
        .await
        .problem(400, "invalid_request");
    // From before there was this rule.
    api.sql(&format!(
        "update vpc set name = '{odd}' where name = 'plain'"
    ))
    .await;
    assert_eq!(
        api.get(&format!("{VPCS}?name={}", "pr%E2%80%8Bod"))
            .await
            .ok(200)["items"][0]["name"],
        odd
    );
    let new = json!({"vpc": odd, "name": "d", "hosts": 5});
    api.post(ALLOCATIONS, &new).await.ok(201);
}
