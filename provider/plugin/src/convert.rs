//! From values to the provider's own types and back.
//!
//! Implement [`FromValue`] and [`ToValue`] by hand, or describe a struct with [`object!`](crate::object).

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use crate::diagnostic::Diagnostic;
use crate::number::Number;
use crate::path::Path;
use crate::value::{FromValue, ToValue, Value};

/// An attribute that may be unset, or not known before apply, in whole or in a part that `T` needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Not set.
    #[default]
    Null,
    /// Not known before apply.
    Unknown,
    /// Set to this.
    Known(T),
}

impl<T> Field<T> {
    /// The value, if set and known.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// A reference to the value, if set and known.
    pub fn as_known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Null | Self::Unknown => None,
        }
    }

    /// Whether it is not set.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether it is not known before apply.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}

/// `None` is null.
impl<T> From<Option<T>> for Field<T> {
    fn from(option: Option<T>) -> Self {
        option.map_or(Self::Null, Self::Known)
    }
}

impl<T: FromValue> FromValue for Field<T> {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        match value.plain() {
            Value::Null => Ok(Self::Null),
            Value::Unknown => Ok(Self::Unknown),
            known => match T::from_value(known, path) {
                // Unknown parts, such as an element of a list, are not considered.
                Err(_) if !known.is_wholly_known() => Ok(Self::Unknown),
                converted => converted.map(Self::Known),
            },
        }
    }
}

impl<T: ToValue> ToValue for Field<T> {
    fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Unknown => Value::Unknown,
            Self::Known(value) => value.to_value(),
        }
    }
}

/// Null is `None`; an unknown value is an error, so use [`Field`] for plans.
impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        if value.is_null() {
            return Ok(None);
        }
        T::from_value(value, path).map(Some)
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
}

/// Text with a meaning of its own: anything that parses from and prints to a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<T>(pub T);

impl<T: FromStr<Err: Display>> FromValue for Text<T> {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let text = String::from_value(value, path)?;
        text.parse().map(Self).map_err(|error| {
            Diagnostic::error("Invalid value", format!("{text:?}: {error}.")).at(path)
        })
    }
}

impl<T: Display> ToValue for Text<T> {
    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// The diagnostic for a value of another type than `wanted`.
pub(crate) fn mismatch(wanted: &str, value: &Value, path: &Path) -> Diagnostic {
    let detail = match value.plain() {
        Value::Null => format!("This needs {wanted}, but it is not set."),
        Value::Unknown => format!("This needs {wanted}, but its value is not known before apply."),
        other => format!("This needs {wanted}, but it is {}.", other.kind()),
    };
    Diagnostic::error("Unsuitable value", detail).at(path)
}

impl FromValue for Value {
    fn from_value(value: &Value, _: &Path) -> Result<Self, Diagnostic> {
        Ok(value.clone())
    }
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }
}

impl FromValue for bool {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        match value.plain() {
            Value::Bool(bool) => Ok(*bool),
            other => Err(mismatch("a bool", other, path)),
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        match value.plain() {
            Value::String(text) => Ok(text.clone()),
            other => Err(mismatch("a string", other, path)),
        }
    }
}

impl FromValue for Number {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        match value.plain() {
            Value::Number(number) => Ok(number.clone()),
            other => Err(mismatch("a number", other, path)),
        }
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        Number::from_value(value, path).map(|number| number.as_f64())
    }
}

macro_rules! simple_to_value {
    ($($ty:ty),*) => {$(
        impl ToValue for $ty {
            fn to_value(&self) -> Value {
                Value::from(self.clone())
            }
        }
    )*};
}

simple_to_value!(bool, String, Number, f64);

impl ToValue for &str {
    fn to_value(&self) -> Value {
        Value::from(*self)
    }
}

macro_rules! integers {
    ($($ty:ident as $wide:ident by $get:ident),*) => {$(
        impl FromValue for $ty {
            fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
                let number = Number::from_value(value, path)?;
                number.$get().and_then(|wide| Self::try_from(wide).ok()).ok_or_else(|| {
                    // The limits of integer types mean nothing to users.
                    let range = match (i128::from(Self::MIN), i128::from(Self::MAX)) {
                        (0, most) if most > u32::MAX.into() => ", at least 0".to_owned(),
                        (_, most) if most > u32::MAX.into() => String::new(),
                        (least, most) => format!(" from {least} to {most}"),
                    };
                    let detail = format!("This needs a whole number{range}, but it is {number}.");
                    Diagnostic::error("Unsuitable number", detail).at(path)
                })
            }
        }

        impl ToValue for $ty {
            fn to_value(&self) -> Value {
                Value::from(<$wide>::from(*self))
            }
        }
    )*};
}

integers!(u8 as u64 by as_u64, u16 as u64 by as_u64, u32 as u64 by as_u64, u64 as u64 by as_u64);
integers!(i32 as i64 by as_i64, i64 as i64 by as_i64);

impl<T: FromValue> FromValue for Vec<T> {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let elements = value
            .as_list()
            .ok_or_else(|| mismatch("a list", value, path))?;
        elements
            .iter()
            .enumerate()
            .map(|(i, element)| T::from_value(element, &path.index(i)))
            .collect()
    }
}

impl<T: ToValue> ToValue for Vec<T> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(T::to_value).collect())
    }
}

impl<T: FromValue> FromValue for BTreeMap<String, T> {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let elements = value
            .as_map()
            .ok_or_else(|| mismatch("a map", value, path))?;
        let convert = |(key, element): (&String, _)| {
            Ok((key.clone(), T::from_value(element, &path.key(key))?))
        };
        elements.iter().map(convert).collect()
    }
}

impl<T: ToValue> ToValue for BTreeMap<String, T> {
    fn to_value(&self) -> Value {
        Value::Map(
            self.iter()
                .map(|(key, element)| (key.clone(), element.to_value()))
                .collect(),
        )
    }
}

/// Declares structs whose fields are the attributes of the same names, with [`FromValue`] and [`ToValue`].
///
/// ```
/// use std::collections::BTreeMap;
/// use tfplugin::{Field, FromValue, ToValue, Value, object};
///
/// object! {
///     /// What a configuration says about a server.
///     #[derive(Debug, Clone)]
///     pub struct Server {
///         pub name: String,
///         pub size: Field<u32>,
///         pub labels: Option<BTreeMap<String, String>>,
///     }
/// }
///
/// let value = Value::object([("name", "web".into()), ("size", Value::Unknown)]);
/// let server: Server = value.parse()?;
/// assert!(server.size.is_unknown());
/// assert_eq!(server.to_value().get("name").as_str(), Some("web"));
/// # Ok::<(), tfplugin::Diagnostic>(())
/// ```
#[macro_export]
macro_rules! object {
    ($(
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field_vis:vis $field:ident : $ty:ty ),* $(,)?
        }
    )+) => {$(
        $(#[$meta])*
        $vis struct $name {
            $( $(#[$field_meta])* $field_vis $field: $ty, )*
        }

        impl $crate::FromValue for $name {
            fn from_value(value: &$crate::Value, path: &$crate::Path) -> ::std::result::Result<Self, $crate::Diagnostic> {
                $crate::expect_object(value, path)?;
                Ok(Self {
                    $( $field: $crate::FromValue::from_value(
                        value.get($crate::attribute_name(stringify!($field))),
                        &path.then($crate::attribute_name(stringify!($field))),
                    )?, )*
                })
            }
        }

        impl $crate::ToValue for $name {
            fn to_value(&self) -> $crate::Value {
                $crate::Value::object([
                    $( ($crate::attribute_name(stringify!($field)), $crate::ToValue::to_value(&self.$field)), )*
                ])
            }
        }
    )+};
}

/// The attribute that a field stands for: `r#type` is `type`.
#[doc(hidden)]
pub fn attribute_name(field: &'static str) -> &'static str {
    field.strip_prefix("r#").unwrap_or(field)
}

/// Fails unless `value` is an object.
#[doc(hidden)]
pub fn expect_object(value: &Value, path: &Path) -> Result<(), Diagnostic> {
    match value.as_map() {
        Some(_) => Ok(()),
        None => Err(mismatch("an object", value, path)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    object! {
        #[derive(Debug, PartialEq)]
        struct Member { role: String, bits: Option<u8> }

        #[derive(Debug, PartialEq)]
        struct Profile { r#type: Field<String>, members: Vec<Member>, labels: BTreeMap<String, String> }
    }

    #[test]
    fn structs_round_trip() {
        let json =
            json!({"type": null, "members": [{"role": "a", "bits": 3}], "labels": {"k": "v"}});
        let profile: Profile = Value::from(json.clone()).parse().unwrap();
        assert_eq!(profile.members[0].bits, Some(3));
        assert!(profile.r#type.is_null());
        assert_eq!(profile.to_value(), Value::from(json));
    }

    #[test]
    fn a_part_that_is_unknown_makes_the_whole_unknown_for_who_needs_it() {
        let list = Value::List(vec![Value::from("10.0.0.0/8"), Value::Unknown]);
        let path = Path::attribute("ranges");
        let whole = Field::<Vec<String>>::from_value(&list, &path).unwrap();
        assert!(whole.is_unknown());
        let parts = Field::<Vec<Field<String>>>::from_value(&list, &path).unwrap();
        assert!(parts.known().unwrap()[1].is_unknown());
        let wrong = Value::List(vec![Value::Bool(true)]);
        assert!(Field::<Vec<String>>::from_value(&wrong, &path).is_err());
    }

    #[test]
    fn errors_say_where() {
        let at = |json| Value::from(json).parse::<Profile>().unwrap_err();
        let error =
            at(json!({"members": [{"role": "a"}, {"role": "b", "bits": 2.5}], "labels": {}}));
        assert_eq!(error.path, Path::attribute("members").index(1).then("bits"));
        assert!(
            error.detail.contains("whole number from 0 to 255") && error.detail.contains("2.5"),
            "{error}"
        );
        let error = at(json!({"members": [], "labels": {"k": 1}}));
        assert_eq!(error.path, Path::attribute("labels").key("k"));
        assert_eq!(
            at(json!({"members": [], "labels": null})).path,
            Path::attribute("labels")
        );
    }

    #[test]
    fn text_with_a_meaning_is_checked() {
        let value = Value::from("10.0.0.0");
        let Text(address): Text<std::net::Ipv4Addr> = value.parse().unwrap();
        assert_eq!(Text(address).to_value(), value);
        let error = Value::from("10.0.0")
            .parse::<Text<std::net::Ipv4Addr>>()
            .unwrap_err();
        assert!(error.detail.starts_with("\"10.0.0\": "), "{error}");
    }

    #[test]
    fn unknown_is_no_option() {
        let error = Value::Unknown.parse::<Option<String>>().unwrap_err();
        assert!(error.detail.contains("not known before apply"));
        assert_eq!(
            Value::Unknown.parse::<Field<String>>().unwrap(),
            Field::Unknown
        );
    }
}
