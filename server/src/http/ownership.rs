//! `/api/v1/confirmations` and `/api/v1/claims`.

use axum::{Json, extract::State};
use ipam_shared::api::ownership::{ConfirmationResults, Confirmations};

use super::{
    error::Refusal,
    extract::{Body, OfCreation},
};
use crate::{
    app::App,
    domain::{Caller, ownership::Maker},
};

/// Confirm claims
///
/// Does what reading each thing with its claim does, for up to 1,000 at once and of any kind: whoever shows the claim owns
/// the thing, and from then on nobody can adopt it by asking for the same. Repeating it is safe.
#[utoipa::path(post, path = "/confirmations", tag = "confirmations", operation_id = "confirm_claims",
    request_body = Confirmations, responses(
    (status = 200, body = ConfirmationResults, description = "The outcome of each claim, in their order"),
))]
pub(super) async fn confirm(
    State(app): State<App>,
    caller: Caller,
    Body(shown): Body<Confirmations>,
) -> Result<Json<ConfirmationResults>, Refusal> {
    let results = app.ipam(&caller).confirm(caller, shown.claims).await?;
    Ok(Json(ConfirmationResults { results }))
}

/// Take things over
///
/// Does what an import into a Terraform state does: each thing gets the claim that the caller has generated for it, and the
/// owner of this request, and is confirmed. A previous owner learns of it when showing the old claim. Repeating it is safe.
#[utoipa::path(post, path = "/claims", tag = "confirmations", operation_id = "take_over",
    request_body = Confirmations, params(OfCreation), responses(
    (status = 200, body = ConfirmationResults, description = "The outcome of each claim, in their order"),
))]
pub(super) async fn take_over(
    State(app): State<App>,
    maker: Maker,
    Body(drawn): Body<Confirmations>,
) -> Result<Json<ConfirmationResults>, Refusal> {
    let results = app
        .ipam(&maker.caller)
        .take_over(maker, drawn.claims)
        .await?;
    Ok(Json(ConfirmationResults { results }))
}
