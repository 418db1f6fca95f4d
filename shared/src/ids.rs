//! One type per kind of id, so that a VPC's id can't be passed where an allocation's is wanted.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new id; ids sort by the time they were made (UUID version 7).
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }
    )+};
}

id! {
    /// Id of a VRF.
    VrfId,
    /// Id of a pool.
    PoolId,
    /// Id of a profile.
    ProfileId,
    /// Id of a reservation.
    ReservationId,
    /// Id of a VPC.
    VpcId,
    /// Id of an allocation.
    AllocationId,
    /// Id of a token.
    TokenId,
    /// Id of a webhook.
    WebhookId,
    /// Proof that one reader, such as one Terraform state, is the owner of a thing; a new one is drawn when somebody adopts
    /// it.
    Claim,
}

impl Claim {
    /// A public digest (a version 5 UUID): with it the holder of the claim can tell that this is still the claim of the
    /// thing, and it does not reveal the claim.
    #[must_use]
    pub fn digest(self) -> Uuid {
        Uuid::new_v5(&self.0, b"ipam claim")
    }
}
