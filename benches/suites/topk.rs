//! The exact top-K scan: queries per second.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{On, best_and_cuda, cpus, everywhere, top_k, top_k_fp32};

/// A night's lists: the 12 best of 100,000 items for each user. A query takes 12.8 million operations.
fn night(c: &mut Criterion) {
    const QUERIES: usize = 3072;
    let mut group = c.benchmark_group(format!("topk/night_Q{QUERIES}_N100000_D64_K12"));
    group.throughput(Throughput::Elements(QUERIES as u64)).sample_size(10);
    let machines = everywhere().into_iter().chain(cpus(2));
    for (machine, on) in machines {
        let mut once = top_k(&on, QUERIES, 100_000, 64, 12);
        group.bench_function(&machine, |b| b.iter_custom(|n| once.time(n)));
        if let On::Cpu(threads, isa) = &on {
            let mut once = top_k_fp32(*threads, isa, QUERIES, 100_000, 64, 12);
            group.bench_function(format!("{machine}_fp32"), |b| b.iter_custom(|n| once.time(n)));
        }
    }
    group.finish();
}

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

criterion_group!(benches, night, topk);
criterion_main!(benches);
