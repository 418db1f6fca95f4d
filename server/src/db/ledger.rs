//! The ledger: the one way for blocks to come and go.
//!
//! A change says which blocks end, which begin, which of those cool down, and what becomes of the free list. All of it is
//! written in one statement, together with the events that tell of it and with the row of what the blocks belong to:
//! `ledger!` takes that row's own statement. So a block never changes without an event, and a change costs one round trip
//! however many blocks it touches. The hot path has a statement of its own (`allocate`), since it never ends a block.

use ipam_shared::{
    cidr::Cidr,
    ids::{AllocationId, ReservationId},
};
use sqlx::types::ipnet::IpNet;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{Connection, cooldown, event::Event},
    error::Result,
    network::{Changes, Place, RangeId},
};

/// What a change does to blocks and to the free list.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Blocks that end. Those of allocations and reservations become history, unless they begin again at the same place.
    pub ended: Vec<Place>,
    /// Blocks that begin, once those have ended.
    pub begun: Vec<NewBlock>,
    /// Blocks that begin to cool down, likewise.
    pub cooling: Vec<NewCooldown>,
    /// What leaves the free list and what is added to it.
    pub free: Changes,
}

/// A block that begins.
#[derive(Clone, Debug)]
pub struct NewBlock {
    /// Where.
    pub place: Place,
    /// Its range.
    pub range_cidr: Cidr,
    /// Whose.
    pub holder: Holder,
}

/// Who holds a block.
#[derive(Clone, Debug)]
pub enum Holder {
    /// An allocation.
    Allocation {
        /// Its id.
        id: AllocationId,
        /// Its prefix length.
        prefix_length: u8,
        /// The member of the profile that the block is for.
        member: Option<i32>,
        /// Bits added to the prefix length of the allocation.
        size_offset: i16,
        /// Shortest and longest prefix that apply.
        bounds: (u8, u8),
        /// Since when, if not since now.
        since: Option<OffsetDateTime>,
    },
    /// A reservation.
    Reservation(ReservationId),
    /// The range of a child pool.
    ChildRange,
}

/// A block that begins to cool down.
#[derive(Clone, Debug)]
pub struct NewCooldown {
    /// Where it is.
    pub place: Place,
    /// Its range.
    pub range_cidr: Cidr,
    /// Whose it was.
    pub allocation: AllocationId,
    /// Name of the VPC, folded.
    pub vpc: String,
    /// Name of the allocation, if the same name is to get it back.
    pub name: Option<String>,
    /// What it was for.
    pub role: String,
    /// For how long, in seconds.
    pub seconds: i32,
}

/// What `block.reason` says of the range of a child pool.
const CHILD_RANGE: &str = "child_range";

/// A ledger, a vector per column.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) ended_range: Vec<RangeId>,
    pub(super) ended_cidr: Vec<IpNet>,
    /// Whether it begins again at the same place.
    pub(super) ended_stays: Vec<bool>,
    pub(super) range: Vec<RangeId>,
    pub(super) cidr: Vec<IpNet>,
    pub(super) range_cidr: Vec<IpNet>,
    pub(super) allocation: Vec<Option<Uuid>>,
    pub(super) member: Vec<Option<i32>>,
    pub(super) prefix_length: Vec<Option<i16>>,
    pub(super) size_offset: Vec<Option<i16>>,
    pub(super) min: Vec<Option<i16>>,
    pub(super) max: Vec<Option<i16>>,
    pub(super) reservation: Vec<Option<Uuid>>,
    pub(super) reason: Vec<Option<String>>,
    pub(super) since: Vec<Option<OffsetDateTime>>,
    pub(super) cooling_range: Vec<RangeId>,
    pub(super) cooling_cidr: Vec<IpNet>,
    pub(super) cooling_allocation: Vec<Uuid>,
    pub(super) cooling_vpc: Vec<String>,
    pub(super) cooling_name: Vec<Option<String>>,
    pub(super) cooling_role: Vec<String>,
    pub(super) cooling_seconds: Vec<i32>,
}

impl Columns {
    pub(super) fn of(ledger: &Ledger) -> Self {
        let mut columns = Self::default();
        for place in &ledger.ended {
            let stays = |block: &NewBlock| block.place == *place;
            columns.ended_range.push(place.range);
            columns.ended_cidr.push(place.cidr.into());
            columns.ended_stays.push(ledger.begun.iter().any(stays));
        }
        for block in &ledger.begun {
            columns.begin(block);
        }
        for block in &ledger.cooling {
            columns.push(block.place, block.range_cidr);
            columns.reason.push(Some(cooldown::REASON.to_owned()));
            columns.cooling_range.push(block.place.range);
            columns.cooling_cidr.push(block.place.cidr.into());
            columns.cooling_allocation.push(block.allocation.0);
            columns.cooling_vpc.push(block.vpc.clone());
            columns.cooling_name.push(block.name.clone());
            columns.cooling_role.push(block.role.clone());
            columns.cooling_seconds.push(block.seconds);
        }
        columns.fill();
        columns
    }

    fn begin(&mut self, block: &NewBlock) {
        self.fill();
        self.push(block.place, block.range_cidr);
        match &block.holder {
            Holder::Allocation {
                id,
                prefix_length,
                member,
                size_offset,
                bounds: (min, max),
                since,
            } => {
                self.allocation.push(Some(id.0));
                self.member.push(*member);
                self.prefix_length.push(Some((*prefix_length).into()));
                self.size_offset.push(Some(*size_offset));
                self.min.push(Some((*min).into()));
                self.max.push(Some((*max).into()));
                self.since.push(*since);
            }
            Holder::Reservation(id) => self.reservation.push(Some(id.0)),
            Holder::ChildRange => self.reason.push(Some(CHILD_RANGE.to_owned())),
        }
    }

    fn push(&mut self, place: Place, range_cidr: Cidr) {
        self.fill();
        self.range.push(place.range);
        self.cidr.push(place.cidr.into());
        self.range_cidr.push(range_cidr.into());
    }

    /// Fields that the blocks so far do not have.
    fn fill(&mut self) {
        let rows = self.range.len();
        self.allocation.resize(rows, None);
        self.member.resize(rows, None);
        self.prefix_length.resize(rows, None);
        self.size_offset.resize(rows, None);
        self.min.resize(rows, None);
        self.max.resize(rows, None);
        self.reservation.resize(rows, None);
        self.reason.resize(rows, None);
        self.since.resize(rows, None);
    }
}

/// A statement that writes a ledger and its events, and then the row that the blocks belong to: what follows the list of
/// common table expressions, so that a comma begins another one of them. Its parameters begin with `$38`.
macro_rules! ledger {
    ($ledger:expr, $events:expr, $row:literal $(, $value:expr)*) => {{
        let free = $crate::db::free::Columns::of(&$ledger.free);
        let events = $crate::db::event::Columns::of($events);
        let blocks = $crate::db::ledger::Columns::of($ledger);
        sqlx::query!(
            // A block begins at the very moment at which the previous one ends, so that there is no moment at which neither is
            // there; and it is inserted after that one has become history, so that the constraint against overlaps finds its
            // place empty.
            "with new_event as (
                insert into event (action, subject, actor, request_id, detail, source)
                select * from unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[], $5::jsonb[], $37::jsonb[])
                where (select pg_current_xact_id()) is not null
            ), ended as (
                delete from block using unnest($6::integer[], $7::cidr[], $8::boolean[]) as gone (range_id, cidr, stays)
                where block.range_id = gone.range_id and block.cidr = gone.cidr
                returning block.range_id, block.cidr, allocation_id, reservation_id, member_id, since, stays
            ), warmed as (
                delete from cooldown using unnest($6::integer[], $7::cidr[]) as gone (range_id, cidr)
                where cooldown.range_id = gone.range_id and cooldown.cidr = gone.cidr
                returning 1
            ), past as (
                -- What is there since later than now, by another clock or from an old import, was there since now.
                insert into past_block (vrf_id, pool_id, pool, cidr, allocation_id, vpc, name, role, reservation_id, reason,
                    since, until)
                select pool.vrf_id, pool_id, pool.name, ended.cidr, ended.allocation_id, vpc.name, allocation.name,
                    case when ended.allocation_id is not null then coalesce(role, 'main') end, ended.reservation_id,
                    reservation.reason, least(since, statement_timestamp()), statement_timestamp()
                from ended join pool_range using (range_id) join pool using (pool_id)
                    left join profile_member using (member_id)
                    left join allocation on allocation.allocation_id = ended.allocation_id
                    left join vpc on vpc.vpc_id = allocation.vpc_id
                    left join reservation on reservation.reservation_id = ended.reservation_id
                where not stays and num_nonnulls(ended.allocation_id, ended.reservation_id) = 1
                returning 1
            ), begun as (
                insert into block (range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset,
                    min_prefix_length, max_prefix_length, reservation_id, reason, since)
                select range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset, shortest, longest,
                    reservation_id, reason, coalesce(since, statement_timestamp())
                from unnest($18::integer[], $19::cidr[], $20::cidr[], $21::uuid[], $22::integer[], $23::smallint[],
                    $24::smallint[], $25::smallint[], $26::smallint[], $27::uuid[], $28::text[], $29::timestamptz[])
                    as new (range_id, cidr, range_cidr, allocation_id, member_id, prefix_length, size_offset, shortest,
                        longest, reservation_id, reason, since)
                where (select count(*) from ended) >= 0 and (select count(*) from past) >= 0
            ), cooling as (
                insert into cooldown (range_id, cidr, allocation_id, vpc, name, role, free_at)
                select range_id, cidr, allocation_id, vpc, name, role, now() + make_interval(secs => seconds)
                from unnest($30::integer[], $31::cidr[], $32::uuid[], $33::text[], $34::text[], $35::text[], $36::integer[])
                    as new (range_id, cidr, allocation_id, vpc, name, role, seconds)
                where (select count(*) from warmed) >= 0
            ), removed as (
                delete from free_block using unnest($9::integer[], $10::smallint[], $11::cidr[])
                    as gone (range_id, host_bits, cidr)
                where free_block.range_id = gone.range_id and free_block.host_bits = gone.host_bits
                    and free_block.cidr = gone.cidr
            ), added as (
                insert into free_block (range_id, host_bits, cidr)
                select * from unnest($12::integer[], $13::smallint[], $14::cidr[])
            ), counted as (
                update free_count set blocks = blocks + changed.change
                from unnest($15::integer[], $16::smallint[], $17::bigint[]) as changed (range_id, host_bits, change)
                where free_count.range_id = changed.range_id and free_count.host_bits = changed.host_bits
            )" + $row,
            &events.actions,
            &events.subjects,
            &events.actors,
            &events.requests,
            &events.details,
            &blocks.ended_range,
            &blocks.ended_cidr,
            &blocks.ended_stays,
            &free.removed.0,
            &free.removed.1,
            &free.removed.2,
            &free.added.0,
            &free.added.1,
            &free.added.2,
            &free.counts.0,
            &free.counts.1,
            &free.counts.2,
            &blocks.range,
            &blocks.cidr,
            &blocks.range_cidr,
            &blocks.allocation as &[Option<uuid::Uuid>],
            &blocks.member as &[Option<i32>],
            &blocks.prefix_length as &[Option<i16>],
            &blocks.size_offset as &[Option<i16>],
            &blocks.min as &[Option<i16>],
            &blocks.max as &[Option<i16>],
            &blocks.reservation as &[Option<uuid::Uuid>],
            &blocks.reason as &[Option<String>],
            &blocks.since as &[Option<time::OffsetDateTime>],
            &blocks.cooling_range,
            &blocks.cooling_cidr,
            &blocks.cooling_allocation,
            &blocks.cooling_vpc,
            &blocks.cooling_name as &[Option<String>],
            &blocks.cooling_role,
            &blocks.cooling_seconds,
            &events.sources as &[Option<serde_json::Value>]
            $(, $value)*
        )
    }};
}
pub(super) use ledger;

/// Writes a ledger whose blocks belong to nothing that changes.
pub async fn write(db: &mut Connection, ledger: &Ledger, events: &[Event<'_>]) -> Result<()> {
    ledger!(ledger, events, r#" select true as "is_written!""#)
        .fetch_one(db)
        .await?;
    Ok(())
}
