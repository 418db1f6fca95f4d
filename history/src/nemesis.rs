//! Kills servers and stops PostgreSQL, again and again, and starts them again.

use std::{
    ops::RangeInclusive,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use ipam_postgres::{Managed, Options};
use ipam_testing::TestServer;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    client::Progress,
    dice::Dice,
    history::{Fault, Kind},
};

/// How long something stays dead, in milliseconds.
const DEAD: RangeInclusive<u64> = 0..=300;

/// Changes that are acknowledged before the next fault, and how long that is waited for.
const WORK: u64 = 8;
const WORK_PATIENCE: Duration = Duration::from_secs(20);

/// How long a run lasts: at least this time and until this much has happened, unless that takes too long.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// The shortest time.
    pub least: Duration,
    /// The longest time, enough or not.
    pub most: Duration,
    /// Faults.
    pub faults: usize,
    /// Acknowledged changes.
    pub acknowledged: u64,
}

/// What can be killed, and by whom.
pub(crate) struct Nemesis {
    pub(crate) dir: PathBuf,
    /// Always there, except between its end and its next start.
    pub(crate) postgres: Option<Managed>,
    pub(crate) servers: [TestServer; 2],
    pub(crate) dice: Dice,
    /// When the clock of the run began.
    pub(crate) begin: Instant,
    /// Milliseconds between two faults.
    pub(crate) pauses: RangeInclusive<u64>,
    /// Servers live.
    pub(crate) spare_servers: bool,
    pub(crate) length: Length,
    pub(crate) progress: Arc<Progress>,
    pub(crate) faults: Vec<Fault>,
}

/// Starts PostgreSQL with everything on that keeps a commit.
pub(crate) async fn start_postgres(dir: &std::path::Path) -> Managed {
    Managed::start(dir, Options::default())
        .await
        .unwrap_or_else(|error| panic!("PostgreSQL does not start: {error}"))
}

/// A fault that hits nothing proves nothing: on a slow machine it takes a while until clients are at work again.
pub(crate) async fn wait_for_work(progress: &Progress) {
    let (begin, before) = (Instant::now(), progress.acknowledged());
    while progress.acknowledged() < before + WORK && begin.elapsed() < WORK_PATIENCE {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Nemesis {
    /// Runs as long as the run lasts, and declares its end. Everything is up again when it returns.
    pub(crate) async fn rage(&mut self) {
        let mut victim = self.dice.index(2);
        // Servers and PostgreSQL in turn, so that neither is spared by chance, and now and then both.
        for round in self.dice.index(2).. {
            let pause = Duration::from_millis(self.dice.within(self.pauses.clone()));
            tokio::time::sleep(pause).await;
            wait_for_work(&self.progress).await;
            if self.is_over() {
                self.progress.end();
                return;
            }
            let both = self.dice.percent(15);
            let kills = !self.spare_servers && (both || round % 2 == 0);
            let stops = !kills || both;
            if kills {
                victim = 1 - victim;
                self.faults.push(self.fault(Kind::Kill(victim)));
                self.servers[victim].kill_9();
            }
            if stops {
                self.stop_postgres().await;
                self.stay_dead().await;
                self.postgres = Some(start_postgres(&self.dir).await);
            }
            if kills {
                self.stay_dead().await;
                self.servers[victim].restart().await;
            }
        }
    }

    fn is_over(&self) -> bool {
        let elapsed = self.begin.elapsed();
        let enough = self.faults.len() >= self.length.faults
            && self.progress.acknowledged() >= self.length.acknowledged;
        elapsed >= self.length.most || (elapsed >= self.length.least && enough)
    }

    fn fault(&self, kind: Kind) -> Fault {
        Fault {
            kind,
            at: self.begin.elapsed(),
        }
    }

    /// An immediate stop: every session ends where it is, nothing is written any more.
    async fn stop_postgres(&mut self) {
        let postgres = self.postgres.take().expect("it was started");
        let pid = i32::try_from(postgres.pid()).expect("process numbers are small");
        self.faults.push(self.fault(Kind::Stop));
        kill(Pid::from_raw(pid), Signal::SIGQUIT).expect("it runs");
        postgres.exited().await;
    }

    async fn stay_dead(&mut self) {
        let pause = self.dice.within(DEAD);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}
