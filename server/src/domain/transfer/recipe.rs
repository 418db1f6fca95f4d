//! Profiles of a file, and their members: each is new, or there already and the same, or a conflict.

use std::collections::HashSet;

use ipam_shared::{
    api::{
        profile::{self as api, DEFAULT_PROFILE},
        transfer::{ConflictCode, Record},
    },
    ids::ProfileId,
    name::NameError,
};
use uuid::Uuid;

use super::{
    super::profile::check_members,
    check::Check,
    check::config::{differences, taken},
    conflict::Conflicts,
    gather::FileProfile,
    parse::Line,
    world::{Member, Profile, member},
};

impl Check {
    /// New profiles, and retired members of profiles that are there.
    pub(super) fn profiles(&mut self, profiles: Vec<FileProfile>) {
        let mut ids: HashSet<Uuid> = self
            .world
            .profiles
            .iter()
            .map(|profile| profile.id.0)
            .collect();
        for file in profiles {
            let name = file
                .record
                .profile
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let known = self.world.profile(&name);
            let place = known.unwrap_or(self.world.profiles.len());
            let Some((current, retired)) = members(&file, place, &mut self.conflicts) else {
                continue;
            };
            let count = file.members.len() as u64;
            match known {
                Some(place) => {
                    let is = self.world.members_of(place);
                    let mut found = Vec::new();
                    if !current.is_empty()
                        && (current.len() != is.len()
                            || current
                                .iter()
                                .zip(&is)
                                .any(|(one, other)| one.rules() != other.rules()))
                    {
                        found.push("members");
                    }
                    let record = Record {
                        description: file.record.description.clone(),
                        id: file.record.id,
                        ..Record::default()
                    };
                    let stored = self
                        .world
                        .profiles
                        .get(place)
                        .map(|is| is.record.clone())
                        .unwrap_or_default();
                    found.extend(differences(&record, &stored, name == DEFAULT_PROFILE));
                    let new: Vec<_> = retired
                        .into_iter()
                        .filter(|member| {
                            let mut of_profile =
                                self.world.members.iter().filter(|is| is.profile == place);
                            !of_profile.any(|is| {
                                (is.rules(), is.retired) == (member.rules(), member.retired)
                            })
                        })
                        .collect();
                    if self.same(
                        file.line,
                        count - new.len() as u64,
                        &format!("the profile \"{name}\""),
                        &found,
                    ) {
                        self.add_members(new);
                    }
                }
                None => {
                    let id = file.record.id.map_or_else(ProfileId::generate, ProfileId);
                    if !ids.insert(id.0) {
                        self.conflicts.add(
                            file.line,
                            ConflictCode::IdTaken,
                            None,
                            taken("profile", id.0),
                        );
                        continue;
                    }
                    self.world.add_profile(Profile {
                        id,
                        name,
                        new: true,
                        record: file.record,
                    });
                    self.add_members(current);
                    self.add_members(retired);
                }
            }
        }
    }

    fn add_members(&mut self, members: Vec<Member>) {
        for mut member in members {
            member.id = self
                .world
                .members
                .iter()
                .map(|member| member.id)
                .min()
                .unwrap_or(0)
                .min(0)
                - 1;
            self.world.members.push(member);
        }
    }
}

/// The members of a profile that are in force, by position, and those that are retired; none if they don't make one.
fn members(
    file: &FileProfile,
    profile: usize,
    conflicts: &mut Conflicts,
) -> Option<(Vec<Member>, Vec<Member>)> {
    let mut current: Vec<(Member, api::Member)> = Vec::new();
    let mut retired = Vec::new();
    let mut good = true;
    for (index, Line { line, record }) in file.members.iter().enumerate() {
        let mut member = member(0, profile, record);
        if record.position.is_none() {
            member.position = i16::try_from(index + 1).unwrap_or(i16::MAX);
        }
        let problem = match as_asked(&member) {
            Err(problem) => Some(problem),
            Ok(_) if member.position < 1 => Some("positions are counted from 1".to_owned()),
            Ok(_)
                if member.retired.is_none()
                    && current
                        .iter()
                        .any(|(other, _)| other.position == member.position) =>
            {
                Some(format!(
                    "another member has the position {}",
                    member.position
                ))
            }
            Ok(asked) => {
                let checked = check_members(std::slice::from_ref(&asked));
                if member.retired.is_some() {
                    retired.push(member);
                } else {
                    current.push((member, asked));
                }
                checked.err().map(|error| error.to_string())
            }
        };
        if let Some(problem) = problem {
            conflicts.add(*line, ConflictCode::BadValue, None, problem);
            good = false;
        }
    }
    current.sort_by_key(|(member, _)| member.position);
    let (current, asked): (Vec<_>, Vec<_>) = current.into_iter().unzip();
    // Together only if each is good by itself, lest a problem be named twice. Of a profile that is there, the file may
    // have retired members only.
    if good
        && !asked.is_empty()
        && let Err(error) = check_members(&asked)
    {
        conflicts.add(file.line, ConflictCode::BadValue, None, error.to_string());
        good = false;
    }
    good.then_some((current, retired))
}

/// The member as a request for a profile would have it.
fn as_asked(member: &Member) -> Result<api::Member, String> {
    Ok(api::Member {
        role: member.role.clone(),
        pool: member
            .pool
            .parse()
            .map_err(|error: NameError| format!("pool: {error}"))?,
        size_offset: i8::try_from(member.offset)
            .map_err(|_| "size_offset is between -127 and 127".to_owned())?,
        min_prefix_length: member.shortest,
        max_prefix_length: member.longest,
    })
}
