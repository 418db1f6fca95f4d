//! Every reply that a test of the API gets is compared with what the document says of it: the status, the headers and the
//! kind of the body. So it is not only said for the replies that somebody thought of.

use std::sync::LazyLock;

use ipam_server::http::openapi;
use serde_json::Value;

use crate::support::Reply;

static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi::document);

/// Headers that say something about a reply, and that clients act upon.
const HEADERS: [&str; 9] = [
    "Allow",
    "ETag",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
];

/// The path of the document that a request is for; literal parts go before parameters.
fn template(path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<_> = path.split('/').collect();
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let fits = |template: &&String| {
        let template: Vec<_> = template.split('/').collect();
        template.len() == parts.len()
            && template.iter().zip(&parts).all(|(template, part)| {
                template == part || (template.starts_with('{') && !part.is_empty())
            })
    };
    let found = paths
        .keys()
        .filter(fits)
        .min_by_key(|template| template.contains('{'));
    found.map(|found| &paths[found])
}

/// Whether the body of such a request has that field.
fn takes(operation: &Value, field: &str) -> bool {
    fn has(schema: &Value, names: &[&str]) -> bool {
        let [name, rest @ ..] = names else {
            return true;
        };
        let schema = match schema["$ref"].as_str() {
            Some(reference) => DOCUMENT
                .pointer(reference.trim_start_matches('#'))
                .expect("it leads somewhere"),
            None => schema,
        };
        let any = |word: &str| {
            let choices = schema[word].as_array();
            choices.is_some_and(|choices| choices.iter().any(|choice| has(choice, names)))
        };
        match &schema["properties"][*name] {
            Value::Null => {
                schema["additionalProperties"].is_object() || any("oneOf") || any("allOf")
            }
            property => has(property, rest),
        }
    }
    let names: Vec<_> = field.split('.').collect();
    has(
        &operation["requestBody"]["content"]["application/json"]["schema"],
        &names,
    )
}

/// Fails if the document says something else about such a reply.
#[track_caller]
pub(crate) fn compare(method: &str, path: &str, reply: &Reply) {
    let Some(operations) = template(path) else {
        return;
    };
    let operation = match method {
        "HEAD" => &operations["get"],
        method => &operations[method.to_lowercase()],
    };
    // A method that does not exist is described with those that do.
    let operation = match operation {
        Value::Null => operations
            .as_object()
            .and_then(|operations| operations.values().next())
            .expect("an operation"),
        operation => operation,
    };
    let at = format!("{method} {path}: {} {:?}", reply.status, reply.headers);
    let mut described = &operation["responses"][reply.status.to_string()];
    assert!(
        described.is_object(),
        "the document has no such reply to {at}"
    );
    if let Some(reference) = described["$ref"].as_str() {
        described = DOCUMENT
            .pointer(reference.trim_start_matches('#'))
            .expect("it leads somewhere");
    }
    for name in HEADERS {
        let mut header = &described["headers"][name];
        if let Some(reference) = header["$ref"].as_str() {
            header = DOCUMENT
                .pointer(reference.trim_start_matches('#'))
                .expect("it leads somewhere");
        }
        let is_there = reply.headers.contains_key(name);
        assert!(
            !is_there || header.is_object(),
            "the document has no {name} for {at}"
        );
        assert!(
            is_there || header["required"] != true,
            "{name} is missing from {at}"
        );
    }
    if let Some(field) = reply.json["details"]["field"].as_str() {
        // A field that does not exist is wrong too.
        assert!(
            reply.text.contains("unknown field") || takes(operation, field),
            "the document has no field {field} for {at}"
        );
    }
    let kind = reply
        .header("content-type")
        .split(';')
        .next()
        .unwrap_or_default();
    let kinds = described["content"].as_object();
    match (kind, kinds) {
        ("", None) => {}
        ("", Some(_)) => assert!(method == "HEAD", "no body in {at}"),
        (kind, kinds) => assert!(
            kinds.is_some_and(|kinds| kinds.contains_key(kind)),
            "the document has no body of that kind for {at}"
        ),
    }
}
