//! The data source `ipam_free`: whether a pool has room for a block of some size, which one would be next, and what to do
//! if it does not.

use ipam_client::{Client, Error};
use ipam_shared::{
    api::pool::{FreeQuery, PoolFree},
    ids::PoolId,
    name::Name,
};
use tfplugin::{
    Attribute, Context, DataSource, Diagnostic, Path, Result, Schema, Type, Value, async_trait,
};

use super::lookup::holder;
use crate::{
    connection::Connection,
    framework::{
        attribute_spec::{AttributeSpec, PrefixLength},
        call::finish,
        fields::fields,
    },
};

/// The data source `ipam_free`.
pub(crate) struct Free;

fn asked() -> Vec<AttributeSpec> {
    vec![
        AttributeSpec::new("pool", Attribute::string().required(), "Name or id of the pool.", ""),
        AttributeSpec::new(
            "vrf",
            Attribute::string().optional().computed(),
            "Name of the VRF of the pool. Give it if several VRFs have a pool of that name.",
            "",
        ),
        AttributeSpec::new(
            "prefix_length",
            Attribute::number().optional().computed(),
            "Prefix length of the wanted block. If left out: the pool's default, or else its longest.",
            "",
        )
        .is::<PrefixLength>(),
    ]
}

fn answered() -> Vec<AttributeSpec> {
    let text = |name, what| AttributeSpec::shown(name, Attribute::string(), what);
    let number = |name, what| AttributeSpec::shown(name, Attribute::number(), what);
    vec![
        text("pool_id", "Id of the pool."),
        AttributeSpec::shown(
            "ranges",
            Attribute::list(Type::String),
            "The networks that the pool consists of, in address order.",
        ),
        number(
            "fits",
            "How many blocks of that size fit into the free space as it is.",
        ),
        text(
            "next",
            "The block that would be handed out next; null if none fits.",
        ),
        number(
            "largest_free_prefix_length",
            "Prefix length of the largest free block; null when it is full.",
        ),
        number("free_addresses", "Free addresses."),
        number(
            "cooling_addresses",
            "Addresses that were released recently and are not free yet.",
        ),
        number(
            "fits_if_defragmented",
            "How many blocks of that size would fit if the free addresses were contiguous.",
        ),
        text("advice", "What to do, for people."),
        text(
            "fix_region",
            "If none fits: the network of that size with the fewest used addresses, which is free once `fix_blocks` are \
             out of the way. Null if one fits, or if no range is large enough.",
        ),
        AttributeSpec::list(
            "fix_blocks",
            holder(),
            Attribute::computed,
            "The first 10 things in that region; null if one fits.",
            "",
        ),
        number(
            "fix_add_range_prefix_length",
            "If none fits because no range is large enough: the prefix length of a range to add.",
        ),
    ]
}

#[async_trait]
impl DataSource<Connection> for Free {
    fn name(&self) -> &str {
        "ipam_free"
    }

    fn schema(&self) -> Schema {
        let schema = Schema::new(
            "Says whether a pool has room for a block of some size, which block would be next, and, if there is none, the \
             smallest change that would make room. Nothing is reserved.",
        );
        let asked = asked();
        let asked = asked.iter().map(|spec| (spec.name, spec.of_resource()));
        let answered = answered();
        let answered = answered
            .iter()
            .map(|spec| (spec.name, spec.of_data_source()));
        asked
            .chain(answered)
            .fold(schema, |schema, (name, attribute)| {
                schema.attribute(name, attribute)
            })
    }

    async fn validate(&self, _ctx: &Context<Connection>, config: &Value) -> Result<()> {
        for spec in asked() {
            spec.check(config.get(spec.name), &Path::attribute(spec.name))?;
        }
        Ok(())
    }

    async fn read(&self, ctx: &Context<Connection>, config: Value) -> Result<Value> {
        let connection = ctx.client()?;
        let pool: String = config.attribute("pool")?;
        let vrf: Option<String> = config.attribute("vrf")?;
        let query = FreeQuery {
            prefix_length: config.attribute("prefix_length")?,
        };
        let what = format!("look up what is free in the pool {pool}");
        let call = ask(&connection.client, &pool, vrf.as_deref(), &query);
        let Some(found) = finish(ctx, &what, call).await? else {
            let text = format!(
                "The server at {} has no pool {pool} in the VRF {}.",
                connection.client.endpoint(),
                vrf.unwrap_or_default()
            );
            return Err(Diagnostic::error("No such pool", text).at("pool").into());
        };
        let specs: Vec<AttributeSpec> = asked().into_iter().chain(answered()).collect();
        let mut answer = fields(&found, &specs)?;
        answer.set("pool", pool);
        let fix = fields(&found.fix, &fix())?;
        for (name, spec) in [
            ("fix_region", "region"),
            ("fix_blocks", "blocks"),
            ("fix_add_range_prefix_length", "add_range_prefix_length"),
        ] {
            answer.set(name, fix.get(spec).clone());
        }
        Ok(answer)
    }
}

/// The fields of the smallest change, as the API has them.
fn fix() -> Vec<AttributeSpec> {
    let spec = |name| AttributeSpec::shown(name, Attribute::string(), "");
    vec![
        spec("region"),
        spec("blocks"),
        spec("add_range_prefix_length"),
    ]
}

/// What is free in a pool; none if the VRF has no pool of that name or id.
async fn ask(
    client: &Client,
    pool: &str,
    vrf: Option<&str>,
    query: &FreeQuery,
) -> std::result::Result<Option<PoolFree>, Error> {
    let Some(vrf) = vrf else {
        return client.pool_free(pool, query).await.map(Some);
    };
    let named = match pool.parse::<Name>() {
        Ok(name) => client.find_pools(&name, Some(vrf)).await?.pop(),
        Err(_) => None,
    };
    let id = match named {
        Some(found) => found.id.to_string(),
        None if pool.parse::<PoolId>().is_ok() => pool.to_owned(),
        None => return Ok(None),
    };
    let found = client.pool_free(&id, query).await?;
    Ok((found.vrf == vrf).then_some(found))
}
