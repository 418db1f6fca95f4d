//! What a server costs that has nothing to do: memory, the time to its first answer, the size of its file.

use std::{path::Path, time::Duration};

use anyhow::Context as _;

use crate::{
    load::middle,
    report::{Score, Target::AtMost},
    server::Server,
    world::World,
};

/// Before the memory of a fresh server is read.
const SETTLE: Duration = Duration::from_secs(2);
const MIB: f64 = 1024.0 * 1024.0;

pub(crate) async fn measure(
    world: &World,
    dir: &Path,
    rounds: usize,
    seconds: f64,
    score: &mut Score,
) -> anyhow::Result<()> {
    println!(
        "\na server that is idle, on a database that is up and migrated; medians of {rounds} rounds"
    );
    let (mut ready, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let server = Server::start(&world.url, dir).await?;
        ready.push(server.ready_after.as_secs_f64() * 1000.0);
        tokio::time::sleep(SETTLE).await;
        memory.push(server.memory()?);
    }
    let ready = middle(ready);
    score.line("process start to ready", ready, " ms", AtMost(100.0));
    let fresh = middle(memory);
    score.line("resident memory, idle", fresh, " MiB", AtMost(32.0));
    world.allocate(&[], 32, seconds, &<_>::default()).await?;
    tokio::time::sleep(SETTLE).await;
    let used = world.server.memory()?;
    let what = "resident memory, idle again after a load of 32 clients";
    score.line(what, used, " MiB", AtMost(32.0));
    let binary = Path::new(env!("CARGO_BIN_EXE_ipam"));
    let size =
        std::fs::metadata(binary).with_context(|| format!("{} can't be read", binary.display()))?;
    score.line(
        "size of the binary",
        size.len() as f64 / MIB,
        " MiB",
        AtMost(30.0),
    );
    Ok(())
}
