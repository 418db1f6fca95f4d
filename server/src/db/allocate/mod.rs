//! What the creation of allocations reads and writes: earlier attempts of the same request, and the rows of a batch.

mod insert;
mod look;

pub use self::{
    insert::{Inserted, NewRows, Replaced, adopt, insert, insert_unlocked},
    look::{Existing, Seen, UsedKey, Wanted, delete_old_keys, find_keys, look},
};
