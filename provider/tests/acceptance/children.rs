//! Child pools whose ranges are named, and those whose ranges are asked for by size: made, changed into each other, and
//! imported.

use serde_json::{Value as Json, json};

use crate::stack::{Stack, Workspace};

const RANGES: &str =
    "select count(*) from pool_range join pool using (pool_id) where pool.name = 'team'";

fn write(terraform: &Workspace, parent: &str, ranges: &str) {
    terraform.write(&format!(
        "resource \"ipam_pool\" \"whole\" {{\n  name = \"whole\"\n  ranges = [\"10.16.0.0/13\"]\n}}\n\
         resource \"ipam_pool\" \"team\" {{\n  name = \"team\"\n  parent = {parent}\n{ranges}\n}}\n"
    ));
}

async fn ranges(terraform: &Workspace) -> Json {
    terraform.show("ipam_pool.team").await["ranges"].clone()
}

#[tokio::test]
async fn a_child_with_named_ranges_has_these_and_no_others() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    for (parent, named) in [
        ("ipam_pool.whole.id", "[\"10.17.0.0/18\"]"),
        (
            "\"whole\"\n  depends_on = [ipam_pool.whole]",
            "[\"10.17.0.0/18\", \"10.18.0.0/24\"]",
        ),
    ] {
        write(&terraform, parent, &format!("  ranges = {named}"));
        terraform.apply().await.succeeded().says("2 added");
        terraform.plan_is_empty().await;
        assert_eq!(
            ranges(&terraform).await,
            serde_json::from_str::<Json>(named).unwrap()
        );
        assert_eq!(
            stack.count(RANGES).await,
            ranges(&terraform).await.as_array().unwrap().len() as i64
        );
        terraform.destroy().await.succeeded();
    }
}

#[tokio::test]
async fn its_ranges_come_and_go_by_name_and_by_size() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let id = "ipam_pool.whole.id";
    let write = |ranges: &str| write(&terraform, id, ranges);
    write("  ranges = [\"10.17.0.0/18\"]");
    terraform.apply().await.succeeded();
    let steps = [
        // More and fewer of those that are named.
        (
            "  ranges = [\"10.17.0.0/18\", \"10.18.0.0/20\"]",
            json!(["10.17.0.0/18", "10.18.0.0/20"]),
            true,
        ),
        (
            "  ranges = [\"10.18.0.0/20\", \"10.19.0.0/20\"]",
            json!(["10.18.0.0/20", "10.19.0.0/20"]),
            true,
        ),
        // The same, by size, and back.
        (
            "  range_prefix_lengths = [20, 20]",
            json!(["10.18.0.0/20", "10.19.0.0/20"]),
            false,
        ),
        (
            "  ranges = [\"10.18.0.0/20\", \"10.19.0.0/20\"]",
            json!(["10.18.0.0/20", "10.19.0.0/20"]),
            false,
        ),
        (
            "  range_prefix_lengths = [20]",
            json!(["10.18.0.0/20"]),
            true,
        ),
        (
            "  ranges = [\"10.20.0.0/22\"]",
            json!(["10.20.0.0/22"]),
            true,
        ),
        // Neither: those that are there stay.
        ("", json!(["10.20.0.0/22"]), false),
    ];
    for (config, expected, changes) in steps {
        write(config);
        if changes {
            terraform
                .plan_changes()
                .await
                .says("0 to add, 1 to change, 0 to destroy");
        } else {
            terraform.plan_is_empty().await;
        }
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
        assert_eq!(ranges(&terraform).await, expected, "{config}");
        assert_eq!(
            stack.count(RANGES).await,
            expected.as_array().unwrap().len() as i64
        );
    }
    for config in [
        "  ranges = [\"10.20.0.0/22\"]",
        "  range_prefix_lengths = [22]",
        "",
    ] {
        write(config);
        terraform
            .terraform(&["state", "rm", "ipam_pool.team"])
            .await
            .succeeded();
        terraform
            .terraform(&[
                "import",
                "-no-color",
                "-input=false",
                "ipam_pool.team",
                "default/team",
            ])
            .await
            .succeeded();
        terraform.plan_is_empty().await;
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
    }
    terraform.destroy().await.succeeded();
}

#[tokio::test]
async fn a_parent_that_is_known_only_after_apply_may_turn_out_to_be_none() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(
        "resource \"terraform_data\" \"none\" {\n  input = true\n}\n\
         resource \"ipam_pool\" \"team\" {\n  name = \"team\"\n  parent = terraform_data.none.output ? null : \"primary\"\n  \
         ranges = [\"10.64.0.0/16\"]\n}\n",
    );
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(
        terraform.show("ipam_pool.team").await["range_prefix_lengths"],
        Json::Null
    );
}
