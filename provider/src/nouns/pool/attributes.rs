//! The attributes of a pool.

use std::collections::BTreeMap;

use ipam_shared::{
    api::pool::{MAX_RELEASE_COOLDOWN_SECONDS, Strategy},
    cidr::RESERVED_ADDRESSES,
};
use tfplugin::{Attribute, Diagnostic, FromValue, Number, Path, Type, Value};

use crate::framework::{
    attribute_spec::{
        AttributeSpec, CanonicalCidr, PrefixLength, count, created_at, description, name, whole,
    },
    place,
};

/// One of the texts that the API has for a strategy.
struct KnownStrategy;

impl FromValue for KnownStrategy {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let text = String::from_value(value, path)?;
        if Strategy::ALL.iter().any(|one| one.as_str() == text) {
            return Ok(Self);
        }
        let all: Vec<_> = Strategy::ALL.iter().map(|one| one.as_str()).collect();
        let detail = format!("{text:?} is not one of these: {}.", all.join(", "));
        Err(Diagnostic::error("Unknown strategy", detail).at(path))
    }
}

struct KnownFamily;

impl FromValue for KnownFamily {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        match String::from_value(value, path)?.as_str() {
            "ipv4" | "ipv6" => Ok(Self),
            text => Err(Diagnostic::error(
                "Unknown family",
                format!("{text:?} is neither ipv4 nor ipv6."),
            )
            .at(path)),
        }
    }
}

struct Cooldown;

impl FromValue for Cooldown {
    fn from_value(value: &Value, path: &Path) -> Result<Self, Diagnostic> {
        let seconds = Number::from_value(value, path)?;
        let most = MAX_RELEASE_COOLDOWN_SECONDS;
        match seconds.as_u64() {
            Some(seconds) if seconds <= most.into() => return Ok(Self),
            Some(_) => {}
            None => return whole(value, path, 0, most.into()).map(|_| Self),
        }
        let detail = format!("{seconds} seconds are more than a year.");
        Err(Diagnostic::error("Unsuitable number of seconds", detail).at(path))
    }
}

fn ranges() -> Vec<AttributeSpec> {
    vec![
        AttributeSpec::new(
            "ranges",
            Attribute::set(Type::String).optional().computed().use_state_for_unknown(),
            "The networks that it consists of.",
            "With a parent they must be free there; IPv6 ranges are /32 or longer. Added and removed in place; a range \
             that has blocks in it is not removed. Leave it out to ask for ranges with `range_prefix_lengths`, or to \
             manage them elsewhere.",
        )
        .is::<Vec<CanonicalCidr>>(),
        AttributeSpec::new(
            "range_prefix_lengths",
            Attribute::list(Type::Number).optional().computed().use_state_for_unknown(),
            "Prefix lengths of the ranges of a pool with a parent, largest range first; null without a parent.",
            "Set it instead of `ranges` to have ranges of these sizes cut from the parent, wherever it has room; \
             their order does not matter. Changed in place: a length more adds a range, one less removes the range of \
             that size with the highest addresses.",
        )
        .is::<Vec<PrefixLength>>(),
    ]
}

fn bounds() -> Vec<AttributeSpec> {
    let length = |name, attribute, what, usage| {
        AttributeSpec::new(name, attribute, what, usage).is::<PrefixLength>()
    };
    vec![
        length(
            "min_prefix_length",
            Attribute::number().default(0_i64),
            "Shortest prefix length, that is the largest block, that it hands out.",
            "Default: `0`, so that a block may be a whole range. Changed in place: existing blocks stay.",
        ),
        length(
            "max_prefix_length",
            Attribute::number()
                .optional()
                .computed()
                .use_state_for_unknown(),
            "Longest prefix length, that is the smallest block, that it hands out.",
            "If left out: 32 or 128. Changed in place: existing blocks stay.",
        ),
        length(
            "default_prefix_length",
            Attribute::number().optional(),
            "Prefix length for requests from pools that give none; null if they must give one.",
            "Changed in place.",
        ),
    ]
}

fn policies() -> Vec<AttributeSpec> {
    vec![
        AttributeSpec::new(
            "reserved_addresses",
            Attribute::number().default(i64::from(RESERVED_ADDRESSES)),
            "Addresses of each block that are not for hosts.",
            "Default: `5` (network, broadcast, gateway, DNS and a spare one). Changed in place.",
        )
        .is::<u32>(),
        AttributeSpec::new(
            "strategy",
            Attribute::string().default(Strategy::default().as_str()),
            "How a free block is chosen: `best_fit` takes the smallest that is large enough, which keeps large blocks \
             whole; `first_fit` the lowest address; `last_fit` the highest; `sparse` the middle of the largest, which \
             leaves room for allocations to grow.",
            "Default: `best_fit`. Changed in place.",
        )
        .is::<KnownStrategy>(),
        AttributeSpec::new(
            "release_cooldown_seconds",
            Attribute::number().default(0_i64),
            "Seconds for which released blocks stay out of circulation, at most a year. The same name in the same VPC \
             gets them back meanwhile.",
            "Default: `0`. Changed in place.",
        )
        .is::<Cooldown>(),
        AttributeSpec::new(
            "required_labels",
            Attribute::map(Type::list(Type::String)).default(Value::Map(BTreeMap::new())),
            "Labels that an allocation must have to get space here: key to allowed values, of which none means that any \
             will do.",
            "Default: none. Changed in place.",
        )
        .is::<BTreeMap<String, Vec<String>>>(),
    ]
}

/// All attributes of the resource.
pub(super) fn specs() -> Vec<AttributeSpec> {
    let place = [
        name("Name, unique within the VRF."),
        place::vrf(
            "Name of the VRF that it is in.",
            "Default: `default`. Another VRF forces replacement, a new name of the same VRF does not.",
        ),
        AttributeSpec::new(
            "family",
            Attribute::string()
                .optional()
                .computed()
                .use_state_for_unknown()
                .requires_replace_because(
                    "A pool has addresses of one family. This one is deleted, which requires that nothing is in it any \
                     more, and a new one is created.",
                ),
            "`ipv4` or `ipv6`.",
            "Only needed if neither a range nor the parent tells it. A change forces replacement.",
        )
        .is::<KnownFamily>()
        .place(),
        AttributeSpec::new(
            "parent",
            Attribute::string().optional(),
            "The pool of the same VRF that its ranges are cut from.",
            "Its id (better, since it stays when that pool gets another name) or its name. Another parent forces \
             replacement.",
        )
        .place(),
        AttributeSpec::shown(
            "parent_id",
            Attribute::string().unknown_when_changed(&["parent"]),
            "Id of the parent; null if there is none.",
        ),
    ];
    place
        .into_iter()
        .chain(ranges())
        .chain(bounds())
        .chain(policies())
        .chain([description()])
        .collect()
}

/// Attributes that change by themselves.
pub(super) fn only_looked_up() -> Vec<AttributeSpec> {
    vec![
        count("total_addresses", "Addresses in all ranges."),
        count(
            "used_addresses",
            "Addresses in blocks, reservations, child pools, and blocks that are cooling down.",
        ),
        AttributeSpec::shown(
            "utilisation",
            Attribute::number(),
            "Fraction of the total that is used, from 0 to 1.",
        ),
        count(
            "largest_free_prefix_length",
            "Prefix length of the largest free block; null when it is full.",
        ),
        AttributeSpec::list(
            "free",
            vec![
                count("prefix_length", "Prefix length of the blocks."),
                count("count", "How many there are."),
            ],
            Attribute::computed,
            "Free blocks by size, largest first.",
            "",
        ),
        created_at(),
    ]
}
