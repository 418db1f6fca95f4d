//! The data sources, over the protocol and against the real server: what filters let through, what a preview promises,
//! and lists of a size that users have.

use std::time::{Duration, Instant};

use ipam_shared::secret::Secret;
use ipam_testing::TestServer;
use serde_json::{Value as Json, json};
use tfplugin::driver::Driver;

use crate::Stack;

impl Stack {
    /// Calls the API as a script would.
    async fn post(&self, path: &str, body: Json) -> Json {
        _ = rustls::crypto::ring::default_provider().install_default();
        let url = format!("{}/api/v1/{path}", self.server.url());
        let request = reqwest::Client::new()
            .post(url)
            .bearer_auth(TestServer::API_KEY);
        let response = request.json(&body).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path} {body}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// How many requests the server has answered on that route.
    async fn requests(&self, route: &str) -> u64 {
        let url = format!("{}/metrics", self.server.url());
        let request = reqwest::Client::new()
            .get(url)
            .bearer_auth(TestServer::API_KEY);
        let text = request.send().await.unwrap().text().await.unwrap();
        text.lines()
            .filter(|line| {
                line.starts_with("ipam_http_requests_total{")
                    && line.contains(&format!("\"{route}\""))
            })
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
            .sum()
    }

    /// Some of everything.
    async fn furnish(&self) {
        self.post(
            "vrfs",
            json!({"name": "dev", "labels": {"env": "dev", "a=b": "c"}}),
        )
        .await;
        self.post("vrfs", json!({"name": "stage", "labels": {"env": "stage"}}))
            .await;
        let labels = json!({"tier": "pods", "env": "dev"});
        self.post(
            "pools",
            json!({"name": "cgnat", "vrf": "dev", "ranges": ["100.64.0.0/10"], "labels": labels}),
        )
        .await;
        let whole =
            json!({"name": "whole", "ranges": ["10.64.0.0/12"], "labels": {"tier": "pods"}});
        let whole = self.post("pools", whole).await;
        let child = json!({"name": "child", "parent": whole["id"], "ranges": ["10.64.0.0/16"]});
        self.post("pools", child).await;
        self.post(
            "vpcs",
            json!({"name": "dev", "vrf": "dev", "labels": {"env": "dev", "team": "a"}}),
        )
        .await;
        self.post("vpcs", json!({"name": "other", "labels": {"team": "a"}}))
            .await;
        let limits = json!({"pools": ["whole"], "vpcs": ["dev*"], "labels": {"env": "dev"}});
        self.post(
            "tokens",
            json!({"name": "ci", "roles": ["allocator", "reader"], "limits": limits}),
        )
        .await;
        let member = json!({"role": "main", "pool": "whole"});
        self.post("profiles", json!({"name": "flat", "members": [member]}))
            .await;
        for (cidr, labels) in [
            ("10.0.240.0/24", json!({"site": "fra1"})),
            ("10.0.241.0/24", json!({"site": "fra1", "floor": "2"})),
            ("192.168.0.0/24", json!({})),
        ] {
            let body = json!({"cidr": cidr, "reason": "Data centre", "labels": labels});
            self.post("reservations", body).await;
        }
        for (vpc, name, rest) in [
            (
                "dev",
                "a",
                json!({"hosts": 100, "labels": {"env": "dev", "team": "x"}}),
            ),
            ("dev", "b", json!({"hosts": 100, "labels": {"env": "dev"}})),
            ("prod", "a", json!({"prefix_length": 24, "profile": "flat"})),
            (
                "prod",
                "c",
                json!({"cidr": "10.70.0.0/24", "pools": ["whole"]}),
            ),
        ] {
            let mut body = json!({"vpc": vpc, "name": name});
            body.as_object_mut()
                .unwrap()
                .extend(rest.as_object().unwrap().clone());
            self.post("allocations", body).await;
        }
    }
}

/// What a list shows of each: the value of one attribute.
async fn each(driver: &Driver, ty: &str, filter: Json, shown: &str) -> Vec<String> {
    let found = driver.read_data(ty, filter.clone()).await.unwrap();
    let plural = ty.strip_prefix("ipam_").unwrap();
    let mut all: Vec<String> = found[plural]
        .as_array()
        .unwrap_or_else(|| panic!("{ty} {filter}: {found}"))
        .iter()
        .map(|one| one[shown].as_str().unwrap_or("null").to_owned())
        .collect();
    all.sort();
    all
}

/// A type, the attribute that is shown of each, a filter, and what it lets through.
type Filtered = (&'static str, &'static str, Json, Vec<&'static str>);

fn vrfs_and_vpcs() -> Vec<Filtered> {
    vec![
        (
            "ipam_vrfs",
            "name",
            json!({}),
            vec!["default", "dev", "stage"],
        ),
        ("ipam_vrfs", "name", json!({"name": "dev"}), vec!["dev"]),
        (
            "ipam_vrfs",
            "name",
            json!({"labels": {"env": "dev"}}),
            vec!["dev"],
        ),
        (
            "ipam_vrfs",
            "name",
            json!({"labels": {"env": "dev", "a=b": "c"}}),
            vec!["dev"],
        ),
        (
            "ipam_vrfs",
            "name",
            json!({"labels": {"env": "dev", "a": "b"}}),
            vec![],
        ),
        ("ipam_tokens", "name", json!({}), vec!["ci"]),
        ("ipam_tokens", "name", json!({"name": "CI"}), vec!["ci"]),
        ("ipam_tokens", "name", json!({"name": "cd"}), vec![]),
        ("ipam_vpcs", "name", json!({}), vec!["dev", "other", "prod"]),
        ("ipam_vpcs", "name", json!({"name": "DEV"}), vec!["dev"]),
        (
            "ipam_vpcs",
            "name",
            json!({"vrf": "default"}),
            vec!["other", "prod"],
        ),
        (
            "ipam_vpcs",
            "name",
            json!({"labels": {"team": "a"}}),
            vec!["dev", "other"],
        ),
        (
            "ipam_vpcs",
            "name",
            json!({"vrf": "dev", "labels": {"team": "a"}}),
            vec!["dev"],
        ),
    ]
}

fn pools_and_profiles() -> Vec<Filtered> {
    vec![
        (
            "ipam_pools",
            "name",
            json!({}),
            vec!["cgnat", "cgnat", "child", "primary", "whole"],
        ),
        (
            "ipam_pools",
            "name",
            json!({"name": "cgnat"}),
            vec!["cgnat", "cgnat"],
        ),
        (
            "ipam_pools",
            "vrf",
            json!({"name": "cgnat", "vrf": "dev"}),
            vec!["dev"],
        ),
        (
            "ipam_pools",
            "name",
            json!({"parent": "whole"}),
            vec!["child"],
        ),
        (
            "ipam_pools",
            "name",
            json!({"labels": {"tier": "pods"}}),
            vec!["cgnat", "whole"],
        ),
        (
            "ipam_pools",
            "name",
            json!({"labels": {"tier": "pods", "env": "dev"}}),
            vec!["cgnat"],
        ),
        (
            "ipam_pools",
            "name",
            json!({"label": "tier=pods", "labels": {"env": "dev"}}),
            vec!["cgnat"],
        ),
        ("ipam_pools", "name", json!({"label": "tier=nodes"}), vec![]),
        ("ipam_profiles", "name", json!({}), vec!["flat", "node-pod"]),
        (
            "ipam_profiles",
            "name",
            json!({"name": "flat"}),
            vec!["flat"],
        ),
        ("ipam_profiles", "name", json!({"name": "none"}), vec![]),
    ]
}

fn reservations_and_allocations() -> Vec<Filtered> {
    vec![
        (
            "ipam_reservations",
            "cidr",
            json!({}),
            vec!["10.0.240.0/24", "10.0.241.0/24", "192.168.0.0/24"],
        ),
        (
            "ipam_reservations",
            "cidr",
            json!({"pool": "primary"}),
            vec!["10.0.240.0/24", "10.0.241.0/24"],
        ),
        (
            "ipam_reservations",
            "cidr",
            json!({"contains": "10.0.240.7"}),
            vec!["10.0.240.0/24"],
        ),
        (
            "ipam_reservations",
            "cidr",
            json!({"within": "192.168.0.0/16"}),
            vec!["192.168.0.0/24"],
        ),
        (
            "ipam_reservations",
            "cidr",
            json!({"labels": {"site": "fra1", "floor": "2"}}),
            vec!["10.0.241.0/24"],
        ),
        ("ipam_reservations", "cidr", json!({"vrf": "dev"}), vec![]),
        (
            "ipam_allocations",
            "name",
            json!({}),
            vec!["a", "a", "b", "c"],
        ),
        (
            "ipam_allocations",
            "name",
            json!({"vpc": "DEV"}),
            vec!["a", "b"],
        ),
        (
            "ipam_allocations",
            "vpc",
            json!({"name": "a"}),
            vec!["dev", "prod"],
        ),
        (
            "ipam_allocations",
            "name",
            json!({"vrf": "dev", "name": "b"}),
            vec!["b"],
        ),
        (
            "ipam_allocations",
            "name",
            json!({"profile": "flat"}),
            vec!["a"],
        ),
        (
            "ipam_allocations",
            "name",
            json!({"pool": "whole"}),
            vec!["a", "c"],
        ),
        (
            "ipam_allocations",
            "name",
            json!({"contains": "10.70.0.9"}),
            vec!["c"],
        ),
        (
            "ipam_allocations",
            "name",
            json!({"within": "10.64.0.0/12"}),
            vec!["a", "c"],
        ),
        (
            "ipam_allocations",
            "name",
            json!({"labels": {"env": "dev"}}),
            vec!["a", "b"],
        ),
        (
            "ipam_allocations",
            "name",
            json!({"labels": {"env": "dev", "team": "x"}}),
            vec!["a"],
        ),
        (
            "ipam_allocations",
            "name",
            json!({"labels": {"env": "prod"}}),
            vec![],
        ),
    ]
}

#[tokio::test]
async fn filters_let_through_what_they_name_and_nothing_else() {
    let stack = Stack::start().await;
    stack.furnish().await;
    let driver = stack.provider().await;
    for (ty, shown, filter, expected) in [
        vrfs_and_vpcs(),
        pools_and_profiles(),
        reservations_and_allocations(),
    ]
    .concat()
    {
        assert_eq!(
            each(&driver, ty, filter.clone(), shown).await,
            expected,
            "{ty} {filter}"
        );
    }
}

/// What belongs to whom, and what no state has confirmed.
#[tokio::test]
async fn every_list_knows_owners_and_what_nobody_confirmed() {
    let stack = Stack::start().await;
    let driver = Driver::start(crate::BINARY).await.unwrap();
    let settings = json!({
        "endpoint": stack.server.url(), "api_key": TestServer::API_KEY, "owner": "network-production",
    });
    driver.configure(settings).await.unwrap();
    for (ty, config) in [
        ("ipam_vrf", json!({"name": "mine"})),
        ("ipam_vpc", json!({"name": "mine"})),
        (
            "ipam_pool",
            json!({"name": "mine", "ranges": ["10.64.0.0/16"]}),
        ),
        (
            "ipam_profile",
            json!({"name": "mine", "members": [{"role": "main", "pool": "mine"}]}),
        ),
        (
            "ipam_reservation",
            json!({"cidr": "192.168.0.0/24", "reason": "Test"}),
        ),
        (
            "ipam_allocation",
            json!({"vpc": "mine", "name": "mine", "prefix_length": 24}),
        ),
        (
            "ipam_token",
            json!({"name": "mine", "roles": ["reader"], "secret_wo": Secret::generate().unwrap().reveal()}),
        ),
    ] {
        let made = driver.create(ty, config).await.unwrap();
        let plural = format!("{ty}s");
        let shown = if ty == "ipam_reservation" {
            "cidr"
        } else {
            "name"
        };
        let mine = made.values[shown].as_str().unwrap();
        let owned =
            |confirmed: Json| json!({"owner": "network-production", "confirmed": confirmed});
        assert_eq!(
            each(&driver, &plural, owned(json!(false)), shown).await,
            [mine],
            "{ty}"
        );
        assert_eq!(
            each(&driver, &plural, json!({"owner": "other"}), shown).await,
            [""; 0],
            "{ty}"
        );
        let found = driver.read_data(&plural, owned(Json::Null)).await.unwrap();
        assert_eq!(
            found[plural.strip_prefix("ipam_").unwrap()][0]["owner"],
            "network-production",
            "{ty}"
        );
        // The first refresh confirms it.
        driver.read(&made).await.unwrap().unwrap();
        assert_eq!(
            each(&driver, &plural, owned(json!(false)), shown).await,
            [""; 0],
            "{ty}"
        );
        assert_eq!(
            each(&driver, &plural, owned(json!(true)), shown).await,
            [mine],
            "{ty}"
        );
    }
}

#[tokio::test]
async fn one_of_a_list_is_what_the_singular_shows() {
    let stack = Stack::start().await;
    stack.furnish().await;
    let driver = stack.provider().await;
    for (singular, filter) in [
        ("ipam_vrf", json!({"name": "dev"})),
        ("ipam_vpc", json!({"name": "dev"})),
        ("ipam_pool", json!({"name": "cgnat", "vrf": "dev"})),
        ("ipam_profile", json!({"name": "node-pod"})),
        ("ipam_token", json!({"name": "ci"})),
        ("ipam_reservation", json!({"within": "192.168.0.0/16"})),
        ("ipam_allocation", json!({"vpc": "dev", "name": "a"})),
    ] {
        let plural = format!("{singular}s");
        let found = driver.read_data(&plural, filter.clone()).await.unwrap();
        let one = &found[plural.strip_prefix("ipam_").unwrap()][0];
        let mut same = driver
            .read_data(singular, json!({"id": one["id"]}))
            .await
            .unwrap();
        // Only asked with.
        same.as_object_mut().unwrap().remove("contains");
        assert_eq!(one, &same, "{singular}");
    }
}

#[tokio::test]
async fn what_can_not_be_a_filter_is_refused_where_it_stands() {
    let stack = Stack::start().await;
    let driver = stack.provider().await;
    for (ty, filter, says) in [
        (
            "ipam_pools",
            json!({"label": "tier"}),
            "\"tier\" is not key=value",
        ),
        (
            "ipam_pools",
            json!({"label": "tier=a", "labels": {"tier": "b"}}),
            "labels has another value for tier",
        ),
        ("ipam_pools", json!({"vrf": "none"}), "none"),
        ("ipam_pools", json!({"labels": {"": "b"}}), "label key"),
        ("ipam_allocations", json!({"contains": "ten"}), "contains"),
        (
            "ipam_allocations",
            json!({"within": "10.0.0.1/8"}),
            "has host bits set",
        ),
        ("ipam_allocations", json!({"pool": "none"}), "none"),
        (
            "ipam_reservations",
            json!({"within": "10"}),
            "is not a CIDR",
        ),
        (
            "ipam_lookup",
            json!({"address": "ten"}),
            "neither an address",
        ),
        (
            "ipam_lookup",
            json!({"address": "10.0.0.1", "at": "yesterday"}),
            "not a time as in RFC 3339",
        ),
        (
            "ipam_lookup",
            json!({"address": "10.0.0.1", "vrf": "none"}),
            "none",
        ),
        ("ipam_free", json!({"pool": "none"}), "none"),
        (
            "ipam_free",
            json!({"pool": "primary", "vrf": "dev"}),
            "has no pool primary in the VRF dev",
        ),
        (
            "ipam_free",
            json!({"pool": "primary", "prefix_length": 129}),
            "/129 is not a prefix length",
        ),
        (
            "ipam_preview",
            json!({"vpc": "a"}),
            "exactly one of hosts, prefix_length and cidr",
        ),
        (
            "ipam_preview",
            json!({"vpc": "a", "hosts": 1, "prefix_length": 24}),
            "exactly one of hosts, prefix_length and cidr",
        ),
        (
            "ipam_preview",
            json!({"vpc": "a", "hosts": 1, "profile": "x", "pools": ["y"]}),
            "at most one of profile, pools and pool_selector",
        ),
        ("ipam_preview", json!({"vpc": "a/b", "hosts": 1}), "a/b"),
        (
            "ipam_preview",
            json!({"vpc": "a", "cidr": "10.0.0.1/24"}),
            "has host bits set",
        ),
        ("ipam_preview", json!({"vpc": "a", "hosts": 5000}), "4091"),
        (
            "ipam_preview",
            json!({"vpc": "a", "prefix_length": 24, "pools": ["none"]}),
            "none",
        ),
    ] {
        let error = driver
            .read_data(ty, filter.clone())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{ty} {filter}: {error}");
    }
}

#[tokio::test]
async fn a_preview_is_what_an_allocation_gets_and_makes_nothing() {
    let stack = Stack::start().await;
    stack.furnish().await;
    let everything = "select (select count(*) from allocation) + (select count(*) from vpc) + (select count(*) from block)";
    let driver = stack.provider().await;
    for ask in [
        json!({"vpc": "new", "hosts": 500}),
        json!({"vpc": "dev", "prefix_length": 22}),
        json!({"vpc": "dev", "cidr": "10.0.64.0/24", "labels": {"a": "b"}}),
        json!({"vpc": "prod", "prefix_length": 28, "pools": ["whole", "primary"], "exclude_cidrs": ["10.64.0.0/13"]}),
        json!({"vpc": "prod", "prefix_length": 28, "pool_selector": {"tier": "pods"}}),
        json!({"vpc": "prod", "prefix_length": 28, "profile": "flat", "name": "same"}),
    ] {
        let before = stack.count(everything).await;
        let preview = driver.read_data("ipam_preview", ask.clone()).await.unwrap();
        assert_eq!(
            (&preview["available"], &preview["refusal"]),
            (&json!(true), &Json::Null)
        );
        assert_eq!(stack.count(everything).await, before, "{ask}");
        let mut config = ask.clone();
        config["name"] = json!("same");
        // Each in a run of its own, since no two resources of one run have the same name.
        let run = stack.provider().await;
        let made = run.create("ipam_allocation", config).await.unwrap();
        for same in ["blocks", "cidr", "prefix_length"] {
            assert_eq!(preview[same], made.values[same], "{same} of {ask}");
        }
        run.delete(&made).await.unwrap();
    }
}

#[tokio::test]
async fn a_preview_that_gets_nothing_says_why() {
    let stack = Stack::start().await;
    stack.furnish().await;
    let required = json!({"name": "tight", "ranges": ["10.200.0.0/28"], "required_labels": {"team": ["core"]}});
    stack.post("pools", required).await;
    let driver = stack.provider().await;
    for (ask, code, says) in [
        (
            json!({"vpc": "a", "prefix_length": 27, "pools": ["tight"], "labels": {"team": "core"}}),
            "pool_exhausted",
            "tight",
        ),
        (
            json!({"vpc": "a", "cidr": "10.70.0.0/25", "pools": ["whole"]}),
            "overlap",
            "prod/c",
        ),
        (
            json!({"vpc": "prod", "name": "c", "hosts": 9}),
            "name_taken",
            "c",
        ),
    ] {
        let preview = driver.read_data("ipam_preview", ask.clone()).await.unwrap();
        assert_eq!(preview["available"], false, "{ask}: {preview}");
        assert_eq!(preview["refusal_code"], code, "{ask}: {preview}");
        assert!(
            preview["refusal"].as_str().unwrap().contains(says),
            "{ask}: {preview}"
        );
        assert_eq!(preview["blocks"], Json::Null);
    }
    // A required label may come from the provider's own.
    let ask = json!({"vpc": "a", "prefix_length": 28, "pools": ["tight"]});
    let error = driver
        .read_data("ipam_preview", ask.clone())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("team"), "{error}");
    let labelled = Driver::start(crate::BINARY).await.unwrap();
    let settings = json!({
        "endpoint": stack.server.url(), "api_key": TestServer::API_KEY, "default_labels": {"team": "core"},
    });
    labelled.configure(settings).await.unwrap();
    let preview = labelled.read_data("ipam_preview", ask).await.unwrap();
    assert_eq!(preview["cidr"], "10.200.0.0/28");
}

#[tokio::test]
async fn a_lookup_knows_who_has_and_who_had_it() {
    let stack = Stack::start().await;
    stack.furnish().await;
    let driver = stack.provider().await;
    let look = async |ask: Json| driver.read_data("ipam_lookup", ask).await.unwrap();
    let found = look(json!({"address": "10.70.0.7"})).await;
    assert_eq!(found["cidr"], "10.70.0.7/32");
    assert_eq!(
        (&found["free"], &found["more"]),
        (&json!(false), &json!(false))
    );
    let holder = &found["holders"][0];
    assert_eq!(
        (
            &holder["kind"],
            &holder["vpc"],
            &holder["name"],
            &holder["cidr"],
            &holder["until"]
        ),
        (
            &json!("allocation"),
            &json!("prod"),
            &json!("c"),
            &json!("10.70.0.0/24"),
            &Json::Null
        )
    );
    assert_eq!(found["pools"][0]["pool"], "whole");
    let found = look(json!({"address": "192.168.0.0/16"})).await;
    assert_eq!(found["holders"][0]["reason"], "Data centre");
    let found = look(json!({"address": "10.0.240.1", "vrf": "dev"})).await;
    assert_eq!(found["holders"], json!([]));
    let found = look(json!({"address": "172.16.0.1"})).await;
    assert_eq!(
        (&found["holders"], &found["pools"], &found["free"]),
        (&json!([]), &json!([]), &json!(false))
    );
    // After it was released it is known who had it, at a time that is given in whatever zone.
    let made = driver
        .create(
            "ipam_allocation",
            json!({"vpc": "gone", "name": "x", "cidr": "10.0.32.0/24"}),
        )
        .await
        .unwrap();
    let during = look(json!({"address": "10.0.32.1"})).await;
    let at = during["holders"][0]["since"]
        .as_str()
        .unwrap()
        .replace('Z', "+00:00");
    driver.delete(&made).await.unwrap();
    assert_eq!(
        look(json!({"address": "10.0.32.1"})).await["holders"],
        json!([])
    );
    let then = look(json!({"address": "10.0.32.1", "at": at})).await;
    assert_eq!(then["holders"][0]["vpc"], "gone", "{then}");
    assert!(then["holders"][0]["until"].is_string(), "{then}");
    assert_eq!(then["at"], json!(at), "as it is written");
}

#[tokio::test]
async fn what_is_free_and_what_to_do_about_it() {
    let stack = Stack::start().await;
    stack.furnish().await;
    let driver = stack.provider().await;
    let free = async |ask: Json| driver.read_data("ipam_free", ask).await.unwrap();
    let found = free(json!({"pool": "whole", "prefix_length": 24})).await;
    assert_eq!(found["vrf"], "default");
    assert_eq!(
        (&found["fix_region"], &found["fix_blocks"]),
        (&Json::Null, &Json::Null)
    );
    let next = found["next"].as_str().unwrap().to_owned();
    let ask = json!({"vpc": "a", "name": "next", "prefix_length": 24, "pools": ["whole"]});
    let made = driver.create("ipam_allocation", ask).await.unwrap();
    assert_eq!(made.values["cidr"], json!(next));
    let id = &found["pool_id"];
    let after = free(json!({"pool": id, "vrf": "default", "prefix_length": 24})).await;
    let alone = free(json!({"pool": id, "prefix_length": 24})).await;
    assert_eq!(after, alone);
    let elsewhere = driver.read_data("ipam_free", json!({"pool": id, "vrf": "dev"}));
    let error = elsewhere.await.unwrap_err().to_string();
    assert!(error.contains("in the VRF dev"), "{error}");
    assert_eq!(
        after["fits"].as_u64(),
        found["fits"].as_u64().map(|fits| fits - 1)
    );
    let full = free(json!({"pool": "cgnat", "vrf": "dev", "prefix_length": 10})).await;
    assert_eq!((&full["fits"], &full["next"]), (&json!(0), &Json::Null));
    assert_eq!(full["fix_region"], "100.64.0.0/10");
    assert_eq!(full["fix_blocks"][0]["vpc"], "dev", "{full}");
    let larger = free(json!({"pool": "child", "prefix_length": 12})).await;
    assert_eq!(larger["fix_add_range_prefix_length"], 12, "{larger}");
    let error = driver
        .read_data("ipam_free", json!({"pool": "cgnat"}))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("cgnat"), "{error}");
}

/// Ten thousand take ten requests and seconds.
#[tokio::test]
async fn a_long_list_is_read_in_pages() {
    const MANY: usize = 10_000;
    const PAGE: usize = 1_000;
    let stack = Stack::start().await;
    stack
        .post("pools", json!({"name": "big", "ranges": ["10.128.0.0/9"]}))
        .await;
    for page in 0..MANY / PAGE {
        let requests: Vec<Json> = (0..PAGE)
            .map(|i| json!({"vpc": format!("v{page}"), "name": format!("a{i}"), "prefix_length": 28, "pools": ["big"], "labels": {"page": page.to_string()}}))
            .collect();
        stack
            .post("allocations/batch", json!({"requests": requests}))
            .await;
    }
    let driver = stack.provider().await;
    let before = stack.requests("/api/v1/allocations").await;
    let began = Instant::now();
    let found = driver
        .read_data("ipam_allocations", json!({"pool": "big"}))
        .await
        .unwrap();
    let took = began.elapsed();
    let found = found["allocations"].as_array().unwrap();
    let ids: std::collections::BTreeSet<_> = found.iter().map(|one| one["id"].as_str()).collect();
    assert_eq!((found.len(), ids.len()), (MANY, MANY));
    let pages = stack.requests("/api/v1/allocations").await - before;
    assert!(
        (1..=MANY / PAGE + 1).contains(&usize::try_from(pages).unwrap()),
        "{pages} requests"
    );
    assert!(took < Duration::from_secs(30), "{took:?}");
    let some = driver
        .read_data("ipam_allocations", json!({"labels": {"page": "3"}}))
        .await
        .unwrap();
    assert_eq!(some["allocations"].as_array().unwrap().len(), PAGE);
}
