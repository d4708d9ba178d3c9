#!/bin/bash
# Runs the fuzz targets on the kept corpus, as many at a time as there are cores:
#
#   fuzz/run.sh                        each target for a minute
#   fuzz/run.sh 3600                   each for an hour
#   fuzz/run.sh 3600 spool y4m         these two
#   fuzz/run.sh --keep 3600            and then keeps in fuzz/corpus what reached new code
#   fuzz/run.sh --seed 1 60            always the same inputs, as far as time allows: for continuous integration
#   fuzz/run.sh --input FILE TARGET    one input, for example one that was found
#
# It prints what each target executed, and exits with 1 if one found something: the input then lies in
# target/fuzz/TARGET, beside the log. It needs rustup's stable Rust and a C++ compiler (build-essential).
set -euo pipefail
case ${1:-} in -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; exit ;; esac
cd "$(dirname "$(readlink -f "$0")")/.."

keep=
input=
seed=0
while true; do
    case ${1:-} in
        --keep) keep=yes && shift ;;
        --seed) seed=$2 && shift 2 ;;
        --input) input=$2 && shift 2 ;;
        *) break ;;
    esac
done
seconds=60
if [[ ${1:-} =~ ^[0-9]+$ ]]; then seconds=$1 && shift; fi
known=$(cd fuzz/targets && printf '%s\n' *.rs | sed 's/\.rs$//')
targets=("$@")
if [ ${#targets[@]} = 0 ]; then mapfile -t targets <<< "$known"; fi
for target in "${targets[@]}"; do
    grep -qx "$target" <<< "$known" || { echo "$0: no target $target; there are: ${known//$'\n'/ }" >&2 && exit 2; }
done

CARGO_INCREMENTAL=0 RUSTC_WORKSPACE_WRAPPER=$PWD/fuzz/rustc.sh cargo build --quiet --locked -p lectern-fuzz --bins
if [ -n "$input" ]; then exec "target/debug/fuzz-${targets[0]}" "$input"; fi

# An input takes milliseconds; ten seconds are a hang. Memory is bounded by what a reader may hold for one picture. Seed 0
# is one drawn at random.
options=(-seed="$seed" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0)
# shellcheck disable=SC2317 # xargs calls it below
fuzz() {
    local target=$1 folder=target/fuzz/$1
    mkdir -p "$folder/corpus" "fuzz/corpus/$target"
    # New inputs go into the first folder; -artifact_prefix is where an input that fails goes.
    if ! "target/debug/fuzz-$target" "${options[@]}" -artifact_prefix="$folder/" "$folder/corpus" "fuzz/corpus/$target" \
        > "$folder/log" 2>&1; then
        tail -n 40 "$folder/log"
        echo "fuzz $target: failed; log and input in $folder"
        return 1
    fi
    awk -v target="$target" '/^stat::number_of_executed_units/ { n = $2 } /^stat::peak_rss_mb/ { rss = $2 }
        END { printf "fuzz %s: %d executions, peak %d MB, nothing found\n", target, n, rss }' "$folder/log"
}
export -f fuzz
declare -p options > target/fuzz-options.sh
status=0
printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c '. target/fuzz-options.sh; fuzz {}' || status=1
if [ -n "$keep" ] && [ $status = 0 ]; then
    for target in "${targets[@]}"; do
        "target/debug/fuzz-$target" -merge=1 "fuzz/corpus/$target" "target/fuzz/$target/corpus" > /dev/null 2>&1
    done
fi
exit $status
