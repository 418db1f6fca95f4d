//! A request on its way: what became of its attempts, and whether to make another one.

use std::time::Duration;

use ipam_shared::error::Code;
use reqwest::{
    StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use tokio::time::Instant;

use crate::{
    cause::{diagnose, reason},
    error::{Error, NotIpam, Unreachable},
};

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) request: String,
    pub(crate) changes: bool,
    pub(crate) began: Instant,
    pub(crate) count: u32,
    pub(crate) may_have_happened: bool,
}

/// An attempt that failed, and whether another may succeed.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) again: Option<Again>,
}

/// That another attempt may succeed: after how long, if the server said so, and whether this one may have done something.
pub(crate) struct Again {
    pub(crate) after: Option<Duration>,
    pub(crate) may_have_happened: bool,
}

impl Attempts {
    /// No reply came, or only a part of it.
    pub(crate) fn lost(&self, error: &reqwest::Error) -> Failure {
        let (hint, final_) = diagnose(error);
        let may_have_happened = !error.is_connect();
        Failure {
            error: Error::Unreachable(Box::new(Unreachable {
                request: self.request.clone(),
                attempts: self.count,
                elapsed: self.began.elapsed(),
                reason: reason(error),
                hint,
                may_have_happened: self.changes && (self.may_have_happened || may_have_happened),
            })),
            again: (!final_).then_some(Again {
                after: None,
                may_have_happened,
            }),
        }
    }

    /// The reply ended without saying what it had to.
    pub(crate) fn broken(&self, reason: String) -> Error {
        Error::Unreachable(Box::new(Unreachable {
            request: self.request.clone(),
            attempts: self.count,
            elapsed: self.began.elapsed(),
            reason,
            hint: "Check that nothing between here and the server ends connections that take long.",
            may_have_happened: self.changes,
        }))
    }

    /// Somebody else than the server answered, or nothing that it says.
    pub(crate) fn not_ipam(
        &self,
        status: StatusCode,
        reason: String,
        again: Option<Again>,
    ) -> Failure {
        Failure {
            error: Error::NotIpam(Box::new(NotIpam {
                request: self.request.clone(),
                status: status.as_u16(),
                reason,
                attempts: self.count,
                elapsed: self.began.elapsed(),
                may_have_happened: self.changes,
            })),
            again,
        }
    }
}

/// Whether a request that was answered so may succeed later.
pub(crate) fn again(status: StatusCode, headers: &HeaderMap, code: Option<Code>) -> Option<Again> {
    let again = Again {
        after: retry_after(headers),
        // Who asks for too much is told so before anything is begun.
        may_have_happened: status != StatusCode::TOO_MANY_REQUESTS,
    };
    match code {
        // Only an operator can end that.
        Some(Code::Restored) => None,
        // Nothing was begun. The header is in whole seconds, for those who know nothing better; an overloaded server
        // has a free slot again within milliseconds, and intervals that grow find it.
        Some(Code::Overloaded) => Some(Again {
            after: None,
            may_have_happened: false,
        }),
        _ => matches!(status.as_u16(), 429 | 502 | 503 | 504).then_some(again),
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}
