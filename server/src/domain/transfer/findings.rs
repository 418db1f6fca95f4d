//! What is found out about a file: all its conflicts, collected so that they are reported at once, and how much of it
//! already exists.

use ipam_shared::{
    api::transfer::{ConflictCode, ImportConflict, MAX_CONFLICTS},
    cidr::Cidr,
};

/// What is wrong with a record, or with what several records say.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    code: ConflictCode,
    detail: String,
    cidr: Option<Cidr>,
    other_line: Option<u64>,
}

impl Problem {
    /// A problem with that code and text.
    pub(crate) fn new(code: ConflictCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            cidr: None,
            other_line: None,
        }
    }

    /// A value that is not possible.
    pub(crate) fn bad_value(detail: impl ToString) -> Self {
        Self::new(ConflictCode::BadValue, detail.to_string())
    }

    /// It is about that network.
    pub(crate) fn about(self, cidr: impl Into<Option<Cidr>>) -> Self {
        let cidr = cidr.into();
        Self { cidr, ..self }
    }

    /// It is between two records of the file; the other is on that line.
    pub(crate) fn beside(self, line: impl Into<Option<u64>>) -> Self {
        let other_line = line.into();
        Self { other_line, ..self }
    }
}

/// All conflicts found so far, and the records that say what is there already.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Those that may have to be reported.
    named: Vec<ImportConflict>,
    total: u64,
    /// Records that say what is there already, exactly the same.
    pub(crate) unchanged: u64,
}

impl Findings {
    /// Adds a conflict. A large file may have many times more than are reported, so not all are kept.
    pub(crate) fn add(&mut self, line: u64, problem: Problem) {
        self.total += 1;
        self.named.push(ImportConflict {
            line,
            code: problem.code,
            cidr: problem.cidr,
            detail: problem.detail,
            other_line: problem.other_line,
        });
        if self.named.len() >= 4 * MAX_CONFLICTS {
            self.shorten();
        }
    }

    /// The value, or else adds why there is none, unless that was reported already.
    pub(crate) fn ok<T>(
        &mut self,
        line: u64,
        found: Result<T, impl Into<Option<Problem>>>,
    ) -> Option<T> {
        match found {
            Ok(found) => Some(found),
            Err(problem) => {
                if let Some(problem) = problem.into() {
                    self.add(line, problem);
                }
                None
            }
        }
    }

    /// Keeps the first ones by line, in a fixed order, so that the same file always gets the same reply.
    fn shorten(&mut self) {
        self.named
            .sort_by_key(|one| (one.line, one.other_line.is_none(), one.other_line));
        self.named.truncate(MAX_CONFLICTS);
    }

    /// Whether there are no conflicts.
    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// How many more conflicts can be named.
    pub(crate) fn room(&self) -> usize {
        MAX_CONFLICTS.saturating_sub(self.named.len())
    }

    /// Conflicts by line, as many as are named, and how many there are.
    pub(crate) fn finish(mut self) -> (Vec<ImportConflict>, u64) {
        self.shorten();
        (self.named, self.total)
    }
}
