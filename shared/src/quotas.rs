//! How many addresses of which pool somebody may hold.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, de};

/// Numbers of addresses, each by the pool that it is about. JSON has no limit for numbers, but most readers turn those of 2^64
/// and more into floating point, where only the leading 53 bits count; so do these. Any number of blocks of one size is exact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Quotas(BTreeMap<String, u128>);

impl Quotas {
    /// Sets the quota of a pool; none if it has one already.
    pub fn insert(&mut self, pool: impl Into<String>, addresses: u128) -> Option<()> {
        match self.0.entry(pool.into()) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(addresses);
                Some(())
            }
            std::collections::btree_map::Entry::Occupied(_) => None,
        }
    }

    /// Pools as they were named, with the addresses of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u128)> {
        self.0
            .iter()
            .map(|(pool, addresses)| (pool.as_str(), *addresses))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A pool with its addresses as people write them, `POOL=ADDRESSES`: digits, or a power of two as they are shown.
///
/// # Errors
/// When it is not written like that; the text says how.
pub fn quota(text: &str) -> Result<(String, u128), String> {
    let (pool, number) = text
        .rsplit_once('=')
        .ok_or("write POOL=ADDRESSES, such as default/primary=4096")?;
    let addresses = match number.strip_prefix("2^") {
        Some(exponent) => (exponent.parse().ok()).and_then(|exponent| 1_u128.checked_shl(exponent)),
        None => number.parse().ok(),
    };
    match addresses {
        Some(addresses) => Ok((pool.to_owned(), addresses)),
        None => Err(format!(
            "{number:?} is no number of addresses, such as 4096 or 2^72"
        )),
    }
}

impl<'de> Deserialize<'de> for Quotas {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

/// Reads pairs, of which no two are about the same pool: otherwise one of them would be lost silently.
struct Pairs;

impl<'de> de::Visitor<'de> for Pairs {
    type Value = Quotas;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of pools with their numbers of addresses")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Quotas, A::Error> {
        use de::Error as _;
        let mut quotas = Quotas::default();
        while let Some((pool, Addresses(addresses))) = map.next_entry::<String, _>()? {
            if quotas.insert(pool.as_str(), addresses).is_none() {
                return Err(A::Error::custom(format_args!(
                    "the quota of pool {pool:?} is there twice"
                )));
            }
        }
        Ok(quotas)
    }
}

/// A whole number of addresses.
struct Addresses(u128);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        match (number.as_u64(), number.as_f64()) {
            (Some(exact), _) => Ok(Self(exact.into())),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the cast saturates at 2^128"
            )]
            (None, Some(rounded)) if rounded >= 0.0 && rounded.fract() == 0.0 => {
                Ok(Self(rounded as u128))
            }
            _ => Err(de::Error::custom(format_args!(
                "a quota is a whole number of addresses, 0 or more, and not {number}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_addresses_are_whole_and_large() {
        let read = |text: &str| serde_json::from_str::<Quotas>(text);
        for (text, is) in [
            (r#"{"p":0}"#, 0),
            (r#"{"p":18446744073709551615}"#, u128::from(u64::MAX)),
            (r#"{"p":18446744073709551616}"#, 1 << 64),
            (r#"{"p":3626777458843887524118528}"#, 3 << 80),
            (
                r#"{"p":340282366920938463463374607431768211456}"#,
                u128::MAX,
            ),
        ] {
            let quotas = read(text).unwrap();
            assert_eq!(quotas.iter().collect::<Vec<_>>(), [("p", is)], "{text}");
            let again = serde_json::to_string(&quotas).unwrap();
            assert_eq!(read(&again).unwrap(), quotas, "{again}");
        }
        for bad in [
            r#"{"p":-1}"#,
            r#"{"p":1.5}"#,
            r#"{"p":null}"#,
            r#"{"p":"1"}"#,
            r#"{"p":1,"p":2}"#,
            "[]",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
