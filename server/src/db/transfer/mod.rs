//! What imports and exports of whole address plans read and write: many rows a statement, as records of the file.

pub mod find;
pub mod insert;
pub mod owners;
pub mod read;
pub mod released;
pub mod write;
