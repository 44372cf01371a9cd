#!/usr/bin/env bash
# Builds what a host with a GPU needs to test and to time Tercel, and packs it: bash and NVIDIA's driver are enough there.
#
#     bash benches/gpu/pack.sh                # out/tercel-gpu.tar.gz; there: tar xzf tercel-gpu.tar.gz && bash tercel-gpu/run.sh
#     bash benches/gpu/pack.sh --no-archive   # out/tercel-gpu alone, to run in place
#     bash benches/gpu/pack.sh --profile dev  # faster to build: to try the scripts
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
profile=release archive=yes
while [ $# -gt 0 ]; do
    case $1 in
        --profile) profile=$2; shift 2 ;;
        --no-archive) archive=; shift ;;
        *) echo "pack.sh: \`$1\` is neither --profile nor --no-archive" >&2; exit 2 ;;
    esac
done

limit_mib=50
out=out/tercel-gpu
rm -rf "$out" "$out.tar.gz"
mkdir -p "$out/bin" "$out/tests/data" "$out/benches/results"
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Cargo names each test binary on stderr: `Executable tests/cuda.rs (target/release/deps/cuda-0123)`.
build() {
    if ! cargo "$@" 2>"$log"; then
        cat "$log" >&2
        exit 1
    fi
}
take() { # name, how cargo calls it
    local built
    built=$(sed -n "s|^ *Executable $2 (\(.*\))\$|\1|p" "$log")
    test -n "$built" || { cat "$log" >&2; echo "pack.sh: cargo named no binary for $2" >&2; exit 1; }
    strip -o "$out/bin/$1" "$built"
}
echo "building the command, the CUDA tests and the roofline benchmark ($profile)"
build build --locked --profile "$profile" --features cli --bin tercel
build test --locked --profile "$profile" --features cli --lib --test cuda --bench roofline --no-run
take kernel-tests "unittests src/lib.rs"
take cuda-tests "tests/cuda.rs"
take roofline "benches/suites/roofline.rs"
case $profile in dev) folder=debug ;; *) folder=$profile ;; esac
command=${CARGO_TARGET_DIR:-$root/target}/$folder/tercel
strip -o "$out/bin/tercel" "$command"
cp benches/gpu/run.sh "$out/run.sh"
cp -r tests/data/complete-journey "$out/tests/data/"
# The sources alone, which tests compare with what the program was built from; their PTX is in the program.
cp -r kernels "$out/"
rm -r "$out/kernels/ptx"

commit=$(git rev-parse --short=12 HEAD)
git diff --quiet HEAD || commit+=" and changes on top"
# Tests look for their data and for the command where they were built: run.sh puts links there.
cat >"$out/facts" <<F
commit="$commit"
profile="$profile"
packed="$(date -u +%F)"
built_root="$root"
built_command="$command"
F

if [ -n "$archive" ]; then
    tar -C out -cf - tercel-gpu | gzip -9 >"$out.tar.gz"
    bytes=$(stat -c %s "$out.tar.gz")
    echo "$out.tar.gz: $((bytes / 1048576)) MiB; on the host: tar xzf tercel-gpu.tar.gz && bash tercel-gpu/run.sh"
    if [ "$bytes" -gt $((limit_mib * 1048576)) ]; then
        echo "pack.sh: more than $limit_mib MiB" >&2
        exit 1
    fi
fi
