#!/bin/bash
# Makes the Debian package:
#
#   cross/package.sh                    for arm64, into target/aarch64-unknown-linux-gnu/debian/lectern_*_arm64.deb
#   cross/package.sh amd64              for this machine, into target/debian
#   cross/package.sh ARCH FILE          with FILE as the program, instead of building it
#
# It builds the program (cross/build.sh), the man pages and the shell completions, checks the glibc floor, and
# prints the package's name. It needs cargo-deb (`cargo install cargo-deb`) and what cross/build.sh needs.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;; esac
cd "$(dirname "$(readlink -f "$0")")/.."
arch=${1:-arm64}
program=${2:-}

fail() {
    echo "$0: $*" >&2
    exit 1
}

command -v cargo-deb > /dev/null || fail "cargo-deb is missing: cargo install cargo-deb"
# What cargo-deb is told: it looks for the program in the folder of the target and the profile.
options=(--no-build --no-strip)
case $arch in
    arm64)
        folder=target/aarch64-unknown-linux-gnu
        options+=(--target aarch64-unknown-linux-gnu)
        strip=aarch64-linux-gnu-strip
        [ -n "$program" ] || cross/build.sh >&2
        ;;
    amd64)
        folder=target
        strip="strip"
        [ -n "$program" ] || cargo build --release --no-default-features --bin lectern
        ;;
    *) fail "$arch is neither arm64 nor amd64" ;;
esac
if [ -n "$program" ]; then
    mkdir -p $folder/release
    $strip -o $folder/release/lectern "$program"
fi
cross/glibc-floor.sh $folder/release/lectern >&2

# cargo-deb compresses the pages, and the changelog.
rm -rf target/pages
cargo run --quiet --locked -p pages target/pages >&2
# One page for the program and its subcommands: `man lectern check` finds lectern-check(1).
cargo deb "${options[@]}" | tail -n 1
