//! Numbers, texts and networks made of the bytes of an input.

use ipam_shared::cidr::{Cidr, Family};

/// What is left of an input. What it does not have any more is zero.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    pub(crate) fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound.max(1)
    }

    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// Up to the next line feed, or the end.
    pub(crate) fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == b'\n');
        let line = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = self.0.get(line.len() + 1..).unwrap_or_default();
        line
    }

    /// A network of one /24, or of its IPv6 counterpart, so that several of them overlap now and then.
    pub(crate) fn small_network(&mut self) -> Cidr {
        let (which, length, last) = (self.byte(), self.below(9), self.byte());
        let (family, base, bits) = match which % 2 {
            0 => (Family::Ipv4, 10 << 24, 24),
            _ => (Family::Ipv6, 0x2001_0db8 << 96, 120),
        };
        Cidr::from_number(family, base + u128::from(last), bits + length)
    }

    /// Any network.
    pub(crate) fn network(&mut self) -> Cidr {
        let family = match self.byte() % 2 {
            0 => Family::Ipv4,
            _ => Family::Ipv6,
        };
        Cidr::from_number(family, u128::from_be_bytes(self.take()), self.byte())
    }
}

/// A text, as far as it is one.
pub(crate) fn text(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    }
}
