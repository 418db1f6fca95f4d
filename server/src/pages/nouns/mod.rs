//! The pages of the nouns: lists, a page of one, and the forms that make, change and delete. What they have in common is
//! here and in `change`; what is peculiar to a noun is in its file.

mod allocation;
mod change;
mod end;
mod list;
mod outlook;
mod pool;
mod profile;
mod reservation;
mod token;
mod vpc;
mod vrf;
mod webhook;

use axum::{
    Router,
    extract::{Path, Query, State},
    response::Response,
    routing::get,
};
use ipam_shared::api::{
    allocation::Allocation,
    pool::Pool,
    profile::Profile,
    reservation::Reservation,
    token::Token,
    vpc::Vpc,
    vrf::{Vrf, VrfFilter},
    webhook::Webhook,
};

pub(super) use self::{
    allocation::asked_for,
    change::ConfirmPage,
    token::{limits, quotas_held},
};
use self::{
    list::{Row, after, called_like, wanted, wanted_as, wanted_label},
    outlook::Outlook,
};
use super::{
    Noted, Section, Shell,
    error::Failure,
    events::{EVENTS, Line},
    filters,
    form::{Field, Input, Reader},
    page,
    session::SignedIn,
    shown::{Fact, Shown},
    snippet::Server,
};
use crate::{
    app::App,
    db::{self, Connection},
    domain::{Caller, Ipam, named::Named},
    error::{Error, Result},
    rights::{Right, Rights},
};

/// Every page of every noun; the page of one pool, with its map, is elsewhere.
pub(super) fn routes() -> Router<App> {
    with_page::<Vrf>()
        .merge(without_page::<Pool>())
        .merge(with_page::<Profile>())
        .merge(with_page::<Reservation>())
        .merge(with_page::<Vpc>())
        .merge(with_page::<Token>())
        .merge(with_page::<Webhook>())
        .merge(webhook::routes())
        .merge(editable::<Allocation>())
}

fn with_page<T: Noun>() -> Router<App> {
    without_page::<T>().route(&format!("{}/{{id}}", T::PATH), get(show::<T>))
}

fn without_page<T: Noun>() -> Router<App> {
    editable::<T>().route(T::PATH, get(list::list::<T>)).route(
        &format!("{}/new", T::PATH),
        get(change::blank::<T>).post(change::make::<T>),
    )
}

fn editable<T: Editable>() -> Router<App> {
    let at = |page| format!("{}/{{id}}/{page}", T::PATH);
    Router::new()
        .route(
            &at("edit"),
            get(change::edit::<T>).post(change::update::<T>),
        )
        .route(&at(T::END.1), get(end::confirm::<T>).post(end::delete::<T>))
}

/// What can be changed and deleted on a page.
pub(super) trait Editable: Named + Sync {
    /// Where its pages are.
    const PATH: &'static str;
    /// The section that they belong to.
    const SECTION: Section;
    /// What many of them are called, as a title.
    const MANY: &'static str;
    /// The field that a refusal is about: what identifies it, and what it takes space with.
    const FIELDS: (&'static str, &'static str) = ("name", "name");
    /// Fields that the API calls otherwise than the form: its name, the form's.
    const FIELD_NAMES: &'static [(&'static str, &'static str)] = &[];
    /// How its end is called, in a button; the last part of that page's address; the notice afterwards.
    const END: (&'static str, &'static str, &'static str) = ("Delete", "delete", "deleted");
    /// What the server keeps of its secret, if it has one.
    const SECRET_KEPT: &'static str = "the server keeps a hash of it";
    /// A checked form that changes one.
    type Patch: Send;

    /// What people call it.
    fn called(&self) -> String;

    /// Whether somebody may change and delete some of them at all. It decides what is offered.
    fn may_change(rights: &Rights) -> bool {
        rights.may(Right::to_change(Self::NOUN))
    }

    /// The field of the form for one of the API.
    fn field(name: &'static str) -> &'static str {
        let renamed = Self::FIELD_NAMES.iter().find(|(api, _)| *api == name);
        renamed.map_or(name, |(_, form)| form)
    }

    /// What was asked for: what a form sets.
    fn facts(&self) -> Vec<Fact>;

    /// The fields of the form that makes one, or changes this one.
    fn fields(
        db: &mut Connection,
        this: Option<&Self>,
    ) -> impl Future<Output = Result<Vec<Field>>> + Send;

    /// This one as the form shows it.
    fn input(&self) -> Input;

    /// Reads the form that changes this one; none if it changes nothing.
    fn patch(&self, form: &mut Reader<'_>) -> Option<Self::Patch>;

    /// Changes one that is at that revision.
    fn update(
        ipam: &Ipam,
        caller: Caller,
        id: Self::Id,
        patch: Self::Patch,
        revision: i64,
    ) -> impl Future<Output = Result<Self>> + Send;

    /// Deletes one that is at that revision, as it was shown when that was confirmed.
    fn delete(
        ipam: &Ipam,
        caller: Caller,
        id: Self::Id,
        shown: &Input,
        revision: i64,
    ) -> impl Future<Output = Result<()>> + Send;

    /// What else a new one, or a change, means.
    fn remarks(_before: Option<&Self>, _after: &Self) -> Vec<String> {
        Vec::new()
    }

    /// What its deletion would do, found out by rehearsing it.
    fn outlook(&self, ipam: &Ipam, caller: Caller) -> impl Future<Output = Result<Outlook>> + Send {
        async move {
            let (shown, rehearsal) = (Input::default(), ipam.rehearsing());
            let id = id_of(self)?;
            match Self::delete(&rehearsal, caller, id, &shown, self.revision()).await {
                Ok(()) => Ok(Outlook::of(self.loses())),
                Err(error) => Outlook::refused(error),
            }
        }
    }

    /// What is lost with it, if nothing keeps it from being deleted.
    fn loses(&self) -> Vec<String> {
        Vec::new()
    }

    /// A secret that is shown once, after it was made or changed.
    fn secret(&self) -> Option<&str> {
        None
    }

    /// What becomes of the secret of one that is taken over by the same request.
    fn secret_when_taken_over() -> Option<&'static str> {
        None
    }

    /// What a secret is used for: what for, and the lines to type.
    fn uses_of_secret(&self, server: &Server) -> Vec<(&'static str, String)> {
        server.uses_of_a_key()
    }

    /// What else can be done with one: the last part of a page's address, and the text of the link.
    fn steps() -> &'static [(&'static str, &'static str)] {
        &[]
    }
}

/// What is peculiar to a noun whose pages are all made here.
pub(super) trait Noun: Editable {
    /// What it is, in a sentence.
    const ABOUT: &'static str;
    /// The columns of the list, and which of them are numbers.
    const COLUMNS: &'static [(&'static str, bool)];
    /// A checked form that makes one.
    type New: Clone + Send;

    /// Whether somebody may make one.
    fn may_make(rights: &Rights) -> bool {
        Self::may_change(rights)
    }

    /// What can be looked for.
    fn filters() -> Vec<Field> {
        vec![Field::text("name", "Name")]
    }

    /// A page of the list.
    ///
    /// # Errors
    /// Invalid, if what is looked for is not understood.
    fn list(
        db: &mut Connection,
        search: &Input,
        limit: u16,
    ) -> impl Future<Output = Result<Vec<Row>>> + Send;

    /// What became of it: what uses it.
    fn state(&self) -> Vec<Fact>;

    /// What of that has to be looked up.
    fn counted(&self, _ipam: &Ipam) -> impl Future<Output = Result<Vec<Fact>>> + Send {
        async { Ok(Vec::new()) }
    }

    /// What a new one has unless something else is filled in.
    fn defaults() -> Input {
        Input::default()
    }

    /// Reads the form that makes one.
    fn new(form: &mut Reader<'_>) -> Option<Self::New>;

    /// Makes one; whether it is new.
    fn make(
        ipam: &Ipam,
        caller: Caller,
        new: Self::New,
    ) -> impl Future<Output = Result<(Self, bool)>> + Send;
}

#[derive(askama::Template)]
#[template(path = "one.html")]
struct OnePage {
    shell: Shell,
    path: &'static str,
    many: &'static str,
    word: &'static str,
    id: String,
    called: String,
    may_change: bool,
    steps: &'static [(&'static str, &'static str)],
    facts: Vec<Fact>,
    state: Vec<Fact>,
    /// None if the user may not read the audit log.
    history: Option<Vec<Line>>,
}

/// `GET /ui/NOUNS/{id}`
async fn show<T: Noun>(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(noted): Query<Noted>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let thing = find::<T>(&app, &signed_in, &id).await?;
    let mut state = thing.state();
    state.extend(thing.counted(app.system()).await?);
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let shell = Shell::of(&mut db, &signed_in, T::SECTION)
        .await?
        .noting(&noted);
    let mut history = None;
    if shell.may(Right::Audit) {
        let entries = db::event::history(&mut db, thing.uuid(), EVENTS).await?;
        history = Some(entries.into_iter().map(Line::new).collect());
    }
    if !shell.may(Right::Plan) {
        state.retain(|fact| !matches!(&fact.value, Shown::Link(to, _) if to.starts_with("/ui/allocations/new")));
    }
    state.push(Fact::new("Created", Shown::Time(thing.created_at())));
    let owner = thing.owner().map(ToString::to_string);
    state.push(Fact::new("Owner", Shown::maybe(owner)));
    state.push(Fact::new(
        "Id",
        Shown::Code(vec![thing.uuid().to_string()], 0),
    ));
    Ok(page(&OnePage {
        path: T::PATH,
        many: T::MANY,
        word: T::NOUN.word(),
        id: thing.uuid().to_string(),
        called: thing.called(),
        may_change: T::may_change(&shell.rights),
        steps: T::steps(),
        facts: thing.facts(),
        shell,
        state,
        history,
    }))
}

/// The thing with that id, and nothing that is only called so.
async fn find<T: Editable>(app: &App, signed_in: &SignedIn, id: &str) -> Result<T, Failure> {
    let missing = || {
        let word = T::NOUN.word();
        Failure::not_found(&format!("there is no {word} with that id"))
    };
    let id: T::Id = id.parse().map_err(|_| missing())?;
    let caller = signed_in.caller.clone();
    Ok(app.ipam(&signed_in.caller).show(caller, id, None).await?)
}

/// Its id, of the type that it has.
fn id_of<T: Editable>(thing: &T) -> Result<T::Id> {
    let id = thing.uuid().to_string().parse();
    id.map_err(|_| Error::bug("an id that can't be read"))
}

/// Names of VRFs as choices.
async fn vrfs(db: &mut Connection) -> Result<Vec<String>> {
    /// As many as fit into a list.
    const SUGGESTED: u16 = 500;
    let all = db::vrf::list(db, &VrfFilter::default(), None, SUGGESTED).await?;
    Ok(all.into_iter().map(|vrf| vrf.name.to_string()).collect())
}

/// The field for the VRF of something new.
async fn vrf_field(db: &mut Connection) -> Result<Field> {
    Ok(Field::text("vrf", "VRF")
        .suggesting(vrfs(db).await?)
        .hint("The address space that it is in; default if nothing is filled in. It stays there."))
}

/// Whether a caller is not limited to pools: what is about a whole VRF needs that.
fn of_whole_vrfs(rights: &Rights) -> bool {
    rights.scope().is_none_or(|scope| scope.pools.is_none())
}

/// A value that a form sets to something else.
fn changed<T: PartialEq>(before: &T, after: T) -> Option<T> {
    (*before != after).then_some(after)
}

/// A text that a form sets to something else: forms keep neither space around it nor other ends of lines.
fn changed_text(before: &str, after: String) -> Option<String> {
    (before.replace("\r\n", "\n").trim() != after).then_some(after)
}

/// What was filled in, in a test.
#[cfg(test)]
fn filled(pairs: &[(&str, &str)]) -> Input {
    pairs.iter().fold(Input::default(), |input, (name, value)| {
        input.with(name, *value)
    })
}
