//! `terraform query`: what there is, whoever made it, by filter; and the configuration that Terraform writes for it, which
//! imports it all with nothing to change.

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::stack::{Run, Stack, Workspace};

/// Where Terraform writes.
const FILE: &str = "generated.tf";

impl Workspace {
    /// Replaces a file other than the configuration.
    fn write_file(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).unwrap();
    }

    /// A list block called like its type.
    fn ask(&self, kind: &str, config: &str, rest: &str) {
        let block = format!(
            "list \"ipam_{kind}\" \"found\" {{\n  provider = ipam\n  {rest}\n  config {{\n{config}\n  }}\n}}\n"
        );
        self.write_file("found.tfquery.hcl", &block);
    }

    async fn query(&self) -> Run {
        self.terraform(&["query", "-no-color"]).await
    }

    /// The display names of what a query finds, in order.
    async fn finds(&self, kind: &str, config: &str, rest: &str) -> Vec<String> {
        self.ask(kind, config, rest);
        let run = self.terraform(&["query", "-json"]).await.succeeded();
        let lines = run.text.lines();
        let messages = lines.filter_map(|line| serde_json::from_str::<Json>(line).ok());
        let mut found: Vec<String> = messages
            .filter(|message| message["type"] == "list_resource_found")
            .map(|message| {
                let found = &message["list_resource_found"];
                assert!(!found["identity"]["id"].is_null(), "{found}");
                found["display_name"].as_str().unwrap().to_owned()
            })
            .collect();
        found.sort();
        found
    }
}

/// A bit of everything, made past Terraform.
async fn furnished() -> Stack {
    let stack = Stack::start().await;
    let labels = |env: &str| json!({"env": env, "team": "net"});
    for (path, body) in [
        ("vrfs", json!({"name": "lab", "labels": labels("dev")})),
        (
            "vpcs",
            json!({"name": "dev", "vrf": "lab", "labels": labels("dev")}),
        ),
        (
            "pools",
            json!({"name": "corp", "ranges": ["10.64.0.0/12"], "labels": labels("prod")}),
        ),
        (
            "pools",
            json!({"name": "team", "parent": "corp", "range_prefix_lengths": [16, 20]}),
        ),
        (
            "pools",
            json!({"name": "corp", "vrf": "lab", "ranges": ["10.64.0.0/12"], "labels": labels("dev")}),
        ),
        (
            "profiles",
            json!({"name": "one", "members": [{"role": "main", "pool": "corp"}]}),
        ),
        (
            "reservations",
            json!({"cidr": "10.0.240.0/20", "reason": "office", "labels": labels("prod")}),
        ),
        (
            "reservations",
            json!({"cidr": "10.0.240.0/20", "vrf": "lab", "reason": "lab"}),
        ),
        (
            "allocations",
            json!({"vpc": "prod", "name": "a", "hosts": 500, "labels": labels("prod")}),
        ),
        (
            "allocations",
            json!({"vpc": "prod", "name": "b", "prefix_length": 24, "labels": labels("dev")}),
        ),
        (
            "allocations",
            json!({"vpc": "prod", "name": "c", "pools": ["team"], "cidr": "10.64.0.0/24"}),
        ),
        (
            "allocations",
            json!({"vpc": "dev", "name": "d", "profile": "one", "prefix_length": 24}),
        ),
        (
            "tokens",
            json!({"name": "ci", "roles": ["allocator"], "limits": {"pools": ["default/corp", "team"], "vpcs": ["ci-*"]},
                   "expires_at": "2099-01-01T00:00:00Z"}),
        ),
        ("tokens", json!({"name": "root", "roles": ["admin"]})),
    ] {
        stack.api(Method::POST, path, body).await;
    }
    stack
}

#[tokio::test]
async fn finds_what_every_filter_lets_through() {
    let stack = furnished().await;
    let terraform = stack.workspace();
    terraform.write("");
    let cases: [(&str, &str, &[&str]); 24] = [
        ("allocation", "", &["dev/d", "prod/a", "prod/b", "prod/c"]),
        (
            "allocation",
            "vpc = \"PROD\"",
            &["prod/a", "prod/b", "prod/c"],
        ),
        ("allocation", "vpc = \"prod\"\nname = \"a\"", &["prod/a"]),
        ("allocation", "vrf = \"lab\"", &["dev/d"]),
        (
            "allocation",
            "profile = \"node-pod\"",
            &["prod/a", "prod/b"],
        ),
        ("allocation", "pool = \"team\"", &["prod/c"]),
        (
            "allocation",
            "within = \"10.64.0.0/12\"",
            &["dev/d", "prod/c"],
        ),
        (
            "allocation",
            "contains = \"10.64.0.7\"",
            &["dev/d", "prod/c"],
        ),
        (
            "allocation",
            "labels = { team = \"net\" }",
            &["prod/a", "prod/b"],
        ),
        (
            "allocation",
            "labels = { team = \"net\", env = \"dev\" }",
            &["prod/b"],
        ),
        ("allocation", "labels = { team = \"other\" }", &[]),
        ("pool", "name = \"corp\"", &["corp", "lab/corp"]),
        ("pool", "vrf = \"lab\"", &["lab/corp"]),
        ("pool", "parent = \"team\"", &[]),
        ("pool", "labels = { env = \"prod\" }", &["corp"]),
        ("vpc", "", &["dev", "prod"]),
        ("vpc", "vrf = \"lab\"", &["dev"]),
        ("vpc", "labels = { env = \"dev\" }", &["dev"]),
        ("vrf", "labels = { env = \"dev\" }", &["lab"]),
        ("profile", "", &["node-pod", "one"]),
        ("token", "", &["ci", "root"]),
        ("token", "name = \"CI\"", &["ci"]),
        (
            "reservation",
            "within = \"10.0.0.0/16\"",
            &["10.0.240.0/20", "lab/10.0.240.0/20"],
        ),
        (
            "reservation",
            "vrf = \"lab\"\ncontains = \"10.0.240.1\"",
            &["lab/10.0.240.0/20"],
        ),
    ];
    for (kind, config, wanted) in cases {
        let found = terraform.finds(kind, config, "").await;
        assert_eq!(found, wanted, "{kind} with {config}");
    }
    let found = terraform.finds("allocation", "", "limit = 2").await;
    assert_eq!(found.len(), 2);
    for (kind, config, says) in [
        ("allocation", "vpc = \"nowhere\"", "nowhere"),
        (
            "allocation",
            "within = \"10.0.0.1/8\"",
            "the network is 10.0.0.0/8",
        ),
        (
            "pool",
            "name = \"\"",
            "Leave name out to find pools with any",
        ),
        ("reservation", "contains = \"everything\"", "\"everything\""),
    ] {
        terraform.ask(kind, config, "");
        terraform.query().await.failed().says(says);
    }
}

#[tokio::test]
async fn writes_the_configuration_of_everything_and_its_plan_changes_nothing() {
    let stack = furnished().await;
    let terraform = stack.workspace();
    // What always exists is found too; it is built in and can't be made.
    let lists = [
        ("allocation", ""),
        ("pool", ""),
        ("vpc", ""),
        ("vrf", "name = \"lab\""),
        ("profile", "name = \"one\""),
        ("reservation", ""),
        ("token", ""),
    ];
    let blocks = lists.map(|(kind, config)| {
        format!(
            "list \"ipam_{kind}\" \"all\" {{\n  provider = ipam\n  config {{\n{config}\n  }}\n}}\n"
        )
    });
    terraform.write("");
    terraform.write_file("all.tfquery.hcl", &blocks.concat());
    let out = format!("-generate-config-out={FILE}");
    terraform
        .terraform(&["query", "-no-color", &out])
        .await
        .succeeded();
    // 4 allocations, 5 pools, 2 VPCs, 1 VRF, 1 profile, 2 reservations, 2 tokens.
    terraform
        .plan_changes()
        .await
        .says("17 to import, 0 to add, 0 to change, 0 to destroy");
    terraform
        .apply()
        .await
        .succeeded()
        .says("17 imported, 0 added, 0 changed");
    terraform.plan_is_empty().await;
    let written = std::fs::read_to_string(terraform.path(FILE)).unwrap();
    // One size, as it was asked for, and nothing that is so without saying.
    let times = |name: &str| {
        let lines = written.lines().map(str::trim_start);
        lines
            .filter(|line| line.starts_with(&format!("{name} ")))
            .count()
    };
    assert_eq!(
        (times("hosts"), times("prefix_length")),
        (1, 3),
        "{written}"
    );
    for unsaid in [
        "deletion_protection",
        "node-pod",
        "reserved_addresses",
        "strategy",
    ] {
        assert!(!written.contains(unsaid), "{unsaid} in {written}");
    }
}

/// More than a page, of which no more is asked for than is wanted.
#[tokio::test]
async fn goes_through_pages_as_far_as_is_wanted() {
    let stack = Stack::start().await;
    let requests: Vec<Json> = (0..1000)
        .map(|i| json!({"name": format!("n{i}"), "vpc": "prod", "pools": ["wide"], "prefix_length": 28}))
        .collect();
    let wide = json!({"name": "wide", "ranges": ["10.64.0.0/12"]});
    stack.api(Method::POST, "pools", wide).await;
    for vpc in ["prod", "other"] {
        let requests: Vec<Json> = requests
            .iter()
            .cloned()
            .map(|mut ask| {
                ask["vpc"] = vpc.into();
                ask
            })
            .collect();
        let body = json!({"requests": requests});
        stack.api(Method::POST, "allocations/batch", body).await;
    }
    let terraform = stack.workspace();
    terraform.write("");
    let found = terraform.finds("allocation", "", "limit = 1500").await;
    assert_eq!(found.len(), 1500);
    let found = terraform
        .finds("allocation", "vpc = \"other\"", "limit = 5000")
        .await;
    assert_eq!(found.len(), 1000);
}

/// The example of each list finds what there is of its type, in a world that the examples of resources might have made.
#[tokio::test]
async fn every_example_finds_something() {
    let stack = Stack::start().await;
    let labels = json!({"environment": "prod"});
    for (path, body) in [
        ("vrfs", json!({"name": "dev"})),
        (
            "pools",
            json!({"name": "cgnat", "vrf": "dev", "ranges": ["100.64.0.0/10"]}),
        ),
        ("vpcs", json!({"name": "prod", "labels": labels})),
        (
            "reservations",
            json!({"cidr": "10.0.240.0/20", "reason": "datacentre"}),
        ),
        ("tokens", json!({"name": "ci", "roles": ["reader"]})),
        (
            "allocations",
            json!({"vpc": "prod", "name": "eks-main", "hosts": 500, "labels": labels}),
        ),
    ] {
        stack.api(Method::POST, path, body).await;
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/list-resources");
    let mut examples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let example = entry.unwrap().path().join("list-resource.tfquery.hcl");
        let text = std::fs::read_to_string(&example).unwrap();
        let terraform = stack.workspace();
        terraform.write("");
        terraform.write_file("list-resource.tfquery.hcl", &text);
        let run = terraform.query().await.succeeded();
        for list in text.lines().filter_map(|line| line.strip_prefix("list ")) {
            let name = list.replace("\" \"", ".").replace([' ', '{', '"'], "");
            assert!(
                run.times(&format!("list.{name} ")) > 0,
                "{name}: {}",
                run.text
            );
        }
        examples += 1;
    }
    assert_eq!(examples, 7);
}
