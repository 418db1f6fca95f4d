//! VRFs.

use ipam_shared::{
    api::vrf::{NewVrf, Vrf, VrfFilter, VrfPatch},
    ids::{Claim, VpcId, VrfId},
};
use sqlx::query;

use crate::{
    db::{Connection, convert, ownership::Made},
    error::Result,
};

/// A VRF whose row is locked.
#[derive(Clone, Debug)]
pub struct Locked {
    /// Its id.
    pub id: VrfId,
    /// Its name.
    pub name: String,
    /// Counts its changes.
    pub revision: i64,
}

/// Locks a VRF, by id or by name, against every other change of what is in it: pools, ranges, reservations. Allocations
/// and new VPCs go on meanwhile.
pub async fn lock(
    db: &mut Connection,
    id: Option<VrfId>,
    name: Option<&str>,
) -> Result<Option<Locked>> {
    let row = query!(
        "select vrf_id, name, revision from vrf where vrf_id = $1 or name = $2 for no key update",
        id.map(|id| id.0),
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Locked {
        id: VrfId(row.vrf_id),
        name: row.name,
        revision: row.revision,
    }))
}

/// Keeps new VPCs away too, so that what is counted afterwards stays true.
pub async fn lock_against_vpcs(db: &mut Connection, id: VrfId) -> Result<()> {
    query!("select from vrf where vrf_id = $1 for update", id.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Makes a VRF, unless one of that name was made meanwhile.
pub async fn insert(db: &mut Connection, id: VrfId, new: &NewVrf, made: &Made<'_>) -> Result<bool> {
    let done = query!(
        "insert into vrf (vrf_id, name, labels, description, created_by, owner, claim) values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (name) do nothing",
        id.0,
        new.name.as_str(),
        convert::labels_json(&new.labels)?,
        new.description,
        made.by,
        made.owner(),
        made.claim.0
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The id of a VRF by id or name; an id wins over a name that looks like one.
pub async fn find_id(db: &mut Connection, id: Option<VrfId>, name: &str) -> Result<Option<VrfId>> {
    let row = query!(
        "select vrf_id from vrf where vrf_id = $1 or name = $2 order by (vrf_id = $1) desc limit 1",
        id.map(|id| id.0),
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| VrfId(row.vrf_id)))
}

/// VRFs that pass a condition.
macro_rules! vrfs {
    ($db:expr, $condition:literal, $($value:expr),+) => {
        query!(
            r#"select vrf_id, name, labels, description, revision, created_at, created_by, owner,
                confirmed_at is not null as "confirmed!", claim,
                (select count(*) from pool where pool.vrf_id = vrf.vrf_id) as "pools!",
                (select count(*) from vpc where vpc.vrf_id = vrf.vrf_id) as "vpcs!",
                (select count(*) from reservation where reservation.vrf_id = vrf.vrf_id) as "reservations!"
            from vrf where "# + $condition,
            $($value),+
        )
        .fetch_all($db)
        .await?
        .into_iter()
        .map(|row| {
            Ok(Vrf {
                id: VrfId(row.vrf_id),
                name: convert::name(row.name)?,
                labels: convert::labels(row.labels)?,
                description: row.description,
                pools: row.pools,
                vpcs: row.vpcs,
                reservations: row.reservations,
                created_by: row.created_by,
                owner: convert::owner(row.owner)?,
                confirmed: row.confirmed,
                claim_digest: Some(Claim(row.claim).digest()),
                revision: row.revision,
                created_at: row.created_at,
                claim: None,
            })
        })
        .collect::<Result<Vec<_>>>()
    };
}

/// One VRF.
pub async fn get(db: &mut Connection, id: VrfId) -> Result<Option<Vrf>> {
    Ok(vrfs!(db, "vrf_id = $1", id.0)?.pop())
}

/// VRFs that a filter lets through, in the order of their ids, after `cursor`.
pub async fn list(
    db: &mut Connection,
    filter: &VrfFilter,
    cursor: Option<VrfId>,
    limit: u16,
) -> Result<Vec<Vrf>> {
    vrfs!(
        db,
        "($1::text is null or name = $1) and ($2::uuid is null or vrf_id > $2)
            and ($3::text is null or coalesce(owner, '') = $3)
            and ($4::boolean is null or (confirmed_at is not null) = $4)
        order by vrf_id limit $5",
        filter.name.as_deref(),
        cursor.map(|id| id.0),
        filter.owner.as_deref(),
        filter.confirmed,
        i64::from(limit)
    )
}

/// Changes a VRF.
pub async fn update(db: &mut Connection, id: VrfId, patch: &VrfPatch) -> Result<()> {
    query!(
        "update vrf set name = coalesce($2, name), labels = coalesce($3, labels),
            description = coalesce($4, description), revision = revision + 1
        where vrf_id = $1",
        id.0,
        patch.name.as_ref().map(|name| name.as_str()),
        patch
            .labels
            .as_ref()
            .map(convert::labels_json)
            .transpose()?,
        patch.description.as_deref(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a VRF that nothing is in.
pub async fn delete(db: &mut Connection, id: VrfId) -> Result<()> {
    query!("delete from vrf where vrf_id = $1", id.0)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes the VPCs of a VRF, which is locked against new ones, that were made on first use, hold nothing, and were never
/// managed by anybody; their ids and names. An allocation that is being made in one of them is waited for.
pub async fn delete_implicit_vpcs(db: &mut Connection, id: VrfId) -> Result<Vec<(VpcId, String)>> {
    // A statement of its own, so that the next one sees what was committed while the locks were waited for.
    query!(
        "select from vpc where vrf_id = $1 and implicit order by vpc_id for update",
        id.0
    )
    .execute(&mut *db)
    .await?;
    let rows = query!(
        "delete from vpc where vrf_id = $1 and implicit
            and not exists (select from allocation where allocation.vpc_id = vpc.vpc_id)
        returning vpc_id, name",
        id.0
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (VpcId(row.vpc_id), row.name))
        .collect())
}

/// What is in a VRF: the first ten by kind and name, and how many there are.
pub async fn users(db: &mut Connection, id: VrfId) -> Result<(Vec<String>, i64)> {
    let rows = query!(
        r#"select word as "word!", count(*) over () as "count!"
        from (
            select 1 as kind, format('pool "%s"', name) as word from pool where vrf_id = $1
            union all select 2, format('VPC "%s"', name) from vpc where vrf_id = $1
            union all select 3, format('reservation %s', cidr) from reservation where vrf_id = $1
        ) as what order by kind, word limit 10"#,
        id.0
    )
    .fetch_all(db)
    .await?;
    let count = rows.first().map_or(0, |row| row.count);
    Ok((rows.into_iter().map(|row| row.word).collect(), count))
}
