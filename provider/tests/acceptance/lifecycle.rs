//! An allocation from its first plan to its end.

use reqwest::Method;
use serde_json::json;

use crate::stack::{Stack, allocation};

#[tokio::test]
async fn a_whole_life() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let write = |vpc: &str, name: &str, rest: &str| {
        // What depends on it must not become unknown when only a label changes.
        terraform.write(&format!(
            "resource \"ipam_allocation\" \"a\" {{\n  vpc  = \"{vpc}\"\n  name = \"{name}\"\n{rest}\n}}\n\
             resource \"terraform_data\" \"dependent\" {{\n  input = ipam_allocation.a.blocks[\"cgnat\"].cidr\n}}\n"
        ));
    };
    write("prod", "a", "hosts = 500\nlabels = { env = \"dev\" }");
    terraform
        .apply()
        .await
        .succeeded()
        .says("Resources: 2 added");
    let first = terraform.show("ipam_allocation.a").await;
    assert_eq!(first["prefix_length"], 23);
    assert_eq!(first["cidr"], first["blocks"]["primary"]["cidr"]);
    assert_eq!(first["blocks"]["primary"]["usable"], 507);
    assert_eq!(first["blocks"]["cgnat"]["pool"], "cgnat");
    assert!(
        first["blocks"]["cgnat"]["cidr"]
            .as_str()
            .is_some_and(|cidr| cidr.ends_with("/18"))
    );
    assert_eq!(stack.allocations().await, 1);
    assert_eq!(stack.count("select count(*) from block").await, 2);
    terraform.plan_is_empty().await;

    // A VPC that is there already, so that the plan can tell its VRF.
    stack
        .api(Method::POST, "vpcs", json!({"name": "stage"}))
        .await;
    // Each of these is one change in place, shown as what it is and nothing more.
    let changes = [
        (
            "prod",
            "a",
            "hosts = 500\nlabels = { env = \"prod\", region = \"eu\" }",
        ),
        (
            "prod",
            "a",
            "hosts = 500\nlabels = { region = \"eu\" }\ndescription = \"Nodes\"",
        ),
        (
            "Stage",
            "a",
            "hosts = 500\nlabels = { region = \"eu\" }\ndescription = \"Nodes\"",
        ),
        (
            "stage",
            "a",
            "hosts = 500\nlabels = { region = \"eu\" }\ndescription = \"Nodes\"",
        ),
        ("stage", "b", "hosts = 252\nlabels = { region = \"eu\" }"),
    ];
    for (vpc, name, rest) in changes {
        write(vpc, name, rest);
        terraform
            .plan_changes()
            .await
            .says("Plan: 0 to add, 1 to change, 0 to destroy.")
            .does_not_say("known after apply");
        terraform.apply().await.succeeded().says("1 changed");
        terraform.plan_is_empty().await;
    }
    let last = terraform.show("ipam_allocation.a").await;
    for kept in ["id", "cidr", "blocks", "prefix_length"] {
        assert_eq!(first[kept], last[kept], "{kept}");
    }
    assert_eq!(last["labels"], json!({"region": "eu"}));
    assert_eq!(last["hosts"], 252);
    let moved =
        "select count(*) from allocation join vpc using (vpc_id) where lower(vpc.name) = 'stage'";
    assert_eq!(stack.count(moved).await, 1);

    // The same size, said in another way, is no change at all.
    write(
        "stage",
        "b",
        "prefix_length = 23\nlabels = { region = \"eu\" }",
    );
    terraform.plan_is_empty().await;

    terraform.destroy().await.succeeded();
    assert_eq!(stack.allocations().await, 0);
    assert_eq!(stack.count("select count(*) from block").await, 0);
}

#[tokio::test]
async fn a_replacement_says_why() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation("a", "cidr = \"10.0.8.0/24\""));
    terraform.apply().await.succeeded();
    for (size, reason) in [
        (
            "cidr = \"10.0.16.0/24\"",
            "10.0.16.0/24 is wanted, but the allocation has 10.0.8.0/24, and a block can't move.",
        ),
        (
            "cidr = \"10.0.8.128/25\"",
            "10.0.8.128/25 is wanted, but the allocation has 10.0.8.0/24, and a block can't move.",
        ),
        (
            "prefix_length = 24\npools = [\"primary\"]",
            "Its blocks are to be cut from something else.",
        ),
    ] {
        terraform.write(&allocation("a", size));
        terraform
            .plan_changes()
            .await
            .says(reason)
            .says("forces replacement");
    }
    for same in ["prefix_length = 24", "hosts = 200"] {
        terraform.write(&allocation("a", same));
        terraform.plan().await.does_not_say("replace");
    }
    terraform.write(&allocation("a", "cidr = \"10.0.16.0/24\""));
    terraform.apply().await.succeeded();
    assert_eq!(
        terraform.show("ipam_allocation.a").await["cidr"],
        "10.0.16.0/24"
    );
    assert_eq!(stack.allocations().await, 1);
}

#[tokio::test]
async fn protection_is_stronger_than_destroy_and_replace() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation(
        "a",
        "prefix_length = 24\ndeletion_protection = true",
    ));
    terraform.apply().await.succeeded();
    terraform
        .destroy()
        .await
        .failed()
        .says("is protected from deletion")
        .says("deletion_protection = false");
    terraform.write(&allocation(
        "a",
        "cidr = \"10.0.200.0/24\"\ndeletion_protection = true",
    ));
    terraform
        .plan()
        .await
        .failed()
        .says("is protected from deletion");
    assert_eq!(stack.allocations().await, 1);
    terraform.write(&allocation("a", "prefix_length = 24"));
    terraform.apply().await.succeeded();
    terraform.destroy().await.succeeded();
    assert_eq!(stack.allocations().await, 0);
}

#[tokio::test]
async fn what_was_deleted_elsewhere_is_planned_anew() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation("a", "prefix_length = 24"));
    terraform.apply().await.succeeded();
    let id = terraform.ids().await.remove(0);
    stack
        .api(Method::DELETE, &format!("allocations/{id}"), json!(null))
        .await;
    terraform
        .plan_changes()
        .await
        .says("was deleted at 20")
        .says("Plan: 1 to add, 0 to change, 0 to destroy.");
    terraform.apply().await.succeeded();
    assert_ne!(terraform.ids().await, std::slice::from_ref(&id));
    // Destroying what is gone already is no error.
    let id = terraform.ids().await.remove(0);
    stack
        .api(Method::DELETE, &format!("allocations/{id}"), json!(null))
        .await;
    terraform
        .terraform(&["destroy", "-no-color", "-auto-approve", "-refresh=false"])
        .await
        .succeeded();
}

#[tokio::test]
async fn changes_made_elsewhere_are_seen_and_put_right() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation(
        "a",
        "prefix_length = 24\nlabels = { env = \"dev\" }",
    ));
    terraform.apply().await.succeeded();
    let id = terraform.ids().await.remove(0);
    let change = json!({"labels": {"env": "prod", "by": "hand"}, "description": "by hand"});
    stack
        .api(Method::PATCH, &format!("allocations/{id}"), change)
        .await;
    terraform
        .plan_changes()
        .await
        .says("0 to add, 1 to change, 0 to destroy")
        .says("by hand");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(stack.count("select count(*) from allocation where labels = '{\"env\": \"dev\"}' and description = ''").await, 1);
}

#[tokio::test]
async fn default_labels_are_added_and_give_way() {
    let stack = Stack::start().await;
    let config = allocation("a", "prefix_length = 24\nlabels = { env = \"dev\" }");
    let terraform = stack
        .workspace()
        .settings("default_labels = { team = \"net\", env = \"none\" }");
    terraform.write(&config);
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let shown = terraform.show("ipam_allocation.a").await;
    assert_eq!(shown["labels"], json!({"env": "dev"}));
    assert_eq!(
        shown["effective_labels"],
        json!({"env": "dev", "team": "net"})
    );
    let stored =
        "select count(*) from allocation where labels = '{\"env\": \"dev\", \"team\": \"net\"}'";
    assert_eq!(stack.count(stored).await, 1);

    let terraform = terraform.settings("default_labels = { team = \"core\" }");
    terraform.write(&config);
    terraform
        .plan_changes()
        .await
        .says("0 to add, 1 to change, 0 to destroy");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(
        terraform.show("ipam_allocation.a").await["effective_labels"],
        json!({"env": "dev", "team": "core"})
    );
}

#[tokio::test]
async fn what_is_not_known_before_apply() {
    let stack = Stack::start().await;
    let url = stack.server.url();
    let terraform = stack
        .workspace()
        .settings("endpoint = terraform_data.url.output");
    let config = |hosts: u32| {
        format!(
            "resource \"terraform_data\" \"url\" {{\n  input = \"{url}\"\n}}\n\
             resource \"terraform_data\" \"hosts\" {{\n  input = {hosts}\n}}\n\
             resource \"terraform_data\" \"env\" {{\n  input = \"dev\"\n}}\n{}",
            allocation(
                "a",
                "hosts = terraform_data.hosts.output\nlabels = { env = terraform_data.env.output }"
            )
        )
    };
    terraform.write(&config(500));
    terraform.plan_changes().await.says("4 to add");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let id = terraform.ids().await;

    terraform.write(&config(400));
    terraform
        .plan_changes()
        .await
        .says("is not known yet whether")
        .does_not_say("must be replaced");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(terraform.show("ipam_allocation.a").await["hosts"], 400);
    assert_eq!(terraform.ids().await, id);

    // What it turns out to need is seen to before anything happens.
    terraform.write(&config(600));
    terraform
        .plan_changes()
        .await
        .says("is not known yet whether");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(
        terraform.show("ipam_allocation.a").await["prefix_length"],
        22
    );
    assert_eq!(terraform.ids().await, id);
    assert_eq!(stack.allocations().await, 1);
}

#[tokio::test]
async fn the_data_source_finds_it_by_all_that_it_is_known_by() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let resource = allocation("a", "cidr = \"10.0.8.0/23\"\nlabels = { env = \"dev\" }");
    terraform.write(&resource);
    terraform.apply().await.succeeded();
    let made = terraform.show("ipam_allocation.a").await;
    let pods = made["blocks"]["cgnat"]["cidr"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let pod = pods.replace(".0/18", ".77");
    let data = |name: &str, by: &str| format!("data \"ipam_allocation\" \"{name}\" {{\n{by}\n}}\n");
    let id = made["id"].as_str().unwrap_or_default();
    let lookups = [
        ("id", format!("id = \"{id}\"")),
        ("names", "vpc = \"PROD\"\nname = \"a\"".to_owned()),
        ("cidr", "cidr = \"10.0.8.0/23\"".to_owned()),
        ("node", "contains = \"10.0.9.3\"".to_owned()),
        ("pod", format!("contains = \"{pod}\"")),
        ("pods", format!("contains = \"{pods}\"")),
    ];
    let all: String = lookups.iter().map(|(name, by)| data(name, by)).collect();
    terraform.write(&format!("{resource}{all}"));
    terraform.apply().await.succeeded();
    for (name, _) in &lookups {
        let found = terraform
            .show(&format!("data.ipam_allocation.{name}"))
            .await;
        for same in ["id", "cidr", "blocks", "prefix_length", "labels", "profile"] {
            assert_eq!(found[same], made[same], "{same} by {name}");
        }
    }
    for (by, says) in [
        (
            "contains = \"10.0.99.1\"",
            "has no allocation that contains 10.0.99.1",
        ),
        (
            "cidr = \"10.0.8.0/24\"",
            "has no allocation whose first block is 10.0.8.0/24",
        ),
        ("vpc = \"prod\"\nname = \"z\"", "has no allocation prod/z"),
        (
            "id = \"0190d6a5-8f0e-7cc0-a7a0-000000000001\"",
            "has no allocation with the id 0190d6a5",
        ),
        ("contains = \"node\"", "neither an address"),
        ("cidr = \"10.0.8.1/23\"", "the network is 10.0.8.0/23"),
        ("vpc = \"prod\"", "vpc and name together"),
        ("", "exactly one of these"),
        ("id = \"x\"", "invalid"),
    ] {
        terraform.write(&format!("{resource}{}", data("none", by)));
        terraform.plan().await.failed().says(says);
    }
}

#[tokio::test]
async fn installed_from_a_mirror_as_users_do() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let version = env!("CARGO_PKG_VERSION");
    let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
        (os, "x86_64") => format!("{os}_amd64"),
        (os, "aarch64") => format!("{os}_arm64"),
        (os, other) => format!("{os}_{other}"),
    }
    .replace("macos", "darwin");
    let folder = terraform
        .path("mirror")
        .join("registry.terraform.io/ipam/ipam")
        .join(version)
        .join(platform);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(
        crate::stack::provider(),
        folder.join(format!("terraform-provider-ipam_v{version}")),
    )
    .unwrap();
    let mirror = terraform.path("mirror");
    let config = format!(
        "provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
        mirror.display()
    );
    std::fs::write(terraform.path("terraform.rc"), config).unwrap();
    terraform.write(&allocation("a", "hosts = 500"));
    terraform
        .terraform(&["init", "-no-color"])
        .await
        .succeeded();
    terraform
        .terraform(&["validate", "-no-color"])
        .await
        .succeeded();
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    terraform.destroy().await.succeeded();
    assert_eq!(stack.allocations().await, 0);
}
