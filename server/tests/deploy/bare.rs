//! A machine on which little is installed, for the tests of what sets machines up.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::Uid;

use crate::programs;

/// A machine with a home and what every machine has; and no Terraform, no Rust, no package manager and no `sudo`.
pub(crate) struct BareMachine {
    pub(crate) dir: tempfile::TempDir,
    nobody: bool,
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const NOBODY: u32 = 65534;
const TOOLS: [&str; 16] = [
    "bash",
    "sh",
    "cat",
    "chmod",
    "cp",
    "env",
    "id",
    "mkdir",
    "mktemp",
    "mv",
    "rm",
    "sed",
    "sha256sum",
    "tr",
    "uname",
    "dirname",
];

impl BareMachine {
    /// With these tools besides.
    pub(crate) fn new(tools: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        programs::link(&TOOLS, &bin);
        for name in tools {
            if *name == "python3" {
                symlink(python(), bin.join(name)).unwrap();
            } else {
                programs::link(&[name], &bin);
            }
        }
        let checkout = dir.path().join("checkout/.config");
        fs::create_dir_all(&checkout).unwrap();
        for name in ["prepare.sh", "releases.sh"] {
            fs::copy(
                Path::new(ROOT).join(".config").join(name),
                checkout.join(name),
            )
            .unwrap();
        }
        let nobody = Uid::effective().is_root() && !tools.contains(&"python3");
        if nobody {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        Self { dir, nobody }
    }

    /// Puts a program that prints `says` on `PATH`.
    pub(crate) fn has(&self, name: &str, says: &str) {
        let path = self.dir.path().join("bin").join(name);
        write_script(&path, &format!("echo '{says}'"));
    }

    /// A shell in which `.config/prepare.sh` was read, which fetches from the server at `releases`, and runs `script`.
    pub(crate) fn command(&self, releases: &str, script: &str) -> Command {
        let root = self.dir.path().join("checkout");
        let mut command = Command::new(self.dir.path().join("bin/bash"));
        command
            .args([
                "-c",
                &format!("set -euo pipefail\n. \"$root/.config/prepare.sh\"\n{script}"),
            ])
            .env_clear()
            .env("PATH", self.dir.path().join("bin"))
            .env("HOME", self.dir.path().join("home"))
            .env("XDG_CACHE_HOME", self.dir.path().join("cache"))
            .env("root", &root)
            .env("TERRAFORM_RELEASES", releases)
            .env("RUSTUP_UPDATE_ROOT", releases)
            .current_dir(&root)
            .stdin(Stdio::null());
        if self.nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Its status, and what it said.
    pub(crate) fn run(&self, releases: &str, script: &str) -> (Option<i32>, String) {
        let output = self.command(releases, script).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    /// What is in the cache, half of something included.
    pub(crate) fn cached(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.dir.path().join("cache/ipam")) else {
            return Vec::new();
        };
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// Makes a shell script that can be run.
pub(crate) fn write_script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What would be found as `python3`, without what chooses between several.
pub(crate) fn python() -> PathBuf {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
