//! Two resources of one configuration that want one name: refused before they share what it stands for.

use crate::stack::Stack;

/// The same text as two resources.
fn two(ty: &str, attributes: &str) -> String {
    ["one", "other"]
        .map(|key| format!("resource \"{ty}\" \"{key}\" {{\n{attributes}\n}}\n"))
        .concat()
}

const NOUNS: [(&str, &str, &str); 6] = [
    (
        "ipam_allocation",
        "vpc = \"prod\"\nname = \"a\"\nprefix_length = 24",
        "Two resources want the allocation prod/a",
    ),
    (
        "ipam_pool",
        "name = \"a\"\nranges = [\"10.64.0.0/16\"]",
        "Two resources want the pool a",
    ),
    (
        "ipam_profile",
        "name = \"a\"\nmembers = [{ role = \"a\", pool = \"primary\" }]",
        "Two resources want the profile a",
    ),
    (
        "ipam_reservation",
        "cidr = \"10.0.0.0/24\"\nreason = \"Test\"",
        "Two resources want the reservation 10.0.0.0/24",
    ),
    ("ipam_vpc", "name = \"a\"", "Two resources want the VPC a"),
    ("ipam_vrf", "name = \"a\"", "Two resources want the VRF a"),
];

const MADE: &str = "select (select count(*) from allocation) + (select count(*) from vrf where name = 'a') + \
    (select count(*) from vpc where name = 'a') + (select count(*) from pool where name = 'a') + \
    (select count(*) from profile where name = 'a') + (select count(*) from reservation)";

#[tokio::test]
async fn the_plan_refuses_them_where_it_knows_the_names() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    for (ty, attributes, says) in NOUNS {
        terraform.write(&two(ty, attributes));
        let run = terraform
            .plan()
            .await
            .failed()
            .says(says)
            .says("on main.tf line")
            .says("each.key");
        assert_eq!(run.times("Error:"), 1, "{}", run.text);
        terraform.apply().await.failed().says(says);
        assert_eq!(stack.count(MADE).await, 0);
    }
    // In whatever case a VPC is written, and with a constant name for each element.
    terraform.write(
        "resource \"ipam_allocation\" \"all\" {\n  for_each = { a = \"prod\", b = \"PROD\" }\n  vpc = each.value\n  name = \"x\"\n  hosts = 50\n}\n",
    );
    terraform
        .plan()
        .await
        .failed()
        .says("Two resources want the allocation")
        .says("ipam_allocation.all[");
    // The same name in two VRFs, and in two VPCs, is no conflict.
    terraform.write(
        "resource \"ipam_vrf\" \"v\" {\n  name = \"v\"\n}\n\
         resource \"ipam_pool\" \"all\" {\n  for_each = toset([\"default\", ipam_vrf.v.name])\n  name = \"x\"\n  vrf = each.key\n  ranges = [\"10.64.0.0/16\"]\n}\n\
         resource \"ipam_allocation\" \"all\" {\n  for_each = toset([\"a\", \"b\"])\n  vpc = each.key\n  name = \"x\"\n  hosts = 50\n}\n",
    );
    terraform.apply().await.succeeded().says("5 added");
    terraform.plan_is_empty().await;
    terraform.destroy().await.succeeded();
}

#[tokio::test]
async fn the_apply_refuses_them_where_the_plan_could_not_know() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    for (ty, attributes, says) in NOUNS {
        let unknown = "resource \"terraform_data\" \"text\" {\n  input = { a = \"a\", cidr = \"10.0.0.0/24\" }\n}\n";
        let attributes = attributes
            .replace("name = \"a\"", "name = terraform_data.text.output.a")
            .replace(
                "cidr = \"10.0.0.0/24\"",
                "cidr = terraform_data.text.output.cidr",
            );
        terraform.write(&format!("{unknown}{}", two(ty, &attributes)));
        let run = terraform.apply().await.failed().says(says);
        assert_eq!(run.times("Error:"), 1, "{}", run.text);
        assert_eq!(stack.count(MADE).await, 1, "{ty}: one of them was made");
        // The other goes away: what was made belongs to one and stays.
        let first = format!(
            "{unknown}{}",
            two(ty, &attributes)
                .split("resource")
                .nth(1)
                .map(|one| format!("resource{one}"))
                .unwrap()
        );
        let kept = terraform
            .terraform(&["state", "list"])
            .await
            .succeeded()
            .text;
        let key = if kept.contains(&format!("{ty}.other")) {
            "other"
        } else {
            "one"
        };
        terraform.write(&first.replace("\"one\"", &format!("\"{key}\"")));
        terraform.plan_is_empty().await;
        terraform.destroy().await.succeeded();
        assert_eq!(stack.count(MADE).await, 0);
    }
}

#[tokio::test]
async fn one_that_is_renamed_to_the_name_of_another_is_refused() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let write = |names: [&str; 2]| {
        let both = ["one", "other"].iter().zip(names);
        let all = both.map(|(key, name)| {
            format!(
                "resource \"ipam_allocation\" \"{key}\" {{\n  vpc = \"prod\"\n  name = \"{name}\"\n  hosts = 50\n}}\n\
                 resource \"ipam_vrf\" \"{key}\" {{\n  name = \"{name}\"\n}}\n"
            )
        });
        terraform.write(&all.collect::<String>());
    };
    write(["a", "b"]);
    terraform.apply().await.succeeded();
    write(["b", "b"]);
    terraform
        .plan()
        .await
        .failed()
        .says("Two resources want the allocation prod/b")
        .says("Two resources want the VRF b");
    // What is wrong with the configuration does not keep anybody from destroying all of it.
    terraform.destroy().await.succeeded();
    assert_eq!(stack.allocations().await, 0);
}
