//! Identities: what is imported by them, what a rename makes of them, and states from before there were any.

use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::stack::{Stack, Workspace, allocation};

impl Workspace {
    /// The identity that the state has of the resource with this name.
    fn identity(&self, name: &str) -> Json {
        let state = std::fs::read(self.path("terraform.tfstate")).unwrap();
        let state: Json = serde_json::from_slice(&state).unwrap();
        let resources = state["resources"].as_array().unwrap();
        let found = resources.iter().find(|resource| resource["name"] == name);
        found.unwrap()["instances"][0]["identity"].clone()
    }

    /// Runs the Terraform on the path here, which knows no identities.
    async fn older_terraform(&self, arguments: &[&str]) {
        let mut older = tokio::process::Command::new("terraform");
        older
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let ours = self.command(&[]);
        older.current_dir(ours.as_std().get_current_dir().unwrap());
        older.env_clear();
        for (name, value) in ours.as_std().get_envs() {
            older.env(name, value.unwrap_or_default());
        }
        let output = older.output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

const POOL: &str = "resource \"ipam_pool\" \"p\" {\n  name   = \"NAME\"\n  vrf    = ipam_vrf.v.name\n  ranges = [\"10.64.0.0/16\"]\n}\n";

#[tokio::test]
async fn imports_by_every_identity() {
    let stack = Stack::start().await;
    for (path, body) in [
        ("vrfs", json!({"name": "lab"})),
        ("vpcs", json!({"name": "dev", "vrf": "lab"})),
        (
            "pools",
            json!({"name": "corp", "vrf": "lab", "ranges": ["10.64.0.0/12"]}),
        ),
        ("pools", json!({"name": "corp", "ranges": ["10.64.0.0/12"]})),
        (
            "profiles",
            json!({"name": "one", "members": [{"role": "main", "pool": "corp"}]}),
        ),
        (
            "reservations",
            json!({"cidr": "10.0.240.0/20", "vrf": "lab", "reason": "office"}),
        ),
        (
            "allocations",
            json!({"vpc": "prod", "name": "a", "hosts": 500}),
        ),
        ("tokens", json!({"name": "ci", "roles": ["reader"]})),
    ] {
        stack.api(Method::POST, path, body).await;
    }
    let terraform = stack.workspace();
    let all = [
        ("vrf", "name = \"lab\"", "name = \"lab\""),
        ("vpc", "name = \"dev\"", "name = \"dev\"\nvrf = \"lab\""),
        (
            "pool",
            "name = \"corp\"\nvrf = \"lab\"",
            "name = \"corp\"\nvrf = \"lab\"\nranges = [\"10.64.0.0/12\"]",
        ),
        (
            "profile",
            "name = \"one\"",
            "name = \"one\"\nmembers = [{ role = \"main\", pool = \"corp\" }]",
        ),
        (
            "reservation",
            "vrf = \"lab\"\ncidr = \"10.0.240.0/20\"",
            "vrf = \"lab\"\ncidr = \"10.0.240.0/20\"\nreason = \"office\"",
        ),
        (
            "allocation",
            "vpc = \"prod\"\nname = \"a\"",
            "vpc = \"prod\"\nname = \"a\"\nhosts = 500",
        ),
        (
            "token",
            "name = \"ci\"",
            "name = \"ci\"\nroles = [\"reader\"]",
        ),
    ];
    let blocks = all.map(|(kind, identity, config)| {
        format!(
            "import {{\n  to = ipam_{kind}.it\n  identity = {{\n{identity}\n  }}\n}}\n\
             resource \"ipam_{kind}\" \"it\" {{\n{config}\n}}\n"
        )
    });
    terraform.write(&blocks.concat());
    terraform
        .apply()
        .await
        .succeeded()
        .says("7 imported, 0 added, 0 changed");
    terraform.plan_is_empty().await;
    // Two of a name, and which one is not said.
    let ambiguous = "import {\n  to = ipam_pool.it\n  identity = { name = \"corp\" }\n}\nresource \"ipam_pool\" \"it\" {\n  name = \"corp\"\n  ranges = [\"10.64.0.0/12\"]\n}\n";
    let other = stack.workspace();
    other.write(ambiguous);
    other.plan().await.failed().says("more than one pool corp");
}

#[tokio::test]
async fn an_identity_follows_every_name() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let config = |vrf: &str, pool: &str, name: &str| {
        let vrf = format!("resource \"ipam_vrf\" \"v\" {{\n  name = \"{vrf}\"\n}}\n");
        vrf + &POOL.replace("NAME", pool)
            + &allocation("a", "hosts = 500").replace("= \"a\"", &format!("= \"{name}\""))
    };
    terraform.write(&config("one", "p", "a"));
    terraform.apply().await.succeeded().says("3 added");
    let identity = |name: &str| {
        let identity = terraform.identity(name);
        (
            identity["id"].clone(),
            identity["vrf"].clone(),
            identity["name"].clone(),
        )
    };
    let (id, vrf, name) = identity("p");
    assert_eq!((vrf, name), (json!("one"), json!("p")));
    terraform.write(&config("two", "q", "b"));
    terraform
        .apply()
        .await
        .succeeded()
        .says("0 added, 3 changed, 0 destroyed");
    assert_eq!(identity("p"), (id.clone(), json!("two"), json!("q")));
    assert_eq!(identity("a").2, json!("b"));
    terraform.plan_is_empty().await;
    // Renamed elsewhere, and back by the next apply.
    let path = format!("pools/{}", id.as_str().unwrap());
    stack
        .api(Method::PATCH, &path, json!({"name": "elsewhere"}))
        .await;
    terraform.apply().await.succeeded().says("1 changed");
    assert_eq!(identity("p"), (id, json!("two"), json!("q")));
    terraform.plan_is_empty().await;
}

#[tokio::test]
async fn a_state_without_identities_gets_them() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let config = "resource \"ipam_vrf\" \"v\" {\n  name = \"one\"\n}\n".to_owned()
        + &POOL.replace("NAME", "p")
        + &allocation("a", "hosts = 500");
    terraform.write(&config);
    terraform
        .older_terraform(&["apply", "-no-color", "-auto-approve"])
        .await;
    assert_eq!(terraform.identity("p"), Json::Null);
    terraform.plan_is_empty().await;
    // Without a refresh there is nobody who could tell, and nothing to stop for either.
    terraform
        .terraform(&["plan", "-no-color", "-refresh=false", "-detailed-exitcode"])
        .await
        .succeeded();
    terraform.apply().await.succeeded();
    let renamed = config.replace("\"p\"\n  vrf", "\"q\"\n  vrf");
    terraform.write(&renamed.replace("name   = \"p\"", "name   = \"q\""));
    terraform.apply().await.succeeded().says("1 changed");
    assert_eq!(terraform.identity("p")["name"], "q");
    // And the older one works on with what the newer one has left.
    terraform
        .older_terraform(&["plan", "-no-color", "-detailed-exitcode"])
        .await;
}

/// Version 0 of the identity was nothing but the id.
#[tokio::test]
async fn an_identity_that_is_only_an_id_is_completed() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation("a", "hosts = 500"));
    terraform.apply().await.succeeded();
    let path = terraform.path("terraform.tfstate");
    let mut state: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let instance = &mut state["resources"][0]["instances"][0];
    assert_eq!(instance["identity_schema_version"], 1);
    let whole = instance["identity"].clone();
    instance["identity"] = json!({"id": whole["id"]});
    instance["identity_schema_version"] = json!(0);
    std::fs::write(&path, state.to_string()).unwrap();
    terraform.plan_is_empty().await;
    terraform.write(&allocation("a", "hosts = 500\ndescription = \"x\""));
    terraform.apply().await.succeeded().says("1 changed");
    assert_eq!(terraform.identity("a"), whole);
}

/// The examples of imports by identity are about those of the resources.
#[tokio::test]
async fn every_example_imports_what_it_names() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/resources");
    let databases = json!({"name": "databases", "ranges": ["10.70.0.0/16"]});
    let batch = json!({"name": "batch", "ranges": ["10.71.0.0/16"], "labels": {"tier": "private"}});
    let v6 = json!({"name": "v6", "ranges": ["2001:db8:1000::/36"]});
    for (name, before) in [
        ("allocation", vec![("pools", databases), ("pools", batch)]),
        ("pool", vec![]),
        ("profile", vec![("pools", v6)]),
        ("reservation", vec![]),
        ("vpc", vec![("vrfs", json!({"name": "dev"}))]),
        ("vrf", vec![]),
    ] {
        let stack = Stack::start().await;
        for (path, body) in before {
            stack.api(Method::POST, path, body).await;
        }
        let read =
            |file: &str| std::fs::read_to_string(format!("{folder}/ipam_{name}/{file}")).unwrap();
        let (config, block) = (read("resource.tf"), read("import-by-identity.tf"));
        let terraform = stack.workspace();
        terraform.write(&config);
        terraform.apply().await.succeeded();
        let mut lines = block.lines();
        let address = lines.find_map(|line| line.trim().strip_prefix("to = "));
        terraform
            .terraform(&["state", "rm", address.unwrap()])
            .await
            .succeeded();
        terraform.write(&format!("{config}\n{block}"));
        terraform
            .apply()
            .await
            .succeeded()
            .says("1 imported, 0 added, 0 changed");
        terraform.plan_is_empty().await;
    }
}
