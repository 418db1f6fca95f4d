//! What an import writes: many rows a statement, each column a vector. Every vector of a struct has the same length.
//! Without rows there is no statement: its triggers would tell everybody that the address plan has changed.

use ipam_shared::{
    cidr::Cidr,
    ids::{PoolId, VrfId},
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, query, types::ipnet::IpNet};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::Connection,
    domain::plan::RangeId,
    error::{Error, Result},
};

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
}

/// Inserts VRFs.
pub async fn vrfs(db: &mut Connection, rows: &Vrfs) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into vrf (vrf_id, name, description, labels, created_at)
        select id, name, description, labels, coalesce(created_at, now())
        from unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::timestamptz[])
            as new (id, name, description, labels, created_at)",
        &rows.id,
        &rows.name,
        &rows.description,
        &rows.labels,
        &rows.created_at as &[Option<OffsetDateTime>],
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
}

/// Inserts pools.
pub async fn pools(db: &mut Connection, rows: &Pools) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into pool (pool_id, vrf_id, name, family, min_prefix_length, max_prefix_length, default_prefix_length,
            reserved_addresses, strategy, release_cooldown_seconds, labels, required_labels, description, parent_pool_id,
            created_at)
        select id, vrf, name, family, shortest, longest, usual, reserved, strategy, cooldown, labels, required,
            description, parent, coalesce(created_at, now())
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::smallint[], $5::smallint[], $6::smallint[], $7::smallint[],
            $8::integer[], $9::text[], $10::integer[], $11::jsonb[], $12::jsonb[], $13::text[], $14::uuid[],
            $15::timestamptz[])
            as new (id, vrf, name, family, shortest, longest, usual, reserved, strategy, cooldown, labels, required,
                description, parent, created_at)",
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
}

/// Inserts profiles.
pub async fn profiles(db: &mut Connection, rows: &Profiles) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into profile (profile_id, name, description, created_at)
        select id, name, description, coalesce(created_at, now())
        from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[]) as new (id, name, description, created_at)",
        &rows.id,
        &rows.name,
        &rows.description,
        &rows.created_at as &[Option<OffsetDateTime>],
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

/// New VPCs.
#[derive(Debug, Default)]
pub struct Vpcs {
    pub id: Vec<Uuid>,
    pub vrf: Vec<Uuid>,
    pub name: Vec<String>,
    pub description: Vec<String>,
    pub labels: Vec<Value>,
    pub created_at: Vec<Option<OffsetDateTime>>,
}

/// Inserts VPCs.
pub async fn vpcs(db: &mut Connection, rows: &Vpcs) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into vpc (vpc_id, vrf_id, name, description, labels, created_at)
        select id, vrf, name, description, labels, coalesce(created_at, now())
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[])
            as new (id, vrf, name, description, labels, created_at)",
        &rows.id,
        &rows.vrf,
        &rows.name,
        &rows.description,
        &rows.labels,
        &rows.created_at as &[Option<OffsetDateTime>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// New reservations.
#[derive(Debug, Default)]
pub struct Reservations {
    pub id: Vec<Uuid>,
    pub vrf: Vec<Uuid>,
    pub cidr: Vec<IpNet>,
    pub reason: Vec<String>,
    pub labels: Vec<Value>,
    pub created_by: Vec<String>,
    pub created_at: Vec<Option<OffsetDateTime>>,
}

/// Inserts reservations; their blocks come with [`blocks`].
pub async fn reservations(db: &mut Connection, rows: &Reservations) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into reservation (reservation_id, vrf_id, cidr, reason, labels, created_by, created_at)
        select id, vrf, cidr, reason, labels, created_by, coalesce(created_at, now())
        from unnest($1::uuid[], $2::uuid[], $3::cidr[], $4::text[], $5::jsonb[], $6::text[], $7::timestamptz[])
            as new (id, vrf, cidr, reason, labels, created_by, created_at)",
        &rows.id,
        &rows.vrf,
        &rows.cidr,
        &rows.reason,
        &rows.labels,
        &rows.created_by,
        &rows.created_at as &[Option<OffsetDateTime>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// New allocations.
#[derive(Debug, Default)]
pub struct Allocations {
    pub id: Vec<Uuid>,
    pub number: Vec<Option<i64>>,
    pub vpc: Vec<Uuid>,
    pub name: Vec<Option<String>>,
    pub profile: Vec<Option<Uuid>>,
    pub prefix_length: Vec<i16>,
    pub members: Vec<i16>,
    pub requested_hosts: Vec<Option<i64>>,
    pub requested_prefix_length: Vec<Option<i16>>,
    pub requested_cidr: Vec<Option<IpNet>>,
    pub request: Vec<Option<Value>>,
    pub labels: Vec<Value>,
    pub description: Vec<String>,
    pub deletion_protection: Vec<bool>,
    pub created_by: Vec<String>,
    pub created_at: Vec<Option<OffsetDateTime>>,
    pub claim: Vec<Uuid>,
    pub confirmed: Vec<bool>,
}

/// Inserts allocations; their blocks come with [`blocks`].
pub async fn allocations(db: &mut Connection, rows: &Allocations, request_id: Uuid) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into allocation (allocation_id, number, vpc_id, name, profile_id, prefix_length, members, requested_hosts,
            requested_prefix_length, requested_cidr, request, labels, description, deletion_protection, created_by,
            request_id, claim, confirmed_at, created_at)
        overriding system value
        select id, coalesce(number, nextval('allocation_number_seq')), vpc, name, profile, prefix_length, members, hosts,
            length, cidr, request, labels, description, protection, created_by, $1, claim,
            case when confirmed then now() end, coalesce(created_at, now())
        from unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::uuid[], $7::smallint[], $8::smallint[],
            $9::bigint[], $10::smallint[], $11::cidr[], $12::jsonb[], $13::jsonb[], $14::text[], $15::boolean[],
            $16::text[], $17::timestamptz[], $18::uuid[], $19::boolean[])
            as new (id, number, vpc, name, profile, prefix_length, members, hosts, length, cidr, request, labels,
                description, protection, created_by, created_at, claim, confirmed)",
        request_id,
        &rows.id,
        &rows.number as &[Option<i64>],
        &rows.vpc,
        &rows.name as &[Option<String>],
        &rows.profile as &[Option<Uuid>],
        &rows.prefix_length,
        &rows.members,
        &rows.requested_hosts as &[Option<i64>],
        &rows.requested_prefix_length as &[Option<i16>],
        &rows.requested_cidr as &[Option<IpNet>],
        &rows.request as &[Option<Value>],
        &rows.labels,
        &rows.description,
        &rows.deletion_protection,
        &rows.created_by,
        &rows.created_at as &[Option<OffsetDateTime>],
        &rows.claim,
        &rows.confirmed,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// New blocks, of allocations, reservations, or child ranges.
#[derive(Debug, Default)]
pub struct Blocks {
    pub range: Vec<RangeId>,
    pub cidr: Vec<IpNet>,
    pub range_cidr: Vec<IpNet>,
    pub allocation: Vec<Option<Uuid>>,
    pub member: Vec<Option<i32>>,
    pub prefix_length: Vec<Option<i16>>,
    pub offset: Vec<Option<i16>>,
    pub shortest: Vec<Option<i16>>,
    pub longest: Vec<Option<i16>>,
    pub reservation: Vec<Option<Uuid>>,
    pub reason: Vec<Option<String>>,
    pub since: Vec<Option<OffsetDateTime>>,
}

/// Inserts blocks.
pub async fn blocks(db: &mut Connection, rows: &Blocks) -> Result<()> {
    if rows.range.is_empty() {
        return Ok(());
    }
    query!(
        "insert into block (range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset,
            min_prefix_length, max_prefix_length, reservation_id, reason, since)
        select range, cidr, range_cidr, allocation, member, prefix_length, size_offset, shortest, longest, reservation,
            reason, coalesce(since, now())
        from unnest($1::integer[], $2::cidr[], $3::cidr[], $4::uuid[], $5::integer[], $6::smallint[], $7::smallint[],
            $8::smallint[], $9::smallint[], $10::uuid[], $11::text[], $12::timestamptz[])
            as new (range, cidr, range_cidr, allocation, member, prefix_length, size_offset, shortest, longest,
                reservation, reason, since)",
        &rows.range,
        &rows.cidr,
        &rows.range_cidr,
        &rows.allocation as &[Option<Uuid>],
        &rows.member as &[Option<i32>],
        &rows.prefix_length as &[Option<i16>],
        &rows.offset as &[Option<i16>],
        &rows.shortest as &[Option<i16>],
        &rows.longest as &[Option<i16>],
        &rows.reservation as &[Option<Uuid>],
        &rows.reason as &[Option<String>],
        &rows.since as &[Option<OffsetDateTime>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// New events of one request.
#[derive(Debug, Default)]
pub struct Events {
    pub action: Vec<String>,
    pub subject: Vec<Uuid>,
    pub detail: Vec<Value>,
}

/// Appends events; the order is kept.
pub async fn events(
    db: &mut Connection,
    rows: &Events,
    caller: &crate::db::event::Caller,
) -> Result<()> {
    if rows.action.is_empty() {
        return Ok(());
    }
    query!(
        "insert into event (action, subject, actor, request_id, detail)
        select action, subject, $1, $2, detail
        from unnest($3::text[], $4::uuid[], $5::jsonb[]) as new (action, subject, detail)",
        caller.actor,
        caller.request_id,
        &rows.action,
        &rows.subject,
        &rows.detail,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Makes the numbers that are given from now on larger than `most`. Until the commit nobody else is given one, so that
/// none is given twice. It is the last thing that an import locks: who waits for it may have locked anything else.
pub async fn reserve_numbers(db: &mut Connection, most: i64) -> Result<()> {
    // A statement that takes the lock and changes nothing, so that what is read next stays true.
    query!("alter sequence allocation_number_seq increment by 1")
        .execute(&mut *db)
        .await?;
    let row = query!("select last_value from allocation_number_seq")
        .fetch_one(&mut *db)
        .await?;
    if row.last_value > most {
        return Ok(());
    }
    let next = most
        .checked_add(1)
        .ok_or_else(|| Error::Invalid("the numbers of allocations are used up".to_owned()))?;
    // A number, so nothing can be smuggled in.
    query(AssertSqlSafe(format!(
        "alter sequence allocation_number_seq restart with {next}"
    )))
    .execute(db)
    .await?;
    Ok(())
}
