//! Secrets of tokens: how they look, how they are checked, and the peppers that only servers know.
//!
//! ```text
//! ipam_ k3v9m2x7q0ab _ 5y3s0k…(32 characters)…w1 8fz4q2
//!       public id      160 random bits          checksum
//! ```
//!
//! The alphabet is that of Crockford's base 32, in lower case. The checksum is the first 30 bits of SHA-256 of everything
//! before it, so that a scanner for secrets that were published by mistake can tell one from a text that looks like it, and
//! a mistyped secret is refused without a look at the database.

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "ipam_";
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of the public id, 60 bits.
const PUBLIC: usize = 12;
/// Characters of the random part, 160 bits.
const RANDOM: usize = 32;
/// Characters of the checksum, 30 bits.
const CHECKSUM: usize = 6;

/// The secret of a token. It is in no log: it has no `Debug` that shows it.
#[derive(Clone)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({})", self.public_id())
    }
}

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; PUBLIC + RANDOM];
        getrandom::fill(&mut bytes)?;
        // 256 is a multiple of 32, so each character is as likely as any other.
        let digits: String = bytes.iter().map(|byte| digit(*byte)).collect();
        let (public, random) = digits.split_at(PUBLIC);
        let text = format!("{PREFIX}{public}_{random}");
        let checksum = checksum(&text);
        Ok(Self(text + &checksum))
    }

    /// A key that is the secret of a token by its form; none if it is something else, such as the administrator's key.
    pub fn parse(key: &str) -> Option<Self> {
        let (public, rest) = key.strip_prefix(PREFIX)?.split_once('_')?;
        let is_digits = |text: &str| text.bytes().all(|byte| ALPHABET.contains(&byte));
        if public.len() != PUBLIC
            || rest.len() != RANDOM + CHECKSUM
            || !is_digits(public)
            || !is_digits(rest)
        {
            return None;
        }
        let (text, sum) = key.split_at(key.len() - CHECKSUM);
        (checksum(text) == sum).then(|| Self(key.to_owned()))
    }

    /// By which the token is found. It is no secret.
    pub fn public_id(&self) -> &str {
        &self.0[PREFIX.len()..PREFIX.len() + PUBLIC]
    }

    /// To be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

fn digit(byte: u8) -> char {
    char::from(ALPHABET[usize::from(byte % 32)])
}

fn checksum(text: &str) -> String {
    let hash = Sha256::digest(text);
    let bits = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    (0..CHECKSUM)
        .map(|at| digit((bits >> (27 - 5 * at)) as u8))
        .collect()
}

/// Shortest pepper, in characters.
const SHORTEST_PEPPER: usize = 32;

/// The peppers by which secrets are hashed, each with its version, the one for new secrets first. Without them nothing that is
/// stored is of any use.
#[derive(Clone, Default)]
pub struct Peppers(Vec<(i16, Vec<u8>)>);

impl std::fmt::Debug for Peppers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let versions = self.0.iter().map(|(version, _)| version);
        f.debug_tuple("Peppers")
            .field(&versions.collect::<Vec<_>>())
            .finish()
    }
}

impl Peppers {
    /// From a setting: one pepper, which then has version 1, or several as `2:NEW,1:OLD`.
    ///
    /// # Errors
    /// When it is not of that form, or one is too short. The error does not show it.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut peppers: Vec<(i16, Vec<u8>)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let (version, pepper) = match part.split_once(':') {
                None => (1, part),
                Some((version, pepper)) => match version.parse() {
                    Ok(version) if version > 0 => (version, pepper),
                    _ => anyhow::bail!(
                        "a pepper is written as VERSION:PEPPER, where the version is a number from 1 to 32767"
                    ),
                },
            };
            anyhow::ensure!(
                pepper.chars().count() >= SHORTEST_PEPPER,
                "the pepper of version {version} has fewer than {SHORTEST_PEPPER} characters; make one with: openssl rand \
                 -hex 32"
            );
            anyhow::ensure!(
                peppers.iter().all(|(other, _)| *other != version),
                "there are two peppers of version {version}"
            );
            peppers.push((version, pepper.as_bytes().to_vec()));
        }
        Ok(Self(peppers))
    }

    /// What is stored of a new secret; none if there is no pepper.
    pub fn hash(&self, secret: &Secret) -> Option<(i16, [u8; 32])> {
        let (version, pepper) = self.0.first()?;
        Some((*version, mac(pepper, secret).finalize().into_bytes().into()))
    }

    /// Whether that was stored of this secret. Takes the same time whatever the secret.
    pub fn verify(&self, secret: &Secret, version: i16, stored: &[u8]) -> bool {
        self.0
            .iter()
            .find(|(known, _)| *known == version)
            .is_some_and(|(_, pepper)| mac(pepper, secret).verify_slice(stored).is_ok())
    }
}

fn mac(pepper: &[u8], secret: &Secret) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(pepper).expect("a key");
    mac.update(b"ipam token, version 1\0");
    mac.update(secret.0.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_recognised_and_a_mistyped_one_is_not() {
        let secret = Secret::generate().unwrap();
        let text = secret.reveal();
        assert_eq!(text.len(), 5 + 12 + 1 + 32 + 6);
        assert_eq!(Secret::parse(text).unwrap().public_id(), secret.public_id());
        for at in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'7' { b'8' } else { b'7' };
            assert!(
                Secret::parse(std::str::from_utf8(&other).unwrap()).is_none(),
                "{at}"
            );
            assert!(Secret::parse(&text[..at]).is_none());
        }
        for other in [
            "",
            "ipam_",
            "ipam__",
            &format!("{text}0"),
            &text.to_uppercase(),
            "ipam_ä",
        ] {
            assert!(Secret::parse(other).is_none(), "{other}");
        }
        assert!(!format!("{secret:?}").contains(&text[18..]));
    }

    #[test]
    fn secrets_are_different() {
        let many: std::collections::HashSet<_> = (0..1000)
            .map(|_| Secret::generate().unwrap().reveal().to_owned())
            .collect();
        assert_eq!(many.len(), 1000);
    }

    #[test]
    fn only_the_pepper_that_hashed_a_secret_verifies_it() {
        let (old, new) = ("o".repeat(32), "n".repeat(32));
        let secret = Secret::generate().unwrap();
        let one = Peppers::parse(&old).unwrap();
        let (version, stored) = one.hash(&secret).unwrap();
        assert!(one.verify(&secret, version, &stored));
        assert!(!one.verify(&Secret::generate().unwrap(), version, &stored));
        let both = Peppers::parse(&format!("2:{new}, 1:{old}")).unwrap();
        assert!(
            both.verify(&secret, version, &stored),
            "an old one stays valid"
        );
        assert_eq!(
            both.hash(&secret).unwrap().0,
            2,
            "new ones have the new pepper"
        );
        let other = Peppers::parse(&new).unwrap();
        assert!(!other.verify(&secret, version, &stored));
        assert!(Peppers::default().hash(&secret).is_none());
        assert!(!Peppers::default().verify(&secret, version, &stored));
    }

    #[test]
    fn bad_peppers_are_refused_and_not_shown() {
        let good = "g".repeat(32);
        for bad in [
            "",
            "short",
            "0:",
            &format!("x:{good}"),
            &format!("1:{good},1:{good}"),
            &format!("{good},{good}"),
        ] {
            let error = Peppers::parse(bad).unwrap_err().to_string();
            assert!(
                !error.contains("short") && !error.contains(&good),
                "{error}"
            );
        }
    }
}
