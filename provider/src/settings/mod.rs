//! Settings of the provider that are more than a text or a number.

pub(crate) mod owner;

use tfplugin::{Diagnostic, FromValue, Path, ToValue, Value};

/// `adopt`: what happens with things that already exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Adopt {
    /// What the same owner created and nobody has confirmed is taken over.
    #[default]
    Unconfirmed,
    /// Nothing is.
    Never,
}

impl Adopt {
    const ALL: [(Self, &'static str); 2] =
        [(Self::Unconfirmed, "unconfirmed"), (Self::Never, "never")];
}

impl FromValue for Adopt {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let text = String::from_value(value, path)?;
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(adopt, _)| adopt).ok_or_else(|| {
            let all = Self::ALL.map(|(_, name)| name).join(", ");
            let detail = format!("{text:?} is not one of these: {all}.");
            Diagnostic::error("Unknown way to adopt", detail).at(path)
        })
    }
}

impl ToValue for Adopt {
    fn to_value(&self) -> Value {
        let found = Self::ALL.into_iter().find(|(adopt, _)| adopt == self);
        found.map_or(Value::Null, |(_, name)| name.into())
    }
}

/// `rename`: what happens to the ranges of something that is renamed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Rename {
    /// The ranges stay with the resource.
    #[default]
    InPlace,
    /// The ranges are released, and the new name gets others.
    Replace,
    /// The plan fails.
    Refuse,
}

impl Rename {
    const ALL: [(Self, &'static str); 3] = [
        (Self::InPlace, "in_place"),
        (Self::Replace, "replace"),
        (Self::Refuse, "refuse"),
    ];
}

impl FromValue for Rename {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let text = String::from_value(value, path)?;
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(rename, _)| rename).ok_or_else(|| {
            let all = Self::ALL.map(|(_, name)| name).join(", ");
            let detail = format!("{text:?} is not one of these: {all}.");
            Diagnostic::error("Unknown way to rename", detail).at(path)
        })
    }
}

impl ToValue for Rename {
    fn to_value(&self) -> Value {
        let found = Self::ALL.into_iter().find(|(rename, _)| rename == self);
        found.map_or(Value::Null, |(_, name)| name.into())
    }
}
