//! Plans that are imported and exported on pages.

use axum::body::Body;
use http::header;
use ipam_server::{app::App, auth::Auth, domain::Ipam, router::router};

use super::{
    nouns::{signed_in_as, unescaped},
    visitor::{KEY, Reply, Visitor},
};

const PATH: &str = "/ui/import";
/// A line break inside of a value, and ends of lines that a form would change.
const PLAN: &str =
    "cidr,vpc,name,description\n10.0.0.0/24,prod,a,\"two\nlines\"\r\n10.0.1.0/24,prod,b,\n";

/// A file in the first step.
async fn preview(visitor: &Visitor, name: &str, content: &[u8]) -> Reply {
    let fields = [
        ("file", Some(name), content),
        ("text", None, &b""[..]),
        ("format", None, b""),
        ("action", None, b"preview"),
    ];
    visitor.upload(PATH, &fields).await
}

/// Presses a button of the second step.
async fn press(visitor: &Visitor, page: &Reply, action: &str) -> Reply {
    let values = ["name", "format", "shown", "content"].map(|name| unescaped(&page.input(name)));
    let [name, format, shown, content] = values.each_ref();
    let fields = [
        ("name", None, name.as_bytes()),
        ("format", None, format.as_bytes()),
        ("shown", None, shown.as_bytes()),
        ("content", None, content.as_bytes()),
        ("action", None, action.as_bytes()),
    ];
    visitor.upload(PATH, &fields).await
}

#[tokio::test]
async fn what_is_imported_is_what_was_previewed() {
    let visitor = Visitor::signed_in().await;
    visitor.get(PATH).await.shows(&[
        "enctype=\"multipart/form-data\"",
        "value=\"preview\">Preview</button>",
    ]);
    let before = visitor.count("event").await;
    let page = preview(&visitor, "plan.csv", PLAN.as_bytes()).await;
    assert_eq!(page.status, 200, "{}", page.text);
    page.shows(&[
        "<bdi>plan.csv</bdi>",
        "2, of which 0 are there already",
        "2 allocations",
        "1 VPC, 2 allocations, 2 blocks of allocations",
        "Import 2 records</button>",
    ]);
    assert_eq!(
        (
            visitor.count("allocation").await,
            visitor.count("event").await
        ),
        (0, before)
    );
    let done = press(&visitor, &page, "confirm").await;
    assert_eq!(done.status, 200, "{}", done.text);
    done.shows(&["Everything in the file is there now.", "2 allocations"]);
    let descriptions: Vec<String> =
        sqlx::query_scalar("select description from allocation order by name")
            .fetch_all(&visitor.pool)
            .await
            .unwrap();
    assert_eq!(descriptions, ["two\nlines", ""]);
    // Sent again, it is not what was shown any more: everything is there.
    let again = press(&visitor, &page, "confirm").await;
    assert_eq!(again.status, 412, "{}", again.text);
    again.shows(&["nothing was imported", "There is nothing to do."]);
    assert_eq!(visitor.count("allocation").await, 2);
    // Pasted, in the other format, and back to the form.
    let line = r#"{"cidr":"10.0.2.0/24","vpc":"prod","name":"c"}"#;
    let fields = [
        ("file", Some(""), &b""[..]),
        ("text", None, line.as_bytes()),
        ("format", None, b""),
        ("action", None, b"preview"),
    ];
    let page = visitor.upload(PATH, &fields).await;
    page.shows(&[
        "The pasted text",
        "Import 1 record</button>",
        "bytes of JSON",
    ]);
    let back = press(&visitor, &page, "change").await;
    back.shows(&[
        "{&#34;cidr&#34;:&#34;10.0.2.0/24&#34;",
        "value=\"json\" selected",
    ]);
    press(&visitor, &page, "confirm")
        .await
        .shows(&["Everything in the file is there now."]);
    assert_eq!(visitor.count("allocation").await, 3);
}

#[tokio::test]
async fn every_conflict_is_named_with_its_line_and_nothing_is_imported() {
    let visitor = Visitor::signed_in().await;
    let page = preview(
        &visitor,
        "plan.csv",
        b"cidr,vpc,name\n10.0.0.0/24,prod,a\n10.0.0.0/25,prod,b\n10.9.0.1/24,prod,c\nnonsense,prod,d\n",
    )
    .await;
    page.shows(&[
        "line 4</th>",
        "line 5</th>",
        "bad value",
        "nonsense",
        "It can't be imported",
    ]);
    page.does_not_show("value=\"confirm\"");
    let good = "cidr,vpc,name\n10.0.0.0/24,prod,a\n";
    let page = preview(&visitor, "plan.csv", good.as_bytes()).await;
    page.shows(&["Import 1 record</button>"]);
    // Somebody is faster.
    visitor
        .allocate(&[
            ("vpc", "other"),
            ("name", "x"),
            ("by", "cidr"),
            ("cidr", "10.0.0.0/24"),
        ])
        .await;
    let late = press(&visitor, &page, "confirm").await;
    assert_eq!(late.status, 412, "{}", late.text);
    late.shows(&[
        "nothing was imported",
        "line 2</th>",
        "overlap",
        "10.0.0.0/24",
    ]);
    late.does_not_show("value=\"confirm\"");
    assert_eq!(visitor.count("allocation").await, 1);
    // A confirmation without a preview is none.
    let fields = [
        ("name", None, &b"plan.csv"[..]),
        ("format", None, b"csv"),
        ("shown", None, b""),
        (
            "content",
            None,
            b"Y2lkcix2cGMsbmFtZQoxMC4wLjQuMC8yNCxwcm9kLHoK",
        ),
        ("action", None, b"confirm"),
    ];
    assert_eq!(visitor.upload(PATH, &fields).await.status, 412);
    assert_eq!(visitor.count("allocation").await, 1);
    // More than a page has.
    let mut many = "cidr,vpc,name\n".to_owned();
    for index in 0..1_200 {
        many.push_str(&format!("nonsense-{index},prod,n{index}\n"));
    }
    let page = preview(&visitor, "plan.csv", many.as_bytes()).await;
    assert_eq!(
        page.text
            .matches("<th scope=\"row\" role=\"rowheader\"")
            .count(),
        1_000
    );
    page.shows(&[
        "1,200 conflicts",
        "And 200 more",
        "ipam import &#39;plan.csv&#39; --format csv --dry-run",
    ]);
}

#[tokio::test]
async fn what_is_no_plan_is_said_on_the_form() {
    let visitor = Visitor::signed_in().await;
    for (file, text, problem) in [
        (&b""[..], &b" \r\n"[..], "Choose a file that is not empty"),
        (b"cidr\n", b"cidr\n", "and not both"),
        (b"\xff\xfe\x00c", b"", "class=\"problem\""),
        (b"no,such,columns\n1,2,3\n", b"", "class=\"problem\""),
    ] {
        let fields = [
            ("file", Some("a.csv"), file),
            ("text", None, text),
            ("format", None, b"csv"),
            ("action", None, b"preview"),
        ];
        let page = visitor.upload(PATH, &fields).await;
        assert!(matches!(page.status, 200 | 422), "{}", page.text);
        if page.status == 422 {
            page.shows(&[problem]);
        } else {
            page.shows(&["conflict"]);
        }
    }
    let large = vec![b'x'; (4 << 20) + 1];
    for content in [large.clone(), [large.clone(), large].concat()] {
        let page = preview(&visitor, "large.csv", &content).await;
        assert_eq!(page.status, 413);
        page.shows(&[
            "too large for this page",
            "ipam import FILE",
            "64 MiB",
            "Address space",
        ]);
    }
    assert_eq!(visitor.count("allocation").await, 0);
}

#[tokio::test]
async fn forms_with_files_are_those_of_the_session_and_of_administrators() {
    let visitor = Visitor::signed_in().await;
    let page = preview(&visitor, "plan.csv", PLAN.as_bytes()).await;
    let (shown, content) = (page.input("shown"), unescaped(&page.input("content")));
    let fields = |token: &'static str| {
        [
            ("csrf", None, token.as_bytes()),
            ("name", None, b"plan.csv"),
            ("format", None, b"csv"),
            ("shown", None, shown.as_bytes()),
            ("content", None, content.as_bytes()),
            ("action", None, b"confirm"),
        ]
    };
    for token in ["", "AAAA"] {
        let reply = visitor.upload_raw(PATH, &fields(token)).await;
        assert_eq!(reply.status, 403, "{}", reply.text);
    }
    let token = visitor.token().await;
    for (name, value, kind, status) in [
        (
            "sec-fetch-site",
            "cross-site",
            "multipart/form-data; boundary=b",
            403,
        ),
        ("x-nothing", "", "multipart/form-data; boundary=b", 403),
        ("sec-fetch-site", "same-origin", "text/plain", 400),
        ("sec-fetch-site", "same-origin", "multipart/form-data", 400),
        (
            "sec-fetch-site",
            "same-origin",
            "multipart/form-data; boundary=c",
            400,
        ),
    ] {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n{token}\r\n--b--\r\n"
        );
        let request = visitor
            .request("POST", PATH)
            .header(header::CONTENT_TYPE, kind)
            .header(name, value);
        let reply = visitor.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(reply.status, status, "{name} {kind}");
    }
    let operator = signed_in_as(&visitor, &[("name", "op"), ("roles", "operator")]).await;
    assert_eq!(operator.get(PATH).await.status, 403);
    let refused = preview(&operator, "plan.csv", PLAN.as_bytes()).await;
    assert_eq!(refused.status, 403);
    operator.get("/").await.does_not_show("/ui/import");
    let mut stranger = operator;
    stranger.cookie = None;
    let reply = stranger.upload_raw(PATH, &fields("AAAA")).await;
    assert_eq!(reply.status, 303);
    assert_eq!(visitor.count("allocation").await, 0);
}

#[tokio::test]
async fn what_a_file_says_stays_text() {
    const EVIL: &str = "x><img src=x onerror=alert(1)><b>\u{202e}.csv";
    let visitor = Visitor::signed_in().await;
    let plan = format!("cidr,vpc,name\n{EVIL},{EVIL},{EVIL}\n10.0.0.0/24,{EVIL},{EVIL}\n");
    let page = preview(&visitor, EVIL, plan.as_bytes()).await;
    assert_eq!(page.status, 200);
    page.shows(&["&#60;img src=x"]);
    page.does_not_show("<img src=x");
    let back = press(&visitor, &page, "change").await;
    back.does_not_show("<img src=x");
    let fields = [
        ("text", None, plan.as_bytes()),
        ("format", None, b"csv"),
        ("action", None, b"preview"),
    ];
    let pasted = visitor.upload(PATH, &fields).await;
    pasted.does_not_show("<img src=x");
    let back = press(&visitor, &pasted, "change").await;
    back.does_not_show("<img src=x");
    back.shows(&["&#60;img src=x"]);
}

#[tokio::test]
async fn an_export_is_that_of_the_api_or_a_part_of_it() {
    let visitor = Visitor::signed_in().await;
    for (vrf, range) in [("lab", "192.168.0.0/16"), ("empty", "")] {
        visitor
            .post("/ui/vrfs/new", &[("name", vrf), ("action", "confirm")])
            .await;
        if !range.is_empty() {
            let fields = [
                ("name", "labs"),
                ("vrf", vrf),
                ("ranges", range),
                ("action", "confirm"),
            ];
            visitor.post("/ui/pools/new", &fields).await;
        }
    }
    visitor
        .allocate(&[("vpc", "prod"), ("name", "eks"), ("hosts", "500")])
        .await;
    visitor
        .allocate(&[
            ("vpc", "test"),
            ("vrf", "lab"),
            ("name", "b"),
            ("pools", "labs"),
            ("hosts", "5"),
        ])
        .await;
    visitor.get("/ui/export").await.shows(&[
        "<option value=\"lab\">lab</option>",
        "value=\"csv\" checked",
    ]);
    for (format, name, kind) in [
        ("csv", "ipam.csv", "text/csv"),
        ("json", "ipam.ndjson", "application/x-ndjson"),
    ] {
        let file = visitor
            .get(&format!("/ui/export/file?format={format}"))
            .await;
        assert_eq!(file.status, 200);
        assert!(file.header("content-type").starts_with(kind));
        assert_eq!(
            file.header("content-disposition"),
            format!("attachment; filename=\"{name}\"")
        );
        assert_eq!(file.header("x-content-type-options"), "nosniff");
        let whole = visitor
            .api(&format!("/api/v1/export?format={format}"))
            .await;
        assert_eq!(file.text, whole.text);
        // It can be imported: everything is there.
        let page = preview(&visitor, name, file.text.as_bytes()).await;
        page.shows(&["There is nothing to do."]);
        let lab = visitor
            .get(&format!("/ui/export/file?format={format}&vrf=lab"))
            .await;
        assert_eq!(lab.status, 200);
        for (text, is_there) in [
            ("labs", true),
            ("192.168.0.", true),
            ("eks", false),
            ("primary", false),
            ("node-pod", false),
        ] {
            assert_eq!(lab.text.contains(text), is_there, "{text}: {}", lab.text);
        }
        for line in lab.text.lines() {
            assert!(whole.text.lines().any(|other| other == line), "{line}");
        }
        preview(&visitor, name, lab.text.as_bytes())
            .await
            .shows(&["There is nothing to do."]);
        let of_default = visitor
            .get(&format!("/ui/export/file?format={format}&vrf=default"))
            .await;
        assert!(of_default.text.contains("node-pod") && !of_default.text.contains("labs"));
    }
    for (query, status) in [
        ("format=xml", 400),
        ("", 400),
        ("format=csv&vrf=nowhere", 404),
    ] {
        let reply = visitor.get(&format!("/ui/export/file?{query}")).await;
        assert_eq!(reply.status, status, "{query}");
    }
    let limited = [
        ("name", "limited"),
        ("roles", "reader"),
        ("limit_vpcs", "team-*"),
    ];
    let limited = signed_in_as(&visitor, &limited).await;
    let page = limited.get("/ui/export").await;
    page.shows(&["a part of a plan is none that could be imported"]);
    page.does_not_show("Download");
    assert_eq!(limited.get("/ui/export/file?format=csv").await.status, 403);
    let reader = signed_in_as(&visitor, &[("name", "reader"), ("roles", "reader")]).await;
    assert_eq!(reader.get("/ui/export/file?format=csv").await.status, 200);
    // Who took it is in the audit log, as with the API.
    let ipam = Ipam::new(visitor.pool.clone());
    let noting = Visitor {
        app: router(App::new(ipam.clone(), Auth::new(KEY))),
        pool: visitor.pool.clone(),
        cookie: visitor.cookie.clone(),
        database: None,
    };
    assert_eq!(noting.get("/ui/export/file?format=csv").await.status, 200);
    ipam.write_notes().await.unwrap();
    let taken: Vec<(String, String)> =
        sqlx::query_as("select actor, detail->>'request' from event where action = 'plan.export'")
            .fetch_all(&visitor.pool)
            .await
            .unwrap();
    assert_eq!(
        taken,
        [("admin".to_owned(), "GET /ui/export/file".to_owned())]
    );
    let mut stranger = reader;
    stranger.cookie = None;
    assert_eq!(stranger.get("/ui/export/file?format=csv").await.status, 303);
}
