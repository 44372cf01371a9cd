//! Lookups and the step of the touched rows: bytes of table rows per second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{On, best_and_cuda, embedding_bag_bwd_step, embedding_bag_fwd};
use tercel::config::{Dtype, OptimizerKind};

const ROWS: usize = 1 << 20;
const DIM: usize = 64;
const LOOKUPS: usize = 65_536;

fn embedding(c: &mut Criterion) {
    for (machine, on) in best_and_cuda() {
        tables(c, &machine, &on);
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

criterion_group!(benches, embedding);
criterion_main!(benches);
