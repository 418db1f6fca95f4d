//! The provider as a process: start, handshake, connection, end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::Channel;

use super::connection::{Security, client_tls, connect, pem};
use super::error::StartError;
use super::{Driver, Schemas};
use crate::proto::host::Empty;
use crate::proto::host::grpc_controller_client::GrpcControllerClient;
use crate::proto::tf;
use crate::proto::tf::provider_client::ProviderClient;
use crate::serve::{COOKIE, COOKIE_NAME, MESSAGE_LIMIT, PROTOCOL_VERSION};
use crate::tls;

/// How long a provider may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to start a provider.
#[derive(Debug)]
pub struct Launch {
    binary: PathBuf,
    environment: Vec<(OsString, OsString)>,
    security: Security,
    capabilities: tf::ClientCapabilities,
}

impl Launch {
    /// Starts `binary`, without TLS.
    pub fn new(binary: impl AsRef<Path>) -> Self {
        Self {
            binary: binary.as_ref().to_owned(),
            environment: Vec::new(),
            security: Security::default(),
            capabilities: tf::ClientCapabilities {
                write_only_attributes_allowed: true,
                deferral_allowed: false,
                store_planned_private: false,
            },
        }
    }

    /// Sets an environment variable for the provider.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Secures the connection.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Behaves like Terraform before 1.11, which does not support write-only attributes.
    #[must_use]
    pub fn without_write_only(mut self) -> Self {
        self.capabilities.write_only_attributes_allowed = false;
        self
    }

    /// Behaves like Terraform 1.16 and later, which keeps the notes of a plan for the plan before the apply: [`Driver::replan`].
    #[must_use]
    pub fn with_planned_private(mut self) -> Self {
        self.capabilities.store_planned_private = true;
        self
    }

    /// Starts the provider, connects, and asks what it has.
    ///
    /// # Errors
    /// If it can't be started, does not behave like a plugin, or refuses the connection.
    pub async fn start(self) -> Result<Driver, StartError> {
        let secured = (self.security != Security::Plaintext)
            .then(tls::self_signed)
            .transpose();
        let own = secured.map_err(|error| StartError::Connection(error.to_string()))?;
        let mut command = Command::new(&self.binary);
        command
            .env(COOKIE_NAME, COOKIE)
            .env("PLUGIN_PROTOCOL_VERSIONS", PROTOCOL_VERSION.to_string())
            .env_remove("PLUGIN_CLIENT_CERT")
            .env_remove("TF_LOG")
            .env_remove("TF_LOG_PROVIDER")
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some((certificate, _)) = &own {
            command.env("PLUGIN_CLIENT_CERT", pem(certificate));
        }
        let mut child = command.spawn()?;
        let stderr = Stderr::collect(&mut child);
        let handshake = match first_line(&mut child).await? {
            Some(line) => Handshake::parse(&line).ok_or(StartError::Handshake(line))?,
            None => {
                let _ = timeout(PATIENCE, child.wait()).await;
                return Err(StartError::Process(stderr.complete().await));
            }
        };
        let connector = client_tls(self.security, own, handshake.certificate)?;
        let channel = connect(handshake.socket.clone(), connector, PATIENCE).await?;
        let mut client = ProviderClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let schemas = Schemas::fetch(&mut client).await?;
        let socket = handshake.socket;
        let process = Process {
            child: Mutex::new(Some(child)),
            channel,
            socket,
            stderr,
        };
        Ok(Driver {
            client,
            process,
            schemas,
            warnings: Mutex::default(),
            capabilities: self.capabilities,
        })
    }
}

/// The running process. It is killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Mutex<Option<Child>>,
    channel: Channel,
    socket: PathBuf,
    stderr: Stderr,
}

impl Driver {
    /// The provider's socket.
    pub fn socket(&self) -> &Path {
        &self.process.socket
    }

    /// The process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        let child = self
            .process
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        child.as_ref().and_then(Child::id)
    }

    /// What the provider wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.process.stderr.so_far()
    }

    /// Ends the provider as Terraform does, and waits for it.
    ///
    /// # Errors
    /// If it does not end in time. Then it is killed.
    pub async fn shutdown(&self) -> io::Result<ExitStatus> {
        let answer = GrpcControllerClient::new(self.process.channel.clone())
            .shutdown(Empty {})
            .await;
        answer.map_err(|status| io::Error::other(status.to_string()))?;
        self.ended().await
    }

    /// Waits for the end of the provider.
    ///
    /// # Errors
    /// If it does not end in time. Then it is killed.
    pub async fn ended(&self) -> io::Result<ExitStatus> {
        let child = self
            .process
            .child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut child = child.ok_or_else(|| io::Error::other("it has ended already"))?;
        let status = timeout(PATIENCE, child.wait())
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?;
        self.process.stderr.complete().await;
        status
    }
}

/// The handshake line of a plugin.
struct Handshake {
    socket: PathBuf,
    certificate: Option<CertificateDer<'static>>,
}

impl Handshake {
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.trim_end().split('|').collect();
        let ["1", "6", "unix", socket, "grpc", certificate] = fields[..] else {
            return None;
        };
        let certificate = match certificate {
            "" => None,
            base64 => Some(STANDARD_NO_PAD.decode(base64).ok()?.into()),
        };
        Some(Self {
            socket: socket.into(),
            certificate,
        })
    }
}

async fn first_line(child: &mut Child) -> Result<Option<String>, StartError> {
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| StartError::Process("no standard output".into()))?;
    let mut line = String::new();
    let mut stdout = BufReader::new(stdout);
    let read = timeout(PATIENCE, stdout.read_line(&mut line)).await;
    match read {
        Ok(read) => Ok((read? > 0).then_some(line)),
        Err(_) => Err(StartError::Process("it prints no handshake".into())),
    }
}

/// What a provider writes to standard error, collected while it runs.
#[derive(Debug)]
struct Stderr {
    text: Arc<Mutex<String>>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl Stderr {
    fn collect(child: &mut Child) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let collect = |stderr| {
            let text = Arc::clone(&text);
            tokio::spawn(async move {
                let mut lines = BufReader::new(stderr).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
                    text.push_str(&line);
                    text.push('\n');
                }
            })
        };
        let reader = Mutex::new(child.stderr.take().map(collect));
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits for the last line, after the end of the process.
    async fn complete(&self) -> String {
        let reader = self
            .reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(reader) = reader {
            let _ = timeout(PATIENCE, reader).await;
        }
        self.so_far()
    }
}
