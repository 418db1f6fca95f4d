//! A size that changes in place: what the plan shows, what stands in its way, and that nothing else moves.

use reqwest::Method;
use serde_json::json;

use crate::stack::{Stack, allocation};

#[tokio::test]
async fn the_plan_shows_the_networks_that_come_of_it() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let write = |size: &str| {
        terraform.write(&format!(
            "{}output \"pods\" {{\n  value = ipam_allocation.a.blocks[\"cgnat\"].cidr\n}}\n",
            allocation("a", size)
        ));
    };
    write("cidr = \"10.0.8.0/23\"");
    terraform.apply().await.succeeded();
    let first = terraform.show("ipam_allocation.a").await;
    let pods = first["blocks"]["cgnat"]["cidr"]
        .as_str()
        .unwrap()
        .to_owned();
    let start = pods.split('/').next().unwrap().to_owned();
    for (size, nodes, pods) in [
        // Grows, to the network around it, which begins where it did.
        ("hosts = 508", "10.0.8.0/22", 17),
        // The same size, asked for in another way.
        ("prefix_length = 22", "10.0.8.0/22", 17),
        // Shrinks, and keeps the lower end.
        ("prefix_length = 25", "10.0.8.0/25", 20),
        ("cidr = \"10.0.8.0/21\"", "10.0.8.0/21", 16),
        ("hosts = 1", "10.0.8.0/26", 21),
    ] {
        write(size);
        let plan = terraform.plan().await;
        if plan.code == Some(2) {
            plan.says("to change, 0 to destroy.")
                .says(&format!("\"{nodes}\""))
                .says(&format!("\"{start}/{pods}\""))
                .does_not_say("known after apply")
                .does_not_say("replaced");
        } else {
            assert_eq!(size, "prefix_length = 22");
        }
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
        let now = terraform.show("ipam_allocation.a").await;
        assert_eq!(now["id"], first["id"], "{size}");
        assert_eq!(now["cidr"], nodes);
        assert_eq!(now["blocks"]["cgnat"]["cidr"], format!("{start}/{pods}"));
        assert_eq!(stack.count("select count(*) from block").await, 2);
    }
    terraform.destroy().await.succeeded();
    assert_eq!(stack.allocations().await, 0);
}

/// The first member of a profile may add to the prefix length of the allocation, too.
#[tokio::test]
async fn a_network_is_asked_for_where_the_first_block_has_another_length() {
    let stack = Stack::start().await;
    let members = json!([
        {"role": "web", "pool": "primary", "size_offset": -2},
        {"role": "pods", "pool": "cgnat", "size_offset": -5},
    ]);
    let profile = json!({"name": "wide", "members": members});
    stack.api(Method::POST, "profiles", profile).await;
    let terraform = stack.workspace();
    let mut first = None;
    for (size, cidr, length) in [
        ("cidr = \"10.0.8.0/22\"", "10.0.8.0/22", 24),
        ("cidr = \"10.0.8.0/21\"", "10.0.8.0/21", 23),
        ("cidr = \"10.0.8.0/23\"", "10.0.8.0/23", 25),
        ("prefix_length = 24", "10.0.8.0/22", 24),
    ] {
        terraform.write(&allocation("a", &format!("profile = \"wide\"\n{size}")));
        if first.is_some() {
            let plan = terraform.plan_changes().await;
            plan.says("0 to add, 1 to change, 0 to destroy.");
        }
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
        let now = terraform.show("ipam_allocation.a").await;
        assert_eq!(
            (&now["cidr"], &now["prefix_length"]),
            (&json!(cidr), &json!(length))
        );
        let first = first.get_or_insert_with(|| now["id"].clone());
        assert_eq!(*first, now["id"], "{size}");
    }
    // Any other network is one to move to, which no block can.
    terraform.write(&allocation(
        "a",
        "profile = \"wide\"\ncidr = \"10.0.16.0/22\"",
    ));
    let plan = terraform.plan_changes().await;
    plan.says("forces replacement");
}

#[tokio::test]
async fn who_stands_in_the_way_is_named_while_planning() {
    let stack = Stack::start().await;
    let other = json!({"vpc": "stage", "name": "neighbour", "cidr": "10.0.9.0/24"});
    stack.api(Method::POST, "allocations", other).await;
    let terraform = stack.workspace();
    terraform.write(&allocation("a", "cidr = \"10.0.8.0/24\""));
    terraform.apply().await.succeeded();
    let before = terraform.show("ipam_allocation.a").await;
    for size in [
        "prefix_length = 23",
        "hosts = 500",
        "cidr = \"10.0.8.0/23\"",
    ] {
        terraform.write(&allocation("a", size));
        terraform
            .plan()
            .await
            .failed()
            .says("Can't resize the allocation prod/a")
            .says("neighbour")
            .says("10.0.9.0/24")
            .says("Release what blocks it")
            .says("on main.tf line")
            .does_not_say("Plan:");
    }
    assert_eq!(terraform.show("ipam_allocation.a").await, before);
    // What no block of the profile can be is said as early.
    terraform.write(&allocation("a", "prefix_length = 20"));
    terraform.plan().await.failed().says("neighbour");
    // Shrinking needs nobody's leave.
    terraform.write(&allocation("a", "prefix_length = 26"));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
}

#[tokio::test]
async fn the_last_moment_counts() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation("a", "cidr = \"10.0.8.0/24\""));
    terraform.apply().await.succeeded();
    terraform.write(&allocation("a", "prefix_length = 23"));
    terraform
        .terraform(&["plan", "-no-color", "-input=false", "-out=plan"])
        .await
        .succeeded()
        .says("10.0.8.0/23");
    // Somebody takes the space between plan and apply.
    let other = json!({"vpc": "stage", "name": "faster", "cidr": "10.0.9.0/25"});
    stack.api(Method::POST, "allocations", other).await;
    terraform
        .terraform(&["apply", "-no-color", "-input=false", "plan"])
        .await
        .failed()
        .says("faster");
    let kept = "select count(*) from block where cidr = '10.0.8.0/24'";
    assert_eq!(stack.count(kept).await, 1);
    terraform.write(&allocation("a", "cidr = \"10.0.8.0/24\""));
    terraform.plan_is_empty().await;
}
