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
/// second here. How the plan compares with the built-in `terraform_data` is measured by `cargo bench --bench terraform`.
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

/// How many requests the server has answered.
async fn requests(stack: &Stack) -> u64 {
    _ = rustls::crypto::ring::default_provider().install_default();
    let text = reqwest::Client::new()
        .get(format!("{}/metrics", stack.server.url()))
        .bearer_auth(ipam_testing::TestServer::API_KEY)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    let counts = text
        .lines()
        .filter(|line| line.starts_with("ipam_http_requests_total{"));
    counts
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

#[tokio::test]
async fn a_plan_reads_and_confirms_many_at_once() {
    let stack = Stack::start().await;
    // Others use the server too.
    let other = stack.workspace();
    other.write(&many(30).replace("\"prod\"", "\"other\""));
    other.apply().await.succeeded();
    let terraform = stack.workspace();
    terraform.write(&many(300));
    terraform.apply().await.succeeded();
    assert_eq!(stack.count(CONFIRMED).await, 0);
    let before = requests(&stack).await;
    terraform.plan_is_empty().await;
    // The scrape itself counts.
    let made = requests(&stack).await - before - 1;
    assert!(made <= 20, "{made} requests");
    assert_eq!(
        stack.count(CONFIRMED).await,
        300,
        "the plan confirms all that the state holds"
    );

    // What became of them meanwhile is seen all the same, each in its own way.
    let gone = terraform.show("ipam_allocation.a[7]").await;
    let path = format!("allocations/{}", gone["id"].as_str().unwrap());
    stack.api(Method::DELETE, &path, json!({})).await;
    let changed = terraform.show("ipam_allocation.a[8]").await;
    let path = format!("allocations/{}", changed["id"].as_str().unwrap());
    let patch = json!({"description": "by hand"});
    stack.api(Method::PATCH, &path, patch).await;
    let plan = terraform.plan_changes().await;
    plan.says("1 to add, 1 to change, 0 to destroy")
        .says("by hand");
}

/// Whatever the order of its list: pools stand in it by their names, the others by their age.
#[tokio::test]
async fn every_noun_is_read_many_at_once() {
    const MANY: usize = 40;
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let places = [
        ("vrf", "name = \"v${count.index}\""),
        ("vpc", "name = \"c${count.index}\""),
        (
            "pool",
            "name = \"p${count.index}\"\n  ranges = [\"10.${count.index}.0.0/16\"]\n  \
            vrf = ipam_vrf.a[count.index].name\n  min_prefix_length = 20\n  max_prefix_length = 26",
        ),
        (
            "profile",
            "name = \"f${count.index}\"\n  members = [{ role = \"nodes\", pool = \"primary\", \
            min_prefix_length = 20, max_prefix_length = 26 }]",
        ),
        (
            "reservation",
            "cidr = \"192.168.${count.index}.0/24\"\n  reason = \"taken\"",
        ),
    ];
    let config: String = places
        .iter()
        .map(|(noun, body)| {
            format!("resource \"ipam_{noun}\" \"a\" {{\n  count = {MANY}\n  {body}\n}}\n")
        })
        .collect();
    terraform.write(&config);
    terraform.apply().await.succeeded();
    let before = requests(&stack).await;
    terraform.plan_is_empty().await;
    let made = requests(&stack).await - before - 1;
    // A few by themselves, a page, and the claims.
    assert!(made <= 10 * places.len() as u64, "{made} requests");
}

#[tokio::test]
async fn a_plan_of_many_new_ones_asks_for_many_at_once() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&many(200));
    let before = requests(&stack).await;
    terraform.plan_changes().await.says("200 to add");
    let made = requests(&stack).await - before - 1;
    assert!((2..=60).contains(&made), "{made} requests");
}

const CONFIRMED: &str = "select count(*) from allocation where confirmed_at is not null";

#[tokio::test]
async fn what_was_adopted_meanwhile_is_noticed_in_a_page_too() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&many(50));
    terraform.apply().await.succeeded();
    // A copy of the configuration with a state of its own, before the first one was refreshed.
    let copy = stack.workspace();
    copy.write(&many(50));
    copy.apply().await.succeeded().says("was there already");
    copy.plan_is_empty().await;
    assert_eq!(stack.count(CONFIRMED).await, 50);
    let run = terraform.plan().await.failed();
    assert_eq!(
        run.times("was adopted by somebody else"),
        50,
        "{}",
        run.text
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
