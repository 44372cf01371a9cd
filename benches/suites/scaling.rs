//! How the cost of an example grows: with the batch, the width, the tables' rows and the threads, each beside its floor.
//! Prints CSV for `benches/peers/scaling.py`, which draws it.
//!
//! The floor is the longer of two times: `6 B D` operations of the loss at the rate of chained multiply-adds, and the
//! bytes that lookups and the tables' step must move at the rate of a copy, both measured here first. Tables that fit
//! the caches can beat the second.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tercel::bench::{On, cpus, peak, training_step_on_tables, zipf_uniques};
use tercel::config::OptimizerKind;

const TABLES: (usize, usize) = (200_000, 50_000);
const ROUNDS: usize = 5;

/// What one number of threads can do.
struct Limits {
    threads: usize,
    on: On,
    /// Operations a second.
    operations: f64,
    /// Bytes read and written a second.
    bytes: f64,
}

impl Limits {
    fn measure(threads: usize) -> Limits {
        let (_, on) = cpus(threads).swap_remove(0);
        let operations = peak(&on).map_or(f64::INFINITY, |(mut bench, operations)| {
            let best = (0..ROUNDS).map(|_| bench.time(8)).min().unwrap_or_default();
            8.0 * operations as f64 / best.as_secs_f64()
        });
        Limits { threads, on, operations, bytes: copied(threads) }
    }

    /// Seconds that an example of a step takes at least.
    fn floor(&self, batch: usize, dim: usize, (users, items): (usize, usize)) -> f64 {
        let touched = (zipf_uniques(users + 1, batch) + zipf_uniques(items + 1, batch)) as f64 / batch as f64;
        let row = 4.0 * dim as f64;
        // Per example two rows are read, written out, and their gradients written and read; per touched row, row and
        // state are read and written.
        let bytes = 2.0 * 4.0 * row + touched * 4.0 * row;
        (6.0 * (batch * dim) as f64 / self.operations).max(bytes / self.bytes)
    }

    fn print(&self, plot: &str, x: usize, batch: usize, dim: usize, tables: (usize, usize)) {
        let mut step = training_step_on_tables(&self.on, OptimizerKind::Adagrad, batch, dim, false, tables);
        // Some tens of milliseconds a round.
        step.time(2);
        let once = step.time(2).as_secs_f64() / 2.0;
        let times = (0.05 / once).ceil().clamp(2.0, 1000.0) as u64;
        let best = (0..ROUNDS).map(|_| step.time(times)).min().unwrap_or(Duration::ZERO);
        let each = best.as_secs_f64() / times as f64 / batch as f64;
        let floor = self.floor(batch, dim, tables);
        println!("{plot},{},{x},{:.1},{:.1}", self.threads, each * 1e9, floor * 1e9);
    }
}

/// Bytes a second that a copy reads and writes.
fn copied(threads: usize) -> f64 {
    const EACH: usize = 64 << 20;
    let mut buffers: Vec<_> = (0..threads).map(|_| (vec![1u8; EACH], vec![0u8; EACH])).collect();
    let mut round = || {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for (from, to) in &mut buffers {
                scope.spawn(|| {
                    to.copy_from_slice(black_box(from));
                    black_box(to);
                });
            }
        });
        begun.elapsed()
    };
    let best = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    (2 * EACH * threads) as f64 / best.as_secs_f64()
}

fn main() {
    // `cargo test --benches` and `--list` run this too.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads: Vec<usize> = (0..).map(|n| 1 << n).take_while(|n| *n < cores).chain([cores]).collect();
    let limits: Vec<Limits> = threads.into_iter().map(Limits::measure).collect();
    for l in &limits {
        let (rate, speed) = (l.operations / 1e9, l.bytes / 1e9);
        eprintln!("{} threads: {rate:.0} GFLOP/s, {speed:.1} GB/s", l.threads);
    }
    println!("plot,threads,x,ns_per_example,floor_ns");
    for l in &limits {
        for batch in (5..=14).map(|n| 1 << n) {
            l.print("batch", batch, batch, 64, TABLES);
        }
        for dim in [8, 16, 32, 64, 96, 128, 192, 256, 384, 512] {
            l.print("dim", dim, 4096, dim, TABLES);
        }
        for rows in [1_000, 10_000, 100_000, 1_000_000, 4_000_000] {
            l.print("rows", rows, 1024, 64, (rows, rows / 4));
        }
        l.print("threads", l.threads, 8192, 64, TABLES);
    }
}
