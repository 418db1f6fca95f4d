//! Each target takes its seeds, and what was found before, in every `./test`. Once `IPAM_FUZZ_SECONDS` says for how long,
//! libFuzzer looks for more on each of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ipam_fuzz::TARGETS;

/// How many that are a byte away from a seed are tried.
const NEIGHBOURS: usize = 64;

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

/// The files of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

#[test]
fn each_target_takes_its_seeds() {
    let known: Vec<_> = TARGETS
        .iter()
        .map(|target| seeds().join(target.name))
        .collect();
    for folder in files(&seeds()) {
        assert!(known.contains(&folder), "{}: no target", folder.display());
    }
    for (target, folder) in TARGETS.iter().zip(known) {
        let files = files(&folder);
        assert!(!files.is_empty(), "{} has no seeds", target.name);
        for file in files {
            let seed = fs::read(&file).expect("a seed can be read");
            // Which one it was is said before, in case it never ends.
            println!("{}", file.display());
            (target.run)(&seed);
            // And what is a byte away from it.
            let length = seed.len().min(target.longest);
            for at in (0..length).step_by((length / NEIGHBOURS).max(1)) {
                (target.run)(&seed[..at]);
                let mut other = seed.clone();
                other[at] = other[at].wrapping_add(1);
                (target.run)(&other);
            }
        }
    }
}

#[test]
fn libfuzzer_finds_nothing() {
    let Ok(seconds) = std::env::var("IPAM_FUZZ_SECONDS") else {
        return;
    };
    let status = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("run"))
        .arg(seconds)
        .status();
    assert!(status.expect("it runs").success(), "see above");
}
