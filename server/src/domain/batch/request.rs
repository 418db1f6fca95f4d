//! A request for space on its way through a batch.

use ipam_shared::{
    api::allocation::{Allocation, NewAllocation, Recipe, Size},
    ids::{AllocationId, PoolId, VrfId},
};
use uuid::Uuid;

use crate::{
    domain::{Ipam, ownership::Maker},
    error::{Exceeded, Result},
};

/// The answer to a request for space.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the caller has now, or would have.
    pub allocation: Allocation,
    /// Whether this request made it.
    pub created: bool,
    /// The request that made it.
    pub request_id: Uuid,
}

/// A checked request.
#[derive(Clone, Debug)]
pub(in crate::domain) struct Request {
    /// The id that the allocation gets if it is new.
    pub(in crate::domain) id: AllocationId,
    pub(in crate::domain) new: NewAllocation,
    pub(in crate::domain) recipe: Recipe,
    pub(in crate::domain) size: Size,
    pub(in crate::domain) maker: Maker,
    /// The Idempotency-Key, with SHA-256 of the request.
    pub(in crate::domain) key: Option<(String, Vec<u8>)>,
    /// Pools that turned out to have no room for it.
    pub(in crate::domain) tried: Vec<PoolId>,
    /// Quotas that kept it from taking from some of these.
    pub(in crate::domain) exceeded: Vec<Exceeded>,
}

impl Request {
    /// What must be unique within a batch.
    pub(in crate::domain) fn identities(&self) -> Vec<(u8, String, String)> {
        let name = self
            .new
            .name
            .as_ref()
            .map(|name| (0, self.new.vpc.folded(), name.as_str().to_owned()));
        let key = self
            .key
            .as_ref()
            .map(|(key, _)| (1, self.maker.caller.actor.clone(), key.clone()));
        name.into_iter().chain(key).collect()
    }

    /// Whether the address plan alone says which pools it means.
    pub(super) fn is_of_profile(&self) -> bool {
        matches!(self.recipe, Recipe::Profile(_))
    }

    /// Identifies requests that want the same pools, as far as known: the recipe, and the VRF in which it is looked up.
    pub(in crate::domain) fn queue(&self, ipam: &Ipam) -> (Recipe, Option<String>, Option<VrfId>) {
        let vrf = self.new.vrf.as_ref().map(ToString::to_string);
        let hint = match vrf {
            Some(_) => None,
            None => ipam.vrf_hint(&self.new.vpc.folded()),
        };
        (self.recipe.clone(), vrf, hint)
    }
}

/// How far a request got.
pub(in crate::domain) enum Step {
    /// Decided.
    Done(Box<Result<Outcome>>),
    /// It conflicts with another one of the same batch or with a concurrent change; to be decided afterwards.
    Later(Box<Request>),
}

/// What to do with the decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Written, whatever happens to the others.
    Each,
    /// Written if every request gets what it asks for.
    Atomic,
    /// Only answered.
    Dry,
}
