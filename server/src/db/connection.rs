//! One connection to the database, and a transaction on it.
//!
//! Nobody waits forever: each answer has a time limit, here and not with PostgreSQL, so that it also holds when the
//! network swallows what is sent. `statement_timeout` would not do: it cancels a commit that waits for a standby, and
//! PostgreSQL then reports success.
//!
//! A connection goes back to its pool outside of a transaction and in working order; otherwise it is closed.

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

/// Longest wait for one answer of the database, in which a wait for a lock (10 s) has its place.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// Longest wait for a commit, which may wait for a standby. Its outcome is not known afterwards.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(20);
/// Longest wait for one answer in work on all there is: imports, exports, proofs.
pub const LONG_PATIENCE: Duration = Duration::from_secs(600);
/// Time to bring a connection back into order before it is closed.
const TIDY: Duration = Duration::from_secs(5);

/// A connection, inside or outside of a transaction.
#[derive(Debug)]
pub struct Connection {
    /// None only when it is on its way back.
    raw: Option<Raw>,
    patience: Duration,
    /// Whether a statement is under way, or was when its caller gave up.
    is_busy: bool,
    is_in_transaction: bool,
    /// Whether a statement failed in the transaction, which can only be rolled back then.
    has_failed: bool,
    /// Whether it is of no use any more.
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

    /// From now on each answer may take so long.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Begins a statement: the driver's connection, and what watches over the answer.
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
        // The pool pings what comes back, without a limit; who does not answer is not kept, and its place is free again.
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

    /// There was no answer in time. What else is idle may be just as dead.
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
    /// Wakes the one who waits; made when somebody has to wait.
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
                "a transaction in which a statement failed was to be committed".to_owned(),
            ));
        }
        self.0.set_patience(COMMIT_PATIENCE);
        // Written as the driver writes it, which is how tests that stand between server and database know it.
        let (done, warning) = commit::listening(self.0.execute("COMMIT")).await;
        done?;
        self.0.set_patience(PATIENCE);
        self.0.is_in_transaction = false;
        warning.map_or(Ok(()), |warning| Err(commit::unconfirmed(&warning)))
    }

    /// Undoes it.
    pub async fn rollback(mut self) -> sqlx::Result<()> {
        self.0.roll_back().await
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
