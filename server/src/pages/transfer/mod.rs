//! `/ui/import`, and `/ui/export` in a file of its own: whole address plans, by the same rules as over the API. What is imported is what was
//! previewed: the second step sends the file again, as it is.

mod export;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ipam_shared::api::transfer::{Format, ImportConflict, ImportResult, MAX_IMPORT, Progress};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

pub(super) use self::export::{export, file};
use super::{
    Section, Shell,
    error::{Failure, sentence},
    filters, page,
    session::SignedIn,
    snippet::shell,
    upload::{FILE, Upload},
};
use crate::{
    app::App,
    error::{Error, Result},
    text::{hex, thousands},
};

/// Conflicts on a page.
const SHOWN: usize = 1_000;

#[derive(askama::Template)]
#[template(path = "import.html")]
struct ImportPage {
    shell: Shell,
    /// Largest file here, and by the command line, in MiB.
    most: usize,
    most_elsewhere: usize,
    format: String,
    text: String,
    problem: Option<String>,
}

#[derive(askama::Template)]
#[template(path = "plan.html")]
struct PlanPage {
    shell: Shell,
    /// What the file is called, if it is one.
    name: String,
    size: String,
    digest: String,
    format: &'static str,
    /// Whether it was done.
    is_done: bool,
    records: String,
    unchanged: String,
    /// What is made: how many of what.
    made: Vec<(String, &'static str)>,
    conflicts: Vec<Conflict>,
    total_conflicts: String,
    more_conflicts: Option<String>,
    problem: Option<String>,
    /// The same with the command line.
    command: String,
    /// The file as it is, for the second step.
    content: String,
    /// What is shown here, for the second step.
    shown: String,
    /// The button that does it; none if there is nothing to do.
    button: Option<String>,
}

/// A conflict in words.
struct Conflict {
    line: String,
    what: String,
    cidr: String,
    detail: String,
}

/// `GET /ui/import`
pub(super) async fn form(State(app): State<App>, signed_in: SignedIn) -> Result<Response, Failure> {
    form_again(&app, &signed_in, "", "", None).await
}

async fn form_again(
    app: &App,
    signed_in: &SignedIn,
    format: &str,
    text: &str,
    problem: Option<(StatusCode, String)>,
) -> Result<Response, Failure> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let (status, problem) = match problem {
        Some((status, problem)) => (status, Some(sentence(&problem))),
        None => (StatusCode::OK, None),
    };
    let content = page(&ImportPage {
        shell: Shell::of(&mut db, signed_in, Section::Import).await?,
        most: FILE >> 20,
        most_elsewhere: MAX_IMPORT >> 20,
        format: format.to_owned(),
        text: text.to_owned(),
        problem,
    });
    Ok((status, content).into_response())
}

/// A file, as it was sent or as it is sent again.
struct Plan {
    name: String,
    format: Format,
    content: Vec<u8>,
}

/// `POST /ui/import`
pub(super) async fn import(State(app): State<App>, upload: Upload) -> Result<Response, Failure> {
    let signed_in = &upload.signed_in;
    let format = upload.text("format");
    let is_second = matches!(upload.text("action"), "confirm" | "change");
    let plan = if is_second {
        sent_again(&upload)
    } else {
        sent(&upload)
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err((status, problem)) => {
            let text = upload.text("text");
            return form_again(&app, signed_in, format, text, Some((status, problem))).await;
        }
    };
    if upload.text("action") == "change" {
        let text = if plan.name.is_empty() {
            String::from_utf8_lossy(&plan.content).into_owned()
        } else {
            String::new()
        };
        return form_again(&app, signed_in, name_of(plan.format), &text, None).await;
    }
    let checked = match run(&app, signed_in, &plan, true).await {
        Ok(checked) => checked,
        Err(Error::Invalid(problem)) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let text = upload.text("text");
            return form_again(
                &app,
                signed_in,
                format,
                text,
                Some((status, problem.message)),
            )
            .await;
        }
        Err(error) => return Err(error.into()),
    };
    if upload.text("action") != "confirm" {
        return plan_page(&app, signed_in, &plan, checked, None).await;
    }
    // Everything is checked again by the import itself; this is about what somebody has agreed to.
    if upload.text("shown") != shown(&checked) {
        let problem = "what is there has changed since you saw this, so nothing was imported; look again what would happen";
        let problem = (StatusCode::PRECONDITION_FAILED, problem);
        return plan_page(&app, signed_in, &plan, checked, Some(problem)).await;
    }
    let result = run(&app, signed_in, &plan, false).await?;
    let problem = (result.total_conflicts > 0).then_some((
        StatusCode::CONFLICT,
        "nothing was imported: there are conflicts",
    ));
    plan_page(&app, signed_in, &plan, result, problem).await
}

/// The file of the first step: one that was chosen, or a text.
fn sent(upload: &Upload) -> Result<Plan, (StatusCode, String)> {
    let unfit = |problem: &str| Err((StatusCode::UNPROCESSABLE_ENTITY, problem.to_owned()));
    if upload.is_too_large {
        return Err(too_large());
    }
    let file = upload
        .field("file")
        .filter(|(content, _)| !content.is_empty());
    let text = upload.field("text");
    let text = text.filter(|(content, _)| !content.trim_ascii().is_empty());
    let (content, name) = match (file, text) {
        (Some(_), Some(_)) => return unfit("choose a file or paste a text, and not both"),
        (Some((content, name)), None) => (content, name.unwrap_or("file")),
        (None, Some((content, _))) => (content, ""),
        (None, None) => return unfit("choose a file that is not empty, or paste one"),
    };
    if content.len() > FILE {
        return Err(too_large());
    }
    let format = match upload.text("format") {
        "csv" => Format::Csv,
        "json" => Format::Json,
        _ => guessed(name, content),
    };
    Ok(Plan {
        name: name.to_owned(),
        format,
        content: content.to_vec(),
    })
}

/// The file of the second step.
fn sent_again(upload: &Upload) -> Result<Plan, (StatusCode, String)> {
    if upload.is_too_large {
        return Err(too_large());
    }
    let content = STANDARD.decode(upload.text("content"));
    let content = content.ok().filter(|content| content.len() <= FILE);
    let format = match upload.text("format") {
        "csv" => Some(Format::Csv),
        "json" => Some(Format::Json),
        _ => None,
    };
    match content.zip(format) {
        Some((content, format)) => Ok(Plan {
            name: upload.text("name").to_owned(),
            format,
            content,
        }),
        None => Err((
            StatusCode::BAD_REQUEST,
            "the form lacks a field; begin again".to_owned(),
        )),
    }
}

fn too_large() -> (StatusCode, String) {
    let text = format!(
        "a file of more than {} MiB is too large for this page, and nothing of it was looked at; import it with the command \
         line, `ipam import FILE`, which takes {} MiB and shows how far it is",
        FILE >> 20,
        MAX_IMPORT >> 20
    );
    (StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// The format of a file by its name, or else by how it begins.
fn guessed(name: &str, content: &[u8]) -> Format {
    let name = name.to_ascii_lowercase();
    let is_json = [".json", ".jsonl", ".ndjson"]
        .iter()
        .any(|end| name.ends_with(end));
    let begin = content.trim_ascii_start();
    let begin = begin.strip_prefix("\u{feff}".as_bytes()).unwrap_or(begin);
    if !name.ends_with(".csv") && (is_json || begin.starts_with(b"{") || begin.starts_with(b"[")) {
        Format::Json
    } else {
        Format::Csv
    }
}

fn name_of(format: Format) -> &'static str {
    match format {
        Format::Csv => "csv",
        Format::Json => "json",
    }
}

async fn run(app: &App, signed_in: &SignedIn, plan: &Plan, dry: bool) -> Result<ImportResult> {
    // A page is answered at once or not at all, so nobody hears of the progress.
    let (progress, _) = watch::channel(Progress {
        phase: Default::default(),
        done: 0,
        total: 0,
    });
    let caller = signed_in.caller.clone();
    let content = plan.content.clone();
    let ipam = app.ipam(&signed_in.caller);
    ipam.import(caller, content, plan.format, dry, progress)
        .await
}

/// What somebody agrees to.
fn shown(result: &ImportResult) -> String {
    let same = ImportResult {
        dry_run: true,
        ..result.clone()
    };
    let text = serde_json::to_vec(&same).unwrap_or_default();
    hex(&Sha256::digest(text))
}

/// What is made, of which there is something.
fn made(result: &ImportResult) -> Vec<(String, &'static str)> {
    let made = &result.created;
    let all = [
        (made.vrfs, "VRF", "VRFs"),
        (made.pools, "pool", "pools"),
        (made.ranges, "range", "ranges"),
        (made.profiles, "profile", "profiles"),
        (made.vpcs, "VPC", "VPCs"),
        (made.allocations, "allocation", "allocations"),
        (made.blocks, "block of allocations", "blocks of allocations"),
        (made.reservations, "reservation", "reservations"),
        (
            made.cooldowns,
            "block that cools down",
            "blocks that cool down",
        ),
        (made.past_blocks, "past block", "past blocks"),
    ];
    let some = all.into_iter().filter(|(count, ..)| *count > 0);
    some.map(|(count, one, many)| (thousands(count), if count == 1 { one } else { many }))
        .collect()
}

fn conflict(conflict: ImportConflict) -> Conflict {
    Conflict {
        line: match conflict.other_line {
            Some(other) => format!("line {} and line {other}", conflict.line),
            None => format!("line {}", conflict.line),
        },
        what: conflict.code.as_str().replace('_', " "),
        cidr: conflict
            .cidr
            .map(|cidr| cidr.to_string())
            .unwrap_or_default(),
        detail: sentence(&conflict.detail),
    }
}

/// What would happen, or what has.
async fn plan_page(
    app: &App,
    signed_in: &SignedIn,
    plan: &Plan,
    result: ImportResult,
    problem: Option<(StatusCode, &str)>,
) -> Result<Response, Failure> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let shell_of = Shell::of(&mut db, signed_in, Section::Import).await?;
    drop(db);
    let is_done = !result.dry_run && result.total_conflicts == 0;
    let new = result.records.saturating_sub(result.unchanged);
    let button = match new {
        _ if is_done || result.total_conflicts > 0 => None,
        0 => None,
        1 => Some("Import 1 record".to_owned()),
        many => Some(format!("Import {} records", thousands(many))),
    };
    let file = match plan.name.as_str() {
        "" => "FILE".to_owned(),
        name => shell(name),
    };
    let more = result.total_conflicts.saturating_sub(SHOWN as u64);
    let content = page(&PlanPage {
        shell: shell_of,
        name: plan.name.clone(),
        size: thousands(plan.content.len() as u64),
        digest: hex(&Sha256::digest(&plan.content)),
        format: name_of(plan.format),
        is_done,
        records: thousands(result.records),
        unchanged: thousands(result.unchanged),
        made: made(&result),
        total_conflicts: thousands(result.total_conflicts),
        more_conflicts: (more > 0).then(|| thousands(more)),
        problem: problem.map(|(_, text)| sentence(text)),
        command: format!(
            "ipam import {file} --format {} --dry-run --json",
            name_of(plan.format)
        ),
        // Nothing is sent again once it is done.
        content: if is_done {
            String::new()
        } else {
            STANDARD.encode(&plan.content)
        },
        shown: shown(&result),
        button,
        conflicts: result
            .conflicts
            .into_iter()
            .take(SHOWN)
            .map(conflict)
            .collect(),
    });
    let status = problem.map_or(StatusCode::OK, |(status, _)| status);
    Ok((status, content).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_that_of_the_name_or_of_the_beginning() {
        for (name, content, format) in [
            ("plan.csv", "{", Format::Csv),
            ("PLAN.CSV", "a,b", Format::Csv),
            ("plan.ndjson", "a,b", Format::Json),
            ("plan.JSON", "", Format::Json),
            ("", " \n{\"kind\":\"vrf\"}", Format::Json),
            ("plan.txt", "\u{feff}[{}]", Format::Json),
            ("", "cidr,vpc,name\n", Format::Csv),
            ("", "", Format::Csv),
        ] {
            assert_eq!(
                guessed(name, content.as_bytes()),
                format,
                "{name} {content}"
            );
        }
    }
}
