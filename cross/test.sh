#!/bin/bash
# Runs the tests for aarch64 on an x86-64 machine, as a Raspberry Pi 4 (cortex-a72) and a Raspberry Pi 5
# (cortex-a76, with dot product) would:
#
#   cross/test.sh [CARGO TEST ARGUMENTS…]     (default: --lib --test detector --test classifier)
#
# The tests hold the same faces, landmarks, scores and probabilities as on x86-64, within the tolerances that
# they state. It needs what cross/build.sh needs and qemu-user-static.
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;; esac
cd "$(dirname "$(readlink -f "$0")")/.."
command -v qemu-aarch64-static > /dev/null || { echo "$0: qemu-user-static is missing" >&2; exit 1; }
[ $# -gt 0 ] || set -- --lib --test detector --test classifier
for cpu in cortex-a72 cortex-a76; do
    echo "== $cpu"
    # The CPU is named, because qemu's own has kernels that no board here has.
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -cpu $cpu -L /usr/aarch64-linux-gnu" \
        cross/build.sh test "$@"
done
