//! VRFs.

use ipam_shared::{
    api::vrf::{NewVrf, Vrf, VrfFilter, VrfPatch},
    ids::{Claim, VrfId},
};
use sqlx::query;
use uuid::Uuid;

use crate::{
    db::{
        Connection, convert,
        event::{Event, made, recorded},
        ownership::Made,
    },
    error::Result,
};

/// Locks the VRF of that name against every other change of its contents; returns its id.
pub async fn lock_named(db: &mut Connection, name: &str) -> Result<Option<VrfId>> {
    let row = query!(
        "select vrf_id from vrf where name = $1 for no key update",
        name
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| VrfId(row.vrf_id)))
}

/// Makes a VRF, unless one of that name was made meanwhile.
pub async fn insert(
    db: &mut Connection,
    id: VrfId,
    new: &NewVrf,
    made: &Made<'_>,
    events: &[Event<'_>],
) -> Result<bool> {
    Ok(made!(
        db,
        events,
        "insert into vrf (vrf_id, name, labels, description, created_by, owner, claim) values ($7, $8, $9, $10, $11, $12, $13)
        on conflict (name) do nothing",
        id.0,
        new.name.as_str(),
        convert::labels_json(&new.labels)?,
        new.description,
        made.by,
        made.owner(),
        made.claim.0
    ))
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
pub async fn update(
    db: &mut Connection,
    id: VrfId,
    patch: &VrfPatch,
    events: &[Event<'_>],
) -> Result<()> {
    recorded!(
        events,
        "update vrf set name = coalesce($8, name), labels = coalesce($9, labels),
            description = coalesce($10, description), revision = revision + 1
        where vrf_id = $7",
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

/// Deletes a VRF in which nothing is but these VPCs, which go with it.
pub async fn delete(
    db: &mut Connection,
    id: VrfId,
    vpcs: &[Uuid],
    events: &[Event<'_>],
) -> Result<()> {
    recorded!(
        events,
        ", gone as (delete from vpc where vpc_id = any($8)) delete from vrf where vrf_id = $7",
        id.0,
        vpcs
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What is in a VRF.
#[derive(Clone, Debug, Default)]
pub struct Users {
    /// What prevents its deletion: the first ten, by kind and name.
    pub titles: Vec<String>,
    /// How many of those there are.
    pub count: i64,
    /// VPCs that go with it, by id and name, if there is nothing else: those that were made on first use, hold nothing and
    /// were never managed by anybody.
    pub implicit_vpcs: Vec<(Uuid, String)>,
}

/// What is in a VRF.
pub async fn users(db: &mut Connection, id: VrfId) -> Result<Users> {
    let rows = query!(
        r#"with vpcs as (
            select vpc_id, name, implicit and not exists (select from allocation where allocation.vpc_id = vpc.vpc_id) as goes
            from vpc where vrf_id = $1
        ), stays as (
            select title, count(*) over () as count
            from (
                select 1 as kind, format('pool "%s"', name) as title from pool where vrf_id = $1
                union all select 2, format('VPC "%s"', name) from vpcs where not goes
                union all select 3, format('reservation %s', cidr) from reservation where vrf_id = $1
            ) as what order by kind, title limit 10
        )
        select title as "title?", count as "count?", null::uuid as "vpc_id?", null::text as "name?" from stays
        union all
        select null, null, vpc_id, name from vpcs where goes and not exists (select from stays)"#,
        id.0
    )
    .fetch_all(db)
    .await?;
    let mut users = Users::default();
    for row in rows {
        users.count = row.count.unwrap_or(users.count);
        users.titles.extend(row.title);
        users.implicit_vpcs.extend(row.vpc_id.zip(row.name));
    }
    Ok(users)
}
