//! Profiles: create, update, delete. A change applies to later allocations; existing ones keep their blocks and the members
//! that these were cut for.

use std::collections::HashSet;

use ipam_shared::{
    api::{
        ownership::Noun,
        profile::{MAX_MEMBERS, Member, NewProfile, Profile, ProfilePatch},
    },
    ids::{Claim, ProfileId},
    name::Name,
};
use serde_json::json;

use super::{
    Caller, Ipam, TRIES,
    change::{Change, check_revision, set, was},
    check_description, check_new_name,
    named::{missing_id, there},
    ownership::{Maker, Title, adopt, may_adopt},
    pool::range::in_use,
    too_fast, unlimited,
};
use crate::{
    db::{lock::Locks, profile},
    error::{Error, Result},
};

/// Longest prefix of any family.
const LONGEST: u8 = 128;
/// Maximum length of a role, in characters.
const MAX_ROLE: usize = 63;
/// What needs a token without limits: a profile serves every VRF.
const WHAT: &str = "a change of a profile, which serves every VRF,";
/// How many users are named when they prevent a deletion.
const NAMED: i64 = 10;

impl Ipam {
    /// Creates a profile, or returns what its owner created before by the same request; and whether it was created now.
    pub async fn create_profile(
        &self,
        maker: impl Into<Maker>,
        new: NewProfile,
    ) -> Result<(Profile, bool)> {
        let maker = maker.into();
        unlimited(&maker.caller, WHAT)?;
        check_new_name(&new.name)?;
        check_description(&new.description)?;
        check_members(&new.members)?;
        let caller = maker.caller.clone();
        self.change(caller, Locks::none(), |mut change| async move {
            for _ in 0..TRIES {
                let (id, claim) = (ProfileId::generate(), Claim::generate());
                let detail =
                    json!({ "name": new.name, "members": new.members, "owner": maker.owner });
                let event = maker.caller.began("profile.create", id.0, &detail, &new)?;
                if profile::insert(&mut change.db, id, &new, &maker.made(claim), &[event]).await? {
                    let mut made: Profile = there(&mut change.db, id).await?;
                    made.claim = Some(claim);
                    return change.commit((made, true)).await;
                }
                if let Some(id) = profile::lock_named(&mut change.db, new.name.as_str()).await? {
                    let profile = take(&mut change, &maker, id, &new).await?;
                    return change.commit((profile, false)).await;
                }
            }
            Err(too_fast())
        })
        .await
    }

    /// Changes a profile. With `if_match`, only if it is at that revision.
    pub async fn update_profile(
        &self,
        caller: Caller,
        id: ProfileId,
        patch: ProfilePatch,
        if_match: Option<i64>,
    ) -> Result<Profile> {
        unlimited(&caller, WHAT)?;
        patch.name.as_ref().map_or(Ok(()), check_new_name)?;
        if let Some(description) = &patch.description {
            check_description(description)?;
        }
        if let Some(members) = &patch.members {
            check_members(members)?;
        }
        // Before the lock, behind which new allocations from it wait.
        let allocations = profile::allocations(&mut self.read().await?, id).await?;
        self.change(caller, Locks::profile(id), move |mut change| async move {
            let Some(before) = profile::get_uncounted(&mut change.db, id).await? else {
                return Err(missing_id(&mut change.db, Noun::Profile, id.0).await);
            };
            let before = Profile {
                allocations,
                ..before
            };
            check_revision(if_match, before.revision)?;
            if patch == ProfilePatch::default() {
                return change.undo(before).await;
            }
            let event = change
                .caller
                .changed("profile.update", id.0, &before, &patch)?;
            profile::update(&mut change.db, id, &patch, &[event])
                .await
                .map_err(|error| match &patch.name {
                    Some(name) => taken(error, name),
                    None => error,
                })?;
            let mut after = before;
            apply(&mut after, patch);
            change.commit(after).await
        })
        .await
    }

    /// Deletes a profile that no allocation uses.
    pub async fn delete_profile(
        &self,
        caller: Caller,
        id: ProfileId,
        if_match: Option<i64>,
    ) -> Result<()> {
        unlimited(&caller, WHAT)?;
        self.change(caller, Locks::profile(id), move |mut change| async move {
            let profile: Profile = there(&mut change.db, id).await?;
            check_revision(if_match, profile.revision)?;
            // It counts the allocations made from it; none can be added under its lock.
            if profile.allocations > 0 {
                let (first, users) = profile::users(&mut change.db, id, NAMED).await?;
                return Err(in_use(
                    &format!("allocations were made from profile \"{}\"", profile.name),
                    first,
                    users,
                ));
            }
            let detail = json!({ "name": profile.name, "members": profile.members });
            let event = change
                .caller
                .ended("profile.delete", id.0, &detail, &profile)?;
            profile::delete(&mut change.db, id, &[event]).await?;
            change.commit(()).await
        })
        .await
    }
}

/// Lets the caller adopt a locked profile.
async fn take(
    change: &mut Change,
    maker: &Maker,
    id: ProfileId,
    new: &NewProfile,
) -> Result<Profile> {
    let before: Profile = there(&mut change.db, id).await?;
    may_adopt(&mut change.db, maker, &before).await?;
    if before.members != new.members {
        let how = match (before.members.len(), new.members.len()) {
            (there, asked) if there != asked => format!("with {there} members, not {asked}"),
            _ => {
                let members = before.members.iter().zip(&new.members);
                let other = members.filter(|(there, asked)| there != asked);
                let roles: Vec<_> = other
                    .map(|(there, _)| format!("\"{}\"", there.role))
                    .collect();
                format!("in the members {}", roles.join(", "))
            }
        };
        return Err(Title::of(&before).differs(&how));
    }
    let patch = ProfilePatch {
        name: None,
        description: (before.description != new.description).then(|| new.description.clone()),
        members: None,
    };
    let was = was(&before, &patch)?;
    let mut profile = before;
    if patch != ProfilePatch::default() {
        profile::update(&mut change.db, id, &patch, &[]).await?;
        apply(&mut profile, patch.clone());
    }
    let detail = json!({ "name": new.name, "changed": patch, "before": was });
    adopt(&mut change.db, maker, &mut profile, detail).await?;
    Ok(profile)
}

/// The result of a change.
fn apply(profile: &mut Profile, patch: ProfilePatch) {
    set(&mut profile.name, patch.name);
    set(&mut profile.description, patch.description);
    set(&mut profile.members, patch.members);
    profile.revision += 1;
}

fn taken(error: Error, name: &Name) -> Error {
    match error {
        Error::NameTaken { .. } => Error::NameTaken {
            message: format!("there is a profile \"{name}\" already; choose another name"),
            import_id: None,
        },
        other => other,
    }
}

/// Checks everything that can be checked without the pools, which need not exist yet.
pub(super) fn check_members(members: &[Member]) -> Result<()> {
    if members.is_empty() || members.len() > MAX_MEMBERS {
        return Err(Error::invalid(format!(
            "a profile has 1 to {MAX_MEMBERS} members, this one has {}",
            members.len()
        ))
        .about("members"));
    }
    let mut roles = HashSet::new();
    for member in members {
        check_role(&member.role)?;
        let Member {
            role,
            min_prefix_length: min,
            max_prefix_length: max,
            size_offset,
            ..
        } = member;
        if !roles.insert(role) {
            return Err(Error::invalid(format!(
                "the role \"{role}\" is there twice; each member has a role of its own"
            ))
            .about("members"));
        }
        if *max > LONGEST {
            return Err(Error::invalid(format!(
                "max_prefix_length {max} of member \"{role}\" is not a prefix length: at most 32 for IPv4, {LONGEST} for \
                 IPv6"
            )).about("members"));
        }
        if min > max {
            return Err(Error::invalid(format!(
                "no block of member \"{role}\" is possible: min_prefix_length {min} is greater than max_prefix_length \
                 {max}; the shortest prefix is the largest block"
            )).about("members"));
        }
        if i16::from(*size_offset).abs() > i16::from(LONGEST) - 1 {
            return Err(Error::invalid(format!(
                "size_offset {size_offset} of member \"{role}\" is out of bounds: -{0} to {0}",
                LONGEST - 1
            ))
            .about("members"));
        }
    }
    check_offsets(members)
}

fn check_role(role: &str) -> Result<()> {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if role.starts_with(|c: char| c.is_ascii_lowercase())
        && role.chars().all(rest)
        && role.len() <= MAX_ROLE
    {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{role:?} is not a role: a lower-case letter, then at most {} of a-z, 0-9, \"_\" and \"-\"",
        MAX_ROLE - 1
    ))
    .about("members"))
}

/// There must be a size with which every member is within its bounds; otherwise the profile is useless.
/// Members with one length only always have that length, whatever was asked for.
fn check_offsets(members: &[Member]) -> Result<()> {
    let sizes = |member: &Member| {
        let offset = i16::from(member.size_offset);
        (
            i16::from(member.min_prefix_length) - offset,
            i16::from(member.max_prefix_length) - offset,
        )
    };
    let sized = || {
        members
            .iter()
            .filter(|member| member.min_prefix_length != member.max_prefix_length)
    };
    let (Some(shortest), Some(longest)) = (
        sized().max_by_key(|member| sizes(member).0),
        sized().min_by_key(|member| sizes(member).1),
    ) else {
        return Ok(());
    };
    let (from, to) = (sizes(shortest).0, sizes(longest).1);
    if from > to {
        return Err(Error::invalid(format!(
            "no size fits both \"{}\" and \"{}\": with its size_offset {} and its min_prefix_length {} the first needs a \
             request for a /{from} or longer, the other with {} and its max_prefix_length {} one for a /{to} or shorter",
            shortest.role,
            longest.role,
            shortest.size_offset,
            shortest.min_prefix_length,
            longest.size_offset,
            longest.max_prefix_length
        )).about("members"));
    }
    if to < 0 || from > i16::from(LONGEST) {
        return Err(Error::invalid(format!(
            "member \"{}\" fits no prefix length that can be asked for: with its size_offset that would be /{from} to /{to}",
            if to < 0 {
                &longest.role
            } else {
                &shortest.role
            }
        )).about("members"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(role: &str, size_offset: i8, bounds: (u8, u8)) -> Member {
        Member {
            role: role.to_owned(),
            pool: "p".parse().unwrap(),
            size_offset,
            min_prefix_length: bounds.0,
            max_prefix_length: bounds.1,
        }
    }

    fn refused(members: &[Member]) -> String {
        check_members(members).unwrap_err().to_string()
    }

    #[test]
    fn a_profile_is_refused_when_no_request_could_ever_fit_it() {
        let node = member("node", 0, (20, 26));
        for fine in [
            vec![node.clone(), member("pod", -5, (15, 21))],
            // A single size is enough.
            vec![node.clone(), member("pod", -5, (21, 28))],
            vec![node.clone(), member("service", 0, (16, 16))],
            vec![node.clone(), member("six", 40, (0, 128))],
            vec![member("six", 0, (64, 64)), member("seven", 0, (7, 7))],
            vec![member("all", 0, (0, 128)); 1],
        ] {
            assert!(check_members(&fine).is_ok(), "{fine:?}");
        }
        let text = refused(&[node.clone(), member("pod", -5, (22, 28))]);
        assert!(
            text.contains("\"pod\" and \"node\"") && text.contains("/27") && text.contains("/26"),
            "{text}"
        );
        let text = refused(&[node.clone(), member("pod", 5, (15, 20))]);
        assert!(
            text.contains("\"node\" and \"pod\"") && text.contains("/15"),
            "{text}"
        );
        assert!(refused(&[member("far", 100, (0, 32))]).contains("\"far\""));
        assert!(refused(&[member("far", -100, (64, 128))]).contains("\"far\""));
    }

    #[test]
    fn members_are_checked_one_by_one() {
        let text = refused(&[]);
        assert!(text.contains("1 to 32") && text.contains("has 0"), "{text}");
        let many: Vec<_> = (0..33)
            .map(|n| member(&format!("r{n}"), 0, (0, 32)))
            .collect();
        assert!(check_members(&many[..32]).is_ok());
        assert!(refused(&many).contains("has 33"));
        let twice = [member("a", 0, (0, 32)), member("a", 1, (0, 32))];
        assert!(refused(&twice).contains("\"a\" is there twice"));
        assert!(refused(&[member("a", 0, (25, 24))]).contains("min_prefix_length 25"));
        assert!(refused(&[member("a", 0, (25, 129))]).contains("129"));
        assert!(refused(&[member("a", -128, (0, 128))]).contains("-127 to 127"));
        for role in ["", "A", "1a", "-a", "a b", "ä", "a.b", &"a".repeat(64)] {
            assert!(
                refused(&[member(role, 0, (0, 32))]).contains("is not a role"),
                "{role}"
            );
        }
        for role in ["a", "a-1_b", &"a".repeat(63)] {
            assert!(check_members(&[member(role, 0, (0, 32))]).is_ok(), "{role}");
        }
    }
}
