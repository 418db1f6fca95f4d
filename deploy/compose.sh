#!/usr/bin/env bash
# ipam and its PostgreSQL with docker compose:
#
#   deploy/compose.sh up      makes the secrets at the first time, builds, starts, and waits until all is healthy
#   IPAM_PORT=8000-8001 deploy/compose.sh up --scale ipam=2    two servers on one database, each on a port of the range
#   deploy/compose.sh down    stops; the database stays. With --volumes it goes too
#   deploy/compose.sh ...     anything else that docker compose takes: logs, ps, exec ipam /usr/local/bin/ipam list
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
secrets=$here/secrets

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

# Containers read the files as users of their own, so all may read them; the directory lets nobody but its owner through.
make_secret() {
  local file=$secrets/$1.txt value
  [ -s "$file" ] && return
  value=$2$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
  printf '%s\n' "$value" >"$file.part"
  chmod 444 "$file.part"
  mv -f "$file.part" "$file"
}

compose() { docker compose --file "$here/compose.yaml" "$@"; }

main() {
  case ${1-} in
    '') usage >&2 && exit 2 ;;
    -h | --help) usage && exit ;;
  esac
  command -v docker >/dev/null || die "docker is missing: https://docs.docker.com/engine/install/"
  docker compose version >/dev/null 2>&1 || die "docker has no compose plugin (version 2): https://docs.docker.com/compose/install/"
  if [ "$1" != up ]; then
    compose "$@"
    return
  fi
  shift
  mkdir -p "$secrets"
  chmod 700 "$secrets"
  make_secret postgres_password ''
  make_secret server_password ''
  make_secret api_key ipam_
  make_secret token_pepper ''
  if ! compose up --detach --build --wait "$@"; then
    compose logs --no-color --tail 5 >&2 || true
    die "it did not come up, see above; all that the containers say: deploy/compose.sh logs
If a port is taken, set IPAM_PORT to another one; several servers need a range: IPAM_PORT=8000-8001 deploy/compose.sh up --scale ipam=2"
  fi
  printf '\n'
  addresses
  printf 'Sign in with the key in:  %s\n' "$secrets/api_key.txt"
}

# Prints where each server is: docker chooses from a range of ports.
addresses() {
  local id
  for id in $(compose ps --quiet ipam); do docker port "$id" 8000; done | sort | sed 's/^/Dashboard:  http:\/\//'
}

main "$@"
