//! What is stored of the secrets of tokens: their hash under peppers that only servers know. And the secrets of webhooks,
//! which are derived from a pepper, so that nothing needs to be stored of them.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac as _};
use ipam_shared::secret::Secret;
use sha2::Sha256;
use uuid::Uuid;

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

    /// The version of the pepper for new secrets; none if there is no pepper.
    pub fn newest(&self) -> Option<i16> {
        self.0.first().map(|(version, _)| *version)
    }

    /// The secret of a webhook that is derived from the pepper of that version; none if that is not known here.
    pub fn of_webhook(&self, webhook: Uuid, secret: Uuid, version: i16) -> Option<SigningSecret> {
        let (_, pepper) = self.0.iter().find(|(known, _)| *known == version)?;
        let mut mac = keyed(pepper);
        mac.update(b"ipam webhook, version 1\0");
        mac.update(webhook.as_bytes());
        mac.update(secret.as_bytes());
        Some(SigningSecret(mac.finalize().into_bytes().into()))
    }

    /// Whether that was stored of this secret. Takes the same time whatever the secret.
    pub fn verify(&self, secret: &Secret, version: i16, stored: &[u8]) -> bool {
        self.0
            .iter()
            .find(|(known, _)| *known == version)
            .is_some_and(|(_, pepper)| mac(pepper, secret).verify_slice(stored).is_ok())
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    Hmac::<Sha256>::new_from_slice(key).expect("a key")
}

/// What signs for a webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret([u8; 32]);

impl std::fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningSecret")
    }
}

impl SigningSecret {
    /// To be shown once, in the form of Standard Webhooks.
    pub fn reveal(&self) -> String {
        format!("whsec_{}", BASE64_STANDARD.encode(self.0))
    }

    /// The signature of a message, as Standard Webhooks has it.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = keyed(&self.0);
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

fn mac(pepper: &[u8], secret: &Secret) -> Hmac<Sha256> {
    let mut mac = keyed(pepper);
    mac.update(b"ipam token, version 1\0");
    mac.update(secret.reveal().as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_webhook_has_the_secrets_of_its_peppers() {
        let (old, new) = ("o".repeat(32), "n".repeat(32));
        let both = Peppers::parse(&format!("2:{new},1:{old}")).unwrap();
        assert_eq!(both.newest(), Some(2));
        let (webhook, secret) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let of = |peppers: &Peppers, version| peppers.of_webhook(webhook, secret, version);
        let one = of(&both, 1).unwrap();
        assert_eq!(of(&Peppers::parse(&old).unwrap(), 1), Some(one.clone()));
        assert_eq!(of(&Peppers::parse(&new).unwrap(), 2), None);
        let others = [
            of(&both, 2).unwrap(),
            both.of_webhook(webhook, Uuid::from_u128(3), 1).unwrap(),
            both.of_webhook(Uuid::from_u128(2), secret, 1).unwrap(),
        ];
        assert!(!others.contains(&one));
        assert!(!format!("{one:?}").contains(&one.reveal()));
        assert_eq!(one.reveal().len(), 6 + 44);
    }

    #[test]
    fn signatures_are_those_of_the_specification() {
        // By Python's hmac.
        let secret = SigningSecret(*b"0123456789abcdef0123456789abcdef");
        let signed = secret.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            b"{\"test\": 2432232314}",
        );
        assert_eq!(signed, "v1,hK4CWvngkaAwjY1pABLuUbOIkEJjW9tAapq1no4ojG0=");
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
