//! An event as the page of events tells it.

use ipam_shared::api::event::Event;
use serde_json::Value;

use super::address;
use crate::pages::{
    events::{said, words},
    form::Input,
};

/// Fields of an event that are shown, and characters of each value: an import may name thousands.
const FIELDS: usize = 60;
const CHARACTERS: usize = 600;
/// An event on the page.
pub(super) struct Row {
    pub(super) event: Event,
    /// What it is about.
    pub(super) noun: String,
    pub(super) name: Option<String>,
    /// The name of an allocation, of whose VPC the event says nothing.
    pub(super) own: Option<String>,
    pub(super) href: Option<String>,
    pub(super) what: String,
    /// The pages of the same by the same, and about the same.
    pub(super) by: String,
    pub(super) about: String,
    /// Where it came from.
    pub(super) source: Vec<(&'static str, String)>,
    /// A field, what it was, what it became.
    pub(super) details: Vec<(String, Option<String>, String)>,
    /// Whether somebody tried what was not allowed.
    pub(super) is_refusal: bool,
}

impl Row {
    pub(super) fn new(event: Event) -> Self {
        let noun = event.action.split('.').next().unwrap_or_default();
        let noun = match noun {
            "vpc" | "vrf" => noun.to_uppercase(),
            "access" | "session" | "plan" => String::new(),
            other => other.replace('_', " "),
        };
        let mut name = name(&event.detail);
        let is_half = noun == "allocation" && name.as_ref().is_some_and(|it| !it.contains('/'));
        let own = if is_half { name.take() } else { None };
        Self {
            what: cut(&words(&event.action, &event.detail)),
            name,
            own,
            href: href(&event),
            by: address(&Input::default().with("actor", event.actor.as_str())),
            about: address(&Input::default().with("subject", event.subject.to_string())),
            source: source(&event),
            details: details(&event.detail),
            is_refusal: event.action.starts_with("access."),
            noun,
            event,
        }
    }
}

/// What it was called then.
fn name(detail: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let before = &detail["before"];
    let own = text(&before["name"]).or_else(|| text(&detail["name"]));
    let vpc = text(&before["vpc"]).or_else(|| text(&detail["vpc"]));
    let name = match (vpc, own) {
        (Some(vpc), Some(name)) => Some(format!("{vpc}/{name}")),
        // Its name is looked for elsewhere: that of its VPC is none.
        (Some(_), None) => None,
        (None, own) => own.or_else(|| text(&detail["cidr"])),
    };
    name.map(|name| cut(&name))
}

/// The page of what an event is about.
fn href(event: &Event) -> Option<String> {
    let noun = event.action.split('.').next()?;
    let nouns = [
        "allocation",
        "vpc",
        "vrf",
        "pool",
        "profile",
        "reservation",
        "token",
        "webhook",
    ];
    let path = format!("/ui/{noun}s/{}", event.subject);
    nouns.contains(&noun).then_some(path)
}

fn source(event: &Event) -> Vec<(&'static str, String)> {
    let Some(source) = &event.source else {
        return Vec::new();
    };
    let pairs = [
        ("address", source.address.map(|it| it.to_string())),
        ("workspace", source.workspace.clone()),
        ("run", source.run.clone()),
        ("commit", source.commit.clone()),
        ("owner of the token", source.owner.clone()),
    ];
    pairs
        .into_iter()
        .filter_map(|(label, value)| Some((label, value?)))
        .collect()
}

/// The fields of an event: of a change, what they were and became; of an end, what they were.
fn details(detail: &Value) -> Vec<(String, Option<String>, String)> {
    let empty = serde_json::Map::new();
    let mut all = detail.as_object().cloned().unwrap_or_default();
    // What an adoption replaced stands by itself.
    if let Some(Value::Object(changed)) = all.remove("changed") {
        all.extend(changed);
    }
    let before = detail["before"].as_object().unwrap_or(&empty);
    let now = all
        .iter()
        .filter(|(field, _)| !["before", "dry_run"].contains(&field.as_str()));
    let now = now.map(|(field, value)| {
        let was = before.get(field).map(|was| cut(&said(was)));
        (field, was, cut(&said(value)))
    });
    let gone = before
        .iter()
        .filter(|(field, _)| !all.contains_key(*field))
        .map(|(field, was)| (field, Some(cut(&said(was))), String::new()));
    now.chain(gone)
        .filter(|(_, was, now)| !now.is_empty() || was.as_ref().is_some_and(|was| !was.is_empty()))
        .take(FIELDS)
        .map(|(field, was, now)| (field.replace('_', " "), was, now))
        .collect()
}

/// A text that fits on the page.
fn cut(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_with_what_was_before() {
        let detail = json!({
            "name": "b", "labels": {}, "dry_run": false, "new_size": 5,
            "before": { "name": "a", "labels": { "k": "v" }, "hosts": 7 },
        });
        assert_eq!(
            details(&detail),
            [
                ("labels".to_owned(), Some("k=v".to_owned()), String::new()),
                ("name".to_owned(), Some("a".to_owned()), "b".to_owned()),
                ("new size".to_owned(), None, "5".to_owned()),
                ("hosts".to_owned(), Some("7".to_owned()), String::new()),
            ]
        );
        assert_eq!(name(&detail).as_deref(), Some("a"));
        assert_eq!(
            name(&json!({ "vpc": "b", "before": { "vpc": "a" } })),
            None,
            "its VPC is not its name"
        );
        assert_eq!(
            name(&json!({ "vpc": "v", "name": "n" })).as_deref(),
            Some("v/n")
        );
        assert_eq!(
            name(&json!({ "cidr": "10.0.0.0/8" })).as_deref(),
            Some("10.0.0.0/8")
        );
        assert_eq!(name(&json!({})), None);
    }

    #[test]
    fn however_much_an_event_says_a_page_shows_a_part() {
        let long = "ü".repeat(5_000);
        let many: serde_json::Map<_, _> = (0..500)
            .map(|number| (format!("f{number}"), json!(long)))
            .collect();
        let shown = details(&Value::Object(many));
        assert_eq!(shown.len(), FIELDS);
        assert_eq!(shown[0].2.chars().count(), CHARACTERS + 1);
    }
}
