//! What the standard output is: a terminal with a width and colours, or a file or program that gets everything as it is.

use std::io::{self, IsTerminal as _};

/// Where text for people goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// How many columns there are; none if there is no limit.
    pub width: Option<usize>,
    /// Whether colours are understood and wanted.
    pub colours: bool,
}

impl Screen {
    /// A file or a program.
    pub const NONE: Self = Self {
        width: None,
        colours: false,
    };

    /// The standard output.
    #[must_use]
    pub fn stdout() -> Self {
        if !io::stdout().is_terminal() {
            return Self::NONE;
        }
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let size = terminal_size::terminal_size_of(io::stdout());
        Self {
            // A terminal that does not know its width, such as a serial line, says 0.
            width: size
                .map(|(width, _)| usize::from(width.0))
                .filter(|width| *width > 0),
            colours: set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}
