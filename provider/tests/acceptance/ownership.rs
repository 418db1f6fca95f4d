//! Who owns what was made, whatever it is: a creation that was interrupted is repeated by whoever began it, and by nobody
//! else; and two states never share a thing.

use reqwest::Method;
use serde_json::json;

use crate::{
    proxy::{Fault, Proxy},
    stack::{Stack, Workspace, eventually},
};

const APPLY: [&str; 4] = ["apply", "-no-color", "-input=false", "-auto-approve"];

/// A noun with a configuration of one, what imports it, and how many of it there are.
struct Kind {
    ty: &'static str,
    config: &'static str,
    import: &'static str,
    count: &'static str,
}

const KINDS: [Kind; 7] = [
    Kind {
        ty: "ipam_vrf",
        config: "name = \"dev\"",
        import: "dev",
        count: "select count(*) from vrf where name = 'dev'",
    },
    Kind {
        ty: "ipam_pool",
        config: "name = \"wide\"\nranges = [\"10.64.0.0/16\"]\nlabels = { a = \"b\" }",
        import: "default/wide",
        count: "select count(*) from pool where name = 'wide'",
    },
    Kind {
        ty: "ipam_pool",
        config: "name = \"team\"\nparent = \"primary\"\nrange_prefix_lengths = [20, 22]",
        import: "default/team",
        count: "select count(*) from pool where name = 'team'",
    },
    Kind {
        ty: "ipam_vpc",
        config: "name = \"Stage\"\ndescription = \"Clusters\"",
        import: "Stage",
        count: "select count(*) from vpc where name = 'Stage'",
    },
    Kind {
        ty: "ipam_profile",
        config: "name = \"flat\"\nmembers = [{ role = \"main\", pool = \"primary\" }]",
        import: "flat",
        count: "select count(*) from profile where name = 'flat'",
    },
    Kind {
        ty: "ipam_reservation",
        config: "cidr = \"192.168.7.0/24\"\nreason = \"Data centre\"",
        import: "default/192.168.7.0/24",
        count: "select count(*) from reservation",
    },
    Kind {
        ty: "ipam_allocation",
        config: "vpc = \"prod\"\nname = \"a\"\nhosts = 500",
        import: "prod/a",
        count: "select count(*) from allocation",
    },
];

impl Kind {
    fn write(&self, terraform: &Workspace) {
        self.write_with(terraform, "");
    }

    fn write_with(&self, terraform: &Workspace, more: &str) {
        let Self { ty, config, .. } = self;
        terraform.write(&format!(
            "resource \"{ty}\" \"one\" {{\n{config}\n{more}\n}}\n"
        ));
    }

    fn import_line(&self) -> String {
        format!("terraform import ADDRESS '{}'", self.import)
    }
}

/// Does it with every kind at once: most of the time goes into waiting.
async fn each_kind(with: impl AsyncFn(&Kind)) {
    futures::future::join_all(KINDS.iter().map(|kind| with(kind))).await;
}

/// Begins to apply, and is killed when the server has done what it was asked and the state has not learnt it.
async fn interrupted(stack: &Stack, terraform: &mut Workspace, kind: &Kind) {
    let proxy = Proxy::start(stack.server.address(), "POST", Fault::HoldReply).await;
    terraform.use_endpoint(&proxy.url);
    kind.write(terraform);
    let mut run = terraform.start(&APPLY);
    eventually("the creation is on its way back", async || proxy.hits() > 0).await;
    run.kill().await.unwrap();
    proxy.release();
    terraform.use_endpoint(&stack.server.url());
    assert_eq!(stack.count(kind.count).await, 1, "{}", kind.config);
}

#[tokio::test]
async fn an_interrupted_creation_is_repeated_by_repeating_the_command() {
    let stack = Stack::start().await;
    for kind in &KINDS {
        let mut terraform = stack.workspace();
        interrupted(&stack, &mut terraform, kind).await;
        terraform
            .apply()
            .await
            .succeeded()
            .says("was there already");
        terraform.plan_is_empty().await;
        assert_eq!(stack.count(kind.count).await, 1, "{}", kind.config);
        terraform.destroy().await.succeeded();
        assert_eq!(stack.count(kind.count).await, 0, "{}", kind.config);
    }
}

#[tokio::test]
async fn a_second_state_never_shares_what_the_first_has_confirmed() {
    let stack = Stack::start().await;
    each_kind(async |kind| {
        let (first, second) = (stack.workspace(), stack.workspace());
        kind.write(&first);
        first.apply().await.succeeded();
        first.plan_is_empty().await;
        kind.write(&second);
        second
            .apply()
            .await
            .failed()
            .says("(claimed")
            .says(&kind.import_line());
        first.plan_is_empty().await;
        assert_eq!(stack.count(kind.count).await, 1);
        // Before the first refresh a copy with the same key and owner takes it over, says so, and the first one notices.
        first.destroy().await.succeeded();
        first.apply().await.succeeded();
        second.apply().await.succeeded().says("was there already");
        second.plan_is_empty().await;
        first.plan().await.failed().says(&kind.import_line());
        second.destroy().await.succeeded();
        assert_eq!(stack.count(kind.count).await, 0);
    })
    .await;
}

#[tokio::test]
async fn another_owner_is_refused_before_the_first_refresh() {
    let stack = Stack::start().await;
    each_kind(async |kind| {
        let mut first = stack.workspace().settings("owner = \"network-prod\"");
        interrupted(&stack, &mut first, kind).await;
        for second in [
            stack.workspace().settings("owner = \"network-stage\""),
            stack.workspace(),
            stack.workspace().variable("IPAM_OWNER", "network-stage"),
            stack
                .workspace()
                .variable("TFC_WORKSPACE_SLUG", "acme/network"),
            stack
                .workspace()
                .settings("owner = \"network-prod\"\nadopt = \"never\""),
        ] {
            kind.write(&second);
            second
                .apply()
                .await
                .failed()
                .says("(claimed")
                .says(&kind.import_line());
            assert_eq!(stack.count(kind.count).await, 1);
        }
        // The same owner, wherever it is said, goes on.
        let same = stack.workspace().variable("IPAM_OWNER", "network-prod");
        kind.write(&same);
        same.apply().await.succeeded().says("was there already");
        same.plan_is_empty().await;
        same.destroy().await.succeeded();
        assert_eq!(stack.count(kind.count).await, 0);
    })
    .await;
}

#[tokio::test]
async fn the_owner_of_a_pipeline_follows_from_what_it_is_for() {
    let stack = Stack::start().await;
    let owner = |variables: &[(&str, &str)], config: &str| {
        let mut terraform = stack.workspace().settings(config);
        for (name, value) in variables {
            terraform = terraform.variable(name, value);
        }
        terraform
    };
    let gitlab = [
        ("CI_PROJECT_ID", "42"),
        ("CI_SERVER_HOST", "gitlab.example.com"),
        ("CI_ENVIRONMENT_NAME", "prod"),
    ];
    let github = [
        ("GITHUB_REPOSITORY_ID", "42"),
        ("GITHUB_SERVER_URL", "https://github.com"),
    ];
    for (number, (terraform, expected)) in [
        (
            owner(&[("TFC_WORKSPACE_SLUG", "acme/prod")], ""),
            "hcp acme/prod",
        ),
        (owner(&gitlab, ""), "gitlab gitlab.example.com/42 prod"),
        (owner(&github, ""), "github github.com/42"),
        (owner(&github, "owner = \"mine\""), "mine"),
        (owner(&github, "owner = \"\""), ""),
        (owner(&[], ""), ""),
    ]
    .into_iter()
    .enumerate()
    {
        terraform.write(&format!(
            "resource \"ipam_vrf\" \"one\" {{\n  name = \"v{number}\"\n}}\n"
        ));
        terraform.apply().await.succeeded();
        let made = stack
            .api(Method::GET, &format!("vrfs/v{number}"), json!(null))
            .await;
        assert_eq!(made["owner"].as_str().unwrap_or_default(), expected);
    }
    for (setting, says) in [
        ("owner = \" a\"", "can't begin or end with whitespace"),
        ("adopt = \"always\"", "unconfirmed, never"),
    ] {
        let terraform = stack.workspace().settings(setting);
        terraform.write("resource \"ipam_vrf\" \"one\" {\n  name = \"v\"\n}\n");
        terraform.plan().await.failed().says(says);
    }
}

#[tokio::test]
async fn a_successor_is_not_its_own_predecessor_whatever_it_is() {
    let stack = Stack::start().await;
    each_kind(async |kind| {
        let terraform = stack.workspace();
        let replace = format!("-replace={}.one", kind.ty);
        let replace = [&APPLY[..], &["-refresh=false", &replace]].concat();
        kind.write_with(&terraform, "lifecycle {\n  create_before_destroy = true\n}");
        terraform.apply().await.succeeded();
        let id = terraform.ids().await;
        for _ in 0..2 {
            let run = terraform.terraform(&replace).await.failed();
            run.says("create_before_destroy needs a name that changes with it");
            assert_eq!(stack.count(kind.count).await, 1, "{}", kind.config);
            assert_eq!(terraform.ids().await, id);
        }
        terraform.plan_is_empty().await;
        // The same resource at another address, and the other order.
        kind.write(&terraform);
        let main = std::fs::read_to_string(terraform.path("main.tf")).unwrap();
        std::fs::write(
            terraform.path("main.tf"),
            main.replace("\"one\" {", "\"other\" {"),
        )
        .unwrap();
        let apply = [&APPLY[..], &["-refresh=false"]].concat();
        terraform
            .terraform(&apply)
            .await
            .succeeded()
            .says("1 added, 0 changed, 1 destroyed");
        assert_eq!(stack.count(kind.count).await, 1, "{}", kind.config);
        terraform.plan_is_empty().await;
        let replace = format!("-replace={}.other", kind.ty);
        let replace = [&APPLY[..], &["-refresh=false", &replace]].concat();
        terraform.terraform(&replace).await.succeeded();
        terraform.plan_is_empty().await;
        terraform.destroy().await.succeeded();
        assert_eq!(stack.count(kind.count).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_vpc_that_was_made_on_first_use_is_taken_over_and_goes_with_its_vrf() {
    let stack = Stack::start().await;
    let terraform = stack.workspace();
    let space = "resource \"ipam_vrf\" \"v\" {\n  name = \"dev\"\n}\n\
        resource \"ipam_pool\" \"p\" {\n  name = \"wide\"\n  vrf = ipam_vrf.v.name\n  ranges = [\"10.64.0.0/16\"]\n}\n";
    let allocation = |vpc: &str| {
        format!(
            "resource \"ipam_allocation\" \"a\" {{\n  vpc = {vpc}\n  vrf = ipam_vrf.v.name\n  name = \"a\"\n  pools = \
             [ipam_pool.p.name]\n  prefix_length = 24\n}}\n"
        )
    };
    // Nobody manages it, so that it is in nobody's way.
    terraform.write(&format!("{space}{}", allocation("\"first\"")));
    terraform.apply().await.succeeded();
    terraform.destroy().await.succeeded();
    assert_eq!(stack.count("select count(*) from vrf").await, 1);
    // Somebody begins to.
    terraform.write(&format!("{space}{}", allocation("\"first\"")));
    terraform.apply().await.succeeded();
    let id = terraform.show("ipam_allocation.a").await["id"].clone();
    let vpc = "resource \"ipam_vpc\" \"f\" {\n  name = \"first\"\n  vrf = ipam_vrf.v.name\n  labels = { a = \"b\" }\n}\n";
    terraform.write(&format!("{space}{vpc}{}", allocation("ipam_vpc.f.name")));
    terraform.apply().await.succeeded().says("1 added");
    terraform.plan_is_empty().await;
    assert_eq!(terraform.show("ipam_allocation.a").await["id"], id);
    let labelled = "select count(*) from vpc where name = 'first' and labels = '{\"a\": \"b\"}'";
    assert_eq!(stack.count(labelled).await, 1);
    terraform.destroy().await.succeeded();
    assert_eq!(stack.count("select count(*) from vrf").await, 1);
    assert_eq!(
        stack
            .count("select count(*) from vpc where name = 'first'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_destroy_says_what_it_leaves_behind() {
    let stack = Stack::start().await;
    let other = |name: &str| format!("resource \"ipam_vrf\" \"v\" {{\n  name = \"{name}\"\n}}\n");
    // Killed, and destroyed at once: in the state is what was there before, and not what was on its way.
    let mut terraform = stack.workspace().settings("owner = \"network\"");
    terraform.write(&other("mine"));
    terraform.apply().await.succeeded();
    let proxy = Proxy::start(stack.server.address(), "POST", Fault::HoldReply).await;
    terraform.use_endpoint(&proxy.url);
    let allocation = "resource \"ipam_allocation\" \"a\" {\n  vpc = \"prod\"\n  name = \"a\"\n  hosts = 500\n}\n";
    terraform.write(&format!("{}{allocation}", other("mine")));
    let mut run = terraform.start(&APPLY);
    eventually("the allocation is made", async || {
        stack.allocations().await == 1
    })
    .await;
    run.kill().await.unwrap();
    proxy.release();
    terraform.use_endpoint(&stack.server.url());
    terraform
        .destroy()
        .await
        .succeeded()
        .says("Allocations of the owner network that no state has confirmed stay: 1")
        .says("allocation \"prod/a\" with 10.0.0.0/23, made at 20")
        .says("terraform import ADDRESS 'prod/a'")
        .says("ipam release 'prod/a'")
        .says("ipam orphans --owner 'network'");
    assert_eq!(stack.allocations().await, 1);
    // Somebody else's are none of anybody's business.
    for settings in ["owner = \"other\"", ""] {
        let terraform = stack.workspace().settings(settings);
        terraform.write(&other("theirs"));
        terraform.apply().await.succeeded();
        let run = terraform.destroy().await.succeeded();
        run.does_not_say("no state has confirmed");
    }
    // One more apply takes it over, and then nothing is left.
    terraform.apply().await.succeeded();
    let run = terraform.destroy().await.succeeded();
    run.does_not_say("no state has confirmed");
    assert_eq!(stack.allocations().await, 0);
}
