//! What a limited caller sees: reads that go through the views of `ipam_scoped` instead of the tables.

use ipam_shared::{api::ownership::Noun, ids::TokenId};
use sqlx::{AssertSqlSafe, Row as _, query, query_scalar};
use uuid::Uuid;

use crate::{db::Connection, error::Result};

/// Statements that begin a transaction, all of whose reads find only what a token covers.
///
/// PostgreSQL looks up the tables of a prepared statement again when the search path has changed, so that the same
/// statements serve limited and other callers on the same connection.
pub fn within(begin: &str, token: TokenId) -> String {
    format!(
        "{begin}; select set_config('ipam.token', '{token}', true), \
         set_config('search_path', 'ipam_scoped, ' || current_setting('search_path'), true)"
    )
}

/// Those of these things that a token does not cover, or that do not exist, in a transaction that sees all tables.
pub async fn unseen(
    db: &mut Connection,
    token: TokenId,
    things: &[(Noun, Uuid)],
) -> Result<Vec<(Noun, Uuid)>> {
    set(db, token).await?;
    let mut unseen = Vec::new();
    for (noun, id) in things {
        let table = noun.as_str();
        // The text is made of words of ours only.
        let statement =
            format!("select exists (select from ipam_scoped.{table} where {table}_id = $1)");
        let is_seen: bool = query_scalar(AssertSqlSafe(statement))
            .bind(id)
            .fetch_one(&mut *db)
            .await?;
        if !is_seen {
            unseen.push((*noun, *id));
        }
    }
    Ok(unseen)
}

/// The last event so far. What this transaction appends from now on has greater numbers.
pub async fn last_event(db: &mut Connection) -> Result<i64> {
    let row = query!(r#"select coalesce(max(event_id), 0) as "last!" from event"#)
        .fetch_one(db)
        .await?;
    Ok(row.last)
}

/// What this transaction has done since an event, as its own events say, to things that exist and that a token does not
/// cover.
pub async fn outside(db: &mut Connection, token: TokenId, since: i64) -> Result<Vec<(Noun, Uuid)>> {
    let rows = query!(
        "select distinct split_part(action, '.', 1) as noun, subject from event
        where event_id > $1 and xmin = pg_current_xact_id()::xid",
        since
    )
    .fetch_all(&mut *db)
    .await?;
    let things: Vec<_> = rows
        .into_iter()
        .filter_map(|row| {
            let word = row.noun?;
            let noun = Noun::ALL.into_iter().find(|noun| noun.as_str() == word)?;
            Some((noun, row.subject))
        })
        .collect();
    let mut outside = Vec::new();
    for (noun, id) in unseen(db, token, &things).await? {
        let table = noun.as_str();
        let statement =
            format!("select exists (select from {table} where {table}_id = $1) as there");
        let row = query(AssertSqlSafe(statement))
            .bind(id)
            .fetch_one(&mut *db)
            .await?;
        if row.try_get("there")? {
            outside.push((noun, id));
        }
    }
    Ok(outside)
}

/// How many allocations a VPC has that a token does not cover.
pub async fn hidden_of_vpc(db: &mut Connection, token: TokenId, vpc: Uuid) -> Result<i64> {
    set(db, token).await?;
    let row = query!(
        r#"select count(*) as "count!" from allocation
        where vpc_id = $1 and not exists (
            select from ipam_scoped.allocation as seen where seen.allocation_id = allocation.allocation_id
        )"#,
        vpc
    )
    .fetch_one(db)
    .await?;
    Ok(row.count)
}

/// For the rest of the transaction the views show what a token covers. The tables are still read as they are.
async fn set(db: &mut Connection, token: TokenId) -> Result<()> {
    query!(
        r#"select set_config('ipam.token', $1, true) as "set!""#,
        token.to_string()
    )
    .fetch_one(db)
    .await?;
    Ok(())
}
