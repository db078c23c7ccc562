#!/usr/bin/env bash
# Fuzzes: `run.sh TARGET [OPTIONS OF LIBFUZZER]`, with `reader` or `calls` for TARGET; `-runs=10000000` or `-max_total_time=30` say how long.
# What it finds on its way goes to `found/`, a folder that git does not keep; an input that crashes, to `artifacts/`.
# SINEW_SANITIZE=1 puts it under AddressSanitizer, which takes the nightly features of the compiler and some times as long.
set -euo pipefail
cd "$(dirname "$0")"

target=$1
shift
export RUSTC_WRAPPER="$PWD/instrument.sh" RUSTFLAGS="--cfg fuzzing"
built=${CARGO_TARGET_DIR:-target}
if [[ -n ${SINEW_SANITIZE:-} ]]; then
    export RUSTC_BOOTSTRAP=1 RUSTFLAGS="$RUSTFLAGS -Zsanitizer=address" CARGO_TARGET_DIR=$built/sanitized
    built=$CARGO_TARGET_DIR
fi
host=$(rustc -vV | sed -n 's/^host: //p')
# With a target, what runs at build time stays without instrumentation.
cargo build --locked --release --target "$host" --bin "$target"
mkdir -p "found/$target" "artifacts/$target"
# Entropic scheduling keeps count of every feature of every input, which takes as long as the input itself.
options=(-timeout=5 -entropic=0 "-artifact_prefix=artifacts/$target/")
# Room for a whole bundle, or for some twenty calls.
case $target in
reader) options+=(-max_len=4096) ;;
calls) options+=(-max_len=384) ;;
esac
if [[ -f $target.dict ]]; then
    options+=("-dict=$target.dict")
fi
exec "$built/$host/release/$target" "${options[@]}" "$@" "found/$target" "corpus/$target"
