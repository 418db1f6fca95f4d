//! A slot for each request that needs the database. Only authenticated requests take one: others are rejected without.

use axum::extract::Request;

use crate::{
    app::App,
    domain::admission::{Kind, Slot},
    error::Result,
};

/// Paths of single requests for space. These take a slot in their queue.
const FOR_SPACE: [&str; 3] = ["/api/v1/allocations", "/allocate", "/ui/allocations/new"];

/// Waits for most of its time, and has places of its own.
const FEED: &str = "/api/v1/events/feed";
const BATCH: &str = "/api/v1/allocations/batch";
/// Paths under which allocations are changed.
const OF_ALLOCATIONS: [&str; 3] = ["/api/v1/allocations/", "/allocations/", "/ui/allocations/"];

fn is_of_allocation(path: &str) -> bool {
    path != BATCH && OF_ALLOCATIONS.iter().any(|prefix| path.starts_with(prefix))
}

/// The kind of slot that a request needs; none for a request for space, and for who follows the log.
fn kind(request: &Request) -> Option<Kind> {
    let path = request.uri().path();
    if path == FEED {
        None
    } else if request.method().is_safe() {
        Some(Kind::Read)
    } else if FOR_SPACE.contains(&path) {
        None
    } else if is_of_allocation(path) {
        Some(Kind::Allocation)
    } else {
        Some(Kind::Change)
    }
}

/// Waits for a slot for a request, if it needs one.
///
/// # Errors
/// When none is free in time.
pub(crate) fn admit(
    app: &App,
    request: &Request,
) -> impl Future<Output = Result<Option<Slot>>> + Send + use<> {
    let (app, kind) = (app.clone(), kind(request));
    async move {
        match kind {
            Some(kind) => app.system().admit(kind).await.map(Some),
            None => Ok(None),
        }
    }
}
