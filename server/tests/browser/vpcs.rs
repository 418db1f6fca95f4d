//! Networks are taken out of circulation, and VPCs made, by forms: on the map where something is free, and by hand.

use serde_json::json;

use crate::{forms::Form, stage::Stage};

async fn reservations_and_vpcs(mut stage: Stage) {
    stage.sign_in().await;
    reserves_what_is_free_on_the_map(&mut stage).await;
    reserves_by_hand(&mut stage).await;
    a_vpc(&mut stage).await;
}

async fn reserves_what_is_free_on_the_map(stage: &mut Stage) {
    stage.open("/ui/map?at=10.0.0.0/16").await;
    let free = "section[aria-labelledby=fits] a[data-cidr='10.0.64.0/18']";
    stage.browser.click(free).await;
    stage.browser.waits_for("#pick a[data-key=r]").await;
    stage.browser.shows(&["10.0.64.0/18", "Free"]).await;
    stage.browser.follow("#pick a[data-key=r]").await;
    stage
        .holds(&[("cidr", "10.0.64.0/18"), ("vrf", "default")])
        .await;
    stage
        .fills_in(Form {
            wrong: &[("labels", "site=b")],
            said: &[("reason", "Say why")],
            right: &[("reason", "The old office")],
            question: "Create reservation 10.0.64.0/18?",
            shows: &[
                "Its addresses are taken out of the pool \"primary\".",
                "The old office",
                "site b",
            ],
        })
        .await;
    stage.browser.shows(&["Created.", "The old office"]).await;
    let reservation = stage.path().await;

    // Now the map says so, and leads there.
    stage.open("/ui/map?at=10.0.0.0/16").await;
    stage.browser.click("svg a[data-cidr='10.0.64.0/18']").await;
    let there = format!("#pick a[href='{reservation}']");
    stage.browser.waits_for(&there).await;
    stage.browser.shows(&["Reserved"]).await;
    stage.browser.follow(&there).await;

    stage.goes_to_change().await;
    stage
        .fills_in(Form {
            wrong: &[("reason", "")],
            said: &[("reason", "Say why")],
            right: &[("reason", "The new office")],
            question: "Change reservation 10.0.64.0/18?",
            shows: &["The old office\tThe new office"],
        })
        .await;
    stage
        .browser
        .shows(&["Saved.", "reason changed to The new office"])
        .await;
    stage
        .deletes(
            "Delete reservation 10.0.64.0/18?",
            &["back in circulation at once", "The new office"],
        )
        .await;
    stage
        .browser
        .shows(&["There are no Reservations yet."])
        .await;
}

/// In the way of others, then beside all pools.
async fn reserves_by_hand(stage: &mut Stage) {
    stage
        .make(
            "allocations",
            json!({"vpc": "production", "name": "eks", "hosts": 500}),
        )
        .await;
    stage.begins("/ui/reservations").await;
    stage
        .fills_in(Form {
            wrong: &[
                ("cidr", "10.0.0.0/20"),
                ("reason", "Gateways"),
                ("labels", "site=b"),
            ],
            said: &[("cidr", "10.0.0.0/23")],
            right: &[("cidr", "192.168.0.0/24")],
            question: "Create reservation 192.168.0.0/24?",
            shows: &["It lies outside of all pools.", "Gateways"],
        })
        .await;
    stage.browser.shows(&["Created."]).await;
    stage
        .deletes(
            "Delete reservation 192.168.0.0/24?",
            &["so no space becomes free"],
        )
        .await;
}

async fn a_vpc(stage: &mut Stage) {
    stage.begins("/ui/vpcs").await;
    stage
        .fills_in(Form {
            wrong: &[
                ("name", "staging"),
                ("vrf", "nowhere"),
                ("labels", "team=core"),
                ("description", "Whom it is for"),
            ],
            said: &[("vrf", "There is no VRF \"nowhere\"")],
            right: &[("vrf", "")],
            question: "Create VPC staging?",
            shows: &["default", "team core", "Whom it is for"],
        })
        .await;
    stage.browser.shows(&["Created."]).await;
    stage.goes_to_change().await;
    stage
        .fills_in(Form {
            wrong: &[("name", "Production"), ("description", "")],
            said: &[("name", "already")],
            right: &[("name", "Staging-2")],
            question: "Change VPC staging?",
            shows: &[
                "staging\tStaging-2",
                "Its allocations stay.",
                "Whom it is for\tnone",
            ],
        })
        .await;
    stage.browser.shows(&["Saved.", "Staging-2"]).await;
    stage
        .deletes(
            "Delete VPC Staging-2?",
            &["It has no allocations, so no range is released."],
        )
        .await;
    stage.browser.shows(&["production"]).await;
    stage.browser.does_not_show("Staging-2").await;
}

#[tokio::test]
async fn networks_are_reserved_and_vpcs_made() {
    reservations_and_vpcs(Stage::new().await).await;
}

#[tokio::test]
async fn networks_are_reserved_and_vpcs_made_without_scripts() {
    reservations_and_vpcs(Stage::without_scripts().await).await;
}
