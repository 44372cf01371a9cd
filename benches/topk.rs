//! The exact top-K scan: queries per second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{best_and_cuda, top_k};

fn topk(c: &mut Criterion) {
    for (queries, items, dim, k) in
        [(1, 1 << 20, 64, 100), (120, 1 << 20, 128, 100), (1024, 50_000, 64, 20), (1024, 50_000, 64, 1000)]
    {
        let mut group = c.benchmark_group(format!("topk/Q{queries}_N{items}_D{dim}_K{k}"));
        group.throughput(Throughput::Elements(queries as u64)).sample_size(10);
        for (machine, on) in best_and_cuda() {
            let mut once = top_k(&on, queries, items, dim, k);
            group.bench_function(machine, |b| b.iter_custom(|n| once.time(n)));
        }
        group.finish();
    }
}

criterion_group!(benches, topk);
criterion_main!(benches);
