//! `/api/v1/reservations`.

use axum::{extract::State, http::StatusCode, response::Response};
use ipam_shared::{
    api::reservation::{NewReservation, Reservation, ReservationFilter, ReservationPatch},
    ids::ReservationId,
    page::Page,
};

use super::{
    error::Refusal,
    extract::{Body, IfMatch, Key, OfChange, OfCreation, OfReader, Params, ShownClaim},
    paging::{Paged, page},
    reply::{Wanted, by_id, found, label, made, shown},
};
use crate::{
    app::App,
    db,
    domain::{Caller, named::Filter, ownership::Maker},
};

/// Reserve a network
///
/// Takes it out of circulation, inside or outside of pools. Until it is confirmed, repeating the request returns the same
/// reservation.
#[utoipa::path(post, path = "/reservations", tag = "reservations", operation_id = "create_reservation",
    request_body = NewReservation, params(OfCreation), responses(
    (status = 201, body = Reservation, description = "Reserved"),
    (status = 200, body = Reservation, description = "Reserved by an earlier attempt"),
    (status = 404, description = "No such VRF"),
    (status = 409, description = "overlap or claimed"),
))]
pub(super) async fn create(
    State(app): State<App>,
    maker: Maker,
    Body(new): Body<NewReservation>,
) -> Result<Response, Refusal> {
    let (reservation, is_new) = app.ipam(&maker.caller).reserve(maker, new).await?;
    Ok(made(&reservation, is_new))
}

/// List reservations
///
/// In the order in which they were created.
#[utoipa::path(get, path = "/reservations", tag = "reservations", operation_id = "list_reservations",
    params(ReservationFilter), responses(
        (status = 200, body = Page<Reservation>),
    ))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(filter): Params<ReservationFilter>,
) -> Result<Paged<Reservation>, Refusal> {
    let wanted = Wanted::new(filter.limit, filter.cursor.as_deref())?;
    let label = label(filter.label.as_deref())?;
    let mut connection = app.ipam(&caller).read().await?;
    let ids =
        db::reservation::list(&mut connection, &filter, label, wanted.after, wanted.limit).await?;
    let items = if ids.is_empty() {
        drop(connection);
        let named = [
            filter.vrf.as_deref().map(Filter::Vrf),
            filter.pool.as_deref().map(Filter::Pool),
        ];
        app.ipam(&caller).must_exist(&named).await?;
        Vec::new()
    } else {
        db::reservation::load(&mut connection, &ids).await?
    };
    Ok(page(items, wanted.limit, by_id))
}

/// Get a reservation
///
/// 410 if it was deleted, 404 if the id was never known.
#[utoipa::path(get, path = "/reservations/{id}", tag = "reservations", operation_id = "get_reservation",
    params(
        ("id" = ReservationId, Path),
        OfReader,
    ),
    responses(
        (status = 200, body = Reservation),
        (status = 409, description = "claimed"),
    ))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Key(id): Key<ReservationId>,
    ShownClaim(claim): ShownClaim,
) -> Result<Response, Refusal> {
    let reservation: Reservation = app.ipam(&caller).show(caller, id, claim).await?;
    Ok(found(&reservation))
}

/// Change a reservation
///
/// Its reason and its labels; the network stays.
#[utoipa::path(patch, path = "/reservations/{id}", tag = "reservations", operation_id = "update_reservation",
    request_body = ReservationPatch,
    params(
        ("id" = ReservationId, Path),
        OfChange,
    ),
    responses(
        (status = 200, body = Reservation),
    ))]
pub(super) async fn update(
    State(app): State<App>,
    caller: Caller,
    Key(id): Key<ReservationId>,
    IfMatch(revision): IfMatch,
    Body(patch): Body<ReservationPatch>,
) -> Result<Response, Refusal> {
    Ok(shown(
        &app.ipam(&caller)
            .update_reservation(caller, id, patch, revision)
            .await?,
    ))
}

/// Delete a reservation
///
/// The space that it took is free when this returns.
#[utoipa::path(delete, path = "/reservations/{id}", tag = "reservations", operation_id = "delete_reservation",
    params(
        ("id" = ReservationId, Path),
        OfChange,
    ),
    responses(
        (status = 204, description = "Deleted"),
    ))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Key(id): Key<ReservationId>,
    IfMatch(revision): IfMatch,
) -> Result<StatusCode, Refusal> {
    app.ipam(&caller)
        .delete_reservation(caller, id, revision)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
