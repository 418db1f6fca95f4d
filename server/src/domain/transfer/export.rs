//! Everything there is, as the records of a file; or what is in one VRF, with the profiles that need no pool elsewhere.

use std::collections::{BTreeSet, HashSet};

use ipam_shared::api::transfer::{COLUMNS, Format, Kind, Record};
use tokio::sync::mpsc::Sender;
use uuid::Uuid;

use crate::{
    db::{Connection, transfer::read},
    error::{Error, Result},
};

/// How many things are read at once.
const CHUNK: i64 = 2_000;

/// Sends the file in pieces, until it is complete or the receiver is gone.
pub(super) async fn export(
    db: &mut Connection,
    format: Format,
    vrf: Option<String>,
    sender: &Sender<Result<Vec<u8>>>,
) -> Result<()> {
    let mut first = true;
    let mut part = vrf.map(Part::of);
    // Whether the receiver is still there.
    let mut send = async |mut records: Vec<Record>| {
        if let Some(part) = &mut part {
            part.keep(&mut records);
        }
        let piece = encode(&records, format, std::mem::take(&mut first))?;
        // Even of nothing, as long as the receiver is there.
        Ok::<_, Error>(if piece.is_empty() {
            !sender.is_closed()
        } else {
            sender.send(Ok(piece)).await.is_ok()
        })
    };

    let mut records = read::vrfs(db).await?;
    let pools = read::pools(db).await?.into_iter();
    records.extend(pools.map(|range| range.record));
    let members = read::members(db).await?.into_iter();
    records.extend(members.map(|(_, record)| record));
    if !send(records).await? {
        return Ok(());
    }
    let mut after = Uuid::nil();
    loop {
        let vpcs = read::vpcs(db, after, CHUNK).await?;
        let Some(last) = vpcs.last().and_then(|vpc| vpc.id) else {
            break;
        };
        after = last;
        if !send(vpcs).await? {
            return Ok(());
        }
    }
    if !send(read::reservations(db).await?).await? {
        return Ok(());
    }
    let mut after = Uuid::nil();
    loop {
        let ids = read::allocation_ids(db, after, CHUNK).await?;
        let Some(last) = ids.last() else {
            break;
        };
        after = last.0;
        let blocks = read::allocations(db, &ids).await?.into_iter();
        if !send(blocks.map(|block| block.record).collect()).await? {
            return Ok(());
        }
    }
    let cooldowns = read::cooldowns(db).await?.into_iter();
    if !send(cooldowns.map(|block| block.record).collect()).await? {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let past = read::past_after(db, after, CHUNK).await?;
        let Some((last, _)) = past.last() else {
            return Ok(());
        };
        after = *last;
        if !send(past.into_iter().map(|(_, record)| record).collect()).await? {
            return Ok(());
        }
    }
}

/// What of a plan is in one VRF.
struct Part {
    vrf: String,
    /// Its pools, by name. They come before what is in them.
    pools: HashSet<String>,
}

impl Part {
    fn of(vrf: String) -> Self {
        let pools = HashSet::new();
        Self { vrf, pools }
    }

    fn keep(&mut self, records: &mut Vec<Record>) {
        let vrf = &self.vrf;
        let is_in_vrf = |record: &Record| record.vrf.as_ref().is_some_and(|it| it.as_str() == vrf);
        let pools = records
            .iter()
            .filter(|it| it.kind == Kind::Pool && is_in_vrf(it));
        let names = pools.filter_map(|record| record.pool.as_ref().map(ToString::to_string));
        self.pools.extend(names);
        // A profile without one of its members would be another one.
        let elsewhere: BTreeSet<_> = records
            .iter()
            .filter(|record| record.kind == Kind::ProfileMember)
            .filter(|member| {
                !member
                    .pool
                    .as_ref()
                    .is_some_and(|pool| self.has(pool.as_str()))
            })
            .filter_map(|member| member.profile.as_ref().map(ToString::to_string))
            .collect();
        records.retain(|record| match record.kind {
            Kind::ProfileMember => {
                let profile = record.profile.as_ref().map(ToString::to_string);
                profile.is_some_and(|profile| !elsewhere.contains(&profile))
            }
            _ => is_in_vrf(record),
        });
    }

    fn has(&self, pool: &str) -> bool {
        let (vrf, name) = pool.split_once('/').unwrap_or((&self.vrf, pool));
        vrf == self.vrf && self.pools.contains(name)
    }
}

/// Records as a piece of a file; the first starts with the header of the format.
pub(in crate::domain) fn encode(
    records: &[Record],
    format: Format,
    first: bool,
) -> Result<Vec<u8>> {
    let failed = |error: csv::Error| Error::Internal(error.into());
    match format {
        Format::Json => {
            let mut piece = Vec::new();
            for record in records {
                serde_json::to_writer(&mut piece, record)
                    .map_err(|error| Error::Internal(error.into()))?;
                piece.push(b'\n');
            }
            Ok(piece)
        }
        Format::Csv => {
            let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
            if first {
                writer
                    .write_record(COLUMNS.iter().map(|column| column.name))
                    .map_err(failed)?;
            }
            for record in records {
                writer.write_record(record.cells()).map_err(failed)?;
            }
            writer
                .into_inner()
                .map_err(|error| Error::Internal(error.into_error().into()))
        }
    }
}
