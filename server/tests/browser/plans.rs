//! Whole plans: a file with conflicts changes nothing, a mended one is imported, and what is exported is what is there.

use std::path::PathBuf;

use serde_json::json;

use crate::stage::Stage;

/// A line in the way of what is there, two that overlap with each other, with a line break between them, and one that can't be
/// read.
const WITH_CONFLICTS: &str = "cidr,vpc,name,description
10.0.0.0/24,production,taken,
10.0.8.0/24,production,web,\"In front of
everything\"
10.0.8.128/25,production,db,
10.0.9.0/33,production,cache,
";

const MENDED: &str = "cidr,vpc,name,description
10.0.8.0/24,production,web,\"In front of
everything\"
10.0.9.0/24,production,db,
";

async fn a_plan_comes_and_goes(mut stage: Stage) {
    stage.sign_in().await;
    some_of_everything(&stage).await;
    let files = tempfile::tempdir().unwrap();
    let plan = files.path().join("plan.csv");

    // Nothing was chosen, and then a file with conflicts: all are told, and none of it is there.
    stage.open("/ui/import").await;
    stage.previews().await;
    stage
        .browser
        .shows(&["Choose a file that is not empty"])
        .await;
    stage.no_problems_but(422);
    std::fs::write(&plan, WITH_CONFLICTS).unwrap();
    stage.imports(&plan).await;
    stage
        .asks(
            "It can't be imported as it is",
            &["plan.csv", "3 conflicts", "Nothing was changed."],
        )
        .await;
    assert_eq!(
        stage.conflicts().await,
        json!([
            ["line 2", "overlap", "10.0.0.0/24"],
            ["line 5 and line 3", "overlap in file", "10.0.8.128/25"],
            ["line 6", "bad value", ""],
        ])
    );
    assert_eq!(stage.count("button[value=confirm]").await, 0);
    assert_eq!(stage.allocations().await, ["eks"]);

    // Mended, it is imported: what was shown, and not before.
    std::fs::write(&plan, MENDED).unwrap();
    stage.browser.follow("button[value=change]").await;
    stage.imports(&plan).await;
    stage
        .asks("Import this?", &["2 allocations, 2 blocks of allocations"])
        .await;
    assert_eq!(stage.allocations().await, ["eks"]);
    stage.browser.follow("button[value=confirm]").await;
    stage
        .asks(
            "Imported",
            &["Everything in the file is there now.", "2 allocations"],
        )
        .await;
    assert_eq!(stage.allocations().await, ["db", "eks", "web"]);
    stage.open("/ui/allocations?q=10.0.8.7").await;
    stage.browser.follow("tbody th a").await;
    stage
        .browser
        .shows(&["web", "In front of\neverything", "10.0.8.0/24"])
        .await;

    // What is exported is there already, in either format.
    for format in ["csv", "json"] {
        let saved = stage.exports(format).await;
        stage.open("/ui/import").await;
        stage.imports(&saved).await;
        stage
            .asks("Import this?", &["There is nothing to do."])
            .await;
        let told = stage
            .browser
            .text("document.querySelector('main dl').innerText")
            .await;
        let records = told
            .split_once("Records\n")
            .and_then(|(_, rest)| rest.split_once(", of which "))
            .map(|(records, _)| records.to_owned());
        let records = records.unwrap_or_default();
        let told_of = format!("{records}, of which {records} are there already exactly so");
        stage.browser.shows(&[&told_of, "nothing"]).await;
        assert_eq!(stage.count("button[value=confirm]").await, 0);
    }
    stage.no_problems();
}

/// Something of each kind of record, what was released and what cools down included.
async fn some_of_everything(stage: &Stage) {
    for (noun, body) in [
        ("vrfs", json!({"name": "lab", "description": "For tests"})),
        (
            "pools",
            json!({"name": "labs", "vrf": "lab", "ranges": ["10.0.0.0/16"], "release_cooldown_seconds": 3600}),
        ),
        (
            "pools",
            json!({"name": "bench", "vrf": "lab", "parent": "labs", "range_prefix_lengths": [20]}),
        ),
        (
            "profiles",
            json!({"name": "single", "members": [{"role": "only", "pool": "labs"}]}),
        ),
        (
            "vpcs",
            json!({"name": "tests", "vrf": "lab", "labels": {"team": "core"}}),
        ),
        (
            "allocations",
            json!({"vpc": "production", "name": "eks", "hosts": 500, "labels": {"team": "core"}}),
        ),
        (
            "reservations",
            json!({"cidr": "10.0.240.0/21", "reason": "Gateways"}),
        ),
    ] {
        stage.make(noun, body).await;
    }
    let mut client = stage.client().await;
    for body in [
        json!({"vpc": "tests", "vrf": "lab", "name": "gone", "profile": "single", "hosts": 50}),
        json!({"vpc": "production", "name": "gone", "hosts": 50}),
    ] {
        let gone = stage.make("allocations", body).await;
        let path = format!("/api/v1/allocations/{gone}");
        let reply = client
            .send("DELETE", &path, &[], &json!(null))
            .await
            .unwrap();
        assert!(reply.status < 300, "{}", reply.json);
    }
}

impl Stage {
    /// Chooses a file, and asks what would become of it.
    async fn imports(&mut self, file: &std::path::Path) {
        self.browser.choose_file("#file", file).await;
        self.previews().await;
    }

    /// The table of conflicts: where, what, and which network.
    async fn conflicts(&mut self) -> serde_json::Value {
        let rows = "[...document.querySelectorAll('.reasons tbody tr')].map((row) =>
            [...row.cells].slice(0, 3).map((cell) => cell.innerText.trim()))";
        self.browser.evaluate(rows).await
    }

    /// The names of all allocations, as the server has them.
    async fn allocations(&self) -> Vec<String> {
        let mut client = self.client().await;
        let all = client.get("/api/v1/allocations").await.unwrap().json;
        let all = all["items"].as_array().unwrap();
        let mut names: Vec<_> = all
            .iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// Downloads everything in that format, and answers where it was put.
    async fn exports(&mut self, format: &str) -> PathBuf {
        self.open("/ui/export").await;
        self.browser.click(&format!("input[value={format}]")).await;
        self.browser.save("main form button").await
    }
}

#[tokio::test]
async fn a_plan_is_imported_and_exported() {
    a_plan_comes_and_goes(Stage::new().await).await;
}

#[tokio::test]
async fn a_plan_is_imported_and_exported_without_scripts() {
    a_plan_comes_and_goes(Stage::without_scripts().await).await;
}
