//! Secrets of tokens: how they look. Servers make them, and so may whoever knows where one has to go before the server does.
//!
//! ```text
//! ipam_ k3v9m2x7q0ab _ 5y3s0k…(32 characters)…w1 8fz4q2
//!       public id      160 random bits          checksum
//! ```
//!
//! The alphabet is that of Crockford's base 32, in lower case. The checksum is the first 30 bits of SHA-256 of everything
//! before it, so that a scanner for secrets that were published by mistake can tell one from a text that looks like it, and
//! a mistyped secret is refused without a look at the database.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

const PREFIX: &str = "ipam_";
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of the public id, 60 bits.
const PUBLIC: usize = 12;
/// Characters of the random part, 160 bits.
const RANDOM: usize = 32;
/// Characters of the checksum, 30 bits.
const CHECKSUM: usize = 6;

/// The secret of a token. It is in no log: it has no `Debug` that shows it, and a text that is refused is not in the error.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A text that is no secret of a token. It is not shown: it may be one with a slip of the pen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not the secret of a token: ipam_, 12 characters, _, 32 characters and a checksum of 6, which finds slips of the \
     pen; make one with \"ipam token secret\" or the ephemeral resource ipam_token_secret"
)]
pub struct NotASecret;

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

impl FromStr for Secret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        Self::parse(text).ok_or(NotASecret)
    }
}

// For bodies, where it has to be in clear; whoever writes a body down leaves it out.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|error| D::Error::custom(format!("secret: {error}")))
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
    fn a_text_that_is_refused_is_not_shown() {
        let secret = Secret::generate().unwrap();
        let json = serde_json::to_string(&secret).unwrap();
        assert_eq!(serde_json::from_str::<Secret>(&json).unwrap(), secret);
        let slip = json.replacen("ipam_", "ipam-", 1);
        let error = serde_json::from_str::<Secret>(&slip)
            .unwrap_err()
            .to_string();
        assert!(error.contains("not the secret of a token"), "{error}");
        assert!(!error.contains(secret.public_id()), "{error}");
    }
}
