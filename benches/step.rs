//! The whole CPU training step: examples per second by batch, threads and optimizer. See benches/README.md.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{isas, training_step};
use tercel::config::OptimizerKind;

fn step(c: &mut Criterion) {
    let isas = isas();
    let best = &isas[isas.len() - 1];
    let kinds = [
        ("adagrad", OptimizerKind::Adagrad),
        ("rowwise", OptimizerKind::RowwiseAdagrad),
        ("adam", OptimizerKind::Adam),
    ];
    for batch in [1024, 8192] {
        for threads in [1, 2] {
            let mut group = c.benchmark_group(format!("step/B{batch}_D64/threads{threads}"));
            group.throughput(Throughput::Elements(batch as u64)).sample_size(20);
            for (name, kind) in kinds {
                let mut once = training_step(threads, best, kind, batch, 64, false);
                group.bench_function(name, |b| b.iter(&mut once));
            }
            let mut once = training_step(threads, best, OptimizerKind::Adagrad, batch, 64, true);
            group.bench_function("adagrad_l2", |b| b.iter(&mut once));
            group.finish();
        }
    }
}

criterion_group!(benches, step);
criterion_main!(benches);
