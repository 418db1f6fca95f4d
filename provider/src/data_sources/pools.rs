//! The data source `ipam_pools`: all pools, or those of a VRF or with a label, with what is left of them.

use ipam_shared::api::pool::PoolFilter;
use tfplugin::{
    Attribute, Context, DataSource, Diagnostic, Field, Result, Schema, Value, async_trait,
};

use crate::{
    call::finish,
    noun::{looked_up, pool::Pool},
    provider::Connection,
};

/// The data source `ipam_pools`.
pub(crate) struct Pools;

#[async_trait]
impl DataSource<Connection> for Pools {
    fn name(&self) -> &str {
        "ipam_pools"
    }

    fn schema(&self) -> Schema {
        Schema::new(
            "Lists pools, with what is left of them: all, or those that every given filter lets through. None is no error.",
        )
        .attribute(
            "vrf",
            Attribute::string().optional().describe("Only those in the VRF of this name."),
        )
        .attribute(
            "label",
            Attribute::string()
                .optional()
                .describe("Only those with this label, `key=value`, such as `environment=prod`."),
        )
        .attribute(
            "pools",
            Attribute::nested_list(looked_up::attributes::<Pool>()).computed().describe("The pools."),
        )
    }

    async fn validate(&self, _ctx: &Context<Connection>, config: &Value) -> Result<()> {
        match config.attribute::<Field<String>>("label")? {
            Field::Known(label) if !label.contains('=') => Err(Diagnostic::error(
                "Invalid value",
                format!("{label:?} is no key=value, such as environment=prod."),
            )
            .at("label")
            .into()),
            _ => Ok(()),
        }
    }

    async fn read(&self, ctx: &Context<Connection>, config: Value) -> Result<Value> {
        let connection = ctx.client()?;
        let filter = PoolFilter {
            vrf: config.attribute("vrf")?,
            label: config.attribute("label")?,
            ..PoolFilter::default()
        };
        let found = finish(ctx, "list the pools", connection.client.all_pools(&filter)).await?;
        let pools = found
            .iter()
            .map(looked_up::values::<Pool>)
            .collect::<Result<Vec<_>>>()?;
        let mut answer = config;
        answer.set("pools", pools);
        Ok(answer)
    }
}
