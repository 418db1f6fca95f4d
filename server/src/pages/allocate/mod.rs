//! `/ui/allocations/new`: the form that asks for space. It takes nothing: it leads to a preview with the blocks that it would
//! get, and only what was shown there is confirmed.

mod read;

use axum::{
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use ipam_shared::api::{
    allocation::{Allocation, NewAllocation},
    profile::{DEFAULT_PROFILE, ProfileFilter},
};
use uuid::Uuid;

use self::read::{SizeOption, read, suggested};
use super::{
    Section, Shell,
    allocations::SUGGESTIONS,
    error::{Failure, sentence},
    filters,
    form::{Action, Field, Input, Problems, Reader, fill},
    nouns::{ConfirmPage, Editable as _},
    page,
    session::{Posted, SignedIn},
};
use crate::{
    app::App,
    db::{self, Connection},
    error::{Error, Result},
    http::error::log,
};

/// What the size is given by.
const BY: [(&str, &str); 4] = [
    ("hosts", "By number of hosts"),
    ("prefix_length", "By prefix length"),
    ("cidr", "A specific network"),
    ("default", "The pool's usual size"),
];

#[derive(askama::Template)]
#[template(path = "allocate.html")]
struct AllocatePage {
    shell: Shell,
    /// Makes a form that is submitted twice allocate once.
    key: String,
    /// Who it is for.
    first: Vec<Field>,
    by: String,
    hosts: String,
    prefix_length: String,
    cidr: String,
    size_problem: Option<String>,
    /// Prefix lengths that are suggested.
    sizes: Vec<SizeOption>,
    /// Most hosts of the largest block; 0 if that is not known.
    most_hosts: u128,
    /// From where, and what it is for.
    rest: Vec<Field>,
    problem: Option<String>,
}

impl AllocatePage {
    fn is_by(&self, by: &str) -> bool {
        self.by == by
    }
}

/// `GET /ui/allocations/new`: what the query says is filled in.
pub(super) async fn form(
    State(app): State<App>,
    Query(query): Query<Input>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let mut input = Input::default().with("key", Uuid::new_v4().to_string());
    // A pool may be named by the link of a map.
    if !query.get("pool").is_empty() {
        input = input.with("pools", query.get("pool"));
    }
    if query.get("by").is_empty() && !query.get("cidr").is_empty() {
        input = input.with("by", "cidr");
    }
    let input = input.or(query);
    Ok(page(
        &view(&app, &signed_in, &input, &Problems::default()).await?,
    ))
}

/// `POST /ui/allocations/new`
pub(super) async fn submit(
    State(app): State<App>,
    Posted(signed_in, input): Posted<Input>,
) -> Result<Response, Failure> {
    let action = input.action();
    if action == Action::Change {
        return Ok(page(
            &view(&app, &signed_in, &input, &Problems::default()).await?,
        ));
    }
    let mut form = Reader::new(&input);
    let new = match read(&mut form) {
        Some(new) if form.problems.is_empty() => new,
        _ => return refuse(&app, &signed_in, &input, &form.problems).await,
    };
    let is_dry = action == Action::Preview;
    let new = NewAllocation {
        dry_run: is_dry,
        ..new
    };
    let ipam = app.ipam(&signed_in.caller);
    // The key is not used for a preview.
    let key = input.get("key");
    let key = (!is_dry && !key.is_empty()).then(|| key.to_owned());
    match ipam.allocate(signed_in.caller.clone(), new, key).await {
        Ok(outcome) if is_dry => {
            let mut db = ipam.read().await?;
            let shell = Shell::of(&mut db, &signed_in, Section::Allocations).await?;
            // Nothing is created by a dry run; what exists was made by another request.
            let is_new = outcome.request_id == signed_in.caller.request_id;
            Ok(page(&preview(shell, &input, &outcome.allocation, is_new)))
        }
        Ok(outcome) => {
            let notice = if outcome.created {
                "allocated"
            } else {
                "existing"
            };
            let to = format!("/ui/allocations/{}?notice={notice}", outcome.allocation.id);
            Ok(Redirect::to(&to).into_response())
        }
        Err(error) => match place(&error) {
            Some(problems) => {
                log(&error);
                let mut page = refuse(&app, &signed_in, &input, &problems).await?;
                page.extensions_mut().insert(error.code());
                Ok(page)
            }
            None => Err(error.into()),
        },
    }
}

/// What it would get, to be confirmed.
fn preview(shell: Shell, input: &Input, allocation: &Allocation, is_new: bool) -> ConfirmPage {
    let (sentence, button) = if is_new {
        (
            "Nothing is taken yet. At the moment you would get this:",
            shell
                .may(crate::rights::Right::Allocate)
                .then(|| "Allocate".to_owned()),
        )
    } else {
        (
            "This allocation exists already: the same request was made before. Nothing new would be allocated.",
            Some("Show it".to_owned()),
        )
    };
    let name = match &allocation.name {
        Some(name) => format!("{}/{name}", allocation.vpc),
        None => allocation.vpc.to_string(),
    };
    ConfirmPage {
        shell,
        crumbs: vec![("/ui/allocations".to_owned(), "Allocations".to_owned())],
        question: ("Allocate for ".to_owned(), name, "?".to_owned()),
        problem: None,
        sentences: vec![sentence.to_owned()],
        facts: allocation.facts(),
        changes: Vec::new(),
        lost: Vec::new(),
        more: 0,
        fields: Vec::new(),
        action: "/ui/allocations/new".to_owned(),
        hidden: input.kept(),
        button,
        danger: false,
        back: None,
    }
}

/// The form again, with its problems.
async fn refuse(
    app: &App,
    signed_in: &SignedIn,
    input: &Input,
    problems: &Problems,
) -> Result<Response, Failure> {
    let view = view(app, signed_in, input, problems).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&view)).into_response())
}

async fn view(
    app: &App,
    signed_in: &SignedIn,
    input: &Input,
    problems: &Problems,
) -> Result<AllocatePage> {
    let ipam = app.ipam(&signed_in.caller);
    let mut db = ipam.read().await?;
    let sizes = suggested(&ipam, &mut db, input).await;
    let by = input.get("by");
    let by = if BY.iter().any(|(known, _)| *known == by) {
        by
    } else {
        "hosts"
    };
    let (first, rest) = fields(&mut db).await?;
    let mut known = first.clone();
    known.extend(rest.iter().cloned());
    known.push(Field::text("size", "Size"));
    let size_problem = fill(vec![Field::text("size", "Size")], input, problems);
    Ok(AllocatePage {
        shell: Shell::of(&mut db, signed_in, Section::Allocations).await?,
        key: input.get("key").to_owned(),
        first: fill(first, input, problems),
        by: by.to_owned(),
        hosts: input.get("hosts").to_owned(),
        prefix_length: input.get("prefix_length").to_owned(),
        cidr: input.get("cidr").to_owned(),
        size_problem: size_problem.into_iter().find_map(|field| field.problem),
        most_hosts: sizes.first().map_or(0, |size| size.usable),
        sizes,
        rest: fill(rest, input, problems),
        problem: problems.elsewhere(&known),
    })
}

/// The fields before and after the size.
async fn fields(db: &mut Connection) -> Result<(Vec<Field>, Vec<Field>)> {
    let profiles = db::profile::list(db, &ProfileFilter::default(), None, 500).await?;
    let profiles = profiles.into_iter().map(|it| it.name.to_string());
    let first = vec![
        Field::text("vpc", "VPC")
            .suggesting(db::search::vpc_names(db, SUGGESTIONS).await?)
            .hint("Created if it does not exist yet.")
            .required(),
        Field::text("vrf", "VRF")
            .hint("That of the VPC. One that does not exist yet is created in it, or in default."),
        Field::text("name", "Name").hint(
            "Unique within the VPC. Terraform imports by it, and the same request with the same name never allocates twice.",
        ),
    ];
    let rest = vec![
        Field::text("profile", "Profile")
            .suggesting(profiles.collect())
            .hint(format!(
                "Which pools give a block each, and how the sizes relate; {DEFAULT_PROFILE} if nothing is filled in here and \
                 below."
            )),
        Field::lines("pools", "Or pools").hint(
            "One per line, by name or id: one block, from the first of them that has room.",
        ),
        Field::lines("pool_selector", "Or labels of pools")
            .hint("One key=value per line: one block, from the first pool that has all of them, and room."),
        Field::lines("exclude_cidrs", "Excluded networks")
            .hint("One per line. No block overlaps any of them."),
        Field::labels(),
        Field::description(),
        Field::check("protect", "Protect from deletion"),
    ];
    Ok((first, rest))
}

/// The field that the domain's refusal belongs to; none if it is not about what was typed.
fn place(error: &Error) -> Option<Problems> {
    let field = match error {
        Error::NameTaken { .. } | Error::Claimed { .. } => "name",
        // That a VPC, a VRF, a profile or a pool does not exist is at its field too.
        Error::Invalid(reason) | Error::NotFound(reason) => match reason.field {
            None | Some("hosts" | "prefix_length" | "cidr") => "size",
            Some(field) => field,
        },
        Error::Overlap { .. } | Error::Exhausted(_) | Error::QuotaExceeded(_) => "size",
        Error::KeyReused(_) => {
            return Some(Problems::of(
                "",
                "This form has already been submitted and has allocated; look at the list of allocations, and open a new form \
                 for another one.",
            ));
        }
        _ => return None,
    };
    Some(Problems::of(field, sentence(&error.to_string())))
}
