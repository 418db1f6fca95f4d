//! A client of a real server, over one connection that is kept open: no retries, no timeouts of its own, and every
//! error is the caller's to see.

use std::net::SocketAddr;

use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use ipam_testing::TestServer;
use serde_json::Value;
use tokio::net::TcpStream;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub(crate) struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Null if there is no body.
    pub(crate) json: Value,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "ipam")
            .header("x-api-key", TestServer::API_KEY);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = if body.is_null() {
            Bytes::new()
        } else {
            request = request.header(header::CONTENT_TYPE, "application/json");
            body.to_string().into()
        };
        self.sender.ready().await?;
        let (parts, body) = self
            .sender
            .send_request(request.body(Full::new(body))?)
            .await?
            .into_parts();
        let body = body.collect().await?.to_bytes();
        let json = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body)?
        };
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            json,
        })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Reply> {
        self.send("GET", path, &[], &Value::Null).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Result<Reply> {
        self.send("POST", path, &[], body).await
    }
}
