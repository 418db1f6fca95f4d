//! From the records of an allocation to its blocks: in which range each lies, which member of the profile it is for, and
//! whether the sizes are what these allow. Looks at nothing but the file and the world.

mod roles;

use std::collections::HashMap;

use ipam_shared::{
    api::{
        DEFAULT_VRF,
        allocation::MAIN,
        transfer::{ConflictCode, Record},
    },
    cidr::Cidr,
    labels::Labels,
};
use uuid::Uuid;

use super::{
    super::address_plan::check_required,
    check::{Check, NewAllocation, NewBlock},
    gather::{FileAllocation, FileBlock, vpc_of},
    world::{Member, Range},
};
use crate::{db::convert::Asked, network::Place};

/// What is wrong with a block or an allocation: the line, the kind, the network and the words. No words: something else
/// was said already.
pub(in crate::domain::transfer) type Problem = (u64, ConflictCode, Option<Cidr>, String);

/// A block with its range, and the member that it is for.
pub(in crate::domain::transfer) struct Found {
    pub(in crate::domain::transfer) block: FileBlock,
    pub(in crate::domain::transfer) range: Range,
    pub(in crate::domain::transfer) member: Option<Member>,
}

impl Check {
    /// What allocations would be, without those that are in conflict.
    pub(in crate::domain::transfer) fn resolve(
        &mut self,
        files: Vec<FileAllocation>,
    ) -> Vec<NewAllocation> {
        let mut recipes: HashMap<usize, Vec<Member>> = HashMap::new();
        for member in &self.world.members {
            recipes
                .entry(member.profile)
                .or_default()
                .push(member.clone());
        }
        let mut resolved = Vec::with_capacity(files.len());
        for file in files {
            let mut problems = Vec::new();
            match self.allocation(file, &recipes, &mut problems) {
                Some(new) if problems.is_empty() => resolved.push(new),
                _ => {
                    for (line, code, cidr, detail) in problems {
                        self.conflicts.add(line, code, cidr, detail);
                    }
                }
            }
        }
        resolved
    }

    fn allocation(
        &self,
        file: FileAllocation,
        recipes: &HashMap<usize, Vec<Member>>,
        problems: &mut Vec<Problem>,
    ) -> Option<NewAllocation> {
        let key = vpc_of(&file.record);
        // A VPC that could not be made has a conflict of its own.
        let vpc = self.world.vpcs.get(&key)?;
        let vrf = self.world.vrfs.get(vpc.vrf)?;
        let line = file.line;
        let mut refuse =
            |code, detail: String| problems.push((line, code, file.record.cidr, detail));
        if let Some(said) = &file.record.vrf
            && said.as_str() != vrf.name
        {
            refuse(
                ConflictCode::Different,
                format!(
                    "VPC \"{key}\" is in VRF \"{}\", not in \"{said}\"",
                    vrf.name
                ),
            );
            return None;
        }
        if let Err(detail) = requested(&file.record) {
            refuse(ConflictCode::BadValue, detail);
        }
        let profile = match &file.record.profile {
            None => None,
            Some(name) => match self.world.profile(name.as_str()) {
                Some(profile) => Some(profile),
                None => {
                    refuse(
                        ConflictCode::UnknownProfile,
                        format!("there is no profile \"{name}\""),
                    );
                    return None;
                }
            },
        };
        let empty = Vec::new();
        let members = profile.map_or(&empty, |profile| recipes.get(&profile).unwrap_or(&empty));
        let labels = file.record.labels.clone().unwrap_or_default();
        let mut found = Vec::with_capacity(file.blocks.len());
        let mut whole = true;
        for block in &file.blocks {
            match self.block(
                block,
                vpc.vrf,
                profile.is_some(),
                members,
                &file.blocks,
                &labels,
            ) {
                Ok(one) => found.push(one),
                Err(problem) => {
                    whole = false;
                    problems.extend(problem);
                }
            }
        }
        if !whole {
            return None;
        }
        found.sort_by_key(|found| found.member.as_ref().map(|member| member.position));
        let prefix_length = match profile {
            Some(_) => roles::recipe_length(&file, &found, members, problems)?,
            None if found.len() == 1 => found.first()?.block.cidr.prefix_length(),
            None => {
                let detail = format!(
                    "{} records make up this allocation, and only a profile gives several blocks; give the profile, or \
                     different names",
                    found.len()
                );
                problems.push((line, ConflictCode::Incomplete, file.record.cidr, detail));
                return None;
            }
        };
        let request = self.request(&file.record, vpc.vrf, found.first()?);
        let record = file.record;
        Some(NewAllocation {
            line,
            id: record.id.unwrap_or_else(Uuid::now_v7),
            vpc: key,
            profile,
            prefix_length,
            request,
            blocks: found
                .into_iter()
                .map(|found| self.new_block(found))
                .collect(),
            record,
        })
    }

    fn new_block(&self, found: Found) -> NewBlock {
        let Found {
            block,
            range,
            member,
        } = found;
        let bounds = self
            .world
            .pools
            .get(range.pool)
            .map_or((0, 128), |pool| pool.bounds());
        let of_member = member
            .as_ref()
            .map(|member| (member.offset, member.shortest, member.longest));
        let (offset, shortest, longest) =
            of_member.or(block.rules).unwrap_or((0, bounds.0, bounds.1));
        NewBlock {
            line: block.line,
            place: Place {
                range: range.id,
                cidr: block.cidr,
            },
            role: member
                .as_ref()
                .map_or(MAIN, |member| &member.role)
                .to_owned(),
            member: member.map(|member| (member.id, member.position)),
            offset,
            shortest,
            longest,
            since: block.since.map(|at| at.0),
        }
    }

    /// What is kept of the request, as the allocation of a single block keeps it.
    fn request(&self, record: &Record, vrf: usize, first: &Found) -> Option<serde_json::Value> {
        let mut asked = Asked {
            pools: record.requested_pools.clone(),
            pool_selector: record.requested_pool_selector.clone(),
            exclude_cidrs: record.exclude_cidrs.clone().unwrap_or_default(),
        };
        if first.member.is_none() && asked.pools.is_none() && asked.pool_selector.is_none() {
            let pool = self.world.pools.get(first.range.pool)?;
            // By name if the name means this pool in requests of this VPC.
            let by_name = self.world.pool(vrf, &pool.name) == Some(first.range.pool);
            asked.pools = Some(vec![if by_name {
                pool.name.clone()
            } else {
                pool.id.to_string()
            }]);
        }
        if asked == Asked::default() {
            return None;
        }
        serde_json::to_value(asked).ok()
    }

    fn block(
        &self,
        block: &FileBlock,
        vrf: usize,
        of_profile: bool,
        members: &[Member],
        all: &[FileBlock],
        labels: &Labels,
    ) -> Result<Found, Option<Problem>> {
        let cidr = block.cidr;
        let refuse = |code, detail: String| Some((block.line, code, Some(cidr), detail));
        let member = if of_profile {
            Some(
                self.member(block, vrf, members, all)
                    .map_err(|(code, detail)| refuse(code, detail))?,
            )
        } else {
            if let Some(role) = block.role.as_deref().filter(|role| *role != MAIN) {
                let detail = format!(
                    "the role \"{role}\" is one of a profile; give the profile, or no role"
                );
                return Err(refuse(ConflictCode::BadValue, detail));
            }
            None
        };
        let named = block
            .pool
            .as_deref()
            .or(member.map(|member| member.pool.as_str()));
        let range = match named {
            Some(text) => {
                let Some(pool) = self.world.pool(vrf, text) else {
                    if self.is_refused(vrf, text) {
                        return Err(None);
                    }
                    return Err(refuse(ConflictCode::UnknownPool, self.no_pool(vrf, text)));
                };
                self.world.range_of(pool, cidr).ok_or_else(|| {
                    let detail = format!(
                        "{cidr} lies in no range of pool \"{}\"",
                        self.world.pool_name(pool)
                    );
                    refuse(ConflictCode::OutsidePool, detail)
                })?
            }
            None => {
                let default = self
                    .world
                    .vrf(DEFAULT_VRF)
                    .filter(|default| *default != vrf);
                let own = self.world.containing(vrf, cidr).next();
                own.or_else(|| self.world.containing(default?, cidr).next()).ok_or_else(|| {
                    let detail = format!(
                        "{cidr} lies in no pool of the VRF of its VPC, nor of \"{DEFAULT_VRF}\"; add a pool record for a \
                         network that contains it"
                    );
                    refuse(ConflictCode::OutsidePool, detail)
                })?
            }
        };
        let pool = self.world.pools.get(range.pool).ok_or(None)?;
        let mut bounds = match (block.rules, member) {
            // The rules that applied when it was cut are more than those of today.
            (Some((offset, shortest, longest)), None) => {
                if offset != 0 {
                    let detail = "size_offset is for blocks of profiles".to_owned();
                    return Err(refuse(ConflictCode::BadValue, detail));
                }
                (shortest, longest)
            }
            (Some(_), Some(member)) => (member.shortest, member.longest),
            (None, member) => {
                if let Some(required) = &pool.record.required_labels
                    && let Err(error) = check_required(&pool.name, required, labels)
                {
                    return Err(refuse(ConflictCode::BadValue, error.to_string()));
                }
                let (shortest, longest) = pool.bounds();
                member.map_or((shortest, longest), |member| {
                    (member.shortest.max(shortest), member.longest.min(longest))
                })
            }
        };
        bounds.1 = bounds.1.min(pool.family.bits());
        if !(bounds.0..=bounds.1).contains(&cidr.prefix_length()) {
            let what = member.map_or_else(
                || format!("pool \"{}\"", self.world.pool_name(range.pool)),
                |member| format!("the role \"{}\", from pool \"{}\",", member.role, pool.name),
            );
            let detail = format!(
                "a /{} is out of bounds: {what} gives /{} to /{}",
                cidr.prefix_length(),
                bounds.0,
                bounds.1
            );
            return Err(refuse(ConflictCode::OutOfBounds, detail));
        }
        Ok(Found {
            block: block.clone(),
            range,
            member: member.cloned(),
        })
    }

    fn is_refused(&self, vrf: usize, text: &str) -> bool {
        let own = self
            .world
            .vrfs
            .get(vrf)
            .map(|vrf| vrf.name.as_str())
            .unwrap_or_default();
        let keys = match text.split_once('/') {
            Some((vrf, name)) => vec![(vrf.to_owned(), name.to_owned())],
            None => vec![
                (own.to_owned(), text.to_owned()),
                (DEFAULT_VRF.to_owned(), text.to_owned()),
            ],
        };
        keys.iter().any(|key| self.refused.contains(key))
    }

    fn no_pool(&self, vrf: usize, text: &str) -> String {
        let own = self
            .world
            .vrfs
            .get(vrf)
            .map(|vrf| vrf.name.as_str())
            .unwrap_or_default();
        if text.contains('/') || own == DEFAULT_VRF {
            format!("there is no pool \"{text}\"")
        } else {
            format!("there is no pool \"{text}\" in VRF \"{own}\" or \"{DEFAULT_VRF}\"")
        }
    }
}

/// Whether the size is asked for in one way at most, and the recipe too.
fn requested(record: &Record) -> Result<(), String> {
    let sizes = [
        record.requested_hosts.is_some(),
        record.requested_prefix_length.is_some(),
        record.requested_cidr.is_some(),
    ];
    if sizes.into_iter().filter(|given| *given).count() > 1 {
        return Err(
            "give at most one of requested_hosts, requested_prefix_length and requested_cidr"
                .to_owned(),
        );
    }
    if record
        .requested_hosts
        .is_some_and(|hosts| hosts == 0 || i64::try_from(hosts).is_err())
    {
        return Err("requested_hosts is at least 1".to_owned());
    }
    if record
        .requested_prefix_length
        .is_some_and(|length| length > 128)
    {
        return Err("requested_prefix_length is at most 128".to_owned());
    }
    let recipes = [
        record.profile.is_some(),
        record.requested_pools.is_some(),
        record.requested_pool_selector.is_some(),
    ];
    if recipes.into_iter().filter(|given| *given).count() > 1 {
        return Err(
            "give at most one of profile, requested_pools and requested_pool_selector".to_owned(),
        );
    }
    Ok(())
}
