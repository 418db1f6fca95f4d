//! The binary `ipam`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ipam_server::cli::run()
}
