//! A map as a page shows it: each rectangle leads somewhere.

use super::look::Look;
use crate::{
    domain::map::Sheet,
    drawing::{Layout, ROW_HEIGHT},
    picture::{Changes, Colours, Frame, Mark, Scale, Tile, tiles},
};

/// Changes that are told of one rectangle.
const TOLD: usize = 3;

/// A map as it is drawn.
#[derive(Debug)]
pub(in crate::pages) struct Drawn {
    /// What it is a map of.
    pub(in crate::pages) title: String,
    /// What a row and a cell are.
    pub(in crate::pages) scale: String,
    /// The first address of each row, and where it leads.
    pub(in crate::pages) rows: Vec<(String, String)>,
    /// The y of each row.
    pub(in crate::pages) strips: Vec<u32>,
    /// Rectangles, and where each leads.
    pub(in crate::pages) tiles: Vec<(Tile, String)>,
    /// What came and went, if two moments are compared.
    pub(in crate::pages) marks: Vec<Mark>,
    /// Height in pixels of rows, or the side of the square.
    pub(in crate::pages) height: u32,
    pub(in crate::pages) hilbert: bool,
    /// What is marked: the network that is looked at closely.
    pub(in crate::pages) picked: Option<Frame>,
}

impl Drawn {
    pub(in crate::pages) fn new(
        sheet: &Sheet,
        colours: &Colours,
        changes: Option<&Changes>,
        look: &Look,
    ) -> Self {
        let grid = sheet.grid;
        let hilbert = grid.layout() == Layout::Hilbert;
        let marks = changes.map_or_else(Vec::new, |changes| changes.marks(sheet, Scale::Percent));
        let mut tiles = tiles(sheet, colours, Scale::Percent);
        tell(&mut tiles, &marks);
        let tiles = tiles
            .into_iter()
            .map(|tile| {
                let to = Some(tile.cidr);
                let href = look.with(|look| {
                    if tile.is_part {
                        (look.at, look.pick) = (to, None);
                    } else {
                        look.pick = to;
                    }
                });
                (tile, href)
            })
            .collect();
        let rows = grid.rows().filter(|_| !hilbert).map(|row| {
            let href = look.with(|look| look.at = Some(row));
            (row.first().to_string(), href)
        });
        Self {
            title: grid.window.to_string(),
            scale: grid.legend(),
            strips: (0..grid.height() / ROW_HEIGHT)
                .map(|row| row * ROW_HEIGHT)
                .collect(),
            rows: rows.collect(),
            tiles,
            marks,
            height: grid.height(),
            hilbert,
            picked: look
                .pick
                .and_then(|pick| Frame::mark(pick, grid, Scale::Percent)),
        }
    }
}

/// Adds to each rectangle what changed in it: nobody can point at a mark, which is no link and has links below.
fn tell(tiles: &mut [Tile], marks: &[Mark]) {
    let mut told = vec![0_usize; tiles.len()];
    for mark in marks {
        // They are in address order, and no two of them overlap.
        let from = tiles.partition_point(|tile| tile.cidr.last() < mark.cidr.first());
        let below = tiles.iter_mut().zip(&mut told).skip(from);
        for (tile, told) in below.take_while(|(tile, _)| tile.cidr.overlaps(mark.cidr)) {
            *told += 1;
            if *told <= TOLD {
                tile.title.push_str("; ");
                tile.title.push_str(&mark.title);
            }
        }
    }
    for (tile, told) in tiles.iter_mut().zip(told) {
        if told > TOLD {
            tile.title
                .push_str(&format!("; {} more changes", told - TOLD));
        }
    }
}
