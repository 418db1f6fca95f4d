//! The audit log.

mod list;

use std::collections::HashMap;

use ipam_shared::{
    api::{self, event::Source},
    cidr::Cidr,
    ids::AllocationId,
    labels::Labels,
};
use serde::Serialize;
use sqlx::query;
use time::OffsetDateTime;
use uuid::Uuid;

pub use self::list::{after, list};
use crate::{db::Connection, error::Result, rights::Caller};

/// What an event is about.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// Such as `allocation.create`.
    pub action: &'static str,
    /// Id of what it was applied to.
    pub subject: Uuid,
    /// Who did it.
    pub caller: &'a Caller,
    /// What a reader of the log wants to know.
    pub detail: serde_json::Value,
}

/// What the log keeps of an allocation: enough to know later who had which range.
#[derive(Debug, Serialize)]
pub struct Snapshot<'a> {
    /// The VPC's name.
    pub vpc: &'a str,
    /// The allocation's name.
    pub name: Option<&'a str>,
    /// Its blocks, in the order of the profile.
    pub cidrs: Vec<Cidr>,
    /// The VRF of each of them. Events of earlier releases do not have it.
    pub vrfs: Vec<&'a str>,
    /// Its labels, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<&'a Labels>,
    /// Free text.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub description: &'a str,
}

/// Events, a vector per column.
#[derive(Debug, Default)]
pub struct Columns {
    pub actions: Vec<String>,
    pub subjects: Vec<Uuid>,
    pub actors: Vec<String>,
    pub requests: Vec<Uuid>,
    pub details: Vec<serde_json::Value>,
    pub sources: Vec<Option<serde_json::Value>>,
}

impl Columns {
    /// The columns of some events, in their order.
    pub fn of(events: &[Event<'_>]) -> Self {
        let mut columns = Self::default();
        for event in events {
            columns.actions.push(event.action.to_owned());
            columns.subjects.push(event.subject);
            columns.actors.push(event.caller.actor.clone());
            columns.requests.push(event.caller.request_id);
            columns.details.push(event.detail.clone());
            let source = event.caller.source.as_deref();
            // Of what nothing is known, nothing is kept.
            let source = source.filter(|source| **source != Source::default());
            let source = source.and_then(|source| serde_json::to_value(source).ok());
            columns.sources.push(source);
        }
        columns
    }
}

/// Appends events; the order is kept.
///
/// Here and wherever events are appended, the condition gives the transaction its number before an event gets its id: who has
/// an id and no number yet could not be waited for (`domain/seal.rs`).
pub async fn insert(db: &mut Connection, events: &[Event<'_>]) -> Result<()> {
    let columns = Columns::of(events);
    query!(
        "insert into event (action, subject, actor, request_id, detail, source)
        select * from unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::jsonb[], $6::jsonb[])
        where (select pg_current_xact_id()) is not null",
        &columns.actions,
        &columns.subjects,
        &columns.actors,
        &columns.requests,
        &columns.details,
        &columns.sources as &[Option<serde_json::Value>]
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A statement that changes rows, and appends the events that record it. Its own parameters begin with `$7`.
macro_rules! recorded {
    ($events:expr, $statement:literal $(+ $more:literal)* $(, $value:expr)*) => {{
        let events = $crate::db::event::Columns::of($events);
        sqlx::query!(
            "with new_event as (
                insert into event (action, subject, actor, request_id, detail, source)
                select * from unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::jsonb[], $6::jsonb[])
                where (select pg_current_xact_id()) is not null
            ) " + $statement $(+ $more)*,
            &events.actions,
            &events.subjects,
            &events.actors,
            &events.requests,
            &events.details,
            &events.sources as &[Option<serde_json::Value>]
            $(, $value)*
        )
    }};
}
pub(super) use recorded;

/// A statement that makes one row, unless there is one of that name already, or removes rows, if there are any, and only then
/// appends the events that record it; returns whether it did. More can be made of `made`. Its own parameters begin with `$7`.
macro_rules! made {
    ($db:expr, $events:expr, $statement:literal $(+ $more:literal)? $(, $value:expr)*) => {{
        let events = $crate::db::event::Columns::of($events);
        sqlx::query!(
            "with made as (" + $statement + " returning 1)" $(+ $more)? + r#", new_event as (
                insert into event (action, subject, actor, request_id, detail, source)
                select new.* from unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::jsonb[], $6::jsonb[])
                    as new (action, subject, actor, request_id, detail, source)
                where exists (select from made) and (select pg_current_xact_id()) is not null
            )
            select exists (select from made) as "is_made!""#,
            &events.actions,
            &events.subjects,
            &events.actors,
            &events.requests,
            &events.details,
            &events.sources as &[Option<serde_json::Value>]
            $(, $value)*
        )
        .fetch_one($db)
        .await?
        .is_made
    }};
}
pub(super) use made;

/// Whether this very event is in the log.
pub async fn is_known(db: &mut Connection, event: &api::event::Event) -> Result<bool> {
    let row = query!(
        r#"select exists (select from event where event_id = $1 and subject = $2 and request_id = $3) as "known!""#,
        event.id,
        event.subject,
        event.request_id
    )
    .fetch_one(db)
    .await?;
    Ok(row.known)
}

/// When an allocation was released and by whom, if it was. The history of an imported plan says that it was, but not by
/// whom.
pub async fn release_of(
    db: &mut Connection,
    id: AllocationId,
) -> Result<Option<(OffsetDateTime, String)>> {
    let row = query!(
        r#"select at as "at!", actor as "actor!" from (
            select at, actor, event_id from event where subject = $1 and action = 'allocation.release'
            union all
            select max(until), 'somebody, before the plan was imported', 0 from past_block
            where allocation_id = $1 and not exists (select from allocation where allocation_id = $1)
            having max(until) is not null
        ) as released order by event_id desc limit 1"#,
        id.0
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.at, row.actor)))
}

/// When something ended by that action, and by whom, if it did.
pub async fn end_of(
    db: &mut Connection,
    id: Uuid,
    action: &str,
) -> Result<Option<(OffsetDateTime, String)>> {
    let row = query!(
        "select at, actor from event where subject = $1 and action = $2 order by event_id desc limit 1",
        id,
        action
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.at, row.actor)))
}

/// An event as people read it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When.
    pub at: OffsetDateTime,
    /// Who.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// More about it.
    pub detail: serde_json::Value,
    /// The request.
    pub request_id: Uuid,
}

/// What happened to something, the newest first.
pub async fn history(db: &mut Connection, subject: Uuid, limit: i64) -> Result<Vec<Entry>> {
    let rows = query!(
        "select at, actor, action, detail, request_id from event
        where subject = $1 order by event_id desc limit $2",
        subject,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Entry {
            at: row.at,
            actor: row.actor,
            action: row.action,
            detail: row.detail,
            request_id: row.request_id,
        })
        .collect())
}

/// What something was called at some time.
#[derive(Clone, Debug)]
pub struct Then {
    /// Whether the log knows.
    pub named: bool,
    /// Its name, if it had one.
    pub name: Option<String>,
    /// The name of its VPC, when it was made or moved there.
    pub vpc: Option<String>,
    /// Whether it went to another VPC since.
    pub moved: bool,
}

/// What allocations or VPCs, as `noun` says, were called at some time, by id.
pub async fn names_at(
    db: &mut Connection,
    noun: &str,
    subjects: &[Uuid],
    at: OffsetDateTime,
) -> Result<HashMap<Uuid, Then>> {
    let (create, update) = (format!("{noun}.create"), format!("{noun}.update"));
    let rows = query!(
        r#"select subject as "subject!", name.event_id is not null as "named!", name.detail ->> 'name' as name,
            vpc.detail ->> 'vpc' as vpc,
            exists (select from event where event.subject = wanted.subject and action = $3 and at > $4 and detail ? 'vpc')
                as "moved!"
        from unnest($1::uuid[]) as wanted (subject)
            left join lateral (
                select event_id, detail from event where event.subject = wanted.subject and detail ? 'name'
                    and (action = $2 or action = $3 and at <= $4)
                order by event_id desc limit 1
            ) as name on true
            left join lateral (
                select detail from event where event.subject = wanted.subject and detail ? 'vpc'
                    and (action = $2 or action = $3 and at <= $4)
                order by event_id desc limit 1
            ) as vpc on true"#,
        subjects,
        create,
        update,
        at
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let then = Then {
                named: row.named,
                name: row.name,
                vpc: row.vpc,
                moved: row.moved,
            };
            (row.subject, then)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Calls `look` with each file of ours.
    fn each(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                each(&path, look);
            } else {
                look(&path, &fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }

    #[test]
    fn a_transaction_has_its_number_before_its_events_have_their_ids() {
        let mut found = 0;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        each(&sources, &mut |path, text| {
            for statement in text.split(concat!("insert into ", "event (")).skip(1) {
                found += 1;
                let has_condition = (statement.lines().take(5))
                    .any(|line| line.contains("(select pg_current_xact_id()) is not null"));
                assert!(has_condition, "{}", path.display());
            }
        });
        assert!(found >= 6, "{found}");
    }
}
