//! The world that sequences begin with, and what operations mean in it.

use std::collections::BTreeMap;

use ipam_shared::{
    api::allocation::{NewAllocation, Size},
    cidr::Family,
    ids::PoolId,
    labels::Labels,
    name::Name,
};
use sqlx::{AssertSqlSafe, PgPool};

use crate::{
    config::Rules,
    model::{COOLDOWN, Member, Model, OTHER, POOLS, PROFILES, Pool, Range, VRFS, length, network},
    ops::{Ask, From, Named, Policy, Request, Sequence, Spot},
};

pub(crate) const VPCS: [&str; 5] = ["x", "y", "z", "X", "q"];

/// Begins anew: all that sequences make is gone, without a database of its own for each.
pub(crate) const RESET: &str = "begin; set local session_replication_role = replica;
    delete from cooldown; delete from block; delete from past_block; delete from free_block; delete from free_count;
    delete from reservation; delete from allocation; delete from event; delete from vpc; delete from pool_range;
    delete from pool; delete from profile_member; delete from profile; delete from vrf where name <> 'default';
    set local session_replication_role = origin;
    insert into vrf (name) values ('blue') on conflict do nothing;
    insert into profile (name) values ('one'), ('two'), ('three');";

/// The world as it is in the beginning.
pub(crate) async fn begin(db: &PgPool, sequence: &Sequence) -> Model {
    let family = if sequence.v6 {
        Family::Ipv6
    } else {
        Family::Ipv4
    };
    let other = if sequence.v6 {
        Family::Ipv4
    } else {
        Family::Ipv6
    };
    let pool = |name, vrf, family, spots: &[(u8, u8)], place: usize, tier| Pool {
        id: PoolId::generate(),
        exists: true,
        ours: false,
        name,
        vrf,
        family,
        parent: None,
        ranges: spots
            .iter()
            .map(|(at, bits)| {
                Range::new(network(
                    family,
                    Spot {
                        at: *at,
                        bits: *bits,
                    },
                ))
            })
            .collect(),
        shortest: length(family, 8),
        longest: length(family, 0),
        usual: (tier > 0).then(|| length(family, 2)),
        reserved: 1,
        strategy: sequence.strategies[place],
        cooldown: sequence.cooldowns & (1 << place) > 0,
        tier,
        labelled_only: false,
    };
    let pools = vec![
        pool(POOLS[0], 0, family, &[(0, 7)], 0, 1),
        pool(POOLS[1], 0, family, &[(128, 6), (192, 5)], 1, 1),
        pool(OTHER, 0, other, &[(0, 5)], 2, 0),
        pool(POOLS[0], 1, family, &[(0, 6)], 2, 1),
    ];
    let profiles = (0..3).map(|recipe| members(family, recipe)).collect();
    let model = Model {
        family,
        pools,
        vpcs: BTreeMap::new(),
        allocations: Vec::new(),
        reservations: Vec::new(),
        cooling: Vec::new(),
        profiles,
        clock: 0,
    };
    let mut sql = RESET.to_owned();
    for pool in &model.pools {
        sql += &format!(
            "insert into pool (pool_id, vrf_id, name, family, min_prefix_length, max_prefix_length,
                default_prefix_length, reserved_addresses, strategy, release_cooldown_seconds, labels)
            select '{}', vrf_id, '{}', {}, {}, {}, {}, {}, '{}', {}, '{{\"tier\": \"{}\"}}'
            from vrf where name = '{}';",
            pool.id,
            pool.name,
            if pool.family == Family::Ipv4 { 4 } else { 6 },
            pool.shortest,
            pool.longest,
            pool.usual.map_or("null".to_owned(), |usual| usual.to_string()),
            pool.reserved,
            pool.strategy.as_str(),
            if pool.cooldown { COOLDOWN } else { 0 },
            pool.tier,
            VRFS[pool.vrf]
        );
        for range in &pool.ranges {
            sql += &format!(
                "insert into pool_range (pool_id, vrf_id, family, cidr)
                select pool_id, vrf_id, family, '{}' from pool where pool_id = '{}';",
                range.cidr, pool.id
            );
        }
    }
    for (profile, members) in PROFILES.iter().zip(&model.profiles) {
        for (position, member) in members.iter().enumerate() {
            sql += &format!(
                "insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length,
                    max_prefix_length)
                select profile_id, {}, '{}', '{}', {}, {}, {} from profile where name = '{profile}';",
                position + 1,
                member.role,
                member.pool,
                member.offset,
                member.shortest,
                member.longest
            );
        }
    }
    sql += "commit";
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await;
    done.expect("the world can be made");
    model
}

/// A request as it goes to the server.
pub(crate) fn resolve(model: &Model, request: &Request) -> NewAllocation {
    let family = model.family;
    let size = match request.size {
        Ask::Hosts(hosts) => Size::Hosts(hosts.into()),
        Ask::Bits(bits) => Size::PrefixLength(length(family, bits)),
        Ask::Exactly(spot) => Size::Cidr(network(family, spot)),
        Ask::Default => Size::Default,
    };
    let mut new = NewAllocation::new(to_name(VPCS[usize::from(request.vpc)]), size);
    new.name = request.name.map(|name| to_name(&format!("n{name}")));
    new.vrf = request.vrf.map(|blue| to_name(VRFS[usize::from(blue)]));
    match &request.from {
        From::Profile(which) => {
            let profile = PROFILES.get(usize::from(*which)).copied().unwrap_or("none");
            new.profile = Some(to_name(profile));
        }
        From::Pools(pools) => {
            let text = |pool: &Named| match pool {
                Named::Name(name) => POOLS
                    .get(usize::from(*name))
                    .copied()
                    .unwrap_or(OTHER)
                    .to_owned(),
                Named::Id(number) => model.pools[usize::from(*number) % model.pools.len()]
                    .id
                    .to_string(),
            };
            new.pools = Some(pools.iter().map(text).collect());
        }
        From::Selector(tier) => new.pool_selector = Some(labels("tier", &tier.to_string())),
    }
    new.exclude_cidrs = request
        .exclude
        .iter()
        .map(|spot| network(family, *spot))
        .collect();
    if request.labelled {
        new.labels = labels("cost", "1");
    }
    new.deletion_protection = request.protected;
    new
}

/// Recipes that a profile can have.
pub(crate) fn members(family: Family, recipe: usize) -> Vec<Member> {
    let member = |role, pool, offset| Member {
        role,
        pool,
        offset,
        shortest: 0,
        longest: 128,
    };
    let bounds = |member: Member, largest, smallest| Member {
        shortest: length(family, largest),
        longest: length(family, smallest),
        ..member
    };
    // The other pool has lengths of the other family.
    let between = if family == Family::Ipv4 { 32 } else { -32 };
    match recipe {
        0 => vec![member("node", "a", 0)],
        1 => vec![member("node", "a", 0), member("pod", "b", -1)],
        2 => vec![
            member("node", "b", 0),
            member("pod", "a", -1),
            bounds(member("service", "a", 0), 2, 2),
        ],
        3 => vec![member("pod", "a", 1), member("node", "c", 0)],
        4 => vec![member("node", "a", 0), member("other", OTHER, between)],
        5 => vec![bounds(member("node", "b", 0), 3, 1), member("pod", "b", 0)],
        _ => vec![member("node", "d", 0)],
    }
}

pub(crate) fn rules(family: Family, policy: Policy) -> Rules {
    Rules {
        strategy: policy.strategy,
        cooldown: policy.cooldown,
        shortest: length(family, policy.largest),
        longest: length(family, policy.smallest),
        usual: policy.usual.map(|bits| length(family, bits)),
        tier: policy.tier,
        labelled_only: policy.labelled_only,
    }
}

pub(crate) fn labels(key: &str, value: &str) -> Labels {
    Labels::new(BTreeMap::from([(key.to_owned(), value.to_owned())])).expect("a label")
}

pub(crate) fn required(cost: bool) -> BTreeMap<String, Vec<String>> {
    cost.then(|| ("cost".to_owned(), Vec::new()))
        .into_iter()
        .collect()
}

pub(crate) fn to_name(name: &str) -> Name {
    name.parse().expect("a name")
}
