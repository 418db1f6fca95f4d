//! The judgement: pure functions over what was seen. Nothing here talks to anything.

mod answers;
mod ending;
#[cfg(test)]
mod example;
mod figures;
mod life;
mod ownership;

use std::fmt;

pub use ending::{Block, Ending, Row};
pub use figures::{Figures, Gate};

use crate::history::History;

/// What kind of promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// An address had two owners.
    TwoOwners,
    /// What was acknowledged is not there in the end, or not as it was acknowledged.
    Lost,
    /// What was acknowledged was not there, or not as it was acknowledged, when somebody came for it.
    Unseen,
    /// What was acknowledged to be released was there again.
    Undead,
    /// Something is there that nobody asked for, or more often than it was asked for.
    Unasked,
    /// An answer that is not one to what was asked.
    Wrong,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Which promise.
    pub broken: Broken,
    /// What was seen.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.broken, self.text)
    }
}

fn finding(broken: Broken, text: String) -> Finding {
    Finding { broken, text }
}

/// Everything that is wrong with a history and with what is stored after it.
#[must_use]
pub fn check(history: &History, ending: &Ending) -> Vec<Finding> {
    let lives = life::lives(history);
    let mut findings = answers::wrong(history, &lives);
    findings.extend(ownership::shared(&lives));
    findings.extend(ending::overlaps(ending));
    findings.extend(ending::unasked(history, &lives, ending));
    findings.extend(ending::broken_promises(&lives, ending));
    findings.sort();
    findings.dedup();
    findings
}
