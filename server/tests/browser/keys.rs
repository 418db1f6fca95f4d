//! What opens doors: tokens, the secrets of webhooks, and sessions. A secret is shown once, and what was revoked is refused.

use std::time::Duration;

use serde_json::json;

use crate::{
    chromium::Chromium,
    forms::Form,
    stage::{Stage, WIDE},
};

async fn a_life_of_a_token(mut stage: Stage) {
    stage.sign_in().await;
    stage.open("/ui/tokens/new").await;
    stage.browser.click("input[value=reader]").await;
    stage
        .fills_in(Form {
            wrong: &[
                ("name", "ci"),
                ("limit_vpcs", "team-a-*"),
                ("expires", "yesterday"),
            ],
            said: &[("expires", "such as 90d")],
            right: &[("expires", "90d")],
            question: "Create token ci?",
            shows: &[
                "Its secret is shown on the next page, once.",
                "reader",
                "team-a-*",
            ],
        })
        .await;
    let first = stage.reads_the_secret("ipam_").await;
    assert_eq!(stage.asks_with(&first).await, 200);
    let page = stage.leaves_the_secret().await;
    assert_eq!(stage.asks_with(&first).await, 200, "it is still the same");

    // A new secret is shown once too, and ends the old one.
    stage.open(&page).await;
    stage.goes_to_change().await;
    stage.browser.click("#renew").await;
    stage.previews().await;
    stage
        .asks(
            "Change token ci?",
            &["It gets a new secret, which the next page shows, once."],
        )
        .await;
    stage.confirms().await;
    let second = stage.reads_the_secret("ipam_").await;
    assert_ne!(first, second);
    stage.leaves_the_secret().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.asks_with(&first).await, 401);
    assert_eq!(stage.asks_with(&second).await, 200);

    // Revoked, it opens nothing: neither the API nor this.
    stage.open(&page).await;
    stage
        .browser
        .shows(&["created", "given a new secret"])
        .await;
    stage.no_problems_but(401);
    stage
        .deletes(
            "Delete token ci?",
            &[
                "Every server refuses it within a second",
                "It was last used at",
            ],
        )
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.asks_with(&second).await, 401);
    stage.browser.follow(".top form button").await;
    stage.browser.fill("#key", &second).await;
    stage.browser.follow("main button").await;
    stage
        .browser
        .shows(&["That key is not known to this server."])
        .await;
    stage.no_problems_but(401);
}

async fn a_life_of_a_webhook(mut stage: Stage) {
    stage.sign_in().await;
    stage.open("/ui/webhooks/new").await;
    // Nobody is to be told anything by a test.
    stage.browser.click("#enabled").await;
    stage
        .fills_in(Form {
            wrong: &[
                ("name", "siem"),
                ("url", "hooks.example.com"),
                ("actions", "allocation.*"),
            ],
            said: &[("url", "")],
            right: &[("url", "https://hooks.example.com/ipam")],
            question: "Create webhook siem?",
            shows: &[
                "Its secret is shown on the next page, once.",
                "https://hooks.example.com/ipam",
                "allocation.*",
                "no: what happens meanwhile is sent later",
            ],
        })
        .await;
    let first = stage.reads_the_secret("whsec_").await;
    let page = stage.leaves_the_secret().await;

    stage.open(&page).await;
    stage.browser.shows(&["disabled"]).await;
    stage.goes_to_change().await;
    stage
        .fills_in(Form {
            wrong: &[("batch_size", "2000")],
            said: &[("batch_size", "1000")],
            right: &[("batch_size", "10"), ("actions", "")],
            question: "Change webhook siem?",
            shows: &["allocation.*\tall", "10"],
        })
        .await;
    stage.browser.shows(&["Saved."]).await;

    stage.browser.follow("main .head a[href$='/rotate']").await;
    stage
        .asks(
            "A new secret for webhook siem?",
            &["The next page shows it, once."],
        )
        .await;
    stage.confirms().await;
    let second = stage.reads_the_secret("whsec_").await;
    assert_ne!(first, second);
    stage.leaves_the_secret().await;
    stage.open(&page).await;
    stage.browser.shows(&["Old secrets sign until"]).await;
    stage
        .deletes(
            "Delete webhook siem?",
            &["Nobody at its address is told anything any more."],
        )
        .await;
    stage.browser.shows(&["There are no Webhooks yet."]).await;
}

async fn sessions(mut stage: Stage) {
    stage.sign_in().await;
    let mut other = Chromium::start().await;
    other.look(WIDE).await;
    stage
        .from(&mut other, async |stage| stage.sign_in().await)
        .await;

    // Both are listed, and one can be ended without the other.
    let others = "tbody tr:not(:has(.tag))";
    stage.open("/ui/sessions").await;
    stage
        .browser
        .shows(&["You are signed in as admin", "this one"])
        .await;
    stage.browser.follow(&format!("{others} button")).await;
    assert_eq!(stage.path().await, "/ui/sessions");
    assert_eq!(stage.count(others).await, 0);
    stage
        .from(&mut other, async |stage| {
            stage.is_signed_out().await;
            stage.sign_in().await;
        })
        .await;

    // Or all at once: the other first, which ends this one.
    stage
        .from(&mut other, async |stage| {
            stage.open("/ui/sessions").await;
            assert_eq!(stage.count("tbody tr").await, 2);
            stage.browser.follow("main .danger").await;
            stage.is_signed_out().await;
        })
        .await;
    stage.is_signed_out().await;
    stage.sign_in().await;
    stage.open("/ui/sessions").await;
    assert_eq!(stage.count("tbody tr").await, 1);
    stage.no_problems();
}

impl Stage {
    /// The secret that a page shows.
    async fn reads_the_secret(&mut self, begin: &str) -> String {
        self.browser
            .shows(&["This is the only time that it is shown"])
            .await;
        let secret = self
            .browser
            .text("document.getElementById('secret').innerText")
            .await;
        assert!(secret.starts_with(begin), "{secret}");
        secret
    }

    /// Leaves the page that shows a secret: nobody gets to see it again by going back to it, or by loading it once more, which
    /// sends the form again. Answers the page of what has the secret.
    async fn leaves_the_secret(&mut self) -> String {
        self.no_problems_but(401);
        self.browser.follow("main .actions a.button").await;
        let page = self.path().await;
        assert_eq!(self.count("#secret").await, 0);
        self.browser.back().await;
        assert_eq!(self.count("#secret").await, 0, "it is not kept");
        self.browser.reload().await;
        assert_eq!(self.count("#secret").await, 0, "no other one is made");
        // The browser says that it has not kept that page, and the server why it does not do that again.
        self.browser.take_problems();
        page
    }

    /// What the API answers to whoever has that key.
    async fn asks_with(&mut self, key: &str) -> u64 {
        let options = json!({ "headers": { "x-api-key": key }, "credentials": "omit" });
        let call = format!("fetch('/api/v1/whoami', {options}).then((reply) => reply.status)");
        self.browser
            .evaluate(&call)
            .await
            .as_u64()
            .unwrap_or_default()
    }

    /// Does something in another browser.
    async fn from(&mut self, other: &mut Chromium, act: impl AsyncFnOnce(&mut Self)) {
        std::mem::swap(&mut self.browser, other);
        act(self).await;
        self.no_problems();
        std::mem::swap(&mut self.browser, other);
    }

    /// Every page leads to the sign-in.
    async fn is_signed_out(&mut self) {
        self.open("/ui/vpcs").await;
        assert_eq!(self.path().await, "/ui/sign-in");
    }
}

#[tokio::test]
async fn a_token_is_shown_once_used_and_revoked() {
    a_life_of_a_token(Stage::new().await).await;
}

#[tokio::test]
async fn a_token_is_shown_once_used_and_revoked_without_scripts() {
    a_life_of_a_token(Stage::without_scripts().await).await;
}

#[tokio::test]
async fn a_webhook_is_made_changed_and_deleted() {
    a_life_of_a_webhook(Stage::new().await).await;
}

#[tokio::test]
async fn a_webhook_is_made_changed_and_deleted_without_scripts() {
    a_life_of_a_webhook(Stage::without_scripts().await).await;
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    sessions(Stage::new().await).await;
}

#[tokio::test]
async fn sessions_are_listed_and_ended_without_scripts() {
    sessions(Stage::without_scripts().await).await;
}
