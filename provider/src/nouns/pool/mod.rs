//! Pools.
//!
//! The ranges of a child pool may be asked for by size. The server finds room for them in the parent, so they are known
//! after apply, and the configuration is compared with the sizes of the existing ranges: more of a size adds ranges, fewer
//! removes those with the highest addresses.

mod attributes;
pub(crate) mod many;
mod plan;
mod ranges;

use ipam_client::{Client, Created, Error};
use ipam_shared::{
    api::pool::{NewPool, Pool as Found, PoolPatch},
    cidr::{Cidr, Family},
    ids::{Claim, PoolId},
    labels::Labels,
};
use tfplugin::{
    Context, Diagnostic, Field, Number, Plan, Text, ToValue as _, Update, Value, async_trait,
};

use self::ranges::{by_size, lengths, sorted};
use crate::{
    connection::Connection,
    framework::{attribute_spec::AttributeSpec, fields::Fields, noun::Noun, place},
};

/// Named ranges from which blocks are cut.
pub(crate) struct Pool;

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

    fn specs() -> Vec<AttributeSpec> {
        attributes::specs()
    }

    fn only_looked_up() -> Vec<AttributeSpec> {
        attributes::only_looked_up()
    }

    fn id(found: &Found) -> String {
        found.id.to_string()
    }

    fn labels(found: &Found) -> Option<&Labels> {
        Some(&found.labels)
    }

    async fn create(client: &Client, new: &NewPool) -> Result<Created<Found>, Error> {
        client.create_pool(new).await
    }

    async fn get(client: &Client, id: PoolId, claim: Option<Claim>) -> Result<Found, Error> {
        client.get_pool(&id.to_string(), claim).await
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
        ranges::check_agreement(config)?;
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
                "Unknown family",
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
        let consequence = "A pool does not move between address spaces: this one is deleted, which requires that nothing \
            is in it any more, and a new one is created.";
        place::plan_vrf(ctx, plan, consequence).await?;
        plan::parent(ctx, plan).await?;
        plan::ranges(plan)?;
        plan::family(plan)?;
        plan::name(ctx, plan)
    }

    /// The plan contains the sizes of listed ranges; they are not additional ones.
    fn creation(config: &Value, fields: &mut Fields) -> tfplugin::Result<()> {
        if !config.get("ranges").is_null() {
            fields.remove("range_prefix_lengths");
        }
        Ok(())
    }

    /// Sends the ranges that stay, and the lengths of those to be added.
    fn patch(request: &Update, patch: &mut Fields) -> tfplugin::Result<()> {
        patch.remove("range_prefix_lengths");
        // Null removes the default; it was left out because the plan has no value.
        if request.changes("default_prefix_length") {
            let value = request.planned.get("default_prefix_length").to_json();
            patch.insert("default_prefix_length".to_owned(), value);
        }
        if !request.config.get("ranges").is_null()
            || request.config.get("range_prefix_lengths").is_null()
        {
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

    /// The ranges say how large they are and of which family, and the family says which prefix is the longest.
    fn generate(config: &mut Value) {
        let longest = match config.get("family").as_str() {
            Some("ipv4") => Some(Family::Ipv4.bits()),
            Some("ipv6") => Some(Family::Ipv6.bits()),
            _ => None,
        };
        if longest.is_some_and(|bits| *config.get("max_prefix_length") == bits.to_value()) {
            config.set("max_prefix_length", Value::Null);
        }
        let has_ranges = config
            .get("ranges")
            .as_list()
            .is_some_and(|all| !all.is_empty());
        if has_ranges || !config.get("parent").is_null() {
            config.set("family", Value::Null);
        }
        if has_ranges {
            config.set("range_prefix_lengths", Value::Null);
        } else {
            config.set("ranges", Value::Null);
        }
        if config.get("parent").is_null()
            || config
                .get("range_prefix_lengths")
                .as_list()
                .is_some_and(<[_]>::is_empty)
        {
            config.set("range_prefix_lengths", Value::Null);
        }
    }

    fn settle(found: &Found, known: &Value, state: &mut Value) -> tfplugin::Result<()> {
        let lengths = match found.parent_id {
            None => Value::Null,
            Some(_) => {
                let lengths = lengths(&found.ranges);
                // In the order of the configuration, if only the order differs.
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
