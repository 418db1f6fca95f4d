//! What Terraform itself does before it asks for a plan: merging configuration and prior state. Needed by the driver,
//! which stands in for Terraform, and by the tests of planning.

use std::collections::BTreeMap;

use crate::attribute::{Attribute, AttributeType};
use crate::schema::Body;
use crate::types::Nesting;
use crate::value::Value;

/// What the configuration sets, and the prior values of computed attributes that it leaves out.
pub(crate) fn proposed_state(body: &Body, prior: Option<&Value>, config: &Value) -> Value {
    let null = Value::Null;
    merge_body(body, prior.unwrap_or(&null), config)
}

fn merge_body(body: &Body, prior: &Value, config: &Value) -> Value {
    let Value::Map(mut merged) = merge_attributes(&body.attributes, prior, config) else {
        return config.clone();
    };
    for (name, block) in &body.blocks {
        let merge = |prior: &Value, config: &Value| merge_body(&block.body, prior, config);
        merged.insert(
            name.clone(),
            merge_elements(block.nesting, prior.get(name), config.get(name), &merge),
        );
    }
    Value::Map(merged)
}

fn merge_attributes(
    attributes: &BTreeMap<String, Attribute>,
    prior: &Value,
    config: &Value,
) -> Value {
    if !matches!(config, Value::Map(_)) {
        return config.clone();
    }
    let merge = |(name, attribute): (&String, &Attribute)| {
        let (prior, config) = (prior.get(name), config.get(name));
        let value = if config.is_null() && attribute.computed {
            prior.clone()
        } else if let AttributeType::Nested(nesting, attributes) = &attribute.ty {
            let merge = |prior: &Value, config: &Value| merge_attributes(attributes, prior, config);
            merge_elements(*nesting, prior, config, &merge)
        } else {
            config.clone()
        };
        (name.clone(), value)
    };
    Value::Map(attributes.iter().map(merge).collect())
}

fn merge_elements(
    nesting: Nesting,
    prior: &Value,
    config: &Value,
    merge: &dyn Fn(&Value, &Value) -> Value,
) -> Value {
    match (nesting, config) {
        (Nesting::Single, Value::Map(_)) => merge(prior, config),
        (Nesting::Map, Value::Map(elements)) => Value::Map(
            elements
                .iter()
                .map(|(key, v)| (key.clone(), merge(prior.get(key), v)))
                .collect(),
        ),
        (Nesting::List, Value::List(elements)) => {
            let prior = prior.as_list().unwrap_or_default();
            let merged = elements
                .iter()
                .enumerate()
                .map(|(i, v)| merge(prior.get(i).unwrap_or(&Value::Null), v));
            Value::List(merged.collect())
        }
        (Nesting::Set, Value::List(elements)) => {
            // The prior element whose configured part is the same; each can be used once.
            let mut candidates: Vec<&Value> = prior.as_list().unwrap_or_default().iter().collect();
            let merged = elements.iter().map(|config| {
                let found = candidates
                    .iter()
                    .position(|prior| merge(prior, config) == **prior);
                found.map_or_else(
                    || merge(&Value::Null, config),
                    |i| candidates.swap_remove(i).clone(),
                )
            });
            Value::List(merged.collect())
        }
        _ => config.clone(),
    }
}
