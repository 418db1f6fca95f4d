//! Keys of things.

use ipam_shared::api::ownership::Noun;

/// What identifies a thing among those of its noun: the noun, and a text such as `vrf/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    noun: Noun,
    text: String,
}

impl Key {
    pub(crate) fn new(noun: Noun, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { noun, text }
    }

    /// Of what noun.
    pub(crate) fn noun(&self) -> Noun {
        self.noun
    }

    /// Its name within its VRF.
    pub(crate) fn name(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }
}

/// What distinguishes something in a VRF from all others of its noun.
pub(crate) fn scoped(noun: Noun, vrf: &str, key: &str) -> Key {
    Key::new(noun, format!("{vrf}/{key}"))
}
