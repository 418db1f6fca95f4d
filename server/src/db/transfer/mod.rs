//! What imports and exports of whole address plans read and write: many rows a statement, as records of the file.

pub mod find;
pub mod read;
pub mod write;

/// An index into what was asked for, which SQL counts from 1.
fn place(ordinality: i64) -> usize {
    usize::try_from(ordinality - 1).unwrap_or_default()
}
