//! Webhooks of real servers, to a receiver that checks signatures by itself and misbehaves as told: everything arrives, in
//! order, whoever hangs, fails or is killed, and nothing goes where it must not.

mod receiver;

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "other tests need all of it")]
mod client;

use std::time::{Duration, Instant};

use ipam_testing::{TestDatabase, TestServer, dump, restore};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use client::Client;
use receiver::{Answer, LOCAL, Receiver, Request, ask, events, numbers, ok, state, webhook};

async fn local(database: &TestDatabase) -> TestServer {
    TestServer::start_with(&database.url(), &LOCAL).await
}

#[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
async fn sql(database: &TestDatabase, statement: &str) {
    let mut db = database.connect().await;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut db)
        .await
        .unwrap();
}

/// The numbers of all events of the log, in its order.
#[expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]
async fn log(database: &TestDatabase, condition: &str) -> Vec<i64> {
    let mut db = database.connect().await;
    let select = format!("select event_id from event where {condition} order by event_id");
    sqlx::query_scalar(AssertSqlSafe(select))
        .fetch_all(&mut db)
        .await
        .unwrap()
}

/// Makes a VRF, which is one event.
async fn vrf(server: &TestServer, name: &str) {
    ok(server, "POST", "vrfs", json!({ "name": name }), 201).await;
}

fn secret(webhook: &Value) -> String {
    webhook["secret"].as_str().expect("a secret").to_owned()
}

/// Waits until a receiver has all of the log that matches, and nothing else.
async fn until_all(receiver: &Receiver, database: &TestDatabase, condition: &str) -> Vec<Request> {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let (wanted, requests) = (log(database, condition).await, receiver.requests());
        let got = numbers(&events(&requests));
        if got == wanted {
            return requests;
        }
        assert!(Instant::now() < end, "{got:?} instead of {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_in_order_and_signed_while_many_write() {
    let database = TestDatabase::new().await;
    let (server, receiver, picky) = (
        local(&database).await,
        Receiver::start().await,
        Receiver::start().await,
    );
    let all = webhook(&server, "all", &receiver, &json!({"batch_size": 7})).await;
    let filter = json!({"actions": ["vpc.*", "*.create"]});
    webhook(&server, "picky", &picky, &filter).await;
    let writers = (0..8).map(|writer| {
        let address = server.address();
        tokio::spawn(async move {
            let mut client = Client::connect(address).await.unwrap();
            for number in 0..25 {
                let body = json!({"vpc": format!("v-{writer}"), "name": format!("a-{number}"), "prefix_length": 26});
                let made = client.post("/api/v1/allocations", &body).await.unwrap();
                assert_eq!(made.status, 201, "{}", made.json);
                if number % 5 == 0 {
                    let path = format!("/api/v1/allocations/{}", made.json["id"].as_str().unwrap());
                    client.send("DELETE", &path, &[], &Value::Null).await.unwrap();
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let requests = until_all(&receiver, &database, "true").await;
    assert!(log(&database, "true").await.len() > 200);
    for request in &requests {
        assert!(request.is_signed_by(&secret(&all)), "{request:?}");
        assert!(!request.is_signed_by("whsec_AAAA"));
        assert_eq!(request.signatures(), 1);
        assert_eq!(request.header("content-type"), "application/json");
        assert!(request.header("user-agent").starts_with("ipam/"));
        assert!((1..=7).contains(&request.ids().len()));
        let feed = request.feed();
        assert!(feed["next"].as_i64() >= request.ids().last().copied());
    }
    // The body is what the feed replies, and the head that goes with it is one that the server hands out.
    let feed = ok(
        &server,
        "GET",
        "events/feed?after=0&limit=1000",
        Value::Null,
        200,
    )
    .await;
    assert_eq!(feed["items"], Value::from(events(&requests)));
    let last = requests.last().unwrap().feed();
    assert!(last["head"]["seal"].is_i64(), "{last}");
    until_all(
        &picky,
        &database,
        "action like 'vpc.%' or action like '%.create'",
    )
    .await;
    let done = state(&server, "all", "nothing is behind", |it| it["behind"] == 0).await;
    let delivery = &done["delivery"];
    assert_eq!(
        (&delivery["last_status"], &delivery["failures"]),
        (&json!(204), &json!(0))
    );
    assert!(delivery["last_at"].is_string() && delivery["failing_since"].is_null());
    // Nothing that arrives makes something more to deliver.
    let count = receiver.requests().len();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(receiver.requests().len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_fails_gets_the_same_again_and_delays_nobody() {
    let database = TestDatabase::new().await;
    let mut server = local(&database).await;
    let (failing, hanging, fine) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    failing.answer(Answer::Status(500));
    hanging.answer(Answer::Hang);
    for (name, receiver) in [
        ("failing", &failing),
        ("hanging", &hanging),
        ("fine", &fine),
    ] {
        webhook(&server, name, receiver, &json!({})).await;
    }
    failing.until("it is asked", |all| !all.is_empty()).await;
    hanging.until("it is asked", |all| !all.is_empty()).await;
    // While one hangs and one waits, a third one is told at once.
    let began = Instant::now();
    vrf(&server, "one").await;
    until_all(&fine, &database, "true").await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let failed = state(&server, "failing", "it fails", |it| {
        !it["failing_since"].is_null()
    })
    .await;
    let delivery = &failed["delivery"];
    assert_eq!(delivery["last_status"], 500);
    assert_eq!(delivery["last_error"], "the receiver answered 500");
    assert!(delivery["next_try_at"].is_string() && delivery["behind"].as_i64() > Some(0));
    let hung = state(&server, "hanging", "it hangs", |it| it["failures"] == 1).await;
    assert_eq!(hung["delivery"]["last_error"], "no answer within 15 s");
    assert!(hung["delivery"]["last_status"].is_null());

    // A server that starts again does not try at once what waits.
    sql(
        &database,
        "update webhook_delivery set next_try_at = now() + interval '1 hour', attempts = 9
        from webhook where webhook.webhook_id = webhook_delivery.webhook_id and name = 'failing'",
    )
    .await;
    let before = failing.requests().len();
    server.stop().await;
    server.restart().await;
    vrf(&server, "two").await;
    until_all(&fine, &database, "true").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(failing.requests().len(), before, "the pause was forgotten");

    // Once it is due it gets what it got before, under the same id, and then the rest.
    failing.answer(Answer::Status(200));
    sql(&database, "update webhook_delivery set next_try_at = now()").await;
    let requests = until_all(&failing, &database, "true").await;
    let [first, again, ..] = &requests[..] else {
        panic!("{requests:?}");
    };
    for (index, request) in requests.iter().enumerate() {
        let same = request.ids() == first.ids();
        let one_id = request.header("webhook-id") == first.header("webhook-id");
        assert_eq!(same, one_id, "{index}");
    }
    assert_eq!(first.ids(), again.ids());
    let well = state(&server, "failing", "it is well", |it| {
        it["failing_since"].is_null()
    })
    .await;
    assert_eq!(well["delivery"]["failures"], 0);
    assert!(well["delivery"]["last_error"].is_null() && well["delivery"]["next_try_at"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_grow_and_a_receiver_may_ask_for_longer_ones() {
    let database = TestDatabase::new().await;
    let server = local(&database).await;
    let (failing, busy) = (Receiver::start().await, Receiver::start().await);
    failing.answer(Answer::Status(502));
    busy.answer(Answer::RetryAfter(429, "600"));
    webhook(&server, "failing", &failing, &json!({})).await;
    webhook(&server, "busy", &busy, &json!({})).await;
    let requests = failing.until("three attempts", |all| all.len() >= 3).await;
    let pauses: Vec<_> = requests
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    assert!(pauses[0] >= Duration::from_millis(2400), "{pauses:?}");
    assert!(pauses[1] >= Duration::from_millis(4900), "{pauses:?}");
    let waits = state(&server, "busy", "it waits", |it| it["failures"] == 1).await;
    assert_eq!(busy.requests().len(), 1);
    let mut db = database.connect().await;
    let seconds: f64 = sqlx::query_scalar(
        "select extract(epoch from next_try_at - failing_since)::float8 from webhook_delivery
        join webhook using (webhook_id) where name = 'busy'",
    )
    .fetch_one(&mut db)
    .await
    .unwrap();
    assert!((599.0..601.0).contains(&seconds), "{seconds} {waits}");
    // Who changes it, or resumes it, need not wait for that.
    busy.answer(Answer::Status(200));
    ok(&server, "POST", "webhooks/busy/resume", json!({}), 200).await;
    until_all(&busy, &database, "true").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_nothing_or_fails_for_days_is_given_up_until_somebody_resumes() {
    let database = TestDatabase::new().await;
    let server = local(&database).await;
    let (gone, dead) = (Receiver::start().await, Receiver::start().await);
    gone.answer(Answer::Status(410));
    dead.answer(Answer::Status(404));
    webhook(&server, "gone", &gone, &json!({})).await;
    webhook(&server, "dead", &dead, &json!({})).await;
    state(&server, "gone", "it is stopped", |it| {
        !it["stopped_at"].is_null()
    })
    .await;
    state(&server, "dead", "it fails", |it| it["failures"] != 0).await;
    // Whoever changes it has looked at it: that begins anew, and is not given up at the next failure.
    ok(
        &server,
        "PATCH",
        "webhooks/dead",
        json!({"enabled": false}),
        200,
    )
    .await;
    sql(
        &database,
        "update webhook_delivery set failing_since = now() - interval '5 days' where stopped_at is null",
    )
    .await;
    let before = dead.requests().len();
    ok(
        &server,
        "PATCH",
        "webhooks/dead",
        json!({"enabled": true}),
        200,
    )
    .await;
    dead.until("another attempt", move |all| all.len() > before)
        .await;
    let failed = state(&server, "dead", "it fails", |it| it["failures"] != 0).await;
    assert!(failed["delivery"]["stopped_at"].is_null(), "{failed}");
    sql(
        &database,
        "update webhook_delivery set failing_since = now() - interval '5 days', next_try_at = now()
        where stopped_at is null",
    )
    .await;
    let stopped = state(&server, "dead", "it is stopped", |it| {
        !it["stopped_at"].is_null()
    })
    .await;
    assert!(stopped["delivery"]["next_try_at"].is_null());
    let log_of = ok(
        &server,
        "GET",
        "events?action=webhook.stop",
        Value::Null,
        200,
    )
    .await;
    let items = log_of["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    let of = |name: &str| {
        items
            .iter()
            .find(|it| it["detail"]["name"] == name)
            .unwrap()
    };
    assert_eq!(of("gone")["actor"], "server");
    assert!(
        of("gone")["detail"]["reason"]
            .as_str()
            .unwrap()
            .contains("410")
    );
    assert!(
        of("dead")["detail"]["reason"]
            .as_str()
            .unwrap()
            .contains("5 days")
    );
    let metrics = metrics(&server).await;
    assert!(
        metrics.contains("ipam_webhook_stopped{webhook=\"dead\"} 1"),
        "{metrics}"
    );
    assert!(server.log().contains("given up"), "{}", server.log());

    // Nothing more is sent, not even by a server that starts again.
    let count = (gone.requests().len(), dead.requests().len());
    vrf(&server, "later").await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!((gone.requests().len(), dead.requests().len()), count);
    for receiver in [&gone, &dead] {
        receiver.answer(Answer::Status(204));
    }
    ok(&server, "POST", "webhooks/gone/resume", json!({}), 200).await;
    until_all(&gone, &database, "true").await;
    // Or only with what comes now, or all of it once more.
    let last = log(&database, "true").await.pop().unwrap();
    ok(
        &server,
        "POST",
        "webhooks/dead/resume",
        json!({"after": last}),
        200,
    )
    .await;
    vrf(&server, "latest").await;
    let requests = dead.until("what is new", move |all| {
        all.last()
            .is_some_and(|request| request.ids().first() > Some(&last))
    });
    requests.await;
    let after: Vec<_> = dead.requests()[count.1..].to_vec();
    assert!(numbers(&events(&after)).iter().all(|id| *id > last));
    ok(
        &server,
        "POST",
        "webhooks/dead/resume",
        json!({"after": 0}),
        200,
    )
    .await;
    let from = dead.requests().len();
    dead.until("all once more", move |all| all.len() > from)
        .await;
    assert_eq!(
        dead.requests()[from].ids()[0],
        log(&database, "true").await[0]
    );
    let (status, refused) = ask(
        &server,
        "POST",
        "webhooks/dead/resume",
        &json!({"after": 1_000_000}),
    )
    .await;
    assert_eq!(
        (status, &refused["code"]),
        (400, &json!("invalid_request")),
        "{refused}"
    );
}

/// A client that takes any header, and a reply without JSON.
fn http() -> reqwest::Client {
    // Fails for all but the first test of a process.
    _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn metrics(server: &TestServer) -> String {
    let client = http();
    let reply = client
        .get(format!("{}/metrics", server.url()))
        .header("x-api-key", TestServer::API_KEY)
        .send()
        .await
        .expect("answered");
    reply.text().await.expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_one_delivers_and_the_other_follows_when_it_dies_or_hangs() {
    let database = TestDatabase::new().await;
    let mut first = local(&database).await;
    let receiver = Receiver::start().await;
    webhook(&first, "one", &receiver, &json!({})).await;
    until_all(&receiver, &database, "true").await;
    let mut second = local(&database).await;
    for number in 0..10 {
        let server = if number % 2 == 0 { &first } else { &second };
        vrf(server, &format!("calm-{number}")).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let requests = until_all(&receiver, &database, "true").await;
    let sent: usize = requests.iter().map(|request| request.ids().len()).sum();
    assert_eq!(sent, events(&requests).len(), "something was sent twice");

    // One of them hangs in the middle of a request: it holds the webhook.
    for is_kill in [true, false] {
        receiver.answer(Answer::Hang);
        let before = receiver.requests().len();
        vrf(&first, &format!("held-{is_kill}")).await;
        receiver
            .until("a request", move |all| all.len() > before)
            .await;
        let mut db = database.connect().await;
        let holders: i64 =
            sqlx::query_scalar("select count(*) from webhook_delivery where held_until > now()")
                .fetch_one(&mut db)
                .await
                .unwrap();
        assert_eq!(holders, 1);
        // Which one that is, is not known: the first is stopped, and then the second has to deliver all alone.
        if is_kill {
            first.kill_9();
        } else {
            first.signal(Signal::SIGSTOP);
        }
        receiver.answer(Answer::Status(200));
        let began = Instant::now();
        vrf(&second, &format!("after-{is_kill}")).await;
        until_all(&receiver, &database, "true").await;
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{:?}",
            began.elapsed()
        );
        if is_kill {
            first.restart().await;
        } else {
            // It wakes up, and what it had under way changes nothing.
            first.signal(Signal::SIGCONT);
            tokio::time::sleep(Duration::from_secs(2)).await;
            vrf(&first, "awake").await;
            until_all(&receiver, &database, "true").await;
        }
    }
    // One that is told to stop gives back what it holds.
    let began = Instant::now();
    first.stop().await;
    vrf(&second, "last").await;
    until_all(&receiver, &database, "true").await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    second.stop().await;
    let mut db = database.connect().await;
    let held: i64 =
        sqlx::query_scalar("select count(*) from webhook_delivery where holder is not null")
            .fetch_one(&mut db)
            .await
            .unwrap();
    assert_eq!(held, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_replaced_without_a_gap() {
    let database = TestDatabase::new().await;
    let server = local(&database).await;
    let receiver = Receiver::start().await;
    let made = webhook(&server, "siem", &receiver, &json!({})).await;
    let one = secret(&made);
    assert!(one.starts_with("whsec_") && one.len() == 50);
    // The same request again, whose reply may have been lost, has the same.
    let again = json!({"name": "SIEM", "url": receiver.url(), "after": 0});
    let again = ok(&server, "POST", "webhooks", again, 200).await;
    assert_eq!((secret(&again), &again["id"]), (one.clone(), &made["id"]));
    for path in ["webhooks/siem", "webhooks"] {
        let shown = ok(&server, "GET", path, Value::Null, 200).await.to_string();
        assert!(
            shown.contains("siem") && !shown.contains("whsec_"),
            "{shown}"
        );
    }
    let sent = async |what: &str| {
        let before = receiver.requests().len();
        vrf(&server, what).await;
        let all = receiver
            .until("one more", move |all| all.len() > before)
            .await;
        all.last().unwrap().clone()
    };
    assert!(sent("a").await.is_signed_by(&one));
    let rotated = ok(&server, "POST", "webhooks/siem/rotate", json!({}), 200).await;
    let two = secret(&rotated);
    assert_ne!(one, two);
    assert!(rotated["old_secrets_until"].is_string());
    let both = sent("b").await;
    assert!(both.is_signed_by(&one) && both.is_signed_by(&two) && both.signatures() == 2);
    // A rotation whose reply was lost, and which is repeated, leaves the receiver with one that still signs.
    let rotated = ok(
        &server,
        "POST",
        "webhooks/siem/rotate",
        json!({"overlap_seconds": 60}),
        200,
    )
    .await;
    let three = secret(&rotated);
    let all = sent("c").await;
    assert!(
        [&one, &two, &three]
            .iter()
            .all(|secret| all.is_signed_by(secret))
    );
    // Those before it end in time.
    sql(
        &database,
        "update webhook_secret set ends_at = now() where ends_at is not null",
    )
    .await;
    let alone = sent("d").await;
    assert!(alone.is_signed_by(&three) && alone.signatures() == 1);
    // Or at once, if one has leaked.
    let rotated = ok(
        &server,
        "POST",
        "webhooks/siem/rotate",
        json!({"overlap_seconds": 0}),
        200,
    )
    .await;
    let four = secret(&rotated);
    assert!(rotated["old_secrets_until"].is_null());
    let alone = sent("e").await;
    assert!(alone.is_signed_by(&four) && alone.signatures() == 1);
    for _ in 0..4 {
        ok(&server, "POST", "webhooks/siem/rotate", json!({}), 200).await;
    }
    let (status, refused) = ask(&server, "POST", "webhooks/siem/rotate", &json!({})).await;
    assert_eq!(status, 400, "{refused}");
    let (status, _) = ask(
        &server,
        "POST",
        "webhooks/siem/rotate",
        &json!({"overlap_seconds": 2_592_001}),
    )
    .await;
    assert_eq!(status, 400);
    // Nothing of it is in the log, nor in a dump.
    let kept = format!(
        "{}{}",
        server.log(),
        dump(&database.connect_options()).await
    );
    for secret in [&one, &two, &three, &four] {
        assert!(!kept.contains(&secret[6..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_to_addresses_that_are_not_public() {
    let database = TestDatabase::new().await;
    let receiver = Receiver::start().await;
    let strict = TestServer::start(&database).await;
    for url in [
        receiver.url(),
        receiver.url().replace("http://", "https://"),
        "https://127.1/".to_owned(),
        "https://2130706433/".to_owned(),
        "https://[::ffff:127.0.0.1]/".to_owned(),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "http://example.com/".to_owned(),
        "https://user:hunter2@example.com/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ] {
        let new = json!({"name": "x", "url": url});
        let (status, refused) = ask(&strict, "POST", "webhooks", &new).await;
        assert_eq!(
            (status, &refused["code"]),
            (400, &json!("invalid_request")),
            "{url} {refused}"
        );
        assert!(!refused.to_string().contains("hunter2"));
    }
    // What a name means is found out when it is used.
    let port = receiver.address.port();
    let new = json!({"name": "inner", "url": format!("https://localhost:{port}/"), "after": 0});
    ok(&strict, "POST", "webhooks", new, 201).await;
    let failed = state(&strict, "inner", "it is refused", |it| it["failures"] != 0).await;
    let error = failed["delivery"]["last_error"].as_str().unwrap();
    assert!(
        error.contains("localhost is not a public address"),
        "{error}"
    );
    let tested = ok(&strict, "POST", "webhooks/inner/test", Value::Null, 200).await;
    assert_eq!(tested["delivered"], false);
    assert!(
        tested["error"]
            .as_str()
            .unwrap()
            .contains("IPAM_WEBHOOK_NETWORKS"),
        "{tested}"
    );
    assert!(receiver.requests().is_empty());

    // Not through a proxy either, which would reach what the server may not.
    let proxy = format!("http://{}", receiver.address);
    let proxied = [
        ("HTTPS_PROXY", &*proxy),
        ("HTTP_PROXY", &proxy),
        ("ALL_PROXY", &proxy),
    ];
    drop(strict);
    let proxied = TestServer::start_with(&database.url(), &proxied).await;
    let tested = ok(&proxied, "POST", "webhooks/inner/test", Value::Null, 200).await;
    assert_eq!(tested["delivered"], false, "{tested}");
    let (status, _) = ask(
        &proxied,
        "PATCH",
        "webhooks/inner",
        &json!({"url": receiver.url()}),
    )
    .await;
    assert_eq!(status, 400);
    assert!(receiver.requests().is_empty(), "{:?}", receiver.requests());
    drop(proxied);

    // Where the operator allows it, names and addresses lead there.
    let lax = local(&database).await;
    let url = format!("http://localhost:{port}/");
    ok(&lax, "PATCH", "webhooks/inner", json!({ "url": url }), 200).await;
    until_all(&receiver, &database, "true").await;
    let tested = ok(&lax, "POST", "webhooks/inner/test", Value::Null, 200).await;
    assert_eq!(
        (&tested["delivered"], &tested["status"]),
        (&json!(true), &json!(204))
    );
    let empty = receiver.requests().pop().unwrap();
    assert!(empty.ids().is_empty(), "{empty:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_copy_tells_nobody_anything_until_it_is_reconciled() {
    let database = TestDatabase::new().await;
    let server = local(&database).await;
    let receiver = Receiver::start().await;
    let made = webhook(&server, "siem", &receiver, &json!({})).await;
    until_all(&receiver, &database, "true").await;
    state(&server, "siem", "it is up to date", |it| it["behind"] == 0).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), dump(&database.connect_options()).await).unwrap();
    vrf(&server, "after-the-backup").await;
    let lost = until_all(&receiver, &database, "true").await;

    let copy = TestDatabase::empty().await;
    restore(&copy.connect_options(), file.path()).await;
    let restored = local(&copy).await;
    vrf(&restored, "in-the-copy").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        receiver.requests().len(),
        lost.len(),
        "the copy has sent something"
    );

    drop(server);
    let reconciled = std::process::Command::new(ipam_testing::ipam_binary())
        .args(["reconcile", "--accept-loss", "--database-url", &copy.url()])
        .output()
        .unwrap();
    assert!(reconciled.status.success(), "{reconciled:?}");
    let from = lost.len();
    receiver
        .until("it goes on", move |all| all.len() > from)
        .await;
    let again = receiver.requests()[from].clone();
    // The number of an event that was lost comes again; it is not the same message.
    assert!(again.is_signed_by(&secret(&made)));
    let known: Vec<_> = lost
        .iter()
        .map(|request| request.header("webhook-id").to_owned())
        .collect();
    assert!(!known.contains(&again.header("webhook-id").to_owned()));
    let names = again.feed()["items"].to_string();
    assert!(
        names.contains("in-the-copy") && !names.contains("after-the-backup"),
        "{names}"
    );
}

/// Events are numbered again from where the backup ends, and those that have the numbers of lost ones are sent too.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_under_a_running_server_leaves_nothing_out_of_what_comes_after_it() {
    let database = TestDatabase::new().await;
    let server = local(&database).await;
    let receiver = Receiver::start().await;
    webhook(&server, "siem", &receiver, &json!({})).await;
    until_all(&receiver, &database, "true").await;
    state(&server, "siem", "it is up to date", |it| it["behind"] == 0).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), dump(&database.connect_options()).await).unwrap();
    for number in 0..20 {
        vrf(&server, &format!("lost-{number}")).await;
    }
    let from = until_all(&receiver, &database, "true").await.len();
    let seen = log(&database, "true").await.pop().unwrap();
    let feed = format!("{}/api/v1/events/feed?after={seen}", server.url());
    let mut stream = http()
        .get(feed)
        .header("accept", "text/event-stream")
        .header("x-api-key", TestServer::API_KEY)
        .send()
        .await
        .unwrap();

    sql(
        &database,
        "drop schema public cascade; drop schema ipam_scoped cascade; create schema public",
    )
    .await;
    restore(&database.connect_options(), file.path()).await;
    let end = Instant::now() + Duration::from_secs(30);
    let mut client = Client::connect(server.address()).await.unwrap();
    while client.get("/readyz").await.unwrap().json["restored"].is_null() {
        assert!(Instant::now() < end, "the restore is not noticed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let reconciled = std::process::Command::new(ipam_testing::ipam_binary())
        .args([
            "reconcile",
            "--accept-loss",
            "--database-url",
            &database.url(),
        ])
        .output()
        .unwrap();
    assert!(reconciled.status.success(), "{reconciled:?}");
    // Whoever follows is told that what it has seen is no more, instead of what comes behind that.
    let ends = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(30), ends)
        .await
        .expect("the stream ends");
    for number in 0..5 {
        vrf(&server, &format!("new-{number}")).await;
    }
    receiver
        .until("what is new", move |all| {
            let got: String = all[from..]
                .iter()
                .map(|it| it.feed()["items"].to_string())
                .collect();
            (0..5).all(|number| got.contains(&format!("\"new-{number}\"")))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn auditors_read_them_and_only_administrators_change_them() {
    let database = TestDatabase::new().await;
    let server = local(&database).await;
    let receiver = Receiver::start().await;
    webhook(&server, "siem", &receiver, &json!({"enabled": false})).await;
    vrf(&server, "dev").await;
    let mut keys = Vec::new();
    for (name, limits) in [("free", json!({})), ("limited", json!({"vrfs": ["dev"]}))] {
        let new = json!({"name": name, "roles": ["auditor"], "limits": limits});
        keys.push(secret(&ok(&server, "POST", "tokens", new, 201).await));
    }
    let mut statuses = Vec::new();
    for key in &keys {
        let client = http();
        for (method, path) in [
            (reqwest::Method::GET, "webhooks/siem"),
            (reqwest::Method::PATCH, "webhooks/siem"),
            (reqwest::Method::POST, "webhooks/siem/test"),
            (reqwest::Method::POST, "webhooks/siem/rotate"),
            (reqwest::Method::DELETE, "webhooks/siem"),
        ] {
            let url = format!("{}/api/v1/{path}", server.url());
            let request = client.request(method, url).header("x-api-key", key);
            let reply = request.json(&json!({})).send().await.unwrap();
            statuses.push(reply.status().as_u16());
        }
    }
    // What a limited one does not cover does not exist for it; whoever reads all of it could be told all of the log.
    assert_eq!(statuses, [200, 403, 403, 403, 403, 404, 403, 403, 403, 403]);

    // One that is disabled keeps its place.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(receiver.requests().is_empty());
    ok(
        &server,
        "PATCH",
        "webhooks/siem",
        json!({"enabled": true}),
        200,
    )
    .await;
    until_all(&receiver, &database, "true").await;
    // Its end is known.
    let (status, _) = ask(&server, "DELETE", "webhooks/siem", &Value::Null).await;
    assert_eq!(status, 204);
    let count = receiver.requests().len();
    vrf(&server, "later").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(receiver.requests().len(), count);
    for (bad, word) in [
        (
            json!({"actions": ["Allocation.create"]}),
            "no action looks like",
        ),
        (json!({"batch_size": 0}), "batch_size"),
        (json!({"batch_size": 1001}), "batch_size"),
        (json!({"after": -1}), "last event"),
        (json!({"after": 1_000_000}), "last event"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let mut new = json!({"name": "bad", "url": receiver.url()});
        for (field, value) in bad.as_object().unwrap() {
            new[field] = value.clone();
        }
        let (status, refused) = ask(&server, "POST", "webhooks", &new).await;
        assert!((400..=422).contains(&status), "{refused}");
        assert!(
            refused["detail"].as_str().unwrap().contains(word),
            "{refused}"
        );
    }
}
