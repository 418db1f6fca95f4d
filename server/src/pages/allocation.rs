//! `/ui/allocations/{id}`: one allocation, its history, and what can be done with it.

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use ipam_shared::{
    api::allocation::{Allocation, AllocationPatch},
    ids::AllocationId,
    name::NameError,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Noted, Section, Shell,
    allocations::SUGGESTIONS,
    error::{Failure, sentence},
    filters, labels_text, page, parse_labels,
    session::{Posted, SignedIn},
    snippet::{Server, Snippets},
};
use crate::{
    app::App,
    db::{self, event::Entry},
    error::Error,
    http::error::log,
};

/// Events that are shown.
const EVENTS: i64 = 100;

#[derive(askama::Template)]
#[template(path = "allocation.html")]
struct AllocationPage {
    shell: Shell,
    allocation: Allocation,
    history: Vec<Line>,
    snippets: Snippets,
    vpc_names: Vec<String>,
    /// The VPC in the form that moves the allocation.
    move_to: String,
    move_problem: Option<String>,
    labels: String,
    labels_problem: Option<String>,
}

/// An event in words.
#[derive(Debug)]
struct Line {
    entry: Entry,
    what: String,
}

/// The input of a form of this page, and why it was refused.
enum Refused {
    Move { typed: String, problem: String },
    Labels { typed: String, problem: String },
}

/// `GET /ui/allocations/{id}`
pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(noted): Query<Noted>,
    server: Server,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let view = view(&app, &signed_in, &server, id_of(&id)?, &noted, None).await?;
    Ok(page(&view))
}

async fn view(
    app: &App,
    signed_in: &SignedIn,
    server: &Server,
    id: AllocationId,
    noted: &Noted,
    refused: Option<Refused>,
) -> Result<AllocationPage, Failure> {
    let caller = signed_in.caller.clone();
    let allocation: Allocation = app.ipam(&signed_in.caller).show(caller, id, None).await?;
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let history = db::event::history(&mut db, id.0, EVENTS).await?;
    let mut page = AllocationPage {
        shell: Shell::of(&mut db, signed_in, Section::Allocations)
            .await?
            .noting(noted),
        history: history.into_iter().map(Line::new).collect(),
        snippets: Snippets::new(&allocation, server),
        vpc_names: db::search::vpc_names(&mut db, SUGGESTIONS).await?,
        move_to: allocation.vpc.to_string(),
        move_problem: None,
        labels: labels_text(&allocation.labels),
        labels_problem: None,
        allocation,
    };
    match refused {
        None => {}
        Some(Refused::Move { typed, problem }) => {
            (page.move_to, page.move_problem) = (typed, Some(sentence(&problem)));
        }
        Some(Refused::Labels { typed, problem }) => {
            (page.labels, page.labels_problem) = (typed, Some(sentence(&problem)));
        }
    }
    Ok(page)
}

fn id_of(text: &str) -> Result<AllocationId, Failure> {
    text.parse()
        .map_err(|_| Failure::not_found("there is no allocation with that id"))
}

fn to(id: AllocationId, notice: &str) -> Response {
    Redirect::to(&format!("/ui/allocations/{id}?notice={notice}")).into_response()
}

#[derive(Debug, Deserialize)]
pub(super) struct Move {
    #[serde(default)]
    vpc: String,
}

/// `POST /ui/allocations/{id}/vpc`
pub(super) async fn move_to(
    State(app): State<App>,
    Path(id): Path<String>,
    server: Server,
    Posted(signed_in, form): Posted<Move>,
) -> Result<Response, Failure> {
    let id = id_of(&id)?;
    let problem = match form.vpc.trim().parse() {
        Ok(vpc) => {
            let patch = AllocationPatch {
                vpc: Some(vpc),
                ..AllocationPatch::default()
            };
            match app
                .ipam(&signed_in.caller)
                .update(signed_in.caller.clone(), id, patch, None)
                .await
            {
                Ok(_) => return Ok(to(id, "moved")),
                Err(error @ (Error::NameTaken { .. } | Error::Invalid(_))) => {
                    log(&error);
                    error.to_string()
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(error) => NameError::to_string(&error),
    };
    let refused = Some(Refused::Move {
        typed: form.vpc,
        problem,
    });
    let view = view(&app, &signed_in, &server, id, &Noted::default(), refused).await?;
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&view)).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct Relabel {
    #[serde(default)]
    labels: String,
    #[serde(default)]
    revision: Option<i64>,
}

/// `POST /ui/allocations/{id}/labels`
pub(super) async fn label(
    State(app): State<App>,
    Path(id): Path<String>,
    server: Server,
    Posted(signed_in, form): Posted<Relabel>,
) -> Result<Response, Failure> {
    let id = id_of(&id)?;
    match parse_labels(&form.labels) {
        Ok(labels) => {
            let patch = AllocationPatch {
                labels: Some(labels),
                ..AllocationPatch::default()
            };
            // All labels are written, so labels that somebody else has set meanwhile must not be lost.
            app.ipam(&signed_in.caller)
                .update(signed_in.caller, id, patch, form.revision)
                .await?;
            Ok(to(id, "labelled"))
        }
        Err(problem) => {
            let refused = Some(Refused::Labels {
                typed: form.labels,
                problem,
            });
            let view = view(&app, &signed_in, &server, id, &Noted::default(), refused).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&view)).into_response())
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Protect {
    protect: String,
}

/// `POST /ui/allocations/{id}/protection`
pub(super) async fn protect(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted(signed_in, form): Posted<Protect>,
) -> Result<Response, Failure> {
    let id = id_of(&id)?;
    let protect = form.protect == "on";
    let patch = AllocationPatch {
        deletion_protection: Some(protect),
        ..AllocationPatch::default()
    };
    app.ipam(&signed_in.caller)
        .update(signed_in.caller, id, patch, None)
        .await?;
    Ok(to(id, if protect { "protected" } else { "unprotected" }))
}

#[derive(askama::Template)]
#[template(path = "release.html")]
struct ReleasePage {
    shell: Shell,
    allocation: Allocation,
}

/// `GET /ui/allocations/{id}/release`: are you sure?
pub(super) async fn confirm_release(
    State(app): State<App>,
    Path(id): Path<String>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let allocation = app
        .ipam(&signed_in.caller)
        .show::<Allocation>(signed_in.caller.clone(), id_of(&id)?, None)
        .await?;
    let shell = Shell::of(
        &mut app.ipam(&signed_in.caller).read().await?,
        &signed_in,
        Section::Allocations,
    )
    .await?;
    Ok(page(&ReleasePage { shell, allocation }))
}

#[derive(Debug, Deserialize)]
pub(super) struct Release {
    revision: i64,
}

/// `POST /ui/allocations/{id}/release`
pub(super) async fn release(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted(signed_in, form): Posted<Release>,
) -> Result<Response, Failure> {
    // Releases only what was shown.
    app.ipam(&signed_in.caller)
        .release(signed_in.caller, id_of(&id)?, Some(form.revision))
        .await?;
    Ok(Redirect::to("/ui/allocations?notice=released").into_response())
}

impl Line {
    fn new(entry: Entry) -> Self {
        Self {
            what: words(&entry.action, &entry.detail),
            entry,
        }
    }
}

/// The text for an event of an allocation.
pub(super) fn words(action: &str, detail: &Value) -> String {
    match action {
        "allocation.create" => "allocated".to_owned(),
        "allocation.release" => "released".to_owned(),
        "allocation.adopt" => "taken over by a repeated request".to_owned(),
        "allocation.confirm" => "confirmed by its owner".to_owned(),
        "allocation.update" => {
            let changes: Vec<_> = detail
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| change(key, value))
                .collect();
            if changes.is_empty() {
                "changed".to_owned()
            } else {
                changes.join("; ")
            }
        }
        other => other.replace(['.', '_'], " "),
    }
}

fn change(key: &str, value: &Value) -> String {
    match (key, value) {
        ("vpc", Value::String(vpc)) => format!("moved to VPC {vpc}"),
        ("name", Value::String(name)) => format!("renamed to {name}"),
        ("description", _) => "description changed".to_owned(),
        ("deletion_protection", Value::Bool(true)) => "protected from deletion".to_owned(),
        ("deletion_protection", _) => "deletion protection switched off".to_owned(),
        ("labels", Value::Object(labels)) if labels.is_empty() => "labels removed".to_owned(),
        ("labels", Value::Object(labels)) => {
            let pairs: Vec<_> = labels
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                .collect();
            format!("labels set to {}", pairs.join(", "))
        }
        (key, value) => format!("{} set to {value}", key.replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_told_in_words() {
        assert_eq!(words("allocation.create", &json!({})), "allocated");
        assert_eq!(
            words(
                "allocation.update",
                &json!({ "vpc": "b", "labels": { "a": "1", "b": "2" } })
            ),
            "labels set to a=1, b=2; moved to VPC b"
        );
        assert_eq!(
            words("allocation.update", &json!({ "hosts": 400 })),
            "hosts set to 400"
        );
        assert_eq!(
            words("allocation.update", &json!({ "deletion_protection": true })),
            "protected from deletion"
        );
        assert_eq!(
            words("allocation.new_thing", &json!({})),
            "allocation new thing"
        );
    }
}
