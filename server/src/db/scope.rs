//! What a limited caller sees: reads that go through the views of `ipam_scoped` instead of the tables.

use ipam_shared::{api::ownership::Noun, ids::TokenId};
use sqlx::{AssertSqlSafe, query, query_scalar};
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

/// From now on the views show in this transaction what a token covers; the tables are still read as they are. Returns the last
/// event so far: what this transaction appends has greater numbers.
pub async fn begin(db: &mut Connection, token: TokenId) -> Result<i64> {
    let row = query!(
        r#"select set_config('ipam.token', $1, true) as "set!",
            coalesce((select max(event_id) from event), 0) as "last!""#,
        token.to_string()
    )
    .fetch_one(db)
    .await?;
    Ok(row.last)
}

/// Those of these things that the token of the transaction does not cover, or that do not exist.
pub async fn unseen(db: &mut Connection, things: &[(Noun, Uuid)]) -> Result<Vec<(Noun, Uuid)>> {
    without(db, "ipam_scoped.", things).await
}

/// Those of these things that are not in their tables, or in the views of that schema: a statement for each noun.
async fn without(
    db: &mut Connection,
    schema: &'static str,
    things: &[(Noun, Uuid)],
) -> Result<Vec<(Noun, Uuid)>> {
    let mut without = Vec::new();
    for noun in Noun::ALL {
        let of_noun = things.iter().filter(|(kind, _)| *kind == noun);
        let ids: Vec<_> = of_noun.map(|(_, id)| *id).collect();
        if ids.is_empty() {
            continue;
        }
        let table = noun.as_str();
        // The text is made of words of ours only.
        let statement = format!(
            "select id from unnest($1::uuid[]) as wanted (id)
            where not exists (select from {schema}{table} where {table}_id = id offset 0)"
        );
        let missing = query_scalar(AssertSqlSafe(statement)).bind(ids);
        let missing: Vec<Uuid> = missing.fetch_all(&mut *db).await?;
        without.extend(missing.into_iter().map(|id| (noun, id)));
    }
    Ok(without)
}

/// What this transaction has done since an event, as its own events say, to things that exist and that its token
/// does not cover.
pub async fn outside(db: &mut Connection, since: i64) -> Result<Vec<(Noun, Uuid)>> {
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
    let unseen = unseen(db, &things).await?;
    let gone = without(db, "", &unseen).await?;
    Ok(unseen
        .into_iter()
        .filter(|thing| !gone.contains(thing))
        .collect())
}

/// How many allocations a VPC has that the token of the transaction does not cover.
pub async fn hidden_of_vpc(db: &mut Connection, vpc: Uuid) -> Result<i64> {
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
