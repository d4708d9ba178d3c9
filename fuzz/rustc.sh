#!/bin/sh
# Compiles Lectern's own crates for fuzz/run.sh, which names this file in RUSTC_WORKSPACE_WRAPPER: with counters for
# libFuzzer at each edge and comparison, optimised, and with checks of overflow and assertions. Every flag is one of stable Rust.
# Dependencies are compiled as for the product.
exec "$@" -Copt-level=3 -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions=yes -Coverflow-checks=yes
