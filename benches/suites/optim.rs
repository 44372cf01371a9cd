//! Steps of dense parameters.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{best_and_cuda, dense_step};
use tercel::config::OptimizerKind;

fn optim(c: &mut Criterion) {
    let len = 1 << 18;
    let mut group = c.benchmark_group("dense_step/262144");
    group.throughput(Throughput::Elements(len as u64)).sample_size(20);
    for (name, kind) in
        [("sgd", OptimizerKind::Sgd), ("adagrad", OptimizerKind::Adagrad), ("adam", OptimizerKind::Adam)]
    {
        for (machine, on) in best_and_cuda() {
            let mut once = dense_step(&on, kind, len);
            group.bench_function(format!("{machine}/{name}"), |b| b.iter_custom(|n| once.time(n)));
        }
    }
    group.finish();
}

criterion_group!(benches, optim);
criterion_main!(benches);
