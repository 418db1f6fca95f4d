//! Settings for the way to the server: its certificate, the proxies in front, and its public address.

use std::{path::PathBuf, sync::Arc};

use crate::{
    front::{Front, PublicUrl, TrustedProxies},
    http::listen::{
        Entrance,
        tls::{Files, Tls},
    },
    metrics::Metrics,
};

/// How clients get to the server.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "TLS and proxies")]
pub struct Door {
    /// Certificate, and those between it and the authority, as PEM: speaks TLS 1.2 and later instead of plain http; read
    /// again when it changes, and at SIGHUP
    #[arg(
        long,
        value_name = "FILE",
        env = "IPAM_TLS_CERT",
        default_value = "",
        hide_default_value = true
    )]
    tls_cert: String,
    /// Its private key, as PEM; nobody but the server's user and group may read it
    #[arg(
        long,
        value_name = "FILE",
        env = "IPAM_TLS_KEY",
        default_value = "",
        hide_default_value = true
    )]
    tls_key: String,
    /// Proxies whose X-Forwarded-For, -Proto and -Host are believed, such as 10.0.0.0/8,fd00::/8; nobody else's are
    #[arg(
        long,
        value_name = "CIDRS",
        env = "IPAM_TRUSTED_PROXIES",
        default_value = "",
        hide_default_value = true
    )]
    trusted_proxies: TrustedProxies,
    /// Demand a header of the PROXY protocol, version 1 or 2, from the trusted proxies
    #[arg(long, env = "IPAM_PROXY_PROTOCOL", value_parser = clap::builder::BoolishValueParser::new())]
    proxy_protocol: bool,
    /// Address by which browsers reach the dashboard, such as https://ipam.example; default: what TLS of this server, or a
    /// trusted proxy, says
    #[arg(
        long,
        value_name = "URL",
        env = "IPAM_PUBLIC_URL",
        default_value = "",
        hide_default_value = true
    )]
    public_url: PublicUrl,
}

impl Door {
    /// What decides about requests.
    pub fn front(&self) -> Front {
        Front::new(self.trusted_proxies.clone(), self.public_url.clone())
    }

    /// How connections begin. Reads the certificate.
    ///
    /// # Errors
    /// When the settings do not fit together, or the certificate can't be used.
    pub fn open(&self, metrics: &Arc<Metrics>) -> anyhow::Result<Entrance> {
        let tls = match (self.tls_cert.trim(), self.tls_key.trim()) {
            ("", "") => None,
            (certificate, key) if !certificate.is_empty() && !key.is_empty() => {
                let files = Files {
                    certificate: PathBuf::from(certificate),
                    key: PathBuf::from(key),
                };
                Some(Arc::new(Tls::load(files, Arc::clone(metrics))?))
            }
            _ => anyhow::bail!(
                "TLS needs both a certificate and its key: set --tls-cert and --tls-key (IPAM_TLS_CERT and IPAM_TLS_KEY), \
                 or neither"
            ),
        };
        anyhow::ensure!(
            !self.proxy_protocol || !self.trusted_proxies.is_empty(),
            "--proxy-protocol is about the proxies in --trusted-proxies, and there are none; name the addresses that the \
             proxies have for this server"
        );
        Ok(Entrance {
            tls,
            proxies: self.proxy_protocol.then(|| self.trusted_proxies.clone()),
        })
    }
}
