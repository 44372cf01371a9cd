//! What `benches/` measures: operations of the private backend on random inputs, on a CPU or a CUDA device. Hidden from
//! the documentation and not part of the API.

mod inputs;
mod large;
mod peak;
mod plan;
mod step;
mod zipf;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub use inputs::batch_inputs;
pub use large::{large_gather, large_step};
pub use peak::peak;
use plan::plan_of;
pub use step::{training_step, training_step_on_tables};
use zipf::Zipf;

use super::cpu::Cpu;
use super::cpu::simd::Isa;
use super::cpu::topk::{ItemView, TopKMethod, TopKQueries, topk};
use super::open::{Cuda, OpenedDevice};
use super::single::{Rules, norm, norm_grads, pool};
use super::{
    Backend, Bag, EmbeddingTable, LinearGrads, LinearPass, Mat, MatMut, OptimizerStep, SoftmaxGrads, SoftmaxLoss,
    TableData, TopK,
};
use crate::config::{Dtype, OptimizerKind, Precision};
use crate::data::batch::{Segments, SortScratch};
use crate::rng::Rng;

/// An operation, ready to be done again and again.
pub struct Bench {
    once: Box<dyn FnMut()>,
    wait: Box<dyn FnMut()>,
}

impl Bench {
    fn new<B: Backend>(backend: &Arc<B>, once: impl FnMut() + 'static) -> Bench {
        let backend = Arc::clone(backend);
        let wait = Box::new(move || backend.arrived(true, &mut Vec::new()).expect("the work went well"));
        Bench { once: Box::new(once), wait }
    }

    /// How long `times` runs take; a device is waited for once, at the end.
    pub fn time(&mut self, times: u64) -> Duration {
        (self.wait)();
        let begun = Instant::now();
        (0..times).for_each(|_| (self.once)());
        (self.wait)();
        begun.elapsed()
    }
}

/// Where an operation runs.
#[derive(Clone, Debug)]
pub enum On {
    /// The CPU, with so many threads and this instruction set; that which multiplies bf16 values does.
    Cpu(usize, String),
    /// A CUDA device.
    Cuda(usize, Precision),
}

/// The CPU with its best instruction set for fp32, and by name with the one that multiplies bf16 values, where there is
/// one.
pub fn cpus(threads: usize) -> Vec<(String, On)> {
    let mut isas: Vec<Isa> = available().collect();
    let bf16 = isas.pop_if(|isa| isa.multiplies_bf16());
    let cpu = |isa: Isa| On::Cpu(threads, name(isa));
    let fp32 = isas.pop().map(|isa| (format!("threads{threads}"), cpu(isa)));
    fp32.into_iter().chain(bf16.map(|isa| (format!("threads{threads}_bf16"), cpu(isa)))).collect()
}

/// Everything that this host can run on, by name: one thread with each instruction set, the best last, then `cuda:0`
/// where there is one.
pub fn everywhere() -> Vec<(String, On)> {
    let cpus = available().map(|isa| (name(isa), On::Cpu(1, name(isa))));
    cpus.chain(cuda()).collect()
}

/// One thread with the best instruction set, and `cuda:0` where there is one.
pub fn best_and_cuda() -> Vec<(String, On)> {
    cpus(1).into_iter().take(1).chain(cuda()).collect()
}

/// `cuda:0`, where it can be used.
pub fn cuda() -> Option<(String, On)> {
    crate::Device::Cuda(0).resolve().ok().map(|device| (device.to_string(), On::Cuda(0, Precision::Bf16)))
}

/// The instruction sets of this host, the best last.
fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.available())
}

fn name(isa: Isa) -> String {
    format!("{isa:?}").to_lowercase()
}

/// Calls a function that is generic over the backend with the one that is meant.
macro_rules! on {
    ($on:expr, $bench:ident($($arg:expr),*)) => {
        match $crate::backend::bench::open($on) {
            $crate::backend::open::OpenedDevice::Cpu(cpu) => $bench(&std::sync::Arc::new(cpu), $($arg),*),
            $crate::backend::open::OpenedDevice::Cuda(cuda) => $bench(&std::sync::Arc::new(*cuda), $($arg),*),
        }
    };
}
use on;

fn open(on: &On) -> OpenedDevice {
    match on {
        On::Cpu(threads, isa) => OpenedDevice::Cpu(open_cpu(*threads, isa)),
        On::Cuda(ordinal, precision) => {
            OpenedDevice::Cuda(Box::new(Cuda::new(*ordinal, *precision).expect("the device can be used")))
        }
    }
}

fn open_cpu(threads: usize, isa: &str) -> Cpu {
    let isa = Isa::ALL.into_iter().find(|&i| name(i) == isa);
    Cpu::new(threads, isa, Precision::Bf16).expect("the host has the instruction set")
}

fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::at(seed, &[]);
    (0..n).map(|_| rng.symmetric(0.1) as f32).collect()
}

fn upload<B: Backend, T: super::Elem>(backend: &B, host: Vec<T>) -> B::Buf<T> {
    backend.upload(host).expect("the device has room")
}

fn table<B: Backend>(
    b: &B,
    rows: usize,
    dim: usize,
    dtype: Dtype,
    kind: OptimizerKind,
    number: u32,
) -> EmbeddingTable<B> {
    let data = values(rows * dim, u64::from(number));
    let width = match kind {
        OptimizerKind::Sgd => None,
        OptimizerKind::RowwiseAdagrad => Some(rows),
        OptimizerKind::Adagrad | OptimizerKind::Adam => Some(rows * dim),
    };
    EmbeddingTable {
        rows,
        dim,
        data: match dtype {
            Dtype::Fp32 => TableData::F32(upload(b, data)),
            Dtype::Bf16 => TableData::Bf16(upload(b, data.into_iter().map(half::bf16::from_f32).collect())),
            Dtype::Fp16 => TableData::F16(upload(b, data.into_iter().map(half::f16::from_f32).collect())),
        },
        // Touched once, as a run's own pages are.
        state1: width.map(|n| upload(b, vec![0.1; n])),
        state2: (kind == OptimizerKind::Adam).then(|| upload(b, vec![0.1; rows * dim])),
        number,
    }
}

fn step_of(kind: OptimizerKind) -> OptimizerStep {
    OptimizerStep {
        kind,
        lr: 0.05,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        number: 1,
        seed: 0,
        grad_scale: 1.0,
    }
}

/// `lookups` Zipf ids from a table of `rows`, pooled in bags of `bag`.
pub fn embedding_bag_fwd(on: &On, dtype: Dtype, rows: usize, dim: usize, lookups: usize, bag: usize) -> Bench {
    on!(on, forward(dtype, rows, dim, lookups, bag))
}

fn forward<B: Backend>(b: &Arc<B>, dtype: Dtype, rows: usize, dim: usize, lookups: usize, bag: usize) -> Bench {
    let mut rng = Rng::at(1, &[]);
    let table = table(&**b, rows, dim, dtype, OptimizerKind::Sgd, 0);
    let zipf = Zipf::new(rows, &mut rng);
    let ids = upload(&**b, (0..lookups).map(|_| zipf.draw(&mut rng).0).collect::<Vec<u32>>());
    let offsets = (bag > 1).then(|| upload(&**b, (0..=lookups / bag).map(|n| (n * bag) as u32).collect::<Vec<_>>()));
    let out_rows = lookups / bag;
    let mut out = upload(&**b, vec![0.0; out_rows * dim]);
    let backend = Arc::clone(b);
    Bench::new(b, move || {
        let bag = Bag { ids: &ids, offsets: offsets.as_ref(), weights: None, rows: out_rows, lookups };
        let out = MatMut::dense(&mut out, out_rows, dim);
        pool(&*backend, out, &table, bag).expect("fits");
    })
}

/// The step of the rows that `lookups` Zipf ids touch.
pub fn embedding_bag_bwd_step(
    on: &On,
    dtype: Dtype,
    kind: OptimizerKind,
    rows: usize,
    dim: usize,
    lookups: usize,
) -> Bench {
    on!(on, backward_step(dtype, kind, rows, dim, lookups))
}

fn backward_step<B: Backend>(
    b: &Arc<B>,
    dtype: Dtype,
    kind: OptimizerKind,
    rows: usize,
    dim: usize,
    lookups: usize,
) -> Bench {
    let mut rng = Rng::at(1, &[]);
    let mut table = table(&**b, rows, dim, dtype, kind, 0);
    let plan = plan_of(&**b, &zipf_segments(rows, lookups, &mut rng));
    let grads = upload(&**b, values(lookups * dim, 3));
    let rules = Rules::new(&**b, &step_of(kind)).expect("the device has room");
    let backend = Arc::clone(b);
    Bench::new(b, move || {
        let grads = vec![Mat::dense(&grads, lookups, dim)];
        plan.step(&*backend, &mut table, grads, &rules).expect("fits");
    })
}

fn zipf_segments(rows: usize, lookups: usize, rng: &mut Rng) -> Segments {
    let zipf = Zipf::new(rows, rng);
    let ids: Vec<u32> = (0..lookups).map(|_| zipf.draw(rng).0).collect();
    let mut segments = Segments::default();
    segments.build(&ids, &mut SortScratch::default());
    segments
}

/// Unique rows among `lookups` Zipf ids of a table of `rows`: what the step's bytes depend on.
pub fn zipf_uniques(rows: usize, lookups: usize) -> usize {
    zipf_segments(rows, lookups, &mut Rng::at(1, &[])).unique.len()
}

/// One linear layer, forward or backward.
pub fn linear(on: &On, rows: usize, ins: usize, outs: usize, backward: bool) -> Bench {
    on!(on, layer(rows, ins, outs, backward))
}

fn layer<B: Backend>(b: &Arc<B>, rows: usize, ins: usize, outs: usize, backward: bool) -> Bench {
    let up = |values| upload(&**b, values);
    let (x, w, bias) = (up(values(rows * ins, 1)), up(values(outs * ins, 2)), up(values(outs, 3)));
    let (mut y, mut dy) = (up(vec![0.0; rows * outs]), up(values(rows * outs, 4)));
    let (mut dx, mut dw, mut db) = (up(vec![0.0; rows * ins]), up(vec![0.0; outs * ins]), up(vec![0.0; outs]));
    let backend = Arc::clone(b);
    Bench::new(b, move || {
        let x = Mat::dense(&x, rows, ins);
        if backward {
            let (dx, dy) = (MatMut::dense(&mut dx, rows, ins), MatMut::dense(&mut dy, rows, outs));
            let y = Mat::dense(&y, rows, outs);
            let grads = LinearGrads { dx: Some(dx), dw: &mut dw, db: &mut db, dy };
            backend.linear_bwd(grads, LinearPass { y, x, w: &w, relu: true }).expect("fits");
        } else {
            backend.linear_fwd(MatMut::dense(&mut y, rows, outs), x, &w, &bias, true).expect("fits");
        }
    })
}

/// L2 norms of rows, forward and backward.
pub fn l2_norm(on: &On, rows: usize, dim: usize) -> Bench {
    on!(on, norms(rows, dim))
}

fn norms<B: Backend>(b: &Arc<B>, rows: usize, dim: usize) -> Bench {
    let up = |values| upload(&**b, values);
    let (x, mut y, mut dy) = (up(values(rows * dim, 1)), up(vec![0.0; rows * dim]), up(values(rows * dim, 2)));
    let mut inverse = up(vec![0.0; rows]);
    let backend = Arc::clone(b);
    Bench::new(b, move || {
        norm(&*backend, &mut y, &mut inverse, &x, (rows, dim)).expect("fits");
        norm_grads(&*backend, &mut dy, &y, &inverse, (rows, dim)).expect("fits");
    })
}

/// The softmax of `rows` users against `columns` candidates with bias and accidental hits.
pub fn softmax_loss(on: &On, rows: usize, columns: usize, dim: usize) -> Bench {
    on!(on, softmax(rows, columns, dim))
}

fn softmax<B: Backend>(b: &Arc<B>, rows: usize, columns: usize, dim: usize) -> Bench {
    let up = |values| upload(&**b, values);
    let (users, candidates, bias) = (up(values(rows * dim, 1)), up(values(columns * dim, 2)), up(values(columns, 3)));
    let mut rng = Rng::at(4, &[]);
    let zipf = Zipf::new(50_000.max(columns), &mut rng);
    let ids: Vec<u32> = match columns > rows {
        true => (0..columns as u32).collect(),
        false => (0..columns).map(|_| zipf.draw(&mut rng).0).collect(),
    };
    let ids = upload(&**b, ids);
    let log_scale = up(vec![1.6]);
    let (mut du, mut dv, mut stats) = (up(vec![0.0; rows * dim]), up(vec![0.0; columns * dim]), up(vec![0.0; 2]));
    let backend = Arc::clone(b);
    Bench::new(b, move || {
        let grads = SoftmaxGrads { users: &mut du, candidates: &mut dv, stats: &mut stats };
        let loss = SoftmaxLoss {
            users: &users,
            candidates: &candidates,
            log_scale: &log_scale,
            bias: Some(&bias),
            ids: Some(&ids),
            positives: None,
            masked: None,
            weights: None,
            corrected: None,
            rows,
            columns,
            dim,
        };
        backend.softmax_loss(grads, &loss).expect("fits");
    })
}

/// The step of `len` dense parameters.
pub fn dense_step(on: &On, kind: OptimizerKind, len: usize) -> Bench {
    on!(on, dense(kind, len))
}

fn dense<B: Backend>(b: &Arc<B>, kind: OptimizerKind, len: usize) -> Bench {
    let up = |values| upload(&**b, values);
    let (mut w, dw) = (up(values(len, 1)), up(values(len, 2)));
    let (mut m, mut v) = (up(vec![0.1; len]), up(vec![0.1; len]));
    let rules = Rules::new(&**b, &step_of(kind)).expect("the device has room");
    let backend = Arc::clone(b);
    Bench::new(b, move || {
        super::single::dense_step(&*backend, &mut w, [Some(&mut m), Some(&mut v)], &dw, len, &rules).expect("fits");
    })
}

/// The k best of `items` for `queries`.
pub fn top_k(on: &On, queries: usize, items: usize, dim: usize, k: usize) -> Bench {
    on!(on, best(queries, items, dim, k))
}

fn best<B: Backend>(b: &Arc<B>, queries: usize, items: usize, dim: usize, k: usize) -> Bench {
    let (packed, asked) = catalogue(b, queries, items, dim);
    let backend = Arc::clone(b);
    Bench::new(b, move || {
        let asked = backend.ask(&packed, &TopK { queries: &asked, rows: queries, k, skip: None }).expect("fits");
        backend.lists(&packed, asked).expect("comes");
    })
}

/// [`top_k`] on a CPU with every score in fp32, though codes might be faster.
pub fn top_k_fp32(threads: usize, isa: &str, queries: usize, items: usize, dim: usize, k: usize) -> Bench {
    let cpu = Arc::new(open_cpu(threads, isa));
    let (packed, asked) = catalogue(&cpu, queries, items, dim);
    let (mut ids, mut scores) = (vec![0; queries * k], vec![0.0; queries * k]);
    let backend = Arc::clone(&cpu);
    Bench::new(&cpu, move || {
        let search = TopKQueries { queries: &asked, rows: queries, k, view: ItemView::default() };
        topk(&backend, &mut ids, &mut scores, &packed, &search, Some(TopKMethod::Fp32)).expect("fits");
    })
}

/// Items and queries.
fn catalogue<B: Backend>(b: &Arc<B>, queries: usize, items: usize, dim: usize) -> (B::Items, B::Buf<f32>) {
    let mut packed = b.items(items, dim, false).expect("the device has room");
    b.pack_items(&mut packed, 0, &upload(&**b, values(items * dim, 1)), None, items).expect("fits");
    (packed, upload(&**b, values(queries * dim, 2)))
}
