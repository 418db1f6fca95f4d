//! The key of a request: checked once, for every path, and required under `/api`.

use axum::{
    extract::Request,
    http::{Extensions, StatusCode},
    middleware::Next,
    response::Response,
};
use ipam_shared::error::Code;

use super::{error::Refusal, listen::Peer, request_id::RequestId};
use crate::{app::App, auth::Denied, domain::Caller, front::owner};

/// What [`recognise`] found out about the caller, in the extensions of every request.
#[derive(Clone, Copy, Debug)]
struct Shown(Result<&'static str, Denied>);

/// Whose key the request carries.
pub(crate) fn shown(request: &Extensions) -> Result<&'static str, Denied> {
    request
        .get()
        .map_or(Err(Denied::Missing), |Shown(key)| *key)
}

/// Checks the key of each request, once. A connection that shows the right one, on whatever path, is kept when others have
/// to make room. Wrong keys cost time, and are counted and logged with their address. The right key is never delayed, so
/// nobody is locked out by others at the same address.
pub(super) async fn recognise(app: &App, mut request: Request, next: Next) -> Response {
    let checked = app.auth.check(request.headers());
    request.extensions_mut().insert(Shown(checked));
    let peer = request.extensions().get::<Peer>().cloned();
    if checked.is_ok()
        && let Some(peer) = &peer
    {
        peer.trust();
    }
    let response = next.run(request).await;
    if checked == Err(Denied::Wrong) && response.status() == StatusCode::UNAUTHORIZED {
        wrong_key(app, peer.as_ref()).await;
    }
    response
}

/// Handles a wrong key: logs it, without the key, and holds the answer back.
pub(crate) async fn wrong_key(app: &App, peer: Option<&Peer>) {
    app.ipam.metrics().wrong_key();
    let Some(peer) = peer else {
        tracing::warn!("somebody sent a wrong API key");
        return;
    };
    tracing::warn!(peer = %peer.address(), "somebody sent a wrong API key");
    peer.delay(app.auth.delay(owner(peer.address()))).await;
}

/// Rejects requests without a key, and returns whose it is.
pub(super) fn require(request: &mut Request) -> Result<(), Denied> {
    let actor = shown(request.extensions())?;
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .map(|id| id.0)
        .unwrap_or_default();
    request.extensions_mut().insert(Caller {
        actor: actor.to_owned(),
        request_id,
    });
    Ok(())
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
