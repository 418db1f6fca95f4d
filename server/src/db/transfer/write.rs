//! What an import writes: many rows a statement, in JSON. Most of them are records as a file has them, with every default
//! filled in and with an id; a statement names the columns that it takes of them.
//!
//! Without rows there is no statement: its triggers would signal that the address plan has changed.

use ipam_shared::{
    api::transfer::{At, Record},
    cidr::Cidr,
    ids::{AllocationId, PoolId, ProfileId, ReservationId, VpcId, VrfId},
};
use serde::Serialize;
use sqlx::{query, query_scalar, types::Json};

use crate::{db::Connection, error::Result, network::RangeId};

/// Rows that are written at once.
pub const CHUNK: usize = 5_000;

/// Executes an insert whose first parameter is rows in JSON.
macro_rules! insert {
    ($db:expr, $rows:expr, $sql:literal $(, $value:expr)*) => {{
        for chunk in $rows.chunks(CHUNK) {
            query!($sql, Json(chunk) as _ $(, $value)*).execute(&mut *$db).await?;
        }
        Ok(())
    }};
}

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

/// Inserts VRFs.
pub async fn vrfs(db: &mut Connection, rows: &[&Record]) -> Result<()> {
    insert!(
        db,
        rows,
        "insert into vrf (vrf_id, name, description, labels, created_at, created_by, owner, claim, confirmed_at)
        select id, vrf, coalesce(description, ''), coalesce(labels, '{}'), coalesce(created_at, now()), created_by, owner,
            coalesce(claim, gen_random_uuid()), case when confirmed then now() end
        from jsonb_to_recordset($1) as new (id uuid, vrf text, description text, labels jsonb, created_at timestamptz,
            created_by text, owner text, claim uuid, confirmed boolean)"
    )
}

/// Inserts pools with their VRFs, which are there, and their parents, which are there or come before them.
pub async fn pools(db: &mut Connection, rows: &[&Record]) -> Result<()> {
    insert!(
        db,
        rows,
        "with new as (
            select vrf_id, new.* from jsonb_to_recordset($1) as new (id uuid, vrf text, pool text, family text,
                min_prefix_length smallint, max_prefix_length smallint, default_prefix_length smallint,
                reserved_addresses integer, strategy text, release_cooldown_seconds integer, labels jsonb,
                required_labels jsonb, description text, parent text, created_at timestamptz, created_by text, owner text,
                claim uuid, confirmed boolean) join vrf on vrf.name = new.vrf
        ), parent as (
            select vrf_id, name, pool_id from pool union all select vrf_id, pool, id from new
        )
        insert into pool (pool_id, vrf_id, name, family, min_prefix_length, max_prefix_length, default_prefix_length,
            reserved_addresses, strategy, release_cooldown_seconds, labels, required_labels, description, parent_pool_id,
            created_at, created_by, owner, claim, confirmed_at)
        select id, vrf_id, pool, case family when 'ipv4' then 4 else 6 end, min_prefix_length, max_prefix_length,
            default_prefix_length, reserved_addresses, strategy, coalesce(release_cooldown_seconds, 0),
            coalesce(labels, '{}'), coalesce(required_labels, '{}'), coalesce(description, ''),
            (select pool_id from parent where parent.vrf_id = new.vrf_id and parent.name = new.parent),
            coalesce(created_at, now()), created_by, owner, coalesce(claim, gen_random_uuid()),
            case when confirmed then now() end
        from new"
    )
}

/// Keys for as many new rows of a table, in ascending order.
pub async fn keys(db: &mut Connection, table: Keyed, count: usize) -> Result<Vec<i32>> {
    let (table, column) = match table {
        Keyed::Ranges => ("pool_range", "range_id"),
        Keyed::Members => ("profile_member", "member_id"),
    };
    let keys = query_scalar!(
        r#"select nextval(pg_get_serial_sequence($1, $2))::integer as "key!" from generate_series(1, $3::bigint) order by 1"#,
        table,
        column,
        i64::try_from(count).unwrap_or(i64::MAX)
    );
    Ok(keys.fetch_all(db).await?)
}

/// A table whose rows others refer to by a key that the database gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyed {
    Ranges,
    Members,
}

/// A new range.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Range {
    pub range_id: RangeId,
    pub pool_id: PoolId,
    pub cidr: Cidr,
    pub parent_range_id: Option<RangeId>,
}

/// Inserts ranges under keys that are theirs, parents first.
pub async fn ranges(db: &mut Connection, rows: &[Range]) -> Result<()> {
    insert!(
        db,
        rows,
        "insert into pool_range (range_id, pool_id, vrf_id, family, cidr, parent_range_id, parent_pool_id)
        overriding system value
        select range_id, pool_id, vrf_id, family, cidr, parent_range_id,
            case when parent_range_id is not null then parent_pool_id end
        from jsonb_to_recordset($1) as new (range_id integer, pool_id uuid, cidr cidr, parent_range_id integer)
            join pool using (pool_id) order by range_id"
    )
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

/// Inserts profiles; their members come with [`members`].
pub async fn profiles(db: &mut Connection, rows: &[&Record]) -> Result<()> {
    insert!(
        db,
        rows,
        "insert into profile (profile_id, name, description, created_at, created_by, owner, claim, confirmed_at)
        select id, profile, coalesce(description, ''), coalesce(created_at, now()), created_by, owner,
            coalesce(claim, gen_random_uuid()), case when confirmed then now() end
        from jsonb_to_recordset($1) as new (id uuid, profile text, description text, created_at timestamptz,
            created_by text, owner text, claim uuid, confirmed boolean)"
    )
}

/// A member of a profile.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// The key of a new one is negative until it is written.
    pub id: i32,
    pub profile_id: ProfileId,
    pub position: i16,
    pub role: String,
    pub pool: String,
    pub size_offset: i16,
    pub min_prefix_length: u8,
    pub max_prefix_length: u8,
    pub retired_at: Option<At>,
}

impl Member {
    /// The rules that blocks are cut by: offset, shortest and longest prefix.
    pub fn rules(&self) -> (i16, u8, u8) {
        (
            self.size_offset,
            self.min_prefix_length,
            self.max_prefix_length,
        )
    }
}

/// Inserts members under keys that are theirs.
pub async fn members(db: &mut Connection, rows: &[Member]) -> Result<()> {
    insert!(
        db,
        rows,
        "insert into profile_member (member_id, profile_id, position, role, pool_name, size_offset, min_prefix_length,
            max_prefix_length, retired_at)
        overriding system value
        select * from jsonb_to_recordset($1) as new (id integer, profile_id uuid, position smallint, role text, pool text,
            size_offset smallint, min_prefix_length smallint, max_prefix_length smallint, retired_at timestamptz)"
    )
}

/// Inserts VPCs with their VRFs, which are there.
pub async fn vpcs(db: &mut Connection, rows: &[&Record]) -> Result<()> {
    insert!(
        db,
        rows,
        "insert into vpc (vpc_id, vrf_id, name, description, labels, created_at, implicit, created_by, owner, claim,
            confirmed_at)
        select id, vrf_id, vpc, coalesce(new.description, ''), coalesce(new.labels, '{}'), coalesce(new.created_at, now()),
            coalesce(implicit, false), new.created_by, new.owner, coalesce(new.claim, gen_random_uuid()),
            case when confirmed then now() end
        from jsonb_to_recordset($1) as new (id uuid, vrf text, vpc text, description text, labels jsonb,
            created_at timestamptz, implicit boolean, created_by text, owner text, claim uuid, confirmed boolean)
            join vrf on vrf.name = new.vrf"
    )
}

/// Inserts reservations in VRFs that are there; their blocks come with [`blocks`]. Those whose record names no creator get
/// `actor`.
pub async fn reservations(db: &mut Connection, rows: &[&Record], actor: &str) -> Result<()> {
    insert!(
        db,
        rows,
        "insert into reservation (reservation_id, vrf_id, cidr, reason, labels, created_at, created_by, owner, claim,
            confirmed_at)
        select id, vrf_id, cidr, reason, coalesce(new.labels, '{}'), coalesce(new.created_at, now()),
            coalesce(new.created_by, $2), new.owner, coalesce(new.claim, gen_random_uuid()), case when confirmed then now() end
        from jsonb_to_recordset($1) as new (id uuid, vrf text, cidr cidr, reason text, labels jsonb, created_at timestamptz,
            created_by text, owner text, claim uuid, confirmed boolean) join vrf on vrf.name = new.vrf",
        actor
    )
}

/// A new allocation: its record, and what that does not say.
#[derive(Clone, Debug, Serialize)]
pub struct Allocation<'a> {
    #[serde(flatten)]
    pub record: &'a Record,
    pub vpc_id: VpcId,
    pub profile_id: Option<ProfileId>,
    pub prefix_length: u8,
    /// How many blocks it has.
    pub members: usize,
    /// What was asked for beside the size and the profile.
    pub request: Option<&'a serde_json::Value>,
}

/// Inserts allocations; their blocks come with [`blocks`]. Those whose record names no creator get `actor`.
pub async fn allocations(
    db: &mut Connection,
    rows: &[Allocation<'_>],
    actor: &str,
    request_id: uuid::Uuid,
) -> Result<()> {
    insert!(
        db,
        rows,
        "insert into allocation (allocation_id, number, vpc_id, name, profile_id, prefix_length, members, requested_hosts,
            requested_prefix_length, requested_cidr, request, labels, description, deletion_protection, created_by,
            owner, request_id, claim, confirmed_at, created_at)
        overriding system value
        select id, coalesce(number, nextval('allocation_number_seq')), vpc_id, name, profile_id, prefix_length, members,
            requested_hosts, requested_prefix_length, requested_cidr, request, coalesce(labels, '{}'),
            coalesce(description, ''), coalesce(deletion_protection, false), coalesce(created_by, $2), owner, $3,
            coalesce(claim, gen_random_uuid()), case when confirmed then now() end, coalesce(created_at, now())
        from jsonb_to_recordset($1) as new (id uuid, number bigint, vpc_id uuid, name text, profile_id uuid,
            prefix_length smallint, members smallint, requested_hosts bigint, requested_prefix_length smallint,
            requested_cidr cidr, request jsonb, labels jsonb, description text, deletion_protection boolean,
            created_by text, owner text, claim uuid, confirmed boolean, created_at timestamptz)",
        actor,
        request_id
    )
}

/// A new block.
#[derive(Clone, Debug, Serialize)]
pub struct Block<'a> {
    pub range_id: RangeId,
    pub cidr: Cidr,
    /// Since when; none for now.
    pub since: Option<At>,
    #[serde(flatten)]
    pub owner: BlockOwner<'a>,
}

/// What has a block.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum BlockOwner<'a> {
    /// An allocation, with the rules that the block was cut by.
    Allocation {
        allocation_id: AllocationId,
        prefix_length: u8,
        member_id: Option<i32>,
        size_offset: i16,
        min_prefix_length: u8,
        max_prefix_length: u8,
    },
    /// A reservation.
    Reservation { reservation_id: ReservationId },
    /// Nobody: it is out of circulation for some other reason.
    Nobody { reason: &'a str },
}

/// Inserts blocks.
pub async fn blocks(db: &mut Connection, rows: &[Block<'_>]) -> Result<()> {
    insert!(
        db,
        rows,
        "insert into block (range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset,
            min_prefix_length, max_prefix_length, reservation_id, reason, since)
        select range_id, new.cidr, pool_range.cidr, allocation_id, member_id, prefix_length, size_offset, min_prefix_length,
            max_prefix_length, reservation_id, reason, coalesce(since, now())
        from jsonb_to_recordset($1) as new (range_id integer, cidr cidr, allocation_id uuid, member_id integer,
            prefix_length smallint, size_offset smallint, min_prefix_length smallint, max_prefix_length smallint,
            reservation_id uuid, reason text, since timestamptz) join pool_range using (range_id)"
    )
}

/// What a block that cools down was: a record, and what that does not say.
#[derive(Clone, Debug, Serialize)]
pub struct Cooldown<'a> {
    pub range_id: RangeId,
    /// Name of the VPC in lower case, since case does not count.
    pub lower_vpc: String,
    #[serde(flatten)]
    pub record: &'a Record,
}

/// Inserts what blocks that cool down were; the blocks come before.
pub async fn cooldowns(db: &mut Connection, rows: &[Cooldown<'_>]) -> Result<()> {
    insert!(
        db,
        rows,
        "insert into cooldown (range_id, cidr, allocation_id, vpc, name, role, released_at, free_at)
        select range_id, cidr, id, lower_vpc, name, role, released_at, until
        from jsonb_to_recordset($1) as new (range_id integer, cidr cidr, id uuid, lower_vpc text, name text, role text,
            released_at timestamptz, until timestamptz)"
    )
}

/// Inserts blocks that are no more, in their order.
pub async fn past(db: &mut Connection, rows: &[Record]) -> Result<()> {
    insert!(
        db,
        rows,
        "insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, reservation_id, vpc, name, role, reason, since,
            until)
        select vrf_id, pool_id, pool, cidr, case when reason is null then id end, case when reason is not null then id end,
            vpc, name, role, reason, since, until
        from jsonb_to_recordset($1) as new (vrf_id uuid, pool_id uuid, pool text, cidr cidr, id uuid, vpc text, name text,
            role text, reason text, since timestamptz, until timestamptz)"
    )
}

/// How many numbers are skipped one by one; others can't advance further than that meanwhile.
const NEAR: i64 = 10_000;

/// Makes the numbers that are given from now on larger than `most`. Nothing waits for that, and a rollback does not undo
/// it: unused numbers are no loss. In a transaction of its own, serialised with other imports.
pub async fn reserve_numbers(db: &mut Connection, most: i64) -> Result<()> {
    query!("select pg_advisory_xact_lock(hashtext('ipam allocation number'))")
        .execute(&mut *db)
        .await?;
    let last = query_scalar!(
        r#"select last_value - (not is_called)::integer as "last!" from allocation_number_seq"#
    )
    .fetch_one(&mut *db)
    .await?;
    // Others may be given numbers between these two statements. Setting the sequence could then move it back, if they got
    // that far; drawing numbers never does.
    match most.saturating_sub(last) {
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
