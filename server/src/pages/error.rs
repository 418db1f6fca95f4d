//! Why there is no page, for every error of the domain; `failed` makes a page of that. Internal details stay in the log.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use ipam_shared::error::Code;
use time::OffsetDateTime;

use crate::{
    error::{Conflict, Error},
    http::{error::log, pace::Exceeded},
};

/// Why there is no page.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) conflicts: Vec<Conflict>,
    /// When it was deleted, if it was there once.
    pub(super) gone_at: Option<OffsetDateTime>,
}

impl Failure {
    /// The request makes no sense.
    pub(super) fn invalid(message: &str) -> Self {
        Self::new(Code::InvalidRequest, message)
    }

    /// The form is larger than any of our pages sends.
    pub(super) fn too_large() -> Self {
        Self::new(
            Code::BodyTooLarge,
            "this form is larger than any form of this dashboard, or did not arrive completely",
        )
    }

    /// There is no such page.
    pub(super) fn not_found(message: &str) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// The signed-in user may not do that.
    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(Code::Forbidden, message)
    }

    /// One request too many.
    pub(super) fn too_many(exceeded: &Exceeded) -> Response {
        let failure = Self::new(Code::RateLimited, &exceeded.detail);
        exceeded.tell(failure.into_response())
    }

    /// The form was not sent from a page of this session.
    pub(super) fn forged() -> Self {
        Self::new(
            Code::Forbidden,
            "This form was not sent from a page of this dashboard, or you have signed in again since you opened it. \
             Nothing was changed; open the page again and repeat what you did.",
        )
    }

    fn new(code: Code, message: &str) -> Self {
        Self {
            code,
            message: message.to_owned(),
            conflicts: Vec::new(),
            gone_at: None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        log(&error);
        let mut failure = Self::new(error.code(), &error.to_string());
        match error {
            Error::Overlap { conflicts, .. } => failure.conflicts = conflicts,
            Error::Gone { at, .. } => failure.gone_at = Some(at),
            _ => {}
        }
        failure
    }
}

/// A failure that gets its page from `failed`, which knows the request and who is signed in.
#[derive(Clone)]
pub(super) struct Pending(pub(super) std::sync::Arc<Failure>);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(Pending(self.into()));
        response
    }
}

/// The domain's message with a capital letter at the start and a full stop at the end.
pub(super) fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let mut sentence: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    sentence.push_str(chars.as_str());
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

/// Renders, or says that it failed: a template that can't be rendered is a bug.
pub(super) fn render(template: &impl askama::Template) -> Result<String, Failure> {
    template
        .render()
        .map_err(|error| Failure::from(Error::Internal(error.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("there is no VPC \"a\""), "There is no VPC \"a\".");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence(""), ".");
    }
}
