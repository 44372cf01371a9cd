#!/usr/bin/env bash
# Runs tests/python against the built command (its path is in TERCEL) and the built examples `metrics`, `shards` and
# `vectors`.
# What pandas, Polars, DuckDB and pyarrow write is read, what is written they read; NumPy, safetensors, faiss and usearch
# read exported vectors; and an independent library checks the metrics.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --locked --workspace --features cli --bins --examples
built=${CARGO_TARGET_DIR:-target}/debug
export TERCEL=${TERCEL:-$(realpath "$built/tercel")}
export TERCEL_METRICS=${TERCEL_METRICS:-$(realpath "$built/examples/metrics")}
export TERCEL_SHARDS=${TERCEL_SHARDS:-$(realpath "$built/examples/shards")}
export TERCEL_VECTORS=${TERCEL_VECTORS:-$(realpath "$built/examples/vectors")}
export PYTHONDONTWRITEBYTECODE=1
venv=${TERCEL_VENV:-.venv}
if ! [ -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt
"$venv/bin/python" -m pytest -q -p no:cacheprovider tests/python
