//! The data source `ipam_lookup`: who has an address or a network, or had it at a given time.

use ipam_shared::api::lookup::LookupQuery;
use tfplugin::{
    Attribute, Context, DataSource, Diagnostic, FromValue, Path, Result, Schema, Value, async_trait,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    connection::Connection,
    framework::{attribute_spec::AttributeSpec, call::finish, fields::fields},
    functions::argument::AddressOrNetwork,
};

/// The data source `ipam_lookup`.
pub(crate) struct Lookup;

fn shown(name: &'static str, what: &'static str) -> AttributeSpec {
    AttributeSpec::shown(name, Attribute::string(), what)
}

/// Who has or had a network.
pub(super) fn holder() -> Vec<AttributeSpec> {
    vec![
        shown(
            "kind",
            "What it is: `allocation`, `reservation`, `cooldown` (released recently), `child_pool` or `other`.",
        ),
        shown(
            "cidr",
            "Its whole network, including what lies outside of what was asked about.",
        ),
        shown("vrf", "Name of the VRF."),
        shown(
            "pool",
            "Name of the pool that it is cut from; null for a reservation outside of all pools.",
        ),
        shown("role", "What the block is for, if it is of an allocation."),
        shown("allocation_id", "Id of the allocation."),
        shown("reservation_id", "Id of the reservation."),
        shown("vpc", "Name of the allocation's VPC."),
        shown("name", "Name of the allocation, or of the child pool."),
        shown(
            "reason",
            "Why it is out of circulation, if no allocation has it.",
        ),
        shown("since", "Since when, as in RFC 3339, in UTC."),
        shown(
            "until",
            "Until when, as in RFC 3339, in UTC; null for what is held until it is given up.",
        ),
    ]
}

fn specs() -> Vec<AttributeSpec> {
    vec![
        shown(
            "cidr",
            "The network that was asked about; an address counts as a network of one address.",
        ),
        AttributeSpec::list(
            "holders",
            holder(),
            Attribute::computed,
            "Who holds a part of it, in address order, containing networks first; at most 1,000.",
            "",
        ),
        AttributeSpec::shown(
            "more",
            Attribute::bool(),
            "Whether there are more holders than these.",
        ),
        AttributeSpec::list(
            "pools",
            vec![
                shown("pool", "Name of the pool."),
                shown("pool_id", "Id of the pool."),
                shown("vrf", "Name of its VRF."),
                shown("cidr", "The range."),
            ],
            Attribute::computed,
            "The ranges of pools, as they are now, that it lies in, the deepest last.",
            "",
        ),
        AttributeSpec::shown(
            "free",
            Attribute::bool(),
            "Whether it lies in a pool and nobody holds any of it. In the range of a child pool: whether nobody holds \
             any of it there.",
        ),
    ]
}

struct Time(OffsetDateTime);

impl FromValue for Time {
    fn from_value(value: &Value, path: &Path) -> std::result::Result<Self, Diagnostic> {
        let text = String::from_value(value, path)?;
        OffsetDateTime::parse(&text, &Rfc3339)
            .map(Self)
            .map_err(|_| {
                let text =
                    format!("{text:?} is not a time as in RFC 3339, such as 2026-01-31T12:00:00Z.");
                Diagnostic::error("Invalid value", text).at(path)
            })
    }
}

fn asked() -> Vec<AttributeSpec> {
    vec![
        AttributeSpec::new(
            "address",
            Attribute::string().required(),
            "An address such as `10.0.3.7`, or a network such as `10.0.2.0/23`, of which every part is looked up.",
            "",
        )
        .is::<AddressOrNetwork>(),
        AttributeSpec::new(
            "vrf",
            Attribute::string().optional(),
            "Only in the VRF of this name or id; in all of them if left out.",
            "",
        ),
        AttributeSpec::new(
            "at",
            Attribute::string().optional(),
            "The time to ask about, as in RFC 3339, such as `2026-01-31T12:00:00Z`; now if left out.",
            "",
        )
        .is::<Time>(),
    ]
}

#[async_trait]
impl DataSource<Connection> for Lookup {
    fn name(&self) -> &str {
        "ipam_lookup"
    }

    fn schema(&self) -> Schema {
        let schema = Schema::new(
            "Looks up who holds an address or a network, or held it at a given time, even after it was released. Nobody is \
             no error.",
        );
        let asked = asked();
        let asked = asked.iter().map(|spec| (spec.name, spec.of_resource()));
        let specs = specs();
        let answered = specs.iter().map(|spec| (spec.name, spec.of_data_source()));
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
        let AddressOrNetwork(network) = config.attribute("address")?;
        let at: Option<Time> = config.attribute("at")?;
        let query = LookupQuery {
            ip: None,
            cidr: Some(network),
            vrf: config.attribute("vrf")?,
            at: at.map(|time| time.0),
        };
        let what = format!("look up {network}");
        let found = finish(ctx, &what, ctx.client()?.client.lookup(&query)).await?;
        let mut answer = fields(&found, &specs())?;
        for spec in asked() {
            answer.set(spec.name, config.get(spec.name).clone());
        }
        Ok(answer)
    }
}
