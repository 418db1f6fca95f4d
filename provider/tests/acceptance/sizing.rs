//! The sizing table at every boundary, through terraform.

use serde_json::json;

use crate::stack::{Stack, allocation};

const TABLE: [(u32, u8); 14] = [
    (1, 26),
    (59, 26),
    (60, 25),
    (123, 25),
    (124, 24),
    (251, 24),
    (252, 23),
    (507, 23),
    (508, 22),
    (1019, 22),
    (1020, 21),
    (2043, 21),
    (2044, 20),
    (4091, 20),
];

#[tokio::test]
async fn every_boundary() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let hosts: Vec<u32> = TABLE.iter().map(|(hosts, _)| *hosts).collect();
    terraform.write(&format!(
        "locals {{\n  hosts = {hosts:?}\n}}\n\
         resource \"ipam_allocation\" \"a\" {{\n  for_each = {{ for hosts in local.hosts : tostring(hosts) => hosts }}\n  \
         vpc = \"prod\"\n  name = each.key\n  hosts = each.value\n}}\n\
         output \"sizes\" {{\n  value = [for hosts in local.hosts : [\n    \
         provider::ipam::prefix_for_hosts(hosts),\n    ipam_allocation.a[tostring(hosts)].prefix_length,\n    \
         tonumber(split(\"/\", ipam_allocation.a[tostring(hosts)].blocks[\"primary\"].cidr)[1]),\n    \
         tonumber(split(\"/\", ipam_allocation.a[tostring(hosts)].blocks[\"cgnat\"].cidr)[1]),\n    \
         provider::ipam::usable_hosts(ipam_allocation.a[tostring(hosts)].prefix_length) >= hosts,\n  ]]\n}}\n"
    ));
    terraform.apply().await.succeeded();
    let expected: Vec<_> = TABLE
        .iter()
        .map(|(_, length)| json!([length, length, length, length - 5, true]))
        .collect();
    assert_eq!(terraform.output("sizes").await, json!(expected));
    assert_eq!(stack.allocations().await, 14);
    terraform.plan_is_empty().await;
}

#[tokio::test]
async fn one_more_than_the_most() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation("a", "hosts = 4092"));
    terraform
        .plan()
        .await
        .failed()
        .says("4092 hosts are too many")
        .says("4091 hosts");
    for (call, says) in [
        ("prefix_for_hosts(4092)", "4092 hosts are too many"),
        ("prefix_for_hosts(0)", "at least 1 host"),
        ("prefix_for_hosts(1.5)", "whole number"),
        ("usable_hosts(33)", "IPv4 has 0 to 32"),
    ] {
        terraform.write(&format!(
            "output \"x\" {{\n  value = provider::ipam::{call}\n}}\n"
        ));
        terraform.plan().await.failed().says(says);
    }
}
