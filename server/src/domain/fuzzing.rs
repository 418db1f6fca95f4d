//! Doors to what reads and writes files of an address plan, for the crate that fuzzes it. No part of the interface.

use ipam_shared::api::transfer::{Format, Record};

use super::transfer;

/// The records of a file if all of them are valid. What belongs together is put together too, as for an import.
pub fn read_file(file: &[u8], format: Format) -> Option<Vec<Record>> {
    transfer::gathered(file, format);
    transfer::read_records(file, format).ok()
}

/// A file of these records, as an export writes it.
pub fn write_file(records: &[Record], format: Format) -> Option<Vec<u8>> {
    transfer::encode(records, format, true).ok()
}
