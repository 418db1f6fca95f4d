//! What nobody sends who means well, from tables with the answers, which were written by hand: no network, no body. Nothing of
//! it changes anything.

use serde_json::{Value, json};

use crate::{
    hostile_table::{bytes, lines, words},
    support::{ALLOCATIONS, Api, KEY, POOLS, RESERVATIONS, Reply},
};

const CIDRS: &str = include_str!("hostile/cidrs.txt");
const PLACES: &str = include_str!("hostile/places.txt");
const BODIES: &str = include_str!("hostile/bodies.txt");

/// A place that takes a network: method, path with the network in the place of `{}`, and body.
struct Place {
    name: &'static str,
    method: &'static str,
    path: String,
    body: fn(&str) -> Value,
}

fn nothing(_: &str) -> Value {
    Value::Null
}

/// Where a query takes a network, or an address.
fn asked(name: &'static str, path: &str) -> Place {
    let path = path.to_owned();
    let (method, body) = ("GET", nothing as fn(&str) -> Value);
    Place {
        name,
        method,
        path,
        body,
    }
}

/// Where a body takes one.
fn given(name: &'static str, path: &str, body: fn(&str) -> Value) -> Place {
    let (method, path) = ("POST", path.to_owned());
    Place {
        name,
        method,
        path,
        body,
    }
}

/// Every place that takes a network.
fn networks() -> Vec<Place> {
    let mut places = vec![
        given(
            "allocate",
            ALLOCATIONS,
            |cidr| json!({"vpc": "a", "pools": ["primary"], "cidr": cidr}),
        ),
        given(
            "exclude",
            ALLOCATIONS,
            |cidr| json!({"vpc": "a", "hosts": 5, "exclude_cidrs": ["10.0.0.0/24", cidr]}),
        ),
        given(
            "dry run",
            &format!("{ALLOCATIONS}?dry_run=true"),
            |cidr| json!({"vpc": "a", "cidr": cidr}),
        ),
        given(
            "batch",
            &format!("{ALLOCATIONS}/batch"),
            |cidr| json!({"requests": [{"vpc": "a", "hosts": 5}, {"vpc": "a", "cidr": cidr}]}),
        ),
        given(
            "reserve",
            RESERVATIONS,
            |cidr| json!({"cidr": cidr, "reason": "r"}),
        ),
        given(
            "range",
            POOLS,
            |cidr| json!({"name": "a", "ranges": [cidr]}),
        ),
        given(
            "import",
            "/api/v1/import",
            |cidr| json!([{"cidr": cidr, "vpc": "a"}]),
        ),
        given(
            "import reservation",
            "/api/v1/import",
            |cidr| json!([{"kind": "reservation", "cidr": cidr, "reason": "r"}]),
        ),
        given(
            "import exclude",
            "/api/v1/import",
            |cidr| json!([{"cidr": "10.0.9.0/24", "vpc": "a", "exclude_cidrs": [cidr]}]),
        ),
        given(
            "import requested",
            "/api/v1/import",
            |cidr| json!([{"cidr": "10.0.9.0/24", "vpc": "a", "requested_cidr": cidr}]),
        ),
        asked("within", &format!("{ALLOCATIONS}?within={{}}")),
        asked("reserved within", &format!("{RESERVATIONS}?within={{}}")),
        asked("lookup", "/api/v1/lookup?cidr={}"),
        asked("map", &format!("{POOLS}/primary/map.svg?at={{}}")),
        asked("history", "/api/v1/history?cidr={}"),
    ];
    places.push(Place {
        name: "ranges",
        method: "PATCH",
        path: format!("{POOLS}/spare"),
        body: |cidr| json!({"ranges": ["172.31.0.0/24", cidr]}),
    });
    places
}

/// The places that take something like a network.
fn others() -> Vec<Place> {
    vec![
        asked("contains", &format!("{ALLOCATIONS}?contains={{}}")),
        asked("free", &format!("{POOLS}/primary/free?prefix_length={{}}")),
    ]
}

/// The text that a text of the table stands for.
fn text(escaped: &str) -> String {
    String::from_utf8(bytes(escaped)).expect("UTF-8")
}

/// Each byte as a query has it that leaves nothing to chance.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Sends a text to a place; status, code and all that was said.
async fn put(api: &Api, place: &Place, given: &str) -> (u16, String, String) {
    let path = place.path.replace("{}", &escaped(given));
    let reply = match (place.body)(given) {
        Value::Null => api.get(&path).await,
        body => api.with(place.method, &path, &[], &body).await,
    };
    let code = reply.json["code"].as_str().unwrap_or("-").to_owned();
    if code != "-" {
        reply.problem(reply.status, &code);
    }
    (reply.status, code, reply.text)
}

/// With one of everything, to which each of the tables could do something.
async fn start() -> Api {
    let api = Api::start().await;
    let document = api.get("/api/v1/openapi.json").await.ok(200);
    api.operations(&document).await;
    api
}

/// It still does what it is for.
async fn works(api: &Api) {
    let made = api.allocate(json!({"vpc": "well", "hosts": 5})).await;
    let path = format!("{ALLOCATIONS}/{}", made["id"].as_str().expect("an id"));
    api.get(&path).await.ok(200);
    api.delete(&path).await.ok(204);
    api.verify().await;
}

#[tokio::test]
async fn what_is_no_network_is_refused_wherever_a_network_is_taken() {
    let api = start().await;
    let before = api.state().await;
    let (places, mut wrong, mut tried) = (networks(), Vec::new(), 0);
    for (line, row) in lines(CIDRS) {
        let ([kind], given) = words::<1>(row);
        let given = text(given);
        let says = match kind {
            "syntax" => "is not a CIDR",
            "host" => "has host bits set",
            "mapped" => "an IPv4 network written as IPv6",
            "zeros" => "has a prefix length with leading zeros",
            "length" => "is not a prefix length",
            other => panic!("line {line}: {other}"),
        };
        for place in &places {
            let expected = match place.path.as_str() {
                "/api/v1/import" => (409, "import_conflict"),
                _ => (400, "invalid_request"),
            };
            let (status, code, said) = put(&api, place, &given).await;
            tried += 1;
            if (status, code.as_str()) != expected || !said.contains(says) {
                wrong.push(format!(
                    "line {line}, {} of {given:.60?}: {status} {code} {said:.300}",
                    place.name
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(tried > 3000, "{tried}");
    assert_eq!(api.state().await, before);
    works(&api).await;
}

#[tokio::test]
async fn a_network_in_the_wrong_place_is_refused_and_a_filter_takes_any() {
    let api = start().await;
    let before = api.state().await;
    let (mut places, mut wrong) = (networks(), Vec::new());
    places.extend(others());
    for (line, row) in lines(PLACES) {
        let ([place, status, code], given) = words::<3>(row);
        let place = places.iter().find(|known| known.name == place);
        let place = place.unwrap_or_else(|| panic!("line {line}: {row}"));
        let (is, of, said) = put(&api, place, &text(given)).await;
        if (is.to_string().as_str(), of.as_str()) != (status, code) {
            wrong.push(format!("line {line}, {row}: {is} {of} {said:.300}"));
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(api.state().await, before);
    works(&api).await;
}

/// Sends the body of a row of the table; the reply, and what is wrong with it.
async fn send(api: &Api, (line, row): (usize, &str)) -> (Reply, Option<String>) {
    let ([status, code, target], body) = words::<3>(row);
    let (target, kind) = target
        .split_once(';')
        .unwrap_or((target, "application/json"));
    let (method, path) = match target.strip_prefix("patch:") {
        Some(noun) => ("PATCH", format!("/api/v1/{noun}/spare")),
        None if target == "batch" => ("POST", format!("{ALLOCATIONS}/batch")),
        None => ("POST", format!("/api/v1/{target}")),
    };
    let mut headers = vec![("x-api-key", KEY)];
    if kind != "-" {
        headers.push(("content-type", kind));
    }
    let reply = api.send(method, &path, &headers, bytes(body)).await;
    let of = reply.json["code"].as_str().unwrap_or("-");
    if (reply.status.to_string().as_str(), of) != (status, code) {
        let wrong = format!(
            "line {line}, {row:.90}: {} {of} {:.300}",
            reply.status, reply.text
        );
        return (reply, Some(wrong));
    }
    if of != "-" {
        reply.problem(reply.status, of);
    }
    (reply, None)
}

#[tokio::test]
async fn a_body_that_is_none_changes_nothing() {
    let api = start().await;
    let before = api.state().await;
    let mut wrong = Vec::new();
    let is_good = |(_, row): &(usize, &str)| row.starts_with('2');
    for row in lines(BODIES).filter(|row| !is_good(row)) {
        wrong.extend(send(&api, row).await.1);
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(api.state().await, before);
    works(&api).await;
    for row in lines(BODIES).filter(is_good) {
        let (reply, wrong) = send(&api, row).await;
        assert_eq!(wrong, None);
        let name = reply.json["name"].clone();
        let id = reply.json["id"].as_str().expect("an id");
        let path = format!("/api/v1/vpcs/{id}");
        assert_eq!(api.get(&path).await.ok(200)["name"], name);
        api.delete(&path).await.ok(200);
    }
}
