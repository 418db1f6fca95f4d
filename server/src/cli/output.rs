//! What a command says and how it ends: text for people in aligned columns, JSON for programs, and an exit code for
//! scripts.

use std::fmt::Write as _;

use serde::Serialize;

pub use crate::text::thousands;

/// Why a command failed, sorted by what its exit code tells a script.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server, or a rule of ours, said no. Exit code 1.
    #[error("{0}")]
    Refused(String),
    /// The command was called wrongly. Exit code 2, the same as for an unknown option.
    #[error("{0}")]
    Usage(String),
    /// The server did not answer. Exit code 3.
    #[error("{0}")]
    Unreachable(String),
}

impl Failure {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
        }
    }
}

/// The value as indented JSON and a line feed.
pub fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    text.map(|text| text + "\n")
        .map_err(|error| Failure::Refused(format!("cannot write JSON: {error}")))
}

/// Text that is safe to print on a terminal: other people's names and labels can't move its cursor or change its colours.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows in columns as wide as their widest cell, two spaces apart.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// No rows yet.
    pub fn new(columns: impl Into<Vec<Align>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells at its end are empty.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The rows as lines, each indented by that many spaces.
    pub fn text(&self, indent: usize) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for ((cell, align), &width) in row.iter().zip(&self.columns).zip(&widths) {
                let written = match align {
                    Align::Left => write!(line, "{cell:<width$}  "),
                    Align::Right => write!(line, "{cell:>width$}  "),
                };
                debug_assert!(written.is_ok(), "writing to a String does not fail");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        let cases = [
            (0_u64, "0"),
            (59, "59"),
            (507, "507"),
            (4091, "4,091"),
            (131_067, "131,067"),
            (1_000_000, "1,000,000"),
        ];
        for (number, text) in cases {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn columns_line_up_and_lines_have_no_spaces_at_their_end() {
        let mut table = Table::new([Align::Right, Align::Left, Align::Left]);
        table.row(["ID", "VPC", "LABELS"]);
        table.row(["7", "Größe", ""]);
        table.row(["1234", "p", "a=b"]);
        assert_eq!(
            table.text(1),
            "   ID  VPC    LABELS\n    7  Größe\n 1234  p      a=b\n"
        );
    }

    #[test]
    fn names_of_others_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
    }
}
