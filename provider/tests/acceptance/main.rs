//! The provider under real terraform, against the real server on a real PostgreSQL.
//!
//! Each test has a database, a server and a directory of its own. What is promised about what exists is counted by SQL
//! and not through the provider. Terraform must be on the path: without it every test fails.

#![expect(
    clippy::unwrap_used,
    reason = "the support of tests panics as tests do"
)]

mod crash;
mod examples;
mod functions;
mod import;
mod lifecycle;
mod messages;
mod nouns;
mod proxy;
mod resize;
mod scale;
mod sizing;
mod space;
mod stack;
