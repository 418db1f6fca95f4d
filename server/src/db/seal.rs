//! The seals of the audit log.

use ipam_shared::api::event::Head;
use sqlx::query;
use time::OffsetDateTime;

use crate::{db::Connection, error::Result, text::hex};

/// The highest event id handed out so far, whether committed or not. Not bound to a snapshot.
pub async fn last_id(db: &mut Connection) -> Result<i64> {
    let row =
        query!(r#"select coalesce(pg_sequence_last_value('event_event_id_seq'), 0) as "last!""#)
            .fetch_one(db)
            .await?;
    Ok(row.last)
}

/// The next transaction id, and the oldest one that may still be running.
///
/// The end of a snapshot is not the next id: it is one more than the last that has completed, and newer transactions may be
/// running. The age of an id is how many were handed out since.
pub async fn horizon(db: &mut Connection) -> Result<(i64, i64)> {
    let row = query!(
        r#"select pg_snapshot_xmax(s)::text::bigint + age(pg_snapshot_xmax(s)::xid) as "next!",
            pg_snapshot_xmin(s)::text::bigint as "oldest!"
        from pg_current_snapshot() as s"#
    )
    .fetch_one(db)
    .await?;
    Ok((row.next, row.oldest))
}

/// Whether this server is the one that seals; the lock is held until the end of the transaction.
pub async fn lock_seals(db: &mut Connection) -> Result<bool> {
    let row =
        query!(r#"select pg_try_advisory_xact_lock(hashtext('ipam event_seal')) as "locked!""#)
            .fetch_one(db)
            .await?;
    Ok(row.locked)
}

/// A link of the chain.
#[derive(Clone, Debug)]
pub struct Seal {
    /// Its place in the chain.
    pub id: i64,
    /// The last event that it covers.
    pub last_event_id: i64,
    /// How many it covers.
    pub events: i32,
    /// SHA-256 over the seal before and these events.
    pub digest: Vec<u8>,
}

impl Seal {
    /// What is handed out of it.
    pub fn head(&self) -> Head {
        Head {
            seal: self.id,
            event: self.last_event_id,
            digest: hex(&self.digest),
        }
    }
}

/// The newest seal.
pub async fn last_seal(db: &mut Connection) -> Result<Option<Seal>> {
    let row = query!("select seal_id, last_event_id, events, digest from event_seal order by seal_id desc limit 1")
        .fetch_optional(db)
        .await?;
    Ok(row.map(|row| Seal {
        id: row.seal_id,
        last_event_id: row.last_event_id,
        events: row.events,
        digest: row.digest,
    }))
}

/// When the oldest event that no seal covers was recorded.
pub async fn oldest_unsealed(db: &mut Connection) -> Result<Option<OffsetDateTime>> {
    let row = query!(
        r#"select at from event
        where event_id > coalesce((select max(last_event_id) from event_seal), 0) order by event_id limit 1"#
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| row.at))
}

/// Seals after `seal_id`, in order.
pub async fn seals_after(db: &mut Connection, seal_id: i64, limit: i64) -> Result<Vec<Seal>> {
    let rows = query!(
        "select seal_id, last_event_id, events, digest from event_seal where seal_id > $1 order by seal_id limit $2",
        seal_id,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Seal {
            id: row.seal_id,
            last_event_id: row.last_event_id,
            events: row.events,
            digest: row.digest,
        })
        .collect())
}

/// The events after one id up to another, each with the text that its seal covers.
pub async fn texts(
    db: &mut Connection,
    after: i64,
    up_to: i64,
    limit: i64,
) -> Result<Vec<(i64, String)>> {
    // jsonb has one text per value, and the epoch does not depend on the session's time zone. A source makes the array
    // longer, so one that is added, removed or moved into another field makes another text.
    let rows = query!(
        r#"select event_id, (jsonb_build_array(event_id, extract(epoch from at), actor, action, subject, request_id, detail)
            || case when source is null then '[]' else jsonb_build_array(source) end)::text as "text!"
        from event where event_id > $1 and event_id <= $2 order by event_id limit $3"#,
        after,
        up_to,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.event_id, row.text))
        .collect())
}

/// Appends a seal.
pub async fn insert_seal(
    db: &mut Connection,
    last_event_id: i64,
    events: i32,
    digest: &[u8],
) -> Result<()> {
    query!(
        "insert into event_seal (last_event_id, events, digest) values ($1, $2, $3)",
        last_event_id,
        events,
        digest
    )
    .execute(db)
    .await?;
    Ok(())
}
