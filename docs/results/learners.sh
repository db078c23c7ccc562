#!/bin/sh
# Trains and judges every learner on every benchmark of docs/results/meta-learning.md; what is done already is only judged again.
# Usage: docs/results/learners.sh OUT [BENCHMARK...], with sinusoid, terrain, bts3, series, omniglot.
set -eu
out=$1
shift
sinew="cargo run --release -q -p sinew-trainer --"
c=trainer/configs

for benchmark in "${@:-all}"; do
    case $benchmark in
    sinusoid | all)
        $sinew compare $c/sinusoid.toml $c/sinusoid-fomaml.toml $c/sinusoid-reptile.toml $c/sinusoid-anil.toml $c/sinusoid-meta-sgd.toml \
            $c/sinusoid-maml-plus-plus.toml $c/sinusoid-cavia.toml $c/sinusoid-meta-lstm.toml $c/sinusoid-ridge.toml $c/sinusoid-bayes.toml \
            --out "$out/sinusoid" --seeds 3 --shots 5 --steps 1,5,10 --baselines
        for seed in 0 1 2; do
            $sinew evaluate "$out/sinusoid/sinusoid-meta-lstm/seed-$seed/model.safetensors" --world sinusoid --shots 5,10 --steps 5 \
                --seed $seed --sgd-rates 0.0003,0.001,0.003,0.01,0.02,0.03,0.05,0.1 | tee "$out/sinusoid/meta-lstm-beside-sgd-$seed.txt"
        done
        ;;
    esac
    case $benchmark in
    terrain | all)
        $sinew compare $c/terrain-maml.toml $c/terrain.toml $c/terrain-ridge.toml $c/terrain-bayes.toml \
            --out "$out/terrain" --seeds 3 --shots 16 --episodes 400 --baselines --reference maml
        ;;
    esac
    case $benchmark in
    bts3 | all)
        $sinew compare $c/bts3-maml.toml $c/bts3-anil.toml $c/bts3-maml-plus-plus.toml $c/bts3-meta-sgd.toml $c/bts3-reptile.toml \
            $c/bts3-meta-lstm.toml $c/bts3-prototype.toml $c/bts3-siamese.toml $c/bts3-ridge.toml $c/bts3-ridge-without-prior.toml \
            $c/bts3-bayes.toml --out "$out/bts3" --seeds 3 --folds 5 --shots 1,5,10 --baselines --reference finetuned
        ;;
    esac
    case $benchmark in
    series | all)
        for name in basic-motions robot-failures; do
            $sinew compare $c/$name-maml.toml $c/$name-prototype.toml $c/$name-siamese.toml $c/$name-ridge.toml $c/$name-bayes.toml \
                --out "$out/$name" --seeds 3 --shots 1 --baselines
            $sinew compare $c/$name-convolution-prototype.toml --out "$out/$name-convolution" --seeds 3 --shots 1
        done
        ;;
    esac
    case $benchmark in
    omniglot | all)
        $sinew compare $c/omniglot-maml.toml --out "$out/omniglot" --seeds 3 --shots 1 --steps 1,3
        mkdir -p "$out/omniglot/maml" && mv "$out"/omniglot/compare.* "$out/omniglot/maml/"
        $sinew compare $c/omniglot-anil.toml $c/omniglot-meta-sgd.toml $c/omniglot-reptile.toml $c/omniglot-ridge.toml \
            $c/omniglot-meta-lstm.toml --out "$out/omniglot" --seeds 3 --shots 1
        $sinew compare $c/omniglot-prototype.toml --out "$out/omniglot-prototype" --seeds 3 --shots 1,5
        $sinew compare $c/omniglot-siamese.toml --out "$out/omniglot-siamese" --seeds 3 --shots 1
        ;;
    esac
done
