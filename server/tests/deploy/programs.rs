//! A `PATH` with nothing on it but what a script may use.

use std::{env, os::unix::fs::symlink, path::Path};

/// Links programs of this machine into a directory.
pub(crate) fn link(names: &[&str], dir: &Path) {
    let path = env::var_os("PATH").unwrap();
    for name in names {
        let program = env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
            .unwrap_or_else(|| panic!("there is no {name}"));
        symlink(program, dir.join(name)).unwrap();
    }
}
