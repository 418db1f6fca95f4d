//! `deploy/compose.sh` with a `docker` that only writes down what it is asked.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::programs;

const COMPOSE: &str = include_str!("../../../deploy/compose.yaml");

/// A copy of the script, since it writes beside itself, and a `docker` that does what the test says.
struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// `docker` is what the program does after it has written down its arguments.
    fn new(docker: &str) -> Self {
        let machine = Self {
            dir: tempfile::tempdir().expect("a directory"),
        };
        for part in ["deploy", "bin"] {
            fs::create_dir(machine.path(part)).expect("our own directory");
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        for file in ["compose.sh", "compose.yaml"] {
            fs::copy(root.join(file), machine.path("deploy").join(file)).expect("a copy");
        }
        if !docker.is_empty() {
            let log = machine.path("calls");
            let text = format!("#!/bin/sh\necho \"$*\" >>'{}'\n{docker}\n", log.display());
            fs::write(machine.path("bin/docker"), text).expect("our own file");
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(machine.path("bin/docker"), mode).expect("our own file");
        }
        // All that the script needs, and not the docker that the machine may have.
        let tools = [
            "bash", "sh", "od", "tr", "mkdir", "chmod", "mv", "dirname", "sed", "sort",
        ];
        programs::link(&tools, &machine.path("bin"));
        machine
    }

    fn path(&self, part: &str) -> PathBuf {
        self.dir.path().join(part)
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(self.path("bin/bash"))
            .arg(self.path("deploy/compose.sh"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("bin"))
            .output()
            .expect("bash runs");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8(said).expect("it writes text"),
        )
    }

    /// What docker was asked, without the path of the file.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let file = self.path("deploy/compose.yaml").display().to_string();
        text.lines()
            .map(|line| line.replace(&file, "FILE"))
            .collect()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

#[test]
fn up_makes_the_secrets_once_and_says_where_it_is() {
    let machine = Machine::new(
        "case $* in *' ps '*) echo one; echo two ;; 'port one '*) echo 127.0.0.1:8001 ;; port*) echo 127.0.0.1:8000 ;; esac",
    );
    let (code, said) = machine.run(&["up"]);
    assert_eq!(code, Some(0), "{said}");
    // Where docker has put them: IPAM_PORT may be a range.
    let addresses = "Dashboard:  http://127.0.0.1:8000\nDashboard:  http://127.0.0.1:8001\nSign in";
    assert!(said.contains(addresses), "{said}");
    assert_eq!(
        machine.calls(),
        [
            "compose version",
            "compose --file FILE up --detach --build --wait",
            "compose --file FILE ps --quiet ipam",
            "port one 8000",
            "port two 8000"
        ]
    );
    // Nobody else passes the directory; containers have users of their own, and read the files.
    assert_eq!(mode(&machine.path("deploy/secrets")), 0o700);
    let names = [
        "postgres_password",
        "server_password",
        "api_key",
        "token_pepper",
    ];
    let read = || {
        names.map(|name| {
            let file = machine.path("deploy/secrets").join(format!("{name}.txt"));
            assert_eq!(mode(&file), 0o444);
            fs::read_to_string(file).expect("a secret")
        })
    };
    let secrets = read();
    assert!(secrets.iter().all(|secret| secret.trim().len() >= 64));
    assert_ne!(
        secrets[0].trim(),
        secrets[2].trim().trim_start_matches("ipam_")
    );
    assert_ne!(secrets[0], secrets[1]);
    assert!(
        secrets.iter().all(|secret| !said.contains(secret.trim())),
        "{said}"
    );
    assert_eq!(machine.run(&["up"]).0, Some(0));
    assert_eq!(read(), secrets, "a second start makes no new secrets");
    let others = fs::read_dir(machine.path("deploy/secrets"))
        .expect("a directory")
        .count();
    assert_eq!(others, names.len());
}

#[test]
fn the_secrets_are_those_of_the_services() {
    for name in [
        "postgres_password",
        "server_password",
        "api_key",
        "token_pepper",
    ] {
        assert!(
            COMPOSE.contains(&format!("file: secrets/{name}.txt")),
            "{name}"
        );
        assert!(COMPOSE.contains(&format!("/run/secrets/{name}")), "{name}");
    }
    let ignored = include_str!("../../../.gitignore");
    assert!(ignored.lines().any(|line| line == "/deploy/secrets/"));
}

#[test]
fn what_fails_is_said() {
    let machine = Machine::new("[ \"$2\" = version ] || exit 17");
    let (code, said) = machine.run(&["up"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("error: it did not come up") && said.contains("compose.sh logs"),
        "{said}"
    );
    assert!(
        said.contains("IPAM_PORT=8000-8001 deploy/compose.sh up --scale ipam=2"),
        "{said}"
    );
    assert!(!said.contains("Dashboard"), "{said}");
    assert_eq!(machine.run(&["down", "--volumes"]).0, Some(17));
    let calls = machine.calls();
    assert_eq!(
        calls.last().map(String::as_str),
        Some("compose --file FILE down --volumes")
    );

    let (code, said) = Machine::new("exit 1").run(&["up"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("no compose plugin"), "{said}");

    let bare = Machine::new("");
    let (code, said) = bare.run(&["up"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("docker is missing"), "{said}");
    assert!(!bare.path("deploy/secrets").exists());

    let (code, said) = bare.run(&[]);
    assert_eq!(code, Some(2));
    assert!(said.contains("deploy/compose.sh up"), "{said}");
}
