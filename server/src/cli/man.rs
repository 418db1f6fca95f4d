//! `ipam man`: the manual.

use std::{fs, io, path::PathBuf};

use clap_mangen::Man as Page;

use super::output::Failure;

/// Write the manual: a page for each command into a directory, or only that of ipam to the standard output
#[derive(Debug, clap::Args)]
pub struct Man {
    /// The directory, such as /usr/local/share/man/man1; it is made if need be
    directory: Option<PathBuf>,
}

impl Man {
    /// What to print.
    ///
    /// # Errors
    /// When a page can't be written.
    pub fn run(&self, command: clap::Command) -> Result<String, Failure> {
        let Some(directory) = &self.directory else {
            let mut page = Vec::new();
            let written = Page::new(command).render(&mut page);
            return written
                .and_then(|()| String::from_utf8(page).map_err(io::Error::other))
                .map_err(|error| Failure::Refused(format!("cannot write the page: {error}")));
        };
        fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(command, directory))
            .map(|()| {
                format!(
                    "The manual is in {}; man ipam shows it once that is in MANPATH\n",
                    directory.display()
                )
            })
            .map_err(|error| Failure::Refused(format!("{}: {error}", directory.display())))
    }
}
