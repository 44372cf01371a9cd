//! What `benches/` measures: operations of the private backend on random inputs, each as a closure that does it once.
//! Hidden from the documentation and not part of the API.

use super::simd::Isa;
use super::{Cpu, topk};
use crate::backend::{Backend, Bag, Mat, MatMut, Plan, SoftmaxGrads, SoftmaxLoss, Step, Table, TableData};
use crate::config::{Dtype, OptimizerKind};
use crate::data::batch::{Segments, SortScratch};
use crate::rng::Rng;

type Done = Box<dyn FnMut()>;

fn cpu(threads: usize, isa: &str) -> Cpu {
    let isa = Isa::ALL.into_iter().find(|i| format!("{i:?}").to_lowercase() == isa);
    Cpu::new(threads, isa).expect("the host has the instruction set")
}

/// The instruction sets of this host, the best last.
pub fn isas() -> Vec<String> {
    Isa::ALL.into_iter().filter(|isa| isa.available()).map(|isa| format!("{isa:?}").to_lowercase()).collect()
}

fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::at(seed, &[]);
    (0..n).map(|_| rng.symmetric(0.1) as f32).collect()
}

/// Zipf ids (exponent 1) from 1 to `rows - 1`, in an order of popularity that is not the order of the ids; and log q.
struct Zipf {
    cumulative: Vec<f64>,
    order: Vec<u32>,
}

impl Zipf {
    fn new(rows: usize, rng: &mut Rng) -> Zipf {
        let mut sum = 0.0;
        let cumulative = (1..rows)
            .map(|r| {
                sum += 1.0 / r as f64;
                sum
            })
            .collect();
        let mut order: Vec<u32> = (1..rows as u32).collect();
        for i in (1..order.len()).rev() {
            order.swap(i, rng.below(i as u64 + 1) as usize);
        }
        Zipf { cumulative, order }
    }

    /// An id and -log q.
    fn draw(&self, rng: &mut Rng) -> (u32, f32) {
        let total = self.cumulative[self.cumulative.len() - 1];
        let x = (rng.symmetric(0.5) + 0.5) * total;
        let rank = self.cumulative.partition_point(|&c| c < x).min(self.order.len() - 1);
        (self.order[rank], ((rank + 1) as f64 * total).ln() as f32)
    }
}

fn table(rows: usize, dim: usize, dtype: Dtype, kind: OptimizerKind, number: u32) -> Table<Cpu> {
    let data = values(rows * dim, u64::from(number));
    let width = match kind {
        OptimizerKind::Sgd => None,
        OptimizerKind::RowwiseAdagrad => Some(rows),
        OptimizerKind::Adagrad | OptimizerKind::Adam => Some(rows * dim),
    };
    Table {
        rows,
        dim,
        data: match dtype {
            Dtype::Fp32 => TableData::F32(data),
            Dtype::Bf16 => TableData::Bf16(data.into_iter().map(half::bf16::from_f32).collect()),
            Dtype::Fp16 => TableData::F16(data.into_iter().map(half::f16::from_f32).collect()),
        },
        // Touched once, as a run's own pages are.
        state1: width.map(|n| vec![0.1; n]),
        state2: (kind == OptimizerKind::Adam).then(|| vec![0.1; rows * dim]),
        number,
    }
}

fn step_of(kind: OptimizerKind) -> Step {
    Step { kind, lr: 0.05, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, number: 1, seed: 0, grad_scale: 1.0 }
}

/// `lookups` Zipf ids from a table of `rows`, pooled in bags of `bag`.
pub fn embedding_bag_fwd(
    threads: usize,
    isa: &str,
    dtype: Dtype,
    rows: usize,
    dim: usize,
    lookups: usize,
    bag: usize,
) -> Done {
    let cpu = cpu(threads, isa);
    let mut rng = Rng::at(1, &[]);
    let table = table(rows, dim, dtype, OptimizerKind::Sgd, 0);
    let zipf = Zipf::new(rows, &mut rng);
    let ids: Vec<u32> = (0..lookups).map(|_| zipf.draw(&mut rng).0).collect();
    let offsets: Option<Vec<u32>> = (bag > 1).then(|| (0..=lookups / bag).map(|b| (b * bag) as u32).collect());
    let out_rows = lookups / bag;
    let mut out = vec![0.0; out_rows * dim];
    Box::new(move || {
        let bag = Bag { ids: &ids, offsets: offsets.as_ref(), weights: None, rows: out_rows, lookups };
        cpu.embedding_bag_fwd(MatMut::dense(&mut out, out_rows, dim), &table, &bag, false).expect("fits");
    })
}

/// The step of the rows that `lookups` Zipf ids touch.
pub fn embedding_bag_bwd_step(
    threads: usize,
    isa: &str,
    dtype: Dtype,
    kind: OptimizerKind,
    rows: usize,
    dim: usize,
    lookups: usize,
) -> Done {
    let cpu = cpu(threads, isa);
    let mut rng = Rng::at(1, &[]);
    let mut table = table(rows, dim, dtype, kind, 0);
    let zipf = Zipf::new(rows, &mut rng);
    let ids: Vec<u32> = (0..lookups).map(|_| zipf.draw(&mut rng).0).collect();
    let mut segments = Segments::default();
    segments.build(&ids, &mut SortScratch::default());
    let grads = values(lookups * dim, 3);
    let mut step = step_of(kind);
    Box::new(move || {
        cpu.embedding_bag_bwd_step(&mut table, &plan(&segments), &[Mat::dense(&grads, lookups, dim)], &step)
            .expect("fits");
        step.number += 1;
    })
}

fn plan(segments: &Segments) -> Plan<'_, Cpu> {
    Plan {
        unique: &segments.unique,
        starts: &segments.starts,
        positions: &segments.positions,
        scales: None,
        uniques: segments.unique.len(),
        lookups: segments.positions.len(),
    }
}

/// One linear layer, forward or backward.
pub fn linear(threads: usize, isa: &str, rows: usize, ins: usize, outs: usize, backward: bool) -> Done {
    let cpu = cpu(threads, isa);
    let (x, w, b) = (values(rows * ins, 1), values(outs * ins, 2), values(outs, 3));
    let (mut y, mut dy, mut dx) = (vec![0.0; rows * outs], values(rows * outs, 4), vec![0.0; rows * ins]);
    let (mut dw, mut db) = (vec![0.0; outs * ins], vec![0.0; outs]);
    Box::new(move || {
        let x = Mat::dense(&x, rows, ins);
        if backward {
            let (dx, dy) = (MatMut::dense(&mut dx, rows, ins), MatMut::dense(&mut dy, rows, outs));
            cpu.linear_bwd(Some(dx), &mut dw, &mut db, dy, Mat::dense(&y, rows, outs), x, &w, true).expect("fits");
        } else {
            cpu.linear_fwd(MatMut::dense(&mut y, rows, outs), x, &w, &b, true).expect("fits");
        }
    })
}

/// L2 norms of rows, forward and backward.
pub fn l2_norm(threads: usize, isa: &str, rows: usize, dim: usize) -> Done {
    let cpu = cpu(threads, isa);
    let x = values(rows * dim, 1);
    let (mut y, mut inverse, mut dy) = (vec![0.0; rows * dim], vec![0.0; rows], values(rows * dim, 2));
    Box::new(move || {
        cpu.l2_norm_fwd(&mut y, &mut inverse, &x, rows, dim).expect("fits");
        cpu.l2_norm_bwd(&mut dy, &y, &inverse, rows, dim).expect("fits");
    })
}

/// The softmax of `rows` users against `columns` candidates with bias and accidental hits.
pub fn softmax_loss(threads: usize, isa: &str, rows: usize, columns: usize, dim: usize) -> Done {
    let cpu = cpu(threads, isa);
    let (users, candidates, bias) = (values(rows * dim, 1), values(columns * dim, 2), values(columns, 3));
    let mut rng = Rng::at(4, &[]);
    let zipf = Zipf::new(50_000.max(columns), &mut rng);
    let ids: Vec<u32> = match columns > rows {
        true => (0..columns as u32).collect(),
        false => (0..columns).map(|_| zipf.draw(&mut rng).0).collect(),
    };
    let log_scale = vec![1.6];
    let (mut du, mut dv, mut stats) = (vec![0.0; rows * dim], vec![0.0; columns * dim], vec![0.0; 2]);
    Box::new(move || {
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
        cpu.softmax_loss(grads, &loss).expect("fits");
    })
}

/// The step of `len` dense parameters.
pub fn dense_step(threads: usize, isa: &str, kind: OptimizerKind, len: usize) -> Done {
    let cpu = cpu(threads, isa);
    let (mut w, dw) = (values(len, 1), values(len, 2));
    let (mut m, mut v) = (vec![0.1; len], vec![0.1; len]);
    let mut step = step_of(kind);
    Box::new(move || {
        cpu.dense_step(&mut w, Some(&mut m), Some(&mut v), &dw, len, &step).expect("fits");
        step.number += 1;
    })
}

/// The k best of `items` for `queries`.
pub fn top_k(threads: usize, isa: &str, queries: usize, items: usize, dim: usize, k: usize) -> Done {
    let cpu = cpu(threads, isa);
    let mut packed = topk::Items::new(items, dim);
    packed.pack(0, &values(items * dim, 1), items).expect("fits");
    let asked = values(queries * dim, 2);
    let (mut ids, mut scores) = (vec![0; queries * k], vec![0.0; queries * k]);
    Box::new(move || cpu.topk(&mut ids, &mut scores, &asked, &packed, None, queries, k).expect("fits"))
}

/// A whole training step of two embedding tables (200,000 users, 50,000 items, Zipf ids) under in-batch softmax with
/// logQ and accidental hits masked: sorting the ids, lookups, norms when asked, loss, gradients, the tables' step.
pub fn training_step(
    threads: usize,
    isa: &str,
    kind: OptimizerKind,
    batch: usize,
    dim: usize,
    normalize: bool,
) -> Done {
    const USERS: usize = 200_001;
    const ITEMS: usize = 50_001;
    const BATCHES: usize = 32;
    let cpu = cpu(threads, isa);
    let mut rng = Rng::at(1, &[]);
    let (zipf_users, zipf_items) = (Zipf::new(USERS, &mut rng), Zipf::new(ITEMS, &mut rng));
    let batches: Vec<(Vec<u32>, Vec<u32>, Vec<f32>)> = (0..BATCHES)
        .map(|_| {
            let users = (0..batch).map(|_| zipf_users.draw(&mut rng).0).collect();
            let (items, bias) = (0..batch).map(|_| zipf_items.draw(&mut rng)).unzip();
            (users, items, bias)
        })
        .collect();
    let mut tables = [table(USERS, dim, Dtype::Fp32, kind, 0), table(ITEMS, dim, Dtype::Fp32, kind, 1)];
    let mut segments = [Segments::default(), Segments::default()];
    let mut sort = SortScratch::default();
    let buffer = || vec![0.0f32; batch * dim];
    let (mut x, mut y, mut d) = ([buffer(), buffer()], [buffer(), buffer()], [buffer(), buffer()]);
    let (mut inverse, mut stats) = ([vec![0.0; batch], vec![0.0; batch]], vec![0.0; 2]);
    let log_scale = vec![if normalize { 5f32.ln() } else { 0.0 }];
    let mut step = step_of(kind);
    Box::new(move || {
        let (users, items, bias) = &batches[step.number as usize % BATCHES];
        for (side, ids) in [users, items].into_iter().enumerate() {
            segments[side].build(ids, &mut sort);
            let bag = Bag { ids, offsets: None, weights: None, rows: batch, lookups: batch };
            cpu.embedding_bag_fwd(MatMut::dense(&mut x[side], batch, dim), &tables[side], &bag, false).expect("fits");
            if normalize {
                cpu.l2_norm_fwd(&mut y[side], &mut inverse[side], &x[side], batch, dim).expect("fits");
            }
        }
        let out = if normalize { &y } else { &x };
        let [du, dv] = &mut d;
        let grads = SoftmaxGrads { users: du, candidates: dv, stats: &mut stats };
        let loss = SoftmaxLoss {
            users: &out[0],
            candidates: &out[1],
            log_scale: &log_scale,
            bias: Some(bias),
            ids: Some(items),
            positives: None,
            masked: None,
            weights: None,
            corrected: None,
            rows: batch,
            columns: batch,
            dim,
        };
        cpu.softmax_loss(grads, &loss).expect("fits");
        assert!(stats[0].is_finite());
        for (side, table) in tables.iter_mut().enumerate() {
            if normalize {
                cpu.l2_norm_bwd(&mut d[side], &y[side], &inverse[side], batch, dim).expect("fits");
            }
            cpu.embedding_bag_bwd_step(table, &plan(&segments[side]), &[Mat::dense(&d[side], batch, dim)], &step)
                .expect("fits");
        }
        step.number += 1;
    })
}
