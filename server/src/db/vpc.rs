//! VPCs.

use std::collections::HashMap;

use ipam_shared::{
    api::vpc::{NewVpc, Vpc, VpcFilter, VpcPatch},
    ids::{Claim, VpcId, VrfId},
};
use sqlx::query;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{
        Connection, convert,
        event::{Event, made, recorded},
        ledger::{Ledger, ledger},
        ownership::Made,
    },
    error::Result,
};

/// A VPC as allocations need it.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its id.
    pub id: VpcId,
    /// Its name as it was first written.
    pub name: String,
    /// Its VRF.
    pub vrf: VrfId,
}

/// Makes the VPC unless it exists, locks it against deletion, and answers it.
pub async fn find_or_insert(db: &mut Connection, name: &str) -> Result<(Owner, bool)> {
    let row = query!(
        r#"insert into vpc (vrf_id, name, implicit) select vrf_id, $1, true from vrf where vrf.name = 'default'
        on conflict (lower(name collate "C")) do update set revision = vpc.revision
        returning vpc_id, name, vrf_id, (xmax = 0) as "created!""#,
        name
    )
    .fetch_one(db)
    .await?;
    Ok((
        Owner {
            id: VpcId(row.vpc_id),
            name: row.name,
            vrf: VrfId(row.vrf_id),
        },
        row.created,
    ))
}

/// The VPC of that name, in whatever case.
pub async fn find(db: &mut Connection, name: &str) -> Result<Option<Owner>> {
    let row = query!(
        "select vpc_id, name, vrf_id from vpc where lower(name collate \"C\") = lower($1 collate \"C\")",
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Owner {
        id: VpcId(row.vpc_id),
        name: row.name,
        vrf: VrfId(row.vrf_id),
    }))
}

/// Makes a VPC, unless one of that name was made meanwhile, or the VRF does not exist.
pub async fn insert(
    db: &mut Connection,
    id: VpcId,
    new: &NewVpc,
    made: &Made<'_>,
    events: &[Event<'_>],
) -> Result<bool> {
    Ok(made!(
        db,
        events,
        "insert into vpc (vpc_id, vrf_id, name, labels, description, created_by, owner, claim)
        select $7, vrf_id, $8, $9, $10, $12, $13, $14 from vrf where name = coalesce($11, 'default')
        on conflict (lower(name collate \"C\")) do nothing",
        id.0,
        new.name.as_str(),
        convert::labels_json(&new.labels)?,
        new.description,
        new.vrf.as_ref().map(|name| name.as_str()),
        made.by,
        made.owner(),
        made.claim.0
    ))
}

/// The id of a VPC by id or name, without regard to case; an id wins over a name that looks like one.
pub async fn find_id(db: &mut Connection, id: Option<VpcId>, name: &str) -> Result<Option<VpcId>> {
    let row = query!(
        "select vpc_id from vpc where vpc_id = $1 or lower(name collate \"C\") = lower($2 collate \"C\") order by (vpc_id = $1) desc limit 1",
        id.map(|id| id.0),
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| VpcId(row.vpc_id)))
}

/// Locks the VPC of that name, in whatever case, against changes; its id. Allocations in it go on.
pub async fn lock_named(db: &mut Connection, name: &str) -> Result<Option<VpcId>> {
    let row = query!(
        "select vpc_id from vpc where lower(name collate \"C\") = lower($1 collate \"C\") for no key update",
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| VpcId(row.vpc_id)))
}

/// Gives a locked VPC that was made on first use to whoever makes it: from now on it is managed.
pub async fn take_over(db: &mut Connection, id: VpcId, made: &Made<'_>) -> Result<()> {
    query!(
        "update vpc set implicit = false, created_by = $2, owner = $3, claim = $4 where vpc_id = $1",
        id.0,
        made.by,
        made.owner(),
        made.claim.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that these locked VPCs are managed, however they came to be.
pub async fn manage(db: &mut Connection, ids: &[Uuid]) -> Result<()> {
    query!(
        "update vpc set implicit = false where vpc_id = any($1) and implicit",
        ids
    )
    .execute(db)
    .await?;
    Ok(())
}

/// VPCs that pass a condition. Each has a statement of its own, so that each is planned for itself: optional conditions
/// would read the whole table.
macro_rules! vpcs {
    ($db:expr, $condition:literal, $($value:expr),+) => {
        query!(
            r#"select vpc_id, vpc.name, vrf.name as vrf, vpc.labels, vpc.description, vpc.revision, vpc.created_at,
                vpc.created_by, vpc.owner, vpc.confirmed_at is not null as "confirmed!", vpc.claim, implicit,
                (select count(*) from allocation where allocation.vpc_id = vpc.vpc_id) as "allocations!"
            from vpc join vrf using (vrf_id) where "# + $condition,
            $($value),+
        )
        .fetch_all($db)
        .await?
        .into_iter()
        .map(|row| {
            Ok(Vpc {
                id: VpcId(row.vpc_id),
                name: convert::name(row.name)?,
                vrf: row.vrf,
                labels: convert::labels(row.labels)?,
                description: row.description,
                allocations: row.allocations,
                implicit: row.implicit,
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

/// One VPC.
pub async fn get(db: &mut Connection, id: VpcId) -> Result<Option<Vpc>> {
    Ok(vpcs!(db, "vpc_id = $1", id.0)?.pop())
}

/// VPCs that a filter lets through, in the order of their ids, after `cursor`; the case of a name does not count.
pub async fn list(
    db: &mut Connection,
    filter: &VpcFilter,
    cursor: Option<VpcId>,
    limit: u16,
) -> Result<Vec<Vpc>> {
    let after = cursor.map(|id| id.0).unwrap_or_default();
    match (&filter.name, filter.owner.as_deref()) {
        (Some(name), owner) => vpcs!(
            db,
            "lower(vpc.name collate \"C\") = lower($1 collate \"C\") and vpc_id > $2 and ($3::text is null or coalesce(vpc.owner, '') = $3)
                and ($4::boolean is null or (vpc.confirmed_at is not null) = $4)",
            name,
            after,
            owner,
            filter.confirmed
        ),
        (None, None) => vpcs!(
            db,
            "vpc_id > $1 and ($2::boolean is null or (vpc.confirmed_at is not null) = $2) order by vpc_id limit $3",
            after,
            filter.confirmed,
            i64::from(limit)
        ),
        (None, Some("")) => vpcs!(
            db,
            "vpc_id > $1 and vpc.owner is null and ($2::boolean is null or (vpc.confirmed_at is not null) = $2)
            order by vpc_id limit $3",
            after,
            filter.confirmed,
            i64::from(limit)
        ),
        (None, Some(owner)) => vpcs!(
            db,
            "vpc_id > $1 and vpc.owner = $2 and ($3::boolean is null or (vpc.confirmed_at is not null) = $3)
            order by vpc_id limit $4",
            after,
            owner,
            filter.confirmed,
            i64::from(limit)
        ),
    }
}

/// How many of a VPC's allocations are protected from deletion.
pub async fn protected(db: &mut Connection, id: VpcId) -> Result<i64> {
    let row = query!(
        r#"select count(*) as "count!" from allocation where vpc_id = $1 and deletion_protection"#,
        id.0
    )
    .fetch_one(db)
    .await?;
    Ok(row.count)
}

/// Changes a VPC, which is managed from now on.
pub async fn update(
    db: &mut Connection,
    id: VpcId,
    patch: &VpcPatch,
    events: &[Event<'_>],
) -> Result<()> {
    recorded!(
        events,
        "update vpc set name = coalesce($8, name), labels = coalesce($9, labels),
            description = coalesce($10, description), revision = revision + 1, implicit = false
        where vpc_id = $7",
        id.0,
        patch.name.as_ref().map(|name| name.as_str()),
        patch
            .labels
            .as_ref()
            .map(convert::labels_json)
            .transpose()?,
        patch.description.as_deref()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a VPC with all of its allocations, whose blocks the ledger ends.
pub async fn delete(
    db: &mut Connection,
    id: VpcId,
    ledger: &Ledger,
    events: &[Event<'_>],
) -> Result<()> {
    ledger!(
        ledger,
        events,
        ", released as (delete from allocation where vpc_id = $38) delete from vpc where vpc_id = $38",
        id.0
    )
    .execute(db)
    .await?;
    Ok(())
}

/// VPCs with one of these lower-case names that were made before some time, by lower-case name.
pub async fn made_before(
    db: &mut Connection,
    names: &[String],
    at: OffsetDateTime,
) -> Result<HashMap<String, VpcId>> {
    let rows = query!(
        r#"select lower(name collate "C") as "name!", vpc_id from vpc where lower(name collate "C") = any($1) and created_at <= $2"#,
        names,
        at
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.name, VpcId(row.vpc_id)))
        .collect())
}
