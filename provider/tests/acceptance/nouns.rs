//! VRFs, pools, profiles, reservations and VPCs from their first plan to their end.

use reqwest::Method;
use serde_json::{Value as Json, json};

use crate::stack::{Stack, Workspace};

/// A resource `one` of that type.
fn resource(ty: &str, attributes: &str) -> String {
    format!("resource \"{ty}\" \"one\" {{\n{attributes}\n}}\n")
}

async fn import(terraform: &Workspace, address: &str, id: &str) {
    terraform
        .terraform(&["import", "-no-color", "-input=false", address, id])
        .await
        .succeeded();
}

/// A noun, and how it looks at first and after changes in place.
struct Life {
    ty: &'static str,
    /// The configuration and what the state then shows, step by step.
    steps: Vec<(&'static str, Json)>,
    /// What it can be imported by at the end, beside its id.
    imports: Vec<&'static str>,
    /// The table that it lies in.
    count: &'static str,
}

async fn live(stack: &Stack, life: Life) {
    let terraform = stack
        .workspace()
        .settings("default_labels = { team = \"net\" }");
    let address = format!("{}.one", life.ty);
    let before = stack.count(life.count).await;
    let mut id = Json::Null;
    for (number, (config, shows)) in life.steps.iter().enumerate() {
        terraform.write(&resource(life.ty, config));
        let plan = terraform.plan_changes().await;
        if number == 0 {
            plan.says("Plan: 1 to add, 0 to change, 0 to destroy.");
        } else {
            plan.says("Plan: 0 to add, 1 to change, 0 to destroy.");
        }
        terraform.apply().await.succeeded();
        terraform.plan_is_empty().await;
        let shown = terraform.show(&address).await;
        for (name, value) in shows.as_object().unwrap() {
            assert_eq!(&shown[name], value, "{address}, {name}, step {number}");
        }
        if number > 0 {
            assert_eq!(shown["id"], id, "{address} stays");
        }
        id = shown["id"].clone();
        assert_eq!(stack.count(life.count).await, before + 1);
    }
    let by_id = id.as_str().unwrap();
    for by in life.imports.iter().copied().chain([by_id]) {
        terraform
            .terraform(&["state", "rm", &address])
            .await
            .succeeded();
        import(&terraform, &address, by).await;
        terraform.plan_is_empty().await;
        assert_eq!(terraform.show(&address).await["id"], id, "by {by}");
    }
    terraform.destroy().await.succeeded();
    assert_eq!(stack.count(life.count).await, before);
}

#[tokio::test]
async fn a_vrf() {
    let stack = Stack::start().await;
    let life = Life {
        ty: "ipam_vrf",
        steps: vec![
            (
                "name = \"dev\"",
                json!({"name": "dev", "labels": {}, "effective_labels": {"team": "net"}, "description": ""}),
            ),
            (
                "name = \"dev\"\nlabels = { env = \"dev\" }",
                json!({"effective_labels": {"team": "net", "env": "dev"}}),
            ),
            (
                "name = \"develop\"\ndescription = \"Sandbox\"",
                json!({"name": "develop", "labels": {}, "description": "Sandbox"}),
            ),
        ],
        imports: vec!["develop"],
        count: "select count(*) from vrf",
    };
    live(&stack, life).await;
}

#[tokio::test]
async fn a_vpc() {
    let stack = Stack::start().await;
    stack
        .api(Method::POST, "vrfs", json!({"name": "dev"}))
        .await;
    let life = Life {
        ty: "ipam_vpc",
        steps: vec![
            (
                "name = \"Prod\"\nvrf = \"dev\"",
                json!({"name": "Prod", "vrf": "dev"}),
            ),
            (
                "name = \"stage\"\nvrf = \"dev\"\nlabels = { env = \"dev\" }\ndescription = \"Clusters\"",
                json!({"name": "stage", "labels": {"env": "dev"}, "description": "Clusters"}),
            ),
        ],
        imports: vec!["stage", "STAGE"],
        count: "select count(*) from vpc",
    };
    live(&stack, life).await;
}

#[tokio::test]
async fn a_pool() {
    let stack = Stack::start().await;
    let life = Life {
        ty: "ipam_pool",
        steps: vec![
            (
                "name = \"wide\"\nranges = [\"10.64.0.0/16\"]",
                json!({
                    "vrf": "default", "family": "ipv4", "parent": null, "parent_id": null,
                    "ranges": ["10.64.0.0/16"], "range_prefix_lengths": null,
                    "min_prefix_length": 0, "max_prefix_length": 32, "default_prefix_length": null,
                    "reserved_addresses": 5, "strategy": "best_fit", "release_cooldown_seconds": 0,
                    "required_labels": {},
                }),
            ),
            (
                "name = \"wide\"\nranges = [\"10.80.0.0/16\", \"10.64.0.0/16\"]\nmin_prefix_length = 20\n\
                 max_prefix_length = 28\ndefault_prefix_length = 24\nreserved_addresses = 3\nstrategy = \"sparse\"\n\
                 release_cooldown_seconds = 60\nrequired_labels = { env = [\"dev\", \"stage\"], team = [] }",
                json!({
                    "ranges": ["10.64.0.0/16", "10.80.0.0/16"], "max_prefix_length": 28,
                    "default_prefix_length": 24, "strategy": "sparse",
                    "required_labels": {"env": ["dev", "stage"], "team": []},
                }),
            ),
            (
                "name = \"wider\"\nranges = [\"10.80.0.0/16\"]\nlabels = { tier = \"private\" }\ndescription = \"Wide\"",
                json!({
                    "name": "wider", "ranges": ["10.80.0.0/16"], "min_prefix_length": 0, "max_prefix_length": 32,
                    "default_prefix_length": null, "required_labels": {}, "labels": {"tier": "private"},
                }),
            ),
        ],
        imports: vec!["default/wider", "wider"],
        count: "select count(*) from pool",
    };
    live(&stack, life).await;
}

#[tokio::test]
async fn a_pool_of_ipv6() {
    let stack = Stack::start().await;
    let life = Life {
        ty: "ipam_pool",
        steps: vec![
            (
                "name = \"six\"\nfamily = \"ipv6\"",
                json!({"family": "ipv6", "ranges": [], "max_prefix_length": 128}),
            ),
            (
                "name = \"six\"\nranges = [\"2001:db8::/36\"]\nmin_prefix_length = 64\nmax_prefix_length = 64",
                json!({"family": "ipv6", "ranges": ["2001:db8::/36"]}),
            ),
        ],
        imports: vec!["default/six"],
        count: "select count(*) from pool",
    };
    live(&stack, life).await;
}

#[tokio::test]
async fn a_profile() {
    let stack = Stack::start().await;
    let life = Life {
        ty: "ipam_profile",
        steps: vec![
            (
                "name = \"flat\"\nmembers = [{ role = \"nodes\", pool = \"primary\" }]",
                json!({"members": [{
                    "role": "nodes", "pool": "primary", "size_offset": 0, "min_prefix_length": 0,
                    "max_prefix_length": 128,
                }]}),
            ),
            (
                "name = \"pair\"\ndescription = \"Two\"\nmembers = [\n  { role = \"nodes\", pool = \"primary\", \
                 min_prefix_length = 20, max_prefix_length = 26 },\n  { role = \"pods\", pool = \"cgnat\", size_offset = \
                 -5 },\n]",
                json!({"name": "pair", "description": "Two", "members": [
                    {"role": "nodes", "pool": "primary", "size_offset": 0, "min_prefix_length": 20,
                     "max_prefix_length": 26},
                    {"role": "pods", "pool": "cgnat", "size_offset": -5, "min_prefix_length": 0,
                     "max_prefix_length": 128},
                ]}),
            ),
        ],
        imports: vec!["pair"],
        count: "select count(*) from profile",
    };
    live(&stack, life).await;
}

#[tokio::test]
async fn a_reservation() {
    let stack = Stack::start().await;
    let life = Life {
        ty: "ipam_reservation",
        steps: vec![
            (
                "cidr = \"10.0.64.0/20\"\nreason = \"Data centre\"",
                json!({"cidr": "10.0.64.0/20", "vrf": "default", "reason": "Data centre"}),
            ),
            (
                "cidr = \"10.0.64.0/20\"\nreason = \"Old data centre\"\nlabels = { site = \"fra1\" }",
                json!({"reason": "Old data centre", "labels": {"site": "fra1"}}),
            ),
        ],
        imports: vec!["10.0.64.0/20", "default/10.0.64.0/20"],
        count: "select count(*) from reservation",
    };
    live(&stack, life).await;
}

#[tokio::test]
async fn ranges_of_a_child_by_size() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let write = |parent: &str, lengths: &str| {
        terraform.write(&format!(
            "resource \"ipam_pool\" \"whole\" {{\n  name = \"whole\"\n  ranges = [\"10.64.0.0/12\"]\n}}\n\
             resource \"ipam_pool\" \"one\" {{\n  name = \"team\"\n  parent = {parent}\n  range_prefix_lengths = {lengths}\n}}\n"
        ));
    };
    let id = "ipam_pool.whole.id";
    write(id, "[20, 18]");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let first = terraform.show("ipam_pool.one").await;
    assert_eq!(first["ranges"].as_array().unwrap().len(), 2, "{first}");
    assert_eq!(first["range_prefix_lengths"], json!([20, 18]));
    assert_eq!(first["family"], "ipv4");
    // Their order, and another way to name the parent, mean nothing.
    write(id, "[18, 20]");
    terraform.plan_is_empty().await;
    write("\"whole\"", "[18, 20]");
    terraform.apply().await.succeeded().says("0 destroyed");
    terraform.plan_is_empty().await;
    assert_eq!(
        terraform.show("ipam_pool.one").await["ranges"],
        first["ranges"]
    );
    // One more: those that are there stay, as the plan says.
    write(id, "[18, 20, 20]");
    terraform
        .plan_changes()
        .await
        .says("Plan: 0 to add, 1 to change, 0 to destroy.");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let more = terraform.show("ipam_pool.one").await;
    assert_eq!(more["ranges"].as_array().unwrap().len(), 3);
    for range in first["ranges"].as_array().unwrap() {
        assert!(more["ranges"].as_array().unwrap().contains(range), "{more}");
    }
    // Imported, whichever way the parent is named.
    for (parent, by) in [(id, "default/team"), ("\"whole\"", "team")] {
        write(parent, "[18, 20, 20]");
        terraform
            .terraform(&["state", "rm", "ipam_pool.one"])
            .await
            .succeeded();
        import(&terraform, "ipam_pool.one", by).await;
        terraform.plan_is_empty().await;
    }
    // One less, and the plan shows what is left; the highest goes.
    write(id, "[18, 20]");
    terraform
        .plan_changes()
        .await
        .does_not_say("known after apply");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    let fewer = terraform.show("ipam_pool.one").await;
    assert_eq!(fewer["ranges"].as_array().unwrap().len(), 2, "{fewer}");
    write(id, "[18, 20, 20]");
    terraform.apply().await.succeeded();
    let more = terraform.show("ipam_pool.one").await;
    // What is in use is not given up.
    write(id, "[18]");
    terraform
        .plan_changes()
        .await
        .does_not_say("known after apply");
    let kept = more["ranges"].as_array().unwrap().clone();
    for (name, range) in kept.iter().enumerate() {
        let ask = json!({"vpc": "prod", "name": name.to_string(), "pools": ["team"], "cidr":
            range.as_str().unwrap().split('/').next().unwrap().to_owned() + "/26"});
        stack.api(Method::POST, "allocations", ask).await;
    }
    terraform
        .apply()
        .await
        .failed()
        .says("Can't change the pool team")
        .says("in_use")
        .says("prod");
    write(id, "[18, 20, 20]");
    terraform.plan_is_empty().await;
    // The parent can't go before its child, nor the child before what is in it.
    terraform.destroy().await.failed().says("in_use");
    assert_eq!(stack.count("select count(*) from pool").await, 4);
}

#[tokio::test]
async fn a_place_may_be_renamed_but_nothing_moves_between_places() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let write = |vrf: &str, whole: &str, profile: &str, team_in: &str| {
        terraform.write(&format!(
            "resource \"ipam_vrf\" \"one\" {{\n  name = \"{vrf}\"\n}}\n\
             resource \"ipam_vrf\" \"other\" {{\n  name = \"other\"\n}}\n\
             resource \"ipam_pool\" \"whole\" {{\n  name = \"{whole}\"\n  vrf = {team_in}\n  ranges = [\"10.64.0.0/12\"]\n}}\n\
             resource \"ipam_pool\" \"team\" {{\n  name = \"team\"\n  vrf = {team_in}\n  parent = ipam_pool.whole.name\n  range_prefix_lengths = [16]\n}}\n\
             resource \"ipam_vpc\" \"one\" {{\n  name = \"dev\"\n  vrf = {team_in}\n}}\n\
             resource \"ipam_reservation\" \"one\" {{\n  cidr = \"10.0.0.0/24\"\n  vrf = {team_in}\n  reason = \"Test\"\n}}\n\
             resource \"ipam_profile\" \"one\" {{\n  name = \"{profile}\"\n  members = [{{ role = \"main\", pool = \"team\" }}]\n}}\n\
             resource \"ipam_allocation\" \"one\" {{\n  vpc = ipam_vpc.one.name\n  vrf = {team_in}\n  name = \"a\"\n  prefix_length = 24\n  profile = ipam_profile.one.name\n  depends_on = [ipam_pool.team]\n}}\n"
        ));
    };
    let here = "ipam_vrf.one.name";
    write("dev", "whole", "flat", here);
    terraform.apply().await.succeeded().says("8 added");
    terraform.plan_is_empty().await;
    let ids = terraform.ids().await;

    write("develop", "all", "plain", here);
    terraform
        .plan_changes()
        .await
        .says("0 to add, 7 to change, 0 to destroy.")
        .does_not_say("replace");
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;
    assert_eq!(terraform.ids().await, ids);
    assert_eq!(
        terraform.show("ipam_allocation.one").await["vrf"],
        "develop"
    );
    assert_eq!(
        terraform.show("ipam_allocation.one").await["profile"],
        "plain"
    );

    // To a place that is another one.
    write("develop", "all", "plain", "\"other\"");
    terraform
        .plan_changes()
        .await
        .says("5 to add, 0 to change, 5 to destroy.")
        // Of warnings with one title terraform shows the first and how many more there are.
        .says("Its vrf is develop, and other is wanted.")
        .says("4 more similar warnings");
    write("develop", "all", "plain", here);
    terraform.plan_is_empty().await;

    // To one that does not exist: found out before anything is changed.
    write("develop", "all", "plain", "\"nowhere\"");
    terraform
        .apply()
        .await
        .failed()
        .says("can't be changed")
        .says("Its vrf is \"develop\"");
    write("develop", "all", "plain", here);
    terraform.plan_is_empty().await;
    terraform.destroy().await.succeeded();
    assert_eq!(stack.count("select count(*) from vrf").await, 1);
}

#[tokio::test]
async fn what_was_deleted_elsewhere_is_planned_anew_and_what_is_in_use_stays() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    terraform.write(
        "resource \"ipam_vrf\" \"one\" {\n  name = \"dev\"\n}\n\
         resource \"ipam_pool\" \"one\" {\n  name = \"wide\"\n  vrf = ipam_vrf.one.name\n  ranges = [\"10.64.0.0/16\"]\n}\n\
         resource \"ipam_profile\" \"one\" {\n  name = \"flat\"\n  members = [{ role = \"main\", pool = \"wide\" }]\n}\n\
         resource \"ipam_reservation\" \"one\" {\n  cidr = \"10.0.0.0/24\"\n  reason = \"Test\"\n}\n\
         resource \"ipam_vpc\" \"one\" {\n  name = \"dev\"\n}\n",
    );
    terraform.apply().await.succeeded();
    for (noun, key) in [
        ("pools", "ipam_pool.one"),
        ("profiles", "ipam_profile.one"),
        ("reservations", "ipam_reservation.one"),
        ("vpcs", "ipam_vpc.one"),
        ("vrfs", "ipam_vrf.one"),
    ] {
        let shown = terraform.show(key).await;
        let id = shown["id"].as_str().unwrap().to_owned();
        stack
            .api(Method::DELETE, &format!("{noun}/{id}"), json!(null))
            .await;
    }
    let run = terraform
        .plan_changes()
        .await
        .says("Plan: 5 to add, 0 to change, 0 to destroy.");
    assert_eq!(
        run.times("It is removed from the state."),
        5,
        "{}",
        run.text
    );
    terraform.apply().await.succeeded();
    terraform.plan_is_empty().await;

    // In use by somebody whom this configuration does not know.
    let ask =
        json!({"vpc": "else", "vrf": "dev", "name": "a", "profile": "flat", "prefix_length": 24});
    stack.api(Method::POST, "allocations", ask).await;
    terraform
        .destroy()
        .await
        .failed()
        .says("Can't delete the pool dev/wide")
        .says("Can't delete the profile flat")
        .says("in_use")
        .says("else");
    assert_eq!(stack.allocations().await, 1);
}

#[tokio::test]
async fn a_name_that_is_taken_comes_with_the_way_to_import_it() {
    let stack = Stack::start().await;
    stack
        .api(Method::POST, "vrfs", json!({"name": "dev"}))
        .await;
    let pool = json!({"name": "wide", "vrf": "dev", "ranges": ["10.64.0.0/16"]});
    stack.api(Method::POST, "pools", pool).await;
    stack
        .api(Method::POST, "vpcs", json!({"name": "prod"}))
        .await;
    let terraform = stack.workspace().settings("adopt = \"never\"");
    for (ty, config, id) in [
        ("ipam_vrf", "name = \"dev\"", "dev"),
        (
            "ipam_pool",
            "name = \"wide\"\nvrf = \"dev\"\nranges = [\"10.80.0.0/16\"]",
            "dev/wide",
        ),
        ("ipam_vpc", "name = \"Prod\"", "prod"),
        (
            "ipam_profile",
            "name = \"node-pod\"\nmembers = [{ role = \"a\", pool = \"primary\" }]",
            "node-pod",
        ),
    ] {
        terraform.write(&resource(ty, config));
        terraform
            .apply()
            .await
            .failed()
            .says("(claimed")
            .says(&format!("terraform import ADDRESS '{id}'"));
        import(&terraform, &format!("{ty}.one"), id).await;
        terraform
            .terraform(&["state", "rm", &format!("{ty}.one")])
            .await
            .succeeded();
    }
    // Where something is allocated nothing is reserved; and no range is in two pools.
    let ask = json!({"vpc": "prod", "name": "nodes", "cidr": "10.0.8.0/23"});
    stack.api(Method::POST, "allocations", ask).await;
    terraform.write(&resource(
        "ipam_reservation",
        "cidr = \"10.0.8.0/24\"\nreason = \"Test\"",
    ));
    terraform
        .apply()
        .await
        .failed()
        .says("(overlap")
        .says("nodes");
    terraform.write(&resource(
        "ipam_pool",
        "name = \"again\"\nranges = [\"10.0.128.0/20\"]",
    ));
    terraform.apply().await.failed().says("primary");
}

#[tokio::test]
async fn what_can_not_be_is_refused_while_planning_at_the_attribute() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let member =
        |rest: &str| format!("name = \"a\"\nmembers = [{{ role = \"a\", pool = \"p\"{rest} }}]");
    for (ty, config, says) in [
        ("ipam_vrf", "name = \"a/b\"".to_owned(), "can't contain '/'"),
        (
            "ipam_vrf",
            format!("name = \"a\"\ndescription = \"{}\"", "x".repeat(1001)),
            "It has 1001 characters",
        ),
        ("ipam_vpc", "name = \"a\"\nlabels = { \"\" = \"x\" }".to_owned(), "In labels"),
        ("ipam_pool", "name = \"a\"".to_owned(), "Set family, or give ranges"),
        (
            "ipam_pool",
            "name = \"a\"\nranges = [\"10.0.0.5/24\"]".to_owned(),
            "the network is 10.0.0.0/24",
        ),
        (
            "ipam_pool",
            "name = \"a\"\nranges = [\"2001:0DB8::/40\"]".to_owned(),
            "as 2001:db8::/40",
        ),
        (
            "ipam_pool",
            "name = \"a\"\nfamily = \"ipv4\"\nrange_prefix_lengths = [20]".to_owned(),
            "need a parent",
        ),
        (
            "ipam_pool",
            "name = \"a\"\nparent = \"primary\"\nranges = [\"10.0.0.0/24\"]\nrange_prefix_lengths = [23]".to_owned(),
            "ranges has /24, and range_prefix_lengths asks for /23",
        ),
        (
            "ipam_pool",
            "name = \"a\"\nfamily = \"ipv4\"\nmin_prefix_length = 24\nmax_prefix_length = 20".to_owned(),
            "/24 comes before /20",
        ),
        (
            "ipam_pool",
            "name = \"a\"\nfamily = \"ipv4\"\nstrategy = \"worst_fit\"".to_owned(),
            "best_fit, first_fit",
        ),
        (
            "ipam_pool",
            "name = \"a\"\nfamily = \"ipv4\"\nrelease_cooldown_seconds = 40000000".to_owned(),
            "more than a year",
        ),
        ("ipam_profile", "name = \"a\"\nmembers = []".to_owned(), "1 to 32 members"),
        ("ipam_profile", member(", max_prefix_length = 129"), "/129 is not a prefix length"),
        ("ipam_profile", member(", size_offset = 200"), "more than any network has"),
        ("ipam_profile", member(", size_offset = 0.5"), "from -128 to 127, but it is 0.5"),
        (
            "ipam_pool",
            "name = \"a\"\nfamily = \"ipv4\"\nrelease_cooldown_seconds = -1".to_owned(),
            "from 0 to 31536000, but it is -1",
        ),
        (
            "ipam_profile",
            "name = \"a\"\nmembers = [{ role = \"a\", pool = \"p\" }, { role = \"a\", pool = \"q\" }]".to_owned(),
            "The role a is taken",
        ),
        ("ipam_reservation", "cidr = \"10.0.0.0/24\"\nreason = \"\"".to_owned(), "It has 0 characters"),
        (
            "ipam_allocation",
            "vpc = \"a\"\nname = \"a\"\nhosts = 1\nprofile = \"p\"\npools = [\"q\"]".to_owned(),
            "there are profile and pools",
        ),
        (
            "ipam_allocation",
            "vpc = \"a\"\nname = \"a\"\nhosts = 1\npools = []".to_owned(),
            "pools takes 1 to 100",
        ),
        (
            "ipam_allocation",
            "vpc = \"a\"\nname = \"a\"\nhosts = 1\npool_selector = {}".to_owned(),
            "at least one label",
        ),
        (
            "ipam_allocation",
            "vpc = \"a\"\nname = \"a\"\nhosts = 1\nexclude_cidrs = [\"10.0.0.1/8\"]".to_owned(),
            "the network is 10.0.0.0/8",
        ),
    ] {
        terraform.write(&resource(ty, &config));
        terraform
            .plan()
            .await
            .failed()
            .says(says)
            .says("on main.tf line")
            .does_not_say("Plan:");
    }
}
