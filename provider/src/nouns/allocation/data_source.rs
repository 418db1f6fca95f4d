//! The data source `ipam_allocation`: one allocation, found by its id, its names, its first block, or an address in it.

use ipam_shared::{
    api::allocation::Allocation as Found, cidr::Cidr, error::Code, ids::AllocationId, name::Name,
};
use tfplugin::{
    Attribute, Context, DataSource, Diagnostic, Result, Schema, Text, ToValue, Type, Value,
    async_trait,
};
use time::format_description::well_known::Rfc3339;

use super::{lookup, model};
use crate::{
    connection::Connection,
    framework::{call::until_stopped, failure::failure, labels},
};

/// The data source `ipam_allocation`.
pub(crate) struct Allocation;

#[async_trait]
impl DataSource<Connection> for Allocation {
    fn name(&self) -> &str {
        "ipam_allocation"
    }

    fn schema(&self) -> Schema {
        let schema = Schema::new(
            "Looks up one allocation: by `id`, by `vpc` and `name`, by `cidr`, or by an address that it `contains`. It \
             is an error if there is none.",
        )
        .attribute(
            "contains",
            Attribute::string().optional().describe(
                "An address such as `10.0.0.7`, or a network such as `100.64.3.0/24`, that lies in one of the blocks. \
                 Give it to look up by it.",
            ),
        );
        attributes()
            .into_iter()
            .fold(schema, |schema, (name, attribute)| {
                let usage = match name {
                    "id" | "cidr" => "Give it to look up by it.",
                    "vpc" => "Give it together with `name` to look up by both.",
                    "name" => "Give it together with `vpc` to look up by both.",
                    _ => return schema.attribute(name, attribute),
                };
                let text = format!("{} {usage}", attribute.description);
                schema.attribute(name, attribute.optional().describe(text))
            })
    }

    async fn validate(&self, _ctx: &Context<Connection>, config: &Value) -> Result<()> {
        let given = |name: &str| !config.get(name).is_null();
        let unknown = ["id", "vpc", "name", "cidr", "contains"]
            .iter()
            .any(|name| config.get(name).is_unknown());
        let ways = usize::from(given("id"))
            + usize::from(given("vpc") || given("name"))
            + usize::from(given("cidr"))
            + usize::from(given("contains"));
        if !unknown && (ways != 1 || given("vpc") != given("name")) {
            return Err(Diagnostic::error(
                "Which allocation?",
                "Give exactly one of these: id; vpc and name together; cidr; contains.",
            )
            .into());
        }
        Ok(())
    }

    async fn read(&self, ctx: &Context<Connection>, config: Value) -> Result<Value> {
        let connection = ctx.client()?;
        let call = look_up(connection, &config);
        let found = until_stopped(ctx, "look up the allocation", call).await??;
        let mut state = values(&found);
        state.set("contains", config.get("contains").clone());
        if let Some(vpc) = config.get("vpc").as_str() {
            state.set("vpc", vpc);
        }
        Ok(state)
    }
}

/// All attributes that an allocation is shown with, computed.
pub(crate) fn attributes() -> Vec<(&'static str, Attribute)> {
    let text = |what: &str| Attribute::string().computed().describe(what);
    let number = |what: &str| Attribute::number().computed().describe(what);
    let texts = |what: &str| Attribute::list(Type::String).computed().describe(what);
    let pairs = |what: &str| labels::attribute().computed().describe(what);
    let mut all = vec![
        ("vpc", text("Name of the VPC.")),
        (
            "name",
            text("Name of the allocation within its VPC; null if it has none."),
        ),
        ("cidr", text("The first block.")),
        (
            "hosts",
            number("Number of hosts, if the size was requested that way."),
        ),
        (
            "prefix_length",
            number(
                "Prefix length. It is that of the first block, unless the first member of the profile has a `size_offset`, which \
             is added to it.",
            ),
        ),
        ("vrf", text("Name of the VPC's VRF.")),
        (
            "profile",
            text(
                "Name of the profile that it was created from; null if it was requested from pools.",
            ),
        ),
        (
            "pools",
            texts(
                "The requested pools, in the order of preference; null if it was requested otherwise.",
            ),
        ),
        (
            "pool_selector",
            pairs("The labels that the pool was selected by; null if it was requested otherwise."),
        ),
        (
            "exclude_cidrs",
            texts("Networks that its blocks must not overlap."),
        ),
        ("labels", pairs("All labels that it has.")),
        (
            "number",
            number("The integer by which the original API knows the allocation. It never changes."),
        ),
        (
            "created_at",
            text("When it was allocated, as in RFC 3339, in UTC."),
        ),
        ("description", text("Free text.")),
        (
            "owner",
            text("For whom it was created; null for nobody in particular."),
        ),
        (
            "deletion_protection",
            Attribute::bool()
                .computed()
                .describe("Whether its deletion is refused."),
        ),
    ];
    all.extend(model::computed());
    all
}

/// An allocation, as those attributes.
pub(crate) fn values(found: &Found) -> Value {
    let mut values = model::attributes(found);
    values.set(
        "labels",
        labels::LabelMap::from(found.labels.clone()).to_value(),
    );
    values.set("number", found.number);
    values.set(
        "owner",
        found.owner.as_ref().map(ToString::to_string).to_value(),
    );
    values.set(
        "created_at",
        found.created_at.format(&Rfc3339).ok().to_value(),
    );
    values
}

async fn look_up(connection: &Connection, config: &Value) -> Result<Found> {
    let client = &connection.client;
    if let Some(Text(id)) = config.attribute::<Option<Text<AllocationId>>>("id")? {
        return client
            .get_allocation(id, None)
            .await
            .map_err(|error| match error.code() {
                Some(Code::NotFound) => missing(connection, &format!("with the id {id}"))
                    .at("id")
                    .into(),
                _ => failure(&format!("look up the allocation {id}"), &error).into(),
            });
    }
    let name: Option<Text<Name>> = config.attribute("name")?;
    let vpc: Option<Text<Name>> = config.attribute("vpc")?;
    if let (Some(Text(vpc)), Some(Text(name))) = (vpc, name) {
        let found = client
            .find_allocation(&vpc, &name)
            .await
            .map_err(|error| failure(&format!("look up the allocation {vpc}/{name}"), &error))?;
        return found.ok_or_else(|| {
            missing(connection, &format!("{vpc}/{name}"))
                .at("name")
                .into()
        });
    }
    if let Some(Text(cidr)) = config.attribute::<Option<Text<Cidr>>>("cidr")? {
        let found = containing(connection, cidr).await?;
        let found = found
            .into_iter()
            .filter(|found| found.cidr == cidr)
            .collect();
        return only(
            connection,
            found,
            &format!("whose first block is {cidr}"),
            "cidr",
        );
    }
    let text: String = config.attribute("contains")?;
    let network = Cidr::of_address_or_network(&text)
        .map_err(|error| Diagnostic::error("Invalid value", format!("{error}.")).at("contains"))?;
    let found = containing(connection, network).await?;
    only(
        connection,
        found,
        &format!("that contains {text}"),
        "contains",
    )
}

/// The allocations with a block that contains the whole network.
async fn containing(connection: &Connection, network: Cidr) -> Result<Vec<Found>> {
    lookup::containing(&connection.client, network)
        .await
        .map_err(|error| failure(&format!("look up the allocation of {network}"), &error).into())
}

fn only(connection: &Connection, found: Vec<Found>, which: &str, path: &str) -> Result<Found> {
    match <[Found; 1]>::try_from(found) {
        Ok([one]) => Ok(one),
        Err(none) if none.is_empty() => Err(missing(connection, which).at(path).into()),
        Err(several) => Err(Diagnostic::error(
            "More than one allocation",
            format!(
                "Several VRFs have an allocation {which}. Look up one of these by its VPC and name, or by its id: {}.",
                lookup::forms(&several)
            ),
        )
        .at(path)
        .into()),
    }
}

fn missing(connection: &Connection, which: &str) -> Diagnostic {
    Diagnostic::error(
        "No such allocation",
        format!(
            "The server at {} has no allocation {which}.",
            connection.client.endpoint()
        ),
    )
}
