//! What a client does when the network or the server misbehaves: what it repeats, what it believes, when it gives up.

#![expect(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod nouns;
mod support;

use std::time::{Duration, Instant};

use ipam_client::{Client, Error, Settings};
use ipam_shared::api::transfer::{Format, ImportParams, Phase};
use ipam_shared::{
    api::allocation::{Allocation, AllocationPatch, NewAllocation, NewBatch, Size},
    error::{Code, Problem},
    ids::{AllocationId, Claim},
};
use serde_json::json;
use support::{Scripted, Step};

const KEY: &str = "canary-secret-key";
const ID: &str = "0190d6a5-8f0e-7cc0-a7a0-000000000001";

fn settings(server: &Scripted) -> Settings {
    Settings {
        request_timeout: Duration::from_secs(5),
        ..Settings::new(&server.endpoint, KEY)
    }
}

fn client(server: &Scripted) -> Client {
    Client::new(&settings(server)).unwrap()
}

fn id() -> AllocationId {
    ID.parse().unwrap()
}

fn allocation(description: &str) -> String {
    json!({
        "id": ID, "number": 1, "vpc": "prod", "vpc_id": ID, "name": "a", "vrf": "default", "profile": "node-pod",
        "cidr": "10.0.0.0/23", "prefix_length": 23,
        "requested_hosts": 500, "requested_prefix_length": null, "requested_cidr": null,
        "blocks": [], "labels": {}, "description": description, "deletion_protection": false, "revision": 1,
        "created_by": "admin", "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"
    })
    .to_string()
}

fn ours() -> Vec<(&'static str, String)> {
    vec![("x-request-id", "r1".into())]
}

fn ok() -> Step {
    Step::Answer(200, ours(), allocation(""))
}

fn problem(code: Code, headers: Vec<(&'static str, String)>) -> Step {
    let mut problem = Problem::new(code, "Because the test says so.");
    problem.request_id = Some("r2".into());
    Step::Answer(
        code.status(),
        headers,
        serde_json::to_string(&problem).unwrap(),
    )
}

fn request() -> NewAllocation {
    NewAllocation {
        name: Some("a".parse().unwrap()),
        ..NewAllocation::new("prod".parse().unwrap(), Size::Hosts(500))
    }
}

/// Says everything about an error, checks that the key is not in it, and returns the sentence.
fn sentence(error: &Error) -> String {
    let (text, debug) = (error.to_string(), format!("{error:?}"));
    assert!(
        !text.contains(KEY) && !debug.contains(KEY),
        "{text}\n{debug}"
    );
    text
}

#[tokio::test]
async fn a_request_carries_the_key_the_claim_and_the_name_of_the_program() {
    let server = Scripted::start(vec![ok()]).await;
    let claim = Claim::generate();
    let client = client(&server);
    let found: Allocation = client.get_allocation(id(), Some(claim)).await.unwrap();
    assert_eq!(found.cidr.to_string(), "10.0.0.0/23");
    let heard = &server.heard()[0];
    assert!(
        heard
            .head
            .starts_with(&format!("get /api/v1/allocations/{ID} "))
    );
    assert_eq!(
        heard.header("authorization"),
        Some(&*format!("bearer {KEY}"))
    );
    assert_eq!(heard.header("ipam-claim"), Some(&*claim.to_string()));
    assert!(
        heard
            .header("user-agent")
            .unwrap()
            .starts_with("ipam-client/")
    );
    assert!(!format!("{client:?}").contains(KEY));
}

#[tokio::test]
async fn lost_connections_and_truncated_replies_are_repeated() {
    let server = Scripted::start(vec![Step::Reset, Step::Truncated(allocation("")), ok()]).await;
    let created = client(&server).create_allocation(&request()).await.unwrap();
    assert!(!created.new, "200 says that it was there already");
    assert!(!created.adopted, "by our own doing, perhaps");
    let heard = server.heard();
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|request| request.body == heard[0].body));
}

#[tokio::test]
async fn what_was_there_before_the_first_attempt_is_adopted() {
    let created = client(&Scripted::start(vec![ok()]).await)
        .create_allocation(&request())
        .await
        .unwrap();
    assert!(!created.new && created.adopted);
}

/// A dry run is a question: nobody waits for it as for a change, or has to fear that it was made.
#[tokio::test]
async fn a_dry_run_is_given_up_like_a_read() {
    let server = Scripted::start(vec![Step::Reset]).await;
    let settings = Settings {
        read_retry_timeout: Duration::ZERO,
        ..settings(&server)
    };
    let client = Client::new(&settings).unwrap();
    let trial = NewAllocation {
        dry_run: true,
        ..request()
    };
    let batch = NewBatch {
        requests: vec![request()],
        atomic: false,
        dry_run: true,
    };
    let patch = AllocationPatch {
        hosts: Some(5),
        dry_run: true,
        ..AllocationPatch::default()
    };
    let params = ImportParams { dry_run: true };
    for error in [
        client.create_allocation(&trial).await.unwrap_err(),
        client.create_allocations(&batch).await.unwrap_err(),
        client
            .update_allocation(id(), &patch, None)
            .await
            .unwrap_err(),
        client
            .import(Vec::new(), Format::Csv, params, drop)
            .await
            .unwrap_err(),
    ] {
        let text = sentence(&error);
        assert!(text.contains("tried once"), "{text}");
        assert!(!error.outcome_is_unknown(), "{text}");
    }
}

/// Somebody may have moved or resized what an earlier call with the same key made.
#[tokio::test]
async fn what_is_made_once_is_found_as_it_is_by_now() {
    let unnamed = NewAllocation {
        name: None,
        ..NewAllocation::new("stage".parse().unwrap(), Size::PrefixLength(24))
    };
    let found = client(&Scripted::start(vec![ok()]).await)
        .create_allocation_once(&unnamed, Some("key-1"))
        .await
        .unwrap();
    assert_eq!((found.new, found.made.prefix_length), (false, 23));
    let made = Step::Answer(201, ours(), allocation(""));
    let refused = client(&Scripted::start(vec![made]).await)
        .create_allocation_once(&unnamed, Some("key-1"))
        .await
        .unwrap_err();
    let text = sentence(&refused);
    assert!(text.contains("not asked for"), "{text}");
}

#[tokio::test]
async fn an_unnamed_creation_keeps_its_idempotency_key_over_all_attempts() {
    let server = Scripted::start(vec![Step::Reset, ok()]).await;
    let client = client(&server);
    let unnamed = NewAllocation {
        name: None,
        ..request()
    };
    client.create_allocation(&unnamed).await.unwrap();
    client.create_allocation(&unnamed).await.unwrap();
    let keys: Vec<_> = server
        .heard()
        .iter()
        .map(|request| request.header("idempotency-key").unwrap().to_owned())
        .collect();
    assert_eq!(keys[0], keys[1], "one call, one key");
    assert_ne!(keys[0], keys[2], "another call, another key");
}

#[tokio::test]
async fn the_server_says_when_to_come_back() {
    let busy = problem(Code::Unavailable, vec![("retry-after", "1".into())]);
    let server = Scripted::start(vec![busy, ok()]).await;
    let began = Instant::now();
    client(&server).get_allocation(id(), None).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn an_overloaded_server_has_begun_nothing_and_is_asked_again_soon() {
    let busy = problem(Code::Overloaded, vec![("retry-after", "1".into())]);
    let server = Scripted::start(vec![busy.clone(), busy.clone(), ok()]).await;
    let began = Instant::now();
    let created = client(&server).create_allocation(&request()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1));
    // 200 to what could only be the first attempt: somebody asked for it before.
    assert!(created.adopted);
    assert_eq!(server.heard().len(), 3);

    let server = Scripted::start(vec![busy]).await;
    let settings = settings(&server).with_retry_timeout(Duration::from_secs(1));
    let error = Client::new(&settings)
        .unwrap()
        .create_allocation(&request())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::Overloaded));
    assert!(!error.outcome_is_unknown());
    assert!(
        (3..12).contains(&server.heard().len()),
        "with increasing delays"
    );
}

#[tokio::test]
async fn a_limited_caller_waits_for_as_long_as_there_is_time_and_no_longer() {
    let limited = |seconds: &str| {
        let headers = vec![
            ("retry-after", seconds.to_owned()),
            ("ratelimit", "\"token\";r=0;t=60".to_owned()),
        ];
        problem(Code::RateLimited, headers)
    };
    for (seconds, most) in [("1", 4), ("60", 1)] {
        let server = Scripted::start(vec![limited(seconds)]).await;
        let settings = settings(&server).with_retry_timeout(Duration::from_secs(4));
        let client = Client::new(&settings).unwrap();
        // Others that wait take nothing from the time of the second.
        for _ in 0..2 {
            let (began, before) = (Instant::now(), server.heard().len());
            let error = client.create_allocation(&request()).await.unwrap_err();
            assert!(began.elapsed() < Duration::from_secs(5));
            let attempts = server.heard().len() - before;
            assert!(
                (most.min(2)..=most).contains(&attempts),
                "{seconds} s: {attempts}"
            );
            assert_eq!(error.code(), Some(Code::RateLimited));
            assert!(!error.outcome_is_unknown());
            assert!(sentence(&error).contains("(rate_limited"), "{error}");
        }
    }
    // A proxy that limits says so in its own words.
    let proxy = Step::Answer(429, vec![("retry-after", "1".into())], "Slow down".into());
    let server = Scripted::start(vec![proxy, ok()]).await;
    let began = Instant::now();
    let created = client(&server).create_allocation(&request()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(created.adopted, "the first attempt made nothing");
}

#[tokio::test]
async fn a_refusal_is_not_repeated_and_says_what_the_server_said() {
    for code in [
        Code::Unauthorized,
        Code::NotFound,
        Code::PoolExhausted,
        Code::QuotaExceeded,
        Code::Internal,
        Code::Restored,
    ] {
        let server = Scripted::start(vec![problem(code, vec![])]).await;
        let error = client(&server)
            .get_allocation(id(), None)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some(code));
        assert_eq!(
            sentence(&error),
            format!("Because the test says so. ({}, request r2)", code.as_str())
        );
        assert_eq!(server.heard().len(), 1);
    }
}

#[tokio::test]
async fn answers_that_are_not_ours_are_never_believed() {
    let html = "<html><title>Welcome</title></html>";
    let strangers = [
        (Step::Answer(200, vec![], allocation("")), "no x-request-id"),
        (Step::Answer(200, ours(), html.into()), "expected value"),
        (Step::Answer(200, ours(), "{}".into()), "missing field"),
        (
            Step::Answer(
                200,
                ours(),
                allocation("").replace(ID, &ID.replace('1', "2")),
            ),
            "about allocation",
        ),
        (
            Step::Answer(404, vec![("content-type", "text/html".into())], html.into()),
            "Welcome",
        ),
        (
            Step::Answer(410, vec![], String::new()),
            "not a problem description",
        ),
        (
            Step::Answer(
                302,
                vec![("location", "https://login.example.com/".into())],
                String::new(),
            ),
            "login.example.com",
        ),
    ];
    for (step, reason) in strangers {
        let server = Scripted::start(vec![step]).await;
        let error = client(&server)
            .get_allocation(id(), None)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::NotIpam(_)), "{error:?}");
        assert!(sentence(&error).contains(reason), "{error}");
        assert_eq!(server.heard().len(), 1);
    }
}

#[tokio::test]
async fn a_stranger_does_not_pass_for_a_deletion() {
    let server = Scripted::start(vec![Step::Answer(204, vec![], String::new())]).await;
    let error = client(&server)
        .delete_allocation(id(), None)
        .await
        .unwrap_err();
    assert!(error.outcome_is_unknown());
    assert!(sentence(&error).contains("running the same again is safe"));
}

#[tokio::test]
async fn a_gateway_in_front_of_a_restarting_server_is_waited_for() {
    let gateway = Step::Answer(
        502,
        vec![("content-type", "text/html".into())],
        "<h1>Bad Gateway</h1>".into(),
    );
    let server = Scripted::start(vec![gateway.clone(), gateway.clone(), ok()]).await;
    client(&server).get_allocation(id(), None).await.unwrap();

    let server = Scripted::start(vec![gateway]).await;
    let client =
        Client::new(&settings(&server).with_retry_timeout(Duration::from_millis(500))).unwrap();
    let error = client.get_allocation(id(), None).await.unwrap_err();
    assert!(matches!(error, Error::NotIpam(_)), "{error:?}");
    assert!(sentence(&error).contains("Bad Gateway"));
    assert!(server.heard().len() > 1);
}

#[tokio::test]
async fn a_repeated_deletion_that_finds_nothing_left_has_succeeded() {
    let gone = problem(Code::Gone, vec![]);
    let server = Scripted::start(vec![Step::Reset, gone.clone()]).await;
    client(&server)
        .delete_allocation(id(), Some(3))
        .await
        .unwrap();
    assert_eq!(server.heard()[1].header("if-match"), Some("\"3\""));

    let server = Scripted::start(vec![gone]).await;
    let error = client(&server)
        .delete_allocation(id(), None)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::Gone));
}

#[tokio::test]
async fn a_repeated_change_recognises_its_own_work_and_nobody_elses() {
    let patch = AllocationPatch {
        description: Some("new".into()),
        ..AllocationPatch::default()
    };
    let stale = problem(Code::Stale, vec![]);
    for (found, mine) in [("new", true), ("somebody else's", false)] {
        let found = Step::Answer(200, ours(), allocation(found));
        let server = Scripted::start(vec![Step::Reset, stale.clone(), found]).await;
        let result = client(&server)
            .update_allocation(id(), &patch, Some(1))
            .await;
        assert_eq!(result.is_ok(), mine, "{result:?}");
    }
    // Without a lost reply the change can't be ours.
    let server = Scripted::start(vec![stale, Step::Answer(200, ours(), allocation("new"))]).await;
    let error = client(&server)
        .update_allocation(id(), &patch, Some(1))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(Code::Stale));
}

#[tokio::test]
async fn silence_ends_at_the_timeouts_and_says_that_repeating_is_safe() {
    let server = Scripted::start(vec![Step::Silence]).await;
    let settings = Settings {
        request_timeout: Duration::from_millis(300),
        ..settings(&server).with_retry_timeout(Duration::from_millis(500))
    };
    let began = Instant::now();
    let error = Client::new(&settings)
        .unwrap()
        .create_allocation(&request())
        .await
        .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(error.outcome_is_unknown());
    let text = sentence(&error);
    assert!(
        text.contains(&server.endpoint) && text.contains("running the same again is safe"),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_is_down_costs_the_retry_time_once() {
    // Bound and closed: nobody listens there.
    let server = Scripted::start(vec![Step::Reset]).await;
    let settings = Settings {
        endpoint: "http://127.0.0.1:9".into(),
        ..settings(&server).with_retry_timeout(Duration::from_millis(600))
    };
    let client = Client::new(&settings).unwrap();
    let error = client.create_allocation(&request()).await.unwrap_err();
    let text = sentence(&error);
    assert!(
        text.contains("POST http://127.0.0.1:9/api/v1/allocations (tried"),
        "{text}"
    );
    assert!(
        text.contains("refused") && !error.outcome_is_unknown(),
        "{text}"
    );
    let began = Instant::now();
    for _ in 0..20 {
        client.get_allocation(id(), None).await.unwrap_err();
    }
    assert!(
        began.elapsed() < Duration::from_millis(600),
        "the outage is known by now"
    );
}

#[tokio::test]
async fn a_list_is_read_to_its_end() {
    let page = |cursor: Option<&str>| {
        let item: serde_json::Value = serde_json::from_str(&allocation("")).unwrap();
        Step::Answer(
            200,
            ours(),
            json!({"items": [item], "next_cursor": cursor}).to_string(),
        )
    };
    let server = Scripted::start(vec![page(Some("c1")), page(None)]).await;
    let all = client(&server)
        .all_allocations(&Default::default())
        .await
        .unwrap();
    assert_eq!(all.len(), 2);
    let heard = server.heard();
    assert!(
        heard[0]
            .head
            .starts_with("get /api/v1/allocations?limit=1000 "),
        "{}",
        heard[0].head
    );
    assert!(heard[1].head.contains("cursor=c1"));
}

#[tokio::test]
async fn names_are_found_only_if_they_are_the_ones_asked_for() {
    let item: serde_json::Value = serde_json::from_str(&allocation("")).unwrap();
    let list = Step::Answer(
        200,
        ours(),
        json!({"items": [item], "next_cursor": null}).to_string(),
    );
    let server = Scripted::start(vec![list]).await;
    let client = client(&server);
    let find = async |vpc: &str, name: &str| {
        client
            .find_allocation(&vpc.parse().unwrap(), &name.parse().unwrap())
            .await
            .unwrap()
    };
    assert!(find("PROD", "a").await.is_some(), "VPC names have no case");
    assert!(find("prod", "b").await.is_none());
    client.get_vpc("a b/../c", None).await.unwrap_err();
    assert!(
        server.heard()[2]
            .head
            .starts_with("get /api/v1/vpcs/a%20b%2f..%2fc "),
        "{}",
        server.heard()[2].head
    );
}

fn import_lines(last: &str) -> Step {
    let progress = r#"{"progress":{"phase":"write","done":1,"total":2}}"#;
    Step::Answer(200, ours(), format!("{progress}\n{last}"))
}

#[tokio::test]
async fn an_import_is_believed_when_its_last_line_is_there() {
    let result = json!({"dry_run": false, "records": 2, "unchanged": 0, "total_conflicts": 0, "conflicts": [],
        "created": {"vrfs": 0, "pools": 0, "ranges": 0, "profiles": 0, "vpcs": 1, "allocations": 2, "blocks": 2, "reservations": 0}});
    let mut conflict = Problem::new(Code::ImportConflict, "Because.");
    conflict.details = json!({"dry_run": false, "records": 2, "unchanged": 0, "total_conflicts": 1, "created": result["created"],
        "conflicts": [{"line": 2, "code": "overlap", "cidr": "10.0.0.0/24", "detail": "It is taken."}]});
    let refusal = Problem::new(Code::UnknownOutcome, "The database went away.");
    let server = Scripted::start(vec![
        // Before the reply begins, an import is repeated like any other request.
        problem(Code::Unavailable, vec![("retry-after", "0".into())]),
        import_lines(&format!("{}\n", json!({"result": result}))),
        import_lines(&format!("{}\n", json!({"problem": conflict}))),
        import_lines(&format!("{}\n", json!({"problem": refusal}))),
        import_lines(""),
        import_lines("{\"result\":"),
        Step::Truncated(format!(
            "{{\"progress\":{{\"phase\":\"check\",\"done\":0,\"total\":2}}}}\n{}",
            "x".repeat(500)
        )),
    ])
    .await;
    let client = client(&server);
    let import = async || {
        let mut seen = Vec::new();
        let file = b"cidr,vpc\n10.0.0.0/24,a\n".to_vec();
        let result = client
            .import(
                file,
                Format::Csv,
                ImportParams { dry_run: false },
                |progress| seen.push(progress.phase),
            )
            .await;
        (result, seen)
    };
    let (done, seen) = import().await;
    assert_eq!(done.unwrap().created.allocations, 2);
    assert_eq!(seen, [Phase::Write]);
    let heard = &server.heard()[1];
    assert!(
        heard.head.starts_with("post /api/v1/import?dry_run=false "),
        "{}",
        heard.head
    );
    assert_eq!(heard.header("content-type"), Some("text/csv"));
    assert_eq!(heard.body, "cidr,vpc\n10.0.0.0/24,a\n");
    let (done, _) = import().await;
    assert_eq!(done.unwrap().conflicts[0].line, 2);
    let (done, _) = import().await;
    assert!(done.unwrap_err().outcome_is_unknown());
    for _ in 0..3 {
        let (done, _) = import().await;
        let error = done.unwrap_err();
        assert!(error.outcome_is_unknown(), "{}", sentence(&error));
        assert!(
            sentence(&error).contains("running the same again is safe"),
            "{}",
            sentence(&error)
        );
    }
    assert_eq!(
        server.heard().len(),
        7,
        "once it has begun, nothing is repeated"
    );
}

#[tokio::test]
async fn a_part_of_an_export_is_an_error() {
    let server = Scripted::start(vec![
        Step::Answer(200, ours(), "{\"kind\":\"vrf\"}\n".into()),
        Step::Truncated("{\"kind\":\"vrf\"}\n".repeat(10)),
        problem(Code::Forbidden, ours()),
    ])
    .await;
    let client = client(&server);
    let export = async || {
        let mut file = Vec::new();
        let done = client
            .export(Format::Json, |piece| {
                file.extend_from_slice(piece);
                Ok(())
            })
            .await;
        (done, file)
    };
    let (done, file) = export().await;
    done.unwrap();
    assert_eq!(file, b"{\"kind\":\"vrf\"}\n");
    assert!(
        server.heard()[0]
            .head
            .starts_with("get /api/v1/export?format=json ")
    );
    let (done, _) = export().await;
    assert!(matches!(
        done.unwrap_err(),
        ipam_client::ExportError::Client(Error::Unreachable(_))
    ));
    let (done, _) = export().await;
    assert!(
        done.unwrap_err()
            .to_string()
            .contains("Because the test says so.")
    );
    let full = client
        .export(Format::Json, |_| Err(std::io::Error::other("disk full")))
        .await;
    assert!(full.is_err());
}
