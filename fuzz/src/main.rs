//! libFuzzer on the target that `IPAM_FUZZ` names, with the options of libFuzzer. With `--targets` it says which there are, and the
//! longest input of each.
#![no_main]

use std::sync::LazyLock;

use ipam_fuzz::{TARGETS, Target, target};
use libfuzzer_sys::fuzz_target;

static CHOSEN: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("IPAM_FUZZ").unwrap_or_default();
    target(&name).unwrap_or_else(|| panic!("{name:?} is no target"))
});

fuzz_target!(
    init: {
        if std::env::args().nth(1).as_deref() == Some("--targets") {
            use std::io::Write as _;
            for target in TARGETS {
                // Nothing can be done if nobody listens.
                _ = writeln!(std::io::stdout(), "{}:{}", target.name, target.longest);
            }
            std::process::exit(0);
        }
    },
    |input: &[u8]| (CHOSEN.run)(input)
);
