//! What two moments differ in, on a map and as a list.

use ipam_shared::cidr::Cidr;

use super::{
    full,
    tiles::{Frame, Scale},
    words,
};
use crate::{
    domain::map::{Changed, Difference, Sheet},
    text,
};

/// Most lines of each kind in the list.
const LINES: usize = 25;

/// What two moments differ in.
#[derive(Clone, Debug)]
pub struct Changes {
    difference: Difference,
    /// What was added, ended and resized, each with how many there are; nothing if they are too many to compare one by one.
    pub lists: Vec<List>,
}

/// Changes of one kind.
#[derive(Clone, Debug)]
pub struct List {
    /// What they are.
    pub name: &'static str,
    /// The class of their marks.
    pub class: &'static str,
    /// How many there are.
    pub count: usize,
    /// The first of them.
    pub lines: Vec<Line>,
}

/// One change.
#[derive(Clone, Debug)]
pub struct Line {
    /// What is there now, or was.
    pub cidr: Cidr,
    /// What it was before, if it was resized.
    pub before: Option<Cidr>,
    /// Whose it is, or was.
    pub whose: String,
}

/// A change on the map.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The block, or the cell.
    pub cidr: Cidr,
    /// Where it is.
    pub frame: Frame,
    /// What it looks like.
    pub class: &'static str,
    /// What it is, in words.
    pub title: String,
}

impl Changes {
    /// From what was found.
    pub fn new(difference: Difference) -> Self {
        let lists = match &difference {
            Difference::Estimated(_) => Vec::new(),
            Difference::Exact(changed) => {
                [("Added", "came"), ("Ended", "went"), ("Resized", "resized")]
                    .into_iter()
                    .map(|(name, class)| list(name, class, changed))
                    .collect()
            }
        };
        Self { difference, lists }
    }

    /// Whether each block was compared; if not, the shares of cells were.
    pub fn is_exact(&self) -> bool {
        matches!(self.difference, Difference::Exact(_))
    }

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.lists.iter().all(|list| list.count == 0)
    }

    /// What the marks mean, by class.
    pub fn legend(&self) -> Vec<(&'static str, &'static str)> {
        if self.is_exact() {
            let there = self.lists.iter().filter(|list| list.count > 0);
            there
                .map(|list| match list.class {
                    "came" => ("came", "added since then"),
                    "went" => ("went", "ended since then"),
                    _ => ("resized", "resized since then"),
                })
                .collect()
        } else {
            vec![
                ("came", "fuller than then, as far as was read"),
                ("went", "emptier than then, as far as was read"),
            ]
        }
    }

    /// The changes of one map.
    pub fn marks(&self, sheet: &Sheet, scale: Scale) -> Vec<Mark> {
        match &self.difference {
            Difference::Exact(changed) => changed
                .iter()
                .filter_map(|change| {
                    let (class, title) = match change {
                        Changed::Added(used) => ("came", format!("{} added", used.cidr)),
                        Changed::Ended(used) => ("went", format!("{} ended", used.cidr)),
                        Changed::Resized(had, has) => {
                            let title = format!("{} resized, was {}", has.cidr, had.cidr);
                            ("resized", title)
                        }
                    };
                    let is_here = change.range() == sheet.part.range;
                    let frame = Frame::mark(change.cidr(), sheet.grid, scale);
                    Some(Mark {
                        cidr: change.cidr(),
                        frame: frame.filter(|_| is_here)?,
                        class,
                        title,
                    })
                })
                .collect(),
            Difference::Estimated(before) => {
                let length = sheet.grid.cell_length();
                let was = before.iter().find(|was| was.part == sheet.part);
                let was = was.map(|was| full::shares(was, length)).unwrap_or_default();
                let is = full::shares(sheet, length);
                let mut cells: Vec<_> = was.keys().chain(is.keys()).copied().collect();
                cells.sort();
                cells.dedup();
                let share = |of: &std::collections::BTreeMap<Cidr, f64>, cell| {
                    of.get(cell).copied().unwrap_or(0.0)
                };
                cells
                    .iter()
                    .filter_map(|cell| {
                        let (then, now) = (share(&was, cell), share(&is, cell));
                        let class = match now - then {
                            more if more > 1e-6 => "came",
                            less if less < -1e-6 => "went",
                            _ => return None,
                        };
                        Some(Mark {
                            cidr: *cell,
                            frame: Frame::mark(*cell, sheet.grid, scale)?,
                            class,
                            title: format!(
                                "{cell}: about {} used, was about {}",
                                text::percent(now),
                                text::percent(then)
                            ),
                        })
                    })
                    .collect()
            }
        }
    }
}

fn list(name: &'static str, class: &'static str, changed: &[Changed]) -> List {
    let of_kind = changed.iter().filter_map(|change| match (change, class) {
        (Changed::Added(used), "came") | (Changed::Ended(used), "went") => Some(Line {
            cidr: used.cidr,
            before: None,
            whose: words::whose(&used.holder),
        }),
        (Changed::Resized(had, has), "resized") => Some(Line {
            cidr: has.cidr,
            before: Some(had.cidr),
            whose: words::whose(&has.holder),
        }),
        _ => None,
    });
    let mut lines: Vec<_> = of_kind.collect();
    let count = lines.len();
    lines.truncate(LINES);
    List {
        name,
        class,
        count,
        lines,
    }
}
