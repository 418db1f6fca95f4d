//! Why a request got no reply, for people.

use std::{error::Error as StdError, io};

use rustls::CertificateError;

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
        Some(rustls::Error::InvalidCertificate(why)) => (about(why), true),
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

/// What to do about a certificate that is not accepted.
fn about(why: &CertificateError) -> &'static str {
    use CertificateError as Why;
    match why {
        Why::UnknownIssuer => {
            "The server's certificate is not trusted: name the file of its certificate authority as the CA file."
        }
        Why::Expired | Why::ExpiredContext { .. } => {
            "The server's certificate has expired: it needs a new one, unless the clock here is wrong."
        }
        Why::NotValidYet | Why::NotValidYetContext { .. } => {
            "The server's certificate is not valid yet: check the clock here."
        }
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            "The server's certificate is for other names: check that the endpoint has one of them."
        }
        _ => "The server's certificate can't be used: it needs another one.",
    }
}
