//! `/api/v1` as a client sees it: the whole application in this process, over a database of its own for each test.

mod access;
mod allocations;
mod changes;
mod lists;
mod outage;
mod pools;
mod requests;
mod retries;
mod scans;
mod support;
mod transfer;
mod vpcs;
