//! Lookups, pools, and the step of the touched rows.

use half::{bf16, f16};

use super::optim::{KINDS, naive_step, step};
use super::*;
use crate::Error;
use crate::backend::cpu::embedding::{GradientPlan, backward_step, forward};
use crate::backend::{Bag, EmbeddingTable, MatMut, OptimizerStep, TableData};
use crate::config::{Dtype, OptimizerKind};

pub(crate) const DTYPES: [Dtype; 3] = [Dtype::Fp32, Dtype::Bf16, Dtype::Fp16];

pub(crate) fn table(values: &[f32], rows: usize, dim: usize, dtype: Dtype) -> EmbeddingTable<Cpu> {
    let data = match dtype {
        Dtype::Fp32 => TableData::F32(values.to_vec()),
        Dtype::Bf16 => TableData::Bf16(values.iter().map(|&x| bf16::from_f32(x)).collect()),
        Dtype::Fp16 => TableData::F16(values.iter().map(|&x| f16::from_f32(x)).collect()),
    };
    EmbeddingTable { rows, dim, data, state1: None, state2: None, number: 3 }
}

pub(crate) fn values(table: &EmbeddingTable<Cpu>) -> Vec<f32> {
    match &table.data {
        TableData::F32(x) => x.clone(),
        TableData::Bf16(x) => x.iter().map(|x| x.to_f32()).collect(),
        TableData::F16(x) => x.iter().map(|x| x.to_f32()).collect(),
    }
}

pub(crate) fn random_bags(random: &mut Random, rows: usize, table_rows: usize) -> Vec<Vec<u32>> {
    let bag = |random: &mut Random| {
        let len = [0, 1, 2, 5, 40][random.below(5)];
        (0..len).map(|_| random.below(table_rows) as u32).collect()
    };
    (0..rows).map(|_| bag(random)).collect()
}

pub(crate) fn offsets(bags: &[Vec<u32>]) -> Vec<u32> {
    let mut out = vec![0];
    for bag in bags {
        out.push(out[out.len() - 1] + bag.len() as u32);
    }
    out
}

#[test]
fn forward_matches_the_oracle() {
    let mut random = Random(1);
    for dtype in DTYPES {
        for (rows, dim) in [(0, 4), (1, 1), (3, 4), (31, 12), (33, 100), (300, 64), (20, 256), (9, 7)] {
            let (v, stride, col) = (50, dim + 6, 5);
            let table = table(&random.vec(v * dim, 1.0), v, dim, dtype);
            let stored = wide(&values(&table));
            let bags = random_bags(&mut random, rows, v);
            let (ids, offsets) = (bags.concat(), offsets(&bags));
            let weights: Vec<Vec<f32>> = bags.iter().map(|b| random.vec(b.len(), 1.0)).collect();
            let flat = weights.concat();
            let weights: Vec<Vec<f64>> = weights.iter().map(|w| wide(w)).collect();
            let single: Vec<Vec<u32>> = (0..rows).map(|_| vec![random.below(v) as u32]).collect();
            let single_ids = single.concat();
            let before = random.vec(rows * dim, 1.0);
            for (isa, cpu) in cpus(1) {
                for form in 0..3 {
                    let (bag, expected) = match form {
                        0 => (
                            Bag { ids: &single_ids, offsets: None, weights: None, rows, lookups: rows },
                            naive::embedding::forward(&stored, dim, &single, None),
                        ),
                        1 => (
                            Bag { ids: &ids, offsets: Some(&offsets), weights: None, rows, lookups: ids.len() },
                            naive::embedding::forward(&stored, dim, &bags, None),
                        ),
                        _ => (
                            Bag { ids: &ids, offsets: Some(&offsets), weights: Some(&flat), rows, lookups: ids.len() },
                            naive::embedding::forward(&stored, dim, &bags, Some(&weights)),
                        ),
                    };
                    for add in [false, true] {
                        let mut out = framed(&before, dim, stride, col);
                        let view = MatMut { buf: &mut out, rows, cols: dim, stride, col };
                        forward(&cpu, view, &table, &bag, add).expect("fits");
                        let found = unframed(&out, rows, dim, stride, col);
                        let kept = |b: &f32| if add { f64::from(*b) } else { 0.0 };
                        let expected: Vec<f64> = expected.iter().zip(&before).map(|(e, b)| e + kept(b)).collect();
                        let name = format!("{isa:?} {dtype:?} {rows} x {dim}, form {form}, add {add}");
                        ELEMENTWISE.check(&name, &found, &expected);
                        if form == 0 && !add {
                            assert_eq!(wide(&found), expected, "{name}: a lookup is a copy");
                        }
                    }
                }
            }
        }
    }
}

/// A plan and what it was made from: position p of the flat list belongs to gradient row `rows[p]`.
pub(crate) struct Sorted {
    pub(crate) unique: Vec<u32>,
    pub(crate) starts: Vec<u32>,
    pub(crate) positions: Vec<u32>,
    pub(crate) scales: Vec<f32>,
}

/// Sorts (id, gradient row, scale) by id, stably.
pub(crate) fn plan(ids: &[u32], rows: &[u32], scales: &[f32]) -> Sorted {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|&l| ids[l]);
    let mut out = Sorted { unique: vec![], starts: vec![], positions: vec![], scales: vec![] };
    for (p, &l) in order.iter().enumerate() {
        if out.unique.last() != Some(&ids[l]) {
            out.unique.push(ids[l]);
            out.starts.push(p as u32);
        }
        out.positions.push(rows[l]);
        out.scales.push(scales[l]);
    }
    out.starts.push(ids.len() as u32);
    out
}

impl Sorted {
    pub(crate) fn view(&self, scaled: bool) -> GradientPlan<'_> {
        GradientPlan {
            unique: &self.unique,
            starts: &self.starts,
            positions: &self.positions,
            scales: scaled.then_some(&self.scales),
        }
    }
}

pub(crate) fn with_states(mut table: EmbeddingTable<Cpu>, kind: OptimizerKind) -> EmbeddingTable<Cpu> {
    let (rows, dim) = (table.rows, table.dim);
    table.state1 = match kind {
        OptimizerKind::Sgd => None,
        OptimizerKind::RowwiseAdagrad => Some(vec![0.1; rows]),
        OptimizerKind::Adagrad => Some(vec![0.1; rows * dim]),
        OptimizerKind::Adam => Some(vec![0.0; rows * dim]),
    };
    table.state2 = (kind == OptimizerKind::Adam).then(|| vec![0.0; rows * dim]);
    table
}

/// Ids of a batch, with runs of 1, 31, 32, 33, 64 and more.
pub(crate) fn skewed_ids(random: &mut Random, lookups: usize, rows: usize) -> Vec<u32> {
    let mut ids = Vec::new();
    while ids.len() < lookups {
        let run = [1, 1, 1, 31, 32, 33, 64, 100][random.below(8)];
        let id = 1 + random.below(rows - 1) as u32;
        ids.extend(std::iter::repeat_n(id, run));
    }
    ids.truncate(lookups);
    ids
}

#[test]
fn steps_match_the_oracle() {
    for (n, kind) in KINDS.into_iter().enumerate() {
        for (lookups, dim) in [(0, 4), (1, 4), (33, 12), (400, 64), (1000, 20), (90, 100), (64, 1)] {
            let mut random = Random((lookups + n) as u64);
            let v = 60;
            let start = random.vec(v * dim, 1.0);
            // Two lists of gradients, the second inside a wider matrix.
            let (first, second) = (lookups / 3, lookups - lookups / 3);
            let stride = dim + 3;
            for (isa, cpu) in cpus(1) {
                let mut random = Random(5);
                let mut table = with_states(table(&start, v, dim, Dtype::Fp32), kind);
                let mut w64 = wide(&start);
                let mut m64 = table.state1.as_deref().map_or(vec![], wide);
                let mut v64 = table.state2.as_deref().map_or(vec![], wide);
                for number in 1..4 {
                    let ids = skewed_ids(&mut random, lookups, v);
                    let rows: Vec<u32> = (0..lookups).map(|_| random.below(lookups) as u32).collect();
                    let scales = random.vec(lookups, 1.0);
                    let scaled = number != 2;
                    let (g1, g2) = (random.vec(first * dim, 1.0), random.vec(second * dim, 1.0));
                    let framed = framed(&g2, dim, stride, 1);
                    let sorted = plan(&ids, &rows, &scales);
                    let grads = [mat(&g1, first, dim, dim, 0), mat(&framed, second, dim, stride, 1)];
                    let s = step(kind, number);
                    backward_step(&cpu, &mut table, &sorted.view(scaled), &grads, &s).expect("fits");
                    let all = wide(&[g1, g2].concat());
                    for (u, &id) in sorted.unique.iter().enumerate() {
                        let mut sum = vec![0.0; dim];
                        for p in sorted.starts[u] as usize..sorted.starts[u + 1] as usize {
                            let scale = if scaled { f64::from(sorted.scales[p]) } else { 1.0 };
                            for d in 0..dim {
                                sum[d] += scale * all[sorted.positions[p] as usize * dim + d];
                            }
                        }
                        let r = id as usize;
                        let part = |x: usize| r * x..(r + 1) * x;
                        let width = if kind == OptimizerKind::RowwiseAdagrad { 1 } else { dim };
                        let m = if m64.is_empty() { &mut [][..] } else { &mut m64[part(width)] };
                        let v = if v64.is_empty() { &mut [][..] } else { &mut v64[part(dim)] };
                        naive::optim::step(&mut w64[part(dim)], &sum, m, v, &naive_step(&s, true));
                    }
                }
                let name = format!("{isa:?} {kind:?} {lookups} lookups, {dim} wide");
                ELEMENTWISE.check(&format!("{name}: w"), &values(&table), &w64);
                ELEMENTWISE.check(&format!("{name}: state 1"), &table.state1.unwrap_or_default(), &m64);
                ELEMENTWISE.check(&format!("{name}: state 2"), &table.state2.unwrap_or_default(), &v64);
            }
        }
    }
}

#[test]
fn sums_run_over_chunks_of_32_positions() {
    // Whole numbers and halves far apart: a sum depends on its order, and each order has exact bits.
    let mut random = Random(8);
    let (lookups, dim) = (300, 5);
    let ids = skewed_ids(&mut random, lookups, 4);
    let rows: Vec<u32> = (0..lookups as u32).collect();
    let big = |random: &mut Random| random.value() * [1.0, 1e4, 1e7][random.below(3)];
    let grads: Vec<f32> = (0..lookups * dim).map(|_| big(&mut random)).collect();
    let sorted = plan(&ids, &rows, &vec![1.0; lookups]);
    let mut expected = vec![0.0f32; 4 * dim];
    for (u, &id) in sorted.unique.iter().enumerate() {
        for d in 0..dim {
            let (mut sum, mut part) = (0.0f32, 0.0f32);
            let (from, to) = (sorted.starts[u] as usize, sorted.starts[u + 1] as usize);
            for p in from..to {
                part += grads[sorted.positions[p] as usize * dim + d];
                if p % 32 == 31 || p + 1 == to {
                    sum += part;
                    part = 0.0;
                }
            }
            expected[id as usize * dim + d] = -sum;
        }
    }
    for (isa, cpu) in cpus(1) {
        let mut table = table(&vec![0.0; 4 * dim], 4, dim, Dtype::Fp32);
        let s = OptimizerStep { lr: 1.0, weight_decay: 0.0, grad_scale: 1.0, ..step(OptimizerKind::Sgd, 1) };
        backward_step(&cpu, &mut table, &sorted.view(false), &[mat(&grads, lookups, dim, dim, 0)], &s).expect("fits");
        assert_eq!(values(&table), expected, "{isa:?}");
    }
}

#[test]
fn narrow_tables_round_as_the_oracle_does() {
    let (rows, dim) = (70, 33);
    for dtype in [Dtype::Bf16, Dtype::Fp16] {
        // From the largest finite values down to subnormal ones and zero.
        let mut random = Random(2);
        let start: Vec<f32> = (0..rows * dim)
            .map(|i| random.value() * f32::powi(10.0, [-9, -7, -6, -5, -3, 0, 3, 5, 38][i % 9]))
            .map(|x| if dtype == Dtype::Fp16 { x.clamp(-65504.0, 65504.0) } else { x })
            .collect();
        let grads: Vec<f32> = start.iter().map(|x| x * (random.value() * 0.01)).collect();
        let ids: Vec<u32> = (0..rows as u32).collect();
        let sorted = plan(&ids, &ids, &vec![1.0; rows]);
        let s = OptimizerStep { lr: 1.0, weight_decay: 0.0, grad_scale: 1.0, ..step(OptimizerKind::Sgd, 9) };
        for (isa, cpu) in cpus(1) {
            let mut table = table(&start, rows, dim, dtype);
            let before = values(&table);
            backward_step(&cpu, &mut table, &sorted.view(false), &[mat(&grads, rows, dim, dim, 0)], &s).expect("fits");
            for (i, &found) in values(&table).iter().enumerate() {
                let x = before[i] - grads[i];
                let bits = naive::rounding::bits(42, 9, 3, (i / dim) as u32, i % dim);
                let round = if dtype == Dtype::Bf16 { naive::rounding::to_bf16 } else { naive::rounding::to_f16 };
                let expected = if x == 0.0 { 0.0 } else { round(x, bits) };
                assert_eq!(f64::from(found), expected, "{isa:?} {dtype:?}: {x:e} with bits {bits:x}");
            }
        }
    }
}

#[test]
fn rounding_is_unbiased() {
    // Small steps that nearest rounding would lose: 4096 tries a lane, 64 lanes.
    let (tries, dim) = (4096, 64);
    for (dtype, x, size) in
        [(Dtype::Bf16, 1.0, 1.0 / 1024.0), (Dtype::Fp16, 1.0, 1.0 / 8192.0), (Dtype::Fp16, 1e-6, 1e-8)]
    {
        let cpu = Cpu::new(1, None, Precision::Fp32).expect("there");
        let mut table = table(&vec![x; tries * dim], tries, dim, dtype);
        let stored = values(&table)[0];
        let ids: Vec<u32> = (0..tries as u32).collect();
        let sorted = plan(&ids, &ids, &vec![1.0; tries]);
        let s = OptimizerStep { lr: 1.0, weight_decay: 0.0, grad_scale: 1.0, ..step(OptimizerKind::Sgd, 1) };
        let grads = vec![-size; tries * dim];
        backward_step(&cpu, &mut table, &sorted.view(false), &[mat(&grads, tries, dim, dim, 0)], &s).expect("fits");
        let found = values(&table);
        let n = found.len() as f64;
        let mean = found.iter().map(|&y| f64::from(y - stored)).sum::<f64>() / n;
        let spread = found.iter().map(|&y| (f64::from(y - stored) - mean).powi(2)).sum::<f64>() / n;
        let off = (mean - f64::from(stored + size - stored)).abs();
        assert!(off <= 4.0 * (spread / n).sqrt(), "{dtype:?}: mean step {mean:e} instead of {size:e}");
        assert!(spread > 0.0, "{dtype:?}: no value was rounded the other way");
    }
}

#[test]
fn bad_gradients_show_and_stay_in_their_row() {
    for dtype in DTYPES {
        for kind in KINDS {
            for (isa, cpu) in cpus(1) {
                for bad in [f32::NAN, f32::INFINITY] {
                    let dim = 20;
                    let mut table = with_states(table(&vec![0.5; 4 * dim], 4, dim, dtype), kind);
                    let mut grads = vec![0.1; 3 * dim];
                    grads[dim + 17] = bad;
                    let sorted = plan(&[1, 2, 3], &[0, 1, 2], &[1.0; 3]);
                    backward_step(
                        &cpu,
                        &mut table,
                        &sorted.view(false),
                        &[mat(&grads, 3, dim, dim, 0)],
                        &step(kind, 2),
                    )
                    .expect("fits");
                    let found = values(&table);
                    assert!(!found[2 * dim + 17].is_finite(), "{isa:?} {dtype:?} {kind:?}: {bad}");
                    let mut others = found[..2 * dim].iter().chain(&found[3 * dim..]);
                    assert!(others.all(|x| x.is_finite()), "{isa:?} {dtype:?} {kind:?}: {bad}");
                    assert!(found[..dim].iter().all(|&x| x == 0.5), "row 0 was not named");
                }
            }
        }
    }
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let (v, dim, lookups) = (3000, 20, 9000);
    let mut random = Random(4);
    let start = random.vec(v * dim, 1.0);
    let ids = skewed_ids(&mut random, lookups, v);
    let rows: Vec<u32> = (0..lookups as u32).collect();
    let grads = random.vec(lookups * dim, 1.0);
    let sorted = plan(&ids, &rows, &random.vec(lookups, 1.0));
    for dtype in DTYPES {
        for kind in KINDS {
            for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
                let run = |threads| {
                    let cpu = Cpu::new(threads, Some(isa), Precision::Fp32).expect("there");
                    let mut table = with_states(table(&start, v, dim, dtype), kind);
                    let grads = [mat(&grads, lookups, dim, dim, 0)];
                    backward_step(&cpu, &mut table, &sorted.view(true), &grads, &step(kind, 1)).expect("fits");
                    let mut out = vec![0.0; lookups * dim];
                    let bag = Bag { ids: &ids, offsets: None, weights: None, rows: lookups, lookups };
                    forward(&cpu, MatMut::dense(&mut out, lookups, dim), &table, &bag, false).expect("fits");
                    let states = (table.state1.unwrap_or_default(), table.state2.unwrap_or_default());
                    (bits(&out), bits(&states.0), bits(&states.1))
                };
                let one = run(1);
                assert!(one == run(2) && one == run(5), "{isa:?} {dtype:?} {kind:?}");
            }
        }
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let cpu = Cpu::new(1, None, Precision::Fp32).expect("there");
    let mut table = table(&[0.0; 12], 3, 4, Dtype::Fp32);
    let mut out = vec![0.0; 8];
    let mut fwd = |ids: Vec<u32>, offsets: Option<Vec<u32>>| {
        let lookups = ids.len();
        let bag = Bag { ids: &ids, offsets: offsets.as_ref(), weights: None, rows: 2, lookups };
        forward(&cpu, MatMut::dense(&mut out, 2, 4), &table, &bag, false)
    };
    assert!(fwd(vec![0, 2], None).is_ok());
    let message = fwd(vec![0, 3], None).expect_err("row 3 is none").to_string();
    assert_eq!(message, "embedding_pools: expected ids below 3, found id 3 at position 1");
    assert!(fwd(vec![0, u32::MAX], None).is_err());
    assert!(fwd(vec![0], None).is_err(), "too few ids");
    assert!(fwd(vec![0, 1], Some(vec![0, 2, 1])).is_err(), "offsets that go back");
    assert!(fwd(vec![0, 1], Some(vec![0, 1, 3])).is_err(), "offsets beyond the ids");
    let grads = vec![0.0; 8];
    let mut bwd = |unique: Vec<u32>, starts: Vec<u32>, positions: Vec<u32>, kind| {
        let plan = GradientPlan { unique: &unique, starts: &starts, positions: &positions, scales: None };
        let found = backward_step(&cpu, &mut table, &plan, &[mat(&grads, 2, 4, 4, 0)], &step(kind, 1));
        assert!(matches!(found, Ok(()) | Err(Error::Shape { op: "embedding_step", .. })));
        found.is_ok()
    };
    assert!(bwd(vec![0, 2], vec![0, 1, 2], vec![1, 0], OptimizerKind::Sgd));
    assert!(!bwd(vec![0, 3], vec![0, 1, 2], vec![1, 0], OptimizerKind::Sgd), "a row that is none");
    assert!(!bwd(vec![2, 0], vec![0, 1, 2], vec![1, 0], OptimizerKind::Sgd), "rows out of order");
    assert!(!bwd(vec![1, 1], vec![0, 1, 2], vec![1, 0], OptimizerKind::Sgd), "a row twice");
    assert!(!bwd(vec![0, 2], vec![0, 1, 3], vec![1, 0], OptimizerKind::Sgd), "starts beyond the positions");
    assert!(!bwd(vec![0, 2], vec![0, 0, 2], vec![1, 0], OptimizerKind::Sgd), "a row without positions");
    assert!(!bwd(vec![0, 2], vec![1, 2, 2], vec![1, 0], OptimizerKind::Sgd), "a position without a row");
    assert!(!bwd(vec![0], vec![0, 1], vec![1, 0], OptimizerKind::Sgd), "a position after the last row's");
    assert!(!bwd(vec![0, 2], vec![0, 1, 2], vec![1, 2], OptimizerKind::Sgd), "a gradient row that is none");
    assert!(!bwd(vec![0, 2], vec![0, 1, 2], vec![1, 0], OptimizerKind::Adam), "no states");
}
