//! `deploy/kind.sh`, driven through what can happen to it. `kind`, `docker` and `kubectl` are stand-ins that write down
//! what they are called with (`stub.sh`), so that no container engine is needed.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const STUBS: [&str; 3] = ["kind", "docker", "kubectl"];
/// All that the script and the stubs use besides; nothing else is on their path.
const PROGRAMS: [&str; 11] = [
    "bash", "base64", "cat", "dirname", "grep", "head", "mktemp", "rm", "sed", "touch", "tr",
];

/// The calls of a first run, in order.
const FIRST_RUN: [&str; 18] = [
    "docker info",
    "kind get clusters",
    "kind create cluster --name ipam --config deploy/kubernetes/kind.yaml",
    "kubectl --context kind-ipam wait nodes --all --for=condition=Ready --timeout=300s",
    "docker build --file deploy/Dockerfile --tag ipam:dev .",
    "kind load docker-image ipam:dev --name ipam",
    "kubectl --context kind-ipam apply --filename deploy/kubernetes/base/namespace.yaml",
    "kubectl --context kind-ipam --namespace ipam get secret ipam-key --ignore-not-found --output name",
    "kubectl --context kind-ipam --namespace ipam create secret generic ipam-key --from-file=api-key=FILE",
    "kubectl --context kind-ipam --namespace ipam get secret ipam-postgres-app --ignore-not-found --output name",
    "kubectl --context kind-ipam --namespace ipam create secret generic ipam-postgres-app --from-file=password=FILE \
     --from-literal=username=ipam --from-literal=dbname=ipam --from-literal=host=ipam-postgres --from-literal=port=5432",
    "kubectl --context kind-ipam --namespace ipam get deployment ipam --ignore-not-found --output name",
    "kubectl --context kind-ipam apply --kustomize deploy/kubernetes/overlays/kind",
    "kubectl --context kind-ipam --namespace ipam rollout status statefulset/ipam-postgres --timeout=300s",
    "kubectl --context kind-ipam --namespace ipam rollout status deployment/ipam --timeout=300s",
    "kubectl --context kind-ipam --namespace ipam get secret ipam-key --output go-template={{index .data \"api-key\" | base64decode}}",
    "",
    "",
];
