//! The socket between Terraform and the provider: private to the user, and with TLS if Terraform asks for it.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;
use std::{env, iter};

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;

/// How long a client may take for the TLS handshake, and how long the end of a run may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Flow control windows: large enough for the schema and large states.
const WINDOW: u32 = 1 << 20;

/// A socket in a directory of its own, both removed at the end.
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    acceptor: Option<TlsAcceptor>,
    _directory: TempDir,
}

impl Listener {
    /// Binds a socket that only this user can reach, where the host wants it.
    pub(crate) fn bind(acceptor: Option<TlsAcceptor>) -> io::Result<Self> {
        let wanted = env::var_os("PLUGIN_UNIX_SOCKET_DIR").filter(|dir| !dir.is_empty());
        let wanted = wanted.map_or_else(env::temp_dir, PathBuf::from);
        // A path that is too long for a socket (about 100 bytes) is the usual reason for a second attempt.
        let mut result = Err(io::ErrorKind::NotFound.into());
        for directory in iter::once(wanted).chain([PathBuf::from("/tmp")]) {
            result = bind_in(&directory);
            if result.is_ok() {
                break;
            }
        }
        let (socket, path, directory) = result?;
        Ok(Self {
            socket,
            path,
            acceptor,
            _directory: directory,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Answers calls until `ended`, and then lets running ones finish.
    pub(crate) async fn serve(self, routes: Routes, ended: &CancellationToken) {
        let connections = TaskTracker::new();
        let routes = routes.prepare();
        while let Some(accepted) = ended.run_until_cancelled(self.socket.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    let work = serve_connection(
                        stream,
                        self.acceptor.clone(),
                        routes.clone(),
                        ended.clone(),
                    );
                    connections.spawn(work);
                }
                Err(error) => {
                    // Possibly out of file descriptors. Give the others a chance to finish.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::task::yield_now().await;
                }
            }
        }
        connections.close();
        if timeout(PATIENCE, connections.wait()).await.is_err() {
            tracing::warn!("calls still in progress were abandoned at the end");
        }
    }
}

fn bind_in(directory: &Path) -> io::Result<(UnixListener, PathBuf, TempDir)> {
    // The directory is closed to others from the start, so it does not matter that the socket gets its mode later.
    let directory = tempfile::Builder::new()
        .prefix("plugin-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(directory)?;
    let path = directory.path().join("socket");
    let socket = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok((socket, path, directory))
}

async fn serve_connection(
    stream: UnixStream,
    acceptor: Option<TlsAcceptor>,
    routes: Routes,
    ended: CancellationToken,
) {
    let Some(acceptor) = acceptor else {
        return serve_calls(stream, routes, ended).await;
    };
    match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve_calls(stream, routes, ended).await,
        Ok(Err(error)) => tracing::warn!(%error, "a client was refused"),
        Err(_) => tracing::warn!("a client was refused: it did not finish the TLS handshake"),
    }
}

async fn serve_calls<S>(stream: S, routes: Routes, ended: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(None)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut connection = pin!(connection);
    let result = match ended.run_until_cancelled(connection.as_mut()).await {
        Some(result) => result,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}
