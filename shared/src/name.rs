//! Names that are valid once they exist.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest name, in characters.
pub const MAX_NAME: usize = 128;

/// A name of a VRF, pool, profile, VPC or allocation: 1 to 128 characters, no control characters, no `/` (it separates
/// a VPC from an allocation in `vpc/name`), no whitespace at either end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Name(String);

/// Why a text is not a valid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than [`MAX_NAME`].
    #[error("a name has at most {MAX_NAME} characters, this one has {0}")]
    Long(usize),
    /// A slash or a control character.
    #[error("a name can't contain {0:?}")]
    Character(char),
    /// Whitespace around it.
    #[error("a name can't begin or end with whitespace")]
    Space,
    /// A character that is invisible, or that changes the direction of the text: the name would look like another one.
    #[error(
        "a new name can't contain {0:?}, which is invisible and makes it look like another name"
    )]
    Deceptive(char),
}

/// Invisible characters: those of zero width, and those that change the direction of a text
/// (Unicode's Bidi_Control and Default_Ignorable_Code_Point, and the ends of lines and paragraphs).
fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// A text folded for comparisons without regard to case, see [`Name::folded`].
pub fn fold(text: &str) -> String {
    text.to_ascii_lowercase()
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name folded for comparisons without regard to case: A to Z become a to z, and no other letters are equal,
    /// whatever the language. The database has the same rule, `lower(name collate "C")`.
    pub fn folded(&self) -> String {
        fold(&self.0)
    }

    /// Whether something new may have this name. What already exists keeps its name, and is still found by it.
    ///
    /// # Errors
    /// When the name would look like another one.
    pub fn check_new(&self) -> Result<(), NameError> {
        match self.0.chars().find(|c| is_deceptive(*c)) {
            Some(c) => Err(NameError::Deceptive(c)),
            None => Ok(()),
        }
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        let length = text.chars().count();
        if length > MAX_NAME {
            return Err(NameError::Long(length));
        }
        if text.trim() != text {
            return Err(NameError::Space);
        }
        match text.chars().find(|c| c.is_control() || *c == '/') {
            Some(c) => Err(NameError::Character(c)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_once_at_the_edge() {
        assert_eq!(
            "prod-vpc.1 ü".parse::<Name>().unwrap().as_str(),
            "prod-vpc.1 ü"
        );
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        assert_eq!(" a".parse::<Name>(), Err(NameError::Space));
        assert_eq!("a/b".parse::<Name>(), Err(NameError::Character('/')));
        assert_eq!(
            "a\u{0}b".parse::<Name>(),
            Err(NameError::Character('\u{0}'))
        );
        assert_eq!("x".repeat(129).parse::<Name>(), Err(NameError::Long(129)));
        assert!("ü".repeat(128).parse::<Name>().is_ok());
        assert!(serde_json::from_str::<Name>("\"a/b\"").is_err());
    }

    #[test]
    fn new_names_look_like_what_they_are() {
        let check = |text: &str| text.parse::<Name>().unwrap().check_new();
        for good in ["prod", "größe", "東京", "עברית", "a b", "-_."] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for c in [
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2067}',
            '\u{feff}',
            '\u{ad}',
            '\u{2028}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{206a}',
            '\u{e0041}',
            '\u{e0100}',
        ] {
            assert_eq!(check(&format!("pr{c}od")), Err(NameError::Deceptive(c)));
        }
    }
}
