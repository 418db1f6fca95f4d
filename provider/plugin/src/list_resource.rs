//! A resource type that can be listed: `terraform query` finds what exists and writes its configuration (Terraform 1.14
//! and later).

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::diagnostic::{Diagnostic, Diagnostics, Result, Severity};
use crate::schema::Schema;
use crate::value::Value;

/// How to list the existing resources of a type, which must have an identity. Lists run concurrently.
#[async_trait]
pub trait ListResource<C: Send + Sync + 'static>: Send + Sync {
    /// The full name of the resource type, `ipam_pool`.
    fn name(&self) -> &str;

    /// The attributes of the block `config` inside the list block: the filter.
    fn schema(&self) -> Schema;

    /// Checks the filter, whose values may be unknown. Runs before the provider is configured.
    async fn validate(&self, _ctx: &Context<C>, _config: &Value) -> Result<()> {
        Ok(())
    }

    /// Searches, and puts each result into `found` as soon as it is found, until [`Found::put`] says that no more are
    /// wanted.
    ///
    /// # Errors
    /// Why the list is not complete. Results so far are discarded: Terraform shows all or an error.
    async fn list(&self, ctx: &Context<C>, request: List, found: &mut Found) -> Result<()>;
}

/// What to list.
#[derive(Debug, Clone)]
pub struct List {
    /// The filter; wholly known.
    pub config: Value,
    /// The maximum number of results. The layer counts; this is for implementations that want to request no more than
    /// needed.
    pub limit: usize,
    /// Whether whole states are wanted. If not, the attributes of the identity are enough.
    pub include_resource: bool,
}

/// One thing that was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listed {
    /// The attributes, as [`crate::Resource::read`] would return them.
    pub state: Value,
    /// Its name for people.
    pub display_name: String,
}

impl Listed {
    /// A thing of that name with these attributes.
    pub fn new(display_name: impl Into<String>, state: Value) -> Self {
        Self {
            state,
            display_name: display_name.into(),
        }
    }
}

/// Where a list puts what it finds.
#[derive(Debug)]
pub struct Found {
    sender: mpsc::Sender<Event>,
    left: usize,
    stop: CancellationToken,
}

/// What is sent to the host.
#[derive(Debug)]
pub(crate) enum Event {
    Listed(Box<Listed>),
    Problem(Diagnostics),
}

impl Found {
    /// For at most `limit` things. The host takes them from the receiver, one at a time, so that no more is looked for than
    /// is wanted.
    pub(crate) fn new(limit: usize, stop: CancellationToken) -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(1);
        let found = Self {
            sender,
            left: limit,
            stop,
        };
        (found, receiver)
    }

    /// Whether more are wanted: not after as many as Terraform asked for, when it has gone, or when the user pressed Ctrl-C.
    pub fn wants_more(&self) -> bool {
        self.left > 0 && !self.stop.is_cancelled() && !self.sender.is_closed()
    }

    /// Hands one over, and waits until there is room for it. Returns whether more are wanted.
    pub async fn put(&mut self, listed: Listed) -> bool {
        if !self.wants_more() {
            return false;
        }
        self.left -= 1;
        self.send(Event::Listed(Box::new(listed))).await;
        self.wants_more()
    }

    /// Reports something to the user at this point of the list; an error ends it.
    pub async fn report(&mut self, diagnostic: Diagnostic) {
        let ends = diagnostic.severity == Severity::Error;
        self.send(Event::Problem(diagnostic.into())).await;
        if ends {
            self.left = 0;
        }
    }

    /// How many are wanted.
    pub(crate) fn limit(&self) -> usize {
        self.left
    }

    /// Whether some may be missing because the user pressed Ctrl-C.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.left > 0 && self.stop.is_cancelled()
    }

    /// Resolves when nobody listens any longer.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let sender = self.sender.clone();
        async move { sender.closed().await }
    }

    pub(crate) async fn send(&self, event: Event) {
        // Nobody listens any longer when the host has enough.
        _ = self.sender.send(event).await;
    }
}
