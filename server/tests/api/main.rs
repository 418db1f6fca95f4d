//! `/api/v1` as a client sees it: the whole application in this process, over a database of its own for each test.

mod access;
mod allocations;
mod audit;
mod batches;
mod bodies;
mod changes;
mod choices;
mod described;
mod examples;
mod fields;
mod hostile;
mod injections;
mod lists;
mod lookup;
mod manners;
mod metrics;
mod nesting;
mod outage;
mod ownership;
mod pictures;
mod pool_changes;
mod pool_races;
mod pools;
mod profiles;
mod proof;
mod quotas;
mod requests;
mod reservations;
mod retries;
mod rights;
mod round_trips;
mod scans;
mod scopes;
mod sizes;
mod space;
mod support;
mod tokens;
mod transfer;
mod transfer_bounds;
mod transfer_lossless;
mod transfer_order;
mod vpcs;
mod vrfs;

#[path = "../support/hostile.rs"]
mod hostile_table;
#[path = "../support/server_role.rs"]
mod server_role;
#[path = "../support/state.rs"]
mod state;
#[path = "../support/statements.rs"]
mod statements;
