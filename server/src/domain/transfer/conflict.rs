//! What stands in the way of an import, gathered so that all of it is said at once.

use ipam_shared::{
    api::transfer::{ConflictCode, ImportConflict, MAX_CONFLICTS},
    cidr::Cidr,
};

/// All conflicts found so far: how many, and those that may have to be named.
#[derive(Debug, Default)]
pub(super) struct Conflicts {
    named: Vec<ImportConflict>,
    total: u64,
}

impl Conflicts {
    /// Adds one.
    pub(super) fn add(
        &mut self,
        line: u64,
        code: ConflictCode,
        cidr: Option<Cidr>,
        detail: String,
    ) {
        self.push(ImportConflict {
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
        self.push(ImportConflict {
            line,
            code,
            cidr,
            detail,
            other_line: Some(other),
        });
    }

    /// A large file may have many times more conflicts than are named, so that not all are kept.
    fn push(&mut self, conflict: ImportConflict) {
        self.total += 1;
        self.named.push(conflict);
        if self.named.len() >= 4 * MAX_CONFLICTS {
            self.shorten();
        }
    }

    /// Keeps the first by line. In a fixed order, so that the same file always gets the same reply.
    fn shorten(&mut self) {
        self.named
            .sort_by_key(|one| (one.line, one.other_line.is_none(), one.other_line));
        self.named.truncate(MAX_CONFLICTS);
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many more can be named.
    pub(super) fn room(&self) -> usize {
        MAX_CONFLICTS.saturating_sub(self.named.len())
    }

    /// By line, as many as are named, and how many there are.
    pub(super) fn finish(mut self) -> (Vec<ImportConflict>, u64) {
        self.shorten();
        (self.named, self.total)
    }
}
