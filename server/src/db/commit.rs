//! How PostgreSQL reports a commit: every statement that commits is run here.
//!
//! A commit that waits for a synchronous standby can be cancelled: by an operator, by a timeout, by a shutdown of
//! PostgreSQL. By then it can't be undone, so PostgreSQL reports success and warns (SQLSTATE 01000, or 57P01) that the
//! standby might not have it. A caller that took this for success would own something that the next failover loses and that
//! is then given to somebody else. So a commit that came with a warning counts as one whose outcome is not known. The other
//! causes of such a warning are just as bad: a commit outside a transaction (25P01), or a session that is about to be
//! terminated.
//!
//! The driver reports warnings only to the log. So the statement that commits runs under a subscriber of its own, which
//! sees the driver's warnings whatever the server is configured to log (even nothing), and forwards everything to the
//! server's log. The severity is what counts: the text is in the language of the database.

use std::{cell::RefCell, fmt::Debug, future::poll_fn, pin::pin, sync::LazyLock};

use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber,
    dispatcher::{get_default, with_default},
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
    subscriber::Interest,
};

/// Where the driver logs PostgreSQL's notices.
const NOTICES: &str = "sqlx::postgres::notice";

/// Runs a statement that is a transaction of its own, and turns a warning into the error that it is.
pub async fn heeding<T>(
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let (done, warning) = listening(statement).await;
    match warning {
        Some(warning) => done.and(Err(unconfirmed(&warning))),
        None => done,
    }
}

/// The error for a commit that came with a warning.
pub(super) fn unconfirmed(warning: &str) -> sqlx::Error {
    sqlx::Error::Protocol(format!("PostgreSQL committed, and warned: {warning}"))
}

/// Runs a statement; returns the first warning that came meanwhile, too.
pub(super) async fn listening<F: Future>(statement: F) -> (F::Output, Option<String>) {
    let mut statement = pin!(statement);
    let mut warning = None;
    let done = poll_fn(|context| {
        let server = get_default(Dispatch::clone);
        let outer = HEARING.replace(Some(Hearing {
            server,
            warning: None,
        }));
        let polled = with_default(&EAR, || statement.as_mut().poll(context));
        if let Some(heard) = HEARING.replace(outer) {
            warning = warning.take().or(heard.warning);
        }
        polled
    })
    .await;
    (done, warning)
}

/// What was logged while a statement was polled.
struct Hearing {
    /// The log that it would go to without this.
    server: Dispatch,
    warning: Option<String>,
}

thread_local! {
    static HEARING: RefCell<Option<Hearing>> = const { RefCell::new(None) };
}

/// One for all statements: creating one means visiting every callsite that can log.
static EAR: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Ear));

/// Records the driver's warnings, and forwards everything to the server's log.
struct Ear;

impl Ear {
    fn is_warning(metadata: &Metadata<'_>) -> bool {
        // Levels are ordered by verbosity: what is worse than a warning compares as less.
        metadata.target() == NOTICES && *metadata.level() <= Level::WARN
    }

    /// The log of the server. A span may outlive the statement that it was made in.
    fn server() -> Dispatch {
        HEARING
            .with_borrow(|hearing| hearing.as_ref().map(|hearing| hearing.server.clone()))
            .unwrap_or_else(|| get_default(Dispatch::clone))
    }
}

impl Subscriber for Ear {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Self::is_warning(metadata) {
            Interest::always()
        } else {
            // It depends on the server's log, which is asked each time.
            Interest::sometimes()
        }
    }

    /// No more than is needed here: what the server does not log costs nothing.
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        Self::is_warning(metadata) || Self::server().enabled(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        if Self::is_warning(event.metadata()) {
            let mut text = Text::default();
            event.record(&mut text);
            HEARING.with_borrow_mut(|hearing| {
                if let Some(hearing) = hearing {
                    hearing.warning.get_or_insert(text.0);
                }
            });
        }
        let server = Self::server();
        if server.enabled(event.metadata()) {
            server.event(event);
        }
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        Self::server().new_span(span)
    }

    fn record(&self, span: &span::Id, values: &span::Record<'_>) {
        Self::server().record(span, values);
    }

    fn record_follows_from(&self, span: &span::Id, follows: &span::Id) {
        Self::server().record_follows_from(span, follows);
    }

    fn enter(&self, span: &span::Id) {
        Self::server().enter(span);
    }

    fn exit(&self, span: &span::Id) {
        Self::server().exit(span);
    }

    fn clone_span(&self, span: &span::Id) -> span::Id {
        Self::server().clone_span(span)
    }

    fn try_close(&self, span: span::Id) -> bool {
        Self::server().try_close(span)
    }
}

/// The message of an event.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _};

    use super::*;

    /// Remembers what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        /// A log as the server has it.
        fn subscriber(&self, filter: &str) -> impl Subscriber + Send + Sync + 'static {
            let log = self.clone();
            tracing_subscriber::registry()
                .with(EnvFilter::new(filter))
                .with(
                    fmt::layer()
                        .with_ansi(false)
                        .with_writer(move || log.clone()),
                )
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    async fn statement() -> Result<u8, sqlx::Error> {
        let span = tracing::info_span!("inside");
        tokio::task::yield_now().await;
        span.in_scope(|| tracing::warn!(target: "sqlx::query", "slow statement"));
        tracing::info!("only told");
        tracing::debug!("not even told");
        tokio::task::yield_now().await;
        Ok(1)
    }

    async fn warned() -> Result<u8, sqlx::Error> {
        let done = statement().await;
        // Logs as the driver does.
        if tracing::enabled!(target: "sqlx::postgres::notice", Level::WARN) {
            tracing::event!(target: "sqlx::postgres::notice", Level::WARN, message = "Warten abgebrochen");
        }
        tokio::task::yield_now().await;
        done
    }

    fn said(error: &sqlx::Error) -> String {
        assert!(crate::db::error::is_unknown(error), "{error}");
        error.to_string()
    }

    #[tokio::test]
    async fn a_warning_is_heard_whatever_is_logged() {
        assert_eq!(heeding(statement()).await.unwrap(), 1);
        let error = heeding(warned()).await.unwrap_err();
        assert!(said(&error).contains("Warten abgebrochen"), "{error}");
        for filter in ["off", "error", "info", "trace"] {
            let log = Log::default();
            let _default = tracing::subscriber::set_default(log.subscriber(filter));
            assert_eq!(heeding(statement()).await.unwrap(), 1);
            said(&heeding(warned()).await.unwrap_err());
            assert_eq!(
                heeding(statement()).await.unwrap(),
                1,
                "the next one is not to blame"
            );
        }
    }

    #[tokio::test]
    async fn the_log_gets_what_it_got_before() {
        for filter in ["off", "warn", "info", "debug", "sqlx::query=warn"] {
            let (before, log) = (Log::default(), Log::default());
            let without_times = |log: &Log| {
                let text = log.text();
                let lines = text
                    .lines()
                    .map(|line| line.split_once(' ').unwrap_or_default().1.to_owned());
                lines.collect::<Vec<_>>()
            };
            for (log, is_heeded) in [(&before, false), (&log, true)] {
                let _default = tracing::subscriber::set_default(log.subscriber(filter));
                let span = tracing::info_span!("request", id = 7);
                let work = async {
                    if is_heeded {
                        heeding(warned()).await.unwrap_err();
                    } else {
                        warned().await.unwrap();
                    }
                    tracing::info!("and on it goes");
                };
                tracing::Instrument::instrument(work, span).await;
            }
            assert_eq!(without_times(&log), without_times(&before), "{filter}");
            assert_eq!(log.text().contains("slow statement"), filter != "off");
        }
    }

    /// Two on one thread, alternating.
    #[tokio::test]
    async fn statements_at_the_same_time_are_not_mixed_up() {
        let (first, second, third) = tokio::join!(
            heeding(statement()),
            heeding(warned()),
            heeding(statement())
        );
        assert!(first.is_ok() && third.is_ok());
        said(&second.unwrap_err());
    }
}
