//! Style sheet, script and logo, from the binary. Each has its hash in its URL, so that browsers can cache it forever and
//! still get the new one after an upgrade.

use std::sync::OnceLock;

use axum::{
    extract::Path,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};

use crate::text::hex;

/// A file.
struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const APP_CSS: Asset = Asset {
    stem: "app",
    extension: "css",
    content_type: "text/css; charset=utf-8",
    bytes: include_bytes!("../../static/app.css"),
};
const APP_JS: Asset = Asset {
    stem: "app",
    extension: "js",
    content_type: "text/javascript; charset=utf-8",
    bytes: include_bytes!("../../static/app.js"),
};
const LOGO: Asset = Asset {
    stem: "logo",
    extension: "svg",
    content_type: "image/svg+xml",
    bytes: include_bytes!("../../static/logo.svg"),
};

/// The addresses of the files, for templates.
#[derive(Debug)]
pub(super) struct Assets {
    pub(super) css: String,
    pub(super) js: String,
    pub(super) logo: String,
}

impl Assets {
    /// Computed once.
    pub(super) fn get() -> &'static Self {
        static ASSETS: OnceLock<Assets> = OnceLock::new();
        ASSETS.get_or_init(|| Self {
            css: address(&APP_CSS),
            js: address(&APP_JS),
            logo: address(&LOGO),
        })
    }
}

fn hash(asset: &Asset) -> String {
    hex(&Sha256::digest(asset.bytes)[..6])
}

fn address(asset: &Asset) -> String {
    format!(
        "/ui/static/{}.{}.{}",
        asset.stem,
        hash(asset),
        asset.extension
    )
}

/// `GET /ui/static/{stem}.{hash}.{extension}`
pub(super) async fn file(Path(file): Path<String>) -> Response {
    let mut parts = file.splitn(3, '.');
    let (stem, asked, extension) = (parts.next(), parts.next(), parts.next());
    let found = [&APP_CSS, &APP_JS, &LOGO]
        .into_iter()
        .find(|asset| Some(asset.stem) == stem && Some(asset.extension) == extension);
    let Some(asset) = found else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // During a rolling upgrade the page may come from another version than the file: then the file must not be cached under
    // that URL.
    let keep = if asked == Some(hash(asset).as_str()) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(asset.content_type),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    (headers, asset.bytes).into_response()
}
