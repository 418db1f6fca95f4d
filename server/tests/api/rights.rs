//! The authorization matrix: every route, by every role, against `policy.txt`, which is written by hand.

use std::collections::{BTreeMap, BTreeSet};

use ipam_server::http::rights::ROUTES;
use ipam_shared::api::token::Role;
use serde_json::{Value, json};

use crate::support::{Api, Operation, Reply};

const POLICY: &str = include_str!("policy.txt");
const FORM: &str = "application/x-www-form-urlencoded";

/// The roles that may, by method and route.
fn policy() -> BTreeMap<(&'static str, &'static str), BTreeSet<Role>> {
    let mut policy = BTreeMap::new();
    for line in POLICY
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let mut words = line.split_whitespace();
        let (method, route) = (
            words.next().expect("a method"),
            words.next().expect("a route"),
        );
        let mut roles: BTreeSet<_> = words.map(|word| word.parse().expect("a role")).collect();
        roles.insert(Role::Admin);
        assert!(
            policy.insert((method, route), roles).is_none(),
            "{line} is there twice"
        );
    }
    policy
}

#[test]
fn the_policy_has_every_route_and_no_other() {
    let of_policy: BTreeSet<_> = policy()
        .into_keys()
        .map(|(method, route)| (method, route.trim_end_matches("!dry")))
        .collect();
    let of_server: BTreeSet<_> = ROUTES
        .iter()
        .map(|(method, path, _)| (*method, *path))
        .collect();
    assert_eq!(of_policy, of_server);
}

/// A cell: a request, and its route.
struct Cell {
    method: String,
    route: String,
    path: String,
    body: Value,
}

/// The requests of `/api/v1`, with the dry runs.
fn of_document(document: &Value, operations: Vec<Operation>) -> Vec<Cell> {
    let mut cells = Vec::new();
    for operation in operations {
        let of_document = document["paths"].as_object().expect("an object").iter();
        let (route, _) = of_document
            .flat_map(|(route, item)| {
                item.as_object()
                    .expect("an object")
                    .iter()
                    .map(move |(_, it)| (route, it))
            })
            .find(|(_, it)| it["operationId"] == operation.id.as_str())
            .expect("an operation");
        if route == "/api/v1/proof" {
            continue;
        }
        let query = match operation.id.as_str() {
            "lookup" | "list_history" => "?ip=10.0.0.1",
            _ => "",
        };
        let cell = |route: String, body| Cell {
            method: operation.method.clone(),
            route,
            path: format!("{}{query}", operation.path),
            body,
        };
        if matches!(
            operation.id.as_str(),
            "create_allocation" | "create_allocations" | "update_allocation"
        ) {
            let mut body = operation.body.clone();
            body["dry_run"] = json!(true);
            cells.push(cell(format!("{route}!dry"), body));
        }
        cells.push(cell(route.clone(), operation.body.clone()));
    }
    cells
}

/// Those of the original API.
fn of_the_original(allocation: &Value) -> Vec<Cell> {
    let number = &allocation["number"];
    let cell = |method: &str, route: &str, path: String, body| Cell {
        method: method.to_owned(),
        route: route.to_owned(),
        path,
        body,
    };
    let ask = json!({"vpc": "orig", "hosts": 5, "labels": {"environment": "dev", "region": "eu"}});
    vec![
        cell("GET", "/metrics", "/metrics".to_owned(), Value::Null),
        cell(
            "POST",
            "/allocate!dry",
            "/allocate?dry_run=true".to_owned(),
            ask.clone(),
        ),
        cell("POST", "/allocate", "/allocate".to_owned(), ask),
        cell(
            "GET",
            "/allocations",
            "/allocations".to_owned(),
            Value::Null,
        ),
        cell(
            "PUT",
            "/allocations/{id}",
            format!("/allocations/{number}"),
            json!({"new_vpc_name": "spare"}),
        ),
        cell(
            "GET",
            "/calculate",
            "/calculate?hosts=5".to_owned(),
            Value::Null,
        ),
        cell(
            "DELETE",
            "/allocations/{id}",
            format!("/allocations/{number}"),
            Value::Null,
        ),
        cell(
            "DELETE",
            "/vpcs/{name}",
            "/vpcs/nobody".to_owned(),
            Value::Null,
        ),
    ]
}

fn is_refused(reply: &Reply) -> bool {
    assert_ne!(reply.status, 401, "{}", reply.text);
    assert_ne!(reply.status, 500, "{}", reply.text);
    reply.status == 403
}

/// Waits until it is noted that every token is used, so that nothing else changes.
async fn settle(api: &Api, keys: &BTreeMap<Role, String>) {
    for key in keys.values() {
        api.as_who(key, "GET", "/api/v1/whoami", &Value::Null)
            .await
            .ok(200);
    }
    let unused = "select count(*) from token where name like 'of-%' and last_used_at is null";
    while api.count(unused).await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn keys(api: &Api) -> BTreeMap<Role, String> {
    let mut keys = BTreeMap::new();
    for role in Role::ALL {
        let new = json!({"name": format!("of-{role}"), "roles": [role]});
        keys.insert(role, api.token(new).await);
    }
    keys
}

#[tokio::test]
async fn every_role_may_what_the_policy_says_and_nothing_else() {
    let api = Api::start().await;
    let document = api
        .send("GET", "/api/v1/openapi.json", &[], "")
        .await
        .ok(200);
    let operations = api.operations(&document).await;
    let allocation = api.allocate(json!({"vpc": "original", "hosts": 5})).await;
    let mut cells = of_document(&document, operations);
    cells.extend(of_the_original(&allocation));
    // What deletes comes last, allocations before their VPC.
    cells.sort_by_key(|cell| (cell.method == "DELETE", cell.route.contains("/vpcs/")));
    let (policy, keys) = (policy(), keys(&api).await);
    settle(&api, &keys).await;
    let before = api.state().await;
    let mut denied = 0;
    for cell in &cells {
        let may = &policy[&(cell.method.as_str(), cell.route.as_str())];
        for (role, key) in keys.iter().filter(|(role, _)| !may.contains(role)) {
            let reply = api.as_who(key, &cell.method, &cell.path, &cell.body).await;
            assert!(
                is_refused(&reply),
                "{role} {} {}: {}",
                cell.method,
                cell.route,
                reply.text
            );
            denied += 1;
        }
    }
    assert_eq!(
        api.state().await,
        before,
        "a request that was refused changed something"
    );
    // Each of them is in the audit log.
    api.ipam.write_notes().await.unwrap();
    let noted = "select sum((detail ->> 'count')::bigint)::bigint from event where action = 'access.denied'";
    assert_eq!(api.count(noted).await, denied);
    let mut allowed = 0;
    for cell in &cells {
        let may = &policy[&(cell.method.as_str(), cell.route.as_str())];
        for role in may {
            let reply = api
                .as_who(&keys[role], &cell.method, &cell.path, &cell.body)
                .await;
            assert!(
                !is_refused(&reply),
                "{role} {} {}: {}",
                cell.method,
                cell.route,
                reply.text
            );
            allowed += 1;
        }
    }
    assert_ne!(api.state().await, before);
    assert!(
        denied + allowed >= 390 && allowed * 4 > denied,
        "{denied} denied, {allowed} allowed"
    );
    api.verify().await;
}

/// The cookie of who signs in with a key; none if that is refused.
async fn sign_in(api: &Api, key: &str) -> Option<String> {
    let headers = [("content-type", FORM), ("sec-fetch-site", "same-origin")];
    let reply = api
        .send("POST", "/ui/sign-in", &headers, format!("key={key}"))
        .await;
    match reply.status {
        303 => Some(
            reply
                .header("set-cookie")
                .split(';')
                .next()
                .expect("something")
                .to_owned(),
        ),
        403 => None,
        other => panic!("{other}: {}", reply.text),
    }
}

/// The token of forms, from a page.
async fn csrf(api: &Api, cookie: &str) -> String {
    let page = api
        .send("GET", "/ui/sessions", &[("cookie", cookie)], "")
        .await;
    assert_eq!(page.status, 200, "{}", page.text);
    let at = page
        .text
        .split("name=\"csrf\" value=\"")
        .nth(1)
        .expect("a token");
    at.split('"').next().expect("something").to_owned()
}

/// The id of something that a page's route is about, new for each, and the form that is sent there.
async fn target(api: &Api, route: &str) -> (String, &'static str) {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let noun = route.split('/').nth(2).unwrap_or_default();
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let (name, net) = (
        format!("n{count}"),
        format!("{}.{}.0/24", count / 256, count % 256),
    );
    let new = match noun {
        "allocations" => json!({"vpc": "v", "hosts": 5}),
        "pools" => json!({"name": name, "ranges": [format!("11.{net}")]}),
        "profiles" => json!({"name": name, "members": [{"role": "a", "pool": "primary"}]}),
        "reservations" => json!({"cidr": format!("12.{net}"), "reason": "because"}),
        "tokens" => json!({"name": name, "roles": ["reader"]}),
        "webhooks" => json!({"name": name, "url": "https://siem.example/ipam"}),
        "vpcs" | "vrfs" => json!({"name": name}),
        _ => {
            return (
                String::new(),
                "session=00000000-0000-0000-0000-000000000000",
            );
        }
    };
    let made = api.post(&format!("/api/v1/{noun}"), &new).await.ok(201);
    let id = made["id"].as_str().expect("an id").to_owned();
    let form = match (noun, route.rsplit('/').next()) {
        ("allocations", Some("new")) => "vpc=w&by=hosts&hosts=5&action=confirm",
        ("allocations", Some("edit")) => "vpc=x&hosts=5&revision=1&action=confirm",
        ("pools", Some("new")) => "name=new&ranges=203.0.113.0/24&action=confirm",
        ("profiles", Some("new")) => "name=new&role-0=a&pool-0=primary&action=confirm",
        ("reservations", Some("new")) => "cidr=198.51.100.0/24&reason=r&action=confirm",
        ("reservations", Some("edit")) => "reason=other&revision=1&action=confirm",
        ("tokens", Some("new")) => "name=new&roles=reader&action=confirm",
        ("tokens", Some("edit")) => "roles=auditor&revision=1&action=confirm",
        ("webhooks", Some("new")) => "name=new&url=https://siem.example/ipam&action=confirm",
        ("webhooks", Some("edit")) => {
            "name=other&url=https://siem.example/ipam&revision=1&action=confirm"
        }
        ("webhooks", Some("rotate")) => "overlap=0&action=confirm",
        ("webhooks", Some("resume" | "test")) => "action=confirm",
        (_, Some("new")) => "name=new&action=confirm",
        (_, Some("edit")) => "name=other&revision=1&action=confirm",
        ("vpcs", _) => "revision=1&allocations=0",
        _ => "revision=1",
    };
    (id, form)
}

#[tokio::test]
async fn pages_show_and_do_what_the_policy_says() {
    let api = Api::start().await;
    let keys = keys(&api).await;
    let policy = policy();
    let mut cells = 0;
    for (role, key) in &keys {
        let Some(cookie) = sign_in(&api, key).await else {
            assert_eq!(*role, Role::Metrics);
            continue;
        };
        let token = csrf(&api, &cookie).await;
        for ((method, route), may) in policy.iter().filter(|((_, route), _)| {
            *route == "/"
                || route.starts_with("/ui/")
                    && !route.ends_with("/sign-out")
                    && *route != "/ui/sign-in"
                    // It goes on until the session ends; the tests of pages follow it.
                    && *route != "/ui/live"
        }) {
            let (id, form) = target(&api, route).await;
            let path = route.replace("{id}", &id).replace("{*rest}", "nowhere");
            let before = api.count("select count(*) from event").await;
            let headers = [
                ("cookie", cookie.as_str()),
                ("content-type", FORM),
                ("sec-fetch-site", "same-origin"),
            ];
            let body = if *method == "POST" {
                format!("csrf={token}&{form}")
            } else {
                String::new()
            };
            let reply = api.send(method, &path, &headers, body).await;
            cells += 1;
            assert_eq!(
                is_refused(&reply),
                !may.contains(role),
                "{role} {method} {route}: {} {}",
                reply.status,
                reply.text
            );
            if is_refused(&reply) {
                assert_eq!(
                    api.count("select count(*) from event").await,
                    before,
                    "{role} {method} {route}"
                );
            }
        }
    }
    assert!(cells >= 100, "{cells}");
}

#[tokio::test]
async fn a_session_ends_with_its_token_and_by_signing_out_everywhere() {
    let api = Api::start().await;
    let secret = api.token(json!({"name": "me", "roles": ["reader"]})).await;
    let (one, two) = (
        sign_in(&api, &secret).await.unwrap(),
        sign_in(&api, &secret).await.unwrap(),
    );
    let is_in = async |cookie: &str| {
        let reply = api.send("GET", "/ui/vpcs", &[("cookie", cookie)], "").await;
        reply.status == 200
    };
    assert!(is_in(&one).await && is_in(&two).await);
    let page = api
        .send("GET", "/ui/sessions", &[("cookie", &one)], "")
        .await;
    assert_eq!(
        page.text.matches("name=\"session\"").count(),
        2,
        "{}",
        page.text
    );
    let post = async |cookie: &str, path: &str| {
        let token = csrf(&api, cookie).await;
        let headers = [
            ("cookie", cookie),
            ("content-type", FORM),
            ("sec-fetch-site", "same-origin"),
        ];
        api.send("POST", path, &headers, format!("csrf={token}"))
            .await
    };
    // The cookie is worth nothing after signing out, whoever kept it.
    assert_eq!(post(&one, "/ui/sign-out").await.status, 303);
    assert!(!is_in(&one).await && is_in(&two).await);
    let three = sign_in(&api, &secret).await.unwrap();
    assert_eq!(post(&three, "/ui/sessions").await.status, 303);
    assert!(!is_in(&two).await && !is_in(&three).await);
    let four = sign_in(&api, &secret).await.unwrap();
    assert!(is_in(&four).await);
    api.delete("/api/v1/tokens/me").await.ok(204);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(!is_in(&four).await);
    // Half an hour without use, and twelve hours, end a session too.
    let admin = sign_in(&api, crate::support::KEY).await.unwrap();
    let other = sign_in(&api, crate::support::KEY).await.unwrap();
    assert!(is_in(&admin).await && is_in(&other).await);
    // Twice: that they were used is noted aside from the request, maybe after the first time.
    for _ in 0..2 {
        api.sql("update session set last_used_at = now() - interval '31 min' where session_id = (select max(session_id::text)::uuid from session)").await;
        api.sql("update session set created_at = now() - interval '12 h 1 s' where session_id = (select min(session_id::text)::uuid from session)").await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!is_in(&admin).await && !is_in(&other).await);
    let state = api.state().await;
    assert!(
        !state.contains(admin.split('=').nth(1).expect("a token")),
        "a cookie is stored nowhere"
    );
    assert_eq!(
        api.count("select count(*) from event where action = 'session.open'")
            .await,
        6
    );
}
