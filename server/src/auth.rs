//! Authentication: the administrator's key, and what wrong keys cost. Tokens are in the domain.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use hmac::{Hmac, Mac as _};
use ipam_shared::api::event::Source;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

/// Delay that a wrong key costs the address that sends it. Wrong keys that an address sends at the same time queue up.
const WRONG_KEY: Duration = Duration::from_millis(200);
/// Maximum time for which an answer is held back.
const LONGEST: Duration = Duration::from_secs(10);
/// How many addresses are remembered. Beyond that, those that may proceed are forgotten.
const REMEMBERED: usize = 4096;

/// Fewest characters of a key that is proven to strangers: one that somebody thought of could be guessed from a proof, at
/// any speed. Keys that the server makes, and those of `openssl rand -base64 32`, are longer.
pub const SHORTEST_PROVEN: usize = 40;

/// The administrator's key, as a hash, and whether it is long enough to be proven.
#[derive(Clone)]
pub struct Auth(Option<(Arc<[u8; 32]>, bool)>, Arc<WrongKeys>);

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No key was sent.
    Missing,
    /// The key is not known.
    Wrong,
    /// It is the secret of a token that has expired.
    Expired {
        /// When.
        at: OffsetDateTime,
        /// What the audit log calls the token.
        actor: String,
        /// Which one, and for whom it was created.
        source: Box<Source>,
    },
    /// The database can't be asked whether the key is valid.
    Unavailable,
}

/// The key that the headers carry: `X-API-Key: KEY` or `Authorization: Bearer KEY`. What another scheme carries is none, and
/// may be for a proxy on the way.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<&str, Denied> {
    if let Some(value) = headers.get("x-api-key") {
        return value.to_str().map_err(|_| Denied::Wrong);
    }
    let value = headers.get(header::AUTHORIZATION).ok_or(Denied::Missing)?;
    let text = value.to_str().map_err(|_| Denied::Wrong)?;
    match text.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(key.trim()),
        _ => Err(Denied::Missing),
    }
}

impl Auth {
    /// With the administrator's key.
    pub fn new(key: &str) -> Self {
        let is_long = key.chars().count() >= SHORTEST_PROVEN;
        Self(Some((Arc::new(hash(key)), is_long)), Arc::default())
    }

    /// Without one: there are only tokens.
    pub fn without_administrator() -> Self {
        Self(None, Arc::default())
    }

    /// Whether it is the administrator's key. The comparison takes the same time whatever the key.
    pub fn is_administrator(&self, key: &str) -> bool {
        self.0
            .as_ref()
            .is_some_and(|(known, _)| hash(key).ct_eq(&**known).into())
    }

    /// How long the answer to a wrong key from that address is held back.
    pub(crate) fn delay(&self, address: IpAddr) -> Duration {
        self.1.delay(address)
    }

    /// Shows that this server, which listens there, has the administrator's key: what only someone who has it can compute,
    /// and what tells nothing about it. A client that has the key asks for it before it sends the key. None for a key that
    /// is so short that it might be guessed from the proof.
    pub fn proof(&self, nonce: &str, listens_on: &str) -> Option<[u8; 32]> {
        let (key, is_long) = self.0.as_ref()?;
        let mut hmac = Hmac::<Sha256>::new_from_slice(&**key).ok()?;
        hmac.update(format!("ipam proof 1\n{nonce}\n{listens_on}").as_bytes());
        is_long.then(|| hmac.finalize().into_bytes().into())
    }

    /// A secret for `purpose` that only someone who knows the administrator's key can derive; none if there is no such key.
    pub fn derive(&self, purpose: &str) -> Option<[u8; 32]> {
        let (key, _) = self.0.as_ref()?;
        let mut hash = Sha256::new();
        hash.update(**key);
        hash.update(purpose);
        Some(hash.finalize().into())
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
