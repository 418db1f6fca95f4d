//! What a change locks before it reads anything: one query that begins the transaction and takes all locks, since each
//! round trip counts. What is locked is read afterwards, by statements that see everything that was committed until then.
//!
//! All code locks in one order, so that changes can't deadlock: the VRF, profiles, reservations, pools by id,
//! VPCs, allocations, tokens, webhooks; and last the row of `address_plan`, which triggers lock. Whoever changes the plan holds
//! that row until the commit, so it locks nothing afterwards that others hold while they wait for it.
//!
//! What is only found after the transaction began is locked elsewhere, in the same order: things by their names (`lock_named`
//! of each noun, `vpc::find_or_insert` and then `allocation::lock`), parents of pools (`pool::lock`), and what is confirmed or
//! taken over (`ownership::confirm` and `take`, by noun).
//!
//! The query texts contain ids and no user input.

use std::fmt::Write as _;

use ipam_shared::{
    api::ownership::Noun,
    ids::{AllocationId, PoolId, ProfileId, ReservationId, TokenId, VpcId, VrfId, WebhookId},
};
use uuid::Uuid;

/// The locks of one change.
#[derive(Clone, Debug)]
pub struct Locks {
    /// Statements behind the one that begins.
    text: String,
    /// Whether blocks may move: then the change has connections of the hot path, whose statements use an index whatever the
    /// tables hold.
    pub is_hot: bool,
    /// What the change is about, where that exists already: a limited caller has to see it.
    pub subjects: Vec<(Noun, Uuid)>,
    /// A VPC that goes with all of its allocations.
    pub emptied: Option<VpcId>,
}

impl Locks {
    fn of(statements: impl IntoIterator<Item = String>) -> Self {
        let mut text = String::new();
        for statement in statements {
            write!(text, "; {statement}").expect("a text takes all that is written to it");
        }
        Self {
            text,
            is_hot: false,
            subjects: Vec::new(),
            emptied: None,
        }
    }

    /// The same for a change that is about something that these locks don't name.
    #[must_use]
    pub fn about(mut self, noun: Noun, id: impl Into<Uuid>) -> Self {
        self.subjects.push((noun, id.into()));
        self
    }

    fn emptying(self, vpc: VpcId) -> Self {
        Self {
            emptied: Some(vpc),
            ..self
        }
    }

    fn hot(self) -> Self {
        Self {
            is_hot: true,
            ..self
        }
    }

    /// The statements that begin a transaction with these locks.
    pub fn begin(&self) -> String {
        format!("begin{}", self.text)
    }

    /// No locks: what is there already is found by name.
    pub fn none() -> Self {
        Self::of([])
    }

    /// A VRF, against every other change of what is in it: pools, ranges, reservations. Allocations and new VPCs go on.
    pub fn vrf(id: VrfId) -> Self {
        Self::of([format!(
            "select from vrf where vrf_id = '{id}' for no key update"
        )])
        .about(Noun::Vrf, id)
    }

    /// A VRF that is to be deleted, also against new VPCs; and those that would go with it, so that we wait for an
    /// allocation that is being made in one of them.
    pub fn vrf_to_delete(id: VrfId) -> Self {
        Self::of([
            format!("select from vrf where vrf_id = '{id}' for update"),
            format!(
                "select from vpc where vrf_id = '{id}' and implicit order by vpc_id for update"
            ),
        ])
        .about(Noun::Vrf, id)
    }

    /// A profile, against changes and new allocations from it.
    pub fn profile(id: ProfileId) -> Self {
        Self::of([format!(
            "select from profile where profile_id = '{id}' for update"
        )])
        .about(Noun::Profile, id)
    }

    /// What is said of a reservation.
    pub fn reservation(id: ReservationId) -> Self {
        Self::of([reservation(id)]).about(Noun::Reservation, id)
    }

    /// A reservation with the space that it takes.
    pub fn reservation_with_space(id: ReservationId) -> Self {
        Self::of([
            format!(
                "select from vrf where vrf_id = (select vrf_id from reservation where reservation_id = '{id}') \
                 for no key update"
            ),
            reservation(id),
            format!(
                "select from pool where pool_id in (select pool_id from block join pool_range using (range_id) \
                 where reservation_id = '{id}') order by pool_id for no key update"
            ),
        ])
        .about(Noun::Reservation, id)
        .hot()
    }

    /// A VRF and pools of it.
    pub fn space(vrf: VrfId, pools: &[PoolId]) -> Self {
        let lock = format!("select from vrf where vrf_id = '{vrf}' for no key update");
        Self::of(std::iter::once(lock).chain(these_pools(pools)))
            .about(Noun::Vrf, vrf)
            .hot()
    }

    /// A pool, its VRF, and the pool that its ranges are cut from.
    pub fn pool(id: PoolId) -> Self {
        Self::of([
            format!(
                "select from vrf where vrf_id = (select vrf_id from pool where pool_id = '{id}') for no key update"
            ),
            format!(
                "select from pool where pool_id = '{id}' \
                 or pool_id = (select parent_pool_id from pool where pool_id = '{id}') \
                 order by pool_id for no key update"
            ),
        ])
        .about(Noun::Pool, id)
        .hot()
    }

    /// Pools alone.
    pub fn pools(ids: &[PoolId]) -> Self {
        Self::of(these_pools(ids)).hot()
    }

    /// A VPC, against changes and new allocations.
    pub fn vpc(id: VpcId) -> Self {
        Self::of([vpc(id)]).about(Noun::Vpc, id)
    }

    /// A VPC that is to be deleted if it has no allocations.
    pub fn empty_vpc_to_delete(id: VpcId) -> Self {
        Self::vpc(id).emptying(id)
    }

    /// A VPC, and the allocations in it; before them these pools.
    pub fn vpc_to_delete(id: VpcId, pools: &[PoolId]) -> Self {
        Self::of(these_pools(pools).into_iter().chain([
            vpc(id),
            format!(
                "select from allocation where vpc_id = '{id}' order by allocation_id for update"
            ),
        ]))
        .about(Noun::Vpc, id)
        .emptying(id)
        .hot()
    }

    /// An allocation, against changes. It joins nothing: an allocation that was moved while we waited for the lock would no
    /// longer match its old VPC, and seem not to exist.
    pub fn allocation(id: AllocationId) -> Self {
        Self::of([allocation(id)]).about(Noun::Allocation, id).hot()
    }

    /// The pools of an allocation, which never change.
    pub fn pools_of_allocation(id: AllocationId) -> Self {
        Self::of([pools_of(id)]).about(Noun::Allocation, id).hot()
    }

    /// An allocation with the space around it.
    pub fn allocation_with_space(id: AllocationId) -> Self {
        Self::of([pools_of(id), allocation(id)])
            .about(Noun::Allocation, id)
            .hot()
    }

    /// A token.
    pub fn token(id: TokenId) -> Self {
        Self::of([format!(
            "select from token where token_id = '{id}' for no key update"
        )])
        .about(Noun::Token, id)
    }

    /// A webhook, against changes. How far it is delivered goes on.
    pub fn webhook(id: WebhookId) -> Self {
        Self::of([format!(
            "select from webhook where webhook_id = '{id}' for no key update"
        )])
        .about(Noun::Webhook, id)
    }
}

fn reservation(id: ReservationId) -> String {
    format!("select from reservation where reservation_id = '{id}' for update")
}

fn vpc(id: VpcId) -> String {
    format!("select from vpc where vpc_id = '{id}' for update")
}

fn allocation(id: AllocationId) -> String {
    format!("select from allocation where allocation_id = '{id}' for no key update")
}

fn pools_of(id: AllocationId) -> String {
    format!(
        "select from pool where pool_id in (select pool_id from block join pool_range using (range_id) \
         where allocation_id = '{id}') order by pool_id for no key update"
    )
}

/// Pools in the order of their ids; nothing, if there are none.
fn these_pools(ids: &[PoolId]) -> Option<String> {
    let ids: Vec<_> = ids.iter().map(|id| format!("'{id}'")).collect();
    (!ids.is_empty()).then(|| {
        format!(
            "select from pool where pool_id in ({}) order by pool_id for no key update",
            ids.join(", ")
        )
    })
}
