//! The standard part of planning, and keeping values in the shape that Terraform's consistency rules require.
//!
//! Terraform proposes a merge of configuration and prior state. What is left to decide is which computed attributes
//! become unknown, which defaults apply, and which changes need a new resource. All of it follows from the schema.

use std::collections::BTreeMap;

use crate::attribute::{Attribute, AttributeType, OnUpdate, Replace};
use crate::diagnostic::Diagnostic;
use crate::path::Path;
use crate::plan::{Plan, replacement};
use crate::private::Private;
use crate::schema::{Body, Schema};
use crate::types::{Nesting, Type};
use crate::value::Value;

/// The plan that follows from the schema alone.
pub(crate) fn standard_plan(
    schema: &Schema,
    config: Value,
    prior: Option<Value>,
    proposed: Value,
    private: Private,
) -> Plan {
    let mut planned = proposed;
    fill_defaults(&schema.body, &config, &mut planned);
    clear_write_only(&schema.body, &mut planned);
    let mut plan = Plan {
        config,
        prior,
        planned,
        private,
        earlier: None,
        replace: Default::default(),
        reasons: Vec::new(),
    };
    let null = Value::Null;
    let prior = plan.prior.as_ref().unwrap_or(&null);
    let changed = |name: &str| {
        let ty = schema
            .body
            .attributes
            .get(name)
            .map_or(Type::Dynamic, Attribute::ty);
        !same(&ty, prior.get(name), plan.planned.get(name))
    };
    if plan.prior.is_some() {
        let mut replacements = Vec::new();
        find_replacements(
            &schema.body,
            &plan.config,
            prior,
            &plan.planned,
            &Path::root(),
            &mut replacements,
        );
        for (path, reason) in replacements {
            plan.reasons
                .extend(reason.map(|reason: String| -> Diagnostic { replacement(&path, reason) }));
            plan.replace.insert(path);
        }
        if same(&schema.ty(), prior, &plan.planned) {
            return plan;
        }
    }
    let mut planned = plan.planned.clone();
    mark_unknown(&schema.body, &plan.config, prior, &mut planned, &changed);
    plan.planned = planned;
    plan
}

/// Whether two values of a type are the same; sets have no order.
pub(crate) fn same(ty: &Type, a: &Value, b: &Value) -> bool {
    match (ty, a, b) {
        (Type::Set(element), Value::List(a), Value::List(b)) => {
            let mut rest: Vec<&Value> = b.iter().collect();
            a.len() == b.len()
                && a.iter().all(|x| {
                    let found = rest.iter().position(|y| same(element, x, y));
                    found.map(|i| rest.swap_remove(i)).is_some()
                })
        }
        (Type::List(element), Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(element, a, b))
        }
        (Type::Map(element), Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, a)| b.get(key).is_some_and(|b| same(element, a, b)))
        }
        (Type::Object(types), Value::Map(_), Value::Map(_)) => types
            .iter()
            .all(|(name, ty)| same(ty, a.get(name), b.get(name))),
        (_, Value::Dynamic(..), Value::Dynamic(..)) => a == b,
        _ => a.plain() == b.plain(),
    }
}

/// One nested object: its attributes and blocks, together with the corresponding parts of other values.
struct Element<'a> {
    config: &'a Value,
    prior: &'a Value,
    planned: &'a mut Value,
}

static NULL: Value = Value::Null;

/// Pairs the elements of a nested value with those of configuration and prior state.
fn elements<'a>(
    nesting: Nesting,
    config: &'a Value,
    prior: &'a Value,
    planned: &'a mut Value,
) -> Vec<Element<'a>> {
    match (nesting, planned) {
        (_, Value::Null | Value::Unknown) => Vec::new(),
        (Nesting::Single, planned) => vec![Element {
            config,
            prior,
            planned,
        }],
        (Nesting::Map, Value::Map(planned)) => planned
            .iter_mut()
            .map(|(key, planned)| Element {
                config: config.get(key),
                prior: prior.get(key),
                planned,
            })
            .collect(),
        (Nesting::Set, Value::List(planned)) => planned
            .iter_mut()
            .map(|planned| {
                // Elements of a set have no key. The configured one agrees in all that it sets; the prior one, if the
                // element is an old one, is equal: Terraform has filled in its computed attributes already.
                let find = |list: &'a Value, agrees: &dyn Fn(&Value) -> bool| {
                    list.as_list()
                        .and_then(|l| l.iter().find(|&v| agrees(v)))
                        .unwrap_or(&NULL)
                };
                let config = find(config, &|config| covers(planned, config));
                let prior = find(prior, &|prior| prior == planned);
                Element {
                    config,
                    prior,
                    planned,
                }
            })
            .collect(),
        (Nesting::List, Value::List(planned)) => {
            let at =
                |list: &'a Value, i: usize| list.as_list().and_then(|l| l.get(i)).unwrap_or(&NULL);
            let pairs = planned.iter_mut().enumerate();
            pairs
                .map(|(i, planned)| Element {
                    config: at(config, i),
                    prior: at(prior, i),
                    planned,
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Whether `full` has everything that `part` sets.
fn covers(full: &Value, part: &Value) -> bool {
    match (full, part) {
        (_, Value::Null) => true,
        (Value::Map(full), Value::Map(part)) => part
            .iter()
            .all(|(name, part)| full.get(name).is_some_and(|full| covers(full, part))),
        _ => full == part,
    }
}

/// Calls `visit` for each attribute of `body` and of everything nested in it.
fn walk(
    body: &Body,
    config: &Value,
    prior: &Value,
    value: &mut Value,
    visit: &mut dyn FnMut(&Attribute, &Value, &Value, &mut Value),
) {
    walk_attributes(&body.attributes, config, prior, value, visit);
    let Value::Map(map) = value else { return };
    for (name, block) in &body.blocks {
        let Some(slot) = map.get_mut(name) else {
            continue;
        };
        for element in elements(block.nesting, config.get(name), prior.get(name), slot) {
            walk(
                &block.body,
                element.config,
                element.prior,
                element.planned,
                visit,
            );
        }
    }
}

fn walk_attributes(
    attributes: &BTreeMap<String, Attribute>,
    config: &Value,
    prior: &Value,
    value: &mut Value,
    visit: &mut dyn FnMut(&Attribute, &Value, &Value, &mut Value),
) {
    let Value::Map(map) = value else { return };
    for (name, attribute) in attributes {
        let slot = map.entry(name.clone()).or_default();
        let (config, prior) = (config.get(name), prior.get(name));
        visit(attribute, config, prior, slot);
        if let AttributeType::Nested(nesting, attributes) = &attribute.ty {
            for element in elements(*nesting, config, prior, slot) {
                walk_attributes(
                    attributes,
                    element.config,
                    element.prior,
                    element.planned,
                    visit,
                );
            }
        }
    }
}

fn fill_defaults(body: &Body, config: &Value, planned: &mut Value) {
    walk(
        body,
        config,
        &NULL,
        planned,
        &mut |attribute, config, _, slot| {
            if let Some(default) = attribute.default.as_ref().filter(|_| config.is_null()) {
                *slot = default.clone();
            }
        },
    );
}

/// Write-only attributes are never part of a plan or state.
pub(crate) fn clear_write_only(body: &Body, value: &mut Value) {
    walk(body, &NULL, &NULL, value, &mut |attribute, _, _, slot| {
        if attribute.write_only {
            *slot = Value::Null;
        }
    });
}

/// Turns a state into a configuration: without attributes that can't be configured, and without defaults.
pub(crate) fn keep_configurable(body: &Body, value: &mut Value) {
    walk(body, &NULL, &NULL, value, &mut |attribute, _, _, slot| {
        let settable = attribute.required || attribute.optional;
        if !settable || attribute.write_only || attribute.default.as_ref() == Some(slot) {
            *slot = Value::Null;
        }
    });
}

fn mark_unknown(
    body: &Body,
    config: &Value,
    prior: &Value,
    planned: &mut Value,
    changed: &dyn Fn(&str) -> bool,
) {
    walk(
        body,
        config,
        prior,
        planned,
        &mut |attribute, config, prior, slot| {
            let open = attribute.computed && attribute.default.is_none() && config.is_null();
            // Without a value in the state there is nothing to keep: the object is new, or the attribute is.
            let unknown = prior.is_null()
                || match &attribute.on_update {
                    OnUpdate::Unknown => true,
                    OnUpdate::Keep => false,
                    OnUpdate::UnknownWhenChanged(names) => names.iter().any(|name| changed(name)),
                };
            if open {
                *slot = if unknown {
                    Value::Unknown
                } else {
                    prior.clone()
                };
            }
        },
    );
}

type Replacements = Vec<(Path, Option<String>)>;

fn find_replacements(
    body: &Body,
    config: &Value,
    prior: &Value,
    planned: &Value,
    path: &Path,
    found: &mut Replacements,
) {
    replaced_attributes(&body.attributes, config, prior, planned, path, found);
    for (name, block) in &body.blocks {
        let (config, prior, planned) = (config.get(name), prior.get(name), planned.get(name));
        for (path, [config, prior, planned]) in
            keyed(block.nesting, [config, prior, planned], &path.then(name))
        {
            find_replacements(&block.body, config, prior, planned, &path, found);
        }
    }
}

fn replaced_attributes(
    attributes: &BTreeMap<String, Attribute>,
    config: &Value,
    prior: &Value,
    planned: &Value,
    path: &Path,
    found: &mut Replacements,
) {
    for (name, attribute) in attributes {
        let path = path.then(name);
        let (config, prior, planned) = (config.get(name), prior.get(name), planned.get(name));
        if let Replace::Always(reason) = &attribute.replace {
            // Computed values do not count as changes, unless the user asks for something else.
            let asked = !attribute.computed || attribute.default.is_some() || !config.is_null();
            if asked && !same(&attribute.ty(), prior, planned) {
                found.push((path.clone(), reason.clone()));
            }
        }
        if let AttributeType::Nested(nesting, attributes) = &attribute.ty {
            for (path, [config, prior, planned]) in keyed(*nesting, [config, prior, planned], &path)
            {
                replaced_attributes(attributes, config, prior, planned, &path, found);
            }
        }
    }
}

/// The elements that exist before and after, by their path. Elements of sets have none: the whole set can require a
/// replacement, an attribute inside can't.
fn keyed<'a>(nesting: Nesting, values: [&'a Value; 3], path: &Path) -> Vec<(Path, [&'a Value; 3])> {
    let [_, prior, planned] = values;
    match (nesting, prior, planned) {
        (Nesting::Single, Value::Map(_), Value::Map(_)) => vec![(path.clone(), values)],
        (Nesting::Map, Value::Map(prior), Value::Map(planned)) => {
            let common = prior.keys().filter(|key| planned.contains_key(*key));
            common
                .map(|key| (path.key(key), values.map(|v| v.get(key))))
                .collect()
        }
        (Nesting::List, Value::List(prior), Value::List(planned)) => {
            let at = |v: &'a Value, i: usize| v.as_list().and_then(|l| l.get(i)).unwrap_or(&NULL);
            (0..prior.len().min(planned.len()))
                .map(|i| (path.index(i), values.map(|v| at(v, i))))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Shapes a state that a handler returned: write-only attributes are null, and where an API can't tell "none" from
/// "empty", `reference` (the plan, or the state before) decides which of the two it is.
pub(crate) fn settle(body: &Body, reference: &Value, state: &mut Value) {
    clear_write_only(body, state);
    walk(
        body,
        reference,
        &NULL,
        state,
        &mut |attribute, reference, _, slot| {
            if attribute.computed {
                return;
            }
            if reference.is_null() && is_empty(slot) || is_empty(reference) && slot.is_null() {
                *slot = reference.clone();
            }
        },
    );
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::List(elements) => elements.is_empty(),
        Value::Map(elements) => elements.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
#[path = "planning_tests.rs"]
mod tests;
