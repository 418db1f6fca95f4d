//! HTTP client of ipam, for the Terraform provider and the command line.
//!
//! It turns typed calls into requests, retries them where that can't do anything twice, and turns every possible failure
//! into a sentence for the person who has the problem. It is the only code that speaks HTTP to a server. It knows nothing
//! of Terraform or of terminals, and never reveals the API key: not in a log, an error or `Debug` output.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use ipam_client::{Client, Settings};
//! let client = Client::new(&Settings::new("http://127.0.0.1:8000", "key"))?;
//! let allocation = client.get_allocation("0190d6a5-8f0e-7cc0-a7a0-000000000001".parse()?, None).await?;
//! println!("{}", allocation.cidr);
//! # Ok(()) }
//! ```
//!
//! # What is retried
//! A request is retried after a lost connection, a missing reply, and the statuses 429, 502, 503 and 504 (honouring
//! `Retry-After`), until [`Settings::retry_timeout`] has passed since the server was last seen healthy. That is safe
//! because every call of this crate can be repeated: a creation returns the same thing to the same owner until that is
//! confirmed, the creation of an allocation without a name carries an Idempotency-Key, and changes and deletions recognise
//! their own work when the first reply was lost (see [`Client::update_pool`] and [`Client::delete_pool`]). With
//! [`Settings::adopts`] switched off, a creation whose reply was lost is refused when it is repeated, with the command that
//! imports what it created.

mod allocation;
mod attempts;
mod cause;
mod client;
mod confirm;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod lookup;
mod noun;
mod pool;
mod profile;
mod proof;
mod reply;
mod reservation;
mod retry;
mod said;
mod settings;
mod token;
mod transfer;
mod transport;
mod vpc;
mod vrf;
mod webhook;

pub use cause::reason;
pub use client::Client;
pub use error::{Error, NotIpam, Refusal, Unreachable};
pub use noun::Created;
pub use proof::{ProofError, ask_for_proof};
pub use said::Said;
pub use settings::{ApiKey, Settings, SettingsError};
pub use transfer::ExportError;
