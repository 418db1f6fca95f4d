//! What an import writes of VRFs, pools and profiles: many rows a statement, each column a vector. Every vector of a struct has the same length.
//! Without rows there is no statement: its triggers would tell everybody that the address plan has changed.

use ipam_shared::{
    cidr::Cidr,
    ids::{PoolId, VrfId},
};
use serde_json::Value;
use sqlx::{query, types::ipnet::IpNet};
use time::OffsetDateTime;
use uuid::Uuid;

use super::owners::Owners;
use crate::{db::Connection, error::Result, network::RangeId};

/// Removes what a fresh database holds: the VRF, the pools and the profile that the migrations made.
pub async fn clear(db: &mut Connection) -> Result<()> {
    query!("delete from profile_member")
        .execute(&mut *db)
        .await?;
    query!("delete from profile").execute(&mut *db).await?;
    query!("delete from pool_range").execute(&mut *db).await?;
    query!("delete from pool").execute(&mut *db).await?;
    query!("delete from vrf").execute(&mut *db).await?;
    Ok(())
}

/// New VRFs.
#[derive(Debug, Default)]
pub struct Vrfs {
    pub id: Vec<Uuid>,
    pub name: Vec<String>,
    pub description: Vec<String>,
    pub labels: Vec<Value>,
    pub created_at: Vec<Option<OffsetDateTime>>,
    pub owners: Owners,
}

/// Inserts VRFs.
pub async fn vrfs(db: &mut Connection, rows: &Vrfs) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into vrf (vrf_id, name, description, labels, created_at, created_by, owner, claim, confirmed_at)
        select id, name, description, labels, coalesce(created_at, now()), created_by, owner, claim,
            case when confirmed then now() end
        from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::timestamptz[], $6::text[], $7::text[],
            $8::uuid[], $9::boolean[])
            as new (id, name, description, labels, created_at, created_by, owner, claim, confirmed)",
        &rows.id,
        &rows.name,
        &rows.description,
        &rows.labels,
        &rows.created_at as &[Option<OffsetDateTime>],
        &rows.owners.created_by as &[Option<String>],
        &rows.owners.owner as &[Option<String>],
        &rows.owners.claim,
        &rows.owners.confirmed,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// New pools.
#[derive(Debug, Default)]
pub struct Pools {
    pub id: Vec<Uuid>,
    pub vrf: Vec<Uuid>,
    pub name: Vec<String>,
    pub family: Vec<i16>,
    pub shortest: Vec<i16>,
    pub longest: Vec<i16>,
    pub usual: Vec<Option<i16>>,
    pub reserved: Vec<i32>,
    pub strategy: Vec<String>,
    pub cooldown: Vec<i32>,
    pub labels: Vec<Value>,
    pub required: Vec<Value>,
    pub description: Vec<String>,
    pub parent: Vec<Option<Uuid>>,
    pub created_at: Vec<Option<OffsetDateTime>>,
    pub owners: Owners,
}

/// Inserts pools.
pub async fn pools(db: &mut Connection, rows: &Pools) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into pool (pool_id, vrf_id, name, family, min_prefix_length, max_prefix_length, default_prefix_length,
            reserved_addresses, strategy, release_cooldown_seconds, labels, required_labels, description, parent_pool_id,
            created_at, created_by, owner, claim, confirmed_at)
        select id, vrf, name, family, shortest, longest, usual, reserved, strategy, cooldown, labels, required,
            description, parent, coalesce(created_at, now()), created_by, owner, claim, case when confirmed then now() end
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::smallint[], $6::smallint[], $7::smallint[],
            $8::integer[], $9::text[], $10::integer[], $11::jsonb[], $12::jsonb[], $13::text[], $14::uuid[],
            $15::timestamptz[], $16::text[], $17::text[], $18::uuid[], $19::boolean[])
            as new (id, vrf, name, family, shortest, longest, usual, reserved, strategy, cooldown, labels, required,
                description, parent, created_at, created_by, owner, claim, confirmed)",
        &rows.id,
        &rows.vrf,
        &rows.name,
        &rows.family,
        &rows.shortest,
        &rows.longest,
        &rows.usual as &[Option<i16>],
        &rows.reserved,
        &rows.strategy,
        &rows.cooldown,
        &rows.labels,
        &rows.required,
        &rows.description,
        &rows.parent as &[Option<Uuid>],
        &rows.created_at as &[Option<OffsetDateTime>],
        &rows.owners.created_by as &[Option<String>],
        &rows.owners.owner as &[Option<String>],
        &rows.owners.claim,
        &rows.owners.confirmed,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// New ranges of one depth: parents have to be there.
#[derive(Debug, Default)]
pub struct Ranges {
    pub pool: Vec<Uuid>,
    pub cidr: Vec<IpNet>,
    pub parent: Vec<Option<RangeId>>,
}

/// Inserts ranges, and answers their keys.
pub async fn ranges(db: &mut Connection, rows: &Ranges) -> Result<Vec<(PoolId, Cidr, RangeId)>> {
    let done = query!(
        "insert into pool_range (pool_id, vrf_id, family, cidr, parent_range_id, parent_pool_id)
        select pool_id, vrf_id, family, cidr, parent, case when parent is not null then parent_pool_id end
        from unnest($1::uuid[], $2::cidr[], $3::integer[]) as new (pool_id, cidr, parent) join pool using (pool_id)
        returning pool_id, cidr, range_id",
        &rows.pool,
        &rows.cidr,
        &rows.parent as &[Option<RangeId>],
    )
    .fetch_all(db)
    .await?;
    Ok(done
        .into_iter()
        .map(|row| (PoolId(row.pool_id), Cidr::from(row.cidr), row.range_id))
        .collect())
}

/// Says that the ranges of these pools changed, and with them their VRFs.
pub async fn touch(db: &mut Connection, pools: &[PoolId], vrfs: &[VrfId]) -> Result<()> {
    if pools.is_empty() && vrfs.is_empty() {
        return Ok(());
    }
    let pools: Vec<_> = pools.iter().map(|id| id.0).collect();
    let vrfs: Vec<_> = vrfs.iter().map(|id| id.0).collect();
    query!(
        "update pool set revision = revision + 1 where pool_id = any($1)",
        &pools
    )
    .execute(&mut *db)
    .await?;
    query!(
        "update vrf set revision = revision + 1 where vrf_id = any($1)",
        &vrfs
    )
    .execute(db)
    .await?;
    Ok(())
}

/// New profiles.
#[derive(Debug, Default)]
pub struct Profiles {
    pub id: Vec<Uuid>,
    pub name: Vec<String>,
    pub description: Vec<String>,
    pub created_at: Vec<Option<OffsetDateTime>>,
    pub owners: Owners,
}

/// Inserts profiles.
pub async fn profiles(db: &mut Connection, rows: &Profiles) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into profile (profile_id, name, description, created_at, created_by, owner, claim, confirmed_at)
        select id, name, description, coalesce(created_at, now()), created_by, owner, claim,
            case when confirmed then now() end
        from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::uuid[],
            $8::boolean[])
            as new (id, name, description, created_at, created_by, owner, claim, confirmed)",
        &rows.id,
        &rows.name,
        &rows.description,
        &rows.created_at as &[Option<OffsetDateTime>],
        &rows.owners.created_by as &[Option<String>],
        &rows.owners.owner as &[Option<String>],
        &rows.owners.claim,
        &rows.owners.confirmed,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// New members of profiles.
#[derive(Debug, Default)]
pub struct Members {
    pub profile: Vec<Uuid>,
    pub position: Vec<i16>,
    pub role: Vec<String>,
    pub pool: Vec<String>,
    pub offset: Vec<i16>,
    pub shortest: Vec<i16>,
    pub longest: Vec<i16>,
    pub retired_at: Vec<Option<OffsetDateTime>>,
}

/// Inserts members, and answers their keys in the order of the rows.
pub async fn members(db: &mut Connection, rows: &Members) -> Result<Vec<i32>> {
    if rows.profile.is_empty() {
        return Ok(Vec::new());
    }
    // Keys are given in the order in which rows are inserted, which for one unnest is the order of the arrays.
    let done = query!(
        "insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length,
            max_prefix_length, retired_at)
        select * from unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::smallint[], $6::smallint[],
            $7::smallint[], $8::timestamptz[])
        returning member_id",
        &rows.profile,
        &rows.position,
        &rows.role,
        &rows.pool,
        &rows.offset,
        &rows.shortest,
        &rows.longest,
        &rows.retired_at as &[Option<OffsetDateTime>],
    )
    .fetch_all(db)
    .await?;
    let mut keys: Vec<_> = done.into_iter().map(|row| row.member_id).collect();
    keys.sort_unstable();
    Ok(keys)
}
