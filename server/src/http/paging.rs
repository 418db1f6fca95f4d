//! Pages of lists: in the body, `next_cursor`, and for clients that know nothing of it a `Link` to the next page (RFC 8288).

use axum::{
    Json,
    http::{HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use ipam_shared::page::Page;
use serde::Serialize;

/// A page, as a reply.
#[derive(Debug)]
pub(super) struct Paged<T>(pub(super) Page<T>);

/// A page of at most `limit`, and the cursor of the next one: a page that is not full is the last.
pub(super) fn page<T>(items: Vec<T>, limit: u16, cursor: impl Fn(&T) -> String) -> Paged<T> {
    let is_full = items.len() == usize::from(limit);
    let next_cursor = items.last().filter(|_| is_full).map(cursor);
    Paged(Page { items, next_cursor })
}

/// The cursor of the next page, for [`link`].
#[derive(Clone)]
struct Next(String);

impl<T: Serialize> IntoResponse for Paged<T> {
    fn into_response(self) -> Response {
        let next = self.0.next_cursor.clone();
        let mut response = Json(self.0).into_response();
        if let Some(next) = next {
            response.extensions_mut().insert(Next(next));
        }
        response
    }
}

/// Adds the link to the reply to a request for a page. It is relative and has no path, so it leads to where the page came
/// from, whatever proxies call that.
pub(super) fn link(uri: &Uri, mut response: Response) -> Response {
    if let Some(Next(cursor)) = response.extensions_mut().remove()
        && response.status() == StatusCode::OK
        && let Ok(value) = HeaderValue::from_str(&format!("<{}>; rel=\"next\"", next(uri, &cursor)))
    {
        response.headers_mut().insert(header::LINK, value);
    }
    response
}

/// The same query with another cursor.
fn next(uri: &Uri, cursor: &str) -> String {
    let mut query = String::from("?");
    let parameters = uri.query().unwrap_or_default().split('&');
    for parameter in parameters.filter(|parameter| !parameter.is_empty() && !is_cursor(parameter)) {
        escape(&mut query, parameter.as_bytes(), b"%=+");
        query.push('&');
    }
    query.push_str("cursor=");
    escape(&mut query, cursor.as_bytes(), b"");
    query
}

/// Whether it is the cursor, however its name is written.
fn is_cursor(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or_default().as_bytes();
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, after @ ..] = rest {
        let escaped = after.first_chunk::<2>().filter(|_| *first == b'%');
        let byte = escaped
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        plain.push(byte.unwrap_or(*first));
        rest = match byte {
            Some(_) => &after[2..],
            None => after,
        };
    }
    plain == b"cursor"
}

/// Appends what may stand in a query as it is, and the rest escaped.
fn escape(query: &mut String, text: &[u8], kept: &[u8]) {
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~!$'()*,;:@/?".contains(byte) || kept.contains(byte)
        {
            query.push(char::from(*byte));
        } else {
            query.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_keeps_everything_but_the_cursor() {
        for (uri, expected) in [
            ("/api/v1/vrfs", "?cursor=c"),
            ("/api/v1/vrfs?", "?cursor=c"),
            ("/a?limit=2&cursor=b", "?limit=2&cursor=c"),
            ("/a?cursor=b&limit=2", "?limit=2&cursor=c"),
            ("/a?c%75rsor=b&&limit=2", "?limit=2&cursor=c"),
            ("/a?%63ursor", "?cursor=c"),
            ("/a?cursors=1&xcursor=2", "?cursors=1&xcursor=2&cursor=c"),
            (
                "/a?label=a=b%3Cc%26&vpc=x+y",
                "?label=a=b%3Cc%26&vpc=x+y&cursor=c",
            ),
            ("/a?name='{}|^`", "?name='%7B%7D%7C%5E%60&cursor=c"),
            ("/a?%=%&%c=%4", "?%=%&%c=%4&cursor=c"),
        ] {
            assert_eq!(next(&uri.parse().unwrap(), "c"), expected, "{uri}");
        }
        let odd = next(&"/a".parse().unwrap(), "a+b/c=&\u{fc}>");
        assert_eq!(odd, "?cursor=a%2Bb/c%3D%26%C3%BC%3E");
    }
}
