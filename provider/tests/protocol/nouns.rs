//! The nouns that are not allocations, where the network fails or the provider is not configured yet.

use std::time::{Duration, Instant};

use ipam_client::{Client, Settings};
use ipam_shared::secret::Secret;
use ipam_testing::{TestDatabase, TestServer};
use serde_json::json;
use tfplugin::driver::{Driver, UNKNOWN};

use crate::{
    BINARY, Stack,
    proxy::{Fault, Proxy},
};

fn secret() -> String {
    Secret::generate().unwrap().reveal().to_owned()
}

#[tokio::test]
async fn a_lost_reply_is_bridged_without_a_word() {
    let stack = Stack::start().await;
    let whole = json!({"name": "whole", "ranges": ["10.64.0.0/12"]});
    let whole = stack
        .provider()
        .await
        .create("ipam_pool", whole)
        .await
        .unwrap();
    for (ty, config, count) in [
        (
            "ipam_vrf",
            json!({"name": "dev"}),
            "select count(*) from vrf where name = 'dev'",
        ),
        (
            "ipam_pool",
            json!({"name": "team", "parent": whole.values["id"], "range_prefix_lengths": [20, 24]}),
            "select count(*) from pool where name = 'team'",
        ),
        (
            "ipam_profile",
            json!({"name": "flat", "members": [{"role": "main", "pool": "team"}]}),
            "select count(*) from profile where name = 'flat'",
        ),
        (
            "ipam_reservation",
            json!({"cidr": "10.0.0.0/24", "reason": "Test"}),
            "select count(*) from reservation",
        ),
        (
            "ipam_vpc",
            json!({"name": "prod"}),
            "select count(*) from vpc where name = 'prod'",
        ),
        (
            "ipam_token",
            json!({"name": "ci", "roles": ["reader"], "secret_wo": secret()}),
            "select count(*) from token",
        ),
    ] {
        let proxy = Proxy::start(stack.server.address(), "POST", Fault::LoseReply(1)).await;
        let driver = stack.provider_at(&proxy.url).await;
        let made = driver.create(ty, config.clone()).await.unwrap();
        assert!(proxy.hits() > 1, "{ty}");
        assert_eq!(stack.count(count).await, 1, "{ty}");
        let read = driver.read(&made).await.unwrap().unwrap();
        let plan = driver.plan(ty, Some(&read), config).await.unwrap();
        assert_eq!(plan.values, read.values, "{ty}");
        let proxy = Proxy::start(stack.server.address(), "DELETE", Fault::LoseReply(1)).await;
        let driver = stack.provider_at(&proxy.url).await;
        if ty != "ipam_pool" {
            driver.delete(&made).await.unwrap();
            assert_eq!(stack.count(count).await, 0, "{ty}");
        }
    }
    // A range more, once, however often the server was asked.
    let driver = stack.provider().await;
    let team = driver.import("ipam_pool", "team").await.unwrap();
    let team = driver.read(&team).await.unwrap().unwrap();
    let proxy = Proxy::start(stack.server.address(), "PATCH", Fault::LoseReply(1)).await;
    let driver = stack.provider_at(&proxy.url).await;
    let config =
        json!({"name": "team", "parent": whole.values["id"], "range_prefix_lengths": [20, 24, 24]});
    let more = driver.update(&team, config).await.unwrap();
    assert!(proxy.hits() > 1);
    assert_eq!(more.values["ranges"].as_array().unwrap().len(), 3);
    let count = "select count(*) from pool_range join pool using (pool_id) where name = 'team'";
    assert_eq!(stack.count(count).await, 3);
}

/// A plan in which two places get new names that may be theirs; one of them turns out not to be.
#[tokio::test]
async fn every_place_that_may_have_been_renamed_is_checked() {
    let stack = Stack::start().await;
    let driver = stack.provider().await;
    let vrf = json!({"name": "dev"});
    let vrf = driver.create("ipam_vrf", vrf).await.unwrap();
    let whole = json!({"name": "whole", "vrf": "dev", "ranges": ["10.64.0.0/12"]});
    driver.create("ipam_pool", whole).await.unwrap();
    let team = |vrf: &str, parent: &str| json!({"name": "team", "vrf": vrf, "parent": parent, "range_prefix_lengths": [20]});
    let made = driver.create("ipam_pool", team("dev", "whole"));
    let made = made.await.unwrap();
    let driver = stack.provider().await;
    let plan = driver.plan("ipam_pool", Some(&made), team("prod", "other"));
    let plan = plan.await.unwrap();
    assert!(
        plan.requires_replace.is_empty(),
        "{:?}",
        plan.requires_replace
    );
    let another = stack.provider().await;
    let renamed = another.update(&vrf, json!({"name": "prod"}));
    renamed.await.unwrap();
    let applied = driver.apply(&plan).await.unwrap();
    let told = applied.diagnostics.to_string();
    assert!(
        told.contains("The parent of the pool can't be changed"),
        "{told}"
    );
}

#[tokio::test]
async fn an_identity_imports_what_it_identifies() {
    let stack = Stack::start().await;
    let driver = stack.provider().await;
    let cidr = "10.0.0.0/20";
    let reservation = |vrf: &str| json!({"cidr": cidr, "vrf": vrf, "reason": "x"});
    let pool = |vrf: &str| json!({"name": "p", "vrf": vrf, "ranges": ["10.64.0.0/16"]});
    for (ty, config, known_by) in [
        ("ipam_vrf", json!({"name": "dev"}), vec!["name"]),
        (
            "ipam_vpc",
            json!({"name": "prod", "vrf": "dev"}),
            vec!["name"],
        ),
        ("ipam_pool", pool("default"), vec!["name", "vrf"]),
        ("ipam_pool", pool("dev"), vec!["name", "vrf"]),
        (
            "ipam_profile",
            json!({"name": "one", "members": [{"role": "a", "pool": "p"}]}),
            vec!["name"],
        ),
        (
            "ipam_reservation",
            reservation("default"),
            vec!["cidr", "vrf"],
        ),
        ("ipam_reservation", reservation("dev"), vec!["cidr", "vrf"]),
        (
            "ipam_token",
            json!({"name": "ci", "roles": ["reader"], "secret_wo": secret()}),
            vec!["name"],
        ),
    ] {
        let made = driver.create(ty, config).await.unwrap();
        let whole = made.identity.clone().unwrap();
        let mut part = whole.clone();
        for name in &known_by {
            assert_eq!(whole[name], made.values[name]);
        }
        part.as_object_mut().unwrap().remove("id");
        let id = json!({"id": made.values["id"]});
        for identity in [whole.clone(), part, id] {
            let imported = driver.import_identity(ty, identity).await.unwrap();
            assert_eq!(imported.values, made.values);
            assert_eq!(imported.identity.as_ref(), Some(&whole));
        }
        let nobody = driver.import_identity(ty, json!({})).await.unwrap_err();
        assert!(
            nobody
                .to_string()
                .contains("Its identity needs the id, or the"),
            "{nobody}"
        );
        // A second one of the same key is another one only with its VRF.
        let mut other = whole;
        other[known_by[0]] = json!(if known_by[0] == "cidr" {
            "10.0.16.0/20"
        } else {
            "b"
        });
        let error = driver.import_identity(ty, other).await.unwrap_err();
        assert!(
            error.to_string().contains("and the identity says"),
            "{error}"
        );
    }
    let error = driver
        .import_identity("ipam_pool", json!({"name": "p"}))
        .await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("There is more than one pool p"), "{error}");
    // The name of one thing may be the id of another.
    let vrf = driver
        .create("ipam_vrf", json!({"name": "x"}))
        .await
        .unwrap();
    let id = vrf.values["id"].clone();
    let named = driver
        .create("ipam_vrf", json!({"name": id}))
        .await
        .unwrap();
    let imported = driver
        .import_identity("ipam_vrf", json!({"name": id}))
        .await;
    assert_eq!(imported.unwrap().values["id"], named.values["id"]);
    let imported = driver.import_identity("ipam_vrf", json!({"id": id})).await;
    assert_eq!(imported.unwrap().values["name"], "x");
    let error = driver.import("ipam_pool", "dev/none").await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("by VRF and name such as dev/cgnat"),
        "{error}"
    );
}

/// The provider's settings come from a resource that is yet to be made: nobody can be asked.
#[tokio::test]
async fn a_plan_without_a_server_says_what_it_can() {
    let stack = Stack::start().await;
    let ask = |size| json!({"vpc": "prod", "name": "a", "prefix_length": size});
    let made = stack
        .provider()
        .await
        .create("ipam_allocation", ask(24))
        .await
        .unwrap();
    let driver = Driver::start(BINARY).await.unwrap();
    driver
        .configure(json!({"endpoint": UNKNOWN, "api_key": "key"}))
        .await
        .unwrap();
    let plan = driver
        .plan("ipam_allocation", Some(&made), ask(23))
        .await
        .unwrap();
    assert_eq!(plan.values["cidr"], "10.0.0.0/23");
    assert_eq!(plan.values["blocks"], UNKNOWN);
    assert!(plan.requires_replace.is_empty());
    let pool = json!({"name": "six", "ranges": ["2001:db8::/36"]});
    let plan = driver.plan("ipam_pool", None, pool).await.unwrap();
    assert_eq!(plan.values["family"], "ipv6");
    assert_eq!(plan.values["max_prefix_length"], 128);
    assert_eq!(plan.values["range_prefix_lengths"], json!(null));
    let child = json!({"name": "team", "parent": UNKNOWN, "range_prefix_lengths": [20]});
    let plan = driver.plan("ipam_pool", None, child).await.unwrap();
    assert_eq!(plan.values["ranges"], UNKNOWN);
}

/// A token that is used up: each noun is made, read, changed and deleted all the same, only later.
#[tokio::test]
async fn what_a_limit_holds_up_is_done_later() {
    let database = TestDatabase::new().await;
    let settings = [
        ("IPAM_RATE_LIMIT_PER_TOKEN", "120"),
        ("IPAM_REQUIRE_IF_MATCH", "true"),
    ];
    let server = TestServer::start_with(&database.url(), &settings).await;
    let stack = Stack { server, database };
    let driver = stack.provider().await;
    let settings = Settings::new(stack.server.url(), TestServer::API_KEY);
    let client = Client::new(&settings.with_retry_timeout(Duration::ZERO)).unwrap();
    for (ty, config, attribute) in [
        ("ipam_vrf", json!({"name": "dev"}), "description"),
        (
            "ipam_pool",
            json!({"name": "team", "ranges": ["10.64.0.0/16"]}),
            "description",
        ),
        (
            "ipam_profile",
            json!({"name": "flat", "members": [{"role": "main", "pool": "primary"}]}),
            "description",
        ),
        (
            "ipam_reservation",
            json!({"cidr": "10.0.0.0/24", "reason": "Test"}),
            "reason",
        ),
        ("ipam_vpc", json!({"name": "prod"}), "description"),
        (
            "ipam_allocation",
            json!({"vpc": "prod", "name": "a", "hosts": 5}),
            "description",
        ),
    ] {
        while client.whoami().await.is_ok() {}
        let began = Instant::now();
        let made = driver.create(ty, config.clone()).await.unwrap();
        let read = driver.read(&made).await.unwrap().unwrap();
        let mut changed = config.clone();
        changed[attribute] = json!("changed");
        let after = driver.update(&read, changed).await.unwrap();
        assert_eq!(after.values[attribute], "changed", "{ty}");
        driver.delete(&after).await.unwrap();
        assert!(
            began.elapsed() >= Duration::from_millis(1500),
            "{ty}: {:?}",
            began.elapsed()
        );
    }
}

/// Where the secret is told by something that is yet to be made, or in every run is another one.
#[tokio::test]
async fn the_plan_of_a_secret_says_what_it_can() {
    const TOKEN: &str = "ipam_token";
    let stack = Stack::start().await;
    let driver = stack.provider().await;
    let ask = |secret: serde_json::Value, version: serde_json::Value| json!({"name": "ci", "roles": ["reader"], "secret_wo": secret, "secret_wo_version": version});
    let (one, two) = (secret(), secret());
    let plan = driver.plan(TOKEN, None, ask(UNKNOWN.into(), json!(null)));
    let plan = plan.await.unwrap();
    assert_eq!(plan.values["public_id"], UNKNOWN);
    assert_eq!(plan.values["secret_wo"], json!(null));
    let driver = stack.provider().await;
    let made = driver
        .create(TOKEN, ask(json!(one), json!(null)))
        .await
        .unwrap();
    assert_eq!(made.values["public_id"], one[5..17]);
    for (secret, version, changes) in [
        (json!(one), json!(null), false),
        (json!(null), json!(null), false),
        (json!(two), json!(null), true),
        (json!(UNKNOWN), json!(null), true),
        // Only noted.
        (json!(two), json!(1), false),
    ] {
        let plan = driver.plan(TOKEN, Some(&made), ask(secret.clone(), version));
        let is = plan.await.unwrap().values["public_id"].clone();
        let wanted = if changes {
            json!(UNKNOWN)
        } else {
            json!(one[5..17])
        };
        assert_eq!(is, wanted, "{secret}");
    }
    let noted = driver
        .update(&made, ask(json!(two), json!(1)))
        .await
        .unwrap();
    assert_eq!(noted.values["public_id"], one[5..17]);
    let other = driver
        .update(&noted, ask(json!(two), json!(2)))
        .await
        .unwrap();
    assert_eq!(other.values["public_id"], two[5..17]);
    // The reply is lost, and so the request repeated.
    let proxy = Proxy::start(stack.server.address(), "PATCH", Fault::LoseReply(1)).await;
    let driver = stack.provider_at(&proxy.url).await;
    let back = driver
        .update(&other, ask(json!(one), json!(3)))
        .await
        .unwrap();
    assert!(proxy.hits() > 1);
    assert_eq!(back.values["public_id"], one[5..17]);
    assert_eq!(stack.count("select revision from token").await, 3);
    let error = driver.update(&back, ask(json!(null), json!(4))).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("There is no secret to change to"), "{error}");
}

/// A run that is killed before its state has the token: the next one takes it over, with the secret that it has then.
#[tokio::test]
async fn an_interrupted_creation_is_taken_over_with_the_secret_of_the_next() {
    let stack = Stack::start().await;
    let ask = |secret: &str| json!({"name": "ci", "roles": ["reader"], "secret_wo": secret, "secret_wo_version": 1});
    let (one, two) = (secret(), secret());
    stack
        .provider()
        .await
        .create("ipam_token", ask(&one))
        .await
        .unwrap();
    let driver = stack.provider().await;
    let made = driver.create("ipam_token", ask(&two)).await.unwrap();
    assert_eq!(made.values["public_id"], two[5..17]);
    assert_eq!(stack.count("select count(*) from token").await, 1);
    driver.read(&made).await.unwrap().unwrap();
    let error = stack.provider().await.create("ipam_token", ask(&one)).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("terraform import ADDRESS 'ci'"), "{error}");
}

/// Without a server, since it needs none.
#[tokio::test]
async fn a_secret_is_made_for_a_token() {
    let driver = Driver::start(BINARY).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let opened = driver.open("ipam_token_secret", json!({})).await.unwrap();
        let text = opened.values["secret"].as_str().unwrap().to_owned();
        let secret = Secret::parse(&text).unwrap();
        assert_eq!(opened.values["public_id"], secret.public_id());
        seen.insert(text);
        driver.close(opened).await.unwrap();
    }
    assert_eq!(seen.len(), 3);
}
