//! What handlers can reach.

use std::{
    net::SocketAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{auth::Auth, domain::Ipam};

/// What every handler can reach. Each layer and each handler clones it, which is one counter.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The domain.
    pub ipam: Ipam,
    /// Checks keys.
    pub auth: Auth,
    /// Whether `/metrics` answers without a key.
    pub(crate) is_metrics_open: bool,
    /// Where the server listens; none if it is not known.
    pub(crate) listens_on: Option<SocketAddr>,
    draining: Arc<AtomicBool>,
}

impl App {
    /// Over a migrated database.
    pub fn new(ipam: Ipam, auth: Auth) -> Self {
        Self(Arc::new(Parts {
            ipam,
            auth,
            is_metrics_open: false,
            listens_on: None,
            draining: Arc::default(),
        }))
    }

    /// With `/metrics` for everybody, or only with the key.
    #[must_use]
    pub fn with_open_metrics(self, is_metrics_open: bool) -> Self {
        Self(Arc::new(Parts {
            is_metrics_open,
            ..Arc::unwrap_or_clone(self.0)
        }))
    }

    /// With the address that the server listens on.
    #[must_use]
    pub fn listening_on(self, address: SocketAddr) -> Self {
        Self(Arc::new(Parts {
            listens_on: Some(address),
            ..Arc::unwrap_or_clone(self.0)
        }))
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
