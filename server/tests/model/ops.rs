//! What a sequence is made of: small operations whose indices are resolved against the world when their turn comes, so
//! that any part of a sequence is a sequence too and proptest can shrink it.

use ipam_shared::api::pool::Strategy as Placement;
use proptest::{
    collection::vec,
    option::{of, weighted},
    prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof},
};

/// A network by its first unit and its size in bits: 0 is one unit, 8 is the whole of the world, 9 is twice the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    pub(crate) at: u8,
    pub(crate) bits: u8,
}

/// A size as it is asked for; lengths as bits of units.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Hosts(u8),
    Bits(u8),
    Exactly(Spot),
    Default,
}

/// A pool in a list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named {
    Name(u8),
    /// By id, among all that ever were.
    Id(u8),
}

#[derive(Clone, Debug)]
pub(crate) enum From {
    Profile(u8),
    Pools(Vec<Named>),
    Selector(u8),
}

/// A request for space.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) vpc: u8,
    pub(crate) name: Option<u8>,
    pub(crate) vrf: Option<bool>,
    pub(crate) from: From,
    pub(crate) size: Ask,
    pub(crate) exclude: Vec<Spot>,
    pub(crate) labelled: bool,
    pub(crate) protected: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct PoolSpec {
    pub(crate) name: u8,
    pub(crate) blue: bool,
    pub(crate) parent: Option<u8>,
    pub(crate) ranges: Vec<Spot>,
    pub(crate) cut: Vec<u8>,
    pub(crate) policy: Policy,
}

/// What of a pool has nothing to do with its ranges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) strategy: Placement,
    pub(crate) cooldown: bool,
    /// Bits of the largest and of the smallest block.
    pub(crate) largest: u8,
    pub(crate) smallest: u8,
    pub(crate) usual: Option<u8>,
    pub(crate) tier: u8,
    pub(crate) labelled_only: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Ranges {
    Same,
    Add(Vec<Spot>),
    Remove(u8),
    Swap(u8, Spot),
    Cut(Vec<u8>),
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Allocate(Request),
    Batch {
        requests: Vec<Request>,
        atomic: bool,
    },
    /// What an allocation was asked for once, again; with other networks to keep away from, if they are given.
    Again {
        which: u8,
        gone: bool,
        exclude: Option<Spot>,
    },
    Release(u8),
    /// Another VPC, another name, another size, protection.
    Change {
        which: u8,
        vpc: Option<u8>,
        name: Option<u8>,
        size: Option<Ask>,
        protected: Option<bool>,
    },
    CreateVpc {
        vpc: u8,
        blue: bool,
    },
    /// One of those that are there, now and then any.
    DeleteVpc {
        vpc: u8,
        cascade: bool,
    },
    Reserve {
        spot: Spot,
        blue: bool,
        reason: bool,
    },
    Unreserve(u8),
    CreatePool(PoolSpec),
    ChangePool {
        which: u8,
        ranges: Ranges,
        policy: Option<Policy>,
    },
    DeletePool(u8),
    /// The time of what cools down in a pool is over.
    TimePasses(u8),
    EndCooldowns,
    ChangeProfile {
        which: u8,
        recipe: u8,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) op: Op,
    /// Asked of the other of two servers, which learns of changes by the database only.
    pub(crate) other_server: bool,
    /// Where there is a dry run, it comes first.
    pub(crate) dry_first: bool,
}

/// A world and what happens in it.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) v6: bool,
    pub(crate) strategies: [Placement; 4],
    /// Pools that begin with a cooldown, a bit each.
    pub(crate) cooldowns: u8,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn sequence() -> impl Strategy<Value = Sequence> {
    let strategies = [placement(), placement(), placement(), placement()];
    (any::<bool>(), strategies, any::<u8>(), vec(step(), 15..40)).prop_map(
        |(v6, strategies, cooldowns, steps)| Sequence {
            v6,
            strategies,
            cooldowns,
            steps,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    (op(), any::<bool>(), proptest::bool::weighted(0.4)).prop_map(
        |(op, other_server, dry_first)| Step {
            op,
            other_server,
            dry_first,
        },
    )
}

fn placement() -> BoxedStrategy<Placement> {
    prop_oneof![
        Just(Placement::BestFit),
        Just(Placement::FirstFit),
        Just(Placement::LastFit),
        Just(Placement::Sparse),
    ]
    .boxed()
}

fn spot(bits: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = Spot> {
    (any::<u8>(), bits).prop_map(|(at, bits)| Spot { at, bits })
}

fn size() -> impl Strategy<Value = Ask> {
    prop_oneof![
        4 => (1_u8..30).prop_map(Ask::Hosts),
        12 => (0_u8..=5).prop_map(Ask::Bits),
        1 => (6_u8..=8).prop_map(Ask::Bits),
        4 => spot(1..=6).prop_map(Ask::Exactly),
        1 => Just(Ask::Default),
    ]
}

fn from() -> impl Strategy<Value = From> {
    let named = prop_oneof![
        // The first three are there in the beginning, the others seldom.
        30 => (0_u8..3).prop_map(Named::Name),
        3 => (3_u8..6).prop_map(Named::Name),
        2 => any::<u8>().prop_map(Named::Id),
    ];
    prop_oneof![
        20 => (0_u8..3).prop_map(From::Profile),
        1 => Just(From::Profile(3)),
        30 => vec(named, 1..4).prop_map(From::Pools),
        12 => (0_u8..3).prop_map(From::Selector),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let vrf = prop_oneof![14 => Just(None), 1 => Just(Some(false)), 2 => Just(Some(true))];
    let exclude = prop_oneof![3 => Just(Vec::new()), 1 => vec(spot(2..=7), 1..3)];
    let flags = (
        proptest::bool::weighted(0.7),
        proptest::bool::weighted(0.04),
    );
    (0_u8..5, of(0_u8..4), vrf, from(), size(), exclude, flags).prop_map(
        |(vpc, name, vrf, from, size, exclude, (labelled, protected))| Request {
            vpc,
            name,
            vrf,
            from,
            size,
            exclude,
            labelled,
            protected,
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let bounds = (
        prop_oneof![3 => Just(8_u8), 1 => 2_u8..8],
        prop_oneof![4 => Just(0_u8), 1 => 1_u8..4],
    );
    let rare = proptest::bool::weighted(0.15);
    (
        placement(),
        any::<bool>(),
        bounds,
        of(0_u8..6),
        0_u8..3,
        rare,
    )
        .prop_map(
            |(strategy, cooldown, (largest, smallest), usual, tier, labelled_only)| Policy {
                strategy,
                cooldown,
                largest,
                smallest,
                usual,
                tier,
                labelled_only,
            },
        )
}

fn ranges() -> impl Strategy<Value = Ranges> {
    prop_oneof![
        2 => Just(Ranges::Same),
        3 => vec(spot(3..=6), 1..3).prop_map(Ranges::Add),
        2 => any::<u8>().prop_map(Ranges::Remove),
        1 => (any::<u8>(), spot(3..=6)).prop_map(|(which, spot)| Ranges::Swap(which, spot)),
        3 => vec(2_u8..8, 1..3).prop_map(Ranges::Cut),
    ]
}

fn pool() -> impl Strategy<Value = PoolSpec> {
    let place = prop_oneof![
        2 => (Just(None), vec(spot(3..=6), 0..3), Just(Vec::new())),
        2 => (any::<u8>().prop_map(Some), vec(spot(3..=6), 0..2), vec(2_u8..8, 0..3)),
    ];
    (0_u8..5, proptest::bool::weighted(0.3), place, policy()).prop_map(
        |(name, blue, (parent, ranges, cut), policy)| PoolSpec {
            name,
            blue,
            parent,
            ranges,
            cut,
            policy,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let change = (
        any::<u8>(),
        weighted(0.25, 0_u8..5),
        weighted(0.25, 0_u8..4),
        weighted(0.8, size()),
        weighted(0.2, any::<bool>()),
    );
    let rarely = proptest::bool::weighted(0.3);
    prop_oneof![
        36 => request().prop_map(Op::Allocate),
        7 => (vec(request(), 1..5), any::<bool>()).prop_map(|(requests, atomic)| Op::Batch { requests, atomic }),
        14 => (any::<u8>(), proptest::bool::weighted(0.8), weighted(0.25, spot(2..=7)))
            .prop_map(|(which, gone, exclude)| Op::Again { which, gone, exclude }),
        20 => any::<u8>().prop_map(Op::Release),
        16 => change.prop_map(|(which, vpc, name, size, protected)| Op::Change { which, vpc, name, size, protected }),
        2 => (0_u8..5, any::<bool>()).prop_map(|(vpc, blue)| Op::CreateVpc { vpc, blue }),
        3 => (any::<u8>(), proptest::bool::weighted(0.8)).prop_map(|(vpc, cascade)| Op::DeleteVpc { vpc, cascade }),
        6 => (spot(0..=9), rarely, any::<bool>()).prop_map(|(spot, blue, reason)| Op::Reserve { spot, blue, reason }),
        4 => any::<u8>().prop_map(Op::Unreserve),
        4 => pool().prop_map(Op::CreatePool),
        8 => (any::<u8>(), ranges(), of(policy()))
            .prop_map(|(which, ranges, policy)| Op::ChangePool { which, ranges, policy }),
        2 => any::<u8>().prop_map(Op::DeletePool),
        3 => any::<u8>().prop_map(Op::TimePasses),
        3 => Just(Op::EndCooldowns),
        3 => (0_u8..3, prop_oneof![9 => 0_u8..6, 1 => Just(6)]).prop_map(|(which, recipe)| Op::ChangeProfile { which, recipe }),
    ]
}
