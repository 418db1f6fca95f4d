//! A TCP address in front of the socket of a PostgreSQL, that can be pointed at another one, held and cut. It is what an
//! address that moves at a failover is to servers, and a network that breaks is to a standby.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes on what it gets. Gone when dropped, with all that goes through it.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
    listener: JoinHandle<()>,
}

#[derive(Clone, Debug)]
struct State {
    target: PathBuf,
    is_held: bool,
    /// Connections of an earlier one are over.
    generation: u64,
}

impl Link {
    /// Listens on a free port for the PostgreSQL of this socket.
    pub(crate) async fn start(target: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let (state, seen) = watch::channel(State {
            target: target.to_path_buf(),
            is_held: false,
            generation: 0,
        });
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Whatever breaks ends the connection of both.
                tokio::spawn(pass(client, seen.clone()));
            }
        });
        Self {
            address,
            state,
            listener,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing gets through from now on, and nobody is told.
    pub fn hold(&self) {
        self.state.send_modify(|state| state.is_held = true);
    }

    /// What was held goes on, as if it had only been slow.
    pub fn release(&self) {
        self.state.send_modify(|state| state.is_held = false);
    }

    /// New connections reach the PostgreSQL of `target`; others go on where they lead.
    pub(crate) fn lead_to(&self, target: &Path) {
        self.state
            .send_modify(|state| state.target = target.to_path_buf());
    }

    /// Ends all connections, with what is under way in them. New ones reach the PostgreSQL of `target`.
    pub(crate) fn point_to(&self, target: &Path) {
        self.state.send_modify(|state| {
            state.target = target.to_path_buf();
            state.is_held = false;
            state.generation += 1;
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn pass(client: TcpStream, mut state: watch::Receiver<State>) -> io::Result<()> {
    let State {
        target, generation, ..
    } = state.borrow().clone();
    let postgres = UnixStream::connect(target).await?;
    client.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_postgres, to_postgres) = postgres.into_split();
    let (up, down) = (state.clone(), state.clone());
    tokio::select! {
        // An error means that the link is gone, and so is what went through it.
        _ = state.wait_for(|now| now.generation != generation) => Ok(()),
        done = copy(from_client, to_postgres, up, generation) => done,
        done = copy(from_postgres, to_client, down, generation) => done,
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    generation: u64,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        let now = state
            .wait_for(|now| !now.is_held || now.generation != generation)
            .await
            .map_err(io::Error::other)?
            .generation;
        if now != generation {
            // What was held is lost.
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
}
