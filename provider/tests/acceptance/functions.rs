//! The functions in expressions, where values are not known yet or null. What they answer is tested over the protocol.

use serde_json::json;

use crate::stack::Workspace;

/// Functions need no server.
fn workspace() -> Workspace {
    Workspace::new("http://127.0.0.1:9")
}

#[tokio::test]
async fn what_is_not_known_before_apply_is_planned_and_then_known() {
    let terraform = workspace();
    let config = |network: &str| {
        format!(
            "resource \"terraform_data\" \"network\" {{\n  input = \"{network}\"\n}}\n\
             locals {{\n  blocks = provider::ipam::split(terraform_data.network.output, [18, 18, 20])\n}}\n\
             # The number is known, though the networks are not.\n\
             resource \"terraform_data\" \"subnet\" {{\n  count = length(local.blocks)\n  input = local.blocks[count.index]\n}}\n\
             output \"all\" {{\n  value = {{\n    \
             inside = provider::ipam::contains(terraform_data.network.output, local.blocks[0])\n    \
             overlap = provider::ipam::overlaps(local.blocks...)\n    \
             left = provider::ipam::subtract([terraform_data.network.output], local.blocks)\n    \
             whole = provider::ipam::summarize(concat(local.blocks, [terraform_data.network.output]))\n    \
             last = provider::ipam::nth_block(terraform_data.network.output, 24, -1)\n  }}\n}}\n"
        )
    };
    terraform.write(&config("10.0.0.0/16"));
    terraform.plan_changes().await.says("4 to add");
    terraform.apply().await.succeeded();
    assert_eq!(
        terraform.output("all").await,
        json!({
            "inside": true,
            "overlap": false,
            "left": ["10.0.144.0/20", "10.0.160.0/19", "10.0.192.0/18"],
            "whole": ["10.0.0.0/16"],
            "last": "10.0.255.0/24",
        })
    );
    terraform.plan_is_empty().await;
    terraform.write(&config("10.1.0.0/16"));
    terraform.plan_changes().await.says("4 to change");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
}

#[tokio::test]
async fn errors_point_at_the_argument() {
    let terraform = workspace();
    for (call, says) in [
        (
            "contains(null, \"10.0.0.1\")",
            "Invalid value for \"network\" parameter: argument must not be null.",
        ),
        (
            "contains(\"10.0.0.0/16\", null)",
            "Invalid value for \"inner\" parameter: argument must not be null.",
        ),
        (
            "overlaps(\"10.0.0.0/16\", null)",
            "Invalid value for \"networks\" parameter: argument must not be null.",
        ),
        (
            "contains(\"10.0.0.0/16\", \"ten\")",
            "Invalid value for \"inner\" parameter: \"ten\" is neither",
        ),
        (
            "split(\"10.0.0.0/16\", [17, 17, 30])",
            "Invalid value for \"prefix_lengths\" parameter: [2]: a /30 does not fit",
        ),
        (
            "summarize([\"10.0.0.0/8\", null])",
            "Invalid value for \"networks\" parameter: [1]: This needs a string",
        ),
        (
            "nth_block(\"10.0.0.0/16\", 24, 256)",
            "Invalid value for \"index\" parameter: 10.0.0.0/16 has 256 blocks",
        ),
        (
            "usable_hosts(24, \"ipv5\")",
            "Invalid value for \"family\" parameter: \"ipv5\" is neither",
        ),
    ] {
        terraform.write(&format!(
            "output \"x\" {{\n  value = provider::ipam::{call}\n}}\n"
        ));
        terraform.plan().await.failed().says(says);
    }
}
