//! The data source `ipam_allocation`: one allocation, found by its id, its names, its first block, or an address in it.

use std::net::IpAddr;

use ipam_shared::{
    api::allocation::Allocation as Found, cidr::Cidr, error::Code, ids::AllocationId, name::Name,
};
use tfplugin::{
    Attribute, Context, DataSource, Diagnostic, Result, Schema, Text, ToValue, Type, Value,
    async_trait,
};
use time::format_description::well_known::Rfc3339;

use crate::{failure::failure, labels, lookup, model, provider::Connection};

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
            "vpc",
            Attribute::string().optional().computed().describe(
                "Name of the VPC. Give it together with `name` to look up by both.",
            ),
        )
        .attribute(
            "name",
            Attribute::string().optional().computed().describe(
                "Name of the allocation within its VPC. Give it together with `vpc` to look up by both.",
            ),
        )
        .attribute(
            "cidr",
            Attribute::string().optional().computed().describe(
                "The first block. Give it to look up by it.",
            ),
        )
        .attribute(
            "contains",
            Attribute::string().optional().describe(
                "An address such as `10.0.0.7`, or a network such as `100.64.3.0/24`, that lies in one of the blocks. \
                 Give it to look up by it.",
            ),
        )
        .attribute(
            "hosts",
            Attribute::number().computed().describe("Number of hosts, if the size was asked for that way."),
        )
        .attribute(
            "prefix_length",
            Attribute::number().computed().describe("Prefix length of the first block."),
        )
        .attribute("vrf", Attribute::string().computed().describe("Name of the VPC's VRF."))
        .attribute(
            "profile",
            Attribute::string().computed().describe(
                "Name of the profile that it was made from; null if it was asked for from pools.",
            ),
        )
        .attribute(
            "pools",
            Attribute::list(Type::String)
                .computed()
                .describe("The pools that were asked for, in the order of preference; null if it was not so."),
        )
        .attribute(
            "pool_selector",
            labels::attribute()
                .computed()
                .describe("The labels that the pool was selected by; null if it was not so."),
        )
        .attribute(
            "exclude_cidrs",
            Attribute::list(Type::String).computed().describe("Networks that its blocks keep away from."),
        )
        .attribute("labels", labels::attribute().computed().describe("All labels that it has."))
        .attribute(
            "number",
            Attribute::number()
                .computed()
                .describe("The integer by which the original API knows the allocation. It never changes."),
        )
        .attribute(
            "created_at",
            Attribute::string().computed().describe("When it was allocated, as in RFC 3339, in UTC."),
        )
        .attribute("description", Attribute::string().computed().describe("Free text."))
        .attribute(
            "deletion_protection",
            Attribute::bool().computed().describe("Whether its deletion is refused."),
        );
        model::computed()
            .into_iter()
            .fold(schema, |schema, (name, attribute)| match name {
                "id" => schema.attribute(
                    name,
                    attribute
                        .optional()
                        .describe("Id of the allocation. Give it to look up by it."),
                ),
                _ => schema.attribute(name, attribute),
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
        let found = look_up(connection, &config).await?;
        let mut state = model::attributes(&found);
        state.set(
            "labels",
            labels::LabelMap::from(found.labels.clone()).to_value(),
        );
        state.set("number", found.number);
        state.set(
            "created_at",
            found.created_at.format(&Rfc3339).ok().to_value(),
        );
        state.set("contains", config.get("contains").clone());
        if let Some(vpc) = config.get("vpc").as_str() {
            state.set("vpc", vpc);
        }
        Ok(state)
    }
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
    let network = network(&text)
        .map_err(|reason| Diagnostic::error("Invalid value", reason).at("contains"))?;
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

/// An address, or a network.
fn network(text: &str) -> std::result::Result<Cidr, String> {
    if text.contains('/') {
        return text.parse::<Cidr>().map_err(|error| format!("{error}."));
    }
    let address: IpAddr = text.parse().map_err(|_| {
        format!(
            "\"{text}\" is neither an address such as 10.0.0.7 nor a network such as 10.0.0.0/24."
        )
    })?;
    Cidr::containing(address, if address.is_ipv4() { 32 } else { 128 })
        .map_err(|error| format!("{error}."))
}
