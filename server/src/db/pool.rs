//! Pools, their ranges, and the members of profiles that cut blocks from them.

use ipam_shared::{
    api::pool::{FreeBlocks, Pool, Strategy},
    cidr::{Cidr, Family},
    ids::{PoolId, ProfileId, VrfId},
};
use sqlx::query;

use crate::{
    db::{Connection, convert},
    domain::plan::{Range, RangeId},
    error::{Error, Result},
};

/// A member of a profile with the pool that its block comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The profile.
    pub profile: ProfileId,
    /// How many members it has, whether or not each has a pool.
    pub members: i64,
    /// The member.
    pub member: i32,
    /// Its place in the profile, from 1.
    pub position: i16,
    /// Its role.
    pub role: String,
    /// Bits added to the prefix length that was asked for.
    pub size_offset: i16,
    /// Bounds of the member.
    pub min_prefix_length: u8,
    /// Bounds of the member.
    pub max_prefix_length: u8,
    /// The pool.
    pub pool: PoolId,
    /// Its name.
    pub pool_name: String,
    /// Its VRF.
    pub vrf: VrfId,
    /// Name of its VRF.
    pub vrf_name: String,
    /// Bounds of the pool.
    pub pool_min_prefix_length: u8,
    /// Bounds of the pool.
    pub pool_max_prefix_length: u8,
    /// Addresses that are not for hosts.
    pub reserved_addresses: u32,
    /// IPv4 or IPv6.
    pub family: Family,
    /// Its networks.
    pub ranges: Vec<Range>,
}

/// The members of a profile, each with the pools that it may mean: those of its name in the VRF of one of these VPCs or in
/// `default`. With `lock`, the pools are locked in the order of their ids until the end of the transaction.
pub async fn sources(
    db: &mut Connection,
    profile: &str,
    vpcs: &[String],
    lock: bool,
) -> Result<Vec<Source>> {
    // The lock is in the statement that finds the pools, since each round trip counts while others wait for it.
    macro_rules! sources {
        ($lock:literal) => {
            query!(
                r#"select profile_id, member_id, position,
                    (select count(*) from profile_member where profile_id = profile.profile_id and retired_at is null)
                        as "members!",
                    role, size_offset,
                    member.min_prefix_length, member.max_prefix_length,
                    pool.pool_id, pool.name as pool_name, pool.vrf_id, vrf.name as vrf_name, pool.family,
                    pool.min_prefix_length as pool_min_prefix_length, pool.max_prefix_length as pool_max_prefix_length,
                    pool.reserved_addresses,
                    array(select range_id from pool_range where pool_id = pool.pool_id order by range_id) as "range_ids!",
                    array(select cidr from pool_range where pool_id = pool.pool_id order by range_id) as "cidrs!"
                from profile
                    join profile_member member using (profile_id)
                    join pool on pool.name = member.pool_name
                    join vrf on vrf.vrf_id = pool.vrf_id
                where profile.name = $1 and member.retired_at is null
                    and (vrf.name = 'default' or pool.vrf_id in (
                        select vpc.vrf_id from unnest($2::text[]) as wanted (name)
                            join vpc on lower(vpc.name) = lower(wanted.name)
                    ))
                order by pool.pool_id, member.position"# + $lock,
                profile,
                vpcs
            )
            .fetch_all(db)
            .await?
            .into_iter()
            .map(|row| {
                let pool = PoolId(row.pool_id);
                let ranges = row.range_ids.into_iter().zip(row.cidrs);
                Ok(Source {
                    profile: ProfileId(row.profile_id),
                    members: row.members,
                    member: row.member_id,
                    position: row.position,
                    role: row.role,
                    size_offset: row.size_offset,
                    min_prefix_length: convert::small(row.min_prefix_length)?,
                    max_prefix_length: convert::small(row.max_prefix_length)?,
                    pool,
                    pool_name: row.pool_name,
                    vrf: VrfId(row.vrf_id),
                    vrf_name: row.vrf_name,
                    pool_min_prefix_length: convert::small(row.pool_min_prefix_length)?,
                    pool_max_prefix_length: convert::small(row.pool_max_prefix_length)?,
                    reserved_addresses: reserved(row.reserved_addresses)?,
                    family: family(row.family),
                    ranges: ranges.map(|(id, net)| Range { id, pool, cidr: Cidr::from(net) }).collect(),
                })
            })
            .collect()
        };
    }
    if lock {
        sources!(" for no key update of pool")
    } else {
        sources!("")
    }
}

/// Whether there is a profile with that name.
pub async fn profile_exists(db: &mut Connection, name: &str) -> Result<bool> {
    let row = query!(
        r#"select exists (select from profile where name = $1) as "exists!""#,
        name
    )
    .fetch_one(db)
    .await?;
    Ok(row.exists)
}

/// Locks pools, in the order of their ids, and answers their ranges.
pub async fn lock(db: &mut Connection, pools: &[PoolId]) -> Result<Vec<Range>> {
    let ids: Vec<_> = pools.iter().map(|id| id.0).collect();
    let rows = query!(
        r#"select pool_id,
            array(select range_id from pool_range where pool_id = pool.pool_id order by range_id) as "range_ids!",
            array(select cidr from pool_range where pool_id = pool.pool_id order by range_id) as "cidrs!"
        from pool where pool_id = any($1) order by pool_id for no key update"#,
        &ids
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .flat_map(|row| {
            let pool = PoolId(row.pool_id);
            row.range_ids
                .into_iter()
                .zip(row.cidrs)
                .map(move |(id, net)| Range {
                    id,
                    pool,
                    cidr: Cidr::from(net),
                })
        })
        .collect())
}

/// All pools with what is left of them, by VRF and name; or one of them, by id or name.
pub async fn list(
    db: &mut Connection,
    id: Option<PoolId>,
    name: Option<&str>,
    vrf: Option<&str>,
) -> Result<Vec<Pool>> {
    query!(
        r#"select pool_id, pool.name, vrf.name as vrf, family, min_prefix_length, max_prefix_length,
            default_prefix_length, reserved_addresses, strategy, release_cooldown_seconds, pool.labels, required_labels,
            pool.description, pool.revision, pool.created_at, parent_pool_id,
            (select name from pool as parent where parent.pool_id = pool.parent_pool_id) as parent,
            array(select cidr from pool_range where pool_id = pool.pool_id order by cidr) as "ranges!",
            coalesce(free.host_bits, '{}') as "host_bits!", coalesce(free.counts, '{}') as "counts!"
        from pool join vrf using (vrf_id)
            left join lateral (
                select array_agg(host_bits order by host_bits desc) as host_bits,
                    array_agg(blocks order by host_bits desc) as counts
                from (
                    select host_bits, sum(blocks)::bigint as blocks
                    from free_count join pool_range using (range_id)
                    where pool_id = pool.pool_id group by host_bits having sum(blocks) > 0
                ) as by_size
            ) as free on true
        where ($1::uuid is null or pool_id = $1) and ($2::text is null or pool.name = $2)
            and ($3::text is null or vrf.name = $3)
        order by vrf.name <> 'default', vrf.name, pool.name"#,
        id.map(|id| id.0),
        name,
        vrf
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let family = family(row.family);
        let ranges: Vec<Cidr> = row.ranges.into_iter().map(Cidr::from).collect();
        let free = row
            .host_bits
            .into_iter()
            .zip(row.counts)
            .map(|(host_bits, count)| {
                let prefix_length = family.bits().saturating_sub(convert::small(host_bits)?);
                Ok(FreeBlocks { prefix_length, count: convert::count(count)? })
            })
            .collect::<Result<Vec<_>>>()?;
        let total = ranges.iter().map(|cidr| cidr.addresses()).fold(0, u128::saturating_add);
        let used = total.saturating_sub(free_addresses(family, &free));
        Ok(Pool {
            id: PoolId(row.pool_id),
            name: row.name,
            vrf: row.vrf,
            family,
            parent: row.parent,
            parent_id: row.parent_pool_id.map(PoolId),
            ranges,
            min_prefix_length: convert::small(row.min_prefix_length)?,
            max_prefix_length: convert::small(row.max_prefix_length)?,
            default_prefix_length: row.default_prefix_length.map(convert::small).transpose()?,
            reserved_addresses: reserved(row.reserved_addresses)?,
            strategy: strategy(&row.strategy)?,
            release_cooldown_seconds: u32::try_from(row.release_cooldown_seconds).unwrap_or_default(),
            labels: convert::labels(row.labels)?,
            required_labels: convert::required_labels(row.required_labels)?,
            description: row.description,
            revision: row.revision,
            created_at: row.created_at,
            total_addresses: total,
            used_addresses: used,
            utilisation: if total == 0 { 0.0 } else { used as f64 / total as f64 },
            largest_free_prefix_length: free.first().map(|free| free.prefix_length),
            free,
        })
    })
    .collect()
}

/// Free blocks of some ranges by size, largest first.
pub async fn free_counts(
    db: &mut Connection,
    family: Family,
    ranges: &[RangeId],
) -> Result<Vec<FreeBlocks>> {
    query!(
        r#"select host_bits, sum(blocks)::bigint as "blocks!" from free_count
        where range_id = any($1) group by host_bits having sum(blocks) > 0 order by host_bits desc"#,
        ranges
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let prefix_length = family.bits().saturating_sub(convert::small(row.host_bits)?);
        Ok(FreeBlocks { prefix_length, count: convert::count(row.blocks)? })
    })
    .collect()
}

/// Addresses in free blocks.
pub fn free_addresses(family: Family, free: &[FreeBlocks]) -> u128 {
    free.iter()
        .map(|free| {
            let size = 1_u128
                .checked_shl((family.bits() - free.prefix_length).into())
                .unwrap_or(u128::MAX);
            size.saturating_mul(free.count.into())
        })
        .fold(0, u128::saturating_add)
}

fn family(number: i16) -> Family {
    if number == 4 {
        Family::Ipv4
    } else {
        Family::Ipv6
    }
}

pub(crate) fn reserved(number: i32) -> Result<u32> {
    u32::try_from(number)
        .map_err(|_| Error::bug(format!("stored reserved_addresses {number} is negative")))
}

pub(crate) fn strategy(text: &str) -> Result<Strategy> {
    Strategy::ALL
        .into_iter()
        .find(|strategy| strategy.as_str() == text)
        .ok_or_else(|| Error::bug(format!("stored strategy {text:?} is not known")))
}
