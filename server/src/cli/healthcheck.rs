//! `ipam healthcheck`: asks a server how it is, for containers without a shell or curl.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::{
    anybody,
    output::{Failure, printable},
};
use crate::settings;

/// An answer that takes longer does not count.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much of an answer is read at most, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// Ask the server on this machine whether it can do its work: exit code 0 if so, else 1
#[derive(Debug, clap::Args)]
pub struct Healthcheck {
    /// Address of the server, such as http://127.0.0.1:8000, if it is not the one of --listen
    #[arg(long, value_name = "URL")]
    url: Option<Uri>,
    /// Address the server was told to listen on; all addresses (0.0.0.0, [::]) means this machine
    #[arg(
        long,
        value_name = "ADDR",
        env = "IPAM_LISTEN",
        default_value = settings::LISTEN
    )]
    listen: SocketAddr,
    /// The certificate of the server, if it has one: then it is asked by TLS, and not checked for who it is, since it is
    /// told nothing
    #[arg(
        long,
        value_name = "FILE",
        env = "IPAM_TLS_CERT",
        default_value = "",
        hide_default_value = true
    )]
    tls_cert: String,
    /// Ask only whether the process is alive (/healthz), not about its database
    #[arg(long)]
    live: bool,
}

impl Healthcheck {
    /// # Errors
    /// When the server says no, or does not answer in time.
    pub async fn run(self) -> Result<String, Failure> {
        let Place {
            scheme,
            authority,
            host,
            port,
        } = self.place()?;
        let path = if self.live { "/healthz" } else { "/readyz" };
        let refused = |why: String| Failure::Refused(format!("{scheme}://{authority}{path} {why}"));
        let asked = ask(scheme, &authority, (&host, port), path);
        match tokio::time::timeout(PATIENCE, asked).await {
            Err(_) => Err(refused(format!(
                "did not answer within {} s",
                PATIENCE.as_secs()
            ))),
            Ok(Err(error)) => Err(refused(format!("does not answer: {error}"))),
            Ok(Ok((StatusCode::OK, _))) => Ok(format!("{scheme}://{authority}{path} says yes\n")),
            Ok(Ok((status, said))) => Err(refused(format!(
                "says no: {}{}{said}",
                status.as_u16(),
                if said.is_empty() { "" } else { ", " }
            ))),
        }
    }

    fn place(&self) -> Result<Place, Failure> {
        if let Some(url) = &self.url {
            let refuse = |why| Failure::Refused(format!("--url {url}: {why}"));
            let (scheme, default_port) = match url.scheme_str() {
                Some("http") => ("http", 80),
                Some("https") => ("https", 443),
                _ => return Err(refuse("must look like http://HOST:PORT")),
            };
            if !matches!(url.path(), "" | "/") {
                return Err(refuse("must look like http://HOST:PORT"));
            }
            let authority = url.authority().ok_or_else(|| refuse("names no host"))?;
            return Ok(Place {
                scheme,
                authority: authority.to_string(),
                host: authority.host().trim_matches(['[', ']']).to_owned(),
                port: authority.port_u16().unwrap_or(default_port),
            });
        }
        let mut address = self.listen;
        if address.port() == 0 {
            let why = "the server listens on a port that it chose itself; name it with --url";
            return Err(Failure::Refused(why.to_owned()));
        }
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Ok(Place {
            scheme: match self.tls_cert.trim() {
                "" => "http",
                _ => "https",
            },
            authority: address.to_string(),
            host: address.ip().to_string(),
            port: address.port(),
        })
    }
}

/// Whom to ask.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    scheme: &'static str,
    /// As written in URLs.
    authority: String,
    host: String,
    port: u16,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A byte stream, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The status, and the body if there is one.
async fn ask(
    scheme: &str,
    authority: &str,
    place: (&str, u16),
    path: &str,
) -> Result<(StatusCode, String), Error> {
    let stream = TcpStream::connect(place).await?;
    let stream: Box<dyn Stream> = match scheme {
        "https" => Box::new(anybody::shake_hands(stream, place.0).await?),
        _ => Box::new(stream),
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the process at the latest.
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let reply = sender.send_request(request).await?;
    let status = reply.status();
    let body = Limited::new(reply.into_body(), LONGEST_ANSWER);
    let body = body.collect().await?.to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default();
    Ok((status, printable(message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: Option<&str>, listen: &str, certificate: &str) -> Result<Place, Failure> {
        let healthcheck = Healthcheck {
            url: url.map(|url| url.parse().unwrap()),
            listen: listen.parse().unwrap(),
            tls_cert: certificate.to_owned(),
            live: false,
        };
        healthcheck.place()
    }

    fn expected(scheme: &'static str, authority: &str, host: &str, port: u16) -> Place {
        Place {
            scheme,
            authority: authority.to_owned(),
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn it_asks_where_the_server_listens() {
        for (listen, authority, host) in [
            ("127.0.0.1:8000", "127.0.0.1:8000", "127.0.0.1"),
            ("0.0.0.0:8000", "127.0.0.1:8000", "127.0.0.1"),
            ("[::]:8000", "[::1]:8000", "::1"),
            ("10.0.0.1:8000", "10.0.0.1:8000", "10.0.0.1"),
        ] {
            for (scheme, certificate) in [("http", " "), ("https", "/etc/ipam/tls.crt")] {
                let expected = expected(scheme, authority, host, 8000);
                assert_eq!(place(None, listen, certificate).unwrap(), expected);
            }
        }
        assert!(place(None, "0.0.0.0:0", "").is_err());
    }

    #[test]
    fn it_asks_where_it_is_told() {
        let of = |url| place(Some(url), "0.0.0.0:0", "cert.pem");
        let named = expected("http", "ipam:81", "ipam", 81);
        assert_eq!(of("http://ipam:81/").unwrap(), named);
        let six = expected("https", "[::1]:81", "::1", 81);
        assert_eq!(of("https://[::1]:81").unwrap(), six);
        assert_eq!(of("http://ipam").unwrap().port, 80);
        assert_eq!(of("https://ipam").unwrap().port, 443);
        for url in ["ftp://ipam", "ipam:81", "/readyz", "http://ipam/base"] {
            assert!(of(url).is_err(), "{url}");
        }
    }
}
