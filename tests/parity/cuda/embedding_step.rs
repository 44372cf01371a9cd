//! The step of the touched rows.

use half::{bf16, f16};

use super::embedding::{to_device, to_host};
use super::*;
use crate::Error;
use crate::backend::cpu::parity::embedding::{DTYPES, Sorted, plan, skewed_ids, table, values, with_states};
use crate::backend::cpu::parity::optim::{KINDS, step};
use crate::backend::single::{Rules, TableStep};
use crate::backend::{Backend, EmbeddingTable, Mat, OptimizerStep, TableData};
use crate::config::{Dtype, OptimizerKind};

/// Gradients as a backend gets them: some matrices inside wider buffers, all `dim` wide.
pub(super) struct Grads {
    /// Values, rows, stride, column.
    parts: Vec<(Vec<f32>, usize, usize, usize)>,
}

impl Grads {
    pub(super) fn dense(values: &[f32], dim: usize) -> Grads {
        Grads { parts: vec![(values.to_vec(), values.len() / dim, dim, 0)] }
    }
}

pub(super) fn step_on<B: Backend>(
    on: &B,
    table: &mut EmbeddingTable<B>,
    sorted: &Sorted,
    scaled: bool,
    grads: &Grads,
    step: &OptimizerStep,
) -> crate::Result<()> {
    let scales = if scaled { &sorted.scales[..] } else { &[] };
    let plan = TableStep::new(on, &sorted.unique, &sorted.starts, &sorted.positions, scales).expect("fits");
    let bufs: Vec<B::Buf<f32>> = grads.parts.iter().map(|(x, ..)| on.upload(x.clone()).expect("fits")).collect();
    let view = |(buf, &(_, rows, stride, col)): (_, &(_, usize, usize, usize))| Mat {
        buf,
        rows,
        cols: table.dim,
        stride,
        col,
    };
    let views: Vec<Mat<'_, B>> = bufs.iter().zip(&grads.parts).map(view).collect();
    plan.step(on, table, views, &Rules::new(on, step)?)?;
    let mut none = [];
    on.read::<u32>(&mut none, &plan.unique, 0)?;
    // What kernels refused is an error of the next read.
    on.read(&mut [0; 1][..usize::from(!sorted.unique.is_empty())], &plan.unique, 0)
}

fn table_bits(table: &EmbeddingTable<Cpu>) -> [Vec<u32>; 3] {
    let states = [&table.state1, &table.state2].map(|x| bits(x.as_deref().unwrap_or_default()));
    let [a, b] = states;
    [bits(&values(table)), a, b]
}

/// Whether a table's two ways through a step may differ: row-wise Adagrad sums a row's squares in another order.
fn same_order(kind: OptimizerKind) -> bool {
    fused() && kind != OptimizerKind::RowwiseAdagrad
}

#[test]
fn row_steps_are_the_cpus_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let shapes = [(0, 4), (1, 4), (33, 12), (260, 64), (200, 20), (90, 100), (64, 1), (100, 7), (70, 128), (40, 260)];
    for (n, kind) in KINDS.into_iter().enumerate() {
        for (lookups, dim) in shapes.into_iter().chain([(65, 1024), (65, 33), (40, 515)]) {
            let mut random = Random((lookups + n) as u64);
            let v = 60;
            let mut expected = with_states(table(&random.vec(v * dim, 1.0), v, dim, Dtype::Fp32), kind);
            let mut found = to_device(&cuda, &expected);
            // Three lists of gradients, two inside wider matrices; the second time none is aligned.
            for number in 1..3u64 {
                let ids = skewed_ids(&mut random, lookups, v);
                let rows: Vec<u32> = (0..lookups).map(|_| random.below(lookups) as u32).collect();
                let sorted = plan(&ids, &rows, &random.vec(lookups, 1.0));
                let (stride, col) = if number == 1 { (dim.next_multiple_of(4) + 4, 4) } else { (dim + 3, 1) };
                let (first, second) = (lookups / 3, lookups / 4);
                let mut part =
                    |rows, stride, col| (framed(&random.vec(rows * dim, 1.0), dim, stride, col), rows, stride, col);
                let last = lookups - first - second;
                let parts = vec![part(first, dim, 0), part(second, stride, col), part(last, stride, col)];
                let grads = Grads { parts };
                let s = step(kind, number);
                step_on(&cpu(), &mut expected, &sorted, number == 1, &grads, &s).expect("fits");
                step_on(&cuda, &mut found, &sorted, number == 1, &grads, &s).expect("fits");
            }
            let found = to_host(&cuda, &found);
            let name = format!("{kind:?} {lookups} lookups, {dim} wide");
            ELEMENTWISE.check(&format!("{name}: w"), &values(&found), &wide(&values(&expected)));
            for (state, found, expected) in [(1, &found.state1, &expected.state1), (2, &found.state2, &expected.state2)]
            {
                let wide = wide(expected.as_deref().unwrap_or_default());
                ELEMENTWISE.check(&format!("{name}: state {state}"), found.as_deref().unwrap_or_default(), &wide);
            }
            if same_order(kind) {
                assert!(table_bits(&found) == table_bits(&expected), "{name}: the same order of adding");
            }
        }
    }
}

#[test]
fn sums_run_over_chunks_of_32_positions_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    // Values far apart: a sum depends on its order. One run over 17 chunks, and others around it.
    let mut random = Random(8);
    for dim in [5, 8] {
        let ids: Vec<u32> = [vec![0; 13], vec![1; 520], vec![2; 32], vec![3; 19], vec![4; 64]].concat();
        let rows: Vec<u32> = (0..ids.len() as u32).collect();
        let big = |random: &mut Random| random.value() * [1.0, 1e4, 1e7][random.below(3)];
        let grads: Vec<f32> = (0..ids.len() * dim).map(|_| big(&mut random)).collect();
        let sorted = plan(&ids, &rows, &vec![1.0; ids.len()]);
        let s = OptimizerStep { lr: 1.0, weight_decay: 0.0, grad_scale: 1.0, ..step(OptimizerKind::Sgd, 1) };
        let mut expected = table(&vec![0.0; 5 * dim], 5, dim, Dtype::Fp32);
        let mut found = to_device(&cuda, &expected);
        let grads = Grads::dense(&grads, dim);
        step_on(&cpu(), &mut expected, &sorted, false, &grads, &s).expect("fits");
        step_on(&cuda, &mut found, &sorted, false, &grads, &s).expect("fits");
        assert_eq!(values(&to_host(&cuda, &found)), values(&expected), "{dim} wide");
    }
}

#[test]
fn narrow_tables_round_to_the_cpus_bits_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for dim in [33, 36] {
        let rows = 70;
        for dtype in [Dtype::Bf16, Dtype::Fp16] {
            // From the largest finite values down to subnormal ones and zero; products by 1 are exact on every host.
            let mut random = Random(2);
            let start: Vec<f32> = (0..rows * dim)
                .map(|i| random.value() * f32::powi(10.0, [-9, -7, -6, -5, -3, 0, 3, 5, 38][i % 9]))
                .map(|x| if dtype == Dtype::Fp16 { x.clamp(-65504.0, 65504.0) } else { x })
                .collect();
            let mut grads: Vec<f32> = start.iter().map(|x| x * (random.value() * 0.01)).collect();
            // Beyond the largest finite value, infinite, and not a number.
            grads[8] = -1e5;
            grads[17] = f32::INFINITY;
            grads[26] = f32::NAN;
            let ids: Vec<u32> = (0..rows as u32).collect();
            let sorted = plan(&ids, &ids, &vec![1.0; rows]);
            let s = OptimizerStep { lr: 1.0, weight_decay: 0.0, grad_scale: 1.0, ..step(OptimizerKind::Sgd, 9) };
            let mut expected = table(&start, rows, dim, dtype);
            let mut found = to_device(&cuda, &expected);
            let grads = Grads::dense(&grads, dim);
            step_on(&cpu(), &mut expected, &sorted, false, &grads, &s).expect("fits");
            step_on(&cuda, &mut found, &sorted, false, &grads, &s).expect("fits");
            let stored = |table: &EmbeddingTable<Cpu>| -> Vec<u16> {
                match &table.data {
                    TableData::F32(_) => panic!("a narrow table"),
                    TableData::Bf16(x) => x.iter().map(|x: &bf16| x.to_bits()).collect(),
                    TableData::F16(x) => x.iter().map(|x: &f16| x.to_bits()).collect(),
                }
            };
            let (found, expected) = (stored(&to_host(&cuda, &found)), stored(&expected));
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                // A NaN's mantissa is the processor's own.
                let nan = |x: u16| {
                    if dtype == Dtype::Bf16 { bf16::from_bits(x).is_nan() } else { f16::from_bits(x).is_nan() }
                };
                let same = found == expected || (nan(*found) && nan(*expected));
                assert!(same, "{dtype:?} {dim} wide, value {i}: {found:#x}, expected {expected:#x}");
            }
        }
    }
}

#[test]
fn narrow_tables_step_like_the_cpus_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let (v, dim, lookups) = (40, 24, 150);
    for dtype in [Dtype::Bf16, Dtype::Fp16] {
        for kind in KINDS {
            let mut random = Random(6);
            let mut expected = with_states(table(&random.vec(v * dim, 1.0), v, dim, dtype), kind);
            let mut found = to_device(&cuda, &expected);
            let ids = skewed_ids(&mut random, lookups, v);
            let rows: Vec<u32> = (0..lookups as u32).collect();
            let sorted = plan(&ids, &rows, &random.vec(lookups, 1.0));
            let grads = Grads::dense(&random.vec(lookups * dim, 1.0), dim);
            step_on(&cpu(), &mut expected, &sorted, true, &grads, &step(kind, 2)).expect("fits");
            step_on(&cuda, &mut found, &sorted, true, &grads, &step(kind, 2)).expect("fits");
            let found = to_host(&cuda, &found);
            // A last bit of fp32 may turn a rounding: one step of the narrow type.
            let one = Tolerance { relative: 1.0 / 128.0, of_largest: 0.0, absolute: 1e-6 };
            one.check(&format!("{dtype:?} {kind:?}"), &values(&found), &wide(&values(&expected)));
            if same_order(kind) {
                assert!(table_bits(&found) == table_bits(&expected), "{dtype:?} {kind:?}");
            }
        }
    }
}

#[test]
fn bad_gradients_show_and_stay_in_their_row_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for dtype in DTYPES {
        for kind in KINDS {
            for (bad, dim) in [(f32::NAN, 20), (f32::INFINITY, 20), (f32::NAN, 19)] {
                let mut found = to_device(&cuda, &with_states(table(&vec![0.5; 4 * dim], 4, dim, dtype), kind));
                let mut grads = vec![0.1; 3 * dim];
                grads[dim + 17] = bad;
                let sorted = plan(&[1, 2, 3], &[0, 1, 2], &[1.0; 3]);
                step_on(&cuda, &mut found, &sorted, false, &Grads::dense(&grads, dim), &step(kind, 2)).expect("fits");
                let found = values(&to_host(&cuda, &found));
                assert!(!found[2 * dim + 17].is_finite(), "{dtype:?} {kind:?}: {bad}");
                let mut others = found[..2 * dim].iter().chain(&found[3 * dim..]);
                assert!(others.all(|x| x.is_finite()), "{dtype:?} {kind:?}: {bad}");
                assert!(found[..dim].iter().all(|&x| x == 0.5), "row 0 was not named");
            }
        }
    }
}

#[test]
fn same_bits_twice_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let (v, dim, lookups) = (300, 20, 700);
    let mut random = Random(4);
    let start = random.vec(v * dim, 1.0);
    let ids = skewed_ids(&mut random, lookups, v);
    let rows: Vec<u32> = (0..lookups as u32).collect();
    let grads = Grads::dense(&random.vec(lookups * dim, 1.0), dim);
    let sorted = plan(&ids, &rows, &random.vec(lookups, 1.0));
    for dtype in DTYPES {
        for kind in KINDS {
            let run = || {
                let mut found = to_device(&cuda, &with_states(table(&start, v, dim, dtype), kind));
                step_on(&cuda, &mut found, &sorted, true, &grads, &step(kind, 1)).expect("fits");
                table_bits(&to_host(&cuda, &found))
            };
            assert!(run() == run(), "{dtype:?} {kind:?}");
        }
    }
}

#[test]
fn refuses_plans_that_do_not_fit_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for dim in [4, 3] {
        let grads = Grads::dense(&vec![1.0; 2 * dim], dim);
        let refused = |unique: &[u32], starts: &[u32], positions: &[u32], kind| {
            let mut table = to_device(&cuda, &table(&vec![0.5; 3 * dim], 3, dim, Dtype::Fp32));
            let (unique, starts, positions) = (unique.to_vec(), starts.to_vec(), positions.to_vec());
            let scales = vec![1.0; positions.len()];
            let sorted = Sorted { unique, starts, positions, scales };
            let found = step_on(&cuda, &mut table, &sorted, false, &grads, &step(kind, 1));
            assert!(matches!(found, Ok(()) | Err(Error::Shape { op: "embedding_step", .. })), "{found:?}");
            found.is_err()
        };
        let sgd = OptimizerKind::Sgd;
        assert!(!refused(&[0, 2], &[0, 1, 2], &[1, 0], sgd));
        assert!(refused(&[0, 3], &[0, 1, 2], &[1, 0], sgd), "a row that is none");
        assert!(refused(&[2, 0], &[0, 1, 2], &[1, 0], sgd), "rows out of order");
        assert!(refused(&[1, 1], &[0, 1, 2], &[1, 0], sgd), "a row twice");
        assert!(refused(&[0, 2], &[0, 1, 3], &[1, 0], sgd), "starts beyond the positions");
        assert!(refused(&[0, 2], &[0, 0, 2], &[1, 0], sgd), "a row without positions");
        assert!(refused(&[0, 2], &[1, 1, 2], &[1, 0], sgd), "a position without a row");
        assert!(refused(&[0], &[0, 1], &[1, 0], sgd), "a position after the last row's");
        assert!(refused(&[0, 2], &[0, 1, 2], &[1, 2], sgd), "a gradient row that is none");
        assert!(refused(&[0, 2], &[0, 1, 2], &[1, 0], OptimizerKind::Adam), "no states");
    }
}

#[test]
fn refuses_more_than_the_kernels_take_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for (dim, parts, ok) in [(1024, 8, true), (1025, 1, false), (4, 40, true)] {
        let mut table = to_device(&cuda, &table(&vec![0.5; 2 * dim], 2, dim, Dtype::Fp32));
        let grads = Grads { parts: (0..parts).map(|_| (vec![1.0; dim], 1, dim, 0)).collect() };
        // The last matrix's row.
        let sorted = plan(&[1], &[parts as u32 - 1], &[1.0]);
        let found = step_on(&cuda, &mut table, &sorted, false, &grads, &step(OptimizerKind::Sgd, 1));
        assert_eq!(found.is_ok(), ok, "{dim} wide, {parts} gradients: {found:?}");
        assert!(ok || matches!(found, Err(Error::Shape { op: "embedding_step", .. })));
    }
}
