//! The toy provider under the real Terraform. Needs `terraform` on the PATH, and says so if it is missing;
//! `newest` is the same with the newest Terraform.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value as Json;
use tempfile::TempDir;

use which::Terraform;

#[path = "../../tests/acceptance/terraform.rs"]
mod which;

const TOY: &str = env!("CARGO_BIN_EXE_terraform-provider-toy");

/// A working directory with a configuration, and Terraform set up to find the toy provider in a directory of its own.
pub(crate) struct Workspace {
    directory: TempDir,
}

impl Workspace {
    pub(crate) fn new(body: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let plugins = directory.path().join("plugins");
        fs::create_dir_all(&plugins).unwrap();
        fs::create_dir(directory.path().join("store")).unwrap();
        std::os::unix::fs::symlink(TOY, plugins.join("terraform-provider-toy")).unwrap();
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{ \"toy/toy\" = {plugins:?} }}\n  direct {{}}\n}}\n"
        );
        fs::write(directory.path().join("terraformrc"), overrides).unwrap();
        let workspace = Self { directory };
        workspace.write(body);
        workspace
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, body: &str) {
        let head = format!(
            "terraform {{\n  required_providers {{\n    toy = {{ source = \"toy/toy\" }}\n  }}\n}}\n\
             provider \"toy\" {{\n  directory = {:?}\n  key = \"hush-hush\"\n}}\n",
            self.path("store")
        );
        fs::write(self.path("main.tf"), head + body).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Terraform::of_these_tests().command();
        command
            .current_dir(self.directory.path())
            .args(arguments)
            .env("TF_CLI_CONFIG_FILE", self.path("terraformrc"))
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .env_remove("TF_LOG")
            .env_remove("TF_LOG_PROVIDER")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let output = self.command(arguments).output();
        Run::from(output.unwrap_or_else(|error| {
            panic!("these tests need the real terraform (1.11 or later) on the PATH, and it can't be started: {error}")
        }))
    }

    pub(crate) fn apply(&self) -> Run {
        self.run(&["apply", "-auto-approve", "-no-color"])
            .succeeded()
    }

    /// Asserts that a plan finds nothing to do.
    pub(crate) fn assert_settled(&self) {
        let plan = self.run(&["plan", "-detailed-exitcode", "-no-color"]);
        assert_eq!(plan.code, Some(0), "the plan is not empty:\n{}", plan.text);
    }

    fn state(&self) -> Json {
        serde_json::from_str(&fs::read_to_string(self.path("terraform.tfstate")).unwrap()).unwrap()
    }
}

pub(crate) struct Run {
    code: Option<i32>,
    /// Both streams.
    text: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self {
            code: output.status.code(),
            text: String::from_utf8(text).unwrap(),
        }
    }
}

impl Run {
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.text);
        self
    }

    pub(crate) fn failed(self) -> Self {
        assert_eq!(self.code, Some(1), "{}", self.text);
        self
    }

    /// Asserts that the output has `text`, however it is wrapped and framed.
    pub(crate) fn says(self, text: &str) -> Self {
        let words = |text: &str| {
            text.split_whitespace()
                .filter(|&w| w != "│")
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert!(
            words(&self.text).contains(&words(text)),
            "there is no {text:?} in:\n{}",
            self.text
        );
        self
    }
}

const BOX: &str = r#"
resource "toy_box" "a" {
  name   = "a"
  size   = 3
  labels = { x = "y" }
  parts  = { p = { color = "red" } }
  any    = ["b", 1, 0.1, 123456789012345678901234567890]
  secret = "s3cret"
  timeouts {
    create = "5m"
  }
}
"#;

#[test]
fn a_resource_lives_under_terraform() {
    let workspace = Workspace::new(BOX);
    workspace.apply().says("1 added");
    workspace.assert_settled();
    let state = workspace.state().to_string();
    assert!(
        !state.contains("s3cret") && !state.contains("hush-hush"),
        "secrets are in no state"
    );

    workspace.write(&BOX.replace("size   = 3", "size   = 5"));
    workspace
        .run(&["plan", "-no-color"])
        .succeeded()
        .says(r#"address = "a@3" -> (known after apply)"#);
    workspace.apply().says("1 changed");
    workspace.assert_settled();

    // Somebody else changed it, and somebody deleted it.
    let file = workspace.path("store/box-a.json");
    let changed = fs::read_to_string(&file)
        .unwrap()
        .replace(r#""size":5"#, r#""size":9"#);
    fs::write(&file, changed).unwrap();
    workspace
        .run(&["plan", "-no-color"])
        .succeeded()
        .says("A box can't shrink from 9 to 5")
        .says("must be replaced");
    fs::remove_file(&file).unwrap();
    workspace.apply().says("1 added");
    workspace
        .run(&["destroy", "-auto-approve", "-no-color"])
        .succeeded()
        .says("1 destroyed");
}

#[test]
fn a_replacement_says_why() {
    let workspace = Workspace::new(BOX);
    workspace.apply();
    workspace.write(&BOX.replace("size   = 3", "size   = 3\n  kind = \"oak\""));
    let plan = workspace.run(&["plan", "-no-color"]).succeeded();
    plan.says("# forces replacement")
        .says("A box keeps its kind.")
        .says("1 to add, 0 to change, 1 to destroy");
    workspace.apply().says("1 added, 0 changed, 1 destroyed");
    workspace.assert_settled();
}

#[test]
fn deletion_protection_shows_in_the_plan() {
    let workspace = Workspace::new(&BOX.replace("size   = 3", "protected = true"));
    workspace.apply();
    workspace
        .run(&["plan", "-destroy", "-no-color"])
        .failed()
        .says("The box is protected");
}

#[test]
fn what_is_imported_is_settled() {
    let workspace = Workspace::new("");
    let body = r#"{"name": "old", "kind": null, "size": 4, "revision": 6, "labels": {}}"#;
    fs::write(workspace.path("store/box-old.json"), body).unwrap();
    let import = "import {\n  to = toy_box.old\n  id = \"box-old\"\n}\n";
    workspace.write(&format!(
        "{import}resource \"toy_box\" \"old\" {{\n  name = \"old\"\n  size = 4\n}}\n"
    ));
    workspace
        .apply()
        .says("1 imported, 0 added, 0 changed, 0 destroyed");
    workspace.assert_settled();
}

#[test]
fn a_resource_moves_over_from_another_type() {
    let workspace =
        Workspace::new("resource \"terraform_data\" \"old\" {\n  input = \"box-old\"\n}\n");
    let body = r#"{"name": "old", "kind": null, "size": 4, "revision": 6, "labels": {}}"#;
    fs::write(workspace.path("store/box-old.json"), body).unwrap();
    workspace.apply();
    let moved = "moved {\n  from = terraform_data.old\n  to   = toy_box.new\n}\n";
    workspace.write(&format!(
        "{moved}resource \"toy_box\" \"new\" {{\n  name = \"old\"\n  size = 4\n}}\n"
    ));
    workspace.apply().says("0 added, 0 changed, 0 destroyed");
    assert_eq!(workspace.state()["resources"][0]["type"], "toy_box");
}

#[test]
fn an_older_state_is_upgraded() {
    // The JSON library that upgrades work with rounds numbers of more than 64 bits, here as in `Resource::upgrade`.
    let workspace = Workspace::new(&BOX.replace(", 123456789012345678901234567890", ""));
    workspace.apply();
    let mut state = workspace.state();
    let instance = &mut state["resources"][0]["instances"][0];
    instance["schema_version"] = 0.into();
    let attributes = instance["attributes"].as_object_mut().unwrap();
    let size = attributes.remove("size").unwrap();
    attributes.insert("volume".into(), size);
    attributes.insert("labels".into(), serde_json::json!(["x=y"]));
    fs::write(workspace.path("terraform.tfstate"), state.to_string()).unwrap();
    workspace.assert_settled();
}

#[test]
fn functions_data_and_ephemeral_values_work() {
    let workspace = Workspace::new(&format!(
        "{BOX}{}",
        r#"
data "toy_lookup" "a" {
  id = toy_box.a.id
}
ephemeral "toy_secret" "s" {
  name = "s"
}
resource "toy_box" "b" {
  name   = "b"
  secret = ephemeral.toy_secret.s.value
}
output "size" { value = data.toy_lookup.a.size }
output "double" { value = provider::toy::double(21) }
output "words" { value = provider::toy::join("-", "a", "b", "c") }
"#
    ));
    workspace
        .apply()
        .says("size = 3")
        .says("double = 42")
        .says(r#"words = "a-b-c""#);
    workspace.assert_settled();
    let stored: Json =
        serde_json::from_slice(&fs::read(workspace.path("store/box-b.json")).unwrap()).unwrap();
    assert_eq!(stored["secret"], "secret of s");
    assert!(
        !workspace.path("store/s.json").exists(),
        "the secret was closed"
    );

    workspace.write("output \"double\" {\n  value = provider::toy::double(0.5)\n}\n");
    workspace
        .run(&["plan", "-no-color"])
        .failed()
        .says("This needs a whole number");
}

#[test]
fn mistakes_point_at_the_line() {
    let workspace = Workspace::new(&BOX.replace("size   = 3", "size   = 2.5"));
    let check = workspace.run(&["validate", "-no-color"]).failed();
    check
        .says("size   = 2.5")
        .says("This needs a whole number from 0 to 4294967295, but it is 2.5.");
}

#[test]
fn a_crash_is_explained() {
    let workspace = Workspace::new(&BOX.replace("size   = 3", "behave = \"panic\""));
    let apply = workspace
        .run(&["apply", "-auto-approve", "-no-color"])
        .failed();
    apply
        .says("The provider crashed while applying a change to toy_box")
        .says("the lid fell off");
}

/// Whether somebody without a certificate is hung up on.
fn is_refused(socket: &Path) -> bool {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // The start of a plain HTTP/2 connection, which a server without TLS answers with its settings (frame type 4).
    let _ = stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    // A TLS alert, fatal, and the end; or just the end.
    answer.is_empty() || answer.starts_with(&[21, 3])
}

fn provider_socket(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).find_map(|path| {
        let socket = path.join("socket");
        if socket.exists() {
            Some(socket)
        } else {
            provider_socket(&path)
        }
    })
}

#[test]
fn ctrl_c_lets_a_creation_finish_and_nobody_else_gets_in() {
    use std::os::unix::process::CommandExt;
    let workspace = Workspace::new(
        "resource \"toy_box\" \"slow\" {\n  name   = \"slow\"\n  behave = \"wait for stop\"\n}\n",
    );
    let mut command = workspace.command(&["apply", "-auto-approve", "-no-color"]);
    let sockets = TempDir::new().unwrap();
    command
        .process_group(0)
        .env("TMPDIR", sockets.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let terraform = command.spawn().unwrap();
    wait_for(&workspace.path("store/started.json"));
    // Terraform is connected, by mutual TLS, and nobody else gets in.
    assert!(is_refused(
        &provider_socket(sockets.path()).expect("the provider's socket")
    ));
    // As a terminal does it: to Terraform and the provider alike.
    killpg(
        Pid::from_raw(i32::try_from(terraform.id()).unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let run = Run::from(terraform.wait_with_output().unwrap())
        .says("Creation complete")
        .says("Interrupt received");
    assert!(
        !run.text.contains("Plugin did not respond") && !run.text.contains("cancelled"),
        "{}",
        run.text
    );
    assert_eq!(
        workspace.state()["resources"][0]["instances"][0]["attributes"]["id"],
        "box-slow"
    );
}

fn wait_for(path: &Path) {
    let start = Instant::now();
    while !path.exists() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{} does not appear",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn log_levels_are_terraforms() {
    let workspace = Workspace::new(BOX);
    let plan = |name: &str, level: &str| {
        let output = workspace
            .command(&["plan", "-no-color"])
            .env(name, level)
            .output()
            .unwrap();
        Run::from(output).succeeded().text
    };
    let lines = |text: &str| {
        text.lines()
            .filter(|l| l.contains("toy: ") || l.contains("\"toy\""))
            .count()
    };
    let trace = plan("TF_LOG_PROVIDER", "TRACE");
    assert!(
        trace.contains("[TRACE] toy: a detail")
            || trace.contains("[TRACE] provider.terraform-provider-toy: a detail"),
        "{trace}"
    );
    assert!(
        trace.contains("[DEBUG]") && trace.contains("operation=\"planning toy_box\""),
        "{trace}"
    );
    assert!(!trace.contains("hush-hush") && !trace.contains("s3cret"));
    let info = plan("TF_LOG_PROVIDER", "INFO");
    assert!(
        info.contains("[INFO]") && info.contains("configured: ") && !info.contains("a detail"),
        "{info}"
    );
    let json = plan("TF_LOG", "JSON");
    assert!(
        json.contains(r#""@message":"a detail""#) && json.contains(r#""@module":"toy""#),
        "{json}"
    );
    assert_eq!(lines(&plan("TF_LOG", "")), 0);
}
