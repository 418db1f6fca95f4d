//! Dashboard, alert rules and documentation speak of the metrics that a server really has, and of all of them.

use std::{collections::BTreeSet, path::PathBuf};

use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[path = "../support/exposition.rs"]
mod exposition;

use exposition::Exposition;

fn read(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn send(server: &TestServer, method: &str, path: &str, body: &Value) -> String {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = format!(
        "{method} {path} HTTP/1.0\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        TestServer::API_KEY,
        body.len()
    );
    let mut stream = TcpStream::connect(server.address())
        .await
        .expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("text");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.0 20"), "{method} {path}: {reply}");
    body.to_owned()
}

/// What a server says that has done a little of everything.
async fn scrape() -> Exposition {
    let database = TestDatabase::new().await;
    let server = TestServer::start(&database).await;
    let pool = json!({"name": "p", "ranges": ["172.31.0.0/16"], "default_prefix_length": 24});
    send(&server, "POST", "/api/v1/pools", &pool).await;
    let ask = json!({"vpc": "a", "hosts": 5});
    send(&server, "POST", "/api/v1/allocations", &ask).await;
    let webhook = json!({"name": "w", "url": "https://receiver.invalid/"});
    send(&server, "POST", "/api/v1/webhooks", &webhook).await;
    let metrics = Exposition::parse(&send(&server, "GET", "/metrics", &Value::Null).await);
    let made = metrics.value("ipam_allocations_total", &[("result", "created")]);
    assert_eq!((made, metrics.value("ipam_database_up", &[])), (1.0, 1.0));
    metrics
}

/// Every name of a metric in a text of queries.
fn names_in(text: &str) -> BTreeSet<String> {
    text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_')
        .filter(|word| word.starts_with("ipam_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// What follows `key:` in the rules, block or line.
fn expressions(rules: &str) -> Vec<String> {
    let mut lines = rules.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let Some(first) = line.trim_start().strip_prefix("expr:") else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let mut expression = first.trim_start_matches([' ', '|']).to_owned();
        while let Some(next) = lines.next_if(|next| next.len() - next.trim_start().len() > indent) {
            expression.push_str(next);
        }
        found.push(expression);
    }
    found
}

/// Rows of the table under a heading of docs/OPERATIONS.md: its cells.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    section(document, heading)
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().replace('`', "")).collect()
        })
        .collect()
}

fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, after) = document
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("docs/OPERATIONS.md has no {heading}"));
    after.split("\n## ").next().unwrap_or(after)
}

#[tokio::test]
async fn every_metric_is_documented_and_no_other() {
    let metrics = scrape().await;
    let document = read("docs/OPERATIONS.md");
    let rows = table(&document, "## Metrics");
    let mut documented = BTreeSet::new();
    for row in &rows {
        let [name, kind, labels, meaning] = row.as_slice() else {
            panic!("four columns: {row:?}")
        };
        assert!(documented.insert(name.clone()), "{name} is there twice");
        assert!(meaning.len() > 10, "{name}: {meaning}");
        let family = metrics
            .0
            .get(name)
            .unwrap_or_else(|| panic!("{name} is documented and does not exist"));
        assert_eq!(*kind, family.kind, "{name}");
        let real: BTreeSet<_> = family
            .samples
            .iter()
            .flat_map(|sample| sample.labels.keys())
            .filter(|label| *label != "le")
            .map(String::as_str)
            .collect();
        let told: BTreeSet<_> = labels
            .split(", ")
            .filter(|label| !label.is_empty())
            .collect();
        assert_eq!(told, real, "labels of {name}");
    }
    let real: BTreeSet<_> = metrics.0.keys().cloned().collect();
    assert_eq!(documented, real);
}

#[tokio::test]
async fn dashboard_and_alerts_use_metrics_that_exist() {
    let names = scrape().await.names();
    let rules = read("deploy/prometheus/alerts.yaml");
    let expressions = expressions(&rules);
    assert!(expressions.len() >= 9, "{expressions:?}");
    assert_eq!(expressions.len(), rules.matches("- alert:").count());
    let mut used = BTreeSet::new();
    for expression in &expressions {
        let found = names_in(expression);
        assert!(
            !found.is_empty() || expression.contains("up{"),
            "{expression}"
        );
        used.extend(found);
    }
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/ipam.json")).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let found = names_in(expression);
            assert!(!found.is_empty(), "{expression}");
            used.extend(found);
        }
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["query"]["query"].as_str() {
            used.extend(names_in(query));
        }
    }
    let unknown: Vec<_> = used.difference(&names).collect();
    assert!(unknown.is_empty(), "no server has {unknown:?}");
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/ipam.json")).unwrap();
    assert_eq!(dashboard["uid"], "ipam");
    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() >= 12);
    let mut ids = BTreeSet::new();
    let mut places: Vec<[i64; 4]> = Vec::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "{panel}");
        for field in ["title", "description", "type"] {
            assert!(
                panel[field].as_str().is_some_and(|text| text.len() > 3),
                "{field}: {panel}"
            );
        }
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
        assert!(unit.is_some_and(|unit| !unit.is_empty()), "{panel}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{panel}");
        let refs: BTreeSet<_> = targets
            .iter()
            .map(|target| target["refId"].as_str().unwrap())
            .collect();
        assert_eq!(refs.len(), targets.len(), "{panel}");
        let place = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_i64().unwrap());
        let [x, y, w, h] = place;
        assert!(x + w <= 24, "{panel}");
        for [x2, y2, w2, h2] in &places {
            let apart = x + w <= *x2 || x2 + w2 <= x || y + h <= *y2 || y2 + h2 <= y;
            assert!(apart, "on top of another: {panel}");
        }
        places.push(place);
    }
    let variables: BTreeSet<_> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        variables,
        BTreeSet::from(["datasource", "instance", "job", "vrf"])
    );
}

#[test]
fn every_alert_has_tests_and_a_place_in_the_documentation() {
    let rules = read("deploy/prometheus/alerts.yaml");
    let tests = read("deploy/prometheus/alerts_test.yaml");
    let document = read("docs/OPERATIONS.md");
    let documented: BTreeSet<_> = section(&document, "## Alerts")
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let mut alerts = BTreeSet::new();
    for alert in rules.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        alerts.insert(name);
        for field in ["severity:", "summary:", "description:"] {
            assert!(alert.contains(field), "{name} has no {field}");
        }
        let runbook = format!(
            "runbook_url: \"docs/OPERATIONS.md#{}\"",
            name.to_lowercase()
        );
        assert!(alert.contains(&runbook), "{name}");
        assert!(
            tests.contains(&format!("alertname: {name}, exp_alerts: []")),
            "{name} must not fire"
        );
        let fires = format!("alertname: {name}\n        exp_alerts:\n          - exp_labels");
        assert!(tests.contains(&fires), "{name} must fire");
    }
    assert_eq!(alerts, documented);
}
