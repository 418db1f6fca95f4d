//! An address plan as a platform team has it: two VRFs, pools of pools, a profile of four members, and forty VPCs with a
//! cluster each. It is applied, moved to other addresses in the configuration, imported with configuration that Terraform
//! writes, and destroyed.

use std::fmt::Write as _;

use crate::stack::Stack;

const VPCS: usize = 40;
/// Each VRF has four pools and two that are cut from one of them.
const RESOURCES: usize = 2 + 2 * 6 + 1 + 2 * VPCS;

/// The addresses of VPCs and clusters begin so.
struct Names {
    vpc: &'static str,
    cluster: &'static str,
    /// How many clusters are called so; the others are called `c`.
    renamed: usize,
}

impl Names {
    fn cluster(&self, index: usize) -> String {
        let name = if index < self.renamed {
            self.cluster
        } else {
            "c"
        };
        format!("{name}{index}")
    }
}

fn config(names: &Names) -> String {
    let mut text = String::new();
    for vrf in ["one", "two"] {
        write!(
            text,
            "resource \"ipam_vrf\" \"{vrf}\" {{\n  name = \"{vrf}\"\n}}\n"
        )
        .unwrap();
        for (pool, range) in [
            ("nodes", "10.0.0.0/12"),
            ("pods", "100.64.0.0/10"),
            ("databases", "172.16.0.0/14"),
            ("public", "192.168.0.0/17"),
        ] {
            write!(
                text,
                "resource \"ipam_pool\" \"{vrf}_{pool}\" {{\n  name = \"{pool}\"\n  vrf = ipam_vrf.{vrf}.name\n  \
                 ranges = [\"{range}\"]\n}}\n"
            )
            .unwrap();
        }
        for (pool, ranges) in [
            ("team_a", "ranges = [\"172.20.0.0/18\"]"),
            ("team_b", "range_prefix_lengths = [20, 22]"),
        ] {
            let ranges = ranges.replace("172.20", "172.17");
            write!(
                text,
                "resource \"ipam_pool\" \"{vrf}_{pool}\" {{\n  name = \"{pool}\"\n  vrf = ipam_vrf.{vrf}.name\n  \
                 parent = ipam_pool.{vrf}_databases.id\n  {ranges}\n}}\n"
            )
            .unwrap();
        }
    }
    text += "resource \"ipam_profile\" \"four\" {\n  name = \"four\"\n  members = [\n    { role = \"nodes\", pool = \"nodes\" },\n    \
             { role = \"pods\", pool = \"pods\", size_offset = -5 },\n    { role = \"databases\", pool = \"databases\", size_offset = 2 },\n    \
             { role = \"public\", pool = \"public\", min_prefix_length = 28, max_prefix_length = 28 },\n  ]\n}\n";
    for index in 0..VPCS {
        let vrf = if index % 2 == 0 { "one" } else { "two" };
        let (vpc, cluster) = (names.vpc, names.cluster(index));
        write!(
            text,
            "resource \"ipam_vpc\" \"{vpc}{index}\" {{\n  name = \"vpc-{index}\"\n  vrf = ipam_vrf.{vrf}.name\n}}\n\
             resource \"ipam_allocation\" \"{cluster}\" {{\n  vpc = ipam_vpc.{vpc}{index}.name\n  name = \"cluster\"\n  \
             profile = ipam_profile.four.name\n  prefix_length = 24\n  labels = {{ index = \"{index}\" }}\n  depends_on = [\n    \
             ipam_pool.{vrf}_nodes, ipam_pool.{vrf}_pods, ipam_pool.{vrf}_databases, ipam_pool.{vrf}_public,\n  ]\n}}\n"
        )
        .unwrap();
    }
    text
}

/// A block for everything.
fn imports() -> String {
    let mut all = vec![("profile".to_owned(), "four".to_owned(), "four".to_owned())];
    for vrf in ["one", "two"] {
        all.push(("vrf".into(), vrf.into(), vrf.into()));
        for pool in ["nodes", "pods", "databases", "public", "team_a", "team_b"] {
            all.push((
                "pool".into(),
                format!("{vrf}_{pool}"),
                format!("{vrf}/{pool}"),
            ));
        }
    }
    for index in 0..VPCS {
        all.push(("vpc".into(), format!("v{index}"), format!("vpc-{index}")));
        all.push((
            "allocation".into(),
            format!("c{index}"),
            format!("vpc-{index}/cluster"),
        ));
    }
    assert_eq!(all.len(), RESOURCES);
    let block = |(kind, name, id): &(String, String, String)| {
        format!("import {{\n  to = ipam_{kind}.{name}\n  id = \"{id}\"\n}}\n")
    };
    all.iter().map(block).collect()
}

#[tokio::test]
async fn plan_is_applied_moved_imported_and_destroyed() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let names = Names {
        vpc: "v",
        cluster: "c",
        renamed: 0,
    };
    terraform.write(&config(&names));
    terraform
        .apply()
        .await
        .succeeded()
        .says(&format!("{RESOURCES} added"));
    terraform.plan_is_empty().await;
    let blocks = "select count(*) from block where allocation_id is not null";
    assert_eq!(stack.count(blocks).await, 4 * 40);
    let mut before = terraform.ids().await;

    // 40 VPCs and 34 clusters get another address.
    let names = Names {
        vpc: "w",
        cluster: "d",
        renamed: 34,
    };
    let mut moved = String::new();
    for index in 0..VPCS {
        write!(
            moved,
            "moved {{\n  from = ipam_vpc.v{index}\n  to = ipam_vpc.w{index}\n}}\n"
        )
        .unwrap();
    }
    for index in 0..names.renamed {
        write!(
            moved,
            "moved {{\n  from = ipam_allocation.c{index}\n  to = ipam_allocation.d{index}\n}}\n"
        )
        .unwrap();
    }
    assert_eq!(moved.matches("moved {").count(), 74);
    terraform.write(&(config(&names) + &moved));
    let run = terraform.plan_changes().await;
    run.says("0 to add, 0 to change, 0 to destroy");
    terraform
        .apply()
        .await
        .succeeded()
        .says("0 added, 0 changed, 0 destroyed");
    terraform.plan_is_empty().await;
    let mut after = terraform.ids().await;
    before.sort();
    after.sort();
    assert_eq!(after, before);

    let other = stack.workspace();
    other.write(&imports());
    let generate = [
        "plan",
        "-no-color",
        "-input=false",
        "-generate-config-out=generated.tf",
    ];
    let all = format!("{RESOURCES} to import, 0 to add, 0 to change, 0 to destroy");
    other.terraform(&generate).await.succeeded().says(&all);
    let all = format!("{RESOURCES} imported, 0 added, 0 changed, 0 destroyed");
    other.apply().await.succeeded().says(&all);
    other.plan_is_empty().await;
    let mut imported = other.ids().await;
    imported.sort();
    assert_eq!(imported, before);

    terraform.plan_is_empty().await;
    terraform
        .destroy()
        .await
        .succeeded()
        .says(&format!("{RESOURCES} destroyed"));
    let left = "select (select count(*) from allocation) + (select count(*) from vpc) \
                + (select count(*) from vrf where name <> 'default') \
                + (select count(*) from pool where name not in ('primary', 'cgnat')) \
                + (select count(*) from profile where name <> 'node-pod')";
    assert_eq!(stack.count(left).await, 0);
}
