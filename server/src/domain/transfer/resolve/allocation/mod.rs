//! From the records of an allocation to its blocks: in which range each lies, which member of the profile it is for, and
//! whether the sizes are what these allow. Uses only the file and the address plan.

mod roles;

use std::collections::HashMap;

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        allocation::MAIN,
        transfer::{ConflictCode, Record},
    },
    cidr::Cidr,
    ids::ProfileId,
    labels::Labels,
};
use uuid::Uuid;

use self::roles::{member_of, recipe_length};
use super::{
    NewAllocation, NewBlock,
    plan::{Plan, Range, Vrf},
};
use crate::{
    db::{convert::Asked, transfer::write::Member},
    domain::{
        address_plan::check_required,
        transfer::{
            findings::{Findings, Problem},
            read::gather::{FileBlock, Thing, vpc_of},
        },
    },
    network::Place,
};

/// A block with its range, and the member that it is for.
struct Found<'a> {
    block: &'a FileBlock,
    range: &'a Range,
    member: Option<&'a Member>,
}

/// What blocks of one allocation have in common.
struct Common<'a> {
    plan: &'a Plan,
    /// That of the VPC.
    vrf: &'a Vrf,
    labels: &'a Labels,
    /// All members of the profile, if there is one.
    members: Option<&'a [&'a Member]>,
    /// All blocks.
    all: &'a [FileBlock],
}

/// The allocations to create, without those that are in conflict.
pub(super) fn resolve(
    plan: &Plan,
    things: Vec<Thing<FileBlock>>,
    findings: &mut Findings,
) -> Vec<NewAllocation> {
    let mut profiles: HashMap<ProfileId, Vec<&Member>> = HashMap::new();
    for member in &plan.members {
        profiles.entry(member.profile_id).or_default().push(member);
    }
    let resolved = things
        .into_iter()
        .filter_map(|thing| allocation(plan, thing, &profiles, findings));
    resolved.collect()
}

fn allocation(
    plan: &Plan,
    thing: Thing<FileBlock>,
    profiles: &HashMap<ProfileId, Vec<&Member>>,
    findings: &mut Findings,
) -> Option<NewAllocation> {
    let Thing {
        line,
        record,
        parts: all,
    } = thing;
    let about = |problem: Problem| problem.about(record.cidr);
    // A VPC that could not be made has a conflict of its own.
    let vpc = plan.vpcs.get(&vpc_of(&record))?;
    findings.ok(line, check_vrf(&record, &vpc.vrf).map_err(about))?;
    let requested = findings.ok(line, check_requested(&record).map_err(about));
    let profile = findings.ok(line, profile_of(plan, &record).map_err(about))?;
    let members = profile.map(|profile| profiles.get(&profile).map_or(&[][..], Vec::as_slice));
    let common = Common {
        plan,
        vrf: &vpc.vrf,
        labels: &record.labels.clone().unwrap_or_default(),
        members,
        all: &all,
    };
    let mut found = Vec::with_capacity(all.len());
    for block in &all {
        let one = find(&common, block);
        let one = one.map_err(|problem| Some(problem?.about(block.cidr)));
        found.extend(findings.ok(block.line, one));
    }
    if found.len() < all.len() {
        return None;
    }
    found.sort_by_key(|found| found.member.map(|member| member.position));
    let first = found.first()?;
    let prefix_length = match members {
        Some(members) => recipe_length(line, &record, &found, members, findings)?,
        None if found.len() == 1 => first.block.cidr.prefix_length(),
        None => {
            let detail = format!(
                "{} records make up this allocation, and only a profile gives several blocks; give the profile, or different \
                 names",
                found.len()
            );
            let problem = Problem::new(ConflictCode::Incomplete, detail);
            findings.add(line, about(problem));
            return None;
        }
    };
    requested?;
    Some(NewAllocation {
        line,
        id: record.id.unwrap_or_else(Uuid::now_v7),
        vpc: vpc.clone(),
        profile,
        prefix_length,
        request: request(&common, &record, first),
        blocks: found.iter().map(new_block).collect(),
        record,
    })
}

fn check_vrf(record: &Record, vrf: &Vrf) -> Result<(), Problem> {
    match &record.vrf {
        Some(said) if said.as_str() != vrf.name => {
            let vpc = vpc_of(record);
            let detail = format!(
                "VPC \"{vpc}\" is in VRF \"{}\", not in \"{said}\"",
                vrf.name
            );
            Err(Problem::new(ConflictCode::Different, detail))
        }
        _ => Ok(()),
    }
}

fn profile_of(plan: &Plan, record: &Record) -> Result<Option<ProfileId>, Problem> {
    let Some(name) = &record.profile else {
        return Ok(None);
    };
    match plan.profiles.get(&name.to_string()) {
        Some(profile) => Ok(Some(ProfileId(profile.id))),
        None => {
            let detail = format!("there is no profile \"{name}\"");
            Err(Problem::new(ConflictCode::UnknownProfile, detail))
        }
    }
}

/// Whether at most one way to give the size is used, and at most one to give the recipe.
fn check_requested(record: &Record) -> Result<(), Problem> {
    let (hosts, length) = (record.requested_hosts, record.requested_prefix_length);
    let sizes = [
        hosts.is_some(),
        length.is_some(),
        record.requested_cidr.is_some(),
    ];
    let recipes = [
        record.profile.is_some(),
        record.requested_pools.is_some(),
        record.requested_pool_selector.is_some(),
    ];
    let several = |given: [bool; 3]| given.into_iter().filter(|given| *given).count() > 1;
    let problem = if several(sizes) {
        "give at most one of requested_hosts, requested_prefix_length and requested_cidr"
    } else if hosts.is_some_and(|hosts| hosts == 0 || i64::try_from(hosts).is_err()) {
        "requested_hosts must be at least 1"
    } else if length.is_some_and(|length| length > 128) {
        "requested_prefix_length must be at most 128"
    } else if several(recipes) {
        "give at most one of profile, requested_pools and requested_pool_selector"
    } else {
        return Ok(());
    };
    Err(Problem::bad_value(problem))
}

/// Where a block lies, and which member it is for. An error without a problem: it was reported already.
fn find<'a>(common: &Common<'a>, block: &'a FileBlock) -> Result<Found<'a>, Option<Problem>> {
    let cidr = block.cidr;
    let member = match (common.members, &block.role) {
        (Some(members), _) => Some(member_of(common, members, block)?),
        (None, Some(role)) if role != MAIN => {
            let detail = format!(
                "the role \"{role}\" belongs to a profile; give the profile, or leave the role out"
            );
            return Err(Some(Problem::bad_value(detail)));
        }
        (None, _) => None,
    };
    let named = block.pool.as_ref().or(member.map(|member| &member.pool));
    let range = range_of(common, named, cidr)?;
    let pool = &range.pool;
    let (shortest, longest) = pool.bounds();
    let (shortest, longest) = match (block.rules, member) {
        // The rules that applied when it was cut take precedence over today's.
        (Some((0, shortest, longest)), None) => (shortest, longest),
        (Some(_), None) => {
            let detail = "size_offset is for blocks of profiles";
            return Err(Some(Problem::bad_value(detail)));
        }
        (Some(_), Some(member)) => (member.min_prefix_length, member.max_prefix_length),
        (None, member) => {
            if let Some(required) = &pool.record.required_labels {
                check_required(&pool.name, required, common.labels).map_err(Problem::bad_value)?;
            }
            member.map_or((shortest, longest), |member| {
                (
                    member.min_prefix_length.max(shortest),
                    member.max_prefix_length.min(longest),
                )
            })
        }
    };
    let longest = longest.min(pool.family.bits());
    let length = cidr.prefix_length();
    if !(shortest..=longest).contains(&length) {
        let what = member.map_or_else(
            || format!("pool \"{}\"", pool.full_name()),
            |member| format!("the role \"{}\", from pool \"{}\",", member.role, pool.name),
        );
        let detail =
            format!("a /{length} is out of bounds: {what} gives /{shortest} to /{longest}");
        return Err(Some(Problem::new(ConflictCode::OutOfBounds, detail)));
    }
    Ok(Found {
        block,
        range,
        member,
    })
}

/// The range of the pool that is named, or else the deepest one, that has a block.
fn range_of<'a>(
    common: &Common<'a>,
    named: Option<&String>,
    cidr: Cidr,
) -> Result<&'a Range, Option<Problem>> {
    let (plan, vrf) = (common.plan, common.vrf);
    let (found, nowhere) = match named {
        Some(text) => {
            let pool = plan.pool(vrf, text)?;
            let nowhere = format!("no range of pool \"{}\"", pool.full_name());
            (plan.range_of(pool, cidr), nowhere)
        }
        None => {
            let default = plan.vrfs.get(&DEFAULT_VRF.to_owned());
            let mut ids = [Some(vrf.id), default.map(|default| default.id)]
                .into_iter()
                .flatten();
            let nowhere = format!(
                "no pool of the VRF of its VPC, nor of \"{DEFAULT_VRF}\"; add a pool record for a network that contains it"
            );
            let found = ids.find_map(|vrf| plan.containing(vrf, cidr).next());
            (found, nowhere)
        }
    };
    found.ok_or_else(|| {
        let detail = format!("{cidr} lies in {nowhere}");
        Some(Problem::new(ConflictCode::OutsidePool, detail))
    })
}

fn new_block(found: &Found<'_>) -> NewBlock {
    let Found {
        block,
        range,
        member,
    } = found;
    let (shortest, longest) = range.pool.bounds();
    let rules = member.map(Member::rules).or(block.rules);
    NewBlock {
        line: block.line,
        place: Place {
            range: range.id,
            cidr: block.cidr,
        },
        pool: range.pool.clone(),
        member: member.map(|member| member.id),
        role: member.map_or(MAIN, |member| &member.role).to_owned(),
        rules: rules.unwrap_or((0, shortest, longest)),
        since: block.since,
    }
}

/// What is stored of the request, as for an allocation of a single block.
fn request(common: &Common<'_>, record: &Record, first: &Found<'_>) -> Option<serde_json::Value> {
    let mut asked = Asked {
        pools: record.requested_pools.clone(),
        pool_selector: record.requested_pool_selector.clone(),
        exclude_cidrs: record.exclude_cidrs.clone().unwrap_or_default(),
    };
    if first.member.is_none() && asked.pools.is_none() && asked.pool_selector.is_none() {
        let pool = &first.range.pool;
        // By name if the name means this pool in requests of this VPC.
        let meant = common.plan.pool(common.vrf, &pool.name);
        let by_name = meant.is_ok_and(|meant| meant.id == pool.id);
        asked.pools = Some(vec![if by_name {
            pool.name.clone()
        } else {
            pool.id.to_string()
        }]);
    }
    asked.json().ok().flatten()
}

/// Keeps the first of those that have an id, a number or a name in common.
pub(super) fn unique(all: Vec<NewAllocation>, findings: &mut Findings) -> Vec<NewAllocation> {
    let (mut ids, mut numbers, mut names) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut unique = Vec::with_capacity(all.len());
    for new in all {
        let (line, vpc) = (new.line, vpc_of(&new.record));
        let by_id = ids.insert(new.id, line);
        let by_number = new.record.number.and_then(|number| {
            let other = numbers.insert(number, line)?;
            Some((other, ConflictCode::IdTaken, format!("number {number}")))
        });
        let by_name = new.record.name.clone().and_then(|name| {
            let other = names.insert((vpc.clone(), name.clone()), line)?;
            let what = format!("name \"{vpc}/{name}\"");
            Some((other, ConflictCode::NameTaken, what))
        });
        let by_id = by_id.map(|other| (other, ConflictCode::IdTaken, format!("id {}", new.id)));
        let Some((other, code, what)) = by_name.or(by_number).or(by_id) else {
            unique.push(complete(new));
            continue;
        };
        let detail = format!("another allocation of the file, on line {other}, has the {what}");
        findings.add(line, Problem::new(code, detail).beside(other));
    }
    unique
}

/// Fills in what the file leaves out: the id, and the requested size.
fn complete(mut new: NewAllocation) -> NewAllocation {
    let record = &mut new.record;
    // If a request is given with its pools but without a size, the size was left to the pool.
    let is_said = record.requested_hosts.is_some()
        || record.requested_prefix_length.is_some()
        || record.requested_pools.is_some()
        || record.requested_pool_selector.is_some();
    let first = new.blocks.first().filter(|_| !is_said);
    record.requested_cidr = record
        .requested_cidr
        .or(first.map(|block| block.place.cidr));
    record.id = Some(new.id);
    new
}
