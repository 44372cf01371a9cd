//! Lookups and the step of the touched rows: bytes of table rows per second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{On, best_and_cuda, embedding_bag_bwd_step, embedding_bag_fwd, large_gather, large_step};
use tercel::config::{Dtype, OptimizerKind};

const ROWS: usize = 1 << 20;
const DIM: usize = 64;
const LOOKUPS: usize = 65_536;

fn embedding(c: &mut Criterion) {
    for (machine, on) in best_and_cuda() {
        tables(c, &machine, &on);
        large(c, &machine, &on);
    }
}

fn tables(c: &mut Criterion, machine: &str, on: &On) {
    for (name, dtype, size) in [("fp32", Dtype::Fp32, 4), ("bf16", Dtype::Bf16, 2), ("fp16", Dtype::Fp16, 2)] {
        let mut group = c.benchmark_group(format!("embedding/V1M_D64_L65536/{machine}/{name}"));
        group.throughput(Throughput::Bytes((LOOKUPS * DIM * size) as u64)).sample_size(20);
        for bag in [1, 16] {
            let mut once = embedding_bag_fwd(on, dtype, ROWS, DIM, LOOKUPS, bag);
            group.bench_function(format!("fwd_bag{bag}"), |b| b.iter_custom(|n| once.time(n)));
        }
        for (kind_name, kind) in [
            ("sgd", OptimizerKind::Sgd),
            ("adagrad", OptimizerKind::Adagrad),
            ("rowwise", OptimizerKind::RowwiseAdagrad),
            ("adam", OptimizerKind::Adam),
        ] {
            let mut once = embedding_bag_bwd_step(on, dtype, kind, ROWS, DIM, LOOKUPS);
            group.bench_function(format!("bwd_step_{kind_name}"), |b| b.iter_custom(|n| once.time(n)));
        }
        group.finish();
    }
}

/// A table of 2 GiB, uniform ids: bytes of rows read.
fn large(c: &mut Criterion, machine: &str, on: &On) {
    const ROWS: usize = 1 << 22;
    const DIM: usize = 128;
    let mut group = c.benchmark_group(format!("embedding/V4M_D128_L65536/{machine}/fp32"));
    group.throughput(Throughput::Bytes((LOOKUPS * DIM * 4) as u64)).sample_size(20);
    // Filled only when it is run.
    group.bench_function("gather", |b| {
        let mut once = large_gather(on, ROWS, DIM, LOOKUPS);
        b.iter_custom(|n| once.time(n));
    });
    group.bench_function("bwd_step_rowwise", |b| {
        let mut once = large_step(on, OptimizerKind::RowwiseAdagrad, ROWS, DIM, LOOKUPS);
        b.iter_custom(|n| once.time(n));
    });
    group.finish();
}

criterion_group!(benches, embedding);
criterion_main!(benches);
