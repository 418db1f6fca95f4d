//! Labels of what the provider creates: those of the resource, which override the provider's `default_labels`.

use std::collections::BTreeMap;

use ipam_shared::labels::{LabelError, Labels};
use tfplugin::{
    Attribute, Context, Diagnostic, Field, Path, Plan, Result, ToValue as _, Type, Value,
};

use crate::connection::Connection;

pub(crate) type LabelMap = BTreeMap<String, String>;

/// The type of labels.
pub(crate) fn attribute() -> Attribute {
    Attribute::map(Type::String)
}

/// The configured labels, and the effective ones.
pub(crate) fn attributes() -> [(&'static str, Attribute); 2] {
    [
        (
            "labels",
            attribute().default(Value::Map(BTreeMap::new())).describe(
                "Key-value pairs that say what it is for: at most 64, keys of 1 to 63 and values of at most 256 \
                 characters. Default: none. Changed in place.",
            ),
        ),
        (
            "effective_labels",
            attribute().computed().use_state_for_unknown().describe(
                "All labels that it has: the provider's `default_labels` and `labels`, which take precedence.",
            ),
        ),
    ]
}

/// Refuses labels that the server would refuse, as far as known.
pub(crate) fn check(config: &Value, name: &str) -> Result<()> {
    let labels = config.get(name);
    if !labels.is_wholly_known() {
        return Ok(());
    }
    let labels: Option<LabelMap> = config.attribute(name)?;
    Labels::new(labels.unwrap_or_default())
        .map(drop)
        .map_err(|error| {
            Diagnostic::error("Invalid labels", format!("In {name}: {error}."))
                .at(Path::attribute(name))
                .into()
        })
}

/// One of the labels as the server's filter, which takes one only, and what comes before its first = as the key.
pub(crate) fn of_filter(wanted: &LabelMap) -> Option<String> {
    let mut known = wanted.iter().filter(|(key, _)| !key.contains('='));
    known.next().map(|(key, value)| format!("{key}={value}"))
}

/// Plans the effective labels, if everything they depend on is known.
pub(crate) fn plan(ctx: &Context<Connection>, plan: &mut Plan) -> Result<()> {
    match (
        ctx.try_client(),
        plan.planned.get("labels").is_wholly_known(),
    ) {
        (Some(connection), true) => {
            let labels: LabelMap = plan.planned("labels")?;
            plan.set("effective_labels", &merged(connection, labels));
        }
        _ => plan.set_unknown("effective_labels"),
    }
    Ok(())
}

/// The labels to send for a plan.
pub(crate) fn effective(connection: &Connection, planned: &Value) -> Result<Labels> {
    let labels: LabelMap = planned.attribute("labels")?;
    Labels::new(merged(connection, labels)).map_err(|error: LabelError| {
        Diagnostic::error(
            "Invalid labels",
            format!("With the provider's default_labels, {error}."),
        )
        .at("labels")
        .into()
    })
}

/// The provider's `default_labels` and these, which take precedence.
pub(crate) fn merged(connection: &Connection, labels: LabelMap) -> LabelMap {
    let mut merged = connection.default_labels.clone();
    merged.extend(labels);
    merged
}

/// Sets both attributes to what the server has. `known` is the plan or the prior state: a label that is not in it but among
/// the provider's defaults does not count as the resource's.
pub(crate) fn settle(
    all: &Labels,
    known: &Value,
    connection: &Connection,
    state: &mut Value,
) -> Result<()> {
    let own: Option<LabelMap> = known.attribute("labels")?;
    // Unknown in a plan whose labels were unknown.
    let before: Field<LabelMap> = known.attribute("effective_labels")?;
    let before = before.known().unwrap_or_default();
    let is_default = |key: &str, value: &str| {
        [before.get(key), connection.default_labels.get(key)]
            .into_iter()
            .flatten()
            .any(|default| default == value)
    };
    let labels: BTreeMap<String, Value> = all
        .iter()
        .filter(|(key, value)| {
            own.as_ref().is_some_and(|own| own.contains_key(*key)) || !is_default(key, value)
        })
        .map(|(key, value)| (key.to_owned(), Value::from(value)))
        .collect();
    state.set("labels", labels);
    state.set("effective_labels", LabelMap::from(all.clone()).to_value());
    Ok(())
}
