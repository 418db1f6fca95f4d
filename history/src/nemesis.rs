//! Kills servers and stops PostgreSQL, again and again, and starts them again.

use std::{
    ops::RangeInclusive,
    path::PathBuf,
    time::{Duration, Instant},
};

use ipam_postgres::{Managed, Options};
use ipam_testing::TestServer;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    dice::Dice,
    history::{Fault, Kind},
};

/// How long something stays dead, in milliseconds.
const DEAD: RangeInclusive<u64> = 0..=300;

/// What can be killed, and by whom.
pub(crate) struct Nemesis {
    pub(crate) dir: PathBuf,
    /// Always there, but for the moment between its end and its next start.
    pub(crate) postgres: Option<Managed>,
    pub(crate) servers: [TestServer; 2],
    pub(crate) dice: Dice,
    /// When the clock of the run began.
    pub(crate) begin: Instant,
    /// Milliseconds between two faults.
    pub(crate) pauses: RangeInclusive<u64>,
    /// Servers live.
    pub(crate) spare_servers: bool,
    pub(crate) faults: Vec<Fault>,
}

/// Starts PostgreSQL with everything on that keeps a commit.
pub(crate) async fn start_postgres(dir: &std::path::Path) -> Managed {
    Managed::start(dir, Options::default())
        .await
        .unwrap_or_else(|error| panic!("PostgreSQL does not start: {error}"))
}

impl Nemesis {
    /// Rages until `end`; everything is up again when it returns.
    pub(crate) async fn rage(&mut self, end: Instant) {
        let mut victim = self.dice.index(2);
        // Servers and PostgreSQL in turn, so that neither is spared by chance, and now and then both.
        for round in self.dice.index(2).. {
            let pause = Duration::from_millis(self.dice.within(self.pauses.clone()));
            if Instant::now() + pause >= end {
                return;
            }
            tokio::time::sleep(pause).await;
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
