//! The whole training step: examples per second by batch, threads and optimizer. See benches/results/cpu.md.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{cpus, cuda, training_step};
use tercel::config::OptimizerKind;

fn step(c: &mut Criterion) {
    let machines: Vec<_> = [1, 2].into_iter().flat_map(cpus).chain(cuda()).collect();
    let kinds = [
        ("adagrad", OptimizerKind::Adagrad),
        ("rowwise", OptimizerKind::RowwiseAdagrad),
        ("adam", OptimizerKind::Adam),
    ];
    for batch in [1024, 8192] {
        for (machine, on) in &machines {
            let mut group = c.benchmark_group(format!("step/B{batch}_D64/{machine}"));
            group.throughput(Throughput::Elements(batch as u64)).sample_size(20);
            for (name, kind) in kinds {
                let mut once = training_step(on, kind, batch, 64, false);
                group.bench_function(name, |b| b.iter_custom(|n| once.time(n)));
            }
            let mut once = training_step(on, OptimizerKind::Adagrad, batch, 64, true);
            group.bench_function("adagrad_l2", |b| b.iter_custom(|n| once.time(n)));
            group.finish();
        }
    }
}

criterion_group!(benches, step);
criterion_main!(benches);
