//! Logs: lines for people on a terminal, JSON elsewhere, with the id of the request in each.

use std::{
    io::{self, IsTerminal as _},
    sync::atomic::{AtomicBool, Ordering},
};

use clap::ValueEnum;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise
    #[default]
    Auto,
    /// One JSON object a line
    Json,
    /// For people
    Text,
}

/// Whether lines are JSON, once there is a log.
static JSON: AtomicBool = AtomicBool::new(false);

/// Whether an error that is logged now becomes a line of JSON: not before `init`, and not if the filter drops it.
pub fn logs_errors_as_json() -> bool {
    JSON.load(Ordering::Relaxed) && tracing::enabled!(tracing::Level::ERROR)
}

/// Logs to stderr from now on. `IPAM_LOG`, or `RUST_LOG`, chooses what: `info` if neither is set.
pub fn init(format: LogFormat) {
    let filter = std::env::var("IPAM_LOG")
        .or_else(|_| std::env::var("RUST_LOG"))
        .unwrap_or_else(|_| "info".to_owned());
    // Notices of PostgreSQL and slow statements come through the driver; its debug output would log every statement.
    let filter = EnvFilter::try_new(&filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    JSON.store(json, Ordering::Relaxed);
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        let layer = fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false);
        registry.with(layer.with_writer(io::stderr)).init();
    } else {
        registry
            .with(fmt::layer().with_target(false).with_writer(io::stderr))
            .init();
    }
}
