//! The schemas of the OpenAPI document: their names, their bounds, and where null may stand.

use ipam_shared::{
    api::{
        allocation::{MAX_BATCH, MAX_EXCLUDE_CIDRS, MAX_HOSTS, MAX_POOLS},
        ownership::{MAX_CONFIRMATIONS, MAX_OWNER},
        pool::{MAX_RANGES, MAX_RELEASE_COOLDOWN_SECONDS},
        profile::MAX_MEMBERS,
        token::MAX_LIMITS,
        webhook::{MAX_ACTIONS, MAX_BATCH_SIZE, MAX_OVERLAP, MAX_URL},
    },
    labels::{MAX_LABEL_KEY, MAX_LABEL_VALUE, MAX_LABELS},
    name::MAX_NAME,
};
use serde_json::{Value, json};

use super::{fields, not_null};

/// Longest free text.
const MAX_TEXT: u32 = 1000;
/// Text without control characters.
const TEXT: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// Completes the schemas of a document.
pub(super) fn complete(document: &mut Value) {
    names(document);
    let schemas = &mut document["components"]["schemas"];
    bounds(schemas);
    nulls(schemas);
}

/// Names schemas: the items of pages, which would otherwise be repeated in each, and those that have the name of a Rust
/// type.
fn names(document: &mut Value) {
    let schemas = &mut document["components"]["schemas"];
    for (name, schema) in fields(schemas) {
        if let Some(item) = name.strip_prefix("Page_") {
            let reference = format!("#/components/schemas/{item}");
            schema["properties"]["items"]["items"] = json!({ "$ref": reference });
        }
    }
    if let Some(schemas) = schemas.as_object_mut()
        && let Some(labels) = schemas.remove("BTreeMap")
    {
        schemas.insert("RequiredLabels".to_owned(), labels);
    }
    rename(
        document,
        "#/components/schemas/BTreeMap",
        "#/components/schemas/RequiredLabels",
    );
}

/// Redirects all references from one target to another.
fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) if text == from => *text = to.to_owned(),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|field| rename(field, from, to)),
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, from, to)),
        _ => {}
    }
}

/// The bounds that are checked when a value is read, and when a request is checked by itself.
fn bounds(schemas: &mut Value) {
    // No slash, no control character, no whitespace at either end, and no character that new names can't have.
    const DECEPTIVE: &str =
        r"\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff";
    let inside = format!(r"/\u0000-\u001f\u007f-\u009f{DECEPTIVE}");
    let name = json!({
        "pattern": format!(r"^[^\s{inside}]([^{inside}]*[^\s{inside}])?$"),
        "minLength": 1, "maxLength": MAX_NAME, "examples": ["team-x"],
    });
    let key = json!({ "minLength": 1, "maxLength": MAX_LABEL_KEY, "pattern": TEXT });
    let value = json!({ "maxLength": MAX_LABEL_VALUE, "pattern": TEXT });
    let role = json!({ "pattern": "^[a-z][a-z0-9_-]{0,62}$", "examples": ["primary"] });
    merge(&mut schemas["Name"], &name);
    merge(
        &mut schemas["Owner"],
        &json!({ "pattern": TEXT, "minLength": 1, "maxLength": MAX_OWNER, "examples": ["ws-3kX9"] }),
    );
    merge(
        &mut schemas["Confirmations"]["properties"]["claims"],
        &json!({ "minItems": 1, "maxItems": MAX_CONFIRMATIONS }),
    );
    merge(
        &mut schemas["Quotas"],
        &json!({ "maxProperties": MAX_LIMITS, "examples": [{ "default/primary": 4096 }] }),
    );
    for labels in ["Labels", "RequiredLabels"] {
        schemas[labels]["maxProperties"] = json!(MAX_LABELS);
        merge(&mut schemas[labels]["propertyNames"], &key);
    }
    merge(&mut schemas["Labels"]["additionalProperties"], &value);
    merge(
        &mut schemas["RequiredLabels"]["additionalProperties"]["items"],
        &value,
    );
    for (name, schema) in fields(schemas) {
        let is_patch = name.ends_with("Patch");
        let is_new = name.starts_with("New");
        for (field, property) in fields(schema.get_mut("properties").unwrap_or(&mut Value::Null)) {
            if field.ends_with("prefix_length") {
                merge(property, &json!({ "minimum": 0, "maximum": 128 }));
            }
            if !is_patch && !is_new {
                continue;
            }
            // The fields that null clears.
            if is_patch && !["default_prefix_length", "expires_at"].contains(&field.as_str()) {
                not_null(property);
            }
            let bounds = match field.as_str() {
                "role" => role.clone(),
                "secret" => json!({
                    "writeOnly": true,
                    "pattern": "^ipam_[0-9a-hjkmnp-tv-z]{12}_[0-9a-hjkmnp-tv-z]{38}$",
                }),
                "description" => json!({ "maxLength": MAX_TEXT, "pattern": r"^[^\u0000]*$" }),
                "reason" => {
                    json!({ "minLength": 1, "maxLength": MAX_TEXT, "pattern": r"^[^\u0000]*$" })
                }
                "hosts" => json!({ "minimum": 1, "maximum": MAX_HOSTS }),
                "url" => json!({
                    "pattern": r"^https?://[^\s#]+$", "maxLength": MAX_URL, "examples": ["https://siem.example.com/ipam"],
                }),
                "actions" => {
                    let action = json!({ "pattern": r"^[a-z_.*]{1,128}$" });
                    property["items"] = json!({ "type": "string", "examples": ["allocation.*"] });
                    merge(&mut property["items"], &action);
                    json!({ "maxItems": MAX_ACTIONS })
                }
                "batch_size" => json!({ "minimum": 1, "maximum": MAX_BATCH_SIZE }),
                "after" => json!({ "minimum": 0 }),
                "overlap_seconds" => json!({ "maximum": MAX_OVERLAP }),
                "size_offset" => json!({ "minimum": -127, "maximum": 127 }),
                "reserved_addresses" => json!({ "maximum": i32::MAX }),
                "release_cooldown_seconds" => json!({ "maximum": MAX_RELEASE_COOLDOWN_SECONDS }),
                "members" => json!({ "minItems": 1, "maxItems": MAX_MEMBERS }),
                "requests" => json!({ "minItems": 1, "maxItems": MAX_BATCH }),
                "pools" => json!({ "minItems": 1, "maxItems": MAX_POOLS }),
                "exclude_cidrs" => json!({ "maxItems": MAX_EXCLUDE_CIDRS }),
                "ranges" => json!({ "maxItems": MAX_RANGES }),
                "range_prefix_lengths" | "add_range_prefix_lengths" => {
                    merge(&mut property["items"], &json!({ "maximum": 128 }));
                    json!({ "maxItems": MAX_RANGES })
                }
                "pool_selector" => json!({ "minProperties": 1 }),
                _ => continue,
            };
            merge(property, &bounds);
        }
    }
    schemas["Code"]["examples"] = json!(["not_found"]);
}

/// Adds a description to a schema.
fn merge(schema: &mut Value, words: &Value) {
    for (word, value) in words.as_object().into_iter().flatten() {
        schema[word] = value.clone();
    }
}

/// In requests, null stands for a field that is not given.
fn nulls(schemas: &mut Value) {
    // What a profile is made of looks the same in requests and replies, but a reply leaves nothing out.
    let mut member = schemas["Member"].clone();
    let all: Vec<_> = fields(&mut schemas["Member"]["properties"])
        .map(|(field, _)| field.clone())
        .collect();
    schemas["Member"]["required"] = json!(all);
    member["description"] = json!("One block of the recipe, as it is asked for.");
    schemas["NewMember"] = member;
    for (name, schema) in fields(schemas) {
        let is_new = name.starts_with("New") || name == "Record";
        if is_new || name.ends_with("Patch") {
            let items = schema.pointer_mut("/properties/members/items");
            if let Some(items) = items {
                *items = json!({ "$ref": "#/components/schemas/NewMember" });
            }
        }
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        if !is_new {
            continue;
        }
        for (field, property) in fields(&mut schema["properties"]) {
            if !required.contains(&json!(field)) {
                or_null(property);
            }
        }
    }
}

/// Adds null to the types of a schema.
fn or_null(schema: &mut Value) {
    if let Some(kind) = schema["type"].as_str() {
        schema["type"] = json!([kind, "null"]);
    } else if schema["$ref"].is_string() {
        *schema = json!({ "oneOf": [schema.clone(), { "type": "null" }] });
    }
}
