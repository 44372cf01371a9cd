//! Lookups and the step of the touched rows: bytes of table rows per second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{embedding_bag_bwd_step, embedding_bag_fwd, isas};
use tercel::config::{Dtype, OptimizerKind};

const ROWS: usize = 1 << 20;
const DIM: usize = 64;
const LOOKUPS: usize = 65_536;

fn embedding(c: &mut Criterion) {
    let isas = isas();
    let best = &isas[isas.len() - 1];
    for (name, dtype, size) in [("fp32", Dtype::Fp32, 4), ("bf16", Dtype::Bf16, 2), ("fp16", Dtype::Fp16, 2)] {
        let mut group = c.benchmark_group(format!("embedding/V1M_D64_L65536/{name}"));
        group.throughput(Throughput::Bytes((LOOKUPS * DIM * size) as u64)).sample_size(20);
        for bag in [1, 16] {
            let mut once = embedding_bag_fwd(1, best, dtype, ROWS, DIM, LOOKUPS, bag);
            group.bench_function(format!("fwd_bag{bag}"), |b| b.iter(&mut once));
        }
        for (kind_name, kind) in [
            ("sgd", OptimizerKind::Sgd),
            ("adagrad", OptimizerKind::Adagrad),
            ("rowwise", OptimizerKind::RowwiseAdagrad),
            ("adam", OptimizerKind::Adam),
        ] {
            let mut once = embedding_bag_bwd_step(1, best, dtype, kind, ROWS, DIM, LOOKUPS);
            group.bench_function(format!("bwd_step_{kind_name}"), |b| b.iter(&mut once));
        }
        group.finish();
    }
}

criterion_group!(benches, embedding);
criterion_main!(benches);
