//! A server on a database of its own, and a browser.

use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};

use crate::{
    chromium::{Chromium, Look},
    client::Client,
    company::make,
};

pub(crate) const WIDE: Look = Look {
    width: 1440,
    dark: false,
};

/// Whether everything is to be seen on every screen, which takes long, or each on some: `./test --nightly` says so.
pub(crate) fn everywhere() -> bool {
    std::env::var_os("IPAM_EVERY_SCREEN").is_some()
}

/// A server on a database of its own, and a browser.
pub(crate) struct Stage {
    pub(crate) browser: Chromium,
    pub(crate) server: TestServer,
    pub(crate) database: TestDatabase,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::new().await;
        let server = TestServer::start(&database).await;
        let mut browser = Chromium::start().await;
        browser.look(WIDE).await;
        Self {
            browser,
            server,
            database,
        }
    }

    /// The same for somebody whose browser runs no scripts.
    pub(crate) async fn without_scripts() -> Self {
        let mut stage = Self::new().await;
        stage.browser.disable_scripts().await;
        stage
    }

    pub(crate) async fn open(&mut self, path: &str) {
        let url = format!("{}{path}", self.server.url());
        self.browser.open(&url).await;
    }

    pub(crate) async fn sign_in(&mut self) {
        self.open("/").await;
        self.browser.fill("#key", TestServer::API_KEY).await;
        self.browser.follow("main button").await;
    }

    /// Where the browser is.
    pub(crate) async fn path(&mut self) -> String {
        self.browser.text("location.pathname").await
    }

    /// How many elements there are of that kind.
    pub(crate) async fn count(&mut self, selector: &str) -> u64 {
        let count = format!("document.querySelectorAll({}).length", json!(selector));
        let count = self.browser.evaluate(&count).await;
        count.as_u64().unwrap()
    }

    /// Fails if anything went wrong in the browser.
    pub(crate) fn no_problems(&mut self) {
        assert_eq!(self.browser.take_problems(), Vec::<String>::new());
    }

    /// Fails if anything went wrong in the browser but for answers of that status, each of which its log has.
    pub(crate) fn no_problems_but(&mut self, status: u16) {
        let problems = self.browser.take_problems();
        let status = status.to_string();
        assert!(
            problems.iter().all(|problem| problem.contains(&status)),
            "{problems:?}"
        );
    }

    /// A client of the same server's API, as its administrator.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.server.address()).await.unwrap()
    }

    /// Makes something by the API, and answers its id.
    pub(crate) async fn make(&self, noun: &str, body: Value) -> String {
        make(&mut self.client().await, noun, body).await
    }

    /// What is wrong with the page, as a list that JavaScript makes; and what the browser minded.
    pub(crate) async fn finds_nothing(&mut self, expression: &str, place: &str) {
        let wrong = self.browser.evaluate(expression).await;
        assert_eq!(wrong, Value::Array(Vec::new()), "{place}");
    }
}
