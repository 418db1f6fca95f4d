//! What is copied is what is shown.

use serde_json::json;

use crate::stage::Stage;

async fn everything_is_copied(mut stage: Stage) {
    stage.browser.allow_clipboard().await;
    stage.sign_in().await;
    let body = json!({"vpc": "it's $(production)", "name": "eks \"1\"", "hosts": 500,
        "description": "${file(\"x\")} <b>\n\tand more", "labels": {"team": "core"}});
    let eks = stage.make("allocations", body).await;
    stage.open(&format!("/ui/allocations/{eks}")).await;
    stage.browser.click("#more-copies summary").await;
    // Two networks, and snippets for eight tools.
    stage.copies(10).await;
    stage
        .open("/ui/events?action=allocation.*&subject=eks+%221%22")
        .await;
    stage.browser.click("#elsewhere summary").await;
    stage.copies(3).await;
    stage.open("/ui/export").await;
    stage.browser.click("#elsewhere summary").await;
    stage.copies(2).await;
    stage.no_problems();
}

impl Stage {
    /// Presses every button that copies, of which there are so many; without scripts there is none, and what is shown can be
    /// selected.
    async fn copies(&mut self, count: u64) {
        let ids = "[...document.querySelectorAll('[data-copy]')].map((button) => button.dataset.copy).join(' ')";
        let ids = self.browser.text(ids).await;
        assert_eq!(ids.split(' ').count() as u64, count, "{ids}");
        let has_scripts = self.browser.has_scripts().await;
        for id in ids.split(' ') {
            let shown = self
                .browser
                .text(&format!("document.getElementById('{id}').innerText.trim()"))
                .await;
            assert!(!shown.is_empty(), "{id}");
            if has_scripts {
                let button = format!("[data-copy={id}]");
                self.browser.click(&button).await;
                self.browser
                    .waits_for(&format!("{button}[data-copied]"))
                    .await;
                assert_eq!(self.browser.clipboard().await, shown, "{id}");
                self.copies_without_a_clipboard(id, &shown).await;
            } else {
                let is_hidden =
                    format!("document.querySelector('[data-copy={id}]').offsetParent === null");
                assert_eq!(self.browser.evaluate(&is_hidden).await, true, "{id}");
                let select = format!(
                    "getSelection().selectAllChildren(document.getElementById('{id}')), String(getSelection()).trim()"
                );
                assert_eq!(self.browser.text(&select).await, shown, "{id}");
            }
        }
    }

    /// Over plain http pages have no clipboard to write to, and copy as keys would.
    async fn copies_without_a_clipboard(&mut self, id: &str, shown: &str) {
        self.browser
            .evaluate("navigator.clipboard.writeText('something else').then(() =>
                Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true }) && 0)")
            .await;
        self.browser.click(&format!("[data-copy={id}]")).await;
        self.browser.evaluate("delete navigator.clipboard").await;
        assert_eq!(self.browser.clipboard().await, shown, "{id}");
    }
}

#[tokio::test]
async fn what_is_copied_is_what_is_shown() {
    everything_is_copied(Stage::new().await).await;
}

#[tokio::test]
async fn what_is_shown_can_be_selected_without_scripts() {
    everything_is_copied(Stage::without_scripts().await).await;
}
