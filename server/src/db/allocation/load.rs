//! Allocations as they are shown, and with the space that they have.

use ipam_shared::{
    api::{
        allocation::{Allocation, Block},
        pool::RequiredLabels,
    },
    cidr::{Cidr, usable_hosts},
    ids::{AllocationId, Claim, PoolId, VpcId, VrfId},
};
use serde::Deserialize;
use sqlx::{query, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    db::{Connection, convert},
    error::{Error, Result},
    network::Place,
};

/// One allocation.
pub async fn get(db: &mut Connection, id: AllocationId) -> Result<Option<Allocation>> {
    Ok(load(db, &[id])
        .await?
        .pop()
        .map(|(allocation, _)| allocation))
}

/// Allocations with all that belongs to them, in the order of their ids, and with more columns about each.
macro_rules! allocations {
    ($db:expr, $ids:expr, [$columns:literal, $more:literal], |$row:ident, $allocation:ident| $answer:expr) => {{
        let ids: Vec<_> = $ids.iter().map(|id| id.0).collect();
        query!(
            r#"select allocation.allocation_id, number, allocation.vpc_id, vpc.name as vpc, vpc_vrf.name as vrf,
                allocation.name, profile.name as "profile?", request,
                allocation.prefix_length, requested_hosts, requested_prefix_length, requested_cidr, allocation.labels,
                allocation.description, deletion_protection, allocation.created_by, allocation.owner,
                allocation.confirmed_at is not null as "confirmed!", allocation.claim, request_id, allocation.revision,
                allocation.created_at, updated_at, roles as "roles!", cidrs as "cidrs!", pools as "pools!", vrfs as "vrfs!",
                reserved as "reserved!""# + $columns + r#"
            from unnest($1::uuid[]) with ordinality as wanted (allocation_id, place)
                join allocation using (allocation_id)
                join vpc using (vpc_id)
                join vrf as vpc_vrf on vpc_vrf.vrf_id = vpc.vrf_id
                left join profile using (profile_id)
                cross join lateral (
                    select array_agg(coalesce(role, 'main') order by position) as roles,
                        array_agg(block.cidr order by position) as cidrs,
                        array_agg(pool.name order by position) as pools, array_agg(vrf.name order by position) as vrfs,
                        array_agg(reserved_addresses order by position) as reserved
                    from block
                        left join profile_member using (member_id)
                        join pool_range using (range_id)
                        join pool using (pool_id)
                        join vrf on vrf.vrf_id = pool.vrf_id
                    where block.allocation_id = allocation.allocation_id
                ) as blocks"# + $more + " order by place",
            &ids
        )
        .fetch_all($db)
        .await?
        .into_iter()
        .map(|$row| {
            let id = AllocationId($row.allocation_id);
            let mut blocks = Vec::with_capacity($row.cidrs.len());
            let places = $row.pools.into_iter().zip($row.vrfs);
            for (((role, net), (pool, vrf)), reserved) in
                $row.roles.into_iter().zip($row.cidrs).zip(places).zip($row.reserved)
            {
                let cidr = Cidr::from(net);
                let reserved = u32::try_from(reserved).unwrap_or_default();
                let usable = usable_hosts(cidr.family(), cidr.prefix_length(), reserved);
                blocks.push(Block { role, cidr, pool, vrf, usable });
            }
            let asked = convert::request($row.request)?;
            let first = blocks.first().ok_or_else(|| Error::bug(format!("allocation {id} has no blocks")))?;
            let $allocation = Allocation {
                id,
                number: $row.number,
                vpc: convert::name($row.vpc)?,
                vpc_id: VpcId($row.vpc_id),
                name: $row.name.map(convert::name).transpose()?,
                vrf: $row.vrf,
                profile: $row.profile.map(convert::name).transpose()?,
                requested_pools: asked.pools,
                requested_pool_selector: asked.pool_selector,
                exclude_cidrs: asked.exclude_cidrs,
                cidr: first.cidr,
                prefix_length: convert::small($row.prefix_length)?,
                requested_hosts: $row.requested_hosts.map(convert::count).transpose()?,
                requested_prefix_length: $row.requested_prefix_length.map(convert::small).transpose()?,
                requested_cidr: $row.requested_cidr.map(Cidr::from),
                blocks,
                labels: convert::labels($row.labels)?,
                description: $row.description,
                deletion_protection: $row.deletion_protection,
                revision: $row.revision,
                created_by: $row.created_by,
                owner: convert::owner($row.owner)?,
                confirmed: $row.confirmed,
                claim_digest: Some(Claim($row.claim).digest()),
                created_at: $row.created_at,
                updated_at: $row.updated_at,
                claim: None,
            };
            Ok($answer)
        })
        .collect()
    }};
}

/// Allocations with all that belongs to them, and the request that made each, in the order of `ids`.
pub async fn load(db: &mut Connection, ids: &[AllocationId]) -> Result<Vec<(Allocation, Uuid)>> {
    allocations!(db, ids, ["", ""], |row, allocation| (
        allocation,
        row.request_id
    ))
}

/// An allocation with the space that it has, and what of the free list a change of it can touch. What is read under the locks
/// of its pools stays so.
#[derive(Clone, Debug)]
pub struct WithSpace {
    /// The allocation.
    pub allocation: Allocation,
    /// The VRF of its VPC.
    pub vrf: VrfId,
    /// Its blocks, in the order of those of the allocation.
    pub blocks: Vec<Held>,
    /// What it gave up recently and can still take back.
    pub cooling: Vec<Place>,
    /// Free networks that its blocks could be merged with, or what it gave up.
    pub free: Vec<Place>,
}

impl WithSpace {
    /// The names of the pools that its blocks come from, and the labels that each requires.
    pub fn required_labels(&self) -> impl Iterator<Item = (&str, &RequiredLabels)> {
        let pools = self.allocation.blocks.iter().zip(&self.blocks);
        pools.map(|(block, held)| (block.pool.as_str(), &held.required_labels))
    }
}

/// A block that an allocation holds, with the rules that apply to its size.
#[derive(Clone, Debug, Deserialize)]
pub struct Held {
    /// Where it is.
    pub place: Place,
    /// Its range.
    pub range_cidr: Cidr,
    /// Its pool.
    pub pool: PoolId,
    /// Labels that allocations from its pool must have.
    pub required_labels: RequiredLabels,
    /// The member of the profile that it was cut for.
    pub member: Option<i32>,
    /// Bits added to the prefix length that was asked for.
    pub size_offset: i16,
    /// Shortest and longest prefix that apply: those of its member; without one, those of the pool.
    pub bounds: (u8, u8),
    /// Shortest and longest prefix of the pool.
    pub pool_bounds: (u8, u8),
    /// Addresses that are not for hosts.
    pub reserved_addresses: u32,
    /// For how many seconds the pool keeps released space out of circulation.
    pub cooldown_seconds: i32,
    /// Since when it is there.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// Allocations with the space that they have, in the order of `ids`.
pub async fn with_space(db: &mut Connection, ids: &[AllocationId]) -> Result<Vec<WithSpace>> {
    allocations!(
        db,
        ids,
        [
            r#", vpc.vrf_id, held.blocks as "held!: Json<Vec<Held>>", cooling.places as "cooling!: Json<Vec<Place>>",
            free.places as "free!: Json<Vec<Place>>""#,
            "
            cross join lateral (
                select jsonb_agg(jsonb_build_object('place', jsonb_build_object('range', range_id, 'cidr', block.cidr),
                    'range_cidr', range_cidr, 'pool', pool_id, 'required_labels', required_labels, 'member', member_id,
                    'size_offset', block.size_offset, 'bounds', case when member_id is null
                        then jsonb_build_array(pool.min_prefix_length, pool.max_prefix_length)
                        else jsonb_build_array(block.min_prefix_length, block.max_prefix_length) end,
                    'pool_bounds', jsonb_build_array(pool.min_prefix_length, pool.max_prefix_length),
                    'reserved_addresses', reserved_addresses, 'cooldown_seconds', release_cooldown_seconds,
                    'since', since) order by position) as blocks
                from block left join profile_member using (member_id)
                    join pool_range using (range_id) join pool using (pool_id)
                where block.allocation_id = allocation.allocation_id
            ) as held
            cross join lateral (
                select coalesce(jsonb_agg(jsonb_build_object('range', range_id, 'cidr', cidr)), '[]') as places
                from cooldown where cooldown.allocation_id = allocation.allocation_id
            ) as cooling
            cross join lateral (
                select coalesce(jsonb_agg(jsonb_build_object('range', free_block.range_id, 'cidr', free_block.cidr)), '[]')
                    as places
                from (
                    select range_id, cidr, range_cidr from block where block.allocation_id = allocation.allocation_id
                    union all
                    select range_id, cidr, range_cidr from cooldown join block using (range_id, cidr)
                    where cooldown.allocation_id = allocation.allocation_id
                ) as own
                    cross join lateral ipam_buddies(own.cidr, own.range_cidr) as buddy
                    join free_block on free_block.range_id = own.range_id and free_block.cidr = buddy
                        and free_block.host_bits = (case family(buddy) when 4 then 32 else 128 end) - masklen(buddy)
            ) as free"
        ],
        |row, allocation| WithSpace {
            allocation,
            vrf: VrfId(row.vrf_id),
            blocks: row.held.0,
            cooling: row.cooling.0,
            free: row.free.0,
        }
    )
}
