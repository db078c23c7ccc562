#!/bin/sh
# Trains and judges what stands in docs/results/multitask.md; what is done already is only judged again.
# Usage: docs/results/multitask.sh OUT [PART...], with terrain, grasp, landscape.
set -eu
out=$1
shift
sinew="cargo run --release -q -p sinew-trainer --"
c=trainer/configs/multitask

for part in "${@:-all}"; do
    case $part in
    terrain | all)
        $sinew compare $c/terrain-*.toml --out "$out/terrain" --seeds 3 --shots 16 --steps 0 --episodes 400
        ;;
    esac
    case $part in
    grasp | all)
        $sinew compare $c/grasp-*.toml --out "$out/grasp" --seeds 3 --shots 20 --steps 0 --episodes 400
        ;;
    esac
    case $part in
    landscape | all)
        $sinew show landscape --out "$out"
        ;;
    esac
done
