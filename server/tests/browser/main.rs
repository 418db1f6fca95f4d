//! The dashboard in a real browser: what people do, with and without scripts, on wide and narrow screens, in light and
//! dark.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

mod chromium;

use ipam_testing::{TestDatabase, TestServer};
use serde_json::{Value, json};

use self::chromium::{Chromium, Look};

const WIDE: Look = Look {
    width: 1440,
    dark: false,
};

/// A server on a database of its own, and a browser.
struct Stage {
    browser: Chromium,
    server: TestServer,
    database: TestDatabase,
}

impl Stage {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let server = TestServer::start(&database).await;
        let mut browser = Chromium::start().await;
        browser.look(WIDE).await;
        Self {
            browser,
            server,
            database,
        }
    }

    async fn open(&mut self, path: &str) {
        let url = format!("{}{path}", self.server.url());
        self.browser.open(&url).await;
    }

    async fn sign_in(&mut self) {
        self.open("/").await;
        self.browser.fill("#key", TestServer::API_KEY).await;
        self.browser.follow("main button").await;
    }

    /// Where the browser is.
    async fn path(&mut self) -> String {
        self.browser.text("location.pathname").await
    }

    /// Fails if anything went wrong in the browser.
    fn no_problems(&mut self) {
        assert_eq!(self.browser.take_problems(), Vec::<String>::new());
    }
}

/// All that the page of the original system could do, and a preview, as a person does it.
async fn the_whole_story(mut stage: Stage) {
    a_wrong_key_first(&mut stage).await;
    let (eks, batch) = allocates(&mut stage).await;
    a_mistake_is_named(&mut stage).await;
    finds_and_moves(&mut stage, &batch).await;
    releases(&mut stage, &eks).await;

    // The documentation of the API is a link away.
    let docs = stage
        .browser
        .text("document.querySelector('nav a[href^=\"/docs\"]').href")
        .await;
    assert_eq!(docs, format!("{}/docs/", stage.server.url()));

    stage.browser.follow(".top form button").await;
    assert_eq!(stage.path().await, "/ui/sign-in");
    stage.open("/ui/vpcs").await;
    assert_eq!(stage.path().await, "/ui/sign-in");
    stage.no_problems();
}

async fn a_wrong_key_first(stage: &mut Stage) {
    stage.open("/").await;
    assert_eq!(stage.path().await, "/ui/sign-in");
    stage.browser.fill("#key", "guess").await;
    stage.browser.follow("main button").await;
    stage
        .browser
        .shows(&["That key is not known to this server."])
        .await;
    // The browser's log has the status of that answer, and nothing else.
    let problems = stage.browser.take_problems();
    assert!(
        problems.iter().all(|problem| problem.contains("401")),
        "{problems:?}"
    );

    stage.browser.fill("#key", TestServer::API_KEY).await;
    stage.browser.enter().await;
    assert_eq!(stage.path().await, "/");
    stage
        .browser
        .shows(&["Nothing is allocated yet", "0\nallocations"])
        .await;
}

/// By hosts and by prefix length; answers where these are shown.
async fn allocates(stage: &mut Stage) -> (String, String) {
    // By hosts, with a preview.
    stage.browser.follow("main .head .button").await;
    stage.browser.fill("#vpc", "production").await;
    stage.browser.fill("#name", "eks").await;
    stage.browser.fill("#hosts", "500").await;
    stage.browser.follow("button[value=preview]").await;
    stage
        .browser
        .shows(&["Nothing is taken yet", "10.0.0.0/23", "100.64.0.0/18"])
        .await;
    stage.browser.follow("button[value=confirm]").await;
    stage
        .browser
        .shows(&[
            "Allocated.",
            "eks",
            "10.0.0.0/23",
            "100.64.0.0/18",
            "16,379",
            "500 hosts",
        ])
        .await;
    let eks = stage.path().await;

    // By prefix length; Enter from another field leads to the preview, and takes nothing.
    stage.open("/ui/allocations/new?vpc=production").await;
    stage.browser.click("input[value=prefix_length]").await;
    stage.browser.fill("#prefix_length", "24").await;
    stage.browser.fill("#name", "batch").await;
    stage.browser.enter().await;
    stage
        .browser
        .shows(&["Nothing is taken yet", "10.0.2.0/24", "100.64.64.0/19"])
        .await;
    stage.browser.follow("button[value=confirm]").await;
    stage
        .browser
        .shows(&["Allocated.", "10.0.2.0/24", "100.64.64.0/19"])
        .await;
    let batch = stage.path().await;
    (eks, batch)
}

/// And what was typed is still there.
async fn a_mistake_is_named(stage: &mut Stage) {
    stage.open("/ui/allocations/new").await;
    stage.browser.fill("#vpc", "production").await;
    stage.browser.fill("#hosts", "5000").await;
    stage.browser.follow("button[value=preview]").await;
    stage.browser.shows(&["5000 hosts are too many"]).await;
    assert_eq!(
        stage
            .browser
            .evaluate("document.getElementById('hosts').value")
            .await,
        "5000"
    );
    let problems = stage.browser.take_problems();
    assert!(
        problems.iter().all(|problem| problem.contains("422")),
        "{problems:?}"
    );
}

async fn finds_and_moves(stage: &mut Stage, batch: &str) {
    // The map leads to the allocation.
    stage.open("/").await;
    stage
        .browser
        .follow("main a[href^='/ui/pools/']:is(tr:nth-child(2) a)")
        .await;
    stage
        .browser
        .shows(&["primary", "Each row is a /20", "10.0.240.0"])
        .await;
    // What is clicked is shown closely, with or without a new page.
    stage.browser.click("svg a[data-cidr='10.0.2.0/24']").await;
    let closely = format!("#pick a[href='{batch}']");
    stage.browser.waits_for(&closely).await;
    stage.browser.follow(&closely).await;
    assert_eq!(stage.path().await, batch);

    // To another VPC: the ranges stay.
    stage.browser.follow("main a[href$='/edit']").await;
    stage.browser.fill("#vpc", "staging").await;
    stage.browser.enter().await;
    stage.browser.shows(&["The ranges stay the same."]).await;
    stage.browser.follow("button[value=confirm]").await;
    stage
        .browser
        .shows(&["Saved.", "moved to VPC staging", "10.0.2.0/24"])
        .await;

    // Found by an address in it.
    stage.open("/ui/allocations").await;
    stage.browser.fill("#q", "100.64.70.1").await;
    stage.browser.enter().await;
    stage.browser.shows(&["batch", "10.0.2.0/24"]).await;
    stage.browser.does_not_show("eks").await;
}

async fn releases(stage: &mut Stage, eks: &str) {
    // Released, after a page that says what.
    stage.open(eks).await;
    stage.browser.follow(".danger").await;
    stage
        .browser
        .shows(&[
            "Release allocation eks?",
            "10.0.0.0/23",
            "100.64.0.0/18",
            "This can't be undone",
        ])
        .await;
    stage.browser.follow("main .quiet").await;
    assert_eq!(stage.path().await, eks);
    stage.browser.follow(".danger").await;
    stage.browser.follow("main form button").await;
    stage.browser.shows(&["Released.", "batch"]).await;
    stage.browser.does_not_show("10.0.0.0/23").await;

    // A VPC with what is in it.
    stage.open("/ui/vpcs").await;
    stage.browser.shows(&["production", "staging"]).await;
    stage
        .browser
        .follow("tbody tr:last-child td:last-child a[href$='/delete']")
        .await;
    stage
        .browser
        .shows(&[
            "Delete VPC staging?",
            "Its allocation is released with it",
            "10.0.2.0/24",
        ])
        .await;
    stage.browser.follow("main form button").await;
    stage.browser.shows(&["Deleted.", "production"]).await;
    stage.browser.does_not_show("staging").await;
}

#[tokio::test]
async fn everything_is_done_in_a_browser() {
    the_whole_story(Stage::new().await).await;
}

#[tokio::test]
async fn everything_is_done_without_scripts() {
    let mut stage = Stage::new().await;
    stage.browser.disable_scripts().await;
    the_whole_story(stage).await;
}

/// What is wrong with a page for somebody's eyes or screen reader. In the page, since only the browser knows.
const INSPECT: &str = r#"(() => {
    const wrong = [];
    const root = document.documentElement;
    if (root.scrollWidth > innerWidth) {
        const wide = [...document.querySelectorAll("body *")].find((e) => e.getBoundingClientRect().right > innerWidth + 1);
        wrong.push(`scrolls sideways: ${root.scrollWidth} of ${innerWidth}, ${wide?.outerHTML.slice(0, 200)}`);
    }
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) wrong.push(`id ${id} is there twice`);
    for (const e of document.querySelectorAll("[aria-describedby], [aria-labelledby]")) {
        const names = `${e.getAttribute("aria-describedby") ?? ""} ${e.getAttribute("aria-labelledby") ?? ""}`.trim();
        for (const id of names.split(/\s+/)) if (!document.getElementById(id)) wrong.push(`nothing has the id ${id}`);
    }
    for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea"))
        if (!e.labels.length) wrong.push(`no label: ${e.outerHTML}`);
    for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) wrong.push(`no alt: ${e.outerHTML}`);
    for (const e of document.querySelectorAll("th")) if (!e.scope) wrong.push(`no scope: ${e.outerHTML}`);
    if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
    if (!document.title.trim()) wrong.push("no title");

    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (color) => {
        const [r, g, b] = color.map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const color = rgba(getComputedStyle(e).backgroundColor);
            if (color[3] === 255) return color;
        }
        return [255, 255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const seen = new Set();
    while (walker.nextNode()) {
        const e = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || seen.has(e) || e.closest("svg, .hidden, datalist, option, script")) continue;
        seen.add(e);
        if (!e.checkVisibility()) continue;
        const style = getComputedStyle(e);
        const [a, b] = [luminance(rgba(style.color)), luminance(ground(e))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        if (contrast < (large ? 3 : 4.5)) wrong.push(`contrast ${contrast.toFixed(2)}: ${e.outerHTML.slice(0, 120)}`);
    }
    return wrong;
})()"#;

/// Allocations, a pool with many ranges and with reservations; the addresses of all pages.
async fn fill_with_something(stage: &mut Stage) -> Vec<String> {
    let mut connection = stage.database.connect().await;
    for sql in [
        "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length, description)
            select vrf_id, 'many-ranges', 4, 8, 26, 'Ranges of several sizes' from vrf",
        "insert into pool_range (pool_id, vrf_id, family, cidr)
            select pool_id, vrf_id, 4, ('172.' || n || '.0.0/' || 16 + n % 12)::cidr from pool, generate_series(16, 36) as n
            where name = 'many-ranges'",
        "insert into block (range_id, cidr, range_cidr, reason)
            select range_id, cidr, cidr, 'on premises' from pool_range where cidr <<= '172.18.0.0/16'",
    ] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    let mut allocation = String::new();
    for (vpc, name, size) in [
        ("production", "eks", "500"),
        (
            "staging",
            "a-rather-long-name-for-a-cluster-in-a-region",
            "60",
        ),
    ] {
        stage.open(&format!("/ui/allocations/new?vpc={vpc}&name={name}&hosts={size}&labels=team%3Dcore%0Aenvironment%3Dprod")).await;
        stage.browser.follow("button[value=preview]").await;
        stage.browser.follow("button[value=confirm]").await;
        allocation = stage.path().await;
    }
    stage.open("/ui/vpcs").await;
    let delete = stage
        .browser
        .text("document.querySelector('a[href$=\"/delete\"]').getAttribute('href')")
        .await;
    stage.open("/").await;
    let pools = stage
        .browser
        .evaluate("[...document.querySelectorAll('main a[href^=\"/ui/pools/\"]')].map((a) => a.getAttribute('href'))")
        .await;
    let mut pages = vec![
        "/".to_owned(),
        "/ui/allocations".to_owned(),
        "/ui/allocations?q=10.0.0.5/24".to_owned(),
        "/ui/allocations/new".to_owned(),
        format!("{allocation}?notice=allocated"),
        format!("{allocation}/release"),
        format!("{allocation}/edit"),
        "/ui/map?pick=10.0.0.0/24".to_owned(),
        "/ui/map?at=10.0.0.0/16&pick=10.0.128.0/20&by=age".to_owned(),
        "/ui/map?at=192.0.2.0/24".to_owned(),
        "/ui/search".to_owned(),
        "/ui/search?q=a".to_owned(),
        "/ui/search?q=10.0.0.5/24".to_owned(),
        "/ui/events".to_owned(),
        "/ui/events?action=allocation.create&from=soon".to_owned(),
        "/ui/import".to_owned(),
        "/ui/export".to_owned(),
        "/ui/sessions".to_owned(),
        delete.replace("/delete", ""),
        delete.replace("/delete", "/edit"),
        delete,
    ];
    for noun in [
        "vrfs",
        "pools",
        "profiles",
        "reservations",
        "vpcs",
        "tokens",
        "webhooks",
    ] {
        pages.push(format!("/ui/{noun}"));
        pages.push(format!("/ui/{noun}/new"));
    }
    let pools = pools.as_array().unwrap();
    let pools = pools.iter().map(|pool| pool.as_str().unwrap().to_owned());
    for pool in pools {
        pages.push(format!("{pool}/edit"));
        pages.push(format!("{pool}/delete"));
        pages.push(format!("{pool}?view=hilbert&by=state"));
        pages.push(pool);
    }
    pages
}

#[tokio::test]
async fn pages_fit_and_can_be_read_on_every_screen() {
    let mut stage = Stage::new().await;
    let looks = [380, 768, 1600]
        .into_iter()
        .flat_map(|width| [false, true].map(|dark| Look { width, dark }));
    stage.open("/ui/sign-in").await;
    for look in looks.clone() {
        stage.browser.look(look).await;
        assert_eq!(
            stage.browser.evaluate(INSPECT).await,
            json!([]),
            "sign-in, {look:?}"
        );
    }
    stage.sign_in().await;
    stage.open("/").await;
    assert_eq!(stage.browser.evaluate(INSPECT).await, json!([]), "empty");
    let pages = fill_with_something(&mut stage).await;
    assert_eq!(pages.len(), 47);
    for path in &pages {
        stage.open(path).await;
        for look in looks.clone() {
            stage.browser.look(look).await;
            assert_eq!(
                stage.browser.evaluate(INSPECT).await,
                json!([]),
                "{path}, {look:?}"
            );
        }
    }
    stage.no_problems();
    // An error page is a page like others.
    stage.open("/ui/nothing").await;
    for look in looks {
        stage.browser.look(look).await;
        assert_eq!(
            stage.browser.evaluate(INSPECT).await,
            json!([]),
            "error, {look:?}"
        );
    }
    let problems = stage.browser.take_problems();
    assert!(
        problems.iter().all(|problem| problem.contains("404")),
        "{problems:?}"
    );
}

/// Its pages have a policy of what they may load, which the browser enforces.
#[tokio::test]
async fn the_documentation_of_the_api_can_be_read() {
    let mut stage = Stage::new().await;
    stage.open("/docs/").await;
    let operations = "new Promise((done) => {
        const look = () => {
            const found = document.querySelectorAll('.opblock').length;
            found > 10 ? done(String(found)) : requestAnimationFrame(look);
        };
        look();
    })";
    let found = stage.browser.text(operations).await;
    assert!(found.parse::<u32>().is_ok(), "{found}");
    stage.no_problems();
}

#[tokio::test]
async fn the_theme_is_the_systems_until_it_is_chosen_and_the_keyboard_is_enough() {
    let mut stage = Stage::new().await;
    stage.sign_in().await;
    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = stage.browser.evaluate(ground).await;
    stage.browser.look(Look { dark: true, ..WIDE }).await;
    let dark = stage.browser.evaluate(ground).await;
    assert_ne!(light, dark);
    stage.browser.click("#theme").await;
    assert_eq!(stage.browser.evaluate(ground).await, light);
    // Kept on the next page, and whatever the system says then.
    stage.open("/ui/vpcs").await;
    assert_eq!(stage.browser.evaluate(ground).await, light);
    stage.browser.click("#theme").await;
    stage.browser.look(WIDE).await;
    assert_eq!(stage.browser.evaluate(ground).await, dark);

    // The first stop of the keyboard leads past the navigation, and what has the focus shows it.
    stage.open("/ui/vpcs").await;
    stage.browser.press("Tab", 9).await;
    let focus = stage
        .browser
        .text("document.activeElement.getAttribute('href')")
        .await;
    assert_eq!(focus, "#content");
    assert_eq!(
        stage
            .browser
            .evaluate("document.activeElement.getBoundingClientRect().top >= 0")
            .await,
        true
    );
    let outline = stage
        .browser
        .text("getComputedStyle(document.activeElement).outlineStyle")
        .await;
    assert_eq!(outline, "solid");

    // What is copied is what stands there.
    fill_with_something(&mut stage).await;
    stage.open("/ui/allocations").await;
    stage.browser.follow("tbody tr:first-child th a").await;
    stage.browser.click("[data-copy=cidr-1]").await;
    let said = "new Promise((done) => {
        const said = document.getElementById('said');
        const look = () => said.textContent ? done(said.textContent) : requestAnimationFrame(look);
        look();
    })";
    assert_eq!(stage.browser.evaluate(said).await, "Copied.");
    stage.no_problems();
}

#[tokio::test]
async fn no_text_that_somebody_stored_does_anything() {
    let mut stage = Stage::new().await;
    stage.sign_in().await;
    let payloads = [
        "<script>alert(1)<\\script>",
        "\"><img src=x onerror=alert(1)>",
        "'><svg onload=alert(1)>",
        "javascript:alert(1)",
        "\" autofocus onfocus=alert(1) x=\"",
        "{{constructor.constructor('alert(1)')()}}",
        "<iframe srcdoc='<script>alert(1)<&#47;script>'>",
        "\u{202e}<b onmouseover=alert(1)>x",
    ];
    let mut pages = vec![
        "/".to_owned(),
        "/ui/allocations".to_owned(),
        "/ui/vpcs".to_owned(),
    ];
    for payload in payloads {
        stage.open("/ui/allocations/new").await;
        // A new name can't have what turns a text around.
        let name = payload.trim_start_matches('\u{202e}');
        stage.browser.fill("#vpc", name).await;
        stage.browser.fill("#name", name).await;
        stage.browser.fill("#hosts", "9").await;
        stage
            .browser
            .fill(
                "#labels",
                &format!("{}={payload}", payload.replace('=', ":")),
            )
            .await;
        stage
            .browser
            .fill("#description", &format!("</textarea>{payload}</p>"))
            .await;
        stage.browser.follow("button[value=preview]").await;
        stage.browser.follow("button[value=confirm]").await;
        stage.browser.shows(&["Allocated."]).await;
        let path = stage.path().await;
        pages.push(format!("{path}/release"));
        pages.push(path);
        let query = stage
            .browser
            .text(&format!("encodeURIComponent({})", json!(payload)))
            .await;
        pages.push(format!("/ui/allocations?q={query}&vpc={query}"));
        pages.push(format!("/ui/vpcs?q={query}"));
        pages.push(format!("/ui/sign-in?next={query}"));
        pages.push(format!(
            "/ui/allocations/new?vpc={query}&hosts={query}&labels={query}&by={query}"
        ));
    }
    let mut connection = stage.database.connect().await;
    // But a name from before may.
    for turned in [
        "update vpc set name = chr(8238) || name where name like '<b onmouseover%'",
        "update allocation set name = chr(8238) || name where name like '<b onmouseover%'",
    ] {
        let done = sqlx::query(turned).execute(&mut connection).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{turned}");
    }
    let owners: Vec<(String,)> = sqlx::query_as("select vpc_id::text from vpc")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    pages.extend(
        owners
            .into_iter()
            .map(|(id,)| format!("/ui/vpcs/{id}/delete")),
    );
    let pools: Vec<(String,)> = sqlx::query_as("select pool_id::text from pool")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    pages.extend(pools.into_iter().map(|(id,)| format!("/ui/pools/{id}")));
    stage.no_problems();
    for path in pages {
        stage.open(&path).await;
        let foreign = stage
            .browser
            .evaluate(
                "[...document.querySelectorAll('iframe, svg[onload], [onerror], [onfocus], [onmouseover], script:not([src])')]
                    .map((e) => e.outerHTML)",
            )
            .await;
        assert_eq!(foreign, Value::Array(Vec::new()), "{path}");
        assert_eq!(
            stage.browser.take_problems(),
            Vec::<String>::new(),
            "{path}"
        );
    }
}

/// What keys, the wheel and others do to a map, as its user sees it.
#[tokio::test]
async fn a_map_is_used_by_keyboard_and_shows_what_others_do() {
    let mut stage = Stage::new().await;
    stage.sign_in().await;
    for (name, cidr) in [
        ("one", "10.0.0.0/20"),
        ("two", "10.0.32.0/20"),
        ("three", "10.0.48.0/21"),
    ] {
        stage.allocates_by_cidr(name, cidr).await;
    }
    stage.open("/ui/map?at=10.0.0.0/16").await;
    let browser = &mut stage.browser;
    browser.waits_for("#live.on").await;
    // `/` is the search, and back.
    browser.press("/", 191).await;
    assert_eq!(browser.evaluate("document.activeElement.id").await, "find");
    browser.evaluate("document.activeElement.blur()").await;
    // The first key goes to the map, the next ones move on it; Enter shows what is there.
    browser.press("l", 76).await;
    assert_eq!(browser.focused().await, "10.0.0.0/20");
    browser.press("j", 74).await;
    assert_eq!(browser.focused().await, "10.0.16.0/20");
    browser.press("ArrowDown", 40).await;
    assert_eq!(browser.focused().await, "10.0.32.0/20");
    browser.press("k", 75).await;
    browser.press("j", 74).await;
    browser.press("Enter", 13).await;
    browser.waits_for("#pick").await;
    browser.shows(&["Allocated to net/two"]).await;
    assert!(
        browser
            .text("location.search")
            .await
            .contains("pick=10.0.32.0/20")
    );
    // What was in focus still is.
    assert_eq!(browser.focused().await, "10.0.32.0/20");
    browser.press("Escape", 27).await;
    browser.waits_for("main:not(:has(#pick))").await;
    // In and out.
    browser.press("+", 187).await;
    browser
        .waits_for("#canvas[data-out*='10.0.0.0']:has(.path b)")
        .await;
    browser.waits_for_text(".path b", "10.0.0.0/18").await;
    browser.press("-", 189).await;
    browser.waits_for_text(".path b", "10.0.0.0/16").await;
    // To the change before, and back.
    browser.press("[", 219).await;
    browser.waits_for_text(".notice", "As it was at").await;
    browser.press("]", 221).await;
    browser.waits_for("main:not(:has(.notice))").await;
    // One stop of the tab key.
    let stops = "document.querySelectorAll('#canvas [data-map] a[tabindex=\"0\"]').length";
    assert_eq!(browser.evaluate(stops).await, 1);
    // The browser's own way back goes back.
    browser.evaluate("history.back()").await;
    browser.waits_for_text(".notice", "As it was at").await;
    browser.evaluate("history.forward()").await;
    browser.waits_for("main:not(:has(.notice))").await;

    // Somebody else allocates, and it appears.
    let body =
        json!({"vpc": "other", "name": "new-here", "profile": "node-pod", "cidr": "10.0.64.0/20"});
    let request = json!({
        "method": "POST",
        "headers": {"x-api-key": TestServer::API_KEY, "content-type": "application/json"},
        "body": body.to_string(),
    });
    let call = format!("fetch('/api/v1/allocations', {request}).then((reply) => reply.status)");
    assert_eq!(stage.browser.evaluate(&call).await, 201);
    stage
        .browser
        .waits_for("#canvas a[data-cidr='10.0.64.0/20'] .block")
        .await;
    stage.no_problems();
}

impl Stage {
    async fn allocates_by_cidr(&mut self, name: &str, cidr: &str) {
        self.open(&format!(
            "/ui/allocations/new?vpc=net&name={name}&cidr={cidr}"
        ))
        .await;
        self.browser.follow("button[value=preview]").await;
        self.browser.follow("button[value=confirm]").await;
    }
}
