//! Private state: what a resource remembers about itself, unseen by users and by configurations.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// Named notes that Terraform stores beside the state of a resource and hands back unchanged. Not secret: whoever can
/// read the state file can read them. Empty after an import.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Private(BTreeMap<String, Json>);

impl Private {
    /// The note `key`, if there is one of this type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_value(self.0.get(key)?.clone()).ok()
    }

    /// Writes the note `key`. A value that JSON can't express removes it.
    pub fn set<T: Serialize>(&mut self, key: &str, note: T) {
        match serde_json::to_value(note) {
            Ok(json) => self.0.insert(key.to_owned(), json),
            Err(_) => self.0.remove(key),
        };
    }

    /// Foreign bytes read as empty: private state must not make a resource unreadable.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        serde_json::from_slice(bytes)
            .map(Self)
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "private state is not readable and is ignored");
                Self::default()
            })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        Json::from_iter(self.0.clone()).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_survive_and_foreign_bytes_do_no_harm() {
        let mut private = Private::default();
        assert!(private.encode().is_empty());
        private.set("request", "abc");
        private.set("tries", 3);
        let back = Private::decode(&private.encode());
        assert_eq!(back.get::<String>("request").as_deref(), Some("abc"));
        assert_eq!(back.get::<u8>("tries"), Some(3));
        assert_eq!(back.get::<u8>("request"), None);
        assert_eq!(Private::decode(b"\xff not json"), Private::default());
    }
}
