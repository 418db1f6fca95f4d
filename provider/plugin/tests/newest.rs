//! The toy provider under the newest Terraform, where that is to be had.

#[path = "terraform.rs"]
mod terraform;

use terraform::Workspace;

/// A box that nobody has written down.
fn put(workspace: &Workspace, name: &str) {
    let body = format!(
        r#"{{"name": "{name}", "kind": "oak", "size": 4, "revision": 6, "labels": {{"x": "y"}}}}"#
    );
    let file = workspace.path(&format!("store/box-{name}.json"));
    std::fs::write(file, body).expect("the store is there");
}

fn query(workspace: &Workspace, config: &str) {
    let list = format!(
        "list \"toy_box\" \"all\" {{\n  provider = toy\n  config {{\n    {config}\n  }}\n}}\n"
    );
    std::fs::write(workspace.path("all.tfquery.hcl"), list).expect("a directory of our own");
}

#[test]
fn a_query_finds_boxes_and_writes_them_down() {
    let workspace = Workspace::new("");
    put(&workspace, "old");
    put(&workspace, "older");
    query(&workspace, "prefix = \"box-olde\"");
    workspace
        .run(&["query", "-no-color", "-generate-config-out=found.tf"])
        .succeeded()
        .says("id=box-older,name=older")
        .says("Box box-older");
    workspace
        .apply()
        .says("1 imported, 0 added, 0 changed, 0 destroyed");
    workspace.assert_settled();
}

#[test]
fn what_goes_wrong_in_a_query_is_said() {
    let workspace = Workspace::new("");
    put(&workspace, "old");
    query(&workspace, "behave = \"fail\"");
    workspace
        .run(&["query", "-no-color"])
        .failed()
        .says("Too dark")
        .says("Saw one only.");
    query(&workspace, "behave = \"panic\"");
    workspace
        .run(&["query", "-no-color"])
        .failed()
        .says("The provider crashed while listing toy_box");
}

#[test]
fn a_deprecation_says_why() {
    let config = "resource \"toy_box\" \"a\" {\n  name = \"a\"\n  behave = \"odd\"\n}\n";
    // Who sets it reads so, and who reads it.
    let workspace = Workspace::new(config);
    workspace
        .run(&["validate", "-no-color"])
        .succeeded()
        .says("behave is deprecated")
        .says("Behave yourself.");
    let config = config.replace("  behave = \"odd\"\n", "");
    let output = "output \"behaviour\" {\n  value = toy_box.a.behave\n}\n";
    let workspace = Workspace::new(&(config + output));
    workspace
        .run(&["validate", "-no-color"])
        .succeeded()
        .says("Behave yourself.");
}
