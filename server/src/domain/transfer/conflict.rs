//! What stands in the way of an import, gathered so that all of it is said at once.

use ipam_shared::{
    api::transfer::{ConflictCode, ImportConflict, MAX_CONFLICTS},
    cidr::Cidr,
};

/// All conflicts found so far.
#[derive(Debug, Default)]
pub(super) struct Conflicts(Vec<ImportConflict>);

impl Conflicts {
    /// Adds one.
    pub(super) fn add(
        &mut self,
        line: u64,
        code: ConflictCode,
        cidr: Option<Cidr>,
        detail: String,
    ) {
        self.0.push(ImportConflict {
            line,
            code,
            cidr,
            detail,
            other_line: None,
        });
    }

    /// Adds one between two records of the file.
    pub(super) fn between(
        &mut self,
        (line, other): (u64, u64),
        code: ConflictCode,
        cidr: Option<Cidr>,
        detail: String,
    ) {
        self.0.push(ImportConflict {
            line,
            code,
            cidr,
            detail,
            other_line: Some(other),
        });
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many more can be named.
    pub(super) fn room(&self) -> usize {
        MAX_CONFLICTS.saturating_sub(self.0.len())
    }

    /// By line, as many as are named, and how many there are.
    pub(super) fn finish(mut self) -> (Vec<ImportConflict>, u64) {
        let total = self.0.len() as u64;
        self.0.sort_by_key(|conflict| conflict.line);
        self.0.truncate(MAX_CONFLICTS);
        (self.0, total)
    }
}
