//! What can satisfy each request of a batch, before anything is locked: from the address plan, and, where there are several
//! pools to choose from, from a quick look at what is free in them.
//!
//! Of several pools only one is locked, the first that seems to have room, so that pools don't wait for each other. It is
//! checked again under the lock; if it has no room after all, the request tries the next one.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use ipam_shared::{
    api::allocation::{Recipe, Size},
    cidr::Cidr,
    ids::{PoolId, ProfileId, VrfId},
    name::Name,
};

use super::request::Request;
use crate::{
    db::{
        cooldown::{self, Cooling},
        free,
    },
    domain::{
        Ipam,
        address_plan::{AddressPlan, Choice, Source, check_required},
        sizing::{self, Lengths},
    },
    error::{Error, Result},
    network::{Place, Range},
};

/// A request with what can satisfy it.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The VRF that its VPC is in, as far as is known.
    pub(super) vrf: VrfId,
    /// The profile that it asks for.
    pub(super) profile: Option<(ProfileId, Name)>,
    pub(super) resolution: Resolution,
}

impl Prepared {
    /// What it can take from.
    pub(super) fn sources(&self) -> &[Source] {
        match &self.resolution {
            Resolution::Take { sources, .. } => sources,
            _ => &[],
        }
    }
}

/// The pools that have to be locked for these requests.
pub(super) fn pools(prepared: &[Prepared]) -> BTreeSet<PoolId> {
    let sources = prepared.iter().flat_map(Prepared::sources);
    sources.map(|source| source.pool.id).collect()
}

#[derive(Debug)]
pub(super) enum Resolution {
    /// From these pools, once they are locked.
    Take {
        sources: Vec<Source>,
        lengths: Lengths,
        /// Whether other pools are left if these have no room.
        has_others: bool,
    },
    /// None of these has room: the sources, and the length that was asked of each.
    Full(Vec<(Source, u8)>),
    /// It can't be satisfied, whatever is free.
    Refuse(Option<Error>),
}

/// Prepares the requests of a batch, in their order.
pub(super) async fn prepare(
    ipam: &Ipam,
    plan: &Arc<AddressPlan>,
    requests: &[Request],
) -> Result<Vec<Prepared>> {
    let mut prepared = Vec::with_capacity(requests.len());
    // By the request's index.
    let mut open: Vec<(usize, Vec<Candidate>)> = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let mut one = Prepared {
            vrf: plan.vrf(None)?,
            profile: None,
            resolution: Resolution::Refuse(None),
        };
        match candidates(ipam, plan, request, &mut one) {
            Err(error) => one.resolution = Resolution::Refuse(Some(error)),
            Ok(mut candidates) if candidates.len() == 1 => {
                if let Some(candidate) = candidates.pop() {
                    one.resolution = candidate.resolution(false);
                }
            }
            Ok(candidates) => open.push((index, candidates)),
        }
        prepared.push(one);
    }
    if !open.is_empty() {
        choose(ipam, requests, open, &mut prepared).await?;
    }
    Ok(prepared)
}

/// Sources that suit a request by their rules, with the lengths of its blocks.
struct Candidate {
    sources: Vec<Source>,
    lengths: Lengths,
}

impl Candidate {
    fn resolution(self, has_others: bool) -> Resolution {
        Resolution::Take {
            sources: self.sources,
            lengths: self.lengths,
            has_others,
        }
    }
}

/// The VRF that a request's VPC is in, as far as is known.
fn vrf(ipam: &Ipam, plan: &AddressPlan, request: &Request) -> Result<VrfId> {
    match (&request.new.vrf, ipam.vrf_hint(&request.new.vpc.folded())) {
        (None, Some(vrf)) => Ok(vrf),
        (name, _) => plan.vrf(name.as_ref()),
    }
}

/// What can satisfy a request, whatever its size.
pub(super) fn choice(ipam: &Ipam, plan: &Arc<AddressPlan>, request: &Request) -> Result<Choice> {
    let plan = &as_seen(ipam, plan, request);
    plan.choice(&request.recipe, vrf(ipam, plan, request)?)
}

/// What the caller of a request sees of the plan.
fn as_seen(ipam: &Ipam, plan: &Arc<AddressPlan>, request: &Request) -> Arc<AddressPlan> {
    match request.maker.caller.rights.scope() {
        None => Arc::clone(plan),
        Some(scope) => ipam.address_plan_within(plan, scope),
    }
}

/// The VPC is in a VRF that the caller of a request does not see.
pub(super) fn elsewhere(request: &Request) -> Error {
    Error::Forbidden(format!(
        "this token does not cover the VRF that VPC \"{}\" is in",
        request.new.vpc
    ))
}

/// What suits a request by the rules; an error if nothing does.
fn candidates(
    ipam: &Ipam,
    plan: &Arc<AddressPlan>,
    request: &Request,
    one: &mut Prepared,
) -> Result<Vec<Candidate>> {
    let plan = &as_seen(ipam, plan, request);
    one.vrf = vrf(ipam, plan, request)?;
    if let Some(scope) = request.maker.caller.rights.scope()
        && !scope.covers_vrf(one.vrf)
    {
        return Err(elsewhere(request));
    }
    let choice = plan.choice(&request.recipe, one.vrf)?;
    one.profile = choice.profile;
    let several = choice.options.len() > 1;
    let mut options = choice.options;
    if let (Size::Cidr(cidr), Recipe::Pools(_) | Recipe::Selector(_)) =
        (request.size, &request.recipe)
    {
        options = containing(options, cidr)?;
    }
    let mut first_error = None;
    let mut suitable = Vec::with_capacity(options.len());
    for sources in options {
        match sized(request, &sources) {
            Ok(lengths) => suitable.push(Candidate { sources, lengths }),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) if suitable.is_empty() && several => {
            let field = error.field();
            let all = format!("none of the pools suits the request; the first: {error}");
            Err(Error::invalid(all).about(field))
        }
        Some(error) if suitable.is_empty() => Err(error),
        _ => Ok(suitable),
    }
}

/// The lengths of the blocks, if the rules of the pools allow them.
fn sized(request: &Request, sources: &[Source]) -> Result<Lengths> {
    let what = match &request.recipe {
        Recipe::Profile(name) => format!("profile \"{name}\""),
        _ => "it".to_owned(),
    };
    let lengths = sizing::lengths(&what, request.size, sources)
        .map_err(|error| error.about(request.size.field()))?;
    for source in sources {
        check_required(
            &source.pool.name,
            &source.pool.required_labels,
            &request.new.labels,
        )?;
    }
    Ok(lengths)
}

/// The pool that an explicit block lies in; of nested ones the innermost.
fn containing(options: Vec<Vec<Source>>, cidr: Cidr) -> Result<Vec<Vec<Source>>> {
    let names: Vec<_> = options
        .iter()
        .map(|sources| format!("\"{}\"", sources[0].pool.name))
        .collect();
    let mut innermost: Option<(Range, Vec<Source>)> = None;
    for sources in options {
        let ranges = &sources[0].pool.ranges;
        let Some(range) = ranges
            .iter()
            .find(|range| range.cidr.contains(cidr))
            .copied()
        else {
            continue;
        };
        // Of equal ones the first that was named; but a child's range may be as large as its parent's, which was made
        // before it.
        let is_inside = innermost.as_ref().is_none_or(|(other, others)| {
            range.cidr.prefix_length() > other.cidr.prefix_length()
                || range.cidr == other.cidr
                    && sources[0].pool.vrf == others[0].pool.vrf
                    && range.id > other.id
        });
        if is_inside {
            innermost = Some((range, sources));
        }
    }
    match innermost {
        Some((_, sources)) => Ok(vec![sources]),
        None => Err(Error::invalid(format!(
            "{cidr} lies in none of the pools {}",
            names.join(", ")
        ))
        .about("cidr")),
    }
}

/// For requests with more than one suitable pool, chooses the first that seems to have room.
async fn choose(
    ipam: &Ipam,
    requests: &[Request],
    open: Vec<(usize, Vec<Candidate>)>,
    prepared: &mut [Prepared],
) -> Result<()> {
    let mut pools: Vec<PoolId> = open
        .iter()
        .flat_map(|(_, candidates)| candidates)
        .map(|candidate| candidate.sources[0].pool.id)
        .collect();
    pools.sort_unstable();
    pools.dedup();
    let mut connection = ipam.read().await?;
    let largest = free::largest(&mut connection, &pools).await?;
    let named: Vec<_> = open
        .iter()
        .filter_map(|(index, candidates)| {
            let has_cooldown = candidates
                .iter()
                .any(|candidate| candidate.sources[0].pool.has_cooldown);
            let name = requests[*index]
                .new
                .name
                .as_ref()
                .filter(|_| has_cooldown)?;
            let vpc = requests[*index].new.vpc.folded();
            Some((*index, vpc, name.as_str().to_owned()))
        })
        .collect();
    let cooling = if named.is_empty() {
        HashMap::new()
    } else {
        cooldown::of_names(&mut connection, &named).await?
    };
    for (index, candidates) in open {
        let request = &requests[index];
        // What the same name had until recently comes first.
        let is_back = |candidate: &Candidate| {
            !request.tried.contains(&candidate.sources[0].pool.id)
                && cooling.get(&index).is_some_and(|cooling| {
                    back(
                        request,
                        &candidate.sources,
                        &candidate.lengths.blocks,
                        cooling,
                    )
                    .is_some()
                })
        };
        let has_room = |candidate: &Candidate| {
            let pool = &candidate.sources[0].pool;
            let wanted = pool.family.bits() - candidate.lengths.blocks[0];
            !request.tried.contains(&pool.id)
                && largest.get(&pool.id).is_some_and(|bits| *bits >= wanted)
        };
        let position = candidates
            .iter()
            .position(is_back)
            .or_else(|| candidates.iter().position(has_room));
        let mut candidates = candidates;
        prepared[index].resolution = match position {
            Some(position) => candidates.swap_remove(position).resolution(true),
            None => Resolution::Full(
                candidates
                    .into_iter()
                    .filter_map(|mut candidate| {
                        let length = *candidate.lengths.blocks.first()?;
                        Some((candidate.sources.pop()?, length))
                    })
                    .collect(),
            ),
        };
    }
    Ok(())
}

/// The blocks that the same name had, if they match the request.
pub(super) fn back(
    request: &Request,
    sources: &[Source],
    lengths: &[u8],
    cooling: &[Cooling],
) -> Option<Vec<(Source, Place)>> {
    if cooling.len() != sources.len() {
        return None;
    }
    let pieces: Vec<_> = sources
        .iter()
        .zip(lengths)
        .map(|(source, length)| {
            let block = cooling.iter().find(|block| block.role == *source.role)?;
            let is_here = source
                .pool
                .ranges
                .iter()
                .any(|range| range.id == block.place.range);
            let is_away = request
                .new
                .exclude_cidrs
                .iter()
                .all(|other| !other.overlaps(block.place.cidr));
            (is_here && is_away && block.place.cidr.prefix_length() == *length)
                .then(|| (source.clone(), block.place))
        })
        .collect::<Option<_>>()?;
    match request.size {
        Size::Cidr(cidr) if pieces.first()?.1.cidr != cidr => None,
        _ => Some(pieces),
    }
}
