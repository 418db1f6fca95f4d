//! Making, changing and deleting a noun, each in two steps: what would happen, and then that. The first is the domain's own
//! change, rehearsed; so what it says is what the second does, unless somebody else was faster, and then that is said.

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};

use super::{Editable, Noun, find, id_of};
use crate::{
    app::App,
    error::{Error, Result},
    http::error::log,
    pages::{
        Shell,
        error::Failure,
        filters,
        form::{Action, Field, Input, Problems, Reader, fill},
        page,
        session::{Posted, SignedIn},
        shown::{Fact, Shown, differences},
        snippet::Server,
    },
};

#[derive(askama::Template)]
#[template(path = "form.html")]
struct FormPage {
    shell: Shell,
    path: &'static str,
    many: &'static str,
    word: &'static str,
    /// The thing that is changed: its page, and its name.
    this: Option<(String, String)>,
    action: String,
    hidden: Vec<(String, String)>,
    fields: Vec<Field>,
    problem: Option<String>,
}

/// A page on which something is confirmed.
#[derive(askama::Template)]
#[template(path = "confirm.html")]
pub(in crate::pages) struct ConfirmPage {
    pub(in crate::pages) shell: Shell,
    /// Pages above this one: address and name.
    pub(in crate::pages) crumbs: Vec<(String, String)>,
    /// What is asked: before the name, the name, and after it.
    pub(in crate::pages) question: (String, String, String),
    pub(in crate::pages) problem: Option<String>,
    pub(in crate::pages) sentences: Vec<String>,
    pub(in crate::pages) facts: Vec<Fact>,
    /// What it is, before, after.
    pub(in crate::pages) changes: Vec<(String, Shown, Shown)>,
    /// What is lost: address, name, networks.
    pub(in crate::pages) lost: Vec<(String, String, String)>,
    pub(in crate::pages) more: i64,
    /// What is still to be chosen.
    pub(in crate::pages) fields: Vec<Field>,
    pub(in crate::pages) action: String,
    pub(in crate::pages) hidden: Vec<(String, String)>,
    /// The button that does it; none if it can't be done.
    pub(in crate::pages) button: Option<String>,
    pub(in crate::pages) danger: bool,
    /// Where to go instead; none for back to the fields.
    pub(in crate::pages) back: Option<String>,
}

#[derive(askama::Template)]
#[template(path = "secret.html")]
struct SecretPage {
    shell: Shell,
    path: &'static str,
    many: &'static str,
    this: (String, String),
    secret: String,
    /// What the server keeps of it.
    kept: &'static str,
    /// What to type to use it: what for, and the lines.
    uses: Vec<(&'static str, String)>,
}

/// The hidden field that says that one which is there already is to be taken over.
const TAKE_OVER: &str = "take_over";

/// A form, and what it is for.
struct Form<'a, T> {
    app: &'a App,
    signed_in: &'a SignedIn,
    this: Option<&'a T>,
}

impl<T: Editable> Form<'_, T> {
    /// The form with that input, and what is wrong with it.
    async fn page(&self, input: &Input, problems: &Problems) -> Result<FormPage> {
        let mut db = self.app.ipam(&self.signed_in.caller).read().await?;
        let fields = T::fields(&mut db, self.this).await?;
        let problems = &problems.in_words_of(&fields, T::FIELD_NAMES);
        let fields = fill(fields, input, problems);
        let here = self.this.map(|this| format!("{}/{}", T::PATH, this.uuid()));
        Ok(FormPage {
            shell: Shell::of(&mut db, self.signed_in, T::SECTION).await?,
            path: T::PATH,
            many: T::MANY,
            word: T::NOUN.word(),
            action: match &here {
                Some(here) => format!("{here}/edit"),
                None => format!("{}/new", T::PATH),
            },
            hidden: self
                .this
                .map(|this| ("revision".to_owned(), this.revision().to_string()))
                .into_iter()
                .collect(),
            problem: problems.elsewhere(&fields),
            this: here.zip(self.this.map(T::called)),
            fields,
        })
    }

    async fn again(
        &self,
        input: &Input,
        problems: &Problems,
        status: u16,
    ) -> Result<Response, Failure> {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
        Ok((status, page(&self.page(input, problems).await?)).into_response())
    }

    /// The form again with a refusal at its field; a failure if that is not about what was filled in.
    async fn refused(&self, input: &Input, error: Error) -> Result<Response, Failure> {
        let (name, space) = T::FIELDS;
        let field = match &error {
            Error::NameTaken { .. } | Error::Claimed { .. } => name,
            Error::Overlap { .. }
            | Error::Exhausted(_)
            | Error::QuotaExceeded(_)
            | Error::InUse { .. } => space,
            // Also what was named and does not exist; the thing itself was found before.
            Error::Invalid(reason) | Error::NotFound(reason) => {
                T::field(reason.field.unwrap_or_default())
            }
            _ => return Err(error.into()),
        };
        log(&error);
        let code = error.code();
        let problems = Problems::of(field, &error);
        let mut response = self.again(input, &problems, 422).await?;
        response.extensions_mut().insert(code);
        Ok(response)
    }

    /// What would happen, to be confirmed.
    async fn preview(&self, input: &Input, after: &T, is_new: bool) -> Result<Response, Failure> {
        let mut db = self.app.ipam(&self.signed_in.caller).read().await?;
        let shell = Shell::of(&mut db, self.signed_in, T::SECTION).await?;
        drop(db);
        let word = T::NOUN.word();
        let mut crumbs = vec![(T::PATH.to_owned(), T::MANY.to_owned())];
        let mut sentences = T::remarks(self.this, after);
        let (mut facts, mut changes) = (after.facts(), Vec::new());
        let mut button = Some(format!("Create {word}"));
        let mut action = format!("{}/new", T::PATH);
        let mut hidden = input.kept();
        hidden.retain(|(name, _)| name != TAKE_OVER);
        let question = match self.this {
            Some(this) => {
                let here = format!("{}/{}", T::PATH, this.uuid());
                crumbs.push((here.clone(), this.called()));
                action = format!("{here}/edit");
                changes = differences(&this.facts(), &facts);
                facts.clear();
                button = Some("Save".to_owned());
                if changes.is_empty() && sentences.is_empty() {
                    sentences.push("This changes nothing.".to_owned());
                    button = None;
                }
                (format!("Change {word} "), this.called(), "?".to_owned())
            }
            None if is_new => (format!("Create {word} "), after.called(), "?".to_owned()),
            None => {
                sentences.insert(
                    0,
                    format!(
                        "This {word} exists already: you made it before by the same request, and nobody has confirmed it \
                         since. No second one is made; its labels and texts become those of this form."
                    ),
                );
                sentences.extend(T::secret_when_taken_over().map(str::to_owned));
                button = Some("Take it over".to_owned());
                hidden.push((TAKE_OVER.to_owned(), "on".to_owned()));
                (
                    format!("{word} "),
                    after.called(),
                    " exists already".to_owned(),
                )
            }
        };
        if self.this.is_none() && is_new {
            sentences.insert(
                0,
                "Nothing is made yet. This is what you would get:".to_owned(),
            );
        }
        Ok(page(&ConfirmPage {
            shell,
            crumbs,
            question,
            problem: None,
            sentences,
            facts,
            changes,
            lost: Vec::new(),
            more: 0,
            fields: Vec::new(),
            action,
            hidden,
            button,
            danger: false,
            back: None,
        }))
    }

    /// After it was done.
    async fn done(&self, server: &Server, after: &T, notice: &str) -> Result<Response, Failure> {
        let here = format!("{}/{}", T::PATH, after.uuid());
        if after.secret().is_none() {
            return Ok(Redirect::to(&format!("{here}?notice={notice}")).into_response());
        }
        secret_page(self.app, self.signed_in, server, after).await
    }
}

/// The page with a secret. In the reply itself: an address would be kept by browsers and logs.
pub(super) async fn secret_page<T: Editable>(
    app: &App,
    signed_in: &SignedIn,
    server: &Server,
    after: &T,
) -> Result<Response, Failure> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    Ok(page(&SecretPage {
        shell: Shell::of(&mut db, signed_in, T::SECTION).await?,
        path: T::PATH,
        many: T::MANY,
        this: (format!("{}/{}", T::PATH, after.uuid()), after.called()),
        kept: T::SECRET_KEPT,
        uses: after.uses_of_secret(server),
        secret: after.secret().unwrap_or_default().to_owned(),
    }))
}

/// `GET /ui/NOUNS/new`: what the query says is filled in.
pub(super) async fn blank<T: Noun>(
    State(app): State<App>,
    Query(input): Query<Input>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let form = Form::<T> {
        app: &app,
        signed_in: &signed_in,
        this: None,
    };
    let input = input.or(T::defaults());
    Ok(page(&form.page(&input, &Problems::default()).await?))
}

/// `POST /ui/NOUNS/new`
pub(super) async fn make<T: Noun>(
    State(app): State<App>,
    server: Server,
    Posted(signed_in, input): Posted<Input>,
) -> Result<Response, Failure> {
    let form = Form::<T> {
        app: &app,
        signed_in: &signed_in,
        this: None,
    };
    let action = input.action();
    if action == Action::Change {
        return Ok(page(&form.page(&input, &Problems::default()).await?));
    }
    let mut reader = Reader::new(&input);
    let new = T::new(&mut reader);
    let new = match new {
        Some(new) if reader.problems.is_empty() => new,
        _ => return form.again(&input, &reader.problems, 422).await,
    };
    let ipam = app.ipam(&signed_in.caller);
    let is_preview = action == Action::Preview;
    // Loading the page with a secret once more sends the form again, which would take over what it made and show a secret
    // again, or another one in its place. So nobody gets that who has not asked for it.
    let is_asked = T::secret_when_taken_over().is_none() || input.has(TAKE_OVER, "on");
    if is_preview || !is_asked {
        let rehearsal = ipam.rehearsing();
        match T::make(&rehearsal, signed_in.caller.clone(), new.clone()).await {
            Ok((made, is_new)) if is_preview || !is_new => {
                return form.preview(&input, &made, is_new).await;
            }
            Ok(_) => {}
            Err(error) => return form.refused(&input, error).await,
        }
    }
    match T::make(&ipam, signed_in.caller.clone(), new).await {
        Ok((made, is_new)) => {
            let notice = if is_new { "created" } else { "there-already" };
            form.done(&server, &made, notice).await
        }
        Err(error) => form.refused(&input, error).await,
    }
}

/// `GET /ui/NOUNS/{id}/edit`
pub(super) async fn edit<T: Editable>(
    State(app): State<App>,
    Path(id): Path<String>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let this = find::<T>(&app, &signed_in, &id).await?;
    let form = Form {
        app: &app,
        signed_in: &signed_in,
        this: Some(&this),
    };
    Ok(page(&form.page(&this.input(), &Problems::default()).await?))
}

/// `POST /ui/NOUNS/{id}/edit`
pub(super) async fn update<T: Editable>(
    State(app): State<App>,
    Path(id): Path<String>,
    server: Server,
    Posted(signed_in, input): Posted<Input>,
) -> Result<Response, Failure> {
    let this = find::<T>(&app, &signed_in, &id).await?;
    let form = Form {
        app: &app,
        signed_in: &signed_in,
        this: Some(&this),
    };
    // All fields are written, so that what somebody else has set meanwhile would be lost.
    if input.get("revision") != this.revision().to_string() {
        return stale(&form).await;
    }
    let action = input.action();
    if action == Action::Change {
        return Ok(page(&form.page(&input, &Problems::default()).await?));
    }
    let mut reader = Reader::new(&input);
    let patch = this.patch(&mut reader);
    if !reader.problems.is_empty() {
        return form.again(&input, &reader.problems, 422).await;
    }
    let Some(patch) = patch else {
        return form.preview(&input, &this, false).await;
    };
    let mut ipam = app.ipam(&signed_in.caller);
    if action == Action::Preview {
        ipam = ipam.rehearsing();
    }
    let id = id_of(&this)?;
    match T::update(&ipam, signed_in.caller.clone(), id, patch, this.revision()).await {
        Ok(after) if action == Action::Preview => form.preview(&input, &after, false).await,
        Ok(after) => form.done(&server, &after, "saved").await,
        Err(Error::Stale { .. }) => {
            let this = find::<T>(&app, &signed_in, &this.uuid().to_string()).await?;
            let form = Form {
                this: Some(&this),
                ..form
            };
            stale(&form).await
        }
        Err(error) => form.refused(&input, error).await,
    }
}

/// The form as things are now, after somebody else was faster.
async fn stale<T: Editable>(form: &Form<'_, T>) -> Result<Response, Failure> {
    let problems = Problems::of(
        "",
        "it was changed since you opened the form: by somebody else, or by this form, if it was sent twice. This time nothing was \
         saved; below is how it is now",
    );
    let input = form.this.map(T::input).unwrap_or_default();
    form.again(&input, &problems, 412).await
}
