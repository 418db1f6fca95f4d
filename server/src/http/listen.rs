//! The accept loop: limits on connections and headers, and a stop that loses no request.
//!
//! It is our own because the framework's sets no time limit on headers, so that a few hundred clients that send nothing
//! could keep everybody else out.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use futures::FutureExt as _;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Connections at a time. Who comes later waits in the kernel's queue.
const CONNECTIONS: usize = 4096;
/// Time for the headers of a request; also how long an idle connection is kept.
const HEADERS: Duration = Duration::from_secs(10);
/// Most headers of a request.
const HEADER_COUNT: usize = 100;
/// Largest request line and headers together, in bytes; somewhat more passes when it arrives at once.
const HEADER_BYTES: usize = 64 << 10;
/// Time for running requests to end when the server stops.
const DRAIN: Duration = Duration::from_secs(25);

/// Time for requests to arrive on connections that were opened before the server stopped listening.
const ARRIVAL: Duration = Duration::from_millis(100);

/// Connections that the kernel keeps until they are accepted. Its default of 128 is less than what a few dozen Terraform
/// runs open at once, and who does not fit is kept waiting for seconds.
const BACKLOG: u32 = 4096;

/// Listens on an address; port 0 takes a free one.
///
/// # Errors
/// When the address is taken, or not one of this machine.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restart must not wait for the connections of the server before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop` resolves, then lets running requests end.
pub async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()>) {
    let service = TowerToHyperService::new(app);
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(HEADER_COUNT)
        .max_buf_size(HEADER_BYTES)
        // Who closes its side after the request, as `nc` does, is answered all the same.
        .half_close(true)
        .keep_alive(true);
    let handle = |stream: TcpStream, permit: OwnedSemaphorePermit| {
        // Replies are small and complete; waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let connection =
            graceful.watch(http.serve_connection(TokioIo::new(stream), service.clone()));
        tokio::spawn(async move {
            let _permit = permit;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    };
    let mut stop = std::pin::pin!(stop);
    loop {
        let accept = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accept => accepted,
        };
        match (permit, accepted) {
            (Ok(permit), Ok((stream, _))) => handle(stream, permit),
            (_, Err(error)) if !is_about_client(&error) => {
                // Out of file descriptors is no reason to stop.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // A client that left already. The semaphore is never closed.
            _ => {}
        }
    }
    // Who is in the kernel's queue believes to be connected, and would be cut off with the listener.
    while let (Ok(permit), Some(Ok((stream, _)))) = (
        Arc::clone(&connections).try_acquire_owned(),
        listener.accept().now_or_never(),
    ) {
        handle(stream, permit);
    }
    drop(listener);
    // Requests that are on their way when connections are closed are lost, so those get the time to arrive.
    if graceful.count() > 0 {
        tokio::time::sleep(ARRIVAL).await;
    }
    if tokio::time::timeout(DRAIN, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            "some requests did not end within {} seconds and were cut off",
            DRAIN.as_secs()
        );
    }
}

fn is_about_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
