//! What each rectangle of a map looks like and says, whoever shows it.

use super::{
    colours::{By, Colours},
    full,
};
use crate::{
    db::map::{Holder, Used},
    domain::map::Sheet,
    drawing::{Fill, Grid, Layout, Shape, What},
    text,
};
use ipam_shared::cidr::Cidr;

/// What is between two rows.
const GAP: u32 = 3;

/// How wide rows are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// In parts of the width, so that text on it keeps its shape on every screen.
    Percent,
    /// So many pixels.
    Pixels(u32),
}

/// Where something is, as attributes of SVG.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// From the left.
    pub x: String,
    /// From the top.
    pub y: u32,
    /// To the right.
    pub width: String,
    /// Down.
    pub height: u32,
}

/// A rectangle of a map.
#[derive(Clone, Debug)]
pub struct Tile {
    /// Where it is.
    pub frame: Frame,
    /// What it looks like.
    pub kind: Kind,
    /// What a reader sees on pointing at it.
    pub title: String,
    /// The network.
    pub cidr: Cidr,
    /// What is written on it, if there is room.
    pub label: Option<String>,
    /// Whether the label is left out on a narrow screen.
    pub minor: bool,
    /// Whether it is a part of the map in which several things may lie, and no block.
    pub is_part: bool,
}

/// What a rectangle looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
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
    pub fn ink(self) -> &'static str {
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

/// The class of something that is full to that part.
pub fn level(part: f64) -> &'static str {
    if part >= 0.9 {
        "full"
    } else if part >= 0.75 {
        "warn"
    } else {
        ""
    }
}

/// The rectangles of a map, in address order.
pub fn tiles(sheet: &Sheet, colours: &Colours, scale: Scale) -> Vec<Tile> {
    let (mut tiles, longest): (Vec<_>, _) = if *colours.by() == By::Utilisation {
        let length = full::length(sheet.grid);
        let parts = full::shares(sheet, length).into_iter();
        let tiles = parts.map(|(cidr, used)| part(sheet, cidr, used, scale));
        (tiles.collect(), length)
    } else {
        let shapes = sheet.shapes.iter();
        let tiles = shapes.map(|shape| tile(sheet, shape, colours, scale));
        // What is smaller than a cell of a curve would be painted over all of it.
        (tiles.collect(), sheet.grid.cell_length())
    };
    let free = sheet.free.iter();
    let seen = free.filter(|gap| gap.prefix_length() <= longest);
    tiles.extend(seen.map(|gap| Tile {
        frame: Frame::of(&sheet.grid.shape(*gap, What::Block(())), sheet.grid, scale),
        kind: Kind::Free,
        title: format!("{gap} free"),
        cidr: *gap,
        label: None,
        minor: true,
        is_part: false,
    }));
    tiles.sort_by_key(|tile| tile.cidr);
    tiles
}

/// A part of the map, whatever is in it.
fn part(sheet: &Sheet, cidr: Cidr, used: f64, scale: Scale) -> Tile {
    let shape = sheet.grid.shape(cidr, What::Block(()));
    Tile {
        frame: Frame::of(&shape, sheet.grid, scale),
        kind: Kind::Block(full::step(used)),
        title: format!("{cidr} {} used", text::percent(used.min(1.0))),
        cidr,
        label: None,
        minor: true,
        is_part: true,
    }
}

fn tile(sheet: &Sheet, shape: &Shape<Used>, colours: &Colours, scale: Scale) -> Tile {
    let grid = sheet.grid;
    let frame = Frame::of(&grid.shape(shape.cidr, What::Block(())), grid, scale);
    let share = f64::from(shape.width) / f64::from(grid.width());
    let (kind, title, label) = match &shape.what {
        What::Cell(fill) => {
            let height = shape.fill_height().min(frame.height);
            let level = match level(fill.used) {
                _ if sheet.exact => "fill-vx",
                "full" => "level-2",
                "warn" => "level-1",
                _ => "level-0",
            };
            let top = frame.y + frame.height - height;
            (Kind::Cell(top, height, level), fill_title(fill), None)
        }
        What::Block(used) => {
            let kind = match used.holder {
                Holder::Child { .. } => Kind::Child,
                Holder::Cooling { .. } => Kind::Cooling,
                _ => Kind::Block(colours.class(used)),
            };
            (kind, title(used), Some(label(used)))
        }
    };
    Tile {
        frame,
        kind,
        title,
        cidr: shape.cidr,
        label: label.filter(|_| share >= 0.1 && grid.layout() == Layout::Rows),
        minor: share < 0.3,
        is_part: matches!(shape.what, What::Cell(_)),
    }
}

impl Frame {
    /// Of a rectangle on that grid.
    pub fn of(shape: &Shape<()>, grid: Grid, scale: Scale) -> Self {
        if grid.layout() == Layout::Hilbert {
            return Self {
                x: shape.x.to_string(),
                y: shape.y,
                width: shape.width.to_string(),
                height: shape.height,
            };
        }
        let (whole, digits, unit) = match scale {
            Scale::Percent => (100.0, 4, "%"),
            Scale::Pixels(width) => (f64::from(width), 2, ""),
        };
        let along = |part: u32| {
            let text = format!(
                "{:.digits$}",
                f64::from(part) * whole / f64::from(grid.width())
            );
            format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
        };
        Self {
            x: along(shape.x),
            y: shape.y,
            width: along(shape.width),
            height: shape.height - GAP,
        }
    }

    /// Where a network is marked: what is smaller than a cell by its cell. None if it is not on this map.
    pub fn mark(cidr: Cidr, grid: Grid, scale: Scale) -> Option<Self> {
        let seen = cidr.ancestor(grid.cell_length()).unwrap_or(cidr);
        let is_there = cidr.overlaps(grid.window);
        is_there.then(|| Self::of(&grid.shape(seen, What::Block(())), grid, scale))
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
