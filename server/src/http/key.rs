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

use super::{
    error::Refusal,
    listen::Peer,
    pace::{self, Exceeded, Standing},
    request_id::RequestId,
    rights, source,
};
use crate::{
    app::App,
    auth::{self, Denied},
    domain::{Caller, Note, token::Principal},
    error::Error,
    front::owner,
    text::moment,
};

/// Whose key it is.
type Checked = Result<Arc<Principal>, Denied>;
/// Where the caller stands, if there is a limit.
type Counted = Result<Option<Standing>, Exceeded>;

/// What [`recognise`] found out about the caller, in the extensions of every request.
#[derive(Clone, Debug)]
pub(super) struct Shown(pub(super) Checked);

/// Whose key the request carries.
pub(crate) fn shown(request: &Extensions) -> Checked {
    match request.get() {
        Some(Shown(key)) => key.clone(),
        None => Err(Denied::Missing),
    }
}

/// Checks the key of each request, once, and counts the request for whoever made it. A connection that shows the right one, on
/// whatever path but those of health checks, is kept when others have to make room. Wrong keys cost time, whatever is answered,
/// and are counted and logged with their address. The right key is never delayed, so nobody is locked out by others at the same
/// address.
pub(super) async fn recognise(app: &App, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().cloned();
    let (checked, counted) = check(app, request.headers(), request.extensions()).await;
    let asked = Asked::new(&checked, &request);
    if checked.is_ok()
        && let Some(peer) = &peer
    {
        peer.trust();
    }
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
    let denies_some = response.extensions_mut().remove::<DeniesSome>().is_some();
    match (response.status(), &asked.checked) {
        // Also where no key is needed, or none is looked at, or the request was one too many: whoever has the right key is told
        // apart there too, so that would be the quicker way to try keys.
        (_, Err(Denied::Wrong)) => {
            wrong_key(app, peer.as_ref(), asked.request_id).await;
        }
        (StatusCode::UNAUTHORIZED, Err(Denied::Expired { actor, source, .. })) => {
            let (actor, source) = (actor.clone(), Source::clone(source));
            app.system()
                .note_later(asked.note("access.expired", actor, source));
        }
        (status, checked) if denies_some || status == StatusCode::FORBIDDEN => {
            let session = response.extensions_mut().remove::<SignedInAs>();
            if let Some(who) = session.map(|it| it.0).or_else(|| checked.clone().ok()) {
                app.system().note_later(asked.by("access.denied", &who));
            }
        }
        _ => {}
    }
    response
}

/// Whose key a request shows, and whether it is one request too many. Health checks need none and ask nobody.
async fn check(app: &App, headers: &HeaderMap, request: &Extensions) -> (Checked, Counted) {
    if pace::is_health(request) {
        return (Err(Denied::Missing), Ok(None));
    }
    let from = request.get().map(Peer::address);
    let counted = |checked: &Checked| pace::count_request(app, request, checked.as_deref());
    let key = match auth::key_of(headers) {
        Ok(key) => key,
        Err(denied) => {
            let checked = Err(denied);
            let counted = counted(&checked);
            return (checked, counted);
        }
    };
    if !app.must_ask(key) {
        let checked = app.recognise(key, from).await;
        let counted = counted(&checked);
        return (checked, counted);
    }
    // Whoever is not known here counts for a stranger before the database is asked, so that no crowd with secrets that it made
    // up keeps that busy.
    match counted(&Err(Denied::Wrong)) {
        Ok(standing) => {
            let checked = app.recognise(key, from).await;
            let counted = match &checked {
                Ok(_) => counted(&checked),
                Err(_) => Ok(standing),
            };
            (checked, counted)
        }
        Err(exceeded) => (Err(Denied::Unavailable), Err(exceeded)),
    }
}

/// Whose session made a request, or who tried to begin one, in the extensions of a reply that denies something.
#[derive(Clone, Debug)]
pub(crate) struct SignedInAs(pub(crate) Arc<Principal>);

/// Some of what was asked for is denied, though the status of the reply does not say so.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeniesSome;

/// What the audit log may have to be told of a request that changed nothing.
struct Asked {
    checked: Checked,
    method: Method,
    path: Option<MatchedPath>,
    request_id: Uuid,
    address: Option<IpAddr>,
}

impl Asked {
    fn new(checked: &Checked, request: &Request) -> Self {
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
