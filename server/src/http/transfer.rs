//! `/api/v1/import` and `/api/v1/export`: whole address plans.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest as _, Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use futures::{TryFutureExt as _, stream};
use ipam_shared::{
    api::transfer::{
        ExportParams, Format, ImportLine, ImportParams, ImportResult, MAX_IMPORT, Progress, Record,
    },
    error::{Code, Problem},
};
use tokio::sync::{mpsc, watch};

use super::{
    error::{Refusal, body_too_large},
    extract::{Params, plain},
    request_id::RequestId,
    stream::{LineByLine, accepts, lines},
};
use crate::{
    app::App,
    domain::{Caller, Ipam, Note},
    error::Error,
};

/// How often a reply sends something, so that no proxy takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// JSON Lines, one object a line.
const NDJSON: &str = "application/x-ndjson";

/// Import an address plan
///
/// All or nothing. The body is a table (`text/csv`), JSON Lines (`application/x-ndjson`) or an array of records
/// (`application/json`), at most 64 MiB; docs/IMPORT.md has every column. All conflicts are reported at once: a dry run
/// returns them with status 200, an import is refused with them. With `Accept: application/x-ndjson` the reply is a stream
/// of lines `{"progress":...}` that ends with `{"result":...}` or `{"problem":...}`.
#[utoipa::path(post, path = "/import", tag = "transfer", operation_id = "import_plan", params(ImportParams),
    request_body(content(
        (Vec<Record> = "application/json"), (Record = "application/x-ndjson"), (String = "text/csv"),
    )),
    responses(
        (status = 200, content((ImportResult = "application/json"), (ImportLine = "application/x-ndjson")),
            description = "Imported, or a dry run"),
        (status = 409, description = "import_conflict: `details` is the result, with all conflicts"),
    ))]
pub(super) async fn import(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ImportParams>,
    request: Request,
) -> Result<Response, Refusal> {
    plain(request.headers())?;
    let format = format_of(request.headers())?;
    let streamed = accepts(request.headers(), NDJSON);
    let request_id = request.extensions().get::<RequestId>().copied();
    let body = Bytes::from_request(request, &())
        .await
        .map_err(|rejection| {
            if rejection.status().as_u16() == 413 {
                Refusal(Box::new(body_too_large(MAX_IMPORT)))
            } else {
                Refusal::new(Code::InvalidRequest, rejection.body_text())
            }
        })?;
    let (progress, watched) = watch::channel(Progress {
        phase: Default::default(),
        done: 0,
        total: 0,
    });
    let ipam = app.ipam(&caller).clone();
    let work = async move {
        let result = ipam
            .import(caller, body.into(), format, params.dry_run, progress)
            .await?;
        if result.conflicts.is_empty() || params.dry_run {
            Ok(result)
        } else {
            Err(refused(result))
        }
    };
    if !streamed {
        return Ok(Json(work.await?).into_response());
    }
    let (sender, receiver) = mpsc::channel(16);
    let metrics = Arc::clone(app.system().metrics());
    tokio::spawn(async move {
        // The status of the reply can't tell.
        let work = work.inspect_err(|refusal| metrics.refused(refusal.0.code));
        tell(work, watched, sender, request_id).await;
    });
    let mut response = lines(
        NDJSON,
        stream::unfold(receiver, async |mut receiver| {
            let line = receiver.recv().await?;
            Some((Ok::<_, std::io::Error>(line), receiver))
        }),
    );
    response.extensions_mut().insert(LineByLine);
    Ok(response)
}

/// The refusal that names all conflicts.
fn refused(result: ImportResult) -> Refusal {
    let detail = match result.total_conflicts {
        1 => "one record is in conflict, and nothing was imported".to_owned(),
        count => format!("{count} records are in conflict, and nothing was imported"),
    };
    let mut problem = Problem::new(
        Code::ImportConflict,
        format!("{detail}; correct the file or what is there, and import it again"),
    );
    problem.details = serde_json::to_value(result).unwrap_or_default();
    Refusal(Box::new(problem))
}

/// Sends the progress whenever it changes, and finally the outcome. If the client is gone, the work goes on anyway.
async fn tell(
    work: impl Future<Output = Result<ImportResult, Refusal>>,
    mut watched: watch::Receiver<Progress>,
    sender: mpsc::Sender<Vec<u8>>,
    request_id: Option<RequestId>,
) {
    let mut work = std::pin::pin!(work);
    let result = loop {
        tokio::select! {
            biased;
            result = &mut work => break result,
            Ok(()) = watched.changed() => {}
            () = tokio::time::sleep(HEARTBEAT) => {}
        }
        let progress = *watched.borrow_and_update();
        // A client that does not read the lines fast enough misses some.
        _ = sender.try_send(line(&ImportLine::Progress(progress)));
    };
    let last = match result {
        Ok(result) => ImportLine::Result(result),
        Err(refusal) => {
            let mut problem = *refusal.0;
            problem.request_id = request_id.map(RequestId::text);
            ImportLine::Problem(problem)
        }
    };
    _ = sender.send(line(&last)).await;
}

fn line(line: &ImportLine) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Export the address plan
///
/// Everything there is, as one state of the database, in a form that can be imported: VRFs, pools, profiles, VPCs,
/// reservations and allocations with their ids. docs/IMPORT.md has every column.
#[utoipa::path(get, path = "/export", tag = "transfer", operation_id = "export_plan", params(ExportParams),
    responses(
        (status = 200, content((Record = "application/x-ndjson"), (String = "text/csv")),
            description = "A record a line"),
    ))]
pub(super) async fn export(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ExportParams>,
) -> Result<Response, Refusal> {
    let ipam = app.ipam(&caller);
    let request = "GET /api/v1/export";
    Ok(exported(&ipam, &caller, request, params.format, None).await?)
}

/// The file as a reply, for the dashboard too; only of one VRF if that is asked for. The audit log says who took it, by which
/// request.
pub(crate) async fn exported(
    ipam: &Ipam,
    caller: &Caller,
    request: &str,
    format: Format,
    vrf: Option<String>,
) -> Result<Response, Error> {
    let mut receiver = ipam.export(caller, format, vrf).await?;
    // A failure before the first piece can still be a refusal. Later the connection is broken off, so that nobody takes a
    // part for the whole.
    let first = receiver.recv().await.transpose()?;
    ipam.note_later(Note {
        action: "plan.export",
        actor: Some(caller.actor.clone()),
        source: caller.source.as_deref().cloned().unwrap_or_default(),
        request: Some(request.to_owned()),
        request_id: caller.request_id,
    });
    let pieces = stream::unfold((first, receiver), async |(first, mut receiver)| {
        let piece = match first {
            Some(piece) => Ok(piece),
            None => receiver.recv().await?,
        };
        let piece = piece.map_err(|error: Error| {
            super::error::log(&error);
            std::io::Error::other("the export failed")
        });
        Some((piece, (None, receiver)))
    });
    let (kind, name) = match format {
        Format::Csv => (
            "text/csv; charset=utf-8",
            "attachment; filename=\"ipam.csv\"",
        ),
        Format::Json => (NDJSON, "attachment; filename=\"ipam.ndjson\""),
    };
    let mut response = lines(kind, pieces);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static(name));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The format of the body, by its content type.
fn format_of(headers: &HeaderMap) -> Result<Format, Refusal> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match kind.as_str() {
        "text/csv" => Ok(Format::Csv),
        "application/json" | "application/x-ndjson" | "application/jsonl" => Ok(Format::Json),
        _ => Err(Refusal::new(
            Code::UnsupportedMediaType,
            "send the file as CSV, with \"Content-Type: text/csv\", or as JSON, with \"application/json\" or \
             \"application/x-ndjson\"",
        )),
    }
}
