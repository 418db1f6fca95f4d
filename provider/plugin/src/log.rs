//! Log lines as Terraform reads them from a provider's standard error: one JSON object each, in the format of hclog.
//!
//! Terraform is unforgiving here: the keys with `@` must be strings, and the timestamp must have six digits of fraction.

use std::env;
use std::fmt::{Debug, Write as _};
use std::io::{Write as _, stderr};

use serde_json::{Map, Value as Json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Starts logging for the crates named in `targets`, and for this one. Libraries log a lot about their sockets, which does
/// not help users.
pub(crate) fn start(module: &str, targets: &[&str]) {
    let level = level(|name| env::var(name).ok());
    let own = targets
        .iter()
        .copied()
        .chain(["tfplugin"])
        .map(|target| (target.to_owned(), level));
    let layer = Hclog {
        module: module.to_owned(),
    }
    .with_filter(own.collect::<Targets>());
    // A subscriber that the provider has installed itself is kept.
    let _ = Registry::default().with(layer).try_init();
}

/// The level that Terraform shows; it would drop anything below.
fn level(variable: impl Fn(&str) -> Option<String>) -> LevelFilter {
    let wanted = ["TF_LOG_PROVIDER", "TF_LOG"]
        .into_iter()
        .filter_map(variable)
        .find(|level| !level.is_empty());
    match wanted.map(|level| level.to_uppercase()).as_deref() {
        None | Some("OFF") => LevelFilter::OFF,
        Some("ERROR") => LevelFilter::ERROR,
        Some("WARN") => LevelFilter::WARN,
        Some("INFO") => LevelFilter::INFO,
        Some("DEBUG") => LevelFilter::DEBUG,
        // `JSON` is a format that implies the most verbose level, and so does any unknown word, as in Terraform.
        Some(_) => LevelFilter::TRACE,
    }
}

/// Writes events to standard error.
struct Hclog {
    module: String,
}

impl<S: Subscriber> Layer<S> for Hclog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = format_event(event, &self.module, OffsetDateTime::now_utc());
        line.push('\n');
        // Nothing can be done about a log that can't be written.
        let _ = stderr().lock().write_all(line.as_bytes());
    }
}

fn format_event(event: &Event<'_>, module: &str, now: OffsetDateTime) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let level = match *event.metadata().level() {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    };
    let mut line = fields.others;
    line.insert("@level".into(), level.into());
    line.insert("@message".into(), fields.message.into());
    line.insert("@module".into(), module.into());
    line.insert(
        "@timestamp".into(),
        now.format(TIMESTAMP).unwrap_or_default().into(),
    );
    Json::Object(line).to_string()
}

/// The fields of an event, all as text.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Json>,
}

impl Fields {
    fn add(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.insert(field.name().to_owned(), text.into());
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.add(field, text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    #[test]
    fn the_provider_level_goes_before_the_general_one() {
        let of = |provider: &'static str, general: &'static str| {
            level(|name| {
                let value = if name == "TF_LOG" { general } else { provider };
                (!value.is_empty()).then(|| value.to_owned())
            })
        };
        assert_eq!(of("", ""), LevelFilter::OFF);
        assert_eq!(of("", "warn"), LevelFilter::WARN);
        assert_eq!(of("DEBUG", "ERROR"), LevelFilter::DEBUG);
        assert_eq!(of("OFF", "TRACE"), LevelFilter::OFF);
        assert_eq!(of("", "JSON"), LevelFilter::TRACE);
        assert_eq!(of("", "1"), LevelFilter::TRACE);
    }

    #[test]
    fn a_line_is_what_terraform_parses() {
        struct Capture(Arc<Mutex<Vec<String>>>);
        impl<S: Subscriber> Layer<S> for Capture {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let noon = time::macros::datetime!(2026-03-01 12:00:00.05 UTC);
                self.0
                    .lock()
                    .unwrap()
                    .push(format_event(event, "ipam", noon));
            }
        }
        let lines = Arc::new(Mutex::new(Vec::new()));
        let subscriber = Registry::default().with(Capture(Arc::clone(&lines)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(count = 3, pool = "a\"b", error = %"no\nspace", "pool is {}", "full");
        });
        let line = &lines.lock().unwrap()[0];
        assert!(!line.contains('\n'), "one line each: {line}");
        let expected = json!({
            "@level": "warn", "@message": "pool is full", "@module": "ipam", "@timestamp": "2026-03-01T12:00:00.050000Z",
            "count": "3", "pool": "a\"b", "error": "no\nspace",
        });
        assert_eq!(serde_json::from_str::<Json>(line).unwrap(), expected);
    }
}
