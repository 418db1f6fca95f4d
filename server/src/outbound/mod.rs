//! Requests that this server makes of others: to addresses that an administrator chose, and that are not trusted. Knows
//! nothing of what is sent.
//!
//! A name is resolved when a connection is made, what it means is checked there, and the connection goes to the very address
//! that was checked: whoever changes what a name means afterwards changes nothing. Proxies of the environment are not used,
//! and redirects are not followed, since both would lead elsewhere.

pub mod address;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use futures::future::BoxFuture;
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, RETRY_AFTER},
    redirect::Policy,
};
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use self::address::Networks;

/// Longest time until there is a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest time until the head of the answer is there.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How much of an answer is read, so that the connection can be used again; nobody looks at it.
const READ: usize = 4096;
/// For how long that is tried.
const READING: Duration = Duration::from_secs(1);
/// The longest pause that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);
/// Longest reason, in characters.
const LONGEST_REASON: usize = 300;

/// Finds the addresses of a name.
type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The way out. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Outbound {
    networks: Networks,
    lookup: Lookup,
    clients: Arc<Clients>,
}

/// One for each scheme, since they lead to different addresses; made when first needed, since a machine may lack what they
/// need, such as certificates.
#[derive(Default)]
struct Clients {
    encrypted: OnceLock<Client>,
    plain: OnceLock<Client>,
}

/// The answer of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// When to come again, if it said so.
    pub retry_after: Option<Duration>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Outbound").field(&self.networks).finish()
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new(Networks::default())
    }
}

impl Outbound {
    /// To public addresses, and to these networks.
    pub fn new(networks: Networks) -> Self {
        let lookup: Lookup = Arc::new(|name| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((name, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        });
        Self {
            networks,
            lookup,
            clients: Arc::default(),
        }
    }

    /// Checks an address, as far as that is possible without resolving it.
    ///
    /// # Errors
    /// With what is wrong, in a sentence.
    pub fn check(&self, url: &str) -> Result<(), String> {
        self.parse(url).map(drop)
    }

    fn parse(&self, text: &str) -> Result<Url, String> {
        let example = "url is not an address such as https://siem.example.com/ipam";
        let url = Url::parse(text).map_err(|error| format!("{example}: {error}"))?;
        let is_encrypted = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(format!("{example}: it begins with https://")),
        };
        // Spaces and line feeds, which are left out on the way, would make two spellings of one address.
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(format!("{example}: it contains a space or a line break"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "url has a user or a password, which the audit log would show; receivers recognise requests by their signature"
                    .to_owned(),
            );
        }
        if url.fragment().is_some() {
            return Err("url has a #, and what is behind it is never sent".to_owned());
        }
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            if !self.networks.permit(address, is_encrypted) {
                return Err(refused(host, is_encrypted));
            }
        } else if !is_encrypted && self.networks.is_empty() {
            return Err(refused(host, is_encrypted));
        }
        Ok(url)
    }

    fn client(&self, is_encrypted: bool) -> Result<Client, String> {
        let slot = if is_encrypted {
            &self.clients.encrypted
        } else {
            &self.clients.plain
        };
        if let Some(client) = slot.get() {
            return Ok(client.clone());
        }
        // Fails if the program has already chosen a crypto provider, which is then used.
        _ = rustls::crypto::ring::default_provider().install_default();
        let resolver = Resolver {
            networks: self.networks.clone(),
            lookup: Arc::clone(&self.lookup),
            is_encrypted,
        };
        let client = Client::builder()
            .user_agent(concat!("ipam/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .https_only(is_encrypted)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(Duration::from_secs(20))
            .dns_resolver(Arc::new(resolver))
            .build()
            .map_err(|error| format!("this server can't make requests: {}", reason(&error)))?;
        Ok(slot.get_or_init(|| client).clone())
    }

    /// Sends a body to an address; the answer, whatever its status. Nothing of it but its head matters, so one that never
    /// ends delays nobody.
    ///
    /// # Errors
    /// With the reason why there was none, in a sentence without the address.
    pub async fn post(
        &self,
        url: &str,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let url = self.parse(url)?;
        let client = self.client(url.scheme() == "https")?;
        let request = headers
            .into_iter()
            .fold(client.post(url), |request, (name, value)| {
                request.header(name, value)
            });
        let request = request.body(body).send();
        let response = match tokio::time::timeout(PATIENCE, request).await {
            Ok(answered) => answered.map_err(|error| reason(&error))?,
            Err(_) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let answer = Answer {
            status: response.status().as_u16(),
            retry_after: retry_after(response.headers()),
        };
        tokio::spawn(finish(response));
        Ok(answer)
    }
}

/// Reads a little of what follows the head, so that the connection can be used again, and else closes it.
async fn finish(mut response: reqwest::Response) {
    let end = Instant::now() + READING;
    let mut read = 0;
    while read < READ {
        let left = end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, response.chunk()).await {
            Ok(Ok(Some(chunk))) => read += chunk.len(),
            _ => return,
        }
    }
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
            Duration::try_from(at - OffsetDateTime::now_utc()).unwrap_or_default()
        }
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// The innermost cause, in a sentence of bounded length.
fn reason(error: &reqwest::Error) -> String {
    let text = ipam_client::reason(error);
    let text = text.chars().filter(|c| !c.is_control());
    text.take(LONGEST_REASON).collect()
}

fn refused(host: &str, is_encrypted: bool) -> String {
    if is_encrypted {
        format!(
            "{host} is not a public address, and the operator has not allowed its network; that is done with --webhook-networks \
             (IPAM_WEBHOOK_NETWORKS) of the server"
        )
    } else {
        format!(
            "{host} is not in a network that the operator has allowed for http://, with --webhook-networks \
             (IPAM_WEBHOOK_NETWORKS) of the server; use https://"
        )
    }
}

/// Finds the addresses of a name, those that may be connected to.
struct Resolver {
    networks: Networks,
    lookup: Lookup,
    is_encrypted: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (networks, is_encrypted) = (self.networks.clone(), self.is_encrypted);
        let name = name.as_str().to_owned();
        let found = (self.lookup)(name.clone());
        Box::pin(async move {
            let found = found.await?;
            let permitted: Vec<_> = found
                .into_iter()
                .filter(|address| networks.permit(*address, is_encrypted))
                // The port is that of the address.
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if permitted.is_empty() {
                return Err(refused(&name, is_encrypted).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
