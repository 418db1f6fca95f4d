//! What a run knows of claims: those that were shown, and those that were not yet.

use std::collections::{HashMap, HashSet};

use ipam_shared::api::ownership::Confirmation;
use uuid::Uuid;

use super::key::Key;

/// What this run knows of claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Those whose claim was shown.
    shown: HashSet<Uuid>,
    unconfirmed: HashMap<Key, Confirmation>,
}

impl Claims {
    /// Notes that a claim was shown.
    pub(crate) fn show(&mut self, id: Uuid) {
        self.shown.insert(id);
    }

    /// Notes the claim that the state has for what has this name.
    pub(crate) fn hold(&mut self, key: Key, held: Confirmation) {
        if !self.shown.contains(&held.id) {
            self.unconfirmed.insert(key, held);
        }
    }

    /// The claim of what has this name, if it was not shown yet.
    pub(crate) fn held(&self, key: &Key) -> Option<Confirmation> {
        let held = self.unconfirmed.get(key)?;
        (!self.shown.contains(&held.id)).then_some(*held)
    }
}
