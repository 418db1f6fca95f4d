//! A proxy that knows when the server has done what it was asked, and can keep the client from learning it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

const METHODS: [&str; 4] = ["GET ", "POST ", "PATCH ", "DELETE "];
/// How plans ask what creations would get, which makes nothing. Such requests pass.
const DRY_RUN: &[u8] = b"POST /api/v1/allocations/batch ";

/// What happens to requests of the chosen method.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The reply is thrown away and the connection closed: for that many of them.
    LoseReply(u32),
    /// The request does not reach the server until released.
    HoldRequest,
    /// The reply does not reach the client until released.
    HoldReply,
}

pub(crate) struct Proxy {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    method: &'static str,
    fault: Fault,
    /// How many requests or replies the fault has hit.
    hit: AtomicU32,
    released: Semaphore,
}

impl Proxy {
    /// A proxy in front of `server`. `method` is the first word of a request line, such as `POST`.
    pub(crate) async fn start(server: SocketAddr, method: &'static str, fault: Fault) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            server,
            method,
            fault,
            hit: AtomicU32::new(0),
            released: Semaphore::new(0),
        });
        let accepting = shared.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(accepting.clone(), client));
            }
        });
        Self { url, shared }
    }

    /// How many requests or replies the fault has hit so far.
    pub(crate) fn hits(&self) -> u32 {
        self.shared.hit.load(Ordering::SeqCst)
    }

    /// Lets everything that is held go on, from now on.
    pub(crate) fn release(&self) {
        self.shared.released.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

/// One connection: requests follow each other, so that what comes back belongs to the last one that went out.
async fn serve(shared: Arc<Shared>, mut client: TcpStream) {
    let Ok(mut server) = TcpStream::connect(shared.server).await else {
        return;
    };
    let (mut request, mut reply) = ([0; 64 << 10], [0; 64 << 10]);
    let mut chosen = false;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(1..) = read else { return };
                let request = &request[..read.unwrap()];
                // A body may come on its own, and is about the head before it.
                if METHODS.iter().any(|method| request.starts_with(method.as_bytes())) {
                    chosen = request.starts_with(shared.method.as_bytes())
                        && !request.starts_with(DRY_RUN);
                    if chosen && shared.fault == Fault::HoldRequest {
                        shared.hold().await;
                    }
                }
                if server.write_all(request).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut reply) => {
                let Ok(1..) = read else { return };
                if chosen {
                    match shared.fault {
                        Fault::LoseReply(times) => {
                            if shared.hit.fetch_add(1, Ordering::SeqCst) < times {
                                return;
                            }
                        }
                        Fault::HoldReply => shared.hold().await,
                        Fault::HoldRequest => {}
                    }
                }
                if client.write_all(&reply[..read.unwrap()]).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl Shared {
    async fn hold(&self) {
        self.hit.fetch_add(1, Ordering::SeqCst);
        self.released.acquire().await.unwrap().forget();
    }
}
