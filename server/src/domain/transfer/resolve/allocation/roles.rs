//! Which member of its profile each block of an allocation is for, and whether together they make up the profile.

use ipam_shared::api::transfer::{Cell as _, ConflictCode, Record};

use super::{Common, Found};
use crate::{
    db::transfer::write::Member,
    domain::transfer::{
        findings::{Findings, Problem},
        read::gather::{FileBlock, text},
    },
};

/// The member of the profile that a block is for.
pub(super) fn member_of<'a>(
    common: &Common<'a>,
    members: &[&'a Member],
    block: &FileBlock,
) -> Result<&'a Member, Problem> {
    let current = || members.iter().filter(|member| member.retired_at.is_none());
    let roles: Vec<_> = current().map(|member| member.role.as_str()).collect();
    let roles = roles.join(", ");
    let incomplete = |detail: String| Problem::new(ConflictCode::Incomplete, detail);
    let Some(role) = &block.role else {
        if block.retired.is_some() {
            let detail = "it was cut by a member that was replaced; give its role";
            return Err(incomplete(detail.to_owned()));
        }
        // The only member left whose pool has such an address.
        let is_used = |role: &String| common.all.iter().any(|it| it.role.as_ref() == Some(role));
        let has_address = |member: &Member| {
            let pool = block.pool.as_deref().unwrap_or(&member.pool);
            let pool = common.plan.pool(common.vrf, pool);
            pool.is_ok_and(|pool| common.plan.range_of(pool, block.cidr).is_some())
        };
        let mut possible = current().filter(|it| !is_used(&it.role) && has_address(it));
        return match (possible.next(), possible.next()) {
            (Some(member), None) => Ok(member),
            (None, _) => {
                let detail = format!(
                    "{} lies in none of the pools of the profile, whose roles are {roles}",
                    block.cidr
                );
                Err(Problem::new(ConflictCode::OutsidePool, detail))
            }
            _ => Err(incomplete(format!(
                "it may be for several roles of the profile; give one of them: {roles}"
            ))),
        };
    };
    let mut of_role = members.iter().filter(|member| member.role == *role);
    let found = match (block.retired, block.rules) {
        (Some(retired), rules) => of_role.find(|member| {
            member.retired_at == Some(retired) && rules.is_none_or(|it| it == member.rules())
        }),
        (None, None) => of_role.find(|member| member.retired_at.is_none()),
        // The current one, or else the one that was replaced last.
        (None, Some(rules)) => {
            of_role
                .filter(|member| member.rules() == rules)
                .max_by_key(|member| {
                    (
                        member.retired_at.is_none(),
                        member.retired_at.map(|at| at.0),
                    )
                })
        }
    };
    found.copied().ok_or_else(|| {
        let rules = match (block.rules, block.retired) {
            (_, Some(at)) => format!(" that was replaced at {}", at.write()),
            (Some(_), None) => " with these rules".to_owned(),
            (None, None) => String::new(),
        };
        incomplete(format!(
            "the profile has no role \"{role}\"{rules}; it has {roles}"
        ))
    })
}

/// The prefix length that an allocation of a profile was made for, if its blocks make up the profile.
pub(super) fn recipe_length(
    line: u64,
    record: &Record,
    found: &[Found<'_>],
    members: &[&Member],
    findings: &mut Findings,
) -> Option<u8> {
    let mut good = true;
    let mut refuse = |line, cidr, detail: String| {
        good = false;
        let problem = Problem::new(ConflictCode::Incomplete, detail);
        findings.add(line, problem.about(cidr));
    };
    let mut seen: Vec<&Member> = Vec::new();
    // The length, and the network that told it.
    let mut told = None;
    for Found { block, member, .. } in found {
        let (Some(member), cidr) = (member, block.cidr) else {
            continue;
        };
        let role = &member.role;
        if seen.iter().any(|other| other.role == *role) {
            let detail = format!("the allocation has the role \"{role}\" twice");
            refuse(block.line, cidr, detail);
        }
        seen.push(member);
        // A member with one length only always has that length.
        if member.min_prefix_length == member.max_prefix_length {
            continue;
        }
        let length = i16::from(cidr.prefix_length()) - member.size_offset;
        let (first, other) = *told.get_or_insert((length, cidr));
        if first != length {
            let detail = format!(
                "{cidr} does not match {other}: together with it the role \"{role}\" gets a /{}",
                first + member.size_offset
            );
            refuse(block.line, cidr, detail);
        }
    }
    let first = found.first()?;
    // What was cut by an earlier version of the profile had the roles of that time, whether members were replaced or added
    // since. Blocks that give the rules they were cut by are of this kind.
    if found.iter().all(|one| one.block.rules.is_none())
        && seen.iter().all(|member| member.retired_at.is_none())
    {
        let is_missing = |member: &&&Member| {
            member.retired_at.is_none() && !seen.iter().any(|other| other.role == member.role)
        };
        let missing = members.iter().filter(is_missing);
        let missing: Vec<_> = missing.map(|it| format!("\"{}\"", it.role)).collect();
        if !missing.is_empty() {
            let detail = format!(
                "an allocation of profile \"{}\" has a block for each of its roles; there is none for {}",
                text(record.profile.as_ref()),
                missing.join(", ")
            );
            refuse(line, first.block.cidr, detail);
        }
    }
    let length = match (told, record.requested_prefix_length) {
        (Some((length, _)), _) => length,
        // Every length is fixed, whatever was requested.
        (None, Some(asked)) => asked.into(),
        (None, None) => i16::from(first.block.cidr.prefix_length()) - first.member?.size_offset,
    };
    let possible = u8::try_from(length).ok().filter(|length| *length <= 128);
    if possible.is_none() {
        let detail = format!("it would have been asked for as a /{length}");
        refuse(first.block.line, first.block.cidr, detail);
    }
    possible.filter(|_| good)
}
