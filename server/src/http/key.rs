//! The key of a request: looked at once, whatever is asked for, and needed for all that `/api` describes.

use axum::{
    extract::Request,
    http::{Extensions, StatusCode},
    middleware::Next,
    response::Response,
};
use ipam_shared::error::Code;

use super::{error::Refusal, listen::Peer, request_id::RequestId};
use crate::{app::App, auth::Denied, domain::Caller};

/// What [`recognise`] found out of the caller, in the extensions of every request.
#[derive(Clone, Copy, Debug)]
struct Shown(Result<&'static str, Denied>);

/// Whose key the request carries.
pub(crate) fn shown(request: &Extensions) -> Result<&'static str, Denied> {
    request
        .get()
        .map_or(Err(Denied::Missing), |Shown(key)| *key)
}

/// Looks at the key of each request, once. Whoever shows the right one, to whatever it is sent, is trusted to be no part of
/// a crowd. Wrong keys cost time, and are counted and logged with their address. The right key is never held up, so nobody
/// is locked out by what others of the same address do.
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

/// Somebody sent a wrong key: says so in the log, never the key, and keeps the answer back.
pub(crate) async fn wrong_key(app: &App, peer: Option<&Peer>) {
    app.ipam.metrics().wrong_key();
    let Some(peer) = peer else {
        tracing::warn!("somebody sent a wrong API key");
        return;
    };
    tracing::warn!(peer = %peer.address(), "somebody sent a wrong API key");
    peer.delay(app.auth.delay(peer.address())).await;
}

/// Lets nobody pass without a key, and says who it is.
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
