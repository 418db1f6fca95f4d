//! VRFs, pools, profiles, reservations, VPCs and batches when replies are lost: what is recognised as the call's own
//! work, and what is not.

use std::pin::Pin;

use ipam_client::{Client, Error, Settings};
use ipam_shared::{
    api::{
        allocation::{NewAllocation, NewBatch, Size},
        ownership::{Confirmation, Noun},
        pool::{NewPool, PoolPatch},
        profile::{NewProfile, ProfilePatch},
        reservation::{NewReservation, ReservationPatch},
        vpc::{NewVpc, VpcPatch},
        vrf::{NewVrf, VrfPatch},
    },
    error::{Code, Problem},
    ids::Claim,
};
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::support::{Scripted, Step};

const ID: &str = "0190d6a5-8f0e-7cc0-a7a0-000000000001";

type Call = fn(Client) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// How a noun is made, changed and deleted, and how it looks when it is there.
struct Life {
    path: &'static str,
    there: Json,
    /// The attribute that `update` sets to "new" and `create` to "old".
    text: &'static str,
    create: Call,
    update: Call,
    delete: Call,
}

macro_rules! call {
    ($client:ident => $call:expr) => {
        |$client| Box::pin(async move { $call.await.map(drop) })
    };
}

fn parse<T: DeserializeOwned>(json: Json) -> T {
    serde_json::from_value(json).unwrap()
}

fn uuid<T: DeserializeOwned>() -> T {
    parse(json!(Claim::generate()))
}

fn id<T: DeserializeOwned>() -> T {
    parse(json!(ID))
}

fn merged(mut one: Json, other: &Json) -> Json {
    let other = other.as_object().unwrap().clone();
    one.as_object_mut().unwrap().extend(other);
    one
}

fn common(rest: &Json) -> Json {
    let common = json!({
        "id": ID, "name": "a", "labels": {"k": "v"}, "description": "old", "revision": 1,
        "created_at": "2026-01-01T00:00:00Z"
    });
    merged(common, rest)
}

fn pool(rest: &Json) -> Json {
    let pool = json!({
        "vrf": "dev", "family": "ipv4", "parent": "whole", "parent_id": ID,
        "ranges": ["10.0.0.0/16", "10.4.0.0/20", "10.5.0.0/20"],
        "min_prefix_length": 20, "max_prefix_length": 28, "default_prefix_length": 24, "reserved_addresses": 5,
        "strategy": "sparse", "release_cooldown_seconds": 60, "required_labels": {"env": ["dev"]},
        "total_addresses": 0, "used_addresses": 0, "utilisation": 0.0, "largest_free_prefix_length": null, "free": []
    });
    merged(common(&pool), rest)
}

fn new_pool() -> NewPool {
    parse(json!({
        "name": "a", "vrf": "dev", "parent": "whole", "ranges": ["10.0.0.0/16"], "range_prefix_lengths": [20, 20],
        "min_prefix_length": 20, "max_prefix_length": 28, "default_prefix_length": 24, "strategy": "sparse",
        "release_cooldown_seconds": 60, "labels": {"k": "v"}, "required_labels": {"env": ["dev"]},
        "description": "old"
    }))
}

fn nouns() -> Vec<Life> {
    vec![
        Life {
            path: "vrfs",
            there: common(&json!({"pools": 0, "vpcs": 0, "reservations": 0})),
            text: "description",
            create: call!(client => client.create_vrf(&parse::<NewVrf>(
                json!({"name": "a", "labels": {"k": "v"}, "description": "old"})
            ))),
            update: call!(client => client.update_vrf(id(), &VrfPatch {
                description: Some("new".into()), ..VrfPatch::default()
            }, Some(1))),
            delete: call!(client => client.delete_vrf(id(), Some(1))),
        },
        Life {
            path: "pools",
            there: pool(&json!({})),
            text: "description",
            create: call!(client => client.create_pool(&new_pool())),
            update: call!(client => client.update_pool(id(), &PoolPatch {
                description: Some("new".into()),
                ranges: Some(parse(json!(["10.5.0.0/20", "10.0.0.0/16", "10.4.0.0/20"]))),
                default_prefix_length: Some(Some(24)),
                ..PoolPatch::default()
            }, Some(1))),
            delete: call!(client => client.delete_pool(id(), Some(1))),
        },
        Life {
            path: "profiles",
            there: common(&json!({"members": [
                {"role": "main", "pool": "a", "size_offset": -5, "min_prefix_length": 20, "max_prefix_length": 26}
            ], "allocations": 0})),
            text: "description",
            create: call!(client => client.create_profile(&parse::<NewProfile>(json!({
                "name": "a", "description": "old", "members": [
                    {"role": "main", "pool": "a", "size_offset": -5, "min_prefix_length": 20, "max_prefix_length": 26}
                ]
            })))),
            update: call!(client => client.update_profile(id(), &ProfilePatch {
                description: Some("new".into()), ..ProfilePatch::default()
            }, Some(1))),
            delete: call!(client => client.delete_profile(id(), Some(1))),
        },
        Life {
            path: "reservations",
            there: common(&json!({
                "cidr": "10.0.0.0/24", "vrf": "default", "reason": "old", "pools": [], "created_by": "admin"
            })),
            text: "reason",
            create: call!(client => client.create_reservation(&parse::<NewReservation>(
                json!({"cidr": "10.0.0.0/24", "reason": "old", "labels": {"k": "v"}})
            ))),
            update: call!(client => client.update_reservation(id(), &ReservationPatch {
                reason: Some("new".into()), ..ReservationPatch::default()
            }, Some(1))),
            delete: call!(client => client.delete_reservation(id(), Some(1))),
        },
        Life {
            path: "vpcs",
            there: common(&json!({"vrf": "default", "allocations": 0})),
            text: "description",
            create: call!(client => client.create_vpc(&parse::<NewVpc>(
                json!({"name": "A", "labels": {"k": "v"}, "description": "old"})
            ))),
            update: call!(client => client.update_vpc(id(), &VpcPatch {
                description: Some("new".into()), ..VpcPatch::default()
            }, Some(1))),
            delete: call!(client => client.delete_vpc(id(), true, Some(1))),
        },
    ]
}

fn answer(status: u16, body: &Json) -> Step {
    Step::Answer(
        status,
        vec![("x-request-id", "r1".into())],
        body.to_string(),
    )
}

fn refusal(code: Code) -> Step {
    let problem = Problem::new(code, "Because the test says so.");
    answer(code.status(), &serde_json::to_value(problem).unwrap())
}

fn page(items: &[&Json]) -> Step {
    answer(200, &json!({"items": items, "next_cursor": null}))
}

async fn client(script: Vec<Step>) -> (Client, Scripted) {
    let server = Scripted::start(script).await;
    let client = Client::new(&Settings::new(&server.endpoint, "key")).unwrap();
    (client, server)
}

/// The server tells what an earlier attempt made from what somebody else did; the client asks for the same again, for the
/// same owner, and takes its word.
#[tokio::test]
async fn a_creation_whose_first_reply_was_lost_is_asked_for_again() {
    for noun in nouns() {
        for code in [Code::Claimed, Code::NameTaken] {
            let (client, server) = client(vec![Step::Reset, refusal(code)]).await;
            let error = (noun.create)(client).await.unwrap_err();
            assert_eq!(error.code(), Some(code), "{}", noun.path);
            assert_eq!(server.heard().len(), 2, "{}", noun.path);
        }
        let script = vec![Step::Reset, answer(200, &noun.there)];
        let server = Scripted::start(script).await;
        let settings = Settings {
            owner: Some("ws-Ä".to_owned()),
            adopts: false,
            ..Settings::new(&server.endpoint, "key")
        };
        (noun.create)(Client::new(&settings).unwrap())
            .await
            .unwrap();
        let heard = server.heard();
        assert_eq!(heard.len(), 2, "{}", noun.path);
        for heard in &heard {
            assert!(
                heard
                    .head
                    .starts_with(&format!("post /api/v1/{} ", noun.path))
            );
            assert_eq!(heard.header("ipam-owner"), Some("ws-ä"), "{}", noun.path);
            assert_eq!(heard.header("ipam-adopt"), Some("never"));
            assert_eq!(heard.body, server.heard()[0].body);
        }
    }
}

#[tokio::test]
async fn what_was_there_before_the_first_attempt_is_adopted() {
    let vrf = |status| answer(status, &nouns()[0].there);
    for (script, new, adopted) in [
        (vec![vrf(201)], true, false),
        (vec![vrf(200)], false, true),
        // By our own doing, perhaps.
        (vec![Step::Reset, vrf(200)], false, false),
    ] {
        let (client, _server) = client(script).await;
        let request = parse::<NewVrf>(json!({"name": "a"}));
        let created = client.create_vrf(&request).await.unwrap();
        assert_eq!((created.new, created.adopted), (new, adopted));
    }
}

#[tokio::test]
async fn owners_that_no_server_takes_are_refused_before_anything_is_sent() {
    for owner in ["", " a", "a\nb", &"a".repeat(256)] {
        let settings = Settings {
            owner: Some(owner.to_owned()),
            ..Settings::new("http://127.0.0.1:1", "key")
        };
        let error = Client::new(&settings).unwrap_err();
        assert!(error.to_string().contains("owner"), "{error}");
    }
}

#[tokio::test]
async fn claims_are_shown_and_confirmed_a_thousand_at_a_time() {
    let claim = Claim::generate();
    let (reader, server) = client(vec![answer(200, &nouns()[0].there)]).await;
    reader.get_vrf("a", Some(claim)).await.unwrap();
    assert_eq!(
        server.heard()[0].header("ipam-claim"),
        Some(&*claim.to_string())
    );

    let claims: Vec<_> = (0..1001)
        .map(|_| Confirmation {
            kind: Noun::Vpc,
            id: uuid(),
            claim,
        })
        .collect();
    let results = |claims: &[Confirmation]| {
        let results: Vec<_> = claims
            .iter()
            .map(|shown| json!({"id": shown.id, "status": "confirmed", "detail": null}))
            .collect();
        answer(200, &json!({ "results": results }))
    };
    let script = vec![results(&claims[..1000]), results(&claims[1000..])];
    let (client, server) = client(script).await;
    let confirmed = client.confirm(&claims).await.unwrap();
    assert_eq!(confirmed.len(), 1001);
    assert!(
        server.heard()[1]
            .head
            .starts_with("post /api/v1/confirmations ")
    );
    // The last step is repeated, and answers one claim where two were sent.
    let error = client.confirm(&claims[..2]).await.unwrap_err();
    assert!(matches!(error, Error::NotIpam(_)), "{error}");
    assert!(client.confirm(&[]).await.unwrap().is_empty());

    // What is taken over is taken over for the owner of the settings.
    let server = Scripted::start(vec![results(&claims[..1])]).await;
    let settings = Settings {
        owner: Some("ws-1".to_owned()),
        ..Settings::new(&server.endpoint, "key")
    };
    let importer = Client::new(&settings).unwrap();
    importer.take_over(&claims[..1]).await.unwrap();
    let heard = server.heard();
    assert!(heard[0].head.starts_with("post /api/v1/claims "));
    assert_eq!(heard[0].header("ipam-owner"), Some("ws-1"));
}

#[tokio::test]
async fn a_reply_about_something_else_is_not_believed() {
    for noun in nouns() {
        let mut other = noun.there.clone();
        other["name"] = json!("b");
        other["cidr"] = json!("10.0.0.0/25");
        other["id"] = json!(ID.replace('1', "2"));
        for call in [noun.create, noun.update] {
            let (client, _server) = client(vec![answer(200, &other)]).await;
            let error = call(client).await.unwrap_err();
            assert!(matches!(error, Error::NotIpam(_)), "{}: {error}", noun.path);
        }
    }
}

#[tokio::test]
async fn a_repeated_change_recognises_its_own_work_and_nobody_elses() {
    for noun in nouns() {
        for (text, mine) in [("new", true), ("somebody else's", false)] {
            let mut found = noun.there.clone();
            found[noun.text] = json!(text);
            let (client, server) =
                client(vec![Step::Reset, refusal(Code::Stale), answer(200, &found)]).await;
            let result = (noun.update)(client).await;
            assert_eq!(result.is_ok(), mine, "{}: {result:?}", noun.path);
            let heard = server.heard();
            assert!(
                heard[1]
                    .head
                    .starts_with(&format!("patch /api/v1/{}/{ID} ", noun.path))
            );
            assert_eq!(heard[1].header("if-match"), Some("\"1\""));
        }
        let (client, server) = client(vec![refusal(Code::Stale), answer(200, &noun.there)]).await;
        let error = (noun.update)(client).await.unwrap_err();
        assert_eq!(error.code(), Some(Code::Stale));
        assert_eq!(server.heard().len(), 1);
    }
}

#[tokio::test]
async fn every_call_waits_when_it_is_told_to_and_knows_that_nothing_was_done() {
    let mut calls = Vec::new();
    for noun in nouns() {
        // What would be the call's own work, had the first attempt done any.
        let claimed = refusal(Code::Claimed);
        let steps = [
            (noun.create, claimed, Code::Claimed),
            (noun.update, refusal(Code::Stale), Code::Stale),
            (noun.delete, refusal(Code::Gone), Code::Gone),
        ];
        for (call, then, code) in steps {
            calls.push(tokio::spawn(async move {
                let problem = json!(Problem::new(Code::RateLimited, "Because the test says so."));
                let headers = vec![("retry-after", "1".to_owned())];
                let limited = Step::Answer(429, headers, problem.to_string());
                let (client, server) = client(vec![limited, then]).await;
                let began = std::time::Instant::now();
                let error = call(client).await.unwrap_err();
                assert_eq!(error.code(), Some(code), "{}: {error}", noun.path);
                assert!(began.elapsed() >= std::time::Duration::from_secs(1));
                let heard = server.heard();
                assert_eq!(heard.len(), 2, "{}", noun.path);
                assert_eq!(heard[0].head, heard[1].head);
                assert_eq!(heard[0].body, heard[1].body);
            }));
        }
    }
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn a_change_of_any_revision_says_so() {
    let (client, server) = client(vec![answer(200, &nouns()[0].there)]).await;
    client
        .update_vrf(id(), &VrfPatch::default(), None)
        .await
        .unwrap();
    client.delete_vrf(id(), None).await.unwrap();
    for heard in server.heard() {
        assert_eq!(heard.header("if-match"), Some("*"));
    }
}

#[tokio::test]
async fn a_repeated_deletion_that_finds_nothing_left_has_succeeded() {
    for noun in nouns() {
        for code in [Code::NotFound, Code::Gone] {
            let (again, server) = client(vec![Step::Reset, refusal(code)]).await;
            (noun.delete)(again).await.unwrap();
            assert_eq!(server.heard()[1].header("if-match"), Some("\"1\""));
            let (first, _server) = client(vec![refusal(code)]).await;
            let error = (noun.delete)(first).await.unwrap_err();
            assert_eq!(error.code(), Some(code), "{}", noun.path);
        }
        let (used, _server) = client(vec![Step::Reset, refusal(Code::InUse)]).await;
        let error = (noun.delete)(used).await.unwrap_err();
        assert_eq!(error.code(), Some(Code::InUse), "{}", noun.path);
    }
}

#[tokio::test]
async fn ranges_by_length_are_added_once_however_often_they_are_asked_for() {
    let patch = PoolPatch {
        add_range_prefix_lengths: vec![22],
        ..PoolPatch::default()
    };
    let before = answer(
        200,
        &pool(&json!({"ranges": ["10.0.0.0/16"], "revision": 7})),
    );
    for (ranges, mine) in [
        (json!(["10.0.0.0/16", "10.8.0.0/22"]), true),
        (json!(["10.0.0.0/16", "10.8.0.0/22", "10.8.4.0/22"]), false),
        (json!(["10.0.0.0/16"]), false),
        (json!(["10.8.0.0/22"]), false),
    ] {
        let after = pool(&json!({"ranges": ranges, "revision": 8}));
        let (client, server) = client(vec![
            before.clone(),
            Step::Reset,
            refusal(Code::Stale),
            answer(200, &after),
        ])
        .await;
        let result = client.update_pool(id(), &patch, None).await;
        assert_eq!(result.is_ok(), mine, "{ranges}: {result:?}");
        let heard = server.heard();
        assert_eq!(heard.len(), 4);
        // Not tied to a revision, the repetition would have added it a second time.
        assert_eq!(heard[1].header("if-match"), Some("\"7\""));
        assert_eq!(heard[2].header("if-match"), Some("\"7\""));
    }
}

#[tokio::test]
async fn a_batch_is_as_repeatable_as_its_requests() {
    let request = |name: Option<&str>| NewAllocation {
        name: name.map(|name| name.parse().unwrap()),
        ..NewAllocation::new("prod".parse().unwrap(), Size::Hosts(5))
    };
    let batch = |requests| NewBatch {
        requests,
        atomic: true,
        dry_run: false,
    };
    let problem = serde_json::to_value(Problem::new(Code::PoolExhausted, "Full.")).unwrap();
    let reply = answer(
        200,
        &json!({"succeeded": 0, "results": [{"status": 409, "problem": problem}, {"status": 409, "problem": problem}]}),
    );
    let (client, server) = client(vec![Step::Reset, reply]).await;
    let named = batch(vec![request(Some("a")), request(Some("b"))]);
    let done = client.create_allocations(&named).await.unwrap();
    assert_eq!(done.results[1].problem.as_ref().unwrap().detail, "Full.");
    let heard = server.heard();
    assert!(heard[1].head.starts_with("post /api/v1/allocations/batch "));
    assert_eq!(heard[1].header("idempotency-key"), None);
    let unnamed = batch(vec![request(Some("a")), request(None)]);
    client.create_allocations(&unnamed).await.unwrap();
    client.create_allocations(&unnamed).await.unwrap();
    let heard = server.heard();
    let key = |number: usize| heard[number].header("idempotency-key").unwrap();
    assert_ne!(key(2), key(3), "another call, another key");
    // As many answers as questions, or it is not an answer to them.
    let error = client
        .create_allocations(&batch(vec![request(Some("a"))]))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("2 results for 1 request"),
        "{error}"
    );
}

#[tokio::test]
async fn lists_are_narrowed_and_read_to_their_end() {
    let first = answer(
        200,
        &json!({"items": [pool(&json!({}))], "next_cursor": "c1"}),
    );
    let (client, server) = client(vec![first, page(&[&pool(&json!({"vrf": "stage"}))])]).await;
    let found = client
        .find_pools(&"a".parse().unwrap(), None)
        .await
        .unwrap();
    assert_eq!(found.len(), 2);
    let heard = server.heard();
    assert!(
        heard[0]
            .head
            .starts_with("get /api/v1/pools?name=a&limit=1000 "),
        "{}",
        heard[0].head
    );
    assert!(heard[1].head.contains("cursor=c1"));
    let found = client
        .find_pools(&"a".parse().unwrap(), Some("dev"))
        .await
        .unwrap();
    assert!(found.is_empty(), "of another VRF, whatever the server says");
}

/// A place that does not exist has nothing: its refusal is the answer, and not an error.
#[tokio::test]
async fn nothing_is_found_where_there_is_no_such_place() {
    let (client, _server) = client(vec![
        refusal(Code::NotFound),
        refusal(Code::NotFound),
        refusal(Code::NotFound),
        refusal(Code::Forbidden),
    ])
    .await;
    let name = "a".parse().unwrap();
    let pools = client.find_pools(&name, Some("none")).await.unwrap();
    assert!(pools.is_empty());
    let reservations = client
        .find_reservations("10.0.0.0/24".parse().unwrap(), Some("none"))
        .await
        .unwrap();
    assert!(reservations.is_empty());
    assert_eq!(client.find_allocation(&name, &name).await.unwrap(), None);
    client.find_allocation(&name, &name).await.unwrap_err();
}
