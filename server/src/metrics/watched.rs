//! What is read at scrape time: connections and pools.

use ipam_shared::{
    api::{pool::Pool, webhook::Webhook},
    cidr::Family,
};
use prometheus::{GaugeVec, Opts, Registry};

use super::registered;

/// The state of the database at scrape time.
#[derive(Debug)]
pub struct Watched<'a> {
    /// Whether something could be committed.
    pub takes_changes: bool,
    /// All pools; none if the database is unavailable.
    pub pools: Option<&'a [Pool]>,
    /// All webhooks; none if the database is unavailable.
    pub webhooks: &'a [Webhook],
    /// The connections to the database, by what they are for.
    pub connections: &'a [WatchedConnections],
    /// Whether the database was restored and not reconciled yet.
    pub is_restored: bool,
}

/// Connections to the database.
#[derive(Clone, Copy, Debug)]
pub struct WatchedConnections {
    /// What they are for: a label.
    pub purpose: &'static str,
    /// Those that are open.
    pub open: u32,
    /// Those of them that are idle.
    pub idle: usize,
    /// The maximum.
    pub most: u32,
}

pub(super) fn write_connections(registry: &Registry, connections: &[WatchedConnections]) {
    let gauges = |name: &str, help: &str, labels: &[&str]| {
        registered(registry, GaugeVec::new(Opts::new(name, help), labels))
    };
    let most = gauges(
        "ipam_database_connections_max",
        "Maximum number of connections of this server to the database",
        &["purpose"],
    );
    let open = gauges(
        "ipam_database_connections",
        "Open connections of this server to the database",
        &["purpose", "state"],
    );
    for kind in connections {
        most.with_label_values(&[kind.purpose])
            .set(kind.most.into());
        let (all, idle) = (f64::from(kind.open), kind.idle as f64);
        for (state, value) in [("idle", idle), ("used", (all - idle).max(0.0))] {
            open.with_label_values(&[kind.purpose, state]).set(value);
        }
    }
}

pub(super) fn write_pools(registry: &Registry, pools: &[Pool]) {
    let gauges = |name: &str, help: &str| {
        registered(
            registry,
            GaugeVec::new(Opts::new(name, help), &["vrf", "pool"]),
        )
    };
    let size = gauges("ipam_pool_addresses", "Addresses of the pool");
    let used = gauges(
        "ipam_pool_used_addresses",
        "Addresses that are allocated, reserved, cooling down or cut out for other pools",
    );
    let free = gauges("ipam_pool_free_addresses", "Addresses that are free");
    let largest = gauges(
        "ipam_pool_largest_free_block_addresses",
        "Addresses of the largest free block; 0 if the pool is full",
    );
    let largest_length = gauges(
        "ipam_pool_largest_free_block_prefix_length",
        "Prefix length of the largest free block; missing if the pool is full",
    );
    let default = gauges(
        "ipam_pool_default_block_addresses",
        "Addresses of a block of the default prefix length; missing if the pool has none",
    );
    for pool in pools {
        let labels = [pool.vrf.as_str(), pool.name.as_str()];
        let set = |gauges: &GaugeVec, value: f64| gauges.with_label_values(&labels).set(value);
        set(&size, pool.total_addresses as f64);
        set(&used, pool.used_addresses as f64);
        let left = pool.total_addresses.saturating_sub(pool.used_addresses);
        set(&free, left as f64);
        let length = pool.largest_free_prefix_length;
        set(
            &largest,
            length.map_or(0.0, |length| addresses(pool.family, length)),
        );
        if let Some(length) = length {
            set(&largest_length, length.into());
        }
        if let Some(length) = pool.default_prefix_length {
            set(&default, addresses(pool.family, length));
        }
    }
}

/// Addresses of a block. A power of two, so that a float holds it exactly.
fn addresses(family: Family, prefix_length: u8) -> f64 {
    f64::from(family.bits().saturating_sub(prefix_length)).exp2()
}
