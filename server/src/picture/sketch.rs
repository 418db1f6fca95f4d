//! Where everything of a picture is: headings, maps, the legend, and what is highlighted, from top to bottom.

use ipam_shared::{
    api::pool::{Pool, Theme},
    cidr::Cidr,
};
use unicode_width::UnicodeWidthStr as _;

use super::{
    colours::Colours,
    palette::Palette,
    tiles::{Frame, Kind, Scale, Tile, tiles},
    words::plain,
};
use crate::{
    domain::map::Sheet,
    drawing::{Layout, ROW_HEIGHT},
    error::{Error, Result},
    text::{self, cut},
};

/// Width of the picture, and of its margins.
const WIDTH: u32 = 800;
const MARGIN: u32 = 20;
/// How wide a character is at most, in tenths of a pixel: of row labels and the legend, and of a list.
const SMALL: u32 = 67;
const NORMAL: u32 = 74;
/// The side of a square map that is alone, and of one of several, and how many times its grid it is at most: its lines get
/// thicker with it.
const SQUARE: u32 = 620;
const SQUARES: u32 = 240;
const ZOOM: u32 = 2;
/// Ranges that are named.
const NAMED: usize = 4;

/// A network that is outlined, and what it is.
#[derive(Clone, Debug)]
pub(super) struct Highlight {
    pub(super) cidr: Cidr,
    pub(super) words: String,
    pub(super) is_free: bool,
}

/// Everything with its place.
#[derive(askama::Template)]
#[template(path = "picture.svg")]
pub(super) struct Sketch {
    rules: String,
    height: u32,
    name: String,
    title: String,
    description: String,
    time: String,
    maps: Vec<Map>,
    texts: Vec<Text>,
    legend: Vec<Entry>,
}

/// One map.
struct Map {
    x: u32,
    y: u32,
    /// How much larger than its grid.
    zoom: String,
    hilbert: bool,
    width: u32,
    height: u32,
    strips: Vec<u32>,
    ticks: Vec<u32>,
    tiles: Vec<Tile>,
    marks: Vec<Frame>,
}

/// A line of text.
struct Text {
    x: u32,
    y: u32,
    class: &'static str,
    text: String,
}

/// An entry of the legend.
struct Entry {
    x: u32,
    y: u32,
    class: &'static str,
    text: String,
}

fn columns(text: &str) -> u32 {
    u32::try_from(text.width()).unwrap_or(u32::MAX)
}

impl Sketch {
    pub(super) fn new(
        pool: &Pool,
        sheets: &[Sheet],
        colours: &Colours,
        highlights: &[Highlight],
        hidden: usize,
        theme: Theme,
    ) -> Self {
        let name = cut(&plain(pool.name.as_str()), 60);
        let ranges: Vec<_> = pool
            .ranges
            .iter()
            .take(NAMED)
            .map(Cidr::to_string)
            .collect();
        let rest = match pool.ranges.len().saturating_sub(NAMED) {
            0 => String::new(),
            rest => format!(" and {rest} more"),
        };
        let ranges = format!("{}{rest}", ranges.join("  "));
        let used = format!(
            "{} used: {} of {} addresses",
            text::percent(pool.utilisation),
            text::addresses(pool.used_addresses),
            text::addresses(pool.total_addresses)
        );
        let mut sketch = Self {
            rules: Palette::of(theme).rules(theme),
            height: 0,
            title: format!("Address map of pool {name}"),
            description: format!(
                "{}. {used}.{}",
                ranges.replace("  ", ", "),
                said(highlights)
            ),
            name,
            time: String::new(),
            maps: Vec::new(),
            texts: Vec::new(),
            legend: Vec::new(),
        };
        let vrf = cut(&plain(&pool.vrf), 40);
        sketch.text(MARGIN, 50, "mono", ranges);
        sketch.text(MARGIN, 68, "m", format!("{used} · VRF {vrf}"));
        let mut y = sketch.maps((sheets, colours), highlights, 84);
        if hidden > 0 {
            let plural = if hidden == 1 { "" } else { "s" };
            let said = format!("{hidden} more range{plural} of the pool are not shown.");
            sketch.text(MARGIN, y + 10, "m s", said);
            y += 20;
        }
        y = sketch.keys(colours.legend(sheets), y + 4);
        y = sketch.list(highlights, sheets, y);
        sketch.height = y + MARGIN;
        sketch
    }

    /// As SVG.
    pub(super) fn render(mut self, time: &str) -> Result<String> {
        self.time = time.to_owned();
        askama::Template::render(&self).map_err(|error| Error::Internal(error.into()))
    }

    fn text(&mut self, x: u32, y: u32, class: &'static str, text: impl Into<String>) {
        let text = text.into();
        self.texts.push(Text { x, y, class, text });
    }

    /// The maps one below the other, or squares side by side; where they end.
    fn maps(
        &mut self,
        (sheets, colours): (&[Sheet], &Colours),
        highlights: &[Highlight],
        mut y: u32,
    ) -> u32 {
        let several = sheets.len() > 1;
        let label = sheets
            .iter()
            .flat_map(|sheet| sheet.grid.rows())
            .map(|row| row.first().to_string());
        let gutter = label.map(|label| columns(&label)).max().unwrap_or(0) * SMALL / 10 + 8;
        let mut column = 0;
        for sheet in sheets {
            let grid = sheet.grid;
            let hilbert = grid.layout() == Layout::Hilbert;
            let most = grid.width() * ZOOM;
            let (x, side) = match (hilbert, several) {
                (false, _) => (MARGIN + gutter, 0),
                (true, false) => ((WIDTH - SQUARE.min(most)) / 2, SQUARE.min(most)),
                (true, true) => (MARGIN + column * (SQUARES + 20), SQUARES.min(most)),
            };
            let top = if several {
                self.text(
                    if hilbert { x } else { MARGIN },
                    y + 12,
                    "mono s",
                    grid.window.to_string(),
                );
                y + 18
            } else {
                y
            };
            let width = WIDTH - MARGIN - x;
            let one = map((sheet, colours), highlights, (x, top), (width, side));
            self.maps.push(one);
            if hilbert {
                column = if several { (column + 1) % 3 } else { 0 };
                if column == 0 {
                    y = top + if several { SQUARES } else { side } + 12;
                }
                continue;
            }
            for (row, at) in grid.rows().zip((0_u32..).map(|row| row * ROW_HEIGHT)) {
                let address = row.first().to_string();
                self.text(x - 8, top + at + 14, "mono s m e", address);
            }
            y = top + grid.height() + 4;
        }
        if column > 0 {
            y += SQUARES + 30;
        }
        if let [sheet] = sheets {
            self.text(MARGIN, y + 12, "m s", sheet.grid.legend());
            y += 20;
        }
        y
    }

    /// The legend, in lines; where it ends.
    fn keys(&mut self, legend: Vec<(&'static str, String)>, mut y: u32) -> u32 {
        let mut x = MARGIN;
        for (class, text) in legend {
            let text = cut(&plain(&text), 48);
            let width = 26 + columns(&text) * SMALL / 10 + 16;
            if x > MARGIN && x + width > WIDTH - MARGIN {
                (x, y) = (MARGIN, y + 20);
            }
            self.legend.push(Entry { x, y, class, text });
            x += width;
        }
        y + 24
    }

    /// What is highlighted, a line each; where it ends.
    fn list(&mut self, highlights: &[Highlight], sheets: &[Sheet], mut y: u32) -> u32 {
        let widest = highlights
            .iter()
            .map(|it| columns(&it.cidr.to_string()))
            .max();
        let x = MARGIN + widest.unwrap_or(0) * NORMAL / 10 + 14;
        for it in highlights {
            let is_there = |sheet: &Sheet| it.cidr.overlaps(sheet.grid.window);
            let beside = if sheets.iter().any(is_there) {
                ""
            } else {
                " (not on this map)"
            };
            let room = (WIDTH - MARGIN - x) * 10 / NORMAL;
            let words = cut(&format!("{}{beside}", it.words), room as usize);
            self.text(MARGIN, y + 16, "mono", it.cidr.to_string());
            self.text(x, y + 16, if it.is_free { "free" } else { "" }, words);
            y += 18;
        }
        y
    }
}

/// What is highlighted, for those who do not see the picture.
fn said(highlights: &[Highlight]) -> String {
    highlights
        .iter()
        .map(|it| format!(" {}: {}.", it.cidr, it.words))
        .collect()
}

/// A map at a place; rows get that width, a square that side.
fn map(
    (sheet, colours): (&Sheet, &Colours),
    highlights: &[Highlight],
    (x, y): (u32, u32),
    (width, side): (u32, u32),
) -> Map {
    let grid = sheet.grid;
    let hilbert = grid.layout() == Layout::Hilbert;
    let scale = Scale::Pixels(width);
    let tiles = tiles(sheet, colours, scale);
    let marks = highlights.iter();
    Map {
        x,
        y,
        zoom: if hilbert {
            format!("{:.4}", f64::from(side) / f64::from(grid.width()))
        } else {
            "1".to_owned()
        },
        hilbert,
        width,
        height: grid.height(),
        strips: (0..grid.height() / ROW_HEIGHT)
            .map(|row| row * ROW_HEIGHT)
            .collect(),
        ticks: (1..4).map(|part| width * part / 4).collect(),
        tiles: tiles
            .into_iter()
            .filter(|tile| tile.kind != Kind::Free)
            .map(quiet)
            .collect(),
        marks: marks
            .filter_map(|it| Frame::mark(it.cidr, grid, scale))
            .collect(),
    }
}

/// Without what a picture has no room for.
fn quiet(mut tile: Tile) -> Tile {
    let room = tile.frame.width.parse::<f64>().unwrap_or(0.0) - 8.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no wider than the picture"
    )]
    let columns = (room.max(0.0) * 10.0 / f64::from(SMALL)) as usize;
    tile.title.clear();
    tile.label = tile
        .label
        .filter(|_| columns > 2)
        .map(|label| cut(&plain(&label), columns));
    tile
}
