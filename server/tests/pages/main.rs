//! The dashboard over HTTP, on a database per test: who gets in, what forms do, and what stays text.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod copies;
mod failures;
mod large;
mod live;
mod log;
mod maps;
mod moments;
mod nouns;
#[path = "../support/server_role.rs"]
mod server_role;
#[path = "../support/statements.rs"]
mod statements;
mod transfer;
mod visitor;
mod webhooks;

use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, header};
use ipam_server::{
    app::App,
    auth::Auth,
    domain::Ipam,
    front::{Front, TrustedProxies},
    manners::Manners,
    router::router,
};
use sqlx::postgres::PgPoolOptions;

use self::visitor::{HOST, KEY, Visitor, encode};

#[tokio::test]
async fn every_page_wants_a_sign_in_and_has_the_headers_that_protect_it() {
    let mut visitor = Visitor::signed_in().await;
    let allocation = visitor
        .allocate(&[
            ("vpc", "prod"),
            ("by", "hosts"),
            ("hosts", "500"),
            ("name", "eks"),
        ])
        .await;
    let pages = visitor.pages(&allocation, "prod").await;
    for path in &pages {
        let reply = visitor.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        assert!(
            reply.header("content-type").starts_with("text/html"),
            "{path}"
        );
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("x-frame-options"), "DENY");
        assert_eq!(reply.header("referrer-policy"), "same-origin");
        let policy = reply.header("content-security-policy");
        for rule in [
            "default-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        // The policy would refuse what is written into the page.
        for inline in ["style=\"", "<style", " onclick", "javascript:", "<script>"] {
            reply.does_not_show(inline);
        }
    }
    visitor.cookie = None;
    for path in &pages {
        let reply = visitor.get(path).await;
        assert_eq!(reply.status, 303, "{path}");
        let location = reply.header("location");
        assert!(location.starts_with("/ui/sign-in"), "{path}: {location}");
        assert_eq!(reply.text, "", "{path}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
    }
    visitor.cookie = Some("ipam_session=AAAA.AAAA".to_owned());
    assert_eq!(visitor.get("/").await.status, 303);
}

#[tokio::test]
async fn signing_in_gives_a_cookie_that_opens_pages_only() {
    let mut visitor = Visitor::new().await;
    let start = Instant::now();
    let wrong = visitor
        .post_raw("/ui/sign-in", &[("key", "guess"), ("next", "/ui/vpcs")])
        .await;
    assert!(
        start.elapsed() >= Duration::from_millis(400),
        "guessing is slowed down"
    );
    assert_eq!((wrong.status, wrong.header("set-cookie")), (401, ""));
    wrong.shows(&["not known to this server", "value=\"/ui/vpcs\""]);
    wrong.does_not_show("guess");

    // The way that was wanted first goes on after signing in, as long as it stays here.
    visitor
        .get("/ui/allocations?vpc=a%20b")
        .await
        .leads_to("/ui/sign-in?next=/ui/allocations%3Fvpc%3Da%2520b");
    for (next, to) in [
        ("/ui/allocations?vpc=a%20b", "/ui/allocations?vpc=a%20b"),
        ("//evil.example", "/"),
    ] {
        visitor
            .post_raw("/ui/sign-in", &[("key", KEY), ("next", next)])
            .await
            .leads_to(to);
    }

    let reply = visitor.post_raw("/ui/sign-in", &[("key", KEY)]).await;
    let cookie = reply.header("set-cookie").to_owned();
    assert!(cookie.starts_with("ipam_session="), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(
        !cookie.contains("Secure") && !cookie.contains("Domain") && !cookie.contains(KEY),
        "{cookie}"
    );
    visitor.sign_in().await;
    visitor.get("/ui/sign-in").await.leads_to("/");

    // The API and the original API take keys, not cookies.
    assert_eq!(visitor.get("/api/v1/allocations").await.status, 401);
    assert_eq!(visitor.get("/allocations").await.status, 422);
    let request = visitor
        .request("DELETE", "/vpcs/a")
        .header("sec-fetch-site", "same-origin");
    assert_eq!(
        visitor
            .send(request.body(Body::empty()).unwrap())
            .await
            .status,
        422
    );

    // And a key in a header opens no page.
    let request = Request::builder()
        .uri("/")
        .header("x-api-key", KEY)
        .body(Body::empty())
        .unwrap();
    assert_eq!(visitor.send(request).await.status, 303);

    let reply = visitor.post("/ui/sign-out", &[]).await;
    reply.leads_to("/ui/sign-in");
    assert!(
        reply.header("set-cookie").contains("Max-Age=0"),
        "{reply:?}"
    );
}

#[tokio::test]
async fn over_https_the_cookie_stays_there() {
    let mut visitor = Visitor::new().await;
    let url = format!("https://{HOST}").parse().unwrap();
    visitor.app = router(
        App::new(Ipam::new(visitor.pool.clone()), Auth::new(KEY))
            .with_front(Front::new(TrustedProxies::default(), url)),
    );
    let request = visitor
        .request("POST", "/ui/sign-in")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("origin", format!("https://{HOST}"));
    let reply = visitor
        .send(request.body(Body::from(encode(&[("key", KEY)]))).unwrap())
        .await;
    let cookie = reply.header("set-cookie").to_owned();
    assert!(cookie.starts_with("__Host-ipam_session="), "{cookie}");
    assert!(
        cookie.contains("Secure") && cookie.contains("Path=/"),
        "{cookie}"
    );
    let value = &cookie[..cookie.find(';').unwrap()];
    let https = visitor.request("GET", "/").header("cookie", value);
    assert_eq!(
        visitor
            .send(https.body(Body::empty()).unwrap())
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn sessions_outlive_the_server_and_hold_on_every_replica_with_the_key() {
    let visitor = Visitor::signed_in().await;
    for (key, status) in [(KEY, 200), ("another key", 303)] {
        let ipam = Ipam::new(visitor.pool.clone());
        let replica = Visitor {
            app: router(App::new(ipam, Auth::new(key))),
            pool: visitor.pool.clone(),
            cookie: visitor.cookie.clone(),
            database: None,
        };
        assert_eq!(replica.get("/").await.status, status, "{key}");
    }
}

#[tokio::test]
async fn who_may_not_read_is_recorded_when_it_tries_to_sign_in() {
    let visitor = Visitor::signed_in().await;
    let new = r#"{"name": "scraper", "roles": ["metrics"]}"#;
    let made = maps::api(&visitor, "POST", "/tokens", new).await;
    let made: serde_json::Value = serde_json::from_str(&made.text).unwrap();
    let ipam = Ipam::new(visitor.pool.clone()).with_peppers(visitor::peppers());
    let other = Visitor {
        app: router(App::new(ipam.clone(), Auth::new(KEY))),
        pool: visitor.pool.clone(),
        cookie: None,
        database: None,
    };
    let secret = made["secret"].as_str().unwrap();
    let refused = other.post_raw("/ui/sign-in", &[("key", secret)]).await;
    assert_eq!(refused.status, 403);
    ipam.write_notes().await.unwrap();
    let noted: Vec<(String, String)> = sqlx::query_as(
        "select actor, detail ->> 'request' from event where action = 'access.denied'",
    )
    .fetch_all(&visitor.pool)
    .await
    .unwrap();
    assert_eq!(
        noted,
        [("token/scraper".to_owned(), "POST /ui/sign-in".to_owned())]
    );
}

#[tokio::test]
async fn an_expired_token_is_recorded_as_one_wherever_it_is_shown() {
    let visitor = Visitor::signed_in().await;
    let new = r#"{"name": "old", "roles": ["reader"]}"#;
    let made = maps::api(&visitor, "POST", "/tokens", new).await;
    let made: serde_json::Value = serde_json::from_str(&made.text).unwrap();
    sqlx::query("update token set expires_at = now() - interval '1 s'")
        .execute(&visitor.pool)
        .await
        .unwrap();
    let ipam = Ipam::new(visitor.pool.clone()).with_peppers(visitor::peppers());
    let other = Visitor {
        app: router(App::new(ipam.clone(), Auth::new(KEY))),
        pool: visitor.pool.clone(),
        cookie: None,
        database: None,
    };
    let secret = made["secret"].as_str().unwrap();
    let refused = other.post_raw("/ui/sign-in", &[("key", secret)]).await;
    assert_eq!(refused.status, 401);
    refused.shows(&["That token has expired"]);
    ipam.write_notes().await.unwrap();
    let noted: Vec<(String, String)> =
        sqlx::query_as("select action, actor from event where action like 'access.%'")
            .fetch_all(&visitor.pool)
            .await
            .unwrap();
    assert_eq!(
        noted,
        [("access.expired".to_owned(), "token/old".to_owned())]
    );
}

#[tokio::test]
async fn a_session_counts_for_its_key_and_one_request_too_many_is_told_on_a_page() {
    let visitor = Visitor::signed_in().await;
    let app = App::new(Ipam::new(visitor.pool.clone()), Auth::new(KEY));
    let limits = Manners::default().with_limits(3, 0);
    let mut limited = Visitor {
        app: router(app.with_manners(limits)),
        pool: visitor.pool.clone(),
        cookie: visitor.cookie.clone(),
        database: None,
    };
    for left in [2, 1, 0] {
        let page = limited.get("/ui/vpcs").await;
        assert_eq!(page.status, 200);
        assert_eq!(page.header("ratelimit-policy"), "\"token\";q=3;w=60");
        let said = page.header("ratelimit");
        assert!(
            said.starts_with(&format!("\"token\";r={left};t=")),
            "{said}"
        );
    }
    for path in ["/", "/ui/vpcs", "/ui/nothing"] {
        let page = limited.get(path).await;
        assert_eq!(page.status, 429, "{path}");
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert!(page.headers.contains_key("content-security-policy"));
        let wait: u64 = page.header("retry-after").parse().unwrap();
        assert!((1..=20).contains(&wait), "{wait}");
        assert!(page.header("ratelimit").starts_with("\"token\";r=0;t="));
        page.shows(&[
            "Too many requests",
            "3 a minute",
            "rate_limited",
            page.header("x-request-id"),
        ]);
    }
    // A form that is sent too often is not carried out.
    let count = "select count(*)::text from vpc";
    let before: String = sqlx::query_scalar(count)
        .fetch_one(&visitor.pool)
        .await
        .unwrap();
    let fields = [("action", "confirm"), ("vpc", "a"), ("hosts", "5")];
    assert_eq!(
        limited
            .post_raw("/ui/allocations/new", &fields)
            .await
            .status,
        429
    );
    let after: String = sqlx::query_scalar(count)
        .fetch_one(&visitor.pool)
        .await
        .unwrap();
    assert_eq!(before, after);
    // Over the API it is the same caller.
    let request = limited
        .request("GET", "/api/v1/vrfs")
        .header("x-api-key", KEY);
    let refused = limited.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (429, "application/problem+json")
    );
    // Whoever is not signed in is another one, and files cost nothing.
    limited.cookie = None;
    let page = limited.get("/ui/sign-in").await;
    assert_eq!((page.status, page.header("ratelimit")), (200, ""));
    let file = page
        .text
        .split('"')
        .find(|text| text.starts_with("/ui/static/"));
    limited.cookie = visitor.cookie.clone();
    assert_eq!(limited.get(file.expect(&page.text)).await.status, 200);
}

#[tokio::test]
async fn forms_of_strangers_are_refused() {
    let visitor = Visitor::signed_in().await;
    let allocation = visitor
        .allocate(&[
            ("vpc", "prod"),
            ("by", "prefix_length"),
            ("prefix_length", "24"),
        ])
        .await;
    let vpc = visitor.vpc_path("prod").await;
    let mut other = Visitor {
        cookie: None,
        app: visitor.app.clone(),
        pool: visitor.pool.clone(),
        database: None,
    };
    other.sign_in().await;
    let (own, foreign) = (visitor.token().await, other.token().await);
    assert_ne!(own, foreign);
    let forms: Vec<(String, Vec<(&str, &str)>)> = vec![
        (
            "/ui/allocations/new".into(),
            vec![
                ("vpc", "new"),
                ("by", "hosts"),
                ("hosts", "5"),
                ("action", "confirm"),
            ],
        ),
        (
            format!("{allocation}/edit"),
            vec![("vpc", "stolen"), ("revision", "1"), ("action", "confirm")],
        ),
        (format!("{allocation}/release"), vec![("revision", "1")]),
        (
            format!("{vpc}/delete"),
            vec![("revision", "1"), ("allocations", "1")],
        ),
        ("/ui/sign-out".into(), vec![]),
    ];
    let before = visitor.count("event").await;
    for (path, fields) in &forms {
        let with = |token| {
            let mut all = vec![("csrf", token)];
            all.extend(fields);
            encode(&all)
        };
        let form = "application/x-www-form-urlencoded";
        let origin = format!("http://{HOST}");
        let tries: [(&str, &str, &str, String, u16); 8] = [
            ("sec-fetch-site", "same-origin", form, encode(fields), 403),
            ("sec-fetch-site", "same-origin", form, with(""), 403),
            ("sec-fetch-site", "same-origin", form, with(&foreign), 403),
            ("sec-fetch-site", "cross-site", form, with(&own), 403),
            ("sec-fetch-site", "same-site", form, with(&own), 403),
            ("origin", "https://evil.example", form, with(&own), 403),
            ("x-nothing", "", form, with(&own), 403),
            ("origin", origin.as_str(), "text/plain", with(&own), 400),
        ];
        for (name, value, content_type, body, status) in tries {
            let request = visitor
                .request("POST", path)
                .header(header::CONTENT_TYPE, content_type)
                .header(name, value);
            let reply = visitor.send(request.body(Body::from(body)).unwrap()).await;
            assert_eq!(reply.status, status, "{path} {name}: {value}");
            assert_eq!(reply.header("set-cookie"), "", "{path}");
        }
    }
    // A browser on plain http names the origin only.
    let request = visitor
        .request("POST", &format!("{allocation}/edit"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("origin", format!("http://{HOST}"));
    assert_eq!(visitor.count("event").await, before);
    let body = encode(&[
        ("csrf", &own),
        ("vpc", "prod"),
        ("prefix_length", "24"),
        ("protect", "on"),
        ("revision", "1"),
        ("action", "confirm"),
    ]);
    assert_eq!(
        visitor
            .send(request.body(Body::from(body)).unwrap())
            .await
            .status,
        303
    );
    // Signing somebody in from elsewhere is refused too.
    let request = visitor
        .request("POST", "/ui/sign-in")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("sec-fetch-site", "cross-site");
    let reply = visitor
        .send(request.body(Body::from(encode(&[("key", KEY)]))).unwrap())
        .await;
    assert_eq!((reply.status, reply.header("set-cookie")), (403, ""));
}

#[tokio::test]
async fn stored_text_stays_text_on_every_page() {
    const EVIL: &str = "\"><img src=x onerror=alert(1)><b>'${7*7}{{7*7}}";
    let visitor = Visitor::signed_in().await;
    let labels = format!("{}={EVIL}", EVIL.replace('=', ":"));
    let allocation = visitor
        .allocate(&[
            ("vpc", EVIL),
            ("name", EVIL),
            ("by", "hosts"),
            ("hosts", "5"),
            ("labels", &labels),
            ("description", &format!("</textarea></script>{EVIL}")),
        ])
        .await;
    let moved = format!("{EVIL} two");
    let fields = [("vpc", moved.as_str()), ("name", EVIL), ("hosts", "5")];
    let reply = visitor.change(&allocation, &fields).await;
    assert_eq!(reply.status, 303, "{}", reply.text);
    for sql in [
        "update pool set description = $1",
        "update vpc set description = $1",
        "insert into block (range_id, cidr, range_cidr, reason)
            select range_id, '10.0.128.0/24', cidr, $1 from pool_range where cidr = '10.0.0.0/16'",
    ] {
        sqlx::query(sql)
            .bind(EVIL)
            .execute(&visitor.pool)
            .await
            .unwrap();
    }
    let mut pages = visitor.pages(&allocation, &moved).await;
    let echoed = encode(&[("", EVIL)]);
    pages.push(format!("/ui/allocations?q{echoed}&vpc{echoed}"));
    pages.push(format!("/ui/allocations?q=10.0.0.0/{}", &echoed[1..]));
    pages.push(format!("/ui/allocations?notice{echoed}"));
    pages.push(format!(
        "/ui/allocations/new?vpc{echoed}&name{echoed}&labels{echoed}&by{echoed}"
    ));
    pages.push(format!("/ui/vpcs?q{echoed}"));
    pages.push(format!("/ui/{}", &echoed[1..]));
    pages.push(format!("/ui/allocations/{}", &echoed[1..]));
    for path in pages {
        let reply = visitor.get(&path).await;
        assert!(reply.status < 500, "{path}");
        reply.does_not_show("<img src=x");
        reply.does_not_show("</textarea></script>");
    }
    visitor
        .get(&allocation)
        .await
        .shows(&["&#60;img src=x onerror=alert(1)&#62;"]);
    visitor.get("/ui/vpcs").await.shows(&["&#60;img"]);
    visitor
        .get(&visitor.pool_path("primary").await)
        .await
        .shows(&[
            "<bdi>&#34;&#62;&#60;img",
            "<title>10.0.128.0/24 &#34;&#62;&#60;img",
        ]);
    let refused = visitor
        .post(
            "/ui/allocations/new",
            &[
                ("vpc", &format!("{EVIL}/")),
                ("labels", EVIL),
                ("action", "confirm"),
            ],
        )
        .await;
    assert_eq!(refused.status, 422);
    refused.does_not_show("<img src=x");
}

#[tokio::test]
async fn space_is_allocated_by_hosts_by_length_and_by_cidr() {
    let visitor = Visitor::signed_in().await;
    visitor
        .get("/")
        .await
        .shows(&["Nothing is allocated yet", "resource \"ipam_allocation\""]);
    visitor
        .get("/ui/vpcs")
        .await
        .shows(&["There are no VPCs yet"]);

    let form = visitor.get("/ui/allocations/new").await;
    form.shows(&[
        "1 to 4,091",
        "/23 (primary /23: 512 addresses, 507 usable; cgnat /18: 16,384 addresses, 16,379 usable)",
    ]);

    // A preview shows what would be given, keeps what was typed, and takes nothing. Enter presses the only button that there is.
    assert_eq!(form.text.matches("<button class=\"primary\"").count(), 1);
    form.shows(&["name=\"action\" value=\"preview\">Preview</button>"]);
    form.does_not_show("value=\"confirm\"");
    let typed = [
        ("vpc", "prod"),
        ("name", "eks"),
        ("by", "hosts"),
        ("hosts", "500"),
        ("labels", "team=core"),
    ];
    let mut preview = typed.to_vec();
    preview.extend([("action", "preview"), ("key", "one")]);
    let reply = visitor.post("/ui/allocations/new", &preview).await;
    assert_eq!(reply.status, 200);
    reply.shows(&[
        "Nothing is taken yet",
        "10.0.0.0/23",
        "100.64.0.0/18",
        "value=\"500\"",
        "team=core",
        "value=\"one\"",
    ]);
    assert_eq!(
        (
            visitor.count("allocation").await,
            visitor.count("vpc").await
        ),
        (0, 0)
    );

    let eks = visitor.allocate(&typed).await;
    let reply = visitor.get(&format!("{eks}?notice=allocated")).await;
    reply.shows(&[
        "Allocated. The ranges are yours.",
        "10.0.0.0/23",
        "100.64.0.0/18",
        "507",
        "16,379",
        "500 hosts",
        "team",
        "hosts = 500",
        "terraform import ipam_allocation.eks &#39;prod/eks&#39;",
        "by <bdi>admin</bdi>",
        "none</span>, not confirmed",
    ]);
    let by_length = visitor
        .allocate(&[
            ("vpc", "prod"),
            ("by", "prefix_length"),
            ("prefix_length", "26"),
        ])
        .await;
    visitor.get(&by_length).await.shows(&[
        "10.0.2.0/26",
        "100.64.64.0/21",
        "Allocation #",
        "It has no name yet",
    ]);
    let by_cidr = visitor
        .allocate(&[("vpc", "legacy"), ("by", "cidr"), ("cidr", "10.0.128.0/20")])
        .await;
    visitor
        .get(&by_cidr)
        .await
        .shows(&["10.0.128.0/20", "cidr = &#34;10.0.128.0/20&#34;"]);

    let overview = visitor.get("/").await;
    // 507 + 59 + 4,091 and 16,379 + 2,043 + 131,067.
    overview.shows(&[
        "<strong>2</strong><span>VPCs",
        "<strong>3</strong><span>allocations",
        "4,657",
        "149,489",
    ]);
    let pool = visitor.get(&visitor.pool_path("primary").await).await;
    pool.shows(&[
        "<title>10.0.0.0/23 prod / eks</title>",
        "<title>10.0.128.0/20 legacy</title>",
        "Each row is a /20",
    ]);
    // What would be given next, by size.
    pool.shows(&[
        "10.0.2.64/26",
        "10.0.2.128/25",
        "10.0.3.0/24",
        "10.0.4.0/23",
    ]);
}

#[tokio::test]
async fn what_is_wrong_is_said_at_the_field_and_nothing_is_lost() {
    let visitor = Visitor::signed_in().await;
    let typed = [
        ("vpc", "a/b"),
        ("name", "x"),
        ("by", "hosts"),
        ("hosts", "many"),
        ("labels", "oops"),
        ("description", "keep me"),
        ("action", "confirm"),
        ("protect", "on"),
    ];
    let reply = visitor.post("/ui/allocations/new", &typed).await;
    assert_eq!(reply.status, 422);
    reply.shows(&[
        "A name can&#39;t contain",
        "Give the number of hosts",
        "Write a label as key=value",
        "value=\"a/b\"",
        "value=\"many\"",
        "keep me",
        "aria-invalid=\"true\" aria-describedby=\"vpc-problem vpc-hint\"",
        "checked> Protect",
    ]);
    for (fields, problem) in [
        (
            vec![("hosts", "4092")],
            "4092 hosts are too many: profile &#34;node-pod&#34; gives at most a /20",
        ),
        (
            vec![("by", "prefix_length"), ("prefix_length", "27")],
            "gives /20 to /26",
        ),
        (
            vec![("by", "cidr"), ("cidr", "10.0.0.5/24")],
            "host bits set: the network is 10.0.0.0/24",
        ),
        (
            vec![("by", "cidr"), ("cidr", "192.168.0.0/24")],
            "id=\"size-problem\"",
        ),
    ] {
        let mut all = vec![("vpc", "prod"), ("action", "confirm")];
        all.extend(fields);
        let reply = visitor.post("/ui/allocations/new", &all).await;
        assert_eq!(reply.status, 422, "{problem}");
        reply.shows(&[problem]);
    }
    assert_eq!(visitor.count("allocation").await, 0);

    // Space that is taken, a name that is taken, and a form that is sent twice.
    let first = visitor
        .allocate(&[
            ("vpc", "prod"),
            ("name", "eks"),
            ("hosts", "500"),
            ("key", "k1"),
        ])
        .await;
    let taken = [
        ("vpc", "prod"),
        ("by", "cidr"),
        ("cidr", "10.0.0.0/24"),
        ("action", "confirm"),
    ];
    let reply = visitor.post("/ui/allocations/new", &taken).await;
    assert_eq!(reply.status, 422);
    reply.shows(&["id=\"size-problem\"", "value=\"10.0.0.0/24\""]);
    let renamed = [
        ("vpc", "prod"),
        ("name", "eks"),
        ("hosts", "9"),
        ("action", "confirm"),
    ];
    let reply = visitor.post("/ui/allocations/new", &renamed).await;
    assert_eq!(reply.status, 422);
    reply.shows(&["id=\"name-problem\""]);
    let unnamed = [("vpc", "prod"), ("hosts", "500"), ("key", "k2")];
    let once = visitor.allocate(&unnamed).await;
    assert_ne!(once, first);
    assert_eq!(visitor.allocate(&unnamed).await, once);
    assert_eq!(visitor.count("allocation").await, 2);
}

#[tokio::test]
async fn an_allocation_is_moved_labelled_resized_protected_and_released() {
    let visitor = Visitor::signed_in().await;
    let path = visitor
        .allocate(&[("vpc", "prod"), ("name", "eks"), ("hosts", "500")])
        .await;
    let other = visitor
        .allocate(&[("vpc", "stage"), ("name", "eks"), ("hosts", "500")])
        .await;
    let fields = |vpc, hosts| [("vpc", vpc), ("name", "eks"), ("hosts", hosts)];

    // What can't be is said in the preview already, and what was typed stays.
    let reply = visitor.preview(&path, &fields("stage", "500")).await;
    assert_eq!(reply.status, 422);
    reply.shows(&[
        "VPC &#34;stage&#34; has an allocation of the same name already",
        "value=\"stage\"",
    ]);
    assert_eq!(
        visitor.preview(&path, &fields(" / ", "500")).await.status,
        422
    );
    // The space beside it is taken by the other one.
    let reply = visitor.preview(&path, &fields("prod", "1000")).await;
    assert_eq!(reply.status, 422);
    reply.shows(&["id=\"hosts-problem\"", "10.0.2.0/23"]);

    // A preview says what would change, and changes nothing.
    let events = visitor.count("event").await;
    let reply = visitor.preview(&path, &fields(" dev ", "500")).await;
    assert_eq!(reply.status, 200);
    reply.shows(&["Change allocation", "The ranges stay the same.", "dev"]);
    assert_eq!(visitor.count("event").await, events);
    visitor
        .change(&path, &fields(" dev ", "500"))
        .await
        .leads_to(&format!("{path}?notice=saved"));
    visitor
        .get(&path)
        .await
        .shows(&["10.0.0.0/23", "moved to VPC dev"]);

    // In place to another size, and back.
    let reply = visitor.preview(&path, &fields("dev", "100")).await;
    reply.shows(&["10.0.0.0/23", "10.0.0.0/25", "100.64.0.0/20", "give"]);
    visitor
        .change(&path, &fields("dev", "100"))
        .await
        .leads_to(&format!("{path}?notice=saved"));
    visitor.get(&path).await.shows(&[
        "hosts set to 100",
        "resized from 10.0.0.0/23, 100.64.0.0/18 to 10.0.0.0/25, 100.64.0.0/20",
    ]);
    visitor.change(&path, &fields("dev", "500")).await;

    // Nothing is saved over what somebody else has changed, and the form shows how it is now.
    let opened = visitor.get(&format!("{path}/edit")).await;
    let revision = opened.input("revision");
    let mut labelled = fields("dev", "500").to_vec();
    labelled.extend([
        ("labels", "a=1\r\nb=2"),
        ("protect", "on"),
        ("description", "mine"),
        ("revision", &revision),
        ("action", "confirm"),
    ]);
    visitor
        .post(&format!("{path}/edit"), &labelled)
        .await
        .leads_to(&format!("{path}?notice=saved"));
    let stale = visitor.post(&format!("{path}/edit"), &labelled).await;
    assert_eq!(stale.status, 412);
    stale.shows(&[
        "It was changed since you opened the form",
        "a=1\nb=2",
        "mine",
    ]);
    let page = visitor.get(&path).await;
    page.shows(&["protected from deletion", "labels set to a=1, b=2"]);
    for text in ["Release…", "dry run", "before set to"] {
        page.does_not_show(text);
    }
    let mut nonsense = fields("dev", "500").to_vec();
    nonsense.push(("labels", "nonsense"));
    let reply = visitor.preview(&path, &nonsense).await;
    assert_eq!(reply.status, 422);
    reply.shows(&["Write a label as key=value", "id=\"labels-problem\""]);

    let confirmation = visitor.get(&format!("{path}/release")).await;
    confirmation.shows(&["It is protected from deletion"]);
    confirmation.does_not_show("value=\"confirm\"");
    let revision = confirmation.input("revision");
    let refused = visitor
        .post(&format!("{path}/release"), &[("revision", &revision)])
        .await;
    assert_eq!(refused.status, 409);
    refused.shows(&["is protected from deletion"]);
    visitor.change(&path, &fields("dev", "500")).await;

    let confirmation = visitor.get(&format!("{path}/release")).await;
    confirmation.shows(&[
        "10.0.0.0/23",
        "100.64.0.0/18",
        "This can&#39;t be undone",
        "In pool &#34;primary&#34; 1 block is free at once",
    ]);
    let stale = visitor
        .post(&format!("{path}/release"), &[("revision", "1")])
        .await;
    assert_eq!(stale.status, 412);
    stale.shows(&["nothing was done"]);
    let revision = confirmation.input("revision");
    visitor
        .post(&format!("{path}/release"), &[("revision", &revision)])
        .await
        .leads_to("/ui/allocations?notice=released");
    let gone = visitor.get(&path).await;
    assert_eq!(gone.status, 410);
    gone.shows(&[
        "It was deleted",
        "by <bdi>admin</bdi>",
        gone.header("x-request-id"),
    ]);
    assert_eq!(visitor.get(&other).await.status, 200);
    let unknown = visitor
        .get("/ui/allocations/00000000-0000-7000-8000-000000000000")
        .await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn a_vpc_is_deleted_with_what_was_confirmed() {
    let visitor = Visitor::signed_in().await;
    for index in 0..3 {
        visitor
            .allocate(&[
                ("vpc", "prod"),
                ("name", &format!("n{index}")),
                ("hosts", "50"),
            ])
            .await;
    }
    let path = format!("{}/delete", visitor.vpc_path("prod").await);
    let confirmation = visitor.get(&path).await;
    confirmation.shows(&[
        "Delete VPC <bdi>prod</bdi>?",
        "Its 3 allocations are released with it",
        "In pool &#34;primary&#34; 3 blocks are free at once",
        "10.0.0.0/26",
        "n2",
    ]);
    let revision = confirmation.input("revision");
    // Somebody allocates in between: the number that was confirmed is not that which would be released.
    visitor
        .allocate(&[("vpc", "prod"), ("name", "late"), ("hosts", "50")])
        .await;
    let again = visitor
        .post(&path, &[("revision", &revision), ("allocations", "3")])
        .await;
    assert_eq!(again.status, 412);
    again.shows(&["nothing was done", "Its 4 allocations are released"]);
    assert_eq!(visitor.count("allocation").await, 4);
    visitor
        .post(&path, &[("revision", &revision), ("allocations", "4")])
        .await
        .leads_to("/ui/vpcs?notice=deleted");
    assert_eq!(
        (
            visitor.count("allocation").await,
            visitor.count("block").await
        ),
        (0, 0)
    );
    assert_eq!(visitor.get(&path).await.status, 410);
}

#[tokio::test]
async fn allocations_are_found_by_name_address_network_label_and_vpc() {
    let visitor = Visitor::signed_in().await;
    for (vpc, name, labels) in [
        ("prod", "eks", "team=core"),
        ("stage", "gke", "team=web"),
        ("50%_off", "batch", ""),
    ] {
        visitor
            .allocate(&[
                ("vpc", vpc),
                ("name", name),
                ("hosts", "500"),
                ("labels", labels),
            ])
            .await;
    }
    // They have 10.0.0.0/23, 10.0.2.0/23 and 10.0.4.0/23.
    for (query, found) in [
        ("", vec!["eks", "gke", "batch"]),
        ("q=EK", vec!["eks"]),
        ("q=stag", vec!["gke"]),
        ("q=%25_", vec!["batch"]),
        ("q=_ks", vec![]),
        ("q=10.0.3.7", vec!["gke"]),
        ("q=100.64.64.0", vec!["gke"]),
        ("q=10.0.0.0/22", vec!["eks", "gke"]),
        ("q=10.0.5.0/26", vec!["batch"]),
        ("q=10.0.6.0/24", vec![]),
        ("q=team=core", vec!["eks"]),
        ("vpc=PROD", vec!["eks"]),
        ("vpc=prod&q=gke", vec![]),
    ] {
        let reply = visitor.get(&format!("/ui/allocations?{query}")).await;
        assert_eq!(reply.status, 200, "{query}");
        for name in ["eks", "gke", "batch"] {
            assert_eq!(
                reply.text.contains(&format!(">{name}</bdi>")),
                found.contains(&name),
                "{query}: {name}"
            );
        }
    }
    let reply = visitor.get("/ui/allocations?q=10.0.0.5/24").await;
    reply.shows(&["the network is 10.0.0.0/24", "aria-invalid"]);
    visitor
        .get("/ui/allocations?q=nothing-like-it")
        .await
        .shows(&["Nothing was found"]);
}

#[tokio::test]
async fn long_lists_come_in_pages_and_each_item_once() {
    let visitor = Visitor::signed_in().await;
    for index in 0..60 {
        let vpc = format!("vpc-{index:02}");
        visitor
            .allocate(&[
                ("vpc", vpc.as_str()),
                ("name", &format!("item-{index:02}")),
                ("hosts", "9"),
            ])
            .await;
    }
    for (path, link, item) in [
        ("/ui/allocations", "rel=\"next\"", "item-"),
        ("/ui/vpcs", "rel=\"next\"", "vpc-"),
    ] {
        let first = visitor.get(path).await;
        let end = first
            .text
            .find(link)
            .unwrap_or_else(|| panic!("{path} has a next page"));
        let start = first.text[..end].rfind("href=\"").unwrap() + 6;
        let next = first.text[start..]
            .split('"')
            .next()
            .unwrap()
            .replace("&#38;", "&")
            .replace("&amp;", "&");
        let second = visitor.get(&next).await;
        for index in 0..60 {
            let name = format!(">{item}{index:02}</bdi>");
            assert!(
                first.text.contains(&name) ^ second.text.contains(&name),
                "{path}: {name}"
            );
        }
    }
    let pool = visitor.pool_path("primary").await;
    let second = visitor.get(&format!("{pool}?after=10.0.12.64/26")).await;
    second.shows(&["10.0.12.128/26", "First addresses"]);
    second.does_not_show(">10.0.12.64/26</a>");
}

#[tokio::test]
async fn a_pool_of_many_blocks_is_drawn_by_how_full_its_parts_are() {
    let visitor = Visitor::signed_in().await;
    // A /8 with every second /26 of its first /12 taken, and the /10 in its middle reserved.
    for sql in [
        "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
            select vrf_id, 'large', 4, 10, 26 from vrf",
        "insert into pool_range (pool_id, vrf_id, family, cidr) select pool_id, vrf_id, 4, '11.0.0.0/8' from pool
            where name = 'large'",
        "insert into block (range_id, cidr, range_cidr, reason)
            select range_id, set_masklen(cidr + (step * 128)::bigint, 26)::cidr, cidr, 'test'
            from pool_range, generate_series(0, 8191) as step where cidr = '11.0.0.0/8'",
        "insert into block (range_id, cidr, range_cidr, reason)
            select range_id, '11.128.0.0/10', cidr, 'test' from pool_range where cidr = '11.0.0.0/8'",
    ] {
        sqlx::query(sql).execute(&visitor.pool).await.unwrap();
    }
    let reply = visitor.get(&visitor.pool_path("large").await).await;
    assert_eq!(reply.status, 200);
    // A cell is a /18: 128 of its 256 blocks are taken, more than are looked at.
    reply.shows(&[
        "<title>11.0.0.0/18: many blocks, about 50",
        "<title>11.15.192.0/18: many blocks, about 50",
    ]);
    reply.shows(&[
        "<title>11.128.0.0/18: one block, 100% used",
        "<title>11.191.192.0/18: one block, 100% used",
    ]);
    reply.does_not_show("<title>11.16.0.0/18");
    reply.does_not_show("<title>11.192.0.0/18");
    assert!(reply.text.matches("<rect class=\"cell\"").count() <= 1024);
}

#[tokio::test]
async fn a_database_that_is_away_is_said_without_internals() {
    let options = "postgres://nobody@127.0.0.1:1/nothing".parse().unwrap();
    let pool = PgPoolOptions::new()
        .acquire_timeout(Duration::from_millis(50))
        .connect_lazy_with(options);
    let app = router(App::new(Ipam::new(pool.clone()), Auth::new(KEY)));
    let visitor = Visitor {
        app,
        pool,
        cookie: Visitor::signed_in().await.cookie,
        database: None,
    };
    assert_eq!(visitor.get("/ui/sign-in").await.status, 503);
    let reply = visitor.get("/").await;
    assert_eq!(reply.status, 503);
    reply.shows(&[
        "The service is not available at the moment",
        reply.header("x-request-id"),
    ]);
    for internal in [
        "127.0.0.1",
        "nobody",
        "sqlx",
        "Connection refused",
        "os error",
    ] {
        reply.does_not_show(internal);
    }
}

#[tokio::test]
async fn files_are_kept_for_ever_under_their_hash_only() {
    let visitor = Visitor::new().await;
    let page = visitor.get("/ui/sign-in").await;
    for (part, content_type) in [("app.", "text/css"), ("logo.", "image/svg+xml")] {
        let start = page.text.find(&format!("/ui/static/{part}")).unwrap();
        let path = page.text[start..].split('"').next().unwrap();
        let file = visitor.get(path).await;
        assert_eq!(file.status, 200);
        assert!(
            file.header("content-type").starts_with(content_type),
            "{path}"
        );
        assert_eq!(
            file.header("cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(file.header("x-content-type-options"), "nosniff");
    }
    let other = visitor.get("/ui/static/app.000000000000.js").await;
    assert_eq!(
        (other.status, other.header("cache-control")),
        (200, "no-cache")
    );
    for path in [
        "/ui/static/app.css",
        "/ui/static/..%2fapp.css",
        "/ui/static/other.1.css",
    ] {
        assert_eq!(visitor.get(path).await.status, 404, "{path}");
    }
}
