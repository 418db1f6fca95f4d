//! The vocabulary.

use std::{collections::BTreeSet, net::IpAddr};

use ipam_shared::{
    api::{
        allocation::{AllocationFilter, AllocationPatch, NewAllocation, NewBatch},
        event::EventFilter,
        ownership::Owner,
        pool::{NewPool, PoolPatch, RequiredLabels},
        profile::{NewProfile, ProfilePatch},
        reservation::{NewReservation, ReservationPatch},
        token::{NewToken, TokenPatch},
        transfer::{Cell, Record},
        vpc::{NewVpc, VpcPatch},
        vrf::{NewVrf, VrfPatch},
    },
    cidr::{Cidr, Family, prefix_length_for_hosts, usable_hosts},
    labels::Labels,
    name::Name,
    networks::{End, any_overlap, last_block, nth_block, split, subtract, summarize},
    pattern::Pattern,
    secret::Secret,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::bytes::{Bytes, text};

/// What is a network, and what is an address: as the standard library reads addresses, and with a length that is plain.
pub(super) fn cidr(input: &[u8]) {
    let given = text(input);
    let expected = network_of(given);
    let read = given.parse::<Cidr>();
    assert_eq!(read.as_ref().ok().copied(), expected, "{given:?}");
    match read {
        Ok(cidr) => {
            assert_eq!(cidr.to_string().parse(), Ok(cidr), "{given:?}");
            assert!(cidr.contains_address(cidr.first()) && cidr.contains_address(cidr.last()));
            assert_eq!(Cidr::of_address_or_network(given), Ok(cidr));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if !given.contains('/') {
        let single = Cidr::of_address_or_network(given);
        let address = given.parse::<IpAddr>().ok().filter(is_plain);
        assert_eq!(single.ok().map(Cidr::first), address, "{given:?}");
    }
}

fn is_plain(address: &IpAddr) -> bool {
    address.to_canonical() == *address
}

fn network_of(given: &str) -> Option<Cidr> {
    let (address, length) = given.split_once('/')?;
    let address: IpAddr = address.parse().ok().filter(is_plain)?;
    let (bits, number) = match address {
        IpAddr::V4(address) => (32_u8, u128::from(address.to_bits())),
        IpAddr::V6(address) => (128, address.to_bits()),
    };
    let lengths = 0..=bits;
    let length = lengths
        .into_iter()
        .find(|known| known.to_string() == length)?;
    let host_bits = bits - length;
    let is_network =
        host_bits == 128 && number == 0 || host_bits < 128 && number & ((1 << host_bits) - 1) == 0;
    is_network.then(|| Cidr::new(address, length).expect("a network"))
}

/// Sets of networks, compared with the sets of their addresses.
pub(super) fn networks(input: &[u8]) {
    let mut bytes = Bytes(input);
    let given: Vec<_> = (0..bytes.below(12))
        .map(|_| bytes.small_network())
        .collect();
    let without: Vec<_> = (0..bytes.below(12))
        .map(|_| bytes.small_network())
        .collect();
    let all = addresses(&given);
    let fewest = summarize(&given);
    assert_eq!(addresses(&fewest), all);
    assert!(!any_overlap(&fewest));
    let left = subtract(&given, &without);
    let expected: BTreeSet<_> = all.difference(&addresses(&without)).copied().collect();
    assert_eq!(addresses(&left), expected);
    let count: u128 = given.iter().map(|network| network.addresses()).sum();
    assert_eq!(any_overlap(&given), count > all.len() as u128);
    let whole = bytes.network();
    let lengths: Vec<u8> = (0..bytes.below(10)).map(|_| bytes.byte()).collect();
    match split(whole, &lengths) {
        Ok(parts) => {
            assert!(!any_overlap(&parts));
            let lengths_of: Vec<_> = parts.iter().map(|part| part.prefix_length()).collect();
            assert_eq!(lengths_of, lengths);
            assert!(parts.iter().all(|part| whole.contains(*part)));
        }
        Err(error) => assert!(error.index() < lengths.len()),
    }
}

fn addresses(networks: &[Cidr]) -> BTreeSet<(Family, u128)> {
    let of = |network: &Cidr| {
        let (family, first) = (network.family(), network.number());
        (0..network.addresses()).map(move |offset| (family, first + offset))
    };
    networks.iter().flat_map(of).collect()
}

/// How large a block is, and which one it is.
pub(super) fn sizes(input: &[u8]) {
    let mut bytes = Bytes(input);
    let network = bytes.network();
    let family = network.family();
    let hosts = u64::from_be_bytes(bytes.take()) >> bytes.below(64);
    let reserved = u32::from_be_bytes(bytes.take()) >> bytes.below(32);
    if let Some(length) = prefix_length_for_hosts(family, hosts, reserved) {
        assert!(usable_hosts(family, length, reserved) >= hosts.into());
        let is_smallest = length == family.bits()
            || usable_hosts(family, length + 1, reserved) < hosts.into()
            || hosts == 0;
        assert!(is_smallest, "{hosts} {reserved} {length}");
    }
    let (length, index) = (bytes.byte(), u128::from(bytes.byte()));
    let is_inside = (network.prefix_length()..=family.bits()).contains(&length);
    for end in [End::Lowest, End::Highest] {
        let block = nth_block(network, length, end, index);
        let exists = is_inside && index <= last_block(network, length);
        assert_eq!(block.is_some(), exists, "{network} {length} {index}");
        assert!(block.is_none_or(|block| network.contains(block)));
    }
    assert_eq!(
        network.halves().map(|(low, _)| low.parent()),
        network.halves().map(|_| Some(network))
    );
    assert_eq!(
        network.buddy().and_then(Cidr::buddy),
        network.buddy().map(|_| network)
    );
}

/// Names, owners, labels and patterns.
pub(super) fn words(input: &[u8]) {
    let mut bytes = Bytes(input);
    let (first, second) = (text(bytes.line()), text(bytes.line()));
    if let Ok(name) = first.parse::<Name>() {
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
        assert_eq!(name.as_str(), first.trim());
        _ = name.check_new();
    }
    _ = first.parse::<Owner>();
    if let Ok(pattern) = first.parse::<Pattern>() {
        let (folded, name) = (first.to_ascii_lowercase(), second.to_ascii_lowercase());
        assert_eq!(
            pattern.matches(second),
            matches(folded.as_bytes(), name.as_bytes()),
            "{first:?} {second:?}"
        );
    }
}

/// Whether a pattern matches, by a table of all beginnings of both.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut before = vec![true];
    before.extend(name.iter().map(|_| false));
    for byte in pattern {
        let mut now = vec![*byte == b'*' && before[0]];
        for (at, other) in name.iter().enumerate() {
            now.push(match byte {
                b'*' => before[at + 1] || now[at],
                _ => before[at] && byte == other,
            });
        }
        before = now;
    }
    before.last() == Some(&true)
}

/// Secrets of tokens.
pub(super) fn secret(input: &[u8]) {
    let given = text(input);
    let Some(secret) = Secret::parse(given) else {
        // A right one is not far: with another checksum it may be one.
        return;
    };
    assert_eq!(secret.reveal(), given);
    assert_eq!((given.len(), secret.public_id().len()), (56, 12));
    let shown = format!("{secret:?}");
    assert!(!shown.contains(&given[18..50]), "{shown}");
    // One character of another kind is another text, whose checksum is another one.
    let mut other = given.to_owned().into_bytes();
    other[20] = if other[20] == b'0' { b'1' } else { b'0' };
    assert!(Secret::parse(text(&other)).is_none());
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(json: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(json) else {
        return;
    };
    let written = serde_json::to_vec(&read).expect("it can be written");
    let again = serde_json::from_slice::<T>(&written);
    assert_eq!(again.ok(), Some(read), "{}", text(&written));
}

/// Bodies of the API. What was understood is written and understood as the same.
pub(super) fn bodies(input: &[u8]) {
    round_trip::<NewAllocation>(input);
    round_trip::<AllocationPatch>(input);
    round_trip::<NewBatch>(input);
    round_trip::<NewPool>(input);
    round_trip::<PoolPatch>(input);
    round_trip::<NewProfile>(input);
    round_trip::<ProfilePatch>(input);
    round_trip::<NewReservation>(input);
    round_trip::<ReservationPatch>(input);
    round_trip::<NewToken>(input);
    round_trip::<TokenPatch>(input);
    round_trip::<NewVpc>(input);
    round_trip::<VpcPatch>(input);
    round_trip::<NewVrf>(input);
    round_trip::<VrfPatch>(input);
    round_trip::<Record>(input);
    round_trip::<AllocationFilter>(input);
    round_trip::<EventFilter>(input);
}

fn cell<T: Cell + PartialEq + std::fmt::Debug>(given: &str) {
    if let Ok(value) = T::read(given) {
        let written = value.write();
        // An empty cell has no value.
        if !written.is_empty() {
            assert_eq!(T::read(&written), Ok(value), "{given:?}, {written:?}");
        }
    }
}

/// Cells of a spreadsheet. None that is written begins a formula.
pub(super) fn cells(input: &[u8]) {
    let given = text(input);
    cell::<String>(given);
    cell::<Name>(given);
    cell::<Owner>(given);
    cell::<u8>(given);
    cell::<i16>(given);
    cell::<i64>(given);
    cell::<bool>(given);
    cell::<Family>(given);
    cell::<Cidr>(given);
    cell::<Labels>(given);
    cell::<RequiredLabels>(given);
    cell::<Vec<String>>(given);
    cell::<Vec<Cidr>>(given);
    let written = given.to_owned().write();
    assert!(
        !written.starts_with(['=', '+', '-', '@', '\t', '\r']),
        "{written:?}"
    );
}
