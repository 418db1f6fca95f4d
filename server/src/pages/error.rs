//! What a page shows when something fails: every error of the domain through one template. Internal details stay in the
//! log.

use axum::{
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use ipam_shared::error::Code;

use super::{assets::Assets, page};
use crate::{
    error::{Conflict, Error},
    http::{error::log, pace::Exceeded, request_id::RequestId},
};

/// Why there is no page.
#[derive(Debug)]
pub(super) struct Failure {
    code: Code,
    message: String,
    conflicts: Vec<Conflict>,
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
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        log(&error);
        let mut failure = Self::new(error.code(), &error.to_string());
        if let Error::Overlap { conflicts, .. } = error {
            failure.conflicts = conflicts;
        }
        failure
    }
}

/// A failure for [`finish`], which knows the request.
#[derive(Clone)]
struct Pending(std::sync::Arc<Failure>);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(Pending(self.into()));
        response
    }
}

#[derive(askama::Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    assets: &'static Assets,
    title: &'static str,
    status: u16,
    code: &'static str,
    message: String,
    conflicts: &'a [Conflict],
    request_id: String,
}

/// Writes the page of a failure, with the id of the request.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().copied();
    let mut response = next.run(request).await;
    let Some(Pending(failure)) = response.extensions_mut().remove::<Pending>() else {
        return response;
    };
    let page = page(&ErrorPage {
        assets: Assets::get(),
        title: failure.code.title(),
        status: failure.code.status(),
        code: failure.code.as_str(),
        message: sentence(&failure.message),
        conflicts: &failure.conflicts,
        request_id: id.map(RequestId::text).unwrap_or_default(),
    });
    let mut page = (response.status(), page).into_response();
    page.headers_mut()
        .extend(std::mem::take(response.headers_mut()));
    page.extensions_mut().insert(failure.code);
    page
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
