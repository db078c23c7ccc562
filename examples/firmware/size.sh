#!/usr/bin/env bash
# What the runtime takes of a Cortex-M4F's flash: code and constants of a firmware that parses a bundle, observes, adapts,
# predicts and resets, less those of a firmware that only starts. Fails past the limit. Arguments go to `cargo build`.
set -euo pipefail
cd "$(dirname "$0")"

# Under 24 KiB.
limit=24575

# Text, which for this linker script is the vector table, code and constants; and what variables start with.
flash() {
    arm-none-eabi-size "$1" | awk 'NR == 2 { print $1 + $2 }'
}

cargo build --release --bin runtime --bin empty "$@"
folder="${CARGO_TARGET_DIR:-target}/thumbv7em-none-eabihf/release"
total=$(flash "$folder/runtime")
start=$(flash "$folder/empty")
echo "flash: $total bytes in all, $start of them for start-up, so the runtime takes $((total - start)) of at most $limit"
test $((total - start)) -le "$limit"
