//! What an operator asks of clients: how many requests each of them makes, that no change is made blindly, and which pages
//! of others may read the API. Nothing is asked unless it is set.

use std::{net::IpAddr, str::FromStr, time::Instant};

use uuid::Uuid;

use crate::{
    front::{Origin, owner, parts},
    rate::{Left, Limiter, TooMany},
};

/// Tokens that are remembered, and addresses: some hundred kilobytes each.
const REMEMBERED: usize = 8192;

/// What is asked of clients.
#[derive(Debug, Default)]
pub struct Manners {
    /// Limits by token; those of the administrator's key count for one.
    by_token: Option<Limiter<Option<Uuid>>>,
    /// Limits by address, for requests without a valid key.
    by_address: Option<Limiter<IpAddr>>,
    /// Whether a change without If-Match is refused.
    pub(crate) requires_if_match: bool,
    /// The pages that may read the API.
    pub(crate) origins: Origins,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Somebody with this token, or the administrator.
    Token(Option<Uuid>),
    /// Somebody at this address, without a valid key.
    Address(IpAddr),
}

impl Who {
    /// What the limit counts by.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Address(_) => "address",
        }
    }
}

impl Manners {
    /// With at most this many requests in a minute for each token, and for each address of requests without a valid key; 0
    /// is no limit.
    #[must_use]
    pub fn with_limits(self, per_token: u32, per_address: u32) -> Self {
        let now = Instant::now();
        Self {
            by_token: (per_token > 0).then(|| Limiter::new(per_token, REMEMBERED, now)),
            by_address: (per_address > 0).then(|| Limiter::new(per_address, REMEMBERED, now)),
            ..self
        }
    }

    /// Without changes that do not say which revision they are about.
    #[must_use]
    pub fn requiring_if_match(self, requires_if_match: bool) -> Self {
        Self {
            requires_if_match,
            ..self
        }
    }

    /// With these pages.
    #[must_use]
    pub fn with_origins(self, origins: Origins) -> Self {
        Self { origins, ..self }
    }

    /// Counts a request; none if there is no limit for such a one.
    pub(crate) fn count(&self, who: Who) -> Option<Result<Left, TooMany>> {
        let now = Instant::now();
        match who {
            Who::Token(token) => Some(self.by_token.as_ref()?.count(&token, now)),
            Who::Address(address) => Some(self.by_address.as_ref()?.count(&owner(address), now)),
        }
    }
}

/// Pages of others that may read the API, by their origin: `https://portal.example`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is one of them, as a browser writes it.
    pub(crate) fn contains(&self, origin: &[u8]) -> bool {
        self.0.iter().any(|one| one.as_bytes() == origin)
    }
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parts(text).map(origin).collect::<Result<_, _>>().map(Self)
    }
}

/// An origin as browsers write it, since they write each in one way only.
fn origin(text: &str) -> Result<String, String> {
    let refused = || {
        format!(
            "{text:?} is not the origin of a page: write scheme and host of each one, such as https://portal.example, \
             without a path; there are no wildcards"
        )
    };
    let origin: Origin = text.parse().map_err(|_| refused())?;
    let origin = origin.to_string();
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    // A port is digits; the parser takes any text for one.
    let port = match host.rsplit_once(']') {
        Some((_, port)) => port.strip_prefix(':'),
        None => host.split_once(':').map(|(_, port)| port),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host.bytes().all(is_plain) && is_port {
        Ok(origin)
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_send() {
        let origins: Origins =
            " https://Portal.example:443/ ,http://127.0.0.1:3000,,https://[2001:db8::1]:8443"
                .parse()
                .unwrap();
        for known in [
            "https://portal.example",
            "http://127.0.0.1:3000",
            "https://[2001:db8::1]:8443",
        ] {
            assert!(origins.contains(known.as_bytes()), "{known}: {origins:?}");
        }
        for unknown in [
            "",
            "null",
            "https://portal.example:443",
            "https://portal.example/",
            "https://Portal.example",
            "http://portal.example",
            "https://portal.example.evil.example",
            "https://evil-portal.example",
            "http://127.0.0.1",
            "http://127.0.0.1:30000",
        ] {
            assert!(!origins.contains(unknown.as_bytes()), "{unknown}");
        }
        assert!("".parse::<Origins>().unwrap().is_empty());
        for bad in [
            "*",
            "null",
            "portal.example",
            "https://*.example",
            "https://*",
            "https://portal.example/path",
            "https://portal.example?a",
            "https://user@portal.example",
            "ftp://portal.example",
            "https://portal.example:99999",
            "https://portal.example:a",
            "https://portal.example:",
            "https://portal.example:0",
            "https://a https://b",
            "https://b\u{fc}cher.example",
            "file:///etc",
            "https://",
        ] {
            let refused = bad.parse::<Origins>().unwrap_err();
            assert!(
                refused.contains("https://portal.example"),
                "{bad}: {refused}"
            );
        }
        assert!("https://a.example,*".parse::<Origins>().is_err());
    }

    #[test]
    fn the_administrator_is_one_caller_and_a_network_of_ipv6_another() {
        let manners = Manners::default().with_limits(1, 1);
        let count = |who| manners.count(who).unwrap().is_ok();
        let token = Who::Token(Some(Uuid::from_u128(1)));
        assert!(count(token) && count(Who::Token(None)) && !count(token));
        let address = |text: &str| Who::Address(text.parse().unwrap());
        assert!(count(address("2001:db8::1")) && !count(address("2001:db8::2")));
        assert!(count(address("2001:db8:0:1::1")) && count(address("192.0.2.1")));
        assert!(!count(address("::ffff:192.0.2.1")));
        assert_eq!(Manners::default().count(token), None);
        assert_eq!(
            Manners::default().with_limits(1, 0).count(address("::1")),
            None
        );
    }
}
