//! `/api/v1` as a client sees it: the whole application in this process, over a database of its own for each test.

mod access;
mod allocations;
mod batches;
mod changes;
mod choices;
mod lists;
mod lookup;
mod metrics;
mod nesting;
mod outage;
mod pool_changes;
mod pool_races;
mod pools;
mod profiles;
mod requests;
mod reservations;
mod retries;
mod scans;
mod sizes;
mod space;
mod support;
mod transfer;
mod transfer_bounds;
mod transfer_order;
mod vpcs;
mod vrfs;
