//! The in-batch softmax with its gradients, 6 B C D operations: by instruction set, square and with a whole catalogue.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{cpus, everywhere, softmax_loss};

fn loss(c: &mut Criterion) {
    for (rows, columns, dim) in
        [(1024, 1024, 64), (4096, 4096, 64), (4096, 4096, 128), (8192, 8192, 64), (1024, 100_000, 64)]
    {
        let mut group = c.benchmark_group(format!("softmax_loss/B{rows}_C{columns}_D{dim}"));
        // Elements are floating-point operations: Gelem/s reads as GFLOP/s.
        group.throughput(Throughput::Elements(6 * (rows * columns * dim) as u64)).sample_size(10);
        for (name, on) in everywhere().into_iter().chain(cpus(2)) {
            let mut once = softmax_loss(&on, rows, columns, dim);
            group.bench_function(name, |b| b.iter_custom(|n| once.time(n)));
        }
        group.finish();
    }
}

criterion_group!(benches, loss);
criterion_main!(benches);
