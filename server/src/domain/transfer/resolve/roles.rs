//! Which member of its profile each block of an allocation is for, and whether together they make up the profile.

use ipam_shared::api::transfer::{Cell as _, ConflictCode};

use super::{
    super::{
        check::Check,
        gather::{FileAllocation, FileBlock},
        world::Member,
    },
    Found, Problem,
};

impl Check {
    /// The member of the profile that a block is for.
    pub(in crate::domain::transfer) fn member<'a>(
        &self,
        block: &FileBlock,
        vrf: usize,
        members: &'a [Member],
        all: &[FileBlock],
    ) -> Result<&'a Member, (ConflictCode, String)> {
        let current = || members.iter().filter(|member| member.retired.is_none());
        let roles = || {
            current()
                .map(|member| member.role.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let retired = block.retired.map(|at| at.0);
        if let (Some(_), None) = (retired, &block.role) {
            let detail = "it was cut by a member that was replaced; say for which role".to_owned();
            return Err((ConflictCode::Incomplete, detail));
        }
        if let Some(role) = &block.role {
            let found = match block.rules {
                rules if retired.is_some() => members.iter().find(|member| {
                    let is = (member.offset, member.shortest, member.longest);
                    member.role == *role
                        && member.retired == retired
                        && rules.is_none_or(|rules| rules == is)
                }),
                None => current().find(|member| member.role == *role),
                Some((offset, shortest, longest)) => members
                    .iter()
                    .filter(|member| {
                        member.role == *role
                            && (member.offset, member.shortest, member.longest)
                                == (offset, shortest, longest)
                    })
                    // The one in force, or else the one that was replaced last.
                    .max_by_key(|member| (member.retired.is_none(), member.retired)),
            };
            return found.ok_or_else(|| {
                let rules = match (block.rules, block.retired) {
                    (_, Some(at)) => format!(" that was replaced at {}", at.write()),
                    (Some(_), None) => " with these rules".to_owned(),
                    (None, None) => String::new(),
                };
                let detail = format!(
                    "the profile has no role \"{role}\"{rules}; it has {}",
                    roles()
                );
                (ConflictCode::Incomplete, detail)
            });
        }
        // Without a role: the only member left whose pool has such an address.
        let mut possible = current().filter(|member| {
            !all.iter()
                .any(|other| other.role.as_ref() == Some(&member.role))
                && self
                    .world
                    .pool(vrf, block.pool.as_deref().unwrap_or(&member.pool))
                    .is_some_and(|pool| self.world.range_of(pool, block.cidr).is_some())
        });
        match (possible.next(), possible.next()) {
            (Some(member), None) => Ok(member),
            (None, _) => {
                let detail = format!(
                    "{} lies in none of the pools of the profile, whose roles are {}",
                    block.cidr,
                    roles()
                );
                Err((ConflictCode::OutsidePool, detail))
            }
            _ => {
                let detail = format!(
                    "it may be for several roles of the profile; say for which: {}",
                    roles()
                );
                Err((ConflictCode::Incomplete, detail))
            }
        }
    }
}

/// The prefix length that an allocation of a profile was made for, if its blocks make up the profile.
pub(in crate::domain::transfer) fn recipe_length(
    file: &FileAllocation,
    found: &[Found],
    members: &[Member],
    problems: &mut Vec<Problem>,
) -> Option<u8> {
    let mut refuse = |line, cidr, detail: String| {
        problems.push((line, ConflictCode::Incomplete, Some(cidr), detail))
    };
    let mut seen: Vec<&Member> = Vec::new();
    // The length, and the block that told it.
    let mut length: Option<(i16, &Found)> = None;
    let mut good = true;
    for one in found {
        let (Some(member), block) = (&one.member, &one.block) else {
            continue;
        };
        if seen.iter().any(|other| other.role == member.role) {
            good = false;
            refuse(
                block.line,
                block.cidr,
                format!("the allocation has the role \"{}\" twice", member.role),
            );
        }
        seen.push(member);
        // A member with one length only always has that length.
        if member.shortest == member.longest {
            continue;
        }
        let is = i16::from(block.cidr.prefix_length()) - member.offset;
        match length {
            None => length = Some((is, one)),
            Some((first, other)) if first != is => {
                good = false;
                let detail = format!(
                    "{} does not go with {}: beside it the role \"{}\" gets a /{}",
                    block.cidr,
                    other.block.cidr,
                    member.role,
                    first + member.offset
                );
                refuse(block.line, block.cidr, detail);
            }
            Some(_) => {}
        }
    }
    // What was cut by an earlier form of the profile had the roles of that time, whether its members were replaced or others
    // joined them. Blocks that say by which rules they were cut are such.
    if found.iter().all(|one| one.block.rules.is_none())
        && seen.iter().all(|member| member.retired.is_none())
    {
        let missing: Vec<_> = members
            .iter()
            .filter(|member| {
                member.retired.is_none() && !seen.iter().any(|other| other.role == member.role)
            })
            .map(|member| format!("\"{}\"", member.role))
            .collect();
        if let (false, Some(first)) = (missing.is_empty(), found.first()) {
            good = false;
            let detail = format!(
                "an allocation of profile \"{}\" has a block for each of its roles; there is none for {}",
                file.record
                    .profile
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
                missing.join(", ")
            );
            refuse(file.line, first.block.cidr, detail);
        }
    }
    let first = found.first()?;
    let length = match (length, file.record.requested_prefix_length) {
        (Some((length, _)), _) => length,
        // Every length is fixed, whatever was asked for.
        (None, Some(asked)) => asked.into(),
        (None, None) => i16::from(first.block.cidr.prefix_length()) - first.member.as_ref()?.offset,
    };
    match u8::try_from(length).ok().filter(|length| *length <= 128) {
        Some(length) => good.then_some(length),
        None => {
            refuse(
                first.block.line,
                first.block.cidr,
                format!("it would have been asked for as a /{length}"),
            );
            None
        }
    }
}
