#!/usr/bin/env bash
# The whole run: candidates, training, ONNX files and the tables. Each step that has its file already is left out, so the same command goes on after a stop.
#   OUT=/path/outside/the/repository LECTERN_DATA=/path/to/data PYTHON=venv/bin/python bash models/training/detector/run.sh
# Options: VERSIONS (3), STEPS (6000 5000 2500, for P-, R- and O-Net), LABELS (--by-square, or "" for the plain IoU), LECTERN (target/release/lectern).
set -euo pipefail
cd "$(dirname "$0")/../../.."
export PYTHONPATH=$PWD/models/training OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
train=$LECTERN_DATA/wider_train dev=$LECTERN_DATA/wider_dev versions=${VERSIONS:-3} labels=${LABELS---by-square}
read -r steps_p steps_r steps_o <<< "${STEPS:-6000 5000 2500}"
run() { nice -n 15 "${PYTHON:-python3}" -W ignore "$@"; }
mkdir -p "$OUT"

stage() { # network, steps, batch, rate
    # shellcheck disable=SC2086 # labels may be empty
    [ -s "$OUT/kept/$1.npz" ] || run -m detector.dataset "$1" --data "$train" --fold kept --versions 1 --seed 99 $labels --out "$OUT/kept/$1.npz"
    # shellcheck disable=SC2086
    [ -s "$OUT/data/$1.npz" ] || run -m detector.dataset "$1" --data "$train" --weights "$OUT" --versions "$versions" $labels --out "$OUT/data/$1.npz"
    [ -s "$OUT/$1.pt" ] || run -m detector.train "$1" --candidates "$OUT/data/$1.npz" --out "$OUT" --steps "$2" --batch "$3" --rate "$4" --resume
}
stage pnet "$steps_p" 256 5e-4
stage rnet "$steps_r" 128 3e-4
stage onet "$steps_o" 128 3e-4
[ -s "$OUT/onnx/manifest.toml" ] || run -m detector.export --weights "$OUT" --out "$OUT/onnx" --data "$dev" --fold even
run -m detector.evaluate candidates "$OUT/kept" --weights "$OUT"

# The program on the photographs, with all scores from .1 on; the networks before are the committed ones.
for side in before after; do
    [ "$side" = before ] && from=models || from=$OUT/onnx
    mkdir -p "$OUT/low-$side"
    cp "$from"/*.onnx "$OUT/low-$side"
    sed -E 's/^(thresholds = \[[^,]*, [^,]*, )[^]]*/\10.1/' "$from/manifest.toml" > "$OUT/low-$side/manifest.toml"
    for set in dev train; do
        for smallest in 40 24; do
            lines=$OUT/$side-$set-$smallest.jsonl
            [ -s "$lines" ] || { find "$LECTERN_DATA/wider_$set/images" -type f | sort | xargs "${LECTERN:-target/release/lectern}" \
                --models "$OUT/low-$side" eval detect --min-face "$smallest" > "$lines.new" && mv "$lines.new" "$lines"; }
        done
    done
done
for fold in even odd; do
    echo "wider_dev, $fold photographs"
    run -m detector.evaluate compare "$OUT/before-dev-40.jsonl" "$OUT/after-dev-40.jsonl" --data "$dev" --fold "$fold"
    run -m detector.evaluate compare "$OUT/before-dev-24.jsonl" "$OUT/after-dev-24.jsonl" --data "$dev" --fold "$fold" --heights 24,40
done
echo "wider_train, kept out"
run -m detector.evaluate compare "$OUT/before-train-40.jsonl" "$OUT/after-train-40.jsonl" --data "$train" --fold kept
run -m detector.evaluate compare "$OUT/before-train-24.jsonl" "$OUT/after-train-24.jsonl" --data "$train" --fold kept --heights 24,40
run -m detector.evaluate landmarks "$OUT/before-dev-24.jsonl" "$OUT/after-dev-24.jsonl"
