//! What the server reads besides bodies: files, settings, headers, the beginning of a connection.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipam_server::{
    cli, domain,
    front::{Origin, PublicUrl, TrustedProxies},
    http::fuzzing::{client_of, names, proxied as read_proxied},
    manners::Origins,
    secret::Peppers,
    settings::{check_key, database},
};
use ipam_shared::api::transfer::Format;

use crate::bytes::{Bytes, text};

/// Headers of one name, each with a line of the input.
pub(super) fn headers(bytes: &mut Bytes<'_>, name: &'static str, count: u8) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for _ in 0..count {
        if let Ok(value) = HeaderValue::from_bytes(bytes.line()) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// Files of an address plan. What was read is written in either format, and read as the same.
pub(super) fn file(input: &[u8]) {
    let mut bytes = Bytes(input);
    let format = match bytes.byte() % 2 {
        0 => Format::Json,
        _ => Format::Csv,
    };
    let Some(records) = domain::fuzzing::read_file(bytes.0, format) else {
        return;
    };
    for format in [Format::Json, Format::Csv] {
        let file = domain::fuzzing::write_file(&records, format).expect("it can be written");
        let again = domain::fuzzing::read_file(&file, format);
        assert_eq!(again.as_ref(), Some(&records), "{}", text(&file));
    }
}

/// Settings of the server. None that is secret is in an error.
pub(super) fn settings(input: &[u8]) {
    let given = text(input);
    if let Ok(origin) = given.parse::<Origin>() {
        assert_eq!(origin.to_string().parse(), Ok(origin), "{given:?}");
    }
    _ = given.parse::<PublicUrl>();
    _ = given.parse::<Origins>();
    if let Ok(proxies) = given.parse::<TrustedProxies>() {
        let first = given
            .split(',')
            .map(str::trim)
            .find(|part| !part.is_empty());
        let address = first.and_then(|part| part.split('/').next()?.parse().ok());
        assert_eq!(proxies.is_empty(), address.is_none());
        assert!(
            address.is_none_or(|address| proxies.contains(address)),
            "{given:?}"
        );
    }
    _ = Peppers::parse(given);
    _ = check_key(given);
    // An error says the same, whatever the password.
    let password = given
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@')?.0.split_once(':'))
        .map(|(_, password)| password)
        .filter(|password| password.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    if let (Err(error), Some(password)) = (database(Some(given), None, |_| None), password) {
        let other = given.replacen(&format!(":{password}@"), ":other@", 1);
        let said = database(Some(&other), None, |_| None).expect_err("it is as wrong as before");
        assert_eq!(format!("{error:#}"), format!("{said:#}"));
    }
}

/// The configuration file of the command line. No error has a value of it.
pub(super) fn contexts(input: &[u8]) {
    match cli::fuzzing::contexts(text(input)) {
        Ok(contexts) => assert!(contexts.iter().all(|(_, endpoint)| !endpoint.is_empty())),
        Err(error) => assert!(error.len() < 12 * input.len() + 200),
    }
}

/// The client that proxies name. Compared with a reading of the chain from the left.
pub(super) fn forwarded(input: &[u8]) {
    let mut bytes = Bytes(input);
    let peer: IpAddr = [10, bytes.byte() % 2, 0, bytes.byte()].into();
    let proxies: TrustedProxies = "10.0.0.0/16, fd00::/8".parse().expect("proxies");
    let headers = headers(&mut bytes, "x-forwarded-for", 3);
    let found = client_of(proxies.clone(), peer, &headers);
    // Each name with what everybody to the right of it said.
    let mut chain: Vec<Option<IpAddr>> = headers
        .values()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(address)
        .collect();
    chain.push(Some(peer));
    let believed = chain
        .iter()
        .rposition(|name| name.is_none_or(|address| !proxies.contains(address)));
    let expected = match believed {
        // Nobody is known to have said the name behind which there is junk.
        Some(at) => chain[at].or_else(|| chain[at + 1]),
        None => chain[0],
    };
    assert_eq!(found, expected, "{headers:?}");
}

fn address(name: &[u8]) -> Option<IpAddr> {
    let name = std::str::from_utf8(name).ok()?.trim();
    let without_port = match name.rsplit_once(':') {
        Some((host, port)) if name.starts_with('[') || !host.contains(':') => {
            let is_port = port.parse::<u16>().is_ok() && !port.starts_with('+');
            if is_port { host } else { name }
        }
        _ => name,
    };
    let inner = without_port
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let address: IpAddr = match inner {
        // A port may have a zone before it.
        Some(inner) if without_port != name => {
            let (address, zone) = inner.split_once('%').unwrap_or((inner, "0"));
            zone.parse::<u32>()
                .ok()
                .filter(|_| !zone.starts_with('+'))?;
            IpAddr::V6(address.parse().ok()?)
        }
        Some(inner) => IpAddr::V6(inner.parse().ok()?),
        None => without_port.parse().ok()?,
    };
    Some(address.to_canonical())
}

/// The header of the PROXY protocol. It is not read before it is whole, and what follows does not matter.
pub(super) fn proxied(input: &[u8]) {
    match read_proxied(input) {
        Some(Ok((length, client))) => {
            assert!(length <= input.len());
            assert_eq!(read_proxied(&input[..length]), Some(Ok((length, client))));
            for shorter in 0..length {
                assert_eq!(read_proxied(&input[..shorter]), None, "{shorter}");
            }
        }
        Some(Err(why)) => assert!(!why.is_empty()),
        // What has no end yet is no longer than a header may be.
        None => assert!(input.len() < 4096),
    }
}

/// Lists of tags in If-None-Match: a list that ends with a tag names it, whatever tags are before it.
pub(super) fn tags(input: &[u8]) {
    let mut bytes = Bytes(input);
    let (tag, list) = (bytes.line(), bytes.line());
    _ = names(list, tag);
    let inside: Vec<u8> = tag.iter().copied().filter(|byte| *byte != b'"').collect();
    let tag = [b"\"", inside.as_slice(), b"\""].concat();
    assert!(names(&tag, &tag) && names(b"*", &tag));
    let before = list
        .split(|byte| *byte == b'"')
        .map(|one| [b"W/\"", one, b"\", "].concat());
    let mut long = before.collect::<Vec<_>>().concat();
    long.extend_from_slice(&tag);
    assert!(names(&long, &tag), "{}", String::from_utf8_lossy(&long));
}
