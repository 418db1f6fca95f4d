//! How the values of a form are read.

use std::{fmt::Display, str::FromStr};

use ipam_shared::{labels::Labels, name::Name};

use super::{Input, Problems};
use crate::pages::parse_labels;

/// Reads the values of a form, and notes what is wrong: everything is said at once.
#[derive(Debug)]
pub(in crate::pages) struct Reader<'a> {
    pub(in crate::pages) input: &'a Input,
    pub(in crate::pages) problems: Problems,
}

impl<'a> Reader<'a> {
    pub(in crate::pages) fn new(input: &'a Input) -> Self {
        Self {
            input,
            problems: Problems::default(),
        }
    }

    /// Notes a problem; the first one of a field is kept.
    pub(in crate::pages) fn wrong(&mut self, field: &str, problem: impl Display) {
        self.problems
            .0
            .entry(field.to_owned())
            .or_insert_with(|| problem.to_string());
    }

    fn noted<T, E: Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problem) => {
                self.wrong(field, problem);
                None
            }
        }
    }

    /// What can be read from a text.
    pub(in crate::pages) fn parsed<T>(&mut self, field: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let parsed = self.input.get(field).parse();
        self.noted(field, parsed)
    }

    /// The same where nothing may be filled in.
    pub(in crate::pages) fn optional<T>(&mut self, field: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        match self.input.get(field) {
            "" => None,
            _ => self.parsed(field),
        }
    }

    pub(in crate::pages) fn name(&mut self) -> Option<Name> {
        self.parsed("name")
    }

    /// A number; none if nothing was filled in.
    pub(in crate::pages) fn number<T: FromStr>(&mut self, field: &str) -> Option<T> {
        let text = self.input.get(field).trim_start_matches('/');
        if text.is_empty() {
            return None;
        }
        let digits = text.replace([',', '_', ' '], "");
        let number = digits
            .parse()
            .map_err(|_| format!("{text:?} is no whole number, or too large for this"));
        self.noted(field, number)
    }

    pub(in crate::pages) fn labels(&mut self, field: &str) -> Labels {
        let labels = parse_labels(self.input.get(field));
        self.noted(field, labels).unwrap_or_default()
    }

    /// Free text. Browsers send other ends of lines than the API has.
    pub(in crate::pages) fn text(&mut self, field: &str) -> String {
        let text = self.input.get(field).replace("\r\n", "\n");
        if text.contains('\0') {
            self.wrong(field, "a text can't contain a NUL character");
        }
        if text.chars().count() > 1000 {
            self.wrong(field, "this is longer than 1,000 characters");
        }
        text
    }

    /// The lines of a text that are not empty.
    pub(in crate::pages) fn lines(&self, field: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.input.get(field).lines();
        lines.map(str::trim).filter(|line| !line.is_empty())
    }

    /// What can be read from each line.
    pub(in crate::pages) fn each<T>(&mut self, field: &'a str) -> Vec<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let lines: Vec<_> = self.lines(field).collect();
        let parsed = lines
            .into_iter()
            .map(|line| {
                line.parse()
                    .map_err(|error: T::Err| match error.to_string() {
                        text if text.contains(line) => text,
                        text => format!("{line}: {text}"),
                    })
            })
            .collect::<Result<_, String>>();
        self.noted(field, parsed).unwrap_or_default()
    }
}
