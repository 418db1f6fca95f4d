//! The map under fingers: two of them zoom, one scrolls the page.

use std::time::Duration;

use serde_json::json;

use crate::stage::Stage;

/// A phone that shows a map of a pool, with a block in its middle.
async fn on_a_phone(stage: &mut Stage) {
    stage.browser.be_a_phone().await;
    stage.sign_in().await;
    let body =
        json!({"vpc": "net", "name": "middle", "pools": ["primary"], "cidr": "10.0.112.0/20"});
    stage.make("allocations", body).await;
    stage.open("/ui/map?at=10.0.0.0/16").await;
}

/// How much larger than usual the browser shows the page.
const SCALE: &str = "visualViewport.scale";

const BLOCK: &str = "#canvas [data-map] a[data-cidr='10.0.112.0/20']";

#[tokio::test]
async fn a_pinch_zooms_the_map_and_a_finger_scrolls_the_page() {
    let mut stage = Stage::new().await;
    on_a_phone(&mut stage).await;
    stage.browser.waits_for("#live.on").await;
    one_finger_scrolls(&mut stage).await;

    // Apart: into the map, further from where that led, and together: out again, a step at a time. The page stays as large.
    for (factor, network) in [
        (2.0, "10.0.64.0/18"),
        (2.0, "10.0.112.0/20"),
        (0.5, "10.0.64.0/18"),
        (0.5, "10.0.0.0/16"),
    ] {
        pinches(&mut stage, factor, network).await;
        assert_eq!(stage.browser.evaluate(SCALE).await, 1);
    }
    one_finger_scrolls(&mut stage).await;
    stage.no_problems();
}

/// Pinches until the map is that of a network: fingers that come down while a map takes the place of another find neither,
/// and whoever has them does it again.
async fn pinches(stage: &mut Stage, factor: f64, network: &str) {
    let there = format!(
        "document.querySelector('.path b')?.textContent.includes({}) ?? false",
        json!(network)
    );
    for _ in 0..4 {
        stage.browser.pinch(BLOCK, factor).await;
        for _ in 0..40 {
            if stage.browser.evaluate(&there).await == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    panic!("no pinch leads to {network}");
}

/// Without scripts it does what it does everywhere else, so that nobody is kept from reading small letters.
#[tokio::test]
async fn a_pinch_zooms_the_page_without_scripts() {
    let mut stage = Stage::without_scripts().await;
    on_a_phone(&mut stage).await;
    one_finger_scrolls(&mut stage).await;
    stage.browser.pinch(BLOCK, 2.0).await;
    stage.browser.waits_for_text(".path b", "10.0.0.0/16").await;
    let scale = stage.browser.evaluate(SCALE).await;
    assert!(scale.as_f64().is_some_and(|scale| scale > 1.5), "{scale}");
    stage.no_problems();
}

/// And leaves the map as it is.
async fn one_finger_scrolls(stage: &mut Stage) {
    let before = stage.browser.text("location.href").await;
    let center = format!(
        "document.querySelector({}).scrollIntoView({{block: 'center'}}), scrollY",
        json!(BLOCK)
    );
    let from = stage.browser.evaluate(&center).await;
    stage.browser.swipe_up(BLOCK, 150.0).await;
    stage
        .browser
        .waits_until(&format!("scrollY > {from} + 50"))
        .await;
    assert_eq!(stage.browser.text("location.href").await, before);
    assert_eq!(stage.count("#pick").await, 0);
}
