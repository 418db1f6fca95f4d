//! Figures beside their targets, and how many were met.

use std::fmt;

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

use Target::{AtLeast, AtMost};

impl Target {
    fn is_met(self, figure: f64) -> bool {
        match self {
            AtLeast(bound) => figure >= bound,
            AtMost(bound) => figure <= bound,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AtLeast(bound) => write!(f, ">= {bound}"),
            AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

/// Counts what was met.
#[derive(Debug, Default)]
pub(crate) struct Score {
    met: usize,
    missed: Vec<String>,
}

impl Score {
    /// A target and whether `figure` meets it, to stand beside the figure.
    pub(crate) fn check(&mut self, what: &str, figure: f64, target: Target) -> String {
        let verdict = if cfg!(debug_assertions) {
            "not judged"
        } else if target.is_met(figure) {
            self.met += 1;
            "ok"
        } else {
            self.missed
                .push(format!("{what}: {figure:.2}, should be {target}"));
            "MISSED"
        };
        format!("[{target} {verdict}]")
    }

    /// A figure on a line of its own.
    pub(crate) fn line(&mut self, what: &str, figure: f64, unit: &str, target: Target) {
        let verdict = self.check(what, figure, target);
        println!("{what:<76} {:>9} {verdict}", format!("{figure:.2}{unit}"));
    }

    /// How many calls failed, of which there should be none.
    pub(crate) fn none_failed(&mut self, what: &str, failed: usize) {
        self.line(
            &format!("{what}: failed calls"),
            failed as f64,
            "",
            AtMost(0.0),
        );
    }

    /// The last word.
    pub(crate) fn close(&self) {
        if cfg!(debug_assertions) {
            println!("\nnothing is judged: a dev build says only that it works");
            return;
        }
        println!(
            "\n{} of {} targets are met",
            self.met,
            self.met + self.missed.len()
        );
        for missed in &self.missed {
            println!("MISSED {missed}");
        }
    }
}
