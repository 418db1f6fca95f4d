//! `ipam profile`.

use std::convert::Infallible;

use ipam_client::{Client, Created};
use ipam_shared::{
    api::profile::{Member, NewProfile, Profile, ProfileFilter, ProfilePatch},
    name::Name,
};

use crate::cli::{
    listing::Column,
    noun::{NoOptions, Noun, args::OwnerFilter, done, fits_path, found, name, some_change},
    output::Failure,
    value::Value,
};

#[derive(clap::Args)]
pub(in crate::cli) struct New {
    /// Its name, unique
    name: Name,
    #[command(flatten)]
    members: Members,
    /// What it is for
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
}

#[derive(clap::Args)]
struct Members {
    /// A block, in their order: its role, its pool, and how its size relates to the requested one, as in
    /// pods=cgnat,offset=-5,min=15,max=21 or lb=primary,length=26; or a member as JSON, as the API takes it
    #[arg(long = "member", value_name = "ROLE=POOL[,offset=N][,min=N][,max=N]", value_parser = member)]
    members: Vec<Member>,
}

#[derive(clap::Args, Default)]
pub(in crate::cli) struct Filter {
    /// Only with this name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    owned: OwnerFilter,
}

#[derive(clap::Args)]
pub(in crate::cli) struct Change {
    /// A new name
    #[arg(long)]
    name: Option<Name>,
    /// All members, for later allocations: they replace those there are
    #[command(flatten)]
    members: Members,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// A member as written on the command line. Options are read from the end, since the name of a pool may have a comma.
fn member(text: &str) -> Result<Member, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let wrong = "write it as ROLE=POOL, with ,offset=N ,min=N ,max=N or ,length=N behind it";
    let (role, mut pool) = text.split_once('=').ok_or(wrong)?;
    let (mut offset, mut shortest, mut longest) = (None, None, None);
    while let Some((before, option)) = pool.rsplit_once(',') {
        let Some((name, value)) = option.split_once('=') else {
            break;
        };
        let length = || {
            let length: Option<u8> = value.parse().ok();
            length.ok_or(format!("{option:?} takes a prefix length from 0 to 128"))
        };
        match name {
            "offset" => {
                let number: Option<i8> = value.parse().ok();
                offset = Some(number.ok_or(format!("{option:?} takes a number such as -5"))?);
            }
            "min" => shortest = Some(length()?),
            "max" => longest = Some(length()?),
            "length" => (shortest, longest) = (Some(length()?), Some(length()?)),
            _ => break,
        }
        pool = before;
    }
    Ok(Member {
        role: role.to_owned(),
        pool: pool.parse().map_err(|error| format!("the pool: {error}"))?,
        size_offset: offset.unwrap_or(0),
        min_prefix_length: shortest.unwrap_or(0),
        max_prefix_length: longest.unwrap_or(128),
    })
}

/// The same, from a member.
fn written(member: &Member) -> String {
    let mut text = format!("{}={}", member.role, member.pool);
    if member.size_offset != 0 {
        text += &format!(",offset={}", member.size_offset);
    }
    match (member.min_prefix_length, member.max_prefix_length) {
        (min, max) if min == max => text += &format!(",length={min}"),
        (min, max) => {
            if min != 0 {
                text += &format!(",min={min}");
            }
            if max != 128 {
                text += &format!(",max={max}");
            }
        }
    }
    text
}

impl Noun for Profile {
    const PLURAL: &'static str = "profiles";
    const ABOUT: &'static str = "Profiles: which pools give a block each, and how large";
    const WHICH: &'static str = "Its name or id";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("name", |it| (&it.name).into()),
        Column::new("members", |it| {
            (&it.members.iter().map(written).collect::<Vec<_>>()).into()
        }),
        Column::new("allocations", |it| Value::count(it.allocations)),
        Column::new("description", |it| it.description.as_str().into()),
        Column::wide("created_by", |it| Value::of(it.created_by.as_ref())),
    ];
    type New = New;
    type Filter = Filter;
    type Change = Change;
    type End = NoOptions;
    type More = Infallible;

    async fn create(client: &Client, new: New) -> Result<Created<Self>, Failure> {
        if new.members.members.is_empty() {
            return Err(Failure::Usage(
                "give at least one --member, such as --member nodes=primary".to_owned(),
            ));
        }
        let request = NewProfile {
            name: new.name,
            description: new.description,
            members: new.members.members,
        };
        done(client.create_profile(&request).await)
    }

    async fn list(
        client: &Client,
        filter: Filter,
        most: usize,
    ) -> Result<(Vec<Self>, bool), Failure> {
        let filter = ProfileFilter {
            name: filter.name,
            owner: filter.owned.owner,
            confirmed: filter.owned.confirmed,
            ..ProfileFilter::default()
        };
        done(client.first_profiles(&filter, most).await)
    }

    async fn find(client: &Client, which: &str) -> Result<Self, Failure> {
        if fits_path(which) {
            return done(client.get_profile(which, None).await);
        }
        let one = done(client.find_profile(&name(which)?).await)?;
        found(one, "profile", which)
    }

    async fn update(
        client: &Client,
        found: &Self,
        change: Change,
        revision: Option<i64>,
    ) -> Result<Self, Failure> {
        let members = change.members.members;
        let patch = some_change(ProfilePatch {
            name: change.name,
            description: change.description,
            members: (!members.is_empty()).then_some(members),
        })?;
        done(client.update_profile(found.id, &patch, revision).await)
    }

    async fn delete(
        client: &Client,
        found: &Self,
        _: NoOptions,
        revision: Option<i64>,
    ) -> Result<String, Failure> {
        done(client.delete_profile(found.id, revision).await)?;
        Ok(String::new())
    }

    async fn more(verb: Infallible) -> Result<String, Failure> {
        match verb {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_written_as_they_are_read() {
        for text in [
            "nodes=primary",
            "pods=cgnat,offset=-5,min=15,max=21",
            "lb=primary,length=28",
            "a=b,c",
            "a=b=c,min=3",
        ] {
            assert_eq!(written(&member(text).unwrap()), text);
        }
        let json = r#"{"role": "a", "pool": "x,min=3", "size_offset": 2}"#;
        assert_eq!(member(json).unwrap().pool.as_str(), "x,min=3");
        for text in [
            "",
            "nodes",
            "a=",
            "a=b,min=x",
            "a=b,offset=1000",
            "{}",
            "a=b/c",
        ] {
            assert!(member(text).is_err(), "{text}");
        }
    }
}
