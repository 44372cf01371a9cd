//! The softmax kernels for sm_90a against those for sm_80 and the f64 oracle, on a device that runs both.

use super::super::architecture::Architecture;
use super::super::loss::shape::{floor_bytes, floor_flops};
use super::super::loss::sm90a::shape::{FEW_ROWS_HERE, WarpgroupTiling, finish_floor_bytes};
use super::budget::counted;
use super::loss::{Case, LossOutputs, near_in_norm};
use super::*;

/// The device with the kernels for sm_80 and with those for sm_90a; none where it does not run the latter.
fn both(precision: Precision) -> Option<[Cuda; 2]> {
    let device = device(precision)?;
    let capability = device.info().compute_capability;
    if capability != 90 {
        println!("skipped: compute capability {capability}, and these kernels need 9.0");
        return None;
    }
    let with = |kernels| Cuda::with_kernels(0, precision, kernels).expect("the device runs both");
    Some([with(Architecture::Sm80), with(Architecture::Sm90a)])
}

/// Either within tolerance of the oracle, and of each other.
fn compare([old, new]: &[Cuda; 2], case: &Case, name: &str) -> LossOutputs {
    let (expected, found) = (case.check(old, &format!("{name}, sm_80")), case.check(new, &format!("{name}, sm_90a")));
    let tolerance = loss_gradient(Precision::Bf16);
    for (what, found, expected) in
        [("users", &found.users, &expected.users), ("candidates", &found.candidates, &expected.candidates)]
    {
        near_in_norm(&format!("{name}: {what}, sm_90a for sm_80"), found, &wide(expected), tolerance);
    }
    loss_value(Precision::Bf16).check(name, &found.stats[..1], &wide(&expected.stats[..1]));
    found
}

/// What `Case::with` takes: everything, and everything but lists of masked columns, which large blocks leave to small ones.
const ALL: u32 = 31;
const NO_LISTS: u32 = 31 - 2;

#[test]
fn softmax_for_sm90a_matches_on_ragged_shapes_cuda() {
    let Some(devices) = both(Precision::Bf16) else { return };
    let sizes = [1, 7, 64, 65, 129, 300];
    for (n, &rows) in sizes.iter().enumerate() {
        for (m, &columns) in sizes.iter().enumerate().skip(n) {
            let dim = [8, 50, 64, 100, 128][(n + m * 2) % 5];
            compare(&devices, &Case::plain(rows, columns, dim, (n * 10 + m) as u64), "plain");
            let options = [ALL, 1, 2, 8, 4 | 1, 4 | 2, 16 | 8, 4][(n + m * 3) % 8];
            compare(&devices, &Case::with(rows, columns, dim, (n * 10 + m) as u64, options), "options");
        }
    }
}

#[test]
fn softmax_for_sm90a_matches_at_every_width_cuda() {
    let Some(devices) = both(Precision::Bf16) else { return };
    for dim in [1, 3, 8, 50, 63, 64, 65, 100, 127, 128] {
        compare(&devices, &Case::with(70, 140, dim, dim as u64, ALL), "every width");
    }
}

#[test]
fn softmax_for_sm90a_matches_when_columns_are_shared_between_blocks_cuda() {
    let Some(devices) = both(Precision::Bf16) else { return };
    compare(&devices, &Case::with(40, 1100, 8, 1, ALL), "users' blocks");
    compare(&devices, &Case::with(1100, 1100, 8, 2, 1), "candidates' blocks");
    compare(&devices, &Case::with(30, 700, 128, 3, ALL), "wide");
}

#[test]
fn softmax_for_sm90a_matches_in_large_blocks_cuda() {
    let Some(devices) = both(Precision::Bf16) else { return };
    compare(&devices, &Case::with(33, 4200, 16, 4, NO_LISTS), "more candidates than small blocks are for");
    FEW_ROWS_HERE.set(0);
    for (rows, columns, dim) in [(1, 1, 8), (65, 129, 64), (200, 300, 50), (400, 800, 33)] {
        compare(&devices, &Case::with(rows, columns, dim, 5, NO_LISTS), "large blocks");
        compare(&devices, &Case::plain(rows, columns, dim, 6), "large blocks");
    }
    let mut case = Case::with(200, 300, 64, 7, NO_LISTS);
    case.log_scale = 5.0;
    compare(&devices, &case, "large blocks, the running maximum");
}

#[test]
fn softmax_for_sm90a_masks_sorted_and_mixed_ids_cuda() {
    let Some(devices) = both(Precision::Bf16) else { return };
    for repeats in [1, 3, 50, 200] {
        let sorted: Vec<u32> = (0..200).map(|i| u32::MAX - (200 - i) / repeats).collect();
        let mut mixed = sorted.clone();
        let mut random = Random(u64::from(repeats));
        for i in (1..mixed.len()).rev() {
            mixed.swap(i, random.below(i + 1));
        }
        for (name, ids) in [("sorted", sorted), ("mixed", mixed)] {
            let mut case = Case::with(200, 200, 64, 5, 4);
            case.ids = Some(ids.clone());
            compare(&devices, &case, &format!("{name} ids, the corrected form"));
            let mut case = Case::plain(200, 200, 24, 6);
            case.ids = Some(ids);
            compare(&devices, &case, &format!("{name} ids"));
        }
    }
}

#[test]
fn softmax_for_sm90a_takes_the_running_maximum_where_scores_are_not_bounded_cuda() {
    let Some(devices) = both(Precision::Bf16) else { return };
    // Of lengths near 1: the range of scores is about 2 e^log_scale / ln 2, plus the biases' span.
    for (log_scale, span) in [(1.2, 0.0), (3.0, 0.0), (3.6, 10.0), (4.0, 2.0), (4.4, 30.0), (1.2, 65.0), (1.2, 200.0)] {
        for dim in [40, 100] {
            let mut case = Case::plain(90, 150, dim, 7);
            for row in case.users.chunks_mut(dim).chain(case.candidates.chunks_mut(dim)) {
                let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                row.iter_mut().for_each(|x| *x /= length);
            }
            case.log_scale = log_scale;
            let mut bias: Vec<f32> = (0..150).map(|c| (c * 37 % 150) as f32 / 150.0 * span).collect();
            // Counts as masked, and not as a part of the span: no row's positive.
            bias[120] = f32::NEG_INFINITY;
            case.bias = Some(bias);
            compare(&devices, &case, &format!("scale e^{log_scale}, biases over {span}"));
        }
    }
}

#[test]
fn softmax_for_sm90a_takes_positives_that_are_masked_for_others_cuda() {
    let Some(devices) = both(Precision::Bf16) else { return };
    // A bias of -inf masks a column, but not for the row whose positive it is: the corrected form takes its score without.
    for (dim, log_scale) in [(16, 1.2), (16, 4.5), (128, 1.2)] {
        let mut case = Case::with(30, 60, dim, 8, 4);
        let mut bias: Vec<f32> = (0..60).map(|c| (c * 37 % 60) as f32 / 20.0).collect();
        [0, 20, 59].iter().for_each(|&column: &usize| bias[column] = f32::NEG_INFINITY);
        (case.bias, case.log_scale) = (Some(bias), log_scale);
        case.positives = Some((0..30).map(|i| if i % 7 == 0 { [0, 20, 59][i % 3] } else { i as u32 + 25 }).collect());
        let found = compare(&devices, &case, &format!("biases of -inf, scale e^{log_scale}"));
        assert!(found.candidates.iter().all(|x| x.is_finite()), "{dim}, {log_scale}");
    }
}

#[test]
fn softmax_for_sm90a_leaves_to_sm80_what_it_does_not_serve_cuda() {
    let Some([old, new]) = both(Precision::Bf16) else { return };
    let case = Case::with(40, 70, 130, 1, 1);
    assert_eq!(case.run(&old).expect("runs"), case.run(&new).expect("runs"));
    let Some([old, new]) = both(Precision::Fp32) else { return };
    let case = Case::with(40, 70, 16, 1, ALL);
    assert_eq!(case.run(&old).expect("runs"), case.run(&new).expect("runs"));
}

#[test]
fn softmax_for_sm90a_gives_the_same_bits_twice_cuda() {
    let Some([_, new]) = both(Precision::Bf16) else { return };
    for (rows, columns, dim) in [(140, 600, 16), (70, 300, 128)] {
        let case = Case::with(rows, columns, dim, 11, ALL);
        let first = case.run(&new).expect("runs").bits();
        assert!(first == case.run(&new).expect("runs").bits(), "{rows} x {columns}");
    }
}

#[test]
fn softmax_for_sm90a_does_what_it_must_cuda() {
    let Some([_, cuda]) = both(Precision::Bf16) else { return };
    // Whole blocks and tiles; a grid that no other test has.
    for (rows, dim, name) in [(1152, 64, "64_few"), (1152, 128, "128")] {
        let tiling = WarpgroupTiling::new(dim, rows, false);
        let split = tiling.split(rows, rows);
        Case::plain(rows, rows, dim, 5).run(&cuda).expect("the shapes fit");
        for (direction, beside) in [("fwd", finish_floor_bytes(rows, dim)), ("bwd", 0)] {
            let kernel = format!("loss_{direction}_sm90a_{name}");
            let Some(product) = counted(&cuda, &kernel, [split.blocks, split.splits, 1]) else { return };
            let bytes = tiling.tiling_bytes(rows, rows, dim);
            assert!(floor_bytes(rows, rows, dim, Precision::Bf16) <= bytes, "{tiling:?}");
            product.moves(bytes + beside, 1.25);
            product.multiplies(floor_flops(rows, rows, dim, Precision::Bf16));
            // All quads of a warp read the same 64 bytes of a column's values: counted as four passes, where two would do.
            product.conflicts(1.25);
        }
    }
}
