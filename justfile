# `just` lists the recipes. Every one of them is a plain cargo line: nothing here is needed to build.

default:
    @just --list

# Format, lints in both feature sets, documentation: what CI asks for before the tests.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --features cli -- -D warnings
    cargo clippy --workspace --all-targets --no-default-features -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --features cli

# Every test.
test:
    cargo test --workspace --features cli

# The command under faults, every case: killed, stopped, starved and lied to at each call that it makes. Some minutes.
faults filter="":
    TERCEL_FAULTS=long cargo test --workspace --features cli --test integration -- --nocapture faults::{{filter}}

# The nightly job on the data that ships with the repository.
demo:
    cargo run --release --features cli -- demo

# Criterion benchmarks; `just bench loss` runs those of one stem.
bench *filter:
    cargo bench --features cli -- {{filter}}

# On a host with a GPU: the CUDA tests, each operation's share of the peak, step rates, a night's lists; a table at the end.
gpu *options:
    bash benches/gpu/pack.sh --no-archive
    bash out/tercel-gpu/run.sh --results benches/results {{options}}

# For a host with a GPU and nothing else: one archive with the same in it, out/tercel-gpu.tar.gz.
gpu-pack:
    bash benches/gpu/pack.sh

# Without one: the CUDA tests on the virtual GPU; `just vgpu loss` runs those of one stem.
vgpu filter="cuda":
    cargo vgpu run -- cargo test --features cli --lib --test cuda -- {{filter}}

# Python and Polars read and write our files; an independent library checks the metrics.
py:
    tests/python/run.sh

# The Python package and the pipeline: every test.
python:
    bash python-compat/test.sh

# NVIDIA's compilers, pinned, into .toolkit/: what `ptx` and `sass` need.
toolkit:
    bash tests/virtual-gpu/toolkit/install.sh

# Write the headers of kernels' arguments, kernels/*/arguments.cuh, from the Rust structures.
arguments:
    WRITE_ARGUMENTS=1 cargo test --features cli --lib -- headers_are_what_rust_says

# Write kernels/ptx/ from the sources; `just ptx --check` compares.
ptx *arguments:
    cargo vgpu ptx {{arguments}}

# Registers, spills and instructions of every kernel; `just sass --check` and `just sass --update` for the budgets.
sass *arguments:
    cargo vgpu sass {{arguments}}

# One fuzz target for a while: `just fuzz ingest 60`.
fuzz target seconds="60":
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{target}} -- -max_total_time={{seconds}}

# Licences, advisories, sources.
deny:
    cargo deny check

# All that CI runs.
ci:
    bash .ci/run
