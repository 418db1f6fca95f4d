//! `.ci/containers` where it can't do its work. What it does where it can is the step `containers` of `.ci/run`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::unistd::Uid;

/// Its status, and what it said.
fn run(command: &mut Command) -> (Option<i32>, String) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/containers")
}

/// A directory with something in the place of the programs.
fn programs() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["ipam", "terraform-provider-ipam"] {
        fs::copy("/bin/true", dir.path().join(name)).expect("a copy");
    }
    dir
}

#[test]
fn a_machine_without_an_engine_is_passed_over_loudly() {
    let programs = programs();
    // Whatever the machine has, it has no dockerd here, and nothing can be installed.
    let hidden = r#"for name in dockerd apt-get; do
        for dir in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
            [ ! -e "$dir/$name" ] || mount --bind /dev/null "$dir/$name"
        done
    done
    exec "$@""#;
    let (mut command, reason) = if Uid::effective().is_root() {
        let mut command = Command::new("unshare");
        command.args(["--mount", "bash", "-euc", hidden, "bash"]);
        command.arg(script());
        (command, "docker.io and debootstrap can't be installed")
    } else {
        (Command::new(script()), "it needs root")
    };
    let cache = tempfile::tempdir().expect("a directory");
    command
        .arg(programs.path())
        .env("XDG_CACHE_HOME", cache.path());
    let (status, said) = run(&mut command);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("!!! SKIPPED: nothing was tried on a container engine"),
        "{said}"
    );
    assert!(said.contains(reason), "{said}");
    let left = fs::read_dir(cache.path()).expect("ours").count();
    assert_eq!(left, 0, "it wrote into the cache");
}

#[test]
fn programs_that_are_missing_are_no_reason_to_pass_over() {
    let empty = tempfile::tempdir().expect("a directory");
    let (status, said) = run(Command::new(script()).arg(empty.path()));
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("error: the programs are not in"), "{said}");
    assert!(!said.contains("SKIPPED"), "{said}");
}
