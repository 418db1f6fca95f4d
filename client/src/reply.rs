//! Successful replies of the server: whole ones, and streamed ones.

use std::time::Duration;

use ipam_shared::error::Problem;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::{
    attempts::Attempts,
    error::{Error, NotIpam, Refusal},
};

/// A reply with a 2xx status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// Whether an earlier attempt may already have had an effect.
    pub(crate) repeated: bool,
    pub(crate) request: String,
    pub(crate) body: Vec<u8>,
    pub(crate) attempts: u32,
    pub(crate) elapsed: Duration,
    pub(crate) changes: bool,
}

impl Reply {
    /// The body as `T`, or an error if it is not one.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| self.unbelievable(error.to_string()))
    }

    /// The error for a body that contradicts the request.
    pub(crate) fn unbelievable(&self, reason: String) -> Error {
        Error::NotIpam(Box::new(NotIpam {
            request: self.request.clone(),
            status: self.status.as_u16(),
            reason,
            attempts: self.attempts,
            elapsed: self.elapsed,
            may_have_happened: self.changes,
        }))
    }
}

/// A 2xx reply, or the beginning of one.
pub(crate) enum Answer {
    Whole(Reply),
    Begun(Response),
}

impl Answer {
    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Whole(reply) => reply.status,
            Self::Begun(response) => response.status(),
        }
    }
}

/// A streamed reply with a 2xx status.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) response: Response,
    pub(crate) state: Attempts,
}

impl Stream {
    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, Error> {
        self.response
            .chunk()
            .await
            .map_err(|error| self.state.lost(&error).error)
    }

    /// The error for a reply that ended prematurely.
    pub(crate) fn broken(&self, reason: String) -> Error {
        self.state.broken(reason)
    }

    /// The error for a refusal after the reply had begun.
    pub(crate) fn refused(&self, problem: Problem) -> Error {
        Error::Refused(Box::new(Refusal {
            problem,
            attempts: self.state.count,
            elapsed: self.state.began.elapsed(),
            repeated: self.state.may_have_happened,
        }))
    }
}
