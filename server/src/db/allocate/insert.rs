//! What a batch writes, in one statement.

use ipam_shared::{
    api::allocation::NewAllocation,
    ids::{AllocationId, Claim, PoolId},
    labels::Labels,
};
use sqlx::{query, types::ipnet::IpNet};
use time::OffsetDateTime;
use uuid::Uuid;

use super::look::Existing;
use crate::{
    db::{
        Connection, commit,
        convert::{self},
        event::{self, Event},
        free,
    },
    error::Result,
    network::{Changes, RangeId},
};

/// Rows of one batch, a vector per column. Every vector of a table has the same length.
#[derive(Debug, Default)]
pub struct NewRows {
    /// VPCs used for the first time.
    pub vpc_id: Vec<Uuid>,
    pub vpc_vrf: Vec<Uuid>,
    pub vpc_name: Vec<String>,
    /// Allocations.
    pub id: Vec<Uuid>,
    pub vpc: Vec<Uuid>,
    pub name: Vec<Option<String>>,
    pub profile: Vec<Option<Uuid>>,
    pub request: Vec<Option<serde_json::Value>>,
    pub prefix_length: Vec<i16>,
    pub members: Vec<i16>,
    pub requested_hosts: Vec<Option<i64>>,
    pub requested_prefix_length: Vec<Option<i16>>,
    pub requested_cidr: Vec<Option<IpNet>>,
    pub labels: Vec<serde_json::Value>,
    pub description: Vec<String>,
    pub deletion_protection: Vec<bool>,
    pub created_by: Vec<String>,
    pub owner: Vec<Option<String>>,
    pub request_id: Vec<Uuid>,
    pub claim: Vec<Uuid>,
    /// Blocks.
    pub block_range: Vec<RangeId>,
    pub block_cidr: Vec<IpNet>,
    pub block_range_cidr: Vec<IpNet>,
    pub block_allocation: Vec<Uuid>,
    pub block_member: Vec<Option<i32>>,
    pub block_prefix_length: Vec<i16>,
    pub block_size_offset: Vec<i16>,
    pub block_min: Vec<i16>,
    pub block_max: Vec<i16>,
    /// Idempotency keys.
    pub key_actor: Vec<String>,
    pub key: Vec<String>,
    pub key_fingerprint: Vec<Vec<u8>>,
    pub key_allocation: Vec<Uuid>,
}

/// What the database gave an inserted allocation.
#[derive(Clone, Copy, Debug)]
pub struct Inserted {
    /// Its id.
    pub id: AllocationId,
    /// Its number.
    pub number: i64,
    /// When.
    pub created_at: OffsetDateTime,
}

/// The statement that inserts a batch, changes the free list, and appends the events. The arguments make sure that what was
/// read still holds: leading expressions, a condition for everything else, what is done with the blocks that left the free
/// list, and a condition for the allocations, on which nothing else depends.
macro_rules! insert {
    ($rows:ident, $changes:ident, $events:ident, [$first:literal, $hold:literal, $removed:literal, $all:literal]
        $(, $more:expr)*) => {{
        let free = free::Columns::of($changes);
        let events = event::Columns::of($events);
        query!(
            "with " + $first + r#"removed as (
                delete from free_block
                using unnest($32::integer[], $33::smallint[], $34::cidr[]) as gone (range_id, host_bits, cidr)
                where free_block.range_id = gone.range_id and free_block.host_bits = gone.host_bits
                    and free_block.cidr = gone.cidr"# + $hold + r#"
            ), "# + $removed + r#"added as (
                insert into free_block (range_id, host_bits, cidr)
                select * from unnest($35::integer[], $36::smallint[], $37::cidr[])
            ), counted as (
                update free_count set blocks = blocks + changed.change
                from unnest($38::integer[], $39::smallint[], $40::bigint[]) as changed (range_id, host_bits, change)
                where free_count.range_id = changed.range_id and free_count.host_bits = changed.host_bits
            ), new_vpc as (
                insert into vpc (vpc_id, vrf_id, name, implicit)
                select *, true from unnest($1::uuid[], $2::uuid[], $3::text[])
            ), new_block as (
                insert into block (range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset,
                    min_prefix_length, max_prefix_length)
                select * from unnest($4::integer[], $5::cidr[], $6::cidr[], $7::uuid[], $8::integer[], $9::smallint[],
                    $10::smallint[], $11::smallint[], $12::smallint[])
            ), new_key as (
                insert into idempotency_key (actor, key, fingerprint, allocation_id)
                select * from unnest($13::text[], $14::text[], $15::bytea[], $16::uuid[])
            ), new_event as (
                insert into event (action, subject, actor, request_id, detail, source)
                select * from unnest($41::text[], $42::uuid[], $43::text[], $44::uuid[], $45::jsonb[], $48::jsonb[])
                where (select pg_current_xact_id()) is not null
            )
            insert into allocation (allocation_id, vpc_id, name, profile_id, prefix_length, members, requested_hosts,
                requested_prefix_length, requested_cidr, labels, description, deletion_protection, created_by,
                request_id, claim, request, owner)
            select * from unnest($17::uuid[], $18::uuid[], $19::text[], $20::uuid[], $21::smallint[], $22::smallint[],
                $23::bigint[], $24::smallint[], $25::cidr[], $26::jsonb[], $27::text[], $28::boolean[], $29::text[],
                $30::uuid[], $31::uuid[], $46::jsonb[], $47::text[])"# + $all + r#"
            returning allocation_id, number, created_at"#,
            &$rows.vpc_id,
            &$rows.vpc_vrf,
            &$rows.vpc_name,
            &$rows.block_range,
            &$rows.block_cidr,
            &$rows.block_range_cidr,
            &$rows.block_allocation,
            &$rows.block_member as &[Option<i32>],
            &$rows.block_prefix_length,
            &$rows.block_size_offset,
            &$rows.block_min,
            &$rows.block_max,
            &$rows.key_actor,
            &$rows.key,
            &$rows.key_fingerprint,
            &$rows.key_allocation,
            &$rows.id,
            &$rows.vpc,
            &$rows.name as &[Option<String>],
            &$rows.profile as &[Option<Uuid>],
            &$rows.prefix_length,
            &$rows.members,
            &$rows.requested_hosts as &[Option<i64>],
            &$rows.requested_prefix_length as &[Option<i16>],
            &$rows.requested_cidr as &[Option<IpNet>],
            &$rows.labels,
            &$rows.description,
            &$rows.deletion_protection,
            &$rows.created_by,
            &$rows.request_id,
            &$rows.claim,
            &free.removed.0,
            &free.removed.1,
            &free.removed.2,
            &free.added.0,
            &free.added.1,
            &free.added.2,
            &free.counts.0,
            &free.counts.1,
            &free.counts.2,
            &events.actions,
            &events.subjects,
            &events.actors,
            &events.requests,
            &events.details,
            &$rows.request as &[Option<serde_json::Value>],
            &$rows.owner as &[Option<String>],
            &events.sources as &[Option<serde_json::Value>],
            $($more),*
        )
        .map(|row| Inserted {
            id: AllocationId(row.allocation_id),
            number: row.number,
            created_at: row.created_at,
        })
    }};
}

/// Inserts a batch for which the pools are locked.
pub async fn insert(
    db: &mut Connection,
    rows: &NewRows,
    changes: &Changes,
    events: &[Event<'_>],
) -> Result<Vec<Inserted>, sqlx::Error> {
    insert!(rows, changes, events, ["", "", "", ""])
        .fetch_all(db)
        .await
}

/// Inserts what was decided without a lock, as a transaction of its own. It first locks the pools in the order of their
/// ids, and does nothing if one of them no longer has the revision that was read, or if a block to be removed from the free
/// list is gone: that is a lost race (40001).
///
/// The database's answer is read to its end, which comes after the commit.
pub async fn insert_unlocked(
    db: &mut Connection,
    pools: &[(PoolId, i64)],
    rows: &NewRows,
    changes: &Changes,
    events: &[Event<'_>],
) -> Result<Vec<Inserted>, sqlx::Error> {
    let (pools, revisions): (Vec<_>, Vec<_>) = pools.iter().map(|(id, at)| (id.0, *at)).unzip();
    let written = insert!(
        rows,
        changes,
        events,
        [
            // A row that changed while we waited for its lock is joined again.
            "pools as materialized (
                select case when count(*) = cardinality($49::uuid[]) then true else ipam_lost_race() end as hold
                from (
                    select from pool
                        join unnest($49::uuid[], $50::bigint[]) as read (pool_id, revision) using (pool_id, revision)
                    order by pool_id for no key update of pool
                ) as locked
            ), ",
            " and (select hold from pools) returning 1",
            "free as materialized (
                select case when count(*) = cardinality($34) then true else ipam_lost_race() end as holds from removed
            ), ",
            " where (select hold from pools) and (select holds from free)"
        ],
        &pools,
        &revisions
    )
    .fetch_all(db);
    commit::heeding(written).await
}

/// What an adoption replaces.
#[derive(Debug)]
pub struct Replaced {
    /// Its labels before.
    pub labels: Labels,
    /// Its description before.
    pub description: String,
    /// Whether it was protected before.
    pub deletion_protection: bool,
}

/// Gives an allocation to whoever asked for the same again: a new claim, and the attributes of that request; answers what
/// these were. Not if it was confirmed or changed since it was read.
pub async fn adopt(
    db: &mut Connection,
    existing: &Existing,
    claim: Claim,
    new: &NewAllocation,
) -> Result<Option<Replaced>> {
    // The revision says that what is read is what is replaced.
    let done = query!(
        "update allocation as new set claim = $3, labels = $4, description = $5, deletion_protection = $6,
            revision = new.revision + (new.labels <> $4 or new.description <> $5 or new.deletion_protection <> $6)::integer,
            updated_at = case when new.labels <> $4 or new.description <> $5 or new.deletion_protection <> $6 then now()
                else new.updated_at end
        from allocation as old
        where new.allocation_id = $1 and new.revision = $2 and new.confirmed_at is null
            and old.allocation_id = new.allocation_id and old.revision = $2
        returning old.labels, old.description, old.deletion_protection",
        existing.id.0,
        existing.revision,
        claim.0,
        convert::labels_json(&new.labels)?,
        new.description,
        new.deletion_protection
    )
    .fetch_optional(db)
    .await?;
    done.map(|old| {
        Ok(Replaced {
            labels: convert::labels(old.labels)?,
            description: old.description,
            deletion_protection: old.deletion_protection,
        })
    })
    .transpose()
}
