//! Cancelling commits that wait for the standby.

use std::collections::HashSet;

use sqlx::PgConnection;

/// Cancels commits that wait for the standby, each once: PostgreSQL then warns and says that they are done.
#[derive(Debug)]
pub struct Canceller {
    connection: PgConnection,
    /// Sessions, with when their statement began.
    seen: HashSet<(i32, String)>,
}

impl Canceller {
    /// By this session of a superuser on the primary.
    pub(super) fn new(connection: PgConnection) -> Self {
        Self {
            connection,
            seen: HashSet::new(),
        }
    }

    /// How many commits wait at the moment.
    pub async fn waiting(&mut self) -> usize {
        self.waits().await.len()
    }

    /// Cancels those that wait at the moment and were not cancelled before; how many.
    pub async fn cancel(&mut self) -> usize {
        let mut cancelled = 0;
        for wait in self.waits().await {
            let pid = wait.0;
            if self.seen.insert(wait) {
                sqlx::query("select pg_cancel_backend($1)")
                    .bind(pid)
                    .execute(&mut self.connection)
                    .await
                    .expect("a superuser may cancel");
                cancelled += 1;
            }
        }
        cancelled
    }

    async fn waits(&mut self) -> Vec<(i32, String)> {
        sqlx::query_as(
            "select pid, query_start::text from pg_stat_activity where wait_event = 'SyncRep' and query_start is not null",
        )
        .fetch_all(&mut self.connection)
        .await
        .expect("pg_stat_activity can be read")
    }
}
