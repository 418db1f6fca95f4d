//! Many at once.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::stack::{Stack, Workspace, allocation};

fn many(count: u32) -> String {
    allocation("a", &format!("count = {count}\nhosts = 50"))
        .replace("\"a\"\n", "\"a${count.index}\"\n")
}

#[tokio::test]
async fn two_hundred_at_parallelism_fifty() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&many(200));
    let parallel = |verb| terraform.terraform(verb);
    parallel(&["apply", "-no-color", "-auto-approve", "-parallelism=50"])
        .await
        .succeeded()
        .says("200 added");
    assert_eq!(stack.allocations().await, 200);
    assert_eq!(
        stack.count("select count(distinct cidr) from block").await,
        400
    );
    parallel(&["plan", "-no-color", "-detailed-exitcode", "-parallelism=50"])
        .await
        .succeeded()
        .says("No changes.");
    parallel(&["destroy", "-no-color", "-auto-approve", "-parallelism=50"])
        .await
        .succeeded()
        .says("200 destroyed");
    assert_eq!(stack.allocations().await, 0);
}

/// Guards against a delay for each resource, such as the 40 ms that small packets can cost: that would be at least a
/// second here. How the plan compares with the built-in `terraform_data` is measured by `cargo bench --bench plan`.
#[tokio::test]
async fn a_plan_does_not_wait_for_each_resource() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&many(200));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let plan = async |terraform: &Workspace, refresh: &str| {
        let began = Instant::now();
        terraform
            .terraform(&["plan", "-no-color", refresh])
            .await
            .succeeded();
        began.elapsed()
    };
    let mut waits = Vec::new();
    for _ in 0..3 {
        let without = plan(&terraform, "-refresh=false").await;
        waits.push(
            plan(&terraform, "-refresh=true")
                .await
                .saturating_sub(without),
        );
    }
    waits.sort();
    assert!(
        waits[1] < Duration::from_millis(800),
        "reading 200 allocations takes {waits:?}"
    );
}

/// As many as a large company has, in one data source and through all of terraform.
#[tokio::test]
async fn ten_thousand_in_a_list() {
    const PAGE: u32 = 1_000;
    let stack = Stack::start().await;
    let big = json!({"name": "big", "ranges": ["10.128.0.0/9"]});
    stack.api(Method::POST, "pools", big).await;
    for vpc in 0..10 {
        let ask = |i| json!({"vpc": format!("v{vpc}"), "name": format!("a{i}"), "prefix_length": 28, "pools": ["big"]});
        let requests: Vec<Json> = (0..PAGE).map(ask).collect();
        let batch = json!({"requests": requests});
        stack.api(Method::POST, "allocations/batch", batch).await;
    }
    let terraform = stack.workspace();
    terraform.write(
        "data \"ipam_allocations\" \"all\" {\n  pool = \"big\"\n}\n\
         output \"count\" {\n  value = length(data.ipam_allocations.all.allocations)\n}\n\
         output \"routes\" {\n  \
         value = provider::ipam::summarize(data.ipam_allocations.all.allocations[*].cidr)\n}\n",
    );
    let began = Instant::now();
    terraform.apply().await.succeeded();
    let took = began.elapsed();
    assert_eq!(terraform.output("count").await, json!(10 * PAGE));
    // 160,000 addresses, without a gap.
    assert_eq!(
        terraform.output("routes").await,
        json!([
            "10.128.0.0/15",
            "10.130.0.0/18",
            "10.130.64.0/19",
            "10.130.96.0/20",
            "10.130.112.0/24"
        ])
    );
    assert!(took < Duration::from_secs(60), "{took:?}");
}
