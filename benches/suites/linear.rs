//! Linear layers: Gelem/s reads as GFLOP/s.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tercel::bench::{everywhere, linear as layer};

fn linear(c: &mut Criterion) {
    for (rows, ins, outs) in [(1024, 64, 64), (8192, 128, 64), (4096, 512, 256)] {
        for (name, backward, operations) in [("fwd", false, 2), ("bwd", true, 4)] {
            let mut group = c.benchmark_group(format!("linear/{rows}x{ins}_{outs}/{name}"));
            group.throughput(Throughput::Elements(operations * (rows * ins * outs) as u64)).sample_size(20);
            for (name, on) in everywhere() {
                let mut once = layer(&on, rows, ins, outs, backward);
                group.bench_function(name, |b| b.iter_custom(|n| once.time(n)));
            }
            group.finish();
        }
    }
}

criterion_group!(benches, linear);
criterion_main!(benches);
