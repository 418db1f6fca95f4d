//! What else is done with allocations, by one client: release, resize, looking up, listing, dry run. What is asked for is
//! drawn at random from all that is there. Databases of all sizes are measured alternately.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use ipam_shared::cidr::Cidr;
use uuid::Uuid;

use crate::{
    load::{Client, Run, Samples, median, request, with_key},
    report::{Score, Target::AtMost},
    world::{Known, World, family},
};

/// What is done, each a measurement of its own; resizing gives two figures.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Release,
    Resize,
    Lookup,
    Contains,
    Page,
    First,
    Within,
    Original,
    Limited,
    LimitedContains,
    DryRun,
}

impl Operation {
    const ALL: [Self; 11] = [
        Self::Release,
        Self::Resize,
        Self::Lookup,
        Self::Contains,
        Self::Page,
        Self::First,
        Self::Within,
        Self::Original,
        Self::Limited,
        Self::LimitedContains,
        Self::DryRun,
    ];

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Release => &["release"],
            Self::Resize => &["resize: shrink", "resize: grow back"],
            Self::Lookup => &["GET lookup?ip="],
            Self::Contains => &["GET allocations?contains="],
            Self::Page => &["GET allocations?limit=100&cursor="],
            Self::First => &["GET allocations?limit=3"],
            Self::Within => &["GET allocations?within=, all of it"],
            Self::Original => &["GET /allocations of the original"],
            Self::Limited => &["GET allocations, a limited token"],
            Self::LimitedContains => &["GET allocations?contains=, limited"],
            Self::DryRun => &["dry run"],
        }
    }
}

/// Allocations that are resized.
const LARGE: usize = 128;

pub(crate) async fn compare(
    worlds: &mut [World],
    rounds: usize,
    seconds: f64,
    score: &mut Score,
) -> anyhow::Result<()> {
    println!("\nother operations, p50 in ms at 1 client; medians of {rounds} rounds");
    let mut users = Vec::new();
    for world in worlds.iter_mut() {
        users.push(User::new(world).await?);
    }
    let mut failed = 0;
    for operation in Operation::ALL {
        let mut runs: Vec<Vec<Vec<Run>>> =
            vec![vec![Vec::new(); operation.names().len()]; users.len()];
        for _ in 0..rounds {
            for (user, runs) in users.iter_mut().zip(&mut runs) {
                let done = user.measure(operation, seconds).await?;
                for (run, runs) in done.into_iter().zip(runs) {
                    runs.push(run);
                }
            }
        }
        for (at, name) in operation.names().iter().enumerate() {
            let medians: Vec<Run> = runs.iter().map(|runs| median(&runs[at])).collect();
            for (user, run) in users.iter().zip(&medians) {
                let world = &user.world;
                println!(
                    "{} {:>9}  {name:<36} {:>8.3}",
                    family(world.kind),
                    world.size,
                    run.p50_ms
                );
                failed += run.failed;
            }
            if let ([small, .., large], [first, .., last]) = (&users[..], &medians[..]) {
                let family = family(small.world.kind);
                let (small, large) = (small.world.size, large.world.size);
                let what = format!("{family}, {small} to {large} blocks: {name}, p50 grows");
                score.line(&what, last.p50_ms / first.p50_ms, "x", AtMost(1.25));
            }
        }
    }
    score.none_failed("other operations", failed);
    Ok(())
}

/// The one client.
struct User<'a> {
    world: &'a mut World,
    client: Client,
    /// Allocations with room to shrink, and to grow back.
    large: Vec<Uuid>,
    /// Ids of the fill, in their order, behind which there is a full page.
    cursors: Vec<Uuid>,
    /// The secret of a token that is limited to all there is.
    limited: String,
}

impl<'a> User<'a> {
    async fn new(world: &'a mut World) -> anyhow::Result<Self> {
        let mut client = Client::connect(world.server.address).await?;
        let cursors = world.known.iter().map(|known| known.id).collect();
        let ask = world.kind.large_request("bench-resize");
        let mut large = Vec::new();
        while large.len() < LARGE {
            large.push(allocate(&mut client, &ask).await?.id);
        }
        let new = r#"{"name":"limited","roles":["reader"],"limits":{"vpcs":["*"]}}"#;
        let limited = client.token(new).await?;
        Ok(Self {
            world,
            client,
            large,
            cursors,
            limited,
        })
    }

    /// Does it again and again for so long; only the operation itself is timed.
    async fn measure(&mut self, operation: Operation, seconds: f64) -> anyhow::Result<Vec<Run>> {
        let start = Instant::now();
        let deadline = start + Duration::from_secs_f64(seconds);
        let mut samples: Vec<_> = operation
            .names()
            .iter()
            .map(|_| Samples::default())
            .collect();
        while Instant::now() < deadline {
            self.step(operation, &mut samples).await?;
        }
        let elapsed = start.elapsed();
        samples
            .into_iter()
            .map(|samples| samples.run(elapsed))
            .collect()
    }

    async fn step(&mut self, operation: Operation, samples: &mut [Samples]) -> anyhow::Result<()> {
        let client = &mut self.client;
        let Known { address, .. } = *one_of(&self.world.known);
        let ask = match operation {
            Operation::Release => return self.release(&mut samples[0]).await,
            Operation::Resize => return self.resize(samples).await,
            Operation::Lookup => request("GET", &format!("/api/v1/lookup?ip={address}"), ""),
            Operation::Contains => request(
                "GET",
                &format!("/api/v1/allocations?contains={address}"),
                "",
            ),
            Operation::Page => {
                let path = format!(
                    "/api/v1/allocations?limit=100&cursor={}",
                    one_of(&self.cursors)
                );
                request("GET", &path, "")
            }
            Operation::First => request("GET", "/api/v1/allocations?limit=3", ""),
            Operation::Within => {
                let all = Cidr::of_address_or_network(&address.to_string())?.ancestor(8);
                let all = all.context("an address is in some /8")?;
                request("GET", &format!("/api/v1/allocations?within={all}"), "")
            }
            Operation::Original => request("GET", "/allocations?limit=100", ""),
            Operation::Limited => with_key(
                request("GET", "/api/v1/allocations?limit=100", ""),
                &self.limited,
            ),
            Operation::LimitedContains => with_key(
                request(
                    "GET",
                    &format!("/api/v1/allocations?contains={address}"),
                    "",
                ),
                &self.limited,
            ),
            Operation::DryRun => self.world.kind.request("bench-0", r#","dry_run":true"#),
        };
        if let Some(reply) = client.time(&ask, &mut samples[0]).await? {
            // An answer with nothing in it would be fast, and no measurement.
            let (is_right, what) = match operation {
                Operation::Lookup => (reply.body.contains(r#""kind":"allocation""#), "a holder"),
                Operation::Contains => (reply.body.contains(r#""items":[{"#), "an allocation"),
                Operation::First
                | Operation::Within
                | Operation::Limited
                | Operation::LimitedContains => {
                    (reply.body.contains(r#""items":[{"#), "allocations")
                }
                Operation::Original => (reply.body.contains(r#""total_count":"#), "a count"),
                Operation::Page => (!reply.body.contains(r#""next_cursor":null"#), "a full page"),
                _ => (reply.body.contains(r#""blocks":[{"#), "blocks"),
            };
            ensure!(is_right, "not {what}: {}", reply.body);
        }
        Ok(())
    }

    /// Releases one, and allocates one in its stead.
    async fn release(&mut self, samples: &mut Samples) -> anyhow::Result<()> {
        let at = index(self.world.known.len());
        let path = format!("/api/v1/allocations/{}", self.world.known[at].id);
        self.client
            .time(&request("DELETE", &path, ""), samples)
            .await?;
        let ask = self.world.kind.request("bench-0", "");
        self.world.known[at] = allocate(&mut self.client, &ask).await?;
        Ok(())
    }

    /// Shrinks one, and grows it back.
    async fn resize(&mut self, samples: &mut [Samples]) -> anyhow::Result<()> {
        let path = format!("/api/v1/allocations/{}", one_of(&self.large));
        let small = self.world.kind.members[0].length;
        for (length, samples) in [small, small - 1].into_iter().zip(samples) {
            let ask = request("PATCH", &path, &format!(r#"{{"prefix_length":{length}}}"#));
            self.client.time(&ask, samples).await?;
        }
        Ok(())
    }
}

/// Allocates, untimed.
async fn allocate(client: &mut Client, ask: &[u8]) -> anyhow::Result<Known> {
    let reply = client.call(ask).await?;
    ensure!(reply.status == 201, "{} {}", reply.status, reply.body);
    let body: serde_json::Value = serde_json::from_str(reply.body)?;
    let text = |key: &str| {
        body[key]
            .as_str()
            .context("an allocation without id or CIDR")
    };
    let cidr: Cidr = text("cidr")?.parse()?;
    let address: IpAddr = cidr.first();
    Ok(Known {
        id: text("id")?.parse()?,
        address,
    })
}

fn one_of<T>(all: &[T]) -> &T {
    &all[index(all.len())]
}

/// Any number below.
fn index(end: usize) -> usize {
    (Uuid::new_v4().as_u128() % end as u128) as usize
}
