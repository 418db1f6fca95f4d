//! Profiles of a file, and their members.

use std::collections::HashSet;

use ipam_shared::{
    api::{
        profile::{self as api, DEFAULT_PROFILE},
        transfer::Record,
    },
    ids::ProfileId,
    name::NameError,
};
use uuid::Uuid;

use super::{
    NewAllocation,
    nouns::{check_same, differences},
    plan::{Plan, member},
};
use crate::{
    db::transfer::write::Member,
    domain::{
        profile::check_members,
        transfer::{
            findings::{Findings, Problem},
            read::{
                gather::{Thing, text},
                parse::Line,
            },
        },
    },
};

/// Adds profiles, and retired members of profiles that are there.
pub(super) fn add(plan: &mut Plan, profiles: Vec<Thing<Line>>, findings: &mut Findings) {
    for file in profiles {
        let Some(members) = members(&file, findings) else {
            continue;
        };
        let line = file.line;
        let added = add_one(plan, file, members);
        findings.unchanged += findings.ok(line, added).unwrap_or_default();
    }
}

/// Adds a profile, or its new members; returns how many of them exist already.
fn add_one(plan: &mut Plan, file: Thing<Line>, members: Members) -> Result<u64, Problem> {
    let name = text(file.record.profile.as_ref());
    let all = file.parts.len();
    let Members { current, retired } = members;
    let (profile, new): (Uuid, Vec<_>) = match plan.profiles.get(&name).cloned() {
        Some(known) => {
            let stored = || plan.members.iter().filter(|it| it.profile_id.0 == known.id);
            let mut in_force: Vec<_> = stored().filter(|it| it.retired_at.is_none()).collect();
            in_force.sort_by_key(|member| member.position);
            let is_same = current
                .iter()
                .map(rules)
                .eq(in_force.into_iter().map(rules));
            let mut found = Vec::new();
            if !current.is_empty() && !is_same {
                found.push("members");
            }
            let record = Record {
                description: file.record.description,
                id: file.record.id,
                ..Record::default()
            };
            found.extend(differences(&record, &known.record, name == DEFAULT_PROFILE));
            check_same(&format!("the profile \"{name}\""), &found)?;
            let is_known = |member: &Member| {
                stored().any(|is| (rules(is), is.retired_at) == (rules(member), member.retired_at))
            };
            let new = retired.into_iter().filter(|member| !is_known(member));
            (known.id, new.collect())
        }
        None => {
            let added = plan.profiles.add(file.line, name, file.record, ())?;
            (added.id, current.into_iter().chain(retired).collect())
        }
    };
    let there = all - new.len();
    for member in new {
        plan.add_member(Member {
            profile_id: ProfileId(profile),
            ..member
        });
    }
    Ok(there as u64)
}

/// What makes two members the same.
fn rules(member: &Member) -> (&str, &str, i16, u8, u8) {
    (
        &member.role,
        &member.pool,
        member.size_offset,
        member.min_prefix_length,
        member.max_prefix_length,
    )
}

/// The members of a profile, initially none.
struct Members {
    /// The current ones, by position.
    current: Vec<Member>,
    retired: Vec<Member>,
}

/// The members that a file gives a profile; none if they don't form a valid one.
fn members(file: &Thing<Line>, findings: &mut Findings) -> Option<Members> {
    let mut current: Vec<(Member, api::Member)> = Vec::new();
    let mut retired = Vec::new();
    let mut good = true;
    for (index, Line { line, record }) in file.parts.iter().enumerate() {
        let mut member = member(0, Uuid::nil(), record);
        if record.position.is_none() {
            member.position = i16::try_from(index + 1).unwrap_or(i16::MAX);
        }
        let position = member.position;
        let is_current = member.retired_at.is_none();
        let is_taken = |(other, _): &(Member, _)| other.position == position;
        let problem = match as_asked(&member) {
            Err(problem) => Some(problem),
            Ok(_) if position < 1 => Some("positions are counted from 1".to_owned()),
            Ok(_) if is_current && current.iter().any(is_taken) => {
                Some(format!("another member has the position {position}"))
            }
            Ok(asked) => {
                let checked = check_members(std::slice::from_ref(&asked));
                if is_current {
                    current.push((member, asked));
                } else {
                    retired.push(member);
                }
                checked.err().map(|error| error.to_string())
            }
        };
        if let Some(problem) = problem {
            findings.add(*line, Problem::bad_value(problem));
            good = false;
        }
    }
    current.sort_by_key(|(member, _)| member.position);
    let (current, asked): (Vec<_>, Vec<_>) = current.into_iter().unzip();
    // Checked together only if each is valid by itself, so that no problem is reported twice. For an existing profile, the
    // file may contain retired members only.
    if good && !asked.is_empty() {
        findings.ok(file.line, check_members(&asked).map_err(Problem::bad_value))?;
    }
    good.then_some(Members { current, retired })
}

/// The member as a request for a profile would have it.
fn as_asked(member: &Member) -> Result<api::Member, String> {
    Ok(api::Member {
        role: member.role.clone(),
        pool: member
            .pool
            .parse()
            .map_err(|error: NameError| format!("pool: {error}"))?,
        size_offset: i8::try_from(member.size_offset)
            .map_err(|_| "size_offset is between -127 and 127".to_owned())?,
        min_prefix_length: member.min_prefix_length,
        max_prefix_length: member.max_prefix_length,
    })
}

/// Leaves out new retired members that no new block was cut by: they are not needed.
pub(super) fn forget_unused_members(
    plan: &mut Plan,
    allocations: &[NewAllocation],
    findings: &mut Findings,
) {
    let blocks = allocations.iter().flat_map(|new| &new.blocks);
    let used: HashSet<i32> = blocks.filter_map(|block| block.member).collect();
    let new: HashSet<Uuid> = plan.profiles.added().map(|it| it.id).collect();
    plan.members.retain(|member| {
        let keep = member.id > 0 || member.retired_at.is_none() || used.contains(&member.id);
        findings.unchanged += u64::from(!keep && !new.contains(&member.profile_id.0));
        keep
    });
}
