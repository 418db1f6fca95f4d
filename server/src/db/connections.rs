//! The connections to the database: of three kinds, to one host or to the primary among several.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions as _, Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    connection::{Connection, Transaction},
    error::{is_connection, is_slow},
    identity::{self, Standing},
    trust::Trust,
};

/// Settings with which each statement of the hot path uses an index, whatever the tables hold. By default PostgreSQL plans
/// them again at each call, or keeps a plan that it made while the tables were small.
const HOT: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// How long an idle connection may take to show that it is alive.
const PING: Duration = Duration::from_secs(2);
/// How often the runtime's clock is looked at while there are connections.
const TICK: Duration = Duration::from_secs(1);
/// Timeout for one host to say whether it is the primary.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Three pools of connections to one database, so that a crowd of readers does not starve allocations, and writes that wait
/// for locks or a standby do not starve readers.
#[derive(Clone, Debug)]
pub struct Connections {
    /// For reads.
    pub usual: PgPool,
    /// For changes other than those of the hot path.
    pub changes: PgPool,
    /// For the statements that allocate, resize and release. These have fixed plans.
    pub hot: PgPool,
    /// Whether they lead to a database that was restored.
    pub standing: Arc<Standing>,
    /// The timeline of the primary that a connection was made to last.
    timeline: Arc<AtomicU32>,
    trust: Arc<Trust>,
    /// Where the database may be; more than one if there are standbys.
    hosts: Arc<[PgConnectOptions]>,
    /// Held while looking for the primary; when that was last done.
    search: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

impl Connections {
    /// Pools where connections are opened as they are needed: two fifths of them for the hot path, two for reads and one for
    /// other changes.
    ///
    /// A connection that broke in a pool, such as by a restart of PostgreSQL, is replaced before any caller notices. For
    /// reads and changes a ping detects it before the next statement. The hot path has no round trip to spare: its
    /// transactions begin again.
    pub fn new(most: u32, pool: PgPoolOptions, hosts: Vec<PgConnectOptions>) -> Self {
        let trust = Arc::<Trust>::default();
        let changes = (most / 5).max(1);
        let hot = (most.saturating_sub(changes) / 2).max(1);
        let usual = most.saturating_sub(changes + hot).max(1);
        Self::of(pool, hosts, trust, [usual, changes, hot])
    }

    fn of(
        pool: PgPoolOptions,
        hosts: Vec<PgConnectOptions>,
        trust: Arc<Trust>,
        [usual, changes, hot]: [u32; 3],
    ) -> Self {
        tokio::spawn(tick(Arc::downgrade(&trust)));
        let first = hosts.first().cloned().unwrap_or_default();
        let standing = Arc::<Standing>::default();
        let timeline = Arc::<AtomicU32>::default();
        let made = |most, is_hot: bool| {
            let (trust, standing) = (Arc::clone(&trust), Arc::clone(&standing));
            let timeline = Arc::clone(&timeline);
            let pool = pool
                .clone()
                .max_connections(most)
                .test_before_acquire(false)
                .after_connect(move |connection, _| {
                    let (standing, timeline) = (Arc::clone(&standing), Arc::clone(&timeline));
                    Box::pin(async move {
                        let now = timeline_of_primary(connection).await?;
                        timeline.store(now, Ordering::Relaxed);
                        identity::look(connection, &standing).await
                    })
                })
                .before_acquire(move |connection, meta| {
                    let is_trusted = trust.holds(meta.idle_for);
                    Box::pin(async move {
                        if !is_trusted || is_hot {
                            return Ok(is_trusted);
                        }
                        let ping = tokio::time::timeout(PING, connection.ping()).await;
                        Ok(matches!(ping, Ok(Ok(()))))
                    })
                });
            pool.connect_lazy_with(options(&first, is_hot))
        };
        Self {
            usual: made(usual, false),
            changes: made(changes, false),
            hot: made(hot, true),
            standing: Arc::clone(&standing),
            timeline: Arc::clone(&timeline),
            trust: Arc::clone(&trust),
            hosts: hosts.into(),
            search: Arc::default(),
        }
    }

    /// All pools, each with what it is for.
    pub fn pools(&self) -> [(&'static str, &PgPool); 3] {
        [
            ("allocation", &self.hot),
            ("change", &self.changes),
            ("read", &self.usual),
        ]
    }

    /// Closes all of them, once they are no longer in use.
    pub async fn close(&self) {
        futures::future::join_all(self.pools().map(|(_, pool)| pool.close())).await;
    }

    /// A connection for a read.
    pub async fn read(&self) -> sqlx::Result<Connection> {
        self.acquire(&self.usual).await
    }

    /// A connection for a change that locks nothing before it writes.
    pub async fn hot(&self) -> sqlx::Result<Connection> {
        self.acquire(&self.hot).await
    }

    /// Begins a transaction that reads.
    pub async fn begin_read(&self, statement: &str) -> sqlx::Result<Transaction> {
        Transaction::begin(self.read().await?, statement.to_owned()).await
    }

    /// Begins a transaction that changes something, with a statement of several.
    pub async fn begin_change(&self, statement: &str) -> sqlx::Result<Transaction> {
        Transaction::begin(self.acquire(&self.changes).await?, statement.to_owned()).await
    }

    /// Begins a transaction on the hot path with a statement of several, since each round trip counts. A connection that
    /// broke in the pool is replaced: nothing was sent on it that could be executed twice.
    pub async fn begin_hot(&self, statement: &str) -> sqlx::Result<Transaction> {
        for _ in 0..self.hot.options().get_max_connections() {
            // Without an idle one, a new one is opened: if that fails, retrying at once will not help.
            let may_be_broken = self.hot.num_idle() > 0;
            let connection = self.hot().await?;
            match Transaction::begin(connection, statement.to_owned()).await {
                Err(error) if may_be_broken && is_connection(&error) && !is_slow(&error) => {}
                other => return other,
            }
        }
        Transaction::begin(self.hot().await?, statement.to_owned()).await
    }

    async fn acquire(&self, pool: &PgPool) -> sqlx::Result<Connection> {
        let acquired = match pool.acquire().await {
            Err(error) if is_connection(&error) && self.hosts.len() > 1 => {
                self.find_primary().await;
                pool.acquire().await
            }
            acquired => acquired,
        };
        Ok(Connection::pooled(acquired?, Arc::clone(&self.trust)))
    }

    /// Finds out which of the hosts is the primary, and directs all new connections there. A caller that comes while
    /// another one is looking waits for its result.
    pub async fn find_primary(&self) {
        let asked = Instant::now();
        let mut last = self.search.lock().await;
        if last.is_some_and(|last| last > asked) {
            return;
        }
        for host in &*self.hosts {
            let found = tokio::time::timeout(ATTEMPT, async {
                let mut connection = host.connect().await?;
                let writable = super::is_writable(&mut connection).await?;
                connection.close().await.ok();
                Ok::<_, sqlx::Error>(writable)
            });
            match found.await {
                Ok(Ok(true)) => {
                    tracing::info!("{}:{} is the primary", host.get_host(), host.get_port());
                    for (purpose, pool) in self.pools() {
                        pool.set_connect_options(options(host, purpose == "allocation"));
                    }
                    self.trust.lose();
                    break;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "{}:{} does not answer", host.get_host(), host.get_port());
                }
                Err(_) => {
                    tracing::warn!("{}:{} does not answer", host.get_host(), host.get_port());
                }
            }
        }
        *last = Some(Instant::now());
    }

    /// Since when it is in doubt whether the database takes changes, if it is.
    pub fn in_doubt_since(&self) -> Option<Instant> {
        self.trust.lost().changes
    }

    /// It takes changes, as a check found that began at `looked`.
    pub fn believe(&self, looked: Instant) {
        let mut lost = self.trust.lost();
        if lost.changes.is_some_and(|since| since < looked) {
            lost.changes = None;
        }
    }

    /// Changes with each failover, which may have undone what was read before.
    pub fn timeline(&self) -> u32 {
        self.timeline.load(Ordering::Relaxed)
    }

    /// Where the database may be.
    pub fn hosts(&self) -> &[PgConnectOptions] {
        &self.hosts
    }
}

fn options(host: &PgConnectOptions, is_hot: bool) -> PgConnectOptions {
    if is_hot {
        host.clone().options(HOT)
    } else {
        host.clone()
    }
}

/// Sleeps, again and again, as long as there are connections.
///
/// Each answer has a timeout, and a timer that would fire before all others wakes the thread that waits for the network, so
/// that it sleeps for less: a system call and two thread switches for each statement. With this one there is always a timer
/// that fires earlier.
async fn tick(trust: Weak<Trust>) {
    while trust.strong_count() > 0 {
        tokio::time::sleep(TICK).await;
    }
}

/// A connection to a standby is rejected when it is opened, instead of by each change that fails.
async fn timeline_of_primary(connection: &mut sqlx::PgConnection) -> sqlx::Result<u32> {
    super::timeline(connection).await?.ok_or_else(|| {
        sqlx::Error::Io(std::io::Error::other(
            "the database is a standby, which takes no writes",
        ))
    })
}

impl From<PgPool> for Connections {
    /// Pools that are as large as one, and lead where it leads.
    fn from(pool: PgPool) -> Self {
        let most = pool.options().get_max_connections();
        Self::of(
            pool.options().clone(),
            vec![PgConnectOptions::clone(&pool.connect_options())],
            Arc::default(),
            [most; 3],
        )
    }
}
