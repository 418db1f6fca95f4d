//! Ownership: the protocol by which a creation happens exactly once, for every kind of thing.
//!
//! A creation returns a [`Claim`]. Whoever asks for the same again, as the same principal and for the same [`Owner`], gets
//! the same thing and a new claim, until an owner has shown the claim: when reading the thing by id, with the header
//! [`super::CLAIM_HEADER`], or with many others in a [`Confirmations`]. From then on it is confirmed, and nobody can adopt
//! it by asking.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::ids::Claim;

/// Name of the header that says for whom something is created: an [`Owner`].
pub const OWNER_HEADER: &str = "ipam-owner";
/// Name of the header that, with the value [`NEVER`], forbids adopting what already exists.
pub const ADOPT_HEADER: &str = "ipam-adopt";
/// The value of [`ADOPT_HEADER`].
pub const NEVER: &str = "never";
/// Longest owner, in characters.
pub const MAX_OWNER: usize = 255;
/// Maximum number of claims that are confirmed at once.
pub const MAX_CONFIRMATIONS: usize = 1000;

/// For whom something is created, such as a workspace of a pipeline: 1 to 255 characters, no control characters, no
/// whitespace at either end. Only the same owner gets the same thing when asking again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Owner(String);

/// Why a text is not a valid owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// Empty or too long.
    #[error("an owner has 1 to {MAX_OWNER} characters, this one has {0}")]
    Length(usize),
    /// A control character.
    #[error("an owner can't contain {0:?}")]
    Character(char),
    /// Whitespace around it.
    #[error("an owner can't begin or end with whitespace")]
    Space,
}

impl Owner {
    /// The owner as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let length = text.chars().count();
        if !(1..=MAX_OWNER).contains(&length) {
            return Err(OwnerError::Length(length));
        }
        if text.trim() != text {
            return Err(OwnerError::Space);
        }
        match text.chars().find(|c| c.is_control()) {
            Some(c) => Err(OwnerError::Character(c)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A kind of thing that is created once and owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Noun {
    /// An address space.
    Vrf,
    /// A recipe.
    Profile,
    /// A network out of circulation.
    Reservation,
    /// Ranges to cut from.
    Pool,
    /// A consumer of space.
    Vpc,
    /// Space.
    Allocation,
    /// Who may do what.
    Token,
    /// Who is told what happens.
    Webhook,
}

impl Noun {
    /// Every noun, in the order in which their rows are locked.
    pub const ALL: [Self; 8] = [
        Self::Vrf,
        Self::Profile,
        Self::Reservation,
        Self::Pool,
        Self::Vpc,
        Self::Allocation,
        Self::Token,
        Self::Webhook,
    ];

    /// As written in a body, and before the dot of an event's action.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vrf => "vrf",
            Self::Profile => "profile",
            Self::Reservation => "reservation",
            Self::Pool => "pool",
            Self::Vpc => "vpc",
            Self::Allocation => "allocation",
            Self::Token => "token",
            Self::Webhook => "webhook",
        }
    }

    /// As written in a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Self::Vrf => "VRF",
            Self::Vpc => "VPC",
            other => other.as_str(),
        }
    }
}

/// Something that is created once and owned.
pub trait Owned {
    /// What it is.
    const NOUN: Noun;

    /// Its id.
    fn uuid(&self) -> Uuid;

    /// For whom it was created.
    fn owner(&self) -> Option<&Owner>;

    /// Whether an owner has shown its claim.
    fn is_confirmed(&self) -> bool;

    /// Notes that an owner has shown its claim.
    fn confirm(&mut self);

    /// Its claim, in the reply to a creation.
    fn claim(&self) -> Option<Claim>;

    /// The digest of its claim, see [`Claim::digest`].
    fn claim_digest(&self) -> Option<Uuid>;

    /// Puts the claim into the reply to a creation.
    fn set_claim(&mut self, claim: Claim);

    /// Counts its changes; the ETag.
    fn revision(&self) -> i64;

    /// When it was made.
    fn created_at(&self) -> OffsetDateTime;

    /// Its name for people, such as `VRF "dev"`.
    fn title(&self) -> String;

    /// Its id for `terraform import`: its name, if that is unambiguous.
    fn import_id(&self) -> String;
}

/// Implements `Owned` for a noun: its name for people, and its import id.
macro_rules! owned {
    ($type:ident: |$it:ident| $title:expr, $import_id:expr) => {
        impl $crate::api::ownership::Owned for $type {
            const NOUN: $crate::api::ownership::Noun = $crate::api::ownership::Noun::$type;

            fn uuid(&self) -> ::uuid::Uuid {
                self.id.0
            }

            fn owner(&self) -> Option<&$crate::api::ownership::Owner> {
                self.owner.as_ref()
            }

            fn is_confirmed(&self) -> bool {
                self.confirmed
            }

            fn confirm(&mut self) {
                self.confirmed = true;
            }

            fn claim(&self) -> Option<$crate::ids::Claim> {
                self.claim
            }

            fn claim_digest(&self) -> Option<::uuid::Uuid> {
                self.claim_digest
            }

            fn set_claim(&mut self, claim: $crate::ids::Claim) {
                self.claim = Some(claim);
                self.claim_digest = Some(claim.digest());
            }

            fn revision(&self) -> i64 {
                self.revision
            }

            fn created_at(&self) -> ::time::OffsetDateTime {
                self.created_at
            }

            fn title(&self) -> String {
                let $it = self;
                $title
            }

            fn import_id(&self) -> String {
                let $it = self;
                $import_id
            }
        }
    };
}
pub(super) use owned;

/// The name, unless it looks like an id and would be taken for one.
pub(super) fn by_name(name: &str, id: Uuid) -> String {
    if Uuid::parse_str(name).is_ok() {
        id.to_string()
    } else {
        name.to_owned()
    }
}

/// A claim to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// What it is the claim of.
    pub kind: Noun,
    /// Id of the thing.
    pub id: Uuid,
    /// The claim from the reply that created it.
    pub claim: Claim,
}

/// Claims to be confirmed at once: `POST /api/v1/confirmations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Confirmations {
    /// 1 to 1,000 claims.
    pub claims: Vec<Confirmation>,
}

/// The outcome of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ConfirmationStatus {
    /// It is the thing's claim; the thing is confirmed now, or was before.
    Confirmed,
    /// Somebody else has been given the thing since, with another claim.
    Claimed,
    /// The thing was deleted.
    Gone,
    /// This database never knew the thing.
    Unknown,
}

/// The outcome of one of the claims.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfirmationResult {
    /// Id of the thing.
    pub id: Uuid,
    /// The outcome of the claim.
    pub status: ConfirmationStatus,
    /// Why it was not confirmed and what to do, for people; null if it was.
    pub detail: Option<String>,
}

/// The outcomes of claims, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfirmationResults {
    /// One per claim.
    pub results: Vec<ConfirmationResult>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_fit_into_a_header() {
        for good in [
            "a",
            "ws-1",
            "gitlab 42/prod",
            "Gruppe Ärger",
            &"ä".repeat(255),
        ] {
            assert_eq!(good.parse::<Owner>().unwrap().as_str(), good);
        }
        for bad in ["", " a", "a ", "a\nb", "a\0", &"a".repeat(256)] {
            assert!(bad.parse::<Owner>().is_err(), "{bad:?}");
        }
        assert!(serde_json::from_str::<Owner>("\"\"").is_err());
    }

    #[test]
    fn nouns_are_written_the_same_everywhere() {
        for noun in Noun::ALL {
            assert_eq!(serde_json::to_value(noun).unwrap(), noun.as_str());
        }
    }
}
