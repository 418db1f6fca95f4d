//! Terraform's type system: what an attribute, a parameter or a function result may be.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value as Json, json};

/// A type constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// true or false.
    Bool,
    /// A decimal number of any size.
    Number,
    /// Text.
    String,
    /// Any type, decided by the value.
    Dynamic,
    /// Elements in order.
    List(Box<Type>),
    /// Distinct elements without order.
    Set(Box<Type>),
    /// Elements by name.
    Map(Box<Type>),
    /// A fixed set of attributes.
    Object(BTreeMap<String, Type>),
    /// A fixed number of elements, each of its own type.
    Tuple(Vec<Type>),
}

impl Type {
    /// A list of `element`s.
    pub fn list(element: Type) -> Self {
        Self::List(Box::new(element))
    }

    /// A set of `element`s.
    pub fn set(element: Type) -> Self {
        Self::Set(Box::new(element))
    }

    /// A map to `element`s.
    pub fn map(element: Type) -> Self {
        Self::Map(Box::new(element))
    }

    /// An object with these attributes.
    pub fn object<'a>(attributes: impl IntoIterator<Item = (&'a str, Type)>) -> Self {
        Self::Object(
            attributes
                .into_iter()
                .map(|(name, ty)| (name.to_owned(), ty))
                .collect(),
        )
    }

    /// The notation of the wire: `"string"`, `["list","string"]`, `["object",{…}]`.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Bool => json!("bool"),
            Self::Number => json!("number"),
            Self::String => json!("string"),
            Self::Dynamic => json!("dynamic"),
            Self::List(element) => json!(["list", element.to_json()]),
            Self::Set(element) => json!(["set", element.to_json()]),
            Self::Map(element) => json!(["map", element.to_json()]),
            Self::Object(attributes) => {
                let attributes: serde_json::Map<_, _> = attributes
                    .iter()
                    .map(|(name, ty)| (name.clone(), ty.to_json()))
                    .collect();
                json!(["object", attributes])
            }
            Self::Tuple(elements) => {
                json!([
                    "tuple",
                    elements.iter().map(Type::to_json).collect::<Vec<_>>()
                ])
            }
        }
    }

    /// Reads the notation that [`Type::to_json`] writes; `None` if it is not that.
    pub fn from_json(json: &Json) -> Option<Self> {
        if let Some(name) = json.as_str() {
            return match name {
                "bool" => Some(Self::Bool),
                "number" => Some(Self::Number),
                "string" => Some(Self::String),
                "dynamic" => Some(Self::Dynamic),
                _ => None,
            };
        }
        let (kind, inner) = match json.as_array()?.as_slice() {
            // An object type may carry a third item, the optional attributes; values do not differ for it.
            [kind, inner, ..] => (kind.as_str()?, inner),
            _ => return None,
        };
        match kind {
            "list" => Self::from_json(inner).map(Self::list),
            "set" => Self::from_json(inner).map(Self::set),
            "map" => Self::from_json(inner).map(Self::map),
            "object" => {
                let attributes = inner.as_object()?.iter();
                attributes
                    .map(|(name, ty)| Some((name.clone(), Self::from_json(ty)?)))
                    .collect::<Option<_>>()
                    .map(Self::Object)
            }
            "tuple" => inner
                .as_array()?
                .iter()
                .map(Self::from_json)
                .collect::<Option<_>>()
                .map(Self::Tuple),
            _ => None,
        }
    }

    /// The type as people say it: `list of string`.
    pub fn describe(&self) -> String {
        match self {
            Self::Bool => "bool".into(),
            Self::Number => "number".into(),
            Self::String => "string".into(),
            Self::Dynamic => "any type".into(),
            Self::List(element) => format!("list of {}", element.describe()),
            Self::Set(element) => format!("set of {}", element.describe()),
            Self::Map(element) => format!("map of {}", element.describe()),
            Self::Object(_) => "object".into(),
            Self::Tuple(_) => "tuple".into(),
        }
    }
}

impl Serialize for Type {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

/// The order of things in a nested block or nested attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Nesting {
    /// At most one, an object.
    Single,
    /// Any number, in order.
    List,
    /// Any number, distinct, without order.
    Set,
    /// Any number, by name. Attributes only.
    Map,
}

impl Nesting {
    /// The type of this many `element`s.
    pub(crate) fn of(self, element: Type) -> Type {
        match self {
            Self::Single => element,
            Self::List => Type::list(element),
            Self::Set => Type::set(element),
            Self::Map => Type::map(element),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_notation_round_trips() {
        let ty = Type::object([
            ("a", Type::list(Type::String)),
            ("b", Type::map(Type::object([("c", Type::Number)]))),
            (
                "d",
                Type::Tuple(vec![Type::Bool, Type::Dynamic, Type::set(Type::Number)]),
            ),
        ]);
        assert_eq!(Type::from_json(&ty.to_json()), Some(ty));
        assert_eq!(Type::from_json(&json!("strnig")), None);
        assert_eq!(Type::from_json(&json!(["list"])), None);
    }
}
