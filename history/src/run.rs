//! A run: one PostgreSQL, two servers, clients that work, faults, and the final check afterwards.

use std::{
    collections::BTreeMap,
    fmt,
    ops::RangeInclusive,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use ipam_postgres::Managed;
use ipam_testing::{TestServer, cluster_dir, ipam_binary};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::task::JoinHandle;

use crate::{
    check::{Broken, Ending, Figures, Finding, check},
    client::{Client, Common},
    dice::Dice,
    history::{History, Operation},
    last,
    nemesis::{Nemesis, start_postgres},
    saboteur::{Saboteur, Tamper},
};
pub use crate::{client::Habits, nemesis::Length};

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides what clients ask for and when faults come.
    pub seed: u64,
    /// How long clients begin new operations.
    pub length: Length,
    /// How many clients.
    pub clients: usize,
    /// Milliseconds between two faults.
    pub pauses: RangeInclusive<u64>,
    /// Whether only PostgreSQL is stopped.
    pub spare_servers: bool,
    /// How clients behave.
    pub habits: Habits,
    /// What is done to the database before the run.
    pub statements: &'static [&'static str],
    /// What is done to the servers.
    pub tamper: Option<Tamper>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// The seed of what was done.
    pub seed: u64,
    /// How much was done.
    pub figures: Figures,
    /// What the checker found.
    pub findings: Vec<Finding>,
    /// What `ipam verify` says, as an error if it found something.
    pub verified: Result<String, String>,
    /// Stored allocations in the end.
    pub stored: usize,
    /// Messages that were tampered with.
    pub tampered: u64,
    /// Errors of exclusion constraints that tampered servers ran into.
    pub violations: u64,
    /// Commits whose wait for the standby was cancelled.
    pub cancelled: usize,
    /// What the servers logged.
    pub logs: [String; 2],
}

/// Runs a plan and checks what came of it.
///
/// # Panics
/// When something fails that has nothing to do with what is checked, such as PostgreSQL not coming up again.
pub async fn run(plan: &Plan) -> Report {
    let dir = cluster_dir();
    let postgres = start_postgres(dir.path()).await;
    let saboteur = match plan.tamper {
        Some(tamper) => Some(
            Saboteur::start(&socket(&postgres), tamper)
                .await
                .expect("a port is free"),
        ),
        None => None,
    };
    let url = saboteur
        .as_ref()
        .map_or_else(|| postgres.database_url(), Saboteur::database_url);
    // The first one makes the schema.
    let first = TestServer::start_with(&url, &[]).await;
    prepare(&postgres, plan.statements).await;
    let servers = [first, TestServer::start_with(&url, &[]).await];

    let crowd = Crowd::start(plan.seed, plan.clients, plan.habits, &servers);
    let mut nemesis = Nemesis {
        dir: dir.path().to_path_buf(),
        postgres: Some(postgres),
        servers,
        dice: Dice::new(plan.seed, 0),
        begin: crowd.common.begin,
        pauses: plan.pauses.clone(),
        spare_servers: plan.spare_servers,
        length: plan.length,
        progress: Arc::clone(&crowd.common.progress),
        faults: Vec::new(),
    };
    nemesis.rage().await;
    let (common, mut history) = crowd.end().await;
    let Nemesis {
        postgres,
        servers,
        faults,
        ..
    } = nemesis;
    history.faults = faults;

    let postgres = postgres.expect("it is up again");
    let ending: Ending = last::look(&postgres.connect_options(), &common.servers).await;
    let verified = verify(&postgres.database_url()).await;
    let logs = servers.each_ref().map(TestServer::log);
    drop(servers);
    postgres.stop().await.expect("PostgreSQL stops");
    let count = |counter: fn(&Saboteur) -> &AtomicU64| {
        saboteur
            .as_ref()
            .map_or(0, |saboteur| counter(saboteur).load(Ordering::Relaxed))
    };
    Report {
        seed: plan.seed,
        figures: Figures::of(&history),
        findings: check(&history, &ending),
        verified,
        stored: ending.rows.len(),
        tampered: count(|saboteur| &saboteur.counts().tampered),
        violations: count(|saboteur| &saboteur.counts().violations),
        cancelled: 0,
        logs,
    }
}

/// The clients of a run, at work.
pub(crate) struct Crowd {
    pub(crate) common: Common,
    tasks: Vec<JoinHandle<Vec<Operation>>>,
}

impl Crowd {
    pub(crate) fn start(
        seed: u64,
        clients: usize,
        habits: Habits,
        servers: &[TestServer; 2],
    ) -> Self {
        let common = Common {
            servers: [servers[0].address(), servers[1].address()],
            begin: Instant::now(),
            progress: Arc::default(),
            habits,
        };
        let tasks = (0..clients)
            .zip(1..)
            .map(|(number, player)| {
                let client = Client::new(common.clone(), number, Dice::new(seed, player));
                tokio::spawn(client.work())
            })
            .collect();
        Self { common, tasks }
    }

    /// Waits for all of them, after the end was declared; with what they saw.
    pub(crate) async fn end(self) -> (Common, History) {
        let mut history = History::default();
        for task in self.tasks {
            history
                .operations
                .extend(task.await.expect("no client panics"));
        }
        (self.common, history)
    }
}

fn socket(postgres: &Managed) -> PathBuf {
    let options = postgres.connect_options();
    let dir = options.get_socket().expect("it has no other");
    dir.join(format!(".s.PGSQL.{}", options.get_port()))
}

async fn prepare(postgres: &Managed, statements: &[&'static str]) {
    let mut connection = postgres
        .connect_options()
        .connect()
        .await
        .expect("PostgreSQL is up");
    for statement in statements {
        let done = sqlx::query(*statement).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
    connection.close().await.expect("it closes");
}

/// The server's own proof, for what only it knows about, such as its list of free space.
pub(crate) async fn verify(database_url: &str) -> Result<String, String> {
    let output = tokio::process::Command::new(ipam_binary())
        .args(["verify", "--database-url", database_url])
        .env_clear()
        .output()
        .await
        .expect("the ipam binary can be started");
    let text = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    let text = text.join("\n").trim().to_owned();
    if output.status.success() {
        Ok(text)
    } else {
        Err(text)
    }
}

/// As many findings as help.
const SHOWN: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "{}", self.figures)?;
        writeln!(f, "{} allocations are stored", self.stored)?;
        if self.tampered > 0 {
            let (tampered, violations) = (self.tampered, self.violations);
            writeln!(
                f,
                "{tampered} messages were tampered with; the exclusion constraints refused {violations} times"
            )?;
        }
        if self.cancelled > 0 {
            writeln!(
                f,
                "{} waits of a commit for the standby were cancelled",
                self.cancelled
            )?;
        }
        match &self.verified {
            Ok(text) => writeln!(f, "ipam verify: {text}")?,
            Err(text) => writeln!(f, "ipam verify found: {text}")?,
        }
        let mut kinds: BTreeMap<Broken, usize> = BTreeMap::new();
        for finding in &self.findings {
            *kinds.entry(finding.broken).or_default() += 1;
        }
        write!(f, "{} findings {kinds:?}", self.findings.len())?;
        for finding in self.findings.iter().take(SHOWN) {
            write!(f, "\n  {finding}")?;
        }
        Ok(())
    }
}
