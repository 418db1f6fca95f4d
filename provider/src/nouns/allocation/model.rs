//! An allocation as attributes, for the resource and the data sources, and what the attributes say.

use std::collections::BTreeMap;

use ipam_shared::{api::allocation::Allocation, cidr::Cidr, ids::AllocationId, name::Name};
use tfplugin::{Attribute, Diagnostic, Number, Text, ToValue, Type, Value};

/// What it is called in a sentence.
pub(super) const WORD: &str = "allocation";

/// The attributes in common that are only ever computed.
pub(crate) fn computed() -> Vec<(&'static str, Attribute)> {
    vec![
        (
            "id",
            Attribute::string().computed().describe("Id of the allocation. It never changes."),
        ),
        (
            "blocks",
            Attribute::of(Type::map(block())).computed().describe(
                "The blocks that it owns, one for each member of the profile, by role: with `node-pod` these are \
                 `primary` for nodes and `cgnat` for pods, 5 bits larger, so that each node has 32 pod addresses; from \
                 pools there is one, `main`. Each has `cidr`, the network; `pool`, the name of the pool that it was cut \
                 from; `vrf`, the name of the VRF in which it is unique; and `usable`, the number of addresses left for \
                 hosts beside the pool's reserved ones.",
            ),
        ),
    ]
}

/// What a block is.
fn block() -> Type {
    Type::object([
        ("cidr", Type::String),
        ("pool", Type::String),
        ("vrf", Type::String),
        ("usable", Type::Number),
    ])
}

/// The attributes that the resource and the data source have in common, but for the labels.
pub(crate) fn attributes(allocation: &Allocation) -> Value {
    let blocks = allocation.blocks.iter().map(|block| {
        let attributes = Value::object([
            ("cidr", block.cidr.to_string().into()),
            ("pool", block.pool.as_str().into()),
            ("vrf", block.vrf.as_str().into()),
            (
                "usable",
                Number::parse(&block.usable.to_string()).to_value(),
            ),
        ]);
        (block.role.clone(), attributes)
    });
    Value::object([
        ("id", allocation.id.to_string().into()),
        ("vpc", allocation.vpc.as_str().into()),
        (
            "name",
            allocation.name.as_ref().map(ToString::to_string).to_value(),
        ),
        (
            "profile",
            allocation
                .profile
                .as_ref()
                .map(|name| name.as_str())
                .to_value(),
        ),
        ("vrf", allocation.vrf.as_str().into()),
        ("pools", allocation.requested_pools.to_value()),
        (
            "pool_selector",
            allocation
                .requested_pool_selector
                .clone()
                .map(BTreeMap::from)
                .to_value(),
        ),
        ("exclude_cidrs", texts(&allocation.exclude_cidrs).to_value()),
        ("hosts", allocation.requested_hosts.to_value()),
        ("prefix_length", allocation.prefix_length.to_value()),
        ("cidr", allocation.cidr.to_string().into()),
        ("blocks", Value::Map(blocks.collect())),
        ("description", allocation.description.as_str().into()),
        ("deletion_protection", allocation.deletion_protection.into()),
    ])
}

/// Networks as texts; null if there are none.
fn texts(cidrs: &[Cidr]) -> Option<Vec<String>> {
    (!cidrs.is_empty()).then(|| cidrs.iter().map(ToString::to_string).collect())
}

/// The name of an attribute.
pub(super) fn name_of(values: &Value, attribute: &str) -> Result<Name, Diagnostic> {
    values
        .attribute::<Text<Name>>(attribute)
        .map(|Text(name)| name)
}

/// The id that a state has.
pub(super) fn id_of(state: &Value) -> Result<AllocationId, Diagnostic> {
    state
        .attribute::<Text<AllocationId>>("id")
        .map(|Text(id)| id)
}

/// The ranges of a state, for a sentence.
pub(super) fn ranges(state: &Value) -> String {
    let blocks = state.get("blocks").as_map().into_iter().flatten();
    let ranges: Vec<String> = blocks
        .filter_map(|(role, block)| Some(format!("{} ({role})", block.get("cidr").as_str()?)))
        .collect();
    ranges.join(" and ")
}

/// Networks of a configuration.
pub(super) fn cidrs(texts: Option<Vec<Text<Cidr>>>) -> Vec<Cidr> {
    texts
        .unwrap_or_default()
        .into_iter()
        .map(|Text(cidr)| cidr)
        .collect()
}
