//! `/ui/events`: who did what, the newest first. Its first page goes on by itself with what happens.

mod row;

use std::collections::{BTreeMap, BTreeSet};

use axum::{
    extract::{Query, State},
    response::Response,
};
use ipam_shared::api::event::EventFilter;
use time::OffsetDateTime;
use uuid::Uuid;

use self::row::Row;
use super::{
    Section, Shell,
    error::{Failure, sentence},
    filters,
    form::{Field, Input, Reader, fill},
    moment::{FORMS, past},
    page, query_value,
    session::SignedIn,
    snippet::Server,
};
use crate::{
    app::App,
    db::{self, Connection},
    error::Result,
    rights::Right,
    text::moment,
};

/// Events on a page.
const ROWS: u16 = 50;
/// Things of one name that are told apart.
const NAMESAKES: i64 = 10;

/// Actions that are suggested; any other can be looked for too.
const ACTIONS: [&str; 37] = [
    "access.denied",
    "access.expired",
    "access.wrong_key",
    "allocation.adopt",
    "allocation.confirm",
    "allocation.create",
    "allocation.import",
    "allocation.release",
    "allocation.replay",
    "allocation.resize",
    "allocation.update",
    "plan.export",
    "pool.create",
    "pool.delete",
    "pool.update",
    "profile.create",
    "profile.delete",
    "profile.update",
    "reservation.create",
    "reservation.delete",
    "reservation.update",
    "session.close",
    "session.open",
    "token.create",
    "token.revoke",
    "token.update",
    "vpc.create",
    "vpc.delete",
    "vpc.update",
    "vrf.create",
    "vrf.delete",
    "vrf.update",
    "webhook.create",
    "webhook.delete",
    "webhook.rotate",
    "webhook.stop",
    "webhook.update",
];

#[derive(askama::Template)]
#[template(path = "events.html")]
struct EventsPage {
    shell: Shell,
    fields: Vec<Field>,
    problem: Option<String>,
    /// Things that have the name that was looked for, if there are several: address and what it is.
    namesakes: Vec<(String, String)>,
    rows: Vec<Row>,
    /// The newest of them.
    newest: i64,
    filtered: bool,
    continued: bool,
    first: String,
    next: Option<String>,
    /// Whether it goes on by itself, and the address that switches that; none where it can't.
    follows: Option<(bool, String)>,
    /// The same question to the API and the command line.
    uses: Vec<(&'static str, String)>,
}

/// `GET /ui/events`
pub(super) async fn show(
    State(app): State<App>,
    Query(search): Query<Input>,
    server: Server,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let mut reader = Reader::new(&search);
    let mut filter = filter(&mut reader);
    let before = reader.optional::<i64>("before");
    let mut namesakes = Vec::new();
    let subject = reader.input.get("subject");
    if !subject.is_empty() {
        match subject.parse::<Uuid>() {
            Ok(id) => filter.subject = Some(id),
            Err(_) => match called(&mut db, subject).await?.as_slice() {
                [(_, id, _)] => filter.subject = Some(*id),
                [] => reader.wrong(
                    "subject",
                    "nothing has exactly this name now; what was deleted is found by its id",
                ),
                several => {
                    reader.wrong("subject", "several things have this name; choose one");
                    namesakes = several
                        .iter()
                        .map(|(kind, id, name)| {
                            (
                                with(&search, "subject", &id.to_string()),
                                format!("{kind} {name}"),
                            )
                        })
                        .collect();
                }
            },
        }
    }
    let (mut events, mut next) = (Vec::new(), None);
    if reader.problems.is_empty() {
        (events, next) = db::event::list(&mut db, &filter, before, ROWS).await?;
    }
    let problems = reader.problems;
    let mut rows: Vec<_> = events.into_iter().map(Row::new).collect();
    name_all(&mut db, &mut rows).await?;
    // Their pages are for those who may change them.
    if !signed_in.caller.rights.may(Right::Administer) {
        let of_tokens = rows
            .iter_mut()
            .filter(|row| row.event.action.starts_with("token."));
        of_tokens.for_each(|row| row.href = None);
    }
    let fields = fill(fields(), &search, &problems);
    let given = given(&fields);
    let follows = (before.is_none() && filter.before.is_none() && problems.is_empty()).then(|| {
        let is_on = search.get("pause").is_empty();
        let switched = if is_on {
            given.clone().with("pause", "1")
        } else {
            given.clone()
        };
        (is_on, address(&switched))
    });
    Ok(page(&EventsPage {
        problem: problems.elsewhere(&fields),
        namesakes,
        newest: rows.first().map_or(0, |row| row.event.id),
        rows,
        filtered: given != Input::default(),
        continued: before.is_some(),
        first: address(&given),
        next: next.map(|id| address(&given.clone().with("before", id.to_string()))),
        follows,
        uses: uses(&filter, &server),
        fields,
        shell: Shell::of(&mut db, &signed_in, Section::Events).await?,
    }))
}

/// Names what events that do not name it are about: as it was called at the newest of them.
async fn name_all(db: &mut Connection, rows: &mut [Row]) -> Result<()> {
    let Some(newest) = rows.first().map(|row| row.event.at) else {
        return Ok(());
    };
    let mut nameless: BTreeMap<String, BTreeSet<Uuid>> = BTreeMap::new();
    for row in rows
        .iter()
        .filter(|row| row.name.is_none() && row.href.is_some())
    {
        let noun = row.event.action.split('.').next().unwrap_or_default();
        nameless
            .entry(noun.to_owned())
            .or_default()
            .insert(row.event.subject);
    }
    for (noun, subjects) in nameless {
        let subjects: Vec<_> = subjects.into_iter().collect();
        let names = db::event::names_at(db, &noun, &subjects, newest).await?;
        for row in rows.iter_mut().filter(|row| row.name.is_none()) {
            if let Some(then) = names.get(&row.event.subject) {
                row.name = match (&then.vpc, &then.name) {
                    (Some(vpc), Some(name)) if noun == "allocation" => {
                        let own = row.own.as_ref().unwrap_or(name);
                        Some(format!("{vpc}/{own}"))
                    }
                    (_, name) => name.clone(),
                };
            }
        }
    }
    for row in rows.iter_mut().filter(|row| row.name.is_none()) {
        row.name = row.own.take();
    }
    Ok(())
}

fn fields() -> Vec<Field> {
    let actions = ACTIONS.map(str::to_owned).to_vec();
    vec![
        Field::text("actor", "Who").hint("admin, token/NAME, server"),
        Field::text("action", "What was done")
            .suggesting(actions)
            .hint("allocation.release, or allocation.*"),
        Field::text("subject", "About").hint("a name, VPC/NAME or an id"),
        Field::text("from", "From (UTC)").hint("2026-11-29, or 2h"),
        Field::text("until", "Until (UTC)").hint("now"),
    ]
}

/// What is looked for, but for the subject.
fn filter(reader: &mut Reader<'_>) -> EventFilter {
    let now = OffsetDateTime::now_utc();
    let mut time = |field| match reader.input.get(field) {
        "" | "now" => None,
        text => {
            let at = past(text, now);
            if at.is_none() {
                reader.wrong(field, FORMS);
            }
            at
        }
    };
    let (after, before) = (time("from"), time("until"));
    let mut text = |field| match reader.input.get(field) {
        "" => None,
        text if text.contains('\0') => {
            reader.wrong(field, "nothing contains a NUL character");
            None
        }
        text => Some(text.to_owned()),
    };
    let actor = text("actor");
    EventFilter {
        action: reader.optional("action"),
        actor,
        after,
        before,
        ..EventFilter::default()
    }
}

/// What is called exactly that now: which noun, its id, and its name with what tells it from others.
async fn called(db: &mut Connection, name: &str) -> Result<Vec<(String, Uuid, String)>> {
    if name.contains('\0') {
        return Ok(Vec::new());
    }
    let same = |other: &str| other.to_lowercase() == name.to_lowercase();
    let named = db::search::named(db, name, NAMESAKES).await?;
    let mut found: Vec<_> = named
        .into_iter()
        .filter(|named| same(&named.name))
        .map(|named| {
            let whole = match named.vrf {
                Some(vrf) => format!("{} in VRF {vrf}", named.name),
                None => named.name,
            };
            (named.kind, named.id, whole)
        })
        .collect();
    if let Some(id) = db::token::find_id(db, None, name).await? {
        found.push(("token".to_owned(), id.0, name.to_owned()));
    }
    if let Some(id) = db::webhook::find_id(db, None, name).await? {
        found.push(("webhook".to_owned(), id.0, name.to_owned()));
    }
    let (vpc, own) = match name.split_once('/') {
        Some((vpc, own)) => (Some(vpc), own),
        None => (None, name),
    };
    let most = u16::try_from(NAMESAKES).unwrap_or(u16::MAX);
    for allocation in super::allocations::called(db, vpc, own, most).await? {
        let whole = format!("{}/{own}", allocation.vpc);
        found.push(("allocation".to_owned(), allocation.id.0, whole));
    }
    Ok(found)
}

/// What was filled in, without the place in the list.
fn given(fields: &[Field]) -> Input {
    let filled = fields.iter().filter(|field| !field.value.is_empty());
    filled.fold(Input::default(), |input, field| {
        input.with(&field.name, field.value.as_str())
    })
}

fn address(input: &Input) -> String {
    match input.query().as_str() {
        "" => "/ui/events".to_owned(),
        query => format!("/ui/events?{query}"),
    }
}

/// The same page with another value of a field.
fn with(search: &Input, name: &str, value: &str) -> String {
    address(&Input::default().with(name, value).or(search.clone()))
}

/// The same question to the API and the command line.
fn uses(filter: &EventFilter, server: &Server) -> Vec<(&'static str, String)> {
    let pairs = [
        ("subject", filter.subject.map(|id| id.to_string())),
        (
            "action",
            filter.action.as_ref().map(|it| it.as_str().to_owned()),
        ),
        ("actor", filter.actor.clone()),
        ("after", filter.after.map(moment)),
        ("before", filter.before.map(moment)),
    ];
    let pairs: Vec<_> = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    let query = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", query_value(value)));
    let query: Vec<_> = query.chain(["limit=1000".to_owned()]).collect();
    let path = format!("/api/v1/events?{}", query.join("&"));
    let options = pairs
        .iter()
        .map(|(name, value)| format!(" --{name} {}", super::snippet::shell(value)));
    vec![
        ("The API", format!("GET {path}")),
        ("curl", server.curl(&path)),
        (
            "The command line, as CSV",
            format!("ipam events{} -o csv", options.collect::<String>()),
        ),
    ]
}

impl EventsPage {
    /// What is said of a list without events.
    fn nothing(&self) -> String {
        let text = match (
            self.problem.is_some() || self.fields.iter().any(|it| it.problem.is_some()),
            &self.next,
        ) {
            (true, _) => "no search was made",
            (_, Some(_)) => {
                "nothing was found among the events that were looked through for this page; there are earlier ones"
            }
            _ if self.continued => "there are no earlier ones",
            _ if self.filtered => "nothing was found",
            _ if self.shell.rights.scope().is_some() => "nothing has happened that you may see",
            _ => "nothing has happened yet",
        };
        sentence(text)
    }
}
