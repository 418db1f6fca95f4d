//! How full the parts of a map are, in steps: the look of `by=utilisation`.

use std::collections::BTreeMap;

use ipam_shared::cidr::Cidr;

use crate::{
    domain::map::Sheet,
    drawing::{Grid, What, part},
};

/// Each step with the share that it begins above, and its name. Patterns get denser, so that nobody needs the colour.
const STEPS: [(f64, &str, &str); 5] = [
    (0.0, "u1", "up to a quarter used"),
    (0.25, "u2", "up to a half"),
    (0.5, "u3", "up to three quarters"),
    (0.75, "u4", "more"),
    (0.999_999, "u5", "full"),
];
/// A part is so many bits larger than a cell, where there are many cells: what is used by a half can be told from what is full.
const COARSER: u8 = 2;
/// Cells that are many, in bits.
const MANY: u8 = 8;

/// What the steps mean.
pub(super) fn legend() -> Vec<(&'static str, String)> {
    let steps = STEPS.iter();
    steps
        .map(|(_, class, name)| (*class, (*name).to_owned()))
        .chain([("free", "free".to_owned())])
        .collect()
}

/// The prefix length of the parts.
pub(super) fn length(grid: Grid) -> u8 {
    let cell = grid.cell_length();
    if cell - grid.window.prefix_length() >= MANY {
        cell - COARSER
    } else {
        cell
    }
}

/// How far each network of that length is used, of those that are used at all.
pub(super) fn shares(sheet: &Sheet, length: u8) -> BTreeMap<Cidr, f64> {
    let mut shares: BTreeMap<Cidr, f64> = BTreeMap::new();
    for shape in &sheet.shapes {
        let used = match &shape.what {
            What::Block(_) => 1.0,
            What::Cell(fill) => fill.used,
        };
        match shape.cidr.ancestor(length) {
            Some(whole) => *shares.entry(whole).or_default() += used * part(whole, shape.cidr),
            // It takes several of them, or all of the window.
            None => {
                let inside = |cell: &Cidr| shape.cidr.contains(*cell);
                for cell in sheet.grid.pieces(length).filter(inside) {
                    shares.insert(cell, 1.0);
                }
            }
        }
    }
    shares
}

/// The class of what is used that far.
pub(super) fn step(used: f64) -> &'static str {
    let found = STEPS.iter().rev().find(|(above, ..)| used > *above);
    found.map_or("u1", |(_, class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_full_looks_different_from_what_is_nearly_full() {
        let steps = [0.001, 0.25, 0.26, 0.5, 0.75, 0.76, 0.998, 1.0].map(step);
        assert_eq!(steps, ["u1", "u1", "u2", "u2", "u3", "u4", "u4", "u5"]);
    }
}
