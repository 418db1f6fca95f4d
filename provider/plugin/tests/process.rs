//! The toy provider as a process: how it starts, who may talk to it, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;
use tfplugin::driver::{Driver, Launch, Security, StartError};

const TOY: &str = env!("CARGO_BIN_EXE_terraform-provider-toy");

#[test]
fn run_by_hand_it_says_what_it_is() {
    let output = Command::new(TOY)
        .env_remove("TF_PLUGIN_MAGIC_COOKIE")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        output.stdout.is_empty(),
        "standard output is for handshakes"
    );
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("This program is the toy provider for Terraform"),
        "{text}"
    );
}

#[tokio::test]
async fn a_host_without_protocol_6_is_told() {
    let error = Launch::new(TOY)
        .env("PLUGIN_PROTOCOL_VERSIONS", "5")
        .start()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("plugin protocol versions 5"),
        "{error}"
    );
}

#[tokio::test]
async fn an_unreadable_client_certificate_is_no_reason_to_go_without() {
    let error = Launch::new(TOY)
        .env("PLUGIN_CLIENT_CERT", "nonsense")
        .start()
        .await
        .unwrap_err();
    assert!(
        matches!(&error, StartError::Process(text) if text.contains("PLUGIN_CLIENT_CERT")),
        "{error}"
    );
}

#[tokio::test]
async fn the_socket_is_private_and_goes_away() {
    let directory = TempDir::new().unwrap();
    let driver = Launch::new(TOY)
        .env("PLUGIN_UNIX_SOCKET_DIR", directory.path())
        .start()
        .await
        .unwrap();
    let socket = driver.socket().to_owned();
    assert!(socket.starts_with(directory.path()));
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(socket.as_path()), 0o600);
    assert_eq!(mode(socket.parent().unwrap()), 0o700);
    assert!(driver.shutdown().await.unwrap().success());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_socket_directory_that_is_too_deep_is_replaced() {
    let directory = TempDir::new().unwrap();
    let deep = directory.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let driver = Launch::new(TOY)
        .env("PLUGIN_UNIX_SOCKET_DIR", &deep)
        .start()
        .await
        .unwrap();
    assert!(driver.socket().starts_with("/tmp"));
}

#[tokio::test]
async fn mutual_tls_lets_in_the_announced_client_and_nobody_else() {
    let secured = |security| Launch::new(TOY).security(security).start();
    let driver = secured(Security::MutualTls).await.unwrap();
    assert_eq!(driver.call("double", &[json!(2)]).await.unwrap(), 4);
    for security in [
        Security::NoCertificate,
        Security::WrongCertificate,
        Security::StolenCertificate,
    ] {
        let error = secured(security).await.unwrap_err();
        assert!(
            matches!(error, StartError::Connection(_)),
            "{security:?}: {error}"
        );
    }
}

#[tokio::test]
async fn ctrl_c_does_not_end_it_and_shutdown_does() {
    let driver = Driver::start(TOY).await.unwrap();
    let pid = Pid::from_raw(i32::try_from(driver.id().unwrap()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(driver.call("double", &[json!(2)]).await.unwrap(), 4);
    assert!(driver.shutdown().await.unwrap().success());
}

#[tokio::test]
async fn it_ends_when_its_parent_is_gone() {
    // A shell starts the provider in the background, and waits until it is killed.
    let directory = TempDir::new().unwrap();
    let mut shell = Command::new("sh")
        .args(["-c", "\"$0\" & read -r line", TOY])
        .env(
            "TF_PLUGIN_MAGIC_COOKIE",
            "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
        )
        .env("PLUGIN_UNIX_SOCKET_DIR", directory.path())
        .env_remove("PLUGIN_CLIENT_CERT")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut handshake = String::new();
    BufReader::new(shell.stdout.take().unwrap())
        .read_line(&mut handshake)
        .unwrap();
    assert!(handshake.starts_with("1|6|unix|"), "{handshake}");
    shell.kill().unwrap();
    shell.wait().unwrap();
    // It cleans up after itself, so its end can be seen from the outside.
    within(Duration::from_secs(20), || {
        std::fs::read_dir(directory.path()).unwrap().count() == 0
    })
    .await;
}

async fn within(limit: Duration, condition: impl Fn() -> bool) {
    let wait = async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while !condition() {
            look.tick().await;
        }
    };
    tokio::time::timeout(limit, wait).await.unwrap();
}
