//! What an import writes of VPCs, reservations and allocations, with their blocks and events: many rows a statement, each
//! column a vector. Every vector of a struct has the same length.

use serde_json::Value;
use sqlx::{query, types::ipnet::IpNet};
use time::OffsetDateTime;
use uuid::Uuid;

use super::owners::Owners;
use crate::{
    db::{Connection, event::Caller},
    error::Result,
    network::RangeId,
};

/// New VPCs.
#[derive(Debug, Default)]
pub struct Vpcs {
    pub id: Vec<Uuid>,
    pub vrf: Vec<Uuid>,
    pub name: Vec<String>,
    pub description: Vec<String>,
    pub labels: Vec<Value>,
    pub created_at: Vec<Option<OffsetDateTime>>,
    pub implicit: Vec<bool>,
    pub owners: Owners,
}

/// Inserts VPCs.
pub async fn vpcs(db: &mut Connection, rows: &Vpcs) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into vpc (vpc_id, vrf_id, name, description, labels, created_at, implicit, created_by, owner, claim,
            confirmed_at)
        select id, vrf, name, description, labels, coalesce(created_at, now()), implicit, created_by, owner, claim,
            case when confirmed then now() end
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[], $6::timestamptz[], $7::boolean[],
            $8::text[], $9::text[], $10::uuid[], $11::boolean[])
            as new (id, vrf, name, description, labels, created_at, implicit, created_by, owner, claim, confirmed)",
        &rows.id,
        &rows.vrf,
        &rows.name,
        &rows.description,
        &rows.labels,
        &rows.created_at as &[Option<OffsetDateTime>],
        &rows.implicit,
        &rows.owners.created_by as &[Option<String>],
        &rows.owners.owner as &[Option<String>],
        &rows.owners.claim,
        &rows.owners.confirmed,
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
    pub created_at: Vec<Option<OffsetDateTime>>,
    pub owners: Owners,
}

/// Inserts reservations; their blocks come with [`blocks`].
pub async fn reservations(db: &mut Connection, rows: &Reservations) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into reservation (reservation_id, vrf_id, cidr, reason, labels, created_at, created_by, owner, claim,
            confirmed_at)
        select id, vrf, cidr, reason, labels, coalesce(created_at, now()), created_by, owner, claim,
            case when confirmed then now() end
        from unnest($1::uuid[], $2::uuid[], $3::cidr[], $4::text[], $5::jsonb[], $6::timestamptz[], $7::text[],
            $8::text[], $9::uuid[], $10::boolean[])
            as new (id, vrf, cidr, reason, labels, created_at, created_by, owner, claim, confirmed)",
        &rows.id,
        &rows.vrf,
        &rows.cidr,
        &rows.reason,
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
    pub created_at: Vec<Option<OffsetDateTime>>,
    pub owners: Owners,
}

/// Inserts allocations; their blocks come with [`blocks`].
pub async fn allocations(db: &mut Connection, rows: &Allocations, request_id: Uuid) -> Result<()> {
    if rows.id.is_empty() {
        return Ok(());
    }
    query!(
        "insert into allocation (allocation_id, number, vpc_id, name, profile_id, prefix_length, members, requested_hosts,
            requested_prefix_length, requested_cidr, request, labels, description, deletion_protection, created_by,
            owner, request_id, claim, confirmed_at, created_at)
        overriding system value
        select id, coalesce(number, nextval('allocation_number_seq')), vpc, name, profile, prefix_length, members, hosts,
            length, cidr, request, labels, description, protection, created_by, owner, $1, claim,
            case when confirmed then now() end, coalesce(created_at, now())
        from unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::text[], $6::uuid[], $7::smallint[], $8::smallint[],
            $9::bigint[], $10::smallint[], $11::cidr[], $12::jsonb[], $13::jsonb[], $14::text[], $15::boolean[],
            $16::timestamptz[], $17::text[], $18::text[], $19::uuid[], $20::boolean[])
            as new (id, number, vpc, name, profile, prefix_length, members, hosts, length, cidr, request, labels,
                description, protection, created_at, created_by, owner, claim, confirmed)",
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
pub async fn events(db: &mut Connection, rows: &Events, caller: &Caller) -> Result<()> {
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

/// Numbers that are skipped one by one; further away is further than others get meanwhile.
const NEAR: i64 = 10_000;

/// Makes the numbers that are given from now on larger than `most`. Nobody waits for that, and it is not undone by a
/// rollback: numbers that nobody got are no loss. In a transaction of its own, in turns with other imports.
pub async fn reserve_numbers(db: &mut Connection, most: i64) -> Result<()> {
    query!("select pg_advisory_xact_lock(hashtext('ipam allocation number'))")
        .execute(&mut *db)
        .await?;
    let row = query!(
        r#"select last_value - (not is_called)::integer as "last!" from allocation_number_seq"#
    )
    .fetch_one(&mut *db)
    .await?;
    // Others may be given numbers between these two statements. Setting the sequence could then set it back, if they got
    // as far as that; taking numbers never does.
    match most.saturating_sub(row.last) {
        ..=0 => {}
        skipped @ 1..=NEAR => {
            query!(
                "select count(nextval('allocation_number_seq')) from generate_series(1, $1::bigint)",
                skipped
            )
            .fetch_one(db)
            .await?;
        }
        _ => {
            query!("select setval('allocation_number_seq', $1)", most)
                .fetch_one(db)
                .await?;
        }
    }
    Ok(())
}
