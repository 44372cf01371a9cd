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

# The nightly job on the data that ships with the repository.
demo:
    cargo run --release --features cli -- demo

# Criterion benchmarks; `just bench loss` runs those of one stem.
bench *filter:
    cargo bench --features cli -- {{filter}}

# Python and Polars read and write our files; an independent library checks the metrics.
py:
    tests/python/run.sh

# One fuzz target for a while: `just fuzz ingest 60`.
fuzz target seconds="60":
    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none {{target}} -- -max_total_time={{seconds}}

# Licences, advisories, sources.
deny:
    cargo deny check

# All that CI runs.
ci:
    bash .ci/run
