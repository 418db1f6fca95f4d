//! Who may come in. There is one key so far, the administrator's.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use ipam_shared::error::Code;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{App, error::Refusal, listen::Peer, request_id::RequestId};
use crate::domain::Caller;

/// What the administrator is called in the audit log.
pub const ADMIN: &str = "admin";

/// The keys that are known, as hashes.
#[derive(Clone)]
pub struct Auth(Arc<[u8; 32]>);

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth")
    }
}

/// Why somebody was not let in.
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
        Self(Arc::new(hash(key)))
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
    pub fn check(&self, headers: &HeaderMap) -> Result<&'static str, Denied> {
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

    /// A secret for `purpose` that only who knows the key can derive.
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

/// Lets nobody pass without a key, and says who it is.
pub async fn require(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let denied = match app.auth.check(request.headers()) {
        Ok(actor) => {
            if let Some(peer) = request.extensions().get::<Peer>() {
                peer.trust();
            }
            let request_id = request
                .extensions()
                .get::<RequestId>()
                .map(|id| id.0)
                .unwrap_or_default();
            request.extensions_mut().insert(Caller {
                actor: actor.to_owned(),
                request_id,
            });
            return next.run(request).await;
        }
        Err(denied) => denied,
    };
    Refusal::from(denied).into_response()
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let detail = match denied {
            Denied::Missing => {
                "send the API key as \"X-API-Key: KEY\" or \"Authorization: Bearer KEY\""
            }
            Denied::Wrong => "the API key is not known to this server",
        };
        Self::new(Code::Unauthorized, detail)
    }
}
