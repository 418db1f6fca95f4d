//! What happened to something, in words.

use serde_json::Value;

use crate::db::event::Entry;

/// Events that are shown.
pub(super) const EVENTS: i64 = 100;

/// An event in words.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) entry: Entry,
    pub(super) what: String,
}

impl Line {
    pub(super) fn new(entry: Entry) -> Self {
        Self {
            what: words(&entry.action, &entry.detail),
            entry,
        }
    }
}

/// The text for an event.
pub(super) fn words(action: &str, detail: &Value) -> String {
    match action.split_once('.') {
        Some(("session", "open")) => "signed in".to_owned(),
        Some(("session", "close")) => "signed out".to_owned(),
        Some(("access", "wrong_key")) => times("showed a key that nobody has", detail),
        Some(("access", "denied")) => times("was refused", detail),
        Some(("access", "expired")) => times("showed a key that has expired", detail),
        Some(("plan", "export")) => times("exported the plan", detail),
        Some(("allocation", "replay")) => "asked for again by the same request".to_owned(),
        Some(("webhook", "rotate")) => "given a new secret".to_owned(),
        Some(("webhook", "stop")) => "stopped, since nothing could be delivered".to_owned(),
        Some(("webhook", "resume")) => "goes on".to_owned(),
        Some(("webhook", "test")) => "tested".to_owned(),
        Some(("allocation", "create")) => "allocated".to_owned(),
        Some(("allocation", "release")) => "released".to_owned(),
        Some(("allocation", "resize")) => resized(detail),
        Some((_, "create")) => "created".to_owned(),
        Some((_, "delete")) => "deleted".to_owned(),
        Some((_, "revoke")) => "revoked".to_owned(),
        Some((_, "import")) => "imported".to_owned(),
        Some((_, "adopt")) => adopted(detail),
        Some((_, "confirm")) => "confirmed by its owner".to_owned(),
        Some((_, "update")) => {
            let fields = detail.as_object().into_iter().flatten();
            let changes: Vec<_> = fields
                .filter(|(key, _)| !["before", "dry_run"].contains(&key.as_str()))
                .map(|(key, value)| change(key, value))
                .collect();
            if changes.is_empty() {
                "changed".to_owned()
            } else {
                changes.join("; ")
            }
        }
        _ => action.replace(['.', '_'], " "),
    }
}

/// A repeated request makes what it names be as it says.
fn adopted(detail: &Value) -> String {
    let changed: Vec<_> = (detail["changed"].as_object().into_iter().flatten())
        .map(|(field, _)| field.replace('_', " "))
        .collect();
    match &changed[..] {
        [] => "taken over by a repeated request".to_owned(),
        fields => format!(
            "taken over by a repeated request, which replaced its {}",
            fields.join(" and ")
        ),
    }
}

/// Attempts are counted, and noted together.
fn times(what: &str, detail: &Value) -> String {
    match detail["count"].as_u64() {
        None | Some(0 | 1) => what.to_owned(),
        Some(count) => format!("{what} {} times", crate::text::thousands(count)),
    }
}

fn resized(detail: &Value) -> String {
    let (from, to) = (said(&detail["before"]), said(&detail["cidrs"]));
    if from.is_empty() || to.is_empty() {
        "resized".to_owned()
    } else {
        format!("resized from {from} to {to}")
    }
}

fn change(key: &str, value: &Value) -> String {
    match (key, value) {
        ("vpc", Value::String(vpc)) => format!("moved to VPC {vpc}"),
        ("name", Value::String(name)) => format!("renamed to {name}"),
        ("description", _) => "description changed".to_owned(),
        ("reason", Value::String(reason)) => format!("reason changed to {reason}"),
        ("public_id", _) => "given a new secret".to_owned(),
        ("expires_at", Value::Null) => "no longer ends".to_owned(),
        ("deletion_protection", Value::Bool(true)) => "protected from deletion".to_owned(),
        ("deletion_protection", _) => "deletion protection switched off".to_owned(),
        ("labels", Value::Object(labels)) if labels.is_empty() => "labels removed".to_owned(),
        ("limits", Value::Object(limits)) if limits.is_empty() => "limits removed".to_owned(),
        ("added_ranges", cidrs) => format!("added {}", said(cidrs)),
        ("removed_ranges", cidrs) => format!("removed {}", said(cidrs)),
        ("members", Value::Array(members)) => {
            let roles = members.iter().filter_map(|member| member["role"].as_str());
            format!("members set to {}", roles.collect::<Vec<_>>().join(", "))
        }
        (key, value) => match said(value).as_str() {
            "" => format!("{} removed", key.replace('_', " ")),
            said => format!("{} set to {said}", key.replace('_', " ")),
        },
    }
}

/// A value without the punctuation of JSON.
pub(super) fn said(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(said).collect::<Vec<_>>().join(", "),
        Value::Object(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, value)| format!("{key}={}", said(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_told_in_words() {
        assert_eq!(words("allocation.create", &json!({})), "allocated");
        assert_eq!(words("pool.create", &json!({})), "created");
        assert_eq!(words("token.revoke", &json!({})), "revoked");
        assert_eq!(
            words("access.denied", &json!({ "count": 1200 })),
            "was refused 1,200 times"
        );
        assert_eq!(words("access.denied", &json!({})), "was refused");
        let cases = [
            (
                json!({ "vpc": "b", "labels": { "a": "1", "b": "2" }, "dry_run": false, "before": { "vpc": "a" } }),
                "labels set to a=1, b=2; moved to VPC b",
            ),
            (json!({ "hosts": 400 }), "hosts set to 400"),
            (
                json!({ "deletion_protection": true }),
                "protected from deletion",
            ),
            (
                json!({ "default_prefix_length": null, "before": {} }),
                "default prefix length removed",
            ),
            (
                json!({ "added_ranges": ["10.1.0.0/16", "10.2.0.0/16"] }),
                "added 10.1.0.0/16, 10.2.0.0/16",
            ),
            (json!({ "dry_run": false, "before": {} }), "changed"),
            (json!({ "expires_at": null }), "no longer ends"),
            (
                json!({ "members": [{ "role": "a", "pool": "p" }, { "role": "b" }] }),
                "members set to a, b",
            ),
        ];
        for (detail, expected) in cases {
            assert_eq!(words("allocation.update", &detail), expected);
        }
        assert_eq!(
            words(
                "allocation.resize",
                &json!({ "before": ["10.0.0.0/24"], "cidrs": ["10.0.0.0/23"] })
            ),
            "resized from 10.0.0.0/24 to 10.0.0.0/23"
        );
        assert_eq!(
            words("allocation.new_thing", &json!({})),
            "allocation new thing"
        );
    }
}
