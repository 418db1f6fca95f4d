//! The database hesitates, hangs or is cut off: what is answered meanwhile, and that nothing is left poisoned or stuck.
//! Real servers, and a proxy that swallows what goes through it.

#[path = "../support/client.rs"]
#[expect(dead_code, reason = "not every test reads")]
mod client;
mod commits;
mod hesitation;
mod proxy;
mod restart;
mod stalled;
mod standby;
mod stuck;
