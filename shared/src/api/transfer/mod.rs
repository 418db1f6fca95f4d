//! Whole address plans: the records of a file, and the outcome of an import. `docs/IMPORT.md` is the manual.

mod cell;
mod record;
mod result;

use serde::{Deserialize, Serialize};

pub use cell::Cell;
pub use record::{At, COLUMNS, Column, Kind, Record};
pub use result::{
    ConflictCode, ImportConflict, ImportLine, ImportResult, Imported, MAX_CONFLICTS, Phase,
    Progress,
};

/// Largest file that can be imported, in bytes.
pub const MAX_IMPORT: usize = 64 << 20;

/// How to import: `POST /api/v1/import`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ImportParams {
    /// Return what would be imported, or every conflict, without writing anything.
    #[serde(default)]
    pub dry_run: bool,
}

/// The format of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One table, for people and spreadsheets.
    Csv,
    /// One JSON object per line (JSON Lines, NDJSON).
    #[default]
    Json,
}

/// How to export: `GET /api/v1/export`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct ExportParams {
    /// The format of the plan; `json` if not given.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", param(inline))]
    pub format: Format,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_kinds_are_written_the_same_everywhere() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(Kind::read(&kind.write()), Ok(kind));
        }
        for code in ConflictCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
        let line = ImportLine::Progress(Progress {
            phase: Phase::Write,
            done: 1,
            total: 2,
        });
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            r#"{"progress":{"phase":"write","done":1,"total":2}}"#
        );
    }
}
