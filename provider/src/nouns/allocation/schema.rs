//! The attributes of the resource `ipam_allocation`.

use tfplugin::{Attribute, Schema, Type};

use super::model;
use crate::framework::labels;

/// All of them.
pub(super) fn schema() -> Schema {
    let schema = Schema::new(
        "Network space for one user, such as a Kubernetes cluster: with the profile `node-pod` a node range and a \
         pod range 5 bits larger, taken together or not at all. No two allocations ever overlap.\n\n\
         One of `hosts`, `prefix_length` and `cidr` says how much; more than one may, if they mean the same. From `pools` \
         or with a `pool_selector` all may be left out, for the pool's default. The size changes in place, never the address. Creating it is safe to repeat: after an \
         interrupted apply the next one finds the allocation by its VPC and name instead of making a second one.",
    )
    .attribute(
        "vpc",
        Attribute::string().required().describe(
            "Name of the VPC that the space is for; upper and lower case are the same. The server makes the VPC \
             when it is first used. Changing it moves the allocation in place: the ranges stay the same.",
        ),
    )
    .attribute(
        "name",
        Attribute::string().required().describe(
            "Name of the allocation, unique within the VPC: 1 to 128 characters, no `/`. Changing it renames the \
             allocation in place.",
        ),
    )
    .attribute(
        "hosts",
        Attribute::number().optional().computed().use_state_for_unknown().describe(
            "Number of hosts that the first block must hold, in addition to its reserved addresses: 1 to 4091 with \
             `node-pod`, where [`prefix_for_hosts`](../functions/prefix_for_hosts.md) tells the size. A change that needs \
             another size resizes every block in place: the plan shows the new networks, or what blocks it. Null if the \
             size was asked for in another way.",
        ),
    )
    .attribute(
        "prefix_length",
        Attribute::number().optional().computed().use_state_for_unknown().describe(
            "Prefix length: 20 to 26 with `node-pod`. It is that of the first block, unless the first member of the profile \
             has a `size_offset`, which is added to it as to that of every other. A change resizes every block in place, by as \
             many bits: one that grows becomes the network around it, one that shrinks keeps its lower end. The plan \
             shows the new networks, or what blocks it.",
        ),
    )
    .attribute(
        "cidr",
        Attribute::string().optional().computed().use_state_for_unknown().describe(
            "The first block. Set it to ask for that network and no other, for instance to register one that is already in \
             use. A change to the network around it, or to the lower end of it, is made in place; any other forces \
             replacement.",
        ),
    )
    .attribute(
        "description",
        Attribute::string().default("").describe(
            "Free text, at most 1,000 characters. Default: empty. Changed in place.",
        ),
    )
    .attribute(
        "deletion_protection",
        Attribute::bool().default(false).describe(
            "Refuse to destroy or replace it, in plans and at the server. Default: `false`. Changed in place.",
        ),
    );
    let computed = model::computed()
        .into_iter()
        .map(|(name, attribute)| (name, attribute.use_state_for_unknown()));
    request()
        .into_iter()
        .chain(labels::attributes())
        .chain(computed)
        .fold(schema, |schema, (name, attribute)| {
            schema.attribute(name, attribute)
        })
}

/// What a request says besides its size.
fn request() -> Vec<(&'static str, Attribute)> {
    vec![
        (
            "vrf",
            Attribute::string()
                .optional()
                .computed()
                .use_state_for_unknown()
                .describe(
                    "Name of the VPC's VRF, in which the VPC is created if it does not exist yet. If left out: that of the \
                     VPC, or `default` for a new one. Another VRF forces replacement, a new name of the same VRF does not.",
                ),
        ),
        (
            "profile",
            Attribute::string()
                .optional()
                .computed()
                .use_state_for_unknown()
                .describe(
                    "Name of the profile, which says from which pools the blocks are taken and how their sizes relate. If \
                     left out: `node-pod`, or none with `pools` or `pool_selector`. Another profile forces replacement, a \
                     new name of the same profile does not.",
                ),
        ),
        (
            "pools",
            Attribute::list(Type::String).optional().describe(
                "Instead of a profile: pools, by name or id, of which the first that has room gives one block. Names are \
                 looked up in the VPC's VRF first, then in `default`. A change is made in place as long as the pool that \
                 gave the block is among them; otherwise it forces replacement.",
            ),
        ),
        (
            "pool_selector",
            labels::attribute().optional().describe(
                "Instead of a profile: labels of pools, of which the first that has all of them and room gives one block; \
                 pools of the VPC's VRF come before those of `default`. A change is made in place as long as the pool that \
                 gave the block has these labels; otherwise it forces replacement.",
            ),
        ),
        (
            "exclude_cidrs",
            Attribute::list(Type::String).optional().describe(
                "Networks that no block may overlap, such as those in use at the other end of a tunnel; at most 100. A \
                 change is made in place as long as the blocks that are there don't overlap them; otherwise it forces \
                 replacement. A block that grows keeps away from these, and from those that the allocation was made with.",
            ),
        ),
    ]
}
