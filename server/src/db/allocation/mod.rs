//! Allocations and their blocks: found, read, changed, deleted. They are made in `allocate`.

mod find;
mod load;

use ipam_shared::{
    ids::{AllocationId, PoolId, VpcId},
    labels::Labels,
};
use sqlx::{query, types::Json};
use time::OffsetDateTime;

use crate::{
    db::{
        Connection,
        event::Event,
        ledger::{Ledger, ledger},
    },
    error::Result,
};

pub(super) use self::find::{conditions, density};
pub use self::{
    find::find,
    load::{Held, WithSpace, get, load, with_space},
};

/// Locks an allocation against changes, once its VPC is locked.
pub async fn lock(db: &mut Connection, id: AllocationId) -> Result<()> {
    query!(
        "select from allocation where allocation_id = $1 for no key update",
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What changes; none leaves as it is.
#[derive(Debug, Default)]
pub struct Update<'a> {
    pub vpc: Option<VpcId>,
    pub name: Option<&'a str>,
    /// The size as it is asked for now: all three are written, so that one of them is set.
    pub requested: Option<(Option<i64>, Option<i16>)>,
    /// The size that it has now, and its blocks from the ledger with it.
    pub prefix_length: Option<u8>,
    pub labels: Option<&'a Labels>,
    pub description: Option<&'a str>,
    pub deletion_protection: Option<bool>,
}

/// Changes a locked allocation, and its blocks as the ledger says; when.
pub async fn update(
    db: &mut Connection,
    id: AllocationId,
    update: &Update<'_>,
    ledger: &Ledger,
    events: &[Event<'_>],
) -> Result<OffsetDateTime, sqlx::Error> {
    let (hosts, prefix_length) = update.requested.unwrap_or_default();
    let row = ledger!(
        ledger,
        events,
        " update allocation set vpc_id = coalesce($39, vpc_id), name = coalesce($40, name), labels = coalesce($41, labels),
            description = coalesce($42, description), deletion_protection = coalesce($43, deletion_protection),
            requested_hosts = case when $44 then $45 else requested_hosts end,
            requested_prefix_length = case when $44 then $46 else requested_prefix_length end,
            requested_cidr = case when $44 then null else requested_cidr end,
            prefix_length = coalesce($47, prefix_length),
            revision = revision + 1, updated_at = now()
        where allocation_id = $38
        returning updated_at",
        id.0,
        update.vpc.map(|id| id.0),
        update.name,
        update.labels.map(Json) as _,
        update.description,
        update.deletion_protection,
        update.requested.is_some(),
        hosts,
        prefix_length,
        update.prefix_length.map(i16::from)
    )
    .fetch_one(db)
    .await?;
    Ok(row.updated_at)
}

/// Whether a VPC has an allocation of that name other than this one, or of this one's name if none is given.
pub async fn is_name_taken(
    db: &mut Connection,
    id: AllocationId,
    vpc: VpcId,
    name: Option<&str>,
) -> Result<bool> {
    let row = query!(
        r#"select exists (
            select from allocation where vpc_id = $2 and allocation_id <> $1
                and name = coalesce($3, (select name from allocation where allocation_id = $1))
        ) as "is_taken!""#,
        id.0,
        vpc.0,
        name
    )
    .fetch_one(db)
    .await?;
    Ok(row.is_taken)
}

/// The pools that the blocks of a VPC lie in.
pub async fn pools_of_vpc(db: &mut Connection, id: VpcId) -> Result<Vec<PoolId>> {
    let rows = query!(
        "select distinct pool_id from allocation join block using (allocation_id) join pool_range using (range_id)
        where vpc_id = $1 order by 1",
        id.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| PoolId(row.pool_id)).collect())
}

/// Deletes locked allocations, whose blocks the ledger ends.
pub async fn delete(
    db: &mut Connection,
    ids: &[AllocationId],
    ledger: &Ledger,
    events: &[Event<'_>],
) -> Result<()> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    ledger!(
        ledger,
        events,
        " delete from allocation where allocation_id = any($38)",
        &ids
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ids of the allocations of a VPC.
pub async fn ids_of_vpc(db: &mut Connection, vpc: VpcId) -> Result<Vec<AllocationId>> {
    let rows = query!(
        "select allocation_id from allocation where vpc_id = $1 order by 1",
        vpc.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| AllocationId(row.allocation_id))
        .collect())
}

/// The id behind a number of the original API.
pub async fn id_of_number(db: &mut Connection, number: i64) -> Result<Option<AllocationId>> {
    let row = query!(
        "select allocation_id from allocation where number = $1",
        number
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| AllocationId(row.allocation_id)))
}
