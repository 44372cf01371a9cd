//! Steps of dense parameters.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{dense_step, isas};
use tercel::config::OptimizerKind;

fn optim(c: &mut Criterion) {
    let len = 1 << 18;
    let isas = isas();
    let mut group = c.benchmark_group("dense_step/262144");
    group.throughput(Throughput::Elements(len as u64)).sample_size(20);
    for (name, kind) in
        [("sgd", OptimizerKind::Sgd), ("adagrad", OptimizerKind::Adagrad), ("adam", OptimizerKind::Adam)]
    {
        let mut once = dense_step(1, &isas[isas.len() - 1], kind, len);
        group.bench_function(name, |b| b.iter(&mut once));
    }
    group.finish();
}

criterion_group!(benches, optim);
criterion_main!(benches);
