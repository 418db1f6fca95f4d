//! Everything of one noun, and the rule for every noun: a record of a file matches what exists exactly, or is something
//! new, or is a conflict.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    ops::Deref,
    sync::Arc,
};

use ipam_shared::api::transfer::{ConflictCode, Record};
use uuid::Uuid;

use crate::domain::transfer::findings::Problem;

/// A VRF, a pool, a profile, a VPC or a reservation.
#[derive(Debug)]
pub(crate) struct Noun<T> {
    pub(crate) id: Uuid,
    /// The record, with every setting.
    pub(crate) record: Record,
    /// Where the file says it, if it is new.
    pub(crate) line: Option<u64>,
    own: T,
}

impl<T> Noun<T> {
    /// Whether the file adds it.
    pub(crate) fn is_new(&self) -> bool {
        self.line.is_some()
    }
}

impl<T> Deref for Noun<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.own
    }
}

/// Everything of one noun, by its key: what is stored, and what the file adds.
#[derive(Debug)]
pub(crate) struct Nouns<K, T> {
    /// Its name for people.
    noun: &'static str,
    all: Vec<Arc<Noun<T>>>,
    by_key: HashMap<K, Arc<Noun<T>>>,
    /// Ids that are taken.
    pub(crate) ids: HashSet<Uuid>,
}

impl<K: Hash + Eq, T> Nouns<K, T> {
    pub(crate) fn new(noun: &'static str) -> Self {
        Self {
            noun,
            all: Vec::new(),
            by_key: HashMap::new(),
            ids: HashSet::new(),
        }
    }

    /// The one of that name.
    pub(crate) fn get(&self, key: &K) -> Option<&Arc<Noun<T>>> {
        self.by_key.get(key)
    }

    /// All of them, what is stored first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Noun<T>>> {
        self.all.iter()
    }

    /// Those that the file adds, in its order.
    pub(crate) fn added(&self) -> impl Iterator<Item = &Arc<Noun<T>>> {
        self.all.iter().filter(|noun| noun.is_new())
    }

    /// The records of those that the file adds.
    pub(crate) fn added_records(&self) -> Vec<&Record> {
        self.added().map(|noun| &noun.record).collect()
    }

    /// What a record is about: the stored thing, if the record does not differ from it, or a new one, which is the record
    /// with every default filled in. `exempt` means something that every database starts with, under an id of its own.
    pub(crate) fn resolve(
        &mut self,
        line: u64,
        key: K,
        (subject, exempt): (&str, bool),
        record: Record,
        complete: impl FnOnce(&Self, Record) -> Result<(Record, T), Problem>,
    ) -> Result<Arc<Noun<T>>, Problem> {
        // What the file gives twice is not compared.
        if let Some(known) = self.get(&key).filter(|known| !known.is_new()) {
            check_same(subject, &differences(&record, &known.record, exempt))?;
            return Ok(known.clone());
        }
        let (record, own) = complete(self, record)?;
        self.add(line, key, record, own)
    }

    /// Remembers what is stored.
    pub(crate) fn store(&mut self, key: K, record: Record, own: T) -> Arc<Noun<T>> {
        self.ids.extend(record.id);
        self.insert(key, None, record, own)
    }

    /// Adds what the file says on that line, with a new id if it gives none.
    pub(crate) fn add(
        &mut self,
        line: u64,
        key: K,
        mut record: Record,
        own: T,
    ) -> Result<Arc<Noun<T>>, Problem> {
        let id = *record.id.get_or_insert_with(Uuid::now_v7);
        if !self.ids.insert(id) {
            let noun = self.noun;
            let detail =
                format!("the id {id} belongs to another {noun}; leave it out to get a new one");
            return Err(Problem::new(ConflictCode::IdTaken, detail).about(record.cidr));
        }
        Ok(self.insert(key, Some(line), record, own))
    }

    fn insert(&mut self, key: K, line: Option<u64>, record: Record, own: T) -> Arc<Noun<T>> {
        let noun = Arc::new(Noun {
            id: record.id.unwrap_or_default(),
            record,
            line,
            own,
        });
        self.all.push(noun.clone());
        self.by_key.entry(key).or_insert_with(|| noun.clone());
        noun
    }
}

/// In what a record differs from what exists. When, by whom and for whom something was created is not compared, nor is its
/// key, nor the id of what is `exempt`.
pub(crate) fn differences(record: &Record, is: &Record, exempt: bool) -> Vec<&'static str> {
    let required = record.required_labels.clone();
    let said = Record {
        cidr: None,
        vpc: None,
        allocation: None,
        created_at: None,
        created_by: None,
        owner: None,
        claim: None,
        confirmed: None,
        implicit: None,
        id: record.id.filter(|_| !exempt),
        required_labels: required.filter(|labels| !labels.is_empty()),
        ..record.clone()
    };
    said.differences(is)
}

/// Refuses a record that differs from what exists.
pub(crate) fn check_same(subject: &str, differences: &[&str]) -> Result<(), Problem> {
    if differences.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "{subject} exists and differs in {}; an import changes nothing that exists: leave these out, or change it first",
        differences.join(", ")
    );
    Err(Problem::new(ConflictCode::Different, detail))
}
