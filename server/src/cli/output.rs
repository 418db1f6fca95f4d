//! What a command says and how it ends: text for people in aligned columns, JSON for programs, and an exit code for
//! scripts.

use serde::Serialize;

pub use super::table::{Align, Table};
pub use crate::text::thousands;

/// Why a command failed, sorted by what its exit code tells a script.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The server, or a rule of ours, said no. Exit code 1.
    #[error("{0}")]
    Refused(String),
    /// It was done, and what the first text says for the output is not as it should be. Exit code 1.
    #[error("{1}")]
    Found(String, String),
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
            Self::Refused(_) | Self::Found(..) => 1,
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

/// Text that is safe to print on a terminal: other people's names and labels can't move its cursor, change its colours, or
/// turn the direction of what stands beside them.
pub fn printable(text: &str) -> String {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| {
            if c.is_control() || turns(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
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
    fn names_of_others_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\u{fffd}c");
        assert_eq!(printable("a\u{202e}b"), "a\u{fffd}b");
    }
}
