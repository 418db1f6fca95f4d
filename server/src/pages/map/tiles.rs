//! What each rectangle of a map looks like, says and leads to.

use super::{colours::Colours, look::Look};
use crate::{
    db::map::{Holder, Used},
    domain::map::Sheet,
    drawing::{Fill, Layout, ROW_HEIGHT, Shape, What},
    text,
};
use ipam_shared::cidr::Cidr;

/// What is between two rows.
const GAP: u32 = 3;

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
    pub(in crate::pages) tiles: Vec<Tile>,
    /// Height in pixels of rows, or the side of the square.
    pub(in crate::pages) height: u32,
    pub(in crate::pages) hilbert: bool,
    /// What is marked: the network that is looked at closely.
    pub(in crate::pages) picked: Option<Frame>,
}

/// Where something is, as attributes of SVG.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::pages) struct Frame {
    pub(in crate::pages) x: String,
    pub(in crate::pages) y: u32,
    pub(in crate::pages) width: String,
    pub(in crate::pages) height: u32,
}

/// A rectangle that leads somewhere.
#[derive(Debug)]
pub(in crate::pages) struct Tile {
    pub(in crate::pages) frame: Frame,
    /// What it looks like.
    pub(in crate::pages) kind: Kind,
    /// What a reader sees on pointing at it.
    pub(in crate::pages) title: String,
    pub(in crate::pages) href: String,
    /// The network, for the keyboard.
    pub(in crate::pages) cidr: Cidr,
    /// What is written on it, if there is room.
    pub(in crate::pages) label: Option<String>,
    /// Whether the label is left out on a narrow screen.
    pub(in crate::pages) minor: bool,
}

/// What a rectangle looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::pages) enum Kind {
    /// In use, or reserved, by the class of its pattern.
    Block(&'static str),
    /// A pool that was cut from this one.
    Child,
    /// Not free yet.
    Cooling,
    /// A cell with several blocks: where its used part begins, how high that is, and the class of its level.
    Cell(u32, u32, &'static str),
    /// Free.
    Free,
}

impl Kind {
    /// The class of what is written on it.
    pub(in crate::pages) fn ink(self) -> &'static str {
        match self {
            Self::Block(class) => match class {
                "v0" => "on-v0",
                "v1" => "on-v1",
                "v2" => "on-v2",
                "v3" => "on-v3",
                "v4" => "on-v4",
                "v5" => "on-v5",
                "vx" => "on-vx",
                _ => "plain",
            },
            Self::Child => "own",
            _ => "plain",
        }
    }
}

impl Drawn {
    pub(in crate::pages) fn new(sheet: &Sheet, colours: &Colours, look: &Look) -> Self {
        let grid = sheet.grid;
        let hilbert = grid.layout() == Layout::Hilbert;
        let frame = |shape: &Shape<()>| Frame::of(shape, grid.width(), hilbert);
        let mut tiles: Vec<_> = sheet
            .shapes
            .iter()
            .map(|shape| {
                let (href, title, label) = match &shape.what {
                    What::Block(used) => (
                        look.with(|look| look.pick = Some(used.cidr)),
                        title(used),
                        Some(label(used)),
                    ),
                    What::Cell(fill) => (
                        look.with(|look| (look.at, look.pick) = (Some(fill.cell), None)),
                        fill_title(fill),
                        None,
                    ),
                };
                let plain = grid.shape(shape.cidr, What::Block(()));
                let frame = frame(&plain);
                let share = f64::from(shape.width) / f64::from(grid.width());
                let kind = match &shape.what {
                    What::Cell(fill) => {
                        let height = shape.fill_height().min(frame.height);
                        let level = match super::super::level(fill.used) {
                            _ if sheet.exact => "fill-vx",
                            "full" => "level-2",
                            "warn" => "level-1",
                            _ => "level-0",
                        };
                        Kind::Cell(frame.y + frame.height - height, height, level)
                    }
                    What::Block(used) => match used.holder {
                        Holder::Child { .. } => Kind::Child,
                        Holder::Cooling { .. } => Kind::Cooling,
                        _ => Kind::Block(colours.class(used)),
                    },
                };
                Tile {
                    frame,
                    kind,
                    title,
                    href,
                    cidr: shape.cidr,
                    label: label.filter(|_| share >= 0.1 && !hilbert),
                    minor: share < 0.3,
                }
            })
            .collect();
        tiles.extend(sheet.free.iter().map(|gap| Tile {
            frame: frame(&grid.shape(*gap, What::Block(()))),
            kind: Kind::Free,
            title: format!("{gap} free"),
            href: look.with(|look| look.pick = Some(*gap)),
            cidr: *gap,
            label: None,
            minor: true,
        }));
        tiles.sort_by_key(|tile| tile.cidr);
        let picked = look
            .pick
            .filter(|pick| pick.overlaps(grid.window))
            .map(|pick| {
                // What is smaller than a cell is marked by its cell.
                let seen = pick.ancestor(grid.cell_length()).unwrap_or(pick);
                frame(&grid.shape(seen, What::Block(())))
            });
        let rows: Vec<_> = grid.rows().collect();
        let scale = if hilbert {
            format!("Each step along the curve is a /{}.", grid.cell_length())
        } else if rows.len() > 1 {
            format!(
                "Each row is a /{}, each step in it a /{}.",
                grid.row_length(),
                grid.cell_length()
            )
        } else {
            format!("Each step is a /{}.", grid.cell_length())
        };
        Self {
            title: grid.window.to_string(),
            scale,
            strips: (0..grid.height() / ROW_HEIGHT)
                .map(|row| row * ROW_HEIGHT)
                .collect(),
            rows: if hilbert {
                Vec::new()
            } else {
                rows.into_iter()
                    .map(|row| {
                        (
                            row.first().to_string(),
                            look.with(|look| look.at = Some(row)),
                        )
                    })
                    .collect()
            },
            tiles,
            height: grid.height(),
            hilbert,
            picked,
        }
    }
}

impl Frame {
    fn of(shape: &Shape<()>, width: u32, hilbert: bool) -> Self {
        if hilbert {
            return Self {
                x: shape.x.to_string(),
                y: shape.y,
                width: shape.width.to_string(),
                height: shape.height,
            };
        }
        // In parts of the width, so that text on it keeps its shape on every screen.
        let percent = |part: u32| {
            let text = format!("{:.4}", f64::from(part) * 100.0 / f64::from(width));
            format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
        };
        Self {
            x: percent(shape.x),
            y: shape.y,
            width: percent(shape.width),
            height: shape.height - GAP,
        }
    }
}

/// What a reader sees on pointing at a block.
fn title(used: &Used) -> String {
    let Used { cidr, holder, .. } = used;
    match holder {
        Holder::Allocation { vpc, name, .. } => match name {
            Some(name) => format!("{cidr} {vpc} / {name}"),
            None => format!("{cidr} {vpc}"),
        },
        Holder::Reservation { reason, .. } => format!("{cidr} reserved: {reason}"),
        Holder::Child { name, .. } => format!("{cidr} pool {name}"),
        Holder::Cooling { until } => {
            format!("{cidr} cooling down, free at {}", text::moment(*until))
        }
        Holder::Other { reason } => format!("{cidr} {reason}"),
    }
}

/// What is written on a block.
fn label(used: &Used) -> String {
    let length = used.cidr.prefix_length();
    match &used.holder {
        Holder::Allocation { vpc, name, .. } => {
            format!("{} /{length}", name.as_ref().unwrap_or(vpc))
        }
        Holder::Reservation { reason, .. } | Holder::Other { reason } => reason.clone(),
        Holder::Child { name, .. } => format!("{name} ›"),
        Holder::Cooling { .. } => format!("cooling /{length}"),
    }
}

fn fill_title(fill: &Fill) -> String {
    let used = text::percent(fill.used);
    match fill.blocks {
        Some(1) => format!("{}: one block, {used} used", fill.cell),
        Some(blocks) => format!("{}: {blocks} blocks, {used} used", fill.cell),
        None => format!("{}: many blocks, about {used} used", fill.cell),
    }
}
