//! Every part of an address space is made, changed and removed by its forms. What is wrong is said at its field, nothing that
//! was typed is lost, and nothing happens before it was shown and confirmed.

use crate::{forms::Form, stage::Stage};

async fn an_address_space(mut stage: Stage) {
    stage.sign_in().await;
    a_vrf(&mut stage).await;
    a_pool(&mut stage).await;
    a_pool_of_another(&mut stage).await;
    a_profile(&mut stage).await;
    everything_goes(&mut stage).await;
}

async fn a_vrf(stage: &mut Stage) {
    stage.begins("/ui/vrfs").await;
    stage
        .fills_in(Form {
            wrong: &[
                ("name", "a/b"),
                ("labels", "team=core\noops"),
                ("description", "What was typed stays"),
            ],
            said: &[
                ("name", "can't contain '/'"),
                ("labels", "this is not one: oops"),
            ],
            right: &[("name", "lab"), ("labels", "team=core")],
            question: "Create VRF lab?",
            shows: &["Nothing is made yet", "team core", "What was typed stays"],
        })
        .await;
    stage.browser.shows(&["Created.", "team core"]).await;

    stage.goes_to_change().await;
    stage
        .fills_in(Form {
            wrong: &[("name", "default")],
            said: &[("name", "There is a VRF \"default\" already")],
            right: &[("name", "lab-2"), ("description", "")],
            question: "Change VRF lab?",
            shows: &["lab\tlab-2", "have to name \"lab-2\" from then on"],
        })
        .await;
    stage
        .browser
        .shows(&["Saved.", "renamed to lab-2", "description changed"])
        .await;
}

async fn a_pool(stage: &mut Stage) {
    stage.begins("/ui/pools").await;
    stage.browser.choose("#strategy", "first fit").await;
    stage
        .fills_in(Form {
            wrong: &[
                ("name", "nodes"),
                ("vrf", "lab-2"),
                ("ranges", "10.0.0.0/16\n10.2.0.1/16"),
                ("max_prefix_length", "many"),
                ("cooldown", "soon"),
            ],
            said: &[
                ("ranges", "\"10.2.0.1/16\" has host bits set"),
                ("max_prefix_length", "is no whole number"),
                ("cooldown", "such as 30m, 12h or 7d"),
            ],
            right: &[
                ("ranges", "10.0.0.0/16\n10.2.0.0/16"),
                ("min_prefix_length", "18"),
                ("max_prefix_length", "28"),
                ("default_prefix_length", "24"),
                ("cooldown", "7d"),
                ("required_labels", "env=dev,prod\nteam"),
            ],
            question: "Create pool nodes?",
            shows: &[
                "lab-2",
                "10.0.0.0/16",
                "10.2.0.0/16",
                "/18",
                "/28",
                "/24",
                "first fit: the lowest address",
                "7 days",
                "env=dev,prod",
            ],
        })
        .await;
    stage
        .browser
        .shows(&["nodes", "first fit · /18 to /28", "cooldown 7 days"])
        .await;

    stage.goes_to_change().await;
    stage
        .fills_in(Form {
            wrong: &[("min_prefix_length", "29")],
            said: &[("min_prefix_length", "\"Largest block\" 29 is longer")],
            right: &[
                ("ranges", "10.0.0.0/16\n10.4.0.0/16"),
                ("min_prefix_length", "20"),
                ("cooldown", "0"),
                ("required_labels", ""),
            ],
            question: "Change pool nodes?",
            shows: &[
                "10.4.0.0/16",
                "/18\t/20",
                "7 days\tnone: released blocks are free at once",
                "Blocks that exist stay as they are.",
            ],
        })
        .await;
    stage
        .browser
        .shows(&["10.4.0.0/16", "first fit · /20 to /28"])
        .await;
    stage.browser.does_not_show("10.2.0.0/16").await;
}

async fn a_pool_of_another(stage: &mut Stage) {
    stage.begins("/ui/pools").await;
    stage
        .fills_in(Form {
            wrong: &[
                ("name", "edge"),
                ("vrf", "lab-2"),
                ("parent", "nodes"),
                ("cut", "20, wide"),
            ],
            said: &[("cut", "Write prefix lengths")],
            right: &[("cut", "20, /22")],
            question: "Create pool edge?",
            shows: &["nodes", "10.0.0.0/20", "10.0.16.0/22"],
        })
        .await;
    stage.browser.shows(&["edge", "cut from nodes"]).await;

    // A range is given back, and a larger one is cut wherever there is room then.
    stage.goes_to_change().await;
    stage
        .fills_in(Form {
            wrong: &[("ranges", "10.0.0.0/20\n10.0.16.0/22\n10.9.0.0/22")],
            said: &[("ranges", "10.9.0.0/22")],
            right: &[("ranges", "10.0.0.0/20"), ("cut", "21")],
            question: "Change pool edge?",
            shows: &["10.0.0.0/20\n10.0.16.0/22", "10.0.16.0/21"],
        })
        .await;
    stage.browser.shows(&["10.0.0.0/20", "10.0.16.0/21"]).await;

    // It is on the map of the other, which can't be deleted now.
    stage
        .browser
        .follow("main .head p a[href^='/ui/pools/']")
        .await;
    stage.browser.shows(&["child pool", "edge"]).await;
    stage.can_not_delete(&["edge"]).await;
}

async fn a_profile(stage: &mut Stage) {
    stage.begins("/ui/profiles").await;
    stage
        .fills_in(Form {
            wrong: &[
                ("name", "cluster"),
                ("role-0", "nodes"),
                ("pool-0", "nodes"),
                ("role-1", "pods"),
                ("pool-1", "cgnat"),
                ("size_offset-1", "many"),
            ],
            said: &[("members", "Member 2: \"many\" is no number")],
            right: &[
                ("size_offset-1", "-5"),
                ("largest-1", "15"),
                ("smallest-1", "21"),
            ],
            question: "Create profile cluster?",
            shows: &[
                "nodes: pool nodes, size +0",
                "pods: pool cgnat, size -5, /15 to /21",
            ],
        })
        .await;
    stage
        .browser
        .shows(&["Created.", "pods: pool cgnat, size -5, /15 to /21"])
        .await;

    // A member is removed by emptying its row.
    stage.goes_to_change().await;
    stage
        .fills_in(Form {
            wrong: &[("name", "node-pod")],
            said: &[("name", "\"node-pod\" already")],
            right: &[
                ("name", "cluster"),
                ("role-1", ""),
                ("pool-1", ""),
                ("size_offset-1", ""),
                ("largest-1", ""),
                ("smallest-1", ""),
            ],
            question: "Change profile cluster?",
            shows: &["Allocations that exist stay as they are."],
        })
        .await;
    stage
        .browser
        .shows(&["Saved.", "members set to nodes"])
        .await;
}

/// In an order that lets them go: what holds something stays.
async fn everything_goes(stage: &mut Stage) {
    stage.finds("/ui/vrfs", "lab-2").await;
    stage.can_not_delete(&["VRF \"lab-2\" is in use"]).await;
    stage.finds("/ui/profiles", "cluster").await;
    stage
        .deletes(
            "Delete profile cluster?",
            &["No allocation was made from it"],
        )
        .await;
    stage.finds("/ui/pools", "edge").await;
    stage
        .deletes(
            "Delete pool edge?",
            &["Its ranges go back to the pool \"nodes\"", "10.0.16.0/21"],
        )
        .await;
    stage.finds("/ui/pools", "nodes").await;
    stage
        .deletes(
            "Delete pool nodes?",
            &["Its ranges belong to no pool afterwards.", "10.4.0.0/16"],
        )
        .await;
    stage.finds("/ui/vrfs", "lab-2").await;
    stage
        .deletes("Delete VRF lab-2?", &["so no network is given back"])
        .await;
    stage.browser.shows(&["default"]).await;
    stage.browser.does_not_show("lab-2").await;
}

#[tokio::test]
async fn an_address_space_is_made_changed_and_removed() {
    an_address_space(Stage::new().await).await;
}

#[tokio::test]
async fn an_address_space_is_made_changed_and_removed_without_scripts() {
    an_address_space(Stage::without_scripts().await).await;
}
