//! Everything there is, as the records of a file.

use ipam_shared::{
    api::transfer::{COLUMNS, Format, Record},
    ids::{AllocationId, VpcId},
};
use tokio::sync::mpsc::Sender;

use crate::{
    db::{
        Connection,
        transfer::{read, released},
    },
    error::{Error, Result},
};

/// Things that are read at once.
const CHUNK: i64 = 2_000;

/// Sends the file in pieces, until it is whole or nobody takes it any more.
pub(super) async fn export(
    db: &mut Connection,
    format: Format,
    sender: &Sender<Result<Vec<u8>>>,
) -> Result<()> {
    let mut first = true;
    // Whether somebody still listens.
    let mut send = async |records: Vec<Record>| {
        let piece = encode(&records, format, std::mem::take(&mut first))?;
        Ok::<_, Error>(piece.is_empty() || sender.send(Ok(piece)).await.is_ok())
    };

    let mut records: Vec<_> = read::vrfs(db)
        .await?
        .into_iter()
        .map(|(_, record)| record)
        .collect();
    for pool in read::pools(db).await? {
        if pool.ranges.is_empty() {
            records.push(pool.record);
            continue;
        }
        records.extend(pool.ranges.iter().map(|range| Record {
            cidr: Some(range.cidr),
            since: range.since,
            ..pool.record.clone()
        }));
    }
    records.extend(
        read::members(db)
            .await?
            .into_iter()
            .map(|(_, record)| record),
    );
    if !send(records).await? {
        return Ok(());
    }

    let mut cursor: Option<VpcId> = None;
    loop {
        let vpcs = read::vpcs(db, cursor, CHUNK).await?;
        let Some((last, _)) = vpcs.last() else {
            break;
        };
        cursor = Some(*last);
        if !send(vpcs.into_iter().map(|(_, record)| record).collect()).await? {
            return Ok(());
        }
    }

    let reservations = read::reservations(db).await?;
    if !send(
        reservations
            .into_iter()
            .map(|stored| stored.record)
            .collect(),
    )
    .await?
    {
        return Ok(());
    }

    let mut cursor: Option<AllocationId> = None;
    loop {
        let ids = read::allocation_ids(db, cursor, CHUNK).await?;
        let Some(last) = ids.last() else {
            break;
        };
        cursor = Some(*last);
        let allocations = read::allocations(db, &ids).await?;
        if !send(
            allocations
                .iter()
                .flat_map(read::StoredAllocation::records)
                .collect(),
        )
        .await?
        {
            return Ok(());
        }
    }

    if !send(released::cooldowns(db).await?).await? {
        return Ok(());
    }
    let mut cursor = 0;
    loop {
        let past = released::past_after(db, cursor, CHUNK).await?;
        let Some((last, _)) = past.last() else {
            return Ok(());
        };
        cursor = *last;
        if !send(past.into_iter().map(|(_, record)| record).collect()).await? {
            return Ok(());
        }
    }
}

/// Records as a piece of a file; the first begins with what the format wants to begin with.
fn encode(records: &[Record], format: Format, first: bool) -> Result<Vec<u8>> {
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
