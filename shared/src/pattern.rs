//! Patterns of names.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::name::{MAX_NAME, fold};

/// A pattern of names, such as those of VPCs or of actions, in which `*` stands for any text, also for none. Letters A to Z match
/// in either case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Pattern(String);

/// Why a text is not a valid pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a pattern of names has 1 to 128 characters, none of them a control character or \"/\"")]
pub struct PatternError;

impl Pattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name matches. Takes time in proportion to the product of both lengths at most.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (fold(&self.0), fold(name));
        let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
        let (mut at, mut next) = (0, 0);
        // Where to go on if the text of the last `*` has to grow.
        let mut retry = None;
        while next < name.len() {
            if pattern.get(at) == Some(&b'*') {
                retry = Some((at, next));
                at += 1;
            } else if pattern.get(at) == Some(&name[next]) {
                at += 1;
                next += 1;
            } else if let Some((star, from)) = retry {
                retry = Some((star, from + 1));
                at = star + 1;
                next = from + 1;
            } else {
                return false;
            }
        }
        pattern[at..].iter().all(|byte| *byte == b'*')
    }

    /// The same pattern for SQL's `like`, folded.
    pub fn to_like(&self) -> String {
        let mut like = String::with_capacity(self.0.len() + 4);
        for c in fold(&self.0).chars() {
            match c {
                '*' => like.push('%'),
                '%' | '_' | '\\' => like.extend(['\\', c]),
                _ => like.push(c),
            }
        }
        like
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let fits = (1..=MAX_NAME).contains(&text.chars().count());
        if fits && !text.chars().any(|c| c.is_control() || c == '/') {
            Ok(Self(text.to_owned()))
        } else {
            Err(PatternError)
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (text, matching, others) in [
            (
                "team-a-*",
                &["team-a-", "TEAM-A-prod"][..],
                &["team-a", "xteam-a-1"][..],
            ),
            ("*", &["", "anything"], &[]),
            ("a*b*c", &["abc", "a-b-b-c", "AxxbyyC"], &["ab", "acb"]),
            ("**x", &["x", "yx"], &["xy"]),
            ("100%_", &["100%_"], &["1000a", "100%a"]),
            ("größe", &["größe"], &["GRÖSSE", "gröÞe"]),
        ] {
            for name in matching {
                assert!(pattern(text).matches(name), "{text} {name}");
            }
            for name in others {
                assert!(!pattern(text).matches(name), "{text} {name}");
            }
        }
        for bad in ["", "a/b", "a\nb", &"a".repeat(129)] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn patterns_match_as_their_definition_says(text in "[ab*]{1,8}", name in "[abAB]{0,8}") {
            fn matches(pattern: &[u8], name: &[u8]) -> bool {
                match pattern.split_first() {
                    None => name.is_empty(),
                    Some((b'*', rest)) => (0..=name.len()).any(|from| matches(rest, &name[from..])),
                    Some((byte, rest)) => name.first() == Some(byte) && matches(rest, &name[1..]),
                }
            }
            let expected = matches(text.as_bytes(), name.to_ascii_lowercase().as_bytes());
            prop_assert_eq!(pattern(&text).matches(&name), expected);
        }
    }
}
