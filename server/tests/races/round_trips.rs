//! How often the database is asked for one allocation: over a network each time is the longest part of it.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use ipam_server::domain::Ipam;
use ipam_testing::TestDatabase;
use tracing::{Event, Subscriber, field::Field};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

use crate::interleavings::{ask, caller};

/// The beginnings of the statements that were sent, as the driver logs them.
#[derive(Clone, Debug, Default)]
struct Statements(Arc<Mutex<Vec<String>>>);

impl Statements {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("nobody panics"))
    }
}

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "sqlx::query" {
            let mut summary = Summary(String::new());
            event.record(&mut summary);
            self.0.lock().expect("nobody panics").push(summary.0);
        }
    }
}

struct Summary(String);

impl tracing::field::Visit for Summary {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "summary" {
            self.0 = format!("{value:?}");
        }
    }
}

/// All of it happens on this thread, where the statements are counted.
#[tokio::test]
async fn a_request_that_is_alone_takes_two_round_trips() {
    let database = TestDatabase::new().await;
    let ipam = Ipam::new(database.pool(4));
    let statements = Statements::default();
    let _guard = tracing_subscriber::registry()
        .with(statements.clone())
        .set_default();
    // The first one of a server reads the address plan too.
    ipam.allocate(caller(), ask("known", None), None)
        .await
        .unwrap();
    assert!(statements.take().len() > 2, "they are not counted");
    for (vpc, name) in [("known", None), ("new", None), ("new", Some("named"))] {
        ipam.allocate(caller(), ask(vpc, name), None).await.unwrap();
        let mut sent = statements.take();
        // The last connection may not be back yet, and a new one looks where it leads before it is used.
        sent.retain(|statement| {
            !statement.contains("here.system_identifier")
                && !statement.contains("select case when not …")
        });
        assert_eq!(sent.len(), 2, "{vpc} {name:?}: {sent:#?}");
    }
}
