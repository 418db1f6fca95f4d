//! Values as text in one cell of a spreadsheet, for CSV files. Pure: knows nothing of files, columns or records.
//!
//! Lists and labels are written `a;b` and `key=value;key=value`; a backslash escapes the character after it. Text that a
//! spreadsheet program would take for a formula is prefixed with an apostrophe, which such programs read as "this is text";
//! reading removes it again, so nothing is lost.

use std::{collections::BTreeMap, str::FromStr};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{
    api::{
        ownership::Owner,
        pool::{RequiredLabels, Strategy},
    },
    cidr::{Cidr, Family},
    labels::Labels,
    moment,
    name::Name,
};

/// A value that can be written in a cell.
pub trait Cell: Sized {
    /// The value in a cell that is not empty; an error says what was expected.
    fn read(text: &str) -> Result<Self, String>;

    /// The text of a cell; reading it gives the same value.
    fn write(&self) -> String;
}

/// Characters with which a formula begins, for one program or another, and the apostrophe, which has to be distinguished
/// from ours.
const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

/// Escapes text so that no spreadsheet program takes it for a formula.
fn guard(text: String) -> String {
    if text.starts_with(FORMULA) {
        format!("'{text}")
    } else {
        text
    }
}

/// Removes the apostrophe of [`guard`].
fn unguard(text: &str) -> &str {
    text.strip_prefix('\'')
        .filter(|rest| rest.starts_with(FORMULA))
        .unwrap_or(text)
}

impl Cell for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(unguard(text).to_owned())
    }

    fn write(&self) -> String {
        guard(self.clone())
    }
}

impl Cell for Name {
    fn read(text: &str) -> Result<Self, String> {
        unguard(text.trim())
            .parse()
            .map_err(|error| format!("{error}"))
    }

    fn write(&self) -> String {
        guard(self.to_string())
    }
}

impl Cell for Owner {
    fn read(text: &str) -> Result<Self, String> {
        unguard(text.trim())
            .parse()
            .map_err(|error| format!("{error}"))
    }

    fn write(&self) -> String {
        guard(self.to_string())
    }
}

/// Numbers and other types that are read and written in their display form.
macro_rules! plain {
    ($($type:ty: $what:literal),+ $(,)?) => {$(
        impl Cell for $type {
            fn read(text: &str) -> Result<Self, String> {
                <$type>::from_str(text.trim()).map_err(|_| format!("{:?} is not {}", text.trim(), $what))
            }

            fn write(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

plain! {
    i16: "a number from -32768 to 32767",
    u32: "a number from 0 to 4294967295",
    u64: "a number",
    i64: "a number",
    Uuid: "an id (a UUID)",
}

/// A prefix length.
impl Cell for u8 {
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        // As in a CIDR: no sign, and no leading zeros.
        let plain = text.bytes().all(|byte| byte.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'));
        text.parse()
            .ok()
            .filter(|_| plain)
            .ok_or_else(|| format!("{text:?} is not a number from 0 to 255 without leading zeros"))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Cell for Cidr {
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|error| format!("{error}"))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Cell for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(true),
            "false" | "no" | "0" => Ok(false),
            other => Err(format!("{other:?} is neither true nor false")),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Cell for Family {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "ipv4" | "4" => Ok(Self::Ipv4),
            "ipv6" | "6" => Ok(Self::Ipv6),
            other => Err(format!("{other:?} is neither ipv4 nor ipv6")),
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Ipv4 => "ipv4".to_owned(),
            Self::Ipv6 => "ipv6".to_owned(),
        }
    }
}

impl Cell for Strategy {
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.as_str() == text)
            .ok_or_else(|| {
                let all: Vec<_> = Self::ALL.iter().map(|strategy| strategy.as_str()).collect();
                format!("{text:?} is not one of {}", all.join(", "))
            })
    }

    fn write(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Cell for OffsetDateTime {
    fn read(text: &str) -> Result<Self, String> {
        let at = Self::parse(text.trim(), &Rfc3339).map_err(|_| {
            format!(
                "{:?} is not a time such as 2026-01-31T12:00:00Z",
                text.trim()
            )
        })?;
        moment::in_utc(at).ok_or_else(|| moment::BEYOND.to_owned())
    }

    fn write(&self) -> String {
        // A year of more than four digits has no such form; the database would not accept it either.
        self.format(&Rfc3339).unwrap_or_default()
    }
}

impl Cell for Labels {
    fn read(text: &str) -> Result<Self, String> {
        let mut pairs = BTreeMap::new();
        for item in split(unguard(text), ';') {
            let mut parts = split(&item, '=');
            if parts.len() != 2 {
                return Err(format!(
                    "{:?} is not key=value; write labels as key=value;key=value, with a backslash before = ; and \\ in them",
                    item.trim()
                ));
            }
            let (value, key) = (
                parts.pop().unwrap_or_default(),
                parts.pop().unwrap_or_default(),
            );
            if pairs.insert(unescape(&key), unescape(&value)).is_some() {
                return Err(format!("the label {:?} is there twice", unescape(&key)));
            }
        }
        Self::new(pairs).map_err(|error| error.to_string())
    }

    fn write(&self) -> String {
        let pairs = self
            .iter()
            .map(|(key, value)| format!("{}={}", escape(key), escape(value)));
        guard(pairs.collect::<Vec<_>>().join(";"))
    }
}

impl Cell for RequiredLabels {
    fn read(text: &str) -> Result<Self, String> {
        let mut labels = Self::new();
        for item in split(unguard(text), ';') {
            let parts = split(&item, '=');
            let values = match parts.as_slice() {
                [_] => Vec::new(),
                [_, values] => split(values, '|')
                    .iter()
                    .map(|value| unescape(value))
                    .collect(),
                _ => {
                    return Err(format!(
                        "{:?} is neither key nor key=value|value",
                        item.trim()
                    ));
                }
            };
            let key = parts.first().map(|key| unescape(key)).unwrap_or_default();
            if key.is_empty() || labels.insert(key, values).is_some() {
                return Err(format!(
                    "the key in {:?} is empty or there twice",
                    item.trim()
                ));
            }
        }
        Ok(labels)
    }

    fn write(&self) -> String {
        let items = self.iter().map(|(key, values)| {
            let values: Vec<_> = values.iter().map(|value| escape(value)).collect();
            if values.is_empty() {
                escape(key)
            } else {
                format!("{}={}", escape(key), values.join("|"))
            }
        });
        guard(items.collect::<Vec<_>>().join(";"))
    }
}

impl Cell for Vec<String> {
    fn read(text: &str) -> Result<Self, String> {
        Ok(split(unguard(text), ';')
            .iter()
            .map(|item| unescape(item))
            .collect())
    }

    fn write(&self) -> String {
        guard(
            self.iter()
                .map(|item| escape(item))
                .collect::<Vec<_>>()
                .join(";"),
        )
    }
}

impl Cell for Vec<Cidr> {
    fn read(text: &str) -> Result<Self, String> {
        text.split(';').map(Cidr::read).collect()
    }

    fn write(&self) -> String {
        self.iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(";")
    }
}

/// The parts between unescaped separators; backslashes are kept.
fn split(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == separator && !escaped {
            parts.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

/// Removes surrounding whitespace and backslashes; escaped characters are kept.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // The end of what must not be trimmed.
    let mut keep = 0;
    let mut chars = text.trim_start().chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            out.push(chars.next().unwrap_or('\\'));
            keep = out.len();
        } else {
            out.push(c);
            if !c.is_whitespace() {
                keep = out.len();
            }
        }
    }
    out.truncate(keep);
    out
}

/// Escapes every special character, and whitespace at either end.
fn escape(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(text.len());
    for (place, c) in text.chars().enumerate() {
        let edge = (place == 0 || place == last) && c.is_whitespace();
        if edge || matches!(c, '\\' | ';' | '=' | '|') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn people_write_labels_as_they_like() {
        let labels = Labels::read(" env = prod;team=a b ;empty=").unwrap();
        let pairs: Vec<_> = labels.iter().collect();
        assert_eq!(pairs, [("empty", ""), ("env", "prod"), ("team", "a b")]);
        assert!(Labels::read("env").unwrap_err().contains("key=value"));
        assert!(Labels::read("a=b=c").is_err());
        assert!(Labels::read("a=1;a=2").unwrap_err().contains("twice"));
        let required = RequiredLabels::read("env=dev|stage;team").unwrap();
        assert_eq!(required["env"], ["dev", "stage"]);
        assert!(required["team"].is_empty());
        assert!(bool::read(" Yes ").unwrap());
        assert!(bool::read("maybe").is_err());
        assert!(u8::read("-1").unwrap_err().contains("0 to 255"));
        assert_eq!((u8::read(" 24 "), u8::read("0")), (Ok(24), Ok(0)));
        for text in ["024", "00", "+24"] {
            assert!(u8::read(text).unwrap_err().contains("leading zeros"));
        }
    }

    #[test]
    fn no_text_becomes_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "'quoted", "'=x"] {
            let cell = text.to_owned().write();
            assert!(cell.starts_with('\''), "{cell}");
            assert_eq!(String::read(&cell).unwrap(), text);
        }
        assert_eq!(String::read("'hello").unwrap(), "'hello");
        assert_eq!("plain".to_owned().write(), "plain");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            text in "\\PC{1,20}",
            list in prop::collection::vec("\\PC{1,9}", 1..4),
            pairs in prop::collection::btree_map("\\PC{1,9}", "\\PC{0,9}", 1..4),
            required in prop::collection::btree_map("\\PC{1,9}", prop::collection::vec("\\PC{1,9}", 0..3), 1..4),
        ) {
            prop_assert_eq!(String::read(&text.write()), Ok(text));
            prop_assert_eq!(Vec::<String>::read(&list.write()), Ok(list));
            let labels = Labels::new(pairs).unwrap();
            prop_assert_eq!(Labels::read(&labels.write()), Ok(labels));
            prop_assert_eq!(RequiredLabels::read(&required.write()), Ok(required));
        }
    }
}
