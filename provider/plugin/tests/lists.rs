//! What Terraform 1.14 and later ask for: lists of what there is, configurations for it, identities that change with a
//! name; and the notes of a plan that 1.16 keeps. The toy provider, driven over its socket.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tfplugin::driver::{Driver, Launch, UNKNOWN};
use tfplugin::{Diagnostics, Result};

const TOY: &str = env!("CARGO_BIN_EXE_terraform-provider-toy");
const BOX: &str = "toy_box";

struct Toy {
    driver: Driver,
    store: TempDir,
}

impl Toy {
    async fn start() -> Self {
        Self::with(Driver::start(TOY).await.unwrap()).await
    }

    async fn with(driver: Driver) -> Self {
        let store = TempDir::new().unwrap();
        let settings = json!({"directory": store.path()});
        driver.configure(settings).await.unwrap();
        Self { driver, store }
    }

    /// Puts boxes onto the shelf.
    async fn boxes(&self, names: &[&str]) {
        for name in names {
            let config = json!({"name": name, "size": 3});
            self.driver.create(BOX, config).await.unwrap();
        }
    }

    /// The names of the boxes that a list with this configuration finds.
    async fn list(&self, config: Json, limit: usize) -> Result<Vec<String>> {
        let items = self.driver.list(BOX, config, limit, false).await?;
        Ok(items.into_iter().map(|item| item.display_name).collect())
    }

    /// How many boxes lists have looked at.
    fn looked_at(&self) -> usize {
        let files = std::fs::read_dir(self.store.path()).unwrap();
        files
            .filter(|file| {
                let name = file.as_ref().unwrap().file_name();
                name.to_string_lossy().starts_with("looked-at-")
            })
            .count()
    }
}

fn error(diagnostics: &Diagnostics) -> String {
    assert_eq!(diagnostics.iter().count(), 1, "{diagnostics}");
    let error = diagnostics.iter().next().unwrap();
    format!("{}: {} ({})", error.summary, error.detail, error.path)
}

async fn wait_for(path: &Path) {
    for _ in 0..1000 {
        if path.exists() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} never came", path.display());
}

#[tokio::test]
async fn a_list_finds_what_is_asked_for() {
    let toy = Toy::start().await;
    toy.boxes(&["a", "b", "c"]).await;
    let all = toy.driver.list(BOX, json!({}), 100, true).await.unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(all[0].identity, json!({"id": "box-a", "name": "a"}));
    assert_eq!(all[0].display_name, "Box box-a");
    let values = all[0].values.as_ref().unwrap();
    assert_eq!((&values["name"], &values["size"]), (&json!("a"), &json!(3)));
    let one = toy.driver.list(BOX, json!({"prefix": "box-b"}), 100, false);
    let one = one.await.unwrap();
    assert_eq!(one.len(), 1);
    assert_eq!(one[0].values, None, "what was not asked for is not sent");
    assert!(toy.driver.names().await.unwrap().contains("list toy_box"));
}

#[tokio::test]
async fn no_more_is_looked_for_than_is_wanted() {
    let toy = Toy::start().await;
    toy.boxes(&["a", "b", "c", "d", "e"]).await;
    let two = toy.list(json!({}), 2).await.unwrap();
    assert_eq!(two, ["Box box-a", "Box box-b"]);
    assert_eq!(toy.looked_at(), 2);
    assert_eq!(toy.list(json!({}), 0).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_goes_wrong_is_said_where_it_does() {
    let toy = Toy::start().await;
    toy.boxes(&["a", "b"]).await;
    for (behave, wanted) in [
        ("fail", "Too dark: Saw one only."),
        ("panic", "The provider crashed while listing toy_box: "),
        ("no identity", "No identity: toy_box Box box-a was found"),
    ] {
        let failed = toy.list(json!({"behave": behave}), 100).await.unwrap_err();
        let said = error(&failed);
        assert!(said.starts_with(wanted), "{said}");
    }
    let found = toy.list(json!({"behave": "warn"}), 100).await.unwrap();
    assert_eq!(found.len(), 2, "a warning ends nothing");
    let warnings = toy.driver.warnings();
    assert_eq!(warnings.len(), 2);
    assert_eq!(warnings[1].detail, "box-b needs a cloth.");
    let failed = toy.list(json!({"prefix": ""}), 100).await.unwrap_err();
    assert_eq!(
        error(&failed),
        "Empty prefix: Leave it out to find all boxes. (prefix)"
    );
    // Others go on after a crash.
    assert_eq!(toy.list(json!({}), 100).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_list_that_is_stopped_is_not_taken_for_all() {
    let toy = Toy::start().await;
    toy.boxes(&["a"]).await;
    let started = toy.store.path().join("started.json");
    let stop = async {
        wait_for(&started).await;
        toy.driver.stop().await.unwrap();
    };
    let list = toy.list(json!({"behave": "wait for stop"}), 100);
    let (listed, ()) = tokio::join!(list, stop);
    let said = error(&listed.unwrap_err());
    assert!(said.starts_with("Interrupted: "), "{said}");
}

#[tokio::test]
async fn a_configuration_has_what_is_not_as_by_default() {
    let toy = Toy::start().await;
    let config = json!({
        "name": "a", "size": 3, "labels": {"x": "y"}, "parts": {"p": {"color": "red"}}, "secret": "s",
        "behave": "odd", "protected": false
    });
    let made = toy.driver.create(BOX, config).await.unwrap();
    let written = toy.driver.generate(&made).await.unwrap();
    let wanted = json!({
        "name": "a", "size": 3, "labels": {"x": "y"}, "parts": {"p": {"color": "red"}}
    });
    assert_eq!(written, wanted);
    let config = json!({"name": "b", "protected": true});
    let made = toy.driver.create(BOX, config.clone()).await.unwrap();
    assert_eq!(toy.driver.generate(&made).await.unwrap(), config);
}

#[tokio::test]
async fn an_identity_changes_with_the_name_when_the_change_is_made() {
    let toy = Toy::start().await;
    let config =
        |name: &str, behave: Option<&str>| json!({"name": name, "size": 3, "behave": behave});
    let made = toy.driver.create(BOX, config("a", None)).await.unwrap();
    let before = json!({"id": "box-a", "name": "a"});
    assert_eq!(made.identity, Some(before.clone()));
    let plan = toy.driver.plan(BOX, Some(&made), config("b", None));
    let after = json!({"id": "box-a", "name": "b"});
    assert_eq!(plan.await.unwrap().identity, Some(after.clone()));
    // The name is not known yet, and an identity of something that exists has to be.
    let plan = toy.driver.plan(BOX, Some(&made), config(UNKNOWN, None));
    assert_eq!(plan.await.unwrap().identity, Some(before.clone()));
    // A change that fails changes neither of the two.
    let plan = toy.driver.plan(BOX, Some(&made), config("b", Some("fail")));
    let failed = toy.driver.apply(&plan.await.unwrap()).await.unwrap();
    assert!(failed.diagnostics.has_errors());
    let kept = failed.stored.unwrap();
    assert_eq!(
        (&kept.values["name"], kept.identity),
        (&json!("a"), Some(before))
    );
    let renamed = toy.driver.update(&made, config("b", None)).await.unwrap();
    assert_eq!(renamed.identity, Some(after.clone()));
    let read = toy.driver.read(&renamed).await.unwrap().unwrap();
    assert_eq!(read.identity, Some(after));
}

#[tokio::test]
async fn an_older_identity_is_upgraded_and_none_stays_none() {
    let toy = Toy::start().await;
    let upgrade = |version, identity: Json| {
        let driver = &toy.driver;
        async move { driver.upgrade_identity(BOX, version, &identity).await }
    };
    assert_eq!(
        upgrade(0, json!({"key": "box-a"})).await.unwrap(),
        Some(json!({"id": "box-a", "name": null}))
    );
    let current = json!({"id": "box-a", "name": "a"});
    assert_eq!(upgrade(1, current.clone()).await.unwrap(), Some(current));
    // Terraform asks also for states that were written by a version without identities.
    assert_eq!(upgrade(0, Json::Null).await.unwrap(), None);
}

#[tokio::test]
async fn a_plan_finds_the_notes_of_the_one_before_where_the_host_keeps_them() {
    let round = |notes: &[u8]| -> Json {
        let notes: Json = serde_json::from_slice(notes).unwrap();
        notes["round"].clone()
    };
    let config = json!({"name": "a"});
    for (launch, second) in [
        (Launch::new(TOY), 1),
        (Launch::new(TOY).with_planned_private(), 2),
    ] {
        let toy = Toy::with(launch.start().await.unwrap()).await;
        let plan = toy.driver.plan(BOX, None, config.clone()).await.unwrap();
        assert_eq!(round(&plan.private), 1);
        let again = toy.driver.replan(&plan).await.unwrap();
        assert_eq!(round(&again.private), second);
        toy.driver.apply(&again).await.unwrap();
    }
}

#[tokio::test]
async fn a_deprecation_says_why() {
    let toy = Toy::start().await;
    let attributes = &toy.driver.schemas().resources[BOX].body.attributes;
    assert_eq!(
        attributes["behave"].deprecated.as_deref(),
        Some("Behave yourself.")
    );
    assert_eq!(attributes["name"].deprecated, None);
    let config = |behave| json!({"name": "a", "behave": behave});
    toy.driver.validate(BOX, config("odd")).await.unwrap();
    let warnings = toy.driver.warnings();
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        (warnings[0].detail.as_str(), warnings[0].path.to_string()),
        ("Behave yourself.", "behave".to_owned())
    );
    toy.driver
        .validate(BOX, json!({"name": "a"}))
        .await
        .unwrap();
    assert!(toy.driver.warnings().is_empty());
}
