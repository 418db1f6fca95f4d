//! Connections to the database, of two kinds.

use std::sync::Arc;

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::db::identity::{self, Standing};

/// Settings with which each statement of the hot path goes by an index, whatever the tables hold. Left to itself PostgreSQL
/// plans them anew at each call, or keeps a plan that it made while the tables were small.
const HOT: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// Two pools of connections to one database. So a crowd of readers leaves allocations theirs, and the other way round.
#[derive(Clone, Debug)]
pub struct Connections {
    /// For all else.
    pub usual: PgPool,
    /// For the statements that allocate, resize and release. These have fixed plans.
    pub hot: PgPool,
    /// Whether they lead to a database that was restored.
    pub standing: Arc<Standing>,
}

impl Connections {
    /// Pools of equal size, where connections are opened as they are needed.
    ///
    /// One that broke in a pool, such as by a restart of PostgreSQL, is replaced before anybody is told. For the usual ones
    /// a ping finds out, whatever is asked next. The hot path has no round trip to spare: its transactions begin again.
    pub fn new(pool: PgPoolOptions, database: PgConnectOptions) -> Self {
        let standing = Arc::default();
        let pool = identity::watched(pool, &standing);
        let hot = pool.clone().test_before_acquire(false);
        Self {
            usual: pool
                .test_before_acquire(true)
                .connect_lazy_with(database.clone()),
            hot: hot.connect_lazy_with(database.options(HOT)),
            standing,
        }
    }

    /// Both pools, each with what it is for.
    pub fn pools(&self) -> [(&'static str, &PgPool); 2] {
        [("allocation", &self.hot), ("other", &self.usual)]
    }

    /// Closes all of them, once nobody uses them any more.
    pub async fn close(&self) {
        self.usual.close().await;
        self.hot.close().await;
    }
}

impl From<PgPool> for Connections {
    /// Two pools with the options of one.
    fn from(pool: PgPool) -> Self {
        Self::new(
            pool.options().clone(),
            PgConnectOptions::clone(&pool.connect_options()),
        )
    }
}
