#!/usr/bin/env bash
# What cargo calls in place of rustc (RUSTC_WRAPPER): only what is under test tells the fuzzer which of its edges were taken, and how often.
# The harness, which draws and writes bundles, would cost as much again and teach it nothing. Comparisons are not traced: they took a third
# of the time, and the bytes that are compared are mostly not the fuzzer's.
set -euo pipefail

rustc=$1
shift
for argument; do
    if [[ $argument == sinew_models || $argument == sinew_runtime ]]; then
        set -- "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
            -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
        break
    fi
done
exec "$rustc" "$@"
