//! What was: the log of events, and maps of other moments.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::Stage;

async fn the_log(mut stage: Stage) {
    stage.sign_in().await;
    let eks = stage
        .make(
            "allocations",
            json!({"vpc": "production", "name": "eks", "hosts": 500}),
        )
        .await;
    stage.make("vrfs", json!({"name": "lab"})).await;
    stage.changes(&eks, json!({"name": "eks-2"})).await;
    stage.releases_by_api(&eks).await;

    // By what was done, which a pattern names too, and by what it is about.
    stage.open("/ui/events").await;
    assert_eq!(
        stage.told(4).await,
        [
            "allocation production/eks-2 released",
            "allocation production/eks renamed to eks-2",
            "VRF lab created",
            "allocation production/eks allocated",
        ]
    );
    stage.browser.fill("#action", "allocation.*").await;
    stage.browser.enter().await;
    assert_eq!(stage.count(".log > li").await, 3);
    stage.browser.fill("#action", "").await;
    stage.browser.fill("#subject", "lab").await;
    stage.browser.enter().await;
    assert_eq!(stage.told(9).await, ["VRF lab created"]);
    // What is gone is found by its id, which its event leads to.
    stage.browser.follow("form[action='/ui/events'] a").await;
    stage.browser.click(".log > li:first-child summary").await;
    stage
        .browser
        .shows(&["allocation.release", eks.as_str()])
        .await;
    stage.browser.follow(".log > li:first-child dd a").await;
    stage
        .holds_in_search(&[("subject", eks.as_str()), ("action", "")])
        .await;
    assert_eq!(stage.count(".log > li").await, 3);

    // By who and when; what can't be understood is said at its field, beside all that was typed.
    stage.open("/ui/events").await;
    for (field, text) in [
        ("actor", "admin"),
        ("action", "vrf.create"),
        ("from", "soon"),
    ] {
        stage.browser.fill(&format!("#{field}"), text).await;
    }
    stage.browser.enter().await;
    stage.is_told(&[("from", "such as 2h")]).await;
    stage
        .holds_in_search(&[
            ("actor", "admin"),
            ("action", "vrf.create"),
            ("from", "soon"),
        ])
        .await;
    stage.browser.shows(&["No search was made."]).await;
    stage.browser.fill("#from", "1h").await;
    stage.browser.enter().await;
    assert_eq!(stage.told(9).await, ["VRF lab created"]);
    stage.browser.fill("#until", "1h").await;
    stage.browser.enter().await;
    stage.browser.shows(&["Nothing was found."]).await;

    follows(&mut stage).await;
    stage.no_problems();
}

/// What is new appears by itself, if there are scripts and nobody has paused that; else it does once the page is loaded again.
async fn follows(stage: &mut Stage) {
    stage.open("/ui/events?action=vrf.create").await;
    let has_scripts = stage.browser.has_scripts().await;
    stage.browser.evaluate("window.isTheSamePage = true").await;
    if has_scripts {
        stage.browser.waits_for("#live.on").await;
        stage.browser.click(".log > li:first-child summary").await;
    }
    stage.make("vrfs", json!({"name": "appears"})).await;
    if has_scripts {
        stage.browser.waits_for_text(".log > .new", "appears").await;
        assert_eq!(stage.browser.evaluate("window.isTheSamePage").await, true);
        stage
            .browser
            .waits_for(".log > li:last-child details[open]")
            .await;
    } else {
        stage
            .browser
            .does_not_show("New ones appear by themselves.")
            .await;
    }
    stage.browser.reload().await;
    assert_eq!(
        stage.told(9).await,
        ["VRF appears created", "VRF lab created"]
    );

    stage.pauses("Pause").await;
    stage.make("vrfs", json!({"name": "later"})).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    stage.browser.does_not_show("later").await;
    stage.pauses("Follow").await;
    stage.browser.shows(&["VRF later created"]).await;
}

async fn other_moments(mut stage: Stage) {
    stage.sign_in().await;
    let ends = stage.allocates("ends", "10.0.0.0/20").await;
    let grows = stage.allocates("grows", "10.0.32.0/21").await;
    let then = stage.a_moment().await;
    stage.releases_by_api(&ends).await;
    stage.changes(&grows, json!({"prefix_length": 20})).await;
    stage.allocates("comes", "10.0.64.0/20").await;
    let later = stage.a_moment().await;
    let pool = stage.pool("primary").await;

    // Now it is not there; at that moment it was, on the map and in the list.
    stage.open(&pool).await;
    assert_eq!(stage.has("10.0.0.0/20").await, (false, false));
    stage.browser.set_moment("#time", &then).await;
    stage.browser.follow("main form.tools button").await;
    let at = format!("As it was at {} UTC", then.replace('T', " "));
    stage.browser.shows(&[&at, "ends"]).await;
    stage.browser.does_not_show("comes").await;
    assert_eq!(stage.has("10.0.0.0/20").await, (true, true));
    assert_eq!(stage.has("10.0.64.0/20").await, (false, false));
    // What it was is still known closely, and its page says what became of it.
    stage
        .browser
        .click("[aria-labelledby=used] th a[href*='pick=10.0.0.0/20']")
        .await;
    stage.browser.waits_for("#pick").await;
    stage
        .browser
        .shows(&["Allocated to net/ends", "Show it as it is now."])
        .await;
    stage
        .goes_on("main .notice a", "main:not(:has(.notice))")
        .await;
    assert_eq!(stage.has("10.0.0.0/20").await, (false, false));
    // Back from change to change: what came, what was resized and what ended; before that it was there.
    while stage.has("10.0.0.0/20").await != (true, true) {
        stage.goes_back_a_change().await;
    }
    assert_eq!(stage.has("10.0.64.0/20").await, (false, false));

    // Two moments compared.
    stage.open(&pool).await;
    stage.browser.set_moment("#time", &later).await;
    stage.browser.set_moment("#since", &then).await;
    stage.browser.follow("main form.tools button").await;
    stage
        .browser
        .shows(&[
            "1 added, 1 ended, 1 resized.",
            "10.0.64.0/20\tVPC net, comes",
            "10.0.0.0/20\tVPC net, ends",
            "10.0.32.0/21 → 10.0.32.0/20\tVPC net, grows",
        ])
        .await;
    for (class, count) in [("came", 1), ("went", 1), ("resized", 1)] {
        assert_eq!(
            stage
                .count(&format!("#canvas [data-map] rect.mark.{class}"))
                .await,
            count,
            "{class}"
        );
    }
    // The other way round the same two are compared.
    stage.browser.set_moment("#time", &then).await;
    stage.browser.set_moment("#since", &later).await;
    stage.browser.follow("main form.tools button").await;
    stage.browser.shows(&["1 added, 1 ended, 1 resized."]).await;
}

impl Stage {
    async fn changes(&self, id: &str, body: Value) {
        let path = format!("/api/v1/allocations/{id}");
        let mut client = self.client().await;
        let reply = client.send("PATCH", &path, &[], &body).await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.json);
    }

    async fn releases_by_api(&self, id: &str) {
        let path = format!("/api/v1/allocations/{id}");
        let mut client = self.client().await;
        let reply = client
            .send("DELETE", &path, &[], &Value::Null)
            .await
            .unwrap();
        assert!(reply.status < 300, "{}", reply.json);
    }

    async fn allocates(&self, name: &str, cidr: &str) -> String {
        let body = json!({"vpc": "net", "name": name, "pools": ["primary"], "cidr": cidr});
        self.make("allocations", body).await
    }

    /// The path of the page of a pool.
    async fn pool(&self, name: &str) -> String {
        let mut client = self.client().await;
        let all = client
            .get(&format!("/api/v1/pools?name={name}"))
            .await
            .unwrap()
            .json;
        format!("/ui/pools/{}", all["items"][0]["id"].as_str().unwrap())
    }

    /// A moment in whole seconds, as fields have it, after all that was done and before what is done next.
    async fn a_moment(&mut self) -> String {
        tokio::time::sleep(Duration::from_millis(1_050)).await;
        self.browser
            .text("new Date().toISOString().slice(0, 19)")
            .await
    }

    /// What the newest events say.
    async fn told(&mut self, most: usize) -> Vec<String> {
        let texts = "[...document.querySelectorAll('.log-what > p:first-child')].map((text) => text.innerText)";
        let told = self.browser.evaluate(texts).await;
        let told = told.as_array().unwrap().iter().take(most);
        told.map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    /// What the fields of a search hold.
    async fn holds_in_search(&mut self, fields: &[(&str, &str)]) {
        for (name, text) in fields {
            let value = format!("document.getElementById('{name}').value");
            assert_eq!(self.browser.text(&value).await, *text, "{name}");
        }
    }

    /// Presses the button that pauses the log, or has it go on.
    async fn pauses(&mut self, label: &str) {
        let button = "main .head .end a";
        let text = format!("document.querySelector('{button}').innerText");
        assert_eq!(self.browser.text(&text).await, label);
        self.browser.follow(button).await;
    }

    /// Whether a network is a block of the map, and whether it is in the list.
    async fn has(&mut self, cidr: &str) -> (bool, bool) {
        let block = self
            .count(&format!("#canvas a[data-cidr='{cidr}'] .block"))
            .await;
        let row = self
            .count(&format!("[aria-labelledby=used] th a[href*='pick={cidr}']"))
            .await;
        (block == 1, row == 1)
    }

    /// Follows a link of a map, which may change the page without loading it.
    async fn goes_on(&mut self, link: &str, until: &str) {
        self.browser.click(link).await;
        self.browser.waits_for(until).await;
    }

    /// Shows the change before.
    async fn goes_back_a_change(&mut self) {
        let link = "main form.tools a[title^='The change before']";
        let href = "document.querySelector(\"main form.tools a[title^='The change before']\").getAttribute('href')";
        let href = self.browser.text(href).await;
        let gone = format!("main:not(:has(form.tools a[href=\"{href}\"])):has(.notice)");
        self.goes_on(link, &gone).await;
    }
}

#[tokio::test]
async fn the_log_is_searched_and_followed() {
    the_log(Stage::new().await).await;
}

#[tokio::test]
async fn the_log_is_searched_and_followed_without_scripts() {
    the_log(Stage::without_scripts().await).await;
}

#[tokio::test]
async fn other_moments_are_shown_and_compared() {
    other_moments(Stage::new().await).await;
}

#[tokio::test]
async fn other_moments_are_shown_and_compared_without_scripts() {
    other_moments(Stage::without_scripts().await).await;
}
