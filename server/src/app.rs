//! What handlers can reach.

use std::{
    net::{IpAddr, SocketAddr},
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ipam_shared::secret::Secret;

use crate::{
    auth::{Auth, Denied},
    domain::{
        Ipam,
        token::{Principal, Recognised},
    },
    front::Front,
    manners::Manners,
    rights::Caller,
};

/// What every handler can reach. Each layer and each handler clones it, which is one counter.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Parts {
    ipam: Ipam,
    /// Checks keys.
    pub auth: Auth,
    /// Whether `/metrics` answers without a key.
    pub(crate) is_metrics_open: bool,
    /// How clients get here.
    pub(crate) front: Front,
    /// Where the server listens; none if it is not known.
    pub(crate) listens_on: Option<SocketAddr>,
    /// What is asked of clients.
    pub(crate) manners: Arc<Manners>,
    draining: Arc<AtomicBool>,
}

impl App {
    /// Over a migrated database.
    pub fn new(ipam: Ipam, auth: Auth) -> Self {
        Self(Arc::new(Parts {
            ipam,
            auth,
            is_metrics_open: false,
            front: Front::default(),
            listens_on: None,
            manners: Arc::default(),
            draining: Arc::default(),
        }))
    }

    fn with(self, set: impl FnOnce(&mut Parts)) -> Self {
        let mut parts = Arc::unwrap_or_clone(self.0);
        set(&mut parts);
        Self(Arc::new(parts))
    }

    /// With `/metrics` for everybody, or only with the key.
    #[must_use]
    pub fn with_open_metrics(self, is_metrics_open: bool) -> Self {
        self.with(|parts| parts.is_metrics_open = is_metrics_open)
    }

    /// The domain as a caller sees it.
    pub fn ipam(&self, caller: &Caller) -> Ipam {
        self.ipam.seen_by(caller)
    }

    /// The domain for the server's own work, which sees everything.
    pub(crate) fn system(&self) -> &Ipam {
        &self.ipam
    }

    /// Whose key it is, shown from that address.
    ///
    /// # Errors
    /// When it is not valid, or that can't be found out.
    pub(crate) async fn recognise(
        &self,
        key: &str,
        from: Option<IpAddr>,
    ) -> Result<Arc<Principal>, Denied> {
        if self.auth.is_administrator(key) {
            return Ok(Principal::admin());
        }
        let Some(secret) = Secret::parse(key) else {
            return Err(Denied::Wrong);
        };
        match self.ipam.recognise(&secret, from).await {
            Ok(Recognised::Valid(who)) => Ok(who),
            Ok(Recognised::Expired(at, who)) => Err(Denied::Expired {
                at,
                actor: who.actor.clone(),
                source: Box::new(who.source(from)),
            }),
            Ok(Recognised::Unknown) => Err(Denied::Wrong),
            Err(error) => {
                tracing::warn!(%error, "a token could not be checked");
                Err(Denied::Unavailable)
            }
        }
    }

    /// Whether that takes a question to the database that was never asked here before.
    pub(crate) fn must_ask(&self, key: &str) -> bool {
        !self.auth.is_administrator(key)
            && Secret::parse(key).is_some_and(|secret| !self.ipam.has_asked(&secret))
    }

    /// With trusted proxies, and the address of the dashboard.
    #[must_use]
    pub fn with_front(self, front: Front) -> Self {
        self.with(|parts| parts.front = front)
    }

    /// With what is asked of clients.
    #[must_use]
    pub fn with_manners(self, manners: Manners) -> Self {
        self.with(|parts| parts.manners = Arc::new(manners))
    }

    /// With the address that the server listens on.
    #[must_use]
    pub fn listening_on(self, address: SocketAddr) -> Self {
        self.with(|parts| parts.listens_on = Some(address))
    }

    /// From now on `/readyz` fails, so that load balancers stop sending requests here.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
