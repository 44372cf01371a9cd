#!/usr/bin/env bash
# Tests and times Tercel on this host's GPU, in the order of importance, in under six minutes. From the folder that
# pack.sh made; needs bash, awk and NVIDIA's driver, and takes compute-sanitizer and ncu where they are.
#
#     bash run.sh [--results FOLDER] [--parts "tests roofline steps night sanitizer profile"] [--filter TEST] [--small]
#
# The last lines are a short table; FOLDER/DATE-CARD.md (benches/results here) has it with the longer ones, and logs/
# all that was printed. A part that fails, takes too long or cannot run is a row that says so, and the exit code is 1.
# --small runs each part in its smallest size: to try the script where no GPU is.
set -uo pipefail
started=$SECONDS
here=$(cd "$(dirname "$0")" && pwd)
budget=350 results=$here/benches/results parts="tests roofline steps night sanitizer profile" filter=cuda small=
while [ $# -gt 0 ]; do
    case $1 in
        --results) mkdir -p "$2"; results=$(cd "$2" && pwd); shift 2 ;;
        --parts) parts=$2; shift 2 ;;
        --filter) filter=$2; shift 2 ;;
        --small) small=yes; shift ;;
        *) echo "run.sh: \`$1\` is no option" >&2; exit 2 ;;
    esac
done
# commit, profile, packed, built_root, built_command.
. "$here/facts"
logs=$here/logs work=$here/work rows=$here/logs/rows
rm -rf "$logs" "$work"
mkdir -p "$logs" "$work" "$results"
: >"$rows"
bin=$here/bin
export REQUIRE_CUDA=1 TERCEL_PTX=embedded

# Tests look for the command and their data where they were built. Where something else is, it stays.
link() {
    [ -e "$1" ] || { mkdir -p "$(dirname "$1")" && ln -sfn "$2" "$1"; } 2>/dev/null ||
        echo "run.sh: $1 cannot be made a link to $2: tests that look there will fail" >&2
}
link "$built_root/kernels" "$here/kernels"
link "$built_root/tests/data/complete-journey" "$here/tests/data/complete-journey"
link "$built_command" "$bin/tercel"

row() { printf '%s|%s|%s|%s\n' "$@" >>"$rows"; printf '%-34s %-9s %s (%s s)\n' "$@"; }
wanted() { case " $parts " in *" $1 "*) ;; *) return 1 ;; esac; }
# run NAME LIMIT COMMAND…: into logs/NAME; `state` is ok, FAILED, too long, or no time (left of the budget).
run() {
    local name=$1 limit=$2 left=$((budget - SECONDS + started)) begun=$SECONDS code
    shift 2
    [ "$limit" -le "$left" ] || limit=$left
    if [ "$limit" -lt 5 ]; then
        state="no time" took=0
        : >"$logs/$name"
        return
    fi
    timeout -k 5 "$limit" "$@" >"$logs/$name" 2>&1
    code=$?
    took=$((SECONDS - begun))
    case $code in 0) state=ok ;; 124 | 137) state="too long" ;; *) state=FAILED ;; esac
}
# The number behind "KEY": in the last line of a log that has EVENT.
number() { grep -F "\"event\":\"$2\"" "$logs/$1" | tail -n 1 | sed -n "s/.*\"$3\":\([0-9.e+-]*\).*/\1/p"; }

# 20800000 as 20.80 million.
human() {
    [ -z "$1" ] || awk -v n="$1" 'BEGIN {
        if (n >= 1e6) printf "%.2f million", n / 1e6
        else if (n >= 1e4) printf "%.0f thousand", n / 1e3
        else printf "%.0f", n
    }'
}

# The card, as the program sees it.
run doctor 20 "$bin/tercel" doctor --json
if [ "$state" != ok ] || ! grep -q '"cuda_available":true' "$logs/doctor"; then
    cat "$logs/doctor" >&2
    echo "run.sh: no CUDA device here" >&2
    exit 1
fi
card=$(sed -n 's/.*"cuda":{"ordinal":0,"name":"\([^"]*\)".*/\1/p' "$logs/doctor")
capability=$(number doctor doctor compute_capability)
driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)
driver=${driver:-"for CUDA $(number doctor doctor driver_version | sed 's/^\(.*\)0\(.\)0$/\1.\2/')"}
processor=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)

# Kernels of every card from sm_80 on, and Hopper's own where the card is one.
sets="sm_80"
[ "$capability" = 90 ] && sets="sm_80 sm_90a"

if wanted tests; then
    for set in $sets; do
        for tests in kernel-tests cuda-tests; do
            run "$tests-$set" 60 env TERCEL_KERNELS="$set" "$bin/$tests" "$filter" --test-threads 4
            figure=$(sed -n 's/^test result: [a-zA-Z]*\. \(.*\); 0 ignored.*/\1/p' "$logs/$tests-$set" | tail -n 1)
            case $state-$figure in "ok-0 passed"*) state="no tests" ;; esac
            row "$tests, $set" "$state" "${figure:-no result}" "$took"
            grep -E '^(test .*FAILED|.*panicked)' "$logs/$tests-$set" | head -n 5
        done
    done
    [ "$capability" = 90 ] || row "tests, sm_90a" "not run" "compute capability ${capability%?}.${capability: -1}" 0
fi

if wanted roofline; then
    for set in $sets; do
        run "roofline-$set" 60 env TERCEL_KERNELS="$set" "$bin/roofline" --bench ${small:+--check}
        figure=$(awk -F'|' 'NF > 3 && /softmax_loss.*D64/ { print "loss, D = 64:" $3 "us" }' "$logs/roofline-$set" | tail -n 1)
        row "roofline, $set" "$state" "${figure:-$(grep -c ': ran' "$logs/roofline-$set") cases ran}" "$took"
    done
    if [ "$capability" = 90 ]; then
        run roofline-int8 40 env TERCEL_KERNELS=sm_90a TERCEL_SCAN=int8 "$bin/roofline" --bench ${small:+--check} topk
        figure=$(awk -F'|' 'NF > 3 && /topk.*D64/ { print "top 100, D = 64:" $3 "us" }' "$logs/roofline-int8" | tail -n 1)
        row "roofline, top K, TERCEL_SCAN=int8" "$state" "${figure:-$(grep -c ': ran' "$logs/roofline-int8") cases ran}" "$took"
    fi
fi

# Purchases of H&M's shape: ids alone, all features, a small batch.
scale=0.2 batch=8192 little=1024
[ -z "$small" ] || scale=0.0004 batch=512 little=128
if wanted steps || wanted night || wanted sanitizer || wanted profile; then
    run data 60 bash -c 'cd "$1" && "$2" synth hm --out hm --scale "$3" -q && "$2" ingest hm --out data --split none -q' _ \
        "$work" "$bin/tercel" "$scale"
    [ "$state" = ok ] || row "data" "$state" "$(tail -n 1 "$logs/data")" "$took"
    printf '[model]\nuser.features = []\nitem.features = []\n[train]\nepochs = 1\nbatch_size = %s\n' $batch >"$work/ids.toml"
    printf '[train]\nepochs = 1\nbatch_size = %s\n' $batch >"$work/all.toml"
    printf '[train]\nepochs = 1\nbatch_size = %s\n' $little >"$work/little.toml"
fi
train() { # log, limit, set, configuration
    run "$1" "$2" env TERCEL_KERNELS="$3" "$bin/tercel" train --data "$work/data" --out "$work/model-$1" \
        --config "$work/$4.toml" --device cuda:0 --early-stop off --json -q
}
if wanted steps; then
    for set in $sets; do
        for config in ids all little; do
            train "train-$config-$set" 40 "$set" "$config"
            figure=$(number "train-$config-$set" epoch examples_per_second)
            size=$batch
            [ $config != little ] || size=$little
            row "train $config, B = $size, $set" "$state" "${figure:+$(human "$figure") examples/s}" "$took"
        done
    done
fi

if wanted night; then
    model=$work/model-train-ids-sm_80
    [ -d "$model" ] || train train-ids-sm_80 40 sm_80 ids
    for set in $sets; do
        run "recommend-$set" 40 env TERCEL_KERNELS="$set" "$bin/tercel" recommend --model "$model" \
            --out "$work/top-$set.parquet" --device cuda:0 --json -q
        figure=$(number "recommend-$set" recommend users_per_second)
        row "recommend, $set" "$state" "${figure:+$(human "$figure") users/s}" "$took"
    done
fi

# The newest kernels that the card takes are the ones to look into.
newest=${sets##* }
if wanted sanitizer; then
    for tool in memcheck racecheck; do
        if ! command -v compute-sanitizer >/dev/null; then
            row "compute-sanitizer $tool, $newest" "not run" "the host has none" 0
            continue
        fi
        run "$tool" 60 env TERCEL_KERNELS="$newest" compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$bin/kernel-tests" "$filter" --test-threads 1
        figure=$(sed -n 's/^=========.*\(\(ERROR\|RACECHECK\) SUMMARY.*\)/\1/p' "$logs/$tool" | tail -n 1)
        row "compute-sanitizer $tool, $newest" "$state" "${figure:-$(grep -c '\.\.\. ok' "$logs/$tool") tests until then}" "$took"
    done
fi

if wanted profile; then
    for config in ids all; do
        if ! command -v ncu >/dev/null; then
            row "ncu, train $config, $newest" "not run" "the host has none" 0
            continue
        fi
        run "ncu-$config" 40 env TERCEL_KERNELS="$newest" ncu --clock-control none --print-units base --kill yes \
            --metrics gpu__time_duration.sum --launch-skip 500 --launch-count 200 --csv "$bin/tercel" train --data "$work/data" --out "$work/profiled-$config" \
            --config "$work/$config.toml" --device cuda:0 -q
        # --kill ends the program in its middle, so its exit code says nothing.
        awk -F'","' '/gpu__time_duration/ { gsub(/[",]/, "", $NF); n[$5]++; t[$5] += $NF / 1000 }
            END { for (k in n) printf "%s|%d|%.1f\n", k, n[k], t[k] / n[k] }' "$logs/ncu-$config" |
            sort >"$logs/ncu-$config.table"
        kinds=$(wc -l <"$logs/ncu-$config.table")
        [ "$kinds" -gt 0 ] && state=ok
        row "ncu, train $config, $newest" "$state" "$kinds kernels timed" "$took"
    done
fi

slug=$(printf '%s' "$card" | tr '[:upper:]' '[:lower:]' | tr -cs 'a-z0-9' '-' | sed 's/^-//;s/-$//')
file=$results/$(date -u +%F)-$slug.md
{
    printf '# %s\n\n' "$card"
    printf 'Recorded %s with `benches/gpu/run.sh`%s: commit %s, packed %s, profile `%s`, `TERCEL_PTX=%s`.\n' \
        "$(date -u +%F)" "${small:+ --small}" "$commit" "$packed" "$profile" "$TERCEL_PTX"
    printf 'Compute capability %s, driver %s; %s, %s cores. `TERCEL_KERNELS` as the rows say.\n\n' \
        "${capability%?}.${capability: -1}" "$driver" "$processor" "$(nproc)"
    printf '| part | result | figure | seconds |\n|---|---|---|---|\n'
    awk -F'|' '{ printf "| %s | %s | %s | %s |\n", $1, $2, $3, $4 }' "$rows"
    for set in $sets int8; do
        grep -q '^|' "$logs/roofline-$set" 2>/dev/null || continue
        printf '\n## Roofline, %s\n\n%s\n\n' "$set" "$(grep -v '^|' "$logs/roofline-$set" | head -n 1)"
        grep '^|' "$logs/roofline-$set"
    done
    for config in ids all; do
        [ -s "$logs/ncu-$config.table" ] || continue
        printf '\n## Kernels of training, %s, 200 launches\n\n| kernel | launches | us each |\n|---|---|---|\n' "$config"
        awk -F'|' '{ printf "| %s | %s | %s |\n", $1, $2, $3 }' "$logs/ncu-$config.table"
    done
} >"$file"
rm -rf "$work"

printf '\n%s, driver %s, commit %s, %s s\n' "$card" "$driver" "$commit" $((SECONDS - started))
awk -F'|' '{ printf "%-34s %-9s %-44s %4s s\n", $1, $2, $3, $4 }' "$rows"
echo "$file"
! awk -F'|' '$2 != "ok" && $2 != "not run" { bad = 1 } END { exit !bad }' "$rows"
