//! Maps: `/ui/map` of a VRF or of any network in it, and the part of a pool's page that is the same. What can be seen can be
//! followed: a block and a gap to what is known of them, a cell that stands for many to a map of its own.

mod finder;
mod inspector;
mod look;
mod tiles;

use axum::{
    extract::{Query, State},
    response::Response,
};
use ipam_shared::{api::vrf::Vrf, cidr::Cidr};
use time::{OffsetDateTime, macros::format_description};

use self::{finder::Line, look::STEP, tiles::Drawn};
pub(super) use self::{
    inspector::{Inspector, state},
    look::{Look, Query as LookQuery},
};
use super::{Section, Shell, error::Failure, filters, page, session::SignedIn};
use crate::{
    app::App,
    db::{
        self, Connection,
        map::{Holder, Part, Ranges, Used},
    },
    domain::map::{self, MAPS, SHAPES, sheets},
    drawing::Layout,
    error::Result,
    picture::{By, Changes, Colours},
    rights::Scope,
};

/// Rows of the table.
const ROWS: i64 = 50;

/// A map with all that belongs to it.
#[derive(Debug)]
pub(super) struct Canvas {
    pub(super) look: Look,
    pub(super) maps: Vec<Drawn>,
    pub(super) more_ranges: bool,
    pub(super) legend: Vec<(&'static str, String)>,
    /// What is different from the moment that it is compared with.
    pub(super) changes: Option<Changes>,
    /// What contains what is shown, widest first, with where it leads.
    pub(super) path: Vec<(String, String)>,
    /// What is shown.
    pub(super) here: String,
    pub(super) zoom_out: Option<String>,
    /// The range of which only a corner is shown, since nothing else of it is used; and where all of it is.
    pub(super) corner: Option<(Cidr, String)>,
    /// Other ways to look at it: what they are called, where they lead, whether it is this one.
    pub(super) layouts: Vec<(&'static str, String, bool)>,
    pub(super) colours: Vec<(String, String, bool)>,
    pub(super) finder: Vec<Line>,
    pub(super) inspector: Option<Inspector>,
    /// The moment before and after, when something changed.
    pub(super) earlier: Option<String>,
    pub(super) later: Option<String>,
    pub(super) now: String,
    /// The same without the comparison.
    pub(super) alone: String,
    pub(super) used: Vec<Row>,
    /// Whether the table is left out, since what there was is too much to look through.
    pub(super) unlisted: bool,
    pub(super) next: Option<String>,
    pub(super) first: Option<String>,
}

/// A line of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) cidr: Cidr,
    pub(super) href: String,
    pub(super) holder: Holder,
    pub(super) since: OffsetDateTime,
}

#[derive(askama::Template)]
#[template(path = "map.html")]
struct MapPage {
    shell: Shell,
    vrf: String,
    canvas: Canvas,
}

/// `GET /ui/map`
pub(super) async fn show(
    State(app): State<App>,
    Query(query): Query<LookQuery>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let look = Look::new("/ui/map".to_owned(), query)?;
    let name = look.vrf.clone().unwrap_or_else(|| "default".to_owned());
    let ipam = app.ipam(&signed_in.caller);
    let id = ipam.find::<Vrf>(&name).await?;
    let mut db = ipam.read().await?;
    let vrf = db::vrf::get(&mut db, id)
        .await?
        .ok_or_else(|| Failure::not_found("there is no VRF of that name"))?;
    let name = vrf.name.to_string();
    let shell = Shell::of(&mut db, &signed_in, Section::Elsewhere).await?;
    let canvas = Canvas::of(&mut db, Ranges::OfVrf(id), look).await?;
    drop(db);
    let canvas = canvas.inspected(&app, &signed_in, &name).await?;
    Ok(page(&MapPage {
        shell,
        vrf: name,
        canvas,
    }))
}

impl Canvas {
    /// What there is to see in these ranges.
    pub(super) async fn of(db: &mut Connection, ranges: Ranges, look: Look) -> Result<Self> {
        let mut parts = db::map::parts(db, ranges, look.at, MAPS + 1).await?;
        let more_ranges = parts.len() > MAPS as usize;
        parts.truncate(MAPS as usize);
        let corner = corner(db, &mut parts, &look).await?;
        let window = match (&corner, &parts[..]) {
            (Some(_), [part]) => Some(part.window),
            _ => look.at,
        };
        let table = parts.clone();
        let (path, here, zoom_out) = way(&parts, &look);
        let at = look.time.unwrap_or_else(OffsetDateTime::now_utc);
        let (before, after) = db::map::moments(db, &parts, at).await?;
        let changes = match look.since {
            Some(since) => {
                let found = map::difference(db, &parts, look.layout, since, look.time).await?;
                Some(Changes::new(found))
            }
            None => None,
        };
        let sheets = sheets(db, parts, look.layout, look.time).await?;
        let colours = Colours::of(&sheets, &look.by, at);
        let finder = match &sheets[..] {
            [sheet] if look.time.is_none() => {
                finder::lines(sheet.part.window, &sheet.free, sheet.part.smallest, &look)
            }
            _ => Vec::new(),
        };
        // Of the past, what is there now is looked through for what was there then.
        let unlisted = look.time.is_some() && db::map::are_more(db, &table, SHAPES.into()).await?;
        let mut used = if unlisted {
            Vec::new()
        } else {
            db::map::blocks(db, &table, look.time, look.after, ROWS + 1).await?
        };
        let next = (used.len() > ROWS as usize).then(|| {
            used.pop();
            let last = used.last().map(|used| used.cidr);
            format!("{}#used", look.with(|look| look.after = last))
        });
        Ok(Self {
            maps: sheets
                .iter()
                .map(|sheet| Drawn::new(sheet, &colours, changes.as_ref(), &look))
                .collect(),
            more_ranges,
            legend: colours.legend(&sheets),
            changes,
            path,
            here,
            zoom_out,
            corner,
            layouts: [("Rows", Layout::Rows), ("Hilbert", Layout::Hilbert)]
                .into_iter()
                .map(|(name, layout)| {
                    let href = look.with(|look| look.layout = layout);
                    (name, href, look.layout == layout)
                })
                .collect(),
            colours: palettes(&look),
            finder,
            inspector: None,
            earlier: before.map(|at| {
                look.with(|look| {
                    look.time = Some(at);
                    // It can't be compared with what came later.
                    look.since = look.since.filter(|since| *since < at);
                    // A corner is shown of the present only.
                    look.at = window;
                })
            }),
            later: look.time.map(|_| look.with(|look| look.time = after)),
            now: look.with(|look| look.time = None),
            alone: look.with(|look| look.since = None),
            used: used.into_iter().map(|used| Row::new(used, &look)).collect(),
            unlisted,
            next,
            first: look.after.map(|_| format!("{}#used", look.with(|_| {}))),
            look,
        })
    }

    /// With what is known of the network that was picked.
    pub(super) async fn inspected(
        mut self,
        app: &App,
        signed_in: &SignedIn,
        vrf: &str,
    ) -> Result<Self> {
        if let Some(pick) = self.look.pick {
            self.inspector = Some(Inspector::of(app, signed_in, vrf, pick, &self.look).await?);
        }
        Ok(self)
    }

    /// The moment that is shown, as the field of a form has it.
    pub(super) fn time_value(&self) -> String {
        field(self.look.time)
    }

    /// The moment that it is compared with, as the field of a form has it.
    pub(super) fn since_value(&self) -> String {
        field(self.look.since)
    }

    /// The same for people.
    pub(super) fn since_text(&self) -> String {
        self.since_value().replace('T', " ")
    }

    /// The moment that is shown, for people.
    pub(super) fn time_text(&self) -> String {
        self.time_value().replace('T', " ")
    }

    /// Whether something of another moment is kept from who is limited like that.
    pub(super) fn lacks_past(&self, scope: Option<&Scope>) -> bool {
        (self.is_past() || self.changes.is_some()) && scope.is_some_and(Scope::hides_past)
    }

    /// The network that is shown, as the field of a form has it.
    pub(super) fn at_value(&self) -> String {
        self.look.at.map(|at| at.to_string()).unwrap_or_default()
    }

    /// What the form for a moment or a network keeps of the address, as names and values.
    pub(super) fn kept(&self) -> Vec<(&'static str, String)> {
        let all = self.look.parameters().into_iter();
        all.filter(|(key, _)| ["vrf", "by", "view"].contains(key))
            .collect()
    }

    /// The address of the same as a picture of a pool with these ranges, with what is looked at closely highlighted.
    pub(super) fn picture(&self, ranges: &[Cidr]) -> String {
        self.look.picture(ranges)
    }

    /// The page without its query.
    pub(super) fn path(&self) -> &str {
        &self.look.path
    }

    /// Whether anything is free of the sizes that are shown.
    pub(super) fn has_free(&self) -> bool {
        self.finder.iter().any(|line| line.free > 0)
    }

    /// Whether it shows the past.
    pub(super) fn is_past(&self) -> bool {
        self.look.time.is_some()
    }
}

/// A moment as the field of a form has it.
fn field(at: Option<OffsetDateTime>) -> String {
    let minutes = format_description!("[year]-[month]-[day]T[hour]:[minute]");
    let seconds = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let utc = at.map(|at| at.to_offset(time::UtcOffset::UTC));
    // Browsers leave out seconds that are zero, and would take what has them for something that was typed.
    utc.and_then(|at| match at.second() {
        0 => at.format(&minutes).ok(),
        _ => at.format(&seconds).ok(),
    })
    .unwrap_or_default()
}

/// If only a corner of a range is used, the map shows that corner, with what is looked at closely, unless it was asked for a
/// part. What was used at another time need not be there.
async fn corner(
    db: &mut Connection,
    parts: &mut [Part],
    look: &Look,
) -> Result<Option<(Cidr, String)>> {
    let ([part], None, None, None) = (parts, look.at, look.time, look.since) else {
        return Ok(None);
    };
    let pick = look.pick.filter(|pick| part.whole.contains(*pick));
    let Some(corner) = map::corner(db, part, pick).await? else {
        return Ok(None);
    };
    part.window = corner;
    Ok(Some((
        part.whole,
        look.with(|look| look.at = Some(part.whole)),
    )))
}

/// What contains what is shown, what that is called, and one step out.
fn way(parts: &[Part], look: &Look) -> (Vec<(String, String)>, String, Option<String>) {
    let [part] = parts else {
        let here = look
            .at
            .map_or_else(|| "all ranges".to_owned(), |at| at.to_string());
        let all = look
            .at
            .map(|_| ("all ranges".to_owned(), look.with(|look| look.at = None)));
        let out = all.as_ref().map(|(_, href)| href.clone());
        return (all.into_iter().collect(), here, out);
    };
    let to = |at: Cidr| look.with(|look| look.at = Some(at));
    let window = part.window;
    let mut path = Vec::new();
    if look.at.is_some() {
        path.push(("all ranges".to_owned(), look.with(|look| look.at = None)));
    }
    let mut out = look.at.map(|_| look.with(|look| look.at = None));
    if window != part.whole {
        path.push((part.whole.to_string(), to(part.whole)));
        let outer = window.prefix_length().saturating_sub(STEP);
        let outer = window
            .ancestor(outer)
            .filter(|outer| part.whole.contains(*outer));
        if let Some(outer) = outer.filter(|outer| *outer != part.whole) {
            path.push((outer.to_string(), to(outer)));
        }
        out = Some(to(outer.unwrap_or(part.whole)));
    }
    (path, window.to_string(), out)
}

fn palettes(look: &Look) -> Vec<(String, String, bool)> {
    let mut all = vec![
        ("VPC".to_owned(), By::Vpc),
        ("State".to_owned(), By::State),
        ("Age".to_owned(), By::Age),
        ("Use".to_owned(), By::Utilisation),
    ];
    if let By::Label(key) = &look.by {
        all.push((key.clone(), By::Label(key.clone())));
    }
    all.into_iter()
        .map(|(name, by)| {
            let is = look.by == by;
            (name, look.with(|look| look.by = by), is)
        })
        .collect()
}

impl Row {
    fn new(used: Used, look: &Look) -> Self {
        Self {
            cidr: used.cidr,
            href: format!("{}#pick", look.with(|look| look.pick = Some(used.cidr))),
            holder: used.holder,
            since: used.since,
        }
    }
}
