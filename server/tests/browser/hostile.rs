//! Texts that somebody stored, on every page: none does anything, none is taken for something else, none breaks the layout.

use serde_json::{Value, json};

use crate::{
    chromium::Look,
    client::Client,
    stage::{Stage, everywhere},
};

/// What was stored in every field that takes a text: markup, scripts, templates and formats of other systems, texts that
/// turn around, hide or are endless.
const TEXTS: [&str; 60] = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "\"><img src=x onerror=alert(3)>",
    "'><svg onload=alert(4)>",
    "<svg><script>alert(5)</script></svg>",
    "javascript:alert(6)",
    "\" autofocus onfocus=alert(7) x=\"",
    "' autofocus onfocus=alert(8) x='",
    "{{constructor.constructor('alert(9)')()}}",
    "${alert(10)}",
    "#{7*7}<%= 7*7 %>",
    "{% raw %}{{ 7 }}{% endraw %}",
    "<iframe srcdoc='<script>alert(11)</script>'></iframe>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//example.com/x.css>",
    "<base href=//example.com/>",
    "<meta http-equiv=refresh content='0;url=//example.com'>",
    "<form action=//example.com><input name=key autofocus>",
    "</title><script>alert(12)</script>",
    "</textarea><script>alert(13)</script>",
    "</option></select><script>alert(14)</script>",
    "</svg></pattern><img src=x onerror=alert(15)>",
    "<!-- ",
    "--><script>alert(16)</script>",
    "<![CDATA[<script>alert(17)</script>]]>",
    "&lt;script&gt;alert(18)&lt;/script&gt;",
    "&#60;img src=x onerror=alert(19)&#62;",
    "&quot;&apos;&amp;&nbsp;&#0;&notanentity;",
    "\\u003cscript\\u003ealert(20)\\u003c/script\\u003e",
    "%3Cscript%3Ealert(21)%3C%2Fscript%3E",
    "<a href=\"javascript:alert(22)\">click</a>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(23)>",
    "<details open ontoggle=alert(24)>",
    "<video><source onerror=alert(25)></video>",
    "<x onmouseover=alert(26)>hover</x>",
    "'; drop table allocation; --",
    "' or '1'='1",
    "$(touch /tmp/pwned) `id`",
    "%s%s%n %d {} {0}",
    "=cmd|' /C calc'!A0",
    "../../../../etc/passwd",
    "?q=1&q=2#fragment",
    "a\\b\\\"c\\'d",
    "${var.secret} %{ for x in y }",
    "heredoc <<EOT",
    "null",
    "true",
    "-1e999",
    "__proto__",
    "\u{202e}evil\u{202c}",
    "live\u{202e}exe.gpj",
    "\u{2067}turned\u{2066}",
    "zero\u{200b}width\u{feff}",
    "שלום עולם",
    "مرحبا بالعالم",
    "a\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
    "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿 and 漢字仮名交じり文",
    "\u{fdfd}\u{fdfd}\u{fdfd}\u{fdfd}\u{fdfd}\u{fdfd}\u{fdfd}\u{fdfd}",
    "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen",
];

/// What is wrong with a page on which such texts stand.
const LOOK: &str = r#"(() => {
    const wrong = [];
    const grown = "iframe, base, math, video, details[ontoggle], x, meta[http-equiv], link[href*='example.com'], style, " +
        "form[action*='example.com'], svg script, [onload], [onerror], [onfocus], [onmouseover], script:not([src]), " +
        "a[href^='javascript' i], img:not([src^='/ui/static/'])";
    for (const e of document.querySelectorAll(grown)) wrong.push(`grew: ${e.outerHTML.slice(0, 200)}`);
    const root = document.documentElement;
    if (root.scrollWidth > innerWidth) {
        const wide = [...document.querySelectorAll("body *")].find((e) => e.getBoundingClientRect().right > innerWidth + 1);
        wrong.push(`scrolls sideways: ${root.scrollWidth} of ${innerWidth}, ${wide?.outerHTML.slice(0, 200)}`);
    }
    for (const table of document.querySelectorAll(".table"))
        if (innerWidth >= 1280 && table.scrollWidth > table.clientWidth + 1) wrong.push(`hides columns: ${table.innerText.slice(0, 100)}`);
    // What turns a text around, or hides in it, is named; only what is sent back or copied has it.
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode())
        if (/[\u200b\u202a-\u202e\u2066-\u2069\ufeff]/.test(walker.currentNode.data) && !walker.currentNode.parentElement.closest("textarea, pre"))
            wrong.push(`is not what it looks like: ${walker.currentNode.parentElement.outerHTML.slice(0, 200)}`);
    for (const e of document.querySelectorAll("[title], [aria-label]"))
        if (/[\u202a-\u202e\u2066-\u2069]/.test(e.title + e.ariaLabel)) wrong.push(`has another title than it seems: ${e.outerHTML.slice(0, 200)}`);
    return wrong;
})()"#;

/// A name with that text in it: what a name can't have is left out.
fn name(text: &str) -> String {
    let name: String = text.replace('/', "\\").chars().take(128).collect();
    name.trim().to_owned()
}

/// The body of a new thing of that noun.
fn body(noun: &str, n: usize, name: &str) -> Value {
    let text = TEXTS[n];
    let key: String = text.chars().take(63).collect();
    let labels = json!({ key: text, "key": TEXTS[(n + 1) % TEXTS.len()] });
    match noun {
        "vrfs" | "vpcs" => json!({"name": name, "description": text, "labels": labels}),
        "pools" => {
            json!({"name": name, "description": text, "labels": labels, "ranges": [format!("172.16.{n}.0/24")],
            "min_prefix_length": 24, "max_prefix_length": 28, "required_labels": {"key": [text]}})
        }
        "profiles" => {
            json!({"name": name, "description": text, "members": [{"role": "nodes", "pool": "primary"}]})
        }
        "reservations" => {
            json!({"cidr": format!("10.0.{}.0/24", 128 + n), "reason": text, "labels": labels})
        }
        "allocations" => {
            json!({"vpc": TEXTS_VPC, "name": name, "description": text, "labels": labels, "prefix_length": 26})
        }
        "tokens" => json!({"name": name, "description": text, "roles": ["reader"]}),
        "webhooks" => {
            json!({"name": name, "description": text, "url": format!("https://example.com/?{}", name.replace([' ', '#'], "+")), "enabled": false})
        }
        _ => unreachable!("{noun}"),
    }
}

/// The VPC of all those allocations.
const TEXTS_VPC: &str = "texts";

/// Stores each text in something of that noun, and answers their ids. A name that new things can't have is one from before.
async fn store(stage: &Stage, client: &mut Client, noun: &str) -> Vec<String> {
    let (table, named) = match noun {
        "reservations" => ("reservation", None),
        noun => {
            let table = noun.trim_end_matches('s');
            (
                table,
                Some(format!("update {table} set name = $1 where name = $2")),
            )
        }
    };
    let mut connection = stage.database.connect().await;
    let (mut ids, mut old) = (Vec::new(), 0);
    for (n, text) in TEXTS.iter().enumerate() {
        let path = format!("/api/v1/{noun}");
        let name = name(text);
        let mut reply = client.post(&path, &body(noun, n, &name)).await.unwrap();
        if reply.status == 400 && named.is_some() {
            let plain = format!("{table}-{n}");
            reply = client.post(&path, &body(noun, n, &plain)).await.unwrap();
            let done = sqlx::query(sqlx::AssertSqlSafe(named.clone().unwrap()))
                .bind(&name)
                .bind(&plain)
                .execute(&mut connection)
                .await
                .unwrap();
            assert_eq!(done.rows_affected(), 1, "{noun} {text}");
            old += 1;
        }
        assert_eq!(reply.status, 201, "{noun} {text}: {}", reply.json);
        ids.push(reply.json["id"].as_str().unwrap().to_owned());
    }
    // Those that turn or hide, and one of several joined signs.
    assert_eq!(old, if named.is_some() { 5 } else { 0 }, "{noun}");
    ids
}

/// Opens pages, half of them on a phone and half on a laptop; every night all on both. Some may be refused: of these, the
/// browser's log has the status, and nothing else.
async fn look_at(stage: &mut Stage, pages: &[String], are_some_refused: bool) {
    for (turn, width) in [(0, 390), (1, 1280)] {
        let look = Look { width, dark: false };
        stage.browser.look(look).await;
        for (n, path) in pages.iter().enumerate() {
            if n % 2 != turn && !everywhere() {
                continue;
            }
            stage.open(path).await;
            let place = format!("{path} at {width}");
            stage.finds_nothing(LOOK, &place).await;
            let problems = stage.browser.take_problems();
            assert!(
                problems.iter().all(|problem| are_some_refused
                    && problem.contains("the server responded with a status of 4")),
                "{place}: {problems:?}"
            );
        }
    }
}

/// The pages of all things of that noun, of which every text is one; and where else they stand.
async fn nothing_happens(nouns: &[&str], elsewhere: &[&str]) {
    let mut stage = Stage::new().await;
    stage.sign_in().await;
    let mut client = stage.client().await;
    let mut pages: Vec<_> = elsewhere.iter().map(|&page| page.to_owned()).collect();
    for (offset, noun) in nouns.iter().enumerate() {
        pages.push(format!("/ui/{noun}"));
        let ids = store(&stage, &mut client, noun).await;
        for (n, id) in ids.into_iter().enumerate() {
            let path = format!("/ui/{noun}/{id}");
            if everywhere() || (n + offset) % 12 == 0 {
                let end = if *noun == "allocations" {
                    "release"
                } else {
                    "delete"
                };
                pages.push(format!("{path}/edit"));
                pages.push(format!("{path}/{end}"));
            }
            pages.push(path);
        }
    }
    look_at(&mut stage, &pages, false).await;
}

#[tokio::test]
async fn texts_in_allocations() {
    nothing_happens(
        &["allocations"],
        &["/ui/map?at=10.0.0.0/17&by=label:key", "/ui/search?q=a", "/"],
    )
    .await;
}

#[tokio::test]
async fn texts_in_pools_and_vrfs() {
    nothing_happens(
        &["pools", "vrfs"],
        &["/", "/ui/map", "/ui/allocations/new", "/ui/search?q=a"],
    )
    .await;
}

#[tokio::test]
async fn texts_in_vpcs_profiles_and_reservations() {
    nothing_happens(
        &["vpcs", "profiles", "reservations"],
        &[
            "/",
            "/ui/map?at=10.0.128.0/17",
            "/ui/allocations/new",
            "/ui/search?q=a",
        ],
    )
    .await;
}

#[tokio::test]
async fn texts_in_tokens_and_webhooks() {
    nothing_happens(&["tokens", "webhooks"], &["/"]).await;
}

/// What is sent to a page instead.
#[tokio::test]
async fn texts_in_addresses_of_pages() {
    let mut stage = Stage::new().await;
    stage.sign_in().await;
    let mut pages = Vec::new();
    for (n, text) in TEXTS.iter().enumerate() {
        let text: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for (m, page) in [
            "/ui/allocations?q=T&vpc=T",
            "/ui/vpcs?q=T&name=T",
            "/ui/search?q=T",
            "/ui/map?at=T&pick=T&by=T&vrf=T&view=T&time=T",
            "/ui/allocations/new?vpc=T&name=T&hosts=T&labels=T&by=T&description=T",
            "/ui/pools/T",
            "/ui/sign-in?next=T",
        ]
        .iter()
        .enumerate()
        {
            if everywhere() || (n + m) % 7 == 0 {
                pages.push(page.replace('T', &text));
            }
        }
    }
    look_at(&mut stage, &pages, true).await;
}
