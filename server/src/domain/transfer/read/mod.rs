//! Reads a file: from bytes to records with their lines, and from these to pools, profiles and allocations. Knows nothing of
//! what is stored.

mod bounds;
pub(crate) mod gather;
pub(crate) mod parse;

use ipam_shared::api::transfer::{Format, Record};
use time::OffsetDateTime;

use super::findings::Findings;
use crate::error::{Error, Result};

/// What a file says, how many records it has, and what is wrong with these.
pub(super) fn read(bytes: &[u8], format: Format) -> Result<(gather::File, u64, Findings)> {
    let mut findings = Findings::default();
    let lines = parse::parse(bytes, format, &mut findings)?;
    let records = lines.len() as u64;
    let lines = bounds::within(lines, OffsetDateTime::now_utc(), &mut findings);
    let file = gather::gather(lines, &mut findings);
    Ok((file, records, findings))
}

/// The records of an exported file, all of which have to be valid.
pub(in crate::domain) fn read_records(file: &[u8], format: Format) -> Result<Vec<Record>> {
    let mut findings = Findings::default();
    let lines = parse::parse(file, format, &mut findings)?;
    match findings.finish().0.first() {
        Some(first) => Err(Error::invalid(format!(
            "line {} of the export can't be read: {}",
            first.line, first.detail
        ))),
        None => Ok(lines.into_iter().map(|line| line.record).collect()),
    }
}
