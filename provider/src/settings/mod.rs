//! Settings of the provider that are more than a text or a number.

pub(crate) mod owner;

use tfplugin::{Diagnostic, FromValue, Path, ToValue, Value};

/// How a choice is written in a configuration, and what is said of another word.
macro_rules! choice {
    ($choice:ident, $unknown:literal, { $($variant:ident: $word:literal),+ $(,)? }) => {
        impl FromValue for $choice {
            fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
                let text = String::from_value(value, path)?;
                match text.as_str() {
                    $($word => Ok(Self::$variant),)+
                    _ => {
                        let all = [$($word),+].join(", ");
                        let detail = format!("{text:?} is not one of these: {all}.");
                        Err(Diagnostic::error($unknown, detail).at(path))
                    }
                }
            }
        }

        impl ToValue for $choice {
            fn to_value(&self) -> Value {
                match self {
                    $(Self::$variant => $word.into(),)+
                }
            }
        }
    };
}

/// `adopt`: what happens with things that already exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Adopt {
    /// What the same owner created and nobody has confirmed is taken over.
    #[default]
    Unconfirmed,
    /// Nothing is.
    Never,
}

choice!(Adopt, "Unknown way to adopt", {
    Unconfirmed: "unconfirmed",
    Never: "never",
});

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

choice!(Rename, "Unknown way to rename", {
    InPlace: "in_place",
    Replace: "replace",
    Refuse: "refuse",
});
