//! Which idle connections can be believed to work.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Whether connections that are idle can be believed to work.
///
/// When one gave no answer, or turned out to lead to a standby, all that became idle before it are closed instead of used:
/// they go through the same network to the same host.
///
/// When one gave no answer, it is also in doubt whether the database takes changes at all: commits that wait for a standby
/// may wait for hours. Each one we give up on keeps waiting in the database and holds its locks, so there should be few.
#[derive(Debug, Default)]
pub(super) struct Trust(Mutex<Lost>);

/// When trust was lost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    idle: Option<Instant>,
    pub(super) changes: Option<Instant>,
}

impl Trust {
    /// From now on only connections that work after this moment are used.
    pub(super) fn lose(&self) {
        self.lost().idle = Some(Instant::now());
    }

    /// And it is in doubt whether changes work.
    pub(super) fn lose_all(&self) {
        let now = Some(Instant::now());
        *self.lost() = Lost {
            idle: now,
            changes: now,
        };
    }

    pub(super) fn holds(&self, idle_for: Duration) -> bool {
        let lost = self.lost().idle;
        lost.is_none_or(|lost| lost.elapsed() > idle_for)
    }

    pub(super) fn lost(&self) -> MutexGuard<'_, Lost> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
