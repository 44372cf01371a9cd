//! The weights of rows under SoftmaxLoss@K.

use super::naive::loss::{Loss, top_k_weights};
use super::*;
use crate::backend::{Backend, TopKWeights};
use crate::{Error, Result};

/// Rows to be weighed, on the host.
#[derive(Clone)]
pub(crate) struct Case {
    users: Vec<f32>,
    candidates: Vec<f32>,
    positives: Option<Vec<u32>>,
    popularity: Option<Vec<f32>>,
    thresholds: Vec<f32>,
    weights: Option<Vec<f32>>,
    rows: usize,
    columns: usize,
    dim: usize,
}

const LOG_SCALE: f32 = 1.2;
const WIDTH: f32 = 0.3;

/// Shapes with and without whole vectors, warps and blocks.
pub(crate) const SHAPES: [(usize, usize, usize); 7] =
    [(0, 0, 4), (1, 1, 1), (3, 5, 4), (33, 40, 12), (31, 31, 100), (300, 300, 64), (9, 700, 256)];

impl Case {
    /// `options`: 1 positives anywhere, 2 popularity, 4 weights.
    pub(crate) fn new(rows: usize, columns: usize, dim: usize, options: u32) -> Case {
        let mut random = Random(u64::from(options) + rows as u64);
        let size = 1.5 / (dim as f32).sqrt();
        let set = |bit| options & bit != 0;
        Case {
            users: random.vec(rows * dim, size),
            candidates: random.vec(columns * dim, size),
            positives: set(1).then(|| (0..rows).map(|_| random.below(columns) as u32).collect()),
            popularity: set(2).then(|| random.vec(rows, 4.0)),
            thresholds: random.vec(rows, 1.0),
            weights: set(4).then(|| random.vec(rows, 1.0).iter().map(|x| x.abs()).collect()),
            rows,
            columns,
            dim,
        }
    }

    pub(crate) fn run<B: Backend>(&self, on: &B) -> Result<Vec<f32>> {
        let floats = |x: &Option<Vec<f32>>| x.clone().map(|x| on.upload(x)).transpose();
        let (popularity, weights) = (floats(&self.popularity)?, floats(&self.weights)?);
        let positives = self.positives.clone().map(|x| on.upload(x)).transpose()?;
        let mut out = on.upload(vec![f32::NAN; self.thresholds.len()])?;
        on.top_k_weights(
            &mut out,
            &TopKWeights {
                users: &on.upload(self.users.clone())?,
                candidates: &on.upload(self.candidates.clone())?,
                positives: positives.as_ref(),
                log_scale: &on.upload(vec![LOG_SCALE])?,
                popularity: popularity.as_ref(),
                thresholds: &on.upload(self.thresholds.clone())?,
                weights: weights.as_ref(),
                width: WIDTH,
                rows: self.rows,
                columns: self.columns,
                dim: self.dim,
            },
        )?;
        Ok(on.host(&out, self.rows)?.into_owned())
    }

    pub(crate) fn oracle(&self) -> Vec<f64> {
        let ones = |x: &Option<Vec<f32>>, or: f64| x.as_ref().map_or(vec![or; self.rows], |x| wide(x));
        let of = Loss {
            users: wide(&self.users),
            candidates: wide(&self.candidates),
            log_scale: f64::from(LOG_SCALE),
            bias: Vec::new(),
            ids: None,
            positives: (0..self.rows).map(|i| self.positives.as_ref().map_or(i, |p| p[i] as usize)).collect(),
            masked: Vec::new(),
            weights: ones(&self.weights, 1.0),
            corrected: None,
            dim: self.dim,
        };
        top_k_weights(&of, &ones(&self.popularity, 0.0), &wide(&self.thresholds), f64::from(WIDTH))
    }

    /// A user without a K-th best item keeps its weight; one that is far from it, or far above, weighs 0 or all; NaN shows.
    pub(crate) fn extremes<B: Backend>(on: &B) {
        let mut case = Case::new(5, 5, 8, 4);
        case.weights = Some(vec![0.5, 0.5, 0.5, 0.5, 0.0]);
        case.thresholds = vec![f32::NEG_INFINITY, 1e4, -1e4, 0.0, 0.0];
        case.users[3 * 8] = f32::NAN;
        let found = case.run(on).expect("the shapes fit");
        assert_eq!((found[0], found[1], found[2], found[4]), (0.5, 0.0, 0.5, 0.0));
        assert!(found[3].is_nan(), "{found:?}");
    }

    pub(crate) fn refusals<B: Backend>(on: &B) {
        let refused = |change: &dyn Fn(&mut Case)| {
            let mut case = Case::new(3, 4, 4, 7);
            change(&mut case);
            matches!(case.run(on), Err(Error::Shape { op: "top_k_weights", .. }))
        };
        assert!(!refused(&|_| {}));
        assert!(refused(&|case| case.rows = 4), "too few users");
        assert!(refused(&|case| case.columns = 5), "too few candidates");
        assert!(refused(&|case| case.weights = Some(vec![1.0; 2])), "too few weights");
        assert!(refused(&|case| case.popularity = Some(vec![1.0; 2])), "too few popularities");
        assert!(refused(&|case| case.positives = Some(vec![0; 2])), "too few positives");
        assert!(refused(&|case| (case.positives, case.columns) = (None, 2)), "rows without a column");
    }
}

#[test]
fn matches_the_oracle() {
    for (rows, columns, dim) in SHAPES {
        for options in 0..8 {
            let case = Case::new(rows, columns, dim, options);
            for (isa, cpu) in cpus(1) {
                let name = format!("{isa:?} {rows} x {columns} x {dim}, options {options:03b}");
                WEIGHTS.check(&name, &case.run(&cpu).expect("fits"), &case.oracle());
            }
        }
    }
}

#[test]
fn extremes_and_refusals() {
    for (_, cpu) in cpus(1) {
        Case::extremes(&cpu);
        Case::refusals(&cpu);
        let mut case = Case::new(3, 4, 4, 1);
        case.positives = Some(vec![0, 4, 1]);
        assert!(matches!(case.run(&cpu), Err(Error::Shape { .. })), "a positive that is no column");
    }
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let case = Case::new(3000, 3000, 36, 7);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let run = |threads| case.run(&Cpu::new(threads, Some(isa), Precision::Fp32).expect("there")).expect("fits");
        assert!(bits(&run(1)) == bits(&run(3)), "{isa:?}");
    }
}
