//! A slot for each request that needs the database, among those that are worked on. Only whoever is known takes one:
//! strangers are sent away without.

use axum::extract::Request;

use crate::{
    app::App,
    domain::admission::{Kind, Slot},
    error::Result,
};

/// Where one request for space is made. These take their slots in the queue of what they ask for.
const FOR_SPACE: [&str; 3] = ["/api/v1/allocations", "/allocate", "/ui/allocations/new"];

const BATCH: &str = "/api/v1/allocations/batch";
/// Where allocations are changed.
const OF_ALLOCATIONS: [&str; 3] = ["/api/v1/allocations/", "/allocations/", "/ui/allocations/"];

fn is_of_allocation(path: &str) -> bool {
    path != BATCH && OF_ALLOCATIONS.iter().any(|prefix| path.starts_with(prefix))
}

/// Which slots a request is for; none for a request for space.
fn kind(request: &Request) -> Option<Kind> {
    let path = request.uri().path();
    if request.method().is_safe() {
        Some(Kind::Read)
    } else if FOR_SPACE.contains(&path) {
        None
    } else if is_of_allocation(path) {
        Some(Kind::Allocation)
    } else {
        Some(Kind::Change)
    }
}

/// A slot to work on a request, once there is one, if it needs one.
///
/// # Errors
/// When there is none in time.
pub(crate) fn admit(
    app: &App,
    request: &Request,
) -> impl Future<Output = Result<Option<Slot>>> + Send + use<> {
    let (app, kind) = (app.clone(), kind(request));
    async move {
        match kind {
            Some(kind) => app.ipam.admit(kind).await.map(Some),
            None => Ok(None),
        }
    }
}
