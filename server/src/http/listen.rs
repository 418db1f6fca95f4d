//! The accept loop: limits on connections and headers, and a stop that loses no request.
//!
//! It is our own because the framework limits neither heads nor replies, so that a few hundred clients that send nothing,
//! or read nothing, could keep everybody else out.

mod arriving;
mod connection;
mod leaving;
mod opening;
mod proxied;
mod slots;
pub mod tls;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::Request};
use futures::FutureExt as _;
use hyper::{
    body::Incoming,
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower::ServiceExt as _;

pub use self::opening::Entrance;
use self::{
    arriving::Arriving,
    connection::{Connection, Watched},
    leaving::Leaving,
    slots::Slots,
};
use crate::metrics::Metrics;

/// What the first bytes of a connection are to a reader of the PROXY protocol, see [`super::fuzzing`].
pub(super) fn proxied(bytes: &[u8]) -> Option<Result<(usize, Option<IpAddr>), &'static str>> {
    match proxied::parse(bytes) {
        proxied::Header::Partial => None,
        proxied::Header::Complete { length, client } => Some(Ok((length, client))),
        proxied::Header::Invalid(why) => Some(Err(why)),
    }
}

/// Maximum number of connections, if the limit of open files allows it.
const CONNECTIONS: usize = 4096;
/// File descriptors for everything other than clients' connections: the log, the runtime, the listener, a client that was
/// just accepted and one that is being closed, and a new connection to the database next to one that broke.
const OTHER_FILES: usize = 96;
/// Default for how long an idle connection is kept. Proxies that keep theirs for longer occasionally send a request into
/// one that is closing; most keep them for a minute.
pub const KEEP_ALIVE: u16 = 75;
/// How much of an unread reply the kernel buffers, in bytes. By default that is megabytes for each client.
const SEND_BUFFER: u32 = 64 << 10;
/// Interval at which to look for a connection that can make room.
const CROWDED: Duration = Duration::from_millis(20);
/// Maximum number of headers of a request.
const HEADER_COUNT: usize = 100;
/// Maximum size of request line and headers together, in bytes; slightly more passes if it arrives at once.
const HEADER_BYTES: usize = 64 << 10;
/// Time for running requests to end when the server stops.
const DRAIN: Duration = Duration::from_secs(25);

/// Time for requests to arrive on connections that were opened before the server stopped listening.
const ARRIVAL: Duration = Duration::from_millis(100);

/// Connections that the kernel keeps until they are accepted. Its default of 128 is less than what a few dozen Terraform
/// runs open at once, and connections that do not fit wait for seconds.
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
    // A restart must not wait for the connections of the previous server.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// How many connections there may be, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of connections.
    pub connections: usize,
    /// Maximum number of connections from one address.
    pub per_address: usize,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
}

impl Limits {
    /// Raises this process's limit of open files as far as possible, and allows as many connections as there are file
    /// descriptors left besides `reserved` ones. By default an address may have half of the connections: enough for a
    /// proxy, or for everybody behind one address, and never all of them.
    pub fn of_this_process(
        reserved: usize,
        per_address: Option<usize>,
        keep_alive: Duration,
    ) -> Self {
        let files = raise_file_limit().unwrap_or_else(|error| {
            tracing::warn!(%error, "the limit of open files could not be read");
            1024
        });
        let connections = files.saturating_sub(reserved + OTHER_FILES);
        let connections = connections.clamp(16, CONNECTIONS);
        if connections < CONNECTIONS {
            tracing::warn!(
                files,
                connections,
                "fewer than {CONNECTIONS} connections are accepted, because this process may open few files; raise its \
                 limit (LimitNOFILE= of systemd, ulimit -n)"
            );
        }
        Self {
            connections,
            per_address: per_address.unwrap_or(connections / 2).max(1),
            keep_alive,
        }
    }
}

/// The number of files that this process may have open from now on.
fn raise_file_limit() -> io::Result<usize> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // Systems with a lower limit of their own refuse; then it stays as it is.
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// The connection that a request came on, in its extensions.
#[derive(Clone, Debug)]
pub struct Peer {
    connection: Arc<Connection>,
    client: IpAddr,
    is_encrypted: bool,
}

impl Peer {
    /// The client: the one at the other end of the connection, or the one that a trusted proxy names.
    pub(crate) fn address(&self) -> IpAddr {
        self.client
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// The same connection, with the client that a proxy names for one request.
    pub(crate) fn of_client(self, client: IpAddr) -> Self {
        Self { client, ..self }
    }

    /// The client showed the right key, so the connection is kept when others have to make room.
    pub(crate) fn trust(&self) {
        self.connection.trust();
    }

    /// Holds an answer back. Meanwhile somebody else may get the slot.
    pub(crate) async fn delay(&self, duration: Duration) {
        self.connection.delay();
        tokio::time::sleep(duration).await;
        self.connection.go_on();
    }
}

async fn answer(
    app: Router,
    connection: Arc<Connection>,
    is_encrypted: bool,
    request: Request<Incoming>,
) -> io::Result<hyper::Response<Leaving>> {
    if !connection.begin() {
        return Err(io::Error::other("the connection has to make room"));
    }
    let (mut head, body) = request.into_parts();
    let (body, rest) = Arriving::new(body, Arc::clone(&connection));
    let waits = head.headers.contains_key(header::EXPECT);
    head.extensions.insert(Peer {
        client: connection.client(),
        connection: Arc::clone(&connection),
        is_encrypted,
    });
    let request = Request::from_parts(head, body);
    let mut response = match app.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if !rest.is_read(waits).await {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Ok(response.map(|body| Leaving(body, connection)))
}

/// Serves until `stop` resolves, then lets running requests finish.
///
/// TLS and proxies of TCP come before HTTP on each connection, as `entrance` says.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    entrance: Entrance,
    limits: Limits,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()>,
) {
    metrics.most_connections(limits.connections);
    let free = Arc::new(Semaphore::new(limits.connections));
    let slots = Slots::new(limits.per_address, metrics);
    let is_encrypted = entrance.tls.is_some();
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    // The timeout for heads is enforced where their bytes arrive.
    http.header_read_timeout(None)
        .max_headers(HEADER_COUNT)
        .max_buf_size(HEADER_BYTES)
        // A client that closes its side after the request, as `nc` does, is answered anyway.
        .half_close(true)
        .keep_alive(true);
    let handle = |stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit| {
        let Some(slot) = slots.take(peer.ip()) else {
            tracing::debug!(%peer, "an address has all the connections that it may have, and all are busy");
            return;
        };
        // Replies are small and complete; waiting for more to send would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let connection = Arc::clone(&slot.connection);
        let watched = Watched::new(stream, Arc::clone(&connection), limits.keep_alive);
        let io = entrance.open(watched, slot.joined());
        let app = app.clone();
        let service = service_fn(move |request| {
            answer(app.clone(), Arc::clone(&connection), is_encrypted, request)
        });
        let served = graceful.watch(http.serve_connection(TokioIo::new(io), service));
        tokio::spawn(async move {
            let _permit = permit;
            tokio::select! {
                ended = served => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                },
                () = slot.connection.evicted() => tracing::debug!("a connection made room"),
            }
        });
    };
    let mut stop = std::pin::pin!(stop);
    loop {
        let accept = async {
            let permit = slot(&free, &slots).await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut stop => break,
            accepted = accept => accepted,
        };
        match (permit, accepted) {
            (Some(permit), Ok((stream, peer))) => handle(stream, peer, permit),
            (_, Err(error)) if !is_about_client(&error) => {
                // Out of file descriptors is no reason to stop.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // A client that is already gone. The semaphore is never closed.
            _ => {}
        }
    }
    // Clients in the kernel's queue believe that they are connected, and would be cut off with the listener.
    while let (Ok(permit), Some(Ok((stream, peer)))) = (
        Arc::clone(&free).try_acquire_owned(),
        listener.accept().now_or_never(),
    ) {
        handle(stream, peer, permit);
    }
    drop(listener);
    // Requests that are on their way when connections are closed are lost, so they get time to arrive.
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

/// Waits for a slot, and makes room if all are taken: even for the last one, so that the next client is accepted at once.
async fn slot(free: &Arc<Semaphore>, slots: &Slots) -> Option<OwnedSemaphorePermit> {
    loop {
        if let Ok(permit) = Arc::clone(free).try_acquire_owned() {
            return Some(permit);
        }
        slots.make_room();
        // Connections that were told to close do so now; if none could be, one may be closable soon.
        let freed = Arc::clone(free).acquire_owned();
        if let Ok(permit) = tokio::time::timeout(CROWDED, freed).await {
            return permit.ok();
        }
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
