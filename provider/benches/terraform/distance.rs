//! A server that is far away: each request reaches it late.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

pub(crate) struct Distance {
    pub(crate) url: String,
}

impl Distance {
    /// A way to `server` on which a request and its reply together take `latency` longer.
    pub(crate) async fn before(server: SocketAddr, latency: Duration) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, latency));
            }
        });
        Self { url }
    }
}

/// Requests on one connection follow each other, so whatever arrives waits once.
async fn pass(mut client: TcpStream, server: SocketAddr, latency: Duration) -> Option<()> {
    let mut server = TcpStream::connect(server).await.ok()?;
    client.set_nodelay(true).ok()?;
    server.set_nodelay(true).ok()?;
    let (mut request, mut reply) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut answered = true;
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let Ok(length @ 1..) = read else { return None };
                if answered {
                    tokio::time::sleep(latency).await;
                    answered = false;
                }
                server.write_all(&request[..length]).await.ok()?;
            }
            read = server.read(&mut reply) => {
                let Ok(length @ 1..) = read else { return None };
                answered = true;
                client.write_all(&reply[..length]).await.ok()?;
            }
        }
    }
}
