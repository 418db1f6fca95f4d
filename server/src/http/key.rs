//! The key of a request: checked once, for every path, and required under `/api`.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{Extensions, StatusCode},
    middleware::Next,
    response::Response,
};
use ipam_shared::error::Code;

use super::{error::Refusal, listen::Peer, pace, request_id::RequestId, rights};
use crate::{
    app::App,
    auth::{self, Denied},
    domain::{Caller, token::Principal},
    error::Error,
    front::owner,
    text::moment,
};

/// What [`recognise`] found out about the caller, in the extensions of every request.
#[derive(Clone, Debug)]
pub(super) struct Shown(pub(super) Result<Arc<Principal>, Denied>);

/// Whose key the request carries.
pub(crate) fn shown(request: &Extensions) -> Result<Arc<Principal>, Denied> {
    match request.get() {
        Some(Shown(key)) => key.clone(),
        None => Err(Denied::Missing),
    }
}

/// Checks the key of each request, once, and counts the request for whoever made it. A connection that shows the right one, on whatever path, is kept when others have
/// to make room. Wrong keys cost time, and are counted and logged with their address. The right key is never delayed, so
/// nobody is locked out by others at the same address.
pub(super) async fn recognise(app: &App, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().cloned();
    let checked = match auth::key_of(request.headers()) {
        Ok(key) => app.recognise(key, peer.as_ref().map(Peer::address)).await,
        Err(denied) => Err(denied),
    };
    let is_wrong = matches!(checked, Err(Denied::Wrong));
    if checked.is_ok()
        && let Some(peer) = &peer
    {
        peer.trust();
    }
    let counted = pace::count_request(app, &request, checked.as_deref());
    request.extensions_mut().insert(Shown(checked));
    let response = match counted {
        Ok(standing) => {
            let mut response = next.run(request).await;
            if let Some(standing) = standing {
                standing.tell(&mut response);
            }
            response
        }
        Err(exceeded) => exceeded.refuse(request.uri().path()),
    };
    // A wrong key that is refused for another reason costs as much: else that would be the quicker way to try keys.
    let is_refused = matches!(
        response.status(),
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS
    );
    if is_wrong && is_refused {
        wrong_key(app, peer.as_ref()).await;
    }
    response
}

/// Handles a wrong key: logs it, without the key, and holds the answer back.
pub(crate) async fn wrong_key(app: &App, peer: Option<&Peer>) {
    app.system().metrics().wrong_key();
    let Some(peer) = peer else {
        tracing::warn!("somebody sent a wrong API key");
        return;
    };
    tracing::warn!(peer = %peer.address(), "somebody sent a wrong API key");
    peer.delay(app.auth.delay(owner(peer.address()))).await;
}

/// Rejects requests without a key, and those whose key does not allow them.
pub(super) fn require(request: &mut Request) -> Result<(), Refusal> {
    let who = shown(request.extensions())?;
    rights::require(request, &who)?;
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .map(|id| id.0)
        .unwrap_or_default();
    request.extensions_mut().insert(caller(&who, request_id));
    Ok(())
}

/// Somebody who makes a request.
pub(crate) fn caller(who: &Principal, request_id: uuid::Uuid) -> Caller {
    Caller {
        actor: who.actor.clone(),
        request_id,
        rights: who.rights.clone(),
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let detail = match denied {
            Denied::Missing => {
                "send the API key as \"X-API-Key: KEY\" or \"Authorization: Bearer KEY\"".to_owned()
            }
            Denied::Wrong => "the API key is not known to this server".to_owned(),
            Denied::Expired(at) => format!(
                "the token expired at {}; ask an administrator for a new one",
                moment(at)
            ),
            Denied::Unavailable => return Self::from(unavailable()),
        };
        Self::new(Code::Unauthorized, detail)
    }
}

/// The database could not be asked whose key it is.
pub(crate) fn unavailable() -> Error {
    Error::Unavailable(
        "the database can't be asked whether the key is valid; try again in a moment",
        None,
    )
}
