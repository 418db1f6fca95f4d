//! What it costs that a token asks and not the administrator's key, which nothing has to be looked up for; and what limits
//! cost.

use crate::{
    load::{Client, median},
    report::{Score, Target::AtLeast},
    server::KEY,
    world::World,
};

/// Tokens: what they are called here, and their bodies.
const TOKENS: [(&str, &str); 3] = [
    ("a token", r#"{"name":"all","roles":["allocator"]}"#),
    (
        "a token with limits",
        r#"{"name":"limited","roles":["allocator"],"limits":{"vpcs":["bench-*"]}}"#,
    ),
    (
        "a token with limits to a VRF",
        r#"{"name":"pools","roles":["allocator"],"limits":{"vrfs":["default"],"vpcs":["bench-*"]}}"#,
    ),
];

pub(crate) async fn compare(
    world: &World,
    rounds: usize,
    seconds: f64,
    score: &mut Score,
) -> anyhow::Result<()> {
    println!(
        "\nallocation by a token against the administrator's key, {}; medians of {rounds} rounds",
        world.name()
    );
    let mut client = Client::connect(world.server.address).await?;
    let mut keys = vec![KEY.to_owned()];
    for (_, body) in TOKENS {
        keys.push(client.token(body).await?);
    }
    let mut failed = 0;
    for clients in [1, 8, 32] {
        let mut runs = vec![Vec::new(); keys.len()];
        for _ in 0..rounds {
            for (key, runs) in keys.iter().zip(&mut runs) {
                let run = world
                    .allocate_as(key, &[], clients, seconds, &<_>::default())
                    .await?;
                failed += run.failed;
                runs.push(run);
            }
        }
        let key = median(&runs[0]);
        for ((what, _), runs) in TOKENS.iter().zip(&runs[1..]) {
            let rate = median(runs).per_second / key.per_second;
            let what = format!("{clients} clients: rate of {what} / of the key");
            score.line(&what, rate, "x", AtLeast(0.95));
        }
    }
    score.none_failed("tokens", failed);
    Ok(())
}
