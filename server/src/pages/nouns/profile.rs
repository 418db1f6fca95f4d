//! Profiles, with their members.

use ipam_shared::{
    api::profile::{MAX_MEMBERS, Member, NewProfile, Profile, ProfileFilter, ProfilePatch},
    ids::ProfileId,
};

use super::{Editable, Noun, Row, after, called_like, changed, changed_text};
use crate::{
    db::{self, Connection},
    domain::{Caller, Ipam},
    error::Result,
    pages::{
        Section,
        form::{Field, Input, Reader, table},
        query_value,
        shown::{Fact, Shown},
    },
    rights::{Right, Rights},
};

/// The columns of the members: name, label, and whether it is a number.
const MEMBER: [(&str, &str, bool); 5] = [
    ("role", "Role", false),
    ("pool", "Pool", false),
    ("size_offset", "Size offset", true),
    ("largest", "Largest block", true),
    ("smallest", "Smallest block", true),
];

impl Editable for Profile {
    const PATH: &'static str = "/ui/profiles";
    const SECTION: Section = Section::Profiles;
    const MANY: &'static str = "Profiles";
    const FIELDS: (&'static str, &'static str) = ("name", "members");
    type Patch = ProfilePatch;

    fn may_change(rights: &Rights) -> bool {
        rights.may(Right::Operate) && rights.scope().is_none()
    }

    fn called(&self) -> String {
        self.name.to_string()
    }

    fn facts(&self) -> Vec<Fact> {
        vec![
            Fact::new("Name", Shown::text(&self.name)),
            Fact::new("Members", members(self)),
            Fact::new("Description", Shown::text(&self.description)),
        ]
    }

    async fn fields(_: &mut Connection, _: Option<&Self>) -> Result<Vec<Field>> {
        Ok(vec![
            Field::text("name", "Name").required(),
            Field::rows("members", "Members", MEMBER.to_vec(), MAX_MEMBERS).hint(
                "In the order of the blocks; a request's size is that of the first. The pool is looked up in the VPC's VRF, then \
                 in default. The size offset is added to the requested prefix length: -5 makes a block 32 times as large. \
                 Bounds are prefix lengths; where both are equal, the block always has that size. Three more rows appear once \
                 these are full and previewed.",
            ),
            Field::description(),
        ])
    }

    fn input(&self) -> Input {
        let mut input = Input::default()
            .with("name", self.name.as_str())
            .with("description", &self.description);
        for (row, member) in self.members.iter().enumerate() {
            let values = [
                member.role.clone(),
                member.pool.to_string(),
                member.size_offset.to_string(),
                member.min_prefix_length.to_string(),
                member.max_prefix_length.to_string(),
            ];
            for ((name, ..), value) in MEMBER.iter().zip(values) {
                input = input.with(&format!("{name}-{row}"), value);
            }
        }
        input
    }

    fn patch(&self, form: &mut Reader<'_>) -> Option<ProfilePatch> {
        let new = Self::new(form)?;
        let patch = ProfilePatch {
            name: changed(&self.name, new.name),
            description: changed_text(&self.description, new.description),
            members: changed(&self.members, new.members),
        };
        (patch != ProfilePatch::default()).then_some(patch)
    }

    async fn update(
        ipam: &Ipam,
        caller: Caller,
        id: ProfileId,
        patch: ProfilePatch,
        revision: i64,
    ) -> Result<Self> {
        ipam.update_profile(caller, id, patch, Some(revision)).await
    }

    async fn delete(
        ipam: &Ipam,
        caller: Caller,
        id: ProfileId,
        _: &Input,
        revision: i64,
    ) -> Result<()> {
        ipam.delete_profile(caller, id, Some(revision)).await
    }

    fn remarks(before: Option<&Self>, after: &Self) -> Vec<String> {
        let Some(before) = before else {
            return Vec::new();
        };
        let mut remarks = Vec::new();
        if before.members != after.members {
            remarks.push("Allocations that exist stay as they are.".to_owned());
        }
        if before.name != after.name {
            remarks.push(format!(
                "Requests that name the profile \"{}\" have to name \"{}\" from then on.",
                before.name, after.name
            ));
        }
        remarks
    }

    fn loses(&self) -> Vec<String> {
        vec!["No allocation was made from it, so nothing else changes. Requests that name it will be refused.".to_owned()]
    }
}

impl Noun for Profile {
    const ABOUT: &'static str =
        "A recipe: a request gets one block per member, all of them or none.";
    const COLUMNS: &'static [(&'static str, bool)] = &[
        ("Profile", false),
        ("Members", false),
        ("Description", false),
        ("Allocations", true),
        ("Created", false),
    ];
    type New = NewProfile;

    async fn list(db: &mut Connection, search: &Input, limit: u16) -> Result<Vec<Row>> {
        let found = match called_like(db, "profile", search, limit).await? {
            Some(ids) => {
                let mut found = Vec::new();
                for id in ids {
                    found.extend(db::profile::get(db, ProfileId(id)).await?);
                }
                found
            }
            None => db::profile::list(db, &ProfileFilter::default(), after(search)?, limit).await?,
        };
        let rows = found.into_iter().map(|profile| {
            let cells = vec![
                members(&profile),
                Shown::text(&profile.description),
                Shown::text(profile.allocations),
                Shown::Time(profile.created_at),
            ];
            Row::of(&profile, profile.called(), cells)
        });
        Ok(rows.collect())
    }

    fn state(&self) -> Vec<Fact> {
        vec![
            Fact::new("Allocations made from it", Shown::text(self.allocations)),
            Fact::new(
                "Ask for space from it",
                Shown::Link(
                    format!(
                        "/ui/allocations/new?profile={}",
                        query_value(self.name.as_str())
                    ),
                    "New allocation".to_owned(),
                ),
            ),
        ]
    }

    fn new(form: &mut Reader<'_>) -> Option<NewProfile> {
        let (name, members) = (form.name(), read_members(form));
        let description = form.text("description");
        Some(NewProfile {
            name: name?,
            description,
            members,
        })
    }

    async fn make(ipam: &Ipam, caller: Caller, new: NewProfile) -> Result<(Self, bool)> {
        ipam.create_profile(caller, new).await
    }
}

fn members(profile: &Profile) -> Shown {
    Shown::lines(profile.members.iter().map(|member| {
        let size = match (member.min_prefix_length, member.max_prefix_length) {
            (shortest, longest) if shortest == longest => format!("always a /{shortest}"),
            (0, 128) => format!("size {:+}", member.size_offset),
            (shortest, longest) => {
                format!("size {:+}, /{shortest} to /{longest}", member.size_offset)
            }
        };
        format!("{}: pool {}, {size}", member.role, member.pool)
    }))
}

fn read_members(form: &mut Reader<'_>) -> Vec<Member> {
    let names = MEMBER.iter().map(|(name, ..)| *name);
    let rows = table(form.input, names, MAX_MEMBERS);
    let mut members = Vec::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        match member(row) {
            Ok(member) => members.push(member),
            Err(problem) => form.wrong("members", format!("member {}: {problem}", index + 1)),
        }
    }
    if rows.is_empty() {
        form.wrong("members", "a profile has at least one member");
    }
    members
}

fn member(row: &[String]) -> Result<Member, String> {
    let [role, pool, offset, shortest, longest] = row else {
        return Err("the form lacks a field".to_owned());
    };
    fn number<T: std::str::FromStr>(text: &str, default: T) -> Result<T, String> {
        let text = text.trim_start_matches(['/', '+']);
        match text {
            "" => Ok(default),
            _ => text
                .parse()
                .map_err(|_| format!("{text:?} is no number, or too large")),
        }
    }
    Ok(Member {
        role: role.clone(),
        pool: pool
            .parse()
            .map_err(|error: ipam_shared::name::NameError| format!("pool: {error}"))?,
        size_offset: number(offset, 0)?,
        min_prefix_length: number(shortest, 0)?,
        max_prefix_length: number(longest, 128)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::nouns::filled;

    #[test]
    fn members_are_read_as_they_are_written() {
        let input = filled(&[
            ("name", "p"),
            ("role-0", "a"),
            ("pool-0", "primary"),
            ("role-3", "b"),
            ("pool-3", "my pool"),
            ("size_offset-3", "-5"),
            ("largest-3", "/20"),
            ("smallest-3", "24"),
        ]);
        let mut form = Reader::new(&input);
        let members = Profile::new(&mut form).unwrap().members;
        assert!(form.problems.is_empty());
        assert_eq!(members.len(), 2);
        assert_eq!(
            (members[0].size_offset, members[0].max_prefix_length),
            (0, 128)
        );
        assert_eq!(members[1].pool.as_str(), "my pool");
        assert_eq!(
            (members[1].size_offset, members[1].min_prefix_length),
            (-5, 20)
        );
        for wrong in [
            filled(&[("name", "p")]),
            filled(&[("name", "p"), ("role-0", "a")]),
            filled(&[
                ("name", "p"),
                ("role-0", "a"),
                ("pool-0", "b"),
                ("size_offset-0", "1000"),
            ]),
        ] {
            let mut form = Reader::new(&wrong);
            Profile::new(&mut form);
            assert!(!form.problems.is_empty());
        }
    }
}
