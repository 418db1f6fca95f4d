//! A `PATH` with nothing on it but what a script may use.

use std::{
    env,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Links programs of this machine into a directory.
pub(crate) fn link(names: &[&str], dir: &Path) {
    for name in names {
        let program = find(name).unwrap_or_else(|| panic!("there is no {name}"));
        symlink(program, dir.join(name)).unwrap();
    }
}

/// Where this machine has a program.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap();
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}
