//! Forms: fields with their input, and what is wrong with it. One template (`fields.html`) shows them all.
//!
//! No form changes anything at once. Its only button, which Enter presses too, leads to a second page that says what would
//! happen; there the input is hidden, so that what is confirmed is what was shown.

mod read;

use std::{collections::BTreeMap, fmt::Display};

use serde::Deserialize;

pub(super) use self::read::Reader;
use super::error::sentence;

/// Which button was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Show what would happen.
    Preview,
    /// Do it.
    Confirm,
    /// Back to the fields, with what is in them.
    Change,
}

/// What was filled in, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct Input(Vec<(String, String)>);

impl Input {
    /// With one more value.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// The value of a field without whitespace around it; empty if there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.trim())
    }

    /// The values of a field that may have several.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.trim())
    }

    /// Whether a field has that value.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.all(name).any(|has| has == value)
    }

    /// The values of these fields where there are none.
    #[must_use]
    pub(super) fn or(mut self, defaults: Self) -> Self {
        for (name, value) in defaults.0 {
            if !self.0.iter().any(|(key, _)| *key == name) {
                self.0.push((name, value));
            }
        }
        self
    }

    /// What the second step sends again.
    pub(super) fn kept(&self) -> Vec<(String, String)> {
        self.0
            .iter()
            .filter(|(name, _)| name != "csrf" && name != "action")
            .cloned()
            .collect()
    }

    /// As the address of a page has it.
    pub(super) fn query(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| {
            format!("{}={}", super::query_value(name), super::query_value(value))
        });
        pairs.collect::<Vec<_>>().join("&")
    }

    /// Which button was pressed; the harmless one if that can't be told.
    pub(super) fn action(&self) -> Action {
        match self.get("action") {
            "confirm" => Action::Confirm,
            "change" => Action::Change,
            _ => Action::Preview,
        }
    }
}

/// A field of a form.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) label: &'static str,
    pub(super) kind: Kind,
    pub(super) hint: String,
    pub(super) required: bool,
    pub(super) value: String,
    pub(super) problem: Option<String>,
}

/// How a field is filled in.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A line, with suggestions.
    Text(Vec<String>),
    /// A line of what machines read, such as a network.
    Code,
    /// A number.
    Number,
    /// Several lines.
    Lines,
    /// One of several values, each with its meaning.
    Choice(Vec<(String, String)>),
    /// Yes or no.
    Check,
    /// Any of several values: value, meaning, whether it is chosen.
    Checks(Vec<(String, String, bool)>),
    /// Rows of values, in columns: name, label, and whether it is a number.
    Rows(Vec<(&'static str, &'static str, bool)>, Vec<Vec<String>>),
}

impl Field {
    fn new(name: &str, label: &'static str, kind: Kind) -> Self {
        Self {
            name: name.to_owned(),
            label,
            kind,
            hint: String::new(),
            required: false,
            value: String::new(),
            problem: None,
        }
    }

    pub(super) fn text(name: &str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Text(Vec::new()))
    }

    pub(super) fn code(name: &str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Code)
    }

    pub(super) fn number(name: &str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Number)
    }

    pub(super) fn lines(name: &str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Lines)
    }

    pub(super) fn check(name: &str, label: &'static str) -> Self {
        Self::new(name, label, Kind::Check)
    }

    pub(super) fn choice(
        name: &str,
        label: &'static str,
        choices: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        Self::new(name, label, Kind::Choice(choices.into_iter().collect()))
    }

    pub(super) fn checks(
        name: &str,
        label: &'static str,
        choices: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let choices = choices
            .into_iter()
            .map(|(value, meaning)| (value, meaning, false));
        Self::new(name, label, Kind::Checks(choices.collect()))
    }

    /// Rows of values: those that are filled in, and some empty ones, up to `most`.
    pub(super) fn rows(
        name: &str,
        label: &'static str,
        columns: Vec<(&'static str, &'static str, bool)>,
        most: usize,
    ) -> Self {
        let empty = vec![Vec::new(); most];
        Self::new(name, label, Kind::Rows(columns, empty)).required()
    }

    /// The labels of every noun.
    pub(super) fn labels() -> Self {
        Self::lines("labels", "Labels").hint("One key=value per line.")
    }

    /// The description of every noun.
    pub(super) fn description() -> Self {
        Self::lines("description", "Description")
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    #[must_use]
    pub(super) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    #[must_use]
    pub(super) fn suggesting(mut self, suggestions: Vec<String>) -> Self {
        self.kind = Kind::Text(suggestions);
        self
    }

    /// With what was filled in, and what is wrong with it.
    fn filled(mut self, input: &Input, problems: &Problems) -> Self {
        input.get(&self.name).clone_into(&mut self.value);
        self.problem = problems.0.get(&self.name).map(|text| sentence(text));
        match &mut self.kind {
            Kind::Checks(choices) => {
                for (value, _, chosen) in choices {
                    *chosen = input.has(&self.name, value);
                }
            }
            Kind::Rows(columns, rows) => {
                /// Empty rows below those that are filled in.
                const MORE: usize = 3;
                let most = rows.len();
                let mut filled = table(input, columns.iter().map(|(name, ..)| *name), most);
                let room = most.min(filled.len() + MORE);
                filled.resize(room, vec![String::new(); columns.len()]);
                *rows = filled;
            }
            _ => {}
        }
        self
    }

    /// By which the field tells what describes it.
    pub(super) fn described_by(&self) -> String {
        let mut ids = Vec::new();
        if self.problem.is_some() {
            ids.push(format!("{}-problem", self.name));
        }
        if !self.hint.is_empty() {
            ids.push(format!("{}-hint", self.name));
        }
        ids.join(" ")
    }

    /// Whether it consists of several inputs.
    pub(super) fn is_group(&self) -> bool {
        matches!(self.kind, Kind::Checks(_) | Kind::Rows(..))
    }

    /// Whether that is the chosen value.
    pub(super) fn is(&self, value: &str) -> bool {
        self.value == value
    }
}

/// The rows of some columns that are filled in, in their order.
pub(super) fn table<'a>(
    input: &Input,
    columns: impl Iterator<Item = &'a str> + Clone,
    most: usize,
) -> Vec<Vec<String>> {
    (0..most)
        .map(|row| {
            let values = columns
                .clone()
                .map(|name| input.get(&format!("{name}-{row}")).to_owned());
            values.collect::<Vec<_>>()
        })
        .filter(|row| row.iter().any(|value| !value.is_empty()))
        .collect()
}

/// Fields with their input.
pub(super) fn fill(fields: Vec<Field>, input: &Input, problems: &Problems) -> Vec<Field> {
    fields
        .into_iter()
        .map(|field| field.filled(input, problems))
        .collect()
}

/// What is wrong with the input, by field; under the empty name what belongs to none.
#[derive(Debug, Default)]
pub(super) struct Problems(BTreeMap<String, String>);

impl Problems {
    /// One problem.
    pub(super) fn of(field: &str, problem: impl Display) -> Self {
        Self(BTreeMap::from([(field.to_owned(), problem.to_string())]))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same in the words of a form, whose labels stand for what the API calls its fields. `renamed` are those that the
    /// form has under another name: the API's, the form's.
    #[must_use]
    pub(super) fn in_words_of(&self, fields: &[Field], renamed: &[(&str, &str)]) -> Self {
        let same = fields.iter().map(|field| (field.name.as_str(), field));
        let other = renamed.iter().filter_map(|(api, form)| {
            let field = fields.iter().find(|field| field.name == *form)?;
            Some((*api, field))
        });
        // One without such a mark may be any English word.
        let names: Vec<_> = same
            .chain(other)
            .filter(|(name, _)| name.contains(['_', '.']))
            .collect();
        let worded = |text: &String| {
            names.iter().fold(text.clone(), |text, (name, field)| {
                text.replace(*name, &format!("\"{}\"", field.label))
            })
        };
        let texts = self.0.iter();
        Self(
            texts
                .map(|(name, text)| (name.clone(), worded(text)))
                .collect(),
        )
    }

    /// What belongs to no field of these.
    pub(super) fn elsewhere(&self, fields: &[Field]) -> Option<String> {
        let known = |name: &String| fields.iter().any(|field| field.name == *name);
        let texts: Vec<_> = self
            .0
            .iter()
            .filter(|(name, _)| !known(name))
            .map(|(_, text)| sentence(text))
            .collect();
        (!texts.is_empty()).then(|| texts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use ipam_shared::cidr::Cidr;

    use super::*;

    fn input(pairs: &[(&str, &str)]) -> Input {
        pairs.iter().fold(Input::default(), |input, (name, value)| {
            input.with(name, *value)
        })
    }

    #[test]
    fn a_form_without_a_known_button_only_previews() {
        for action in ["", "preview", "create", "CONFIRM"] {
            assert_eq!(input(&[("action", action)]).action(), Action::Preview);
        }
        assert_eq!(Input::default().action(), Action::Preview);
        assert_eq!(input(&[("action", "confirm")]).action(), Action::Confirm);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once_and_at_its_field() {
        let input = input(&[
            ("name", "a/b"),
            ("ranges", "10.0.0.0/16\n10.0.0.1/16"),
            ("size", "many"),
            ("labels", "oops"),
            ("description", "a\0"),
        ]);
        let mut reader = Reader::new(&input);
        assert_eq!(reader.name(), None);
        assert_eq!(reader.each::<Cidr>("ranges"), []);
        assert_eq!(reader.number::<u8>("size"), None);
        reader.labels("labels");
        reader.text("description");
        let fields = ["name", "ranges", "size", "labels"]
            .map(|name| Field::text(name, "A field"))
            .to_vec();
        assert_eq!(
            reader.problems.elsewhere(&fields).as_deref(),
            Some("A text can't contain a NUL character.")
        );
        let fields = fill(fields, &input, &reader.problems);
        assert!(fields.iter().all(|field| field.problem.is_some()));
        assert!(
            fields[1]
                .problem
                .as_deref()
                .is_some_and(|problem| problem.contains("10.0.0.1/16"))
        );
        assert_eq!(fields[0].value, "a/b");
    }

    #[test]
    fn rows_are_those_that_are_filled_in_and_some_more() {
        let input = input(&[("role-0", "a"), ("role-2", "c"), ("pool-2", "p")]);
        let columns = vec![("role", "Role", false), ("pool", "Pool", false)];
        let fields = vec![Field::rows("members", "Members", columns, 4)];
        let fields = fill(fields, &input, &Problems::default());
        let Kind::Rows(_, rows) = &fields[0].kind else {
            panic!("rows");
        };
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[1], ["c", "p"]);
        assert_eq!(rows[3], ["", ""]);
    }

    #[test]
    fn what_is_confirmed_is_what_was_shown() {
        let input = input(&[
            ("csrf", "x"),
            ("role", "a"),
            ("role", "b"),
            ("action", "preview"),
        ]);
        assert_eq!(
            input.kept(),
            [
                ("role".to_owned(), "a".to_owned()),
                ("role".to_owned(), "b".to_owned())
            ]
        );
        assert_eq!(input.get("role"), "a");
        assert!(input.has("role", "b") && !input.has("role", "c"));
        assert_eq!(super::super::query_value("a b"), "a%20b");
    }
}
