//! Examples of requests and replies, all of them real: a test makes each request, compares what comes back with
//! `examples.json`, and writes that file for `.ci/generate`.

use std::sync::LazyLock;

use serde_json::{Value, json};

/// By operation `request` and `replies` by status; and refusals by their code.
static EXAMPLES: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("examples.json")).unwrap_or_default());

/// Adds those of an operation.
pub(super) fn add(operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default();
    let Some(known) = EXAMPLES["operations"].get(id) else {
        return;
    };
    if let (Some(content), Some(request)) = (
        operation.pointer_mut("/requestBody/content/application~1json"),
        known.get("request"),
    ) {
        content["examples"] = json!({ "request": { "value": request } });
    }
    for (status, reply) in known["replies"].as_object().into_iter().flatten() {
        let place = format!("/responses/{status}/content/application~1json");
        if let Some(content) = operation.pointer_mut(&place) {
            content["examples"] = json!({ "reply": { "value": reply } });
        }
    }
}

/// A refusal with that code. There is none for codes that only occur when something is broken.
pub(super) fn problem(code: &str) -> Option<&'static Value> {
    EXAMPLES["problems"].get(code)
}
