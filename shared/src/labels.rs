//! Labels: small key-value pairs that say what something is for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Maximum number of labels on one thing.
pub const MAX_LABELS: usize = 64;
/// Longest key, in characters.
pub const MAX_LABEL_KEY: usize = 63;
/// Longest value, in characters.
pub const MAX_LABEL_VALUE: usize = 256;

/// At most 64 labels; keys of 1 to 63 characters, values of at most 256, no control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

/// Why labels were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// More than [`MAX_LABELS`].
    #[error("there can be at most {MAX_LABELS} labels, these are {0}")]
    Many(usize),
    /// Key empty, too long or with control characters.
    #[error("label key {0:?} is not valid: 1 to {MAX_LABEL_KEY} characters, no control characters")]
    Key(String),
    /// Value too long or with control characters.
    #[error(
        "the value of label {0:?} is not valid: at most {MAX_LABEL_VALUE} characters, no control characters"
    )]
    Value(String),
}

impl Labels {
    /// Checks and stores.
    pub fn new(labels: BTreeMap<String, String>) -> Result<Self, LabelError> {
        if labels.len() > MAX_LABELS {
            return Err(LabelError::Many(labels.len()));
        }
        for (key, value) in &labels {
            let length = key.chars().count();
            if length == 0 || length > MAX_LABEL_KEY || key.chars().any(char::is_control) {
                return Err(LabelError::Key(key.clone()));
            }
            if value.chars().count() > MAX_LABEL_VALUE || value.chars().any(char::is_control) {
                return Err(LabelError::Value(key.clone()));
            }
        }
        Ok(Self(labels))
    }

    /// The pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

/// Reads pairs, of which no two have the same key: otherwise one of them would be lost silently.
struct Pairs;

impl<'de> serde::de::Visitor<'de> for Pairs {
    type Value = Labels;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of labels")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        use serde::de::Error as _;
        let mut labels = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if labels.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "label key {key:?} is there twice"
                )));
            }
            labels.insert(key, value);
        }
        Labels::new(labels).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_refused() {
        let read = |text| serde_json::from_str::<Labels>(text);
        assert!(read(r#"{"a":"1","b":"1"}"#).is_ok());
        let error = read(r#"{"a":"1","a":"2"}"#).unwrap_err().to_string();
        assert!(error.contains("\"a\" is there twice"), "{error}");
    }

    #[test]
    fn labels_are_bounded() {
        let labels = |key: &str, value: &str| {
            Labels::new(BTreeMap::from([(key.to_owned(), value.to_owned())]))
        };
        assert!(labels("environment", "prod").is_ok());
        assert_eq!(labels("", "x"), Err(LabelError::Key(String::new())));
        assert!(matches!(
            labels("k", &"v".repeat(257)),
            Err(LabelError::Value(_))
        ));
        assert!(matches!(labels("k", "a\u{0}"), Err(LabelError::Value(_))));
        let many = (0..65).map(|i| (i.to_string(), String::new())).collect();
        assert_eq!(Labels::new(many), Err(LabelError::Many(65)));
    }
}
