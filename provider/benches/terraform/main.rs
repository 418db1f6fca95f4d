//! How long Terraform takes for 1,000 allocations, as a ratio of its built-in `terraform_data` whose `input` has the same
//! three values; and beside that a provider that does nothing, which is what another process costs. Alternated, medians.
//!
//! `cargo bench -p terraform-provider-ipam --bench terraform [-- COUNT ROUNDS]`. The server is the one of `IPAM_BIN`, which
//! should be a release build.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement prints, and stops at whatever goes wrong"
)]

mod contestant;
mod distance;
mod floor;

use std::{process::ExitCode, time::Duration};

use ipam_testing::{TestDatabase, TestServer};

use contestant::{Contestant, Round};
use distance::Distance;
use floor::Floor;

/// Between provider and server, there and back, in one of the measurements.
const LATENCY: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> ExitCode {
    // Terraform runs this program too: as the provider that does nothing.
    if std::env::var_os("TF_PLUGIN_MAGIC_COOKIE").is_some() {
        return tfplugin::serve(Floor).await;
    }
    measure().await;
    ExitCode::SUCCESS
}

async fn measure() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<usize>().ok());
    let count = numbers.next().unwrap_or(1000);
    let rounds = numbers.next().unwrap_or(5);
    let database = TestDatabase::new().await;
    let server = TestServer::start(&database).await;
    let far = Distance::before(server.address(), LATENCY).await;
    let values = "vpc = \"prod\"\n  name = \"n${count.index}\"\n  prefix_length = 26";
    let own = std::env::current_exe().unwrap();
    let contestants = [
        Contestant::new(
            "ipam_allocation",
            &format!("resource \"ipam_allocation\" \"a\" {{\n  count = {count}\n  {values}\n}}\n"),
            env!("CARGO_BIN_EXE_terraform-provider-ipam").as_ref(),
            &server.url(),
        ),
        Contestant::new(
            "a provider that does nothing",
            &format!("resource \"ipam_floor\" \"a\" {{\n  count = {count}\n  {values}\n}}\n"),
            &own,
            &server.url(),
        ),
        Contestant::new(
            "terraform_data",
            &format!(
                "resource \"terraform_data\" \"a\" {{\n  count = {count}\n  input = {{\n  {values}\n  }}\n}}\n"
            ),
            &own,
            &server.url(),
        ),
    ];
    let mut all: Vec<Vec<Round>> = vec![Vec::new(); contestants.len()];
    for _ in 0..rounds {
        for (contestant, rounds) in contestants.iter().zip(&mut all) {
            rounds.push(contestant.round(&server, &far).await);
        }
    }
    println!(
        "{count} resources, medians of {rounds} rounds; in brackets: times that of terraform_data"
    );
    println!(
        "{:<30} {:>14} {:>14} {:>14} {:>14} {:>14} {:>9} {:>8}",
        "", "apply", "plan, first", "plan", "no refresh", "destroy", "requests", "bytes"
    );
    let medians: Vec<Round> = all.iter().map(|rounds| Round::median(rounds)).collect();
    let built_in = medians.last().unwrap();
    for (contestant, median) in contestants.iter().zip(&medians) {
        println!("{:<30} {}", contestant.name, median.beside(built_in));
    }
    let ours = &medians[0];
    println!(
        "with {} ms to the server the plan takes {:.2} s, {:.2} times its own time without",
        LATENCY.as_millis(),
        ours.far.as_secs_f64(),
        ours.far.as_secs_f64() / ours.plan.as_secs_f64()
    );
}
