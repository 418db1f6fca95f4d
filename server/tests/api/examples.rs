//! The examples of the OpenAPI document are real: each request is made here, and each reply is the one that came back, but
//! for ids and times, which are others each time. `.ci/generate` writes what this finds into the document.

use std::{collections::BTreeMap, fs, path::Path};

use ipam_server::domain::seal::Sealer;
use ipam_server::manners::Manners;
use serde_json::{Map, Value, json};

use crate::support::{
    ALLOCATIONS, Api, POOLS, PROFILES, RESERVATIONS, Reply, TOKENS, VPCS, VRFS, WEBHOOKS, path,
};

/// Where they are kept, relative to the crate.
const FILE: &str = "src/http/contract/examples.json";
/// In the place of the time of a reply.
const TIME: &str = "2026-01-31T12:00:00Z";
/// Who asks for what is owned.
const OWNER: [(&str, &str); 1] = [("ipam-owner", "ws-3kX9")];

/// What was asked and answered so far.
struct Examples<'a> {
    api: &'a Api,
    /// By operation: bodies of requests by name, and replies by status and name.
    operations: BTreeMap<String, Value>,
    /// By code: a refusal.
    problems: BTreeMap<String, Value>,
    /// Ids, by what stands for them.
    ids: Vec<String>,
}

impl<'a> Examples<'a> {
    fn new(api: &'a Api) -> Self {
        Self {
            api,
            operations: BTreeMap::new(),
            problems: BTreeMap::new(),
            ids: Vec::new(),
        }
    }

    /// Makes a request and keeps it with its reply.
    async fn ask(
        &mut self,
        operation: &str,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Value,
    ) -> Value {
        let reply = match method {
            "GET" | "DELETE" => {
                let mut all = vec![("x-api-key", crate::support::KEY)];
                all.extend_from_slice(headers);
                self.api.send(method, path, &all, "").await
            }
            _ => self.api.with(method, path, headers, &body).await,
        };
        let Reply { status, json, .. } = reply;
        let shown = self.steady(&json);
        if let Some(code) = json["code"].as_str() {
            self.problems.entry(code.to_owned()).or_insert(shown);
            return json;
        }
        assert!(status < 300, "{operation}: {json}");
        let body = self.steady(&body);
        let kept = self.operations.entry(operation.to_owned()).or_default();
        if !body.is_null() && kept["request"].is_null() {
            kept["request"] = body;
        }
        let status = status.to_string();
        if !json.is_null() && kept["replies"][&status].is_null() {
            kept["replies"][&status] = shown;
        }
        json
    }

    /// The same with ids and times that stay as they are.
    fn steady(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => json!(self.steady_text(text)),
            Value::Array(items) => items.iter().map(|item| self.steady(item)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, field)| {
                    let steady = match name.as_str() {
                        "public_id" => json!("k3v9m2x7q0ab"),
                        "secret" if field.as_str().is_some_and(|it| it.starts_with("whsec_")) => {
                            json!("whsec_bXVzdCBiZSAzMiBieXRlcywgYW5kIG5vbmUgbW9yZS4=")
                        }
                        "milliseconds" => json!(42),
                        "behind" => json!(0),
                        "secret" => {
                            json!("ipam_k3v9m2x7q0ab_0123456789abcdefghjkmnpqrstvwxyz9c4t0e")
                        }
                        "digest" => json!(
                            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
                        ),
                        _ => self.steady(field),
                    };
                    (name.clone(), steady)
                })
                .collect::<Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }

    fn steady_text(&mut self, text: &str) -> String {
        let (mut steady, mut rest) = (String::new(), text);
        while !rest.is_empty() {
            if let Some(id) = has_shape(rest, "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh") {
                let known = self.ids.iter().position(|known| known == id);
                let number = known.unwrap_or_else(|| {
                    self.ids.push(id.to_owned());
                    self.ids.len() - 1
                });
                steady.push_str(&format!("019ac0de-5d3a-7c55-9a4e-{:012}", number + 1));
                rest = &rest[id.len()..];
            } else if let Some(proof) = has_shape(rest, &"h".repeat(64)) {
                // The same for the same question.
                steady.push_str(proof);
                rest = &rest[proof.len()..];
            } else if let Some(id) = has_shape(rest, &"h".repeat(32)) {
                steady.push_str("5b0f8a3c6d1e4f7a9b2c8d4e6f1a3b5c");
                rest = &rest[id.len()..];
            } else if let Some(time) = has_shape(rest, "dddd-dd-ddTdd:dd:dd")
                .or_else(|| has_shape(rest, "dddd-dd-dd dd:dd:dd"))
            {
                steady.push_str(TIME);
                rest = rest[time.len()..]
                    .trim_start_matches(|c: char| c.is_ascii_digit() || ".:+Z".contains(c));
                rest = rest.strip_prefix(" +00:00:00").unwrap_or(rest);
            } else {
                let next = rest.chars().next().expect("it is not empty");
                steady.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        steady
    }
}

/// The beginning of a text, if it looks like that: `h` is a hexadecimal digit, `d` a decimal one.
fn has_shape<'a>(text: &'a str, shape: &str) -> Option<&'a str> {
    let fits = text.len() >= shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, shape)| match shape {
                b'h' => byte.is_ascii_hexdigit(),
                b'd' => byte.is_ascii_digit(),
                other => byte == other,
            });
    if fits { text.get(..shape.len()) } else { None }
}

/// Asks for a bit of everything.
async fn ask_all(api: &Api) -> Examples<'_> {
    let mut all = Examples::new(api);
    let vrf = vrfs(&mut all).await;
    tokens(&mut all).await;
    webhooks(&mut all).await;
    pools(&mut all).await;
    profiles(&mut all).await;
    vpcs(&mut all).await;
    let reserved = reservations(&mut all).await;
    let allocation = allocations(&mut all).await;
    claims(&mut all, &vrf, &allocation).await;
    questions_and_imports(&mut all, &allocation.0).await;
    ends(&mut all, &reserved).await;
    taken_secret(&mut all).await;
    let stranger = api.send("GET", VPCS, &[], "").await.json;
    let stranger = all.steady(&stranger);
    all.problems.insert("unauthorized".to_owned(), stranger);
    all
}

fn id(made: &Value) -> &str {
    made["id"].as_str().expect("an id")
}

/// Returns the same VRF as it was made, and as it was asked for again.
async fn vrfs(all: &mut Examples<'_>) -> (Value, Value) {
    let new = json!({"name": "dev", "labels": {"environment": "dev"}, "description": "Everything that is not production"});
    let vrf = all
        .ask("create_vrf", ("POST", VRFS), &OWNER, new.clone())
        .await;
    let vrf_again = all.ask("create_vrf", ("POST", VRFS), &OWNER, new).await;
    all.ask("get_vrf", ("GET", &format!("{VRFS}/dev")), &[], Value::Null)
        .await;
    all.ask(
        "update_vrf",
        ("PATCH", &format!("{VRFS}/dev")),
        &[("if-match", "\"1\"")],
        json!({"labels": {"environment": "test"}}),
    )
    .await;
    all.ask(
        "update_vrf",
        ("PATCH", &format!("{VRFS}/dev")),
        &[("if-match", "\"1\"")],
        json!({"description": ""}),
    )
    .await;
    all.ask(
        "list_vrfs",
        ("GET", &format!("{VRFS}?name=dev")),
        &[],
        Value::Null,
    )
    .await;
    (vrf, vrf_again)
}

async fn tokens(all: &mut Examples<'_>) {
    let new = json!({
        "name": "ci-network", "roles": ["allocator"], "description": "The pipeline of the network team",
        "limits": {"vrfs": ["default"], "vpcs": ["network-*"], "quotas": {"default/primary": 4096}}, "expires_at": "2099-01-01T00:00:00Z",
    });
    all.ask("create_token", ("POST", TOKENS), &OWNER, new.clone())
        .await;
    all.ask("create_token", ("POST", TOKENS), &OWNER, new).await;
    let path = format!("{TOKENS}/ci-network");
    all.ask("get_token", ("GET", &path), &[], Value::Null).await;
    let patch = json!({"roles": ["planner"]});
    all.ask(
        "update_token",
        ("PATCH", &path),
        &[("if-match", "\"1\"")],
        patch,
    )
    .await;
    all.ask("list_tokens", ("GET", TOKENS), &[], Value::Null)
        .await;
    all.ask("whoami", ("GET", "/api/v1/whoami"), &[], Value::Null)
        .await;
    all.ask("delete_token", ("DELETE", &path), &[], Value::Null)
        .await;
}

async fn webhooks(all: &mut Examples<'_>) {
    let new = json!({
        "name": "siem", "url": "https://siem.example.com/ipam", "description": "What the security team watches",
        "actions": ["token.*", "access.*"], "after": 0,
    });
    all.ask("create_webhook", ("POST", WEBHOOKS), &OWNER, new.clone())
        .await;
    all.ask("create_webhook", ("POST", WEBHOOKS), &OWNER, new)
        .await;
    let path = format!("{WEBHOOKS}/siem");
    all.ask("get_webhook", ("GET", &path), &[], Value::Null)
        .await;
    let patch = json!({"batch_size": 500});
    all.ask(
        "update_webhook",
        ("PATCH", &path),
        &[("if-match", "\"1\"")],
        patch,
    )
    .await;
    let (rotate, resume) = (format!("{path}/rotate"), format!("{path}/resume"));
    let overlap = json!({"overlap_seconds": 0});
    all.ask("rotate_webhook", ("POST", &rotate), &[], overlap)
        .await;
    all.ask(
        "resume_webhook",
        ("POST", &resume),
        &[],
        json!({"after": 0}),
    )
    .await;
    // A name that leads where nothing may go.
    let silent = json!({"url": "https://localhost/ipam"});
    all.api.patch(&path, &silent).await.ok(200);
    let test = format!("{path}/test");
    all.ask("test_webhook", ("POST", &test), &[], Value::Null)
        .await;
    all.ask("list_webhooks", ("GET", WEBHOOKS), &[], Value::Null)
        .await;
    all.ask("delete_webhook", ("DELETE", &path), &[], Value::Null)
        .await;
}

/// Two tokens with one secret.
async fn taken_secret(all: &mut Examples<'_>) {
    let one = json!({"name": "ci-network", "roles": ["allocator"]});
    let one = all.api.post(TOKENS, &one).await.ok(201);
    let other = json!({"name": "ci-database", "roles": ["allocator"], "secret": one["secret"]});
    all.ask("create_token", ("POST", TOKENS), &[], other).await;
}

async fn pools(all: &mut Examples<'_>) {
    let new = json!({
        "name": "nodes", "vrf": "dev", "ranges": ["10.16.0.0/16"], "min_prefix_length": 18,
        "max_prefix_length": 28, "default_prefix_length": 24, "labels": {"tier": "nodes"},
    });
    all.ask("create_pool", ("POST", POOLS), &[], new.clone())
        .await;
    all.ask("create_pool", ("POST", POOLS), &[], new).await;
    let child =
        json!({"name": "team-x", "vrf": "dev", "parent": "nodes", "range_prefix_lengths": [20]});
    all.ask("create_pool", ("POST", POOLS), &[], child).await;
    all.ask(
        "create_pool",
        ("POST", POOLS),
        &[],
        json!({"name": "other", "vrf": "dev", "ranges": ["10.16.128.0/17"]}),
    )
    .await;
    all.ask(
        "get_pool",
        ("GET", &format!("{POOLS}/nodes")),
        &[],
        Value::Null,
    )
    .await;
    all.ask(
        "update_pool",
        ("PATCH", &format!("{POOLS}/nodes")),
        &[],
        json!({"release_cooldown_seconds": 3600}),
    )
    .await;
    all.ask(
        "list_pools",
        ("GET", &format!("{POOLS}?vrf=dev")),
        &[],
        Value::Null,
    )
    .await;
    all.ask(
        "get_pool_free",
        ("GET", &format!("{POOLS}/nodes/free?prefix_length=18")),
        &[],
        Value::Null,
    )
    .await;
}

async fn profiles(all: &mut Examples<'_>) {
    let new = json!({"name": "node-link", "members": [
        {"role": "node", "pool": "nodes"},
        {"role": "link", "pool": "nodes", "min_prefix_length": 28, "max_prefix_length": 28},
    ]});
    all.ask("create_profile", ("POST", PROFILES), &[], new.clone())
        .await;
    all.ask("create_profile", ("POST", PROFILES), &[], new)
        .await;
    all.ask(
        "create_profile",
        ("POST", PROFILES),
        &[],
        json!({"name": "node-link", "members": [{"role": "node", "pool": "nodes"}]}),
    )
    .await;
    all.ask(
        "get_profile",
        ("GET", &format!("{PROFILES}/node-pod")),
        &[],
        Value::Null,
    )
    .await;
    all.ask(
        "update_profile",
        ("PATCH", &format!("{PROFILES}/node-link")),
        &[],
        json!({"description": "A network of nodes and the link to it"}),
    )
    .await;
    all.ask(
        "list_profiles",
        ("GET", &format!("{PROFILES}?name=node-pod")),
        &[],
        Value::Null,
    )
    .await;
}

async fn vpcs(all: &mut Examples<'_>) {
    let new = json!({"name": "team-x", "vrf": "dev", "description": "Team X"});
    all.ask("create_vpc", ("POST", VPCS), &[], new.clone())
        .await;
    all.ask("create_vpc", ("POST", VPCS), &[], new).await;
    all.ask(
        "get_vpc",
        ("GET", &format!("{VPCS}/team-x")),
        &[],
        Value::Null,
    )
    .await;
    all.ask(
        "get_vpc",
        ("GET", &format!("{VPCS}/team-y")),
        &[],
        Value::Null,
    )
    .await;
    all.ask(
        "update_vpc",
        ("PATCH", &format!("{VPCS}/team-x")),
        &[],
        json!({"labels": {"team": "x"}}),
    )
    .await;
    all.ask(
        "list_vpcs",
        ("GET", &format!("{VPCS}?name=team-x")),
        &[],
        Value::Null,
    )
    .await;
}

/// Returns the path of one.
async fn reservations(all: &mut Examples<'_>) -> String {
    let new = json!({"cidr": "10.16.240.0/20", "vrf": "dev", "reason": "In use on premises"});
    let reserved = all
        .ask(
            "create_reservation",
            ("POST", RESERVATIONS),
            &[],
            new.clone(),
        )
        .await;
    all.ask("create_reservation", ("POST", RESERVATIONS), &[], new)
        .await;
    let reserved = format!("{RESERVATIONS}/{}", id(&reserved));
    all.ask("get_reservation", ("GET", &reserved), &[], Value::Null)
        .await;
    all.ask(
        "update_reservation",
        ("PATCH", &reserved),
        &[],
        json!({"reason": "In use on premises until July"}),
    )
    .await;
    all.ask(
        "list_reservations",
        ("GET", &format!("{RESERVATIONS}?vrf=dev")),
        &[],
        Value::Null,
    )
    .await;
    reserved
}

/// Returns the same allocation as it was made, and as it was asked for again.
async fn allocations(all: &mut Examples<'_>) -> (Value, Value) {
    let new = json!({"vpc": "production", "name": "cluster-1", "hosts": 500, "labels": {"environment": "prod"}});
    let made = all
        .ask("create_allocation", ("POST", ALLOCATIONS), &[], new.clone())
        .await;
    let again = all
        .ask("create_allocation", ("POST", ALLOCATIONS), &[], new.clone())
        .await;
    let one = path(&made);
    all.ask(
        "get_allocation",
        ("GET", &one),
        &[("ipam-claim", again["claim"].as_str().expect("a claim"))],
        Value::Null,
    )
    .await;
    all.ask("create_allocation", ("POST", ALLOCATIONS), &[], new)
        .await;
    let unnamed = json!({"vpc": "production", "hosts": 5});
    all.ask(
        "create_allocation",
        ("POST", ALLOCATIONS),
        &[("idempotency-key", "k")],
        unnamed,
    )
    .await;
    all.ask(
        "create_allocation",
        ("POST", ALLOCATIONS),
        &[("idempotency-key", "k")],
        json!({"vpc": "production", "hosts": 6}),
    )
    .await;
    all.ask(
        "create_allocation",
        ("POST", ALLOCATIONS),
        &[],
        json!({"vpc": "production", "hosts": 5, "cidr": "10.0.0.0/24"}),
    )
    .await;
    let batch = json!({"requests": [{"vpc": "team-x", "name": "a", "pools": ["nodes"], "prefix_length": 26}], "atomic": false});
    all.ask(
        "create_allocations",
        ("POST", &format!("{ALLOCATIONS}/batch")),
        &[],
        batch,
    )
    .await;
    let large = json!({"vpc": "team-x", "pools": ["team-x"], "prefix_length": 20});
    all.ask(
        "create_allocation",
        ("POST", ALLOCATIONS),
        &[],
        large.clone(),
    )
    .await;
    all.ask("create_allocation", ("POST", ALLOCATIONS), &[], large)
        .await;
    all.ask(
        "list_allocations",
        (
            "GET",
            &format!("{ALLOCATIONS}?vpc=production&name=cluster-1"),
        ),
        &[],
        Value::Null,
    )
    .await;
    all.ask(
        "update_allocation",
        ("PATCH", &one),
        &[],
        json!({"deletion_protection": true}),
    )
    .await;
    all.ask("delete_allocation", ("DELETE", &one), &[], Value::Null)
        .await;
    (made, again)
}

async fn claims(
    all: &mut Examples<'_>,
    (vrf, vrf_again): &(Value, Value),
    (made, again): &(Value, Value),
) {
    let claims = json!({"claims": [
        {"kind": "vrf", "id": vrf["id"], "claim": vrf_again["claim"]},
        {"kind": "vrf", "id": vrf["id"], "claim": vrf["claim"]},
        {"kind": "allocation", "id": made["id"], "claim": again["claim"]},
    ]});
    all.ask(
        "confirm_claims",
        ("POST", "/api/v1/confirmations"),
        &[],
        claims,
    )
    .await;
    let drawn = json!({"claims": [
        {"kind": "vpc", "id": made["vpc_id"], "claim": "019ac0de-5d3a-7c55-9a4e-5d3a7c559a4e"},
    ]});
    all.ask("take_over", ("POST", "/api/v1/claims"), &OWNER, drawn)
        .await;
}

async fn questions_and_imports(all: &mut Examples<'_>, allocation: &Value) {
    all.ask(
        "get_proof",
        (
            "GET",
            &format!("/api/v1/proof?nonce={}", "0123456789abcdef".repeat(4)),
        ),
        &[],
        Value::Null,
    )
    .await;
    all.ask(
        "lookup",
        ("GET", "/api/v1/lookup?ip=10.0.1.7"),
        &[],
        Value::Null,
    )
    .await;
    all.ask(
        "list_history",
        ("GET", "/api/v1/history?cidr=10.0.0.0/23"),
        &[],
        Value::Null,
    )
    .await;
    all.ask(
        "list_events",
        ("GET", &format!("/api/v1/events?subject={}", id(allocation))),
        &[],
        Value::Null,
    )
    .await;
    all.ask(
        "follow_events",
        ("GET", "/api/v1/events/feed?after=0&limit=1"),
        &[],
        Value::Null,
    )
    .await;
    let mut sealer = Sealer::default();
    while sealer.look(&all.api.ipam).await.expect("a look") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let head = ("GET", "/api/v1/events/head");
    all.ask("get_events_head", head, &[], Value::Null).await;
    let records =
        json!([{"kind": "reservation", "cidr": "192.168.0.0/16", "reason": "Home offices"}]);
    all.ask("import_plan", ("POST", "/api/v1/import"), &[], records)
        .await;
    all.ask(
        "import_plan",
        ("POST", "/api/v1/import"),
        &[],
        json!([{"kind": "reservation", "cidr": "192.168.9.0/24", "reason": "Lab"}]),
    )
    .await;
}

async fn ends(all: &mut Examples<'_>, reserved: &str) {
    all.ask(
        "delete_pool",
        ("DELETE", &format!("{POOLS}/nodes")),
        &[],
        Value::Null,
    )
    .await;
    all.ask("delete_reservation", ("DELETE", reserved), &[], Value::Null)
        .await;
    all.ask("get_reservation", ("GET", reserved), &[], Value::Null)
        .await;
    all.ask(
        "delete_vpc",
        ("DELETE", &format!("{VPCS}/team-x?cascade=true")),
        &[],
        Value::Null,
    )
    .await;
    all.ask("list_vpcs", ("PUT", VPCS), &[], json!({})).await;
    all.ask(
        "create_vpc",
        ("POST", VPCS),
        &[("content-encoding", "gzip")],
        json!({}),
    )
    .await;
    all.ask(
        "create_vpc",
        ("POST", VPCS),
        &[("content-length", "9999999")],
        json!({}),
    )
    .await;
}

/// The refusals of a server that demands conditions of changes, and limits its callers.
async fn ask_where_much_is_demanded() -> BTreeMap<String, Value> {
    // With a limit that is so high that it is said to end in a second, however slow this machine is.
    let demanding = Manners::default()
        .requiring_if_match(true)
        .with_limits(240, 0);
    let api = Api::with_manners(demanding).await;
    let mut all = Examples::new(&api);
    let primary = format!("{POOLS}/primary");
    all.ask("delete_pool", ("DELETE", &primary), &[], Value::Null)
        .await;
    while !all.problems.contains_key("rate_limited") {
        all.ask("whoami", ("GET", "/api/v1/whoami"), &[], Value::Null)
            .await;
    }
    all.problems
}

#[tokio::test]
async fn the_examples_of_the_document_are_what_is_answered() {
    let api = Api::start().await;
    let Examples {
        operations,
        mut problems,
        ..
    } = ask_all(&api).await;
    problems.extend(ask_where_much_is_demanded().await);
    let document = ipam_server::http::openapi::document();
    // Every operation with a body to send or to get has one.
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            let found = operations.get(id).unwrap_or(&Value::Null);
            let has_body = !operation["requestBody"].is_null();
            assert_eq!(!found["request"].is_null(), has_body, "{id}: {found}");
            for status in ["200", "201"] {
                let content = &operation["responses"][status]["content"]["application/json"];
                assert_eq!(
                    !found["replies"][status].is_null(),
                    !content.is_null(),
                    "{id} {status}: {found}"
                );
            }
        }
    }
    // What only happens when something is broken, or much is asked at once, can't be asked for; nor what the administrator's
    // key is never refused.
    let broken = [
        "forbidden",
        "quota_exceeded",
        "internal",
        "unavailable",
        "overloaded",
        "restored",
        "unknown_outcome",
    ];
    for code in ipam_shared::error::Code::ALL {
        let code = code.as_str();
        assert_eq!(
            problems.contains_key(code),
            !broken.contains(&code),
            "{code}"
        );
    }
    let found = json!({ "operations": operations, "problems": problems });
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("IPAM_WRITE_EXAMPLES").is_some() {
        let text = serde_json::to_string_pretty(&found).unwrap();
        fs::write(&file, text + "\n").unwrap();
        return;
    }
    let kept: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    for (part, found) in found.as_object().unwrap() {
        for (name, found) in found.as_object().unwrap() {
            assert_eq!(
                &kept[part][name], found,
                "{name}: run .ci/generate and look at what has changed"
            );
        }
        assert_eq!(
            kept[part].as_object().unwrap().len(),
            found.as_object().unwrap().len()
        );
    }
    // And the document has them.
    for (id, found) in &operations {
        let paths = document["paths"].as_object().unwrap().values();
        let operation = paths
            .flat_map(|item| item.as_object().unwrap().values())
            .find(|operation| operation["operationId"] == *id)
            .unwrap();
        for (status, reply) in found["replies"].as_object().into_iter().flatten() {
            let content = &operation["responses"][status]["content"]["application/json"];
            assert_eq!(
                &content["examples"]["reply"]["value"], reply,
                "{id} {status}"
            );
        }
    }
}
