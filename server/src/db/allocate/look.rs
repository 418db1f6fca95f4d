//! What a batch reads, once the pools are locked or without.

use ipam_shared::{
    cidr::Cidr,
    ids::{AllocationId, Claim, PoolId, VpcId, VrfId},
    labels::Labels,
};
use sqlx::query;

use crate::{
    db::{
        Connection,
        convert::{self, Asked},
        ownership::Standing,
        vpc::Owner,
    },
    error::{Error, Result},
    network::{Place, RangeId},
};

/// An allocation that has the name that a request wants.
#[derive(Clone, Debug)]
pub struct Existing {
    /// Its id.
    pub id: AllocationId,
    /// Its name.
    pub name: String,
    /// The profile's name; none if it was asked for from pools.
    pub profile: Option<String>,
    /// What else was asked for.
    pub asked: Asked,
    /// Size as it was asked for.
    pub requested_hosts: Option<i64>,
    /// Size as it was asked for.
    pub requested_prefix_length: Option<i16>,
    /// Size as it was asked for.
    pub requested_cidr: Option<Cidr>,
    /// Its labels.
    pub labels: Labels,
    /// Who made and owns it.
    pub standing: Standing,
    /// Counts its changes.
    pub revision: i64,
}

/// What a batch has to know before it decides.
#[derive(Debug, Default)]
pub struct Seen {
    /// By the request's index: its VPC, if there is one, and the VPC's allocation of the wanted name.
    pub owners: Vec<(usize, Owner, Option<Existing>)>,
    /// Free blocks.
    pub free: Vec<Place>,
    /// The revision of the address plan.
    pub plan: i64,
    /// Those of these pools that exist, with their revisions.
    pub pools: Vec<(PoolId, i64)>,
}

/// What to look for in the free list: in these ranges, the first blocks of at least so many host bits, smallest and lowest
/// first.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Ranges, with the host bits.
    pub sizes: Vec<(RangeId, u8)>,
    /// How many of each.
    pub limit: i64,
}

/// For each (VPC, name) pair, the VPC if it exists, and its allocation of that name if it has one; the case of the VPC's
/// name does not count. And what is free, and the revisions of the plan and of some pools. Read it after the pools are
/// locked: the statement sees what was committed before it began. One statement for all, since each round trip counts while
/// others wait for the lock.
pub async fn look(
    db: &mut Connection,
    pools: &[PoolId],
    vpcs: &[String],
    names: &[Option<String>],
    wanted: &Wanted,
) -> Result<Seen> {
    let pools: Vec<_> = pools.iter().map(|id| id.0).collect();
    let (ranges, sizes): (Vec<RangeId>, Vec<i16>) = wanted
        .sizes
        .iter()
        .map(|(range, bits)| (*range, i16::from(*bits)))
        .unzip();
    let rows = query!(
        // The subquery makes the planner use the index on both columns.
        r#"select place as "place?", vpc.vpc_id as "vpc_id?", vpc.name as "vpc?", vrf_id as "vrf_id?",
            allocation_id as "allocation_id?",
            existing.name as "name?", profile as "profile?", request as "request?", requested_hosts as "requested_hosts?",
            requested_prefix_length as "requested_prefix_length?", requested_cidr as "requested_cidr?",
            existing.created_by as "created_by?", existing.owner as "owner?", existing.claim as "claim?",
            existing.confirmed_at is not null as "confirmed?", existing.labels as "labels?", existing.revision as "revision?",
            null::integer as "range_id?", null::cidr as "cidr?", null::uuid as "pool_id?", null::bigint as "plan?"
        from unnest($1::text[], $2::text[]) with ordinality as wanted (vpc, name, place)
            join vpc on lower(vpc.name collate "C") = lower(wanted.vpc collate "C")
            left join lateral (
                select allocation.*, (select name from profile where profile_id = allocation.profile_id) as profile
                from allocation
                where allocation.vpc_id = vpc.vpc_id and allocation.name = wanted.name limit 1
            ) as existing on true
        union all
        select null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, free.range_id,
            free.cidr, null, null
        from unnest($3::integer[], $4::smallint[]) as wanted (range_id, host_bits)
            cross join lateral (
                select range_id, cidr from free_block
                where free_block.range_id = wanted.range_id and free_block.host_bits >= wanted.host_bits
                order by free_block.host_bits, free_block.cidr limit $5
            ) as free
        union all
        select null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, pool.revision, null,
            null, pool_id, address_plan.revision
        from address_plan left join pool on pool_id = any($6)"#,
        vpcs,
        names as &[Option<String>],
        &ranges,
        &sizes,
        wanted.limit,
        &pools
    )
    .fetch_all(db)
    .await?;
    let mut seen = Seen::default();
    for row in rows {
        if let (Some(range), Some(cidr)) = (row.range_id, row.cidr) {
            seen.free.push(Place {
                range,
                cidr: Cidr::from(cidr),
            });
            continue;
        }
        if let Some(plan) = row.plan {
            seen.plan = plan;
            seen.pools.extend(row.pool_id.map(PoolId).zip(row.revision));
            continue;
        }
        let (Some(place), Some(vpc), Some(name), Some(vrf)) =
            (row.place, row.vpc_id, row.vpc, row.vrf_id)
        else {
            return Err(Error::bug("a row is neither a VPC nor free space"));
        };
        let owner = Owner {
            id: VpcId(vpc),
            name,
            vrf: VrfId(vrf),
        };
        let existing = match (
            row.allocation_id,
            row.name,
            row.created_by,
            row.claim,
            row.labels,
        ) {
            (Some(id), Some(name), Some(created_by), Some(claim), Some(labels)) => Some(Existing {
                id: AllocationId(id),
                name,
                profile: row.profile,
                asked: convert::request(row.request)?,
                requested_hosts: row.requested_hosts,
                requested_prefix_length: row.requested_prefix_length,
                requested_cidr: row.requested_cidr.map(Cidr::from),
                labels: convert::labels(labels)?,
                standing: Standing {
                    created_by: Some(created_by),
                    owner: convert::owner(row.owner)?,
                    claim: Claim(claim),
                    confirmed: row.confirmed.unwrap_or_default(),
                },
                revision: row.revision.unwrap_or_default(),
            }),
            _ => None,
        };
        let place = usize::try_from(place - 1).unwrap_or_default();
        seen.owners.push((place, owner, existing));
    }
    Ok(seen)
}

/// What an Idempotency-Key was used for.
#[derive(Clone, Debug)]
pub struct UsedKey {
    /// Whose key.
    pub actor: String,
    /// The key.
    pub key: String,
    /// SHA-256 of the request.
    pub fingerprint: Vec<u8>,
    /// What it made.
    pub allocation: AllocationId,
}

/// Those of these (actor, key) pairs that were used.
pub async fn find_keys(
    db: &mut Connection,
    actors: &[String],
    keys: &[String],
) -> Result<Vec<UsedKey>> {
    let rows = query!(
        "select used.actor, used.key, fingerprint, allocation_id
        from unnest($1::text[], $2::text[]) as wanted (actor, key) join idempotency_key as used using (actor, key)",
        actors,
        keys
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| UsedKey {
            actor: row.actor,
            key: row.key,
            fingerprint: row.fingerprint,
            allocation: AllocationId(row.allocation_id),
        })
        .collect())
}

/// Forgets the oldest Idempotency-Keys that are older than a day, so many at most; how many.
pub async fn delete_old_keys(db: &mut Connection, limit: i64) -> Result<u64> {
    let done = query!(
        "delete from idempotency_key
        using (
            select actor, key from idempotency_key where created_at < now() - interval '24 hours'
            order by created_at limit $1
        ) as old
        where idempotency_key.actor = old.actor and idempotency_key.key = old.key",
        limit
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
