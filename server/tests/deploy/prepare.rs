//! What `./demo` and `./test` do on a machine without Terraform or Rust: `.config/prepare.sh` fetches them.
//!
//! The servers of those who make them could not be reached where this was written, so one of our own stands in for both.
//! It can't have their files either; so the tests give the checksum of what it does have, except where a wrong one is the
//! point. No root is needed: nothing on `PATH` could make anybody root, all is written below one directory, and where the
//! tests run as root they become nobody, but for those that need this machine's Python, which may be root's own.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{
    bare::{BareMachine, python, write_script},
    programs,
    releases::{Releases, Sending},
};

/// What this machine has to fetch files with.
fn downloader() -> &'static str {
    let known = ["curl", "wget"];
    known
        .into_iter()
        .find(|name| programs::find(name).is_some())
        .expect("curl or wget")
}

/// An archive as HashiCorp makes it, with something that says it is Terraform, and its checksum.
fn terraform_archive() -> (Vec<u8>, String) {
    let dir = tempfile::tempdir().unwrap();
    write_script(&dir.path().join("terraform"), "echo 'Terraform v1.11.4'");
    fs::write(
        dir.path().join("LICENSE.txt"),
        "as you like\n".repeat(10_000),
    )
    .unwrap();
    let made = Command::new(python())
        .args([
            "-m",
            "zipfile",
            "-c",
            "terraform.zip",
            "LICENSE.txt",
            "terraform",
        ])
        .current_dir(dir.path())
        .status()
        .unwrap();
    assert!(made.success());
    let path = dir.path().join("terraform.zip");
    let sum = checksum(&path);
    (fs::read(path).unwrap(), sum)
}

fn checksum(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    said.split_whitespace().next().unwrap().to_owned()
}

const FINDS_TERRAFORM: &str = "need_terraform; command -v terraform; terraform version";

fn with_sum(sum: &str, script: &str) -> String {
    format!("terraform_sha256() {{ echo {sum}; }}\nrustup_sha256() {{ echo {sum}; }}\n{script}")
}

#[test]
fn terraform_is_fetched_once_by_whatever_there_is() {
    let (archive, sum) = terraform_archive();
    // This machine may lack some, but never all: the archive was made with python3.
    let pairs = [["curl", "unzip"], ["wget", "python3"], ["curl", "python3"]];
    let here = |names: &[&str; 2]| names.iter().all(|name| programs::find(name).is_some());
    for tools in pairs.into_iter().filter(here) {
        let releases = Releases::new(archive.clone(), Sending::Whole);
        let machine = BareMachine::new(&tools);
        let script = with_sum(&sum, FINDS_TERRAFORM);
        let (status, said) = machine.run(&releases.url, &script);
        assert_eq!(status, Some(0), "{tools:?}: {said}");
        let program = machine
            .dir
            .path()
            .join("cache/ipam/terraform-1.11.4/terraform");
        let found = format!("{}\nTerraform v1.11.4\n", program.display());
        assert!(said.contains(&found), "{tools:?}: {said}");
        let lines: Vec<_> = said
            .lines()
            .filter(|line| line.starts_with("==>"))
            .collect();
        assert_eq!(
            lines,
            [format!(
                "==> fetching Terraform into {}",
                program.parent().unwrap().display()
            )],
        );
        assert_eq!(releases.asked(), 1, "{tools:?}");
        assert_eq!(machine.cached(), ["terraform-1.11.4"]);
        let mut kept = fs::read_dir(program.parent().unwrap()).unwrap();
        assert!(
            kept.all(|entry| entry
                .unwrap()
                .path()
                .extension()
                .is_none_or(|it| it != "zip")),
            "the archive is still there"
        );

        assert_eq!(
            machine.run(&releases.url, &script),
            (Some(0), found),
            "the second time"
        );
        assert_eq!(releases.asked(), 1, "{tools:?}: it was fetched again");
    }
}

#[test]
fn what_is_not_the_release_is_not_kept() {
    let (archive, sum) = terraform_archive();
    // With the checksum of the real one, and with the right one and half of the archive.
    let cases = [
        (
            Sending::Whole,
            FINDS_TERRAFORM.to_owned(),
            "was fetched and thrown away: its SHA-256 is",
        ),
        (
            Sending::Half,
            with_sum(&sum, FINDS_TERRAFORM),
            "could not be fetched",
        ),
    ];
    for (sending, script, reason) in cases {
        let releases = Releases::new(archive.clone(), sending);
        let machine = BareMachine::new(&[downloader(), "python3"]);
        let (status, said) = machine.run(&releases.url, &script);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(reason), "{said}");
        assert!(
            said.contains(
                "error: Terraform 1.8 or later is missing, and could not be fetched. Unpack"
            ),
            "{said}"
        );
        assert!(releases.asked() > 0);
        assert_eq!(machine.cached(), [""; 0]);
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let machine = BareMachine::new(&[downloader(), "python3"]);
    let (status, said) = machine.run(&closed, FINDS_TERRAFORM);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("zip could not be fetched"), "{said}");
    assert_eq!(machine.cached(), [""; 0]);

    let (status, said) = BareMachine::new(&["python3"]).run(&closed, FINDS_TERRAFORM);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("error: curl is missing, or wget"), "{said}");
}

#[test]
fn an_interrupted_fetch_leaves_nothing_behind() {
    let (archive, _) = terraform_archive();
    let releases = Releases::new(archive, Sending::Stalls);
    let machine = BareMachine::new(&[downloader(), "python3"]);
    // As at a terminal: Ctrl-C reaches all of it.
    let mut child = machine
        .command(&releases.url, FINDS_TERRAFORM)
        .process_group(0)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while releases.asked() == 0 {
        assert!(Instant::now() < deadline, "it asks for nothing");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(machine.cached().len(), 1, "it has begun");
    killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert!(!ended(&mut child, deadline).success());
    assert_eq!(machine.cached(), [""; 0]);
}

fn ended(child: &mut Child, deadline: Instant) -> std::process::ExitStatus {
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn opentofu_is_used_where_only_that_is_there() {
    let (archive, sum) = terraform_archive();
    let releases = Releases::new(archive, Sending::Whole);
    let script = with_sum(&sum, "need_terraform_or_tofu; echo \"$terraform\"");
    let machine = BareMachine::new(&[downloader(), "python3"]);
    machine.has("tofu", "OpenTofu v1.9.0");
    assert_eq!(
        machine.run(&releases.url, &script),
        (Some(0), "tofu\n".to_owned())
    );
    // A Terraform that is too old counts for nothing.
    machine.has("terraform", "Terraform v1.5.7");
    assert_eq!(
        machine.run(&releases.url, &script),
        (Some(0), "tofu\n".to_owned())
    );
    machine.has("terraform", "Terraform v1.8.0-rc1");
    assert_eq!(
        machine.run(&releases.url, &script),
        (Some(0), "terraform\n".to_owned())
    );
    assert_eq!(releases.asked(), 0, "there was no need");

    let neither = BareMachine::new(&[downloader(), "python3"]);
    neither.has("tofu", "OpenTofu v1.7.0");
    let (status, said) = neither.run(&releases.url, &script);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.starts_with("terraform\n"), "{said}");
    assert_eq!(releases.asked(), 1);
}

/// Stands in for `rustup-init`: sets up a `rustup` that installs a `cargo` when it is told to.
const RUSTUP_INIT: &str = r#"#!/bin/sh
set -eu
[ "$*" = '-y --no-modify-path --default-toolchain none' ]
mkdir -p "$CARGO_HOME/bin" "$RUSTUP_HOME"
cat >"$CARGO_HOME/bin/rustup" <<'SH'
#!/bin/sh
set -eu
case $* in
  'which cargo') test -e "$RUSTUP_HOME/toolchain" ;;
  'toolchain install') touch "$RUSTUP_HOME/toolchain" && echo installed ;;
  *) exit 2 ;;
esac
SH
cat >"$CARGO_HOME/bin/cargo" <<'SH'
#!/bin/sh
test -e "$RUSTUP_HOME/toolchain" && echo 'cargo 1.95.0 (f2d3ce0bd 2026-03-21)'
SH
chmod 755 "$CARGO_HOME/bin/rustup" "$CARGO_HOME/bin/cargo"
"#;

#[test]
fn rust_is_fetched_where_it_is_missing_or_too_old() {
    let scratch = tempfile::NamedTempFile::new().unwrap();
    fs::write(scratch.path(), RUSTUP_INIT).unwrap();
    let sum = checksum(scratch.path());
    let finds_rust = "need_cargo; command -v cargo; cargo --version";
    for old in [None, Some("cargo 1.63.0")] {
        let releases = Releases::new(RUSTUP_INIT.into(), Sending::Whole);
        let machine = BareMachine::new(&[downloader(), "touch"]);
        if let Some(old) = old {
            machine.has("cargo", old);
        }
        let script = with_sum(&sum, finds_rust);
        let (status, said) = machine.run(&releases.url, &script);
        assert_eq!(status, Some(0), "{said}");
        let home = machine.dir.path().join("cache/ipam/rustup-1.29.0");
        let found = format!(
            "{}\ncargo 1.95.0 (f2d3ce0bd 2026-03-21)\n",
            home.join("cargo/bin/cargo").display()
        );
        assert!(said.contains(&found), "{said}");
        assert!(
            said.contains(&format!("==> fetching Rust into {}\n", home.display())),
            "{said}"
        );
        assert!(said.contains("installed\n"), "{said}");
        assert_eq!(machine.cached(), ["rustup-1.29.0"]);
        assert!(!home.join("rustup-init").exists());
        assert!(
            !machine.dir.path().join("home").exists(),
            "it wrote into the home"
        );

        assert_eq!(
            machine.run(&releases.url, &script),
            (Some(0), found),
            "the second time"
        );
        assert_eq!(releases.asked(), 1);
    }
    // The real checksum.
    let releases = Releases::new(RUSTUP_INIT.into(), Sending::Whole);
    let machine = BareMachine::new(&[downloader()]);
    let (status, said) = machine.run(&releases.url, finds_rust);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        said.contains(&format!("its SHA-256 is {sum} and not ")),
        "{said}"
    );
    assert!(
        said.contains("error: Rust 1.95 or later is missing, and could not be fetched"),
        "{said}"
    );
    assert_eq!(machine.cached(), [""; 0]);
}

#[test]
fn each_platform_has_a_checksum_of_its_own() {
    let machine = BareMachine::new(&[]);
    let script = "for it in linux_amd64 linux_arm64 darwin_amd64 darwin_arm64; do terraform_sha256 $it; done
        for it in unknown-linux-gnu apple-darwin; do rustup_sha256 x86_64-$it; rustup_sha256 aarch64-$it; done
        ! terraform_sha256 plan9_386 && ! rustup_sha256 x86_64-plan9";
    let (status, said) = machine.run("http://127.0.0.1:9", script);
    assert_eq!(status, Some(0), "{said}");
    let mut sums: Vec<_> = said.lines().collect();
    assert!(
        sums.iter()
            .all(|sum| sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit())),
        "{said}"
    );
    sums.sort_unstable();
    sums.dedup();
    assert_eq!(sums.len(), 8, "{said}");
}
