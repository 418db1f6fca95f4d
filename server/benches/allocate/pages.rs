//! The pages of the dashboard with everything that the world holds and two thousand pools, as a browser that is signed in
//! asks for them: how long the server takes, and what goes over the wire.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use ipam_shared::cidr::{Cidr, Family};
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::net::TcpStream;

use crate::{
    load::{Run, Samples, median, middle},
    report::{Score, Target::AtMost},
    server::KEY,
    world::{World, family},
};

/// Pools beside those of the world.
const POOLS: i32 = 2_000;
/// Longest that a page may take, in milliseconds at the median, and its most bytes on the wire.
const TARGETS: (f64, f64) = (60.0, 100_000.0);

pub(crate) async fn measure(
    world: &World,
    rounds: usize,
    seconds: f64,
    score: &mut Score,
) -> anyhow::Result<()> {
    let mut db = PgConnection::connect(&world.url).await?;
    let pool = more_pools(&mut db, world).await?;
    println!(
        "\npages of the dashboard, {} and {POOLS} pools: ms at 1 client, kB on the wire; medians of {rounds} rounds",
        world.name()
    );
    let mut visitor = Visitor::sign_in(world.server.address).await?;
    let mut failed = 0;
    let mut figures = Vec::new();
    for (what, path) in pages(world, &pool)? {
        let (mut runs, mut sizes) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let start = Instant::now();
            let mut samples = Samples::default();
            while start.elapsed() < Duration::from_secs_f64(seconds) {
                let asked = Instant::now();
                let size = visitor.get(&path).await?;
                samples.times.push(asked.elapsed());
                sizes.push(size as f64);
            }
            runs.push(samples.run(start.elapsed())?);
        }
        let run: Run = median(&runs);
        failed += run.failed;
        figures.push((what, run, middle(sizes)));
    }
    for (what, run, bytes) in figures {
        let name = format!("{} {:>9}  {what}", family(world.kind), world.size);
        let time = score.check(&name, run.p50_ms, AtMost(TARGETS.0));
        let size = score.check(&format!("{name}, bytes"), bytes, AtMost(TARGETS.1));
        println!(
            "{name:<60} {:>8.1} {time} p99 {:>8.1} {:>8.1} {size}",
            run.p50_ms,
            run.p99_ms,
            bytes / 1000.0
        );
    }
    score.none_failed("pages", failed);
    Ok(())
}

/// What is looked at, each with its address.
fn pages(world: &World, pool: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let known = &world.known[world.known.len() / 3];
    let address = known.address;
    let whole: Cidr = world.kind.members[0].range.parse()?;
    let near = |length| -> anyhow::Result<Cidr> {
        Cidr::of_address_or_network(&address.to_string())?
            .ancestor(length)
            .context("a network around an address")
    };
    let (eight, sixteen, small) = match world.kind.family {
        Family::Ipv4 => (near(8)?, near(16)?, near(24)?),
        Family::Ipv6 => (near(32)?, near(48)?, near(60)?),
    };
    Ok(vec![
        ("overview", "/".to_owned()),
        ("pool", format!("/ui/pools/{pool}")),
        ("pool, Hilbert", format!("/ui/pools/{pool}?view=hilbert")),
        ("pool, by age", format!("/ui/pools/{pool}?by=age")),
        ("pool, by state", format!("/ui/pools/{pool}?by=state")),
        ("map, zoomed once", format!("/ui/pools/{pool}?at={eight}")),
        (
            "map, zoomed further",
            format!("/ui/pools/{pool}?at={sixteen}"),
        ),
        (
            "map, zoomed to blocks",
            format!("/ui/pools/{pool}?at={small}&pick={address}"),
        ),
        ("map of the VRF", "/ui/map".to_owned()),
        ("map of any network", format!("/ui/map?at={whole}")),
        ("search by address", format!("/ui/search?q={address}")),
        ("search by network", format!("/ui/search?q={eight}")),
        ("search by text", "/ui/search?q=cluster-4".to_owned()),
        (
            "search by text that is nowhere",
            "/ui/search?q=nowhere-at-all".to_owned(),
        ),
        ("allocations", "/ui/allocations".to_owned()),
        (
            "allocations by text",
            "/ui/allocations?q=cluster-4".to_owned(),
        ),
        (
            "allocations by network",
            format!("/ui/allocations?q={eight}"),
        ),
        ("allocation", format!("/ui/allocations/{}", known.id)),
        ("pools", "/ui/pools".to_owned()),
        ("VPCs", "/ui/vpcs".to_owned()),
    ])
}

/// Makes the other pools, and answers the id of the largest one.
async fn more_pools(db: &mut PgConnection, world: &World) -> anyhow::Result<String> {
    let range = match world.kind.family {
        Family::Ipv4 => "'64.0.0.0/24'::cidr::inet + n * 256",
        Family::Ipv6 => "'fd00:ffff::/64'::cidr::inet + (n::bigint << 40)",
    };
    let (bits, shortest) = match world.kind.family {
        Family::Ipv4 => (24, 26),
        Family::Ipv6 => (64, 64),
    };
    let text = format!(
        "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
            select vrf_id, 'team-' || n, {family}, {shortest}, {shortest} from vrf, generate_series(1, {POOLS}) as n
            where vrf.name = 'default';
        insert into pool_range (pool_id, vrf_id, family, cidr)
            select pool_id, vrf_id, family, set_masklen({range}, {bits})::cidr
            from pool cross join lateral (select substr(name, 6)::int as n) as number where name like 'team-%';
        analyze",
        family = if bits == 24 { 4 } else { 6 },
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(text))
        .execute(&mut *db)
        .await?;
    let row = sqlx::query(
        "select pool_id::text from pool join vrf using (vrf_id) where pool.name = $1 and vrf.name = 'default'",
    )
    .bind(world.kind.members[0].pool)
    .fetch_one(db)
    .await?;
    Ok(row.get(0))
}

/// A browser with a session.
struct Visitor {
    sender: http1::SendRequest<Full<Bytes>>,
    cookie: String,
}

impl Visitor {
    async fn sign_in(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::post("/ui/sign-in")
            .header(header::HOST, "bench")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(Full::from(format!("key={KEY}")))?;
        let reply = sender.send_request(request).await?;
        let cookie = reply
            .headers()
            .get(header::SET_COOKIE)
            .with_context(|| format!("no session: {}", reply.status()))?
            .to_str()?;
        let cookie = cookie.split(';').next().context("a cookie")?.to_owned();
        reply.into_body().collect().await?;
        Ok(Self { sender, cookie })
    }

    /// Opens a page, and answers its bytes on the wire.
    async fn get(&mut self, path: &str) -> anyhow::Result<usize> {
        let request = Request::get(path)
            .header(header::HOST, "bench")
            .header(header::COOKIE, &self.cookie)
            .header(header::ACCEPT_ENCODING, "gzip")
            .body(Full::default())?;
        self.sender.ready().await?;
        let reply = self.sender.send_request(request).await?;
        ensure!(reply.status() == 200, "{path}: {}", reply.status());
        Ok(reply.into_body().collect().await?.to_bytes().len())
    }
}
