//! Doors to what reads headers and the beginning of connections, for the crate that fuzzes it. No part of the interface.

use std::net::IpAddr;

use axum::http::HeaderMap;

use super::{conditional, listen};
use crate::front::{Front, PublicUrl, TrustedProxies};

/// Whether a list of tags names this one.
pub fn names(list: &[u8], tag: &[u8]) -> bool {
    conditional::names(list, tag)
}

/// What the first bytes of a connection are to a reader of the PROXY protocol: none if it needs more of them, the length of
/// the header and the client that it names, or why it is no header.
pub fn proxied(bytes: &[u8]) -> Option<Result<(usize, Option<IpAddr>), &'static str>> {
    listen::proxied(bytes)
}

/// Whom a server that trusts these proxies takes for the client of a request from `peer`.
pub fn client_of(proxies: TrustedProxies, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
    let front = Front::new(proxies, PublicUrl::default());
    front.reached(Some(peer), false, headers).client
}
