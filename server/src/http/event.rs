//! `/api/v1/events`.

use axum::extract::State;
use ipam_shared::{
    api::event::{Event, EventFilter},
    page::Page,
};

use super::{error::Refusal, extract::Params, paging::Paged, reply::Wanted};
use crate::{
    app::App,
    {db, domain::Caller},
};

/// List events
///
/// The audit log, newest first. A page may hold fewer events than asked for, even none, without being the last: only a null
/// `next_cursor` ends the list.
#[utoipa::path(get, path = "/events", tag = "history", operation_id = "list_events", params(EventFilter), responses(
    (status = 200, body = Page<Event>),
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<EventFilter>,
) -> Result<Paged<Event>, Refusal> {
    let wanted = Wanted::new(filter.limit, filter.cursor.as_deref())?;
    let mut connection = app.ipam(&caller).read().await?;
    let (items, next) =
        db::event::list(&mut connection, &filter, wanted.after, wanted.limit).await?;
    Ok(Paged(Page {
        items,
        next_cursor: next.map(|id| id.to_string()),
    }))
}
