//! One connection to the database, and a transaction on it.
//!
//! Nothing waits forever: each answer has a timeout, set here and not in PostgreSQL, so that it also holds when the network
//! drops what is sent. `statement_timeout` is no alternative: it cancels a commit that waits for a standby, and PostgreSQL
//! then reports success.
//!
//! A connection returns to its pool outside a transaction and in working order; otherwise it is closed.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt as _, future::BoxFuture, stream::BoxStream};
use sqlx::{
    AssertSqlSafe, Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::{
    commit,
    error::{is_connection, is_read_only},
    trust::Trust,
};

/// Timeout for one answer of the database, which includes a wait for a lock (10 s).
pub const PATIENCE: Duration = Duration::from_secs(15);
/// Timeout for a commit, which may wait for a standby. Afterwards its outcome is not known.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(20);
/// Timeout for one answer during work on the whole database: imports, exports, verification.
pub const LONG_PATIENCE: Duration = Duration::from_secs(600);
/// Time to reset a connection before it is closed instead.
const TIDY: Duration = Duration::from_secs(5);

/// A connection, inside or outside a transaction.
#[derive(Debug)]
pub struct Connection {
    /// None only while it is being returned.
    raw: Option<Raw>,
    patience: Duration,
    /// Whether a statement is running, or was when its caller gave up.
    is_busy: bool,
    is_in_transaction: bool,
    /// Whether a statement failed in the transaction, which can only be rolled back then.
    has_failed: bool,
    /// Whether it is no longer usable.
    is_broken: bool,
    trust: Option<Arc<Trust>>,
}

#[derive(Debug)]
enum Raw {
    Pooled(PoolConnection<Postgres>),
    Own(Box<PgConnection>),
}

impl From<PgConnection> for Connection {
    /// A connection that belongs to no pool.
    fn from(connection: PgConnection) -> Self {
        Self::new(Raw::Own(Box::new(connection)), None)
    }
}

impl Connection {
    /// One that a pool lent.
    pub(super) fn pooled(connection: PoolConnection<Postgres>, trust: Arc<Trust>) -> Self {
        Self::new(Raw::Pooled(connection), Some(trust))
    }

    fn new(raw: Raw, trust: Option<Arc<Trust>>) -> Self {
        Self {
            raw: Some(raw),
            patience: PATIENCE,
            is_busy: false,
            is_in_transaction: false,
            has_failed: false,
            is_broken: false,
            trust,
        }
    }

    /// Sets the timeout of each answer from now on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Begins a statement: the driver's connection, and the timeout of the answer.
    fn watched(&mut self) -> (&mut PgConnection, Watch<'_>) {
        self.is_busy = true;
        let raw = match self.raw.as_mut().expect("a connection that is in use") {
            Raw::Pooled(connection) => &mut **connection,
            Raw::Own(connection) => connection,
        };
        let watch = Watch {
            is_busy: &mut self.is_busy,
            has_failed: &mut self.has_failed,
            is_broken: &mut self.is_broken,
            trust: self.trust.as_deref(),
            patience: self.patience,
        };
        (raw, watch)
    }

    async fn run(&mut self, statement: String) -> sqlx::Result<()> {
        self.execute(AssertSqlSafe(statement)).await.map(drop)
    }

    async fn roll_back(&mut self) -> sqlx::Result<()> {
        self.execute("ROLLBACK").await?;
        self.is_in_transaction = false;
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(Raw::Pooled(mut connection)) = self.raw.take() else {
            return;
        };
        let runtime = tokio::runtime::Handle::try_current();
        let (false, false, Ok(runtime)) = (self.is_broken, self.is_busy, runtime) else {
            connection.close_on_drop();
            return;
        };
        let is_in_transaction = self.is_in_transaction;
        // The pool pings returned connections, without a timeout; one that does not answer is not kept, and its slot is
        // freed.
        runtime.spawn(async move {
            let tidied = tokio::time::timeout(TIDY, async {
                if is_in_transaction {
                    connection.execute("ROLLBACK").await?;
                }
                connection.return_to_pool().await;
                Ok::<_, sqlx::Error>(())
            });
            if !matches!(tidied.await, Ok(Ok(()))) {
                connection.close_on_drop();
            }
        });
    }
}

/// What an answer means for the connection.
struct Watch<'c> {
    is_busy: &'c mut bool,
    has_failed: &'c mut bool,
    is_broken: &'c mut bool,
    trust: Option<&'c Trust>,
    patience: Duration,
}

impl Watch<'_> {
    /// The statement is over, well or with an error.
    fn ends(&mut self, error: Option<&sqlx::Error>) {
        *self.is_busy = false;
        let Some(error) = error else { return };
        *self.has_failed = true;
        if is_connection(error) {
            *self.is_broken = true;
        }
        if let Some(trust) = self.trust
            && is_read_only(error)
        {
            trust.lose();
        }
    }

    /// There was no answer in time. Other idle connections may be just as dead.
    fn hangs(&mut self) -> sqlx::Error {
        *self.has_failed = true;
        *self.is_broken = true;
        if let Some(trust) = self.trust {
            trust.lose_all();
        }
        sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!(
                "the database gave no answer within {} s",
                self.patience.as_secs()
            ),
        ))
    }

    async fn limit<T>(
        mut self,
        answer: impl Future<Output = sqlx::Result<T>> + Send,
    ) -> sqlx::Result<T> {
        match tokio::time::timeout(self.patience, answer).await {
            Ok(answer) => {
                self.ends(answer.as_ref().err());
                answer
            }
            Err(_) => Err(self.hangs()),
        }
    }
}

/// The answers to statements, each of which may take the same time.
struct Answers<'c, T> {
    inner: BoxStream<'c, sqlx::Result<T>>,
    watch: Watch<'c>,
    /// Wakes the waiter; created when something has to wait.
    limit: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl<T> Stream for Answers<'_, T> {
    type Item = sqlx::Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.inner.poll_next_unpin(context) {
            Poll::Ready(item) => {
                this.limit = None;
                match &item {
                    None => this.watch.ends(None),
                    Some(Err(error)) => this.watch.ends(Some(error)),
                    Some(Ok(_)) => {}
                }
                Poll::Ready(item)
            }
            Poll::Pending => {
                let patience = this.watch.patience;
                let limit = this
                    .limit
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
                if limit.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(this.watch.hangs())))
            }
        }
    }
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (raw, watch) = self.watched();
        Answers {
            inner: raw.fetch_many(query),
            watch,
            limit: None,
        }
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (raw, watch) = self.watched();
        Box::pin(watch.limit(raw.fetch_optional(query)))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        let (raw, watch) = self.watched();
        Box::pin(watch.limit(raw.prepare_with(sql, parameters)))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'c: 'e,
    {
        let (raw, watch) = self.watched();
        Box::pin(watch.limit(raw.describe(sql)))
    }
}

/// A transaction. It is rolled back when it is dropped.
#[derive(Debug)]
pub struct Transaction(Connection);

impl Transaction {
    /// Begins one with a statement, which may hold others that follow the `begin`.
    pub(super) async fn begin(mut connection: Connection, statement: String) -> sqlx::Result<Self> {
        connection.is_in_transaction = true;
        connection.has_failed = false;
        connection.run(statement).await?;
        Ok(Self(connection))
    }

    /// Commits. With an error for which [`is_unknown`](super::error::is_unknown) holds it may have been done anyway, or
    /// be missing after a failover.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        if self.0.has_failed {
            // PostgreSQL would answer such a commit with a rollback, and no error.
            return Err(sqlx::Error::InvalidArgument(
                "tried to commit a transaction in which a statement failed".to_owned(),
            ));
        }
        self.0.set_patience(COMMIT_PATIENCE);
        // Spelled as the driver spells it, which is how tests that sit between server and database recognise it.
        let (done, warning) = commit::listening(self.0.execute("COMMIT")).await;
        done?;
        self.0.set_patience(PATIENCE);
        self.0.is_in_transaction = false;
        warning.map_or(Ok(()), |warning| Err(commit::unconfirmed(&warning)))
    }

    /// Rolls it back.
    pub async fn rollback(mut self) -> sqlx::Result<()> {
        self.0.roll_back().await
    }
}

impl From<Transaction> for Connection {
    /// The connection inside its transaction, which ends when the connection is returned.
    fn from(transaction: Transaction) -> Self {
        transaction.0
    }
}

impl std::ops::Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl std::ops::DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
