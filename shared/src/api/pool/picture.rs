//! A pool's address map as a picture.

use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;

/// Most networks that one picture highlights.
pub const MAX_HIGHLIGHTS: usize = 64;

/// What a picture of a pool shows, and how: `GET /api/v1/pools/{pool}/map.svg` and `/map.png`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct PictureQuery {
    /// Networks of the pool that are outlined, and of which the picture says who has them: up to 64, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highlight: Option<String>,
    /// The network of the pool that is shown. If not given, all of it, or the corner that is in use of a range that is far
    /// larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Cidr>,
    /// How networks are laid out; `rows` if not given.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub view: View,
    /// The colours; `light` if not given.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub theme: Theme,
}

/// How networks are laid out on a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Line by line, in address order.
    #[default]
    Rows,
    /// On a Hilbert curve: neighbours stay together.
    Hilbert,
}

/// The colours of a picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    /// For light pages.
    #[default]
    Light,
    /// For dark pages.
    Dark,
}
