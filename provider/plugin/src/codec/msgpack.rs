//! Values as MessagePack: what Terraform and the provider exchange.
//!
//! The rules that are not plain MessagePack: an unknown value is an extension; a number that neither an integer nor a
//! float holds is a decimal string; a value of dynamic type is a pair of type (as JSON bytes) and value.

use std::collections::BTreeMap;

use rmpv::Value as Raw;

use crate::convert::mismatch;
use crate::diagnostic::Diagnostic;
use crate::number::Number;
use crate::path::Path;
use crate::types::Type;
use crate::value::Value;

/// Extension type of an unknown value.
const UNKNOWN: i8 = 0;
/// Extension type of an unknown value with hints about it (a prefix, a length), which we do not need.
const UNKNOWN_REFINED: i8 = 12;

/// Reads `bytes` as a value of type `ty`.
pub(crate) fn decode(bytes: &[u8], ty: &Type) -> Result<Value, Diagnostic> {
    let mut rest = bytes;
    let raw = rmpv::decode::read_value(&mut rest).map_err(|error| malformed(&error.to_string()))?;
    if !rest.is_empty() {
        return Err(malformed("there are bytes after the value"));
    }
    from_raw(raw, ty, &Path::root())
}

/// Writes a value of type `ty`. Attributes that the value does not have are null.
pub(crate) fn encode(value: &Value, ty: &Type) -> Result<Vec<u8>, Diagnostic> {
    let raw = to_raw(value, ty, &Path::root())?;
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &raw).map_err(|error| malformed(&error.to_string()))?;
    Ok(bytes)
}

fn malformed(detail: &str) -> Diagnostic {
    Diagnostic::error(
        "Malformed value",
        format!("A value is not in the format of the plugin protocol: {detail}."),
    )
}

fn from_raw(raw: Raw, ty: &Type, path: &Path) -> Result<Value, Diagnostic> {
    match (ty, raw) {
        (_, Raw::Nil) => Ok(Value::Null),
        (_, Raw::Ext(UNKNOWN | UNKNOWN_REFINED, _)) => Ok(Value::Unknown),
        (Type::Bool, Raw::Boolean(bool)) => Ok(Value::Bool(bool)),
        (Type::Number, raw) => number(&raw)
            .map(Value::Number)
            .ok_or_else(|| wrong(ty, &raw, path)),
        (Type::String, Raw::String(text)) => match text.into_str() {
            Some(text) => Ok(Value::String(text)),
            None => Err(malformed("text is not UTF-8").at(path)),
        },
        (Type::List(element) | Type::Set(element), Raw::Array(elements)) => {
            let decode = |(i, raw)| from_raw(raw, element, &path.index(i));
            elements
                .into_iter()
                .enumerate()
                .map(decode)
                .collect::<Result<_, _>>()
                .map(Value::List)
        }
        (Type::Tuple(types), Raw::Array(elements)) if types.len() == elements.len() => {
            let decode = |(i, (raw, ty))| from_raw(raw, ty, &path.index(i));
            let pairs = elements.into_iter().zip(types).enumerate();
            pairs.map(decode).collect::<Result<_, _>>().map(Value::List)
        }
        (Type::Map(element), Raw::Map(elements)) => {
            let decode = |(key, raw)| {
                let key = text(key, path)?;
                let value = from_raw(raw, element, &path.key(&key))?;
                Ok((key, value))
            };
            elements
                .into_iter()
                .map(decode)
                .collect::<Result<BTreeMap<_, _>, _>>()
                .map(Value::Map)
        }
        (Type::Object(types), Raw::Map(attributes)) => {
            let mut object: BTreeMap<_, _> = types
                .keys()
                .map(|name| (name.clone(), Value::Null))
                .collect();
            for (name, raw) in attributes {
                let name = text(name, path)?;
                let path = path.then(&name);
                let ty = types.get(&name).ok_or_else(|| {
                    malformed(&format!("there is no attribute {name:?}")).at(&path)
                })?;
                object.insert(name, from_raw(raw, ty, &path)?);
            }
            Ok(Value::Map(object))
        }
        (Type::Dynamic, Raw::Array(parts)) => {
            let [ty, raw] = <[Raw; 2]>::try_from(parts)
                .map_err(|_| malformed("no type beside a dynamic value"))?;
            let ty = match ty {
                Raw::Binary(json) => serde_json::from_slice(&json).ok(),
                Raw::String(json) => json
                    .as_str()
                    .and_then(|json| serde_json::from_str(json).ok()),
                _ => None,
            };
            let ty = ty.as_ref().and_then(Type::from_json);
            let ty =
                ty.ok_or_else(|| malformed("the type of a dynamic value is unreadable").at(path))?;
            let value = from_raw(raw, &ty, path)?;
            Ok(Value::Dynamic(ty, Box::new(value)))
        }
        (ty, raw) => Err(wrong(ty, &raw, path)),
    }
}

fn wrong(ty: &Type, raw: &Raw, path: &Path) -> Diagnostic {
    malformed(&format!("{} was expected, and it is {raw}", ty.describe())).at(path)
}

fn text(raw: Raw, path: &Path) -> Result<String, Diagnostic> {
    match raw {
        Raw::String(text) => text
            .into_str()
            .ok_or_else(|| malformed("a key is not UTF-8").at(path)),
        _ => Err(malformed("a key is not text").at(path)),
    }
}

fn number(raw: &Raw) -> Option<Number> {
    match raw {
        Raw::Integer(int) => int
            .as_i64()
            .map(Number::from)
            .or_else(|| int.as_u64().map(Number::from)),
        Raw::F32(float) => float_number((*float).into()),
        Raw::F64(float) => float_number(*float),
        Raw::String(text) => Number::parse(text.as_str()?),
        _ => None,
    }
}

fn to_raw(value: &Value, ty: &Type, path: &Path) -> Result<Raw, Diagnostic> {
    match (ty, value) {
        (_, Value::Null) => Ok(Raw::Nil),
        (_, Value::Unknown) => Ok(Raw::Ext(UNKNOWN, vec![0])),
        (Type::Dynamic, Value::Dynamic(ty, value)) => dynamic(value, ty, path),
        (Type::Dynamic, value) => dynamic(value, &infer(value), path),
        (ty, Value::Dynamic(_, value)) => to_raw(value, ty, path),
        (Type::Bool, Value::Bool(bool)) => Ok((*bool).into()),
        (Type::Number, Value::Number(number)) => Ok(number_to_raw(number)),
        (Type::String, Value::String(text)) => Ok(text.as_str().into()),
        (Type::List(element) | Type::Set(element), Value::List(elements)) => {
            let encode = |(i, value)| to_raw(value, element, &path.index(i));
            elements
                .iter()
                .enumerate()
                .map(encode)
                .collect::<Result<_, _>>()
                .map(Raw::Array)
        }
        (Type::Tuple(types), Value::List(elements)) if types.len() == elements.len() => {
            let encode = |(i, (value, ty))| to_raw(value, ty, &path.index(i));
            let pairs = elements.iter().zip(types).enumerate();
            pairs.map(encode).collect::<Result<_, _>>().map(Raw::Array)
        }
        (Type::Map(element), Value::Map(elements)) => {
            let encode = |(key, value): (&String, _)| {
                Ok((key.as_str().into(), to_raw(value, element, &path.key(key))?))
            };
            elements
                .iter()
                .map(encode)
                .collect::<Result<_, _>>()
                .map(Raw::Map)
        }
        (Type::Object(types), Value::Map(attributes)) => {
            if let Some(name) = attributes.keys().find(|name| !types.contains_key(*name)) {
                let detail = format!("The schema has no attribute {name:?}.");
                return Err(Diagnostic::error("Unknown attribute", detail).at(path.then(name)));
            }
            let encode = |(name, ty): (&String, _)| {
                let value = attributes.get(name).unwrap_or(&Value::Null);
                Ok((name.as_str().into(), to_raw(value, ty, &path.then(name))?))
            };
            types
                .iter()
                .map(encode)
                .collect::<Result<_, _>>()
                .map(Raw::Map)
        }
        (ty, value) => Err(mismatch(&ty.describe(), value, path)),
    }
}

fn dynamic(value: &Value, ty: &Type, path: &Path) -> Result<Raw, Diagnostic> {
    let json = ty.to_json().to_string().into_bytes();
    Ok(Raw::Array(vec![
        Raw::Binary(json),
        to_raw(value, ty, path)?,
    ]))
}

/// The type that a literal of this shape has in a configuration.
pub(crate) fn infer(value: &Value) -> Type {
    match value {
        Value::Null | Value::Unknown => Type::Dynamic,
        Value::Bool(_) => Type::Bool,
        Value::Number(_) => Type::Number,
        Value::String(_) => Type::String,
        Value::List(elements) => Type::Tuple(elements.iter().map(infer).collect()),
        Value::Map(elements) => Type::Object(
            elements
                .iter()
                .map(|(name, v)| (name.clone(), infer(v)))
                .collect(),
        ),
        Value::Dynamic(ty, _) => ty.clone(),
    }
}

/// Terraform has infinities, and no NaN, which would not even be equal to itself.
fn float_number(float: f64) -> Option<Number> {
    (!float.is_nan()).then(|| Number::exact(float))
}

fn number_to_raw(number: &Number) -> Raw {
    if let Some(int) = number.as_i64() {
        int.into()
    } else if let Some(uint) = number.as_u64() {
        uint.into()
    } else if let Some(decimal) = number.as_decimal() {
        decimal.into()
    } else {
        number.as_f64().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::testing::{typed, with_unknowns};

    #[test]
    fn what_is_no_number_is_refused() {
        for float in [f64::NAN, -f64::NAN] {
            let wire = [&[0xcb][..], &float.to_be_bytes()].concat();
            assert!(decode(&wire, &Type::Number).is_err());
        }
        let wire = [&[0xca][..], &f32::NAN.to_be_bytes()].concat();
        assert!(decode(&wire, &Type::Number).is_err());
        let wire = [&[0xcb][..], &f64::INFINITY.to_be_bytes()].concat();
        assert!(decode(&wire, &Type::Number).is_ok());
    }

    #[test]
    fn unknown_values_come_in_two_kinds_and_go_in_one() {
        assert_eq!(
            decode(&[0xd4, 0, 0], &Type::String).unwrap(),
            Value::Unknown
        );
        // {"a": unknown, refined as not null}, as Terraform 1.11 sends it.
        let refined = [0x81, 0xa1, b'a', 0xc7, 3, 12, 0x81, 1, 0xc2];
        let ty = Type::object([("a", Type::String)]);
        assert_eq!(
            decode(&refined, &ty).unwrap(),
            Value::object([("a", Value::Unknown)])
        );
        assert_eq!(
            encode(&Value::Unknown, &Type::String).unwrap(),
            [0xd4, 0, 0]
        );
    }

    #[test]
    fn numbers_come_as_integers_floats_and_text() {
        let number = |bytes: &[u8]| decode(bytes, &Type::Number).unwrap();
        assert_eq!(number(&[0x05]), Value::from(5i64));
        assert_eq!(number(&[0xff]), Value::from(-1i64));
        assert_eq!(
            number(&[0xcb, 0x40, 0x04, 0, 0, 0, 0, 0, 0]),
            Value::from(2.5)
        );
        assert_eq!(
            number(&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]),
            Value::from(u64::MAX)
        );
        let big = [&[0xb5], b"123456789012345678901".as_slice()].concat();
        assert_eq!(encode(&number(&big), &Type::Number).unwrap(), big);
    }

    /// Terraform sends 0.1 as text, and treats a float of 0.1 as a change.
    #[test]
    fn inexact_fractions_go_as_text() {
        let tenth = [0xa3, b'0', b'.', b'1'];
        assert_eq!(
            encode(&decode(&tenth, &Type::Number).unwrap(), &Type::Number).unwrap(),
            tenth
        );
        assert_eq!(encode(&Value::from(0.1), &Type::Number).unwrap(), tenth);
        let half = [0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0];
        assert_eq!(encode(&Value::from(0.5), &Type::Number).unwrap(), half);
        let float = [&[0xcb], 0.1f64.to_be_bytes().as_slice()].concat();
        assert_eq!(
            encode(&decode(&float, &Type::Number).unwrap(), &Type::Number).unwrap(),
            float
        );
    }

    #[test]
    fn dynamic_values_keep_their_type() {
        let bytes = [
            &[0x92, 0xc4, 17],
            br#"["list","string"]"#.as_slice(),
            &[0x91, 0xa1, b'x'],
        ]
        .concat();
        let value = decode(&bytes, &Type::Dynamic).unwrap();
        assert_eq!(value.as_list().unwrap(), [Value::from("x")]);
        assert_eq!(encode(&value, &Type::Dynamic).unwrap(), bytes);
        // A value from the provider gets the type that a literal would have.
        let made = encode(&Value::from(vec![Value::from(true)]), &Type::Dynamic).unwrap();
        let Value::Dynamic(ty, _) = decode(&made, &Type::Dynamic).unwrap() else {
            panic!("not dynamic")
        };
        assert_eq!(ty, Type::Tuple(vec![Type::Bool]));
    }

    #[test]
    fn mistakes_of_the_provider_say_where() {
        let ty = Type::object([("a", Type::list(Type::Number))]);
        let value = Value::object([("a", vec![Value::from("x")].into())]);
        assert_eq!(encode(&value, &ty).unwrap_err().path.to_string(), "a[0]");
        let value = Value::object([("b", Value::Null)]);
        assert_eq!(encode(&value, &ty).unwrap_err().path.to_string(), "b");
    }

    #[test]
    fn garbage_is_refused() {
        assert!(decode(&[0xa5, b'x'], &Type::String).is_err());
        assert!(decode(&[], &Type::String).is_err());
        assert!(decode(&[0xc0, 0xc0], &Type::String).is_err());
        assert!(decode(&[0x81, 0xa1, b'x', 0xc0], &Type::object([])).is_err());
    }

    proptest! {
        #[test]
        fn values_round_trip((ty, value) in typed(with_unknowns())) {
            prop_assert_eq!(decode(&encode(&value, &ty).unwrap(), &ty).unwrap(), value);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), (ty, _) in typed(with_unknowns())) {
            let _ = decode(&bytes, &ty);
        }
    }
}
