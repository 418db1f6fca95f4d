//! What else is done with webhooks: a new secret, going on, a test.

use super::{
    nouns::signed_in_as,
    visitor::{Reply, Visitor},
};

async fn webhook(visitor: &Visitor) -> (String, String) {
    let fields = [
        ("name", "siem"),
        ("url", "https://siem.example/ipam"),
        ("enabled", "on"),
        ("action", "confirm"),
    ];
    let page = visitor.post("/ui/webhooks/new", &fields).await;
    assert_eq!(page.status, 200, "{}", page.text);
    let id: String = sqlx::query_scalar("select webhook_id::text from webhook")
        .fetch_one(&visitor.pool)
        .await
        .unwrap();
    (format!("/ui/webhooks/{id}"), secret(&page))
}

fn secret(page: &Reply) -> String {
    let start = page.text.find("tabindex=\"0\">whsec_").expect(&page.text) + 13;
    page.text[start..].split('<').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_new_secret_is_shown_once_and_signs_beside_the_old_one_for_a_while() {
    let visitor = Visitor::signed_in().await;
    let (path, first) = webhook(&visitor).await;
    // Lists find a part of a name.
    visitor.get("/ui/webhooks?name=IE").await.shows(&[&path]);
    visitor
        .get("/ui/webhooks?name=siemens")
        .await
        .does_not_show(&path);
    let page = visitor.get(&path).await;
    page.shows(&["Behind", "working", "New secret…"]);
    page.does_not_show("whsec_");
    let rotate = format!("{path}/rotate");
    visitor
        .get(&rotate)
        .await
        .shows(&["also sign for", "a day", "Make a new secret</button>"]);
    for fields in [
        vec![("overlap", "3600")],
        vec![("overlap", "3600"), ("action", "preview")],
        vec![("overlap", "17"), ("action", "confirm")],
        vec![("action", "confirm")],
    ] {
        let reply = visitor.post(&rotate, &fields).await;
        assert_eq!(reply.status, 200);
        reply.does_not_show("whsec_");
    }
    assert_eq!(visitor.count("webhook_secret").await, 1);
    let revision = visitor.get(&rotate).await.input("revision");
    let hour = [
        ("overlap", "3600"),
        ("revision", &revision),
        ("action", "confirm"),
    ];
    let rotated = visitor.post(&rotate, &hour).await;
    let second = secret(&rotated);
    assert_ne!(first, second);
    rotated.shows(&["the server stores nothing"]);
    // Sent again, as by loading that page once more, it makes no other.
    let again = visitor.post(&rotate, &hour).await;
    assert_eq!(again.status, 412);
    again.shows(&["no secret was made"]);
    again.does_not_show("whsec_");
    assert_eq!(visitor.count("webhook_secret").await, 2);
    let page = visitor.get(&path).await;
    page.shows(&["Old secrets sign until", "given a new secret"]);
    page.does_not_show("whsec_");
    // With one that has leaked, only the new one signs.
    let revision = visitor.get(&rotate).await.input("revision");
    let now = [
        ("overlap", "0"),
        ("revision", &revision),
        ("action", "confirm"),
    ];
    visitor.post(&rotate, &now).await;
    visitor
        .get(&path)
        .await
        .does_not_show("Old secrets sign until");
}

#[tokio::test]
async fn a_webhook_goes_on_where_it_is_told_to_and_says_what_a_test_came_to() {
    let visitor = Visitor::signed_in().await;
    let (path, _) = webhook(&visitor).await;
    sqlx::query("update webhook_delivery set stopped_at = now(), failing_since = now(), last_error = 'it said 410'")
        .execute(&visitor.pool)
        .await
        .unwrap();
    visitor
        .get("/ui/webhooks")
        .await
        .shows(&["stopped", "it said 410"]);
    visitor
        .get(&path)
        .await
        .shows(&["stopped", "it said 410", "Failing since"]);
    let resume = format!("{path}/resume");
    visitor
        .get(&resume)
        .await
        .shows(&["it said 410", "Go on</button>"]);
    for (after, status) in [("many", 200), ("99999", 422), ("-1", 422)] {
        let reply = visitor
            .post(&resume, &[("after", after), ("action", "confirm")])
            .await;
        assert_eq!(reply.status, status, "{after}: {}", reply.text);
    }
    visitor
        .post(&resume, &[("after", "")])
        .await
        .shows(&["Go on</button>"]);
    visitor.get(&path).await.shows(&["stopped"]);
    visitor
        .post(&resume, &[("after", "1"), ("action", "confirm")])
        .await
        .leads_to(&format!("{path}?notice=resumed"));
    let page = visitor.get(&format!("{path}?notice=resumed")).await;
    page.shows(&["It goes on.", "up to event 1<", "goes on"]);
    page.does_not_show(">stopped<");
    let test = format!("{path}/test");
    visitor
        .get(&test)
        .await
        .shows(&["signed request without events", "Send it</button>"]);
    let tested = visitor.post(&test, &[("action", "confirm")]).await;
    assert_eq!(tested.status, 200);
    tested.shows(&["It failed after", "Send it again</button>"]);
}

#[tokio::test]
async fn auditors_look_at_webhooks_and_change_nothing() {
    let visitor = Visitor::signed_in().await;
    let (path, _) = webhook(&visitor).await;
    let auditor = signed_in_as(&visitor, &[("name", "auditor"), ("roles", "auditor")]).await;
    auditor
        .get("/ui/webhooks")
        .await
        .does_not_show("New webhook");
    let page = auditor.get(&path).await;
    page.shows(&["https://siem.example/ipam", "Behind"]);
    for link in ["/edit", "/delete", "/rotate", "/resume", "/test"] {
        page.does_not_show(link);
        assert_eq!(auditor.get(&format!("{path}{link}")).await.status, 403);
        let sent = auditor
            .post(&format!("{path}{link}"), &[("action", "confirm")])
            .await;
        assert_eq!(sent.status, 403, "{link}");
    }
    let reader = signed_in_as(&visitor, &[("name", "reader"), ("roles", "reader")]).await;
    assert_eq!(reader.get("/ui/webhooks").await.status, 403);
    reader.get("/").await.does_not_show("/ui/webhooks");
    assert_eq!(visitor.count("webhook_secret").await, 1);
}
