//! Connections to the database, of two kinds.

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

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
}

impl Connections {
    /// Pools of equal size, where connections are opened as they are needed.
    pub fn new(pool: PgPoolOptions, database: PgConnectOptions) -> Self {
        pool.connect_lazy_with(database).into()
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
    /// The pool for all else, and another one like it for the hot path.
    fn from(usual: PgPool) -> Self {
        let database = PgConnectOptions::clone(&usual.connect_options()).options(HOT);
        let hot = usual.options().clone().connect_lazy_with(database);
        Self { usual, hot }
    }
}
