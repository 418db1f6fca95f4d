//! What stands in a cell: it is sorted by what it means, written whole for programs, and in a readable way for people.

use std::cmp::Ordering;

use ipam_shared::{
    api::{pool::RequiredLabels, transfer::Cell as _},
    cidr::Cidr,
    labels::Labels,
};
use time::OffsetDateTime;

use super::output::printable;
use crate::text;

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    None,
    /// Words.
    Text(String),
    /// A number that is counted.
    Number(u128),
    /// A part of a whole, from 0 to 1.
    Fraction(f64),
    /// Yes or no.
    Flag(bool),
    /// A moment.
    Moment(OffsetDateTime),
    /// Networks.
    Cidrs(Vec<Cidr>),
    /// Several texts.
    Texts(Vec<String>),
    /// Key-value pairs.
    Labels(Labels),
    /// Keys with the values they may have.
    Required(RequiredLabels),
}

impl Value {
    /// Something that need not be there.
    pub fn of<T: Into<Self>>(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }

    /// A prefix length.
    pub fn length(length: u8) -> Self {
        Self::Number(length.into())
    }

    /// A count that is never negative.
    pub fn count(count: i64) -> Self {
        Self::Number(u128::try_from(count).unwrap_or(0))
    }

    /// Whether it is a number, and stands at the right.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Fraction(_))
    }

    /// For people, on one line; nothing in it can steer a terminal.
    pub fn shown(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Text(text) => printable(text),
            Self::Number(number) => text::addresses(*number),
            Self::Fraction(fraction) => text::percent(*fraction),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Self::Moment(at) => text::moment(*at),
            Self::Cidrs(cidrs) => joined(cidrs.iter().map(ToString::to_string)),
            Self::Texts(texts) => joined(texts.iter().map(|text| printable(text))),
            Self::Labels(labels) => joined(
                labels
                    .iter()
                    .map(|(key, value)| printable(&format!("{key}={value}"))),
            ),
            Self::Required(labels) => joined(labels.iter().map(|(key, values)| {
                let equals = if values.is_empty() { "" } else { "=" };
                printable(&format!("{key}{equals}{}", values.join("|")))
            })),
        }
    }

    /// For a cell of a CSV file, as an export writes it: whole, and no spreadsheet program takes it for a formula.
    pub fn written(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Text(text) => text.write(),
            Self::Number(number) => number.to_string(),
            Self::Fraction(fraction) => fraction.to_string(),
            Self::Flag(flag) => flag.write(),
            Self::Moment(at) => at.write(),
            Self::Cidrs(cidrs) => cidrs.write(),
            Self::Texts(texts) => texts.write(),
            Self::Labels(labels) => labels.write(),
            Self::Required(labels) => labels.write(),
        }
    }

    /// Which of two values of one column comes first; nothing comes last.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::None, Self::None) => Ordering::Equal,
            (Self::None, _) => Ordering::Greater,
            (_, Self::None) => Ordering::Less,
            (Self::Number(one), Self::Number(other)) => one.cmp(other),
            (Self::Fraction(one), Self::Fraction(other)) => one.total_cmp(other),
            (Self::Flag(one), Self::Flag(other)) => one.cmp(other),
            (Self::Moment(one), Self::Moment(other)) => one.cmp(other),
            (Self::Cidrs(one), Self::Cidrs(other)) => one.cmp(other),
            (Self::Texts(one), Self::Texts(other)) => one.cmp(other),
            (one, other) => {
                let (one, other) = (one.plain(), other.plain());
                (one.to_lowercase(), one).cmp(&(other.to_lowercase(), other))
            }
        }
    }

    fn plain(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.written(),
        }
    }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

macro_rules! from {
    ($($type:ty: |$it:ident| $value:expr;)+) => {$(
        impl From<$type> for Value {
            fn from($it: $type) -> Self {
                $value
            }
        }
    )+};
}

from! {
    &str: |it| Self::Text(it.to_owned());
    &String: |it| Self::Text(it.clone());
    String: |it| Self::Text(it);
    &ipam_shared::name::Name: |it| Self::Text(it.to_string());
    u8: |it| Self::Number(it.into());
    u32: |it| Self::Number(it.into());
    u64: |it| Self::Number(it.into());
    u128: |it| Self::Number(it);
    bool: |it| Self::Flag(it);
    OffsetDateTime: |it| Self::Moment(it);
    Cidr: |it| Self::Cidrs(vec![it]);
    &Vec<Cidr>: |it| Self::Cidrs(it.clone());
    &Vec<String>: |it| if it.is_empty() { Self::None } else { Self::Texts(it.clone()) };
    &Labels: |it| if it.is_empty() { Self::None } else { Self::Labels(it.clone()) };
    &RequiredLabels: |it| if it.is_empty() { Self::None } else { Self::Required(it.clone()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_sorted_by_what_they_mean() {
        let cidr = |text: &str| Value::from(text.parse::<Cidr>().unwrap());
        for (first, second) in [
            (Value::from(9_u8), Value::from(10_u8)),
            (cidr("9.0.0.0/8"), cidr("10.0.0.0/8")),
            (Value::from("a"), Value::from("B")),
            (Value::Fraction(0.5), Value::Fraction(0.75)),
            (Value::from("z"), Value::None),
        ] {
            assert_eq!(
                first.compare(&second),
                Ordering::Less,
                "{first:?} {second:?}"
            );
            assert_eq!(second.compare(&first), Ordering::Greater);
        }
    }

    #[test]
    fn programs_read_everything_and_people_what_they_can() {
        let number = Value::from(1_u128 << 96);
        assert_eq!(number.shown(), "2^96");
        assert_eq!(number.written(), (1_u128 << 96).to_string());
        assert_eq!(Value::from("=1+1").written(), "'=1+1");
        assert_eq!(Value::from("a\u{1b}b").shown(), "a\u{fffd}b");
        assert_eq!(Value::from("a\u{1b}b").written(), "a\u{1b}b");
    }
}
