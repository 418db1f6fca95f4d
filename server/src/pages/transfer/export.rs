//! `/ui/export`: everything there is, or what is in one VRF, as a file.

use axum::{
    extract::{Query, State},
    response::Response,
};
use ipam_shared::api::{
    transfer::Format,
    vrf::{Vrf, VrfFilter},
};
use serde::Deserialize;

use crate::{
    app::App,
    db,
    http::transfer::exported,
    pages::{Section, Shell, error::Failure, filters, page, session::SignedIn, snippet::Server},
};

/// VRFs that can be chosen.
const VRFS: u16 = 500;

#[derive(askama::Template)]
#[template(path = "export.html")]
struct ExportPage {
    shell: Shell,
    vrfs: Vec<String>,
    /// Whether the user sees everything, without which there is no export.
    is_whole: bool,
    uses: Vec<(&'static str, String)>,
}

/// `GET /ui/export`
pub(in crate::pages) async fn export(
    State(app): State<App>,
    server: Server,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let mut db = app.ipam(&signed_in.caller).read().await?;
    let vrfs = db::vrf::list(&mut db, &VrfFilter::default(), None, VRFS).await?;
    Ok(page(&ExportPage {
        vrfs: vrfs.into_iter().map(|vrf| vrf.name.to_string()).collect(),
        is_whole: signed_in.caller.rights.scope().is_none(),
        uses: vec![
            (
                "The command line",
                "ipam export --format csv > ipam.csv".to_owned(),
            ),
            ("curl", server.curl("/api/v1/export?format=csv")),
        ],
        shell: Shell::of(&mut db, &signed_in, Section::Export).await?,
    }))
}

#[derive(Debug, Deserialize)]
pub(in crate::pages) struct Wanted {
    #[serde(default)]
    format: String,
    #[serde(default)]
    vrf: String,
}

/// `GET /ui/export/file`
pub(in crate::pages) async fn file(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
    signed_in: SignedIn,
) -> Result<Response, Failure> {
    let format = match wanted.format.as_str() {
        "csv" => Format::Csv,
        "json" => Format::Json,
        _ => return Err(Failure::invalid("the format is csv or json")),
    };
    let ipam = app.ipam(&signed_in.caller);
    let vrf = match wanted.vrf.as_str() {
        "" => None,
        name => {
            let id = ipam.find::<Vrf>(name).await?;
            let vrf: Vrf = ipam.show(signed_in.caller.clone(), id, None).await?;
            Some(vrf.name.to_string())
        }
    };
    let request = "GET /ui/export/file";
    Ok(exported(&ipam, &signed_in.caller, request, format, vrf).await?)
}
