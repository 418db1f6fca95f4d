//! The account that runs PostgreSQL, which refuses to run as root; started by root it runs as `postgres`, else as `nobody`.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{Uid, User, geteuid};

use crate::Error;

/// The account of the PostgreSQL processes and of their files.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// Absent when PostgreSQL runs as we do.
    other: Option<User>,
}

impl Account {
    pub(crate) fn choose() -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Ok(Self { other: None });
        }
        // A lookup that fails is as good as a user that does not exist: the next one is tried.
        let user = ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| User::from_name(name).ok().flatten());
        user.map(|user| Self { other: Some(user) })
            .ok_or(Error::NoAccount)
    }

    /// Whether the account differs from ours.
    pub(crate) fn is_other(&self) -> bool {
        self.other.is_some()
    }

    /// A command that runs as the account, with an environment of its own: neither `PG*` nor a locale of ours reaches
    /// the database. Supplementary groups are dropped with the uid.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .current_dir("/");
        if let Some(user) = &self.other {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// Creates `path` as a directory of the account that nobody else can enter; takes over one that exists.
    pub(crate) fn make_private_dir(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) | Ok(()) => {}
        }
        if let Some(user) = &self.other {
            std::os::unix::fs::chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        fs::set_permissions(path, Permissions::from_mode(0o700))
    }

    /// Whether `path`, not followed if it is a link, is a directory of ours or of the account.
    pub(crate) fn is_own_dir(&self, path: &Path) -> io::Result<bool> {
        let metadata = fs::symlink_metadata(path)?;
        let owner = Uid::from_raw(metadata.uid());
        Ok(metadata.is_dir()
            && (owner == geteuid() || self.other.as_ref().is_some_and(|user| owner == user.uid)))
    }

    /// Checks that the account can work in `dir`, by trying: permissions have more sources than the mode bits.
    pub(crate) fn check_reach(&self, program: &Path, dir: &Path) -> Result<(), Error> {
        let Some(user) = &self.other else {
            return Ok(());
        };
        let mut probe = self.command(program);
        probe
            .arg("--version")
            .current_dir(dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match probe.status() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(Error::Unreachable {
                    path: dir.to_path_buf(),
                    user: user.name.clone(),
                    closed: closed_ancestor(dir),
                })
            }
            Err(error) => Err(Error::io("run", program)(error)),
            Ok(_) => Ok(()),
        }
    }
}

/// The outermost directory above `dir` that others may not pass; `dir` itself if the mode bits do not tell.
fn closed_ancestor(dir: &Path) -> PathBuf {
    let mut ancestors: Vec<_> = dir.ancestors().skip(1).collect();
    ancestors.reverse();
    ancestors
        .into_iter()
        .find(|path| fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o001 == 0))
        .unwrap_or(dir)
        .to_path_buf()
}
