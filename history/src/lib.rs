//! Does ipam keep its promises when servers and PostgreSQL are killed now and then?
//!
//! Clients allocate, read and release through two servers over one PostgreSQL ([`run`]), something kills these
//! ([`mod@run`] too), and every request is written down with when it was sent and when and how it was answered
//! ([`history`]). Afterwards [`check`] looks for what may never be: an address with two owners, an acknowledged
//! allocation that is lost, a row that nobody asked for. A run in which too few faults hit requests under way proves
//! nothing and counts as invalid.
//!
//! The same clients live through failovers of a primary with a synchronous standby ([`failover`]), where also waits for the
//! standby are cancelled: what PostgreSQL then calls done, a failover loses.
//!
//! A checker that shares code with what it checks shares its mistakes. So nothing here comes from the server, its client
//! or the crate of their common words: the networks ([`net`]), the sizes and the HTTP are written again, from the
//! documentation. That it does detect errors is shown by breaking things on purpose ([`saboteur`]).

pub mod check;
mod client;
pub mod dice;
pub mod failover;
pub mod history;
mod http;
mod last;
mod nemesis;
pub mod net;
pub mod run;
pub mod saboteur;
