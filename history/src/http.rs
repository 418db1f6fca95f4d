//! A minimal HTTP client: one connection that stays open, no retries, no timeouts. Every error is the
//! caller's to judge.

use std::{
    io::{Error, ErrorKind, Result},
    net::SocketAddr,
};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// An open connection. After an error it is of no use.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

/// An answer; the body is null if there is none.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) body: Option<Value>,
}

impl Request {
    pub(crate) fn new(method: &'static str, path: String) -> Self {
        Self {
            method,
            path,
            idempotency_key: None,
            body: None,
        }
    }
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) async fn send(&mut self, request: &Request, api_key: &str) -> Result<Reply> {
        let body = request
            .body
            .as_ref()
            .map(Value::to_string)
            .unwrap_or_default();
        let mut text = format!(
            "{} {} HTTP/1.1\r\nhost: ipam\r\nx-api-key: {api_key}\r\ncontent-length: {}\r\n",
            request.method,
            request.path,
            body.len()
        );
        if let Some(key) = &request.idempotency_key {
            text += &format!("idempotency-key: {key}\r\n");
        }
        if request.body.is_some() {
            text += "content-type: application/json\r\n";
        }
        text += "\r\n";
        text += &body;
        self.0.write_all(text.as_bytes()).await?;
        self.read().await
    }

    async fn read(&mut self) -> Result<Reply> {
        let first = self.line().await?;
        let status = first
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .ok_or_else(|| bad(&first))?;
        let mut length = None;
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad(&line))?;
            if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.trim().parse().map_err(|_| bad(&line))?);
            }
        }
        let length: usize = match length {
            Some(length) => length,
            None if status == 204 => 0,
            None => return Err(bad("no content-length")),
        };
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).await?;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(|error| bad(&error.to_string()))?
        };
        Ok(Reply { status, body })
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        // Without its end it was cut off.
        match line.strip_suffix("\r\n") {
            Some(line) => Ok(line.to_owned()),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn bad(what: &str) -> Error {
    Error::new(
        ErrorKind::InvalidData,
        format!("not the HTTP that is expected: {what}"),
    )
}
