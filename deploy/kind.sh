#!/usr/bin/env bash
# ipam on a Kubernetes cluster of its own on this machine, by kind: makes the cluster, builds and loads the image, makes the
# secrets, applies deploy/kubernetes/overlays/kind, waits until it is ready, and prints address and key. A second run keeps
# cluster, key and data, and rolls out what has changed.
#
#   deploy/kind.sh          creates or updates
#   deploy/kind.sh delete   removes the cluster and all that is in it
#
# Everything happens in the context kind-ipam, whichever context is the current one.
#
# Ends with 0 when all is well, else with
#   1  something that has no number of its own    5  the image could not be built or loaded
#   2  a wrong word on the command line           6  the cluster refused a secret or a manifest
#   3  a program is missing, or docker is down    7  it is there, and does not become ready
#   4  the cluster could not be made, reached or removed
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"

CLUSTER=ipam
NAMESPACE=ipam
IMAGE=ipam:dev
ADDRESS=http://127.0.0.1:8000
MANIFESTS=deploy/kubernetes
# How long each thing may take until it is ready; the images of PostgreSQL and kind are fetched in that time.
TIMEOUT=300s

USAGE=2 TOOLS=3 NO_CLUSTER=4 NO_IMAGE=5 REFUSED=6 NOT_READY=7

main() {
  [ $# -le 1 ] || fail_usage
  case ${1-} in
    '' | create) create ;;
    delete) delete ;;
    -h | --help) usage ;;
    *) fail_usage ;;
  esac
}

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"; }

fail_usage() {
  usage >&2
  exit "$USAGE"
}

say() { printf '==> %s\n' "$*" >&2; }

# Ends with status $1.
fail() {
  local status=$1
  shift
  printf 'error: %s\n' "$*" >&2
  exit "$status"
}

create() {
  need kubectl "https://kubernetes.io/docs/tasks/tools/"
  need_kind
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  make_cluster
  load_image
  make_secrets
  apply
  wait_until_ready
  print_address
}

delete() {
  need_kind
  if ! cluster_exists; then
    say "there is no cluster $CLUSTER, so nothing to delete"
    return
  fi
  kind delete cluster --name "$CLUSTER" || fail "$NO_CLUSTER" "cluster $CLUSTER could not be deleted; kind says why above"
  say "cluster $CLUSTER is gone, and all that was in it"
}

need_kind() {
  need kind "https://kind.sigs.k8s.io/docs/user/quick-start/#installation"
  need docker "https://docs.docker.com/engine/install/"
  docker info >/dev/null 2>&1 || fail "$TOOLS" "docker does not answer. Start it, and see to it that you may use it:
  docker info"
}

need() {
  command -v "$1" >/dev/null 2>&1 || fail "$TOOLS" "$1 is missing. Install it, then run this again: $2"
}

# kubectl, never with the context that happens to be the current one.
k() { kubectl --context "kind-$CLUSTER" "$@"; }
kn() { k --namespace "$NAMESPACE" "$@"; }

cluster_exists() {
  local clusters
  clusters=$(kind get clusters) || fail "$NO_CLUSTER" "kind could not list its clusters; it says why above"
  grep -qx "$CLUSTER" <<<"$clusters"
}

make_cluster() {
  if cluster_exists; then
    say "cluster $CLUSTER exists already, and is kept"
  else
    say "making cluster $CLUSTER"
    kind create cluster --name "$CLUSTER" --config "$MANIFESTS/kind.yaml" ||
      fail "$NO_CLUSTER" "cluster $CLUSTER could not be made; kind says why above. Port 8000 of this machine has to be free"
  fi
  k wait nodes --all --for=condition=Ready "--timeout=$TIMEOUT" >&2 ||
    fail "$NO_CLUSTER" "the nodes of cluster $CLUSTER can't be reached or are not ready. If kubectl does not know the context:
  kind export kubeconfig --name $CLUSTER
If that does not help, begin anew, without the data: deploy/kind.sh delete && deploy/kind.sh"
}

load_image() {
  say "building image $IMAGE"
  docker build --file deploy/Dockerfile --tag "$IMAGE" . >&2 ||
    fail "$NO_IMAGE" "image $IMAGE could not be built; docker says why above. Nothing was changed in the cluster"
  say "loading it into the nodes"
  kind load docker-image "$IMAGE" --name "$CLUSTER" >&2 ||
    fail "$NO_IMAGE" "image $IMAGE could not be loaded into the nodes; kind says why above"
}

# Secrets are made once: the database keeps the password that it was made with, and clients keep the key. They pass through
# files, because everybody on the machine can read the arguments of a program.
make_secrets() {
  k apply --filename "$MANIFESTS/base/namespace.yaml" >&2 || fail "$REFUSED" "the namespace could not be made"
  if ! has_secret ipam-key; then
    random ipam_ >"$scratch/api-key"
    make_secret ipam-key --from-file="api-key=$scratch/api-key"
  fi
  if ! has_secret ipam-token-pepper; then
    random >"$scratch/pepper"
    make_secret ipam-token-pepper --from-file="pepper=$scratch/pepper"
  fi
  if ! has_secret ipam-postgres-app; then
    random >"$scratch/password"
    make_secret ipam-postgres-app --from-file="password=$scratch/password" --from-literal=username=ipam \
      --from-literal=dbname=ipam --from-literal=host=ipam-postgres --from-literal=port=5432
  fi
  if ! has_secret ipam-postgres-server; then
    random >"$scratch/server-password"
    make_secret ipam-postgres-server --from-file="password=$scratch/server-password" --from-literal=username=ipam_server
  fi
}

has_secret() {
  local found
  found=$(kn get secret "$1" --ignore-not-found --output name) || fail "$REFUSED" "it is not known whether secret $1 exists"
  [ -n "$found" ]
}

make_secret() {
  local name=$1
  shift
  say "making secret $name"
  kn create secret generic "$name" "$@" >&2 || fail "$REFUSED" "secret $name could not be made"
}

# Prints $1 and 256 random bits, without an end of line.
random() {
  local bits
  bits=$(head -c 32 /dev/urandom | base64 | tr -d '=\n' | tr '+/' '-_')
  printf '%s%s' "${1-}" "$bits"
}

apply() {
  local before
  before=$(kn get deployment ipam --ignore-not-found --output name) ||
    fail "$REFUSED" "it is not known whether the deployment exists"
  say "applying $MANIFESTS/overlays/kind"
  k apply --kustomize "$MANIFESTS/overlays/kind" >&2 || fail "$REFUSED" "the manifests were not accepted; kubectl says why above"
  # The new image has the name of the old one, which is no change to Kubernetes.
  if [ -n "$before" ]; then
    kn rollout restart deployment/ipam >&2 || fail "$REFUSED" "the servers could not be restarted with the new image"
  fi
}

wait_until_ready() {
  local part
  for part in statefulset/ipam-postgres deployment/ipam; do
    say "waiting for $part, at most $TIMEOUT"
    kn rollout status "$part" "--timeout=$TIMEOUT" >&2 || explain "$part"
  done
}

# Shows what is known of a part that does not become ready, and ends.
explain() {
  local part=$1 selector=app.kubernetes.io/name=${1#*/}
  {
    say "the pods"
    kn get pods --output wide || true
    say "what Kubernetes has to say of them"
    kn describe pods --selector "$selector" || true
    say "what they wrote last"
    kn logs --selector "$selector" --all-containers --prefix --tail 50 || true
    say "what happened"
    kn get events --sort-by .lastTimestamp || true
  } >&2
  fail "$NOT_READY" "$part is not ready after $TIMEOUT. Above are its pods, their description, their logs and the events; look on with
  kubectl --context kind-$CLUSTER --namespace $NAMESPACE describe pods --selector $selector
  kubectl --context kind-$CLUSTER --namespace $NAMESPACE logs --selector $selector --follow
and run deploy/kind.sh again when it is repaired"
}

print_address() {
  local key
  key=$(kn get secret ipam-key --output 'go-template={{index .data "api-key" | base64decode}}') ||
    fail "$REFUSED" "the key could not be read from secret ipam-key"
  printf '\nDashboard:  %s\nKey:        %s\n' "$ADDRESS" "$key"
}

main "$@"
