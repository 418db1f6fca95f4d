//! Pages that say why there is no page; and that a session that has ended has ended.

use std::time::{Duration, Instant};

use axum::body::Body;

use super::visitor::{HOST, Visitor};

#[tokio::test]
async fn who_is_signed_in_finds_a_way_on() {
    let visitor = Visitor::signed_in().await;
    for (path, searched) in [
        ("/ui/nothing-like-it", "nothing-like-it"),
        ("/ui/allocations/my%20name", "my name"),
        ("/ui/allocations/x%00/edit", ""),
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        page.shows(&[
            "Address space",
            "<a href=\"/ui/vpcs\"",
            "Not found",
            "To the overview",
            page.header("x-request-id"),
            &format!("id=\"find-here\" name=\"q\" type=\"search\" value=\"{searched}\""),
            &format!("id=\"find\" name=\"q\" type=\"search\" value=\"{searched}\""),
        ]);
    }
    visitor
        .get("/ui/allocations/nothing")
        .await
        .shows(&["href=\"/ui/allocations\">All allocations</a>"]);
    // Where somebody came from, as long as that is a page of ours.
    for (from, is_ours) in [
        (format!("http://{HOST}/ui/vpcs?name=a"), true),
        ("https://evil.example/ui/vpcs?name=a".to_owned(), false),
    ] {
        let request = visitor
            .request("GET", "/ui/nothing")
            .header("referer", from);
        let page = visitor.send(request.body(Body::empty()).unwrap()).await;
        let link = "href=\"/ui/vpcs?name=a\">Back</a>";
        assert_eq!(page.text.contains(link), is_ours);
        page.does_not_show("evil");
    }
    // What was deleted is known, and when.
    let pool = [
        ("name", "lab"),
        ("ranges", "192.168.0.0/20"),
        ("action", "confirm"),
    ];
    visitor.post("/ui/pools/new", &pool).await;
    let path = visitor.pool_path("lab").await;
    let revision = visitor
        .get(&format!("{path}/delete"))
        .await
        .input("revision");
    visitor
        .post(&format!("{path}/delete"), &[("revision", &revision)])
        .await;
    let gone = visitor.get(&format!("{path}/edit")).await;
    assert_eq!(gone.status, 410);
    let id = path.rsplit('/').next().unwrap();
    gone.shows(&[
        "That was <time datetime=\"",
        &format!("href=\"/ui/events?subject={id}\""),
        "All pools",
    ]);
}

#[tokio::test]
async fn nobody_else_is_shown_more_than_the_failure() {
    let visitor = Visitor::new().await;
    let page = visitor.get("/ui/nothing/to/see").await;
    assert_eq!(page.status, 404);
    page.shows(&["Not found", page.header("x-request-id")]);
    for text in ["Address space", "Sign out", "csrf", "primary"] {
        page.does_not_show(text);
    }
}

#[tokio::test]
async fn what_is_above_all_pages_leads_to_the_first() {
    let visitor = Visitor::signed_in().await;
    for path in ["/ui", "/ui/"] {
        let page = visitor.get(path).await;
        assert_eq!((page.status, page.header("location")), (308, "/"), "{path}");
    }
}

#[tokio::test]
async fn a_failure_is_told_soon_though_the_database_is_away() {
    let mut visitor = Visitor::signed_in().await;
    assert_eq!(visitor.get("/ui/nothing").await.status, 404);
    // The session is still known for a moment.
    let database = visitor.database.take();
    tokio::task::spawn_blocking(move || drop(database))
        .await
        .unwrap();
    for path in ["/ui/nothing", "/ui/vpcs", "/ui/events", "/"] {
        let begin = Instant::now();
        let page = visitor.get(path).await;
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "{path}: {:?}",
            begin.elapsed()
        );
        assert!(
            matches!(page.status, 404 | 500 | 503),
            "{path}: {}",
            page.status
        );
        page.shows(&[page.header("x-request-id"), "</html>"]);
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_and_not_only_the_cookie() {
    let visitor = Visitor::signed_in().await;
    let other = {
        let mut other = Visitor {
            app: visitor.app.clone(),
            pool: visitor.pool.clone(),
            cookie: None,
            database: None,
        };
        other.sign_in().await;
        other
    };
    assert_eq!(visitor.count("session").await, 2);
    visitor.get("/").await.shows(&["href=\"/ui/sessions\""]);
    visitor
        .post("/ui/sign-out", &[])
        .await
        .leads_to("/ui/sign-in");
    // Whoever kept the cookie has nothing, at once.
    for path in ["/", "/ui/vpcs", "/ui/sessions"] {
        assert_eq!(visitor.get(path).await.status, 303, "{path}");
    }
    assert_eq!(visitor.count("session").await, 1);
    assert_eq!(other.get("/").await.status, 200);
}
