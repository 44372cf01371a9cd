//! The processor's peak by instruction set and threads: Gelem/s reads as GFLOP/s. What other rates are shares of.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{On, everywhere, peak};

fn peaks(c: &mut Criterion) {
    for threads in [1, 2] {
        let mut group = c.benchmark_group(format!("peak/threads{threads}"));
        group.sample_size(20);
        for (name, on) in everywhere() {
            let On::Cpu(_, isa) = on else { continue };
            let Some((mut once, operations)) = peak(&On::Cpu(threads, isa)) else { continue };
            group.throughput(Throughput::Elements(operations));
            group.bench_function(name, |b| b.iter_custom(|n| once.time(n)));
        }
        group.finish();
    }
}

criterion_group!(benches, peaks);
criterion_main!(benches);
