//! The provider under real terraform, against the real server on a real PostgreSQL.
//!
//! Each test has a database, a server and a directory of its own. What is promised about what exists is counted by SQL
//! and not through the provider. Terraform must be on the path: without it every test fails. Many of these tests run a second
//! time with the newest Terraform, see `tests/newest`.

#![expect(
    clippy::unwrap_used,
    reason = "the support of tests panics as tests do"
)]

mod backend;
mod children;
mod crash;
mod duplicates;
mod examples;
mod foresight;
mod functions;
mod generate;
mod import;
mod kills;
mod leaving;
mod lifecycle;
mod messages;
mod nouns;
mod ownership;
mod proxy;
mod renames;
mod resize;
mod scale;
mod sizing;
mod space;
mod stack;
mod terraform;
mod tokens;
mod whole;
