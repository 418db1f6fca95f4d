//! The key of a request: checked once, for every path, and required under `/api`.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request},
    http::{Extensions, HeaderMap, Method, StatusCode, request::Parts},
    middleware::Next,
    response::Response,
};
use ipam_shared::{api::event::Source, error::Code};
use uuid::Uuid;

use super::{error::Refusal, listen::Peer, pace, request_id::RequestId, rights, source};
use crate::{
    app::App,
    auth::{self, Denied},
    domain::{Caller, Note, token::Principal},
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
    let asked = Asked::new(&checked, &request);
    if checked.is_ok()
        && let Some(peer) = &peer
    {
        peer.trust();
    }
    let counted = pace::count_request(app, &request, checked.as_deref());
    request.extensions_mut().insert(Shown(checked));
    let mut response = match counted {
        Ok(standing) => {
            let mut response = next.run(request).await;
            if let Some(standing) = standing {
                standing.tell(&mut response);
            }
            response
        }
        Err(exceeded) => exceeded.refuse(request.uri().path()),
    };
    match (response.status(), &asked.checked) {
        // A wrong key that is refused for another reason costs as much: else that would be the quicker way to try keys.
        (StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS, Err(Denied::Wrong)) => {
            wrong_key(app, peer.as_ref(), asked.request_id).await;
        }
        (StatusCode::UNAUTHORIZED, Err(Denied::Expired { actor, source, .. })) => {
            let (actor, source) = (actor.clone(), Source::clone(source));
            app.system()
                .note_later(asked.note("access.expired", actor, source));
        }
        (StatusCode::FORBIDDEN, checked) => {
            let session = response.extensions_mut().remove::<SignedInAs>();
            if let Some(who) = session.map(|it| it.0).or_else(|| checked.clone().ok()) {
                app.system().note_later(asked.by("access.denied", &who));
            }
        }
        _ => {}
    }
    response
}

/// Whose session made a request, in the extensions of a reply that denies something.
#[derive(Clone, Debug)]
pub(crate) struct SignedInAs(pub(crate) Arc<Principal>);

/// What the audit log may have to be told of a request that changed nothing.
struct Asked {
    checked: Result<Arc<Principal>, Denied>,
    method: Method,
    path: Option<MatchedPath>,
    request_id: Uuid,
    address: Option<IpAddr>,
}

impl Asked {
    fn new(checked: &Result<Arc<Principal>, Denied>, request: &Request) -> Self {
        Self {
            checked: checked.clone(),
            method: request.method().clone(),
            path: request.extensions().get().cloned(),
            request_id: request_id(request.extensions()),
            address: request.extensions().get().map(Peer::address),
        }
    }

    fn by(&self, action: &'static str, who: &Principal) -> Note {
        self.note(action, who.actor.clone(), who.source(self.address))
    }

    fn note(&self, action: &'static str, actor: String, source: Source) -> Note {
        let path = self
            .path
            .as_ref()
            .map_or("another path", MatchedPath::as_str);
        Note {
            action,
            actor: Some(actor),
            source,
            request: Some(format!("{} {path}", self.method)),
            request_id: self.request_id,
        }
    }
}

/// Handles a wrong key: logs it, without the key, and holds the answer back.
pub(crate) async fn wrong_key(app: &App, peer: Option<&Peer>, request_id: Uuid) {
    app.system().metrics().wrong_key();
    app.system().note_later(Note {
        action: "access.wrong_key",
        actor: None,
        source: Source {
            address: peer.map(Peer::address),
            ..Source::default()
        },
        request: None,
        request_id,
    });
    let Some(peer) = peer else {
        tracing::warn!("somebody sent a wrong API key");
        return;
    };
    tracing::warn!(peer = %peer.address(), "somebody sent a wrong API key");
    peer.delay(app.auth.delay(owner(peer.address()))).await;
}

/// The key of a request that takes so long that it may lose its validity meanwhile.
pub(super) struct Watched {
    app: App,
    key: String,
    from: Option<IpAddr>,
    who: Arc<Principal>,
}

impl Watched {
    /// Whether the key still is what it was when the request began, and the server is not about to stop.
    pub(super) async fn goes_on(&self) -> bool {
        let now = self.app.recognise(&self.key, self.from).await;
        !self.app.is_draining() && now.is_ok_and(|now| now == self.who)
    }
}

impl FromRequestParts<App> for Watched {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refusal> {
        Ok(Self {
            app: app.clone(),
            key: auth::key_of(&parts.headers)?.to_owned(),
            from: parts.extensions.get().map(Peer::address),
            who: shown(&parts.extensions)?,
        })
    }
}

/// Rejects requests without a key, and those whose key does not allow them.
pub(super) fn require(request: &mut Request) -> Result<(), Refusal> {
    let who = shown(request.extensions())?;
    rights::require(request, &who)?;
    let caller = caller(&who, request.extensions(), request.headers())?;
    request.extensions_mut().insert(caller);
    Ok(())
}

/// The id of a request; nil for one that got none.
pub(crate) fn request_id(request: &Extensions) -> Uuid {
    request
        .get::<RequestId>()
        .map(|id| id.0)
        .unwrap_or_default()
}

/// Somebody who makes a request.
///
/// # Errors
/// When a header that says where it comes from can't be kept.
pub(crate) fn caller(
    who: &Principal,
    request: &Extensions,
    headers: &HeaderMap,
) -> Result<Caller, Error> {
    Ok(Caller {
        actor: who.actor.clone(),
        request_id: request_id(request),
        rights: who.rights.clone(),
        source: Some(Arc::new(source::of(who, request, headers)?)),
    })
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        let detail = match denied {
            Denied::Missing => {
                "send the API key as \"X-API-Key: KEY\" or \"Authorization: Bearer KEY\"".to_owned()
            }
            Denied::Wrong => "the API key is not known to this server".to_owned(),
            Denied::Expired { at, .. } => format!(
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
