//! The address plan: every VRF, pool and profile, as allocations need them.

use ipam_shared::{
    api::{
        pool::{RequiredLabels, Strategy},
        profile::Member,
    },
    cidr::{Cidr, Family},
    ids::{PoolId, ProfileId, VrfId},
    labels::Labels,
};
use sqlx::query;

use crate::{
    db::{
        Connection, convert,
        pool::{family, reserved, strategy},
    },
    error::Result,
    network::Range,
};

/// Counts the changes of the plan.
pub async fn revision(db: &mut Connection) -> Result<i64> {
    let row = query!("select revision from address_plan")
        .fetch_one(db)
        .await?;
    Ok(row.revision)
}

/// A VRF's id and name.
#[derive(Clone, Debug)]
pub struct Vrf {
    /// Its id.
    pub id: VrfId,
    /// Its name.
    pub name: String,
}

/// Every VRF.
pub async fn vrfs(db: &mut Connection) -> Result<Vec<Vrf>> {
    let rows = query!("select vrf_id, name from vrf").fetch_all(db).await?;
    Ok(rows
        .into_iter()
        .map(|row| Vrf {
            id: VrfId(row.vrf_id),
            name: row.name,
        })
        .collect())
}

/// A pool as blocks are cut from it.
#[derive(Clone, Debug)]
pub struct PoolSnapshot {
    /// Its id.
    pub id: PoolId,
    /// Its name.
    pub name: String,
    /// Its VRF.
    pub vrf: VrfId,
    /// Name of its VRF.
    pub vrf_name: String,
    /// The pool that its ranges are cut from.
    pub parent: Option<PoolId>,
    /// IPv4 or IPv6.
    pub family: Family,
    /// Shortest prefix, that is the largest block.
    pub min_prefix_length: u8,
    /// Longest prefix, that is the smallest block.
    pub max_prefix_length: u8,
    /// Length for requests that give none.
    pub default_prefix_length: Option<u8>,
    /// Addresses that are not for hosts.
    pub reserved_addresses: u32,
    /// How a free block is chosen.
    pub strategy: Strategy,
    /// Whether released blocks stay out of circulation for a while, or did and some still do.
    pub has_cooldown: bool,
    /// Key-value pairs.
    pub labels: Labels,
    /// Labels that an allocation must have.
    pub required_labels: RequiredLabels,
    /// Counts its changes.
    pub revision: i64,
    /// Its networks.
    pub ranges: Vec<Range>,
}

/// Every pool.
pub async fn pools(db: &mut Connection) -> Result<Vec<PoolSnapshot>> {
    query!(
        r#"select pool_id, pool.name, vrf_id, vrf.name as vrf_name, parent_pool_id, family, min_prefix_length, max_prefix_length,
            default_prefix_length, reserved_addresses, strategy,
            release_cooldown_seconds > 0 or exists (
                select from pool_range join cooldown using (range_id) where pool_range.pool_id = pool.pool_id
            ) as "has_cooldown!",
            pool.labels, required_labels, pool.revision,
            array(select range_id from pool_range where pool_id = pool.pool_id order by range_id) as "range_ids!",
            array(select cidr from pool_range where pool_id = pool.pool_id order by range_id) as "cidrs!"
        from pool join vrf using (vrf_id)"#
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        let pool = PoolId(row.pool_id);
        let ranges = row.range_ids.into_iter().zip(row.cidrs);
        Ok(PoolSnapshot {
            id: pool,
            name: row.name,
            vrf: VrfId(row.vrf_id),
            vrf_name: row.vrf_name,
            parent: row.parent_pool_id.map(PoolId),
            family: family(row.family),
            min_prefix_length: convert::small(row.min_prefix_length)?,
            max_prefix_length: convert::small(row.max_prefix_length)?,
            default_prefix_length: row.default_prefix_length.map(convert::small).transpose()?,
            reserved_addresses: reserved(row.reserved_addresses)?,
            strategy: strategy(&row.strategy)?,
            has_cooldown: row.has_cooldown,
            labels: convert::labels(row.labels)?,
            required_labels: convert::required_labels(row.required_labels)?,
            revision: row.revision,
            ranges: ranges.map(|(id, net)| Range { id, pool, cidr: Cidr::from(net) }).collect(),
        })
    })
    .collect()
}

/// A member of a profile.
#[derive(Clone, Debug)]
pub struct ProfileMember {
    /// The profile.
    pub profile: ProfileId,
    /// Name of the profile.
    pub profile_name: String,
    /// Its key.
    pub id: i32,
    /// What it says.
    pub member: Member,
}

/// The members of every profile, in their order.
pub async fn members(db: &mut Connection) -> Result<Vec<ProfileMember>> {
    query!(
        "select profile_id, name, member_id, role, pool_name, size_offset, min_prefix_length, max_prefix_length
        from profile join profile_member using (profile_id) where retired_at is null order by profile_id, position"
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(|row| {
        Ok(ProfileMember {
            profile: ProfileId(row.profile_id),
            profile_name: row.name,
            id: row.member_id,
            member: Member {
                role: row.role,
                pool: convert::name(row.pool_name)?,
                size_offset: convert::offset(row.size_offset)?,
                min_prefix_length: convert::small(row.min_prefix_length)?,
                max_prefix_length: convert::small(row.max_prefix_length)?,
            },
        })
    })
    .collect()
}
