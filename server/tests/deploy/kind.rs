//! `deploy/kind.sh`, driven through what can happen to it. `kind`, `docker` and `kubectl` are stand-ins that write down
//! what they are called with (`stub.sh`), so that no container engine is needed.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::programs;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const STUBS: [&str; 3] = ["kind", "docker", "kubectl"];
/// All that the script and the stubs use besides; nothing else is on their path.
const PROGRAMS: [&str; 11] = [
    "bash", "base64", "cat", "dirname", "grep", "head", "mktemp", "rm", "sed", "touch", "tr",
];

/// The calls of a first run, in order.
const FIRST_RUN: [&str; 20] = [
    "docker info",
    "kind get clusters",
    "kind create cluster --name ipam --config deploy/kubernetes/kind.yaml",
    "kubectl --context kind-ipam wait nodes --all --for=condition=Ready --timeout=300s",
    "docker build --file deploy/Dockerfile --tag ipam:dev .",
    "kind load docker-image ipam:dev --name ipam",
    "kubectl --context kind-ipam apply --filename deploy/kubernetes/base/namespace.yaml",
    "kubectl --context kind-ipam --namespace ipam get secret ipam-key --ignore-not-found --output name",
    "kubectl --context kind-ipam --namespace ipam create secret generic ipam-key --from-file=api-key=FILE",
    "kubectl --context kind-ipam --namespace ipam get secret ipam-token-pepper --ignore-not-found --output name",
    "kubectl --context kind-ipam --namespace ipam create secret generic ipam-token-pepper --from-file=pepper=FILE",
    "kubectl --context kind-ipam --namespace ipam get secret ipam-postgres-app --ignore-not-found --output name",
    "kubectl --context kind-ipam --namespace ipam create secret generic ipam-postgres-app --from-file=password=FILE \
     --from-literal=username=ipam --from-literal=dbname=ipam --from-literal=host=ipam-postgres --from-literal=port=5432",
    "kubectl --context kind-ipam --namespace ipam get secret ipam-postgres-server --ignore-not-found --output name",
    "kubectl --context kind-ipam --namespace ipam create secret generic ipam-postgres-server --from-file=password=FILE \
     --from-literal=username=ipam_server",
    "kubectl --context kind-ipam --namespace ipam get deployment ipam --ignore-not-found --output name",
    "kubectl --context kind-ipam apply --kustomize deploy/kubernetes/overlays/kind",
    "kubectl --context kind-ipam --namespace ipam rollout status statefulset/ipam-postgres --timeout=300s",
    "kubectl --context kind-ipam --namespace ipam rollout status deployment/ipam --timeout=300s",
    "kubectl --context kind-ipam --namespace ipam get secret ipam-key --output go-template={{index .data \"api-key\" | base64decode}}",
];

/// A machine with kind, docker and kubectl, or what is left of it.
struct Machine {
    dir: TempDir,
}

/// How a run ended.
#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
    /// The calls, without where the files with secrets were.
    calls: Vec<String>,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for name in ["bin", "state", "tmp"] {
            fs::create_dir(machine.path(name)).unwrap();
        }
        for name in STUBS {
            let stub = Path::new(ROOT).join("server/tests/deploy/stub.sh");
            symlink(stub, machine.path("bin").join(name)).unwrap();
        }
        programs::link(&PROGRAMS, &machine.path("bin"));
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn without(self, program: &str) -> Self {
        fs::remove_file(self.path("bin").join(program)).unwrap();
        self
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.run_where_fails("nothing", words)
    }

    /// Runs the script on this machine, where a call that matches the pattern fails.
    fn run_where_fails(&self, pattern: &str, words: &[&str]) -> Ran {
        let calls = self.path("state/calls");
        fs::write(&calls, "").unwrap();
        let output = Command::new("bash")
            .arg(Path::new(ROOT).join("deploy/kind.sh"))
            .args(words)
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("TMPDIR", self.path("tmp"))
            .env("STUB_STATE", self.path("state"))
            .env("STUB_FAIL", pattern)
            .output()
            .unwrap();
        let ran = Ran {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            calls: fs::read_to_string(&calls)
                .unwrap()
                .lines()
                .map(without_paths)
                .collect(),
        };
        let left: Vec<_> = fs::read_dir(self.path("tmp")).unwrap().collect();
        assert!(left.is_empty(), "secrets were left behind: {left:?}");
        for call in &ran.calls {
            assert!(
                !call.starts_with("kubectl ") || call.starts_with("kubectl --context kind-ipam "),
                "this goes to whichever context is the current one: {call}"
            );
        }
        ran
    }

    /// What the cluster holds of a secret.
    fn secret(&self, name_and_key: &str) -> String {
        fs::read_to_string(self.path("state").join(name_and_key)).unwrap()
    }
}

impl Ran {
    /// Fails unless the run ended with this code, and said all of this to the user.
    #[track_caller]
    fn ended(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, code, "{self:#?}");
        for text in said {
            assert!(self.stderr.contains(text), "{text:?} is not in {self:#?}");
        }
    }

    fn has_call(&self, start: &str) -> bool {
        self.calls.iter().any(|call| call.starts_with(start))
    }
}

/// Where the files with secrets are is new each time.
fn without_paths(call: &str) -> String {
    call.split(' ')
        .map(|word| match word.split_once("=/") {
            Some((option, _)) => format!("{option}=FILE"),
            None => word.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn the_first_run_makes_all_and_prints_address_and_key() {
    let machine = Machine::new();
    let ran = machine.run(&[]);
    ran.ended(0, &["making cluster ipam", "building image ipam:dev"]);
    assert_eq!(ran.calls, FIRST_RUN);

    let key = machine.secret("ipam-key.api-key");
    assert!(key.starts_with("ipam_") && key.len() == 48, "{key:?}");
    assert_eq!(
        ran.stdout,
        format!("\nDashboard:  http://127.0.0.1:8000\nKey:        {key}\n")
    );
    let password = machine.secret("ipam-postgres-app.password");
    assert_eq!(password.len(), 43);
    assert!(!key.contains(&password));
    let calls = machine.secret("calls");
    for secret in [&key["ipam_".len()..], &password] {
        assert!(
            !calls.contains(secret),
            "everybody can read arguments: {calls}"
        );
        assert!(!ran.stderr.contains(secret), "{}", ran.stderr);
    }
}

#[test]
fn two_machines_have_different_secrets() {
    let [one, two] = [Machine::new(), Machine::new()];
    one.run(&[]);
    two.run(&["create"]);
    for secret in [
        "ipam-key.api-key",
        "ipam-token-pepper.pepper",
        "ipam-postgres-app.password",
    ] {
        assert_ne!(one.secret(secret), two.secret(secret));
    }
}

#[test]
fn a_second_run_keeps_cluster_and_secrets_and_rolls_out_the_new_image() {
    let machine = Machine::new();
    let first = machine.run(&[]);
    let secrets =
        || ["ipam-key.api-key", "ipam-postgres-app.password"].map(|it| machine.secret(it));
    let before = secrets();
    let second = machine.run(&[]);
    second.ended(0, &["cluster ipam exists already, and is kept"]);
    assert_eq!(secrets(), before);
    assert_eq!(second.stdout, first.stdout);

    let restart = "kubectl --context kind-ipam --namespace ipam rollout restart deployment/ipam";
    let mut expected: Vec<&str> = FIRST_RUN
        .into_iter()
        .filter(|call| {
            !call.starts_with("kind create") && !call.contains(" create secret generic ")
        })
        .collect();
    let applied = expected
        .iter()
        .position(|call| call.contains(" apply --kustomize "))
        .unwrap();
    expected.insert(applied + 1, restart);
    assert_eq!(second.calls, expected);
}

#[test]
fn a_secret_is_made_when_a_run_before_came_only_half_way() {
    let machine = Machine::new();
    let failed = machine.run_where_fails("*create secret generic ipam-postgres-app*", &[]);
    failed.ended(6, &["secret ipam-postgres-app could not be made"]);
    let key = machine.secret("ipam-key.api-key");
    assert!(!failed.stderr.contains(&key) && failed.stdout.is_empty());
    machine
        .run(&[])
        .ended(0, &["making secret ipam-postgres-app"]);
    assert_eq!(machine.secret("ipam-key.api-key"), key);
}

#[test]
fn an_image_that_fails_to_build_changes_nothing_in_the_cluster() {
    let machine = Machine::new();
    let ran = machine.run_where_fails("docker build *", &[]);
    ran.ended(
        5,
        &[
            "stub: no luck with docker",
            "image ipam:dev could not be built",
        ],
    );
    assert_eq!(ran.calls, FIRST_RUN[..5]);
    assert_eq!(ran.stdout, "");
}

#[test]
fn an_image_that_the_nodes_do_not_take_is_not_rolled_out() {
    let ran = Machine::new().run_where_fails("kind load *", &[]);
    ran.ended(5, &["could not be loaded into the nodes"]);
    assert_eq!(ran.calls, FIRST_RUN[..6]);
}

#[test]
fn a_pod_that_never_becomes_ready_is_explained() {
    let machine = Machine::new();
    let ran = machine.run_where_fails("*rollout status deployment/ipam *", &[]);
    ran.ended(
        7,
        &[
            "deployment/ipam is not ready after 300s",
            "stub: the last words of a pod",
            "kubectl --context kind-ipam --namespace ipam describe pods --selector app.kubernetes.io/name=ipam",
            "run deploy/kind.sh again",
        ],
    );
    assert_eq!(ran.stdout, "", "no address of what does not work");
    let explained: Vec<&str> = ran.calls[19..].iter().map(String::as_str).collect();
    let start = "kubectl --context kind-ipam --namespace ipam";
    assert_eq!(
        explained,
        [
            format!("{start} get pods --output wide"),
            format!("{start} describe pods --selector app.kubernetes.io/name=ipam"),
            format!(
                "{start} logs --selector app.kubernetes.io/name=ipam --all-containers --prefix --tail 50"
            ),
            format!("{start} get events --sort-by .lastTimestamp"),
        ]
    );
}

#[test]
fn a_database_that_never_becomes_ready_is_explained_and_the_server_not_waited_for() {
    let ran = Machine::new().run_where_fails("*rollout status statefulset/*", &[]);
    ran.ended(7, &["statefulset/ipam-postgres is not ready after 300s"]);
    assert!(ran.has_call(
        "kubectl --context kind-ipam --namespace ipam logs --selector app.kubernetes.io/name=ipam-postgres "
    ));
    assert!(
        !ran.calls
            .iter()
            .any(|call| call.contains("status deployment/ipam"))
    );
}

#[test]
fn nothing_can_be_shown_of_a_pod_and_the_code_is_still_its_own() {
    let ran = Machine::new()
        .run_where_fails("*@(rollout status|logs|describe|get pods|get events)*", &[]);
    ran.ended(7, &["is not ready after 300s"]);
}

#[test]
fn a_cluster_that_can_not_be_made_or_reached_ends_it_early() {
    let ran = Machine::new().run_where_fails("kind create *", &[]);
    ran.ended(4, &["could not be made", "Port 8000 of this machine"]);
    assert_eq!(ran.calls, FIRST_RUN[..3]);

    let ran = Machine::new().run_where_fails("kubectl * wait nodes *", &[]);
    ran.ended(4, &["kind export kubeconfig --name ipam"]);
    assert_eq!(ran.calls, FIRST_RUN[..4]);

    let ran = Machine::new().run_where_fails("kind get clusters", &[]);
    ran.ended(4, &["could not list its clusters"]);
    assert_eq!(ran.calls, FIRST_RUN[..2]);
}

#[test]
fn manifests_that_are_refused_are_not_waited_for() {
    let ran = Machine::new().run_where_fails("*apply --kustomize*", &[]);
    ran.ended(6, &["the manifests were not accepted"]);
    assert_eq!(ran.calls, FIRST_RUN[..17]);
}

#[test]
fn a_missing_program_is_named_before_anything_is_done() {
    for program in STUBS {
        let ran = Machine::new().without(program).run(&[]);
        ran.ended(3, &[&format!("{program} is missing"), "https://"]);
        assert_eq!(ran.calls, [""; 0]);
    }
    let ran = Machine::new().run_where_fails("docker info", &[]);
    ran.ended(3, &["docker does not answer"]);
    assert_eq!(ran.calls, FIRST_RUN[..1]);
}

#[test]
fn delete_removes_the_cluster_and_needs_no_kubectl() {
    let machine = Machine::new();
    machine.run(&[]).ended(0, &[]);
    let machine = machine.without("kubectl");
    let failed = machine.run_where_fails("kind delete *", &["delete"]);
    failed.ended(4, &["cluster ipam could not be deleted"]);

    let deleted = machine.run(&["delete"]);
    deleted.ended(0, &["cluster ipam is gone"]);
    let calls = [
        "docker info",
        "kind get clusters",
        "kind delete cluster --name ipam",
    ];
    assert_eq!(deleted.calls, calls);
    let again = machine.run(&["delete"]);
    again.ended(0, &["there is no cluster ipam"]);
    assert_eq!(again.calls, calls[..2]);
}

#[test]
fn a_word_that_it_does_not_know_does_nothing() {
    for words in [&["destroy"][..], &["delete", "now"]] {
        let ran = Machine::new().run(words);
        ran.ended(2, &["deploy/kind.sh delete"]);
        assert_eq!(ran.calls, [""; 0]);
    }
    let help = Machine::new().run(&["--help"]);
    help.ended(0, &[]);
    for code in 1..=7 {
        assert!(
            help.stdout.contains(&format!("{code}  ")),
            "{code} is not in {}",
            help.stdout
        );
    }
}
