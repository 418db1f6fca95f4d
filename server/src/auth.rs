//! Authentication. There is one key so far, the administrator's.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// What the administrator is called in the audit log.
pub const ADMIN: &str = "admin";

/// Delay that a wrong key costs the address that sends it. Wrong keys that an address sends at the same time queue up.
const WRONG_KEY: Duration = Duration::from_millis(200);
/// Maximum time for which an answer is held back.
const LONGEST: Duration = Duration::from_secs(10);
/// How many addresses are remembered. Beyond that, those that may proceed are forgotten.
const REMEMBERED: usize = 4096;

/// Fewest characters of a key that is proven to strangers: one that somebody thought of could be guessed from a proof, at
/// any speed. Keys that the server makes, and those of `openssl rand -base64 32`, are longer.
pub const SHORTEST_PROVEN: usize = 40;

/// The keys that are known, as hashes, and whether the administrator's is long enough to be proven.
#[derive(Clone)]
pub struct Auth(Arc<[u8; 32]>, Arc<WrongKeys>, bool);

/// When each address that sent wrong keys may proceed.
#[derive(Default)]
struct WrongKeys(Mutex<HashMap<IpAddr, Instant>>);

impl WrongKeys {
    /// How long the next answer for that address is held back.
    fn delay(&self, address: IpAddr) -> Duration {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.retain(|_, until| *until > now);
        }
        if all.len() >= REMEMBERED && !all.contains_key(&address) {
            return LONGEST;
        }
        let until = all.entry(address).or_insert(now);
        *until = ((*until).max(now) + WRONG_KEY).min(now + LONGEST);
        *until - now
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth")
    }
}

/// Why a caller was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No key was sent.
    Missing,
    /// The key is not known.
    Wrong,
}

impl Auth {
    /// With the administrator's key.
    pub fn new(key: &str) -> Self {
        let is_long = key.chars().count() >= SHORTEST_PROVEN;
        Self(Arc::new(hash(key)), Arc::default(), is_long)
    }

    /// Whose key it is. The comparison takes the same time whatever the key.
    pub fn check_key(&self, key: &str) -> Result<&'static str, Denied> {
        if bool::from(hash(key).ct_eq(&*self.0)) {
            Ok(ADMIN)
        } else {
            Err(Denied::Wrong)
        }
    }

    /// Whose key the headers carry: `X-API-Key: KEY` or `Authorization: Bearer KEY`.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<&'static str, Denied> {
        let key = match headers.get("x-api-key") {
            Some(value) => value.to_str().ok(),
            None => {
                let Some(value) = headers.get(header::AUTHORIZATION) else {
                    return Err(Denied::Missing);
                };
                value
                    .to_str()
                    .ok()
                    .and_then(|text| text.split_once(' '))
                    .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                    .map(|(_, key)| key.trim())
            }
        };
        key.map_or(Err(Denied::Wrong), |key| self.check_key(key))
    }

    /// How long the answer to a wrong key from that address is held back.
    pub(crate) fn delay(&self, address: IpAddr) -> Duration {
        self.1.delay(address)
    }

    /// Shows that this server, which listens there, has the administrator's key: what only someone who has it can compute,
    /// and what tells nothing about it. A client that has the key asks for it before it sends the key. None for a key that
    /// is so short that it might be guessed from the proof.
    pub fn proof(&self, nonce: &str, listens_on: &str) -> Option<[u8; 32]> {
        let mut hmac = Hmac::<Sha256>::new_from_slice(&*self.0).ok()?;
        hmac.update(format!("ipam proof 1\n{nonce}\n{listens_on}").as_bytes());
        self.2.then(|| hmac.finalize().into_bytes().into())
    }

    /// A secret for `purpose` that only someone who knows the key can derive.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(*self.0);
        hash.update(purpose);
        hash.finalize().into()
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_keys_cost_the_address_that_sends_them_and_no_other() {
        let wrong = WrongKeys::default();
        let (guesser, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        assert!(wrong.delay(guesser) <= WRONG_KEY);
        assert!(
            wrong.delay(guesser) > WRONG_KEY,
            "it waits for the one before"
        );
        for _ in 0..100 {
            assert!(wrong.delay(guesser) <= LONGEST);
        }
        assert!(wrong.delay(guesser) > LONGEST - WRONG_KEY);
        assert!(wrong.delay(other) <= WRONG_KEY);
    }

    #[test]
    fn addresses_are_forgotten_before_they_fill_the_memory() {
        let wrong = WrongKeys::default();
        for number in 0..2 * REMEMBERED as u32 {
            wrong.delay(std::net::Ipv4Addr::from(number).into());
        }
        assert!(wrong.0.lock().unwrap().len() <= REMEMBERED);
    }
}
