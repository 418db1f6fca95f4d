//! What PostgreSQL keeps of a password (RFC 5803), so that the password itself is in no statement, and so in no log.

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// As many as PostgreSQL uses by default.
const ITERATIONS: u32 = 4096;

/// The verifier of a password, with a new salt.
///
/// # Errors
/// When the password has other characters than those of ASCII that are visible: others would have to be normalised, as each
/// client does it.
pub(super) fn verifier(password: &str) -> anyhow::Result<String> {
    anyhow::ensure!(
        !password.is_empty() && password.bytes().all(|byte| byte.is_ascii_graphic()),
        "a password for the role may only have letters, digits and punctuation of ASCII"
    );
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)
        .map_err(|error| anyhow::anyhow!("no random numbers for a salt: {error}"))?;
    with_salt(password, &salt).context("the password could not be hashed")
}

fn hmac(key: &[u8], text: &[u8]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text);
    Some(mac.finalize().into_bytes().into())
}

fn with_salt(password: &str, salt: &[u8]) -> Option<String> {
    let password = password.as_bytes();
    let mut last = hmac(password, &[salt, &[0, 0, 0, 1]].concat())?;
    let mut salted = last;
    for _ in 1..ITERATIONS {
        last = hmac(password, &last)?;
        for (all, one) in salted.iter_mut().zip(last) {
            *all ^= one;
        }
    }
    let stored = Sha256::digest(hmac(&salted, b"Client Key")?);
    let server = hmac(&salted, b"Server Key")?;
    let text = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    Some(format!(
        "SCRAM-SHA-256${ITERATIONS}:{}${}:{}",
        text(salt),
        text(&stored),
        text(&server)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_is_that_of_the_standard() {
        // The example of RFC 7677.
        let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            with_salt("pencil", &salt).unwrap(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:\
             wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert_ne!(verifier("pencil").unwrap(), verifier("pencil").unwrap());
        for password in ["", "a b", "p\u{e4}ss", "a\n"] {
            assert!(verifier(password).is_err());
        }
    }
}
