//! The provider under the newest Terraform: what only that can do, and once more what every Terraform can.
//!
//! The library with it is fetched by `./test`; where it can't be had, `./test` says so and these tests are skipped.

#![expect(
    clippy::unwrap_used,
    reason = "the support of tests panics as tests do"
)]
// Whether any is dead depends on what other tests of acceptance need, hence no `expect`.
#![allow(
    dead_code,
    reason = "what tests stand on is shared with those that run only with the Terraform on the path"
)]

#[path = "../acceptance/crash.rs"]
mod crash;
#[path = "../acceptance/examples.rs"]
mod examples;
#[path = "../acceptance/functions.rs"]
mod functions;
#[path = "../acceptance/generate.rs"]
mod generate;
mod identity;
#[path = "../acceptance/import.rs"]
mod import;
#[path = "../acceptance/lifecycle.rs"]
mod lifecycle;
#[path = "../acceptance/messages.rs"]
mod messages;
#[path = "../acceptance/nouns.rs"]
mod nouns;
#[path = "../acceptance/proxy.rs"]
mod proxy;
mod query;
#[path = "../acceptance/resize.rs"]
mod resize;
#[path = "../acceptance/sizing.rs"]
mod sizing;
#[path = "../acceptance/space.rs"]
mod space;
#[path = "../acceptance/stack.rs"]
mod stack;
#[path = "../acceptance/terraform.rs"]
mod terraform;
#[path = "../acceptance/tokens.rs"]
mod tokens;
#[path = "../acceptance/whole.rs"]
mod whole;
