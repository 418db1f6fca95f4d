//! The end of a thing: a page that says what it would do, and does nothing else; then that.

use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};

use super::{ConfirmPage, Editable, Outlook, find, id_of};
use crate::{
    app::App,
    error::Error,
    http::error::log,
    pages::{
        Shell,
        error::{Failure, sentence},
        form::Input,
        page,
        session::{Posted, SignedIn},
    },
};

/// `GET /ui/NOUNS/{id}/delete`: what would happen?
pub(super) async fn confirm<T: Editable>(
    State(app): State<App>,
    Path(id): Path<String>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let this = find::<T>(&app, &signed_in, &id).await?;
    Ok(page(&deletion(&app, &signed_in, &this, None).await?))
}

/// The page on which a deletion is confirmed.
async fn deletion<T: Editable>(
    app: &App,
    signed_in: &SignedIn,
    this: &T,
    problem: Option<String>,
) -> Result<ConfirmPage, Failure> {
    let ipam = app.ipam(&signed_in.caller);
    let outlook: Outlook = this.outlook(&ipam, signed_in.caller.clone()).await?;
    let mut db = ipam.read().await?;
    let word = T::NOUN.word();
    let here = format!("{}/{}", T::PATH, this.uuid());
    let (end, page, _) = T::END;
    let mut hidden = outlook.shown;
    hidden.push(("revision".to_owned(), this.revision().to_string()));
    Ok(ConfirmPage {
        shell: Shell::of(&mut db, signed_in, T::SECTION).await?,
        crumbs: vec![
            (T::PATH.to_owned(), T::MANY.to_owned()),
            (here.clone(), this.called()),
        ],
        question: (format!("{end} {word} "), this.called(), "?".to_owned()),
        button: match &outlook.refusal {
            Some(_) => None,
            None => Some(format!("{end} {word}")),
        },
        problem: problem.or(outlook.refusal),
        sentences: outlook.sentences,
        facts: this.facts(),
        changes: Vec::new(),
        lost: outlook.lost,
        more: outlook.more,
        fields: Vec::new(),
        action: format!("{here}/{page}"),
        hidden,
        danger: true,
        back: Some(here),
    })
}

/// `POST /ui/NOUNS/{id}/delete`
pub(super) async fn delete<T: Editable>(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted(signed_in, input): Posted<Input>,
) -> Result<Response, Failure> {
    let this = find::<T>(&app, &signed_in, &id).await?;
    let Ok(revision) = input.get("revision").parse() else {
        return Err(Failure::invalid("the form lacks a field"));
    };
    let ipam = app.ipam(&signed_in.caller);
    let id = id_of(&this)?;
    let error = match T::delete(&ipam, signed_in.caller.clone(), id, &input, revision).await {
        Ok(()) => {
            return Ok(Redirect::to(&format!("{}?notice={}", T::PATH, T::END.2)).into_response());
        }
        Err(error) => error,
    };
    let problem = match &error {
        Error::Stale { .. } => {
            "It has changed since you opened this page, so nothing was done. Check again what would happen.".to_owned()
        }
        Error::InUse { .. } | Error::Protected(_) | Error::Invalid(_) => sentence(&error.to_string()),
        _ => return Err(error.into()),
    };
    log(&error);
    let status = StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::CONFLICT);
    let this = find::<T>(&app, &signed_in, &this.uuid().to_string()).await?;
    let confirm = deletion(&app, &signed_in, &this, Some(problem)).await?;
    let mut response = (status, page(&confirm)).into_response();
    response.extensions_mut().insert(error.code());
    Ok(response)
}
