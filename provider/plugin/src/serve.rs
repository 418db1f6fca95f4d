//! From `main` to a running plugin and back: the cookie, the handshake, the signals, and the end.

use std::any::type_name;
use std::env;
use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use nix::unistd::{Pid, getppid};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::host::Host;
use crate::listener::Listener;
use crate::log;
use crate::proto::host::grpc_broker_server::GrpcBrokerServer;
use crate::proto::host::grpc_controller_server::GrpcControllerServer;
use crate::proto::host::grpc_stdio_server::GrpcStdioServer;
use crate::proto::tf::provider_server::ProviderServer;
use crate::provider::Provider;
use crate::server::{Server, panic_text};
use crate::tls::{self, TlsError};

/// The variable that Terraform sets for its plugins, so that they notice when a person runs them.
pub(crate) const COOKIE_NAME: &str = "TF_PLUGIN_MAGIC_COOKIE";
pub(crate) const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// Version of the process manager's own protocol.
const CORE_VERSION: u8 = 1;
/// Major version of the provider protocol.
pub(crate) const PROTOCOL_VERSION: u8 = 6;

/// State and schemas can be large; this is the limit that Terraform uses itself.
pub(crate) const MESSAGE_LIMIT: usize = 256 << 20;

/// How often to check whether Terraform is still there.
const PARENT_CHECK: Duration = Duration::from_secs(1);

/// Timeout for the provider's outstanding work at the end.
const CLOSING: Duration = Duration::from_millis(1500);

/// Why the plugin could not run.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(
        "Terraform offers the plugin protocol versions {0}, and this provider speaks version 6 only. Use Terraform 1.0 or later."
    )]
    Version(String),
    #[error("No secure connection to Terraform: {0}.")]
    Tls(#[from] TlsError),
    #[error("No connection to Terraform: {0}.")]
    Io(#[from] io::Error),
}

/// Runs `provider` as a plugin until Terraform ends it. Call it from `main` after handling subcommands of your own.
///
/// Run by hand, it prints what this program is for and fails.
pub async fn serve<P: Provider>(provider: P) -> ExitCode {
    if env::var(COOKIE_NAME).as_deref() != Ok(COOKIE) {
        complain(&format!(
            "This program is the {0} provider for Terraform and OpenTofu. They run it; it does nothing by itself.\n\
             Name it in your configuration and run \"terraform init\":\n\n\
             terraform {{\n  required_providers {{\n    {0} = {{ source = \"{0}/{0}\" }}\n  }}\n}}",
            provider.name()
        ));
        return ExitCode::FAILURE;
    }
    match run(provider).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn complain(text: &str) {
    // Without standard error there is nowhere to report to.
    let _ = writeln!(io::stderr(), "{text}");
}

async fn run<P: Provider>(provider: P) -> Result<(), ServeError> {
    // First of all: a parent that is gone by the time we ask can't be detected later.
    let parent = getppid();
    report_panics();
    let own_crate = type_name::<P>().split("::").next().unwrap_or_default();
    let targets: Vec<&str> = provider
        .log_targets()
        .into_iter()
        .chain([own_crate])
        .collect();
    log::start(provider.name(), &targets);
    if let Ok(versions) = env::var("PLUGIN_PROTOCOL_VERSIONS")
        && !versions
            .split(',')
            .any(|version| version.trim() == PROTOCOL_VERSION.to_string())
    {
        return Err(ServeError::Version(versions));
    }

    // Ctrl-C reaches the whole process group. Terraform tells us in its own way (StopProvider) and waits for running calls;
    // dying here would lose what they create. Listening once replaces the default permanently.
    let _interrupts = signal(SignalKind::interrupt())?;

    let tls = match env::var("PLUGIN_CLIENT_CERT") {
        Ok(pem) => Some(tls::server(pem.as_bytes())?),
        // Only tests have none: Terraform and OpenTofu always provide a certificate.
        Err(_) => None,
    };
    let (acceptor, certificate) = match tls {
        Some(tls) => (
            Some(tls.config.into()),
            STANDARD_NO_PAD.encode(tls.certificate),
        ),
        None => (None, String::new()),
    };
    let ended = CancellationToken::new();
    let server = Arc::new(Server::new(provider, ended.child_token()));
    let routes = routes(Arc::clone(&server), &ended);
    let listener = Listener::bind(acceptor)?;

    let mut stdout = io::stdout();
    let socket = listener.path().display();
    writeln!(
        stdout,
        "{CORE_VERSION}|{PROTOCOL_VERSION}|unix|{socket}|grpc|{certificate}"
    )?;
    stdout.flush()?;

    tokio::spawn(end_with_parent(parent, ended.clone()));
    listener.serve(routes, &ended).await;
    // Terraform gives its plugins two seconds before it kills them.
    if tokio::time::timeout(CLOSING, server.finish())
        .await
        .is_err()
    {
        tracing::warn!("what was left to do took too long: ending");
    }
    Ok(())
}

fn routes<P: Provider>(server: Arc<Server<P>>, ended: &CancellationToken) -> Routes {
    let server = ProviderServer::from_arc(server)
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    let host = Host {
        ended: ended.clone(),
    };
    Routes::new(server)
        .add_service(GrpcControllerServer::new(host.clone()))
        .add_service(GrpcBrokerServer::new(host.clone()))
        .add_service(GrpcStdioServer::new(host))
}

/// A killed Terraform does not stop its plugins; they are reparented to another process.
async fn end_with_parent(parent: Pid, ended: CancellationToken) {
    let mut check = tokio::time::interval(PARENT_CHECK);
    while getppid() == parent {
        check.tick().await;
    }
    tracing::warn!("Terraform is gone: ending");
    ended.cancel();
}

/// Prints panics the way Terraform recognizes, so that it shows them as a crash of this plugin.
fn report_panics() {
    panic::set_hook(Box::new(|info| {
        let mut text = format!("panic: {}", panic_text(info.payload()));
        if let Some(location) = info.location() {
            text.push_str(&format!("\n\tat {}:{}", location.file(), location.line()));
        }
        complain(&text);
    }));
}
