//! SQL in every parameter: in pairs that a database would answer differently if it ran them, or that would make it wait. The
//! document says which parameters there are, so a new one is tried as well.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::{
    bodies::behind,
    support::{Api, KEY, Operation, VPCS},
};

/// How long a database would wait that runs what says so.
const SLEEP: Duration = Duration::from_secs(5);

/// What is put behind something that exists. The first of each pair would be true, or make the database wait, where the
/// second is false, or does not.
const PAIRS: [[&str; 2]; 11] = [
    ["' and '1'='1", "' and '1'='2"],
    ["' or '1'='1", "' or '1'='2"],
    ["' or 1=1 --", "' or 1=2 --"],
    [" or 1=1", " or 1=2"],
    ["\" or \"1\"=\"1", "\" or \"1\"=\"2"],
    ["') or ('1'='1", "') or ('1'='2"],
    ["\\' or 1=1 --", "\\' or 1=2 --"],
    ["'; select pg_sleep(5) --", "'; select pg_sleep(0) --"],
    ["' || pg_sleep(5) || '", "' || pg_sleep(0) || '"],
    [
        "' and 1=(select 1 from pg_sleep(5)) --",
        "' and 1=(select 1 from pg_sleep(0)) --",
    ],
    [
        "'; drop table allocation cascade; --",
        "'; drop table alligators cascade; --",
    ],
];

/// Where something is put.
#[derive(Clone, Debug)]
enum Spot {
    Path,
    Query(String),
    Header(String),
    /// The fields that lead there in a body: `[]` is an element, `{}` a key and its value.
    Body(Vec<String>),
}

/// All spots of an operation.
fn spots(document: &Value, operation: &Operation) -> Vec<Spot> {
    let mut spots = Vec::new();
    for parameter in operation.described["parameters"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let name = parameter["name"].as_str().expect("a name").to_owned();
        spots.push(match parameter["in"].as_str() {
            Some("path") => Spot::Path,
            Some("query") => Spot::Query(name),
            Some("header") => Spot::Header(name),
            other => panic!("{name} is in {other:?}"),
        });
    }
    let content = &operation.described["requestBody"]["content"]["application/json"];
    if !content.is_null() {
        fields(document, &content["schema"], &mut Vec::new(), &mut spots);
    }
    spots
}

/// The spots of a schema, and of those that are in it.
fn fields(document: &Value, schema: &Value, at: &mut Vec<String>, spots: &mut Vec<Spot>) {
    let schema = behind(document, schema);
    let mut go = |name: &str, schema: &Value| {
        at.push(name.to_owned());
        fields(document, schema, at, spots);
        at.pop();
    };
    let mut is_leaf = true;
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        go(name, property);
        is_leaf = false;
    }
    for (name, inner) in [
        ("[]", &schema["items"]),
        ("{}", &schema["additionalProperties"]),
    ] {
        if inner.is_object() {
            go(name, inner);
            is_leaf = false;
        }
    }
    for word in ["oneOf", "anyOf", "allOf"] {
        for choice in schema[word].as_array().into_iter().flatten() {
            if choice["type"] != "null" {
                fields(document, choice, at, spots);
            }
            is_leaf = false;
        }
    }
    if is_leaf {
        spots.push(Spot::Body(at.clone()));
    }
}

/// Puts a text at a spot of a body.
fn put(body: &mut Value, at: &[String], text: &str) {
    let Some((first, rest)) = at.split_first() else {
        *body = json!(text);
        return;
    };
    match first.as_str() {
        "[]" => {
            let mut element = body.get(0).cloned().unwrap_or_default();
            put(&mut element, rest, text);
            *body = json!([element]);
        }
        "{}" => {
            let mut value = Value::Null;
            put(&mut value, rest, text);
            *body = Value::Object(Map::from_iter([(text.to_owned(), value)]));
        }
        field => {
            if !body.is_object() {
                *body = json!({});
            }
            put(&mut body[field], rest, text);
        }
    }
}

/// An answer without what differs from one request to the next, such as ids, and from one of a pair to the other.
fn normal(reply: &str) -> String {
    let is_id = |word: &str| word.len() >= 32 && !word.contains(' ');
    let words = reply.split('"').filter(|word| !is_id(word));
    let digit = |c: char| if c.is_ascii_digit() { '#' } else { c };
    let said: String = words.flat_map(str::chars).map(digit).collect();
    said.replace("alligators", "allocation")
}

/// Sends an operation with a text at a spot.
async fn send(api: &Api, operation: &Operation, spot: &Spot, text: &str) -> (u16, String) {
    let escaped: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (mut path, mut body) = (operation.path.clone(), operation.body.clone());
    let mut headers = vec![("x-api-key", KEY), ("content-type", "application/json")];
    match spot {
        Spot::Path => {
            let mut parts: Vec<_> = path.split('/').collect();
            parts[4] = &escaped;
            path = parts.join("/");
        }
        Spot::Query(name) => {
            path = format!("{path}?{name}={escaped}");
            // Look-ups need something to look up.
            if path.contains("/lookup") || path.contains("/history") {
                path.push_str(if name == "ip" || name == "cidr" {
                    ""
                } else {
                    "&ip=10.0.0.1"
                });
            }
        }
        Spot::Header(name) => headers.push((name, text)),
        Spot::Body(at) => put(&mut body, at, text),
    }
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let reply = api.send(&operation.method, &path, &headers, body).await;
    (reply.status, reply.text)
}

/// Deletes what was made, and calls by its name what was renamed.
async fn undo(api: &Api, operation: &Operation, spot: &Spot, said: &str) {
    let made: Value = serde_json::from_str(said).unwrap_or_default();
    match (operation.method.as_str(), spot, made["id"].as_str()) {
        ("POST", _, Some(id)) => {
            api.delete(&format!("{}/{id}", operation.path)).await;
        }
        ("PATCH", Spot::Body(at), Some(_)) if at == &["name"] => {
            api.patch(&operation.path, &json!({"name": "spare"})).await;
        }
        _ => {}
    }
}

#[tokio::test]
async fn sql_in_a_question_is_a_text_like_any_other() {
    try_all(&["GET", "DELETE"], 2000).await;
}

/// In this order nothing is used that an operation before has renamed.
#[tokio::test]
async fn sql_in_a_change_is_a_text_like_any_other() {
    try_all(&["POST", "PATCH"], 2000).await;
}

/// Tries every parameter of the operations with these methods, method by method; there must be that many requests.
async fn try_all(methods: &[&str], least: u32) {
    let api = Api::start().await;
    let document = api.get("/api/v1/openapi.json").await.ok(200);
    let mut operations = api.operations(&document).await;
    // By id, so that what is renamed is found again.
    for operation in &mut operations {
        if let Some((list, _)) = operation.path.clone().split_once("/spare") {
            let found = api.get(&format!("{list}/spare")).await.ok(200);
            let id = found["id"].as_str().expect("an id");
            operation.path = operation.path.replace("/spare", &format!("/{id}"));
        }
    }
    operations.retain(|one| methods.contains(&one.method.as_str()));
    operations.sort_by_key(|one| methods.iter().position(|known| *known == one.method));
    let (mut tried, mut wrong) = (0, Vec::new());
    for operation in &operations {
        for spot in spots(&document, operation) {
            for pair in PAIRS {
                let mut answers = Vec::new();
                for suffix in pair {
                    let text = format!("spare{suffix}");
                    let begin = Instant::now();
                    let (status, said) = send(&api, operation, &spot, &text).await;
                    tried += 1;
                    let took = begin.elapsed();
                    if status >= 500 || took >= SLEEP {
                        wrong.push(format!(
                            "{} {spot:?} {text}: {status} {took:?} {said:.300}",
                            operation.id
                        ));
                    }
                    // What was made differs from what was made before.
                    undo(&api, operation, &spot, &said).await;
                    let is_made = status < 300 && operation.method != "GET";
                    let same = if is_made {
                        String::new()
                    } else {
                        normal(&said)
                    };
                    answers.push((status, same));
                }
                if answers[0] != answers[1] {
                    wrong.push(format!("{} {spot:?} {pair:?}: {answers:?}", operation.id));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(tried > least, "{tried}");
    api.verify().await;
}

/// A filter by name finds what has that name, and nothing with SQL behind it; a database that ran it would tell the two of
/// each pair apart, so the pairs are good for something.
#[tokio::test]
async fn a_database_that_ran_it_would_show() {
    let api = Api::start().await;
    for name in ["spare", "other"] {
        api.post(VPCS, &json!({"name": name})).await.ok(201);
    }
    let found = api.get(&format!("{VPCS}?name=spare")).await.ok(200);
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    for pair in PAIRS {
        for suffix in pair {
            let escaped: String = suffix.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let found = api
                .get(&format!("{VPCS}?name=spare{escaped}"))
                .await
                .ok(200);
            assert_eq!(found["items"], json!([]), "{suffix}");
        }
    }
    let vulnerable = async |suffix: &str| {
        let begin = Instant::now();
        let count = api
            .count(&format!(
                "select count(*) from vpc where name = 'spare{suffix}'"
            ))
            .await;
        (count, begin.elapsed() >= SLEEP)
    };
    for pair in [PAIRS[0], PAIRS[2], PAIRS[9]] {
        assert_ne!(
            vulnerable(pair[0]).await,
            vulnerable(pair[1]).await,
            "{pair:?}"
        );
    }
}
