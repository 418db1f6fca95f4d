//! Sessions of the dashboard, of whose cookies only hashes are stored.

use std::net::IpAddr;

use ipam_shared::ids::TokenId;
use sqlx::{query, types::ipnet::IpNet};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{
        Connection,
        event::{Event, made, recorded},
    },
    error::{Error, Result},
};

/// Who signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// With a token.
    Token(TokenId),
    /// With the administrator's key, of which this is a check that changes with the key.
    Administrator(i32),
}

impl Holder {
    fn columns(self) -> (Option<Uuid>, Option<i32>) {
        match self {
            Self::Token(id) => (Some(id.0), None),
            Self::Administrator(check) => (None, Some(check)),
        }
    }

    fn of(token: Option<Uuid>, check: Option<i32>) -> Result<Self> {
        match (token, check) {
            (Some(id), _) => Ok(Self::Token(TokenId(id))),
            (None, Some(check)) => Ok(Self::Administrator(check)),
            (None, None) => Err(Error::bug("a stored session of nobody")),
        }
    }
}

/// Begins a session, and forgets those that have ended by themselves.
pub async fn insert(
    db: &mut Connection,
    id: Uuid,
    mac: &[u8],
    holder: Holder,
    from: Option<IpAddr>,
    user_agent: &str,
    events: &[Event<'_>],
) -> Result<()> {
    let (token, check) = holder.columns();
    recorded!(
        events,
        ", gone as (
            delete from session
            where created_at < now() - interval '12 h' or last_used_at < now() - interval '30 min'
        )
        insert into session (session_id, mac, token_id, key_check, last_used_from, user_agent)
        values ($7, $8, $9, $10, $11, $12)",
        id,
        mac,
        token,
        check,
        from.map(IpNet::from),
        user_agent
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A session that goes on: its id, and who signed in. It ends twelve hours after it began, or half an hour after its last use.
pub async fn find(db: &mut Connection, mac: &[u8]) -> Result<Option<(Uuid, Holder)>> {
    let row = query!(
        "select session_id, token_id, key_check from session
        where mac = $1 and created_at > now() - interval '12 h' and last_used_at > now() - interval '30 min'",
        mac
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok((row.session_id, Holder::of(row.token_id, row.key_check)?)))
        .transpose()
}

/// Notes that a session was used.
pub async fn touch(db: &mut Connection, id: Uuid, from: Option<IpAddr>) -> Result<()> {
    query!(
        "update session set last_used_at = now(), last_used_from = $2
        where session_id = $1 and last_used_at < now() - interval '55 s'",
        id,
        from.map(IpNet::from)
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A session as its owner sees it.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// When it began.
    pub created_at: OffsetDateTime,
    /// When it was last used, to the minute.
    pub last_used_at: OffsetDateTime,
    /// From which address.
    pub last_used_from: Option<String>,
    /// What the browser calls itself.
    pub user_agent: String,
}

/// The sessions of somebody that go on, the one that was used last first; at most 100.
pub async fn list(db: &mut Connection, holder: Holder) -> Result<Vec<Session>> {
    let (token, check) = holder.columns();
    let rows = query!(
        r#"select session_id, created_at, last_used_at, host(last_used_from) as last_used_from, user_agent from session
        where (token_id = $1 or key_check = $2)
            and created_at > now() - interval '12 h' and last_used_at > now() - interval '30 min'
        order by last_used_at desc, session_id limit 100"#,
        token,
        check
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Session {
            id: row.session_id,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            last_used_from: row.last_used_from,
            user_agent: row.user_agent,
        })
        .collect())
}

/// Ends one session of somebody, or all of them; the events record it if there was one.
pub async fn delete(
    db: &mut Connection,
    holder: Holder,
    id: Option<Uuid>,
    events: &[Event<'_>],
) -> Result<()> {
    let (token, check) = holder.columns();
    _ = made!(
        db,
        events,
        "delete from session where (token_id = $7 or key_check = $8) and ($9::uuid is null or session_id = $9)",
        token,
        check,
        id
    );
    Ok(())
}
