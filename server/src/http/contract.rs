//! What all operations of the OpenAPI document have in common, added in one place: the refusals that anybody can meet, the
//! headers of replies, the bounds of names and pages. Handlers say only what is their own.

use ipam_shared::{
    error::{Code, Problem},
    labels::{MAX_LABEL_VALUE, MAX_LABELS},
    name::MAX_NAME,
    page::{DEFAULT_LIMIT, MAX_LIMIT},
};
use serde_json::{Map, Value, json};

/// Where a problem is described.
const PROBLEM: &str = "#/components/schemas/Problem";
/// Longest free text.
const MAX_TEXT: u32 = 1000;

/// Completes the document that was made from the handlers.
pub(super) fn complete(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    for (path, item) in fields(&mut document["paths"]) {
        let allowed = allowed(item);
        for (_, operation) in fields(item) {
            parameters(operation);
            refusals(operation, path.contains('{'));
            replies(operation, &schemas);
            let allow = header(
                "The methods that this path has",
                json!({ "type": "string", "const": allowed }),
            );
            operation["responses"]["405"]["headers"]["Allow"] = allow;
        }
    }
    document["components"]["headers"] = headers();
    names(document);
    bounds(&mut document["components"]["schemas"]);
    nulls(&mut document["components"]["schemas"]);
}

/// The members of an object; none of anything else.
fn fields(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

/// The methods of a path, as the header `Allow` has them.
fn allowed(item: &Value) -> String {
    // In the order in which the router knows them.
    [
        ("get", "GET,HEAD"),
        ("post", "POST"),
        ("delete", "DELETE"),
        ("patch", "PATCH"),
    ]
    .into_iter()
    .filter(|(method, _)| !item[method].is_null())
    .map(|(_, name)| name)
    .collect::<Vec<_>>()
    .join(",")
}

/// Queries are optional and never null; limits and ETags have their bounds.
fn parameters(operation: &mut Value) {
    let parameters = operation.get_mut("parameters");
    for parameter in parameters
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if parameter["in"] != "path" {
            parameter["required"] = json!(false);
            not_null(&mut parameter["schema"]);
        }
        match parameter["name"].as_str() {
            Some("limit") => {
                parameter["schema"]["minimum"] = json!(1);
                parameter["schema"]["maximum"] = json!(MAX_LIMIT);
                parameter["schema"]["default"] = json!(DEFAULT_LIMIT);
            }
            Some("if-match") => {
                parameter["schema"]["pattern"] = json!(r#"^(\*|"[0-9]{1,18}")$"#);
                parameter["schema"]["examples"] = json!(["\"3\""]);
            }
            Some("idempotency-key") => {
                parameter["schema"]["pattern"] = json!("^[!-~]+$");
                parameter["schema"]["maxLength"] = json!(255);
            }
            Some("ipam-claim") => parameter["schema"]["format"] = json!("uuid"),
            _ => {}
        }
    }
}

/// Takes null out of the types of a schema.
fn not_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        choices.retain(|choice| choice["type"] != "null");
        if let [only] = choices.as_slice() {
            *schema = only.clone();
        }
    }
}

/// Adds the refusals that follow from what an operation takes, and describes those that it names.
fn refusals(operation: &mut Value, has_key: bool) {
    let takes = |name: &str| {
        let parameters = operation["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|parameter| parameter["name"] == name))
    };
    let mut statuses = vec![400, 401, 405, 500, 503, 504];
    if has_key || ["vrf", "vpc", "pool", "parent"].into_iter().any(takes) {
        statuses.extend([404, 410]);
    }
    if takes("if-match") {
        statuses.push(412);
    }
    if takes("idempotency-key") {
        statuses.push(422);
    }
    if operation.get("requestBody").is_some() {
        statuses.extend([413, 415]);
        operation["requestBody"]["required"] = json!(true);
    }
    for status in statuses {
        let codes: Vec<_> = Code::ALL
            .iter()
            .copied()
            .filter(|code| code.status() == status)
            .collect();
        let known = &mut operation["responses"][status.to_string()];
        if known.is_null() {
            *known = problem(&codes);
        }
    }
    for (status, response) in fields(&mut operation["responses"]) {
        if status.starts_with(['4', '5']) && response.get("content").is_none() {
            response["content"] =
                json!({ "application/problem+json": { "schema": { "$ref": PROBLEM } } });
        }
    }
}

/// A refusal with one of these codes.
fn problem(codes: &[Code]) -> Value {
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let titles: Vec<_> = codes.iter().map(|code| code.title()).collect();
    let examples: Map<_, _> = codes
        .iter()
        .map(|code| {
            let mut problem = Problem::new(*code, code.title());
            problem.request_id = Some("019ac0de-5d3a-7c55-9a4e-2f1d6a0b7c11".to_owned());
            (code.as_str().to_owned(), json!({ "value": problem }))
        })
        .collect();
    json!({
        "description": format!("{}: {}", names.join(" or "), titles.join(". Or: ")),
        "content": { "application/problem+json": { "schema": { "$ref": PROBLEM }, "examples": examples } },
    })
}

/// Describes each reply, and names the headers that it has.
fn replies(operation: &mut Value, schemas: &Value) {
    let is_batch = operation["operationId"] == "create_allocations";
    for (status, response) in fields(&mut operation["responses"]) {
        if response["description"].as_str().is_none_or(str::is_empty) {
            let text = if status == "201" {
                "Made"
            } else {
                "The answer"
            };
            response["description"] = json!(text);
        }
        let schema = response["content"]["application/json"]["schema"]["$ref"].as_str();
        let name = schema
            .and_then(|path| path.rsplit('/').next())
            .unwrap_or_default();
        let mut names = vec!["X-Request-Id"];
        if !schemas[name]["properties"]["revision"].is_null() && !is_batch {
            names.push("ETag");
        }
        match status.as_str() {
            "201" => names.push("Location"),
            "401" => names.push("WWW-Authenticate"),
            "503" | "504" => names.push("Retry-After"),
            _ => {}
        }
        // Looking for a body that is not there left null.
        if response["content"].is_null() {
            response
                .as_object_mut()
                .map(|response| response.remove("content"));
        }
        response["headers"] = names
            .into_iter()
            .map(|name| {
                (
                    name.to_owned(),
                    json!({ "$ref": format!("#/components/headers/{name}") }),
                )
            })
            .collect::<Map<_, _>>()
            .into();
    }
}

/// A header that is always there.
fn header(description: &str, schema: Value) -> Value {
    json!({ "description": description, "required": true, "schema": schema })
}

/// The headers of replies.
fn headers() -> Value {
    let mut headers = json!({
        "X-Request-Id": header("Finds the request in the server's log", json!({ "type": "string" })),
        "ETag": header("The revision, for If-Match", json!({ "type": "string", "examples": ["\"1\""] })),
        "Location": header("Path of what was made", json!({ "type": "string", "format": "uri-reference" })),
        "WWW-Authenticate": header("How to show a key", json!({ "type": "string", "examples": ["Bearer"] })),
        "Retry-After": header("Seconds to wait before the next try", json!({ "type": "integer", "minimum": 0 })),
    });
    // A restored database waits for an operator, and nobody knows for how long.
    headers["Retry-After"]["required"] = json!(false);
    headers
}

/// Calls schemas by their names: the items of pages, which would be written out again in each, and what has that of a type
/// of the language.
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

/// Leads all references to one place to another.
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

/// The bounds that are checked when a text becomes a name, labels, or a description.
fn bounds(schemas: &mut Value) {
    // No slash, no control character, no white space at either end.
    schemas["Name"]["pattern"] = json!(
        r"^[^\s/\u0000-\u001f\u007f-\u009f]([^/\u0000-\u001f\u007f-\u009f]*[^\s/\u0000-\u001f\u007f-\u009f])?$"
    );
    schemas["Name"]["minLength"] = json!(1);
    schemas["Name"]["maxLength"] = json!(MAX_NAME);
    schemas["Name"]["examples"] = json!(["team-x"]);
    schemas["Labels"]["maxProperties"] = json!(MAX_LABELS);
    schemas["Labels"]["additionalProperties"]["maxLength"] = json!(MAX_LABEL_VALUE);
    for (name, schema) in fields(schemas) {
        let is_patch = name.ends_with("Patch");
        if !is_patch && !name.starts_with("New") {
            continue;
        }
        for (field, property) in fields(&mut schema["properties"]) {
            // The one field that null clears.
            if is_patch && field != "default_prefix_length" {
                not_null(property);
            }
            if field == "description" || field == "reason" {
                property["maxLength"] = json!(MAX_TEXT);
            }
        }
    }
}

/// In what is asked for, null stands for a field that is not given.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_complete() {
        let document = crate::http::openapi::document();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let at = format!("{method} {path}");
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let in_path =
                        path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap()));
                    assert_eq!(parameter["in"] == "path", in_path, "{at}: {parameter}");
                    assert_eq!(parameter["required"], in_path, "{at}: {parameter}");
                }
                let sends = ["post", "patch"].contains(&method.as_str());
                assert_eq!(operation["requestBody"]["required"] == true, sends, "{at}");
                let replies = operation["responses"].as_object().unwrap();
                for status in ["400", "401", "500", "503", "504"] {
                    assert!(replies.contains_key(status), "{at}: {status}");
                }
                for (status, reply) in replies {
                    let description = reply["description"].as_str().unwrap_or_default();
                    assert!(!description.is_empty(), "{at}: {status}");
                    assert!(
                        reply["headers"]["X-Request-Id"].is_object(),
                        "{at}: {status}"
                    );
                }
            }
        }
        let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(
            document["components"]["schemas"]["Code"]["enum"],
            json!(codes)
        );
        resolve(&document, &document);
    }

    /// Every reference leads to something.
    fn resolve(document: &Value, value: &Value) {
        if let Some(reference) = value["$ref"].as_str() {
            let place = reference.trim_start_matches('#');
            assert!(document.pointer(place).is_some(), "{reference} dangles");
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|field| resolve(document, field)),
            Value::Array(items) => items.iter().for_each(|item| resolve(document, item)),
            _ => {}
        }
    }
}
