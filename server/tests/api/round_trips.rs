//! How many round trips to the database each operation takes, as the driver logs them. A change holds locks for most of
//! them, so that each one more is a longer wait for everybody else.

use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt as _;

use crate::statements::Statements;
use crate::support::{
    ALLOCATIONS, Api, POOLS, PROFILES, RESERVATIONS, TOKENS, VPCS, VRFS, WEBHOOKS,
};

struct Counted {
    api: Api,
    /// Whose key is shown; the administrator's if there is none.
    key: Option<String>,
    statements: Statements,
    problems: Vec<String>,
}

impl Counted {
    /// Sends a request twice, by what makes it another one each time, and counts the statements of the second: the first
    /// fills what is kept in memory.
    async fn takes(
        &mut self,
        what: &str,
        expected: usize,
        mut request: impl AsyncFnMut(&Api, usize) -> (&'static str, String, Value),
    ) {
        for round in 0..2 {
            let (method, path, body) = request(&self.api, round).await;
            self.statements.take();
            let reply = match &self.key {
                None => self.api.with(method, &path, &[], &body).await,
                Some(key) => self.api.as_who(key, method, &path, &body).await,
            };
            assert!(reply.status < 300, "{what}: {}", reply.text);
            if round == 1 {
                let seen = self.statements.take();
                if seen.len() != expected {
                    let all = seen.join("\n    ");
                    (self.problems).push(format!(
                        "{what}: {} and not {expected}\n    {all}",
                        seen.len()
                    ));
                }
            }
        }
    }
}

fn id(made: &Value) -> String {
    made["id"].as_str().expect("an id").to_owned()
}

async fn made(api: &Api, path: &str, body: Value) -> String {
    id(&api.post(path, &body).await.ok(201))
}

/// Allocations. By default one that is alone is decided without a lock, in two.
async fn allocations(counted: &mut Counted) {
    let allocation = |n: usize| json!({"vpc": "a", "name": format!("a-{n}"), "prefix_length": 26});
    counted
        .takes("allocate", 2, async |_, n| {
            ("POST", ALLOCATIONS.to_owned(), allocation(n))
        })
        .await;
    counted
        .takes("release", 4, async |api, n| {
            let id = made(
                api,
                ALLOCATIONS,
                json!({"vpc": "r", "name": format!("{n}"), "hosts": 9}),
            )
            .await;
            ("DELETE", format!("{ALLOCATIONS}/{id}"), Value::Null)
        })
        .await;
    counted
        .takes("resize", 4, async |api, n| {
            let body = json!({"vpc": "s", "name": format!("{n}"), "prefix_length": 24});
            let id = made(api, ALLOCATIONS, body).await;
            (
                "PATCH",
                format!("{ALLOCATIONS}/{id}"),
                json!({"prefix_length": 25}),
            )
        })
        .await;
    counted
        .takes("dry run of a resize", 1, async |api, n| {
            let body = json!({"vpc": "d", "name": format!("{n}"), "prefix_length": 24});
            let id = made(api, ALLOCATIONS, body).await;
            let patch = json!({"prefix_length": 25, "dry_run": true});
            ("PATCH", format!("{ALLOCATIONS}/{id}"), patch)
        })
        .await;
    counted
        .takes("change an allocation", 4, async |api, n| {
            let body = json!({"vpc": "c", "name": format!("{n}"), "hosts": 9});
            let id = made(api, ALLOCATIONS, body).await;
            (
                "PATCH",
                format!("{ALLOCATIONS}/{id}"),
                json!({"labels": {"a": "b"}}),
            )
        })
        .await;
    // The VPC is found by its name under the locks, and the allocation is locked after it.
    counted
        .takes("move an allocation", 6, async |api, n| {
            let body = json!({"vpc": "m", "name": format!("{n}"), "hosts": 9});
            let id = made(api, ALLOCATIONS, body).await;
            ("PATCH", format!("{ALLOCATIONS}/{id}"), json!({"vpc": "n"}))
        })
        .await;
    counted
        .takes("show an allocation", 1, async |api, n| {
            let body = json!({"vpc": "g", "name": format!("{n}"), "hosts": 9});
            let id = made(api, ALLOCATIONS, body).await;
            ("GET", format!("{ALLOCATIONS}/{id}"), Value::Null)
        })
        .await;
}

/// Nouns that are found by id or name: a look at which of the two it is, where the path has one, comes before the change.
async fn named_nouns(counted: &mut Counted) {
    for (what, path, body, patch) in [
        ("a VRF", VRFS, json!({}), json!({"description": "d"})),
        ("a VPC", VPCS, json!({}), json!({"description": "d"})),
        (
            "a profile",
            PROFILES,
            json!({"members": [{"role": "a", "pool": "primary"}]}),
            json!({"description": "d", "members": [{"role": "b", "pool": "primary"}]}),
        ),
    ] {
        let named = |prefix: &str, n: usize| {
            let mut body = body.clone();
            body["name"] = json!(format!("{prefix}-{n}"));
            body
        };
        counted
            .takes(&format!("make {what}"), 4, async |_, n| {
                ("POST", path.to_owned(), named("new", n))
            })
            .await;
        counted
            .takes(&format!("show {what}"), 2, async |api, n| {
                let id = made(api, path, named("shown", n)).await;
                ("GET", format!("{path}/{id}"), Value::Null)
            })
            .await;
        // The allocations from a profile are counted before its lock keeps others waiting.
        let counts = usize::from(path == PROFILES);
        counted
            .takes(&format!("change {what}"), 1 + counts + 4, async |api, n| {
                let id = made(api, path, named("changed", n)).await;
                ("PATCH", format!("{path}/{id}"), patch.clone())
            })
            .await;
        counted
            .takes(&format!("delete {what}"), 1 + 4, async |api, n| {
                let id = made(api, path, named("gone", n)).await;
                ("DELETE", format!("{path}/{id}"), Value::Null)
            })
            .await;
    }
}

/// Reservations, inside of a range and outside of all.
async fn reservations(counted: &mut Counted) {
    for (what, second, delete) in [("inside", "10.0", 5), ("outside", "192.168", 4)] {
        let cidr = |third: usize, n: usize| json!({"cidr": format!("{second}.{}.0/24", third + n), "reason": "r"});
        counted
            .takes(&format!("reserve {what}"), 4, async |_, n| {
                ("POST", RESERVATIONS.to_owned(), cidr(100, n))
            })
            .await;
        counted
            .takes(
                &format!("change what is reserved {what}"),
                4,
                async |api, n| {
                    let id = made(api, RESERVATIONS, cidr(110, n)).await;
                    (
                        "PATCH",
                        format!("{RESERVATIONS}/{id}"),
                        json!({"reason": "other"}),
                    )
                },
            )
            .await;
        counted
            .takes(
                &format!("delete what is reserved {what}"),
                delete,
                async |api, n| {
                    let id = made(api, RESERVATIONS, cidr(120, n)).await;
                    ("DELETE", format!("{RESERVATIONS}/{id}"), Value::Null)
                },
            )
            .await;
    }
}

/// Pools, of their own and cut from another.
async fn pools(counted: &mut Counted) {
    let pool = |third: usize, n: usize| {
        let cidr = format!("172.{third}.{n}.0/24");
        json!({"name": format!("p-{third}-{n}"), "ranges": [cidr]})
    };
    counted
        .takes("make a pool", 4, async |_, n| {
            ("POST", POOLS.to_owned(), pool(16, n))
        })
        .await;
    counted
        .takes("change a pool", 1 + 4, async |api, n| {
            let id = made(api, POOLS, pool(17, n)).await;
            (
                "PATCH",
                format!("{POOLS}/{id}"),
                json!({"description": "d", "strategy": "sparse"}),
            )
        })
        .await;
    counted
        .takes("delete a pool", 1 + 4, async |api, n| {
            let id = made(api, POOLS, pool(18, n)).await;
            ("DELETE", format!("{POOLS}/{id}"), Value::Null)
        })
        .await;
    let child = |n: usize| json!({"name": format!("c-{n}"), "parent": "primary", "range_prefix_lengths": [24]});
    counted
        .takes("make a child pool", 12, async |_, n| {
            ("POST", POOLS.to_owned(), child(n))
        })
        .await;
    counted
        .takes("delete a child pool", 1 + 5, async |api, n| {
            let id = made(api, POOLS, child(10 + n)).await;
            ("DELETE", format!("{POOLS}/{id}"), Value::Null)
        })
        .await;
}

/// Tokens; and what a token costs whoever asks with it: nothing while it is known.
async fn tokens(counted: &mut Counted) {
    let new =
        |prefix: &str, n: usize| json!({"name": format!("{prefix}-{n}"), "roles": ["reader"]});
    counted
        .takes("make a token", 4, async |_, n| {
            ("POST", TOKENS.to_owned(), new("new", n))
        })
        .await;
    counted
        .takes("change a token", 5, async |api, n| {
            let id = made(api, TOKENS, new("changed", n)).await;
            let patch = json!({"description": "d"});
            ("PATCH", format!("{TOKENS}/{id}"), patch)
        })
        .await;
    counted
        .takes("revoke a token", 5, async |api, n| {
            let id = made(api, TOKENS, new("revoked", n)).await;
            ("DELETE", format!("{TOKENS}/{id}"), Value::Null)
        })
        .await;
    for (what, limits, expected) in [
        ("with a token", json!({}), 2),
        (
            "with a limited token",
            json!({"vpcs": ["t*"], "vrfs": ["default"]}),
            2,
        ),
        // It locks first, which takes two more, and reads what is held.
        (
            "with a quota",
            json!({"vpcs": ["t*"], "quotas": {"default/primary": 65_536}}),
            5,
        ),
    ] {
        let name = what.replace(' ', "-");
        let token = json!({"name": name, "roles": ["allocator"], "limits": limits});
        counted.key = Some(used_token(&counted.api, token).await);
        counted
            .takes(&format!("allocate {what}"), expected, async |_, n| {
                let body = json!({"vpc": "t", "name": format!("{name}-{n}"), "prefix_length": 26});
                ("POST", ALLOCATIONS.to_owned(), body)
            })
            .await;
        counted.key = None;
    }
}

/// A token's secret, after its first use: that is noted, aside from the request.
async fn used_token(api: &Api, token: Value) -> String {
    let key = api.token(token).await;
    api.as_who(&key, "GET", "/api/v1/whoami", &Value::Null)
        .await
        .ok(200);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    key
}

/// Many claims at once, by a caller that has to see what they are of.
async fn claims(counted: &mut Counted) {
    let token =
        json!({"name": "claims", "roles": ["allocator"], "limits": {"vpcs": ["claims", "v-*"]}});
    counted.key = Some(used_token(&counted.api, token).await);
    counted
        .takes("confirm a hundred claims", 14, async |api, n| {
            let ask =
                |at| json!({"vpc": "claims", "name": format!("{n}-{at}"), "prefix_length": 26});
            let body = json!({"requests": (0..50).map(ask).collect::<Vec<_>>()});
            let batch = api.post(&format!("{ALLOCATIONS}/batch"), &body).await;
            let mut claims = Vec::new();
            for result in batch.ok(200)["results"].as_array().expect("results") {
                let made = &result["allocation"];
                claims
                    .push(json!({"kind": "allocation", "id": made["id"], "claim": made["claim"]}));
            }
            for at in 0..50 {
                let body = json!({"name": format!("v-{n}-{at}")});
                let made = api.post(VPCS, &body).await.ok(201);
                claims.push(json!({"kind": "vpc", "id": made["id"], "claim": made["claim"]}));
            }
            // Until what is known of the token has to be read again, which is one of them.
            tokio::time::sleep(std::time::Duration::from_millis(750)).await;
            let path = "/api/v1/confirmations".to_owned();
            ("POST", path, json!({ "claims": claims }))
        })
        .await;
    counted.key = None;
}

/// Webhooks. What they deliver costs the request nothing.
async fn webhooks(counted: &mut Counted) {
    let new = |prefix: &str, n: usize| json!({"name": format!("{prefix}-{n}"), "url": "https://siem.example/"});
    counted
        .takes("make a webhook", 6, async |_, n| {
            ("POST", WEBHOOKS.to_owned(), new("new", n))
        })
        .await;
    counted
        .takes("change a webhook", 6, async |api, n| {
            let id = made(api, WEBHOOKS, new("changed", n)).await;
            let patch = json!({"description": "d"});
            ("PATCH", format!("{WEBHOOKS}/{id}"), patch)
        })
        .await;
    counted
        .takes("delete a webhook", 5, async |api, n| {
            let id = made(api, WEBHOOKS, new("deleted", n)).await;
            ("DELETE", format!("{WEBHOOKS}/{id}"), Value::Null)
        })
        .await;
    counted
        .takes("rotate a webhook", 8, async |api, n| {
            let id = made(api, WEBHOOKS, new("rotated", n)).await;
            ("POST", format!("{WEBHOOKS}/{id}/rotate"), json!({}))
        })
        .await;
    counted
        .takes("resume a webhook", 6, async |api, n| {
            let id = made(api, WEBHOOKS, new("resumed", n)).await;
            ("POST", format!("{WEBHOOKS}/{id}/resume"), json!({}))
        })
        .await;
}

#[tokio::test]
async fn every_operation_takes_as_few_round_trips_as_it_can() {
    let statements = Statements::default();
    let log = tracing_subscriber::registry().with(statements.clone());
    tracing::subscriber::set_global_default(log).expect("nobody else logs");
    let api = Api::start().await;
    let mut counted = Counted {
        api,
        key: None,
        statements,
        problems: Vec::new(),
    };
    allocations(&mut counted).await;
    named_nouns(&mut counted).await;
    reservations(&mut counted).await;
    pools(&mut counted).await;
    tokens(&mut counted).await;
    claims(&mut counted).await;
    webhooks(&mut counted).await;
    assert!(
        counted.problems.is_empty(),
        "{}",
        counted.problems.join("\n")
    );
    counted.api.verify().await;
}
