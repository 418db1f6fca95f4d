//! New names: what depends on what is renamed stays as it is, names may be swapped and move along a list, and the plan says
//! which ranges go where.

use serde_json::{Value as Json, json};

use crate::stack::{Stack, Workspace};

/// A pool `one` in a VRF and allocations from it, by its name; the names are arguments.
fn pools(one: &str, other: &str, rest: &str) -> String {
    format!(
        "resource \"ipam_pool\" \"one\" {{\n  name = \"{one}\"\n  ranges = [\"10.64.0.0/16\"]\n}}\n\
         resource \"ipam_pool\" \"other\" {{\n  name = \"{other}\"\n  ranges = [\"10.65.0.0/16\"]\n}}\n\
         resource \"ipam_allocation\" \"a\" {{\n  vpc = \"prod\"\n  name = \"a\"\n  pools = [ipam_pool.one.name]\n{rest}\n}}\n"
    )
}

/// Plans a change in place of that many, applies it, and nothing is left to do.
async fn changes_in_place(terraform: &Workspace, count: usize) {
    let plan = terraform.plan_changes().await;
    let plan = plan.says(&format!("0 to add, {count} to change, 0 to destroy"));
    plan.does_not_say("must be replaced");
    terraform.apply().await.succeeded().says("0 added");
    terraform.plan_is_empty().await;
}

#[tokio::test]
async fn a_renamed_pool_keeps_its_allocations() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&pools("n", "other", "  prefix_length = 24"));
    terraform.apply().await.succeeded();
    let first = terraform.show("ipam_allocation.a").await;
    for (one, other, rest, changed) in [
        ("m", "other", "  prefix_length = 24", 2),
        // With a change of size, of labels, of both names.
        ("n", "other", "  prefix_length = 23", 2),
        (
            "m",
            "else",
            "  prefix_length = 23\n  labels = { a = \"b\" }",
            3,
        ),
        // The two swap their names.
        (
            "else",
            "m",
            "  prefix_length = 23\n  labels = { a = \"b\" }",
            3,
        ),
        ("m", "else", "  prefix_length = 22", 3),
    ] {
        terraform.write(&pools(one, other, rest));
        changes_in_place(&terraform, changed).await;
        let now = terraform.show("ipam_allocation.a").await;
        assert_eq!(now["id"], first["id"], "{one}");
        assert_eq!(now["pools"], json!([one]));
        assert!(now["cidr"].as_str().unwrap().starts_with("10.64.0.0/"));
    }
    // Another pool is another pool, whether it was there or is made along with the change.
    for (pool, text) in [
        ("ipam_pool.other.name", ""),
        (
            "ipam_pool.new.name",
            "resource \"ipam_pool\" \"new\" {\n  name = \"new\"\n  ranges = [\"10.66.0.0/16\"]\n}\n",
        ),
    ] {
        let config = pools("m", "else", "  prefix_length = 22")
            .replace("[ipam_pool.one.name]", &format!("[{pool}]"));
        terraform.write(&format!("{config}{text}"));
        terraform
            .plan_changes()
            .await
            .says("which is not among them")
            .says("must be replaced");
    }
    // A name that nothing has: found out before anything is changed.
    terraform.write(
        &pools("m", "else", "  prefix_length = 22").replace("ipam_pool.one.name", "\"nowhere\""),
    );
    terraform
        .apply()
        .await
        .failed()
        .says("The pools of the allocation can't be changed")
        .says("from the pool m");
    terraform.write(&pools("m", "else", "  prefix_length = 22"));
    terraform.plan_is_empty().await;
    terraform.destroy().await.succeeded();
}

/// A stack in a VRF of its own, all by reference.
fn stack_of(names: [&str; 5], length: u8, labels: &str) -> String {
    let [vrf, pool, profile, vpc, name] = names;
    format!(
        "resource \"ipam_vrf\" \"v\" {{\n  name = \"{vrf}\"\n}}\n\
         resource \"ipam_pool\" \"p\" {{\n  name = \"{pool}\"\n  vrf = ipam_vrf.v.name\n  ranges = [\"10.64.0.0/16\"]\n}}\n\
         resource \"ipam_profile\" \"p\" {{\n  name = \"{profile}\"\n  members = [{{ role = \"main\", pool = ipam_pool.p.name }}]\n}}\n\
         resource \"ipam_vpc\" \"v\" {{\n  name = \"{vpc}\"\n  vrf = ipam_vrf.v.name\n}}\n\
         resource \"ipam_vpc\" \"w\" {{\n  name = \"w-{vpc}\"\n  vrf = ipam_vrf.v.name\n}}\n\
         resource \"ipam_allocation\" \"a\" {{\n  vpc = ipam_vpc.v.name\n  name = \"{name}\"\n  profile = ipam_profile.p.name\n  \
         prefix_length = {length}\n  labels = {labels}\n}}\n"
    )
}

#[tokio::test]
async fn everything_around_an_allocation_is_renamed_while_it_grows() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&stack_of(["v0", "p0", "f0", "c0", "a0"], 26, "{}"));
    terraform.apply().await.succeeded();
    let first = terraform.show("ipam_allocation.a").await;
    for (names, length, labels) in [
        (["v1", "p0", "f0", "c0", "a0"], 25, "{}"),
        (["v1", "p1", "f0", "c0", "a0"], 24, "{}"),
        (["v1", "p1", "f1", "c0", "a0"], 23, "{ a = \"b\" }"),
        (["v1", "p1", "f1", "c1", "a0"], 22, "{}"),
        (["v2", "p2", "f2", "c2", "a2"], 21, "{ a = \"b\" }"),
        (["v0", "p0", "f0", "c0", "a0"], 24, "{}"),
    ] {
        terraform.write(&stack_of(names, length, labels));
        terraform
            .plan_changes()
            .await
            .says("0 to add")
            .says("0 to destroy")
            .does_not_say("must be replaced")
            .does_not_say("known after apply");
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
        let now = terraform.show("ipam_allocation.a").await;
        assert_eq!(now["id"], first["id"]);
        assert_eq!(now["cidr"], format!("10.64.0.0/{length}"));
        assert_eq!(now["profile"], names[2]);
    }
    // Moved to another VPC of a VRF that is renamed, and resized, all at once; back without the VRF being part of the change.
    for (vrf, vpc, length) in [("v3", "w", 23), ("v3", "v", 22)] {
        let config = stack_of([vrf, "p0", "f0", "c0", "a0"], length, "{}");
        terraform.write(&config.replace(
            "vpc = ipam_vpc.v.name",
            &format!("vpc = ipam_vpc.{vpc}.name"),
        ));
        terraform
            .plan_changes()
            .await
            .says("0 to add")
            .does_not_say("must be replaced")
            .does_not_say("known after apply");
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
        assert_eq!(terraform.show("ipam_allocation.a").await["id"], first["id"]);
    }
    terraform.destroy().await.succeeded();
}

/// Two of everything that has a name; the flag swaps the names.
fn twins(swapped: bool) -> String {
    let [a, b] = if swapped { ["b", "a"] } else { ["a", "b"] };
    [("one", a, 64), ("other", b, 65)]
        .map(|(key, name, net)| {
            format!(
                "resource \"ipam_vrf\" \"{key}\" {{\n  name = \"{name}\"\n}}\n\
                 resource \"ipam_pool\" \"{key}\" {{\n  name = \"pool-{name}\"\n  ranges = [\"10.{net}.0.0/16\"]\n}}\n\
                 resource \"ipam_pool\" \"in_{key}\" {{\n  name = \"in\"\n  vrf = ipam_vrf.{key}.name\n  ranges = [\"10.{net}.0.0/16\"]\n}}\n\
                 resource \"ipam_pool\" \"child_{key}\" {{\n  name = \"child-{key}\"\n  parent = ipam_pool.{key}.name\n  ranges = [\"10.{net}.128.0/17\"]\n}}\n\
                 resource \"ipam_profile\" \"{key}\" {{\n  name = \"profile-{name}\"\n  members = [{{ role = \"main\", pool = ipam_pool.{key}.name }}]\n}}\n\
                 resource \"ipam_vpc\" \"{key}\" {{\n  name = \"vpc-{name}\"\n}}\n\
                 resource \"ipam_vpc\" \"in_{key}\" {{\n  name = \"in-{key}\"\n  vrf = ipam_vrf.{key}.name\n}}\n\
                 resource \"ipam_reservation\" \"{key}\" {{\n  cidr = \"172.16.{net}.0/24\"\n  vrf = ipam_vrf.{key}.name\n  reason = \"Test\"\n}}\n\
                 resource \"ipam_allocation\" \"{key}\" {{\n  vpc = \"prod\"\n  name = \"{name}\"\n  prefix_length = 24\n  profile = ipam_profile.{key}.name\n}}\n\
                 resource \"ipam_allocation\" \"of_{key}\" {{\n  vpc = ipam_vpc.{key}.name\n  name = \"x\"\n  prefix_length = 24\n  pools = [ipam_pool.{key}.name]\n}}\n"
            )
        })
        .concat()
}

#[tokio::test]
async fn names_are_swapped_and_nothing_else_changes() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&twins(false));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let addresses = [
        "ipam_vrf",
        "ipam_pool",
        "ipam_profile",
        "ipam_vpc",
        "ipam_allocation",
    ]
    .iter()
    .flat_map(|ty| ["one", "other"].map(|key| format!("{ty}.{key}")))
    .collect::<Vec<_>>();
    let mut before = Vec::new();
    for address in &addresses {
        before.push(terraform.show(address).await);
    }
    for swapped in [true, false] {
        terraform.write(&twins(swapped));
        terraform
            .plan_changes()
            .await
            .says("0 to add")
            .says("0 to destroy")
            .does_not_say("must be replaced");
        terraform.apply().await.succeeded().says("0 added");
        terraform.plan_is_empty().await;
        for (address, before) in addresses.iter().zip(&before) {
            let now = terraform.show(address).await;
            assert_eq!(now["id"], before["id"], "{address}");
            for kept in ["ranges", "cidr"] {
                assert_eq!(now[kept], before[kept], "{address}");
            }
            assert_eq!(now["name"] == before["name"], !swapped, "{address}");
        }
    }
    terraform.destroy().await.succeeded();
}

#[tokio::test]
async fn a_swap_that_can_not_be_leaves_everything_and_says_how() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let write = |a: &str, b: &str| {
        terraform.write(&format!(
            "resource \"ipam_vrf\" \"a\" {{\n  name = \"{a}\"\n}}\nresource \"ipam_vrf\" \"b\" {{\n  name = \"{b}\"\n}}\n"
        ));
    };
    write("a", "b");
    terraform.apply().await.succeeded();
    write("b", "a");
    let one_by_one = [
        "apply",
        "-no-color",
        "-input=false",
        "-auto-approve",
        "-parallelism=1",
    ];
    terraform
        .terraform(&one_by_one)
        .await
        .failed()
        .says("(name_taken")
        .says("a third name in between");
    assert_eq!(terraform.show("ipam_vrf.a").await["name"], "a");
    // What it says, and what works without.
    write("c", "a");
    for _ in 0..2 {
        terraform.terraform(&one_by_one).await;
    }
    terraform.plan_is_empty().await;
    write("b", "a");
    terraform.terraform(&one_by_one).await.succeeded();
    terraform.plan_is_empty().await;
    write("a", "b");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    // A name that somebody else has is refused, and nobody is renamed.
    let foreign = json!({"name": "foreign"});
    stack.api(reqwest::Method::POST, "vrfs", foreign).await;
    write("foreign", "b");
    terraform
        .apply()
        .await
        .failed()
        .says("(name_taken")
        .says("Choose another name");
    assert_eq!(
        stack
            .count("select count(*) from vrf where name in ('a', 'b', 'foreign')")
            .await,
        3
    );
}

fn list(names: &[&str], kind: &str) -> String {
    format!(
        "variable \"names\" {{\n  default = {names:?}\n}}\n\
         resource \"ipam_allocation\" \"n\" {{\n  count = length(var.names)\n  vpc = \"prod\"\n  name = var.names[count.index]\n  {kind}\n}}\n"
    )
}

const FIVE: [&str; 5] = ["n0", "n1", "n2", "n3", "n4"];
const FOUR: [&str; 4] = ["n0", "n2", "n3", "n4"];

async fn cidr(terraform: &Workspace, index: usize) -> Json {
    terraform.show(&format!("ipam_allocation.n[{index}]")).await["cidr"].clone()
}

#[tokio::test]
async fn a_list_that_loses_its_second_says_which_ranges_go_where() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&list(&FIVE, "prefix_length = 24"));
    terraform.apply().await.succeeded();
    let mut cidrs = Vec::new();
    for index in 0..5 {
        cidrs.push(cidr(&terraform, index).await);
    }
    terraform.write(&list(&FOUR, "prefix_length = 24"));
    let mut plan = terraform
        .plan_changes()
        .await
        .says("0 to add, 3 to change, 1 to destroy")
        .says("If a resource with count");
    for (index, names) in [(1, ["n1", "n2"]), (2, ["n2", "n3"]), (3, ["n3", "n4"])] {
        let text = format!("{} (primary)", cidrs[index].as_str().unwrap());
        plan = plan.says(&text).says(&format!(
            "will belong to prod/{} instead of prod/{}",
            names[1], names[0]
        ));
    }
    // Whoever means it can have it, in one apply.
    terraform
        .apply()
        .await
        .succeeded()
        .says("3 changed, 1 destroyed");
    terraform.plan_is_empty().await;
    for (index, before) in cidrs.iter().enumerate().take(4) {
        assert_eq!(&cidr(&terraform, index).await, before);
    }
}

#[tokio::test]
async fn a_setting_refuses_new_names_or_gives_them_new_ranges() {
    let stack = Stack::start().await;
    let terraform = stack.workspace().settings("rename = \"refuse\"");
    terraform.write(&list(&FIVE, "prefix_length = 24"));
    terraform.apply().await.succeeded();
    let mut ids = terraform.ids().await;
    terraform.write(&list(&FOUR, "prefix_length = 24"));
    let plan = terraform
        .plan()
        .await
        .failed()
        .says("The allocation prod/n1 would be renamed to prod/n2");
    plan.says("(primary)").says("for_each");
    assert_eq!(stack.allocations().await, 5);

    let terraform = terraform.settings("rename = \"replace\"");
    terraform.write(&list(&FOUR, "prefix_length = 24"));
    terraform
        .plan_changes()
        .await
        .says("3 to add, 0 to change, 4 to destroy")
        .says("are released, and others are taken");
    terraform.apply().await.succeeded().says("3 added");
    terraform.plan_is_empty().await;
    let now = terraform.ids().await;
    ids.retain(|id| now.contains(id));
    assert_eq!(ids.len(), 1, "only the first keeps what it had");
    assert_eq!(stack.allocations().await, 4);

    let terraform = terraform.settings("rename = \"sometimes\"");
    terraform.write(&list(&FOUR, "prefix_length = 24"));
    terraform
        .plan()
        .await
        .failed()
        .says("in_place, replace, refuse");
}

#[tokio::test]
async fn ranges_that_a_pool_got_by_size_go_along_with_its_name() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let write = |name: &str| {
        terraform.write(&format!(
            "resource \"ipam_pool\" \"team\" {{\n  name = \"{name}\"\n  parent = \"primary\"\n  range_prefix_lengths = [20]\n}}\n"
        ));
    };
    write("blue");
    terraform.apply().await.succeeded();
    let range = terraform.show("ipam_pool.team").await["ranges"][0].clone();
    write("green");
    let says = format!(
        "{} will belong to green instead of blue",
        range.as_str().unwrap()
    );
    terraform.plan_changes().await.says(&says);
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(terraform.show("ipam_pool.team").await["ranges"][0], range);
}
