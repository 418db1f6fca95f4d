//! Which colour and pattern a block has, and what that means.

use std::collections::BTreeMap;

use time::{Duration, OffsetDateTime};

use super::full;
use crate::{
    db::map::{Holder, Used},
    domain::map::Sheet,
    drawing::What,
};

/// What the colours mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// The VPC that has it.
    #[default]
    Vpc,
    /// Allocated or not.
    State,
    /// How long it has been there.
    Age,
    /// How full each part is, whatever is in it.
    Utilisation,
    /// The value of the label with this key.
    Label(String),
}

/// The classes of the most frequent values: a colour and a pattern each.
const CLASSES: [&str; 6] = ["v0", "v1", "v2", "v3", "v4", "v5"];
/// All other values.
const OTHER: &str = "vx";
/// What reservations and everything without a name look like.
const RESERVED: &str = "reserved";

/// The colours of what is shown, and what they mean.
#[derive(Debug)]
pub struct Colours {
    by: By,
    now: OffsetDateTime,
    classes: BTreeMap<String, &'static str>,
}

impl Colours {
    /// Those of these maps, as of that moment.
    pub fn of(sheets: &[Sheet], by: &By, now: OffsetDateTime) -> Self {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for used in blocks(sheets) {
            if let Some(value) = value(used, by) {
                *counts.entry(value).or_default() += 1;
            }
        }
        let mut values: Vec<_> = counts.into_iter().collect();
        values.sort_by_key(|(value, count)| (std::cmp::Reverse(*count), value.clone()));
        let classes = values.into_iter().map(|(value, _)| value).zip(CLASSES);
        Self {
            by: by.clone(),
            now,
            classes: classes.collect(),
        }
    }

    /// What the colours mean.
    pub fn by(&self) -> &By {
        &self.by
    }

    /// The class of a block.
    pub fn class(&self, used: &Used) -> &'static str {
        match (&used.holder, &self.by) {
            (Holder::Allocation { .. }, By::State) => "v0",
            (Holder::Allocation { .. }, By::Age) => age(self.now - used.since).0,
            (Holder::Allocation { .. }, by) => value(used, by)
                .and_then(|value| self.classes.get(&value).copied())
                .unwrap_or(OTHER),
            _ => RESERVED,
        }
    }

    /// What is on these maps, by class.
    pub fn legend(&self, sheets: &[Sheet]) -> Vec<(&'static str, String)> {
        let mut legend: Vec<(&'static str, String)> = match &self.by {
            By::Utilisation => return full::legend(),
            By::State => vec![("v0", "allocated".to_owned())],
            By::Age => AGES
                .iter()
                .map(|(class, _, name)| (*class, (*name).to_owned()))
                .collect(),
            By::Vpc | By::Label(_) => {
                let mut all: Vec<_> = self
                    .classes
                    .iter()
                    .map(|(value, class)| (*class, value.clone()))
                    .collect();
                all.sort();
                all
            }
        };
        let mut others = 0_usize;
        let (mut reserved, mut child, mut cooling, mut cells) = (false, false, false, false);
        for sheet in sheets {
            for shape in &sheet.shapes {
                match &shape.what {
                    What::Cell(_) => cells = true,
                    What::Block(used) => match used.holder {
                        Holder::Allocation { .. } => {
                            others += usize::from(self.class(used) == OTHER);
                        }
                        Holder::Child { .. } => child = true,
                        Holder::Cooling { .. } => cooling = true,
                        Holder::Reservation { .. } | Holder::Other { .. } => reserved = true,
                    },
                }
            }
        }
        if others > 0 {
            let what = match &self.by {
                By::Label(key) => format!("other values of {key}, or none"),
                _ => "other VPCs".to_owned(),
            };
            legend.push((OTHER, what));
        }
        for (there, class, name) in [
            (reserved, RESERVED, "reserved"),
            (child, "child", "child pool"),
            (cooling, "cooling", "cooling down"),
            (
                cells,
                density(sheets),
                "several blocks, filled as far as they are used",
            ),
        ] {
            if there {
                legend.push((class, name.to_owned()));
            }
        }
        legend.push(("free", "free".to_owned()));
        legend
    }
}

/// The class of cells with several blocks: where all are such, their colour says how full they are.
fn density(sheets: &[Sheet]) -> &'static str {
    if sheets.iter().all(|sheet| sheet.exact) {
        "several"
    } else {
        "density"
    }
}

/// Younger than that, by class.
const AGES: [(&str, Duration, &str); 5] = [
    ("v2", Duration::DAY, "last day"),
    ("v5", Duration::WEEK, "last week"),
    ("v3", Duration::days(30), "last month"),
    ("v1", Duration::days(180), "last half year"),
    ("v0", Duration::MAX, "older"),
];

fn age(age: Duration) -> (&'static str, &'static str) {
    let found = AGES.iter().find(|(_, most, _)| age < *most);
    found.map_or(("v0", "older"), |(class, _, name)| (class, name))
}

fn value(used: &Used, by: &By) -> Option<String> {
    match (&used.holder, by) {
        (Holder::Allocation { vpc, .. }, By::Vpc) => Some(vpc.clone()),
        (Holder::Allocation { labels, .. }, By::Label(key)) => labels
            .iter()
            .find(|(has, _)| *has == key)
            .map(|(_, value)| value.to_owned()),
        _ => None,
    }
}

fn blocks(sheets: &[Sheet]) -> impl Iterator<Item = &Used> {
    sheets
        .iter()
        .flat_map(|sheet| &sheet.shapes)
        .filter_map(|shape| match &shape.what {
            What::Block(used) => Some(used),
            What::Cell(_) => None,
        })
}
