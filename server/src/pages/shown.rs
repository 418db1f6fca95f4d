//! How values look on a page, whatever they belong to. Text of users is isolated: it can neither turn the direction of what
//! follows nor spoil the width of a table.

use ipam_shared::{cidr::Cidr, labels::Labels};
use time::OffsetDateTime;

/// A value on a page (`shown.html`).
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    /// Nothing.
    Nothing,
    /// A text.
    Text(String),
    /// What machines read, each on a line of its own, and how many more there are.
    Code(Vec<String>, usize),
    /// A text for each line.
    Lines(Vec<String>),
    /// The address of another page, and its text.
    Link(String, String),
    /// Labels.
    Labels(Labels),
    /// A moment.
    Time(OffsetDateTime),
    /// How full something is.
    Share(f64),
}

impl Shown {
    /// A text, or nothing.
    pub(super) fn text(text: impl ToString) -> Self {
        match text.to_string() {
            text if text.is_empty() => Self::Nothing,
            text => Self::Text(text),
        }
    }

    /// A text if there is one.
    pub(super) fn maybe(text: Option<impl ToString>) -> Self {
        text.map_or(Self::Nothing, Self::text)
    }

    /// Networks.
    pub(super) fn cidrs(cidrs: &[Cidr]) -> Self {
        /// As many as can be read.
        const MOST: usize = 50;
        if cidrs.is_empty() {
            return Self::Nothing;
        }
        let named = cidrs.iter().take(MOST).map(ToString::to_string);
        Self::Code(named.collect(), cidrs.len().saturating_sub(MOST))
    }

    /// Something that has a name, each on a line.
    pub(super) fn lines(lines: impl IntoIterator<Item = impl ToString>) -> Self {
        let lines: Vec<_> = lines.into_iter().map(|line| line.to_string()).collect();
        if lines.is_empty() {
            Self::Nothing
        } else {
            Self::Lines(lines)
        }
    }

    pub(super) fn labels(labels: &Labels) -> Self {
        if labels.is_empty() {
            Self::Nothing
        } else {
            Self::Labels(labels.clone())
        }
    }

    /// A moment if there is one.
    pub(super) fn time(at: Option<OffsetDateTime>) -> Self {
        at.map_or(Self::Nothing, Self::Time)
    }

    /// A number that leads to what was counted.
    pub(super) fn count(count: i64, path: String) -> Self {
        Self::Link(path, crate::text::thousands(count.unsigned_abs()))
    }
}

/// A value with what it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fact {
    pub(super) label: String,
    pub(super) value: Shown,
}

impl Fact {
    pub(super) fn new(label: impl Into<String>, value: Shown) -> Self {
        Self {
            label: label.into(),
            value,
        }
    }
}

/// What differs between two states of something: what it is, before, after.
pub(super) fn differences(before: &[Fact], after: &[Fact]) -> Vec<(String, Shown, Shown)> {
    let was = |label: &str| {
        let found = before.iter().find(|fact| fact.label == label);
        found.map_or(Shown::Nothing, |fact| fact.value.clone())
    };
    after
        .iter()
        .map(|fact| (fact.label.clone(), was(&fact.label), fact.value.clone()))
        .filter(|(_, before, after)| before != after)
        .collect()
}
