#!/bin/sh
# Trains and judges what stands in docs/results/multitask.md; what is done already is only judged again.
# Usage: docs/results/multitask.sh OUT [PART...], with terrain, again, architectures, grasp, omniglot, join, landscape.
set -eu
out=$1
shift
sinew="cargo run --release -q -p sinew-trainer --"
c=trainer/configs/multitask
j=trainer/configs/join

for part in "${@:-all}"; do
    case $part in
    terrain | all)
        $sinew compare $c/terrain-*.toml --out "$out/terrain" --seeds 3 --shots 16 --steps 0 --episodes 400
        ;;
    esac
    case $part in
    again | all)
        # Other seeds and other tasks than those by which FAMO was picked.
        mkdir -p "$out/again"
        for name in alone-energy alone-slip alone-time famo sum; do
            sed 's/^seed = 0/seed = 100/' "$c/terrain-$name.toml" >"$out/again/terrain-$name.toml"
        done
        $sinew compare "$out"/again/terrain-*.toml --out "$out/again" --seeds 10 --seed 1 --shots 16 --steps 0 --episodes 400
        ;;
    esac
    case $part in
    architectures | all)
        t=$c/terrain
        $sinew compare $t-alone-*.toml $t-sum.toml $t-soft.toml $t-cross-stitch.toml $t-mmoe.toml $t-cgc.toml $t-famo.toml $t-famo-next.toml \
            --out "$out/architectures" --seeds 3 --shots 16 --steps 0 --episodes 400
        ;;
    esac
    case $part in
    grasp | all)
        g=$c/grasp
        $sinew compare $g-alone-*.toml $g-sum.toml $g-famo.toml --out "$out/grasp" --seeds 3 --shots 20 --steps 0 --episodes 400
        ;;
    esac
    case $part in
    omniglot | all)
        $sinew compare $c/omniglot-*.toml --out "$out/omniglot" --seeds 3 --shots 1 --steps 0
        ;;
    esac
    case $part in
    join | all)
        # What `after-famo` begins with.
        $sinew compare $c/terrain-famo.toml --out "$out/terrain" --seeds 3 --shots 16 --steps 0 --episodes 400
        mkdir -p "$out/join"
        sed "/^validation_tasks/a start = \"$(cd "$out" && pwd)/terrain/terrain-famo/seed-\${SEED}/model.safetensors\"" $j/maml.toml >"$out/join/maml-after-famo.toml"
        for head in log_energy slip log_time; do
            $sinew compare $j/maml.toml $j/anil.toml $j/meta-sgd.toml $j/cavia.toml "$out/join/maml-after-famo.toml" "$j/maml-${head#log_}-alone.toml" \
                "$j/meta-sgd-${head#log_}-alone.toml" --out "$out/join" --seeds 3 --shots 10 --labels $head --episodes 200 \
                --reference "maml-${head#log_}-alone"
            mkdir -p "$out/join/$head"
            mv "$out"/join/compare.* "$out/join/$head/"
        done
        ;;
    esac
    case $part in
    landscape | all)
        $sinew show landscape --out "$out"
        ;;
    esac
done
