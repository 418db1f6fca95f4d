//! The page of events, and the life of an allocation.

use axum::body::Body;
use serde_json::Value;

use super::{
    nouns::{pressing, signed_in_as, unescaped},
    visitor::{KEY, Reply, Visitor},
};

/// The numbers of the events on a page, in their order.
fn events(page: &Reply) -> Vec<i64> {
    let items = page.text.split(" data-event=\"").skip(1);
    items
        .map(|item| item.split('"').next().unwrap().parse().unwrap())
        .collect()
}

/// Those that the API has.
async fn of_api(visitor: &Visitor, query: &str) -> Vec<i64> {
    let reply = visitor.api(&format!("/api/v1/events?{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let page: Value = serde_json::from_str(&reply.text).unwrap();
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|event| event["id"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn events_are_told_in_words_with_where_they_came_from() {
    let visitor = Visitor::signed_in().await;
    let request = visitor
        .request("POST", "/api/v1/allocations")
        .header("x-api-key", KEY)
        .header("content-type", "application/json")
        .header("ipam-workspace", "shop/prod")
        .header("ipam-run", "run-77")
        .header("ipam-commit", "c0ffee");
    let body = r#"{"vpc": "prod", "name": "eks", "hosts": 500}"#;
    let made = visitor.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.text.split("\"id\":\"").nth(1).unwrap();
    let path = format!("/ui/allocations/{}", id.split('"').next().unwrap());
    let fields = [("vpc", "prod"), ("name", "eks-2"), ("hosts", "500")];
    visitor.change(&path, &fields).await;
    let page = visitor.get("/ui/events").await;
    page.shows(&[
        "<bdi>prod/eks</bdi></a> <bdi>allocated</bdi>",
        "<bdi>prod/eks</bdi></a> <bdi>renamed to eks-2</bdi>",
        &format!("href=\"{path}\""),
        "workspace <bdi>shop/prod</bdi>",
        "run <bdi>run-77</bdi>",
        "commit <bdi>c0ffee</bdi>",
        made.header("x-request-id"),
        "<code>allocation.update</code>",
        "<bdi>signed in</bdi>",
    ]);
    // What an event does not name itself is called as it was.
    visitor
        .change(
            &path,
            &[
                ("vpc", "prod"),
                ("name", "eks-2"),
                ("hosts", "500"),
                ("description", "d"),
            ],
        )
        .await;
    visitor
        .get("/ui/events")
        .await
        .shows(&["<bdi>prod/eks-2</bdi></a> <bdi>description changed</bdi>"]);
    // What was before, and after.
    let details = page.text.find("<th scope=\"row\">name</th>").unwrap();
    let row = page.text[details..].split("</tr>").next().unwrap();
    assert!(
        row.contains(">eks</bdi>") && row.contains(">eks-2</bdi>"),
        "{row}"
    );
    let page = visitor.get("/ui/events").await;
    assert_eq!(events(&page), of_api(&visitor, "limit=1000").await);
}

#[tokio::test]
async fn the_page_finds_what_the_api_finds() {
    let visitor = Visitor::signed_in().await;
    for name in ["eks", "gke"] {
        visitor
            .allocate(&[("vpc", "prod"), ("name", name), ("hosts", "50")])
            .await;
    }
    visitor
        .allocate(&[("vpc", "gke"), ("name", "x"), ("hosts", "50")])
        .await;
    let id: uuid::Uuid =
        sqlx::query_scalar("select allocation_id from allocation where name = 'eks'")
            .fetch_one(&visitor.pool)
            .await
            .unwrap();
    for (query, api, some) in [
        ("action=allocation.create", "action=allocation.create", true),
        (
            "action=allocation.release",
            "action=allocation.release",
            false,
        ),
        (
            "actor=admin&action=vpc.create",
            "actor=admin&action=vpc.create",
            true,
        ),
        ("actor=token/nobody", "actor=token/nobody", false),
        ("from=2h&action=vpc.create", "action=vpc.create", true),
        ("until=2001-01-01", "before=2001-01-01T00:00:00Z", false),
        ("until=2h+ago", "before=2001-01-01T00:00:00Z", false),
        ("from=2001-01-01&until=2100-01-01+10:00", "limit=100", true),
    ] {
        let page = visitor.get(&format!("/ui/events?{query}")).await;
        assert_eq!(events(&page), of_api(&visitor, api).await, "{query}");
        assert_eq!(!events(&page).is_empty(), some, "{query}");
        if !some {
            page.shows(&["Nothing was found."]);
        }
    }
    // What something is about is found by its id, or by its name.
    for subject in [id.to_string(), "prod/eks".to_owned(), "EKS".to_lowercase()] {
        let page = visitor.get(&format!("/ui/events?subject={subject}")).await;
        assert_eq!(
            events(&page),
            of_api(&visitor, &format!("subject={id}")).await,
            "{subject}"
        );
        assert!(!events(&page).is_empty());
        page.shows(&[&format!("GET /api/v1/events?subject={id}&#38;limit=1000")]);
        page.shows(&[&format!("ipam events --subject &#39;{id}&#39; -o csv")]);
    }
    let several = visitor.get("/ui/events?subject=gke&action=x").await;
    several.shows(&[
        "Several things have this name",
        "<bdi>vpc gke",
        "<bdi>allocation prod/gke",
    ]);
    assert!(events(&several).is_empty());
    for (query, text) in [
        (
            "subject=nothing-like-it",
            "Nothing has exactly this name now",
        ),
        ("from=soon", "id=\"from-problem\""),
        ("until=7", "id=\"until-problem\""),
        ("actor=%00", "id=\"actor-problem\""),
        ("subject=%00", "id=\"subject-problem\""),
        ("before=x", "class=\"wrong\""),
    ] {
        let page = visitor.get(&format!("/ui/events?{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        page.shows(&[text, "No search was made."]);
        assert!(events(&page).is_empty());
    }
}

#[tokio::test]
async fn events_come_in_pages_and_only_what_is_now_goes_on_by_itself() {
    let visitor = Visitor::signed_in().await;
    for index in 0..60 {
        visitor
            .allocate(&[
                ("vpc", &format!("vpc-{index}")),
                ("name", "a"),
                ("hosts", "5"),
            ])
            .await;
    }
    let first = "/ui/events?actor=admin".to_owned();
    let (mut next, mut seen, mut pages) = (Some(first), Vec::new(), 0);
    while let Some(path) = next.take() {
        let page = visitor.get(&path).await;
        seen.extend(events(&page));
        assert_eq!(page.text.contains("data-live"), pages == 0, "{path}");
        next = page.text.find("rel=\"next\"").map(|end| {
            let start = page.text[..end].rfind("href=\"").unwrap() + 6;
            unescaped(page.text[start..].split('"').next().unwrap())
        });
        pages += 1;
    }
    assert_eq!(seen, of_api(&visitor, "limit=1000").await);
    assert!(pages >= 3, "{pages}");
    for (query, follows) in [
        ("", true),
        ("action=vpc.create&from=1h", true),
        ("pause=1", false),
        ("until=now", true),
        ("until=2100-01-01", false),
        ("from=soon", false),
    ] {
        let page = visitor.get(&format!("/ui/events?{query}")).await;
        assert_eq!(page.text.contains("data-live"), follows, "{query}");
    }
    visitor
        .get("/ui/events?action=vpc.create")
        .await
        .shows(&["href=\"/ui/events?action=vpc.create&#38;pause=1\">Pause</a>"]);
    visitor
        .get("/ui/events?action=vpc.create&pause=1")
        .await
        .shows(&["href=\"/ui/events?action=vpc.create\">Follow</a>"]);
}

#[tokio::test]
async fn who_may_not_read_the_log_sees_none_of_it() {
    let visitor = Visitor::signed_in().await;
    for vpc in ["team-a-1", "team-b-1"] {
        visitor
            .allocate(&[("vpc", vpc), ("name", "n"), ("hosts", "5")])
            .await;
    }
    let reader = signed_in_as(&visitor, &[("name", "reader"), ("roles", "reader")]).await;
    let refused = reader.get("/ui/events").await;
    assert_eq!(refused.status, 403);
    refused.does_not_show("/ui/events\"");
    refused.does_not_show("team-a-1");
    let auditor = signed_in_as(&visitor, &[("name", "auditor"), ("roles", "auditor")]).await;
    auditor.get("/ui/events").await.shows(&[
        "team-a-1",
        "team-b-1",
        "href=\"/ui/events\" aria-current=\"page\"",
    ]);
    let limited = [
        ("name", "limited"),
        ("roles", "auditor"),
        ("limit_vpcs", "team-a-*"),
    ];
    let limited = signed_in_as(&visitor, &limited).await;
    for path in ["/ui/events", "/ui/events?subject=team-b-1"] {
        let page = limited.get(path).await;
        assert_eq!(page.status, 200);
        page.does_not_show("team-b-1/n");
    }
    limited.get("/ui/events").await.shows(&["team-a-1"]);
}

#[tokio::test]
async fn what_an_event_says_stays_text() {
    const EVIL: &str = "\"><img src=x onerror=alert(1)>\u{202e}";
    let visitor = Visitor::signed_in().await;
    let page = visitor
        .allocate(&[
            ("vpc", "a"),
            ("name", "b"),
            ("hosts", "5"),
            ("description", EVIL),
        ])
        .await;
    let sql = "insert into event (action, subject, actor, request_id, detail, source)
        select 'allocation.update', subject, $1::text, request_id, jsonb_build_object('name', $1::text, $1, $1, 'before', jsonb_build_object('name', $1)),
            jsonb_build_object('workspace', $1, 'run', $1) from event where action = 'allocation.create' limit 1";
    sqlx::query(sql)
        .bind(EVIL)
        .execute(&visitor.pool)
        .await
        .unwrap();
    for path in ["/ui/events", &page] {
        let reply = visitor.get(path).await;
        assert_eq!(reply.status, 200);
        reply.does_not_show("<img src=x");
        reply.shows(&["&#60;img src=x"]);
    }
}

#[tokio::test]
async fn an_allocation_shows_its_whole_life_to_its_end_and_after() {
    let visitor = Visitor::signed_in().await;
    sqlx::query("update pool set release_cooldown_seconds = 604800 where name = 'primary'")
        .execute(&visitor.pool)
        .await
        .unwrap();
    let path = visitor
        .allocate(&[("vpc", "prod"), ("name", "eks"), ("hosts", "500")])
        .await;
    let fields = [("vpc", "prod"), ("name", "eks-2"), ("hosts", "100")];
    visitor.change(&path, &fields).await;
    let page = visitor.get(&path).await;
    let life = |page: &Reply| {
        let start = page.text.find("<ol class=\"life\">").expect("a life");
        page.text[start..].split("</ol>").next().unwrap().to_owned()
    };
    let steps = |life: &str| -> Vec<String> {
        let steps = life.split("<b>").skip(1);
        steps
            .map(|step| step.split("</b>").next().unwrap().to_owned())
            .collect()
    };
    let told = steps(&life(&page));
    assert_eq!(told.first().unwrap(), "allocated");
    assert!(told.iter().any(|step| step == "resized"), "{told:?}");
    assert_eq!(told.last().unwrap(), "has its ranges");
    let revision = visitor
        .get(&format!("{path}/release"))
        .await
        .input("revision");
    let fields = pressing(&[("revision", revision.as_str())], "confirm");
    visitor
        .post(&format!("{path}/release"), &fields)
        .await
        .leads_to("/ui/allocations?notice=released");
    let gone = visitor.get(&path).await;
    assert_eq!(gone.status, 410);
    gone.shows(&[
        "10.0.0.0/25",
        "by <bdi>admin</bdi>",
        "Address space",
        gone.header("x-request-id"),
    ]);
    let told = steps(&life(&gone));
    let end = &told[told.len() - 3..];
    assert_eq!(
        end,
        [
            "released",
            "cools down: only the same name gets it back",
            "free for everybody"
        ]
    );
    // Once that is over, nothing is said of a cooldown.
    sqlx::query("delete from cooldown")
        .execute(&visitor.pool)
        .await
        .unwrap();
    let told = steps(&life(&visitor.get(&path).await));
    assert!(!told.iter().any(|step| step.contains("cools")), "{told:?}");
    assert!(
        told.last().unwrap().starts_with("free, or somebody"),
        "{told:?}"
    );
}
