//! What comes before HTTP on a connection: the header of a proxy of TCP, and the TLS handshake. It is done where the first
//! bytes of a request are awaited, so that all limits on a first request hold for it too: its time, making room for others,
//! and the stop of the server.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    connection::Watched,
    proxied::{self, Header},
    slots::Joined,
    tls::Tls,
};
use crate::front::TrustedProxies;

/// How much is read at a time.
const CHUNK: usize = 1024;
/// How long to listen to somebody who was told to speak TLS, so that the answer arrives.
const FAREWELL: Duration = Duration::from_secs(1);

/// How connections begin.
#[derive(Clone, Debug, Default)]
pub struct Entrance {
    /// With a TLS handshake.
    pub tls: Option<Arc<Tls>>,
    /// From these, with a header of the PROXY protocol; from nobody if none.
    pub proxies: Option<TrustedProxies>,
}

impl Entrance {
    /// The connection of a client that has a slot.
    pub(super) fn open(&self, stream: Watched, joined: Joined) -> Io {
        let peer = joined.connection.peer;
        let has_header = self.proxies.as_ref().is_some_and(|it| it.contains(peer));
        let mut start = Start {
            stream,
            read: Vec::new(),
        };
        let tls = self.tls.clone();
        if !has_header && tls.is_none() {
            return Io::Open(Stream::Plain(start.rest(0)));
        }
        Io::Opening(Box::pin(async move {
            let mut length = 0;
            if has_header {
                length = start.header(&joined).await?;
            }
            match tls {
                None => Ok(Stream::Plain(start.rest(length))),
                Some(tls) => start.shake_hands(length, &tls).await,
            }
        }))
    }
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A connection on which something has to come before requests.
struct Start {
    stream: Watched,
    /// What was read of it.
    read: Vec<u8>,
}

impl Start {
    async fn more(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        let count = self.stream.read(&mut chunk).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read.extend_from_slice(&chunk[..count]);
        Ok(())
    }

    /// Reads the header of a proxy, which says for whom the connection is; returns its length.
    async fn header(&mut self, joined: &Joined) -> io::Result<usize> {
        loop {
            match proxied::parse(&self.read) {
                Header::Partial => self.more().await?,
                Header::Invalid(why) => {
                    tracing::warn!(
                        peer = %joined.connection.peer,
                        why,
                        "a connection of a trusted proxy was closed, because it does not begin as --proxy-protocol demands"
                    );
                    return Err(refused(why));
                }
                Header::Complete { length, client } => {
                    if let Some(client) = client
                        && !joined.is_for(client)
                    {
                        return Err(refused("the client has all its connections"));
                    }
                    return Ok(length);
                }
            }
        }
    }

    async fn shake_hands(mut self, length: usize, tls: &Tls) -> io::Result<Stream> {
        while self.read.len() <= length {
            self.more().await?;
        }
        // Requests begin with a letter, and handshakes never do.
        if self.read.get(length).is_some_and(u8::is_ascii_alphabetic) {
            return Err(self.speak_tls().await);
        }
        let accept = TlsAcceptor::from(tls.config()).accept(self.rest(length));
        Ok(Stream::Tls(Box::new(accept.await?)))
    }

    /// Tells somebody who sent plain HTTP what is wrong.
    async fn speak_tls(&mut self) -> io::Error {
        const SAID: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\
            Content-Length: 73\r\n\r\nThis server speaks TLS: the address has to begin with https://, not http.";
        let answer = async {
            self.stream.write_all(SAID).await?;
            self.stream.shutdown().await?;
            // If something is left unread, the answer is lost with it.
            let mut rest = [0; CHUNK];
            while self.stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        match tokio::time::timeout(FAREWELL, answer).await {
            Ok(Err(error)) => error,
            _ => refused("plain HTTP was sent to a server that speaks TLS"),
        }
    }

    /// The connection, from what follows the first bytes.
    fn rest(self, read: usize) -> Rest {
        Rest {
            read: self.read,
            taken: read,
            stream: self.stream,
        }
    }
}

/// A connection of which something was read before.
#[derive(Debug)]
pub(super) struct Rest {
    read: Vec<u8>,
    taken: usize,
    stream: Watched,
}

/// The byte stream of HTTP.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Rest),
    Tls(Box<TlsStream<Rest>>),
}

/// A connection from its first byte on.
pub(super) enum Io {
    Opening(Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>),
    Open(Stream),
    /// It did not begin as it has to.
    Closed,
}

impl AsyncRead for Rest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = this.read.get(this.taken..).unwrap_or_default();
        if left.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buffer);
        }
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..count]);
        this.taken += count;
        if this.taken == this.read.len() {
            this.read = Vec::new();
            this.taken = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Self::Opening(opening) = &mut *self {
            let opened = ready!(opening.as_mut().poll(cx));
            *self = match opened {
                Ok(stream) => Self::Open(stream),
                Err(error) => {
                    *self = Self::Closed;
                    return Poll::Ready(Err(error));
                }
            };
        }
        match &mut *self {
            Self::Open(Stream::Plain(stream)) => Pin::new(stream).poll_read(cx, buffer),
            Self::Open(Stream::Tls(stream)) => Pin::new(stream).poll_read(cx, buffer),
            Self::Opening(_) | Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

/// Nothing is written before the first request was read.
impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Open(Stream::Plain(stream)) => Pin::new(stream).poll_write(cx, bytes),
            Self::Open(Stream::Tls(stream)) => Pin::new(stream).poll_write(cx, bytes),
            Self::Opening(_) | Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Open(Stream::Plain(stream)) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Self::Open(Stream::Tls(stream)) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Self::Opening(_) | Self::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        // Asked when the connection is made. TLS copies what it gets anyway.
        match self {
            Self::Open(Stream::Plain(stream)) => stream.is_write_vectored(),
            _ => true,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Open(Stream::Plain(stream)) => Pin::new(stream).poll_flush(cx),
            Self::Open(Stream::Tls(stream)) => Pin::new(stream).poll_flush(cx),
            Self::Opening(_) | Self::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Open(Stream::Plain(stream)) => Pin::new(stream).poll_shutdown(cx),
            Self::Open(Stream::Tls(stream)) => Pin::new(stream).poll_shutdown(cx),
            Self::Opening(_) | Self::Closed => Poll::Ready(Ok(())),
        }
    }
}
