//! Maps, what fits where, and the search.

use std::time::Duration;

use sqlx::Row as _;

use super::visitor::{KEY, Reply, Visitor};

/// A change through the API.
pub(crate) async fn api(visitor: &Visitor, method: &str, path: &str, body: &str) -> Reply {
    let request = visitor
        .request(method, &format!("/api/v1{path}"))
        .header("x-api-key", KEY)
        .header("content-type", "application/json");
    let reply = visitor
        .send(request.body(body.to_owned().into()).unwrap())
        .await;
    assert!(reply.status < 300, "{method} {path}: {}", reply.text);
    reply
}

pub(crate) async fn made(visitor: &Visitor, path: &str, body: &str) -> String {
    let reply = api(visitor, "POST", path, body).await;
    let json: serde_json::Value = serde_json::from_str(&reply.text).unwrap();
    json["id"].as_str().unwrap().to_owned()
}

/// The same browser, signed in with a token of such limits.
pub(crate) async fn limited(mut visitor: Visitor, limits: &str) -> Visitor {
    let body = format!(r#"{{"name": "t", "roles": ["reader"], "limits": {limits}}}"#);
    let reply = api(&visitor, "POST", "/tokens", &body).await;
    let json: serde_json::Value = serde_json::from_str(&reply.text).unwrap();
    let fields = [("key", json["secret"].as_str().unwrap())];
    let signed_in = visitor.post_raw("/ui/sign-in", &fields).await;
    signed_in.leads_to("/");
    let cookie = signed_in.header("set-cookie");
    visitor.cookie = Some(cookie[..cookie.find(';').unwrap()].to_owned());
    visitor
}

/// One of everything that lies in a pool.
pub(crate) async fn varied() -> (Visitor, String) {
    let visitor = Visitor::signed_in().await;
    let pool = r#"{"name": "p", "ranges": ["10.7.0.0/16"], "min_prefix_length": 17, "max_prefix_length": 26,
        "release_cooldown_seconds": 86400}"#;
    let pool = made(&visitor, "/pools", pool).await;
    for (name, cidr) in [("web", "10.7.0.0/20"), ("gone", "10.7.16.0/20")] {
        let body = format!(
            r#"{{"vpc": "v", "name": "{name}", "pools": ["p"], "cidr": "{cidr}", "labels": {{"team": "t-{name}"}}}}"#
        );
        let id = made(&visitor, "/allocations", &body).await;
        if name == "gone" {
            api(&visitor, "DELETE", &format!("/allocations/{id}"), "").await;
        }
    }
    api(
        &visitor,
        "POST",
        "/reservations",
        r#"{"cidr": "10.7.32.0/20", "reason": "on-prem <b>"}"#,
    )
    .await;
    let child = r#"{"name": "child", "parent": "p", "ranges": ["10.7.48.0/20"], "min_prefix_length": 21, "max_prefix_length": 26}"#;
    api(&visitor, "POST", "/pools", child).await;
    (visitor, format!("/ui/pools/{pool}"))
}

#[tokio::test]
async fn every_state_has_its_looks_and_leads_to_what_it_is() {
    let (visitor, pool) = varied().await;
    let page = visitor.get(&pool).await;
    page.shows(&[
        "<title>10.7.0.0/20 v / web</title>",
        "<title>10.7.16.0/20 cooling down, free at ",
        "<title>10.7.32.0/20 reserved: on-prem &#60;b&#62;</title>",
        "<title>10.7.48.0/20 pool child</title>",
        "<title>10.7.64.0/18 free</title>",
        "<title>10.7.128.0/17 free</title>",
        "class=\"hole cooling\"",
        "fill=\"url(#p-reserved)\"",
        "class=\"child\"",
        "child pool",
        "cooling down",
    ]);
    // What is in the picture is in the table, with the page of the child.
    let row = sqlx::query("select pool_id::text from pool where name = 'child'");
    let child: String = row.fetch_one(&visitor.pool).await.unwrap().get(0);
    page.shows(&[&format!("href=\"/ui/pools/{child}\"")]);
    // One stop of the tab key, all others by arrow keys.
    let map = &page.text[page.text.find("aria-label=\"Map of").unwrap()..];
    let map = &map[..map.find("</svg>\n  </div>").unwrap()];
    assert_eq!(map.matches("tabindex=\"0\"").count(), 1);
    assert!(map.matches("tabindex=\"-1\"").count() > 4);

    let close = |cidr: &str| format!("{pool}?pick={cidr}");
    let free = visitor.get(&close("10.7.64.0/20")).await;
    free.shows(&[
        "<bdi>Free</bdi>",
        "/ui/allocations/new?vrf=default&#38;pool=p&#38;cidr=10.7.64.0/20",
        "/ui/reservations/new?vrf=default&#38;cidr=10.7.64.0/20",
    ]);
    visitor
        .get(&close("10.7.1.0/24"))
        .await
        .shows(&["Allocated to v/web", "t-web"]);
    visitor
        .get(&close("10.7.16.7"))
        .await
        .shows(&["Cooling down", "<bdi>v/gone</bdi>"]);
    visitor
        .get(&close("10.7.32.0/24"))
        .await
        .shows(&["<bdi>Reserved</bdi>", "on-prem"]);
    visitor
        .get(&close("10.7.0.0/16"))
        .await
        .shows(&["Partly in use"]);
    visitor
        .get(&close("192.0.2.1"))
        .await
        .shows(&["In no pool"]);
    // In the range of a child pool, the child's is what counts.
    let inside = visitor
        .get("/ui/map?at=10.7.48.0/20&pick=10.7.48.0/24")
        .await;
    inside.shows(&["<bdi>Free</bdi>", "pool=child"]);
    // A network that is none, and a time that is none, are said to be.
    for query in [
        "at=10.7.0.1/16",
        "pick=x",
        "time=yesterday",
        "at=::ffff:10.0.0.1",
    ] {
        assert_eq!(
            visitor.get(&format!("{pool}?{query}")).await.status,
            400,
            "{query}"
        );
    }
    for query in [
        "at=2001:db8::/32",
        "by=label:none",
        "by=x",
        "view=x",
        "time=9999-12-31T00:00:00Z",
        "at=10.0.0.0/8",
        "into=10.7.0.0/26",
    ] {
        assert_eq!(
            visitor.get(&format!("{pool}?{query}")).await.status,
            200,
            "{query}"
        );
    }
    assert_eq!(visitor.get("/ui/map?vrf=none").await.status, 404);
}

#[tokio::test]
async fn a_map_is_zoomed_coloured_and_laid_out() {
    let (visitor, pool) = varied().await;
    // A step in is two bits, and never beyond what was meant.
    let zoomed = visitor
        .get(&format!("{pool}?at=10.7.0.0/16&into=10.7.40.0/26"))
        .await;
    zoomed.shows(&["<b class=\"cidr\">10.7.0.0/18</b>", "data-out=\"/ui/pools/"]);
    let label = visitor.get(&format!("{pool}?by=label:team")).await;
    label.shows(&["<bdi>t-web</bdi>", "aria-current=\"true\">team</a>"]);
    visitor
        .get(&format!("{pool}?by=age"))
        .await
        .shows(&["<bdi>last day</bdi>"]);
    visitor
        .get(&format!("{pool}?by=state"))
        .await
        .shows(&["<bdi>allocated</bdi>"]);
    let hilbert = visitor.get(&format!("{pool}?view=hilbert")).await;
    hilbert.shows(&[
        "class=\"hilbert\"",
        "viewBox=\"0 0 704 704\"",
        "along the curve is a /26",
    ]);
    // The whole VRF: the ranges that are cut from no other pool.
    let vrf = visitor.get("/ui/map").await;
    vrf.shows(&[
        "Map of 10.7.0.0/16",
        "Map of 100.64.0.0/10",
        "<title>10.7.48.0/20 pool child</title>",
    ]);
    vrf.does_not_show("Map of 10.7.48.0/20");
    visitor
        .get("/ui/map?at=10.7.48.0/22")
        .await
        .shows(&["Map of 10.7.48.0/22"]);
}

#[tokio::test]
async fn what_fits_is_a_row_for_each_length() {
    let (visitor, pool) = varied().await;
    visitor.get(&pool).await.shows(&[
        "<b class=\"cidr\">/17</b><span class=\"muted small\">1 of 2 free</span>",
        "<b class=\"cidr\">/18</b><span class=\"muted small\">3 of 4 free</span>",
        "<b class=\"cidr\">/22</b><span class=\"muted small\">48 of 64 free</span>",
        "<title>10.7.128.0/17 is free</title>",
    ]);
    // Sizes of which nothing is left are one sentence and not a row each.
    api(
        &visitor,
        "POST",
        "/reservations",
        r#"{"cidr": "10.7.128.0/17", "reason": "r"}"#,
    )
    .await;
    api(
        &visitor,
        "POST",
        "/reservations",
        r#"{"cidr": "10.7.64.0/18", "reason": "r"}"#,
    )
    .await;
    let full = visitor.get(&pool).await;
    full.shows(&[
        "No block of /26 or larger fits any more.",
        "Nothing of these sizes is free.",
    ]);
    full.does_not_show("none fits");
}

/// The cells of a curve are four times as many with each step, so they may be larger than the smallest block.
#[tokio::test]
async fn what_fits_is_the_same_on_a_curve() {
    let visitor = Visitor::signed_in().await;
    let body = r#"{"name": "p", "ranges": ["10.9.0.0/24"], "min_prefix_length": 24, "max_prefix_length": 27}"#;
    let pool = made(&visitor, "/pools", body).await;
    let body = r#"{"vpc": "v", "name": "first", "pools": ["p"], "cidr": "10.9.0.0/27"}"#;
    made(&visitor, "/allocations", body).await;
    for view in ["rows", "hilbert"] {
        let page = visitor.get(&format!("/ui/pools/{pool}?view={view}")).await;
        page.shows(&[
            "<span class=\"muted small\">3 of 4 free</span>",
            "<span class=\"muted small\">7 of 8 free</span>",
            "<title>10.9.0.32/27 is free</title>",
            "<title>10.9.0.64/26 free</title>",
        ]);
        // A gap that is a half of a cell would hide the other half.
        match view {
            "rows" => page.shows(&["<title>10.9.0.32/27 free</title>"]),
            _ => page.does_not_show("<title>10.9.0.32/27 free</title>"),
        }
    }
}

#[tokio::test]
async fn what_an_allocation_gave_back_is_not_shown_as_what_it_has() {
    let (visitor, pool) = varied().await;
    let row = sqlx::query("select allocation_id::text from allocation where name = 'web'");
    let web: String = row.fetch_one(&visitor.pool).await.unwrap().get(0);
    let path = format!("/allocations/{web}");
    api(&visitor, "PATCH", &path, r#"{"prefix_length": 21}"#).await;
    let kept = visitor.get(&format!("{pool}?pick=10.7.0.0/24")).await;
    kept.shows(&["Allocated to v/web", "<dt>Allocation</dt>"]);
    let given_back = visitor.get(&format!("{pool}?pick=10.7.8.0/24")).await;
    given_back.shows(&["Cooling down", "<span class=\"cidr\">10.7.8.0/21</span>"]);
    given_back.does_not_show("<dt>Allocation</dt>");
    given_back.does_not_show("Latest changes");
}

#[tokio::test]
async fn the_past_is_shown_as_it_was() {
    let visitor = Visitor::signed_in().await;
    let body = r#"{"name": "p", "ranges": ["10.7.0.0/20"], "min_prefix_length": 21, "max_prefix_length": 26}"#;
    let pool = made(&visitor, "/pools", body).await;
    let pool = format!("/ui/pools/{pool}");
    let now = async || {
        let row = sqlx::query(
            "select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
        );
        let text: String = row.fetch_one(&visitor.pool).await.unwrap().get(0);
        tokio::time::sleep(Duration::from_millis(20)).await;
        text
    };
    let empty = now().await;
    let first = made(
        &visitor,
        "/allocations",
        r#"{"vpc": "v", "name": "first", "pools": ["p"], "cidr": "10.7.0.0/24"}"#,
    )
    .await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let one = now().await;
    api(&visitor, "DELETE", &format!("/allocations/{first}"), "").await;
    made(
        &visitor,
        "/allocations",
        r#"{"vpc": "v", "name": "second", "pools": ["p"], "cidr": "10.7.0.0/23"}"#,
    )
    .await;
    let at = async |time: &str| visitor.get(&format!("{pool}?time={time}")).await;
    let page = at(&empty).await;
    page.shows(&[
        "As it was at",
        "<title>10.7.0.0/20 free</title>",
        "Nothing: all of it is free.",
    ]);
    let page = at(&one).await;
    page.shows(&[
        "<title>10.7.0.0/24 v / first</title>",
        "<title>10.7.1.0/24 free</title>",
    ]);
    page.does_not_show("v / second");
    // Nothing can be allocated in the past.
    let page = visitor
        .get(&format!("{pool}?time={one}&pick=10.7.8.0/24"))
        .await;
    page.shows(&["<bdi>Free</bdi>"]);
    page.does_not_show("Allocate here");
    let page = visitor.get(&pool).await;
    page.shows(&["<title>10.7.0.0/23 v / second</title>"]);
    page.does_not_show("As it was at");
    // From change to change, and back to now.
    let before = visitor.get(&link(&page, "data-earlier")).await;
    before.shows(&["<title>10.7.0.0/23 v / second</title>", "As it was at"]);
    let before = visitor.get(&link(&before, "data-earlier")).await;
    before.does_not_show("v / second");
}

#[tokio::test]
async fn an_ipv6_range_shows_the_corner_that_is_used() {
    let visitor = Visitor::signed_in().await;
    let body = r#"{"name": "six", "ranges": ["2001:db8::/32"], "min_prefix_length": 48, "max_prefix_length": 64}"#;
    let pool = made(&visitor, "/pools", body).await;
    let pool = format!("/ui/pools/{pool}");
    visitor.get(&pool).await.shows(&["Map of 2001:db8::/32"]);
    for cidr in ["2001:db8:1::/56", "2001:db8:1:100::/56"] {
        let body = format!(r#"{{"vpc": "v", "pools": ["six"], "cidr": "{cidr}"}}"#);
        made(&visitor, "/allocations", &body).await;
    }
    let page = visitor.get(&pool).await;
    page.shows(&[
        "Map of 2001:db8:1::/53",
        "<title>2001:db8:1:100::/56 v</title>",
        "Everything that is in use of <span class=\"cidr\">2001:db8::/32</span> lies here.",
    ]);
    let all = visitor.get(&format!("{pool}?at=2001:db8::/32")).await;
    all.shows(&["Map of 2001:db8::/32"]);
    all.does_not_show("lies here");
    // What is looked at closely is on the map too.
    let near = visitor
        .get(&format!("{pool}?pick=2001:db8:1:8000::/56"))
        .await;
    near.shows(&["Map of 2001:db8::/46", "class=\"picked\""]);
    let outside = visitor.get(&format!("{pool}?pick=192.0.2.1")).await;
    outside.shows(&["Map of 2001:db8:1::/53"]);
    // What is used now says nothing of where something was.
    for query in ["time=2026-01-01T00:00:00Z", "since=2026-01-01T00:00:00Z"] {
        let page = visitor.get(&format!("{pool}?{query}")).await;
        page.shows(&["Map of 2001:db8::/32"]);
        page.does_not_show("lies here");
    }
    // From the corner to the change before, it stays that part.
    let before = visitor.get(&link(&page, "data-earlier")).await;
    before.shows(&["Map of 2001:db8:1::/53", "As it was at"]);
}

/// Where an attribute of a page leads.
fn link(page: &Reply, attribute: &str) -> String {
    let begin = format!("{attribute}=\"");
    let (_, href) = page.text.split_once(&begin).expect(attribute);
    href[..href.find('"').unwrap()].replace("&#38;", "&")
}

#[tokio::test]
async fn a_comparison_goes_back_no_further_than_what_it_compares_with() {
    let (visitor, pool) = varied().await;
    let row = sqlx::query(
        "select to_char(since at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from block
        where cidr = '10.7.32.0/20'",
    );
    // Since the reservation; the child pool came after it.
    let since: String = row.fetch_one(&visitor.pool).await.unwrap().get(0);
    let page = visitor.get(&format!("{pool}?since={since}")).await;
    page.shows(&["Compared with", "1 added"]);
    let child = visitor.get(&link(&page, "data-earlier")).await;
    child.shows(&["As it was at", "Compared with", "1 added"]);
    let reserved = visitor.get(&link(&child, "data-earlier")).await;
    assert_eq!(reserved.status, 200);
    reserved.shows(&["As it was at"]);
    reserved.does_not_show("Compared with");
    // Seconds are shown and kept, as the form has them.
    let page = visitor
        .get(&format!(
            "{pool}?time=2026-01-02T03:04:05Z&since=2026-01-02T03:04:00Z"
        ))
        .await;
    page.shows(&[
        "As it was at <b>2026-01-02 03:04:05 UTC</b>",
        "Compared with <b>2026-01-02 03:04 UTC</b>",
        "value=\"2026-01-02T03:04:05\" step=\"1\"",
        // As browsers write it: what looks typed is not shown anew.
        "value=\"2026-01-02T03:04\" step=\"1\"",
    ]);
}

#[tokio::test]
async fn one_search_finds_everything() {
    let (visitor, pool) = varied().await;
    let to = async |q: &str| {
        let reply = visitor.get(&format!("/ui/search?q={q}")).await;
        (reply.status, reply.header("location").to_owned())
    };
    let web: String = sqlx::query("select allocation_id::text from allocation where name = 'web'")
        .fetch_one(&visitor.pool)
        .await
        .unwrap()
        .get(0);
    assert_eq!(
        to("10.7.0.9").await,
        (
            303,
            "/ui/map?vrf=default&at=10.7.0.0/24&pick=10.7.0.9/32#pick".to_owned()
        )
    );
    assert_eq!(
        to("10.7.16.0/22").await.1,
        "/ui/map?vrf=default&at=10.7.0.0/16&pick=10.7.16.0/22#pick"
    );
    assert_eq!(to("web").await.1, format!("/ui/allocations/{web}"));
    assert_eq!(to(&web).await.1, format!("/ui/allocations/{web}"));
    assert_eq!(to("v/web").await.1, format!("/ui/allocations/{web}"));
    assert_eq!(to("team=t-web").await.1, "/ui/allocations?q=team%3Dt-web");
    assert_eq!(
        to("k8s.io/name=web").await.1,
        "/ui/allocations?q=k8s.io/name%3Dweb"
    );
    assert_eq!(to("child").await.1.split('/').nth(2), Some("pools"));
    assert_eq!(
        to("on-prem").await.1.split('/').nth(2),
        Some("reservations")
    );
    assert_eq!(to(&pool[pool.len() - 36..]).await.1, pool);
    assert_eq!(to("node-pod").await.1.split('/').nth(2), Some("profiles"));
    // Each of these leads to a page that is there.
    for q in ["10.7.0.9", "10.7.32.7", "10.7.48.0/24"] {
        let page = visitor.get(to(q).await.1.trim_end_matches("#pick")).await;
        assert_eq!(page.status, 200, "{q}");
    }
    for (q, text) in [
        ("", "An address or a network leads to"),
        ("nothing%20like%20it", "Nothing was found"),
        ("192.0.2.0/24", "No pool of any VRF has any of it"),
        ("10.7.0.5/16", "10.7.0.0/16"),
        ("v/nothing", "v/nothing"),
        ("%00", "An address or a network leads to"),
        ("%E2%80%AEevil", "‹U+202E›evil"),
        ("%3Cscript%3E", "&#60;script&#62;"),
        ("00000000-0000-0000-0000-000000000000", "Nothing was found"),
        ("=", ""),
    ] {
        let page = visitor.get(&format!("/ui/search?q={q}")).await;
        assert!(
            page.status == 200 || page.status == 303,
            "{q}: {}",
            page.status
        );
        page.shows(&[text]);
    }
    // In several VRFs it is a list.
    api(&visitor, "POST", "/vrfs", r#"{"name": "two"}"#).await;
    let body = r#"{"name": "p", "vrf": "two", "ranges": ["10.7.0.0/16"], "min_prefix_length": 17, "max_prefix_length": 26}"#;
    api(&visitor, "POST", "/pools", body).await;
    let page = visitor.get("/ui/search?q=10.7.0.9").await;
    page.shows(&[
        "VRF <bdi>default</bdi></a>: <bdi>Allocated to v/web</bdi>",
        "VRF <bdi>two</bdi></a>: <bdi>Free</bdi>",
    ]);
}

#[tokio::test]
async fn a_limited_token_sees_its_part_of_the_map() {
    let (visitor, pool) = varied().await;
    api(
        &visitor,
        "POST",
        "/allocations",
        r#"{"vpc": "secret-vpc", "name": "hidden-name", "pools": ["p"], "cidr": "10.7.64.0/20"}"#,
    )
    .await;
    let limited = limited(visitor, r#"{"vpcs": ["v"]}"#).await;
    for path in [
        pool.clone(),
        format!("{pool}?pick=10.7.64.0/24"),
        "/ui/map".to_owned(),
        "/".to_owned(),
        "/ui/search?q=hidden".to_owned(),
        "/ui/search?q=secret".to_owned(),
        "/ui/allocations".to_owned(),
    ] {
        let page = limited.get(&path).await;
        assert!(page.status == 200, "{path}: {}", page.status);
        page.does_not_show("hidden-name");
        page.does_not_show("secret-vpc");
        page.does_not_show("Allocate here");
    }
    let page = limited.get(&pool).await;
    page.shows(&[
        "<title>10.7.0.0/20 v / web</title>",
        "<title>10.7.64.0/20 in use</title>",
    ]);
    page.does_not_show(">Change</a>");
    // What has ended is not shown, not even as something that was in use: it says so where the past is shown.
    let gap = "What has ended since then, and you may not see, looks free.";
    page.does_not_show(gap);
    for query in ["time=2026-01-01T00:00:00Z", "since=2026-01-01T00:00:00Z"] {
        let page = limited.get(&format!("{pool}?{query}")).await;
        page.shows(&[gap]);
    }
}

#[tokio::test]
async fn a_token_limited_to_a_child_pool_sees_it_on_the_map_of_the_vrf() {
    let (visitor, _) = varied().await;
    let limited = limited(visitor, r#"{"pools": ["default/child"]}"#).await;
    let page = limited.get("/ui/map").await;
    page.shows(&["Map of 10.7.48.0/20", "<title>10.7.48.0/20 free</title>"]);
    page.does_not_show("Map of 10.7.0.0/16");
    page.does_not_show("No pool");
    // All that ended in its pools is shown to it.
    let page = limited.get("/ui/map?time=2026-01-01T00:00:00Z").await;
    page.does_not_show("looks free");
}

/// A reservation over two pools is not shown to who sees one of them, and takes addresses of that one all the same.
#[tokio::test]
async fn what_a_hidden_reservation_takes_is_not_free() {
    let visitor = Visitor::signed_in().await;
    for (name, ranges) in [
        ("left", r#""10.8.0.0/24", "10.8.2.0/24""#),
        ("right", r#""10.8.1.0/24""#),
    ] {
        let body = format!(
            r#"{{"name": "{name}", "ranges": [{ranges}], "min_prefix_length": 24, "max_prefix_length": 28}}"#
        );
        made(&visitor, "/pools", &body).await;
    }
    let both = r#"{"cidr": "10.8.0.0/23", "reason": "the secret of two"}"#;
    made(&visitor, "/reservations", both).await;
    let pool = visitor.pool_path("left").await;
    visitor
        .get(&format!("{pool}?at=10.8.0.0/24"))
        .await
        .shows(&["<title>10.8.0.0/24 reserved: the secret of two</title>"]);
    let limited = limited(visitor, r#"{"pools": ["default/left"]}"#).await;
    let page = limited.get(&format!("{pool}?at=10.8.0.0/24")).await;
    page.shows(&[
        "<title>10.8.0.0/24 in use</title>",
        "<td role=\"cell\" data-label=\"State\">out of circulation</td>",
    ]);
    page.does_not_show("the secret of two");
    page.does_not_show("/ui/reservations/");
    let page = limited.get(&format!("{pool}?pick=10.8.0.64/26")).await;
    page.shows(&["<bdi>Out of circulation</bdi>"]);
    page.does_not_show("<bdi>Free</bdi>");
    page.does_not_show("the secret of two");
    let page = limited.get(&format!("{pool}?pick=10.8.2.64/26")).await;
    page.shows(&["<bdi>Free</bdi>"]);
    let found = limited.get("/ui/search?q=10.8.0.64/26").await;
    assert_eq!(found.status, 303, "{}", found.text);
}
