//! What `deploy/Dockerfile` does, without a container engine: the program as the image runs it, and the provider's archive.
//!
//! The program is the one that the tests use anyway; `.ci/run` also runs the build command of the Dockerfile, and then these
//! tests with the release program that it made. As root the program runs under the image's user in a root directory that is
//! mounted read-only and holds nothing but it, its libraries and its secrets. Without root it gets a user namespace, and is
//! there the user that runs the test.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use ipam_testing::{TestDatabase, TestServer, ipam_binary};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
};

const DOCKERFILE: &str = include_str!("../../../deploy/Dockerfile");
const USER: u32 = 65532;
/// Libraries of the runtime image, beside the kernel's own.
const LIBRARIES: [&str; 7] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "ld-linux",
];

/// The instructions, continued lines joined, without comments.
fn instructions() -> Vec<(String, String)> {
    let lines = DOCKERFILE.lines().filter(|line| !line.starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(word, rest)| {
            let rest: Vec<_> = rest.split_whitespace().collect();
            (word.to_owned(), rest.join(" "))
        })
        .collect()
}

fn last(word: &str) -> String {
    let found = instructions().into_iter().rfind(|it| it.0 == word);
    found
        .unwrap_or_else(|| panic!("no {word} in the Dockerfile"))
        .1
}

/// `ENV` of the runtime stage, with another port.
fn environment(port: u16) -> Vec<(String, String)> {
    let all: Vec<(String, String)> = last("ENV")
        .split(' ')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.replace(":8000", &format!(":{port}"))))
        .collect();
    assert!(all.contains(&("IPAM_LISTEN".to_owned(), format!("0.0.0.0:{port}"))));
    all
}

#[test]
fn the_dockerfile_builds_and_runs_what_is_tested_here() {
    let run = last("RUN");
    for command in [
        "cargo build --release --locked -p ipam-server --bin ipam -p terraform-provider-ipam --bin terraform-provider-ipam",
        "&& install -D -m 755 target/release/ipam /out/usr/local/bin/ipam",
        "&& deploy/provider-archive.sh target/release/terraform-provider-ipam /out/usr/share/ipam/provider",
    ] {
        assert!(run.contains(command), "{command:?} is not in: {run}");
    }
    assert_eq!(last("USER"), format!("{USER}:{USER}"));
    assert_eq!(last("ENTRYPOINT"), r#"["/usr/local/bin/ipam"]"#);
    assert_eq!(last("CMD"), r#"["serve"]"#);
    assert_eq!(last("STOPSIGNAL"), "SIGTERM");
    assert!(last("HEALTHCHECK").ends_with(r#"CMD ["/usr/local/bin/ipam", "healthcheck"]"#));
    assert_eq!(
        last("ARG"),
        format!("VERSION={}", env!("CARGO_PKG_VERSION"))
    );
    // Whatever the build reads must pass .dockerignore.
    let ignore = include_str!("../../../.dockerignore");
    let manifest = include_str!("../../../Cargo.toml");
    let members = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = ["))
        .expect("members");
    let members = members
        .trim_end_matches(']')
        .split(", ")
        .map(|name| name.trim_matches('"'));
    let members = members.map(|name| name.split('/').next().unwrap_or(name));
    for name in members.chain([
        ".sqlx",
        "migrations",
        "Cargo.toml",
        "Cargo.lock",
        "deploy/provider-archive.sh",
    ]) {
        assert!(
            ignore.lines().any(|line| line == format!("!{name}")),
            "{name} is ignored"
        );
    }
    assert!(ignore.lines().any(|line| line == "*"));
}

#[test]
fn the_provider_archive_is_one_that_terraform_installs() {
    let dir = tempfile::tempdir().expect("a directory");
    // Terraform installs it without running it, so anything will do.
    let program = dir.path().join("terraform-provider-ipam");
    fs::write(&program, "#!/bin/sh\nexit 1\n").expect("our own file");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let pack = || {
        let output = Command::new(root.join("deploy/provider-archive.sh"))
            .args([&program, &dir.path().join("mirror")])
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{}", text(&output));
        let path = PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim());
        (fs::read(&path).expect("an archive"), path)
    };
    let (first, path) = pack();
    assert_eq!(pack().0, first, "the same program makes the same archive");
    let version = env!("CARGO_PKG_VERSION");
    let arch = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    let name = format!("terraform-provider-ipam_{version}_linux_{arch}.zip");
    assert!(
        path.ends_with(format!("mirror/registry.terraform.io/ipam/ipam/{name}")),
        "{path:?}"
    );
    let sums = format!("terraform-provider-ipam_{version}_SHA256SUMS");
    let checked = Command::new("sha256sum")
        .args(["--check", &sums])
        .current_dir(path.parent().expect("a directory"))
        .output()
        .expect("sha256sum runs");
    assert!(checked.status.success(), "{}", text(&checked));

    let work = dir.path().join("work");
    fs::create_dir(&work).expect("our own directory");
    fs::write(
        work.join("main.tf"),
        format!("terraform {{\n  required_providers {{\n    ipam = {{ source = \"ipam/ipam\", version = \"{version}\" }}\n  }}\n}}\n"),
    )
    .expect("our own file");
    let rc = dir.path().join("terraform.rc");
    let mirror = dir.path().join("mirror");
    fs::write(
        &rc,
        format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
            mirror.display()
        ),
    )
    .expect("our own file");
    let init = Command::new("terraform")
        .args(["init", "-input=false", "-no-color"])
        .current_dir(&work)
        .env("TF_CLI_CONFIG_FILE", &rc)
        .env("CHECKPOINT_DISABLE", "1")
        .output()
        .expect("terraform runs");
    assert!(init.status.success(), "{}", text(&init));
    let installed = work.join(format!(
        ".terraform/providers/registry.terraform.io/ipam/ipam/{version}/linux_{arch}/terraform-provider-ipam_v{version}"
    ));
    assert_eq!(
        fs::read(&installed).expect("installed"),
        fs::read(&program).expect("ours")
    );
    let mode = fs::metadata(&installed)
        .expect("installed")
        .permissions()
        .mode();
    assert_eq!(mode & 0o111, 0o111, "{mode:o}");
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// The shared libraries that the program needs, where this machine has them.
fn libraries() -> Vec<PathBuf> {
    let output = Command::new("ldd")
        .arg(ipam_binary())
        .output()
        .expect("ldd runs");
    assert!(output.status.success(), "{}", text(&output));
    let listed = String::from_utf8(output.stdout).expect("ldd writes text");
    let paths = listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

#[test]
fn the_program_needs_only_libraries_of_the_runtime_image() {
    let found = libraries();
    assert!(found.len() >= 2, "{found:?}");
    for path in found {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        assert!(
            LIBRARIES.iter().any(|known| name.starts_with(known)),
            "{name} is not in the runtime image"
        );
    }
}

/// A root directory as the image has it, and a program in it that is killed when dropped.
struct Confinement {
    root: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Confinement {
    fn new(environment: Vec<(String, String)>) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let put = |from: &Path, to: &str| {
            let to = root.path().join(to.trim_start_matches('/'));
            fs::create_dir_all(to.parent().expect("a directory")).expect("our own directory");
            fs::copy(from, to).expect("a copy");
        };
        put(ipam_binary(), "/usr/local/bin/ipam");
        for library in libraries() {
            put(&library, library.to_str().expect("a plain name"));
        }
        let secrets = root.path().join("run/secrets");
        fs::create_dir_all(&secrets).expect("our own directory");
        let key = secrets.join("api_key");
        fs::write(&key, format!("{}\n", TestServer::API_KEY)).expect("our own file");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).expect("our own file");
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        if Uid::effective().is_root() {
            chown(&key, Some(USER), Some(USER)).expect("root may");
        }
        Self { root, environment }
    }

    /// `ipam` with these arguments in the confinement. Each step replaces the one before, so that the process that is
    /// started is the program.
    fn command(&self, arguments: &[&str]) -> Command {
        let (namespace, user): (&[&str], _) = if Uid::effective().is_root() {
            (&["--mount"], format!("--userspec={USER}:{USER}"))
        } else {
            (&["--user", "--map-root-user", "--mount"], String::new())
        };
        // A write must fail; else nothing is proven.
        let script = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/written" 2>/dev/null \
            && exec env -i "${@:2}" /usr/sbin/chroot ${1:+"$1"} "$0" /usr/local/bin/ipam $ARGUMENTS"#;
        let mut command = Command::new("unshare");
        command
            .args(namespace)
            .args(["bash", "-c", script])
            .arg(self.root.path())
            .arg(user);
        command.args(
            self.environment
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        command
            .env("ARGUMENTS", arguments.join(" "))
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }
}

/// The URL of the same database by TCP. The socket of the tests' PostgreSQL is outside of the root directory, and lets only
/// its own user in.
async fn over_tcp(url: &str) -> String {
    let options: PgConnectOptions = url.parse().expect("a URL");
    let Some(directory) = options.get_socket() else {
        return url.to_owned();
    };
    let socket = directory.join(format!(".s.PGSQL.{}", options.get_port()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut postgres = UnixStream::connect(&socket).await.expect("it listens");
            tokio::spawn(async move {
                // Whoever leaves first ends it.
                _ = copy_bidirectional(&mut client, &mut postgres).await;
            });
        }
    });
    let database = options.get_database().expect("a database");
    format!("postgres://{}@{address}/{database}", options.get_username())
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended before.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_runs_as_in_the_image() {
    let database = TestDatabase::empty().await;
    let listener = std::net::TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    drop(listener);
    let mut environment = environment(port);
    environment.push(("DATABASE_URL".to_owned(), over_tcp(&database.url()).await));
    environment.push(("API_KEY_FILE".to_owned(), "/run/secrets/api_key".to_owned()));
    let confinement = Confinement::new(environment);
    let log_file = tempfile::NamedTempFile::new().expect("a file");
    let log = || fs::read_to_string(log_file.path()).expect("the log");
    let mut serve = confinement.command(&["serve"]);
    serve.stderr(log_file.reopen().expect("a file"));
    let mut server = Running(serve.spawn().expect("unshare starts"));
    let pid = server.0.id();

    let check = || {
        confinement
            .command(&["healthcheck"])
            .output()
            .expect("unshare starts")
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let checked = check();
        if checked.status.success() {
            assert!(
                text(&checked).ends_with("/readyz says yes\n"),
                "{}",
                text(&checked)
            );
            break;
        }
        let ended = server.0.try_wait().expect("it is our child");
        assert!(
            ended.is_none() && Instant::now() < deadline,
            "{ended:?}\n{}\n{}",
            text(&checked),
            log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if Uid::effective().is_root() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let users = status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .expect("users");
        assert!(
            users
                .split_whitespace()
                .all(|user| user == USER.to_string()),
            "{users}"
        );
    }
    for line in log().lines() {
        assert!(line.starts_with('{'), "not JSON: {line}");
    }

    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).expect("it is our child");
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = server.0.try_wait().expect("it is our child") {
            break status;
        }
        // The drain delay of the image and the time for running requests; nothing runs.
        assert!(
            begin.elapsed() < Duration::from_secs(5 + 25),
            "it does not stop\n{}",
            log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(status.code(), Some(0), "{}", log());
    assert!(
        begin.elapsed() >= Duration::from_secs(5),
        "no drain delay: {:?}",
        begin.elapsed()
    );
    assert!(!check().status.success(), "it is gone");
}
