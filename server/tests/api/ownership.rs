//! Everything is made once for its owner: what is answered to whoever asks for the same again, and what ends that.
//!
//! That another key is refused is tested in `domain::ownership`.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    ALLOCATIONS, Api, POOLS, PROFILES, RESERVATIONS, Reply, TOKENS, VPCS, VRFS, WEBHOOKS, column,
    path,
};
use crate::transfer::{carry_over, import};

const CONFIRMATIONS: &str = "/api/v1/confirmations";

/// How a noun is asked for.
struct Noun {
    kind: &'static str,
    path: &'static str,
    /// What is asked for.
    new: Value,
    /// The same with other labels or free text.
    reworded: Value,
    /// Something else of the same name; none of a reservation, which is nothing but its network.
    different: Option<(Value, &'static str)>,
    /// What the messages call it.
    title: &'static str,
    import_id: &'static str,
}

fn with(mut body: Value, more: &Value) -> Value {
    let more = more.as_object().expect("fields").clone();
    body.as_object_mut().expect("fields").extend(more);
    body
}

fn nouns() -> Vec<Noun> {
    let noun = |kind, path, new: Value, title, import_id| Noun {
        kind,
        path,
        reworded: with(
            new.clone(),
            &json!({"labels": {"a": "2"}, "description": "new"}),
        ),
        new,
        different: None,
        title,
        import_id,
    };
    let members =
        |offset: i8| json!({"members": [{"role": "a", "pool": "primary", "size_offset": offset}]});
    let profile = with(json!({"name": "rec"}), &members(0));
    let pool = json!({
        "name": "kid", "parent": "primary", "ranges": ["10.0.64.0/20"], "range_prefix_lengths": [24, 22],
        "min_prefix_length": 20, "required_labels": {"env": []}
    });
    let reservation = json!({"cidr": "10.0.128.0/20", "reason": "old"});
    let token = json!({"name": "ci", "roles": ["allocator"]});
    let webhook = json!({"name": "siem", "url": "https://siem.example/"});
    let space = json!({"vpc": "home", "name": "web", "hosts": 100});
    vec![
        Noun {
            // A VRF is nothing but its name.
            ..noun("vrf", VRFS, json!({"name": "dev"}), "VRF \"dev\"", "dev")
        },
        Noun {
            reworded: with(profile.clone(), &json!({"description": "new"})),
            different: Some((with(profile.clone(), &members(1)), "\"a\"")),
            ..noun("profile", PROFILES, profile, "profile \"rec\"", "rec")
        },
        Noun {
            reworded: with(
                reservation.clone(),
                &json!({"labels": {"a": "2"}, "reason": "new"}),
            ),
            ..noun(
                "reservation",
                RESERVATIONS,
                reservation,
                "reservation 10.0.128.0/20",
                "default/10.0.128.0/20",
            )
        },
        Noun {
            different: Some((
                with(pool.clone(), &json!({"range_prefix_lengths": [22, 22]})),
                "ranges",
            )),
            ..noun("pool", POOLS, pool, "pool \"kid\"", "default/kid")
        },
        Noun {
            different: Some((json!({"name": "prod", "vrf": "other"}), "\"default\"")),
            ..noun("vpc", VPCS, json!({"name": "prod"}), "VPC \"prod\"", "prod")
        },
        Noun {
            reworded: with(token.clone(), &json!({"description": "new"})),
            different: Some((with(token.clone(), &json!({"roles": ["reader"]})), "roles")),
            ..noun("token", TOKENS, token, "token \"ci\"", "ci")
        },
        Noun {
            reworded: with(webhook.clone(), &json!({"description": "new"})),
            different: Some((
                with(webhook.clone(), &json!({"url": "https://other.example/"})),
                "url",
            )),
            ..noun("webhook", WEBHOOKS, webhook, "webhook \"siem\"", "siem")
        },
        Noun {
            different: Some((with(space.clone(), &json!({"hosts": 101})), "100 hosts")),
            ..noun(
                "allocation",
                ALLOCATIONS,
                space,
                "allocation \"home/web\"",
                "home/web",
            )
        },
    ]
}

impl Noun {
    async fn make(&self, api: &Api, headers: &[(&str, &str)], body: &Value) -> Reply {
        api.with("POST", self.path, headers, body).await
    }

    fn of(&self, made: &Value) -> String {
        format!("{}/{}", self.path, made["id"].as_str().expect("an id"))
    }

    /// A refusal that says what exists, why it is not given, and how to take it over.
    #[track_caller]
    fn claimed(&self, reply: &Reply, why: &str) {
        let (detail, details) = reply.problem(409, "claimed");
        for word in [
            self.title,
            why,
            &format!("terraform import <address> '{}'", self.import_id),
        ] {
            assert!(detail.contains(word), "{}: {word}: {detail}", self.kind);
        }
        assert_eq!(details["import_id"], self.import_id, "{}", self.kind);
    }
}

async fn begin() -> Api {
    let api = Api::start().await;
    api.post(VRFS, &json!({"name": "other"})).await.ok(201);
    api
}

#[tokio::test]
async fn whoever_asks_for_the_same_again_is_given_the_same_and_a_new_claim() {
    for noun in nouns() {
        for owner in [None, Some("ws-1")] {
            let api = begin().await;
            let owner: Vec<_> = owner
                .map(|owner| ("ipam-owner", owner))
                .into_iter()
                .collect();
            let first = noun.make(&api, &owner, &noun.new).await;
            assert!(!first.header("location").is_empty());
            let first = first.ok(201);
            let second = noun.make(&api, &owner, &noun.new).await;
            assert_eq!(second.header("location"), "", "{}", noun.kind);
            let second = second.ok(200);
            assert_eq!(second["id"], first["id"], "{}", noun.kind);
            assert!(first["claim"].is_string() && second["claim"].is_string());
            assert_ne!(second["claim"], first["claim"], "{}", noun.kind);
            assert_eq!(second["revision"], first["revision"], "nothing was changed");
            let same = |made: &Value| {
                assert_eq!(
                    (&made["owner"], &made["confirmed"], &made["created_by"]),
                    (
                        &owner.first().map_or(Value::Null, |owner| json!(owner.1)),
                        &json!(false),
                        &json!("admin")
                    ),
                    "{}",
                    noun.kind
                );
            };
            same(&first);
            same(&second);
            // Labels and free text are as the last one says; nothing else comes of it.
            let third = noun.make(&api, &owner, &noun.reworded).await.ok(200);
            assert_eq!(third["id"], first["id"]);
            for field in ["labels", "description", "reason"] {
                if !noun.reworded[field].is_null() {
                    assert_eq!(third[field], noun.reworded[field], "{}: {field}", noun.kind);
                }
            }
            assert_eq!(third["revision"], json!(2), "{}", noun.kind);
            // A claim is shown to nobody who reads.
            let read = api.get(&noun.of(&first)).await.ok(200);
            assert!(read.get("claim").is_none(), "{read}");
            same(&read);
            assert_eq!(api.events(&format!("{}.adopt", noun.kind)).await, 2);
            let made = if noun.kind == "vrf" { 2 } else { 1 };
            assert_eq!(api.events(&format!("{}.create", noun.kind)).await, made);
            api.verify().await;
        }
    }
}

#[tokio::test]
async fn another_owner_is_refused_and_told_who_owns_it() {
    for noun in nouns() {
        for (first, second, why) in [
            (Some("ws-1"), Some("ws-2"), "\"ws-1\""),
            (Some("ws-1"), None, "for no owner"),
            (None, Some("ws-2"), "\"ws-2\""),
        ] {
            let api = begin().await;
            let header = |owner: Option<&'static str>| {
                owner
                    .map(|owner| ("ipam-owner", owner))
                    .into_iter()
                    .collect::<Vec<_>>()
            };
            noun.make(&api, &header(first), &noun.new).await.ok(201);
            let before = api.state().await;
            let reply = noun.make(&api, &header(second), &noun.new).await;
            noun.claimed(&reply, why);
            assert_eq!(api.state().await, before, "{}", noun.kind);
        }
    }
}

#[tokio::test]
async fn what_was_asked_for_differently_is_refused_with_what_differs() {
    for noun in nouns() {
        let Some((different, how)) = &noun.different else {
            continue;
        };
        let api = begin().await;
        noun.make(&api, &[], &noun.new).await.ok(201);
        let before = api.state().await;
        let reply = noun.make(&api, &[], different).await;
        let (detail, details) = reply.problem(409, "name_taken");
        for word in [noun.title, how, "terraform import"] {
            assert!(detail.contains(word), "{}: {word}: {detail}", noun.kind);
        }
        assert_eq!(details["import_id"], noun.import_id);
        assert_eq!(api.state().await, before, "{}", noun.kind);
    }
}

#[tokio::test]
async fn whoever_does_not_want_what_exists_is_refused() {
    for noun in nouns() {
        let api = begin().await;
        let never = [("ipam-adopt", "never")];
        let made = noun.make(&api, &never, &noun.new).await.ok(201);
        let reply = noun.make(&api, &never, &noun.new).await;
        noun.claimed(&reply, "never");
        // It still is the maker's, who changes their mind.
        let again = noun.make(&api, &[], &noun.new).await.ok(200);
        assert_eq!(again["id"], made["id"]);
    }
    let api = begin().await;
    for (name, value) in [
        ("ipam-adopt", "always"),
        ("ipam-owner", ""),
        ("ipam-owner", &"o".repeat(256)),
        ("ipam-owner", "\u{ff}"),
    ] {
        let reply = api
            .with("POST", VRFS, &[(name, value)], &json!({"name": "x"}))
            .await;
        if value == "\u{ff}" {
            assert_eq!(reply.ok(201)["owner"], value, "owners need not be ASCII");
        } else {
            let (detail, _) = reply.problem(400, "invalid_request");
            assert!(detail.to_lowercase().contains(name), "{detail}");
        }
    }
}

#[tokio::test]
async fn the_first_read_with_the_claim_ends_it_and_a_copy_fails_loudly() {
    for noun in nouns() {
        let api = begin().await;
        let owner = [("ipam-owner", "ws-1")];
        let first = noun.make(&api, &owner, &noun.new).await.ok(201);
        let place = noun.of(&first);
        let claim = |made: &Value| made["claim"].as_str().unwrap().to_owned();
        // A second state with a copy of the configuration is given it, and the first one learns that.
        let second = noun.make(&api, &owner, &noun.new).await.ok(200);
        let shown = [("ipam-claim", claim(&first))];
        let shown: Vec<_> = shown
            .iter()
            .map(|(name, claim)| (*name, claim.as_str()))
            .collect();
        let reply = api.with("GET", &place, &shown, &Value::Null).await;
        let (detail, details) = reply.problem(409, "claimed");
        assert!(
            detail.contains(noun.title) && detail.contains("adopted"),
            "{detail}"
        );
        assert_eq!(details["import_id"], noun.import_id);
        assert_eq!(api.events(&format!("{}.confirm", noun.kind)).await, 0);
        // The second one confirms it, once.
        let claim = claim(&second);
        for _ in 0..2 {
            let shown = [("ipam-claim", claim.as_str())];
            let read = api.with("GET", &place, &shown, &Value::Null).await.ok(200);
            assert_eq!(read["confirmed"], true, "{}", noun.kind);
        }
        assert_eq!(api.events(&format!("{}.confirm", noun.kind)).await, 1);
        let read = api.get(&place).await.ok(200);
        assert_eq!(
            (&read["confirmed"], &read["revision"]),
            (&json!(true), &json!(1)),
            "that is no change"
        );
        // From now on it is given to nobody.
        let before = api.state().await;
        let reply = noun.make(&api, &owner, &noun.new).await;
        noun.claimed(&reply, "confirmed");
        assert_eq!(api.state().await, before);
        // But once it is gone, the name is free.
        api.delete(&place).await;
        let again = noun.make(&api, &owner, &noun.new).await.ok(201);
        assert_ne!(again["id"], first["id"]);
    }
}

#[tokio::test]
async fn what_nobody_knows_the_maker_of_is_given_to_nobody() {
    let api = begin().await;
    for (path, body, import_id) in [
        (VRFS, json!({"name": "default"}), "default"),
        (
            POOLS,
            json!({"name": "primary", "ranges": ["10.0.0.0/16"]}),
            "default/primary",
        ),
        (
            PROFILES,
            json!({"name": "node-pod", "members": [{"role": "a", "pool": "primary"}]}),
            "node-pod",
        ),
    ] {
        let (detail, details) = {
            let reply = api.post(path, &body).await;
            let (detail, details) = reply.problem(409, "claimed");
            (detail.to_owned(), details.clone())
        };
        assert!(detail.contains("no longer known"), "{detail}");
        assert_eq!(details["import_id"], import_id);
    }
}

#[tokio::test]
async fn a_vpc_that_was_made_on_first_use_is_given_to_whoever_makes_it() {
    let api = begin().await;
    let owner = |name| [("ipam-owner", name)];
    let space = json!({"vpc": "prod", "name": "web", "hosts": 100});
    let web = api
        .with("POST", ALLOCATIONS, &owner("ws-1"), &space)
        .await
        .ok(201);
    let found = api.get(&format!("{VPCS}/prod")).await.ok(200);
    assert_eq!(
        (&found["implicit"], &found["owner"], &found["created_by"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    // Not in another VRF, and not for who wants nothing that exists.
    let elsewhere = json!({"name": "prod", "vrf": "other"});
    let reply = api.post(VPCS, &elsewhere).await;
    let (detail, _) = reply.problem(409, "name_taken");
    assert!(detail.contains("in VRF \"default\""), "{detail}");
    let never = [("ipam-adopt", "never")];
    let reply = api
        .with("POST", VPCS, &never, &json!({"name": "prod"}))
        .await;
    reply.problem(409, "claimed");

    let new = json!({"name": "Prod", "labels": {"env": "prod"}, "description": "ours"});
    let taken = api.with("POST", VPCS, &owner("ws-2"), &new).await.ok(200);
    assert_eq!(taken["id"], found["id"]);
    for (field, value) in [
        ("name", json!("Prod")),
        ("labels", json!({"env": "prod"})),
        ("description", json!("ours")),
        ("implicit", json!(false)),
        ("owner", json!("ws-2")),
        ("created_by", json!("admin")),
        ("allocations", json!(1)),
    ] {
        assert_eq!(taken[field], value, "{field}");
    }
    assert_eq!(api.events("vpc.adopt").await, 1);
    // Now it is somebody's, as any other.
    let reply = api.with("POST", VPCS, &owner("ws-1"), &new).await;
    reply.problem(409, "claimed");
    api.with("POST", VPCS, &owner("ws-2"), &new).await.ok(200);
    assert_eq!(api.get(&path(&web)).await.ok(200)["vpc"], "Prod");

    // Moved to, and changed: that is managing it.
    let patch = json!({"vpc": "moved"});
    api.patch(&path(&web), &patch).await.ok(200);
    let moved = format!("{VPCS}/moved");
    assert_eq!(api.get(&moved).await.ok(200)["implicit"], true);
    api.patch(&moved, &json!({"labels": {"a": "b"}}))
        .await
        .ok(200);
    assert_eq!(api.get(&moved).await.ok(200)["implicit"], false);
}

#[tokio::test]
async fn a_vrf_takes_along_the_vpcs_that_nobody_manages_and_nothing_is_in() {
    let api = begin().await;
    let pool = json!({"name": "p", "vrf": "other", "ranges": ["10.0.0.0/16"]});
    let pool = api.post(POOLS, &pool).await.ok(201);
    let space = |vpc: &str| json!({"vpc": vpc, "name": "n", "vrf": "other", "pools": ["p"], "prefix_length": 24});
    let mut made = Vec::new();
    for vpc in ["idle", "busy", "managed"] {
        made.push(api.allocate(space(vpc)).await);
    }
    api.post(VPCS, &json!({"name": "managed", "vrf": "other"}))
        .await
        .ok(200);
    for allocation in [&made[0], &made[2]] {
        api.delete(&path(allocation)).await.ok(204);
    }
    let delete = async |status: u16| {
        let reply = api.delete(&format!("{VRFS}/other")).await;
        assert_eq!(reply.status, status, "{}", reply.text);
        reply.json["detail"].as_str().unwrap_or_default().to_owned()
    };
    // What is in the way is named, and nothing goes.
    let detail = delete(409).await;
    for (word, named) in [("busy", true), ("managed", true), ("idle", false)] {
        assert_eq!(detail.contains(word), named, "{detail}");
    }
    assert_eq!(api.count("select count(*) from vpc").await, 3);
    api.delete(&path(&made[1])).await.ok(204);
    api.delete(&format!("{VPCS}/managed")).await.ok(200);
    api.delete(&format!("{POOLS}/{}", pool["id"].as_str().unwrap()))
        .await
        .ok(204);
    assert_eq!(
        api.count("select count(*) from vpc").await,
        2,
        "in a VRF that stays they stay, as the original API shows them"
    );
    delete(204).await;
    assert_eq!(api.count("select count(*) from vpc").await, 0);
    assert_eq!(api.events("vpc.delete").await, 3);
    // Deleted, not unknown; and who had what when can still be asked.
    let gone = made[0]["vpc_id"].as_str().unwrap();
    api.get(&format!("{VPCS}/{gone}"))
        .await
        .problem(410, "gone");
    let history = api.get("/api/v1/history?cidr=10.0.0.0/16").await.ok(200);
    let vpcs: BTreeSet<_> = column(&history, "vpc")
        .into_iter()
        .map(ToOwned::to_owned)
        .collect();
    assert_eq!(
        vpcs,
        ["busy", "idle", "managed"].map(ToOwned::to_owned).into(),
        "{history}"
    );
    api.verify().await;
}

#[tokio::test]
async fn lists_are_narrowed_to_an_owner_and_to_what_is_confirmed() {
    for noun in nouns() {
        let api = begin().await;
        let made = noun
            .make(&api, &[("ipam-owner", "ws 1/ä")], &noun.new)
            .await
            .ok(201);
        let id = made["id"].as_str().unwrap();
        let ask = async |query: &str| {
            let page = api.get(&format!("{}?{query}", noun.path)).await.ok(200);
            column(&page, "id").contains(&id)
        };
        let owner = "owner=ws%201%2F%C3%A4";
        for (query, found) in [
            (owner.to_owned(), true),
            ("owner=".to_owned(), false),
            ("owner=ws".to_owned(), false),
            (format!("{owner}&confirmed=false"), true),
            (format!("{owner}&confirmed=true"), false),
            ("confirmed=false".to_owned(), true),
        ] {
            assert_eq!(ask(&query).await, found, "{}: {query}", noun.kind);
        }
        let claim = made["claim"].as_str().unwrap();
        api.with(
            "GET",
            &noun.of(&made),
            &[("ipam-claim", claim)],
            &Value::Null,
        )
        .await
        .ok(200);
        for (query, found) in [
            (format!("{owner}&confirmed=true&limit=1000"), true),
            ("confirmed=false".to_owned(), false),
        ] {
            assert_eq!(ask(&query).await, found, "{}: {query}", noun.kind);
        }
        // A page begins after any id, whether there is such a thing or not. Pools have a cursor of their own.
        if noun.kind != "pool" {
            let before = Uuid::nil();
            let after = Uuid::max();
            assert!(
                ask(&format!("{owner}&cursor={before}")).await,
                "{}",
                noun.kind
            );
            assert!(
                !ask(&format!("{owner}&cursor={after}")).await,
                "{}",
                noun.kind
            );
            assert!(!ask(&format!("{owner}&cursor={id}")).await, "{}", noun.kind);
        }
    }
}

#[tokio::test]
async fn sixteen_who_ask_for_the_same_at_once_get_one() {
    let api = Api::with_connections(8).await;
    api.post(VRFS, &json!({"name": "other"})).await.ok(201);
    for noun in nouns() {
        let all = (0..16).map(|number| {
            let owner = ["ws-1", "ws-2"][number % 2];
            let (api, noun) = (&api, &noun);
            async move { noun.make(api, &[("ipam-owner", owner)], &noun.new).await }
        });
        let replies = join_all(all).await;
        let count = |status: u16| {
            replies
                .iter()
                .filter(|reply| reply.status == status)
                .count()
        };
        assert_eq!(
            (count(201), count(200), count(409)),
            (1, 7, 8),
            "{}: {replies:?}",
            noun.kind
        );
        let made: Vec<_> = replies.iter().filter(|reply| reply.status < 300).collect();
        let ids: BTreeSet<_> = made
            .iter()
            .map(|reply| reply.json["id"].to_string())
            .collect();
        let claims: BTreeSet<_> = made
            .iter()
            .map(|reply| reply.json["claim"].to_string())
            .collect();
        assert_eq!((ids.len(), claims.len()), (1, 8), "{}", noun.kind);
        for reply in replies.iter().filter(|reply| reply.status == 409) {
            reply.problem(409, "claimed");
        }
    }
    api.verify().await;
}

#[tokio::test]
async fn claims_of_everything_are_confirmed_at_once() {
    let api = begin().await;
    let mut claims = Vec::new();
    for noun in nouns() {
        let made = noun.make(&api, &[], &noun.new).await.ok(201);
        claims.push(json!({"kind": noun.kind, "id": made["id"], "claim": made["claim"]}));
        if noun.kind == "allocation" {
            // Adopted by somebody else since.
            noun.make(&api, &[], &noun.new).await.ok(200);
        }
    }
    let gone = api
        .allocate(json!({"vpc": "home", "name": "gone", "hosts": 5}))
        .await;
    api.delete(&path(&gone)).await.ok(204);
    claims.push(json!({"kind": "allocation", "id": gone["id"], "claim": gone["claim"]}));
    claims.push(json!({"kind": "vrf", "id": Uuid::nil(), "claim": gone["claim"]}));
    let body = json!({ "claims": claims });
    let expected = [
        "confirmed",
        "confirmed",
        "confirmed",
        "confirmed",
        "confirmed",
        "confirmed",
        "confirmed",
        "claimed",
        "gone",
        "unknown",
    ];
    for _ in 0..2 {
        let results = api.post(CONFIRMATIONS, &body).await.ok(200)["results"].clone();
        for ((result, claim), status) in results
            .as_array()
            .unwrap()
            .iter()
            .zip(&claims)
            .zip(expected)
        {
            assert_eq!(
                (&result["id"], &result["status"]),
                (&claim["id"], &json!(status))
            );
            assert_eq!(
                result["detail"].is_null(),
                status == "confirmed",
                "{result}"
            );
        }
        assert_eq!(results.as_array().unwrap().len(), claims.len());
        let events = "select count(*) from event where action like '%.confirm'";
        assert_eq!(
            api.count(events).await,
            7,
            "once, however often it is asked"
        );
    }
    for noun in nouns().iter().filter(|noun| noun.kind != "allocation") {
        let reply = noun.make(&api, &[], &noun.new).await;
        noun.claimed(&reply, "confirmed");
    }
    let one = json!({"kind": "vrf", "id": Uuid::nil(), "claim": Uuid::nil()});
    for bad in [
        json!({"claims": []}),
        json!({"claims": vec![one.clone(); 1001]}),
        json!({"claims": [{"kind": "seal", "id": Uuid::nil(), "claim": Uuid::nil()}]}),
    ] {
        api.post(CONFIRMATIONS, &bad)
            .await
            .problem(400, "invalid_request");
    }
    let many = json!({"claims": vec![one; 1000]});
    api.post(CONFIRMATIONS, &many).await.ok(200);
}

/// An import: it is the importer's from then on, and whoever had it learns that.
#[tokio::test]
async fn what_is_taken_over_is_confirmed_and_lost_to_who_had_it() {
    for noun in nouns() {
        let api = begin().await;
        let made = noun
            .make(&api, &[("ipam-owner", "ws-1")], &noun.new)
            .await
            .ok(201);
        let place = noun.of(&made);
        let before = made["claim"].as_str().expect("a claim").to_owned();
        api.with("GET", &place, &[("ipam-claim", &before)], &Value::Null)
            .await
            .ok(200);
        let drawn = Uuid::new_v4().to_string();
        let claims = json!({"claims": [
            {"kind": noun.kind, "id": made["id"], "claim": drawn},
            {"kind": noun.kind, "id": Uuid::nil(), "claim": drawn},
        ]});
        for _ in 0..2 {
            let taken = api
                .with("POST", "/api/v1/claims", &[("ipam-owner", "ws-2")], &claims)
                .await
                .ok(200);
            assert_eq!(
                (
                    &taken["results"][0]["status"],
                    &taken["results"][1]["status"]
                ),
                (&json!("confirmed"), &json!("unknown")),
                "{}",
                noun.kind
            );
        }
        let adopted = api.events(&format!("{}.adopt", noun.kind)).await;
        assert_eq!(adopted, 1, "{}: once", noun.kind);
        let reply = api
            .with("GET", &place, &[("ipam-claim", &before)], &Value::Null)
            .await;
        let (detail, _) = reply.problem(409, "claimed");
        assert!(detail.contains("adopted"), "{detail}");
        let read = api
            .with("GET", &place, &[("ipam-claim", &drawn)], &Value::Null)
            .await
            .ok(200);
        assert_eq!(
            (&read["owner"], &read["confirmed"], &read["revision"]),
            (&json!("ws-2"), &json!(true), &json!(1)),
            "{}",
            noun.kind
        );
        let reply = noun.make(&api, &[("ipam-owner", "ws-2")], &noun.new).await;
        noun.claimed(&reply, "confirmed");
    }
    // Also what is nobody's.
    let api = begin().await;
    let made = api.allocate(json!({"vpc": "prod", "hosts": 5})).await;
    let pool = api.get(&format!("{POOLS}/primary")).await.ok(200);
    let claims = json!({"claims": [
        {"kind": "vpc", "id": made["vpc_id"], "claim": Uuid::new_v4()},
        {"kind": "pool", "id": pool["id"], "claim": Uuid::new_v4()},
    ]});
    api.post("/api/v1/claims", &claims).await.ok(200);
    let vpc = api.get(&format!("{VPCS}/prod")).await.ok(200);
    assert_eq!(
        (&vpc["implicit"], &vpc["confirmed"]),
        (&json!(false), &json!(true))
    );
}

/// Owners, claims and what is confirmed go along with a plan, and each state goes on with its claims where that is imported.
#[tokio::test]
async fn owners_and_claims_go_along_with_a_plan() {
    for (format, kind) in [("json", "application/x-ndjson"), ("csv", "text/csv")] {
        let api = begin().await;
        let mut claims = Vec::new();
        // Tokens and webhooks are no part of a plan.
        let nouns: Vec<_> = (nouns().into_iter())
            .filter(|noun| !["token", "webhook"].contains(&noun.kind))
            .collect();
        for (number, noun) in nouns.iter().enumerate() {
            let made = noun
                .make(&api, &[("ipam-owner", "=ws 1")], &noun.new)
                .await
                .ok(201);
            claims.push(json!({"kind": noun.kind, "id": made["id"], "claim": made["claim"]}));
            if number % 2 == 0 {
                let claim = made["claim"].as_str().unwrap();
                api.with(
                    "GET",
                    &noun.of(&made),
                    &[("ipam-claim", claim)],
                    &Value::Null,
                )
                .await
                .ok(200);
            }
        }
        let there = carry_over(&api, format, kind).await;
        for (number, noun) in nouns.iter().enumerate() {
            let place = noun.of(&claims[number]);
            let (one, other) = (
                api.get(&place).await.ok(200),
                there.get(&place).await.ok(200),
            );
            for field in ["owner", "confirmed", "created_by", "implicit"] {
                assert_eq!(one[field], other[field], "{}: {field}", noun.kind);
            }
            assert_eq!(
                (&other["owner"], &other["confirmed"]),
                (&json!("=ws 1"), &json!(number % 2 == 0)),
                "{}",
                noun.kind
            );
        }
        // The VPC of the allocation came by itself, here and there.
        let home = there.get(&format!("{VPCS}/home")).await.ok(200);
        assert_eq!(home["implicit"], true);
        let confirmed = there
            .post(CONFIRMATIONS, &json!({ "claims": claims }))
            .await
            .ok(200);
        for result in confirmed["results"].as_array().unwrap() {
            assert_eq!(result["status"], "confirmed", "{result}");
        }
    }
    // A file of before says nothing of it: of VRFs nobody knows who made them, and allocations are the importer's.
    let api = Api::start().await;
    let file = "kind,vrf,cidr,vpc,name\nvrf,old,,,\nallocation,,10.0.0.0/24,prod,web\n";
    import(&api, file).await;
    let reply = api.post(VRFS, &json!({"name": "old"})).await;
    let (detail, _) = reply.problem(409, "claimed");
    assert!(detail.contains("no longer known"), "{detail}");
    let same = json!({"vpc": "prod", "name": "web", "cidr": "10.0.0.0/24", "pools": ["primary"]});
    api.post(ALLOCATIONS, &same).await.ok(200);
    assert_eq!(
        api.get(&format!("{VPCS}/prod")).await.ok(200)["implicit"],
        true
    );
}

/// Many workspaces refresh at once, some of them what others hold too, in whatever order.
#[tokio::test]
async fn a_thousand_claims_are_confirmed_by_eight_at_once() {
    let api = Api::with_connections(8).await;
    let requests: Vec<_> = (0..1000)
        .map(|number| json!({"vpc": format!("v{}", number % 10), "name": format!("n{number}"), "prefix_length": 26}))
        .collect();
    let batch = json!({ "requests": requests });
    let owner = [("ipam-owner", "ws-1")];
    let batch_path = format!("{ALLOCATIONS}/batch");
    let made = api.with("POST", &batch_path, &owner, &batch).await.ok(200);
    let claims: Vec<_> = made["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let allocation = &result["allocation"];
            assert_eq!(allocation["owner"], "ws-1");
            json!({"kind": "allocation", "id": allocation["id"], "claim": allocation["claim"]})
        })
        .collect();
    let all = (0..8).map(|turn| {
        let mut claims = claims.clone();
        claims.rotate_left(turn * 125);
        if turn % 2 == 0 {
            claims.reverse();
        }
        let api = &api;
        async move { api.post(CONFIRMATIONS, &json!({ "claims": claims })).await }
    });
    for reply in join_all(all).await {
        let results = reply.ok(200);
        let results = results["results"].as_array().unwrap();
        assert!(results.iter().all(|result| result["status"] == "confirmed"));
    }
    assert_eq!(api.events("allocation.confirm").await, 1000);
    let unconfirmed = "select count(*) from allocation where confirmed_at is null";
    assert_eq!(api.count(unconfirmed).await, 0);
}

/// A first use comes while the VRF of its VPC is being deleted: it is in the way, or finds no VRF, or the VPC is made anew.
#[tokio::test]
async fn a_first_use_and_the_deletion_of_its_vrf_never_leave_half_of_either() {
    let api = Api::with_connections(8).await;
    for round in 0..20 {
        let vrf = format!("v{round}");
        api.post(VRFS, &json!({"name": vrf})).await.ok(201);
        let space = |name: &str| {
            json!({"vpc": format!("vpc-{round}"), "name": name, "vrf": format!("v{round}"), "pools": ["primary"],
                "prefix_length": 26})
        };
        let first = api.allocate(space("first")).await;
        api.delete(&path(&first)).await.ok(204);
        let gone = format!("{VRFS}/{vrf}");
        let second = space("second");
        let (used, deleted) = tokio::join!(api.post(ALLOCATIONS, &second), api.delete(&gone));
        match (used.status, deleted.status) {
            (201, 409) => {
                deleted.problem(409, "in_use");
                let found = api.get(&path(&used.json)).await.ok(200);
                assert_eq!(found["vrf"], vrf);
            }
            (404, 204) => {
                let left = format!("select count(*) from vpc where name = 'vpc-{round}'");
                assert_eq!(api.count(&left).await, 0);
            }
            other => panic!("{other:?}: {} {}", used.text, deleted.text),
        }
    }
    api.verify().await;
}

#[tokio::test]
async fn what_is_only_repeated_leaves_the_address_plan_as_it_is() {
    let api = Api::start().await;
    let revision = "select revision from address_plan";
    for (path, body) in [
        (VRFS, json!({"name": "n"})),
        (POOLS, json!({"name": "n", "ranges": ["172.16.0.0/16"]})),
        (
            PROFILES,
            json!({"name": "n", "members": [{"role": "a", "pool": "primary"}]}),
        ),
    ] {
        let before = api.count(revision).await;
        api.post(path, &body).await.ok(201);
        let made = api.count(revision).await;
        assert!(made > before, "{path}");
        api.post(path, &body).await.ok(200);
        assert_eq!(api.count(revision).await, made, "{path}");
        let mut other = body.clone();
        other["description"] = json!("d");
        api.post(path, &other).await.ok(200);
        assert!(api.count(revision).await > made, "{path}");
    }
}
