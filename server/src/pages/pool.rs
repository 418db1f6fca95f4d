//! `/ui/pools/{id}`: a pool's address map, what is left of it by size, and what is in it.

use std::collections::BTreeMap;

use axum::{
    extract::{Path, Query, State},
    response::Response,
};
use ipam_shared::{api::pool::Pool, cidr::Cidr};
use serde::Deserialize;

use super::{
    Section, Shell,
    error::Failure,
    filters,
    map::{CELL_WIDTH, Fill, Grid, Mark, ROW_HEIGHT, Shape, What, part},
    page,
    session::SignedIn,
};
use crate::{
    app::App,
    db::{
        self, Connection,
        map::{Sample, Used},
    },
    domain::space::front,
    error::Result,
    network::{Range, RangeId},
    text,
};

/// Maximum number of shapes in all maps together.
const SHAPES: u32 = 1024;
/// Maximum number of ranges with a map.
const MAPS: i64 = 16;
/// How many blocks of a cell are read to estimate how full it is.
const SAMPLE: i64 = 48;
/// Rows of the table.
const ROWS: i64 = 50;
/// VPCs that get a colour and pattern of their own.
const CLASSES: [&str; 6] = ["v0", "v1", "v2", "v3", "v4", "v5"];
/// All other VPCs.
const OTHER: &str = "vx";
/// Out of circulation.
const RESERVED: &str = "reserved";

#[derive(askama::Template)]
#[template(path = "pool.html")]
struct PoolPage {
    shell: Shell,
    pool: Pool,
    maps: Vec<RangeMap>,
    /// Ranges without a map.
    more_ranges: usize,
    /// Class and meaning.
    legend: Vec<(&'static str, String)>,
    /// Whether some cell stands for several blocks.
    has_cells: bool,
    sizes: Vec<Size>,
    used: Vec<Used>,
    /// Where the next page of the table begins.
    next: Option<Cidr>,
    /// Whether the table begins in the middle.
    continued: bool,
}

/// The map of one range.
struct RangeMap {
    grid: Grid,
    rows: Vec<String>,
    shapes: Vec<Shape>,
}

/// What is left of one block size.
#[derive(Debug, PartialEq, Eq)]
struct Size {
    prefix_length: u8,
    addresses: u128,
    /// Free blocks of exactly this size.
    free: u64,
    /// Blocks of this size that could be cut from the free space.
    fits: u128,
    /// The one that would be handed out next.
    next: Option<Cidr>,
}

#[derive(Deserialize)]
pub(super) struct Rows {
    after: Option<String>,
}

/// `GET /ui/pools/{id}`
pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(rows): Query<Rows>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let after = match rows.after.filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(
            text.parse::<Cidr>()
                .map_err(|error| Failure::invalid(&error.to_string()))?,
        ),
    };
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let found = match id.parse() {
        Ok(id) => db::pool::get(&mut db, id).await?,
        Err(_) => None,
    };
    let pool = found.ok_or_else(|| Failure::not_found("there is no pool with that id"))?;
    let ranges = db::map::ranges(&mut db, pool.id, MAPS).await?;
    let sizes = sizes(&mut db, &pool).await?;
    let (maps, legend) = maps(&mut db, &pool, &ranges).await?;
    let has_cells = maps
        .iter()
        .flat_map(|map| &map.shapes)
        .any(|shape| matches!(shape.what, What::Cell(_)));
    let mut used = db::map::blocks(&mut db, pool.id, after, ROWS + 1).await?;
    let next = if used.len() > ROWS as usize {
        used.pop();
        used.last().map(|used| used.cidr)
    } else {
        None
    };
    Ok(page(&PoolPage {
        shell: Shell::of(&mut db, &signed_in, Section::Overview).await?,
        more_ranges: pool.ranges.len().saturating_sub(maps.len()),
        pool,
        maps,
        legend,
        has_cells,
        sizes,
        used,
        next,
        continued: after.is_some(),
    }))
}

/// The maps of the ranges. Block by block if there are few enough; else how full each cell is.
async fn maps(
    db: &mut Connection,
    pool: &Pool,
    ranges: &[(RangeId, Cidr)],
) -> Result<(Vec<RangeMap>, Vec<(&'static str, String)>)> {
    let each = SHAPES / u32::try_from(ranges.len().max(1).next_power_of_two()).unwrap_or(SHAPES);
    let used = db::map::blocks(db, pool.id, None, i64::from(SHAPES) + 1).await?;
    let exact = used.len() <= SHAPES as usize;
    let classes = if exact {
        classes(&used)
    } else {
        BTreeMap::new()
    };
    let mut maps = Vec::with_capacity(ranges.len());
    for (id, range) in ranges {
        let grid = Grid::new(*range, pool.max_prefix_length, each);
        let shapes = if exact {
            let inside = used.iter().filter(|used| used.range == *id);
            grid.draw(inside.map(|used| mark(used, &classes)).collect())
        } else {
            let cells: Vec<_> = grid.cells().collect();
            let samples = db::map::samples(db, *id, &cells, SAMPLE).await?;
            grid.draw_fills(
                cells
                    .into_iter()
                    .zip(samples)
                    .map(|(cell, sample)| fill(cell, sample)),
            )
        };
        let rows = grid.rows().map(|row| row.first().to_string()).collect();
        maps.push(RangeMap { grid, rows, shapes });
    }
    Ok((maps, legend(&used, &classes, exact)))
}

/// The VPCs with the most blocks, each with a class of its own.
fn classes(used: &[Used]) -> BTreeMap<String, &'static str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for vpc in used.iter().filter_map(|used| used.vpc.as_deref()) {
        *counts.entry(vpc).or_default() += 1;
    }
    let mut vpcs: Vec<_> = counts.into_iter().collect();
    vpcs.sort_by_key(|(vpc, count)| (std::cmp::Reverse(*count), *vpc));
    vpcs.into_iter()
        .zip(CLASSES)
        .map(|((vpc, _), class)| (vpc.to_owned(), class))
        .collect()
}

fn legend(
    used: &[Used],
    classes: &BTreeMap<String, &'static str>,
    exact: bool,
) -> Vec<(&'static str, String)> {
    if !exact {
        return Vec::new();
    }
    let mut legend: Vec<_> = classes
        .iter()
        .map(|(vpc, class)| (*class, vpc.clone()))
        .collect();
    legend.sort();
    if used
        .iter()
        .filter_map(|used| used.vpc.as_ref())
        .any(|vpc| !classes.contains_key(vpc))
    {
        legend.push((OTHER, "other VPCs".to_owned()));
    }
    if used.iter().any(|used| used.allocation.is_none()) {
        legend.push((RESERVED, "out of circulation".to_owned()));
    }
    legend
}

fn mark(used: &Used, classes: &BTreeMap<String, &'static str>) -> Mark {
    let owner = match (&used.vpc, &used.name, &used.reason) {
        (Some(vpc), Some(name), _) => format!("{vpc} / {name}"),
        (Some(vpc), None, _) => vpc.clone(),
        (None, _, Some(reason)) => format!("out of circulation: {reason}"),
        (None, ..) => "out of circulation".to_owned(),
    };
    Mark {
        cidr: used.cidr,
        allocation: used.allocation,
        title: format!("{} {owner}", used.cidr),
        class: match &used.vpc {
            Some(vpc) => classes.get(vpc).copied().unwrap_or(OTHER),
            None => RESERVED,
        },
    }
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
    if i64::from(sample.blocks) < SAMPLE {
        return Fill {
            cell,
            used: sample.used.min(1.0),
            blocks: Some(sample.blocks),
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

/// What is left, by size.
async fn sizes(db: &mut Connection, pool: &Pool) -> Result<Vec<Size>> {
    let ranges = db::map::ranges(db, pool.id, i64::MAX).await?;
    let lengths = pool.min_prefix_length..=pool.max_prefix_length;
    let bits = |length: u8| pool.family.bits().saturating_sub(length);
    let ranges: Vec<_> = ranges
        .into_iter()
        .map(|(id, cidr)| Range {
            id,
            pool: pool.id,
            cidr,
        })
        .collect();
    let space = front(db, pool, &ranges, pool.max_prefix_length).await?;
    Ok(lengths
        .map(|length| {
            let free = pool.free.iter().find(|free| free.prefix_length == length);
            Size {
                prefix_length: length,
                addresses: 1_u128.checked_shl(bits(length).into()).unwrap_or(u128::MAX),
                free: free.map_or(0, |free| free.count),
                fits: pool.fits(length),
                next: space.next(pool.id, length, pool.strategy),
            }
        })
        .collect())
}

impl RangeMap {
    fn columns(&self) -> u32 {
        self.grid.width() / CELL_WIDTH
    }

    /// Where the quarters of the rows begin.
    fn ticks(&self) -> Vec<u32> {
        let quarter = self.grid.width() / 4;
        if self.columns() < 8 {
            return Vec::new();
        }
        (1..4).map(|index| index * quarter).collect()
    }

    /// Where one row ends and the next begins.
    fn lines(&self) -> Vec<u32> {
        (1..self.grid.height() / ROW_HEIGHT)
            .map(|row| row * ROW_HEIGHT)
            .collect()
    }
}

impl Fill {
    /// The tooltip.
    fn title(&self) -> String {
        let used = text::percent(self.used);
        match self.blocks {
            Some(1) => format!("{}: one block, {used} used", self.cell),
            Some(blocks) => format!("{}: {blocks} blocks, {used} used", self.cell),
            None => format!("{}: many blocks, about {used} used", self.cell),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    fn used(text: &str, vpc: Option<&str>) -> Used {
        Used {
            range: 1,
            cidr: cidr(text),
            allocation: None,
            vpc: vpc.map(str::to_owned),
            name: None,
            reason: None,
        }
    }

    #[test]
    fn the_vpcs_with_most_blocks_have_classes_of_their_own() {
        let mut all = vec![
            used("10.0.0.0/26", Some("two")),
            used("10.0.0.64/26", Some("two")),
        ];
        for index in 0..7_u8 {
            all.push(used(
                &format!("10.0.{}.0/26", index + 1),
                Some(&format!("one-{index}")),
            ));
        }
        all.push(used("10.0.9.0/26", None));
        let classes = classes(&all);
        assert_eq!(classes.len(), 6);
        assert_eq!(classes["two"], "v0");
        let legend = legend(&all, &classes, true);
        let names: Vec<_> = legend.iter().map(|(_, name)| name.as_str()).collect();
        let expected = [
            "two",
            "one-0",
            "one-1",
            "one-2",
            "one-3",
            "one-4",
            "other VPCs",
            "out of circulation",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_cell_that_was_not_seen_whole_is_taken_to_go_on_like_it_began() {
        let cell = cidr("10.0.0.0/16");
        let sample = Sample {
            blocks: 3,
            used: 0.25,
            last: Some(cidr("10.0.9.0/24")),
            covered: false,
        };
        assert_eq!(
            fill(cell, sample),
            Fill {
                cell,
                used: 0.25,
                blocks: Some(3)
            }
        );
        // 48 blocks of /24 in the first 64 of 256: three quarters of what was seen.
        let sample = Sample {
            blocks: 48,
            used: 48.0 / 256.0,
            last: Some(cidr("10.0.63.0/24")),
            covered: false,
        };
        assert_eq!(
            fill(cell, sample),
            Fill {
                cell,
                used: 0.75,
                blocks: None
            }
        );
        let sample = Sample {
            blocks: 0,
            used: 0.0,
            last: None,
            covered: true,
        };
        assert_eq!(fill(cell, sample).used, 1.0);
    }
}
