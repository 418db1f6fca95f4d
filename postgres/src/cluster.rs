//! The data directory: its lock, the cluster in it, and the command that runs it.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

use crate::account::Account;
use crate::child::Child;
use crate::install::Install;
use crate::{Error, Options, PORT, SUPERUSER, leftover};

/// Maximum length of a directory whose socket `/.s.PGSQL.5432` fits into the 104 bytes that the most restrictive of our
/// systems allows.
const LONGEST_SOCKET_DIR: usize = 88;
/// A log larger than this at startup is moved to `postgres.log.old`.
const LARGEST_LOG: u64 = 8 << 20;
/// As much of the log as an error shows.
const LOG_TAIL_LINES: usize = 20;

/// What `postmaster.pid` says of the process.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    Starting,
    Ready,
}

/// A data directory that is locked by us and ready to be run.
#[derive(Debug)]
pub(crate) struct Cluster {
    data_dir: PathBuf,
    socket_dir: PathBuf,
    account: Account,
    install: Install,
    durable: bool,
    /// Where the log of this start begins.
    log_begin: u64,
    /// Released by the kernel when we end, however we do.
    _lock: File,
}

impl Cluster {
    /// Locks the data directory and makes it ready: creates the cluster if there is none, ends what an earlier run
    /// left running. Blocks for up to the time that a leftover needs to stop.
    pub(crate) fn open(data_dir: &Path, options: Options) -> Result<Self, Error> {
        let account = Account::choose()?;
        let data_dir = prepare_data_dir(data_dir, &account)?;
        let lock = lock(&data_dir)?;
        let pgdata = pgdata(&data_dir);
        let wanted = major_of(&pgdata)?;
        let install = Install::find(options.bin_dir.as_deref(), wanted, &account, &data_dir)?;
        if wanted.is_none() {
            create(&pgdata, &account, &install, options.durable)?;
        }
        // Also when it exists: somebody may have closed a directory above it.
        account.check_reach(&install.program("postgres"), &pgdata)?;
        leftover::stop_postgres(&pgdata)?;
        let socket_dir = prepare_socket_dir(&data_dir, &account)?;
        leftover::remove_socket(&socket_dir)?;
        let log_begin = set_aside_large_log(&log_path(&data_dir))?;
        Ok(Self {
            data_dir,
            socket_dir,
            account,
            install,
            durable: options.durable,
            log_begin,
            _lock: lock,
        })
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub(crate) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    pub(crate) fn bin_dir(&self) -> &Path {
        &self.install.bin_dir
    }

    pub(crate) fn version(&self) -> &str {
        &self.install.version
    }

    pub(crate) fn durable(&self) -> bool {
        self.durable
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        log_path(&self.data_dir)
    }

    /// Starts `postgres` itself and not `pg_ctl`, which would detach it from us.
    pub(crate) fn spawn(&self) -> Result<Child, Error> {
        let program = self.install.program("postgres");
        let pgdata = pgdata(&self.data_dir);
        let log_path = self.log_path();
        let log = File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log_path)
            .and_then(|log| Ok((log.try_clone()?, log)));
        let (stdout, stderr) = log.map_err(Error::io("write", &log_path))?;
        let mut command = self.account.command(&program);
        command
            .arg("-D")
            .arg(&pgdata)
            .current_dir(&pgdata)
            .stdout(stdout)
            .stderr(stderr);
        for setting in self.settings() {
            command.arg("-c").arg(setting);
        }
        Child::spawn(command).map_err(Error::io("run", &program))
    }

    /// Settings on the command line win over every configuration file, so that nothing in the data directory can
    /// open a port or weaken a commit. Tuning stays possible in `postgresql.conf`.
    fn settings(&self) -> Vec<String> {
        let socket_dir = self.socket_dir.display().to_string().replace('"', "\"\"");
        let mut settings = vec![
            "listen_addresses=".to_owned(),
            format!("port={PORT}"),
            format!("unix_socket_directories=\"{socket_dir}\""),
            "unix_socket_permissions=0700".to_owned(),
            "logging_collector=off".to_owned(),
            "log_destination=stderr".to_owned(),
            // Even where nothing reaches the disk: then a killed process still loses nothing.
            "synchronous_commit=on".to_owned(),
            // Compiling plans costs more than any of our short statements.
            "jit=off".to_owned(),
        ];
        let (switch, more): (_, &[&str]) = if self.durable {
            ("on", &[])
        } else {
            // A throw-away cluster serves many test processes at once and never recovers.
            (
                "off",
                &[
                    "autovacuum=off",
                    "max_connections=300",
                    "wal_level=minimal",
                    "max_wal_senders=0",
                    "max_wal_size=4GB",
                ],
            )
        };
        settings.extend(["fsync", "full_page_writes"].map(|name| format!("{name}={switch}")));
        settings.extend(more.iter().map(|&setting| setting.to_owned()));
        settings
    }

    /// How far the process `pid` has come. The file may still be that of a predecessor.
    pub(crate) fn state(&self, pid: Pid) -> State {
        let Ok(text) = fs::read_to_string(pgdata(&self.data_dir).join("postmaster.pid")) else {
            return State::Starting;
        };
        let mut lines = text.lines();
        let is_ours = lines.next() == Some(pid.to_string().as_str());
        // The status is line 8.
        let is_ready = lines
            .nth(6)
            .is_some_and(|status| status.starts_with("ready"));
        if is_ours && is_ready {
            State::Ready
        } else {
            State::Starting
        }
    }

    /// The error for a process that ended by itself.
    pub(crate) fn died(&self, status: String) -> Error {
        let log_path = self.log_path();
        let log = log_tail(&log_path, self.log_begin)
            .unwrap_or_else(|error| format!("(cannot be read: {error})"));
        Error::Died {
            status,
            log,
            log_path,
        }
    }
}

fn pgdata(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres")
}

fn log_path(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres.log")
}

/// Creates the data directory if it is missing, and lets another account pass through it (not list it) to its cluster.
fn prepare_data_dir(path: &Path, account: &Account) -> Result<PathBuf, Error> {
    let mode = if account.is_other() { 0o711 } else { 0o700 };
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(Error::io("create", path))?;
    let path = path.canonicalize().map_err(Error::io("open", path))?;
    if account.is_other() {
        let mode = fs::metadata(&path)
            .map_err(Error::io("read", &path))?
            .mode()
            & 0o7777;
        if mode & 0o011 != 0o011 {
            fs::set_permissions(&path, Permissions::from_mode(mode | 0o011))
                .map_err(Error::io("open to PostgreSQL", &path))?;
        }
    }
    Ok(path)
}

/// Takes the lock and leaves our number in it, for the message that a second server shows.
fn lock(data_dir: &Path) -> Result<File, Error> {
    let path = data_dir.join("lock");
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path)
                .ok()
                .map(|text| text.trim().to_owned());
            return Err(Error::InUse {
                path: data_dir.to_path_buf(),
                pid: pid.filter(|pid| !pid.is_empty()),
            });
        }
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(Error::io("write", &path))?;
    Ok(file)
}

/// The major version of the cluster in `pgdata`, if there is one.
fn major_of(pgdata: &Path) -> Result<Option<u32>, Error> {
    let path = pgdata.join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(error) => Err(Error::io("understand", &path)(io::Error::new(
                io::ErrorKind::InvalidData,
                error,
            ))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// Creates a cluster under another name and renames it when it is whole, so that an interrupted creation is no cluster.
fn create(pgdata: &Path, account: &Account, install: &Install, durable: bool) -> Result<(), Error> {
    let partial = pgdata.with_extension("partial");
    match fs::remove_dir_all(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &partial)(error));
        }
        Err(_) | Ok(()) => {}
    }
    account
        .make_private_dir(&partial)
        .map_err(Error::io("create", &partial))?;
    let program = install.program("initdb");
    account.check_reach(&program, &partial)?;
    let mut command = account.command(&program);
    command.args([
        "-U",
        SUPERUSER,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-locale",
        "--data-checksums",
    ]);
    if !durable {
        command.arg("--no-sync");
    }
    let output = command
        .arg("-D")
        .arg(&partial)
        .output()
        .map_err(Error::io("run", &program))?;
    if !output.status.success() {
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        return Err(Error::Initdb {
            path: partial,
            output: text,
        });
    }
    fs::rename(&partial, pgdata).map_err(Error::io("rename", &partial))?;
    let parent = pgdata.parent().unwrap_or(pgdata);
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io("sync", parent))
}

/// A private directory for the socket, in the data directory if its path is short enough, else in /tmp.
fn prepare_socket_dir(data_dir: &Path, account: &Account) -> Result<PathBuf, Error> {
    let dir = data_dir.join("run");
    if dir.as_os_str().len() <= LONGEST_SOCKET_DIR {
        account
            .make_private_dir(&dir)
            .map_err(Error::io("create", &dir))?;
        return Ok(dir);
    }
    // Named by what the directory is and not by its path, so that it is found again.
    let metadata = fs::metadata(data_dir).map_err(Error::io("read", data_dir))?;
    let dir = PathBuf::from(format!(
        "/tmp/ipam-{:x}-{:x}",
        metadata.dev(),
        metadata.ino()
    ));
    // Anybody can create directories there: one that is not ours must not be trusted, nor be taken over.
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::io("create", &dir)(error));
        }
        Err(_) | Ok(()) => {}
    }
    if !account.is_own_dir(&dir).map_err(Error::io("read", &dir))? {
        return Err(Error::SocketDir {
            data_dir: data_dir.to_path_buf(),
            path: dir,
        });
    }
    account
        .make_private_dir(&dir)
        .map_err(Error::io("create", &dir))?;
    Ok(dir)
}

/// Sets a large log aside and returns the length of what is left of it.
fn set_aside_large_log(path: &Path) -> Result<u64, Error> {
    let length = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if length <= LARGEST_LOG {
        return Ok(length);
    }
    fs::rename(path, path.with_extension("log.old")).map_err(Error::io("rename", path))?;
    Ok(0)
}

fn log_tail(path: &Path, begin: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    // Enough for the lines that are shown, however much there is.
    file.seek(SeekFrom::Start(begin.max(length.saturating_sub(64 << 10))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n"))
}
