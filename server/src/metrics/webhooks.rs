//! What is counted of webhooks, and what is read of them at scrape time.

use ipam_shared::api::webhook::Webhook;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, Opts, Registry};
use time::OffsetDateTime;

use super::registered;

/// What one server has sent.
#[derive(Debug)]
pub struct Webhooks {
    delivered: IntCounter,
    failed: IntCounter,
    events: IntCounter,
}

impl Webhooks {
    pub(super) fn new(registry: &Registry) -> Self {
        let requests = Opts::new(
            "ipam_webhook_requests_total",
            "Requests to receivers of webhooks",
        );
        let requests = registered(registry, IntCounterVec::new(requests, &["result"]));
        let events = IntCounter::new(
            "ipam_webhook_events_total",
            "Events that receivers of webhooks have accepted",
        );
        Self {
            delivered: requests.with_label_values(&["delivered"]),
            failed: requests.with_label_values(&["failed"]),
            events: registered(registry, events),
        }
    }

    /// A receiver accepted a request with that many events.
    pub fn delivered(&self, events: usize) {
        self.delivered.inc();
        self.events.inc_by(events as u64);
    }

    /// A request failed.
    pub fn failed(&self) {
        self.failed.inc();
    }
}

pub(super) fn write_webhooks(registry: &Registry, webhooks: &[Webhook]) {
    let gauges = |name: &str, help: &str| {
        registered(registry, GaugeVec::new(Opts::new(name, help), &["webhook"]))
    };
    let behind = gauges(
        "ipam_webhook_behind_events",
        "Events of the audit log that are not delivered yet, whether they are wanted or not",
    );
    let failing = gauges(
        "ipam_webhook_failing_seconds",
        "For how long every attempt to deliver has failed; 0 if the last one succeeded",
    );
    let stopped = gauges(
        "ipam_webhook_stopped",
        "1 if the server has given up, until somebody resumes, else 0",
    );
    let now = OffsetDateTime::now_utc();
    for webhook in webhooks.iter().filter(|webhook| webhook.enabled) {
        let labels = [webhook.name.as_str()];
        let set = |gauges: &GaugeVec, value: f64| gauges.with_label_values(&labels).set(value);
        let delivery = &webhook.delivery;
        set(&behind, delivery.behind as f64);
        let since = delivery.failing_since.map(|since| now - since);
        set(
            &failing,
            since.map_or(0.0, |since| since.as_seconds_f64().max(0.0)),
        );
        let is_stopped = delivery.stopped_at.is_some();
        set(&stopped, f64::from(u8::from(is_stopped)));
    }
}
