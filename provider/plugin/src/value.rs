//! A value in a configuration, plan or state, as the provider's code sees it.
//!
//! Knows no wire format (that is `codec`) and no schema.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::diagnostic::Diagnostic;
use crate::number::Number;
use crate::path::Path;
#[cfg(test)]
use crate::path::Step;
use crate::types::Type;

/// Any value. Tuples and sets are lists; objects are maps.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Value {
    /// Not set.
    #[default]
    Null,
    /// Not known before apply.
    Unknown,
    /// true or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    String(String),
    /// The elements of a list, set or tuple.
    List(Vec<Value>),
    /// The elements of a map or the attributes of an object.
    Map(BTreeMap<String, Value>),
    /// The value of an attribute of [`Type::Dynamic`], with the type that Terraform gave it.
    Dynamic(Type, Box<Value>),
}

/// A type that a value can be turned into.
pub trait FromValue: Sized {
    /// Converts `value`, which was found at `path`.
    ///
    /// # Errors
    /// A diagnostic at `path`, or further inside, if the value is not of this type.
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic>;
}

/// A type that can be turned into a value.
pub trait ToValue {
    /// Converts `self`.
    fn to_value(&self) -> Value;
}

static NULL: Value = Value::Null;

impl Value {
    /// An object with these attributes.
    pub fn object<'a>(attributes: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        Self::Map(
            attributes
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// Whether it is not set.
    pub fn is_null(&self) -> bool {
        matches!(self.plain(), Self::Null)
    }

    /// Whether the value itself is unknown. Its parts may be: see [`Value::is_wholly_known`].
    pub fn is_unknown(&self) -> bool {
        matches!(self.plain(), Self::Unknown)
    }

    /// Whether neither the value nor any part of it is unknown.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::List(elements) => elements.iter().all(Self::is_wholly_known),
            Self::Map(elements) => elements.values().all(Self::is_wholly_known),
            Self::Dynamic(_, value) => value.is_wholly_known(),
            _ => true,
        }
    }

    /// The value without the type that an attribute of dynamic type carries.
    pub fn plain(&self) -> &Value {
        match self {
            Self::Dynamic(_, value) => value.plain(),
            other => other,
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self.plain() {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if it is a list, set or tuple.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self.plain() {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The elements, if it is a map or object.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        match self.plain() {
            Self::Map(elements) => Some(elements),
            _ => None,
        }
    }

    /// The attribute or map element `name`; null if there is none.
    pub fn get(&self, name: &str) -> &Value {
        self.as_map().and_then(|map| map.get(name)).unwrap_or(&NULL)
    }

    /// The part at `path`; null if there is none.
    #[cfg(test)]
    pub(crate) fn at(&self, path: &Path) -> &Value {
        path.steps().iter().fold(self, |value, step| match step {
            Step::Attribute(name) | Step::Key(name) => value.get(name),
            Step::Index(index) => value
                .as_list()
                .and_then(|list| list.get(*index))
                .unwrap_or(&NULL),
        })
    }

    /// Sets the attribute or map element `name`. A value that is not a map becomes one.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        if !matches!(self, Self::Map(_)) {
            *self = Self::Map(BTreeMap::new());
        }
        if let Self::Map(map) = self {
            map.insert(name.to_owned(), value.into());
        }
    }

    /// The whole value as a `T`.
    ///
    /// # Errors
    /// A diagnostic with the attribute path if it is not one.
    pub fn parse<T: FromValue>(&self) -> Result<T, Diagnostic> {
        T::from_value(self, &Path::root())
    }

    /// The attribute `name` as a `T`.
    ///
    /// # Errors
    /// A diagnostic with the attribute path if it is not one.
    pub fn attribute<T: FromValue>(&self, name: &str) -> Result<T, Diagnostic> {
        T::from_value(self.get(name), &Path::attribute(name))
    }

    /// As JSON without a schema, for an API with the same names. Unknown parts become null; long numbers become
    /// text rather than lose digits.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Null | Self::Unknown => Json::Null,
            Self::Bool(bool) => Json::Bool(*bool),
            Self::Number(number) => number_to_json(number),
            Self::String(text) => Json::String(text.clone()),
            Self::List(elements) => elements.iter().map(Self::to_json).collect(),
            Self::Map(elements) => elements
                .iter()
                .map(|(key, element)| (key.clone(), element.to_json()))
                .collect(),
            Self::Dynamic(ty, value) => {
                serde_json::json!({"type": ty.to_json(), "value": value.to_json()})
            }
        }
    }

    /// Its name in an error.
    pub fn kind(&self) -> &'static str {
        match self.plain() {
            Self::Null => "null",
            Self::Unknown => "a value not known yet",
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) | Self::Dynamic(..) => "a map or object",
        }
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Self::Number(int.into())
    }
}

impl From<u64> for Value {
    fn from(uint: u64) -> Self {
        Self::Number(uint.into())
    }
}

impl From<f64> for Value {
    fn from(float: f64) -> Self {
        Self::Number(float.into())
    }
}

impl From<Vec<Value>> for Value {
    fn from(elements: Vec<Value>) -> Self {
        Self::List(elements)
    }
}

impl From<BTreeMap<String, Value>> for Value {
    fn from(elements: BTreeMap<String, Value>) -> Self {
        Self::Map(elements)
    }
}

/// JSON without a schema: state of another provider, or values written down in a test.
impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(bool) => Self::Bool(bool),
            Json::Number(number) => number_from_json(&number).into(),
            Json::String(text) => Self::String(text),
            Json::Array(elements) => Self::List(elements.into_iter().map(Self::from).collect()),
            Json::Object(elements) => {
                Self::Map(elements.into_iter().map(|(k, v)| (k, v.into())).collect())
            }
        }
    }
}

fn number_to_json(number: &Number) -> Json {
    let float = number.as_f64();
    if let Some(int) = number.as_i64() {
        int.into()
    } else if let Some(uint) = number.as_u64() {
        uint.into()
    } else if number_from_float(float) == *number {
        float.into()
    } else {
        // Digits matter more than the JSON type; reading a number accepts the text again.
        number.to_string().into()
    }
}

fn number_from_json(number: &serde_json::Number) -> Number {
    if let Some(int) = number.as_i64() {
        int.into()
    } else if let Some(uint) = number.as_u64() {
        uint.into()
    } else {
        number_from_float(number.as_f64().unwrap_or(f64::NAN))
    }
}

/// The number that JSON has as a float: a whole one is meant to its last digit, such as that of 2^64 addresses, and 0.1 is one
/// tenth.
fn number_from_float(float: f64) -> Number {
    if float.fract() == 0.0 {
        Number::exact(float)
    } else {
        float.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_found_and_missing_ones_are_null() {
        let value = Value::from(json!({"a": [{"b": "x"}]}));
        assert_eq!(
            value.at(&Path::attribute("a").index(0).then("b")).as_str(),
            Some("x")
        );
        assert!(value.at(&Path::attribute("a").index(7).then("b")).is_null());
        assert!(value.get("c").is_null());
    }

    #[test]
    fn json_goes_in_and_comes_out() {
        let json = json!({"a": [{"b": "x", "c": null}], "d": 20, "e": 0.5, "f": true});
        assert_eq!(Value::from(json.clone()).to_json(), json);
        assert_eq!(Value::Unknown.to_json(), Json::Null);
    }

    /// What is a number of addresses is one in JSON too, however large.
    #[test]
    fn a_whole_number_is_the_same_in_json() {
        for text in [
            "18446744073709551615",
            "18446744073709551616",
            "3626777458843887524118528",
        ] {
            let number = Number::parse(text).unwrap();
            let json = Value::Number(number.clone()).to_json();
            assert!(json.is_number(), "{json}");
            assert_eq!(Value::from(json), Value::Number(number), "{text}");
        }
        // No float is this number, and that next to it is another.
        let text = "340282366920938463463374607431768211455";
        let json = Value::Number(Number::parse(text).unwrap()).to_json();
        assert_eq!(json, json!(text));
    }

    #[test]
    fn unknown_parts_are_noticed() {
        let mut value = Value::from(json!({"a": {}}));
        assert!(value.is_wholly_known());
        value.set("b", vec![Value::Unknown]);
        assert!(!value.is_wholly_known());
        assert!(!value.is_unknown());
    }
}
