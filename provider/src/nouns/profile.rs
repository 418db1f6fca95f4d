//! Profiles.

use ipam_client::{Client, Created, Error};
use ipam_shared::{
    api::profile::{MAX_MEMBERS, NewProfile, Profile as Found, ProfileFilter, ProfilePatch},
    ids::{Claim, ProfileId},
    name::Name,
};
use tfplugin::{
    Attribute, Context, Diagnostic, Field, FromValue, Number, Path, Plan, Text, Value, async_trait,
};

use crate::{
    connection::Connection,
    framework::{
        attribute_spec::{
            AttributeSpec, PrefixLength, count, created_at, description, name, whole,
        },
        listed::{Listing, by},
        looked_up,
        noun::Noun,
    },
};

/// A recipe for allocations.
pub(crate) struct Profile;

/// A number that fits into an `i8`.
struct Offset;

impl FromValue for Offset {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let bits = Number::from_value(value, path)?;
        match bits.as_i64().map(i8::try_from) {
            Some(Ok(_)) => Ok(Self),
            Some(Err(_)) => Err(Diagnostic::error(
                "Unsuitable number",
                format!("{bits} bits are more than any network has."),
            )
            .at(path)),
            None => whole(value, path, -128, 127).map(|_| Self),
        }
    }
}

fn members() -> AttributeSpec {
    let specs = vec![
        AttributeSpec::new(
            "role",
            Attribute::string().required(),
            "What the block is for, unique in the profile: a lower-case letter, then at most 62 of a-z, 0-9, `_` and `-`.",
            "",
        ),
        AttributeSpec::new(
            "pool",
            Attribute::string().required(),
            "Name of the pool that it is cut from: that of the VPC's VRF, or else that of the VRF `default`.",
            "",
        )
        .is::<Text<Name>>(),
        AttributeSpec::new(
            "size_offset",
            Attribute::number().default(0_i64),
            "Bits added to the requested prefix length: -5 makes a block 32 times as large. The size is asked \
             for the first member; its own offset counts too.",
            "Default: `0`.",
        )
        .is::<Offset>(),
        AttributeSpec::new(
            "min_prefix_length",
            Attribute::number().default(0_i64),
            "Shortest prefix length, that is the largest block. If it is the same as `max_prefix_length`, the block always \
             has that length, whatever was asked for.",
            "Default: `0`, so only the pool's bounds apply.",
        )
        .is::<PrefixLength>(),
        AttributeSpec::new(
            "max_prefix_length",
            Attribute::number().default(128_i64),
            "Longest prefix length, that is the smallest block. The pool's own bounds apply too.",
            "Default: `128`, so only the pool's bounds apply.",
        )
        .is::<PrefixLength>(),
    ];
    AttributeSpec::list(
        "members",
        specs,
        Attribute::required,
        "One for each block of an allocation, 1 to 32, in the order of the blocks; the size of a request is that of the \
         first.",
        "Changed in place: existing allocations stay as they are.",
    )
}

#[async_trait]
impl Noun for Profile {
    const TYPE: &'static str = "ipam_profile";
    const WORD: &'static str = "profile";
    const ABOUT: &'static str = "A recipe: which pools give a block each for one allocation, and how the sizes of the \
        blocks relate. An allocation takes a block for every member, all or none. The profile `node-pod` is built \
        in.\n\nA profile is destroyed only when no allocation uses it any more.";
    const IMPORT: &'static str = "by id, or by name such as node-pod";
    const HAS_LABELS: bool = false;

    type Id = ProfileId;
    type New = NewProfile;
    type Patch = ProfilePatch;
    type Found = Found;

    fn specs() -> Vec<AttributeSpec> {
        vec![name("Unique name."), description(), members()]
    }

    fn only_looked_up() -> Vec<AttributeSpec> {
        vec![
            count(
                "allocations",
                "How many existing allocations were created from it.",
            ),
            created_at(),
        ]
    }

    fn id(found: &Found) -> String {
        found.id.to_string()
    }

    async fn create(client: &Client, new: &NewProfile) -> Result<Created<Found>, Error> {
        client.create_profile(new).await
    }

    async fn get(client: &Client, id: ProfileId, claim: Option<Claim>) -> Result<Found, Error> {
        client.get_profile(&id.to_string(), claim).await
    }

    async fn find(client: &Client, key: &str, _vrf: Option<&str>) -> Result<Vec<Found>, Error> {
        match key.parse() {
            Ok(name) => Ok(client.find_profile(&name).await?.into_iter().collect()),
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn update(client: &Client, id: ProfileId, patch: &ProfilePatch) -> Result<Found, Error> {
        client.update_profile(id, patch, None).await
    }

    async fn delete(client: &Client, id: ProfileId) -> Result<(), Error> {
        client.delete_profile(id, None).await
    }

    async fn plan(ctx: &Context<Connection>, plan: &mut Plan) -> tfplugin::Result<()> {
        match ctx.try_client() {
            Some(connection) => connection.roles.plan(&plan.planned).await,
            None => Ok(()),
        }
    }

    fn validate(config: &Value) -> tfplugin::Result<()> {
        let members = config.get("members").as_list().unwrap_or_default();
        if config.get("members").is_wholly_known() && !(1..=MAX_MEMBERS).contains(&members.len()) {
            return Err(Diagnostic::error(
                "Unsuitable members",
                format!(
                    "A profile has 1 to {MAX_MEMBERS} members, this one {}.",
                    members.len()
                ),
            )
            .at("members")
            .into());
        }
        for (index, member) in members.iter().enumerate() {
            let at = Path::attribute("members").index(index);
            let role: Field<String> = member.attribute("role")?;
            let earlier = members[..index]
                .iter()
                .any(|earlier| earlier.get("role") == member.get("role"));
            if let Field::Known(role) = role
                && earlier
            {
                return Err(Diagnostic::error(
                    "Two members have the same role",
                    format!("The role {role} is taken by an earlier member; each block needs one of its own."),
                )
                .at(at.then("role"))
                .into());
            }
            let bounds = (
                member.attribute::<Field<u8>>("min_prefix_length")?,
                member.attribute::<Field<u8>>("max_prefix_length")?,
            );
            if let (Field::Known(min), Field::Known(max)) = bounds
                && min > max
            {
                return Err(Diagnostic::error(
                    "Unsuitable bounds",
                    format!("No block is at most a /{min} in size and at least a /{max}."),
                )
                .at(at.then("min_prefix_length"))
                .into());
            }
        }
        Ok(())
    }
}

/// All profiles.
pub(crate) struct Profiles;

#[async_trait]
impl Listing for Profiles {
    const TYPE: &'static str = "ipam_profiles";
    const PLURAL: &'static str = "profiles";
    const WITH: &'static str = ", with how many allocations were created from them";
    const HAS_LABELS: bool = false;

    type Filter = ProfileFilter;
    type Found = Found;

    fn filters() -> Vec<AttributeSpec> {
        vec![by("name", "Only the one of this name.")]
    }

    async fn all(client: &Client, filter: &ProfileFilter) -> Result<Vec<Found>, Error> {
        client.all_profiles(filter).await
    }

    fn attributes() -> Vec<(&'static str, Attribute)> {
        looked_up::attributes::<Profile>()
    }

    fn values(found: &Found) -> tfplugin::Result<Value> {
        looked_up::values::<Profile>(found)
    }
}
