//! Clients in a closed loop over HTTP, and what they see: each sends its next request when the answer is there. Knows the
//! wire and the clock, nothing of what is asked.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::server::KEY;

/// One connection that is kept open.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came back.
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a str,
}

impl Reply<'_> {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends a request of [`request`] and reads the whole reply.
    pub(crate) async fn call(&mut self, request: &[u8]) -> anyhow::Result<Reply<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut ends = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the server closed the connection");
            if ends.is_none() {
                ends = head(&self.buffer)?;
            }
            if let Some((status, head, end)) = ends
                && self.buffer.len() >= end
            {
                let body = std::str::from_utf8(&self.buffer[head..end])?;
                return Ok(Reply { status, body });
            }
        }
    }

    /// Makes a token, and answers its secret.
    pub(crate) async fn token(&mut self, new: &str) -> anyhow::Result<String> {
        let reply = self.call(&request("POST", "/api/v1/tokens", new)).await?;
        let token: serde_json::Value = serde_json::from_str(reply.body)?;
        let secret = token["secret"].as_str();
        Ok(secret
            .with_context(|| format!("no secret: {token}"))?
            .to_owned())
    }

    /// [`Self::call`], timed; what does not succeed counts as failed.
    pub(crate) async fn time(
        &mut self,
        request: &[u8],
        samples: &mut Samples,
    ) -> anyhow::Result<Option<Reply<'_>>> {
        let start = Instant::now();
        let reply = self.call(request).await?;
        let elapsed = start.elapsed();
        if reply.is_success() {
            samples.times.push(elapsed);
            return Ok(Some(reply));
        }
        samples.failed += 1;
        if samples.first_failure.is_none() {
            samples.first_failure = Some(format!("{} {}", reply.status, reply.body));
        }
        Ok(None)
    }
}

/// Status, where the head ends and where the body does, once the head is there.
fn head(buffer: &[u8]) -> anyhow::Result<Option<(u16, usize, usize)>> {
    let Some(head) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&buffer[..head])?.to_ascii_lowercase();
    let status = text.get(9..12).context("no status")?.parse()?;
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = match length {
        Some(length) => length.trim().parse()?,
        None if status == 204 => 0,
        None => anyhow::bail!("a reply without a length: {text}"),
    };
    Ok(Some((status, head + 4, head + 4 + length)))
}

/// A request as it goes over the wire.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nx-api-key: {KEY}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The same request, with another key.
pub(crate) fn with_key(request: Vec<u8>, key: &str) -> Vec<u8> {
    String::from_utf8_lossy(&request)
        .replace(KEY, key)
        .into_bytes()
}

/// What one client saw.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// Of the calls that succeeded.
    pub(crate) times: Vec<Duration>,
    pub(crate) failed: usize,
    first_failure: Option<String>,
}

/// What some clients saw together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    /// Calls that succeeded.
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) failed: usize,
}

/// Runs clients, each until the deadline.
pub(crate) async fn measure<F, T>(clients: Vec<F>, seconds: f64) -> anyhow::Result<Run>
where
    F: FnOnce(Instant) -> T,
    T: Future<Output = anyhow::Result<Samples>> + Send + 'static,
{
    let start = Instant::now();
    let deadline = start + Duration::from_secs_f64(seconds);
    let handles: Vec<_> = clients
        .into_iter()
        .map(|client| tokio::spawn(client(deadline)))
        .collect();
    let mut all = Samples::default();
    for handle in handles {
        let samples = handle.await??;
        all.times.extend(samples.times);
        all.failed += samples.failed;
        all.first_failure = all.first_failure.or(samples.first_failure);
    }
    all.run(start.elapsed())
}

impl Samples {
    /// The figures, for calls that took `elapsed` together.
    pub(crate) fn run(mut self, elapsed: Duration) -> anyhow::Result<Run> {
        if let Some(failure) = &self.first_failure {
            println!("a call failed: {failure}");
        }
        let times = &mut self.times;
        times.sort_unstable();
        ensure!(!times.is_empty(), "nothing was done in {elapsed:?}");
        let at =
            |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
        Ok(Run {
            per_second: times.len() as f64 / elapsed.as_secs_f64(),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            failed: self.failed,
        })
    }
}

/// The median of each figure by itself, and all failures.
pub(crate) fn median(runs: &[Run]) -> Run {
    let middle = |figure: fn(&Run) -> f64| middle(runs.iter().map(figure));
    Run {
        per_second: middle(|run| run.per_second),
        p50_ms: middle(|run| run.p50_ms),
        p99_ms: middle(|run| run.p99_ms),
        failed: runs.iter().map(|run| run.failed).sum(),
    }
}

/// The median.
pub(crate) fn middle(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
