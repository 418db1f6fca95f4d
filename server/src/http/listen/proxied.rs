//! The header that a proxy of TCP sends before anything else, by the PROXY protocol of HAProxy, version 1 or 2: for whom the
//! connection is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Maximum length of a header, in bytes. Version 1 has at most 107; in version 2 proxies add details of a few hundred.
pub(super) const LONGEST: usize = 4096;
/// Maximum length of version 1, with its line feed.
const LONGEST_LINE: usize = 107;
/// How version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// How version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the bytes that have arrived so far mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// More of it is on the way.
    Partial,
    /// It is complete, and what follows begins after `length` bytes.
    Complete {
        /// Its length.
        length: usize,
        /// The client; none if the proxy speaks for itself or does not know.
        client: Option<IpAddr>,
    },
    /// It is none.
    Invalid(&'static str),
}

/// Reads a header from the bytes that have arrived.
pub(super) fn parse(bytes: &[u8]) -> Header {
    let begins = |with: &[u8]| bytes.starts_with(with) || with.starts_with(bytes);
    if begins(SIGNATURE) {
        version_2(bytes)
    } else if begins(WORD) {
        version_1(bytes)
    } else {
        Header::Invalid("there is no header of the PROXY protocol")
    }
}

fn version_1(bytes: &[u8]) -> Header {
    let line = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = line.windows(2).position(|two| two == b"\r\n") else {
        return match line.len() {
            LONGEST_LINE => Header::Invalid("the header has no end"),
            _ => Header::Partial,
        };
    };
    let client = line
        .get(WORD.len()..end)
        .and_then(|words| std::str::from_utf8(words).ok())
        .and_then(client_of_line);
    match client {
        Some(client) => Header::Complete {
            length: end + 2,
            client,
        },
        None => Header::Invalid("the header names no addresses and ports"),
    }
}

/// The client that a line names after its first word.
fn client_of_line(words: &str) -> Option<Option<IpAddr>> {
    let words: Vec<_> = words.split(' ').collect();
    if words.first() == Some(&"UNKNOWN") {
        return Some(None);
    }
    let [family, source, destination, from, to] = words[..] else {
        return None;
    };
    let is_port =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok();
    if !is_port(from) || !is_port(to) {
        return None;
    }
    let client: IpAddr = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            source.parse::<Ipv4Addr>().ok()?.into()
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            source.parse::<Ipv6Addr>().ok()?.into()
        }
        _ => return None,
    };
    Some(Some(client.to_canonical()))
}

fn version_2(bytes: &[u8]) -> Header {
    let Some((&[command, family, high, low], rest)) = bytes
        .get(SIGNATURE.len()..)
        .and_then(|bytes| bytes.split_first_chunk::<4>())
    else {
        return Header::Partial;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = SIGNATURE.len() + 4 + length;
    if whole > LONGEST {
        return Header::Invalid("the header is too long");
    }
    let Some(rest) = rest.get(..length) else {
        return Header::Partial;
    };
    let client = match (command, family) {
        // The proxy itself, such as for a health check.
        (0x20, _) => None,
        // It does not know, or its client is on a socket of its machine.
        (0x21, 0x00 | 0x31) => None,
        (0x21, 0x11) => match rest.first_chunk::<12>() {
            Some(&[a, b, c, d, ..]) => Some(IpAddr::from([a, b, c, d])),
            None => return Header::Invalid("the header is too short for its addresses"),
        },
        (0x21, 0x21) => match (rest.first_chunk::<16>(), rest.len() >= 36) {
            (Some(source), true) => Some(IpAddr::from(*source).to_canonical()),
            _ => return Header::Invalid("the header is too short for its addresses"),
        },
        (0x21, _) => return Header::Invalid("the header is not about a TCP connection"),
        _ => return Header::Invalid("the version or command of the header is not known"),
    };
    Header::Complete {
        length: whole,
        client,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complete(length: usize, client: Option<&str>) -> Header {
        Header::Complete {
            length,
            client: client.map(|client| client.parse().unwrap()),
        }
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    #[test]
    fn a_line_names_the_client() {
        for (line, client) in [
            ("TCP4 192.0.2.1 10.0.0.1 4711 443", Some("192.0.2.1")),
            (
                "TCP4 255.255.255.255 255.255.255.255 65535 65535",
                Some("255.255.255.255"),
            ),
            ("TCP6 2001:db8::1 fd00::1 4711 443", Some("2001:db8::1")),
            ("TCP6 ::ffff:192.0.2.1 fd00::1 4711 443", Some("192.0.2.1")),
            ("UNKNOWN", None),
            (
                "UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
                None,
            ),
        ] {
            let whole = format!("PROXY {line}\r\n");
            let followed = format!("{whole}GET / HTTP/1.1\r\n\r\n");
            assert_eq!(
                parse(followed.as_bytes()),
                complete(whole.len(), client),
                "{line}"
            );
            for length in 0..whole.len() {
                assert_eq!(
                    parse(&whole.as_bytes()[..length]),
                    Header::Partial,
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 1\r\n",
            "PROXY TCP4  192.0.2.1 10.0.0.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 \r\n",
            "PROXY TCP4 2001:db8::1 fd00::1 4711 443\r\n",
            "PROXY TCP6 192.0.2.1 10.0.0.1 4711 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 4711 65536\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 +1 443\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1  443\r\n",
            "PROXY TCP4 192.0.2.01 10.0.0.1 1 443\r\n",
            "PROXY UDP4 192.0.2.1 10.0.0.1 1 443\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY \r\n",
            "PROXY tcp4 192.0.2.1 10.0.0.1 1 443\r\n",
            "proxy TCP4 192.0.2.1 10.0.0.1 1 443\r\n",
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 192.0.2.1\u{e4} 10.0.0.1 1 443\r\n",
            "\r\n\r\nPROXY",
        ] {
            assert!(
                matches!(parse(line.as_bytes()), Header::Invalid(_)),
                "{line:?}"
            );
        }
        let endless = format!("PROXY UNKNOWN {}", "a".repeat(200));
        assert!(matches!(parse(endless.as_bytes()), Header::Invalid(_)));
        assert!(matches!(
            parse(&endless.as_bytes()[..107]),
            Header::Invalid(_)
        ));
        assert_eq!(parse(&endless.as_bytes()[..106]), Header::Partial);
    }

    #[test]
    fn the_binary_header_names_the_client() {
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 1, 0xbb];
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six[15] = 1;
        let details = [&four[..], &[3, 0, 4, 1, 2, 3, 4], &[0; 900]].concat();
        for (header, client) in [
            (binary(0x21, 0x11, &four), Some("192.0.2.1")),
            (binary(0x21, 0x11, &details), Some("192.0.2.1")),
            (binary(0x21, 0x21, &six), Some("2001:db8::1")),
            (binary(0x20, 0x00, &[]), None),
            (binary(0x20, 0x11, &four), None),
            (binary(0x20, 0xff, &[]), None),
            (binary(0x21, 0x00, &[]), None),
            (binary(0x21, 0x31, &[0; 216]), None),
        ] {
            let followed = [&header[..], b"\x16\x03\x01"].concat();
            assert_eq!(parse(&followed), complete(header.len(), client));
            for length in 0..header.len() {
                assert_eq!(parse(&header[..length]), Header::Partial);
            }
        }
    }

    #[test]
    fn other_binary_headers_are_refused() {
        for header in [
            binary(0x21, 0x11, &[1; 11]),
            binary(0x21, 0x21, &[1; 35]),
            binary(0x21, 0x12, &[1; 12]),
            binary(0x21, 0x22, &[1; 36]),
            binary(0x21, 0x41, &[1; 36]),
            binary(0x22, 0x11, &[1; 12]),
            binary(0x11, 0x11, &[1; 12]),
            binary(0x31, 0x11, &[1; 12]),
            binary(0x20, 0x00, &[0; 60_000]),
            binary(0x20, 0x00, &[0; LONGEST - 15]),
            b"\r\n\r\n\0\r\nQUIT\r".to_vec(),
        ] {
            assert!(matches!(parse(&header), Header::Invalid(_)), "{header:?}");
        }
        // What is too long is refused before it arrives.
        let begin = &binary(0x21, 0x11, &[0; 60_000])[..16];
        assert!(matches!(parse(begin), Header::Invalid(_)));
        let most = binary(0x20, 0x00, &[0; LONGEST - 16]);
        assert_eq!(parse(&most), complete(LONGEST, None));
    }

    proptest! {
        #[test]
        fn whatever_arrives_is_decided_within_its_bounds(
            start in prop_oneof![Just(&b""[..]), Just(WORD), Just(SIGNATURE), Just(&b"PROXY TCP4 "[..])],
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, &rest].concat();
            match parse(&bytes) {
                Header::Complete { length, .. } => prop_assert!(length <= bytes.len() && length <= LONGEST),
                Header::Partial => prop_assert!(bytes.len() < LONGEST),
                Header::Invalid(_) => {}
            }
        }
    }
}
