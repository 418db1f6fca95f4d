//! Terraform's rules: a plan keeps what is configured, and an apply does what was planned. A provider that breaks them
//! is refused by Terraform with an error that users can't fix.

use std::collections::BTreeMap;

use crate::attribute::Attribute;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::path::Path;
use crate::planning::same;
use crate::schema::Body;
use crate::types::Type;
use crate::value::Value;

/// Checks the attributes and, through their types, everything nested in them.
pub(crate) fn check_plan(
    body: &Body,
    config: &Value,
    prior: &Value,
    planned: &Value,
) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::new();
    check_attributes(
        &body.attributes,
        [config, prior, planned],
        &Path::root(),
        &mut errors,
    );
    for (name, block) in &body.blocks {
        let elements = [config, prior, planned].map(|v| v.get(name));
        check_elements(elements, &Path::attribute(name), &mut |values, path| {
            check_attributes(&block.body.attributes, values, path, &mut errors);
        });
    }
    errors.into_result()
}

fn check_attributes(
    attributes: &BTreeMap<String, Attribute>,
    values: [&Value; 3],
    path: &Path,
    errors: &mut Diagnostics,
) {
    use crate::attribute::AttributeType::Nested;
    for (name, attribute) in attributes {
        let path = path.then(name);
        let [config, prior, planned] = values.map(|v| v.get(name));
        let mut refuse = |what: &str| {
            let detail = format!("{what} Configured: {config:?}; planned: {planned:?}.");
            errors.push(Diagnostic::error("Provider produced invalid plan", detail).at(&path));
        };
        if attribute.write_only {
            if !planned.is_null() {
                refuse("A write-only value is planned.");
            }
        } else if config.is_null() {
            if !attribute.computed && !planned.is_null() {
                refuse("A value is planned for an attribute that is not computed.");
            }
        } else if let Nested(_, inner) = &attribute.ty {
            check_elements([config, prior, planned], &path, &mut |values, path| {
                check_attributes(inner, values, path, errors);
            });
        } else if !same(&attribute.ty(), config, planned) && !same(&attribute.ty(), prior, planned)
        {
            refuse("The planned value is not the configured one.");
        }
    }
}

/// Visits elements that have a key. Those of sets are matched by their order, which the layer keeps.
fn check_elements(values: [&Value; 3], path: &Path, check: &mut dyn FnMut([&Value; 3], &Path)) {
    match values[0] {
        Value::List(elements) => {
            for i in 0..elements.len() {
                let null = &Value::Null;
                check(
                    values.map(|v| v.as_list().and_then(|l| l.get(i)).unwrap_or(null)),
                    &path.index(i),
                );
            }
        }
        Value::Map(elements)
            if values[2]
                .as_map()
                .is_some_and(|m| m.values().all(|v| v.as_map().is_some())) =>
        {
            for key in elements.keys() {
                check(values.map(|v| v.get(key)), &path.key(key));
            }
        }
        Value::Map(_) => check(values, path),
        _ => {}
    }
}

/// Checks that everything came out as planned, and that nothing is unknown any longer.
pub(super) fn check_applied(ty: &Type, planned: &Value, actual: &Value) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::new();
    compare(ty, planned, actual, &Path::root(), &mut errors);
    errors.into_result()
}

fn compare(ty: &Type, planned: &Value, actual: &Value, path: &Path, errors: &mut Diagnostics) {
    let mut refuse = |what: &str| {
        let detail = format!("{what} Planned: {planned:?}; actual: {actual:?}.");
        errors.push(
            Diagnostic::error("Provider produced inconsistent result after apply", detail).at(path),
        );
    };
    match (ty, planned, actual) {
        (_, Value::Unknown, actual) if actual.is_wholly_known() => {}
        (_, _, Value::Unknown) | (_, Value::Unknown, _) => {
            refuse("There is an unknown value after apply.")
        }
        (Type::Object(types), Value::Map(_), Value::Map(_)) => {
            for (name, ty) in types {
                compare(
                    ty,
                    planned.get(name),
                    actual.get(name),
                    &path.then(name),
                    errors,
                );
            }
        }
        (Type::Map(element), Value::Map(a), Value::Map(b)) if a.keys().eq(b.keys()) => {
            for (key, value) in a {
                compare(element, value, actual.get(key), &path.key(key), errors);
            }
        }
        (Type::List(element), Value::List(a), Value::List(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                compare(element, a, b, &path.index(i), errors);
            }
        }
        // In a set with unknown parts, elements can't be matched.
        (Type::Set(_), Value::List(a), Value::List(b))
            if !planned.is_wholly_known() && a.len() == b.len() => {}
        _ if same(ty, planned, actual) => {}
        _ => refuse("The value is not the planned one."),
    }
}
