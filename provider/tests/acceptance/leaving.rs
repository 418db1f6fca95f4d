//! The end of things: a destroy that a plan can't stand in the way of, and a replacement that does not delete itself.

use reqwest::Method;
use serde_json::json;

use crate::stack::{Stack, allocation};

#[tokio::test]
async fn a_destroy_does_not_mind_what_the_configuration_could_not_become() {
    let stack = Stack::start().await;
    let other = json!({"vpc": "stage", "name": "neighbour", "cidr": "10.0.9.0/24"});
    stack.api(Method::POST, "allocations", other).await;
    for destroy in [
        &["destroy", "-no-color", "-input=false", "-auto-approve"][..],
        &[
            "apply",
            "-destroy",
            "-no-color",
            "-input=false",
            "-auto-approve",
        ],
    ] {
        for size in [
            "prefix_length = 23",
            "cidr = \"10.0.8.0/23\"",
            "prefix_length = 25\nexclude_cidrs = [\"10.0.8.0/26\"]",
        ] {
            let terraform = stack.workspace();
            terraform.write(&allocation("a", "cidr = \"10.0.8.0/24\""));
            terraform.apply().await.succeeded();
            terraform.write(&allocation("a", size));
            if !size.contains("exclude") {
                terraform.plan().await.failed().says("neighbour");
            }
            terraform.terraform(destroy).await.succeeded();
            assert_eq!(stack.allocations().await, 1, "{size}");
        }
    }
}

const REPLACE: [&str; 6] = [
    "apply",
    "-no-color",
    "-input=false",
    "-auto-approve",
    "-refresh=false",
    "-replace=ipam_allocation.a",
];

#[tokio::test]
async fn a_successor_is_not_its_own_predecessor() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let first = "prefix_length = 24\nlifecycle {\n  create_before_destroy = true\n}";
    terraform.write(&allocation("a", first));
    terraform.apply().await.succeeded();
    let id = terraform.ids().await;
    for _ in 0..2 {
        terraform
            .terraform(&REPLACE)
            .await
            .failed()
            .says("create_before_destroy needs a name that changes with it");
        assert_eq!(stack.allocations().await, 1);
        assert_eq!(terraform.ids().await, id);
    }
    terraform.plan_is_empty().await;
    // What it says to do.
    terraform.write(&allocation("a", first).replace("name = \"a\"", "name = \"a-2\""));
    terraform.terraform(&REPLACE).await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(stack.allocations().await, 1);
    // The other order needs nothing.
    terraform.write(&allocation("a", "prefix_length = 24"));
    terraform.apply().await.succeeded();
    terraform.terraform(&REPLACE).await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(stack.allocations().await, 1);
}

#[tokio::test]
async fn another_address_does_not_take_over_what_the_first_is_about_to_release() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation("a", "prefix_length = 24"));
    for refresh in ["-refresh=false", "-refresh=true"] {
        terraform.apply().await.succeeded();
        let body = allocation("a", "prefix_length = 24");
        for address in ["b", "a"] {
            terraform.write(&body.replace(
                "\"ipam_allocation\" \"a\"",
                &format!("\"ipam_allocation\" \"{address}\""),
            ));
            // In whichever order the two are carried out.
            terraform
                .terraform(&[
                    "apply",
                    "-no-color",
                    "-input=false",
                    "-auto-approve",
                    refresh,
                ])
                .await
                .succeeded()
                .says("1 added, 0 changed, 1 destroyed");
            assert_eq!(stack.allocations().await, 1, "{address} {refresh}");
            let kept = "select count(*) from block";
            assert_eq!(stack.count(kept).await, 2);
        }
        terraform.plan_is_empty().await;
    }
}

#[tokio::test]
async fn what_is_in_the_way_and_goes_too_is_waited_for() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    // Nothing refers to anything, but for the order in which they are made.
    let names = [
        "ipam_vrf.v",
        "ipam_pool.p",
        "ipam_pool.c",
        "ipam_vpc.v",
        "ipam_profile.p",
    ];
    let bodies = [
        "name = \"dev\"",
        "name = \"wide\"\nvrf = \"dev\"\nranges = [\"10.64.0.0/16\"]",
        "name = \"team\"\nvrf = \"dev\"\nparent = \"wide\"\nrange_prefix_lengths = [20]",
        "name = \"prod\"\nvrf = \"dev\"",
        "name = \"flat\"\nmembers = [{ role = \"main\", pool = \"team\" }]",
    ];
    let mut config = String::new();
    let write = |address: &str, body: &str| {
        let (ty, name) = address.split_once('.').unwrap();
        format!("resource \"{ty}\" \"{name}\" {{\n{body}\n}}\n")
    };
    for (address, body) in names.iter().zip(bodies) {
        config += &write(address, body);
        terraform.write(&config);
        terraform.apply().await.succeeded();
    }
    config += &write(
        "ipam_reservation.r",
        "cidr = \"10.64.200.0/24\"\nvrf = \"dev\"\nreason = \"Test\"",
    );
    config += &write(
        "ipam_allocation.a",
        "vpc = \"prod\"\nname = \"a\"\nprofile = \"flat\"\nprefix_length = 24",
    );
    terraform.write(&config);
    terraform.apply().await.succeeded();
    terraform.destroy().await.succeeded();
    assert_eq!(stack.count("select count(*) from vrf").await, 1);
    assert_eq!(stack.count("select count(*) from profile").await, 1);
}
