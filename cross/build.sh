#!/bin/bash
# Runs cargo for aarch64 (Raspberry Pi, Jetson) on an x86-64 Debian or Ubuntu machine:
#
#   cross/build.sh                       the program as it is packaged, into target/aarch64-unknown-linux-gnu/release
#   cross/build.sh CARGO ARGUMENTS…      for example: cross/build.sh test
#   cross/build.sh --glibc 2.28          the same for older systems (JetPack 5, Debian 10), with Zig's linker, into
#                                        target/glibc-2.28/…: needs cargo-zigbuild and ziglang, both from PyPI
#
# It needs rustup's Rust and
#   apt-get install build-essential libclang-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross
#
# LECTERN_CROSS_DIR  where the standard library is kept if rustup cannot fetch it (default: target/cross)
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;; esac
cd "$(dirname "$(readlink -f "$0")")/.."
target=aarch64-unknown-linux-gnu
packaged=(--release --no-default-features --bin lectern)

fail() {
    echo "$0: $*" >&2
    exit 1
}

has_library() { [ -n "$(ls "$(rustc --print sysroot)/lib/rustlib/$target/lib/"libstd-*.rlib 2> /dev/null)" ]; }

command -v aarch64-linux-gnu-gcc > /dev/null || fail "aarch64-linux-gnu-gcc is missing: see $0 --help"
if ! has_library && ! { [ -z "${LECTERN_CROSS_DIR:-}" ] && command -v rustup > /dev/null &&
    timeout 120 rustup target add $target; }; then
    echo "$0: rustup did not give the standard library for $target: it is built from Debian's source" >&2
    PATH=$(cross/std.sh "${LECTERN_CROSS_DIR:-target/cross}"):$PATH
    export PATH
    has_library || fail "there is no standard library for $target"
fi
if [ "${1:-}" = --glibc ]; then
    [ -n "${2:-}" ] || fail "--glibc needs a version, for example 2.28"
    # A folder of its own, for cargo does not link again what only another linker would change.
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/glibc-$2
    exec cargo zigbuild --target "$target.$2" "${packaged[@]}"
elif [ $# -eq 0 ]; then
    exec cargo build --target $target "${packaged[@]}"
else
    subcommand=$1
    shift
    exec cargo "$subcommand" --target $target "$@"
fi
