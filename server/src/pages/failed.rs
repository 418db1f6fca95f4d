//! The page of a failure: for who is signed in with the search and the sections around it, and with a way on; for everybody
//! else alone. It never fails itself, nor waits: what surrounds it is left out when it can't be read at once.

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use ipam_shared::error::Code;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Section, Shell,
    assets::Assets,
    error::{Failure, Pending, render, sentence},
    filters, local, page,
    session::SignedIn,
};
use crate::{app::App, error::Conflict, http::request_id::RequestId, rights::Right};

/// How long the outline of the address space may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// Longest text that the search is filled with.
const SEARCHED: usize = 200;

/// What is shown of a failure, wherever it is shown.
struct Told<'a> {
    title: &'static str,
    status: u16,
    code: &'static str,
    message: String,
    gone_at: Option<OffsetDateTime>,
    conflicts: &'a [Conflict],
    request_id: String,
    /// What to do.
    advice: &'static str,
    /// The same page again.
    again: Option<String>,
    /// Other pages: the address, and what is there.
    ways: Vec<(String, &'static str)>,
}

#[derive(askama::Template)]
#[template(path = "error.html")]
struct Alone<'a> {
    assets: &'static Assets,
    told: Told<'a>,
}

#[derive(askama::Template)]
#[template(path = "error_within.html")]
struct Within<'a> {
    shell: Shell,
    told: &'a Told<'a>,
}

/// What was asked for, as far as its failure needs it.
struct Asked {
    method: Method,
    uri: Uri,
    /// The page of ours that led here.
    from: Option<String>,
    request_id: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let id = request.extensions().get::<RequestId>().copied();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            from: came_from(request.headers()),
            request_id: id.map(RequestId::text).unwrap_or_default(),
        }
    }

    /// The last part of the address, which is what somebody looked for if there is no such page.
    fn wanted(&self) -> String {
        let last = self.uri.path().rsplit('/').next().unwrap_or_default();
        let text = decoded(last);
        let is_word = !matches!(
            text.as_str(),
            "" | "ui" | "edit" | "delete" | "release" | "new"
        );
        let fits = text.chars().count() <= SEARCHED && !text.chars().any(char::is_control);
        if is_word && fits { text } else { String::new() }
    }

    /// The list that the page belongs to.
    fn list(&self) -> Option<(String, &'static str)> {
        const LISTS: [(&str, &str); 8] = [
            ("allocations", "All allocations"),
            ("vpcs", "All VPCs"),
            ("reservations", "All reservations"),
            ("pools", "All pools"),
            ("profiles", "All profiles"),
            ("vrfs", "All VRFs"),
            ("tokens", "All tokens"),
            ("webhooks", "All webhooks"),
        ];
        let noun = self.uri.path().split('/').nth(2)?;
        let (noun, label) = LISTS.iter().find(|(name, _)| *name == noun)?;
        Some((format!("/ui/{noun}"), label))
    }
}

/// The page of ours that a link was followed on. Others are not told of.
fn came_from(headers: &HeaderMap) -> Option<String> {
    let uri: Uri = headers.get(header::REFERER)?.to_str().ok()?.parse().ok()?;
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let path = uri.path_and_query()?.as_str();
    let is_ours = uri.authority()?.as_str() == host && local(path) == path && path != "/";
    is_ours.then(|| path.to_owned())
}

/// A part of a path without its escapes.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = text.get(at + 1..at + 3);
        let escaped = escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, escaped) {
            (b'%', Some(escaped)) => {
                plain.push(escaped);
                at += 3;
            }
            _ => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_default()
}

/// What to do about a failure.
fn advice(code: Code, is_read: bool) -> &'static str {
    match code {
        Code::NotFound => "Look for it by another name, an address or an id.",
        Code::Gone => "It can't be brought back, but what became of it is known.",
        Code::Forbidden => {
            "Ask an administrator for a token that may do this, and sign in with it."
        }
        Code::RateLimited => "Wait a little, then open the page again.",
        Code::Unavailable | Code::Overloaded | Code::UnknownOutcome if is_read => {
            "This usually passes within seconds: open the page again. If it stays, tell your administrator the request's id."
        }
        Code::Unavailable | Code::Overloaded | Code::UnknownOutcome => {
            "Go back, look whether it was done, and otherwise send the form again. If it stays, tell your administrator the \
             request's id."
        }
        Code::Internal => {
            "Tell your administrator the request's id: the server's log says more about it."
        }
        _ if is_read => "Go back and try another way.",
        _ => "Nothing was changed. Your browser's back button leads to what you filled in.",
    }
}

/// Whether a failure is a sign that nothing more should be asked of the database.
fn is_trouble(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::Overloaded
            | Code::UnknownOutcome
            | Code::Internal
            | Code::RateLimited
            | Code::Restored
    )
}

/// Writes the page of a failure.
pub(super) async fn finish(State(app): State<App>, request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let mut response = next.run(request).await;
    let signed_in = response.extensions_mut().remove::<SignedIn>();
    let Some(Pending(failure)) = response.extensions_mut().remove::<Pending>() else {
        return response;
    };
    let told = told(&failure, &asked, signed_in.as_ref());
    let within = match signed_in {
        Some(signed_in) => {
            let shell = shell(&app, &signed_in, &failure, &asked).await;
            render(&Within { shell, told: &told }).ok()
        }
        None => None,
    };
    let page = match within {
        Some(html) => axum::response::Html(html).into_response(),
        None => page(&Alone {
            assets: Assets::get(),
            told,
        }),
    };
    let mut page = (response.status(), page).into_response();
    page.headers_mut()
        .extend(std::mem::take(response.headers_mut()));
    // Also who was denied something, which the audit log is told of.
    page.extensions_mut()
        .extend(std::mem::take(response.extensions_mut()));
    page.extensions_mut().insert(failure.code);
    page
}

fn told<'a>(failure: &'a Failure, asked: &Asked, signed_in: Option<&SignedIn>) -> Told<'a> {
    let code = failure.code;
    let is_read = matches!(asked.method, Method::GET | Method::HEAD);
    let mut ways: Vec<(String, &'static str)> = Vec::new();
    if let Some(from) = &asked.from {
        ways.push((from.clone(), "Back"));
    }
    if let Some(signed_in) = signed_in {
        let may = |right| signed_in.caller.rights.may(right);
        // Who may not see one of them may not see the list either, mostly.
        if code != Code::Forbidden {
            ways.extend(asked.list());
        }
        let id = asked.uri.path().split('/').nth(3);
        if let (Code::Gone, true, Some(Ok(id))) =
            (code, may(Right::Audit), id.map(str::parse::<Uuid>))
        {
            ways.push((format!("/ui/events?subject={id}"), "What happened to it"));
        }
        if code == Code::Forbidden {
            ways.push(("/ui/sessions".to_owned(), "What you may do"));
        }
        ways.push(("/".to_owned(), "To the overview"));
    }
    let again = is_read && (is_trouble(code));
    let again = again.then(|| {
        asked
            .uri
            .path_and_query()
            .map(|it| local(it.as_str()).to_owned())
    });
    Told {
        title: code.title(),
        status: code.status(),
        code: code.as_str(),
        message: sentence(&failure.message),
        gone_at: failure.gone_at,
        conflicts: &failure.conflicts,
        request_id: asked.request_id.clone(),
        advice: advice(code, is_read),
        again: again.flatten(),
        ways,
    }
}

/// What surrounds the page; without the outline if that can't be had at once.
async fn shell(app: &App, signed_in: &SignedIn, failure: &Failure, asked: &Asked) -> Shell {
    let read = async {
        let mut db = app.ipam(&signed_in.caller).read().await.ok()?;
        let shell = Shell::of(&mut db, signed_in, Section::Elsewhere).await;
        shell.ok()
    };
    let outlined = if is_trouble(failure.code) {
        None
    } else {
        tokio::time::timeout(PATIENCE, read).await.ok().flatten()
    };
    let shell = outlined.unwrap_or_else(|| Shell::bare(signed_in, Section::Elsewhere));
    match failure.code {
        Code::NotFound => shell.searching(&asked.wanted()),
        _ => shell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str) -> Asked {
        Asked {
            method: Method::GET,
            uri: uri.parse().unwrap(),
            from: None,
            request_id: String::new(),
        }
    }

    #[test]
    fn what_was_looked_for_is_the_end_of_the_address() {
        for (uri, wanted) in [
            ("/ui/pools/primary", "primary"),
            ("/ui/pools/my%20pool%zz%", "my pool%zz%"),
            ("/ui/pools/%ff", ""),
            ("/ui/pools/a%00b", ""),
            ("/ui/allocations/17/edit", ""),
            ("/ui/", ""),
        ] {
            assert_eq!(asked(uri).wanted(), wanted, "{uri}");
        }
        assert_eq!(asked("/ui/vpcs/x").list().unwrap().0, "/ui/vpcs");
        assert_eq!(asked("/ui/nothing/x").list(), None);
    }

    #[test]
    fn back_leads_to_our_own_pages_only() {
        let from = |referer: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "ipam.example".parse().unwrap());
            headers.insert(header::REFERER, referer.parse().unwrap());
            came_from(&headers)
        };
        assert_eq!(
            from("https://ipam.example/ui/vpcs?name=a").as_deref(),
            Some("/ui/vpcs?name=a")
        );
        for other in [
            "https://evil.example/ui/vpcs",
            "https://ipam.example/docs/",
            "https://ipam.example//evil.example/",
            "/ui/vpcs",
            "nonsense",
        ] {
            assert_eq!(from(other), None, "{other}");
        }
    }
}
