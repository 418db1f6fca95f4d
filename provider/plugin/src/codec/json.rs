//! Values as JSON: what state files hold.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::convert::mismatch;
use crate::diagnostic::Diagnostic;
use crate::number::Number;
use crate::path::Path;
use crate::types::Type;
use crate::value::Value;

/// Reads the JSON text `bytes` as a value of type `ty`. Attributes that the type does not have are dropped and missing
/// ones are null, so a state survives added or removed attributes.
///
/// The text is read along the type, without an untyped value in between, because that would round long numbers.
pub(crate) fn decode(bytes: &[u8], ty: &Type) -> Result<Value, Diagnostic> {
    let raw: &RawValue =
        serde_json::from_slice(bytes).map_err(|error| malformed(&error, &Path::root()))?;
    from_raw(raw, ty, &Path::root())
}

fn malformed(error: &serde_json::Error, path: &Path) -> Diagnostic {
    Diagnostic::error(
        "Unreadable state",
        format!("The stored value is not JSON: {error}."),
    )
    .at(path)
}

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue, path: &Path) -> Result<T, Diagnostic> {
    serde_json::from_str(raw.get()).map_err(|error| malformed(&error, path))
}

type Members<'a> = BTreeMap<String, &'a RawValue>;

fn from_raw(raw: &RawValue, ty: &Type, path: &Path) -> Result<Value, Diagnostic> {
    let wrong = || {
        let found = serde_json::from_str(raw.get()).unwrap_or(Json::Null);
        mismatch(&ty.describe(), &found.into(), path)
    };
    // The first character tells its type.
    let start = raw.get().bytes().next().unwrap_or(b'n');
    let is_number = start == b'-' || start.is_ascii_digit();
    match (ty, start) {
        (_, b'n') => Ok(Value::Null),
        (Type::Bool, b't' | b'f') => Ok(Value::Bool(start == b't')),
        (Type::Number, _) if is_number => Number::parse(raw.get())
            .map(Value::Number)
            .ok_or_else(wrong),
        (Type::String, b'"') => parse(raw, path).map(Value::String),
        // Terraform converts between the primitive types, and old state may hold the other one.
        (Type::String, b't' | b'f') => Ok(raw.get().into()),
        (Type::String, _) if is_number => Ok(raw.get().into()),
        (Type::Number, b'"') => {
            let text: String = parse(raw, path)?;
            Number::parse(&text).map(Value::Number).ok_or_else(wrong)
        }
        (Type::Bool, b'"') => match parse::<String>(raw, path)?.as_str() {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            _ => Err(wrong()),
        },
        (Type::List(element) | Type::Set(element), b'[') => {
            let elements: Vec<&RawValue> = parse(raw, path)?;
            let decode = |(i, raw)| from_raw(raw, element, &path.index(i));
            elements
                .into_iter()
                .enumerate()
                .map(decode)
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        (Type::Tuple(types), b'[') => {
            let elements: Vec<&RawValue> = parse(raw, path)?;
            if types.len() != elements.len() {
                return Err(wrong());
            }
            let decode = |(i, (raw, ty))| from_raw(raw, ty, &path.index(i));
            let pairs = elements.into_iter().zip(types).enumerate();
            pairs.map(decode).collect::<Result<_, _>>().map(Value::List)
        }
        (Type::Map(element), b'{') => {
            let elements: Members<'_> = parse(raw, path)?;
            let decode = |(key, raw): (String, _)| {
                let value = from_raw(raw, element, &path.key(&key))?;
                Ok((key, value))
            };
            elements
                .into_iter()
                .map(decode)
                .collect::<Result<BTreeMap<_, _>, _>>()
                .map(Value::Map)
        }
        (Type::Object(types), b'{') => {
            let attributes: Members<'_> = parse(raw, path)?;
            let decode = |(name, ty): (&String, _)| {
                let value = match attributes.get(name) {
                    Some(raw) => from_raw(raw, ty, &path.then(name))?,
                    None => Value::Null,
                };
                Ok((name.clone(), value))
            };
            types
                .iter()
                .map(decode)
                .collect::<Result<BTreeMap<_, _>, _>>()
                .map(Value::Map)
        }
        // State files hold a value of dynamic type as {"type": …, "value": …}.
        (Type::Dynamic, b'{') => {
            let parts: Members<'_> = parse(raw, path)?;
            let ty: Option<Json> = parts.get("type").map(|ty| parse(ty, path)).transpose()?;
            let ty = ty.as_ref().and_then(Type::from_json).ok_or_else(wrong)?;
            let value = match parts.get("value") {
                Some(raw) => from_raw(raw, &ty, path)?,
                None => Value::Null,
            };
            Ok(Value::Dynamic(ty, Box::new(value)))
        }
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::codec::testing::{known, typed};

    fn read(json: &Json, ty: &Type) -> Result<Value, Diagnostic> {
        decode(json.to_string().as_bytes(), ty)
    }

    #[test]
    fn added_attributes_are_null_and_removed_ones_dropped() {
        let ty = Type::object([("kept", Type::String), ("added", Type::list(Type::Bool))]);
        let value = read(&json!({"kept": "x", "removed": 1}), &ty).unwrap();
        assert_eq!(
            value,
            Value::object([("kept", "x".into()), ("added", Value::Null)])
        );
    }

    #[test]
    fn errors_say_where() {
        let ty = Type::object([("a", Type::list(Type::map(Type::Number)))]);
        let error = read(&json!({"a": [{}, {"k": [1]}]}), &ty).unwrap_err();
        assert_eq!(error.path.to_string(), r#"a[1]["k"]"#);
        assert!(
            error.detail.contains("needs number") && error.detail.contains("a list"),
            "{error}"
        );
        assert!(decode(b"{", &ty).is_err());
    }

    #[test]
    fn primitives_convert_as_terraform_does() {
        assert_eq!(
            read(&json!("12"), &Type::Number).unwrap(),
            Value::from(12i64)
        );
        assert_eq!(read(&json!(12), &Type::String).unwrap(), Value::from("12"));
        assert_eq!(
            read(&json!(true), &Type::String).unwrap(),
            Value::from("true")
        );
        assert_eq!(
            read(&json!("true"), &Type::Bool).unwrap(),
            Value::Bool(true)
        );
        assert!(read(&json!("twelve"), &Type::Number).is_err());
        assert!(read(&json!("yes"), &Type::Bool).is_err());
    }

    #[test]
    fn long_numbers_keep_every_digit() {
        let text = "[123456789012345678901234567890, 1.5e3]";
        let value = decode(text.as_bytes(), &Type::list(Type::Number)).unwrap();
        let numbers: Vec<Number> = value.parse().unwrap();
        assert_eq!(
            numbers[0].as_decimal(),
            Some("123456789012345678901234567890")
        );
        assert_eq!(numbers[1], Number::from(1500i64));
    }

    proptest! {
        #[test]
        fn known_values_round_trip((ty, value) in typed(known())) {
            prop_assert_eq!(read(&value.to_json(), &ty).unwrap(), value);
        }
    }
}
