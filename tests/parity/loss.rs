//! The in-batch softmax.

use super::naive::loss::Loss;
use super::*;
use crate::backend::{Masked, Operations, SoftmaxGrads, SoftmaxLoss};
use crate::{Error, Result};

/// A problem in the backend's terms.
#[derive(Clone)]
struct Case {
    users: Vec<f32>,
    candidates: Vec<f32>,
    log_scale: Vec<f32>,
    bias: Option<Vec<f32>>,
    ids: Option<Vec<u32>>,
    positives: Option<Vec<u32>>,
    masked: Option<(Vec<u32>, Vec<u32>)>,
    weights: Option<Vec<f32>>,
    corrected: Option<Vec<f32>>,
    rows: usize,
    columns: usize,
    dim: usize,
}

/// Every instruction set, in fp32 and in bf16.
fn in_both() -> Vec<(String, Cpu)> {
    let fp32 = cpus(1).into_iter().map(|(isa, cpu)| (format!("{isa:?}"), cpu));
    let bf16 = cpus(1).into_iter().map(|(isa, cpu)| (format!("{isa:?} bf16"), cpu.with_bf16()));
    fp32.chain(bf16).collect()
}

/// Loss, derivative by log_scale, dU, dV.
type LossOutputs = (Vec<f32>, Vec<f32>, Vec<f32>);

impl Case {
    /// Every option at random.
    fn random(rows: usize, columns: usize, dim: usize, seed: u64) -> Case {
        let mut random = Random(seed);
        let mut case = Case::plain(rows, columns, dim, seed ^ 1);
        let ids: Vec<u32> = (0..columns).map(|_| random.below(columns / 2 + 1) as u32).collect();
        let positives: Vec<u32> = (0..rows).map(|_| random.below(columns) as u32).collect();
        case.positives = Some(positives.clone());
        case.bias = Some(random.vec(columns, 4.0));
        case.weights = Some((0..rows).map(|_| random.value().abs().max(0.2) - 0.2).collect());
        if random.below(3) > 0 {
            case.ids = Some(ids);
        }
        if random.below(3) > 0 {
            let (mut offsets, mut masked) = (vec![0], Vec::new());
            for &positive in &positives {
                masked.extend((0..columns as u32).filter(|&c| c != positive && random.below(5) == 0));
                offsets.push(masked.len() as u32);
            }
            case.masked = Some((offsets, masked));
        }
        if random.below(2) > 0 {
            case.corrected = Some((0..rows).map(|_| -random.value().abs()).collect());
        }
        case
    }

    /// No options.
    fn plain(rows: usize, columns: usize, dim: usize, seed: u64) -> Case {
        let mut random = Random(seed);
        let size = 1.5 / (dim as f32).sqrt();
        Case {
            users: random.vec(rows * dim, size),
            candidates: random.vec(columns * dim, size),
            log_scale: vec![1.2],
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

    /// The same with users and candidates that bf16 can hold.
    fn rounded(&self) -> Case {
        let round = |x: &[f32]| x.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect();
        Case { users: round(&self.users), candidates: round(&self.candidates), ..self.clone() }
    }

    fn run(&self, cpu: &Cpu) -> Result<LossOutputs> {
        // Results are overwritten, whatever was there.
        let poison = |n| vec![f32::NAN; n];
        let (mut du, mut dv, mut stats) = (poison(self.users.len()), poison(self.candidates.len()), poison(2));
        cpu.softmax_loss(
            SoftmaxGrads { users: &mut du, candidates: &mut dv, stats: &mut stats },
            &SoftmaxLoss {
                users: &self.users,
                candidates: &self.candidates,
                log_scale: &self.log_scale,
                bias: self.bias.as_ref(),
                ids: self.ids.as_ref(),
                positives: self.positives.as_ref(),
                masked: self.masked.as_ref().map(|(offsets, columns)| Masked { offsets, columns }),
                weights: self.weights.as_ref(),
                corrected: self.corrected.as_ref(),
                rows: self.rows,
                columns: self.columns,
                dim: self.dim,
            },
        )?;
        Ok((stats, du, dv))
    }

    fn oracle(&self) -> Loss {
        let masked = (0..self.rows).map(|i| match &self.masked {
            None => vec![],
            Some((o, c)) => c[o[i] as usize..o[i + 1] as usize].iter().map(|&c| c as usize).collect(),
        });
        let positives = (0..self.rows).map(|i| self.positives.as_ref().map_or(i, |p| p[i] as usize));
        Loss {
            users: wide(&self.users),
            candidates: wide(&self.candidates),
            log_scale: f64::from(self.log_scale[0]),
            bias: self.bias.as_ref().map_or(vec![0.0; self.columns], |b| wide(b)),
            ids: self.ids.clone(),
            positives: positives.collect(),
            masked: masked.collect(),
            weights: self.weights.as_ref().map_or(vec![1.0; self.rows], |w| wide(w)),
            corrected: self.corrected.as_ref().map(|c| wide(c)),
            dim: self.dim,
        }
    }

    fn check(&self, name: &str) {
        self.check_fp32(name);
        self.rounded().check_bf16(name);
    }

    fn check_fp32(&self, name: &str) {
        let expected = self.oracle().gradients();
        for (isa, cpu) in cpus(1) {
            let name = format!("{name} {isa:?} {}x{}x{}", self.rows, self.columns, self.dim);
            let (stats, du, dv) = self.run(&cpu).expect("the shapes fit");
            LOSS.check(&format!("{name}: loss"), &stats[..1], &[expected.loss]);
            LOSS_GRADIENT.check(&format!("{name}: users"), &du, &expected.users);
            LOSS_GRADIENT.check(&format!("{name}: candidates"), &dv, &expected.candidates);
            // A sum of B D terms of either sign: its error grows with theirs.
            let terms: f64 = expected.users.iter().zip(&self.users).map(|(a, b)| (a * f64::from(*b)).abs()).sum();
            let error = (f64::from(stats[1]) - expected.log_scale).abs();
            assert!(error <= 1e-5 * terms + 1e-7, "{name}: log_scale {} for {}", stats[1], expected.log_scale);
        }
    }

    /// Users and candidates are exact in bf16, and so is the loss but for fp32's sums. Gradients: p is rounded to 8 bits,
    /// which moves each of their terms by 2^-8 at the most.
    fn check_bf16(&self, name: &str) {
        let expected = self.oracle().gradients();
        for (isa, cpu) in cpus(1) {
            let name = format!("{name} {isa:?} bf16 {}x{}x{}", self.rows, self.columns, self.dim);
            let (stats, du, dv) = self.run(&cpu.with_bf16()).expect("the shapes fit");
            LOSS.check(&format!("{name}: loss"), &stats[..1], &[expected.loss]);
            let close = |what: &str, found: &[f32], expected: &[f64], sizes: &[f64]| {
                let largest = expected.iter().fold(0.0f64, |m, x| m.max(x.abs()));
                for (i, ((&a, &b), &size)) in found.iter().zip(expected).zip(sizes).enumerate() {
                    let (error, allowed) = ((f64::from(a) - b).abs(), 0.003_91 * size + 1e-5 * largest + 1e-9);
                    assert!(error <= allowed, "{name}: {what}[{i}]: {a} for {b}: {error:e} off, {allowed:e} allowed");
                }
            };
            close("users", &du, &expected.users, &expected.users_size);
            close("candidates", &dv, &expected.candidates, &expected.candidates_size);
            let terms: f64 = expected.users_size.iter().zip(&self.users).map(|(a, b)| a * f64::from(b.abs())).sum();
            close("log_scale", &stats[1..], &[expected.log_scale], &[terms]);
        }
    }
}

#[test]
fn matches_the_oracle_on_ragged_shapes() {
    for (n, &rows) in [1, 2, 11, 12, 13, 31, 33, 64, 97, 130, 259].iter().enumerate() {
        for (m, &columns) in [1, 2, 31, 32, 33, 100, 384, 385].iter().enumerate() {
            let dim = [4, 12, 64, 100, 7, 1, 256, 32][(n + m) % 8];
            Case::random(rows, columns, dim, (n * 10 + m) as u64).check("random");
        }
    }
    for rows in [1, 32, 129] {
        Case::plain(rows, rows, 64, rows as u64).check("plain");
        Case::plain(rows, rows + 40, 20, rows as u64).check("plain, more candidates");
    }
}

#[test]
fn matches_the_oracle_where_the_maximum_moves_from_block_to_block() {
    for up in [1.0, -1.0] {
        let mut case = Case::plain(60, 1600, 8, 9);
        case.bias = Some((0..1600).map(|c| c as f32 * up * 5e-3).collect());
        case.check("rising or falling");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn matches_the_oracle_anywhere(rows in 1usize..140, columns in 1usize..420, dim in 1usize..80, seed: u64) {
        Case::random(rows, columns, dim, seed).check("anywhere");
    }
}

#[test]
fn matches_the_oracle_without_kept_scores() {
    // Too many columns for a strip: the other path. Half a million values keep the oracle fast.
    let mut case = Case::random(50, 22_000, 4, 7);
    case.check("wide");
    case.corrected = case.corrected.is_none().then(|| vec![-0.1; 50]);
    case.check("wide, the other form");
    // Scores that rise from block to block move the running maximum.
    let mut rising = Case::plain(97, 22_000, 4, 8);
    rising.bias = Some((0..22_000).map(|c| c as f32 * 2e-3).collect());
    rising.check("wide, rising");
}

#[test]
fn one_row_costs_nothing() {
    for (_, cpu) in in_both() {
        let (stats, du, dv) = Case::plain(1, 1, 8, 3).run(&cpu).expect("runs");
        assert_eq!((bits(&stats), du, dv), (vec![0, 0], vec![0.0; 8], vec![0.0; 8]));
    }
}

#[test]
fn all_ids_equal_costs_nothing() {
    for (_, cpu) in in_both() {
        for corrected in [None, Some(vec![-0.5; 40])] {
            let mut case = Case::plain(40, 40, 8, 3);
            (case.ids, case.corrected) = (Some(vec![9; 40]), corrected);
            let (stats, du, dv) = case.run(&cpu).expect("runs");
            assert_eq!((stats, du, dv), (vec![0.0; 2], vec![0.0; 320], vec![0.0; 320]));
        }
    }
}

#[test]
fn no_rows_or_no_weight_costs_nothing() {
    for (_, cpu) in in_both() {
        let mut case = Case::plain(20, 20, 8, 3);
        case.weights = Some(vec![0.0; 20]);
        let (stats, du, dv) = case.run(&cpu).expect("runs");
        assert_eq!((stats, du, dv), (vec![0.0; 2], vec![0.0; 160], vec![0.0; 160]));
        let (stats, _, dv) = Case::plain(0, 5, 8, 3).run(&cpu).expect("runs");
        assert_eq!((stats, dv), (vec![0.0; 2], vec![0.0; 40]));
    }
}

#[test]
fn extreme_scores() {
    // Logits of 1e4: p is 0 or 1, nothing overflows.
    let mut case = Case::random(60, 70, 16, 5);
    case.log_scale = vec![9.5];
    case.corrected = None;
    let case = case.rounded();
    let expected = case.oracle().gradients();
    for (name, cpu) in in_both() {
        let (stats, du, dv) = case.run(&cpu).expect("runs");
        LOSS.check(&name, &stats[..1], &[expected.loss]);
        // Scores of 1e4 are rounded to 1e-3: so are the differences that p is made of.
        let rough = Tolerance { relative: 1e-2, of_largest: 5e-3, absolute: 0.0 };
        rough.check("users", &du, &expected.users);
        rough.check("candidates", &dv, &expected.candidates);
    }
    // An infinite bias on a column that is not a positive counts as masked.
    let mut masked = Case::plain(3, 10, 4, 6);
    let mut bias = vec![0.0; 10];
    (bias[5], bias[7]) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
    masked.bias = Some(bias);
    let mut listed = masked.clone();
    listed.bias = None;
    listed.masked = Some((vec![0, 2, 4, 6], vec![5, 7, 5, 7, 5, 7]));
    for (_, cpu) in in_both() {
        assert_eq!(masked.run(&cpu).expect("runs"), listed.run(&cpu).expect("runs"));
    }
}

#[test]
fn nan_and_infinity_reach_the_loss() {
    for (name, cpu) in in_both() {
        for bad in [f32::NAN, f32::INFINITY] {
            for place in [0, 5 * 16 + 15, 49 * 16 + 3] {
                let mut case = Case::plain(50, 60, 16, 4);
                case.users[place] = bad;
                assert!(!case.run(&cpu).expect("runs").0[0].is_finite(), "{name}: {bad} in users[{place}]");
                let mut case = Case::plain(50, 60, 16, 4);
                case.candidates[place] = bad;
                assert!(!case.run(&cpu).expect("runs").0[0].is_finite(), "{name}: {bad} in candidates[{place}]");
            }
            let mut case = Case::plain(50, 60, 16, 4);
            case.log_scale = vec![bad];
            assert!(!case.run(&cpu).expect("runs").0[0].is_finite(), "{name}: {bad} as log_scale");
        }
        // The whole first block is masked but for one NaN.
        let mut case = Case::plain(1, 500, 4, 4);
        let mut bias = vec![f32::NEG_INFINITY; 500];
        (bias[17], bias[450]) = (f32::NAN, 0.0);
        (case.bias, case.positives) = (Some(bias), Some(vec![450]));
        assert!(case.run(&cpu).expect("runs").0[0].is_nan(), "{name}");
    }
}

#[test]
fn same_bits_for_any_number_of_threads() {
    for (rows, columns, dim) in [(700, 700, 16), (300, 1000, 64), (200, 23_000, 4)] {
        let case = Case::random(rows, columns, dim, 11);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            let run = |threads| {
                let cpu = Cpu::new(threads, Some(isa), Precision::Fp32).expect("there");
                let fp32 = case.run(&cpu).expect("runs");
                let bf16 = case.run(&cpu.with_bf16()).expect("runs");
                [fp32, bf16].map(|(stats, du, dv)| [bits(&stats), bits(&du), bits(&dv)])
            };
            let one = run(1);
            assert!(one[0] != one[1], "{isa:?}: bf16 is another computation");
            for threads in [2, 3, 5, 7] {
                assert!(one == run(threads), "{isa:?}, {threads} threads, {rows} x {columns}");
            }
        }
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let cpu = Cpu::new(1, None, Precision::Fp32).expect("there");
    let refused = |change: &dyn Fn(&mut Case)| {
        let mut case = Case::plain(5, 6, 4, 2);
        change(&mut case);
        matches!(case.run(&cpu), Err(Error::Shape { op: "softmax_loss", .. }))
    };
    assert!(refused(&|c| c.rows = 7), "more rows than columns");
    assert!(refused(&|c| c.positives = Some(vec![0, 1, 2, 3, 6])), "a positive that is no column");
    assert!(refused(&|c| c.ids = Some(vec![1; 5])), "too few ids");
    assert!(refused(&|c| c.weights = Some(vec![1.0; 4])), "too few weights");
    assert!(refused(&|c| c.masked = Some((vec![0, 1, 1, 1, 1, 1], vec![6]))), "a masked column that is none");
    assert!(refused(&|c| c.masked = Some((vec![0, 1, 1, 1, 1, 1], vec![0]))), "a masked positive");
    assert!(refused(&|c| c.masked = Some((vec![0, 1, 1, 1, 1, 9], vec![3]))), "offsets beyond the list");
    assert!(refused(&|c| c.dim = 5), "too few values");
}
