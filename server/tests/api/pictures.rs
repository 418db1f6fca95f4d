//! A pool's map as a picture: it needs nothing else, says who has what is highlighted, and shows nobody more than they may see.

use std::collections::BTreeSet;

use resvg::usvg::roxmltree::{Document, Node};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::support::{ALLOCATIONS, Api, KEY, POOLS, RESERVATIONS, Reply};

/// What somebody may have put into a reason.
const HOSTILE: &str =
    "</text></svg><script>alert(1)</script><image href='https://evil.example/a.png'/>&\u{202e}\"";
/// The largest picture, in bytes.
const LARGEST: usize = 200_000;

async fn svg(api: &Api, query: &str) -> Reply {
    let reply = api.get(&format!("{POOLS}/p/map.svg{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text);
    assert_eq!(reply.header("content-type"), "image/svg+xml");
    reply
}

/// A pool with something of everything.
async fn world() -> Api {
    let api = Api::start().await;
    let pool = json!({"name": "p", "ranges": ["10.7.0.0/16"], "min_prefix_length": 17, "max_prefix_length": 26,
        "release_cooldown_seconds": 86400});
    api.post(POOLS, &pool).await.ok(201);
    for (name, cidr) in [
        ("web", "10.7.0.0/20"),
        ("gone", "10.7.16.0/20"),
        ("small", "10.7.64.0/24"),
    ] {
        let made = api
            .allocate(json!({"vpc": "x", "name": name, "pools": ["p"], "cidr": cidr}))
            .await;
        if name == "gone" {
            let id = made["id"].as_str().expect("an id");
            api.delete(&format!("{ALLOCATIONS}/{id}")).await.ok(204);
        }
    }
    let reserved = json!({"cidr": "10.7.32.0/20", "reason": HOSTILE});
    api.post(RESERVATIONS, &reserved).await.ok(201);
    let child = json!({"name": "child", "parent": "p", "ranges": ["10.7.48.0/20"], "min_prefix_length": 21,
        "max_prefix_length": 26});
    api.post(POOLS, &child).await.ok(201);
    api
}

fn of_class<'a>(document: &'a Document<'_>, class: &str) -> Vec<Node<'a, 'a>> {
    let nodes = document.root().descendants();
    nodes
        .filter(|node| {
            let classes = node.attribute("class").unwrap_or_default();
            classes.split(' ').any(|one| one == class)
        })
        .collect()
}

fn frame(node: &Node<'_, '_>) -> [String; 4] {
    ["x", "y", "width", "height"].map(|name| node.attribute(name).expect("a place").to_owned())
}

/// Everything that is written in it.
fn words(document: &Document<'_>) -> Vec<String> {
    let texts = document.root().descendants();
    texts
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "text")))
        .map(|node| node.text().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn a_picture_stands_alone_and_says_who_has_what_is_highlighted() {
    let api = world().await;
    let query = "?highlight=10.7.0.0/20,10.7.4.0/22,10.7.64.0/22,10.7.128.0/17,10.7.16.0/20,10.7.32.0/20,10.7.48.0/24";
    for query in [
        query.to_owned(),
        format!("{query}&view=hilbert"),
        format!("{query}&theme=dark"),
    ] {
        let reply = svg(&api, &query).await;
        let policy = reply.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("sandbox"),
            "{policy}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        let document = Document::parse(&reply.text).expect("XML");
        let root = document.root_element();
        assert_eq!(root.attribute("role"), Some("img"));
        assert_eq!(root.attribute("aria-label"), Some("Address map of pool p"));
        assert_eq!(root.attribute("width"), Some("800"));
        // Nothing is loaded, nothing runs, and what is referred to is there.
        let ids: BTreeSet<_> = root
            .descendants()
            .filter_map(|node| node.attribute("id"))
            .collect();
        for node in root.descendants().filter(Node::is_element) {
            let name = node.tag_name().name();
            assert!(
                !["script", "image", "foreignObject", "a", "use"].contains(&name),
                "{name}"
            );
            for attribute in node.attributes() {
                assert!(!attribute.name().starts_with("on") && !attribute.name().ends_with("href"));
                assert!(!attribute.value().contains("//"), "{attribute:?}");
                for reference in attribute.value().split("url(").skip(1) {
                    let id = reference.trim_start_matches('#').trim_end_matches(')');
                    assert!(ids.contains(id), "{reference}");
                }
            }
        }
        assert!(!reply.text.contains("@import") && !reply.text.contains("url(h"));
        assert!(!reply.text.contains('\u{202e}'));
        let said = words(&document);
        for expected in [
            "10.7.0.0/20",
            "allocated to VPC x, web",
            "part of 10.7.0.0/20, allocated to VPC x, web",
            "overlaps 10.7.64.0/24 (VPC x, small)",
            "free",
            "part of 10.7.48.0/20, pool child",
        ] {
            assert!(
                said.iter().any(|text| text == expected),
                "{expected}: {said:#?}"
            );
        }
        assert!(
            said.iter()
                .any(|text| text.starts_with("cooling down until "))
        );
        assert!(
            said.iter()
                .any(|text| text.starts_with("reserved: </text></svg><script>"))
        );
        let described = root
            .descendants()
            .find(|node| node.tag_name().name() == "desc");
        let described = described
            .and_then(|node| node.text())
            .expect("a description");
        assert!(described.contains("10.7.128.0/17: free."), "{described}");
        assert_eq!(of_class(&document, "marked").len(), 7);
    }
}

#[tokio::test]
async fn what_is_highlighted_is_outlined_where_it_lies() {
    let api = world().await;
    let of = async |highlight: &str| {
        let reply = svg(&api, &format!("?highlight={highlight}")).await;
        let document = Document::parse(&reply.text).expect("XML");
        let marked = of_class(&document, "marked");
        assert_eq!(marked.len(), 1);
        let block = of_class(&document, "child");
        (
            frame(&marked[0]),
            block.iter().map(frame).next().expect("a child"),
        )
    };
    // A block, and its half; the legend has a child of its own, behind it.
    let (whole, child) = of("10.7.48.0/20").await;
    assert_eq!(whole, child);
    let (half, _) = of("10.7.48.0/21").await;
    let wide = |frame: &[String; 4]| frame[2].parse::<f64>().expect("a width");
    assert_eq!((&half[0], &half[1]), (&whole[0], &whole[1]));
    assert!((wide(&half) * 2.0 - wide(&whole)).abs() < 0.1);
    let (elsewhere, _) = of("10.7.128.0/20").await;
    assert!(elsewhere[1].parse::<u32>().expect("a y") > whole[1].parse().expect("a y"));
    // Outside of the part that is shown it is told, and not outlined.
    let reply = svg(&api, "?at=10.7.0.0/18&highlight=10.7.128.0/17").await;
    let document = Document::parse(&reply.text).expect("XML");
    assert_eq!(of_class(&document, "marked").len(), 0);
    assert!(words(&document).contains(&"free (not on this map)".to_owned()));
}

#[tokio::test]
async fn what_can_not_be_drawn_is_refused_with_the_reason() {
    let api = world().await;
    let many = vec!["10.7.0.0/26"; 65].join(",");
    let distinct: Vec<_> = (0..65).map(|n| format!("10.7.{n}.0/24")).collect();
    let distinct = distinct.join(",");
    for (query, says) in [
        ("highlight=", "is not a CIDR"),
        ("highlight=10.7.0.0/20,", "is not a CIDR"),
        ("highlight=10.7.0.1/20", "has host bits set"),
        (
            "highlight=10.7.0.0/20,10.8.0.0/24",
            "10.8.0.0/24 is in no range of pool \\\"p\\\"",
        ),
        ("highlight=10.0.0.0/8", "10.0.0.0/8 is in no range"),
        ("highlight=2001:db8::/64", "is in no range"),
        (&format!("highlight={distinct}"), "at most 64"),
        ("at=10.8.0.0/16", "is in no range"),
        ("at=10.7.0.0/15", "has host bits set"),
        ("view=spiral", "view"),
        ("theme=pink", "theme"),
        ("colour=red", "colour"),
    ] {
        for kind in ["svg", "png"] {
            let reply = api.get(&format!("{POOLS}/p/map.{kind}?{query}")).await;
            reply.problem(400, "invalid_request");
            assert!(reply.text.contains(says), "{query}: {}", reply.text);
        }
    }
    // The same network twice is one.
    svg(&api, &format!("?highlight={many}")).await;
    api.get(&format!("{POOLS}/none/map.svg"))
        .await
        .problem(404, "not_found");
    api.get(&format!("{POOLS}/none/map.png"))
        .await
        .problem(404, "not_found");
    let reply = api
        .send("GET", &format!("{POOLS}/p/map.svg"), &[], "")
        .await;
    reply.problem(401, "unauthorized");
}

#[tokio::test]
async fn what_a_token_does_not_cover_is_not_drawn() {
    let api = world().await;
    let other =
        json!({"vpc": "secret-vpc", "name": "hidden-name", "pools": ["p"], "cidr": "10.7.96.0/20"});
    api.allocate(other).await;
    let of = async |limits: Value| {
        let name = format!("t-{}", uuid::Uuid::new_v4());
        let key = api
            .token(json!({"name": name, "roles": ["reader"], "limits": limits}))
            .await;
        let path = format!("{POOLS}/p/map.svg?highlight=10.7.96.0/20");
        api.as_who(&key, "GET", &path, &Value::Null).await
    };
    let reply = of(json!({"vpcs": ["x"]})).await;
    assert_eq!(reply.status, 200);
    assert!(!reply.text.contains("secret-vpc") && !reply.text.contains("hidden-name"));
    let document = Document::parse(&reply.text).expect("XML");
    let said = words(&document);
    assert!(said.contains(&"in use".to_owned()), "{said:?}");
    assert!(said.iter().any(|text| text.starts_with("web /20")));
    // A pool that is not covered does not exist.
    of(json!({"pools": ["default/child"]}))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_picture_that_shows_the_same_is_not_sent_again() {
    let api = world().await;
    let path = format!("{POOLS}/p/map.svg?highlight=10.7.0.0/20");
    let first = api.get(&path).await;
    let tag = first.header("etag").to_owned();
    let ask = async |path: &str, tag: &str| {
        let headers = [("x-api-key", KEY), ("if-none-match", tag)];
        api.send("GET", path, &headers, "").await
    };
    let again = ask(&path, &tag).await;
    assert_eq!(
        (again.status, again.text.as_str(), again.header("etag")),
        (304, "", tag.as_str())
    );
    let dark = ask(&format!("{path}&theme=dark"), &tag).await;
    assert_eq!(dark.status, 200);
    api.allocate(json!({"vpc": "x", "pools": ["p"], "cidr": "10.7.128.0/20"}))
        .await;
    let changed = ask(&path, &tag).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), tag);
    let png = api.get(&path.replace("svg", "png")).await;
    assert_ne!(png.header("etag"), changed.header("etag"));
    assert_eq!(
        ask(&path.replace("svg", "png"), png.header("etag"))
            .await
            .status,
        304
    );
}

#[tokio::test]
async fn the_png_is_the_same_picture() {
    let api = world().await;
    let drawn = svg(&api, "?highlight=10.7.0.0/20").await;
    let document = Document::parse(&drawn.text).expect("XML");
    let height: u32 = document
        .root_element()
        .attribute("height")
        .expect("a height")
        .parse()
        .expect("a number");
    let path = format!("{POOLS}/p/map.png?highlight=10.7.0.0/20");
    let (headers, bytes) = api.bytes(&path).await;
    assert_eq!(headers["content-type"], "image/png");
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"));
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((number(16), number(20)), (1600, height * 2));
    assert!(bytes.len() < LARGEST, "{}", bytes.len());
    // What is drawn is in it: another theme and another outline are other pixels.
    let (_, dark) = api.bytes(&format!("{path}&theme=dark")).await;
    let (_, plain) = api.bytes(&format!("{POOLS}/p/map.png")).await;
    assert!(bytes != dark && bytes != plain);
}

#[tokio::test]
async fn a_picture_is_small_whatever_the_pool_holds() {
    let api = Api::start().await;
    let mut db = api.database.connect().await;
    for sql in [
        "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length) select vrf_id, 'p', 4, 10, 28 from vrf",
        "insert into pool_range (pool_id, vrf_id, family, cidr) select pool_id, vrf_id, 4, '11.0.0.0/8' from pool where name = 'p'",
        "insert into block (range_id, cidr, range_cidr, reason)
            select range_id, set_masklen(cidr + (step * 64)::bigint, 28)::cidr, cidr, repeat('reason ', 100)
            from pool_range, generate_series(0, 49999) as step where cidr = '11.0.0.0/8'",
        "analyze",
    ] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.expect("made");
    }
    let highlights: Vec<_> = (0..64).map(|n| format!("11.{n}.0.0/16")).collect();
    let highlights = highlights.join(",");
    for query in [
        String::new(),
        format!("?highlight={highlights}"),
        format!("?highlight={highlights}&view=hilbert"),
        "?at=11.0.0.0/12".to_owned(),
        // 1,024 blocks, one by one.
        "?at=11.0.0.0/16".to_owned(),
        "?at=11.0.0.0/16&view=hilbert".to_owned(),
    ] {
        let drawn = svg(&api, &query).await;
        assert!(
            drawn.text.len() < LARGEST,
            "{query}: {} bytes",
            drawn.text.len()
        );
        let document = Document::parse(&drawn.text).expect("XML");
        let height = document
            .root_element()
            .attribute("height")
            .expect("a height");
        assert!(height.parse::<u32>().expect("a number") < 2500, "{height}");
    }
    let path = format!("{POOLS}/p/map.png?highlight={highlights}");
    assert!(api.bytes(&path).await.1.len() < 2 * LARGEST);
}

/// Lines get thicker with the drawing: one of few cells is drawn smaller.
#[tokio::test]
async fn a_curve_of_few_cells_has_lines_like_any_other() {
    let api = Api::start().await;
    let pool = json!({"name": "p", "ranges": ["10.7.0.0/26"], "min_prefix_length": 26, "max_prefix_length": 28});
    api.post(POOLS, &pool).await.ok(201);
    let zooms = |text: &str| -> Vec<f64> {
        let scales = text.split("scale(").skip(1);
        scales
            .map(|rest| {
                rest[..rest.find(')').expect("an end")]
                    .parse()
                    .expect("a number")
            })
            .collect()
    };
    let alone = svg(&api, "?view=hilbert&highlight=10.7.0.16/28").await;
    assert_eq!(zooms(&alone.text), [2.0]);
    let several = json!({"ranges": ["10.7.0.0/26", "10.7.1.0/26"]});
    let path = format!("{POOLS}/p");
    api.patch(&path, &several).await.ok(200);
    let several = svg(&api, "?view=hilbert").await;
    assert_eq!(zooms(&several.text), [2.0, 2.0]);
}
