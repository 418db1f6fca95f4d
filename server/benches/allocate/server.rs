//! The real server, as a process.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::load::{Client, request};

/// The administrator's key.
pub(crate) const KEY: &str = "bench-key-0123456789abcdef";

pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    /// From the start of the process until `/readyz` said yes.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(url: &str, dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join(format!("address-{}", uuid::Uuid::now_v7()));
        let start = Instant::now();
        let process = Command::new(env!("CARGO_BIN_EXE_ipam"))
            .args(["serve", "--listen", "127.0.0.1:0", "--address-file"])
            .arg(&file)
            .env("DATABASE_URL", url)
            .env("API_KEY", KEY)
            .env(
                "IPAM_TOKEN_PEPPER",
                "a pepper that only the benchmark knows",
            )
            .env("IPAM_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()?;
        let mut server = Self {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            ready_after: Duration::ZERO,
        };
        loop {
            if let Ok(text) = std::fs::read_to_string(&file) {
                server.address = text.trim().trim_start_matches("http://").parse()?;
                break;
            }
            ensure!(
                server.process.try_wait()?.is_none(),
                "the server ended at once"
            );
            ensure!(
                start.elapsed() < Duration::from_secs(30),
                "the server does not listen"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ask = request("GET", "/readyz", "");
        let mut client = Client::connect(server.address).await?;
        while client.call(&ask).await?.status != 200 {
            ensure!(
                start.elapsed() < Duration::from_secs(30),
                "the server does not get ready"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.ready_after = start.elapsed();
        Ok(server)
    }

    /// Resident memory, in MiB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))
            .context("the memory of a process is read from /proc, which only Linux has")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .context("/proc says nothing of VmRSS")?
            .parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
