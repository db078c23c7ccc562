#!/bin/sh
# Trains and judges what stands in docs/results/worlds.md; what is done already is only judged again.
# Usage: docs/results/worlds.sh OUT [PART...], with grasp, small, heavy, controls, meshes, tries, terrain, learners, missions, others, half, depth, arm,
# physics, lift.
set -eu
out=$1
shift
sinew="cargo run --release -q -p sinew-trainer --"
c=trainer/configs
learners=""
for name in maml fomaml maml-plus-plus anil meta-sgd cavia reptile meta-lstm; do
    learners="$learners $c/terrain-real-$name.toml"
done

for part in "${@:-all}"; do
    case $part in
    grasp | all)
        $sinew compare $c/grasp-meta-sgd.toml $c/grasp-bayes.toml --out "$out/grasp-full" --seeds 3 --shots 20 --episodes 400 --baselines
        ;;
    esac
    case $part in
    small | all)
        $sinew compare $c/grasp-small-meta-sgd.toml --out "$out/grasp-small" --seeds 3 --shots 20 --episodes 400
        ;;
    esac
    case $part in
    heavy | all)
        $sinew compare $c/grasp-heavy-meta-sgd.toml --out "$out/grasp-heavy" --seeds 3 --shots 20 --episodes 400 --baselines
        ;;
    esac
    case $part in
    controls | all)
        for name in nothing forces; do
            $sinew compare $c/grasp-$name-meta-sgd.toml --out "$out/grasp-$name" --seeds 1 --shots 20 --episodes 400 --baselines
        done
        ;;
    esac
    case $part in
    meshes | all)
        for seed in 0 1 2; do
            $sinew evaluate "$out/grasp-full/grasp-meta-sgd/seed-$seed/model.safetensors" --config $c/grasp-ycb-meta-sgd.toml \
                --shots 20 --episodes 400 --seed $seed --baselines | tee "$out/grasp-ycb-$seed.txt"
            $sinew evaluate "$out/grasp-small/grasp-small-meta-sgd/seed-$seed/model.safetensors" --config $c/grasp-ycb-meta-sgd.toml \
                --shots 20 --episodes 400 --seed $seed | tee "$out/grasp-ycb-small-$seed.txt"
            $sinew evaluate "$out/grasp-full/grasp-bayes/seed-$seed/model.safetensors" --config $c/grasp-ycb-meta-sgd.toml \
                --shots 20 --episodes 400 | tee "$out/grasp-ycb-bayes-$seed.txt"
        done
        ;;
    esac
    case $part in
    tries | all)
        # Of the bundles that the parts `grasp` and `heavy` have trained.
        $sinew deploy "$out"/grasp-full/grasp-meta-sgd/seed-*/model.safetensors "$out"/grasp-full/grasp-bayes/seed-*/model.safetensors \
            --config $c/grasp-meta-sgd.toml --out "$out/grasp-tries" --choose random,greedy,thompson --trials 200
        $sinew deploy "$out"/grasp-heavy/grasp-heavy-meta-sgd/seed-*/model.safetensors --config $c/grasp-heavy-meta-sgd.toml \
            --out "$out/grasp-heavy-tries" --choose greedy --trials 100
        ;;
    esac
    case $part in
    terrain | all)
        for shots in 8 16 32; do
            $sinew compare $c/terrain-real-bayes.toml $c/terrain-real-ridge.toml --out "$out/terrain-real" --seeds 3 --shots $shots \
                --episodes 400 --baselines --reference finetuned
            cp "$out/terrain-real/compare.md" "$out/terrain-real/compare-$shots.md"
        done
        ;;
    esac
    case $part in
    learners | all)
        # Every other learner, beside those of the part before.
        $sinew compare $c/terrain-real-bayes.toml $c/terrain-real-ridge.toml $learners --out "$out/terrain-real" --seeds 3 --shots 16 \
            --episodes 400 --reference terrain-real-bayes
        cp "$out/terrain-real/compare.md" "$out/terrain-real/compare-learners.md"
        ;;
    esac
    case $part in
    missions | all)
        # Of all bundles that the two parts before have trained.
        $sinew deploy "$out"/terrain-real/terrain-real-*/seed-*/model.safetensors --config $c/terrain-real-ridge.toml \
            --out "$out/terrain-missions" --trials 100 --every 4
        ;;
    esac
    case $part in
    others | all)
        for name in independent scale-only; do
            $sinew compare $c/terrain-real-$name-bayes.toml --out "$out/terrain-real-$name" --seeds 1 --shots 8,16,32 --episodes 400 --baselines
        done
        ;;
    esac
    case $part in
    half | all)
        $sinew compare $c/grasp-ycb-half-meta-sgd.toml --out "$out/grasp-ycb-half" --seeds 3 --shots 20 --episodes 400 --baselines
        $sinew train $c/grasp-ycb-half-meta-sgd.toml --set train.iterations=4000 --out "$out/grasp-ycb-half-longer"
        $sinew evaluate "$out/grasp-ycb-half-longer/model.safetensors" --config $c/grasp-ycb-half-meta-sgd.toml \
            --shots 20 --episodes 400 | tee "$out/grasp-ycb-half-longer.txt"
        for seed in 0 1 2; do
            $sinew evaluate "$out/grasp-full/grasp-meta-sgd/seed-$seed/model.safetensors" --config $c/grasp-ycb-half-meta-sgd.toml \
                --shots 20 --episodes 400 | tee "$out/grasp-ycb-without-half-$seed.txt"
        done
        ;;
    esac
    case $part in
    depth | all)
        $sinew compare $c/grasp-depth-bayes.toml --out "$out/grasp-depth" --seeds 3 --shots 20 --episodes 400
        ;;
    esac
    case $part in
    arm | all)
        $sinew compare $c/arm-bayes.toml $c/arm-ridge.toml $c/arm-meta-sgd.toml --out "$out/arm" --seeds 3 --shots 64 --episodes 400 --baselines
        $sinew deploy "$out"/arm/arm-*/seed-*/model.safetensors --config $c/arm-bayes.toml --out "$out/arm-motions" \
            --trials 40 --shots 64 --remember 256
        ;;
    esac
    case $part in
    physics | all)
        cargo run --release -q -p sinew-examples --features physics --example grasp_physics -- 24 | tee "$out/grasp-physics.txt"
        ;;
    esac
    case $part in
    lift | all)
        cargo run --release -q -p sinew-trainer --features physics -- evaluate models/zoo/grasp-meta-sgd.safetensors --world grasp \
            --judge lift --episodes 150 --shots 20 | tee "$out/grasp-lift.txt"
        ;;
    esac
done
