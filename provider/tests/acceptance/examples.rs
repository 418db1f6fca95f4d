//! Every example is what it says it is: it is applied as it stands, the next plan is empty, its outputs are those that
//! its comments promise, and it is destroyed. Whatever is imported in an example is imported, and the next plan is empty.
//!
//! A new example is found by its folder, and one that nobody applies fails a test.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use ipam_shared::secret::Secret;
use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::stack::{Run, Stack, Workspace};

/// What nobody may leave behind. VPCs that were made on first use stay.
const LEFT: &str = "select (select count(*) from allocation) + (select count(*) from pool) + (select count(*) from vrf) \
    + (select count(*) from reservation) + (select count(*) from profile) + (select count(*) from token)";
/// The id in examples.
const ID: &str = "0190d6a5-8f0e-7cc0-a7a0-5d1e9b6f2c11";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names in a folder below `examples/`.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The examples in a folder whose names begin so.
fn files(folder: &str, beginning: &str) -> Vec<PathBuf> {
    let found: Vec<PathBuf> = names(folder)
        .into_iter()
        .filter(|name| name.starts_with(beginning) && name.ends_with(".tf"))
        .map(|name| root().join(folder).join(name))
        .collect();
    assert!(!found.is_empty(), "{folder} has no {beginning}*.tf");
    found
}

/// What an output is by the comment behind it, such as `value = … # 23`.
fn promises(text: &str) -> Vec<(String, Json)> {
    let mut output = "";
    let mut promises = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("output \"") {
            output = name.split('"').next().unwrap_or_default();
        }
        if let Some((value, comment)) = line.rsplit_once(" # ")
            && value.starts_with("  value = ")
            && let Ok(promise) = serde_json::from_str(comment)
        {
            promises.push((output.to_owned(), promise));
        }
    }
    promises
}

async fn outputs(terraform: &Workspace) -> Json {
    let run = terraform.terraform(&["output", "-json"]).await.succeeded();
    serde_json::from_str(&run.text).unwrap()
}

/// Applies what is in the workspace, plans it again, and compares the outputs.
async fn lives(terraform: &Workspace, what: &Path, text: &str) {
    let say = |run: &Run| assert_eq!(run.code, Some(0), "{}: {}", what.display(), run.text);
    say(&terraform.apply().await);
    let plan = terraform.plan().await;
    say(&plan);
    plan.says("No changes.");
    let outputs = outputs(terraform).await;
    for (name, promise) in promises(text) {
        assert_eq!(
            outputs[&name]["value"],
            promise,
            "{name} of {}",
            what.display()
        );
    }
}

/// Destroys what is there, which may be protected from it.
async fn dies(terraform: &Workspace, text: &str) {
    const PROTECTED: &str = "deletion_protection = true";
    if text.contains(PROTECTED) {
        terraform.write(&text.replace(PROTECTED, "deletion_protection = false"));
        terraform.apply().await.succeeded();
    }
    terraform.destroy().await.succeeded();
}

async fn make(stack: &Stack, all: Vec<(&str, Json)>) {
    for (path, body) in all {
        stack.api(Method::POST, path, body).await;
    }
}

/// What the example of a resource takes for granted.
fn taken_for_granted(resource: &str) -> Vec<(&'static str, Json)> {
    match resource {
        "ipam_allocation" => vec![
            (
                "pools",
                json!({"name": "databases", "ranges": ["10.70.0.0/16"]}),
            ),
            (
                "pools",
                json!({"name": "batch", "ranges": ["10.71.0.0/16"], "labels": {"tier": "private"}}),
            ),
        ],
        "ipam_profile" => vec![(
            "pools",
            json!({"name": "v6", "ranges": ["2001:db8:1000::/36"]}),
        )],
        "ipam_vpc" => vec![("vrfs", json!({"name": "dev"}))],
        _ => Vec::new(),
    }
}

fn secret() -> String {
    Secret::generate().unwrap().reveal().to_owned()
}

/// The whole life of the example of a resource, with each way to import it.
async fn resource(name: &str) {
    let folder = format!("resources/{name}");
    for file in files(&folder, "resource") {
        let stack = Stack::start().await;
        make(&stack, taken_for_granted(name)).await;
        let before = stack.count(LEFT).await;
        let terraform = stack.workspace().variable("TF_VAR_ci_secret", &secret());
        let text = read(&file);
        terraform.write(&text);
        lives(&terraform, &file, &text).await;
        if file.ends_with("resource.tf") {
            imports(&terraform, &folder, &text).await;
            terraform.write(&text);
            terraform.plan_is_empty().await;
        }
        dies(&terraform, &text).await;
        assert_eq!(stack.count(LEFT).await, before, "{name}");
    }
}

/// Whether this Terraform imports by identity, which it does since 1.12.
async fn knows_identities(terraform: &Workspace) -> bool {
    let run = terraform.terraform(&["version", "-json"]).await.succeeded();
    let version: Json = serde_json::from_str(&run.text).unwrap();
    let version = version["terraform_version"].as_str().unwrap();
    let numbers: Vec<u32> = version
        .split('.')
        .filter_map(|number| number.parse().ok())
        .collect();
    numbers.as_slice() >= [1, 12].as_slice()
}

async fn imports(terraform: &Workspace, folder: &str, text: &str) {
    let command = read(&root().join(folder).join("import.sh"));
    let block = read(&root().join(folder).join("import-by-string-id.tf"));
    let address = block
        .lines()
        .find_map(|line| line.trim().strip_prefix("to = "))
        .unwrap();
    let forget = async || {
        terraform
            .terraform(&["state", "rm", address])
            .await
            .succeeded();
    };
    let made = terraform.show(address).await;
    let mut blocks = vec![block.clone()];
    if knows_identities(terraform).await {
        blocks.push(read(&root().join(folder).join("import-by-identity.tf")));
    }
    for block in blocks {
        forget().await;
        terraform.write(&format!("{text}\n{block}"));
        terraform
            .apply()
            .await
            .succeeded()
            .says("1 imported, 0 added, 0 changed, 0 destroyed.");
        terraform.write(text);
        terraform.plan_is_empty().await;
    }
    let mut ways = 0;
    for line in command
        .lines()
        .filter(|line| line.starts_with("terraform import "))
    {
        forget().await;
        let mut line = line.replace(ID, made["id"].as_str().unwrap());
        if let Some(cidr) = made["cidr"]
            .as_str()
            .filter(|_| folder.ends_with("ipam_allocation"))
        {
            line = line.replace("10.0.0.0/23", cidr);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["terraform", "import", to, id] = words.as_slice() else {
            panic!("{line}")
        };
        assert_eq!(*to, address);
        let id = id.trim_matches('\'');
        terraform
            .terraform(&["import", "-no-color", to, id])
            .await
            .succeeded();
        terraform.plan_is_empty().await;
        ways += 1;
    }
    assert!(ways > 1, "{folder}/import.sh has {ways} ways");
}

macro_rules! resources {
    ($($name:ident),* $(,)?) => {
        mod resources {
            $(
                #[tokio::test]
                async fn $name() {
                    super::resource(stringify!($name)).await;
                }
            )*

            #[test]
            fn all_of_them() {
                let tested: Vec<&str> = vec![$(stringify!($name)),*];
                let there = super::names("resources");
                assert_eq!(tested, there.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
    };
}

resources!(
    ipam_allocation,
    ipam_pool,
    ipam_profile,
    ipam_reservation,
    ipam_token,
    ipam_vpc,
    ipam_vrf
);

#[tokio::test]
async fn data_sources() {
    let stack = Stack::start().await;
    let frankfurt = json!({"cidr": "10.0.240.0/20", "reason": "Data centre in Frankfurt", "labels": {"site": "fra1"}});
    let all = vec![
        ("vrfs", json!({"name": "dev"})),
        ("tokens", json!({"name": "ci", "roles": ["allocator"]})),
        (
            "vpcs",
            json!({"name": "dev", "vrf": "dev", "labels": {"environment": "dev"}}),
        ),
        (
            "pools",
            json!({"name": "private", "ranges": ["10.80.0.0/16"], "labels": {"tier": "private"}}),
        ),
        (
            "allocations",
            json!({"vpc": "prod", "name": "eks-main", "hosts": 500, "labels": {"environment": "prod"}}),
        ),
        // Last: a smaller free part before would be used up first, and it is the first address that is looked up.
        ("reservations", frankfurt),
    ];
    make(&stack, all).await;
    for name in names("data-sources") {
        for file in files(&format!("data-sources/{name}"), "data-source") {
            let terraform = stack.workspace();
            let text = read(&file);
            terraform.write(&text);
            lives(&terraform, &file, &text).await;
            for (name, output) in outputs(&terraform).await.as_object().unwrap() {
                let nothing = [json!(null), json!([]), json!({}), json!("")];
                assert!(
                    !nothing.contains(&output["value"]),
                    "{name} of {} shows nothing",
                    file.display()
                );
            }
            terraform.destroy().await.succeeded();
        }
    }
}

#[tokio::test]
async fn ephemeral_resources() {
    for name in names("ephemeral-resources") {
        let folder = format!("ephemeral-resources/{name}");
        for file in files(&folder, "ephemeral-resource") {
            let stack = Stack::start().await;
            let terraform = stack.workspace();
            let text = read(&file);
            terraform.write(&text);
            lives(&terraform, &file, &text).await;
            terraform.destroy().await.succeeded();
        }
    }
}

/// Without a server.
#[tokio::test]
async fn functions() {
    for name in names("functions") {
        for file in files(&format!("functions/{name}"), "function") {
            let terraform = Workspace::new("http://127.0.0.1:9");
            let text = read(&file);
            terraform.write(&text);
            lives(&terraform, &file, &text).await;
            let promised = promises(&text).len();
            assert_eq!(
                promised,
                text.matches("output \"").count(),
                "{} promises",
                file.display()
            );
        }
    }
}

#[tokio::test]
async fn provider() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let file = root().join("provider/provider.tf");
    let text = read(&file);
    assert!(text.contains("https://ipam.example.com"));
    let text = text.replace("https://ipam.example.com", &stack.server.url());
    let used = format!("{text}\ndata \"ipam_vrf\" \"default\" {{\n  name = \"default\"\n}}\n");
    fs::write(terraform.path("main.tf"), used).unwrap();
    lives(&terraform, &file, &text).await;
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (
            entry.as_ref().unwrap().path(),
            to.join(entry.unwrap().file_name()),
        );
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// The whole life of a configuration that stands for itself.
async fn configuration(folder: &str) {
    let stack = Stack::start().await;
    let before = stack.count(LEFT).await;
    let terraform = stack.workspace();
    copy(&root().join(folder), &terraform.path("."));
    if fs::exists(terraform.path("modules")).unwrap() {
        // Only to note where the modules are; the provider comes from the developer's overrides.
        terraform.terraform(&["get", "-no-color"]).await.succeeded();
    }
    let file = root().join(folder).join("main.tf");
    lives(&terraform, &file, &read(&file)).await;
    terraform.destroy().await.succeeded();
    assert_eq!(stack.count(LEFT).await, before, "{folder}");
}

#[tokio::test]
async fn quickstart() {
    configuration("quickstart").await;
}

/// A configuration of a guide, and what has to be there before it.
async fn guide(name: &str) {
    configuration(&format!("guides/{name}")).await;
}

#[tokio::test]
async fn getting_started() {
    guide("getting-started").await;
}

#[tokio::test]
async fn eks() {
    guide("eks").await;
}

#[tokio::test]
async fn gke() {
    guide("gke").await;
}

/// What is there already is imported, without a change, and what is in use elsewhere is taken in.
#[tokio::test]
async fn importing() {
    let stack = Stack::start().await;
    let by_script = json!({"vpc": "production", "name": "by-script", "hosts": 100});
    make(&stack, vec![("allocations", by_script)]).await;
    let terraform = stack.workspace();
    let file = root().join("guides/importing/main.tf");
    copy(file.parent().unwrap(), &terraform.path("."));
    terraform
        .plan_changes()
        .await
        .says("Plan: 2 to import, 2 to add, 0 to change, 0 to destroy.");
    lives(&terraform, &file, &read(&file)).await;
    // The pool is that of other people's allocations too, such as those of its neighbours here; they go first.
    terraform.destroy().await.succeeded();
    assert_eq!(stack.allocations().await, 0);
}

/// The script of the pipelines: what it plans it applies, then nothing is left to do, and a failed plan ends it.
#[tokio::test]
async fn ci() {
    let stack = Stack::start().await;
    let mut terraform = stack.workspace();
    let folder = root().join("guides/ci");
    copy(&folder, &terraform.path("."));
    for pipeline in ["github.yml", "gitlab.yml"] {
        let text = read(&folder.join(pipeline));
        for step in ["init", "plan", "apply"] {
            assert!(
                text.contains(&format!("./pipeline.sh {step}")),
                "{pipeline} lacks {step}"
            );
        }
    }
    terraform.script("pipeline.sh", &["plan"]).await.succeeded();
    terraform
        .script("pipeline.sh", &["apply"])
        .await
        .succeeded()
        .says("2 added");
    terraform
        .script("pipeline.sh", &["plan"])
        .await
        .succeeded()
        .says("No changes.");
    terraform.use_key("wrong");
    terraform.script("pipeline.sh", &["plan"]).await.failed();
    terraform.use_key(ipam_testing::TestServer::API_KEY);
    terraform.destroy().await.succeeded();
}

/// From numbers to names: nobody loses a range, and afterwards one that is taken out of the middle takes nobody along.
#[tokio::test]
async fn for_each() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let folder = root().join("guides/for-each");
    copy(&folder.join("before"), &terraform.path("."));
    terraform.apply().await.succeeded();
    let ids = terraform.ids().await;
    copy(&folder.join("after"), &terraform.path("."));
    terraform
        .apply()
        .await
        .succeeded()
        .says("0 added, 0 changed, 0 destroyed.");
    assert_eq!(terraform.ids().await, ids);
    terraform.plan_is_empty().await;
    let text = read(&folder.join("after/main.tf"));
    fs::write(
        terraform.path("main.tf"),
        text.replace("\"green\", ", "")
            .split("# Once")
            .next()
            .unwrap(),
    )
    .unwrap();
    terraform
        .plan_changes()
        .await
        .says("0 to add, 0 to change, 1 to destroy.");
    terraform.destroy().await.succeeded();
}

/// From one token to the next, with both for a while; and a secret that is changed in place.
#[tokio::test]
async fn tokens() {
    let stack = Stack::start().await;
    let before = stack.count(LEFT).await;
    let secrets = json!({"a": secret(), "b": secret()});
    let generations = ["[\"a\"]", "[\"a\", \"b\"]", "[\"b\"]"];
    let mut terraform = stack
        .workspace()
        .variable("TF_VAR_secrets", &secrets.to_string());
    let folder = root().join("guides/tokens");
    copy(&folder, &terraform.path("."));
    let file = folder.join("main.tf");
    let valid = async |secret: &Json| {
        _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}/api/v1/whoami", stack.server.url());
        let request = reqwest::Client::new().get(url);
        let request = request.bearer_auth(secret.as_str().unwrap());
        request.send().await.unwrap().status() == 200
    };
    let mut is_valid = Vec::new();
    for generation in generations {
        terraform = terraform.variable("TF_VAR_generations", generation);
        lives(&terraform, &file, &read(&file)).await;
        // Every server knows within a second.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        is_valid.push((valid(&secrets["a"]).await, valid(&secrets["b"]).await));
    }
    assert_eq!(is_valid, [(true, false), (true, true), (false, true)]);
    let changed = json!({"b": secret()});
    terraform = terraform.variable("TF_VAR_secrets", &changed.to_string());
    terraform.plan_changes().await.says("public_id");
    lives(&terraform, &file, &read(&file)).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(valid(&changed["b"]).await && !valid(&secrets["b"]).await);
    terraform.destroy().await.succeeded();
    assert_eq!(stack.count(LEFT).await, before);
}

/// Tests with the mocks that users copy, without a server; and the mocks know everything that the provider has.
#[tokio::test]
async fn testing_with_mocks() {
    let terraform = Workspace::new("http://127.0.0.1:9");
    copy(&root().join("guides/testing"), &terraform.path("."));
    terraform
        .terraform(&["test", "-no-color"])
        .await
        .succeeded()
        .says("3 passed, 0 failed.");
    let mocks = read(&root().join("guides/testing/tests/mocks/ipam.tfmock.hcl"));
    for (kind, folder) in [
        ("mock_resource", "resources"),
        ("mock_data", "data-sources"),
    ] {
        for name in names(folder) {
            assert!(
                mocks.contains(&format!("{kind} \"{name}\" {{")),
                "{kind} {name} is missing"
            );
        }
    }
}

#[test]
fn every_folder_of_examples_is_of_a_kind_that_is_tested() {
    let all = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<BTreeSet<_>>()
    };
    let kinds = [
        "data-sources",
        "ephemeral-resources",
        "functions",
        "guides",
        "provider",
        "quickstart",
        "resources",
        "scenarios",
    ];
    let mut there = names(".");
    // Only the newest Terraform can query; what tests that is beside it.
    there.remove("list-resources");
    assert_eq!(there, all(&kinds));
    // Applied by `space`, which looks closer.
    assert_eq!(names("scenarios"), all(&["environments"]));
    let guides = [
        "ci",
        "eks",
        "for-each",
        "getting-started",
        "gke",
        "importing",
        "testing",
        "tokens",
    ];
    assert_eq!(names("guides"), all(&guides));
}
