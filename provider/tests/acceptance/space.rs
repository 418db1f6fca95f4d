//! Requests from pools and in VRFs, data sources, and the examples as they stand.

use std::{fs, path::Path};

use reqwest::Method;
use serde_json::json;

use crate::stack::{Stack, allocation};

#[tokio::test]
async fn from_pools_and_selectors() {
    let stack = Stack::start().await;
    for (name, range, tier) in [
        ("small", "10.64.0.0/24", "a"),
        ("large", "10.65.0.0/16", "a"),
        ("spare", "10.66.0.0/16", "b"),
    ] {
        let pool = json!({"name": name, "ranges": [range], "labels": {"tier": tier}, "default_prefix_length": 26});
        stack.api(Method::POST, "pools", pool).await;
    }
    let terraform = stack.workspace();
    terraform.write(&allocation(
        "a",
        "prefix_length = 23\npools = [\"small\", \"large\"]",
    ));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let made = terraform.show("ipam_allocation.a").await;
    assert_eq!(
        made["blocks"]["main"]["pool"], "large",
        "the first that has room"
    );
    assert_eq!(made["profile"], json!(null));
    assert_eq!(made["blocks"]["main"]["pool"], "large");
    let large = stack.api(Method::GET, "pools/large", json!(null)).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // What would have been content with the block changes nothing but the state.
    for change in [
        "prefix_length = 23\npools = [\"spare\", \"large\"]".to_owned(),
        format!("prefix_length = 23\npools = [\"{large}\"]"),
        format!("prefix_length = 23\npools = [\"{large}\"]\nexclude_cidrs = [\"10.65.128.0/17\"]"),
        format!("prefix_length = 22\npools = [\"{large}\"]\nexclude_cidrs = [\"10.65.64.0/18\"]"),
        "prefix_length = 22\npool_selector = { tier = \"a\" }".to_owned(),
        "prefix_length = 22\npools = [\"large\"]".to_owned(),
    ] {
        terraform.write(&allocation("a", &change));
        terraform
            .plan_changes()
            .await
            .says("0 to add, 1 to change, 0 to destroy")
            .does_not_say("known after apply");
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
        assert_eq!(terraform.show("ipam_allocation.a").await["id"], made["id"]);
    }
    for (change, reason) in [
        (
            "pools = [\"small\", \"spare\"]",
            "from the pool large, which is not among them.",
        ),
        (
            "pools = [\"large\"]\nexclude_cidrs = [\"10.65.0.0/20\"]",
            "which overlaps 10.65.0.0/20.",
        ),
        (
            "pool_selector = { tier = \"b\" }",
            "from the pool large, which does not have these labels.",
        ),
        (
            "profile = \"node-pod\"",
            "are to be cut from something else",
        ),
    ] {
        terraform.write(&allocation("a", &format!("prefix_length = 22\n{change}")));
        terraform
            .plan_changes()
            .await
            .says(reason)
            .says("forces replacement");
    }
    // By labels, of the size that the pool gives when nobody says.
    terraform.write(&allocation("a", "pool_selector = { tier = \"b\" }"));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let made = terraform.show("ipam_allocation.a").await;
    assert_eq!(made["blocks"]["main"]["pool"], "spare");
    assert_eq!(made["prefix_length"], 26);
    terraform.write(&allocation("a", "pool_selector = { tier = \"a\" }"));
    terraform
        .plan_changes()
        .await
        .says("from the pool spare, which does not have these labels.");
    stack
        .api(
            Method::PATCH,
            "pools/spare",
            json!({"labels": {"tier": "b", "region": "eu"}}),
        )
        .await;
    terraform.write(&allocation("a", "pool_selector = { region = \"eu\" }"));
    terraform
        .plan_changes()
        .await
        .says("0 to add, 1 to change, 0 to destroy");
    terraform.apply().await.succeeded();
    terraform
        .terraform(&["state", "rm", "ipam_allocation.a"])
        .await
        .succeeded();
    terraform.write(&allocation("a", "pool_selector = { tier = \"b\" }"));
    terraform
        .terraform(&["import", "-no-color", "ipam_allocation.a", "prod/a"])
        .await
        .succeeded();
    terraform.plan_is_empty().await;
}

#[tokio::test]
async fn a_growth_keeps_away_from_what_the_configuration_excludes() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation("a", "cidr = \"10.0.8.0/24\""));
    terraform.apply().await.succeeded();
    terraform.write(&allocation(
        "a",
        "prefix_length = 23\nexclude_cidrs = [\"10.0.9.0/24\"]",
    ));
    terraform
        .plan()
        .await
        .failed()
        .says("10.0.8.0/23 overlaps 10.0.9.0/24");
}

#[tokio::test]
async fn two_environments_reuse_the_pod_space_and_share_the_nodes() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let scenario = example("scenarios/environments/main.tf");
    fs::write(terraform.path("main.tf"), scenario).unwrap();
    terraform.apply().await.succeeded().says("9 added");
    terraform.plan_is_empty().await;
    let clusters = terraform.output("clusters").await;
    assert_eq!(clusters["dev/main"]["pod_vrf"], "dev", "{clusters}");
    assert_eq!(clusters["stage/main"]["pod_vrf"], "stage");
    let nodes = "select count(*) from block join pool_range using (range_id) join pool using (pool_id) \
        where pool.name = 'primary'";
    assert_eq!(stack.count(nodes).await, 3);
    // The same pod addresses in both, and nobody took any from the pool of default.
    let twice = "select count(*) from block one, block other where one.cidr && other.cidr and one.range_id < other.range_id";
    assert!(stack.count(twice).await > 0);
    let own = "select count(*) from block join pool_range using (range_id) join pool using (pool_id) join vrf on \
        vrf.vrf_id = pool.vrf_id where pool.name = 'cgnat' and vrf.name = 'default'";
    assert_eq!(stack.count(own).await, 0);
    terraform.destroy().await.succeeded();
    assert_eq!(stack.count("select count(*) from vrf").await, 1);
}

#[tokio::test]
async fn data_sources_show_what_changes_by_itself() {
    let stack = Stack::start().await;
    stack
        .api(
            Method::POST,
            "vrfs",
            json!({"name": "dev", "labels": {"env": "dev"}}),
        )
        .await;
    let pool = json!({"name": "cgnat", "vrf": "dev", "ranges": ["100.64.0.0/10"], "labels": {"tier": "pods"}});
    stack.api(Method::POST, "pools", pool).await;
    let six = json!({"name": "six", "ranges": ["2001:db8::/36"], "min_prefix_length": 64, "max_prefix_length": 64});
    stack.api(Method::POST, "pools", six).await;
    let vpc = json!({"name": "dev", "vrf": "dev"});
    stack.api(Method::POST, "vpcs", vpc).await;
    let reserved =
        json!({"cidr": "10.0.240.0/20", "reason": "Data centre", "labels": {"site": "fra1"}});
    stack.api(Method::POST, "reservations", reserved).await;
    let ask = json!({"vpc": "dev", "name": "a", "prefix_length": 20});
    stack.api(Method::POST, "allocations", ask).await;
    let terraform = stack.workspace();
    let data = |ty: &str, name: &str, by: &str| format!("data \"{ty}\" \"{name}\" {{\n{by}\n}}\n");
    terraform.write(
        &[
            data("ipam_vrf", "dev", "name = \"dev\""),
            data("ipam_vrf", "same", "id = data.ipam_vrf.dev.id"),
            data("ipam_pool", "dev", "vrf = \"dev\"\nname = \"cgnat\""),
            data("ipam_pool", "same", "id = data.ipam_pool.dev.id"),
            data("ipam_pool", "six", "name = \"six\""),
            data("ipam_pools", "all", ""),
            data("ipam_pools", "dev", "vrf = \"dev\""),
            data("ipam_pools", "pods", "label = \"tier=pods\""),
            data("ipam_pools", "none", "label = \"tier=nodes\""),
            data("ipam_profile", "one", "name = \"node-pod\""),
            data("ipam_vpc", "dev", "name = \"DEV\""),
            data("ipam_reservation", "one", "cidr = \"10.0.240.0/20\""),
        ]
        .concat(),
    );
    terraform.apply().await.succeeded();
    let vrf = terraform.show("data.ipam_vrf.dev").await;
    assert_eq!(vrf["labels"], json!({"env": "dev"}));
    assert_eq!((&vrf["pools"], &vrf["vpcs"]), (&json!(1), &json!(1)));
    assert_eq!(terraform.show("data.ipam_vrf.same").await["name"], "dev");
    let pool = terraform.show("data.ipam_pool.dev").await;
    assert_eq!(pool["total_addresses"], 1 << 22);
    assert_eq!(pool["used_addresses"], 1 << 17);
    assert_eq!(pool["utilisation"], 0.03125);
    assert_eq!(pool["largest_free_prefix_length"], 11);
    assert_eq!(pool["free"][0], json!({"prefix_length": 11, "count": 1}));
    assert_eq!(
        terraform.show("data.ipam_pool.same").await["free"],
        pool["free"]
    );
    // More than any 64-bit number: the leading digits are there.
    let six = fs::read_to_string(terraform.path("terraform.tfstate")).unwrap();
    assert!(
        six.contains("\"total_addresses\": 4951760157141521"),
        "{six}"
    );
    for (name, count) in [("all", 4), ("dev", 1), ("pods", 1), ("none", 0)] {
        let found = terraform.show(&format!("data.ipam_pools.{name}")).await;
        assert_eq!(found["pools"].as_array().unwrap().len(), count, "{name}");
    }
    let profile = terraform.show("data.ipam_profile.one").await;
    assert_eq!(profile["allocations"], 1);
    assert_eq!(profile["members"][1]["size_offset"], -5);
    let vpc = terraform.show("data.ipam_vpc.dev").await;
    assert_eq!(
        (&vpc["vrf"], &vpc["allocations"]),
        (&json!("dev"), &json!(1))
    );
    let reservation = terraform.show("data.ipam_reservation.one").await;
    assert_eq!(reservation["pools"], json!(["primary"]));
    for (ty, by, says) in [
        ("ipam_vrf", "", "exactly one of id and name"),
        ("ipam_vrf", "name = \"x\"", "has no VRF x"),
        ("ipam_pool", "name = \"cgnat\"", "Several VRFs have one"),
        (
            "ipam_pool",
            "name = \"x\"\nvrf = \"dev\"",
            "has no pool x in the VRF dev",
        ),
        ("ipam_pool", "vrf = \"dev\"", "exactly one of id and name"),
        ("ipam_vpc", "id = \"x\"", "invalid"),
        (
            "ipam_reservation",
            "cidr = \"10.0.240.0/21\"",
            "has no reservation",
        ),
        ("ipam_pools", "label = \"x\"", "not key=value"),
    ] {
        terraform.write(&data(ty, "none", by));
        terraform.plan().await.failed().says(says);
    }
}

fn example(file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}
