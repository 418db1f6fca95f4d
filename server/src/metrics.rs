//! What a server counts, and how it is exposed to Prometheus. Knows neither HTTP nor SQL: the middleware of `http`
//! and the changes of `domain` count here, and what is only known at scrape time is passed in.
//!
//! Counting costs a few atomic operations. The labels of what is counted per request are looked up, not built, and their
//! number is bounded: routes are those of the code, never paths, and codes are those of the list. Each name is explained in
//! docs/OPERATIONS.md, and a test compares.

mod process;
mod watched;
mod webhooks;

use std::time::Duration;

pub use self::watched::{Watched, WatchedConnections};
use self::{
    watched::{write_connections, write_pools},
    webhooks::{Webhooks, write_webhooks},
};
use ipam_shared::error::Code;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder, core::Collector,
};

pub use prometheus::TEXT_FORMAT;

/// Seconds, up to the maximum duration of a request.
const DURATIONS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Requests decided in one transaction, up to the largest batch.
const BATCHES: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// The outcome of a successful request for space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocated {
    /// Space was taken.
    Created,
    /// An earlier attempt of the same request had taken it.
    Existing,
    /// It was a dry run.
    DryRun,
}

/// Why the server closed a connection early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// All slots were taken.
    Crowded,
    /// Its address had all the connections that one may have.
    Address,
}

/// The kind of a request that was shed because of overload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// It asked for space.
    Space,
    /// It changed an allocation in another way.
    Allocation,
    /// It changed something else.
    Change,
    /// It read.
    Read,
}

/// The metrics of one server, since it started.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_durations: HistogramVec,
    in_flight: IntGauge,
    connections: IntGauge,
    most_connections: IntGauge,
    closed: [IntCounter; 2],
    wrong_keys: IntCounter,
    shed: [IntCounter; 4],
    limited: IntCounterVec,
    allocations: [IntCounter; 3],
    refusals: IntCounterVec,
    resizes: IntCounter,
    releases: IntCounter,
    batch_sizes: Histogram,
    batch_durations: Histogram,
    certificate_failures: IntCounter,
    certificate_expiry: IntGauge,
    sealed: IntGauge,
    webhooks: Webhooks,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// One of our metrics. Names and labels are constants, and every start creates all of them.
fn made<T>(made: prometheus::Result<T>) -> T {
    made.expect("names and labels are valid")
}

/// Registers it.
fn registered<T: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<T>,
) -> T {
    let metric = made(metric);
    made(registry.register(Box::new(metric.clone())));
    metric
}

impl Default for Metrics {
    fn default() -> Self {
        process::begin();
        let registry = Registry::new();
        let counter = |name: &str, help: &str| registered(&registry, IntCounter::new(name, help));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            registered(&registry, Histogram::with_opts(options))
        };
        let requests = counters(
            "ipam_http_requests_total",
            "Requests that were answered",
            &["route", "method", "status"],
        );
        let request_durations = registered(
            &registry,
            HistogramVec::new(
                HistogramOpts::new(
                    "ipam_http_request_duration_seconds",
                    "Time until the answer began",
                )
                .buckets(DURATIONS.to_vec()),
                &["route", "method"],
            ),
        );
        let in_flight = registered(
            &registry,
            IntGauge::new(
                "ipam_http_requests_in_flight",
                "Requests that are being processed",
            ),
        );
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(name, help));
        let closed = counters(
            "ipam_http_connections_closed_total",
            "Connections that had to make room for others, or were refused",
            &["reason"],
        );
        let closed = ["crowded", "address"].map(|reason| closed.with_label_values(&[reason]));
        let shed = counters(
            "ipam_http_requests_shed_total",
            "Requests that were shed because of overload",
            &["kind"],
        );
        let shed =
            ["space", "allocation", "change", "read"].map(|kind| shed.with_label_values(&[kind]));
        let limited = counters(
            "ipam_http_requests_limited_total",
            "Requests beyond a rate limit",
            &["kind"],
        );
        for kind in ["token", "address"] {
            limited.with_label_values(&[kind]);
        }
        let allocations = counters(
            "ipam_allocations_total",
            "Requests for space that succeeded",
            &["result"],
        );
        let allocations = ["created", "existing", "dry_run"]
            .map(|result| allocations.with_label_values(&[result]));
        let refusals = counters(
            "ipam_refusals_total",
            "Changes that were refused or failed",
            &["code"],
        );
        // A zero before the first event makes rates right from the start.
        for code in Code::ALL {
            refusals.with_label_values(&[code.as_str()]);
        }
        let build = Opts::new("ipam_build_info", "Always 1; the version of the server")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        registered(&registry, Gauge::with_opts(build)).set(1.0);
        Self {
            requests,
            request_durations,
            in_flight,
            connections: gauge("ipam_http_connections", "Open connections of clients"),
            most_connections: gauge(
                "ipam_http_connections_max",
                "Maximum number of connections of clients",
            ),
            closed,
            wrong_keys: counter("ipam_wrong_keys_total", "API keys that are not valid"),
            shed,
            limited,
            allocations,
            refusals,
            resizes: counter("ipam_resizes_total", "Allocations that were resized"),
            releases: counter("ipam_releases_total", "Allocations that were released"),
            batch_sizes: histogram(
                "ipam_allocation_batch_requests",
                "Requests for space decided in one transaction",
                &BATCHES,
            ),
            batch_durations: histogram(
                "ipam_allocation_batch_duration_seconds",
                "Time to decide and commit a batch of requests for space",
                &DURATIONS,
            ),
            certificate_failures: counter(
                "ipam_tls_reload_failures_total",
                "New certificates that could not be used",
            ),
            certificate_expiry: gauge(
                "ipam_tls_certificate_expiry_timestamp_seconds",
                "When the certificate in use expires; 0 without one",
            ),
            webhooks: Webhooks::new(&registry),
            sealed: gauge(
                "ipam_audit_sealed_timestamp_seconds",
                "Everything that was recorded in the audit log before is known to be sealed; 0 until that is known",
            ),
            registry,
        }
    }
}

/// A request in progress, until this is dropped.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// A request begins.
    pub fn begin_request(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A request was answered. `route` is the template of the code, and `method` one of a list: nothing that clients choose
    /// may get here.
    pub fn answered(&self, route: &str, method: &str, status: &str, duration: Duration) {
        self.requests
            .with_label_values(&[route, method, status])
            .inc();
        self.request_durations
            .with_label_values(&[route, method])
            .observe(duration.as_secs_f64());
    }

    /// A client got a slot.
    pub fn connected(&self) {
        self.connections.inc();
    }

    /// A client gave up its slot.
    pub fn disconnected(&self) {
        self.connections.dec();
    }

    /// The maximum number of slots.
    pub fn most_connections(&self, most: usize) {
        self.most_connections
            .set(i64::try_from(most).unwrap_or(i64::MAX));
    }

    /// An invalid key was sent.
    pub fn wrong_key(&self) {
        self.wrong_keys.inc();
    }

    /// The certificate in use expires then, in seconds since 1970.
    pub fn certificate_expires(&self, at: i64) {
        self.certificate_expiry.set(at);
    }

    /// Everything that was recorded before is sealed, in seconds since 1970.
    pub fn sealed_until(&self, at: i64) {
        self.sealed.set(at);
    }

    /// What webhooks count.
    pub fn webhooks(&self) -> &Webhooks {
        &self.webhooks
    }

    /// A new certificate could not be used.
    pub fn certificate_not_reloaded(&self) {
        self.certificate_failures.inc();
    }

    /// A request was shed.
    pub fn shed(&self, what: Shed) {
        let [space, allocation, change, read] = &self.shed;
        match what {
            Shed::Space => space.inc(),
            Shed::Allocation => allocation.inc(),
            Shed::Change => change.inc(),
            Shed::Read => read.inc(),
        }
    }

    /// A request was one too many: of a `token`, or of an `address`.
    pub fn limited(&self, kind: &'static str) {
        self.limited.with_label_values(&[kind]).inc();
    }

    /// This many connections were closed.
    pub fn closed(&self, why: Closed, connections: usize) {
        let [crowded, address] = &self.closed;
        let counter = match why {
            Closed::Crowded => crowded,
            Closed::Address => address,
        };
        counter.inc_by(connections as u64);
    }

    /// A change was refused.
    pub fn refused(&self, code: Code) {
        self.refusals.with_label_values(&[code.as_str()]).inc();
    }

    /// A request for space succeeded.
    pub fn allocated(&self, what: Allocated) {
        let [created, existing, dry_run] = &self.allocations;
        match what {
            Allocated::Created => created.inc(),
            Allocated::Existing => existing.inc(),
            Allocated::DryRun => dry_run.inc(),
        }
    }

    /// An allocation was resized.
    pub fn resized(&self) {
        self.resizes.inc();
    }

    /// This many allocations were released.
    pub fn released(&self, allocations: u64) {
        self.releases.inc_by(allocations);
    }

    /// A batch of requests for space was decided.
    pub fn batch(&self, requests: usize, duration: Duration) {
        self.batch_sizes.observe(requests as f64);
        self.batch_durations.observe(duration.as_secs_f64());
    }

    /// All metrics in Prometheus' text format.
    pub fn text(&self, watched: &Watched<'_>) -> String {
        let now = Registry::new();
        let gauge = |name: &str, help: &str, value: f64| {
            registered(&now, Gauge::new(name, help)).set(value);
        };
        gauge(
            "ipam_database_up",
            "1 if the database answered and takes writes, else 0",
            f64::from(u8::from(watched.pools.is_some())),
        );
        gauge(
            "ipam_database_takes_changes",
            "1 if a change could be committed, including on the standby that commits wait for, if any, else 0",
            f64::from(u8::from(watched.takes_changes)),
        );
        gauge(
            "ipam_restored",
            "1 if the database was restored and hands out no space until it is reconciled, else 0",
            f64::from(u8::from(watched.is_restored)),
        );
        write_connections(&now, watched.connections);
        for (name, help, value) in process::read() {
            gauge(name, help, value);
        }
        write_pools(&now, watched.pools.unwrap_or_default());
        write_webhooks(&now, watched.webhooks);
        let mut families = self.registry.gather();
        families.extend(now.gather());
        made(TextEncoder::new().encode_to_string(&families))
    }
}
