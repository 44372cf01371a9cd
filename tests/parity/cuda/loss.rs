//! The in-batch softmax.

use super::naive::loss::{Gradients, Loss};
use super::*;
use crate::backend::{Backend, Masked, SoftmaxGrads, SoftmaxLoss};
use crate::{Error, Result};

/// A problem in the backend's terms, on the host.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) users: Vec<f32>,
    pub(super) candidates: Vec<f32>,
    pub(super) log_scale: f32,
    pub(super) bias: Option<Vec<f32>>,
    pub(super) ids: Option<Vec<u32>>,
    pub(super) positives: Option<Vec<u32>>,
    masked: Option<(Vec<u32>, Vec<u32>)>,
    weights: Option<Vec<f32>>,
    corrected: Option<Vec<f32>>,
    rows: usize,
    columns: usize,
    dim: usize,
}

/// Loss and derivative by log_scale, dU, dV.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LossOutputs {
    pub(super) stats: Vec<f32>,
    pub(super) users: Vec<f32>,
    pub(super) candidates: Vec<f32>,
}

impl LossOutputs {
    pub(super) fn bits(&self) -> Vec<u32> {
        [&self.stats, &self.users, &self.candidates].into_iter().flatten().map(|x| x.to_bits()).collect()
    }

    fn is_zero(&self) -> bool {
        [&self.stats, &self.users, &self.candidates].into_iter().flatten().all(|&x| x == 0.0)
    }
}

impl Case {
    /// No options.
    pub(super) fn plain(rows: usize, columns: usize, dim: usize, seed: u64) -> Case {
        let mut random = Random(seed);
        let size = 1.5 / (dim as f32).sqrt();
        Case {
            users: random.vec(rows * dim, size),
            candidates: random.vec(columns * dim, size),
            log_scale: 1.2,
            bias: None,
            ids: None,
            positives: None,
            masked: None,
            weights: None,
            corrected: None,
            rows,
            columns,
            dim,
        }
    }

    /// Every option, or what `options` has a bit for: 1 ids, 2 masked columns, 4 the corrected form, 8 bias,
    /// 16 weights.
    pub(super) fn with(rows: usize, columns: usize, dim: usize, seed: u64, options: u32) -> Case {
        let mut random = Random(seed ^ 0x5eed);
        let mut case = Case::plain(rows, columns, dim, seed);
        let positives: Vec<u32> = (0..rows).map(|_| random.below(columns) as u32).collect();
        let set = |bit| options & bit != 0;
        case.ids = set(1).then(|| (0..columns).map(|_| random.below(columns / 2 + 1) as u32).collect());
        case.masked = set(2).then(|| {
            let (mut offsets, mut masked) = (vec![0], Vec::new());
            for &positive in &positives {
                masked.extend((0..columns as u32).filter(|&c| c != positive && random.below(9) == 0));
                offsets.push(masked.len() as u32);
            }
            (offsets, masked)
        });
        case.corrected = set(4).then(|| (0..rows).map(|_| -random.value().abs()).collect());
        case.bias = set(8).then(|| random.vec(columns, 4.0));
        case.weights = set(16).then(|| (0..rows).map(|_| random.value().abs().max(0.2) - 0.2).collect());
        case.positives = Some(positives);
        case
    }

    pub(super) fn run<B: Backend>(&self, backend: &B) -> Result<LossOutputs> {
        // Results are overwritten, whatever was there.
        let poison = |n| backend.upload(vec![f32::NAN; n]);
        let (mut users, mut candidates) = (poison(self.users.len())?, poison(self.candidates.len())?);
        let mut stats = poison(2)?;
        let floats = |x: &Option<Vec<f32>>| x.clone().map(|x| backend.upload(x)).transpose();
        let words = |x: &Option<Vec<u32>>| x.clone().map(|x| backend.upload(x)).transpose();
        let (bias, weights, corrected) = (floats(&self.bias)?, floats(&self.weights)?, floats(&self.corrected)?);
        let (ids, positives) = (words(&self.ids)?, words(&self.positives)?);
        let masked = match &self.masked {
            Some((offsets, columns)) => Some((backend.upload(offsets.clone())?, backend.upload(columns.clone())?)),
            None => None,
        };
        backend.softmax_loss(
            SoftmaxGrads { users: &mut users, candidates: &mut candidates, stats: &mut stats },
            &SoftmaxLoss {
                users: &backend.upload(self.users.clone())?,
                candidates: &backend.upload(self.candidates.clone())?,
                log_scale: &backend.upload(vec![self.log_scale])?,
                bias: bias.as_ref(),
                ids: ids.as_ref(),
                positives: positives.as_ref(),
                masked: masked.as_ref().map(|(offsets, columns)| Masked { offsets, columns }),
                weights: weights.as_ref(),
                corrected: corrected.as_ref(),
                rows: self.rows,
                columns: self.columns,
                dim: self.dim,
            },
        )?;
        let mut found = LossOutputs {
            stats: vec![0.0; 2],
            users: vec![0.0; self.users.len()],
            candidates: vec![0.0; self.candidates.len()],
        };
        backend.read(&mut found.stats, &stats, 0)?;
        backend.read(&mut found.users, &users, 0)?;
        backend.read(&mut found.candidates, &candidates, 0)?;
        Ok(found)
    }

    /// In f64, from what the products take of the embeddings.
    fn oracle(&self, precision: Precision) -> Gradients {
        let seen = |x: &[f32]| match precision {
            Precision::Bf16 => x.iter().map(|&x| half::bf16::from_f32(x).to_f64()).collect(),
            Precision::Fp32 => wide(x),
        };
        let masked = (0..self.rows).map(|i| match &self.masked {
            None => vec![],
            Some((o, c)) => c[o[i] as usize..o[i + 1] as usize].iter().map(|&c| c as usize).collect(),
        });
        let loss = Loss {
            users: seen(&self.users),
            candidates: seen(&self.candidates),
            log_scale: f64::from(self.log_scale),
            bias: self.bias.as_ref().map_or(vec![0.0; self.columns], |b| wide(b)),
            ids: self.ids.clone(),
            positives: (0..self.rows).map(|i| self.positives.as_ref().map_or(i, |p| p[i] as usize)).collect(),
            masked: masked.collect(),
            weights: self.weights.as_ref().map_or(vec![1.0; self.rows], |w| wide(w)),
            corrected: self.corrected.as_ref().map(|c| wide(c)),
            dim: self.dim,
        };
        loss.gradients()
    }

    pub(super) fn check(&self, cuda: &Cuda, name: &str) -> LossOutputs {
        let precision = cuda.precision();
        let name = format!("{name} {precision:?} {}x{}x{}", self.rows, self.columns, self.dim);
        let found = self.run(cuda).expect("the shapes fit");
        let expected = self.oracle(precision);
        loss_value(precision).check(&format!("{name}: loss"), &found.stats[..1], &[expected.loss]);
        let norm = loss_gradient(precision);
        near_in_norm(&format!("{name}: users"), &found.users, &expected.users, norm);
        near_in_norm(&format!("{name}: candidates"), &found.candidates, &expected.candidates, norm);
        // A sum of B D terms of either sign: its error grows with theirs.
        let terms: f64 = expected.users.iter().zip(&self.users).map(|(a, b)| (a * f64::from(*b)).abs()).sum();
        let error = (f64::from(found.stats[1]) - expected.log_scale).abs();
        let name = format!("{name}: log_scale {} for {}", found.stats[1], expected.log_scale);
        assert!(error <= norm * terms + 1e-6, "{name}");
        found
    }
}

/// `||found - expected|| <= tolerance ||expected||`, and no value is off by more than a hundredth of the largest.
pub(super) fn near_in_norm(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let square = |sum: f64, x: f64| x.mul_add(x, sum);
    let size = expected.iter().copied().fold(0.0, square).sqrt();
    let error = found.iter().zip(expected).map(|(&a, &b)| f64::from(a) - b).fold(0.0, square).sqrt();
    assert!(error <= tolerance * size + 1e-7, "{what}: {error:e} off, of {size:e}");
    let largest = Tolerance { relative: 0.0, of_largest: 10.0 * tolerance, absolute: 1e-7 };
    largest.check(what, found, expected);
}

const PRECISIONS: [Precision; 2] = [Precision::Bf16, Precision::Fp32];

#[test]
fn softmax_matches_on_ragged_shapes_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for (n, &rows) in [1, 2, 31, 33, 129].iter().enumerate() {
            for (m, &columns) in [1, 33, 64, 131].iter().enumerate() {
                let dim = [4, 12, 64, 100, 7, 1, 33, 32, 3, 65][(n * 3 + m) % 10];
                let case = Case::with(rows, columns, dim, (n * 10 + m) as u64, (n * 7 + m * 5) as u32 % 32);
                case.check(&cuda, "ragged");
            }
        }
        Case::plain(70, 70, 64, 1).check(&cuda, "plain");
        Case::plain(33, 90, 128, 2).check(&cuda, "plain, more candidates");
    }
}

#[test]
fn softmax_matches_for_wide_embeddings_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for (n, dim) in [129, 192, 256, 300, 512, 640, 1000, 1024].into_iter().enumerate() {
            let (rows, columns) = [(1, 1), (33, 20), (20, 49), (17, 16)][n % 4];
            Case::with(rows, columns, dim, n as u64, (n * 11 + 3) as u32 % 32).check(&cuda, "wide");
        }
        Case::with(140, 150, 256, 7, 31).check(&cuda, "wide, several blocks");
    }
}

#[test]
fn softmax_matches_with_every_set_of_options_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for options in 0..32 {
            let name = format!("options {options:05b}");
            Case::with(37, 70, 16, u64::from(options), options).check(&cuda, &name);
            if options < 8 {
                Case::with(18, 35, 130, u64::from(options), options).check(&cuda, &name);
            }
        }
    }
}

#[test]
fn softmax_matches_when_columns_are_shared_between_blocks_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        Case::with(40, 1100, 8, 1, 31).check(&cuda, "users' blocks");
        Case::with(1100, 40, 8, 2, 31).check(&cuda, "candidates' blocks");
        Case::with(20, 1041, 132, 3, 15).check(&cuda, "wide");
    }
}

#[test]
fn softmax_matches_where_the_maximum_moves_from_tile_to_tile_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for up in [1.0, -1.0] {
            for dim in [8, 136] {
                let mut case = Case::plain(20, 300, dim, 9);
                case.bias = Some((0..300).map(|c| c as f32 * up * 0.1).collect());
                case.check(&cuda, "rising or falling");
            }
        }
    }
}

#[test]
fn softmax_over_a_whole_catalogue_repeats_positives_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        let mut case = Case::with(96, 200, 24, 4, 0);
        case.positives = Some((0..96).map(|i| [7, 199, i % 5][i as usize % 3]).collect());
        case.check(&cuda, "catalogue");
    }
}

#[test]
fn softmax_keeps_the_digits_of_small_losses_cuda() {
    // Late in training p is close to 1: gradients are made of 1 - p, not of 1 and p.
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for dim in [16, 144] {
            let mut case = Case::plain(50, 60, dim, 12);
            case.users = case.candidates[..50 * dim].to_vec();
            case.log_scale = 2.9;
            let found = case.check(&cuda, "small losses");
            assert!(found.stats[0] > 0.0 && found.stats[0] < 0.5, "{}", found.stats[0]);
        }
    }
}

#[test]
fn softmax_of_one_row_or_of_equal_ids_costs_nothing_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for dim in [8, 140] {
            assert!(Case::plain(1, 1, dim, 3).run(&cuda).expect("runs").is_zero());
            for corrected in [None, Some(vec![-0.5; 40])] {
                let mut case = Case::plain(40, 40, dim, 3);
                (case.ids, case.corrected) = (Some(vec![u32::MAX; 40]), corrected);
                let found = case.run(&cuda).expect("runs");
                assert!(found.is_zero(), "{dim}: {:?}", found.stats);
            }
        }
    }
}

#[test]
fn softmax_without_rows_or_weight_costs_nothing_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for dim in [8, 140] {
        let mut case = Case::plain(20, 20, dim, 3);
        case.weights = Some(vec![0.0; 20]);
        // Not even NaN counts without weight.
        case.users[5] = f32::NAN;
        assert!(case.run(&cuda).expect("runs").is_zero());
        assert!(Case::plain(0, 5, dim, 3).run(&cuda).expect("runs").is_zero());
        assert!(Case::plain(0, 0, dim, 3).run(&cuda).expect("runs").is_zero());
    }
}

#[test]
fn softmax_of_extreme_scores_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        // Logits of 1e4: p is 0 or 1, nothing overflows.
        let mut case = Case::with(60, 70, 16, 5, 27);
        case.log_scale = 9.5;
        let expected = case.oracle(precision);
        let found = case.run(&cuda).expect("runs");
        let rough = Tolerance { relative: 1e-3, of_largest: 0.0, absolute: 0.0 };
        rough.check("loss", &found.stats[..1], &[expected.loss]);
        // Scores of 1e4 are rounded to 1e-3, or 1e-1 where products are split: so are the differences that p is made of.
        near_in_norm("users", &found.users, &expected.users, 0.05);
        near_in_norm("candidates", &found.candidates, &expected.candidates, 0.05);

        // An infinite bias on a column that is not a positive counts as masked.
        let mut masked = Case::plain(3, 10, 4, 6);
        let mut bias = vec![0.0; 10];
        (bias[5], bias[7]) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        masked.bias = Some(bias);
        let mut listed = masked.clone();
        listed.bias = None;
        listed.masked = Some((vec![0, 2, 4, 6], vec![5, 7, 5, 7, 5, 7]));
        assert_eq!(masked.run(&cuda).expect("runs"), listed.run(&cuda).expect("runs"));
        // A masked column may hold anything.
        let mut masked = listed.clone();
        masked.candidates[5 * 4 + 1] = f32::INFINITY;
        let found = masked.run(&cuda).expect("runs");
        assert_eq!(found.stats[0].to_bits(), listed.run(&cuda).expect("runs").stats[0].to_bits());
    }
}

#[test]
fn nan_and_infinity_reach_the_loss_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        let reaches = |what: &str, case: &Case| {
            let loss = case.run(&cuda).expect("runs").stats[0];
            assert!(!loss.is_finite(), "{precision:?}: {what}: {loss}");
        };
        for bad in [f32::NAN, f32::INFINITY] {
            for (dim, place) in [(16, 0), (16, 5 * 16 + 15), (16, 49 * 16 + 3), (150, 40 * 150 + 149)] {
                let mut case = Case::plain(50, 60, dim, 4);
                case.users[place] = bad;
                reaches("users", &case);
                let mut case = Case::plain(50, 60, dim, 4);
                case.candidates[place] = bad;
                reaches("candidates", &case);
            }
            let mut case = Case::plain(50, 60, 16, 4);
            case.log_scale = bad;
            reaches("log_scale", &case);
        }
        // The whole first tiles are masked but for one NaN.
        let mut case = Case::plain(1, 500, 4, 4);
        let mut bias = vec![f32::NEG_INFINITY; 500];
        (bias[17], bias[450]) = (f32::NAN, 0.0);
        (case.bias, case.positives) = (Some(bias), Some(vec![450]));
        reaches("bias", &case);
    }
}

#[test]
fn softmax_gives_the_same_bits_twice_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for (rows, columns, dim) in [(140, 600, 16), (30, 70, 200)] {
            let case = Case::with(rows, columns, dim, 11, 31);
            let first = case.run(&cuda).expect("runs").bits();
            assert!(first == case.run(&cuda).expect("runs").bits(), "{precision:?} {rows} x {columns}");
        }
    }
}

#[test]
fn softmax_refuses_what_does_not_fit_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let refused = |change: &dyn Fn(&mut Case)| {
        let mut case = Case::plain(5, 6, 4, 2);
        change(&mut case);
        matches!(case.run(&cuda), Err(Error::Shape { op: "softmax_loss", .. }))
    };
    assert!(refused(&|c| c.rows = 7), "more rows than columns");
    assert!(refused(&|c| c.ids = Some(vec![1; 5])), "too few ids");
    assert!(refused(&|c| c.weights = Some(vec![1.0; 4])), "too few weights");
    assert!(refused(&|c| c.users.truncate(19)), "too few values");
    assert!(refused(&|c| *c = Case::plain(2, 2, 1025, 1)), "too wide");
    // Found on the device, told at the next read.
    assert!(refused(&|c| c.positives = Some(vec![0, 1, 2, 3, 6])), "a positive that is no column");
    assert!(refused(&|c| c.masked = Some((vec![0, 1, 1, 1, 1, 1], vec![6]))), "a masked column that is none");
    assert!(refused(&|c| c.masked = Some((vec![0, 1, 1, 1, 1, 1], vec![0]))), "a masked positive");
    assert!(refused(&|c| c.masked = Some((vec![0, 1, 1, 1, 1, 9], vec![3]))), "offsets beyond the list");
    Case::plain(5, 6, 4, 2).check(&cuda, "after refusals");
}
