#!/usr/bin/env bash
# Trains and evaluates what docs/results/spine.md quotes: 3 seeds each, test tasks that nothing was chosen on.
# Usage: docs/results/run.sh [OUT]   (about 8 minutes on 2 cores; the data set is found by SINEW_DATA)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${1:-runs/results}
mkdir -p "$out"
cargo build --release -p sinew-trainer
sinew=${CARGO_TARGET_DIR:-target}/release/sinew

for seed in 0 1 2; do
    $sinew train trainer/configs/sinusoid.toml --out "$out/sinusoid-$seed" --seed $seed --resume
    $sinew evaluate "$out/sinusoid-$seed/model.safetensors" --world sinusoid --episodes 600 --steps 0,1,5,10 \
        --seed $((1000 + seed)) --baselines --json "$out/sinusoid-$seed.json" | tee "$out/sinusoid-$seed.txt"
    $sinew evaluate "$out/sinusoid-$seed/model.safetensors" --world sinusoid --episodes 600 --steps 1,5,10 \
        --seed $((1000 + seed)) --guard finite --json "$out/sinusoid-$seed-unguarded.json" | tee "$out/sinusoid-$seed-unguarded.txt"
    $sinew train trainer/configs/terrain.toml --out "$out/terrain-$seed" --seed $seed --resume
    $sinew evaluate "$out/terrain-$seed/model.safetensors" --world terrain --episodes 400 --steps 0,1,5,10 \
        --seed $((1000 + seed)) --baselines --json "$out/terrain-$seed.json" | tee "$out/terrain-$seed.txt"
    $sinew crossval trainer/configs/bts3.toml --out "$out/bts3-$seed" --seed $seed \
        --json "$out/bts3-$seed.json" | tee "$out/bts3-$seed.txt"
done
