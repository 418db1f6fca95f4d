//! A request names its host exactly once (RFC 9112, section 3.2). If it names none or two, a proxy may have used a
//! different one than we would.

use axum::{
    extract::Request,
    http::{HeaderMap, Version, header, uri::Authority},
};
use ipam_shared::error::Code;

use super::{error::Refusal, listen::Peer};

/// Refuses requests without exactly one valid host. HTTP/1.0 has no such header, but may not have two either.
pub(super) fn check(request: &Request) -> Result<(), Refusal> {
    // A request that did not come over a socket is one of our own.
    if request.extensions().get::<Peer>().is_some()
        && !is_named(request.headers(), request.version())
    {
        return Err(Refusal::new(
            Code::InvalidRequest,
            "an HTTP/1.1 request needs exactly one Host header, with the name or address of the server and optionally a \
             port",
        ));
    }
    Ok(())
}

fn is_named(headers: &HeaderMap, version: Version) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => version < Version::HTTP_11,
        (Some(host), None) => host.to_str().is_ok_and(is_host),
        (Some(_), Some(_)) => false,
    }
}

/// Whether it is a host, optionally with a port, or empty, as for a target without one.
fn is_host(text: &str) -> bool {
    text.is_empty()
        || text.parse::<Authority>().is_ok_and(|authority| {
            let port = text.strip_prefix(authority.host()).unwrap_or("@");
            let port = port.strip_prefix(':').unwrap_or(port);
            port.bytes().all(|byte| byte.is_ascii_digit())
        })
}
