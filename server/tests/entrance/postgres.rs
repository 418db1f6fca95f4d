//! The way from the server to PostgreSQL: with `verify-full` it talks to the database that its authority vouches for, and to
//! nobody else.

use std::{
    fs,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ipam_server::postgres::{Managed, Options};
use ipam_testing::{TestServer, ipam_binary};

use crate::authority::Authority;

/// A PostgreSQL that listens on TCP, with a certificate; stopped when dropped.
struct Encrypted {
    process: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        // SIGQUIT, so that its own processes end too.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGQUIT);
        _ = self.process.wait();
    }
}

impl Encrypted {
    async fn start(authority: &Authority) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Also the user of PostgreSQL has to reach it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let managed = Managed::start(dir.path(), Options::default())
            .await
            .unwrap();
        // Where its programs are, which no other name says.
        let psql = managed.psql_hint();
        let psql = Path::new(psql.split(' ').next().unwrap());
        managed.stop().await.unwrap();
        let data = dir.path().join("postgres");
        let owner = fs::metadata(&data).unwrap();
        let pair = authority.issue(2049);
        for (name, text) in [("server.crt", &pair.certificate), ("server.key", &pair.key)] {
            let path = data.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut command = Command::new(psql.with_file_name("postgres"));
        command.arg("-D").arg(&data);
        for setting in [
            "listen_addresses=127.0.0.1,127.0.0.2",
            &format!("port={port}"),
            "unix_socket_directories=",
            "ssl=on",
        ] {
            command.args(["-c", setting]);
        }
        command
            .current_dir(&data)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            command.gid(owner.gid()).uid(owner.uid());
        }
        let process = command.spawn().unwrap();
        let started = Self { process, port, dir };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "PostgreSQL does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        started
    }
}

/// What `ipam migrate` says with these settings.
fn migrate(settings: &[(&str, &str)]) -> (bool, String) {
    let output = Command::new(ipam_binary())
        .arg("migrate")
        .env_clear()
        .env("IPAM_DATABASE_WAIT", "2")
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_nobody_vouches_for_is_refused() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let postgres = Encrypted::start(&authority).await;
    let (ca, other) = (
        postgres.dir.path().join("ca.pem"),
        postgres.dir.path().join("other.pem"),
    );
    fs::write(&ca, authority.pem()).unwrap();
    fs::write(&other, stranger.pem()).unwrap();
    let url = |host: &str, ca: &Path| {
        let port = postgres.port;
        format!(
            "postgres://postgres@{host}:{port}/ipam?sslmode=verify-full&sslrootcert={}",
            path(ca)
        )
    };
    let (worked, said) = migrate(&[("DATABASE_URL", &url("localhost", &ca))]);
    assert!(worked, "{said}");
    // The certificate of another authority, and a name that is not in it.
    for url in [url("localhost", &other), url("127.0.0.2", &ca)] {
        let (worked, said) = migrate(&[("DATABASE_URL", &url)]);
        assert!(!worked, "{url}: {said}");
    }
    let port = postgres.port.to_string();
    let parts = |ca: &Path| {
        let settings = [
            ("POSTGRES_HOST", "localhost"),
            ("POSTGRES_PORT", &port),
            ("POSTGRES_DB", "ipam"),
            ("POSTGRES_USER", "postgres"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", path(ca)),
        ];
        migrate(&settings)
    };
    let (worked, said) = parts(&ca);
    assert!(worked, "{said}");
    let (worked, said) = parts(&other);
    assert!(!worked && said.contains("certificate"), "{said}");

    // And all that a server does goes that way.
    let server = TestServer::start_with(&url("localhost", &ca), &[]).await;
    let options: sqlx::postgres::PgConnectOptions = url("localhost", &ca).parse().unwrap();
    let mut db = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let counts: (i64, i64) = sqlx::query_as(
        "select count(*) filter (where ssl), count(*) from pg_stat_ssl join pg_stat_activity using (pid)
        where application_name = 'ipam'",
    )
    .fetch_one(&mut db)
    .await
    .unwrap();
    assert!(counts.0 == counts.1 && counts.1 > 0, "{counts:?}");
    drop(server);
}
