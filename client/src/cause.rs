//! Why a request got no reply, for people.

use std::{error::Error as StdError, io};

/// The innermost cause says what happened; the outer ones say that something did.
pub fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() && !error.is_connect() {
        return "it took too long".to_owned();
    }
    causes(error)
        .last()
        .map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<io::Error>() {
            // What an io::Error wraps is its own message, not its source.
            Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        }
    })
}

/// What to check, and whether retrying is pointless.
pub(crate) fn diagnose(error: &reqwest::Error) -> (&'static str, bool) {
    let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => (
            "The server's certificate is not trusted: name the file of its certificate authority as the CA file.",
            true,
        ),
        Some(rustls::Error::InvalidMessage(_)) => (
            "The server does not seem to speak TLS there: check whether the endpoint should begin with http://.",
            true,
        ),
        _ => (
            "Check that the server is running, that the endpoint is its address and that nothing is blocking the way.",
            false,
        ),
    }
}
