//! The provider over the plugin protocol, without terraform, against the real server: what terraform can't be made to
//! do on purpose, and what would take too long through it. The driver refuses whatever Terraform would refuse, such as
//! a plan and a result that differ.

#![expect(clippy::unwrap_used, reason = "the helpers of tests panic as tests do")]

mod lists;
#[path = "../acceptance/proxy.rs"]
mod proxy;

mod data_sources;
mod functions;
mod nouns;

use std::time::{Duration, Instant};

use ipam_shared::cidr::Cidr;
use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value as Json, json};
use tfplugin::driver::{Driver, Launch, Stored, UNKNOWN};

use proxy::{Fault, Proxy};

const BINARY: &str = env!("CARGO_BIN_EXE_terraform-provider-ipam");
const TYPE: &str = "ipam_allocation";

struct Stack {
    server: TestServer,
    database: TestDatabase,
}

impl Stack {
    async fn start() -> Self {
        let database = TestDatabase::new().await;
        // Every call has to work where the operator demands a condition of each change.
        let strict = [("IPAM_REQUIRE_IF_MATCH", "true")];
        let server = TestServer::start_with(&database.url(), &strict).await;
        Self { server, database }
    }

    /// A provider that talks to the server.
    async fn provider(&self) -> Driver {
        self.provider_at(&self.server.url()).await
    }

    async fn provider_at(&self, endpoint: &str) -> Driver {
        let driver = Driver::start(BINARY).await.unwrap();
        let settings = json!({"endpoint": endpoint, "api_key": TestServer::API_KEY});
        driver.configure(settings).await.unwrap();
        driver
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let mut connection = self.database.connect().await;
        sqlx::query_scalar(sql)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }
}

fn config(name: &str, rest: Json) -> Json {
    let mut config = json!({"vpc": "prod", "name": name});
    let rest = rest.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(rest);
    config
}

/// Panics unless a plan with that configuration changes nothing.
async fn plan_is_empty(driver: &Driver, stored: &Stored, config: &Json) {
    let plan = driver
        .plan(TYPE, Some(stored), config.clone())
        .await
        .unwrap();
    assert_eq!(plan.values, stored.values, "for {config}");
    assert!(plan.requires_replace.is_empty(), "for {config}");
}

#[tokio::test]
async fn a_creation_knows_what_it_can_and_no_more() {
    let stack = Stack::start().await;
    let driver = stack.provider().await;
    let plan = async |name: &str, rest: Json| {
        driver
            .plan(TYPE, None, config(name, rest))
            .await
            .unwrap()
            .values
    };
    let by_hosts = plan("a", json!({"hosts": 500, "labels": {"a": "b"}})).await;
    assert_eq!(by_hosts["effective_labels"], json!({"a": "b"}));
    assert_eq!(by_hosts["prefix_length"], UNKNOWN);
    let block =
        |cidr: &str| json!({"cidr": cidr, "pool": UNKNOWN, "vrf": UNKNOWN, "usable": UNKNOWN});
    let blocks = |first| json!({"primary": block(first), "cgnat": block(UNKNOWN)});
    assert_eq!(by_hosts["blocks"], blocks(UNKNOWN));
    let by_cidr = plan("b", json!({"cidr": "10.0.8.0/23"})).await;
    assert_eq!(by_cidr["prefix_length"], 23);
    assert_eq!(by_cidr["hosts"], Json::Null);
    assert_eq!(by_cidr["blocks"], blocks("10.0.8.0/23"));
    let elsewhere = plan("d", json!({"hosts": 5, "profile": "none-such"})).await;
    assert_eq!(elsewhere["blocks"], UNKNOWN);
    let unknown = plan("c", json!({"hosts": UNKNOWN, "labels": {"a": UNKNOWN}})).await;
    assert_eq!(unknown["effective_labels"], UNKNOWN);
    // Planning takes no space.
    assert_eq!(stack.count("select count(*) from allocation").await, 0);
}

#[tokio::test]
async fn the_first_read_confirms_and_the_claim_keeps_others_out() {
    let stack = Stack::start().await;
    let driver = stack.provider().await;
    let ask = config("a", json!({"hosts": 500}));
    let confirmed = "select count(*) from allocation where confirmed_at is not null";
    let lost = driver.create(TYPE, ask.clone()).await.unwrap();
    assert_eq!(stack.count(confirmed).await, 0);
    // The same again in another run, as after a crash that kept the first reply from the state.
    let driver = stack.provider().await;
    let plan = driver.plan(TYPE, None, ask.clone()).await.unwrap();
    let applied = driver.apply(&plan).await.unwrap();
    let told = applied.diagnostics.to_string();
    assert!(told.contains("was there already"), "{told}");
    let kept = applied.stored.unwrap();
    assert_eq!(kept.values, lost.values);
    let read = driver.read(&kept).await.unwrap().unwrap();
    assert_eq!(read.values, kept.values);
    assert_eq!(stack.count(confirmed).await, 1);
    plan_is_empty(&driver, &read, &ask).await;

    let error = driver.read(&lost).await.unwrap_err().to_string();
    assert!(
        error.contains("terraform import ADDRESS 'prod/a'"),
        "{error}"
    );
    let third = stack.provider().await;
    let error = third.create(TYPE, ask).await.unwrap_err().to_string();
    assert!(
        error.contains("terraform import ADDRESS 'prod/a'"),
        "{error}"
    );
    assert_eq!(stack.count("select count(*) from allocation").await, 1);
}

#[tokio::test]
async fn import_by_identity_and_by_what_people_type() {
    let stack = Stack::start().await;
    let driver = stack.provider().await;
    let ask = config("a", json!({"hosts": 500}));
    let made = driver.create(TYPE, ask.clone()).await.unwrap();
    let (id, vpc) = (&made.values["id"], &made.values["vpc"]);
    assert_eq!(
        made.identity,
        Some(json!({"id": id, "vpc": vpc, "name": "a"}))
    );
    let mut all = Vec::new();
    for identity in [
        json!({"id": id}),
        json!({"vpc": "Prod", "name": "a"}),
        json!({"id": id, "vpc": vpc, "name": "a"}),
    ] {
        all.push(driver.import_identity(TYPE, identity).await.unwrap());
    }
    for (identity, wanted) in [
        (json!({"name": "a"}), "both the vpc and the name"),
        (
            json!({"vpc": "prod", "name": "b"}),
            "There is no allocation prod/b",
        ),
        (json!({"id": "prod/a"}), "There is no allocation prod/a"),
        (
            json!({"id": id, "name": "b"}),
            "Its name is a, and the identity says b",
        ),
    ] {
        let error = driver.import_identity(TYPE, identity).await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    for key in ["/id", "/cidr", "/blocks/cgnat/cidr"] {
        let id = made.values.pointer(key).unwrap().as_str().unwrap();
        all.push(driver.import(TYPE, id).await.unwrap());
    }
    all.push(driver.import(TYPE, "Prod/a").await.unwrap());
    for imported in all {
        let read = driver.read(&imported).await.unwrap().unwrap();
        assert_eq!(read.values, made.values);
        plan_is_empty(&driver, &read, &ask).await;
    }
}

#[tokio::test]
async fn older_state_is_understood() {
    let stack = Stack::start().await;
    let driver = stack.provider().await;
    let ask = config("a", json!({"hosts": 500}));
    let made = driver.create(TYPE, ask.clone()).await.unwrap();
    // A release that had an attribute more and others less.
    let mut old = made.values.clone();
    let attributes = old.as_object_mut().unwrap();
    attributes.insert("number".into(), json!(1));
    attributes.insert("cgnat_cidr".into(), json!("100.64.0.0/18"));
    attributes.remove("pool_selector");
    attributes.remove("effective_labels");
    let mut upgraded = driver.upgrade(TYPE, 0, &old).await.unwrap();
    upgraded.private = made.private.clone();
    let read = driver.read(&upgraded).await.unwrap().unwrap();
    assert_eq!(read.values, made.values);
}

#[tokio::test]
async fn a_lost_reply_is_bridged_without_a_word() {
    let stack = Stack::start().await;
    let proxy = Proxy::start(stack.server.address(), "POST", Fault::LoseReply(2)).await;
    let driver = stack.provider_at(&proxy.url).await;
    let plan = driver
        .plan(TYPE, None, config("a", json!({"hosts": 500})))
        .await
        .unwrap();
    let applied = driver.apply(&plan).await.unwrap();
    // It was there when the request came again, but by the request's own doing.
    assert!(applied.diagnostics.is_empty(), "{}", applied.diagnostics);
    assert!(proxy.hits() > 2);
    assert_eq!(stack.count("select count(*) from allocation").await, 1);
}

#[tokio::test]
async fn ctrl_c_ends_a_wait_for_a_server_that_does_not_answer() {
    let stack = Stack::start().await;
    let proxy = Proxy::start(stack.server.address(), "POST", Fault::HoldReply).await;
    let driver = stack.provider_at(&proxy.url).await;
    let ask = config("a", json!({"hosts": 500}));
    let began = Instant::now();
    let (created, ()) = tokio::join!(driver.create(TYPE, ask.clone()), async {
        while proxy.hits() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        driver.stop().await.unwrap();
    });
    let error = created.unwrap_err().to_string();
    assert!(error.contains("running the same again is safe"), "{error}");
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "{:?}",
        began.elapsed()
    );
    proxy.release();
    let again = stack.provider().await.create(TYPE, ask).await.unwrap();
    assert_eq!(again.values["prefix_length"], 23);
    assert_eq!(stack.count("select count(*) from allocation").await, 1);
}

/// What comes of a call during which Ctrl-C is pressed, once the server has been asked.
async fn interrupted<T>(driver: &Driver, proxy: &Proxy, call: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let (outcome, ()) = tokio::join!(call, async {
        while proxy.hits() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        driver.stop().await.unwrap();
    });
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    outcome
}

#[tokio::test]
async fn ctrl_c_ends_a_wait_for_what_is_only_looked_up() {
    let stack = Stack::start().await;
    let holding = async |asked| Proxy::start(stack.server.address(), asked, Fault::HoldReply).await;
    let settings = |proxy: &Proxy| json!({"endpoint": proxy.url, "api_key": TestServer::API_KEY, "owner": "ws-1"});
    let configuring = async {
        let proxy = holding("GET ").await;
        let driver = Driver::start(BINARY).await.unwrap();
        let call = driver.configure(settings(&proxy));
        let error = interrupted(&driver, &proxy, call).await.unwrap_err();
        assert!(error.to_string().contains("Interrupted"), "{error}");
    };
    let reading = async {
        let proxy = holding("GET /api/v1/allocations/").await;
        let driver = stack.provider_at(&proxy.url).await;
        let ask = json!({"id": "0190d6a5-8f0e-7cc0-a7a0-000000000001"});
        let call = driver.read_data(TYPE, ask);
        let error = interrupted(&driver, &proxy, call).await.unwrap_err();
        assert!(error.to_string().contains("Interrupted"), "{error}");
    };
    // A destroy looks for what else of its owner is left.
    let destroying = async {
        let proxy = holding("GET /api/v1/allocations?owner=").await;
        let driver = Launch::new(BINARY).env("TF_CLI_ARGS", "-destroy");
        let driver = driver.start().await.unwrap();
        driver.configure(settings(&proxy)).await.unwrap();
        let made = driver.create(TYPE, config("a", json!({"hosts": 5})));
        let made = made.await.unwrap();
        let call = driver.delete(&made);
        interrupted(&driver, &proxy, call).await.unwrap();
        assert_eq!(stack.count("select count(*) from allocation").await, 0);
    };
    tokio::join!(configuring, reading, destroying);
}

#[tokio::test]
async fn no_secret_is_told_however_much_is_logged() {
    let stack = Stack::start().await;
    let driver = Launch::new(BINARY)
        .env("TF_LOG", "TRACE")
        .env("IPAM_API_KEY", TestServer::API_KEY)
        .env("IPAM_ENDPOINT", stack.server.url())
        .start()
        .await
        .unwrap();
    driver.configure(json!({})).await.unwrap();
    let ask = config("a", json!({"hosts": 500}));
    let made = driver.create(TYPE, ask).await.unwrap();
    driver.read(&made).await.unwrap();
    driver.import(TYPE, "no/such").await.unwrap_err();
    driver.delete(&made).await.unwrap();
    driver.shutdown().await.unwrap();
    let log = driver.stderr();
    assert!(
        log.contains("request answered"),
        "the calls are logged:\n{log}"
    );
    let claim = String::from_utf8(made.private).unwrap();
    let claim = serde_json::from_str::<Json>(&claim).unwrap()["claim"]
        .as_str()
        .unwrap()
        .to_owned();
    for secret in [TestServer::API_KEY, &claim] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

/// Draws from a fixed sequence, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll<T: Clone>(&mut self, choices: &[T]) -> T {
        // Knuth's MMIX generator; its upper bits are the good ones.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let index = usize::try_from(self.0 >> 33).unwrap() % choices.len();
        choices[index].clone()
    }
}

#[tokio::test]
async fn whatever_follows_whatever_the_next_plan_is_empty() {
    let seed = std::env::var("SEED").map_or(20_261_124, |seed| seed.parse().unwrap());
    println!("SEED={seed}");
    let mut dice = Dice(seed);
    let stack = Stack::start().await;
    let driver = stack.provider().await;
    let sizes = [
        json!({"hosts": 500}),
        json!({"hosts": 507}),
        json!({"hosts": 508}),
        json!({"hosts": 1}),
        json!({"hosts": 59}),
        json!({"hosts": 60}),
        json!({"prefix_length": 23}),
        json!({"prefix_length": 26}),
        json!({"cidr": "10.0.128.0/23"}),
        json!({"cidr": "10.0.130.0/26"}),
    ];
    let labels = [
        json!(null),
        json!({}),
        json!({"a": "b"}),
        json!({"a": "c", "d": ""}),
    ];
    let texts = [json!(null), json!(""), json!("Nodes")];
    let vpcs = [json!("prod"), json!("Prod"), json!("stage")];
    let mut stored: Option<Stored> = None;
    let (mut in_place, mut resized, mut replaced) = (0, 0, 0);
    for _ in 0..150 {
        let mut config = json!({
            "vpc": dice.roll(&vpcs), "name": dice.roll(&["a", "b"]), "labels": dice.roll(&labels),
            "description": dice.roll(&texts),
        });
        let size = dice.roll(&sizes);
        config
            .as_object_mut()
            .unwrap()
            .extend(size.as_object().unwrap().clone());
        stored = match stored {
            Some(before) => {
                let plan = driver
                    .plan(TYPE, Some(&before), config.clone())
                    .await
                    .unwrap_or_else(|error| panic!("{config}: {error}"));
                if !plan.requires_replace.is_empty() {
                    replaced += 1;
                    assert!(!plan.warnings.is_empty(), "a replacement says why");
                    driver.delete(&before).await.unwrap();
                    stored = Some(driver.create(TYPE, config.clone()).await.unwrap());
                    continue;
                }
                in_place += 1;
                // The plan says all that comes of it; the driver refuses what comes otherwise.
                assert!(plan.values["blocks"]["primary"]["cidr"].as_str().is_some());
                let first =
                    |values: &Json| values["cidr"].as_str().unwrap().parse::<Cidr>().unwrap();
                let after = driver.update(&before, config.clone()).await.unwrap();
                let (old, new) = (first(&before.values), first(&after.values));
                assert!(
                    old.contains(new) || new.contains(old),
                    "{old} has become {new}"
                );
                resized += usize::from(old != new);
                Some(after)
            }
            None => Some(driver.create(TYPE, config.clone()).await.unwrap()),
        };
        let read = driver
            .read(stored.as_ref().unwrap())
            .await
            .unwrap()
            .unwrap();
        plan_is_empty(&driver, &read, &config).await;
        stored = Some(read);
        assert_eq!(stack.count("select count(*) from allocation").await, 1);
    }
    assert!(
        in_place > 50 && resized > 20 && replaced > 10,
        "{in_place} changes in place, {resized} of them of size, and {replaced} replacements"
    );
}
