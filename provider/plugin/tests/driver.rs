//! The toy provider as a process, driven over its socket: every call and every way to go wrong.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tfplugin::driver::{Driver, Launch, Planned, Stored, UNKNOWN};
use tfplugin::{Diagnostics, Severity};

const TOY: &str = env!("CARGO_BIN_EXE_terraform-provider-toy");

struct Toy {
    driver: Driver,
    store: TempDir,
}

impl std::ops::Deref for Toy {
    type Target = Driver;

    fn deref(&self) -> &Driver {
        &self.driver
    }
}

impl Toy {
    fn stored(&self, id: &str) -> Option<Json> {
        let bytes = std::fs::read(self.store.path().join(format!("{id}.json"))).ok()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }
}

async fn toy() -> Toy {
    let toy = unconfigured().await;
    toy.configure(json!({"directory": toy.store.path()}))
        .await
        .unwrap();
    toy
}

async fn unconfigured() -> Toy {
    Toy {
        driver: Driver::start(TOY).await.unwrap(),
        store: TempDir::new().unwrap(),
    }
}

fn only_error(diagnostics: &Diagnostics) -> (String, String) {
    // Misbehaving is deprecated, which comes along as a warning.
    let mut errors = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    let error = errors.next().unwrap();
    assert_eq!(errors.count(), 0, "{diagnostics}");
    (
        error.path.to_string(),
        format!("{}: {}", error.summary, error.detail),
    )
}

fn box_a() -> Json {
    json!({"name": "a", "size": 3, "labels": {"x": "y"}, "parts": {"p": {"color": "red"}}, "secret": "s", "any": ["b", 1]})
}

fn with(mut json: Json, name: &str, value: impl Into<Json>) -> Json {
    json[name] = value.into();
    json
}

#[tokio::test]
async fn a_resource_lives_from_plan_to_delete() {
    let toy = toy().await;
    let plan = toy.plan("toy_box", None, box_a()).await.unwrap();
    assert_eq!(plan.values["name"], "a");
    assert_eq!(plan.values["id"], UNKNOWN);
    assert_eq!(
        plan.values["parts"]["p"],
        json!({"color": "red", "weight": UNKNOWN})
    );
    assert_eq!(plan.values["protected"], false);
    assert_eq!(plan.values["secret"], Json::Null);

    let created = toy.create("toy_box", box_a()).await.unwrap();
    assert_eq!(created.values["id"], "box-a");
    assert_eq!(
        created.values["secret"],
        Json::Null,
        "write-only values are not stored"
    );
    assert_eq!(
        toy.stored("box-a").unwrap()["secret"],
        "s",
        "and yet they arrive"
    );
    assert_eq!(created.identity, Some(json!({"id": "box-a", "name": "a"})));
    assert!(String::from_utf8_lossy(&created.private).contains("planned_by"));

    assert_eq!(toy.read(&created).await.unwrap(), Some(created.clone()));
    let same = toy.plan("toy_box", Some(&created), box_a()).await.unwrap();
    assert_eq!(same.values, created.values, "the second plan is empty");

    let updated = toy
        .update(&created, with(box_a(), "size", 5))
        .await
        .unwrap();
    assert_eq!(
        (&updated.values["address"], &updated.values["revision"]),
        (&json!("a@5"), &json!(2))
    );
    assert_eq!(updated.private, created.private);

    toy.delete(&updated).await.unwrap();
    assert_eq!(toy.read(&updated).await.unwrap(), None);
    assert!(toy.stored("box-a").is_none());
}

#[tokio::test]
async fn updates_open_only_what_they_may_change() {
    let toy = toy().await;
    let created = toy.create("toy_box", box_a()).await.unwrap();
    let plan = toy
        .plan(
            "toy_box",
            Some(&created),
            with(box_a(), "labels", json!({})),
        )
        .await
        .unwrap();
    assert_eq!(
        (&plan.values["id"], &plan.values["address"]),
        (&json!("box-a"), &json!("a@3"))
    );
    assert_eq!(plan.values["revision"], UNKNOWN);
    let plan = toy
        .plan("toy_box", Some(&created), with(box_a(), "size", 4))
        .await
        .unwrap();
    assert_eq!(plan.values["address"], UNKNOWN);
}

#[tokio::test]
async fn replacements_say_why() {
    let toy = toy().await;
    let created = toy.create("toy_box", box_a()).await.unwrap();
    let by_schema = toy
        .plan("toy_box", Some(&created), with(box_a(), "kind", "oak"))
        .await
        .unwrap();
    let by_hand = toy
        .plan("toy_box", Some(&created), with(box_a(), "size", 1))
        .await
        .unwrap();
    let why = |plan: &Planned| {
        plan.warnings
            .iter()
            .map(|w| w.detail.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(by_schema.requires_replace, ["kind"]);
    assert_eq!(why(&by_schema), ["A box keeps its kind."]);
    assert_eq!(by_hand.requires_replace, ["size"]);
    assert_eq!(why(&by_hand), ["A box can't shrink from 3 to 1."]);
}

#[tokio::test]
async fn deletion_can_be_refused_in_the_plan() {
    let toy = toy().await;
    let created = toy
        .create("toy_box", with(box_a(), "protected", true))
        .await
        .unwrap();
    let (path, text) = only_error(&toy.plan_delete(&created).await.unwrap_err());
    assert_eq!(path, "protected");
    assert!(text.contains("protected = false"), "{text}");
}

#[tokio::test]
async fn none_and_empty_stay_what_they_were() {
    let toy = toy().await;
    let config = json!({"name": "n"});
    let created = toy.create("toy_box", config.clone()).await.unwrap();
    assert_eq!(created.values["labels"], Json::Null);
    // The store answers {} for both.
    let read = toy.read(&created).await.unwrap().unwrap();
    assert_eq!(read.values["labels"], Json::Null);
    let emptied = toy
        .update(&read, with(config, "labels", json!({})))
        .await
        .unwrap();
    assert_eq!(
        toy.read(&emptied).await.unwrap().unwrap().values["labels"],
        json!({})
    );
}

#[tokio::test]
async fn validation_points_at_the_attribute() {
    let toy = unconfigured().await;
    let config = with(
        box_a(),
        "labels",
        json!({"good": "x", "bad": "", "worse": "", "later": UNKNOWN}),
    );
    let errors = toy.validate("toy_box", config).await.unwrap_err();
    let paths: Vec<_> = errors.iter().map(|e| e.path.to_string()).collect();
    assert_eq!(paths, [r#"labels["bad"]"#, r#"labels["worse"]"#]);
    let (path, text) = only_error(
        &toy.validate("toy_box", with(box_a(), "size", 2.5))
            .await
            .unwrap_err(),
    );
    assert_eq!(path, "size");
    assert!(
        text.contains("whole number") && text.contains("2.5"),
        "{text}"
    );
    let (path, _) = only_error(&toy.configure(json!({"directory": ""})).await.unwrap_err());
    assert_eq!(path, "directory");
}

#[tokio::test]
async fn a_panic_is_an_error_and_hurts_nobody_else() {
    let toy = toy().await;
    let bad = toy.create("toy_box", json!({"name": "bad", "behave": "panic"}));
    let good = toy.create("toy_box", json!({"name": "good"}));
    let (bad, good) = tokio::join!(bad, good);
    let (_, text) = only_error(&bad.unwrap_err());
    assert!(
        text.contains("applying a change to toy_box") && text.contains("the lid fell off"),
        "{text}"
    );
    good.unwrap();
    let error = toy
        .validate(
            "toy_box",
            json!({"name": "n", "behave": "panic in validate"}),
        )
        .await
        .unwrap_err();
    assert!(only_error(&error).1.contains("validating toy_box"));
    assert!(
        toy.stderr()
            .lines()
            .any(|line| line == "panic: the lid fell off"),
        "{}",
        toy.stderr()
    );
}

#[tokio::test]
async fn a_failure_after_creation_keeps_the_state() {
    let toy = toy().await;
    let plan = toy
        .plan(
            "toy_box",
            None,
            json!({"name": "n", "behave": "fail later"}),
        )
        .await
        .unwrap();
    let applied = toy.apply(&plan).await.unwrap();
    assert!(
        only_error(&applied.diagnostics)
            .1
            .contains("The lid is missing")
    );
    assert_eq!(applied.stored.unwrap().values["id"], "box-n");
}

#[tokio::test]
async fn what_was_created_is_kept_even_if_the_provider_describes_it_badly() {
    let toy = toy().await;
    for (behave, attribute) in [("forget", "address"), ("confuse", "revision")] {
        let plan = toy
            .plan("toy_box", None, json!({"name": "n", "behave": behave}))
            .await
            .unwrap();
        let applied = toy.apply(&plan).await.unwrap();
        let (path, text) = only_error(&applied.diagnostics);
        assert_eq!(path, attribute);
        assert!(text.contains("kept in the state"), "{text}");
        let stored = applied.stored.unwrap();
        assert_eq!(
            (&stored.values["id"], &stored.values[attribute]),
            (&json!("box-n"), &Json::Null)
        );
    }
}

#[tokio::test]
async fn failures_leave_the_state_as_it_was() {
    let toy = toy().await;
    let plan = toy
        .plan("toy_box", None, json!({"name": "n", "behave": "fail"}))
        .await
        .unwrap();
    let applied = toy.apply(&plan).await.unwrap();
    assert_eq!(only_error(&applied.diagnostics).0, "size");
    assert_eq!(applied.stored, None);

    let created = toy.create("toy_box", box_a()).await.unwrap();
    let plan = toy
        .plan("toy_box", Some(&created), with(box_a(), "behave", "fail"))
        .await
        .unwrap();
    let applied = toy.apply(&plan).await.unwrap();
    assert!(applied.diagnostics.has_errors());
    assert_eq!(applied.stored.unwrap().values, created.values);
}

#[tokio::test]
async fn warnings_come_along_with_success() {
    let toy = toy().await;
    let plan = toy
        .plan("toy_box", None, json!({"name": "n", "behave": "odd"}))
        .await
        .unwrap();
    assert_eq!(
        plan.warnings
            .iter()
            .map(|w| w.summary.as_str())
            .collect::<Vec<_>>(),
        ["Odd"]
    );
    let warnings = toy.warnings();
    let summaries: Vec<_> = warnings.iter().map(|one| one.summary.as_str()).collect();
    assert_eq!(summaries, ["The attribute behave is deprecated", "Odd"]);
}

#[tokio::test]
async fn imports_by_id_and_by_identity() {
    let toy = toy().await;
    let created = toy
        .create("toy_box", json!({"name": "n", "size": 2}))
        .await
        .unwrap();
    let by_id = toy.import("toy_box", "box-n").await.unwrap();
    let by_identity = toy
        .import_identity("toy_box", json!({"id": "box-n"}))
        .await
        .unwrap();
    assert_eq!(by_id, by_identity);
    assert_eq!(by_id.values, created.values);
    assert!(by_id.private.is_empty());
    let errors = toy.import("toy_box", "box-m").await.unwrap_err();
    assert!(only_error(&errors).1.contains("non-existent"));
}

#[tokio::test]
async fn state_is_upgraded_step_by_step() {
    let toy = unconfigured().await;
    let oldest = json!({"id": "i", "name": "n", "volume": 7, "labels": ["a=b"], "gone": true});
    let upgraded = toy.upgrade("toy_box", 0, &oldest).await.unwrap();
    assert_eq!(upgraded.values["size"], 7);
    assert_eq!(upgraded.values["labels"], json!({"a": "b"}));
    assert_eq!(upgraded.values["kind"], Json::Null);
    let newer = json!({"id": "i", "name": "n", "size": 8, "labels": ["c=d"]});
    assert_eq!(
        toy.upgrade("toy_box", 1, &newer).await.unwrap().values["labels"],
        json!({"c": "d"})
    );
    let current = json!({"id": "i", "any": {"type": ["tuple", ["string"]], "value": ["x"]}});
    assert_eq!(
        toy.upgrade("toy_box", 2, &current).await.unwrap().values["any"],
        json!(["x"])
    );
    let (_, text) = only_error(&toy.upgrade("toy_box", 3, &current).await.unwrap_err());
    assert!(text.contains("newer version of the provider"), "{text}");
    let errors = toy
        .upgrade("toy_box", 2, &json!({"size": "many"}))
        .await
        .unwrap_err();
    assert_eq!(only_error(&errors).0, "size");
}

#[tokio::test]
async fn state_moves_over_from_other_types() {
    let toy = toy().await;
    let from = ("terraform.io/builtin/terraform", "terraform_data", 0);
    let moved = toy
        .move_state(from, &json!({"output": "box-n"}), "toy_box")
        .await
        .unwrap();
    assert_eq!(moved.values["id"], "box-n");
    let from = ("registry.terraform.io/hashicorp/random", "random_pet", 0);
    let errors = toy
        .move_state(from, &json!({}), "toy_box")
        .await
        .unwrap_err();
    assert!(
        only_error(&errors)
            .1
            .contains("can't take over a random_pet")
    );
}

#[tokio::test]
async fn data_sources_look_up() {
    let toy = toy().await;
    toy.create("toy_box", json!({"name": "n", "size": 2}))
        .await
        .unwrap();
    let found = toy
        .read_data("toy_lookup", json!({"id": "box-n"}))
        .await
        .unwrap();
    assert_eq!(found, json!({"id": "box-n", "size": 2}));
    let errors = toy
        .read_data("toy_lookup", json!({"id": "box-m"}))
        .await
        .unwrap_err();
    assert_eq!(only_error(&errors).0, "id");
}

#[tokio::test]
async fn ephemeral_resources_open_renew_and_close() {
    let toy = toy().await;
    let mut secret = toy.open("toy_secret", json!({"name": "n"})).await.unwrap();
    assert_eq!(secret.values["value"], "secret of n");
    assert!(secret.renew_at.is_some());
    toy.renew(&mut secret).await.unwrap();
    assert_eq!(toy.stored("n"), Some(json!("renewed")));
    assert_eq!(secret.renew_at, None);
    toy.close(secret).await.unwrap();
    assert_eq!(toy.stored("n"), None);
}

#[tokio::test]
async fn functions_take_arguments_and_say_which_is_wrong() {
    let toy = unconfigured().await;
    assert_eq!(toy.call("double", &[json!(21)]).await.unwrap(), 42);
    let error = toy.call("double", &[json!(0.5)]).await.unwrap_err();
    assert_eq!(error.argument, Some(0));
    assert!(error.text.contains("whole number"), "{}", error.text);
    assert_eq!(
        toy.call("join", &[json!("-"), json!("a"), json!("b")])
            .await
            .unwrap(),
        "a-b"
    );
    assert_eq!(toy.call("join", &[json!(null)]).await.unwrap(), "");
    assert_eq!(
        toy.call("join", &[json!("-"), json!("a"), json!(null)])
            .await
            .unwrap_err()
            .argument,
        Some(2)
    );
    let crash = toy.call("double", &[json!(13)]).await.unwrap_err();
    assert!(
        crash.text.contains("thirteen brings bad luck"),
        "{}",
        crash.text
    );
}

#[tokio::test]
async fn unknown_provider_settings_let_plans_pass_and_reads_keep_the_state() {
    let toy = unconfigured().await;
    toy.configure(json!({"directory": UNKNOWN})).await.unwrap();
    let plan = toy
        .plan("toy_box", None, json!({"name": "n"}))
        .await
        .unwrap();
    let applied = toy.apply(&plan).await.unwrap();
    assert!(
        only_error(&applied.diagnostics)
            .1
            .contains("not configured yet")
    );
    let stored = Stored {
        type_name: "toy_box".into(),
        values: json!({"id": "box-n", "name": "n"}),
        private: b"{\"k\":1}".to_vec(),
        identity: Some(json!({"id": "box-n", "name": "n"})),
    };
    let read = toy.read(&stored).await.unwrap().unwrap();
    assert_eq!(
        (&read.values["id"], &read.private, &read.identity),
        (&json!("box-n"), &stored.private, &stored.identity)
    );
}

#[tokio::test]
async fn the_schema_on_the_wire_is_the_schema_in_the_code() {
    let toy = unconfigured().await;
    let schema = &toy.schemas().resources["toy_box"];
    assert_eq!(schema.version, 2);
    assert_eq!(schema.body.description, "A **box**.");
    let attribute = |name: &str| schema.body.attributes[name].clone();
    assert!(attribute("secret").write_only && attribute("secret").sensitive);
    assert!(attribute("name").required && attribute("id").computed);
    assert!(attribute("protected").optional && attribute("protected").computed);
    assert!(attribute("behave").deprecated.is_some());
    assert_eq!(
        attribute("parts").ty().to_json(),
        json!(["map", ["object", {"color": "string", "weight": "number"}]])
    );
    assert_eq!(attribute("any").ty().to_json(), "dynamic");
    assert!(schema.body.blocks.contains_key("timeouts"));
    assert_eq!(
        toy.schemas().identities["toy_box"].ty().to_json(),
        json!(["object", {"id": "string", "name": "string"}])
    );
    assert_eq!(
        toy.schemas().functions.keys().collect::<Vec<_>>(),
        ["double", "join"]
    );
}

#[tokio::test]
async fn large_messages_pass() {
    let toy = toy().await;
    let text = "x".repeat(20 << 20);
    let created = toy
        .create("toy_box", json!({"name": "n", "any": text}))
        .await
        .unwrap();
    assert_eq!(created.values["any"].as_str().map(str::len), Some(20 << 20));
}

#[tokio::test]
async fn unknown_types_are_reported_by_the_provider_too() {
    let toy = toy().await;
    let errors = toy.create("toy_bag", json!({})).await.unwrap_err();
    assert!(only_error(&errors).1.contains("toy_bag"));
}

#[tokio::test]
async fn stop_reaches_the_handlers_and_leaves_the_server_up() {
    let toy = toy().await;
    let slow = toy.create(
        "toy_box",
        json!({"name": "slow", "behave": "wait for stop"}),
    );
    let stop = async {
        wait_for(&toy.store.path().join("started.json")).await;
        toy.stop().await.unwrap();
        // Everything still works: Terraform has calls under way, and more to come.
        toy.create("toy_box", json!({"name": "next"}))
            .await
            .unwrap();
    };
    let (slow, ()) = tokio::join!(slow, stop);
    assert_eq!(slow.unwrap().values["id"], "box-slow");
}

async fn wait_for(path: &Path) {
    let exists = async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), exists)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_end_stops_the_handlers_and_waits_for_them() {
    let toy = toy().await;
    let slow = toy.create(
        "toy_box",
        json!({"name": "slow", "behave": "wait for stop"}),
    );
    let end = async {
        wait_for(&toy.store.path().join("started.json")).await;
        toy.shutdown().await.unwrap()
    };
    let (slow, status) = tokio::join!(slow, end);
    assert!(status.success());
    assert_eq!(slow.unwrap().values["id"], "box-slow");
}

#[tokio::test]
async fn many_calls_run_at_once() {
    let toy = toy().await;
    let stop = async {
        wait_for(&toy.store.path().join("started.json")).await;
        let creations = (0..300).map(|i| toy.create("toy_box", json!({"name": format!("n{i}")})));
        futures::future::try_join_all(creations).await.unwrap();
        toy.stop().await.unwrap();
    };
    let slow = toy.create(
        "toy_box",
        json!({"name": "slow", "behave": "wait for stop"}),
    );
    let (slow, ()) = tokio::join!(slow, stop);
    slow.unwrap();
}

#[tokio::test]
async fn write_only_values_are_refused_where_they_would_be_stored() {
    let driver = Launch::new(TOY).without_write_only().start().await.unwrap();
    let errors = driver
        .validate("toy_box", json!({"name": "n", "secret": "s"}))
        .await
        .unwrap_err();
    assert_eq!(only_error(&errors).0, "secret");
    driver
        .validate("toy_box", json!({"name": "n"}))
        .await
        .unwrap();
}

#[tokio::test]
async fn names_and_identities_are_told() {
    let toy = unconfigured().await;
    let names = toy.names().await.unwrap();
    assert_eq!(
        names.iter().collect::<Vec<_>>(),
        [
            "double",
            "join",
            "list toy_box",
            "toy_box",
            "toy_lookup",
            "toy_secret"
        ]
    );
    let identity = toy
        .upgrade_identity("toy_box", 0, &json!({"key": "i", "old": 1}))
        .await
        .unwrap();
    assert_eq!(identity, Some(json!({"id": "i", "name": null})));
}

#[tokio::test]
async fn log_lines_are_ours_alone_and_have_a_level() {
    let at = async |level: &str| {
        let driver = Launch::new(TOY)
            .env("TF_LOG_PROVIDER", level)
            .start()
            .await
            .unwrap();
        driver
            .configure(json!({"directory": "/nowhere", "key": "hush"}))
            .await
            .unwrap();
        driver.shutdown().await.unwrap();
        driver.stderr()
    };
    let lines = at("TRACE").await;
    for line in lines.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        assert_eq!(line["@module"], "toy");
        assert!(line["@message"].is_string() && line["@level"].is_string());
        assert_eq!(
            line["@timestamp"].as_str().unwrap().len(),
            "2026-01-01T00:00:00.000000Z".len()
        );
    }
    assert!(
        lines.contains("a detail") && lines.contains("configuring the provider"),
        "{lines}"
    );
    assert!(!lines.contains("hush"));
    let info = at("INFO").await;
    assert!(
        info.contains("configured") && !info.contains("a detail"),
        "{info}"
    );
    assert_eq!(at("OFF").await, "");
}
