//! Every noun is made, changed and deleted through its forms: what a preview says is what happens, nothing happens before it
//! is confirmed, nothing twice, and nothing over what somebody else has changed.

use axum::body::Body;
use http::header;
use serde_json::json;
use sqlx::Row as _;

use crate::visitor::{HOST, Reply, Visitor, encode};

/// A noun, and how its forms are filled in.
struct Case {
    /// Its pages.
    path: &'static str,
    /// Its table.
    table: &'static str,
    /// What it is, in a button.
    word: &'static str,
    /// A form that makes one.
    new: &'static [(&'static str, &'static str)],
    /// What the preview and the page show of it.
    shows: &'static [&'static str],
    /// The form that changes it, and what the preview shows of the change.
    change: &'static [(&'static str, &'static str)],
    after: &'static str,
    /// A form that is wrong in every field, and the fields.
    wrong: &'static [(&'static str, &'static str)],
    fields: &'static [&'static str],
    /// What the preview of its deletion says.
    deletion: &'static str,
}

const CASES: [Case; 7] = [
    Case {
        path: "/ui/vrfs",
        table: "vrf",
        word: "VRF",
        new: &[
            ("name", "lab"),
            ("labels", "team=core"),
            ("description", "for tests"),
        ],
        shows: &["lab", "team", "core", "for tests"],
        change: &[
            ("name", "lab-2"),
            ("labels", ""),
            ("description", "for tests"),
        ],
        after: "have to name &#34;lab-2&#34; from then on",
        wrong: &[("name", "a/b"), ("labels", "oops")],
        fields: &["name", "labels"],
        deletion: "Nothing is in it",
    },
    Case {
        path: "/ui/pools",
        table: "pool",
        word: "pool",
        new: &[
            ("name", "lab"),
            ("ranges", "192.168.0.0/20\r\n192.168.32.0/20"),
            ("max_prefix_length", "28"),
            ("default_prefix_length", "24"),
            ("reserved_addresses", "2"),
            ("strategy", "sparse"),
            ("cooldown", "7d"),
            ("required_labels", "env=dev,prod\r\nteam"),
            ("labels", "site=a"),
            ("description", "a lab"),
        ],
        shows: &[
            "192.168.0.0/20",
            "192.168.32.0/20",
            "/28",
            "7 days",
            "room to grow",
            "env=dev,prod",
            "a lab",
        ],
        change: &[
            ("name", "lab"),
            ("ranges", "192.168.0.0/20\r\n192.168.64.0/20"),
            ("min_prefix_length", "0"),
            ("max_prefix_length", "28"),
            ("reserved_addresses", "5"),
            ("strategy", "sparse"),
            ("cooldown", "0"),
            ("required_labels", ""),
            ("labels", ""),
        ],
        after: "192.168.64.0/20",
        wrong: &[
            ("name", ""),
            ("ranges", "10.0.0.1/16"),
            ("max_prefix_length", "many"),
            ("cooldown", "soon"),
            ("strategy", "worst"),
        ],
        fields: &[
            "name",
            "ranges",
            "max_prefix_length",
            "cooldown",
            "strategy",
        ],
        deletion: "Its ranges belong to no pool afterwards.",
    },
    Case {
        path: "/ui/profiles",
        table: "profile",
        word: "profile",
        new: &[
            ("name", "lab"),
            ("role-0", "nodes"),
            ("pool-0", "primary"),
            ("role-1", "pods"),
            ("pool-1", "cgnat"),
            ("size_offset-1", "-5"),
            ("largest-1", "15"),
            ("smallest-1", "21"),
        ],
        shows: &[
            "nodes: pool primary",
            "pods: pool cgnat, size -5, /15 to /21",
        ],
        change: &[
            ("name", "lab"),
            ("role-0", "nodes"),
            ("pool-0", "primary"),
            ("size_offset-0", "1"),
        ],
        after: "nodes: pool primary, size +1",
        wrong: &[("name", "x\u{7}"), ("role-0", "nodes")],
        fields: &["name", "members"],
        deletion: "No allocation was made from it",
    },
    Case {
        path: "/ui/reservations",
        table: "reservation",
        word: "reservation",
        new: &[
            ("cidr", "10.0.64.0/24"),
            ("reason", "the old office"),
            ("labels", "team=core"),
        ],
        shows: &["10.0.64.0/24", "the old office", "core"],
        change: &[("reason", "the new office"), ("labels", "team=core")],
        after: "the new office",
        wrong: &[("cidr", "10.0.0.1/24"), ("reason", " "), ("labels", "oops")],
        fields: &["cidr", "reason", "labels"],
        deletion: "back in circulation at once",
    },
    Case {
        path: "/ui/vpcs",
        table: "vpc",
        word: "VPC",
        new: &[
            ("name", "lab"),
            ("labels", "team=core"),
            ("description", "ours"),
        ],
        shows: &["lab", "core", "ours"],
        change: &[
            ("name", "Lab-2"),
            ("labels", "team=core"),
            ("description", ""),
        ],
        after: "Lab-2",
        wrong: &[("name", "a\u{7}b"), ("labels", "a=1\na=2")],
        fields: &["name", "labels"],
        deletion: "It has no allocations, so no range is released.",
    },
    Case {
        path: "/ui/tokens",
        table: "token",
        word: "token",
        new: &[
            ("name", "ci"),
            ("roles", "allocator"),
            ("roles", "operator"),
            ("limit_vpcs", "team-a-*"),
            ("limit_pools", "default/primary\r\ndefault/cgnat"),
            ("limit_labels", "env=dev"),
            ("expires", "2200-01-31"),
        ],
        shows: &[
            "operator, allocator",
            "team-a-*",
            "default/cgnat",
            "2200-01-31",
        ],
        change: &[("roles", "reader"), ("expires", "2200-01-31T00:00:00Z")],
        after: "Every server follows within a second",
        wrong: &[
            ("name", ""),
            ("roles", "root"),
            ("limit_vpcs", "a/b"),
            ("limit_labels", "oops"),
            ("expires", "yesterday"),
        ],
        fields: &["name", "roles", "limit_vpcs", "limit_labels", "expires"],
        deletion: "Every server refuses it within a second",
    },
    Case {
        path: "/ui/webhooks",
        table: "webhook",
        word: "webhook",
        new: &[
            ("name", "siem"),
            ("url", "https://siem.example/ipam"),
            ("actions", "allocation.*\r\ntoken.create"),
            ("batch_size", "50"),
            ("description", "who watches"),
            ("enabled", "on"),
        ],
        shows: &[
            "https://siem.example/ipam",
            "allocation.*",
            "token.create",
            "who watches",
        ],
        change: &[
            ("name", "siem"),
            ("url", "https://other.example/ipam"),
            ("actions", "allocation.*"),
            ("batch_size", "50"),
        ],
        after: "Nothing is sent until it is enabled again",
        wrong: &[
            ("name", ""),
            ("url", ""),
            ("actions", "a/b\u{7}"),
            ("batch_size", "many"),
        ],
        fields: &["name", "url", "actions", "batch_size"],
        deletion: "Nobody at its address is told anything any more",
    },
];

/// A form with a button.
pub(crate) fn pressing<'a>(
    fields: &[(&'a str, &'a str)],
    action: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let mut all = fields.to_vec();
    all.push(("action", action));
    all
}

/// The hidden fields of a page on which something is confirmed, as a browser sends them.
pub(crate) fn hidden(page: &Reply) -> Vec<(String, String)> {
    let inputs = page.text.split("<input type=\"hidden\" name=\"").skip(1);
    let mut fields: Vec<(String, String)> = inputs
        .map(|input| {
            let (name, rest) = input.split_once("\" value=\"").unwrap();
            let value = rest.split('"').next().unwrap();
            (name.to_owned(), unescaped(value))
        })
        .collect();
    // The first is that of the form that signs out.
    fields.remove(0);
    fields
}

pub(crate) fn unescaped(text: &str) -> String {
    let mut text = text.to_owned();
    for (entity, c) in [
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#38;", "&"),
    ] {
        text = text.replace(entity, c);
    }
    text
}

/// Presses a button of a page on which something is confirmed.
pub(crate) async fn press(visitor: &Visitor, path: &str, page: &Reply, action: &str) -> Reply {
    let fields = hidden(page);
    let mut fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    fields.push(("action", action));
    visitor.post_raw(path, &fields).await
}

/// The page of the only thing of its table that a test has made.
async fn made(visitor: &Visitor, case: &Case) -> String {
    let sql = format!(
        "select {0}_id::text from {0} order by created_at desc, {0}_id desc limit 1",
        case.table
    );
    let id: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .fetch_one(&visitor.pool)
        .await
        .unwrap();
    format!("{}/{id}", case.path)
}

#[tokio::test]
async fn every_noun_is_made_changed_and_deleted() {
    let visitor = Visitor::signed_in().await;
    for case in &CASES {
        let (new, list) = (format!("{}/new", case.path), case.path);
        let before = (
            visitor.count(case.table).await,
            visitor.count("event").await,
        );

        // The form has one button, which Enter presses, and it only previews.
        let form = visitor.get(&new).await;
        assert_eq!(form.status, 200, "{}", form.text);
        form.shows(&["name=\"action\" value=\"preview\">Preview</button>"]);
        form.does_not_show("value=\"confirm\"");

        // Everything that is wrong is said at once, at its field, and what was typed stays.
        for action in ["preview", "confirm", "anything"] {
            let reply = visitor.post(&new, &pressing(case.wrong, action)).await;
            assert_eq!(reply.status, 422, "{list}: {}", reply.text);
            for field in case.fields {
                reply.shows(&[&format!("id=\"{field}-problem\"")]);
            }
        }

        // The preview says what it would be; nothing is made, however often.
        let mut preview = visitor.post(&new, &pressing(case.new, "preview")).await;
        preview = press(&visitor, &new, &preview, "preview").await;
        assert_eq!(preview.status, 200, "{list}: {}", preview.text);
        preview.shows(case.shows);
        preview.shows(&[
            "Nothing is made yet",
            &format!("Create {}</button>", case.word),
        ]);
        assert_eq!(
            (
                visitor.count(case.table).await,
                visitor.count("event").await
            ),
            before,
            "{list}"
        );

        // Back to the fields, with what was typed.
        let back = press(&visitor, &new, &preview, "change").await;
        assert_eq!(back.status, 200);
        for (_, value) in case.new {
            back.shows(&[value.lines().next().unwrap()]);
        }

        // Confirmed twice, it is made once.
        for _ in 0..2 {
            let reply = press(&visitor, &new, &preview, "confirm").await;
            assert!(matches!(reply.status, 200 | 303), "{list}: {}", reply.text);
        }
        assert_eq!(visitor.count(case.table).await, before.0 + 1, "{list}");
        let page = made(&visitor, case).await;
        if case.table != "pool" {
            let reply = visitor.get(&page).await;
            assert_eq!(reply.status, 200, "{}", reply.text);
            reply.shows(case.shows);
            reply.shows(&["created", "by <bdi>admin</bdi>", "Delete…"]);
        }
        visitor
            .get(list)
            .await
            .shows(&[&format!("{page}\""), &format!("{page}/edit\"")]);

        // A change that changes nothing has no button to confirm it.
        let edit = format!("{page}/edit");
        let opened = visitor.get(&edit).await;
        assert_eq!(opened.status, 200, "{}", opened.text);
        let revision = opened.input("revision");
        let with_revision = |fields: &[(&'static str, &'static str)]| {
            let mut all: Vec<(String, String)> = vec![("revision".to_owned(), revision.clone())];
            all.extend(
                fields
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
            );
            all
        };
        let post = async |fields: &[(String, String)], action: &str| {
            let mut all: Vec<_> = fields
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            all.push(("action", action));
            visitor.post(&edit, &all).await
        };
        let same = post(&with_revision(case.new), "preview").await;
        same.shows(&["This changes nothing."]);
        same.does_not_show("value=\"confirm\"");

        // The preview says what would change, and changes nothing.
        let before = (visitor.count("event").await, opened.input("revision"));
        let preview = post(&with_revision(case.change), "preview").await;
        assert_eq!(preview.status, 200, "{list}: {}", preview.text);
        preview.shows(&[case.after, "Save</button>"]);
        let now = visitor.get(&edit).await.input("revision");
        assert_eq!((visitor.count("event").await, now), before, "{list}");
        let reply = press(&visitor, &edit, &preview, "confirm").await;
        reply.leads_to(&format!("{page}?notice=saved"));

        // Sent again, or by somebody who opened it before: refused, with the form as it is now.
        let events = visitor.count("event").await;
        for action in ["preview", "confirm"] {
            let stale = press(&visitor, &edit, &preview, action).await;
            assert_eq!(stale.status, 412, "{list}: {}", stale.text);
            stale.shows(&["It was changed since you opened the form"]);
            assert_ne!(stale.input("revision"), revision, "{list}");
        }
        assert_eq!(visitor.count("event").await, events, "{list}");

        // What a deletion would do; a change in between is noticed; then it is gone.
        let delete = format!("{page}/delete");
        let confirmation = visitor.get(&delete).await;
        assert_eq!(confirmation.status, 200, "{}", confirmation.text);
        confirmation.shows(&[case.deletion, &format!("Delete {}</button>", case.word)]);
        assert_eq!(visitor.count("event").await, events, "{list}");
        let stale = visitor
            .post(&delete, &[("revision", "1"), ("allocations", "0")])
            .await;
        assert_eq!(stale.status, 412, "{list}: {}", stale.text);
        stale.shows(&["so nothing was done", case.deletion]);
        press(&visitor, &delete, &confirmation, "confirm")
            .await
            .leads_to(&format!("{list}?notice=deleted"));
        assert_eq!(visitor.get(&edit).await.status, 410, "{list}");
        let again = press(&visitor, &delete, &confirmation, "confirm").await;
        assert_eq!(again.status, 410, "{list}");
        visitor
            .get(&format!("{list}?notice=deleted"))
            .await
            .shows(&["Deleted."]);
    }
}

#[tokio::test]
async fn what_is_in_use_can_not_be_deleted_and_that_is_said_before() {
    let visitor = Visitor::signed_in().await;
    visitor
        .allocate(&[("vpc", "prod"), ("name", "eks"), ("hosts", "500")])
        .await;
    let of = async |table: &str, name: &str| {
        let sql = format!("select {table}_id::text from {table} where name = $1");
        let id: String = sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(name)
            .fetch_one(&visitor.pool)
            .await
            .unwrap();
        format!("/ui/{table}s/{id}/delete")
    };
    for (table, name, why) in [
        ("pool", "primary", "prod/eks"),
        ("profile", "node-pod", "eks"),
        ("vrf", "default", "always exists"),
    ] {
        let path = of(table, name).await;
        let page = visitor.get(&path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        page.shows(&[why, "role=\"alert\""]);
        page.does_not_show("value=\"confirm\"");
        // Somebody who sends it all the same.
        let revision = page.input("revision");
        let reply = visitor.post(&path, &[("revision", &revision)]).await;
        assert!((400..500).contains(&reply.status), "{}", reply.text);
        reply.shows(&[why]);
    }
    assert_eq!(visitor.count("pool").await, 2);
    // A VPC takes its allocations with it, but for protected ones; and what cools down is not called free.
    sqlx::query("update pool set release_cooldown_seconds = 3600 where name = 'cgnat'")
        .execute(&visitor.pool)
        .await
        .unwrap();
    let path = of("vpc", "prod").await;
    let page = visitor.get(&path).await;
    page.shows(&[
        "In pool &#34;cgnat&#34; 1 block cools down for 1 hour",
        "In pool &#34;primary&#34; 1 block is free at once",
        "10.0.0.0/23",
    ]);
    sqlx::query("update allocation set deletion_protection = true")
        .execute(&visitor.pool)
        .await
        .unwrap();
    let page = visitor.get(&path).await;
    page.shows(&["1 of its allocations is protected from deletion"]);
    page.does_not_show("value=\"confirm\"");
    let fields = [
        ("revision", page.input("revision")),
        ("allocations", "1".to_owned()),
    ];
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let reply = visitor.post(&path, &fields).await;
    assert_eq!(reply.status, 409, "{}", reply.text);
    assert_eq!(visitor.count("allocation").await, 1);
}

#[tokio::test]
async fn refusals_of_the_domain_are_shown_at_their_field() {
    let visitor = Visitor::signed_in().await;
    visitor
        .allocate(&[("vpc", "prod"), ("name", "eks"), ("hosts", "500")])
        .await;
    for (path, fields, place, text) in [
        (
            "/ui/pools/new",
            &[("name", "primary"), ("ranges", "172.16.0.0/12")][..],
            "name-problem",
            "primary",
        ),
        (
            "/ui/pools/new",
            &[("name", "other"), ("ranges", "10.0.128.0/20")],
            "ranges-problem",
            "10.0.0.0/16",
        ),
        (
            "/ui/pools/new",
            &[
                ("name", "other"),
                ("vrf", "nowhere"),
                ("ranges", "172.16.0.0/12"),
            ],
            "vrf-problem",
            "no VRF &#34;nowhere&#34;",
        ),
        (
            "/ui/pools/new",
            &[("name", "other"), ("parent", "nobody"), ("cut", "20")],
            "parent-problem",
            "no pool &#34;nobody&#34;",
        ),
        (
            "/ui/pools/new",
            &[("name", "other"), ("parent", "primary"), ("cut", "8")],
            "role=\"alert\"",
            "primary",
        ),
        (
            "/ui/pools/new",
            &[
                ("name", "other"),
                ("ranges", "172.16.0.0/12"),
                ("min_prefix_length", "24"),
                ("max_prefix_length", "20"),
            ],
            "min_prefix_length-problem",
            "&#34;Largest block&#34; 24 is longer than &#34;Smallest block&#34; 20",
        ),
        (
            "/ui/pools/new",
            &[("name", "other")],
            "family-problem",
            "The address family is not known",
        ),
        (
            "/ui/pools/new",
            &[
                ("name", "other"),
                ("ranges", "172.16.0.0/12\n172.16.0.0/16"),
            ],
            "ranges-problem",
            "name each network once",
        ),
        (
            "/ui/profiles/new",
            &[
                ("name", "other"),
                ("role-0", "a"),
                ("pool-0", "primary"),
                ("role-1", "a"),
                ("pool-1", "cgnat"),
            ],
            "members-problem",
            "is there twice",
        ),
        (
            "/ui/vpcs/new",
            &[("name", "a\u{202e}b")],
            "name-problem",
            "A new name can&#39;t contain",
        ),
        (
            "/ui/reservations/new",
            &[("cidr", "10.0.0.0/20"), ("reason", "mine")],
            "cidr-problem",
            "10.0.0.0/23",
        ),
        (
            "/ui/profiles/new",
            &[("name", "node-pod"), ("role-0", "a"), ("pool-0", "primary")],
            "name-problem",
            "node-pod",
        ),
        (
            "/ui/tokens/new",
            &[
                ("name", "t"),
                ("roles", "reader"),
                ("limit_pools", "nothing"),
            ],
            "limit_pools-problem",
            "there is none that is called &#34;nothing&#34;",
        ),
        (
            "/ui/tokens/new",
            &[("name", "t"), ("roles", "admin"), ("limit_vpcs", "a*")],
            "roles-problem",
            "can&#39;t be limited",
        ),
    ] {
        for action in ["preview", "confirm"] {
            let reply = visitor.post(path, &pressing(fields, action)).await;
            assert_eq!(reply.status, 422, "{path} {fields:?}: {}", reply.text);
            reply.shows(&[place, text]);
        }
    }
    assert_eq!(visitor.count("pool").await, 2);
    assert_eq!(visitor.count("token").await, 0);
}

#[tokio::test]
async fn a_pool_is_cut_from_another_where_the_preview_says() {
    let visitor = Visitor::signed_in().await;
    let fields = [("name", "child"), ("parent", "primary"), ("cut", "20, /22")];
    let preview = visitor
        .post("/ui/pools/new", &pressing(&fields, "preview"))
        .await;
    preview.shows(&["10.0.0.0/20", "10.0.16.0/22", "primary"]);
    assert_eq!(visitor.count("pool_range").await, 2);
    let reply = press(&visitor, "/ui/pools/new", &preview, "confirm").await;
    assert_eq!(reply.status, 303);
    assert_eq!(visitor.count("pool_range").await, 4);
    let path = visitor.pool_path("child").await;
    let page = visitor.get(&format!("{path}/delete")).await;
    page.shows(&["go back to the pool &#34;primary&#34;"]);
    let page = visitor
        .get(&format!("{}/delete", visitor.pool_path("primary").await))
        .await;
    page.shows(&["child"]);
    page.does_not_show("value=\"confirm\"");
}

#[tokio::test]
async fn a_secret_is_shown_once_and_nowhere_else() {
    let visitor = Visitor::signed_in().await;
    let new = [("name", "ci"), ("roles", "reader")];
    let preview = visitor
        .post("/ui/tokens/new", &pressing(&new, "preview"))
        .await;
    preview.does_not_show("ipam_");
    let reply = press(&visitor, "/ui/tokens/new", &preview, "confirm").await;
    assert_eq!((reply.status, reply.header("location")), (200, ""));
    assert_eq!(reply.header("cache-control"), "no-store");
    let secret = |page: &Reply| {
        let start = page
            .text
            .find("<pre id=\"secret\" tabindex=\"0\">")
            .unwrap()
            + 30;
        page.text[start..].split('<').next().unwrap().to_owned()
    };
    let first = secret(&reply);
    assert!(first.starts_with("ipam_"), "{first}");
    assert_eq!(reply.text.matches(&first).count(), 1);
    reply.shows(&[
        "data-copy=\"secret\"",
        "IPAM_ENDPOINT",
        "X-API-Key: $IPAM_API_KEY",
    ]);
    let works = async |secret: &str| {
        let request = visitor
            .request("GET", "/api/v1/whoami")
            .header("x-api-key", secret);
        visitor
            .send(request.body(Body::empty()).unwrap())
            .await
            .status
    };
    assert_eq!(works(&first).await, 200);

    // Signed in with it; then a new secret ends that session, and the old secret.
    let mut other = Visitor {
        app: visitor.app.clone(),
        pool: visitor.pool.clone(),
        cookie: None,
        database: None,
    };
    let signed_in = other.post_raw("/ui/sign-in", &[("key", &first)]).await;
    signed_in.leads_to("/");
    let cookie = signed_in.header("set-cookie").to_owned();
    other.cookie = Some(cookie[..cookie.find(';').unwrap()].to_owned());
    assert_eq!(other.get("/ui/vpcs").await.status, 200);
    let page = made(&visitor, &CASES[5]).await;
    // What is not the administrator's is neither shown nor done.
    other.get("/ui/vpcs").await.does_not_show("/ui/tokens");
    for path in [
        "/ui/tokens",
        "/ui/tokens/new",
        &page,
        &format!("{page}/edit"),
        "/ui/pools/new",
    ] {
        assert_eq!(other.get(path).await.status, 403, "{path}");
    }
    let pools = other.get("/ui/pools").await;
    assert_eq!(pools.status, 200);
    for link in ["New pool", "/edit", "/delete"] {
        pools.does_not_show(link);
    }

    let fields = [("roles", "reader"), ("renew", "on")];
    let preview = visitor.preview(&page, &fields).await;
    preview.shows(&["It gets a new secret", "sessions of this token end"]);
    preview.does_not_show("ipam_");
    assert_eq!(works(&first).await, 200);
    let reply = press(&visitor, &format!("{page}/edit"), &preview, "confirm").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let second = secret(&reply);
    assert_ne!(first, second);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!((works(&first).await, works(&second).await), (401, 200));
    assert_eq!(other.get("/ui/vpcs").await.status, 303);
    let shown = visitor.get(&page).await;
    shown.shows(&["given a new secret"]);
    for secret in [&first, &second] {
        shown.does_not_show(secret);
        let sql = "select count(*) from event where detail::text like '%' || $1 || '%'";
        let count: i64 = sqlx::query_scalar(sql)
            .bind(secret)
            .fetch_one(&visitor.pool)
            .await
            .unwrap();
        assert_eq!(count, 0);
    }
}

#[tokio::test]
async fn forged_forms_change_nothing() {
    let visitor = Visitor::signed_in().await;
    for case in &CASES {
        let new = format!("{}/new", case.path);
        let reply = visitor.post(&new, &pressing(case.new, "confirm")).await;
        assert!(matches!(reply.status, 200 | 303), "{}", reply.text);
    }
    let token = visitor.token().await;
    let before = visitor.count("event").await;
    for case in &CASES {
        let page = made(&visitor, case).await;
        for (path, fields) in [
            (format!("{}/new", case.path), case.new),
            (format!("{page}/edit"), case.change),
            (
                format!("{page}/delete"),
                &[("revision", "1"), ("allocations", "0")][..],
            ),
        ] {
            let mut all = pressing(fields, "confirm");
            all.push(("revision", "1"));
            assert_eq!(visitor.post_raw(&path, &all).await.status, 403, "{path}");
            all.push(("csrf", &token));
            let request = visitor
                .request("POST", &path)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header("origin", "https://evil.example");
            let reply = visitor
                .send(request.body(Body::from(encode(&all))).unwrap())
                .await;
            assert_eq!(reply.status, 403, "{path} at {HOST}");
        }
    }
    assert_eq!(visitor.count("event").await, before);
}

#[tokio::test]
async fn hostile_text_stays_text_in_every_field_of_every_page() {
    const EVIL: &str = "\"><img src=x onerror=alert(1)><b>'${7*7}{{7*7}}\u{202e}";
    let visitor = Visitor::signed_in().await;
    let check = |path: &str, reply: &Reply| {
        assert!(reply.status < 500, "{path}: {}", reply.text);
        for text in ["<img src=x", "style=\"", " onclick", "<script>"] {
            assert!(!reply.text.contains(text), "{path}: {text}\n{}", reply.text);
        }
    };
    let value = percent(EVIL);
    for case in &CASES {
        let new = format!("{}/new", case.path);
        // What a link fills in, and what is looked for.
        let names = [
            "name", "q", "vrf", "pool", "parent", "label", "contains", "within", "after", "cidr",
            "labels",
        ];
        let query: Vec<_> = names.map(|name| format!("{name}={value}")).into();
        for path in [
            format!("{new}?{}", query.join("&")),
            format!("{}?{}", case.path, query.join("&")),
            format!("{}?name={value}", case.path),
            format!("{}?after={value}", case.path),
            format!("{}?name=%00&q=%00&vrf=%00", case.path),
            format!("{}/{value}", case.path),
            format!("{}/{value}/edit", case.path),
            format!("{}/{value}/delete", case.path),
        ] {
            check(&path, &visitor.get(&path).await);
        }
        for (name, _) in case.new.iter().chain(case.wrong) {
            for evil in [EVIL, "\0", "x".repeat(5000).as_str()] {
                let mut fields: Vec<_> = case
                    .new
                    .iter()
                    .filter(|(it, _)| it != name)
                    .copied()
                    .collect();
                fields.push((name, evil));
                let reply = visitor.post(&new, &pressing(&fields, "preview")).await;
                check(&new, &reply);
            }
        }
        // And where it is stored: names that old releases allowed, descriptions, labels.
        let reply = visitor.post(&new, &pressing(case.new, "confirm")).await;
        assert!(matches!(reply.status, 200 | 303), "{}", reply.text);
        let page = made(&visitor, case).await;
        let columns = match case.table {
            "reservation" => "reason = $1, labels = jsonb_build_object('k', $1)",
            "profile" | "token" | "webhook" => "name = left($1, 60), description = $1",
            _ => "name = left($1, 60), description = $1, labels = jsonb_build_object('k', $1)",
        };
        let id = page.rsplit('/').next().unwrap();
        let sql = format!("update {0} set {columns} where {0}_id = '{id}'", case.table);
        let stored = EVIL.replace('/', ":");
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&stored)
            .execute(&visitor.pool)
            .await
            .unwrap();
        let (edit, delete) = (format!("{page}/edit"), format!("{page}/delete"));
        for path in [case.path, &page, &edit, &delete] {
            let reply = visitor.get(path).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text);
            check(path, &reply);
            assert!(reply.text.contains("&#60;img src=x"), "{path}");
        }
        let preview = visitor.preview(&page, case.change).await;
        assert_eq!(preview.status, 200, "{edit}: {}", preview.text);
        check(&edit, &preview);
    }
}

/// A text as the value of a query parameter.
fn percent(text: &str) -> String {
    let encoded = encode(&[("", text)]);
    encoded[1..].to_owned()
}

#[tokio::test]
async fn lists_are_narrowed_and_come_in_pages() {
    let visitor = Visitor::signed_in().await;
    for index in 0..60 {
        let name = format!("item-{index:02}");
        let range = format!("192.168.{index}.0/24");
        let fields = [
            ("name", name.as_str()),
            ("ranges", &range),
            ("labels", "team=core"),
        ];
        let reply = visitor
            .post("/ui/pools/new", &pressing(&fields, "confirm"))
            .await;
        assert_eq!(reply.status, 303, "{}", reply.text);
    }
    let first = visitor.get("/ui/pools?vrf=default&label=team%3Dcore").await;
    let end = first.text.find("rel=\"next\"").expect("a next page");
    let start = first.text[..end].rfind("href=\"").unwrap() + 6;
    let next = unescaped(first.text[start..].split('"').next().unwrap());
    let second = visitor.get(&next).await;
    for index in 0..60 {
        // The outline has them too.
        let name = format!("<bdi class=\"text\">item-{index:02}</bdi>");
        assert!(
            first.text.contains(&name) ^ second.text.contains(&name),
            "{name}"
        );
    }
    let found = visitor.get("/ui/pools?name=item-07").await;
    assert_eq!(found.text.matches("/edit\"").count(), 1);
    for (path, text) in [
        ("/ui/pools?vrf=nowhere", "Nothing was found."),
        ("/ui/pools?label=oops", "Look for a label as key=value"),
        ("/ui/pools?after=x", "begin at the first page"),
        ("/ui/vrfs?after=x", "begin at the first page"),
        ("/ui/reservations", "There are no Reservations yet."),
        ("/ui/reservations?contains=x", "No search was made."),
        (
            "/ui/reservations?within=10.0.0.1/8",
            "the network is 10.0.0.0/8",
        ),
    ] {
        visitor.get(path).await.shows(&[text]);
    }
}

#[tokio::test]
async fn a_part_of_a_name_is_enough() {
    let visitor = Visitor::signed_in().await;
    for (path, more) in [
        ("/ui/vrfs", ("labels", "")),
        ("/ui/profiles", ("role-0", "a")),
        ("/ui/tokens", ("roles", "reader")),
    ] {
        for name in ["Blue-lab", "lab", "green", "50%_off"] {
            let fields = [
                ("name", name),
                more,
                ("pool-0", "primary"),
                ("action", "confirm"),
            ];
            let reply = visitor.post(&format!("{path}/new"), &fields).await;
            assert!(matches!(reply.status, 200 | 303), "{}", reply.text);
        }
        for (text, found) in [
            ("lab", vec!["Blue-lab", "lab"]),
            ("LUE", vec!["Blue-lab"]),
            ("%25_o", vec!["50%_off"]),
            ("_ab", vec![]),
            ("green", vec!["green"]),
        ] {
            let page = visitor.get(&format!("{path}?name={text}")).await;
            for name in ["Blue-lab", "lab", "green", "50%_off"] {
                let cell = format!("<bdi class=\"text\">{name}</bdi></a>");
                assert_eq!(
                    page.text.contains(&cell),
                    found.contains(&name),
                    "{path} {text} {name}"
                );
            }
            page.does_not_show("rel=\"next\"");
        }
    }
}

#[tokio::test]
async fn links_of_the_map_fill_in_the_forms() {
    let visitor = Visitor::signed_in().await;
    let form = visitor
        .get("/ui/allocations/new?vrf=default&pool=primary&cidr=10.0.0.0/24")
        .await;
    form.shows(&[
        "value=\"cidr\" checked",
        "name=\"cidr\" value=\"10.0.0.0/24\"",
        "name=\"vrf\" value=\"default\"",
        ">\nprimary</textarea>",
    ]);
    let fields = [
        ("vpc", "a"),
        ("vrf", "default"),
        ("pools", "primary"),
        ("by", "cidr"),
        ("cidr", "10.0.0.0/24"),
    ];
    let preview = visitor
        .post("/ui/allocations/new", &pressing(&fields, "preview"))
        .await;
    preview.shows(&["10.0.0.0/24", "251 usable, from pool primary"]);
    let form = visitor
        .get("/ui/reservations/new?vrf=default&cidr=10.0.0.0/24")
        .await;
    form.shows(&[
        "name=\"cidr\" value=\"10.0.0.0/24\"",
        "name=\"vrf\" value=\"default\"",
    ]);
    let form = visitor
        .get("/ui/allocations/new?vpc=prod&profile=node-pod")
        .await;
    form.shows(&[
        "name=\"vpc\" value=\"prod\"",
        "name=\"profile\" value=\"node-pod\"",
    ]);
}

#[tokio::test]
async fn space_is_asked_for_in_every_way_that_the_api_has() {
    let visitor = Visitor::signed_in().await;
    let sql = "update pool set default_prefix_length = 25, labels = '{\"tier\": \"a\"}' where name = 'primary'";
    sqlx::query(sql).execute(&visitor.pool).await.unwrap();
    for (fields, block) in [
        (
            vec![("pools", "nothing-yet\r\nprimary"), ("hosts", "5")],
            None,
        ),
        (
            vec![("pools", "primary"), ("by", "default")],
            Some("10.0.0.0/25"),
        ),
        (
            vec![
                ("pool_selector", "tier=a"),
                ("hosts", "50"),
                ("exclude_cidrs", "10.0.0.0/24"),
            ],
            Some("10.0.1.0/26"),
        ),
        (
            vec![("profile", "node-pod"), ("hosts", "50")],
            Some("100.64.0.0/21"),
        ),
        (vec![("profile", "nothing"), ("hosts", "50")], None),
        (
            vec![
                ("pools", "primary"),
                ("pool_selector", "tier=a"),
                ("hosts", "50"),
            ],
            None,
        ),
        (vec![("by", "default")], None),
    ] {
        let mut all = vec![("vpc", "prod"), ("action", "preview")];
        all.extend(fields);
        let reply = visitor.post("/ui/allocations/new", &all).await;
        match block {
            Some(block) => reply.shows(&[block, "Nothing is taken yet"]),
            None => assert_eq!(reply.status, 422, "{all:?}: {}", reply.text),
        }
    }
    assert_eq!(visitor.count("allocation").await, 0);
}

#[tokio::test]
async fn forms_that_arrive_together_make_one_thing() {
    let visitor = Visitor::signed_in().await;
    for case in &CASES {
        let new = format!("{}/new", case.path);
        let before = visitor.count(case.table).await;
        let fields = pressing(case.new, "confirm");
        let replies = futures::future::join_all((0..6).map(|_| visitor.post(&new, &fields))).await;
        for reply in replies {
            assert!(matches!(reply.status, 200 | 303), "{new}: {}", reply.text);
        }
        assert_eq!(visitor.count(case.table).await, before + 1, "{new}");
        // Of several who change it, one does.
        let page = made(&visitor, case).await;
        let edit = format!("{page}/edit");
        let revision = visitor.get(&edit).await.input("revision");
        let mut fields = pressing(case.change, "confirm");
        fields.push(("revision", &revision));
        let replies = futures::future::join_all((0..4).map(|_| visitor.post(&edit, &fields))).await;
        let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
        assert_eq!(
            statuses.iter().filter(|status| **status == 303).count(),
            1,
            "{edit}: {statuses:?}"
        );
        assert!(
            statuses.iter().all(|status| [303, 412].contains(status)),
            "{statuses:?}"
        );
    }
}

#[tokio::test]
async fn who_was_faster_between_the_preview_and_its_confirmation_is_named() {
    let visitor = Visitor::signed_in().await;
    let new = "/ui/reservations/new";
    let fields = [("cidr", "10.0.0.0/24"), ("reason", "mine")];
    let preview = visitor.post(new, &pressing(&fields, "preview")).await;
    preview.shows(&[
        "taken out of the pool &#34;primary&#34;",
        "Create reservation</button>",
    ]);
    visitor
        .allocate(&[("vpc", "prod"), ("name", "eks"), ("hosts", "500")])
        .await;
    let reply = press(&visitor, new, &preview, "confirm").await;
    assert_eq!(reply.status, 422, "{}", reply.text);
    reply.shows(&[
        "cidr-problem",
        "prod/eks",
        "value=\"10.0.0.0/24\"",
        ">\nmine</textarea>",
    ]);
    assert_eq!(visitor.count("reservation").await, 0);
    // The same of a deletion: what was empty is in use by now.
    let fields = [("name", "lab"), ("ranges", "192.168.0.0/20")];
    visitor
        .post("/ui/pools/new", &pressing(&fields, "confirm"))
        .await;
    let delete = format!("{}/delete", visitor.pool_path("lab").await);
    let confirmation = visitor.get(&delete).await;
    visitor
        .allocate(&[
            ("vpc", "prod"),
            ("name", "lab"),
            ("hosts", "5"),
            ("pools", "lab"),
        ])
        .await;
    let reply = press(&visitor, &delete, &confirmation, "confirm").await;
    assert_eq!(reply.status, 409, "{}", reply.text);
    reply.shows(&["prod/lab"]);
    reply.does_not_show("value=\"confirm\"");
}

#[tokio::test]
async fn who_may_only_plan_sees_what_a_request_would_get() {
    let visitor = Visitor::signed_in().await;
    let planner = signed_in_as(&visitor, &[("name", "planner"), ("roles", "planner")]).await;
    let fields = [("vpc", "prod"), ("hosts", "500")];
    let path = "/ui/allocations/new";
    let preview = planner.post(path, &pressing(&fields, "preview")).await;
    preview.shows(&["10.0.0.0/23", "100.64.0.0/18"]);
    preview.does_not_show("value=\"confirm\"");
    let refused = planner.post(path, &pressing(&fields, "confirm")).await;
    assert_eq!(refused.status, 403);
    assert_eq!(visitor.count("allocation").await, 0);
    let page = visitor.allocate(&[("vpc", "prod"), ("hosts", "500")]).await;
    let shown = planner.get(&page).await;
    shown.shows(&["10.0.0.0/23"]);
    for link in ["Release…", "/edit"] {
        shown.does_not_show(link);
    }
    planner
        .get("/ui/allocations")
        .await
        .shows(&["New allocation"]);
}

/// Somebody who is signed in with a new token.
pub(crate) async fn signed_in_as(visitor: &Visitor, new: &[(&str, &str)]) -> Visitor {
    let mut fields = new.to_vec();
    fields.push(("action", "confirm"));
    let reply = visitor.post("/ui/tokens/new", &fields).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let start = reply.text.find("tabindex=\"0\">").unwrap() + 13;
    let secret = reply.text[start..].split('<').next().unwrap();
    let mut other = Visitor {
        app: visitor.app.clone(),
        pool: visitor.pool.clone(),
        cookie: None,
        database: None,
    };
    let reply = other.post_raw("/ui/sign-in", &[("key", secret)]).await;
    let cookie = reply.header("set-cookie");
    other.cookie = Some(cookie[..cookie.find(';').unwrap()].to_owned());
    other
}

/// Configurations have texts that end in a line break, and forms have other ones between lines.
#[tokio::test]
async fn a_text_that_nobody_touched_stays_as_it_is() {
    let visitor = Visitor::signed_in().await;
    let description = " two\nlines\n";
    let body = json!({"name": "v", "description": description}).to_string();
    let path = format!(
        "/ui/vpcs/{}",
        crate::maps::made(&visitor, "/vpcs", &body).await
    );
    let opened = visitor.get(&format!("{path}/edit")).await;
    let fields = [
        ("revision", &*opened.input("revision")),
        ("name", "v"),
        ("description", "two\r\nlines\r\n"),
    ];
    let edit = format!("{path}/edit");
    let same = visitor.post(&edit, &pressing(&fields, "preview")).await;
    same.shows(&["This changes nothing."]);
    let mut labelled = fields.to_vec();
    labelled.push(("labels", "a=b"));
    let saved = visitor.post(&edit, &pressing(&labelled, "confirm")).await;
    assert_eq!(saved.status, 303, "{}", saved.text);
    let stored: (String, bool) =
        sqlx::query_as("select description, labels ? 'a' from vpc where name = 'v'")
            .fetch_one(&visitor.pool)
            .await
            .unwrap();
    assert_eq!(stored, (description.to_owned(), true));
}

/// What leads to a page that is refused is not offered.
#[tokio::test]
async fn nobody_is_led_to_what_is_forbidden() {
    let visitor = Visitor::signed_in().await;
    let vpc = crate::maps::made(&visitor, "/vpcs", r#"{"name": "v"}"#).await;
    let vpc = format!("/ui/vpcs/{vpc}");
    visitor.get(&vpc).await.shows(&["New allocation"]);
    let roles = [("name", "auditor"), ("roles", "auditor")];
    let auditor = signed_in_as(&visitor, &roles).await;
    auditor.get(&vpc).await.does_not_show("/ui/allocations/new");
    let events = auditor.get("/ui/events?action=token.create").await;
    events.shows(&["token"]);
    events.does_not_show("href=\"/ui/tokens/");
    visitor
        .get("/ui/events?action=token.create")
        .await
        .shows(&["href=\"/ui/tokens/"]);
    let refused = auditor.get("/ui/tokens").await;
    assert_eq!(refused.status, 403);
    refused.shows(&["What you may do"]);
    refused.does_not_show("All tokens");
}

#[tokio::test]
async fn what_limits_rule_out_is_not_offered_and_is_refused() {
    let visitor = Visitor::signed_in().await;
    let limited = [
        ("name", "limited"),
        ("roles", "operator"),
        ("limit_pools", "default/primary"),
        ("limit_quotas", "default/primary=4096"),
    ];
    let limited = signed_in_as(&visitor, &limited).await;
    // It is told why it sees so little.
    limited.get("/ui/sessions").await.shows(&[
        "within the limits of this token",
        "Only pools",
        "default/primary: 0 of 4,096 addresses",
    ]);
    visitor.get("/ui/sessions").await.does_not_show("limits");
    // And who looks after tokens sees how far it is.
    let spends = [
        ("name", "spends"),
        ("roles", "allocator"),
        ("limit_quotas", "default/primary=4096"),
    ];
    let spends = signed_in_as(&visitor, &spends).await;
    spends
        .allocate(&[("vpc", "v"), ("hosts", "500"), ("pools", "primary")])
        .await;
    let row = sqlx::query("select token_id::text from token where name = 'spends'");
    let id: String = row.fetch_one(&visitor.pool).await.unwrap().get(0);
    visitor.get(&format!("/ui/tokens/{id}")).await.shows(&[
        "Of its quotas are held",
        "default/primary: 512 of 4,096 addresses",
    ]);
    let pools = limited.get("/ui/pools").await;
    pools.shows(&["primary", "/edit\"", "/delete\""]);
    for hidden in ["cgnat", "New pool"] {
        pools.does_not_show(hidden);
    }
    for (path, offered) in [
        ("/ui/vrfs", "New VRF"),
        ("/ui/profiles", "New profile"),
        ("/ui/reservations", "New reservation"),
        ("/ui/vpcs", "New VPC"),
    ] {
        limited.get(path).await.does_not_show(offered);
    }
    for case in CASES
        .iter()
        .filter(|case| !["token", "webhook"].contains(&case.table))
    {
        let before = visitor.count("event").await;
        for action in ["preview", "confirm"] {
            let new = format!("{}/new", case.path);
            let reply = limited.post(&new, &pressing(case.new, action)).await;
            assert_eq!(reply.status, 403, "{new}: {}", reply.text);
        }
        assert_eq!(visitor.count("event").await, before, "{}", case.path);
    }
    // A pool that it does not see is not there.
    let path = visitor.pool_path("cgnat").await;
    for page in ["edit", "delete"] {
        assert_eq!(limited.get(&format!("{path}/{page}")).await.status, 404);
    }
    let path = visitor.pool_path("primary").await;
    let fields = [
        ("name", "primary"),
        ("ranges", "10.0.0.0/16"),
        ("description", "changed by a limited token"),
    ];
    let reply = limited.change(&path, &fields).await;
    assert_eq!(reply.status, 303, "{}", reply.text);
}
