//! Events as the API shows them: newest first, and as they happen.

use ipam_shared::{
    api::{
        self,
        event::{EventFilter, FeedParams},
    },
    pattern::Pattern,
};
use sqlx::{query, query_as};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{Connection, seal::last_id},
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

/// A page of events, the newest first, from before `before`, and where the next one begins. Those of a subject are found by
/// index. There is none on actions and actors, since it would slow down every change, and none on what a limited caller sees:
/// a page that finds too few of them among the next events ends early.
pub async fn list(
    db: &mut Connection,
    filter: &EventFilter,
    before: Option<i64>,
    limit: u16,
) -> Result<(Vec<api::event::Event>, Option<i64>)> {
    if let Some(subject) = filter.subject {
        return of_subject(db, subject, filter, before, limit).await;
    }
    let end = match before {
        Some(before) => before,
        None => last_id(db).await?.saturating_add(1),
    };
    let floor = end.saturating_sub(LOOKED_THROUGH).max(0);
    let events = query_as!(
        Stored,
        "select event_id, at, actor, action, subject, request_id, detail, source from event
        where event_id < $1 and event_id >= $2
            and ($3::text is null or action like $3) and ($4::text is null or actor = $4)
            and ($5::timestamptz is null or at > $5) and ($6::timestamptz is null or at < $6)
        order by event_id desc limit $7",
        end,
        floor,
        filter.action.as_ref().map(Pattern::to_like),
        filter.actor,
        filter.after,
        filter.before,
        i64::from(limit)
    )
    .fetch_all(&mut *db)
    .await?;
    let events = shown(events)?;
    let next = match events.last() {
        Some(event) if events.len() == usize::from(limit) => Some(event.id),
        _ if floor == 0 => None,
        _ => match filter.after {
            Some(after) if begins_before(db, floor, after).await? => None,
            _ => Some(floor),
        },
    };
    Ok((events, next))
}

/// The same of what is about one thing.
async fn of_subject(
    db: &mut Connection,
    subject: Uuid,
    filter: &EventFilter,
    before: Option<i64>,
    limit: u16,
) -> Result<(Vec<api::event::Event>, Option<i64>)> {
    let events = query_as!(
        Stored,
        "select event_id, at, actor, action, subject, request_id, detail, source from event
        where event_id < $1 and subject = $2
            and ($3::text is null or action like $3) and ($4::text is null or actor = $4)
            and ($5::timestamptz is null or at > $5) and ($6::timestamptz is null or at < $6)
        order by event_id desc limit $7",
        before.unwrap_or(i64::MAX),
        subject,
        filter.action.as_ref().map(Pattern::to_like),
        filter.actor,
        filter.after,
        filter.before,
        i64::from(limit)
    )
    .fetch_all(db)
    .await?;
    let events = shown(events)?;
    let last = events.last().filter(|_| events.len() == usize::from(limit));
    let next = last.map(|event| event.id);
    Ok((events, next))
}

/// Whether the events from one on begin before that moment, so that none further down is later. An event gets its number and
/// its time at nearly the same moment.
async fn begins_before(db: &mut Connection, floor: i64, moment: OffsetDateTime) -> Result<bool> {
    let row = query!(
        "select at from event where event_id >= $1 and event_id < $1 + $2 order by event_id limit 1",
        floor,
        LOOKED_THROUGH
    )
    .fetch_optional(db)
    .await?;
    Ok(row.is_some_and(|first| first.at <= moment - time::Duration::MINUTE))
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
            and ($4::text is null or action like $4) and ($5::text is null or actor = $5)
            and ($7::text[] is null or action like any ($7))
        order by event_id limit $6",
        after,
        up_to,
        params.subject,
        params.action.as_ref().map(Pattern::to_like),
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
