//! How clients reach this server: directly or through proxies, encrypted or not, and by which name. What headers say about
//! that is believed only from proxies that are named as trusted: anybody else could claim any address.

use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    extract::FromRequestParts,
    http::{
        Extensions, HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts, uri::Authority,
    },
};
use ipam_shared::cidr::Cidr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The client that an address belongs to: with IPv6 every client has at least a /64.
pub(crate) fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}

/// The parts of a setting that lists several.
pub(crate) fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// The proxies whose word is taken for who a client is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Cidr>);

impl TrustedProxies {
    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the one at this address is trusted.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|one| one.contains_address(address))
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parts(text)
            .map(|part| Cidr::of_address_or_network(part).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// What browsers call the origin of a page: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    /// In lower case, without a default port.
    host: String,
}

impl Origin {
    fn new(is_https: bool, authority: &str) -> Self {
        let host = authority.to_ascii_lowercase();
        let default = if is_https { ":443" } else { ":80" };
        let host = match host.strip_suffix(default) {
            // Not the end of an IPv6 address.
            Some(bare) if !bare.ends_with(':') && (!bare.contains(':') || bare.ends_with(']')) => {
                bare.to_owned()
            }
            _ => host,
        };
        Self { is_https, host }
    }
}

/// As browsers write it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)
    }
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || {
            format!(
                "{text:?} is not the address of a server: write scheme and host, such as https://ipam.example, without a \
                 path"
            )
        };
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(refused());
        };
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let is_plain = !authority.as_str().contains('@') && !authority.host().is_empty();
        match scheme {
            "http" | "https" if is_bare && is_plain => {
                Ok(Self::new(scheme == "https", authority.as_str()))
            }
            _ => Err(refused()),
        }
    }
}

/// Where people find the dashboard, if that was said. The empty text says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicUrl(Option<Origin>);

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Ok(Self(None)),
            text => text.parse().map(Some).map(Self),
        }
    }
}

/// What was set about the way to this server.
#[derive(Clone, Debug, Default)]
pub struct Front {
    proxies: TrustedProxies,
    public: Option<Origin>,
    /// Whether headers of somebody who is not trusted were ignored before.
    has_ignored: Arc<AtomicBool>,
}

impl Front {
    /// With the proxies that are trusted, and the address by which the dashboard is reached.
    pub fn new(proxies: TrustedProxies, PublicUrl(public): PublicUrl) -> Self {
        Self {
            proxies,
            public,
            has_ignored: Arc::default(),
        }
    }

    /// How a request came here: from `peer`, a client or a proxy, if it came over a socket, and encrypted or not.
    pub(crate) fn reached(
        &self,
        peer: Option<IpAddr>,
        is_encrypted: bool,
        headers: &HeaderMap,
    ) -> Reached {
        let mut reached = Reached {
            client: peer.map(|peer| peer.to_canonical()),
            is_encrypted,
            public: self.public.clone(),
            host: None,
        };
        let Some(peer) = peer else {
            return reached;
        };
        if !self.proxies.contains(peer) {
            self.note_ignored(peer, headers);
            return reached;
        }
        reached.client = Some(self.client(peer, headers));
        // The right-most is what the nearest proxy says.
        let said = last(headers, &FORWARDED_PROTO);
        reached.is_encrypted |= said.is_some_and(|said| said.eq_ignore_ascii_case(b"https"));
        reached.host = last(headers, &FORWARDED_HOST)
            .and_then(|said| std::str::from_utf8(said).ok()?.parse().ok());
        reached
    }

    /// The last address that a trusted proxy has seen: each of them adds the address of its client on the right, and what is
    /// left of one that is not trusted was said by that one. Where a trusted proxy names no address, it counts itself.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let values = headers.get_all(FORWARDED_FOR);
        let entries = values
            .iter()
            .rev()
            .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        for entry in entries {
            let Some(address) = address_of(entry) else {
                return client;
            };
            client = address;
            if !self.proxies.contains(client) {
                return client;
            }
        }
        client
    }

    /// Says once that headers are ignored: behind a proxy that was not named, all clients have its address, and sessions
    /// are not marked as secure.
    fn note_ignored(&self, peer: IpAddr, headers: &HeaderMap) {
        let speaks_as_proxy = [FORWARDED_FOR, FORWARDED_PROTO]
            .iter()
            .any(|name| headers.contains_key(name));
        if speaks_as_proxy && !self.has_ignored.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                "X-Forwarded-For or X-Forwarded-Proto came from an address that is not trusted, and is ignored; if a proxy \
                 of yours is there, name it in --trusted-proxies"
            );
        }
    }
}

/// What the last of the values says: the last part of a list, or of the last of several headers.
fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let value: &HeaderValue = headers.get_all(name).iter().next_back()?;
    let last = value.as_bytes().rsplit(|byte| *byte == b',').next()?;
    Some(last.trim_ascii())
}

/// An address as proxies write it, which may have a port behind it.
fn address_of(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => text
            .parse()
            .or_else(|_| text.parse().map(|place: SocketAddr| place.ip()))
            .ok()?,
    };
    Some(address.to_canonical())
}

/// How one request reached this server. In the extensions of those that did not simply come over plain http from the client
/// itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached {
    /// Who sent it, if it came over a socket.
    pub(crate) client: Option<IpAddr>,
    /// Whether it was encrypted on its way to this server, or to the trusted proxy in front.
    pub(crate) is_encrypted: bool,
    public: Option<Origin>,
    host: Option<Authority>,
}

impl Reached {
    /// What is known about a request.
    pub(crate) fn of(request: &Extensions) -> Self {
        request.get().cloned().unwrap_or_default()
    }

    /// Whether it says more than the request itself.
    pub(crate) fn is_remarkable(&self) -> bool {
        self.is_encrypted || self.public.is_some() || self.host.is_some()
    }

    /// Whether the browser has the page over https.
    pub(crate) fn is_https(&self) -> bool {
        self.public
            .as_ref()
            .map_or(self.is_encrypted, |public| public.is_https)
    }

    /// The address of this server for whoever sent the request, such as `https://ipam.example`; only if it is harmless in
    /// a shell.
    pub(crate) fn url(&self, headers: &HeaderMap) -> Option<String> {
        let host = match (&self.public, &self.host) {
            (Some(public), _) => public.host.clone(),
            (None, Some(host)) => host.to_string(),
            (None, None) => {
                let host = headers.get(header::HOST)?.to_str().ok()?;
                host.parse::<Authority>().ok()?.to_string()
            }
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        let scheme = if self.is_https() { "https" } else { "http" };
        host.chars()
            .all(plain)
            .then(|| format!("{scheme}://{host}"))
    }

    /// Whether a form comes from a page of this server, according to headers that browsers set and scripts can't forge.
    pub(crate) fn is_own_form(&self, headers: &HeaderMap) -> bool {
        let sent = headers
            .get(header::ORIGIN)
            .and_then(|value| value.to_str().ok());
        let origin = sent.and_then(|text| text.parse::<Origin>().ok());
        if let Some(public) = &self.public
            && origin.as_ref().is_some_and(|origin| origin != public)
        {
            return false;
        }
        if let Some(site) = headers.get("sec-fetch-site") {
            return site == "same-origin";
        }
        // Browsers omit that header on plain http except for localhost, and send the other with every form.
        let Some(origin) = origin else {
            return false;
        };
        if self.public.is_some() {
            return true;
        }
        // A trusted proxy may address us by another name than the browser uses.
        let named = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let hosts = [named, self.host.as_ref().map(Authority::as_str)];
        (origin.is_https || !self.is_https())
            && hosts
                .into_iter()
                .flatten()
                .any(|host| Origin::new(origin.is_https, host) == origin)
    }
}

impl<S: Sync> FromRequestParts<S> for Reached {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
        let headers = headers.iter().map(|(name, value)| {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            (HeaderName::from_static(name), value)
        });
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(name, value);
        }
        all
    }

    fn front(proxies: &str, url: &str) -> Front {
        Front::new(proxies.parse().unwrap(), url.parse().unwrap())
    }

    /// What a server behind proxies takes for the client of a request from `peer`.
    fn client(peer: &str, chains: &[&str]) -> String {
        let front = front("10.0.0.0/8, fd00::/8,192.0.2.7", "");
        let chains: Vec<_> = chains.iter().map(|it| ("x-forwarded-for", *it)).collect();
        let reached = front.reached(Some(peer.parse().unwrap()), false, &headers(&chains));
        reached.client.unwrap().to_string()
    }

    #[test]
    fn the_client_is_the_last_one_that_a_trusted_proxy_has_seen() {
        for (peer, chains, expected) in [
            // Nobody else is believed.
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("192.0.2.8", &["198.51.100.1"], "192.0.2.8"),
            ("10.1.2.3", &[], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1"], "198.51.100.1"),
            ("192.0.2.7", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.1.2.3", &["198.51.100.1"], "198.51.100.1"),
            // What the client says itself is on the left.
            (
                "10.1.2.3",
                &["198.51.100.1, 203.0.113.9, 10.9.9.9,fd00::1"],
                "203.0.113.9",
            ),
            ("10.1.2.3", &["127.0.0.1", "203.0.113.9"], "203.0.113.9"),
            (
                "10.1.2.3",
                &["203.0.113.9", "198.51.100.1,10.9.9.9", "10.9.9.8"],
                "198.51.100.1",
            ),
            ("fd00::5", &["2001:db8::1"], "2001:db8::1"),
            ("fd00::5", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("fd00::5", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.1.2.3", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.1.2.3", &["::ffff:198.51.100.1"], "198.51.100.1"),
            // All of them are trusted: the first.
            ("10.1.2.3", &["10.4.4.4,10.3.3.3"], "10.4.4.4"),
            // Junk ends the chain at the proxy that reported it.
            ("10.1.2.3", &[""], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1, unknown"], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1,"], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1, _hidden, 10.3.3.3"], "10.3.3.3"),
            ("10.1.2.3", &["198.51.100.1.2"], "10.1.2.3"),
            ("10.1.2.3", &["198.51.100.1:99999"], "10.1.2.3"),
            ("10.1.2.3", &["fe80::1%eth0"], "10.1.2.3"),
            ("10.1.2.3", &["010.0.0.1"], "10.1.2.3"),
            ("10.1.2.3", &["[198.51.100.1]"], "10.1.2.3"),
            (
                "10.1.2.3",
                &["\u{fffd}\u{fffd}, 198.51.100.1"],
                "198.51.100.1",
            ),
        ] {
            assert_eq!(client(peer, chains), expected, "{peer} {chains:?}");
        }
        let long =
            "10.0.0.1,".repeat(7000) + "198.51.100.1," + &"10.0.0.2,".repeat(7000) + "fd00::";
        assert_eq!(client("10.1.2.3", &[&long]), "198.51.100.1");
    }

    #[test]
    fn only_a_trusted_proxy_says_that_it_was_https() {
        let front = front("10.0.0.0/8", "");
        let reached = |peer: Option<&str>, tls, said: &[&str]| {
            let said: Vec<_> = said.iter().map(|it| ("x-forwarded-proto", *it)).collect();
            let peer = peer.map(|peer| peer.parse().unwrap());
            front.reached(peer, tls, &headers(&said)).is_https()
        };
        let (proxy, other) = (Some("10.0.0.1"), Some("192.0.2.1"));
        assert!(reached(proxy, false, &["https"]));
        assert!(reached(proxy, false, &["HTTPS "]));
        assert!(reached(proxy, false, &["http", "http, https"]));
        for said in [
            &[][..],
            &["http"],
            &["https,http"],
            &["https", "http"],
            &["https,"],
            &["httpsx"],
        ] {
            assert!(!reached(proxy, false, said), "{said:?}");
        }
        assert!(!reached(other, false, &["https"]));
        assert!(!reached(None, false, &["https"]));
        // What this server has seen itself is nobody's to deny.
        assert!(reached(other, true, &["http"]) && reached(proxy, true, &["http"]));
    }

    #[test]
    fn the_public_url_has_the_last_word() {
        let peer = Some("10.0.0.1".parse().unwrap());
        let said = headers(&[
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.example"),
        ]);
        let plain = front("10.0.0.0/8", "http://b.example:8000").reached(peer, true, &said);
        assert!(!plain.is_https());
        assert_eq!(plain.url(&said).unwrap(), "http://b.example:8000");
        let none = HeaderMap::new();
        let https = front("", "https://B.example:443/").reached(peer, false, &none);
        assert!(https.is_https());
        assert_eq!(https.url(&none).unwrap(), "https://b.example");
        let unset = front("10.0.0.0/8", "").reached(peer, false, &said);
        assert_eq!(unset.url(&said).unwrap(), "https://a.example");
        for text in [
            "ipam.example",
            "https://",
            "ftp://ipam.example",
            "https://ipam.example/base",
            "https://ipam.example/?a",
            "https://user@ipam.example",
            "https:///",
            "/",
        ] {
            let refused = text.parse::<PublicUrl>().unwrap_err();
            assert!(refused.contains("https://ipam.example"), "{refused}");
        }
        assert_eq!(" ".parse::<PublicUrl>().unwrap(), PublicUrl::default());
        assert!("10.0.0.1/8".parse::<TrustedProxies>().is_err());
        assert!("".parse::<TrustedProxies>().unwrap().is_empty());
    }

    #[test]
    fn a_form_comes_from_a_page_of_ours() {
        let nothing = Reached::default();
        let check = |sent: &[(&'static str, &str)]| nothing.is_own_form(&headers(sent));
        let host = ("host", "ipam.example:8000");
        assert!(check(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(!check(&[
            host,
            ("sec-fetch-site", "same-site"),
            ("origin", "http://ipam.example:8000")
        ]));
        assert!(!check(&[host, ("sec-fetch-site", "none")]));
        assert!(check(&[host, ("origin", "http://ipam.example:8000")]));
        assert!(check(&[
            ("host", "IPAM.example"),
            ("origin", "https://ipam.example")
        ]));
        for origin in [
            "http://ipam.example:9000",
            "http://evil.example",
            "null",
            "http://ipam.example:8000.evil.example",
            "http://ipam.example:8000/path",
        ] {
            assert!(!check(&[host, ("origin", origin)]), "{origin}");
        }
        assert!(!check(&[host]));
        // The name that a proxy was reached by, if the proxy is trusted.
        let sent = headers(&[
            ("host", "10.0.0.9"),
            ("x-forwarded-host", "ipam.example"),
            ("x-forwarded-proto", "https"),
            ("origin", "https://ipam.example"),
        ]);
        let from = |peer: &str| {
            let front = front("10.0.0.0/8", "");
            front.reached(Some(peer.parse().unwrap()), false, &sent)
        };
        assert!(from("10.0.0.1").is_own_form(&sent));
        assert!(!from("192.0.2.1").is_own_form(&sent));
        // Nobody in between has taken the encryption off.
        let sent = headers(&[("host", "ipam.example"), ("origin", "http://ipam.example")]);
        assert!(
            !Front::default()
                .reached(None, true, &sent)
                .is_own_form(&sent)
        );
    }

    #[test]
    fn with_a_public_url_forms_come_from_there_and_nowhere_else() {
        let front = front("", "https://ipam.example");
        let check = |sent: &[(&'static str, &str)]| {
            let sent = headers(sent);
            front.reached(None, false, &sent).is_own_form(&sent)
        };
        let host = ("host", "10.0.0.9:8000");
        assert!(check(&[host, ("origin", "https://ipam.example")]));
        assert!(check(&[host, ("sec-fetch-site", "same-origin")]));
        assert!(!check(&[host, ("origin", "http://ipam.example")]));
        assert!(!check(&[host, ("origin", "http://10.0.0.9:8000")]));
        // A name that leads here, but is not ours.
        assert!(!check(&[
            ("host", "evil.example"),
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!check(&[host]));
    }

    #[test]
    fn a_strange_host_is_not_repeated() {
        let url = |host: &str| Reached::default().url(&headers(&[("host", host)]));
        for (host, expected) in [
            ("ipam.example:8000", Some("http://ipam.example:8000")),
            ("[::1]:8000", Some("http://[::1]:8000")),
            ("a$(id)", None),
            ("", None),
        ] {
            assert_eq!(url(host).as_deref(), expected);
        }
        assert_eq!(Reached::default().url(&HeaderMap::new()), None);
    }

    #[test]
    fn ipv6_is_counted_by_the_network_and_mapped_ipv4_as_ipv4() {
        let owner = |text: &str| owner(text.parse().unwrap());
        assert_eq!(owner("2001:db8::1:2"), owner("2001:db8::9:9:9:9"));
        assert_ne!(owner("2001:db8:0:1::1"), owner("2001:db8::1"));
        assert_eq!(owner("::ffff:192.0.2.1"), owner("192.0.2.1"));
        assert_eq!(owner("192.0.2.1").to_string(), "192.0.2.1");
    }
}
