//! The floor: what PostgreSQL itself needs for the same two rows, each pair its own transaction, at ascending addresses.
//! They go past the free list, into ranges of their own in a VRF of their own.

use std::{sync::atomic::Ordering, time::Instant};

use sqlx::{Connection as _, PgConnection};

use crate::{
    load::{Run, Samples, measure},
    world::World,
};
use ipam_shared::cidr::Cidr;

/// Clients that insert for so long.
pub(crate) async fn insert(world: &World, clients: usize, seconds: f64) -> anyhow::Result<Run> {
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let mut connection = PgConnection::connect(&world.url).await?;
        let (ranges, members) = (world.bare, world.kind.members);
        let next = world.next_bare.clone();
        tasks.push(move |deadline: Instant| async move {
            let mut samples = Samples::default();
            while Instant::now() < deadline {
                let number = u128::from(next.fetch_add(1, Ordering::Relaxed));
                let [first, second] = [0, 1].map(|at| {
                    let (range, length) = (ranges[at].cidr, members[at].length);
                    let place = range.number() + (number << (range.family().bits() - length));
                    Cidr::from_number(range.family(), place, length)
                });
                let start = Instant::now();
                sqlx::query(
                    "insert into block (range_id, range_cidr, cidr, reason) values ($1, $2, $3, 'bare'), ($4, $5, $6, 'bare')",
                )
                .bind(ranges[0].id)
                .bind(ranges[0].cidr.net())
                .bind(first.net())
                .bind(ranges[1].id)
                .bind(ranges[1].cidr.net())
                .bind(second.net())
                .execute(&mut connection)
                .await?;
                samples.times.push(start.elapsed());
            }
            connection.close().await?;
            anyhow::Ok(samples)
        });
    }
    measure(tasks, seconds).await
}
