//! What is drawn of a part of the address space: its blocks if they are few enough, else how full each cell is.

mod changes;

use ipam_shared::cidr::Cidr;
use time::OffsetDateTime;

pub use self::changes::{Changed, Difference, difference};
use crate::{
    db::{
        Connection,
        map::{self, Part, Sample, Used},
    },
    drawing::{Fill, Grid, Layout, Shape, gaps, part},
    error::Result,
};

/// Maximum number of blocks and cells in all drawings together.
pub const SHAPES: u32 = 1024;
/// How many blocks of a cell are read to estimate how full it is.
const SAMPLE: i64 = 32;
/// Maximum number of ranges that are drawn together.
pub const MAPS: i64 = 16;
/// A map of a range of which only a corner is used shows that corner, if the rest is larger by so many bits.
const CORNER: u8 = 8;
/// The room around that corner, in bits.
const ROOM: u8 = 2;

/// How many bits longer than the prefix of a part those are by which its free networks are told.
pub const FINDER_BITS: u8 = 6;

/// The drawing of one part.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// What is drawn.
    pub part: Part,
    /// How it is laid out.
    pub grid: Grid,
    /// What is in use.
    pub shapes: Vec<Shape<Used>>,
    /// The free networks in address order: those that are at least a cell, and smaller ones down to the smallest block and to
    /// `FINDER_BITS`, as the cells of a Hilbert curve may be larger.
    pub free: Vec<Cidr>,
    /// Whether each block was read; if not, cells stand for what is in them.
    pub exact: bool,
}

/// If only a corner of a range is used, that corner with some room around it, and with what else has to be seen.
pub async fn corner(
    db: &mut Connection,
    part: &Part,
    also: impl IntoIterator<Item = Cidr>,
) -> Result<Option<Cidr>> {
    let Some(mut extent) = map::extent(db, part).await? else {
        return Ok(None);
    };
    for cidr in also {
        while !extent.contains(cidr) {
            let Some(parent) = extent.parent() else { break };
            extent = parent;
        }
    }
    let length = extent.prefix_length();
    if length < part.whole.prefix_length() + CORNER {
        return Ok(None);
    }
    Ok(Some(extent.ancestor(length - ROOM).unwrap_or(extent)))
}

/// Draws these parts, as they are or as they were.
pub async fn sheets(
    db: &mut Connection,
    parts: Vec<Part>,
    layout: Layout,
    at: Option<OffsetDateTime>,
) -> Result<Vec<Sheet>> {
    let each = SHAPES / u32::try_from(parts.len().max(1).next_power_of_two()).unwrap_or(SHAPES);
    let most = i64::from(SHAPES);
    // Where there is much, nothing is read one by one. Of the past, what is read is what is there now and has been there since
    // then; so where there is much now, neither is that, however little there was.
    let (used, exact) = if map::are_more(db, &parts, most).await? {
        (Vec::new(), false)
    } else {
        let used = map::blocks(db, &parts, at, None, most + 1).await?;
        let exact = used.len() <= SHAPES as usize;
        (used, exact)
    };
    let mut sheets = Vec::with_capacity(parts.len());
    for part in parts {
        let grid = Grid::new(part.window, part.smallest, each, layout);
        let longest = part
            .window
            .prefix_length()
            .saturating_add(FINDER_BITS)
            .min(part.smallest)
            .max(grid.cell_length());
        let (shapes, free) = if exact {
            let inside: Vec<_> = used
                .iter()
                .filter(|used| used.range == part.range && used.cidr.overlaps(part.window))
                .collect();
            let cidrs: Vec<_> = inside.iter().map(|used| used.cidr).collect();
            let mut free = gaps(part.window, &cidrs);
            free.retain(|gap| gap.prefix_length() <= longest);
            (
                grid.draw(inside.into_iter().map(|used| (used.cidr, used.clone()))),
                free,
            )
        } else {
            let cells: Vec<_> = grid.cells().collect();
            let samples = map::samples(db, &part, &cells, at, SAMPLE).await?;
            let fills = cells
                .into_iter()
                .zip(samples)
                .map(|(cell, sample)| fill(cell, sample));
            let free = match at {
                None => map::free(db, &part, longest, SHAPES.into()).await?,
                Some(_) => Vec::new(),
            };
            (
                grid.draw_fills(fills),
                free.into_iter().map(|place| place.cidr).collect(),
            )
        };
        sheets.push(Sheet {
            part,
            grid,
            shapes,
            free,
            exact,
        });
    }
    Ok(sheets)
}

/// How full a cell is, estimated from the blocks that were read: if there are more, the rest of the cell is assumed to be
/// like the part that was read.
fn fill(cell: Cidr, sample: Sample) -> Fill {
    if sample.covered {
        return Fill {
            cell,
            used: 1.0,
            blocks: Some(1),
        };
    }
    if i64::from(sample.examined) < SAMPLE {
        return Fill {
            cell,
            used: sample.used.min(1.0),
            // Of what has ended no more than that is read either.
            blocks: Some(sample.blocks).filter(|blocks| i64::from(*blocks) < SAMPLE),
        };
    }
    let seen = sample.last.map_or(1.0, |last| {
        #[expect(clippy::cast_precision_loss, reason = "a share is enough")]
        let before = last.number().saturating_sub(cell.number()) as f64 / cell.addresses() as f64;
        before + part(cell, last)
    });
    Fill {
        cell,
        used: (sample.used / seen).min(1.0),
        blocks: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn a_cell_that_was_not_seen_whole_is_taken_to_go_on_like_it_began() {
        let cell = cidr("10.0.0.0/16");
        let sample = Sample {
            blocks: 3,
            examined: 3,
            used: 0.25,
            last: Some(cidr("10.0.9.0/24")),
            covered: false,
        };
        let expected = Fill {
            cell,
            used: 0.25,
            blocks: Some(3),
        };
        assert_eq!(fill(cell, sample), expected);
        // 48 blocks of /24 in the first 64 of 256: three quarters of what was seen.
        let sample = Sample {
            blocks: 48,
            examined: 48,
            used: 48.0 / 256.0,
            last: Some(cidr("10.0.63.0/24")),
            covered: false,
        };
        let expected = Fill {
            cell,
            used: 0.75,
            blocks: None,
        };
        assert_eq!(fill(cell, sample), expected);
        // Of these, only 24 were there at the time.
        let then = Sample {
            blocks: 24,
            used: 24.0 / 256.0,
            ..sample
        };
        assert_eq!(fill(cell, then).used, 0.375);
        // Few of what is there now, and many that have ended.
        let past = Sample {
            blocks: 50,
            examined: 2,
            ..sample
        };
        let expected = Fill {
            cell,
            used: 48.0 / 256.0,
            blocks: None,
        };
        assert_eq!(fill(cell, past), expected);
        let sample = Sample {
            blocks: 0,
            examined: 0,
            used: 0.0,
            last: None,
            covered: true,
        };
        assert_eq!(fill(cell, sample).used, 1.0);
    }
}
