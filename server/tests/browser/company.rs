//! What a company keeps in ipam: every noun, full and empty, IPv4 and IPv6, in every state.

use serde_json::{Value, json};

use crate::{client::Client, stage::Stage};

const VPCS: [&str; 9] = [
    "production",
    "payments",
    "search",
    "ml-platform",
    "edge",
    "core",
    "batch",
    "data",
    "a-rather-long-name-for-a-network-in-a-region",
];

/// What it has, for those who look at it.
pub(crate) struct Company {
    /// The paths of all pages that show something, with those that change and end it.
    pub(crate) pages: Vec<String>,
    /// The path of some allocation.
    pub(crate) allocation: String,
    /// The path of one that was released.
    pub(crate) gone: String,
    /// The path of what is to be shown to people who have never seen it.
    pub(crate) best: String,
}

/// Makes something, and answers its id.
pub(crate) async fn make(client: &mut Client, noun: &str, body: Value) -> String {
    let reply = client
        .post(&format!("/api/v1/{noun}"), &body)
        .await
        .unwrap();
    assert_eq!(reply.status, 201, "{noun} {body}: {}", reply.json);
    reply.json["id"].as_str().unwrap().to_owned()
}

impl Company {
    /// Fills a new server by its API, always with the same.
    pub(crate) async fn found(stage: &Stage) -> Self {
        let client = &mut stage.client().await;
        let vrf = make(
            client,
            "vrfs",
            json!({"name": "dev", "description": "Everything that is not production, with addresses of its own"}),
        )
        .await;
        let pools = pools(client).await;
        let profile = make(
            client,
            "profiles",
            json!({"name": "corporate", "members": [{"role": "offices", "pool": "corp-eu"}]}),
        )
        .await;
        make(
            client,
            "reservations",
            json!({"cidr": "10.0.240.0/21", "reason": "Gateways"}),
        )
        .await;
        let reservation = make(
            client,
            "reservations",
            json!({"cidr": "10.9.0.0/18", "reason": "On premises, data centre 2"}),
        )
        .await;
        let allocations = allocations(client).await;
        let token = make(
            client,
            "tokens",
            json!({"name": "ci-payments", "roles": ["allocator"], "description": "The pipelines of payments",
                "limits": {"pools": ["default/primary", "default/cgnat"], "vpcs": ["payments*"], "quotas": {"default/primary": 4096}}}),
        )
        .await;
        let webhook = make(
            client,
            "webhooks",
            json!({"name": "chat", "url": "https://hooks.example.com/ipam", "enabled": false}),
        )
        .await;
        let vpcs = client.get("/api/v1/vpcs?limit=1").await.unwrap().json;
        let vpc = vpcs["items"][0]["id"].as_str().unwrap().to_owned();
        let allocation = format!("/ui/allocations/{}", allocations[0]);
        let mut pages = [
            "/",
            "/ui/allocations",
            "/ui/allocations?q=10.0.0.5/24",
            "/ui/allocations/new",
            "/ui/map?pick=10.0.0.0/24",
            "/ui/map?at=10.0.0.0/16&pick=10.0.128.0/20&by=age",
            "/ui/map?at=10.8.0.0/14&by=label:team",
            "/ui/map?at=192.0.2.0/24",
            "/ui/map?vrf=dev",
            "/ui/search",
            "/ui/search?q=a",
            "/ui/search?q=10.0.0.5/24",
            "/ui/search?q=10.9.1.1",
            "/ui/sessions",
            "/ui/events",
            "/ui/events?action=allocation.create&from=soon",
            "/ui/import",
            "/ui/export",
            "/ui/map?at=10.8.0.0/16&by=utilisation",
        ]
        .map(str::to_owned)
        .to_vec();
        pages.push(format!("{allocation}?notice=allocated"));
        pages.push(format!("{allocation}/release"));
        pages.push(format!("{allocation}/edit"));
        for noun in NOUNS {
            pages.push(format!("/ui/{noun}"));
            pages.push(format!("/ui/{noun}/new"));
        }
        for (noun, id) in [
            ("vrfs", &vrf),
            ("profiles", &profile),
            ("reservations", &reservation),
            ("vpcs", &vpc),
            ("tokens", &token),
            ("webhooks", &webhook),
        ]
        .into_iter()
        .chain(pools.iter().map(|pool| ("pools", pool)))
        {
            for page in ["", "/edit", "/delete"] {
                pages.push(format!("/ui/{noun}/{id}{page}"));
            }
        }
        pages.extend(
            pools
                .iter()
                .map(|pool| format!("/ui/pools/{pool}?view=hilbert&by=state")),
        );
        let best = format!("/ui/pools/{}?at=10.8.0.0/18&pick=10.8.16.0/22", pools[1]);
        Self {
            pages,
            allocation,
            gone: format!("/ui/allocations/{}", allocations[5]),
            best,
        }
    }
}

/// Nouns that have a list and a form for a new one.
pub(crate) const NOUNS: [&str; 7] = [
    "vrfs",
    "pools",
    "profiles",
    "reservations",
    "vpcs",
    "tokens",
    "webhooks",
];

/// Pools of both families, nested, with one range and with many.
async fn pools(client: &mut Client) -> Vec<String> {
    let many: Vec<_> = (16..37)
        .map(|n| format!("172.{n}.0.0/{}", 16 + n % 11))
        .collect();
    let mut made = Vec::new();
    for body in [
        json!({"name": "corp", "ranges": ["10.8.0.0/14"], "min_prefix_length": 15, "max_prefix_length": 28,
            "description": "Offices and data centres", "labels": {"region": "eu"}}),
        json!({"name": "corp-eu", "parent": "corp", "ranges": ["10.8.0.0/16"], "min_prefix_length": 20,
            "max_prefix_length": 28, "release_cooldown_seconds": 86_400}),
        json!({"name": "nodes", "vrf": "dev", "ranges": ["10.0.0.0/20"], "min_prefix_length": 22, "max_prefix_length": 28}),
        json!({"name": "documentation", "ranges": ["2001:db8::/32"], "min_prefix_length": 48, "max_prefix_length": 64}),
        json!({"name": "many-ranges", "ranges": many, "min_prefix_length": 8, "max_prefix_length": 26,
            "description": "Ranges of several sizes"}),
    ] {
        made.push(make(client, "pools", body).await);
    }
    let all = client.get("/api/v1/pools?name=primary").await.unwrap().json;
    made.push(all["items"][0]["id"].as_str().unwrap().to_owned());
    made
}

/// Two hundred of all sizes, some of which were released.
async fn allocations(client: &mut Client) -> Vec<String> {
    let mut made = Vec::new();
    for n in 0..140 {
        let body = json!({"vpc": VPCS[n * 7 % VPCS.len()], "name": format!("eks-{n}"),
            "hosts": ([50, 100, 200, 250, 400, 900][n * 5 % 6]),
            "labels": {"team": (["network", "payments", "models"][n % 3]), "environment": (["production", "staging"][n % 2])}});
        made.push(make(client, "allocations", body).await);
    }
    for n in 0..50 {
        let body = json!({"vpc": VPCS[n * 4 % VPCS.len()], "name": format!("office-{n}"), "pools": ["corp-eu"],
            "prefix_length": ([22, 23, 24, 24, 25, 26][n * 5 % 6]), "labels": {"team": "offices"}});
        made.push(make(client, "allocations", body).await);
    }
    for n in 0..9 {
        let body = json!({"vpc": "documentation", "name": format!("example-{n}"), "pools": ["documentation"],
            "prefix_length": ([56, 60, 64][n % 3])});
        made.push(make(client, "allocations", body).await);
    }
    for released in made.iter().skip(5).step_by(9) {
        let path = format!("/api/v1/allocations/{released}");
        let reply = client
            .send("DELETE", &path, &[], &Value::Null)
            .await
            .unwrap();
        assert!(reply.status < 300, "{}", reply.json);
    }
    made
}
