//! What people do with forms that show first what would happen.

use serde_json::json;

use crate::stage::Stage;

/// What is typed into fields, by their names.
pub(crate) type Typed<'a> = &'a [(&'a str, &'a str)];

/// What somebody types into a form.
pub(crate) struct Form<'a> {
    /// What is wrong at first, and what is said of it, at which field.
    pub(crate) wrong: Typed<'a>,
    pub(crate) said: Typed<'a>,
    /// What is typed then.
    pub(crate) right: Typed<'a>,
    /// What the form asks once that would do, and what it shows of it.
    pub(crate) question: &'a str,
    pub(crate) shows: &'a [&'a str],
}

/// Finds a field that is shown, by its name.
fn field(name: &str) -> String {
    format!("main form [name={}]:not([type=hidden])", json!(name))
}

impl Stage {
    /// Opens the form for a new one, from the list.
    pub(crate) async fn begins(&mut self, list: &str) {
        self.open(list).await;
        self.browser.follow("main .head a.primary").await;
    }

    /// Opens the page of the one in a list that is called so.
    pub(crate) async fn finds(&mut self, list: &str, name: &str) {
        self.open(&format!("{list}?name={name}")).await;
        self.browser.follow("tbody th a").await;
    }

    /// Opens the form that changes what the page is about.
    pub(crate) async fn goes_to_change(&mut self) {
        self.browser.follow("main .head a[href$='/edit']").await;
    }

    /// Types into fields.
    pub(crate) async fn types(&mut self, typed: Typed<'_>) {
        for (name, text) in typed {
            self.browser.fill(&field(name), text).await;
        }
    }

    /// Asks what would happen.
    pub(crate) async fn previews(&mut self) {
        self.browser.follow("button[value=preview]").await;
    }

    /// Does what was shown.
    pub(crate) async fn confirms(&mut self) {
        self.browser.follow("button[value=confirm]").await;
    }

    /// What fields hold is what was typed into them.
    pub(crate) async fn holds(&mut self, typed: Typed<'_>) {
        for (name, text) in typed {
            let value = format!("document.querySelector({}).value", json!(field(name)));
            assert_eq!(self.browser.text(&value).await, *text, "{name}");
        }
    }

    /// What is wrong is said at each of these fields, which point to it.
    pub(crate) async fn is_told(&mut self, said: Typed<'_>) {
        for (name, text) in said {
            let problem = format!("{name}-problem");
            self.browser
                .waits_for_text(&format!("#{problem}[role=alert]"), text)
                .await;
            let pointing = format!("[aria-describedby~={problem}]");
            assert_eq!(self.count(&pointing).await, 1, "{name}");
        }
        let all = self.count("main .wrong, main .problem").await;
        assert_eq!(all, said.len() as u64, "nothing else is wrong");
    }

    /// Fills in the form that is open: with mistakes first, then as it should be; looks back at it once, and lets it be done.
    pub(crate) async fn fills_in(&mut self, form: Form<'_>) {
        if !form.wrong.is_empty() {
            self.types(form.wrong).await;
            self.previews().await;
            self.is_told(form.said).await;
            self.holds(form.wrong).await;
            self.no_problems_but(422);
        }
        self.types(form.right).await;
        self.previews().await;
        self.asks(form.question, form.shows).await;
        // What was typed is there again, and leads to the same.
        self.browser.follow("button[value=change]").await;
        self.holds(form.right).await;
        self.previews().await;
        self.asks(form.question, form.shows).await;
        self.confirms().await;
        self.no_problems();
    }

    /// A page asks whether that is wanted, and shows what it is.
    pub(crate) async fn asks(&mut self, question: &str, shows: &[&str]) {
        let title = self
            .browser
            .text("document.querySelector('h1').innerText")
            .await;
        assert_eq!(title, question);
        self.browser.shows(shows).await;
    }

    /// Has what the page is about deleted: is asked, thinks better of it, and does it after all.
    pub(crate) async fn deletes(&mut self, question: &str, shows: &[&str]) {
        let here = self.path().await;
        for is_sure in [false, true] {
            self.browser.follow("main .head a[href$='/delete']").await;
            self.asks(question, shows).await;
            if is_sure {
                self.confirms().await;
            } else {
                self.browser.follow("main .card a.quiet").await;
                assert_eq!(self.path().await, here);
            }
        }
        self.browser.shows(&["Deleted."]).await;
        self.no_problems();
    }

    /// What the page is about can't be deleted, and it is said why.
    pub(crate) async fn can_not_delete(&mut self, why: &[&str]) {
        self.browser.follow("main .head a[href$='/delete']").await;
        self.browser.shows(why).await;
        assert_eq!(self.count("button[value=confirm]").await, 0);
        self.browser.follow("main .card a.quiet").await;
    }
}
