//! The dashboard: pages that the server renders, and forms that post to it. Works without JavaScript.
//!
//! A page is a struct with its template beside its handler. Plain reads go to `db`, forms go through `domain` like any
//! other change. Knows no SQL.

mod account;
mod allocate;
mod allocation;
mod allocations;
mod assets;
mod duration;
mod error;
mod events;
mod failed;
mod filters;
mod form;
mod freed;
mod life;
mod live;
mod log;
mod map;
mod moment;
mod nouns;
mod overview;
mod pool;
mod search;
mod session;
mod shell;
mod shown;
mod sign_in;
mod snippet;
mod spark;
mod transfer;
mod upload;

use askama::Template;
use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{Html, IntoResponse as _, Redirect, Response},
    routing::{any, get, post},
};
use ipam_shared::labels::Labels;

use self::{
    error::Failure,
    shell::{Noted, Section, Shell},
};
use crate::{app::App, http::compress};

/// Every page.
pub fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/", get(overview::show))
        .route("/ui/pools/{id}", get(pool::show))
        .route("/ui/pools/{id}/map.svg", get(pool::picture))
        .route("/ui/map", get(map::show))
        .route("/ui/search", get(search::show))
        .route(session::LIVE, get(live::follow))
        .route("/ui/allocations", get(allocations::list))
        .route(
            "/ui/allocations/new",
            get(allocate::form).post(allocate::submit),
        )
        .route("/ui/allocations/{id}", get(allocation::show))
        .merge(nouns::routes())
        .route("/ui/events", get(log::show))
        .route("/ui/import", get(transfer::form).post(transfer::import))
        .route("/ui/export", get(transfer::export))
        .route("/ui/export/file", get(transfer::file))
        .route("/ui/sign-in", get(sign_in::form).post(sign_in::sign_in))
        .route("/ui/sign-out", post(sign_in::sign_out))
        .route("/ui/sessions", get(account::show).post(account::end))
        .route("/ui", get(beginning))
        .route("/ui/", get(beginning))
        .route("/ui/{*rest}", any(no_such_page))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            session::recognise,
        ))
        .layer(middleware::from_fn_with_state(app.clone(), failed::finish))
        .layer(middleware::from_fn(secure))
        .route("/ui/static/{file}", get(assets::file))
        .layer(compress())
}

async fn beginning() -> Redirect {
    Redirect::permanent("/")
}

async fn no_such_page() -> Failure {
    Failure::not_found("there is no such page")
}

/// Security headers of every page: nothing is loaded from or sent elsewhere, it can't be framed, and nothing is cached.
async fn secure(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 7] = [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
            ),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        // Not no-referrer: browsers then hide the origin of our own forms too, which is checked.
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
        ),
    ];
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    // A picture has its looks in itself.
    if headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "image/svg+xml")
    {
        let policy = HeaderValue::from_static(crate::picture::POLICY);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Renders a page.
fn page(template: &impl Template) -> Response {
    match error::render(template) {
        Ok(html) => Html(html).into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// The id that a page of a list begins after, as it stands in the page's address; none on the first.
fn position<T: std::str::FromStr>(text: &str) -> Result<Option<T>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| Failure::invalid("the address of this page is incomplete"))
}

/// One of our pages, whatever a link asks for: nobody is redirected elsewhere after signing in.
fn local(next: &str) -> &str {
    let plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && next.starts_with("/ui/") && !next.contains("//") && !next.starts_with("/ui/sign-") {
        next
    } else {
        "/"
    }
}

/// A text as the value of a query parameter.
fn query_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                value.push(char::from(byte));
            }
            _ => value.push_str(&format!("%{byte:02X}")),
        }
    }
    value
}

/// Labels as people write them: one `key=value` per line.
fn labels_text(labels: &Labels) -> String {
    let lines: Vec<_> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    lines.join("\n")
}

/// Labels from lines of `key=value`.
fn parse_labels(text: &str) -> Result<Labels, String> {
    let mut labels = std::collections::BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((key, value)) = line.split_once('=') else {
            return Err(format!(
                "write a label as key=value; this is not one: {line}"
            ));
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if labels.insert(key.clone(), value).is_some() {
            return Err(format!("the label {key} is there twice"));
        }
    }
    Labels::new(labels).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_are_written() {
        let labels = parse_labels(" environment = prod \n\nformula=a=b\r\n").unwrap();
        assert_eq!(labels_text(&labels), "environment=prod\nformula=a=b");
        assert!(parse_labels("a=1\na=2").unwrap_err().contains("twice"));
        assert!(parse_labels("a").unwrap_err().contains("key=value"));
        assert!(parse_labels("=a").is_err());
    }

    #[test]
    fn query_values_hold_anything() {
        assert_eq!(query_value("10.0.0.0/16"), "10.0.0.0/16");
        assert_eq!(query_value("a&b=c ü"), "a%26b%3Dc%20%C3%BC");
    }

    #[test]
    fn nobody_is_sent_elsewhere_after_signing_in() {
        for next in ["/ui/vpcs", "/ui/allocations?vpc=a&q=10.0.0.1"] {
            assert_eq!(local(next), next);
        }
        for next in [
            "",
            "/",
            "//evil.example",
            "/ui//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/ui/\\evil",
            "/ui/sign-out",
            "/ui/a\nb",
            "/docs",
        ] {
            assert_eq!(local(next), "/");
        }
    }
}
