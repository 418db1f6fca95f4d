//! What one run of Terraform is about to do, as far as its calls have shown.
//!
//! Terraform asks for one resource at a time and says nothing of the others, but a provider process serves one walk over
//! all of them. So plans record what they want: two resources that want the same name are found before they share a range,
//! a renamed place is recognised as the same, and a name that is about to be given up is waited for instead of refused.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ipam_client::Error;

use super::{claims::Claims, key::Key};
use crate::command::is_only_plan;

/// How long to wait for a taken name that nothing has announced to give up: other calls that Terraform has begun at the
/// same moment have announced themselves by then.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// The memory of one run.
#[derive(Debug, Default)]
pub(crate) struct Run {
    notes: Mutex<Notes>,
    claims: Mutex<Claims>,
}

#[derive(Debug, Default)]
struct Notes {
    /// What is to have a name after this run.
    wanted: HashMap<Key, Wanted>,
    /// The new names of existing things, by the previous ones.
    renamed: HashMap<Key, Key>,
    /// Names that are given up in this run: by another name, or by a deletion that has begun.
    left: HashSet<Key>,
    /// What waits for a name to become free, by the name that it has.
    waiting: HashMap<Key, Key>,
    /// How many deletions are in progress, except those that wait.
    deleting: usize,
    /// When the last one succeeded.
    deleted: Option<Instant>,
    /// Names that the state has.
    present: HashSet<Key>,
    /// Names of VRFs, pools, profiles and VPCs that are made or changed.
    places: HashSet<Key>,
    /// Whether space that is taken now may become free.
    frees: bool,
    /// Whether something was refreshed, which only plans do.
    is_refreshing: bool,
    /// Whether changes are being made: plans are over, or were carried out in part.
    is_applying: bool,
    /// When the last note was made.
    last: Option<Instant>,
    /// Whether unconfirmed things have been reported.
    has_said_orphans: bool,
}

#[derive(Debug, Default)]
struct Wanted {
    /// Of things that exist.
    ids: BTreeSet<String>,
    /// Whether something new is to have it.
    created: bool,
    /// The id of what is new, once it exists.
    made: Option<String>,
}

impl Run {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        // Each change is a single insertion or removal, so that the notes stay usable when a handler panics.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of claims.
    pub(crate) fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something new is to have this name. Returns whether something else that is new wants it too.
    ///
    /// An existing thing with that name does not count: what is replaced is planned as a change first, and then as new. So
    /// this also notes that nothing is renamed to it.
    pub(crate) fn creates(&self, key: &Key) -> bool {
        let mut notes = self.notes();
        notes.last = Some(Instant::now());
        notes.renamed.retain(|_, after| after != key);
        std::mem::replace(
            &mut notes.wanted.entry(key.clone()).or_default().created,
            true,
        )
    }

    /// Notes that what exists with this id is called `before` and is to be called `after`. Returns whether another one
    /// that exists wants that name too.
    pub(crate) fn keeps(&self, id: &str, before: Option<&Key>, after: &Key) -> bool {
        let mut notes = self.notes();
        if let Some(before) = before.filter(|before| *before != after) {
            notes.renamed.insert(before.clone(), after.clone());
            notes.left.insert(before.clone());
        }
        let ids = &mut notes.wanted.entry(after.clone()).or_default().ids;
        ids.insert(id.to_owned());
        ids.len() > 1
    }

    /// Notes that the state has something of this name.
    pub(crate) fn has(&self, key: Key) {
        let mut notes = self.notes();
        notes.last = Some(Instant::now());
        notes.present.insert(key);
    }

    /// Notes that something of the state was refreshed.
    pub(crate) fn refreshes(&self, key: Option<Key>) {
        self.notes().is_refreshing = true;
        if let Some(key) = key {
            self.has(key);
        }
    }

    /// Whether these calls certainly belong to a plan. Before it creates something Terraform plans it once more, and an
    /// error there would be worse than one of the creation: what is to be replaced under `create_before_destroy` would be
    /// lost from the state.
    pub(crate) fn is_planning(&self) -> bool {
        is_only_plan() || self.notes().is_refreshing
    }

    /// Whether the state is known to have something of this name.
    pub(crate) fn is_present(&self, key: &Key) -> bool {
        self.notes().present.contains(key)
    }

    /// Notes that a VRF, pool, profile or VPC of this name is made or changed.
    pub(crate) fn moves(&self, key: Key) {
        let mut notes = self.notes();
        notes.last = Some(Instant::now());
        notes.places.insert(key);
    }

    /// Whether some place that is made or changed is like this.
    pub(crate) fn moves_any(&self, is_such: impl Fn(&Key) -> bool) -> bool {
        self.notes().places.iter().any(is_such)
    }

    /// Notes that space may become free.
    pub(crate) fn frees(&self) {
        let mut notes = self.notes();
        notes.last = Some(Instant::now());
        notes.frees = true;
    }

    /// Whether space that is taken now may become free.
    pub(crate) fn is_freeing(&self) -> bool {
        self.notes().frees
    }

    /// Notes that a change is being made.
    pub(crate) fn applies(&self) {
        self.notes().is_applying = true;
    }

    /// Whether changes are being made.
    pub(crate) fn is_applying(&self) -> bool {
        self.notes().is_applying
    }

    /// Notes that unconfirmed things are being reported. Returns whether they were before.
    pub(crate) fn says_orphans(&self) -> bool {
        std::mem::replace(&mut self.notes().has_said_orphans, true)
    }

    /// Whether nothing was noted for that long.
    pub(crate) fn is_quiet(&self, long: Duration) -> bool {
        self.notes().last.is_none_or(|last| last.elapsed() >= long)
    }

    /// Notes that what was to have this name exists.
    pub(crate) fn made(&self, key: &Key, id: &str) {
        self.notes().wanted.entry(key.clone()).or_default().made = Some(id.to_owned());
    }

    /// Notes that what has this id no longer has this name.
    pub(super) fn forgets(&self, key: &Key, id: &str) {
        if let Some(wanted) = self.notes().wanted.get_mut(key) {
            wanted.ids.remove(id);
            if wanted.made.as_deref() == Some(id) {
                *wanted = Wanted::default();
            }
        }
    }

    /// Notes that what has this id is gone, and no longer wants a name.
    pub(super) fn forgets_all(&self, key: &Key, id: &str) {
        self.forgets(key, id);
        for wanted in self.notes().wanted.values_mut() {
            wanted.ids.remove(id);
        }
    }

    /// Notes that what has this name is being deleted.
    pub(crate) fn deletes(&self, key: &Key) {
        self.notes().left.insert(key.clone());
    }

    /// Notes that a deletion is under way.
    pub(super) fn begins_to_delete(&self) {
        self.notes().deleting += 1;
    }

    /// Notes the outcome of a deletion that has been tried since `begun`. Returns whether others are in progress, or just
    /// were.
    pub(super) fn has_deleted(&self, outcome: &Result<(), Error>, begun: Instant) -> bool {
        let mut notes = self.notes();
        notes.deleting -= 1;
        if outcome.is_ok() {
            notes.deleted = Some(Instant::now());
        }
        let last = notes.deleted.map_or(begun, |deleted| deleted.max(begun));
        notes.deleting > 0 || last.elapsed() < GRACE
    }

    /// Notes that what was about to give up this name keeps it.
    pub(crate) fn stays(&self, key: &Key) {
        self.notes().left.remove(key);
    }

    /// Whether this run makes something new of this name.
    pub(crate) fn is_new(&self, key: &Key) -> bool {
        self.notes()
            .wanted
            .get(key)
            .is_some_and(|wanted| wanted.created)
    }

    /// Whether what is called `before` is to be called `after`.
    pub(crate) fn is_renamed(&self, before: &Key, after: &Key) -> bool {
        self.notes().renamed.get(before) == Some(after)
    }

    /// Whether somebody is about to give up this name.
    pub(super) fn is_left(&self, key: &Key) -> bool {
        self.notes().left.contains(key)
    }

    /// Notes that what is called `from` waits for the name `to`. Returns whether that closes a cycle of waiting resources.
    pub(super) fn waits(&self, from: &Key, to: &Key) -> bool {
        let mut notes = self.notes();
        let is_first = notes.waiting.insert(from.clone(), to.clone()).is_none();
        let mut next = to;
        // Each waits for one name, so following them ends, or leads back here, or into a cycle of others.
        for _ in 0..notes.waiting.len() {
            match notes.waiting.get(next) {
                Some(_) if next == from => break,
                Some(further) => next = further,
                None => return false,
            }
        }
        is_first && next == from
    }

    /// Notes that what is called `from` no longer waits for a name.
    pub(super) fn waits_no_more(&self, from: &Key) {
        self.notes().waiting.remove(from);
    }
}

#[cfg(test)]
mod tests {
    use ipam_shared::api::ownership::Noun;

    use super::*;

    fn key(text: &str) -> Key {
        Key::new(Noun::Pool, text)
    }

    #[test]
    fn the_second_that_wants_a_name_is_noticed() {
        let run = Run::default();
        assert!(!run.creates(&key("a")));
        assert!(run.creates(&key("a")));
        assert!(!run.creates(&Key::new(Noun::Vpc, "a")));
        assert!(!run.keeps("1", Some(&key("b")), &key("b")));
        assert!(
            !run.keeps("1", Some(&key("b")), &key("b")),
            "the same again"
        );
        assert!(run.keeps("2", Some(&key("c")), &key("b")));
        // Planned as a change, and then again as its replacement.
        assert!(!run.creates(&key("b")));
        assert!(run.is_new(&key("b")) && !run.is_new(&key("c")));
        // Once it is gone, the name is free.
        run.made(&key("a"), "3");
        run.forgets(&key("a"), "4");
        assert!(run.creates(&key("a")));
        run.forgets(&key("a"), "3");
        assert!(!run.creates(&key("a")));
    }

    #[test]
    fn names_that_become_free_are_known() {
        let run = Run::default();
        run.keeps("1", Some(&key("a")), &key("b"));
        run.keeps("2", Some(&key("c")), &key("c"));
        run.deletes(&key("d"));
        assert!(run.is_renamed(&key("a"), &key("b")) && !run.is_renamed(&key("a"), &key("c")));
        assert!(run.is_left(&key("a")) && run.is_left(&key("d")));
        assert!(!run.is_left(&key("b")) && !run.is_left(&key("c")));
        run.stays(&key("a"));
        assert!(!run.is_left(&key("a")));
        assert!(!run.creates(&key("b")), "it is replaced and not renamed");
        assert!(!run.is_renamed(&key("a"), &key("b")));
    }

    #[test]
    fn one_of_a_circle_steps_aside() {
        let run = Run::default();
        assert!(!run.waits(&key("a"), &key("b")));
        assert!(!run.waits(&key("b"), &key("c")));
        assert!(
            !run.waits(&key("d"), &key("a")),
            "it waits beside the circle"
        );
        assert!(run.waits(&key("c"), &key("a")), "it closes the circle");
        assert!(!run.waits(&key("a"), &key("b")), "the others do not");
        assert!(!run.waits(&key("c"), &key("a")), "and it does so once");
        assert!(!run.waits(&key("e"), &key("a")));
        run.waits_no_more(&key("c"));
        assert!(!run.waits(&key("b"), &key("c")));
    }
}
