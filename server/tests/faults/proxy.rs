//! A proxy in front of PostgreSQL that can stop to pass on what existing connections say, while new ones work: a firewall
//! that lost its state, or a host that vanished from the network.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, UnixStream},
    task::JoinHandle,
};

#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    /// Connections of earlier generations are swallowed.
    generation: Arc<AtomicU64>,
    listener: JoinHandle<()>,
}

impl Proxy {
    /// In front of the PostgreSQL that listens on this socket.
    pub(crate) async fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("server and proxy answer");
        let address = listener.local_addr().expect("server and proxy answer");
        let generation = Arc::new(AtomicU64::new(0));
        let current = Arc::clone(&generation);
        let listener = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (socket, current) = (socket.clone(), Arc::clone(&current));
                tokio::spawn(async move {
                    let Ok(server) = UnixStream::connect(socket).await else {
                        return;
                    };
                    let own = current.load(Ordering::SeqCst);
                    let (client_reads, client_writes) = client.into_split();
                    let (server_reads, server_writes) = server.into_split();
                    let there = pass(client_reads, server_writes, own, Arc::clone(&current));
                    let back = pass(server_reads, client_writes, own, current);
                    tokio::join!(there, back);
                });
            }
        });
        Self {
            address,
            generation,
            listener,
        }
    }

    /// The URL of a database behind it.
    pub(crate) fn url(&self, options: &PgConnectOptions) -> String {
        let database = options.get_database().expect("a database of its own");
        let user = options.to_url_lossy();
        format!("postgres://{}@{}/{database}", user.username(), self.address)
    }

    /// From now on nothing passes on the connections that exist, and none of them ends.
    pub(crate) fn swallow(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    own: u64,
    current: Arc<AtomicU64>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer).await {
        if current.load(Ordering::SeqCst) != own {
            // Neither what was said nor that somebody left is ever told.
            std::future::pending::<()>().await;
        }
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    _ = to.shutdown().await;
}
