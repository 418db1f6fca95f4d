//! What commands read.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

/// A whole file, or the standard input where `-` stands for it.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path.as_os_str() != "-" {
        return fs::read(path);
    }
    let mut input = Vec::new();
    io::stdin().read_to_end(&mut input)?;
    Ok(input)
}
