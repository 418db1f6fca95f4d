//! How a call fails: the server refused, nothing answered, or something else did. Each is a sentence for the person who
//! has the problem; none contains the API key.

use std::{fmt, time::Duration};

use ipam_shared::error::{Code, Problem};

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server answered, and refused.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// No answer came, although the request was repeated.
    #[error(transparent)]
    Unreachable(Box<Unreachable>),
    /// An answer came that no ipam server would give. None of it is trusted.
    #[error(transparent)]
    NotIpam(Box<NotIpam>),
}

impl Error {
    /// The code of the server's refusal, for programs.
    pub fn code(&self) -> Option<Code> {
        self.problem().map(|problem| problem.code)
    }

    /// The server's refusal.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused(refusal) => Some(&refusal.problem),
            Self::Unreachable(_) | Self::NotIpam(_) => None,
        }
    }

    /// Whether the request may have been executed although it failed. Repeating it is safe.
    pub fn outcome_is_unknown(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.problem.code == Code::UnknownOutcome,
            Self::Unreachable(unreachable) => unreachable.may_have_happened,
            Self::NotIpam(not_ipam) => not_ipam.may_have_happened,
        }
    }
}

/// A refusal by the server.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Refusal {
    /// What the server said.
    pub problem: Problem,
    /// How many attempts were made.
    pub attempts: u32,
    /// For how long it was tried.
    pub elapsed: Duration,
    /// Whether an attempt before the refused one may have had an effect.
    pub repeated: bool,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.detail)?;
        write!(f, " ({}", self.problem.code.as_str())?;
        if self.attempts > 1 {
            write!(f, ", {}", tried(self.attempts, self.elapsed))?;
        }
        if let Some(id) = &self.problem.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")
    }
}

/// Nothing answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Unreachable {
    /// Method and address of the request.
    pub request: String,
    /// How often it was tried.
    pub attempts: u32,
    /// For how long.
    pub elapsed: Duration,
    /// How the last attempt failed.
    pub reason: String,
    /// What to check.
    pub hint: &'static str,
    /// Whether a change may have been made although no reply came. Repeating the request is safe.
    pub may_have_happened: bool,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no answer to {} ({}): {}. {}",
            self.request,
            tried(self.attempts, self.elapsed),
            self.reason,
            self.hint
        )?;
        if self.may_have_happened {
            f.write_str(SAFE_TO_REPEAT)?;
        }
        Ok(())
    }
}

/// Something else answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NotIpam {
    /// Method and address of the request.
    pub request: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// What is wrong with the answer.
    pub reason: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// For how long.
    pub elapsed: Duration,
    /// Whether a change may have been made although the reply can't be trusted. Repeating the request is safe.
    pub may_have_happened: bool,
}

impl fmt::Display for NotIpam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the answer to {} (status {}, {}) is not from an ipam server: {}. \
             Check that the endpoint is the address of the server and that no proxy answers in its place.",
            self.request,
            self.status,
            tried(self.attempts, self.elapsed),
            self.reason
        )?;
        if self.may_have_happened {
            f.write_str(SAFE_TO_REPEAT)?;
        }
        Ok(())
    }
}

const SAFE_TO_REPEAT: &str =
    " It is not known whether the server made the change; running the same again is safe.";

fn tried(attempts: u32, elapsed: Duration) -> String {
    match attempts {
        1 => "tried once".to_owned(),
        _ => format!("tried {attempts} times in {:.1} s", elapsed.as_secs_f64()),
    }
}
