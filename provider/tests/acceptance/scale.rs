//! Many at once.

use std::time::{Duration, Instant};

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
