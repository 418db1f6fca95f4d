//! The free list in the database, as far as a change of blocks touches it.

use super::free_space::{self, FreeSpace};
use crate::{
    db::{Connection, free},
    error::{Error, Result},
    network::{Place, Range},
};

/// Gives space back to the free list, under the lock of its pools, whose ranges are passed.
pub(in crate::domain) async fn give_back(
    db: &mut Connection,
    ranges: Vec<Range>,
    places: Vec<Place>,
) -> Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let mut space = FreeSpace::new(ranges);
    read_around(db, &mut space, &places).await?;
    places.into_iter().for_each(|place| space.give_back(place));
    free::update(db, &space.changes()).await
}

/// Reads what has to be known of the free list to give these networks back, or to take what lies beside them.
pub(in crate::domain) async fn read_around(
    db: &mut Connection,
    space: &mut FreeSpace,
    places: &[Place],
) -> Result<()> {
    let mut around = Vec::new();
    for place in places {
        let range = space
            .range(place.range)
            .ok_or_else(|| Error::bug("a block in a pool that is not locked"))?;
        around.extend(free_space::buddies(*place, range.cidr));
    }
    around.sort_unstable();
    around.dedup();
    free::find(db, &around)
        .await?
        .into_iter()
        .for_each(|place| space.read(place));
    Ok(())
}
