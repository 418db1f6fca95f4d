//! The dashboard by keyboard, what it remembers, and what it shows of others without being asked.

use ipam_testing::TestServer;
use serde_json::json;

use crate::{
    chromium::Look,
    company::Company,
    stage::{Stage, WIDE},
};

#[tokio::test]
async fn the_theme_is_the_systems_until_it_is_chosen_and_the_keyboard_is_enough() {
    let mut stage = Stage::new().await;
    stage.sign_in().await;
    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = stage.browser.evaluate(ground).await;
    stage.browser.look(Look { dark: true, ..WIDE }).await;
    let dark = stage.browser.evaluate(ground).await;
    assert_ne!(light, dark);
    stage.browser.click("#theme").await;
    assert_eq!(stage.browser.evaluate(ground).await, light);
    // Kept on the next page, and whatever the system says then.
    stage.open("/ui/vpcs").await;
    assert_eq!(stage.browser.evaluate(ground).await, light);
    stage.browser.click("#theme").await;
    stage.browser.look(WIDE).await;
    assert_eq!(stage.browser.evaluate(ground).await, dark);

    // The first stop of the keyboard leads past the navigation, and what has the focus shows it.
    stage.open("/ui/vpcs").await;
    stage.browser.press("Tab", 9).await;
    let focus = stage
        .browser
        .text("document.activeElement.getAttribute('href')")
        .await;
    assert_eq!(focus, "#content");
    assert_eq!(
        stage
            .browser
            .evaluate("document.activeElement.getBoundingClientRect().top >= 0")
            .await,
        true
    );
    let outline = stage
        .browser
        .text("getComputedStyle(document.activeElement).outlineStyle")
        .await;
    assert_eq!(outline, "solid");

    // What is copied is what stands there.
    Company::found(&stage).await;
    stage.open("/ui/allocations").await;
    stage.browser.follow("tbody tr:first-child th a").await;
    // Pressed twice, the button says afterwards what it said before.
    let button = "document.querySelector('[data-copy=cidr-1]').innerHTML";
    let before = stage.browser.text(button).await;
    stage.browser.click("[data-copy=cidr-1]").await;
    stage.browser.click("[data-copy=cidr-1]").await;
    let said = "new Promise((done) => {
        const said = document.getElementById('said');
        const look = () => said.textContent ? done(said.textContent) : requestAnimationFrame(look);
        look();
    })";
    assert_eq!(stage.browser.evaluate(said).await, "Copied.");
    stage
        .browser
        .waits_for_text("[data-copy=cidr-1]", "Copied")
        .await;
    let again = "document.querySelector('[data-copy=cidr-1]:not([data-copied])')?.innerHTML";
    stage
        .browser
        .waits_for("[data-copy=cidr-1]:not([data-copied])")
        .await;
    assert_eq!(stage.browser.text(again).await, before);
    stage.no_problems();
}

/// Something happens while somebody types, selects and reads: it waits until they are done, and takes nothing from them.
#[tokio::test]
async fn what_others_do_disturbs_nobody_and_is_not_lost() {
    let mut stage = Stage::new().await;
    stage.sign_in().await;
    let mut client = stage.client().await;
    stage.open("/ui/events").await;
    let browser = &mut stage.browser;
    browser.waits_for("#live.on").await;
    browser
        .evaluate("document.querySelector('main details[id^=details-] summary').focus()")
        .await;
    let focus = "document.activeElement.parentElement.id";
    let before = browser.text(focus).await;
    assert!(!before.is_empty());
    // Names that no age of an event has in it, which may be told in seconds.
    for name in ["vrf-one", "vrf-two"] {
        if name == "vrf-two" {
            // Nothing is shown anew while somebody is in a field, and it is afterwards, though nothing more happens.
            browser
                .evaluate("document.getElementById('actor').focus()")
                .await;
        }
        let made = client
            .post("/api/v1/vrfs", &json!({"name": name}))
            .await
            .unwrap();
        assert_eq!(made.status, 201);
        if name == "vrf-two" {
            tokio::time::sleep(std::time::Duration::from_secs(3)).await;
            browser.does_not_show("vrf-two").await;
            browser.evaluate("document.activeElement.blur()").await;
        }
        browser.waits_for_text("main", name).await;
        if name == "vrf-one" {
            assert_eq!(
                browser.text(focus).await,
                before,
                "the keyboard goes on where it was"
            );
        }
    }
    stage.no_problems();
}

/// What keys, the wheel and others do to a map, as its user sees it.
#[tokio::test]
async fn a_map_is_used_by_keyboard_and_shows_what_others_do() {
    let mut stage = Stage::new().await;
    stage.sign_in().await;
    for (name, cidr) in [
        ("one", "10.0.0.0/20"),
        ("two", "10.0.32.0/20"),
        ("three", "10.0.48.0/21"),
    ] {
        stage.allocates_by_cidr(name, cidr).await;
    }
    stage.open("/ui/map?at=10.0.0.0/16").await;
    let browser = &mut stage.browser;
    browser.waits_for("#live.on").await;
    // `/` is the search, and back.
    browser.press("/", 191).await;
    assert_eq!(browser.evaluate("document.activeElement.id").await, "find");
    browser.evaluate("document.activeElement.blur()").await;
    // The first key goes to the map, the next ones move on it; Enter shows what is there.
    browser.press("l", 76).await;
    assert_eq!(browser.focused().await, "10.0.0.0/20");
    browser.press("j", 74).await;
    assert_eq!(browser.focused().await, "10.0.16.0/20");
    browser.press("ArrowDown", 40).await;
    assert_eq!(browser.focused().await, "10.0.32.0/20");
    browser.press("k", 75).await;
    browser.press("j", 74).await;
    browser.press("Enter", 13).await;
    browser.waits_for("#pick").await;
    browser.shows(&["Allocated to net/two"]).await;
    assert!(
        browser
            .text("location.search")
            .await
            .contains("pick=10.0.32.0/20")
    );
    // What was in focus still is.
    assert_eq!(browser.focused().await, "10.0.32.0/20");
    browser.press("Escape", 27).await;
    browser.waits_for("main:not(:has(#pick))").await;
    // In and out.
    browser.press("+", 187).await;
    browser
        .waits_for("#canvas[data-out*='10.0.0.0']:has(.path b)")
        .await;
    browser.waits_for_text(".path b", "10.0.0.0/18").await;
    // And further in, from where that led.
    assert_eq!(browser.focused().await, "10.0.32.0/20");
    browser.press("+", 187).await;
    browser.waits_for_text(".path b", "10.0.32.0/20").await;
    browser.press("-", 189).await;
    browser.waits_for_text(".path b", "10.0.0.0/18").await;
    browser.press("-", 189).await;
    browser.waits_for_text(".path b", "10.0.0.0/16").await;
    // To the change before, and back.
    browser.press("[", 219).await;
    browser.waits_for_text(".notice", "As it was at").await;
    browser.press("]", 221).await;
    browser.waits_for("main:not(:has(.notice))").await;
    // One stop of the tab key.
    let stops = "document.querySelectorAll('#canvas [data-map] a[tabindex=\"0\"]').length";
    assert_eq!(browser.evaluate(stops).await, 1);
    // The browser's own way back goes back.
    browser.evaluate("history.back()").await;
    browser.waits_for_text(".notice", "As it was at").await;
    browser.evaluate("history.forward()").await;
    browser.waits_for("main:not(:has(.notice))").await;

    // Somebody else allocates, and it appears.
    let body =
        json!({"vpc": "other", "name": "new-here", "profile": "node-pod", "cidr": "10.0.64.0/20"});
    let request = json!({
        "method": "POST",
        "headers": {"x-api-key": TestServer::API_KEY, "content-type": "application/json"},
        "body": body.to_string(),
    });
    let call = format!("fetch('/api/v1/allocations', {request}).then((reply) => reply.status)");
    assert_eq!(stage.browser.evaluate(&call).await, 201);
    stage
        .browser
        .waits_for("#canvas a[data-cidr='10.0.64.0/20'] .block")
        .await;
    stage.no_problems();
}

impl Stage {
    async fn allocates_by_cidr(&mut self, name: &str, cidr: &str) {
        self.open(&format!(
            "/ui/allocations/new?vpc=net&name={name}&cidr={cidr}"
        ))
        .await;
        self.browser.follow("button[value=preview]").await;
        self.browser.follow("button[value=confirm]").await;
    }
}
