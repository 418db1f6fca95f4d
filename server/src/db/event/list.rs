//! Events as the API shows them: newest first, and as they happen.

use ipam_shared::api::{
    self,
    event::{EventFilter, FeedParams},
};
use sqlx::{query, query_as};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::Connection,
    error::{Error, Result},
};

/// An event as it is stored.
struct Stored {
    event_id: i64,
    at: OffsetDateTime,
    actor: String,
    action: String,
    subject: Uuid,
    request_id: Uuid,
    detail: serde_json::Value,
    source: Option<serde_json::Value>,
}

/// Events as the API shows them.
fn shown(stored: Vec<Stored>) -> Result<Vec<api::event::Event>> {
    let shown = stored.into_iter().map(|row| {
        let source = row.source.map(serde_json::from_value).transpose();
        Ok(api::event::Event {
            id: row.event_id,
            at: row.at,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            request_id: row.request_id,
            detail: row.detail,
            source: source.map_err(|error| Error::Internal(error.into()))?,
        })
    });
    shown.collect()
}

/// How many events are examined for one page.
const LOOKED_THROUGH: i64 = 50_000;

/// A page of events, the newest first, from before `before`, and where the next one begins. There is no index on actions
/// and actors, since it would slow down every change: a page that finds too few of them among the next events ends early.
pub async fn list(
    db: &mut Connection,
    filter: &EventFilter,
    before: Option<i64>,
    limit: u16,
) -> Result<(Vec<api::event::Event>, Option<i64>)> {
    // The last event that is examined. Those of a subject are found by index, and without a filter each one matches.
    let is_filtered = filter.action.is_some()
        || filter.actor.is_some()
        || filter.after.is_some()
        || filter.before.is_some();
    let last = if is_filtered && filter.subject.is_none() {
        query!(
            "select event_id, at from event where event_id < $1 order by event_id desc offset $2 limit 1",
            before.unwrap_or(i64::MAX),
            LOOKED_THROUGH - 1
        )
        .fetch_optional(&mut *db)
        .await?
    } else {
        None
    };
    let events = query_as!(
        Stored,
        "select event_id, at, actor, action, subject, request_id, detail, source from event
        where event_id < $1 and event_id >= $2 and ($3::uuid is null or subject = $3)
            and ($4::text is null or action = $4) and ($5::text is null or actor = $5)
            and ($6::timestamptz is null or at > $6) and ($7::timestamptz is null or at < $7)
        order by event_id desc limit $8",
        before.unwrap_or(i64::MAX),
        last.as_ref().map_or(0, |last| last.event_id),
        filter.subject,
        filter.action,
        filter.actor,
        filter.after,
        filter.before,
        i64::from(limit)
    )
    .fetch_all(db)
    .await?;
    let events = shown(events)?;
    let next = match events.last() {
        Some(event) if events.len() == usize::from(limit) => Some(event.id),
        // An event gets its number and its time at nearly the same moment, so a little further down there is none that is
        // recent enough.
        _ => last
            .filter(|last| {
                filter
                    .after
                    .is_none_or(|after| last.at > after - time::Duration::MINUTE)
            })
            .map(|last| last.event_id),
    };
    Ok((events, next))
}

/// What happened after one event up to another, oldest first, and the event up to which that is all. The second one must be
/// one before which none can appear any more. With `actions`, only what matches one of these, for `like`.
pub async fn after(
    db: &mut Connection,
    params: &FeedParams,
    actions: Option<&[String]>,
    after: i64,
    up_to: i64,
    limit: u16,
) -> Result<(Vec<api::event::Event>, i64)> {
    let up_to = up_to.min(after.saturating_add(LOOKED_THROUGH));
    let events = query_as!(
        Stored,
        "select event_id, at, actor, action, subject, request_id, detail, source from event
        where event_id > $1 and event_id <= $2 and ($3::uuid is null or subject = $3)
            and ($4::text is null or action = $4) and ($5::text is null or actor = $5)
            and ($7::text[] is null or action like any ($7))
        order by event_id limit $6",
        after,
        up_to,
        params.subject,
        params.action,
        params.actor,
        i64::from(limit),
        actions
    )
    .fetch_all(db)
    .await?;
    let next = match events.last() {
        Some(last) if events.len() == usize::from(limit) => last.event_id,
        _ => up_to,
    };
    Ok((shown(events)?, next))
}
