//! `/api/v1/events`.

use std::time::{Duration, Instant};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName},
    response::{IntoResponse as _, Response},
};
use futures::stream;
use ipam_shared::{
    api::event::{Event, EventFilter, Feed, FeedParams, Head, MAX_WAIT},
    page::Page,
};
use serde::Serialize;

use super::{
    error::Refusal,
    extract::Params,
    key::Watched,
    paging::Paged,
    reply::{self, Wanted},
    stream::{LineByLine, accepts, lines},
};
use crate::{
    app::App,
    db,
    domain::{Caller, feed::Follower},
    error::Error,
};

const EVENT_STREAM: &str = "text/event-stream";
/// What a browser sends when it continues a stream.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often a stream checks that its key is still valid, and that the server goes on.
const CHECK: Duration = Duration::from_millis(500);
/// How often a stream in which nothing happens sends something, so that nobody on the way takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// List events
///
/// The audit log, newest first. A page may hold fewer events than asked for, even none, without being the last: only a null
/// `next_cursor` ends the list.
#[utoipa::path(get, path = "/events", tag = "history", operation_id = "list_events", params(EventFilter), responses(
    (status = 200, body = Page<Event>),
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<EventFilter>,
) -> Result<Paged<Event>, Refusal> {
    let wanted = Wanted::new(filter.limit, filter.cursor.as_deref())?;
    let mut connection = app.ipam(&caller).read().await?;
    let (items, next) =
        db::event::list(&mut connection, &filter, wanted.after, wanted.limit).await?;
    Ok(Paged(Page {
        items,
        next_cursor: next.map(|id| id.to_string()),
    }))
}

/// Follow events
///
/// What happens, oldest first, without missing anything: go on with `next` as `after`. An event appears once no event before
/// it can appear any more, about two seconds after its change; a long transaction of another program on the same PostgreSQL
/// delays that. With `wait` the reply waits for something to happen. With `Accept: text/event-stream` it is a stream of
/// server-sent events that goes on until the key is no longer valid or the server stops: each has the event's id, and
/// those of the type `head` say how far the audit log is sealed. `Last-Event-ID` continues such a stream.
#[utoipa::path(get, path = "/events/feed", tag = "history", operation_id = "follow_events", params(FeedParams), responses(
    (status = 200, content((Feed = "application/json"), (String = "text/event-stream"))),
))]
pub(super) async fn feed(
    State(app): State<App>,
    caller: Caller,
    watched: Watched,
    headers: HeaderMap,
    Params(mut params): Params<FeedParams>,
) -> Result<Response, Refusal> {
    let limit = reply::limit(params.limit)?;
    let wait = params.wait.unwrap_or(0);
    if wait > MAX_WAIT {
        let text = format!("wait must be between 0 and {MAX_WAIT} seconds");
        return Err(Error::invalid(text).into());
    }
    if let Some(last) = headers.get(LAST_EVENT_ID) {
        let last = last.to_str().ok().and_then(|text| text.trim().parse().ok());
        let invalid = || Error::invalid("Last-Event-ID takes the id of an event");
        params.after = Some(last.ok_or_else(invalid)?);
    }
    let mut follower = app.ipam(&caller).follow(params.after).await?;
    if accepts(&headers, EVENT_STREAM) {
        return Ok(streamed(follower, params, limit, watched));
    }
    let end = Instant::now() + Duration::from_secs(wait.into());
    loop {
        let feed = follower.more(&params, limit).await?;
        let left = end.saturating_duration_since(Instant::now());
        let is_over = left.is_zero() || !watched.goes_on().await;
        if !feed.items.is_empty() || is_over {
            return Ok(Json(feed).into_response());
        }
        follower.wait(left.min(CHECK)).await;
    }
}

/// Get the head of the audit log
///
/// How far the log is sealed. Keep it where nobody who can write to the database can write: `ipam verify --expect-head`
/// proves later that nothing up to there was changed or cut off.
#[utoipa::path(get, path = "/events/head", tag = "history", operation_id = "get_events_head", responses(
    (status = 200, body = Head),
    (status = 404),
))]
pub(super) async fn head(State(app): State<App>, caller: Caller) -> Result<Json<Head>, Refusal> {
    let head = app.ipam(&caller).head().await?;
    let none = || {
        Error::not_found(
            "nothing is sealed yet; the first seal follows the first event within seconds",
        )
    };
    Ok(Json(head.ok_or_else(none)?))
}

/// What a stream has sent.
struct Streamed {
    follower: Follower,
    params: FeedParams,
    limit: u16,
    watched: Watched,
    head: Option<Head>,
    next: i64,
    last: Instant,
}

/// A reply that goes on. It ends when the key is no longer valid, and when the server stops: clients come again then, and go
/// on after the last event that they have seen.
fn streamed(follower: Follower, params: FeedParams, limit: u16, watched: Watched) -> Response {
    let streamed = Streamed {
        follower,
        params,
        limit,
        watched,
        head: None,
        next: 0,
        last: Instant::now(),
    };
    let pieces = stream::unfold(Some(streamed), async |streamed| {
        let mut streamed = streamed?;
        match streamed.piece().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(streamed))),
            Ok(None) => None,
            Err(error) => {
                super::error::log(&error);
                Some((Err(std::io::Error::other("the stream failed")), None))
            }
        }
    });
    let mut response = lines(EVENT_STREAM, pieces);
    response.extensions_mut().insert(LineByLine);
    response
}

impl Streamed {
    /// The next piece; none at the end.
    async fn piece(&mut self) -> Result<Option<Vec<u8>>, Error> {
        loop {
            if !self.watched.goes_on().await {
                return Ok(None);
            }
            let feed = self.follower.more(&self.params, self.limit).await?;
            let mut text = String::new();
            for event in &feed.items {
                text += &sent(Some(event.id), None, event)?;
            }
            if feed.head != self.head {
                if let Some(head) = &feed.head {
                    text += &sent(None, Some("head"), head)?;
                }
                self.head = feed.head;
            }
            // Those that were left out are not looked at again after a break either.
            if feed.next != self.next && feed.items.last().is_none_or(|last| last.id != feed.next) {
                text += &format!("id: {}\n\n", feed.next);
            }
            self.next = feed.next;
            if text.is_empty() && self.last.elapsed() >= HEARTBEAT {
                ": nothing has happened\n\n".clone_into(&mut text);
            }
            if !text.is_empty() {
                self.last = Instant::now();
                return Ok(Some(text.into_bytes()));
            }
            self.follower.wait(CHECK).await;
        }
    }
}

/// One message of a stream of server-sent events. JSON has no line breaks.
fn sent(id: Option<i64>, kind: Option<&str>, data: &impl Serialize) -> Result<String, Error> {
    let data = serde_json::to_string(data).map_err(|error| Error::Internal(error.into()))?;
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let kind = kind
        .map(|kind| format!("event: {kind}\n"))
        .unwrap_or_default();
    Ok(format!("{id}{kind}data: {data}\n\n"))
}
