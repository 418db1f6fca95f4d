//! What happens around every request: it is counted, given an id, logged and limited, and its caller is authenticated.
//!
//! This is one layer, and that of `/api` another one. Each layer of a router clones and boxes all those below it for every
//! request; a dozen and a half of them took a third of the server's own time.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tracing::Instrument as _;

use super::{
    admission,
    conditional::{self, Had},
    cors::Crossing,
    error::{self, Refusal},
    host, key, limits,
    listen::Peer,
    metrics::Counted,
    paging,
    request_id::{Named, RequestId},
};
use crate::app::App;

/// Browsers that have come over https once do so for a year, whatever a link says.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Around every request, from the outside in.
pub(crate) async fn everything(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    let counted = Counted::begin(&app, &request);
    let named = Named::begin(&mut request);
    let is_encrypted = note_way(&app, &mut request);
    let crossing = Crossing::of(&app, &request);
    let mut response = match crossing.preflight() {
        Some(response) => response,
        None => {
            let answer = limits::within(request, |request| from_somebody(&app, request, next));
            answer.instrument(named.span()).await
        }
    };
    crossing.tell(&mut response);
    error::finish(&mut response, named.id());
    named.end(&mut response);
    response
        .headers_mut()
        .entry(header::X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    if is_encrypted {
        let headers = response.headers_mut();
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    counted.end(&response);
    response
}

/// Notes how the request came here, and from whom; returns whether it was encrypted on its way.
fn note_way(app: &App, request: &mut Request) -> bool {
    let peer = request.extensions().get::<Peer>();
    let address = peer.map(Peer::address);
    let is_encrypted = peer.is_some_and(Peer::is_encrypted);
    let reached = app.front.reached(address, is_encrypted, request.headers());
    if let Some(client) = reached.client
        && Some(client) != address
        && let Some(peer) = request.extensions_mut().remove::<Peer>()
    {
        request.extensions_mut().insert(peer.of_client(client));
    }
    let is_encrypted = reached.is_encrypted;
    if reached.is_remarkable() {
        request.extensions_mut().insert(reached);
    }
    is_encrypted
}

async fn from_somebody(app: &App, request: Request, next: Next) -> Response {
    let mut response = match host::check(&request) {
        Ok(()) => key::recognise(app, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    if app.is_draining() {
        // A kept connection would be closed while a request is on its way.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Around the routes under `/api`: a key, a slot, conditions, and no answer to a change that could still be lost.
pub(super) async fn api(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().copied();
    let (uri, had) = (request.uri().clone(), Had::of(&request));
    let admitted =
        key::require(&mut request).and_then(|()| conditional::require_if_match(&app, &request));
    let response = match admitted {
        Ok(()) => with_slot(&app, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    let mut response = had.answer(paging::link(&uri, response));
    // Here, since it can't be added to a body that is compressed further out.
    if let Some(id) = id {
        error::finish(&mut response, id);
    }
    response
}

async fn with_slot(app: &App, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    // A streamed reply goes on after its slot is given back.
    let _slot = match admission::admit(app, &request).await {
        Ok(slot) => slot,
        Err(error) => return Refusal::from(error).into_response(),
    };
    let response = next.run(request).await;
    error::settle(app, &method, response).await
}
