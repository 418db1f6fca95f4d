//! `ipam serve`: the server, until it is told to stop.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use nix::sys::resource::{Resource, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{database::Database, entrance::Door, manners::Asked};
use crate::{
    app::App,
    auth::Auth,
    domain::{Ipam, admission, seal::Sealer, webhook::delivery::Deliveries},
    http::listen::{self, Entrance},
    metrics::Metrics,
    outbound::{Outbound, address::Networks},
    router::router,
    secret::Peppers,
    settings,
    telemetry::{self, LogFormat},
};

/// Interval at which the audit log is sealed.
const SEAL_PAUSE: Duration = Duration::from_secs(1);

/// Run the server
#[derive(clap::Args)]
pub struct Serve {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDR",
        env = "IPAM_LISTEN",
        default_value = settings::LISTEN
    )]
    listen: SocketAddr,
    /// Write the address to this file once it listens, such as http://127.0.0.1:8000
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
    /// The administrator's API key; a managed server makes one if there is none
    #[arg(long, value_name = "KEY", env = "API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// File that holds the administrator's API key
    #[arg(long, value_name = "FILE", env = "API_KEY_FILE")]
    api_key_file: Option<PathBuf>,
    /// Accept tokens only, and not the administrator's key: for when there is a token with the role admin
    #[arg(long, env = "IPAM_NO_ADMIN_KEY", value_parser = clap::builder::BoolishValueParser::new())]
    no_admin_key: bool,
    /// The pepper with which secrets of tokens are hashed, 32 characters or more, the same on every server; several as
    /// 2:NEW,1:OLD. A managed server makes one if there is none
    #[arg(
        long,
        value_name = "PEPPER",
        env = "IPAM_TOKEN_PEPPER",
        hide_env_values = true
    )]
    token_pepper: Option<String>,
    /// File that holds the pepper
    #[arg(long, value_name = "FILE", env = "IPAM_TOKEN_PEPPER_FILE")]
    token_pepper_file: Option<PathBuf>,
    /// How long to keep answering after a stop signal, while /readyz already reports the server as not ready
    #[arg(
        long,
        value_name = "SECONDS",
        env = "IPAM_DRAIN_DELAY",
        default_value_t = 0,
        value_parser = clap::value_parser!(u16).range(..=600)
    )]
    drain_delay: u16,
    /// How long an idle connection is kept; must be longer than any proxy in front keeps it
    #[arg(
        long,
        value_name = "SECONDS",
        env = "IPAM_KEEP_ALIVE",
        default_value_t = listen::KEEP_ALIVE,
        value_parser = clap::value_parser!(u16).range(1..=3600)
    )]
    keep_alive: u16,
    /// Maximum connections from one address, or from one IPv6 /64; default: half of all
    #[arg(
        long,
        value_name = "N",
        env = "IPAM_CONNECTIONS_PER_ADDRESS",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    connections_per_address: Option<u32>,
    /// Maximum concurrent requests for space from the same pools; four times as many reads, a sixteenth as many other
    /// changes of allocations, a quarter as many changes of anything else
    #[arg(
        long,
        value_name = "N",
        env = "IPAM_REQUESTS_IN_FLIGHT",
        default_value_t = admission::IN_FLIGHT,
        value_parser = clap::value_parser!(u32).range(4..)
    )]
    requests_in_flight: u32,
    /// Answer /metrics without the API key; it reveals the names of pools and how full they are
    #[arg(long, env = "IPAM_METRICS_OPEN", value_parser = clap::builder::BoolishValueParser::new())]
    metrics_open: bool,
    /// Format of log lines
    #[arg(long, value_enum, env = "IPAM_LOG_FORMAT", default_value_t)]
    log_format: LogFormat,
    /// File to which each new head of the audit log is appended, with its time; `ipam verify --expect-heads` checks it
    #[arg(long, value_name = "FILE", env = "IPAM_AUDIT_HEADS")]
    audit_heads: Option<PathBuf>,
    /// Leave the database schema alone, and start only if it is the one of this release; see `ipam migrate --grant-to`
    #[arg(long, env = "IPAM_NO_MIGRATE", value_parser = clap::builder::BoolishValueParser::new())]
    no_migrate: bool,
    /// Networks that are not public and that webhooks may be sent to all the same, in clear too, such as
    /// 10.1.0.0/16,fd12::/16; all others are refused
    #[arg(
        long,
        value_name = "CIDRS",
        env = "IPAM_WEBHOOK_NETWORKS",
        default_value = "",
        hide_default_value = true
    )]
    webhook_networks: Networks,
    #[command(flatten)]
    asked: Asked,
    #[command(flatten)]
    door: Door,
    #[command(flatten)]
    database: Database,
}

/// What is ready before the database is.
struct Open {
    listener: TcpListener,
    entrance: Entrance,
    hangup: Option<Signal>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Serve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serve")
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

impl Serve {
    /// Serves until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// When the address is taken, the database can't be used, or there is no key.
    pub async fn run(self) -> anyhow::Result<()> {
        telemetry::init(self.log_format);
        leave_no_core();
        let mut stop = Signals::new()?;
        let key = settings::secret(
            "API_KEY",
            self.api_key.as_deref(),
            self.api_key_file.as_deref(),
        )?;
        let metrics = Arc::<Metrics>::default();
        let entrance = self.door.open(&metrics)?;
        // From now on, so that it ends no server that has a certificate to read again, not even one that is starting.
        let hangup = match &entrance.tls {
            Some(_) => Some(signal(SignalKind::hangup()).context("SIGHUP can't be caught")?),
            None => None,
        };
        // Before the database is touched, so that starting a second server by mistake fails at once and harmlessly.
        let listener = listen::bind(self.listen).with_context(|| {
            format!(
                "cannot listen on {}; choose another address with --listen",
                self.listen
            )
        })?;
        // Startup may take long, for example while the database recovers from a crash; aborting it is harmless.
        let opened = tokio::select! {
            opened = self.database.open_to_serve() => opened?,
            () = stop.next() => return Ok(()),
        };
        let open = Open {
            listener,
            entrance,
            hangup,
            metrics,
        };
        let served = self.serve(&opened, open, key, stop).await;
        let closed = opened.close().await;
        served.and(closed)
    }

    /// The configured peppers, else that of a managed server; else none, and then there are no tokens.
    fn peppers(&self, data_dir: Option<&std::path::Path>) -> anyhow::Result<Peppers> {
        let set = settings::secret(
            "IPAM_TOKEN_PEPPER",
            self.token_pepper.as_deref(),
            self.token_pepper_file.as_deref(),
        )?;
        match (set, data_dir) {
            (Some(text), _) => Peppers::parse(&text),
            (None, Some(dir)) => Peppers::parse(&settings::read_or_make_pepper(dir)?),
            (None, None) => Ok(Peppers::default()),
        }
    }

    fn limits(&self, opened: &super::database::Opened) -> listen::Limits {
        let pools = opened.connections.pools();
        let most = pools.map(|(_, pool)| pool.options().get_max_connections());
        // One more for each, to replace a broken one.
        let reserved = 2 * most.into_iter().sum::<u32>() as usize;
        let per_address = self.connections_per_address.map(|most| most as usize);
        let keep_alive = Duration::from_secs(self.keep_alive.into());
        listen::Limits::of_this_process(reserved, per_address, keep_alive)
    }

    async fn serve(
        &self,
        opened: &super::database::Opened,
        open: Open,
        key: Option<String>,
        mut stop: Signals,
    ) -> anyhow::Result<()> {
        let auth = if self.no_admin_key {
            Auth::without_administrator()
        } else {
            Auth::new(&administrators_key(key, opened.data_dir.as_deref())?)
        };
        tokio::select! {
            prepared = opened.prepare(self.no_migrate) => prepared?,
            () = stop.next() => return Ok(()),
        }
        opened.check_durability().await?;
        let Open {
            listener,
            entrance,
            hangup,
            metrics,
        } = open;
        let peppers = self.peppers(opened.data_dir.as_deref())?;
        let ipam = Ipam::new(opened.connections.clone())
            .with_requests_in_flight(self.requests_in_flight)
            .with_peppers(peppers)
            .with_outbound(Outbound::new(self.webhook_networks.clone()))
            .with_metrics(Arc::clone(&metrics));
        // The first connection detects whether the database was restored.
        drop(ipam.read().await?);
        let origin = tokio::spawn(ipam.clone().look_at_origin_forever());
        let address = listener
            .local_addr()
            .context("the address of the listener is not known")?;
        let app = App::new(ipam.clone(), auth)
            .with_open_metrics(self.metrics_open)
            .with_front(self.door.front())
            .with_manners(self.asked.manners())
            .listening_on(address);
        let certificate = entrance.tls.clone().zip(hangup);
        let certificate =
            certificate.map(|(tls, hangup)| tokio::spawn(tls.keep_up_to_date(hangup)));
        let sealer = Sealer::default().with_heads(self.audit_heads.clone());
        let sealer = tokio::spawn(sealer.run(ipam.clone(), SEAL_PAUSE));
        let webhooks = Deliveries::new(ipam.clone());
        let deliveries = tokio::spawn(webhooks.clone().run());
        let cooldowns = tokio::spawn(ipam.clone().end_cooldowns_forever());
        let scheme = if certificate.is_some() {
            "https"
        } else {
            "http"
        };
        if let Some(path) = &self.address_file {
            write_whole(path, &format!("{scheme}://{address}\n"))?;
        }
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            "ipam listens on {scheme}://{address}"
        );
        if let Some(managed) = &opened.managed {
            tracing::info!("the database: {}", managed.psql_hint());
        }
        let draining = app.clone();
        let stop = async {
            // If a managed database dies, so does the server: there is nothing left to serve.
            let died = async {
                match &opened.managed {
                    Some(managed) => managed.exited().await,
                    None => std::future::pending().await,
                }
            };
            let mut died = std::pin::pin!(died);
            let mut error = tokio::select! {
                () = stop.next() => None,
                error = &mut died => Some(error),
            };
            draining.drain();
            if error.is_none() && self.drain_delay > 0 {
                tracing::info!(
                    "stopping in {} s, so that load balancers notice; another signal skips the wait",
                    self.drain_delay
                );
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(self.drain_delay.into())) => {}
                    () = stop.next() => {}
                    late = died => error = Some(late),
                }
            }
            tracing::info!("stopping: running requests are finished first");
            error
        };
        let mut died = None;
        let limits = self.limits(opened);
        let stop = async { died = stop.await };
        listen::serve(listener, router(app), entrance, limits, metrics, stop).await;
        if let Some(certificate) = certificate {
            certificate.abort();
        }
        sealer.abort();
        if let Err(error) = ipam.write_notes().await {
            tracing::warn!(%error, "the last denials and exports could not be recorded");
        }
        deliveries.abort();
        // Nothing of it goes on any more.
        _ = deliveries.await;
        if let Err(error) = webhooks.let_go().await {
            tracing::debug!(%error, "other servers wait a little before they deliver webhooks");
        }
        cooldowns.abort();
        origin.abort();
        match died {
            Some(error) => Err(error).context("the managed PostgreSQL ended"),
            None => Ok(()),
        }
    }
}

/// If this process dies of a signal, the system keeps no image of its memory, which has keys and secrets in it.
fn leave_no_core() {
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(%error, "core dumps could not be switched off; they would contain keys");
    }
    // A program that collects them is run whatever the limit, unless the process is marked.
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!(%error, "core dumps could not be switched off; they would contain keys");
    }
}

/// The configured key, else that of a managed server.
fn administrators_key(
    set: Option<String>,
    data_dir: Option<&std::path::Path>,
) -> anyhow::Result<String> {
    match (set, data_dir) {
        (Some(key), _) => {
            let key = key.trim().to_owned();
            settings::check_key(&key)?;
            Ok(key)
        }
        (None, Some(dir)) => {
            let key = settings::read_or_make_key(dir)?;
            settings::check_key(&key)?;
            tracing::info!(
                "the administrator's API key is in {}",
                settings::key_file(dir).display()
            );
            Ok(key)
        }
        (None, None) => anyhow::bail!(
            "set API_KEY to the administrator's API key, or API_KEY_FILE to a file that holds it: a server on a \
            database that it does not manage makes none"
        ),
    }
}

/// SIGINT and SIGTERM.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("SIGINT can't be caught")?,
            terminate: signal(SignalKind::terminate()).context("SIGTERM can't be caught")?,
        })
    }

    /// Resolves at the next of them.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Writes a file that a reader sees whole or not at all.
fn write_whole(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, text)
        .and_then(|()| std::fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
