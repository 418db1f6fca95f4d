//! Address maps, as the dashboard and pictures show them: what each rectangle looks like and says, what the colours mean, what
//! two moments differ in. And a pool's map as a picture that needs nothing else, for a review or a document.
//!
//! There is one drawing of a map: `tile.html` and `pattern_defs.html` are a part of the dashboard's page and of the picture.

mod changes;
mod colours;
mod full;
mod palette;
mod raster;
mod sketch;
mod tiles;
mod words;

use ipam_shared::{
    api::pool::{MAX_HIGHLIGHTS, PictureQuery, Pool, Theme, View},
    cidr::Cidr,
};
use sha2::{Digest as _, Sha256};
use time::{OffsetDateTime, macros::format_description};

use self::sketch::{Highlight, Sketch};
pub use self::{
    changes::{Changes, Line, List, Mark},
    colours::{By, Colours},
    raster::png,
    tiles::{Frame, Kind, Scale, Tile, level, tiles},
};
use crate::{
    db::{
        self, Connection,
        map::{self, Part},
    },
    domain::map::{MAPS, corner, sheets},
    drawing::Layout,
    error::{Error, Result},
};

/// What a picture may do when it is opened by itself, as a document of this server: have its looks, and nothing else.
pub const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox";
/// Blocks of a highlighted network that are read.
const SEEN: i64 = 16;

/// What a picture is asked to show.
#[derive(Clone, Debug)]
pub struct Asked {
    highlights: Vec<Cidr>,
    at: Option<Cidr>,
    layout: Layout,
    theme: Theme,
}

/// A picture.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The SVG.
    pub svg: String,
    /// A hash of all that it shows but the time.
    pub hash: u64,
}

impl Asked {
    /// From a query.
    ///
    /// # Errors
    /// If a highlighted network is none, or they are too many.
    pub fn new(query: &PictureQuery) -> Result<Self> {
        let mut highlights: Vec<Cidr> = Vec::new();
        for text in query.highlight.iter().flat_map(|list| list.split(',')) {
            if highlights.len() == MAX_HIGHLIGHTS {
                return Err(Error::invalid(format!(
                    "highlight takes at most {MAX_HIGHLIGHTS} networks"
                )));
            }
            let cidr = text
                .parse()
                .map_err(|error| Error::invalid(format!("highlight: {error}")))?;
            if !highlights.contains(&cidr) {
                highlights.push(cidr);
            }
        }
        Ok(Self {
            highlights,
            at: query.at,
            layout: match query.view {
                View::Rows => Layout::Rows,
                View::Hilbert => Layout::Hilbert,
            },
            theme: query.theme,
        })
    }
}

/// Draws the map of a pool, as much of it as the connection sees.
///
/// # Errors
/// If a network that was asked for is not of the pool.
pub async fn of_pool(db: &mut Connection, pool: &Pool, asked: &Asked) -> Result<Picture> {
    let ranges: Vec<_> = db::range::of_pool(db, pool.id)
        .await?
        .into_iter()
        .map(|stored| Part {
            range: stored.range.id,
            whole: stored.range.cidr,
            window: stored.range.cidr,
            pool: pool.id,
            pool_name: pool.name.to_string(),
            smallest: pool.max_prefix_length,
        })
        .collect();
    let range_of = |cidr: Cidr| {
        let found = ranges.iter().find(|part| part.whole.contains(cidr));
        found.cloned().ok_or_else(|| {
            let said = format!(
                "{cidr} is in no range of pool \"{}\"; a picture shows networks of its pool",
                pool.name
            );
            Error::invalid(said)
        })
    };
    let mut highlights = Vec::with_capacity(asked.highlights.len());
    for cidr in &asked.highlights {
        let part = Part {
            window: *cidr,
            ..range_of(*cidr)?
        };
        let mut used = map::blocks(db, &[part], None, None, SEEN + 1).await?;
        let more = used.len() > SEEN as usize;
        used.truncate(SEEN as usize);
        highlights.push(Highlight {
            cidr: *cidr,
            words: words::plain(&words::state(*cidr, &used, more)),
            is_free: used.is_empty(),
        });
    }
    let parts = match asked.at {
        Some(at) => vec![Part {
            window: at,
            ..range_of(at)?
        }],
        None => shown(db, ranges.clone(), &asked.highlights).await?,
    };
    let hidden = ranges.len().saturating_sub(parts.len());
    let sheets = sheets(db, parts, asked.layout, None).await?;
    let now = OffsetDateTime::now_utc();
    let colours = Colours::of(&sheets, &By::Vpc, now);
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    let time = now.format(&format).unwrap_or_default();
    let hidden = hidden * usize::from(asked.at.is_none());
    let sketch = Sketch::new(pool, &sheets, &colours, &highlights, hidden, asked.theme);
    let svg = sketch.render(&time)?;
    let hash = Sha256::digest(svg.replace(&time, "").as_bytes());
    Ok(Picture {
        svg,
        hash: u64::from_be_bytes(*hash.first_chunk().unwrap_or(&[0; 8])),
    })
}

/// The ranges that are drawn, in address order: those with something highlighted before others, and of a range of its own
/// only what is worth a look.
async fn shown(
    db: &mut Connection,
    mut ranges: Vec<Part>,
    highlights: &[Cidr],
) -> Result<Vec<Part>> {
    let is_dark = |part: &Part| !highlights.iter().any(|cidr| part.whole.contains(*cidr));
    ranges.sort_by_key(|part| (is_dark(part), part.whole));
    ranges.truncate(MAPS as usize);
    ranges.sort_by_key(|part| part.whole);
    if let [part] = &mut ranges[..]
        && let Some(corner) = corner(db, part, highlights.iter().copied()).await?
    {
        part.window = corner;
    }
    Ok(ranges)
}
