//! An address or a network on the command line.

use std::net::IpAddr;

use ipam_shared::cidr::Cidr;

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Address(IpAddr),
    Network(Cidr),
}

impl Target {
    /// As the two parameters of the API, one of which is given.
    pub(super) fn parameters(self) -> (Option<IpAddr>, Option<Cidr>) {
        match self {
            Self::Address(ip) => (Some(ip), None),
            Self::Network(cidr) => (None, Some(cidr)),
        }
    }
}

/// An address, or else a CIDR.
pub(super) fn target(text: &str) -> Result<Target, String> {
    match text.parse() {
        Ok(ip) => Ok(Target::Address(ip)),
        Err(_) => Cidr::of_address_or_network(text)
            .map(Target::Network)
            .map_err(|error| error.to_string()),
    }
}
