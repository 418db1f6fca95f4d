//! How fast the server allocates, against the floor: the same two rows inserted by hand into the same table.
//!
//! `cargo bench` starts a durable PostgreSQL of its own and the real server, and measures with 1, 8 and 32 clients in a
//! closed loop. Floor and server alternate, so that noise of the machine hits both; the medians of the rounds are
//! printed, and their ratio, which is the figure to quote. `cargo bench -- --sizes 100,100000 --rounds 3 --seconds 2`
//! are the defaults.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use ipam_server::{
    db::{self, creation::NewRows},
    domain::{
        Ipam,
        plan::{Changes, FreeSpace, Place, Range},
    },
    postgres::{Managed, Options},
};
use ipam_shared::{cidr::Cidr, ids::PoolId};
use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgPoolOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use uuid::Uuid;

const KEY: &str = "bench-key";
const CLIENTS: [usize; 3] = [1, 8, 32];
/// Room for millions of pairs of a /26 and a /21.
const PRIMARY: &str = "0.0.0.0/2";
const CGNAT: &str = "128.0.0.0/1";

struct Plan {
    sizes: Vec<usize>,
    rounds: usize,
    seconds: f64,
}

/// What one run of some clients saw.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let plan = plan()?;
    // Not in a directory of root's own, which the database's user could not enter.
    let dir = tempfile::tempdir()?;
    let postgres = Managed::start(&dir.path().join("data"), Options::default()).await?;
    let url = postgres.database_url();
    let mut growth: Vec<(usize, Vec<Run>)> = Vec::new();
    println!(
        "two-block allocation over HTTP against a bare two-row INSERT into the same table; medians of {} rounds",
        plan.rounds
    );
    println!(
        "{:>9} {:>7}  {:>12} {:>17}  {:>12} {:>17}  {:>6}",
        "existing", "clients", "floor/s", "p50/p99 ms", "ipam/s", "p50/p99 ms", "ratio"
    );
    for &size in &plan.sizes {
        let mut connection = PgConnection::connect(&url).await?;
        sqlx::raw_sql("drop schema public cascade; create schema public")
            .execute(&mut connection)
            .await?;
        db::MIGRATOR.run(&mut connection).await?;
        let ranges = make_ranges(&mut connection).await?;
        fill(&mut connection, size, &ranges).await?;
        sqlx::raw_sql("vacuum analyze")
            .execute(&mut connection)
            .await?;
        let server = Server::start(&url, dir.path())?;
        let bare_at = Arc::new(AtomicU64::new(0));
        let mut medians = Vec::new();
        for clients in CLIENTS {
            let (mut floors, mut runs) = (Vec::new(), Vec::new());
            for _ in 0..plan.rounds {
                floors.push(floor(&url, &ranges, clients, plan.seconds, &bare_at).await?);
                runs.push(allocate(server.address, clients, plan.seconds).await?);
            }
            let (floor, run) = (median(&floors), median(&runs));
            println!(
                "{size:>9} {clients:>7}  {:>12.0} {:>8.2}/{:>8.2}  {:>12.0} {:>8.2}/{:>8.2}  {:>6.2}",
                floor.per_second,
                floor.p50_ms,
                floor.p99_ms,
                run.per_second,
                run.p50_ms,
                run.p99_ms,
                run.per_second / floor.per_second
            );
            medians.push(run);
        }
        drop(server);
        growth.push((size, medians));
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect(&url)
            .await?;
        let report = Ipam::new(pool.clone()).verify().await?;
        // The floor's rows went past the free list on purpose, and lie in ranges of their own.
        let wrong: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| !matches!(finding.check, "cover" | "overlap"))
            .collect();
        ensure!(
            wrong.is_empty(),
            "the database is not sound after the run: {wrong:?}"
        );
        pool.close().await;
    }
    if let (Some((small, first)), Some((large, last))) = (growth.first(), growth.last()) {
        println!(
            "from {small} to {large} allocations: p50 at 1 client grows {:.2} times, throughput at 32 clients keeps {:.2}",
            last[0].p50_ms / first[0].p50_ms,
            last[2].per_second / first[2].per_second
        );
    }
    postgres.stop().await?;
    Ok(())
}

fn plan() -> anyhow::Result<Plan> {
    let mut plan = Plan {
        sizes: vec![100, 100_000],
        rounds: 3,
        seconds: 2.0,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument} takes a value"))
        };
        match argument.as_str() {
            "--sizes" => {
                plan.sizes = value()?
                    .split(',')
                    .map(str::parse)
                    .collect::<Result<_, _>>()?
            }
            "--rounds" => plan.rounds = value()?.parse()?,
            "--seconds" => plan.seconds = value()?.parse()?,
            // `cargo bench` adds it.
            "--bench" => {}
            other => anyhow::bail!("unknown argument {other}"),
        }
    }
    Ok(plan)
}

/// The ranges of the two pools, and two of the floor's own in another VRF, where no free list is in the way.
struct Ranges {
    primary: Range,
    cgnat: Range,
    bare: (i32, i32),
}

async fn make_ranges(db: &mut PgConnection) -> anyhow::Result<Ranges> {
    sqlx::raw_sql("delete from pool_range; insert into vrf (name) values ('bare')")
        .execute(&mut *db)
        .await?;
    sqlx::query(
        "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
        select vrf_id, bare, 4, 0, 32 from vrf, unnest(array['bare-primary', 'bare-cgnat']) as bare where vrf.name = 'bare'",
    )
    .execute(&mut *db)
    .await?;
    let mut made = Vec::new();
    for (pool, cidr) in [
        ("primary", PRIMARY),
        ("cgnat", CGNAT),
        ("bare-primary", PRIMARY),
        ("bare-cgnat", CGNAT),
    ] {
        let row = sqlx::query(
            "insert into pool_range (pool_id, vrf_id, family, cidr) select pool_id, vrf_id, family, $2::text::cidr from pool
            where name = $1 returning range_id, pool_id",
        )
        .bind(pool)
        .bind(cidr)
        .fetch_one(&mut *db)
        .await?;
        made.push(Range {
            id: row.get(0),
            pool: PoolId(row.get(1)),
            cidr: cidr.parse()?,
        });
    }
    Ok(Ranges {
        primary: made[0],
        cgnat: made[1],
        bare: (made[2].id, made[3].id),
    })
}

/// Fills the pools with `size` allocations at random places, so that free space is in as many pieces as can be.
async fn fill(db: &mut PgConnection, size: usize, ranges: &Ranges) -> anyhow::Result<()> {
    let mut space = FreeSpace::new([ranges.primary, ranges.cgnat]);
    for range in [ranges.primary, ranges.cgnat] {
        space.read(Place {
            range: range.id,
            cidr: range.cidr,
        });
    }
    let profile = sqlx::query(
        "select profile_id, (select array_agg(member_id order by position) from profile_member), vrf_id, gen_random_uuid()
        from profile, vrf where vrf.name = 'default'",
    )
    .fetch_one(&mut *db)
    .await?;
    let (profile, members, vrf, vpc): (Uuid, Vec<i32>, Uuid, Uuid) = (
        profile.get(0),
        profile.get(1),
        profile.get(2),
        profile.get(3),
    );
    // A full-period walk looks random and never meets a place twice.
    let mut state = 1_u64;
    let mut seen = HashSet::new();
    let mut rows = NewRows {
        vpc_id: vec![vpc],
        vpc_vrf: vec![vrf],
        vpc_name: vec!["filler".to_owned()],
        ..NewRows::default()
    };
    for number in 0..size {
        // The spread covers four times as many places as are taken.
        let spread = (size * 4).next_power_of_two() as u64;
        state = (state.wrapping_mul(5).wrapping_add(1)) % spread;
        ensure!(seen.insert(state), "the walk met a place twice");
        let id = Uuid::now_v7();
        rows.id.push(id);
        rows.vpc.push(vpc);
        rows.name.push(Some(format!("filler-{number}")));
        rows.profile.push(Some(profile));
        rows.request.push(None);
        rows.prefix_length.push(26);
        rows.members.push(2);
        rows.requested_hosts.push(None);
        rows.requested_prefix_length.push(Some(26));
        rows.requested_cidr.push(None);
        rows.labels.push(serde_json::json!({}));
        rows.description.push(String::new());
        rows.deletion_protection.push(false);
        rows.created_by.push("bench".to_owned());
        rows.request_id.push(Uuid::new_v4());
        rows.claim.push(Uuid::new_v4());
        let places = [
            (ranges.primary, 26, 0, (20, 26)),
            (ranges.cgnat, 21, -5, (15, 21)),
        ];
        for ((range, length, offset, bounds), member) in places.into_iter().zip(&members) {
            let first = range.cidr.number() + (u128::from(state) << (32 - length));
            let wanted = Cidr::from_number(range.cidr.family(), first, length);
            space
                .take_exact(range.pool, wanted)
                .context("the place is free")?;
            rows.block_range.push(range.id);
            rows.block_cidr.push(wanted.into());
            rows.block_range_cidr.push(range.cidr.into());
            rows.block_allocation.push(id);
            rows.block_member.push(Some(*member));
            rows.block_prefix_length.push(26);
            rows.block_size_offset.push(offset);
            rows.block_min.push(bounds.0);
            rows.block_max.push(bounds.1);
        }
        if rows.id.len() == 5_000 {
            db::creation::insert(db, &rows, &Changes::default(), &[]).await?;
            rows = NewRows::default();
        }
    }
    if !rows.id.is_empty() {
        db::creation::insert(db, &rows, &Changes::default(), &[]).await?;
    }
    db::free::update(db, &space.changes()).await?;
    Ok(())
}

/// Bare inserts of two rows, each its own transaction, at ascending addresses.
async fn floor(
    url: &str,
    ranges: &Ranges,
    clients: usize,
    seconds: f64,
    next: &Arc<AtomicU64>,
) -> anyhow::Result<Run> {
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let mut connection = PgConnection::connect(url).await?;
        let (primary, cgnat) = ranges.bare;
        let next = Arc::clone(next);
        tasks.push(move |deadline: Instant| async move {
            let (primary_range, cgnat_range): (Cidr, Cidr) = (PRIMARY.parse()?, CGNAT.parse()?);
            let mut times = Vec::new();
            while Instant::now() < deadline {
                let number = u128::from(next.fetch_add(1, Ordering::Relaxed));
                let first = Cidr::from_number(primary_range.family(), primary_range.number() + (number << 6), 26);
                let second = Cidr::from_number(cgnat_range.family(), cgnat_range.number() + (number << 11), 21);
                let start = Instant::now();
                sqlx::query(
                    "insert into block (range_id, range_cidr, cidr, reason) values ($1, $2, $3, 'bare'), ($4, $5, $6, 'bare')",
                )
                .bind(primary)
                .bind(primary_range.net())
                .bind(first.net())
                .bind(cgnat)
                .bind(cgnat_range.net())
                .bind(second.net())
                .execute(&mut connection)
                .await?;
                times.push(start.elapsed());
            }
            connection.close().await?;
            anyhow::Ok(times)
        });
    }
    measure(tasks, seconds).await
}

/// Allocations by hosts over HTTP, unnamed, in a VPC per client.
async fn allocate(address: SocketAddr, clients: usize, seconds: f64) -> anyhow::Result<Run> {
    let mut tasks = Vec::new();
    for client in 0..clients {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let body = format!(r#"{{"vpc":"bench-{client}","hosts":50}}"#);
        let request = format!(
            "POST /api/v1/allocations HTTP/1.1\r\nhost: bench\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        tasks.push(move |deadline: Instant| async move {
            let mut times = Vec::new();
            let mut buffer = Vec::with_capacity(4096);
            while Instant::now() < deadline {
                let start = Instant::now();
                stream.write_all(request.as_bytes()).await?;
                read_reply(&mut stream, &mut buffer).await?;
                times.push(start.elapsed());
                ensure!(
                    buffer.starts_with(b"HTTP/1.1 201"),
                    "{}",
                    String::from_utf8_lossy(&buffer)
                );
            }
            Ok(times)
        });
    }
    measure(tasks, seconds).await
}

/// Reads one reply whose length is in its headers.
async fn read_reply(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.clear();
    loop {
        ensure!(
            stream.read_buf(buffer).await? > 0,
            "the server closed the connection"
        );
        let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&buffer[..head])?.to_ascii_lowercase();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .context("no length")?;
        if buffer.len() >= head + 4 + length.trim().parse::<usize>()? {
            return Ok(());
        }
    }
}

async fn measure<F, T>(tasks: Vec<F>, seconds: f64) -> anyhow::Result<Run>
where
    F: FnOnce(Instant) -> T,
    T: Future<Output = anyhow::Result<Vec<Duration>>> + Send + 'static,
{
    let start = Instant::now();
    let deadline = start + Duration::from_secs_f64(seconds);
    let handles: Vec<_> = tasks
        .into_iter()
        .map(|task| tokio::spawn(task(deadline)))
        .collect();
    let mut times = Vec::new();
    for handle in handles {
        times.extend(handle.await??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    times.sort_unstable();
    ensure!(!times.is_empty(), "nothing was done in {seconds} s");
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    Ok(Run {
        per_second: times.len() as f64 / elapsed,
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    })
}

/// The median of each figure by itself.
fn median(runs: &[Run]) -> Run {
    let middle = |figure: fn(&Run) -> f64| {
        let mut figures: Vec<_> = runs.iter().map(figure).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    Run {
        per_second: middle(|run| run.per_second),
        p50_ms: middle(|run| run.p50_ms),
        p99_ms: middle(|run| run.p99_ms),
    }
}

/// The real server, as a process.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(url: &str, dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join("address");
        std::fs::remove_file(&file).ok();
        let process = Command::new(env!("CARGO_BIN_EXE_ipam"))
            .args(["serve", "--listen", "127.0.0.1:0", "--address-file"])
            .arg(&file)
            .env("DATABASE_URL", url)
            .env("API_KEY", KEY)
            .env("IPAM_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()?;
        let mut server = Self {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if let Ok(text) = std::fs::read_to_string(&file) {
                server.address = text.trim().trim_start_matches("http://").parse()?;
                return Ok(server);
            }
            ensure!(
                server.process.try_wait()?.is_none(),
                "the server ended at once"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        anyhow::bail!("the server does not listen")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
