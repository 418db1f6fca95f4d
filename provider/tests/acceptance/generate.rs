//! Configuration that Terraform writes itself (`-generate-config-out`): it says what is there, so its plan changes nothing;
//! and it makes the same once more where there is nothing yet.

use std::fs;

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::stack::{Run, Stack, Workspace, allocation};

/// Where Terraform writes.
const FILE: &str = "generated.tf";

/// An import block for each (type, name, id).
fn imports(all: &[(&str, &str, &str)]) -> String {
    let block = |(kind, name, id): &(&str, &str, &str)| {
        format!("import {{\n  to = ipam_{kind}.{name}\n  id = \"{id}\"\n}}\n")
    };
    all.iter().map(block).collect()
}

/// Has Terraform write the configuration for these import blocks.
async fn generate(terraform: &Workspace, imports: &str) -> Run {
    terraform.write(imports);
    let out = format!("-generate-config-out={FILE}");
    terraform
        .terraform(&["plan", "-no-color", "-input=false", &out])
        .await
}

/// Has Terraform write the configuration of `all`, and panics unless it says what is there and makes it anew.
async fn comes_back(stack: &Stack, all: &[(&str, &str, &str)]) -> String {
    let terraform = stack.workspace();
    let count = all.len();
    generate(&terraform, &imports(all))
        .await
        .succeeded()
        .says(&format!(
            "{count} to import, 0 to add, 0 to change, 0 to destroy"
        ));
    terraform
        .apply()
        .await
        .succeeded()
        .says(&format!("{count} imported, 0 added, 0 changed"));
    terraform.plan_is_empty().await;
    let before = terraform.sizes();
    // Nothing in it says what has to be there first, so that takes several runs.
    terraform.write("");
    for _ in 0..count {
        if terraform.destroy().await.code == Some(0) {
            break;
        }
    }
    terraform.destroy().await.succeeded();
    for _ in 0..count {
        if terraform.apply().await.code == Some(0) {
            break;
        }
    }
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(terraform.sizes(), before);
    fs::read_to_string(terraform.path(FILE)).unwrap()
}

impl Workspace {
    /// The prefix lengths of all networks of each thing in the state.
    fn sizes(&self) -> Vec<(String, Vec<String>)> {
        let state: Json =
            serde_json::from_slice(&fs::read(self.path("terraform.tfstate")).unwrap()).unwrap();
        let resources = state["resources"].as_array().cloned().unwrap_or_default();
        let length = |cidr: &Json| {
            let (_, length) = cidr.as_str()?.split_once('/')?;
            Some(length.to_owned())
        };
        let mut all: Vec<(String, Vec<String>)> = resources
            .iter()
            .map(|resource| {
                let values = &resource["instances"][0]["attributes"];
                let blocks = values["blocks"].as_object().into_iter().flatten();
                let blocks = blocks.map(|(_, block)| &block["cidr"]);
                let ranges = values["ranges"].as_array().into_iter().flatten();
                let mut lengths: Vec<String> = blocks.chain(ranges).filter_map(length).collect();
                lengths.sort();
                (resource["name"].to_string(), lengths)
            })
            .collect();
        all.sort();
        all
    }
}

async fn make(stack: &Stack, what: &[(&str, Json)]) {
    for (path, body) in what {
        stack.api(Method::POST, path, body.clone()).await;
    }
}

#[tokio::test]
async fn of_allocations_however_they_were_asked_for() {
    let stack = Stack::start().await;
    let profile = json!({"name": "three", "members": [
        {"role": "first", "pool": "own", "min_prefix_length": 20, "max_prefix_length": 28},
        {"role": "twice", "pool": "other", "size_offset": -1},
        {"role": "fixed", "pool": "cgnat", "min_prefix_length": 20, "max_prefix_length": 20}
    ]});
    let pool = |name: &str, range: &str, rest: Json| {
        let mut body = json!({"name": name, "ranges": [range], "labels": {"tier": name}});
        let rest = rest.as_object().cloned().unwrap_or_default();
        body.as_object_mut().unwrap().extend(rest);
        ("pools", body)
    };
    let ask = |name: &str, rest: Json| {
        let mut body = json!({"vpc": "prod", "name": name});
        let rest = rest.as_object().cloned().unwrap_or_default();
        body.as_object_mut().unwrap().extend(rest);
        ("allocations", body)
    };
    make(
        &stack,
        &[
            pool("own", "10.66.0.0/16", json!({})),
            pool("other", "10.67.0.0/16", json!({})),
            ("profiles", profile),
            pool("corp", "10.64.0.0/16", json!({"reserved_addresses": 1})),
            pool(
                "sized",
                "10.65.0.0/16",
                json!({"default_prefix_length": 26}),
            ),
            pool("v6", "2001:db8::/36", json!({"min_prefix_length": 48})),
            ("vrfs", json!({"name": "lab"})),
            (
                "pools",
                json!({"name": "primary", "vrf": "lab", "ranges": ["10.0.0.0/16"]}),
            ),
            ask("hosts", json!({"hosts": 500})),
            ask("length", json!({"prefix_length": 24})),
            ask(
                "cidr",
                json!({"cidr": "10.0.64.0/23", "description": "old", "labels": {"a": "b"}}),
            ),
            ask("profile", json!({"profile": "three", "prefix_length": 25})),
            ask("profile_hosts", json!({"profile": "three", "hosts": 100})),
            ask(
                "pool",
                json!({"pools": ["sized", "corp"], "prefix_length": 25}),
            ),
            ask("pool_hosts", json!({"pools": ["corp"], "hosts": 255})),
            ask(
                "pool_cidr",
                json!({"pools": ["corp"], "cidr": "10.64.128.0/20"}),
            ),
            ask("default", json!({"pools": ["sized"]})),
            ask(
                "selector",
                json!({"pool_selector": {"tier": "sized"}, "exclude_cidrs": ["10.65.0.0/24"]}),
            ),
            ask("v6", json!({"pools": ["v6"], "prefix_length": 64})),
            ask("dev", json!({"vpc": "dev", "vrf": "lab", "hosts": 100})),
        ],
    )
    .await;
    let names = [
        "hosts",
        "length",
        "cidr",
        "profile",
        "profile_hosts",
        "pool",
        "pool_hosts",
        "pool_cidr",
        "default",
        "selector",
        "v6",
    ];
    let ids: Vec<(String, &str)> = names
        .iter()
        .map(|name| (format!("prod/{name}"), *name))
        .chain([("dev/dev".to_owned(), "dev")])
        .collect();
    let all: Vec<(&str, &str, &str)> = ids
        .iter()
        .map(|(id, name)| ("allocation", *name, id.as_str()))
        .collect();
    comes_back(&stack, &all).await;
    assert_eq!(stack.allocations().await, 12);
}

#[tokio::test]
async fn of_everything_else() {
    let stack = Stack::start().await;
    let labels = json!({"team": "net"});
    let pool = |name: &str, rest: Json| {
        let mut body = json!({"name": name, "description": "a pool", "labels": {"team": "net"}});
        let rest = rest.as_object().cloned().unwrap_or_default();
        body.as_object_mut().unwrap().extend(rest);
        ("pools", body)
    };
    make(
        &stack,
        &[
            ("vrfs", json!({"name": "lab", "description": "x", "labels": labels})),
            ("vrfs", json!({"name": "plain"})),
            ("vpcs", json!({"name": "dev", "vrf": "lab", "labels": labels})),
            ("vpcs", json!({"name": "prod"})),
            pool("corp", json!({"ranges": ["10.64.0.0/12", "10.96.0.0/16"]})),
            pool(
                "ruled",
                json!({
                    "ranges": ["10.128.0.0/16"], "min_prefix_length": 20, "max_prefix_length": 26,
                    "default_prefix_length": 24, "reserved_addresses": 1, "strategy": "sparse",
                    "release_cooldown_seconds": 60, "required_labels": {"team": ["net", "dev"], "env": []}
                }),
            ),
            pool("by_ranges", json!({"parent": "corp", "ranges": ["10.65.0.0/16", "10.66.0.0/20"]})),
            pool("by_sizes", json!({"parent": "corp", "range_prefix_lengths": [16, 20, 16]})),
            pool("grandchild", json!({"parent": "by_ranges", "range_prefix_lengths": [24]})),
            pool("empty_child", json!({"parent": "corp"})),
            pool("empty", json!({"family": "ipv6"})),
            pool("v6", json!({"ranges": ["2001:db8::/36"]})),
            pool("cgnat", json!({"vrf": "lab", "ranges": ["100.64.0.0/10"]})),
            (
                "profiles",
                json!({"name": "three", "description": "x", "members": [
                    {"role": "first", "pool": "primary"},
                    {"role": "twice", "pool": "cgnat", "size_offset": -1},
                    {"role": "fixed", "pool": "corp", "min_prefix_length": 22, "max_prefix_length": 22}
                ]}),
            ),
            ("reservations", json!({"cidr": "10.0.240.0/20", "reason": "datacentre", "labels": labels})),
            ("reservations", json!({"cidr": "10.0.240.0/20", "vrf": "lab", "reason": "the same"})),
        ],
    )
    .await;
    let written = comes_back(
        &stack,
        &[
            ("vrf", "lab", "lab"),
            ("vrf", "plain", "plain"),
            ("vpc", "dev", "dev"),
            ("vpc", "prod", "prod"),
            ("pool", "corp", "corp"),
            ("pool", "ruled", "ruled"),
            ("pool", "by_ranges", "by_ranges"),
            ("pool", "by_sizes", "by_sizes"),
            ("pool", "grandchild", "grandchild"),
            ("pool", "empty_child", "empty_child"),
            ("pool", "empty", "empty"),
            ("pool", "v6", "v6"),
            ("pool", "cgnat", "lab/cgnat"),
            ("profile", "three", "three"),
            ("reservation", "office", "default/10.0.240.0/20"),
            ("reservation", "lab", "lab/10.0.240.0/20"),
        ],
    )
    .await;
    assert!(written.contains("reason"), "{written}");
}

#[tokio::test]
async fn sizes_that_say_the_same_are_one_size() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let both = "hosts = 2000\nprefix_length = 21";
    // Behind the large one, where it has room to grow.
    let rest = "depends_on = [ipam_allocation.both]";
    let all = format!("hosts = 500\nprefix_length = 23\ncidr = \"10.0.64.0/23\"\n{rest}");
    terraform.write(&(allocation("both", both) + &allocation("all", &all)));
    terraform.apply().await.succeeded().says("2 added");
    terraform.plan_is_empty().await;
    let made = terraform.show("ipam_allocation.all").await;
    assert_eq!(
        (&made["hosts"], &made["cidr"]),
        (&json!(500), &json!("10.0.64.0/23"))
    );
    // They change together, where the blocks are.
    let larger = "hosts = 1000\nprefix_length = 22\ncidr = \"10.0.64.0/22\"";
    let both = "hosts = 200\nprefix_length = 24";
    terraform.write(&(allocation("both", both) + &allocation("all", larger)));
    terraform
        .apply()
        .await
        .succeeded()
        .says("0 added, 2 changed, 0 destroyed");
    terraform.plan_is_empty().await;
    let made = terraform.show("ipam_allocation.all").await;
    assert_eq!(
        (&made["hosts"], &made["cidr"]),
        (&json!(1000), &json!("10.0.64.0/22"))
    );
    // What is left out afterwards changes nothing.
    let cidr = "cidr = \"10.0.64.0/22\"";
    terraform.write(&(allocation("both", "prefix_length = 24") + &allocation("all", cidr)));
    terraform.plan_is_empty().await;
}

#[tokio::test]
async fn sizes_that_disagree_are_refused_with_both_of_them() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    for (attributes, one, other) in [
        (
            "hosts = 500\nprefix_length = 24",
            "hosts = 500",
            "prefix_length = 24",
        ),
        (
            "hosts = 500\ncidr = \"10.0.0.0/22\"",
            "hosts = 500",
            "cidr = 10.0.0.0/22",
        ),
        (
            "prefix_length = 24\ncidr = \"10.0.0.0/23\"",
            "prefix_length = 24",
            "cidr = 10.0.0.0/23",
        ),
        (
            "hosts = 100\nprefix_length = 25\ncidr = \"10.0.0.0/24\"",
            "cidr = 10.0.0.0/24",
            "prefix_length = 25",
        ),
    ] {
        terraform.write(&allocation("a", attributes));
        let run = terraform
            .terraform(&["validate", "-no-color"])
            .await
            .failed();
        run.says("The sizes disagree").says(one).says(other);
    }
    // What only the server can tell: how many addresses a pool keeps for itself.
    let pool = json!({"name": "corp", "ranges": ["10.64.0.0/16"], "reserved_addresses": 1});
    stack.api(Method::POST, "pools", pool).await;
    let from_pool = |size: &str| allocation("a", &format!("pools = [\"corp\"]\n{size}"));
    terraform.write(&from_pool("hosts = 255\nprefix_length = 23"));
    let run = terraform.apply().await.failed();
    run.says("The sizes disagree")
        .says("hosts = 255")
        .says("prefix_length = 23");
    assert_eq!(stack.allocations().await, 0);
    terraform.write(&from_pool("hosts = 255\nprefix_length = 24"));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    terraform.write(&from_pool("hosts = 256\nprefix_length = 24"));
    let run = terraform.plan().await.failed();
    run.says("The sizes disagree")
        .says("hosts = 256")
        .says("prefix_length = 24");
}

#[tokio::test]
async fn ranges_are_given_twice_only_if_they_are_the_same() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let pools = |child: &str| {
        format!(
            "resource \"ipam_pool\" \"corp\" {{\n  name = \"corp\"\n  ranges = [\"10.64.0.0/12\"]\n}}\n\
             resource \"ipam_pool\" \"child\" {{\n  name = \"child\"\n  parent = ipam_pool.corp.name\n{child}\n}}\n"
        )
    };
    let ranges = "ranges = [\"10.65.0.0/16\", \"10.66.0.0/20\"]";
    terraform.write(&pools(&format!(
        "{ranges}\nrange_prefix_lengths = [20, 16, 16]"
    )));
    terraform
        .terraform(&["validate", "-no-color"])
        .await
        .failed()
        .says("The ranges disagree")
        .says("/16 and /20")
        .says("/16, /16 and /20");
    // In whatever order.
    terraform.write(&pools(&format!(
        "{ranges}\nrange_prefix_lengths = [20, 16]"
    )));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let ranges = "ranges = [\"10.65.0.0/16\", \"10.68.0.0/16\"]";
    terraform.write(&pools(&format!(
        "{ranges}\nrange_prefix_lengths = [16, 16]"
    )));
    terraform.apply().await.succeeded().says("1 changed");
    terraform.plan_is_empty().await;
    let child = terraform.show("ipam_pool.child").await;
    assert_eq!(child["ranges"], json!(["10.65.0.0/16", "10.68.0.0/16"]));
}
