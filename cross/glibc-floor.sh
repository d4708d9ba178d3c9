#!/bin/bash
# Prints the oldest glibc that a program runs with, and fails if that is newer than wanted:
#
#   cross/glibc-floor.sh FILE [NEWEST]     (default: 2.35, that of Ubuntu 22.04 and JetPack 6)
set -euo pipefail
case ${1:-} in '' | -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;; esac
newest=${2:-2.35}
# The dynamic symbols name the version of glibc that each of them came with.
floor=$(objdump --dynamic-syms "$1" 2> /dev/null || aarch64-linux-gnu-objdump --dynamic-syms "$1")
floor=$(grep -o 'GLIBC_[0-9.]*' <<< "$floor" | sed 's/GLIBC_//' | sort --version-sort | tail -n 1)
[ -n "$floor" ] || { echo "$0: $1 names no version of glibc" >&2; exit 1; }
if [ "$(printf '%s\n' "$floor" "$newest" | sort --version-sort | tail -n 1)" != "$newest" ]; then
    echo "$0: $1 needs glibc $floor, newer than $newest" >&2
    exit 1
fi
echo "glibc $floor"
