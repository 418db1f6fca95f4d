//! What the plan of a new allocation knows: that it can't be made, and what follows from the configuration.

use reqwest::Method;
use serde_json::json;

use crate::stack::{Stack, allocation};

/// A pool with room for two blocks.
async fn small(stack: &Stack) {
    let pool = json!({
        "name": "small", "ranges": ["10.200.0.0/27"], "min_prefix_length": 28, "max_prefix_length": 28,
        "required_labels": {"team": []}
    });
    stack.api(Method::POST, "pools", pool).await;
}

fn from_small(name: &str, more: &str) -> String {
    let attributes =
        format!("pools = [\"small\"]\nprefix_length = 28\nlabels = {{ team = \"a\" }}\n{more}");
    allocation(name, &attributes)
}

#[tokio::test]
async fn what_cant_be_made_fails_in_the_plan_in_the_words_of_the_apply() {
    let stack = Stack::start().await;
    small(&stack).await;
    let taken = json!({"vpc": "prod", "name": "taken", "prefix_length": 24});
    stack.api(Method::POST, "allocations", taken).await;
    for name in ["x", "y"] {
        let ask = json!({"vpc": "other", "name": name, "prefix_length": 28, "pools": ["small"], "labels": {"team": "a"}});
        stack.api(Method::POST, "allocations", ask).await;
    }
    let terraform = stack.workspace();
    for (body, says) in [
        (from_small("a", ""), "small"),
        (
            allocation("a", "pools = [\"small\"]\nprefix_length = 28"),
            "team",
        ),
        (
            allocation("a", "pools = [\"nowhere\"]\nprefix_length = 28"),
            "nowhere",
        ),
        (
            allocation("a", "profile = \"nowhere\"\nprefix_length = 28"),
            "nowhere",
        ),
        (
            allocation("a", "vrf = \"nowhere\"\nprefix_length = 24"),
            "nowhere",
        ),
        (allocation("taken", "prefix_length = 25"), "taken"),
        (
            allocation(
                "a",
                "pools = [\"small\"]\nprefix_length = 24\nlabels = { team = \"a\" }",
            ),
            "/24",
        ),
    ] {
        terraform.write(&body);
        terraform
            .plan()
            .await
            .failed()
            .says("Can't create the allocation prod/")
            .says(says)
            .says("on main.tf line");
        assert_eq!(stack.allocations().await, 3);
    }
    // What can't be made keeps nobody from destroying the rest.
    terraform.destroy().await.succeeded();
}

#[tokio::test]
async fn an_interrupted_creation_is_no_obstacle() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(&allocation("a", "prefix_length = 24"));
    terraform.apply().await.succeeded();
    std::fs::remove_file(terraform.path("terraform.tfstate")).unwrap();
    terraform.plan_changes().await.says("1 to add");
    terraform
        .apply()
        .await
        .succeeded()
        .says("was there already");
    assert_eq!(stack.allocations().await, 1);
}

#[tokio::test]
async fn what_this_run_makes_is_not_missed() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let body = |allocation: &str| {
        format!(
            "resource \"ipam_vrf\" \"v\" {{\n  name = \"v\"\n}}\n\
             resource \"ipam_vpc\" \"w\" {{\n  name = \"w\"\n  vrf = ipam_vrf.v.name\n}}\n\
             resource \"ipam_pool\" \"p\" {{\n  name = \"p\"\n  vrf = ipam_vrf.v.name\n  ranges = [\"10.64.0.0/16\"]\n}}\n\
             resource \"ipam_profile\" \"f\" {{\n  name = \"f\"\n  members = [{{ role = \"only\", pool = \"p\" }}]\n  depends_on = [ipam_pool.p]\n}}\n\
             {allocation}"
        )
    };
    let literal = "resource \"ipam_allocation\" \"a\" {\n  vpc = \"w\"\n  name = \"a\"\n  pools = [\"p\"]\n  prefix_length = 24\n  depends_on = [ipam_vpc.w, ipam_pool.p]\n}\n\
                   resource \"ipam_allocation\" \"b\" {\n  vpc = \"w\"\n  name = \"b\"\n  profile = \"f\"\n  prefix_length = 24\n  depends_on = [ipam_vpc.w, ipam_profile.f]\n}\n";
    terraform.write(&body(literal));
    terraform.apply().await.succeeded().says("6 added");
    terraform.plan_is_empty().await;
    terraform.destroy().await.succeeded();
}

#[tokio::test]
async fn a_name_that_is_given_up_is_no_obstacle() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let named = |address: &str, name: &str, size: &str| {
        format!(
            "resource \"ipam_allocation\" \"{address}\" {{\n  vpc = \"prod\"\n  name = \"{name}\"\n  {size}\n}}\n"
        )
    };
    terraform.write(&named("one", "a", "prefix_length = 24"));
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    // Another one gets the name, and the first a new one.
    let both = named("one", "b", "prefix_length = 24") + &named("other", "a", "prefix_length = 25");
    terraform.write(&both);
    terraform
        .apply()
        .await
        .succeeded()
        .says("1 added, 1 changed");
    terraform.plan_is_empty().await;
    // At another address without a moved block, and so of another size.
    terraform.write(
        &(named("new", "b", "prefix_length = 26") + &named("other", "a", "prefix_length = 25")),
    );
    terraform
        .plan_changes()
        .await
        .says("1 to add, 0 to change, 1 to destroy");
    // Replaced by hand, and because of another network.
    terraform.write(&both);
    for refresh in ["-refresh=true", "-refresh=false"] {
        terraform
            .terraform(&[
                "apply",
                "-no-color",
                "-auto-approve",
                refresh,
                "-replace=ipam_allocation.other",
            ])
            .await
            .succeeded()
            .says("1 added, 0 changed, 1 destroyed");
    }
    terraform.write(
        &(named("one", "b", "cidr = \"10.0.100.0/24\"")
            + &named("other", "a", "prefix_length = 25")),
    );
    terraform
        .apply()
        .await
        .succeeded()
        .says("1 added, 0 changed, 1 destroyed");
    terraform.plan_is_empty().await;
    // What its successor can't have is no reason to release it.
    terraform.write(
        &(named("one", "b", "cidr = \"172.16.0.0/24\"")
            + &named("other", "a", "prefix_length = 25")),
    );
    terraform
        .plan()
        .await
        .failed()
        .says("Can't create the allocation prod/b");
}

#[tokio::test]
async fn a_full_pool_is_a_warning_where_the_plan_makes_room() {
    let stack = Stack::start().await;
    small(&stack).await;
    let terraform = stack.workspace();
    terraform.write(&(from_small("a", "") + &from_small("b", "")));
    terraform.apply().await.succeeded();
    terraform.write(&(from_small("a", "") + &from_small("c", "")));
    terraform
        .plan_changes()
        .await
        .says("Perhaps the allocation prod/c can't be created");
    terraform.write(&(from_small("a", "") + &from_small("b", "") + &from_small("c", "")));
    terraform
        .plan()
        .await
        .failed()
        .says("Can't create the allocation prod/c");
}

/// The roles of the blocks, so that `for_each` may go over them: of a profile that exists, of one that the same plan makes,
/// and of one that it changes; and the network that the configuration gives.
#[tokio::test]
async fn the_roles_of_a_profile_are_known_in_the_same_plan() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let config = |extra: &str| {
        format!(
            "resource \"ipam_profile\" \"f\" {{\n  name = \"services\"\n  members = [\n    \
             {{ role = \"nodes\", pool = \"primary\" }},\n    {{ role = \"services\", pool = \"cgnat\", size_offset = -5 }},{extra}\n  ]\n}}\n\
             locals {{\n  all = {{ built_in = ipam_allocation.a, own = ipam_allocation.b }}\n}}\n\
             resource \"ipam_allocation\" \"a\" {{\n  vpc = \"prod\"\n  name = \"a\"\n  cidr = \"10.0.8.0/24\"\n}}\n\
             resource \"ipam_allocation\" \"b\" {{\n  vpc = \"prod\"\n  name = \"b${{length(ipam_profile.f.members)}}\"\n  \
             profile = ipam_profile.f.name\n  prefix_length = 24\n}}\n\
             resource \"terraform_data\" \"each\" {{\n  for_each = merge([for which, made in local.all : {{\n    \
             for role, block in made.blocks : \"${{which}}-${{role}}\" => block.cidr\n  }}]...)\n  input = each.value\n}}\n\
             output \"given\" {{\n  value = ipam_allocation.a.blocks[\"primary\"].cidr\n}}\n"
        )
    };
    terraform.write(&config(""));
    let mut plan = terraform.plan_changes().await;
    for each in [
        "built_in-primary",
        "built_in-cgnat",
        "own-nodes",
        "own-services",
    ] {
        plan = plan.says(&format!("terraform_data.each[\"{each}\"]"));
    }
    plan.says("+ given = \"10.0.8.0/24\"").says("7 to add");
    terraform.apply().await.succeeded().says("7 added");
    terraform.plan_is_empty().await;
    // A member more, for a new allocation: what is there keeps its blocks.
    let longer = config("\n    { role = \"v\", pool = \"cgnat\", size_offset = -4 },");
    terraform.write(
        &longer
            .replace("\"ipam_allocation\" \"b\"", "\"ipam_allocation\" \"c\"")
            .replace("ipam_allocation.b", "ipam_allocation.c"),
    );
    terraform
        .plan_changes()
        .await
        .says("terraform_data.each[\"own-v\"]");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    terraform.destroy().await.succeeded();
}

#[tokio::test]
async fn what_follows_from_pools_is_known_in_the_same_plan() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(
        "resource \"ipam_pool\" \"p\" {\n  name = \"p\"\n  ranges = [\"10.64.0.0/16\"]\n}\n\
         resource \"ipam_allocation\" \"a\" {\n  vpc = \"prod\"\n  name = \"a\"\n  pools = [ipam_pool.p.name]\n  cidr = \"10.64.8.0/24\"\n}\n\
         resource \"terraform_data\" \"each\" {\n  for_each = ipam_allocation.a.blocks\n  input = { role = each.key, cidr = each.value.cidr, pool = each.value.pool }\n}\n\
         output \"from\" {\n  value = ipam_allocation.a.blocks[\"main\"].pool\n}\n",
    );
    terraform
        .plan_changes()
        .await
        .says("terraform_data.each[\"main\"]")
        .says("+ from = \"p\"");
    terraform.apply().await.succeeded().says("3 added");
    terraform.plan_is_empty().await;
    terraform.destroy().await.succeeded();
}

/// Everything, with values that are known only after apply, or only after validation.
fn known_late(part: &str, is_counted: bool) -> String {
    let late = |name: &str| format!("terraform_data.late.output.{name}");
    let counted = |_: &str| "join(\"\", [\"c\", count.index])".to_owned();
    let text = |name: &str| match is_counted {
        true => counted(name),
        false => late(name),
    };
    let network = |third: u8| match is_counted {
        true => format!("\"10.2${{count.index}}{third}.0.0/16\""),
        false => format!("\"10.1${{terraform_data.late.output.zero}}{third}.0.0/16\""),
    };
    let number = |name: &str, known: u8| match is_counted {
        true => format!("{known} + count.index"),
        false => late(name),
    };
    format!(
        r#"
resource "terraform_data" "late" {{
  input = {{ word = "late", zero = 0, twenty = 20, three = 3 }}
}}
resource "ipam_vrf" "v" {{
  count  = 1
  name   = "{part}"
  labels = {{ word = {word} }}
}}
resource "ipam_pool" "p" {{
  count             = 1
  name              = "{part}"
  ranges            = ["10.99.{unique}.0/24", {range}]
  min_prefix_length = {twenty}
  max_prefix_length = 26
  labels            = {{ word = {word} }}
  required_labels   = {{ word = [{word}] }}
}}
resource "ipam_pool" "child" {{
  count                = 1
  name                 = "{part}-child"
  parent               = ipam_pool.p[count.index].id
  range_prefix_lengths = [{twenty}]
}}
resource "ipam_pool" "named" {{
  count  = 1
  name   = "{part}-named"
  parent = ipam_pool.p[count.index].id
  ranges = [cidrsubnet({range}, 8, 255)]
}}
resource "ipam_profile" "f" {{
  count   = 1
  name    = "{part}"
  members = [
    {{ role = {word}, pool = ipam_pool.p[count.index].name, min_prefix_length = {twenty}, max_prefix_length = 26 }},
    {{ role = "other", pool = ipam_pool.p[count.index].name, size_offset = {three} }},
  ]
}}
resource "ipam_reservation" "r" {{
  count  = 1
  cidr   = {reserved}
  reason = {word}
  labels = {{ word = {word} }}
}}
resource "ipam_vpc" "c" {{
  count  = 1
  name   = "{part}"
  labels = {{ word = {word} }}
}}
resource "ipam_allocation" "profiled" {{
  count   = 1
  vpc     = ipam_vpc.c[count.index].name
  name    = "profiled"
  profile = ipam_profile.f[count.index].name
  labels  = {{ word = {word} }}
  hosts   = 1000
}}
resource "ipam_allocation" "pooled" {{
  count         = 1
  vpc           = ipam_vpc.c[count.index].name
  name          = "pooled"
  pools         = [{pool}]
  exclude_cidrs = [{excluded}]
  labels        = {{ word = {word} }}
  prefix_length = 26
  depends_on    = [ipam_pool.p]
}}
resource "ipam_allocation" "selected" {{
  count         = 1
  vpc           = ipam_vpc.c[count.index].name
  name          = "selected"
  pool_selector = {{ word = {word} }}
  labels        = {{ word = {word} }}
  prefix_length = 26
  depends_on    = [ipam_pool.p]
}}
"#,
        unique = u8::from(is_counted),
        word = text("word"),
        range = network(0),
        reserved = network(1),
        excluded = network(2),
        twenty = number("twenty", 20),
        three = number("three", 3),
        pool = match is_counted {
            true => "join(\"\", [\"count\", count.index == 0 ? \"\" : \"x\"])".to_owned(),
            false => late("word"),
        },
    )
}

/// Whatever a list or a map holds may be known only after apply, or only after validation, as `count.index` is.
#[tokio::test]
async fn what_is_known_late_may_stand_anywhere() {
    let stack = Stack::start().await;
    for (part, is_counted) in [("late", false), ("count", true)] {
        let terraform = stack.workspace();
        terraform.write(&known_late(part, is_counted));
        terraform
            .terraform(&["validate", "-no-color"])
            .await
            .succeeded();
        terraform.plan_changes().await.says("11 to add");
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
    }
}

/// Of every noun, whether one is looked up by itself or many in a list; and what the same run gives up is no obstacle.
#[tokio::test]
async fn a_taken_name_fails_in_the_plan() {
    let nouns = [
        ("ipam_vrf", "name = \"taken${count.index}\""),
        ("ipam_vpc", "name = \"taken${count.index}\""),
        (
            "ipam_pool",
            "name = \"taken${count.index}\"\n  ranges = [\"10.${count.index}.0.0/24\"]\n  vrf = \"own\"",
        ),
        (
            "ipam_profile",
            "name = \"taken${count.index}\"\n  members = [{ role = \"nodes\", pool = \"primary\" }]",
        ),
        (
            "ipam_reservation",
            "cidr = \"192.168.${count.index}.0/24\"\n  reason = \"taken\"",
        ),
    ];
    let many = |count: usize| -> String {
        let resources = nouns.map(|(ty, body)| {
            format!("resource \"{ty}\" \"a\" {{\n  count = {count}\n  {body}\n}}\n")
        });
        resources.concat()
    };
    let stack = Stack::start().await;
    stack
        .api(Method::POST, "vrfs", json!({"name": "own"}))
        .await;
    let other = stack.workspace();
    other.write(&many(8));
    other.apply().await.succeeded();
    let mine = stack.workspace();
    // Nobody has confirmed it yet: the apply may be given it.
    mine.write(&many(8));
    mine.plan_changes().await.says("40 to add");
    other.plan_is_empty().await;
    for (ty, body) in nouns {
        for count in [1, 8] {
            let word = ty.trim_start_matches("ipam_");
            mine.write(&format!(
                "resource \"{ty}\" \"a\" {{\n  count = {count}\n  {body}\n}}\n"
            ));
            let run = mine.plan().await.failed();
            let text = run.text.to_lowercase();
            assert!(
                text.contains(&format!("can't create the {word}"))
                    && text.contains("(claimed")
                    && text.contains("nothing was changed"),
                "{count} {ty}: {}",
                run.text
            );
        }
    }
    // All of them get the next name, so that each wants one that another one has.
    let shifted = many(8).replace("count.index}", "count.index + 1}");
    other.write(&shifted);
    other.plan_changes().await;
}
