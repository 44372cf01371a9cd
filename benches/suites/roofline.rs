//! How near each CUDA operation comes to what the device can do.
//!
//!     cargo bench --features bench --bench roofline              # times every case on cuda:0 and prints the table
//!     cargo bench --features bench --bench roofline -- topk      # those with this in their names
//!     cargo bench --features bench --bench roofline -- --check   # runs each once, small, and times nothing
//!
//! A case's floor is the time in which the device could move its bytes or do its operations, whichever is longer, at the
//! peaks that its attributes give. Bytes are the least that the operation must move (each touched row once each way).
//! The share is floor / time.

use std::time::Duration;

use tercel::bench::{
    Bench, On, dense_step, embedding_bag_bwd_step, embedding_bag_fwd, l2_norm, linear, softmax_loss, top_k,
    training_step, zipf_uniques,
};
use tercel::config::{Dtype, OptimizerKind, Precision};
use tercel::device::CudaInfo;

struct Case {
    name: String,
    bytes: f64,
    flops: f64,
    bench: Box<dyn Fn(&On) -> Bench>,
}

impl Case {
    fn new(name: String, bytes: usize, flops: usize, bench: impl Fn(&On) -> Bench + 'static) -> Case {
        Case { name, bytes: bytes as f64, flops: flops as f64, bench: Box::new(bench) }
    }
}

/// Every operation; sizes are divided by `scale`.
fn cases(scale: usize) -> Vec<Case> {
    let (table, lookups, batch) = ((1 << 20) / scale, 65_536 / scale, 8_192 / scale);
    let uniques = zipf_uniques(table, lookups);
    let mut cases = Vec::new();
    for dim in [64, 128] {
        for (dtype, size) in [(Dtype::Fp32, 4), (Dtype::Bf16, 2)] {
            let tag = format!("V{table}_L{lookups}_D{dim}_{dtype:?}");
            let bytes = lookups * 4 + uniques * dim * size + lookups * dim * 4;
            cases.push(Case::new(format!("embedding_bag_fwd/{tag}"), bytes, 0, move |on| {
                embedding_bag_fwd(on, dtype, table, dim, lookups, 1)
            }));
            let kinds = [(OptimizerKind::RowwiseAdagrad, 8), (OptimizerKind::Adam, 16 * dim)];
            for (kind, state) in kinds {
                let bytes = lookups * (dim * 4 + 8) + uniques * (2 * dim * size + state);
                cases.push(Case::new(format!("embedding_bag_bwd_step/{kind:?}/{tag}"), bytes, 0, move |on| {
                    embedding_bag_bwd_step(on, dtype, kind, table, dim, lookups)
                }));
            }
        }
        let bytes = batch * dim * 4 * 5 + batch * 8;
        let name = format!("l2_norm_fwd+bwd/B{batch}_D{dim}");
        cases.push(Case::new(name, bytes, 0, move |on| l2_norm(on, batch, dim)));
        let (flops, bytes) = (8 * batch * batch * dim, 2 * (2 * batch * dim * 4));
        let name = format!("softmax_loss/B{batch}_C{batch}_D{dim}");
        cases.push(Case::new(name, bytes, flops, move |on| softmax_loss(on, batch, batch, dim)));
        let (queries, items) = (1024 / scale.min(16), (1 << 20) / scale);
        let (flops, bytes) = (2 * queries * items * dim, items * dim * 2 + queries * (dim * 4 + 8 * 100));
        let name = format!("topk/Q{queries}_N{items}_D{dim}_K100");
        cases.push(Case::new(name, bytes, flops, move |on| top_k(on, queries, items, dim, 100)));
    }
    let (ins, outs) = (512 / scale.min(8), 256 / scale.min(8));
    let values = batch * ins + outs * ins + batch * outs;
    let flops = 2 * batch * ins * outs;
    let tag = format!("B{batch}_{ins}_{outs}");
    cases
        .push(Case::new(format!("linear_fwd/{tag}"), 4 * values, flops, move |on| linear(on, batch, ins, outs, false)));
    cases.push(Case::new(format!("linear_bwd/{tag}"), 8 * values, 2 * flops, move |on| {
        linear(on, batch, ins, outs, true)
    }));
    let len = (1 << 22) / scale;
    cases.push(Case::new(format!("dense_step/Adam/{len}"), 28 * len, 0, move |on| {
        dense_step(on, OptimizerKind::Adam, len)
    }));
    let flops = 8 * batch * batch * 64;
    cases.push(Case::new(format!("training_step/Adagrad/B{batch}_D64"), 0, flops, move |on| {
        training_step(on, OptimizerKind::Adagrad, batch, 64, true)
    }));
    cases
}

/// The median of a few samples, each long enough for the clock.
fn time(bench: &mut Bench) -> Duration {
    let once = bench.time(3) / 3;
    let times = (Duration::from_millis(20).as_nanos() / once.as_nanos().max(1)).clamp(1, 10_000) as u64;
    let mut samples: Vec<Duration> = (0..9).map(|_| bench.time(times) / times as u32).collect();
    samples.sort();
    samples[samples.len() / 2]
}

fn main() {
    let check = std::env::args().any(|arg| arg == "--check");
    let part = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    let cases = |scale| cases(scale).into_iter().filter(|case| case.name.contains(&part));
    let info = match CudaInfo::read(0) {
        Ok(info) => info,
        Err(error) if std::env::var_os("REQUIRE_CUDA").is_none() => return println!("skipped: {error}"),
        Err(error) => panic!("{error}"),
    };
    let on = On::Cuda(0, Precision::Bf16);
    if check {
        for case in cases(64) {
            (case.bench)(&on).time(1);
            println!("{}: ran", case.name);
        }
        return;
    }
    let (bandwidth, flops) = (info.peak_bytes_per_second(), info.peak_bf16_flops());
    println!(
        "{}: {:.0} GB/s, {}",
        info.name,
        bandwidth / 1e9,
        match flops {
            Some(flops) => format!("{:.0} TFLOP/s in bf16", flops / 1e12),
            None => format!("bf16 peak of compute capability {} unknown: no share of it", info.compute_capability),
        }
    );
    println!("| case | time, us | GB/s | of peak | TFLOP/s | of peak | floor / time |");
    println!("|---|---|---|---|---|---|---|");
    for case in cases(1) {
        let seconds = time(&mut (case.bench)(&on)).as_secs_f64();
        let moved = case.bytes / seconds;
        let done = case.flops / seconds;
        let floor = (case.bytes / bandwidth).max(flops.map_or(0.0, |flops| case.flops / flops));
        println!(
            "| {} | {:.1} | {:.0} | {:.0} % | {:.1} | {} | {:.0} % |",
            case.name,
            seconds * 1e6,
            moved / 1e9,
            100.0 * moved / bandwidth,
            done / 1e12,
            flops.map_or("".into(), |flops| format!("{:.0} %", 100.0 * done / flops)),
            100.0 * floor / seconds
        );
    }
}
