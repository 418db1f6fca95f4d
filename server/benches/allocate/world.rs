//! A database of its own with its two pools, filled, and a server on it.

use std::{
    net::IpAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, ensure};
use ipam_server::{
    db,
    domain::{Ipam, seal::Sealer},
    network::Range,
};
use ipam_shared::{cidr::Family, ids::PoolId};
use sqlx::{Connection as _, PgConnection, Row as _, postgres::PgPoolOptions};
use uuid::Uuid;

use crate::{
    fill::fill,
    load::{Client, Run, Samples, measure, request, with_key},
    server::{KEY, Server},
};

/// One block of the recipe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    /// Also its role.
    pub(crate) pool: &'static str,
    pub(crate) range: &'static str,
    /// Of the blocks that are allocated, the smallest there are.
    pub(crate) length: u8,
    pub(crate) offset: i16,
    /// Shortest and longest prefix.
    pub(crate) bounds: (i16, i16),
}

/// What is allocated: two blocks of one family.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) family: Family,
    pub(crate) profile: &'static str,
    pub(crate) members: [Member; 2],
    /// How a request asks for it.
    ask: &'static str,
}

/// The pair that a fresh database knows, with room for a million.
pub(crate) const IPV4: Kind = Kind {
    family: Family::Ipv4,
    profile: "node-pod",
    members: [
        Member {
            pool: "primary",
            range: "0.0.0.0/2",
            length: 26,
            offset: 0,
            bounds: (20, 26),
        },
        Member {
            pool: "cgnat",
            range: "128.0.0.0/1",
            length: 21,
            offset: -5,
            bounds: (15, 21),
        },
    ],
    ask: r#""hosts":50"#,
};

/// The same in IPv6.
pub(crate) const IPV6: Kind = Kind {
    family: Family::Ipv6,
    profile: "node-pod-ipv6",
    members: [
        Member {
            pool: "node-ipv6",
            range: "fd00::/32",
            length: 64,
            offset: 0,
            bounds: (58, 64),
        },
        Member {
            pool: "pod-ipv6",
            range: "fd00:1::/32",
            length: 59,
            offset: -5,
            bounds: (53, 59),
        },
    ],
    ask: r#""profile":"node-pod-ipv6","prefix_length":64"#,
};

impl Kind {
    /// The request for a pair.
    pub(crate) fn request(&self, vpc: &str, more: &str) -> Vec<u8> {
        let body = format!(r#"{{"vpc":"{vpc}",{}{more}}}"#, self.ask);
        request("POST", "/api/v1/allocations", &body)
    }

    /// The request for a pair of twice the size.
    pub(crate) fn large_request(&self, vpc: &str) -> Vec<u8> {
        let (profile, length) = (self.profile, self.members[0].length - 1);
        let body = format!(r#"{{"vpc":"{vpc}","profile":"{profile}","prefix_length":{length}}}"#);
        request("POST", "/api/v1/allocations", &body)
    }
}

/// An allocation that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) id: Uuid,
    /// An address in its first block.
    pub(crate) address: IpAddr,
}

pub(crate) struct World {
    pub(crate) kind: &'static Kind,
    /// How many blocks it was filled with.
    pub(crate) size: usize,
    pub(crate) url: String,
    pub(crate) server: Server,
    /// What can be released and looked up.
    pub(crate) known: Vec<Known>,
    /// The ranges of the floor.
    pub(crate) bare: [Range; 2],
    /// How many pairs the floor has inserted.
    pub(crate) next_bare: Arc<AtomicU64>,
}

impl World {
    /// Makes the database, fills it with `size` blocks, and starts a server on it.
    pub(crate) async fn make(
        base_url: &str,
        dir: &Path,
        kind: &'static Kind,
        size: usize,
    ) -> anyhow::Result<Self> {
        let name = format!("bench_{}", Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(base_url).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "create database {name} template template0"
        )))
        .execute(&mut connection)
        .await?;
        connection.close().await?;
        let url = base_url.replacen("/ipam?", &format!("/{name}?"), 1);
        let mut connection = PgConnection::connect(&url).await?;
        db::MIGRATOR.run(&mut connection).await?;
        let ranges = pools(&mut connection, kind, "default", "").await?;
        sqlx::raw_sql("insert into vrf (name) values ('bare')")
            .execute(&mut connection)
            .await?;
        let bare = pools(&mut connection, kind, "bare", "bare-").await?;
        let start = Instant::now();
        // A connection as the server's are, which may take long here.
        let mut filler = db::Connection::from(PgConnection::connect(&url).await?);
        filler.set_patience(db::connection::LONG_PATIENCE);
        let known = fill(&mut filler, kind, size, ranges).await?;
        drop(filler);
        seal(&url).await?;
        // What the fill left to do is done before the measurement, not in it.
        for statement in ["vacuum analyze", "checkpoint"] {
            sqlx::raw_sql(statement).execute(&mut connection).await?;
        }
        connection.close().await?;
        if size >= 100_000 {
            println!(
                "filled with {size} blocks in {:.0} s",
                start.elapsed().as_secs_f64()
            );
        }
        let server = Server::start(&url, dir).await?;
        Ok(Self {
            kind,
            size,
            url,
            server,
            known,
            bare,
            next_bare: Arc::default(),
        })
    }

    /// What it is called in the output.
    pub(crate) fn name(&self) -> String {
        format!("{}, {} blocks", family(self.kind), self.size)
    }

    /// Allocations over HTTP, unnamed, in a VPC per client; the clients are spread over the servers.
    pub(crate) async fn allocate(
        &self,
        others: &[&Server],
        clients: usize,
        seconds: f64,
        done: &Arc<AtomicU64>,
    ) -> anyhow::Result<Run> {
        self.allocate_as(KEY, others, clients, seconds, done).await
    }

    /// The same, with the secret of a token.
    pub(crate) async fn allocate_as(
        &self,
        key: &str,
        others: &[&Server],
        clients: usize,
        seconds: f64,
        done: &Arc<AtomicU64>,
    ) -> anyhow::Result<Run> {
        let servers: Vec<_> = std::iter::once(&self.server)
            .chain(others.iter().copied())
            .collect();
        let mut tasks = Vec::new();
        for number in 0..clients {
            let mut client = Client::connect(servers[number % servers.len()].address).await?;
            let request = with_key(self.kind.request(&format!("bench-{number}"), ""), key);
            let done = Arc::clone(done);
            tasks.push(move |deadline: Instant| async move {
                let mut samples = Samples::default();
                while Instant::now() < deadline {
                    if client.time(&request, &mut samples).await?.is_some() {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(samples)
            });
        }
        measure(tasks, seconds).await
    }

    /// Stops the server, and proves that the database is sound.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        drop(self.server);
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect(&self.url)
            .await?;
        let report = Ipam::new(pool.clone()).verify().await?;
        pool.close().await;
        // The floor's rows went past the free list on purpose.
        let wrong: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| match finding.check {
                "cover" => !finding.finding.contains(" of pool bare-"),
                "overlap" => !finding.finding.ends_with(" in VRF bare"),
                _ => true,
            })
            .collect();
        ensure!(
            wrong.is_empty(),
            "the database is not sound after the run: {wrong:?}"
        );
        println!(
            "verified: {} allocations, {} blocks, {} events, nothing wrong",
            report.extent.allocations, report.extent.blocks, report.extent.events
        );
        Ok(())
    }
}

/// Its name in the output.
pub(crate) fn family(kind: &Kind) -> &'static str {
    match kind.family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// The pools of both members with one range each, and in `default` the profile; those that exist get other ranges.
async fn pools(
    db: &mut PgConnection,
    kind: &Kind,
    vrf: &str,
    prefix: &str,
) -> anyhow::Result<[Range; 2]> {
    let mut ranges = Vec::new();
    for member in kind.members {
        let pool = format!("{prefix}{}", member.pool);
        sqlx::query(
            "insert into pool (vrf_id, name, family, min_prefix_length, max_prefix_length)
            select vrf_id, $2, family($3::text::cidr), $4, $5 from vrf where name = $1 on conflict do nothing",
        )
        .bind(vrf)
        .bind(&pool)
        .bind(member.range)
        .bind(member.bounds.0)
        .bind(member.bounds.1)
        .execute(&mut *db)
        .await?;
        sqlx::query(
            "delete from pool_range using pool where pool.pool_id = pool_range.pool_id and name = $1",
        )
        .bind(&pool)
        .execute(&mut *db)
        .await?;
        let row = sqlx::query(
            "insert into pool_range (pool_id, vrf_id, family, cidr) select pool_id, vrf_id, family, $2::text::cidr from pool
            where name = $1 returning range_id, pool_id",
        )
        .bind(&pool)
        .bind(member.range)
        .fetch_one(&mut *db)
        .await?;
        ranges.push(Range {
            id: row.get(0),
            pool: PoolId(row.get(1)),
            cidr: member.range.parse()?,
        });
    }
    let made = sqlx::query("insert into profile (name) values ($1) on conflict do nothing")
        .bind(kind.profile)
        .execute(&mut *db)
        .await?;
    if made.rows_affected() > 0 {
        for (member, position) in kind.members.iter().zip(1_i16..) {
            sqlx::query(
                "insert into profile_member (profile_id, position, role, pool_name, size_offset, min_prefix_length,
                    max_prefix_length)
                select profile_id, $2, $3, $3, $4, $5, $6 from profile where name = $1",
            )
            .bind(kind.profile)
            .bind(position)
            .bind(member.pool)
            .bind(member.offset)
            .bind(member.bounds.0)
            .bind(member.bounds.1)
            .execute(&mut *db)
            .await?;
        }
    }
    <[Range; 2]>::try_from(ranges)
        .ok()
        .context("two members, two ranges")
}

/// Seals the events of the fill, as a server would have done in the background.
async fn seal(url: &str) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new().max_connections(2).connect(url).await?;
    let ipam = Ipam::new(pool.clone());
    let mut sealer = Sealer::default();
    // The first look notes up to where, the second seals.
    sealer.look(&ipam).await?;
    sealer.look(&ipam).await?;
    pool.close().await;
    Ok(())
}
