//! L2 norms of rows, forward and backward.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{everywhere, l2_norm};

fn norm(c: &mut Criterion) {
    let mut group = c.benchmark_group("l2_norm/B8192_D64");
    group.throughput(Throughput::Elements(8192)).sample_size(20);
    for (name, on) in everywhere() {
        let mut once = l2_norm(&on, 8192, 64);
        group.bench_function(name, |b| b.iter_custom(|n| once.time(n)));
    }
    group.finish();
}

criterion_group!(benches, norm);
criterion_main!(benches);
