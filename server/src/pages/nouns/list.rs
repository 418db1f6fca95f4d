//! Lists of the nouns, and what can be looked for in them.

use axum::{
    extract::{Query, State},
    response::Response,
};
use uuid::Uuid;

use super::{Editable, Noun};
use crate::{
    app::App,
    db::{self, Connection},
    error::{Error, Result},
    pages::{
        Noted, Shell,
        error::{Failure, sentence},
        filters,
        form::{Field, Input, Problems, fill},
        page,
        session::SignedIn,
        shown::Shown,
    },
};

/// Things on a page of a list.
const ROWS: u16 = 50;

/// A line of a list.
#[derive(Debug)]
pub(in crate::pages) struct Row {
    /// Where the next page begins if it is the last one.
    pub(super) cursor: String,
    pub(super) id: String,
    pub(super) cells: Vec<Shown>,
}

impl Row {
    /// With its name first, which leads to its page.
    pub(super) fn of<T: Editable>(thing: &T, name: String, rest: Vec<Shown>) -> Self {
        Self::at::<T>(thing.uuid().to_string(), name, rest)
    }

    pub(super) fn at<T: Editable>(id: String, name: String, rest: Vec<Shown>) -> Self {
        let mut cells = vec![Shown::Link(format!("{}/{id}", T::PATH), name)];
        cells.extend(rest);
        Self {
            cursor: id.clone(),
            id,
            cells,
        }
    }
}

#[derive(askama::Template)]
#[template(path = "list.html")]
struct ListPage {
    shell: Shell,
    path: &'static str,
    many: &'static str,
    about: &'static str,
    word: &'static str,
    may_make: bool,
    may_change: bool,
    fields: Vec<Field>,
    columns: &'static [(&'static str, bool)],
    rows: Vec<Row>,
    problem: Option<String>,
    filtered: bool,
    continued: bool,
    first: String,
    next: Option<String>,
}

/// `GET /ui/NOUNS`
pub(super) async fn list<T: Noun>(
    State(app): State<App>,
    Query(search): Query<Input>,
    Query(noted): Query<Noted>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let (mut rows, problem) = match T::list(&mut db, &search, ROWS + 1).await {
        Ok(rows) => (rows, None),
        Err(Error::Invalid(problem)) => (Vec::new(), Some(sentence(&problem.message))),
        Err(error) => return Err(error.into()),
    };
    let fields = fill(T::filters(), &search, &Problems::default());
    let wanted = fields
        .iter()
        .filter(|field| !field.value.is_empty())
        .fold(Input::default(), |wanted, field| {
            wanted.with(&field.name, field.value.as_str())
        });
    let query = wanted.query();
    let mut next = None;
    if rows.len() > usize::from(ROWS) {
        rows.truncate(ROWS.into());
        next = rows.last().map(|last| {
            let query = wanted.with("after", last.cursor.as_str()).query();
            format!("{}?{query}", T::PATH)
        });
    }
    let shell = Shell::of(&mut db, &signed_in, T::SECTION)
        .await?
        .noting(&noted);
    Ok(page(&ListPage {
        path: T::PATH,
        many: T::MANY,
        about: T::ABOUT,
        word: T::NOUN.word(),
        may_make: T::may_make(&shell.rights),
        may_change: T::may_change(&shell.rights),
        columns: T::COLUMNS,
        filtered: !query.is_empty(),
        continued: !search.get("after").is_empty(),
        first: if query.is_empty() {
            T::PATH.to_owned()
        } else {
            format!("{}?{query}", T::PATH)
        },
        shell,
        fields,
        rows,
        problem,
        next,
    }))
}

/// The id that a page of a list begins after.
pub(super) fn after<T: std::str::FromStr>(search: &Input) -> Result<Option<T>> {
    match search.get("after") {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            Error::invalid("the address of this page is incomplete; begin at the first page")
        }),
    }
}

/// The ids of those of a noun that have what is looked for in their names, those that are called exactly that first; none
/// if no name is looked for. They fit on a page, so there is no next one.
pub(super) async fn called_like(
    db: &mut Connection,
    kind: &str,
    search: &Input,
    limit: u16,
) -> Result<Option<Vec<Uuid>>> {
    let Some(text) = wanted(search, "name")? else {
        return Ok(None);
    };
    let most = i64::from(limit.saturating_sub(1));
    let named = db::search::named(db, &text, most).await?;
    let of_kind = named.into_iter().filter(|named| named.kind == kind);
    Ok(Some(of_kind.map(|named| named.id).collect()))
}

/// What is looked for in a field, if anything is.
pub(super) fn wanted(search: &Input, field: &str) -> Result<Option<String>> {
    let text = search.get(field);
    // Nothing contains a NUL, and PostgreSQL accepts none.
    if text.contains('\0') {
        return Err(Error::invalid("nothing contains a NUL character"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// A label to look for.
pub(super) fn wanted_label(search: &Input) -> Result<Option<(String, String)>> {
    let Some(text) = wanted(search, "label")? else {
        return Ok(None);
    };
    match text.split_once('=') {
        Some((key, value)) => Ok(Some((key.trim().to_owned(), value.trim().to_owned()))),
        None => Err(Error::invalid(
            "look for a label as key=value, such as environment=prod",
        )),
    }
}

/// What can be read from what is looked for.
pub(super) fn wanted_as<T: std::str::FromStr<Err: std::fmt::Display>>(
    search: &Input,
    field: &str,
) -> Result<Option<T>> {
    wanted(search, field)?
        .map(|text| {
            text.parse()
                .map_err(|error: T::Err| Error::invalid(error.to_string()))
        })
        .transpose()
}
