//! What all operations of the OpenAPI document have in common, added in one place: the refusals that any request can get,
//! the headers of replies, the bounds of names and pages. Handlers document only what is specific to them.

mod examples;
mod schemas;

use ipam_shared::{
    api::{
        MAX_BATCH_IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY,
        event::MAX_WAIT,
        ownership::{MAX_OWNER, NEVER},
    },
    error::Code,
    page::{DEFAULT_LIMIT, MAX_LIMIT},
};
use serde_json::{Map, Value, json};

use super::rights;

/// Where a problem is described.
const PROBLEM: &str = "#/components/schemas/Problem";

/// Completes the document that was generated from the handlers.
pub(super) fn complete(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    for (path, item) in fields(&mut document["paths"]) {
        let allowed = allowed(item);
        for (method, operation) in fields(item) {
            rights::describe(method, path, operation);
            conditions(method, operation, &schemas);
            parameters(operation);
            if operation["operationId"] == "import_plan" {
                let schema = &mut operation["requestBody"]["content"]["application/json"]["schema"];
                // A sequence of records is accepted too.
                *schema = json!({ "oneOf": [schema.clone(), schema["items"].clone()] });
            }
            refusals(operation, path.contains('{'));
            replies(operation, &schemas);
            examples::add(operation);
            let allow = header(
                "The methods of this path",
                json!({ "type": "string", "const": allowed }),
            );
            operation["responses"]["405"]["headers"]["Allow"] = allow;
        }
    }
    document["components"]["headers"] = headers();
    schemas::complete(document);
}

/// The members of an object; none for any other value.
fn fields(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

/// The methods of a path, as in the header `Allow`.
fn allowed(item: &Value) -> String {
    // In the router's order.
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

/// What has an ETag may be read on the condition that it is another one.
fn conditions(method: &str, operation: &mut Value, schemas: &Value) {
    if method != "get" || !has_revision(&operation["responses"]["200"], schemas) {
        return;
    }
    let parameter = json!({
        "name": "if-none-match", "in": "header", "schema": { "type": "string" },
        "description": "ETags of what the caller has already: if it is one of them, the answer is 304 without a body",
    });
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.push(parameter);
    }
    operation["responses"]["304"] = json!({ "description": "It is what the caller has already" });
}

/// Whether the body of a reply has a revision, or is a picture, and so has an ETag.
fn has_revision(response: &Value, schemas: &Value) -> bool {
    let kinds = response["content"].as_object().into_iter().flatten();
    if kinds
        .into_iter()
        .any(|(kind, _)| kind.starts_with("image/"))
    {
        return true;
    }
    let schema = response["content"]["application/json"]["schema"]["$ref"].as_str();
    let name = schema.and_then(|path| path.rsplit('/').next());
    !schemas[name.unwrap_or_default()]["properties"]["revision"].is_null()
}

/// Queries are optional and never null; limits and ETags have their bounds.
fn parameters(operation: &mut Value) {
    let is_batch = operation["operationId"] == "create_allocations";
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
            Some("wait") => {
                parameter["schema"]["minimum"] = json!(0);
                parameter["schema"]["maximum"] = json!(MAX_WAIT);
                parameter["schema"]["default"] = json!(0);
            }
            // An event, where it is no time.
            Some("after") if parameter["schema"]["type"] == "integer" => {
                parameter["schema"]["minimum"] = json!(0);
            }
            Some("if-match") => {
                parameter["schema"]["pattern"] = json!(r#"^("[0-9]{1,18}(-[0-9a-f]{16})?"|[*])$"#);
                parameter["schema"]["minLength"] = json!(1);
                parameter["schema"]["examples"] = json!(["\"3\""]);
            }
            // Empty, it matches nothing.
            Some("if-none-match") => {
                parameter["schema"]["examples"] = json!(["\"3-9f86d081884c7d65\""]);
            }
            Some("idempotency-key") => {
                let longest = if is_batch {
                    MAX_BATCH_IDEMPOTENCY_KEY
                } else {
                    MAX_IDEMPOTENCY_KEY
                };
                parameter["schema"]["pattern"] = json!("^[!-~]([ -~]*[!-~])?$");
                parameter["schema"]["minLength"] = json!(1);
                parameter["schema"]["maxLength"] = json!(longest);
            }
            // Without a format: a header is text, and generated clients would put an object into it.
            Some("ipam-claim") => {
                parameter["schema"]["pattern"] =
                    json!("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$");
            }
            Some("ipam-owner") => {
                parameter["schema"]["pattern"] = json!("^[!-~]([ -~]*[!-~])?$");
                parameter["schema"]["minLength"] = json!(1);
                parameter["schema"]["maxLength"] = json!(MAX_OWNER);
                parameter["schema"]["examples"] = json!(["ws-3kX9"]);
            }
            Some("ipam-adopt") => parameter["schema"]["enum"] = json!([NEVER]),
            Some("label") => {
                parameter["schema"]["pattern"] = json!("^[^=]*=");
                parameter["schema"]["examples"] = json!(["environment=prod"]);
            }
            Some("ip" | "contains") => {
                parameter["schema"]["anyOf"] = json!([{ "format": "ipv4" }, { "format": "ipv6" }]);
                parameter["schema"]["examples"] = json!(["10.0.0.1"]);
            }
            Some("prefix_length") => {
                parameter["schema"]["minimum"] = json!(0);
                parameter["schema"]["maximum"] = json!(128);
            }
            Some("highlight") => {
                parameter["schema"]["examples"] = json!(["10.0.4.0/22,10.0.0.0/20"]);
            }
            Some("nonce") => parameter["schema"]["pattern"] = json!("^[0-9a-f]{64}$"),
            Some("cursor") => parameter["schema"]["minLength"] = json!(1),
            _ => {}
        }
    }
}

/// Removes null from the types of a schema.
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
    let mut statuses = vec![400, 401, 403, 405, 429, 500, 503, 504];
    if has_key || ["vrf", "vpc", "pool", "parent"].into_iter().any(takes) {
        statuses.extend([404, 410]);
    }
    if takes("if-match") {
        statuses.extend([412, 428]);
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
    let examples: Map<_, _> = names
        .iter()
        .filter_map(|code| {
            let value = examples::problem(code)?;
            Some(((*code).to_owned(), json!({ "value": value })))
        })
        .collect();
    let mut content = json!({ "schema": { "$ref": PROBLEM } });
    if !examples.is_empty() {
        content["examples"] = examples.into();
    }
    json!({
        "description": format!("{}: {}", names.join(" or "), titles.join(". Or: ")),
        "content": { "application/problem+json": content },
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
        let mut names = vec!["X-Request-Id", "RateLimit", "RateLimit-Policy"];
        if status == "304" || (has_revision(response, schemas) && !is_batch) {
            names.push("ETag");
        }
        if let Some(picture) = response["content"].get_mut("image/png") {
            picture["schema"] = json!({ "type": "string", "format": "binary" });
        }
        let schema = response["content"]["application/json"]["schema"]["$ref"].as_str();
        if schema.is_some_and(|schema| schema.starts_with("#/components/schemas/Page_")) {
            names.push("Link");
        }
        match status.as_str() {
            "201" => names.push("Location"),
            "401" => names.push("WWW-Authenticate"),
            "429" | "503" | "504" => names.push("Retry-After"),
            _ => {}
        }
        // Looking up a missing body left null.
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
        "ETag": header(
            "The revision, for If-Match; in replies to reads with a hash of the body behind it, for If-None-Match",
            json!({ "type": "string", "examples": ["\"1\"", "\"1-9f86d081884c7d65\""] }),
        ),
        "Link": header(
            "The next page, if there is one (RFC 8288)",
            json!({ "type": "string", "examples": ["<?limit=2&cursor=UUID>; rel=\"next\""] }),
        ),
        "RateLimit": header(
            "If requests are limited: how many are left, and seconds until all are back",
            json!({ "type": "string", "examples": ["\"token\";r=5999;t=1"] }),
        ),
        "RateLimit-Policy": header(
            "If requests are limited: by what, how many, and in how many seconds",
            json!({ "type": "string", "examples": ["\"token\";q=6000;w=60"] }),
        ),
        "Location": header("Path of what was created", json!({ "type": "string", "format": "uri-reference" })),
        "WWW-Authenticate": header("How to show a key", json!({ "type": "string", "examples": ["Bearer"] })),
        "Retry-After": header("Seconds to wait before the next try", json!({ "type": "integer", "minimum": 0 })),
    });
    // A restored database waits for an operator, for an unknown time. The last page has no next one, and most servers set no
    // limits.
    for name in ["Retry-After", "Link", "RateLimit", "RateLimit-Policy"] {
        headers[name]["required"] = json!(false);
    }
    headers
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
                // A test of a webhook takes nothing.
                let sends = ["post", "patch"].contains(&method.as_str())
                    && path != "/api/v1/webhooks/{webhook}/test";
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

    /// Every reference resolves.
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
