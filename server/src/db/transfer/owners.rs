//! Who owns what an import writes: the same columns for everything that is made, and whatever table it goes to.

use ipam_shared::api::transfer::Record;
use uuid::Uuid;

/// A vector per column, each as long as those of the rows that it belongs to.
#[derive(Debug, Default)]
pub struct Owners {
    pub created_by: Vec<Option<String>>,
    pub owner: Vec<Option<String>>,
    pub claim: Vec<Uuid>,
    pub confirmed: Vec<bool>,
}

impl Owners {
    /// What a record says. If it does not say who made it, that was `otherwise`, or nobody knows.
    pub fn push(&mut self, record: &Record, otherwise: Option<&str>) {
        let by = record.created_by.as_deref().or(otherwise);
        self.created_by.push(by.map(ToOwned::to_owned));
        let owner = record.owner.as_ref();
        self.owner.push(owner.map(ToString::to_string));
        self.claim.push(record.claim.unwrap_or_else(Uuid::new_v4));
        self.confirmed.push(record.confirmed.unwrap_or_default());
    }
}
