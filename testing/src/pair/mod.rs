//! Two PostgreSQL: a primary, and a standby that each commit waits for. The primary can be killed, the standby take over,
//! and the one that was killed be built anew as the standby of the other, as often as a test likes.
//!
//! Nothing is promoted that might lack what was acknowledged, as a cluster manager would see to: only a standby that was
//! in step, and a primary without one waits.

mod canceller;
mod node;

use std::time::Instant;

use ipam_postgres::{Managed, Options};
use sqlx::postgres::PgConnectOptions;

pub use canceller::Canceller;

use crate::cluster::cluster_dir;
use crate::link::Link;
use node::{Node, PATIENCE, POLL, connect};

/// A primary and its synchronous standby, with the database `ipam`, without a schema.
#[derive(Debug)]
pub struct Pair {
    nodes: [Node; 2],
    primary: usize,
    /// Leads to the primary.
    address: Link,
    /// Each leads to one of the two forever.
    fixed: [Link; 2],
    replication: Link,
}

impl Pair {
    /// Starts both, in a few seconds. A commit waits for the standby from the beginning.
    pub async fn start() -> Self {
        let dir = cluster_dir();
        let options = Options {
            durable: false,
            ..Options::default()
        };
        let managed = Managed::start(dir.path(), options)
            .await
            .unwrap_or_else(|error| panic!("PostgreSQL does not start: {error}"));
        let mut connection = connect(&managed.connect_options()).await;
        let bin_dir: String =
            sqlx::query_scalar("select setting from pg_config where name = 'BINDIR'")
                .fetch_one(&mut connection)
                .await
                .expect("pg_config can be read");
        drop(connection);
        managed.stop().await.expect("PostgreSQL stops");

        let mut first = Node::new(dir, bin_dir.as_ref());
        let mut second = Node::new(cluster_dir(), bin_dir.as_ref());
        first.run(None).await;
        let address = Link::start(&first.socket()).await;
        let fixed = [
            Link::start(&first.socket()).await,
            Link::start(&second.socket()).await,
        ];
        let replication = Link::start(&first.socket()).await;
        second.copy_from(&first).await;
        second.run(Some(&replication)).await;
        let pair = Self {
            nodes: [first, second],
            primary: 0,
            address,
            fixed,
            replication,
        };
        pair.wait_until_in_step().await;
        pair
    }

    /// The URL of the database at the address that moves along with the primary.
    #[must_use]
    pub fn url(&self) -> String {
        let address = self.address.address();
        format!("postgres://postgres@{address}/ipam?sslmode=disable")
    }

    /// A URL with the addresses of both, which stay where they are.
    #[must_use]
    pub fn url_of_both(&self) -> String {
        let [first, second] = self.fixed.each_ref().map(Link::address);
        format!(
            "postgres://postgres@{first},{second}/ipam?sslmode=disable&target_session_attrs=read-write"
        )
    }

    /// Leads the address that moves to the standby, as one that moved too early does, and ends what goes through it.
    pub fn lead_to_standby(&self) {
        self.address
            .point_to(&self.nodes[1 - self.primary].socket());
    }

    /// Leads it to the primary again. What goes through it to the standby goes on.
    pub fn lead_to_primary(&self) {
        self.address.lead_to(&self.nodes[self.primary].socket());
    }

    /// How to reach the primary of the moment, past the address.
    #[must_use]
    pub fn primary(&self) -> PgConnectOptions {
        self.nodes[self.primary].options()
    }

    /// What the standby is told by the primary goes through here: held, commits wait.
    #[must_use]
    pub fn replication(&self) -> &Link {
        &self.replication
    }

    /// Something that cancels waits for the standby, on the primary of the moment.
    pub async fn canceller(&self) -> Canceller {
        Canceller::new(connect(&self.primary()).await)
    }

    /// Kills the primary, loses what the standby has not got by then, and has the standby take over, which has no standby
    /// itself: its commits wait until [`Self::rebuild`].
    pub async fn fail_over(&mut self) {
        let standby = 1 - self.primary;
        self.nodes[self.primary].kill_9();
        // Cuts open connections. Nobody listens there any longer.
        self.replication
            .point_to(&self.nodes[self.primary].socket());
        let mut connection = connect(&self.nodes[standby].options()).await;
        let promoted: bool = sqlx::query_scalar("select pg_promote(true, 60)")
            .fetch_one(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("the standby is not promoted: {error}"));
        assert!(promoted, "the standby is not promoted");
        self.primary = standby;
        self.address.point_to(&self.nodes[standby].socket());
    }

    /// Kills the primary and starts it again, which takes no longer than its recovery.
    pub async fn restart(&mut self) {
        let primary = &mut self.nodes[self.primary];
        primary.kill_9();
        let socket = primary.socket();
        // Cuts what is under way, as the end of the machine would.
        self.address.point_to(&socket);
        self.replication.point_to(&socket);
        primary.run(None).await;
        self.wait_until_in_step().await;
    }

    /// Makes the one that was killed the standby of the other, and waits until commits wait for it.
    pub async fn rebuild(&mut self) {
        let (first, second) = self.nodes.split_at_mut(1);
        let (primary, standby) = match self.primary {
            0 => (&first[0], &mut second[0]),
            _ => (&second[0], &mut first[0]),
        };
        standby.copy_from(primary).await;
        self.replication.point_to(&primary.socket());
        standby.run(Some(&self.replication)).await;
        self.wait_until_in_step().await;
    }

    async fn wait_until_in_step(&self) {
        let mut connection = connect(&self.primary()).await;
        let begin = Instant::now();
        loop {
            let in_step: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_replication where state = 'streaming' and sync_state = 'sync'",
            )
            .fetch_one(&mut connection)
            .await
            .expect("pg_stat_replication can be read");
            if in_step == 1 {
                return;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "the standby does not follow:\n{}",
                self.nodes[1 - self.primary].log()
            );
            tokio::time::sleep(POLL).await;
        }
    }
}
