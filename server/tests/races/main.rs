//! What happens when much happens at once, and when it ends in the middle: real servers, a real PostgreSQL, kill -9.

#[path = "../support/client.rs"]
mod client;
mod crash;
mod import;
mod interleavings;
mod race;
mod round_trips;
mod standby;
