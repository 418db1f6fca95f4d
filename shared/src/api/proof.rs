//! The proof by which a server shows that it has a key, before the key is sent to it.

use serde::{Deserialize, Serialize};

/// Number of random bytes that a proof is about.
pub const NONCE_BYTES: usize = 32;

/// What the server is asked to prove: `GET /api/v1/proof`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ProofQuery {
    /// 32 random bytes as 64 lower-case hexadecimal digits, new for every request.
    #[serde(default)]
    pub nonce: String,
}

/// Shows that the server has the administrator's key, without revealing anything about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Proof {
    /// Where this server listens, such as `127.0.0.1:8000`: covered by the proof, so that another program that passes the
    /// question on to the server is noticed. Empty if it is not known.
    pub listens_on: String,
    /// HMAC-SHA256 over `ipam proof 1`, a line feed, the nonce, a line feed and `listens_on`, as hexadecimal digits; the key
    /// of the HMAC is the SHA-256 of the administrator's key.
    pub proof: String,
}
