//! Values as JSON: what state files hold.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::convert::mismatch;
use crate::diagnostic::Diagnostic;
use crate::number::Number;
use crate::path::Path;
use crate::types::Type;
use crate::value::{Value, number_from_json};

/// Reads `json` as a value of type `ty`. Attributes that the type does not have are dropped and missing ones are null,
/// so that a state survives a schema that gained or lost attributes.
pub(crate) fn decode(json: &Json, ty: &Type, path: &Path) -> Result<Value, Diagnostic> {
    match (ty, json) {
        (_, Json::Null) => Ok(Value::Null),
        (Type::Bool, Json::Bool(bool)) => Ok(Value::Bool(*bool)),
        (Type::Number, Json::Number(number)) => Ok(number_from_json(number).into()),
        (Type::String, Json::String(text)) => Ok(Value::String(text.clone())),
        // Terraform converts between the primitive types, and old state may hold the other one.
        (Type::Number, Json::String(text)) => Number::parse(text)
            .map(Value::Number)
            .ok_or_else(|| wrong(ty, json, path)),
        (Type::String, Json::Number(number)) => Ok(Value::String(number.to_string())),
        (Type::String, Json::Bool(bool)) => Ok(Value::String(bool.to_string())),
        (Type::Bool, Json::String(text)) if text == "true" || text == "false" => {
            Ok(Value::Bool(text == "true"))
        }
        (Type::List(element) | Type::Set(element), Json::Array(elements)) => {
            let decode = |(i, json)| decode(json, element, &path.index(i));
            elements
                .iter()
                .enumerate()
                .map(decode)
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        (Type::Tuple(types), Json::Array(elements)) if types.len() == elements.len() => {
            let decode = |(i, (json, ty))| decode(json, ty, &path.index(i));
            let pairs = elements.iter().zip(types).enumerate();
            pairs.map(decode).collect::<Result<_, _>>().map(Value::List)
        }
        (Type::Map(element), Json::Object(elements)) => {
            let decode = |(key, json): (&String, _)| {
                Ok((key.clone(), decode(json, element, &path.key(key))?))
            };
            elements
                .iter()
                .map(decode)
                .collect::<Result<BTreeMap<_, _>, _>>()
                .map(Value::Map)
        }
        (Type::Object(types), Json::Object(attributes)) => {
            let decode = |(name, ty): (&String, _)| {
                let json = attributes.get(name).unwrap_or(&Json::Null);
                Ok((name.clone(), decode(json, ty, &path.then(name))?))
            };
            types
                .iter()
                .map(decode)
                .collect::<Result<BTreeMap<_, _>, _>>()
                .map(Value::Map)
        }
        // State files hold a value of dynamic type as {"type": …, "value": …}.
        (Type::Dynamic, Json::Object(parts)) => {
            let inner = parts
                .get("type")
                .and_then(Type::from_json)
                .ok_or_else(|| wrong(ty, json, path))?;
            let value = decode(parts.get("value").unwrap_or(&Json::Null), &inner, path)?;
            Ok(Value::Dynamic(inner, Box::new(value)))
        }
        _ => Err(wrong(ty, json, path)),
    }
}

fn wrong(ty: &Type, json: &Json, path: &Path) -> Diagnostic {
    mismatch(&ty.describe(), &Value::from(json.clone()), path)
}

/// Writes a value as JSON. What JSON can't say is null: an unknown value.
pub(crate) fn encode(value: &Value) -> Json {
    match value {
        Value::Null | Value::Unknown => Json::Null,
        Value::Bool(bool) => Json::Bool(*bool),
        Value::Number(number) => encode_number(number),
        Value::String(text) => Json::String(text.clone()),
        Value::List(elements) => elements.iter().map(encode).collect(),
        Value::Map(elements) => elements
            .iter()
            .map(|(key, v)| (key.clone(), encode(v)))
            .collect(),
        Value::Dynamic(ty, value) => {
            serde_json::json!({"type": ty.to_json(), "value": encode(value)})
        }
    }
}

fn encode_number(number: &Number) -> Json {
    if let Some(int) = number.as_i64() {
        int.into()
    } else if let Some(uint) = number.as_u64() {
        uint.into()
    } else if number.as_decimal().is_some() {
        // Digits matter more than the JSON type; reading a number accepts the text again.
        Json::String(number.to_string())
    } else {
        number.as_f64().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::codec::testing::{known, typed};

    #[test]
    fn added_attributes_are_null_and_removed_ones_dropped() {
        let ty = Type::object([("kept", Type::String), ("added", Type::list(Type::Bool))]);
        let value = decode(&json!({"kept": "x", "removed": 1}), &ty, &Path::root()).unwrap();
        assert_eq!(
            value,
            Value::object([("kept", "x".into()), ("added", Value::Null)])
        );
    }

    #[test]
    fn errors_say_where() {
        let ty = Type::object([("a", Type::list(Type::map(Type::Number)))]);
        let error = decode(&json!({"a": [{}, {"k": [1]}]}), &ty, &Path::root()).unwrap_err();
        assert_eq!(error.path.to_string(), r#"a[1]["k"]"#);
        assert!(
            error.detail.contains("needs number") && error.detail.contains("a list"),
            "{error}"
        );
    }

    #[test]
    fn primitives_convert_as_terraform_does() {
        let at = |json, ty| decode(&json, &ty, &Path::root());
        assert_eq!(at(json!("12"), Type::Number).unwrap(), Value::from(12i64));
        assert_eq!(at(json!(12), Type::String).unwrap(), Value::from("12"));
        assert_eq!(at(json!("true"), Type::Bool).unwrap(), Value::Bool(true));
        assert!(at(json!("twelve"), Type::Number).is_err());
    }

    proptest! {
        #[test]
        fn known_values_round_trip((ty, value) in typed(known())) {
            prop_assert_eq!(decode(&encode(&value), &ty, &Path::root()).unwrap(), value);
        }
    }
}
