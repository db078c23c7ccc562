#!/usr/bin/env bash
# Fuzzes: `run.sh TARGET [OPTIONS OF LIBFUZZER]`, with `reader` or `calls` for TARGET; `-runs=10000000` or `-max_total_time=30` say how long.
# What it finds on its way goes to `found/`, a folder that git does not keep; an input that crashes, to `artifacts/`.
set -euo pipefail
cd "$(dirname "$0")"

target=$1
shift
# The instrumentation that `cargo fuzz run --sanitizer none` asks for; it needs no nightly compiler.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares"
RUSTFLAGS=$(tr -s '\n ' ' ' <<<"$RUSTFLAGS")
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target, what runs at build time stays without instrumentation.
cargo build --locked --release --target "$host" --bin "$target"
mkdir -p "found/$target" "artifacts/$target"
options=(-max_len=4096 -timeout=5 "-artifact_prefix=artifacts/$target/")
if [[ -f $target.dict ]]; then
    options+=("-dict=$target.dict")
fi
exec "${CARGO_TARGET_DIR:-target}/$host/release/$target" "${options[@]}" "$@" "found/$target" "corpus/$target"
