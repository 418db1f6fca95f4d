//! Pools.
//!
//! The ranges of a child pool may be asked for by size. The server finds room for them in the parent, so that they are
//! known after apply, and what the configuration says is compared with the sizes of the ranges that are there: more of a
//! size adds ranges, fewer removes those with the highest addresses.

use ipam_client::{Client, Error};
use ipam_shared::{
    api::pool::{MAX_RELEASE_COOLDOWN_SECONDS, NewPool, Pool as Found, PoolPatch, Strategy},
    cidr::{Cidr, Family, RESERVED_ADDRESSES},
    ids::PoolId,
    labels::Labels,
    name::Name,
};
use std::collections::BTreeMap;
use tfplugin::{
    Attribute, Context, Diagnostic, Field, FromValue, Number, Path, Plan, Text, ToValue as _, Type,
    Update, Value, async_trait,
};

use super::{
    Fields, Noun, place,
    profile::PrefixLength,
    vrf::{count, name},
    word::{Word, Written, created_at, description},
};
use crate::{call::finish, provider::Connection};

/// Named ranges from which blocks are cut.
pub(crate) struct Pool;

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
        let seconds = u32::from_value(value, path)?;
        if seconds <= MAX_RELEASE_COOLDOWN_SECONDS {
            return Ok(Self);
        }
        let detail = format!("{seconds} seconds are more than a year.");
        Err(Diagnostic::error("Unsuitable number of seconds", detail).at(path))
    }
}

fn ranges() -> Vec<Word> {
    vec![
        Word::new(
            "ranges",
            Attribute::set(Type::String).optional().computed().use_state_for_unknown(),
            "The networks that it consists of.",
            "With a parent they must be free there; IPv6 ranges are /32 or longer. Added and removed in place; a range \
             that has blocks in it is not removed. Leave it out to ask for ranges with `range_prefix_lengths`, or to \
             manage them elsewhere.",
        )
        .is::<Vec<Written>>(),
        Word::new(
            "range_prefix_lengths",
            Attribute::list(Type::Number).optional().computed().use_state_for_unknown(),
            "Prefix lengths of the ranges of a pool with a parent, largest range first; null without a parent.",
            "Set it instead of `ranges` to have ranges of these sizes cut from the parent, wherever it has them free; \
             their order does not matter. Changed in place: a length more adds a range, one less removes the range of \
             that size with the highest addresses.",
        )
        .is::<Vec<PrefixLength>>(),
    ]
}

fn bounds() -> Vec<Word> {
    let length =
        |name, attribute, what, usage| Word::new(name, attribute, what, usage).is::<PrefixLength>();
    vec![
        length(
            "min_prefix_length",
            Attribute::number().default(0_i64),
            "Shortest prefix, that is the largest block, that it gives.",
            "Default: `0`, so that a block may be a whole range. Changed in place: blocks that exist stay.",
        ),
        length(
            "max_prefix_length",
            Attribute::number()
                .optional()
                .computed()
                .use_state_for_unknown(),
            "Longest prefix, that is the smallest block, that it gives.",
            "If left out: 32 or 128. Changed in place: blocks that exist stay.",
        ),
        length(
            "default_prefix_length",
            Attribute::number().optional(),
            "Prefix length when a request from pools does not say; null if it must say.",
            "Changed in place.",
        ),
    ]
}

fn policies() -> Vec<Word> {
    vec![
        Word::new(
            "reserved_addresses",
            Attribute::number().default(i64::from(RESERVED_ADDRESSES)),
            "Addresses of each block that are not for hosts.",
            "Default: `5` (network, broadcast, gateway, DNS and a spare one). Changed in place.",
        )
        .is::<u32>(),
        Word::new(
            "strategy",
            Attribute::string().default(Strategy::default().as_str()),
            "How a free block is chosen: `best_fit` takes the smallest that is large enough, which keeps large blocks \
             whole; `first_fit` the lowest address; `last_fit` the highest; `sparse` the middle of the largest, which \
             leaves room for allocations to grow.",
            "Default: `best_fit`. Changed in place.",
        )
        .is::<KnownStrategy>(),
        Word::new(
            "release_cooldown_seconds",
            Attribute::number().default(0_i64),
            "Seconds for which released blocks stay out of circulation, at most a year. The same name in the same VPC \
             gets them back meanwhile.",
            "Default: `0`. Changed in place.",
        )
        .is::<Cooldown>(),
        Word::new(
            "required_labels",
            Attribute::map(Type::list(Type::String)).default(Value::Map(BTreeMap::new())),
            "Labels that an allocation must have to get space here: key to allowed values, of which none means that any \
             will do.",
            "Default: none. Changed in place.",
        ),
    ]
}

#[async_trait]
impl Noun for Pool {
    const TYPE: &'static str = "ipam_pool";
    const WORD: &'static str = "pool";
    const ABOUT: &'static str = "Named ranges of one address family in one VRF, from which blocks are cut. Ranges are \
        added and removed in place. The ranges of a pool with a `parent` are cut from that pool, to any depth: that \
        is how a plan is divided among teams, regions or environments.\n\nA pool is destroyed only when no blocks and no \
        child pools are cut from it any more. What is left of it is shown by the data source, not here, because it \
        changes by itself.";
    const SCOPED: bool = true;
    const IMPORT: &'static str =
        "by id, by VRF and name such as dev/cgnat, or by name if only one VRF has such a pool";

    type Id = PoolId;
    type New = NewPool;
    type Patch = PoolPatch;
    type Found = Found;

    fn words() -> Vec<Word> {
        let place = [
            name("Name, unique within the VRF."),
            place::vrf(
                "Name of the VRF that it is in.",
                "Default: `default`. Another VRF forces replacement, a new name of the same VRF does not.",
            ),
            Word::new(
                "family",
                Attribute::string()
                    .optional()
                    .computed()
                    .use_state_for_unknown()
                    .requires_replace_because(
                        "A pool has addresses of one family. This one is deleted, which takes that nothing is in it any \
                         more, and a new one is made.",
                    ),
                "`ipv4` or `ipv6`.",
                "Only needed while neither a range nor the parent tells it. A change forces replacement.",
            )
            .is::<KnownFamily>()
            .place(),
            Word::new(
                "parent",
                Attribute::string().optional(),
                "The pool of the same VRF that its ranges are cut from.",
                "Its id (better, since it stays when that pool gets another name) or its name. Another parent forces \
                 replacement.",
            )
            .place(),
            Word::shown(
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

    fn only_looked_up() -> Vec<Word> {
        vec![
            count("total_addresses", "Addresses in all ranges."),
            count(
                "used_addresses",
                "Addresses in blocks, reservations, child pools, and blocks that are cooling down.",
            ),
            Word::shown(
                "utilisation",
                Attribute::number(),
                "Used part of the total, from 0 to 1.",
            ),
            count(
                "largest_free_prefix_length",
                "Prefix length of the largest free block; null when it is full.",
            ),
            Word::list(
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

    fn id(found: &Found) -> String {
        found.id.to_string()
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    async fn create(client: &Client, new: &NewPool) -> Result<Found, Error> {
        client.create_pool(new).await
    }

    async fn get(client: &Client, id: PoolId) -> Result<Found, Error> {
        client.get_pool(&id.to_string()).await
    }

    async fn find(client: &Client, key: &str, vrf: Option<&str>) -> Result<Vec<Found>, Error> {
        match key.parse() {
            Ok(name) => client.find_pools(&name, vrf).await,
            Err(_) => Ok(Vec::new()),
        }
    }

    async fn update(client: &Client, id: PoolId, patch: &PoolPatch) -> Result<Found, Error> {
        client.update_pool(id, patch, None).await
    }

    async fn delete(client: &Client, id: PoolId) -> Result<(), Error> {
        client.delete_pool(id, None).await
    }

    fn validate(config: &Value) -> tfplugin::Result<()> {
        let given = |name: &str| !config.get(name).is_null();
        let known = |name: &str| !config.get(name).is_unknown();
        let by_size = "range_prefix_lengths";
        if given("ranges") && given(by_size) && known("ranges") && known(by_size) {
            return Err(Diagnostic::error(
                "The ranges are given twice",
                "Give ranges, or range_prefix_lengths to have them cut from the parent, but not both.",
            )
            .at(by_size)
            .into());
        }
        if given(by_size) && known(by_size) && !given("parent") {
            return Err(Diagnostic::error(
                "Ranges by size need a parent",
                "range_prefix_lengths says how much to cut from the parent. Set parent, or give ranges.",
            )
            .at(by_size)
            .into());
        }
        if !given("ranges") && !given("parent") && !given("family") {
            return Err(Diagnostic::error(
                "Which family?",
                "Neither ranges nor a parent tells whether the pool is for ipv4 or ipv6. Set family, or give ranges.",
            )
            .at("family")
            .into());
        }
        let (min, max, default): (Field<u8>, Field<u8>, Field<u8>) = (
            config.attribute("min_prefix_length")?,
            config.attribute("max_prefix_length")?,
            config.attribute("default_prefix_length")?,
        );
        let min = min.known();
        let bounds = [
            (min, max.known()),
            (min, default.known()),
            (default.known(), max.known()),
        ];
        for (shorter, longer) in bounds {
            if let (Some(shorter), Some(longer)) = (shorter, longer)
                && shorter > longer
            {
                return Err(Diagnostic::error(
                    "Unsuitable bounds",
                    format!(
                        "min_prefix_length, default_prefix_length and max_prefix_length must not fall in this order, \
                         but /{shorter} comes before /{longer}."
                    ),
                )
                .at("min_prefix_length")
                .into());
            }
        }
        Ok(())
    }

    async fn plan(ctx: &Context<Connection>, plan: &mut Plan) -> tfplugin::Result<()> {
        let consequence = "A pool does not move between address spaces: this one is deleted, which takes that nothing is \
            in it any more, and a new one is made.";
        place::plan_vrf(ctx, plan, consequence).await?;
        plan_parent(ctx, plan).await?;
        plan_ranges(plan)?;
        plan_family(plan)
    }

    /// Ranges are sent as those that are to stay, and the lengths of those that are to be added.
    fn patch(request: &Update, patch: &mut Fields) -> tfplugin::Result<()> {
        patch.remove("range_prefix_lengths");
        // Null says that there is no default any more; it was left out because the plan has no value.
        if request.changes("default_prefix_length") {
            let value = request.planned.get("default_prefix_length").to_json();
            patch.insert("default_prefix_length".to_owned(), value);
        }
        if request.config.get("range_prefix_lengths").is_null() {
            return Ok(());
        }
        patch.remove("ranges");
        let before: Vec<Text<Cidr>> = request.prior.attribute("ranges")?;
        let wanted: Vec<u8> = request.planned.attribute("range_prefix_lengths")?;
        let change = by_size(before.into_iter().map(|Text(cidr)| cidr).collect(), &wanted);
        if change.removes {
            let kept = change.kept.iter().map(ToString::to_string);
            patch.insert("ranges".to_owned(), kept.collect::<Vec<_>>().into());
        }
        if !change.added.is_empty() {
            patch.insert("add_range_prefix_lengths".to_owned(), change.added.into());
        }
        Ok(())
    }

    fn settle(found: &Found, known: &Value, state: &mut Value) -> tfplugin::Result<()> {
        let lengths = match found.parent_id {
            None => Value::Null,
            Some(_) => {
                let lengths = lengths(&found.ranges);
                // In the order of the configuration, if it is only an order.
                let before: Field<Vec<u8>> = known.attribute("range_prefix_lengths")?;
                match before.known() {
                    Some(before) if sorted(before.clone()) == lengths => before.to_value(),
                    _ => lengths.to_value(),
                }
            }
        };
        state.set("range_prefix_lengths", lengths);
        if let (Some(parent), Some(id)) = (known.get("parent").as_str(), found.parent_id)
            && parent == id.to_string()
        {
            state.set("parent", parent);
        }
        for (name, exact) in [
            ("total_addresses", found.total_addresses),
            ("used_addresses", found.used_addresses),
        ] {
            if state.as_map().is_some_and(|all| all.contains_key(name)) {
                state.set(name, Number::parse(&exact.to_string()).to_value());
            }
        }
        Ok(())
    }
}

/// Keeps the parent that is only said in another way, and replaces the pool if it is another one.
async fn plan_parent(ctx: &Context<Connection>, plan: &mut Plan) -> tfplugin::Result<()> {
    if plan.config.get("parent").is_null() {
        plan.set("parent_id", &Value::Null);
    }
    let Some(prior) = &plan.prior else {
        return Ok(());
    };
    if !plan.changes("parent") {
        return Ok(());
    }
    let before = prior.get("parent").clone();
    let id = prior.get("parent_id").clone();
    let wanted = plan.planned.get("parent").clone();
    let reason = "The ranges of a pool are cut from the parent that it was made with. This one is deleted, which takes \
        that nothing is in it any more, and a new one is made.";
    match (wanted.as_str(), id.as_str()) {
        (Some(wanted), Some(id)) if wanted == id => {
            // The id of what the state knows by its name, or it was imported so.
            plan.keep("parent");
            plan.keep("parent_id");
        }
        (Some(wanted), Some(id)) => {
            let vrf: Field<String> = plan.prior("vrf")?;
            let named = match (
                ctx.try_client(),
                wanted.parse::<Name>(),
                wanted.parse::<PoolId>(),
            ) {
                // Another id is another pool.
                (_, _, Ok(_)) => Some(wanted.to_owned()),
                (Some(connection), Ok(name), _) => {
                    let vrf = vrf.known();
                    let call = connection.client.find_pools(&name, vrf.as_deref());
                    let found = finish(ctx, &format!("look up the pool {name}"), call).await?;
                    found.first().map(|found| found.id.to_string())
                }
                _ => None,
            };
            match named {
                Some(named) if named == id => {
                    if before.as_str() == Some(id) {
                        plan.keep("parent");
                    }
                    plan.keep("parent_id");
                }
                // Maybe it is about to get that name; the apply looks again.
                None => plan.keep("parent_id"),
                Some(_) => plan.replace("parent", reason),
            }
        }
        // From none to some or the other way, or to a pool that is yet to be made.
        _ => plan.replace("parent", reason),
    }
    Ok(())
}

/// Plans the ranges by size and the sizes of ranges, whichever of the two the configuration leaves out.
fn plan_ranges(plan: &mut Plan) -> tfplugin::Result<()> {
    let (ranges, by_size) = ("ranges", "range_prefix_lengths");
    let before: Field<Vec<Text<Cidr>>> = plan.prior(ranges)?;
    let before: Vec<Cidr> = before
        .known()
        .unwrap_or_default()
        .into_iter()
        .map(|Text(cidr)| cidr)
        .collect();
    if !plan.config.get(by_size).is_null() {
        match plan.planned.get(by_size).is_wholly_known() && !plan.is_create() {
            true => {
                let wanted: Vec<u8> = plan.planned(by_size)?;
                let change = self::by_size(before, &wanted);
                if !change.added.is_empty() {
                    plan.set_unknown(ranges);
                } else if change.removes {
                    let kept: Vec<String> = change.kept.iter().map(ToString::to_string).collect();
                    plan.set(ranges, &kept);
                } else {
                    plan.keep(ranges);
                    plan.keep(by_size);
                }
            }
            false => plan.set_unknown(ranges),
        }
        return Ok(());
    }
    if plan.config.get("parent").is_null() {
        plan.set(by_size, &Value::Null);
    } else if !plan.planned.get(ranges).is_wholly_known() {
        plan.set_unknown(by_size);
    } else if plan.is_create() || plan.changes(ranges) {
        let planned: Field<Vec<Text<Cidr>>> = plan.planned(ranges)?;
        let planned: Vec<Cidr> = planned
            .known()
            .unwrap_or_default()
            .into_iter()
            .map(|Text(cidr)| cidr)
            .collect();
        plan.set(by_size, &lengths(&planned));
    }
    Ok(())
}

/// What the first range tells: the family, and with it the longest prefix.
fn plan_family(plan: &mut Plan) -> tfplugin::Result<()> {
    if plan.is_create() {
        if plan.planned.get("ranges").is_wholly_known()
            && plan.config.get("family").is_null()
            && let Field::Known(ranges) = plan.planned::<Field<Vec<Text<Cidr>>>>("ranges")?
            && let Some(Text(first)) = ranges.first()
        {
            let family = match first.family() {
                Family::Ipv4 => "ipv4",
                Family::Ipv6 => "ipv6",
            };
            plan.set("family", &family);
        }
        if plan.config.get("ranges").is_null() && plan.config.get("range_prefix_lengths").is_null()
        {
            plan.set("ranges", &Value::List(Vec::new()));
            if !plan.config.get("parent").is_null() {
                plan.set("range_prefix_lengths", &Value::List(Vec::new()));
            }
        }
    }
    if plan.config.get("max_prefix_length").is_null() {
        match plan.planned.get("family").as_str() {
            Some("ipv4") => plan.set("max_prefix_length", &Family::Ipv4.bits()),
            Some("ipv6") => plan.set("max_prefix_length", &Family::Ipv6.bits()),
            _ => {}
        }
    }
    Ok(())
}

/// How ranges become those of the wanted sizes.
#[derive(Debug, PartialEq)]
struct BySize {
    kept: Vec<Cidr>,
    removes: bool,
    added: Vec<u8>,
}

fn by_size(mut ranges: Vec<Cidr>, wanted: &[u8]) -> BySize {
    ranges.sort_unstable_by_key(|range| range.number());
    let count = ranges.len();
    let mut added = wanted.to_vec();
    // In address order, so that those with the highest addresses find nothing left that wants them.
    ranges.retain(|range| {
        let wanting = added
            .iter()
            .position(|length| *length == range.prefix_length());
        wanting.map(|index| added.remove(index)).is_some()
    });
    BySize {
        removes: ranges.len() < count,
        kept: ranges,
        added: sorted(added),
    }
}

fn lengths(ranges: &[Cidr]) -> Vec<u8> {
    sorted(ranges.iter().map(|range| range.prefix_length()).collect())
}

fn sorted(mut lengths: Vec<u8>) -> Vec<u8> {
    lengths.sort_unstable();
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_multiset_and_the_highest_goes_first() {
        let ranges =
            |all: &[&str]| -> Vec<Cidr> { all.iter().map(|text| text.parse().unwrap()).collect() };
        let before = || ranges(&["10.8.0.0/20", "10.0.0.0/20", "10.4.0.0/22"]);
        let same = by_size(before(), &[22, 20, 20]);
        assert_eq!((same.removes, same.added), (false, vec![]));
        let fewer = by_size(before(), &[20, 22]);
        assert_eq!(fewer.kept, ranges(&["10.0.0.0/20", "10.4.0.0/22"]));
        assert_eq!((fewer.removes, fewer.added), (true, vec![]));
        let other = by_size(before(), &[24, 20, 23, 22]);
        assert_eq!(other.kept, ranges(&["10.0.0.0/20", "10.4.0.0/22"]));
        assert_eq!((other.removes, other.added), (true, vec![23, 24]));
        let first = by_size(Vec::new(), &[20]);
        assert_eq!((first.removes, first.added), (false, vec![20]));
    }
}
