#!/usr/bin/env bash
# Packs the Terraform provider as registries and mirrors want it:
#
#   deploy/provider-archive.sh PROGRAM DIR [OS_ARCH]
#
# makes DIR/registry.terraform.io/ipam/ipam/terraform-provider-ipam_VERSION_OS_ARCH.zip and, beside it, its SHA256SUMS. DIR is
# then a filesystem_mirror for Terraform. The same program makes the same archive, whose hash stands in the lock files of
# configurations. Needs python3, whose zip files depend on nothing else.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

[ $# = 2 ] || [ $# = 3 ] || die "usage: deploy/provider-archive.sh PROGRAM DIR [OS_ARCH]"
program=$1 dir=$2
[ -f "$program" ] || die "there is no program $program; build it with: cargo build --release -p terraform-provider-ipam"
command -v python3 >/dev/null || die "python3 is missing"

os=$(uname -s | tr '[:upper:]' '[:lower:]')
arch=$(uname -m)
case $arch in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
esac
platform=${3:-${os}_$arch}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
[ -n "$version" ] || die "there is no version in $root/Cargo.toml"

mirror=$dir/registry.terraform.io/ipam/ipam
mkdir -p "$mirror"
python3 - "$program" "$mirror" "terraform-provider-ipam_${version}" "$platform" "terraform-provider-ipam_v${version}" <<'PY'
import hashlib, os, sys, zipfile

program, mirror, release, platform, inside = sys.argv[1:]
name = f"{release}_{platform}.zip"
path = os.path.join(mirror, name)
# No time and no owner: they would change the hash.
entry = zipfile.ZipInfo(inside, (1980, 1, 1, 0, 0, 0))
entry.create_system = 3
entry.external_attr = 0o100755 << 16
entry.compress_type = zipfile.ZIP_DEFLATED
with open(program, "rb") as source:
    content = source.read()
with zipfile.ZipFile(path + ".part", "w") as archive:
    archive.writestr(entry, content)
os.replace(path + ".part", path)
with open(path, "rb") as archive:
    digest = hashlib.sha256(archive.read()).hexdigest()
# The sums of other platforms stay.
sums = os.path.join(mirror, f"{release}_SHA256SUMS")
lines = open(sums).read().splitlines() if os.path.exists(sums) else []
lines = [line for line in lines if not line.endswith("  " + name)] + [f"{digest}  {name}"]
with open(sums, "w") as file:
    file.write("\n".join(sorted(lines)) + "\n")
print(path)
PY
