//! Whether the database is where it was created, or was restored from a dump somewhere else. Checked on each new
//! connection, before anything else is done on it, and periodically by [`look`].

use std::{
    collections::HashSet,
    sync::{PoisonError, RwLock},
};

use sqlx::{Executor, Postgres, postgres::types::Oid, query};

use crate::db::Connection;

/// A database: its cluster, itself, and the table that records where it was created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// None if the role may not read it.
    pub system_identifier: Option<i64>,
    database: Oid,
    relation: Oid,
}

/// What a check found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Where the database is.
    pub here: Place,
    /// Whether it was created somewhere else.
    pub is_restored: bool,
}

/// The places that connections of this server lead to and that hold a restored database; usually none. An entry is removed
/// only by a check of that very location, since other connections may lead elsewhere.
#[derive(Debug, Default)]
pub struct Standing(RwLock<HashSet<Place>>);

impl Standing {
    /// Whether any connection leads to a restored database.
    pub fn is_restored(&self) -> bool {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !places.is_empty()
    }

    /// Records what was found, and logs changes.
    fn note(&self, found: Found) {
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if found.is_restored && places.insert(found.here) {
            tracing::error!("{}", crate::error::RESTORED);
        } else if !found.is_restored && places.remove(&found.here) {
            tracing::info!("the database was reconciled: space is handed out again");
        }
    }
}

/// Checks where the database is, and records it.
pub async fn look<'c>(
    db: impl Executor<'c, Database = Postgres>,
    standing: &Standing,
) -> sqlx::Result<()> {
    if let Some(found) = find(db).await? {
        standing.note(found);
    }
    Ok(())
}

/// Where the database is; none if its schema is too old to tell.
pub async fn find<'c>(db: impl Executor<'c, Database = Postgres>) -> sqlx::Result<Option<Found>> {
    let row = query!(
        r#"select here.system_identifier, here.database_id as "database_id!", here.relation_id as "relation_id!",
            coalesce((origin.database_id, origin.relation_id) <> (here.database_id, here.relation_id)
                or origin.system_identifier <> here.system_identifier
                or origin.written_by <> origin.written_in, false) as "is_restored!"
        from ipam_present_origin() as here left join (
            select database_id, relation_id, system_identifier, xmin::text::numeric as written_in,
                mod(written_by::text::numeric, 4294967296) as written_by
            from origin
        ) as origin on true"#
    )
    .fetch_one(db)
    .await;
    let row = match row {
        Ok(row) => row,
        // Before the schema is brought up to date, the function, the table or some of its columns may be missing.
        Err(sqlx::Error::Database(error))
            if matches!(error.code().as_deref(), Some("42883" | "42P01" | "42703")) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    Ok(Some(Found {
        here: Place {
            system_identifier: row.system_identifier,
            database: row.database_id,
            relation: row.relation_id,
        },
        is_restored: row.is_restored,
    }))
}

/// Records that the database was created here, unless a location is recorded already.
pub async fn insert(db: &mut sqlx::PgConnection) -> sqlx::Result<()> {
    query!(
        "insert into origin (system_identifier, database_id, relation_id, written_by)
        select system_identifier, database_id, relation_id, pg_current_xact_id() from ipam_present_origin()
        on conflict do nothing"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// From now on this counts as the place where the database was created.
pub async fn update(db: &mut Connection) -> sqlx::Result<()> {
    query!(
        "update origin set (system_identifier, database_id, relation_id, noted_at, written_by) =
            (select system_identifier, database_id, relation_id, clock_timestamp(), pg_current_xact_id()
            from ipam_present_origin())"
    )
    .execute(db)
    .await?;
    Ok(())
}
