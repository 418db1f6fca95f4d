//! Chromium, driven over the pipe of its debugging protocol: no driver program, no port, no library.
//!
//! It reads and writes JSON texts that end in a NUL byte, on its file descriptors 3 and 4.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod hands;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Longest wait for anything. Plenty, for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one tab.
pub(crate) struct Chromium {
    /// Killed with this value.
    _process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    next_id: u64,
    session: Option<String>,
    /// Pages that finished loading so far, or that were kept and did not have to.
    loads: u64,
    /// Errors and warnings of the console, refusals by the security policy, dialogs, failed loads.
    problems: Vec<String>,
    /// Removed with this value.
    profile: TempDir,
}

/// How the window is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) width: u32,
    pub(crate) dark: bool,
}

impl Chromium {
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        // The shell makes its standard input and output the descriptors that the protocol wants.
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null"])
            .arg(binary())
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--hide-scrollbars",
                "--remote-debugging-pipe",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut chromium = Self {
            input: process.stdin.take().unwrap(),
            output: BufReader::new(process.stdout.take().unwrap()),
            _process: process,
            next_id: 0,
            session: None,
            loads: 0,
            problems: Vec::new(),
            profile,
        };
        let target = chromium
            .call("Target.createTarget", json!({ "url": "about:blank" }))
            .await;
        let session = chromium
            .call(
                "Target.attachToTarget",
                json!({ "targetId": target["targetId"], "flatten": true }),
            )
            .await;
        chromium.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            chromium.call(&format!("{domain}.enable"), json!({})).await;
        }
        chromium
    }

    /// One command, and its answer.
    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        // What is asked of the browser as a whole is not asked of its tab.
        if let Some(session) = &self.session
            && !method.starts_with("Browser.")
        {
            message["sessionId"] = json!(session);
        }
        let mut bytes = serde_json::to_vec(&message).unwrap();
        bytes.push(0);
        self.input.write_all(&bytes).await.unwrap();
        loop {
            let mut message = self.read().await;
            if message["id"] == id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].take();
            }
        }
    }

    /// The next message, after it was noted what it tells.
    async fn read(&mut self) -> Value {
        let mut bytes = Vec::new();
        timeout(PATIENCE, self.output.read_until(0, &mut bytes))
            .await
            .expect("Chromium says something")
            .unwrap();
        assert_eq!(bytes.pop(), Some(0), "Chromium ended");
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Page.loadEventFired" => self.loads += 1,
            "Page.frameNavigated" if params["type"] == "BackForwardCacheRestore" => self.loads += 1,
            "Page.javascriptDialogOpening" => self.problems.push(format!("dialog: {params}")),
            "Runtime.exceptionThrown" => self.problems.push(format!("exception: {params}")),
            "Network.loadingFailed" if params["canceled"] != true => {
                self.problems.push(format!("failed to load: {params}"));
            }
            "Log.entryAdded"
                if params["entry"]["level"] != "verbose" && params["entry"]["level"] != "info" =>
            {
                self.problems.push(format!("log: {}", params["entry"]));
            }
            "Runtime.consoleAPICalled" if params["type"] != "log" => {
                self.problems.push(format!("console: {params}"));
            }
            _ => {}
        }
        message
    }

    async fn wait_for_load(&mut self, before: u64) {
        while self.loads == before {
            self.read().await;
        }
    }

    /// Opens an address and waits until it is loaded.
    pub(crate) async fn open(&mut self, url: &str) {
        let before = self.loads;
        let answer = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        self.wait_for_load(before).await;
    }

    /// Loads the page again. What a form was answered with is asked for by sending that form again.
    pub(crate) async fn reload(&mut self) {
        let before = self.loads;
        self.call("Page.reload", json!({})).await;
        self.wait_for_load(before).await;
    }

    /// Goes back to the page before, which the browser may have kept.
    pub(crate) async fn back(&mut self) {
        let before = self.loads;
        // The browser is asked and not the page, which would be gone before it answers.
        let history = self.call("Page.getNavigationHistory", json!({})).await;
        let here = usize::try_from(history["currentIndex"].as_u64().unwrap()).unwrap();
        let entry = json!({ "entryId": history["entries"][here - 1]["id"] });
        self.call("Page.navigateToHistoryEntry", entry).await;
        self.wait_for_load(before).await;
    }

    /// The value of an expression in the page.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", params).await;
        assert!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {answer}"
        );
        answer["result"]["value"].take()
    }

    /// Waits until something is on the page.
    pub(crate) async fn waits_for(&mut self, selector: &str) {
        let there = format!("document.querySelector({}) !== null", json!(selector));
        self.waits_until(&there).await;
    }

    /// Waits until something has a text in it.
    pub(crate) async fn waits_for_text(&mut self, selector: &str, text: &str) {
        let there = format!(
            "document.querySelector({})?.textContent.includes({}) ?? false",
            json!(selector),
            json!(text)
        );
        self.waits_until(&there).await;
    }

    /// Waits until an expression is true.
    pub(crate) async fn waits_until(&mut self, condition: &str) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while self.evaluate(condition).await != true {
            if tokio::time::Instant::now() > end {
                let page = self.page_text().await;
                panic!("{condition} does not come true:\n{page}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The network that the focus is on.
    pub(crate) async fn focused(&mut self) -> String {
        self.text("document.activeElement.dataset.cidr ?? document.activeElement.outerHTML")
            .await
    }

    /// A text in the page.
    pub(crate) async fn text(&mut self, expression: &str) -> String {
        let value = self.evaluate(expression).await;
        value
            .as_str()
            .unwrap_or_else(|| panic!("{expression} is {value}"))
            .to_owned()
    }

    /// What a person reads on the page; between the cells of a row is a tab, whatever they hold.
    pub(crate) async fn page_text(&mut self) -> String {
        self.text(r"document.body.innerText.replace(/\s*\t\s*/g, '\t')")
            .await
    }

    pub(crate) async fn shows(&mut self, texts: &[&str]) {
        let page = self.page_text().await;
        for text in texts {
            assert!(page.contains(text), "{text:?} is not on the page:\n{page}");
        }
    }

    pub(crate) async fn does_not_show(&mut self, text: &str) {
        let page = self.page_text().await;
        assert!(!page.contains(text), "{text:?} is on the page:\n{page}");
    }

    pub(crate) async fn look(&mut self, look: Look) {
        let metrics =
            json!({ "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let scheme = if look.dark { "dark" } else { "light" };
        // Without motion a colour is what it will be at once.
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// From now on it is a phone: narrow, and touched with fingers.
    pub(crate) async fn be_a_phone(&mut self) {
        let metrics =
            json!({ "width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true });
        self.call("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let touch = json!({ "enabled": true, "maxTouchPoints": 2 });
        self.call("Emulation.setTouchEmulationEnabled", touch).await;
    }

    /// Pages may use the clipboard, and the test reads what they put there.
    pub(crate) async fn allow_clipboard(&mut self) {
        let permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"];
        self.call(
            "Browser.grantPermissions",
            json!({ "permissions": permissions }),
        )
        .await;
        // Only a page that somebody looks at has the clipboard.
        self.call(
            "Emulation.setFocusEmulationEnabled",
            json!({ "enabled": true }),
        )
        .await;
    }

    /// What was copied last.
    pub(crate) async fn clipboard(&mut self) -> String {
        self.text("navigator.clipboard.readText()").await
    }

    /// Whether pages have scripts that run.
    pub(crate) async fn has_scripts(&mut self) -> bool {
        self.evaluate("document.documentElement.classList.contains('js')")
            .await
            == true
    }

    /// The whole page, as PNG.
    pub(crate) async fn page_picture(&mut self) -> Vec<u8> {
        let clip = self
            .evaluate("({x: 0, y: 0, scale: 1, width: innerWidth, height: document.documentElement.scrollHeight})")
            .await;
        self.picture(json!({ "format": "png", "captureBeyondViewport": true, "clip": clip }))
            .await
    }

    /// What is to be seen of it, as PNG.
    pub(crate) async fn window_picture(&mut self) -> Vec<u8> {
        self.picture(json!({ "format": "png" })).await
    }

    async fn picture(&mut self, params: Value) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", params).await;
        BASE64_STANDARD
            .decode(answer["data"].as_str().unwrap())
            .unwrap()
    }

    /// No script of a page runs any more.
    pub(crate) async fn disable_scripts(&mut self) {
        self.call(
            "Emulation.setScriptExecutionDisabled",
            json!({ "value": true }),
        )
        .await;
    }

    /// What went wrong since this was asked last.
    pub(crate) fn take_problems(&mut self) -> Vec<String> {
        std::mem::take(&mut self.problems)
    }
}

/// The program.
fn binary() -> PathBuf {
    let names = [
        "chromium",
        "chromium-browser",
        "google-chrome",
        "google-chrome-stable",
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name)));
    let on_macos = ["Chromium", "Google Chrome"]
        .map(|name| Path::new("/Applications").join(format!("{name}.app/Contents/MacOS/{name}")));
    std::env::var_os("CHROMIUM")
        .map(PathBuf::from)
        .into_iter()
        .chain(in_path)
        .chain(on_macos)
        .find(|path| path.is_file())
        .expect(
            "Chromium is missing, which the tests of the dashboard drive. Debian: apt-get install chromium; \
             macOS: brew install --cask chromium; else set CHROMIUM to the path of Chromium or Chrome",
        )
}
