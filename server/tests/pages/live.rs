//! Pages that show what others do.

use std::time::{Duration, Instant};

use axum::{Router, body::Body};
use http_body_util::BodyExt as _;
use ipam_server::{
    app::App,
    auth::Auth,
    domain::{Ipam, seal::Sealer},
    router::router,
};
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::visitor::{KEY, Visitor};

/// A visitor whose server tells what happens.
async fn watching() -> (Visitor, tokio::task::JoinHandle<()>) {
    let mut visitor = Visitor::signed_in().await;
    let ipam = Ipam::new(visitor.pool.clone());
    let app: Router = router(App::new(ipam.clone(), Auth::new(KEY)));
    visitor.app = app;
    let sealer = Sealer::default().run(ipam, Duration::from_millis(10));
    (visitor, tokio::spawn(sealer))
}

async fn open(visitor: &Visitor) -> Body {
    let request = visitor
        .request("GET", "/ui/live")
        .body(Body::empty())
        .unwrap();
    let response = visitor.app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body()
}

/// What is said next; none at the end.
async fn said(stream: &mut Body) -> Option<String> {
    let frame = timeout(Duration::from_secs(20), stream.frame())
        .await
        .expect("something is said");
    let data = frame?.unwrap().into_data().unwrap();
    Some(String::from_utf8(data.to_vec()).unwrap())
}

#[tokio::test]
async fn an_open_page_hears_that_something_happened_and_not_what() {
    let (visitor, sealing) = watching().await;
    let mut stream = open(&visitor).await;
    assert_eq!(said(&mut stream).await.unwrap(), ": begun\n\n");
    visitor
        .allocate(&[("vpc", "secret-name"), ("by", "hosts"), ("hosts", "5")])
        .await;
    let event = said(&mut stream).await.unwrap();
    assert!(
        event.starts_with("data: ") && !event.contains("secret"),
        "{event}"
    );
    // It ends with the session, and soon.
    visitor
        .post("/ui/sign-out", &[])
        .await
        .leads_to("/ui/sign-in");
    let begin = Instant::now();
    while said(&mut stream).await.is_some() {}
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    let request = visitor
        .request("GET", "/ui/live")
        .body(Body::empty())
        .unwrap();
    assert_eq!(visitor.send(request).await.status, 303);
    sealing.abort();
}

#[tokio::test]
async fn a_page_that_only_waits_does_not_keep_its_session_alive() {
    let (visitor, sealing) = watching().await;
    let mut stream = open(&visitor).await;
    said(&mut stream).await.unwrap();
    // Nor does a stream that begins anew, or a page that shows itself anew; what somebody does, does.
    let used_lately = async |is_anew: bool, path: &str| {
        sqlx::query("update session set last_used_at = now() - interval '10 min'")
            .execute(&visitor.pool)
            .await
            .unwrap();
        // That a session was used is written at most once a minute by one server, so this is another one.
        let app = router(App::new(Ipam::new(visitor.pool.clone()), Auth::new(KEY)));
        let mut request = visitor.request("GET", path);
        if is_anew {
            request = request.header("ipam-anew", "1");
        }
        let request = request.body(Body::empty()).unwrap();
        let reply = app.oneshot(request).await.unwrap();
        assert_eq!(reply.status(), 200, "{path}");
        // The note comes aside from the request.
        tokio::time::sleep(Duration::from_millis(500)).await;
        sqlx::query_scalar::<_, bool>("select last_used_at > now() - interval '9 min' from session")
            .fetch_one(&visitor.pool)
            .await
            .unwrap()
    };
    assert!(!used_lately(false, "/ui/live").await);
    assert!(!used_lately(true, "/").await);
    assert!(used_lately(false, "/").await);
    sqlx::query("update session set last_used_at = now() - interval '31 min'")
        .execute(&visitor.pool)
        .await
        .unwrap();
    while said(&mut stream).await.is_some() {}
    let used: bool =
        sqlx::query_scalar("select max(last_used_at) < now() - interval '30 min' from session")
            .fetch_one(&visitor.pool)
            .await
            .unwrap();
    assert!(used);
    sealing.abort();
}
