//! What hands do: mouse, keyboard, fingers, and files that are chosen or saved.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Chromium, PATIENCE};

/// Moves of which a gesture consists.
const STEPS: u32 = 15;

impl Chromium {
    /// Presses the mouse on an element, where it is.
    pub(crate) async fn click(&mut self, selector: &str) {
        let spot = self.spot(selector).await;
        for kind in ["mousePressed", "mouseReleased"] {
            let params = json!({ "type": kind, "x": spot[0], "y": spot[1], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params).await;
        }
    }

    /// The middle of an element, after it was brought into sight; nothing may cover it.
    async fn spot(&mut self, selector: &str) -> Value {
        let selector = json!(selector);
        self
            .evaluate(&format!(
                "(() => {{
                    const found = document.querySelectorAll({selector});
                    if (found.length !== 1) throw new Error({selector} + ' is there ' + found.length + ' times');
                    found[0].scrollIntoView({{block: 'center'}});
                    // A link may go over several lines.
                    const box = found[0].getClientRects()[0];
                    const spot = [box.x + box.width / 2, box.y + box.height / 2];
                    const top = document.elementFromPoint(...spot);
                    if (!found[0].contains(top)) throw new Error({selector} + ' is covered by ' + top?.outerHTML);
                    return spot;
                }})()"
            ))
            .await
    }

    /// Clicks on what leads to another page.
    pub(crate) async fn follow(&mut self, selector: &str) {
        let before = self.loads;
        self.click(selector).await;
        self.wait_for_load(before).await;
    }

    /// Types a text into a field, in place of what it held.
    pub(crate) async fn fill(&mut self, selector: &str, text: &str) {
        let selector = json!(selector);
        self.evaluate(&format!(
            "(() => {{ const field = document.querySelector({selector}); field.focus(); field.select(); }})()"
        ))
        .await;
        if text.is_empty() {
            self.press("Backspace", 8).await;
        } else {
            self.call("Input.insertText", json!({ "text": text })).await;
        }
    }

    /// Presses and releases a key.
    pub(crate) async fn press(&mut self, key: &str, code: u32) {
        let text = match key {
            "Enter" => "\r",
            // A letter or a sign, which is also written where one can write.
            key if key.len() == 1 => key,
            _ => "",
        };
        for kind in ["keyDown", "keyUp"] {
            let params = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", params).await;
        }
    }

    /// Presses Enter, which sends the form.
    pub(crate) async fn enter(&mut self) {
        let before = self.loads;
        self.press("Enter", 13).await;
        self.wait_for_load(before).await;
    }

    /// Chooses what begins like that, in a list that was reached by keyboard.
    pub(crate) async fn choose(&mut self, selector: &str, text: &str) {
        let list = format!("document.querySelector({})", json!(selector));
        self.evaluate(&format!("{list}.focus()")).await;
        for letter in text.chars() {
            let code = u32::from(letter.to_ascii_uppercase());
            self.press(&letter.to_string(), code).await;
        }
        let chosen = self.text(&format!("{list}.selectedOptions[0].text")).await;
        assert!(chosen.starts_with(text), "{chosen}");
    }

    /// Fills in a field for a moment, all at once: which parts it has to be typed in depends on the language of the browser.
    pub(crate) async fn set_moment(&mut self, selector: &str, moment: &str) {
        let set = format!(
            "document.querySelector({}).value = {}",
            json!(selector),
            json!(moment)
        );
        assert_eq!(self.evaluate(&set).await, moment);
    }

    /// Chooses a file.
    pub(crate) async fn choose_file(&mut self, selector: &str, file: &Path) {
        let field = format!("document.querySelector({})", json!(selector));
        let found = self
            .call("Runtime.evaluate", json!({ "expression": field }))
            .await;
        let params = json!({ "files": [file], "objectId": found["result"]["objectId"] });
        self.call("DOM.setFileInputFiles", params).await;
    }

    /// Presses what saves a file, and answers where it was saved.
    pub(crate) async fn save(&mut self, selector: &str) -> PathBuf {
        let folder = self.profile.path().join(format!("saved-{}", self.next_id));
        let params = json!({ "behavior": "allow", "downloadPath": folder });
        self.call("Browser.setDownloadBehavior", params).await;
        self.click(selector).await;
        let end = Instant::now() + PATIENCE;
        loop {
            let files = std::fs::read_dir(&folder).into_iter().flatten();
            let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
            // Until all of it is there, it has another name.
            let is_whole = |name: &String| !name.starts_with('.') && !name.ends_with(".crdownload");
            if let Some(name) = names.find(is_whole) {
                return folder.join(name);
            }
            assert!(Instant::now() < end, "nothing is saved");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Moves two fingers apart, or together, with the middle between them on an element.
    pub(crate) async fn pinch(&mut self, selector: &str, factor: f64) {
        let spot = self.spot(selector).await;
        let (x, y) = (spot[0].as_f64().unwrap(), spot[1].as_f64().unwrap());
        let begin = if factor < 1.0 { 90.0 } else { 45.0 };
        let moves = (0..=STEPS).map(|step| {
            let apart = begin * (1.0 + (factor - 1.0) * f64::from(step) / f64::from(STEPS));
            json!([{ "id": 0, "x": x - apart, "y": y }, { "id": 1, "x": x + apart, "y": y }])
        });
        self.touch(moves).await;
    }

    /// Moves one finger up from an element, so that what is below comes into sight.
    pub(crate) async fn swipe_up(&mut self, selector: &str, pixels: f64) {
        let spot = self.spot(selector).await;
        let (x, y) = (spot[0].as_f64().unwrap(), spot[1].as_f64().unwrap());
        let moves = (0..=STEPS)
            .map(|step| json!([{ "x": x, "y": y - pixels * f64::from(step) / f64::from(STEPS) }]));
        self.touch(moves).await;
    }

    /// Puts fingers down, moves them, and lifts them.
    async fn touch(&mut self, moves: impl Iterator<Item = Value>) {
        let mut kind = "touchStart";
        for points in moves {
            let params = json!({ "type": kind, "touchPoints": points });
            self.call("Input.dispatchTouchEvent", params).await;
            kind = "touchMove";
        }
        // Fingers that come to rest first do not throw the page.
        sleep(Duration::from_millis(100)).await;
        let params = json!({ "type": "touchEnd", "touchPoints": [] });
        self.call("Input.dispatchTouchEvent", params).await;
    }
}
