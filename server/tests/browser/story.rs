//! What people do with the dashboard, with and without scripts.

use ipam_testing::TestServer;

use crate::stage::Stage;

/// All that the page of the original system could do, and a preview, as a person does it.
async fn the_whole_story(mut stage: Stage) {
    a_wrong_key_first(&mut stage).await;
    let (eks, batch) = allocates(&mut stage).await;
    a_mistake_is_named(&mut stage).await;
    finds_and_moves(&mut stage, &batch).await;
    releases(&mut stage, &eks).await;

    // The documentation of the API is a link away.
    let docs = stage
        .browser
        .text("document.querySelector('nav a[href^=\"/docs\"]').href")
        .await;
    assert_eq!(docs, format!("{}/docs/", stage.server.url()));

    stage.browser.follow(".top form button").await;
    assert_eq!(stage.path().await, "/ui/sign-in");
    stage.open("/ui/vpcs").await;
    assert_eq!(stage.path().await, "/ui/sign-in");
    stage.no_problems();
}

async fn a_wrong_key_first(stage: &mut Stage) {
    stage.open("/").await;
    assert_eq!(stage.path().await, "/ui/sign-in");
    stage.browser.fill("#key", "guess").await;
    stage.browser.follow("main button").await;
    stage
        .browser
        .shows(&["That key is not known to this server."])
        .await;
    // The browser's log has the status of that answer, and nothing else.
    stage.no_problems_but(401);

    stage.browser.fill("#key", TestServer::API_KEY).await;
    stage.browser.enter().await;
    assert_eq!(stage.path().await, "/");
    stage
        .browser
        .shows(&["Nothing is allocated yet", "0\nallocations"])
        .await;
}

/// By hosts and by prefix length; answers where these are shown.
async fn allocates(stage: &mut Stage) -> (String, String) {
    // By hosts, with a preview.
    stage.browser.follow("main .head .button").await;
    stage.browser.fill("#vpc", "production").await;
    stage.browser.fill("#name", "eks").await;
    stage.browser.fill("#hosts", "500").await;
    stage.browser.follow("button[value=preview]").await;
    stage
        .browser
        .shows(&["Nothing is taken yet", "10.0.0.0/23", "100.64.0.0/18"])
        .await;
    stage.browser.follow("button[value=confirm]").await;
    stage
        .browser
        .shows(&[
            "Allocated.",
            "eks",
            "10.0.0.0/23",
            "100.64.0.0/18",
            "16,379",
            "500 hosts",
        ])
        .await;
    let eks = stage.path().await;

    // By prefix length; Enter from another field leads to the preview, and takes nothing.
    stage.open("/ui/allocations/new?vpc=production").await;
    stage.browser.click("input[value=prefix_length]").await;
    stage.browser.fill("#prefix_length", "24").await;
    stage.browser.fill("#name", "batch").await;
    stage.browser.enter().await;
    stage
        .browser
        .shows(&["Nothing is taken yet", "10.0.2.0/24", "100.64.64.0/19"])
        .await;
    stage.browser.follow("button[value=confirm]").await;
    stage
        .browser
        .shows(&["Allocated.", "10.0.2.0/24", "100.64.64.0/19"])
        .await;
    let batch = stage.path().await;
    (eks, batch)
}

/// And what was typed is still there.
async fn a_mistake_is_named(stage: &mut Stage) {
    stage.open("/ui/allocations/new").await;
    stage.browser.fill("#vpc", "production").await;
    stage.browser.fill("#hosts", "5000").await;
    stage.browser.follow("button[value=preview]").await;
    stage.browser.shows(&["5000 hosts are too many"]).await;
    assert_eq!(
        stage
            .browser
            .evaluate("document.getElementById('hosts').value")
            .await,
        "5000"
    );
    stage.no_problems_but(422);
}

async fn finds_and_moves(stage: &mut Stage, batch: &str) {
    // The map leads to the allocation.
    stage.open("/").await;
    stage
        .browser
        .follow("main a[href^='/ui/pools/']:is(tr:nth-child(2) a)")
        .await;
    stage
        .browser
        .shows(&["primary", "Each row is a /20", "10.0.240.0"])
        .await;
    // What is clicked is shown closely, with or without a new page.
    stage.browser.click("svg a[data-cidr='10.0.2.0/24']").await;
    let closely = format!("#pick a[href='{batch}']");
    stage.browser.waits_for(&closely).await;
    stage.browser.follow(&closely).await;
    assert_eq!(stage.path().await, batch);

    // To another VPC: the ranges stay.
    stage.browser.follow("main a[href$='/edit']").await;
    stage.browser.fill("#vpc", "staging").await;
    stage.browser.enter().await;
    stage.browser.shows(&["The ranges stay the same."]).await;
    stage.browser.follow("button[value=confirm]").await;
    stage
        .browser
        .shows(&["Saved.", "moved to VPC staging", "10.0.2.0/24"])
        .await;

    // Found by an address in it.
    stage.open("/ui/allocations").await;
    stage.browser.fill("#q", "100.64.70.1").await;
    stage.browser.enter().await;
    stage.browser.shows(&["batch", "10.0.2.0/24"]).await;
    stage.browser.does_not_show("eks").await;
}

async fn releases(stage: &mut Stage, eks: &str) {
    // Released, after a page that says what.
    stage.open(eks).await;
    stage.browser.follow(".danger").await;
    stage
        .browser
        .shows(&[
            "Release allocation eks?",
            "10.0.0.0/23",
            "100.64.0.0/18",
            "This can't be undone",
        ])
        .await;
    stage.browser.follow("main .quiet").await;
    assert_eq!(stage.path().await, eks);
    stage.browser.follow(".danger").await;
    stage.browser.follow("main form button").await;
    stage.browser.shows(&["Released.", "batch"]).await;
    stage.browser.does_not_show("10.0.0.0/23").await;

    // A VPC with what is in it.
    stage.open("/ui/vpcs").await;
    stage.browser.shows(&["production", "staging"]).await;
    stage
        .browser
        .follow("tbody tr:last-child td:last-child a[href$='/delete']")
        .await;
    stage
        .browser
        .shows(&[
            "Delete VPC staging?",
            "Its allocation is released with it",
            "10.0.2.0/24",
        ])
        .await;
    stage.browser.follow("main form button").await;
    stage.browser.shows(&["Deleted.", "production"]).await;
    stage.browser.does_not_show("staging").await;
}

#[tokio::test]
async fn everything_is_done_in_a_browser() {
    the_whole_story(Stage::new().await).await;
}

#[tokio::test]
async fn everything_is_done_without_scripts() {
    the_whole_story(Stage::without_scripts().await).await;
}
