//! Fuzz targets: each parser of ipam, with what must hold of it. None of them panics on any input; where there is somebody
//! else who knows the answer, the two are compared, and what was read is written and read again.
//!
//! `./test` gives each target the seeds in `fuzz/seeds/` (what was found before is among them); `./test --nightly` has
//! libFuzzer look for more. `docs/CONTRIBUTING.md` says how to do that by hand.

mod bytes;
mod targets;

pub use targets::TARGETS;

/// Something to fuzz.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// By which it is chosen.
    pub name: &'static str,
    /// The longest input that is of use, in bytes.
    pub longest: usize,
    /// Panics if what must hold does not.
    pub run: fn(&[u8]),
}

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}
