//! Where a request comes from, for the audit log: the token, the address, and what a pipeline says about its run.

use axum::http::{Extensions, HeaderMap};
use ipam_shared::api::event::{COMMIT_HEADER, MAX_SOURCE, RUN_HEADER, Source, WORKSPACE_HEADER};

use super::listen::Peer;
use crate::{domain::token::Principal, error::Error};

/// The source of a request by somebody.
///
/// # Errors
/// When what the client says about itself can't be kept.
pub(super) fn of(
    who: &Principal,
    extensions: &Extensions,
    headers: &HeaderMap,
) -> Result<Source, Error> {
    Ok(Source {
        workspace: said(headers, WORKSPACE_HEADER)?,
        run: said(headers, RUN_HEADER)?,
        commit: said(headers, COMMIT_HEADER)?,
        ..who.source(extensions.get().map(Peer::address))
    })
}

/// What a header says. Names of workspaces need not be ASCII.
fn said(headers: &HeaderMap, name: &str) -> Result<Option<String>, Error> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).ok().map(str::trim);
    let text = text
        .filter(|text| text.chars().count() <= MAX_SOURCE && !text.chars().any(char::is_control));
    match text {
        Some(text) => Ok(Some(text.to_owned()).filter(|text| !text.is_empty())),
        None => Err(Error::invalid(format!(
            "the header {name} takes at most {MAX_SOURCE} characters of UTF-8, and no control characters"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn workspace(value: &[u8]) -> Result<Option<String>, Error> {
        let value = HeaderValue::from_bytes(value).unwrap();
        let headers = HeaderMap::from_iter([("ipam-workspace".parse().unwrap(), value)]);
        said(&headers, WORKSPACE_HEADER)
    }

    #[test]
    fn what_a_pipeline_says_is_kept_as_it_is_or_refused() {
        assert_eq!(workspace(b" prod ").unwrap().unwrap(), "prod");
        assert_eq!(workspace("größe".as_bytes()).unwrap().unwrap(), "größe");
        assert_eq!(workspace(b"  ").unwrap(), None);
        let long = "ö".repeat(MAX_SOURCE);
        assert_eq!(workspace(long.as_bytes()).unwrap().unwrap(), long);
        assert!(workspace(format!("{long}o").as_bytes()).is_err());
        assert!(workspace(b"a\tb").is_err());
        assert!(workspace(b"\xff").is_err());
    }
}
