//! Every page on narrow and wide screens, in light and dark: it fits, it can be read, and screen readers can make sense of
//! it (axe-core, all rules of WCAG 2.1 A and AA).

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{
    chromium::Look,
    company::Company,
    stage::{Stage, WIDE, everywhere},
};

/// What a person would see to be wrong.
const INSPECT: &str = include_str!("inspect.js");

/// What axe-core finds: the rule, the element and what is wrong with it.
const AXE: &str = "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'], resultTypes: ['violations'], preload: false})
    .then(({violations}) => violations.map(({id, nodes}) =>
        `${id}: ${nodes.slice(0, 3).map(({html, failureSummary}) => html.slice(0, 200) + ' ' + failureSummary).join('; ')}`))";

/// An expression that defines `axe`, from the file that `./test` has fetched; none where it said that it could not.
fn axe() -> Option<&'static str> {
    static AXE: OnceLock<Option<String>> = OnceLock::new();
    AXE.get_or_init(|| {
        let path = std::env::var("IPAM_AXE").expect(
            "IPAM_AXE is not set, which is the path of axe.min.js: ./test fetches it and sets it",
        );
        let define = |source| format!("window.axe ? 0 : (() => {{ {source} }})()");
        (path != "none").then(|| define(std::fs::read_to_string(path).unwrap()))
    })
    .as_deref()
}

/// Widths of a phone, a laptop and a large screen.
fn looks(widths: &'static [u32]) -> impl Iterator<Item = Look> + Clone {
    widths.iter().flat_map(|width| {
        [false, true].map(|dark| Look {
            width: *width,
            dark,
        })
    })
}

/// Where pictures of all pages go, if they are wanted: `.ci/screenshots` says where.
fn album() -> Option<PathBuf> {
    std::env::var_os("IPAM_SCREENSHOTS").map(PathBuf::from)
}

/// Fails if something is wrong with the page that is open, on any screen.
async fn fits(stage: &mut Stage, place: &str) {
    for look in looks(&[390, 768, 1280, 1920]) {
        stage.browser.look(look).await;
        stage
            .finds_nothing(INSPECT, &format!("{place}, {look:?}"))
            .await;
        if let Some(album) = album() {
            let theme = if look.dark { "dark" } else { "light" };
            let name = place.trim_matches('/').replace(['/', '?', '&', '='], "-");
            let name = if name.is_empty() { "overview" } else { &name };
            let file = album.join(format!("{name}-{}-{theme}.png", look.width));
            std::fs::write(file, stage.browser.page_picture().await).unwrap();
        }
    }
}

/// Fails if axe-core finds something on the page that is open.
async fn is_accessible(stage: &mut Stage, place: &str) {
    let Some(axe) = axe() else { return };
    stage.browser.evaluate(&format!("({axe}, 0)")).await;
    // Only contrast depends on the theme, which is looked at on every screen in both.
    let screens = [(390, false), (1280, true), (390, true), (1280, false)];
    let screens = if everywhere() {
        &screens[..]
    } else {
        &screens[..2]
    };
    for &(width, dark) in screens {
        let look = Look { width, dark };
        stage.browser.look(look).await;
        stage
            .finds_nothing(AXE, &format!("{place}, {look:?}"))
            .await;
    }
}

/// What the documentation shows, as much of it as a window does.
async fn best(stage: &mut Stage, company: &Company, album: &Path) {
    for (name, path, dark) in [
        ("best-overview-light", "/", false),
        ("best-pool-light", &*company.best, false),
        ("best-pool-dark", &*company.best, true),
    ] {
        stage.browser.look(Look { dark, ..WIDE }).await;
        stage.open(path).await;
        let picture = stage.browser.window_picture().await;
        std::fs::write(album.join(format!("{name}.png")), picture).unwrap();
    }
}

#[tokio::test]
async fn pages_fit_and_can_be_read_on_every_screen() {
    let mut stage = Stage::new().await;
    stage.open("/ui/sign-in").await;
    fits(&mut stage, "/ui/sign-in").await;
    stage.sign_in().await;
    stage.open("/").await;
    fits(&mut stage, "/empty").await;
    let company = Company::found(&stage).await;
    for path in &company.pages {
        stage.open(path).await;
        fits(&mut stage, path).await;
    }
    if let Some(album) = album() {
        best(&mut stage, &company, &album).await;
    }
    stage.no_problems();
    // An error page is a page like others.
    for (path, status) in [("/ui/nothing", "404"), (&*company.gone, "410")] {
        stage.open(path).await;
        fits(&mut stage, path).await;
        let problems = stage.browser.take_problems();
        assert!(
            problems.iter().all(|problem| problem.contains(status)),
            "{problems:?}"
        );
    }
}

#[tokio::test]
async fn pages_are_accessible() {
    let mut stage = Stage::new().await;
    stage.open("/ui/sign-in").await;
    is_accessible(&mut stage, "sign-in").await;
    stage.browser.fill("#key", "guess").await;
    stage.browser.follow("main button").await;
    is_accessible(&mut stage, "sign-in that was refused").await;
    stage.sign_in().await;
    stage.open("/").await;
    is_accessible(&mut stage, "empty").await;
    let company = Company::found(&stage).await;
    for path in &company.pages {
        stage.open(path).await;
        is_accessible(&mut stage, path).await;
    }
    in_between(&mut stage, &company).await;
    for path in ["/ui/nothing", &company.gone] {
        stage.open(path).await;
        is_accessible(&mut stage, path).await;
    }
}

/// What is between a form and its end: previews, refusals, a secret that is shown once.
async fn in_between(stage: &mut Stage, company: &Company) {
    stage
        .open("/ui/allocations/new?vpc=production&name=new&hosts=99999")
        .await;
    stage.browser.follow("button[value=preview]").await;
    is_accessible(stage, "an allocation that is refused").await;
    stage
        .open("/ui/allocations/new?vpc=production&name=new&hosts=200")
        .await;
    stage.browser.follow("button[value=preview]").await;
    is_accessible(stage, "an allocation's preview").await;
    stage.open(&format!("{}/edit", company.allocation)).await;
    stage.browser.fill("#name", "renamed").await;
    stage.browser.enter().await;
    is_accessible(stage, "a change's preview").await;
    stage.open("/ui/tokens/new").await;
    stage.browser.fill("#name", "reads").await;
    stage.browser.click("input[value=reader]").await;
    stage.browser.follow("button[value=preview]").await;
    is_accessible(stage, "a token's preview").await;
    stage.browser.follow("button[value=confirm]").await;
    stage.browser.shows(&["ipam_"]).await;
    is_accessible(stage, "a token's secret").await;
}

/// A screen of a network engineer shows many at once.
#[tokio::test]
async fn lists_are_dense() {
    let mut stage = Stage::new().await;
    stage.sign_in().await;
    Company::found(&stage).await;
    stage.open("/ui/allocations").await;
    for (width, most) in [(1280, 54), (1920, 54)] {
        let look = Look { width, dark: false };
        stage.browser.look(look).await;
        let rows = stage
            .browser
            .evaluate("[...document.querySelectorAll('main tbody tr')].map((row) => row.getBoundingClientRect().height)")
            .await;
        let rows: Vec<f64> = serde_json::from_value(rows).unwrap();
        assert_eq!(rows.len(), 50);
        let mean = rows.iter().sum::<f64>() / 50.0;
        assert!(mean <= f64::from(most), "{mean} pixels at {width}");
    }
}

/// Its pages have a policy of what they may load, which the browser enforces.
#[tokio::test]
async fn the_documentation_of_the_api_can_be_read() {
    let mut stage = Stage::new().await;
    stage.browser.look(WIDE).await;
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
    is_accessible(&mut stage, "/docs/").await;
    stage.browser.look(WIDE).await;
    for control in [".opblock-get", ".opblock-post", ".opblock-patch"] {
        let first = format!("document.querySelector('{control} .opblock-summary-control').click()");
        stage.browser.evaluate(&first).await;
        stage
            .browser
            .waits_for(&format!("{control}.is-open .opblock-body"))
            .await;
    }
    is_accessible(&mut stage, "/docs/, open").await;
    stage.no_problems();
}
