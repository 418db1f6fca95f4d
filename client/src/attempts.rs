//! A request in progress: the outcome of its attempts, and whether to make another one.

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

/// The longest that a server can have us wait, which is longer than anybody does.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// A request in progress.
#[derive(Debug)]
pub(crate) struct Attempts {
    pub(crate) request: String,
    pub(crate) changes: bool,
    pub(crate) began: Instant,
    pub(crate) count: u32,
    pub(crate) may_have_happened: bool,
}

/// A failed attempt, and whether another may succeed.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) again: Option<Again>,
}

/// Another attempt may succeed: after how long, if the server said so, whether this one may have had an effect, and whether
/// it was one request too many.
pub(crate) struct Again {
    pub(crate) after: Option<Duration>,
    pub(crate) may_have_happened: bool,
    pub(crate) is_limit: bool,
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
                is_limit: false,
            }),
        }
    }

    /// The reply ended prematurely.
    pub(crate) fn broken(&self, reason: String) -> Error {
        Error::Unreachable(Box::new(Unreachable {
            request: self.request.clone(),
            attempts: self.count,
            elapsed: self.began.elapsed(),
            reason,
            hint: "Check that nothing between here and the server closes long-lived connections.",
            may_have_happened: self.changes,
        }))
    }

    /// Something other than the server answered, or with something the server never sends.
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

/// Whether a request with such an answer may succeed later.
pub(crate) fn again(status: StatusCode, headers: &HeaderMap, code: Option<Code>) -> Option<Again> {
    let is_limit = status == StatusCode::TOO_MANY_REQUESTS;
    let again = Again {
        after: retry_after(headers),
        // It was refused before anything was done.
        may_have_happened: !is_limit,
        is_limit,
    };
    match code {
        // Only an operator can resolve that.
        Some(Code::Restored) => None,
        // Nothing was done. The header is in whole seconds, for simple clients; an overloaded server has a free slot again
        // within milliseconds, and growing delays find it.
        Some(Code::Overloaded) => Some(Again {
            after: None,
            may_have_happened: false,
            is_limit: false,
        }),
        _ => matches!(status.as_u16(), 429 | 502 | 503 | 504).then_some(again),
    }
}

/// What no time can be added to is as good as for ever.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::delay;

    #[test]
    fn whatever_a_server_asks_for_can_be_waited_for() {
        for (asked, expected) in [
            ("7", Some(Duration::from_secs(7))),
            (" 7 ", Some(Duration::from_secs(7))),
            ("18446744073709551615", Some(LONGEST_WAIT)),
            ("18446744073709551616", None),
            ("-1", None),
            ("1.5", None),
            ("Thu, 01 Jan 2099 00:00:00 GMT", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, asked.parse().unwrap())]);
            let again = again(StatusCode::SERVICE_UNAVAILABLE, &headers, None).unwrap();
            assert_eq!(again.after, expected, "{asked}");
            let wait = delay(1, again.after);
            assert!(Instant::now().checked_add(wait).is_some(), "{asked}");
        }
    }
}
