//! Rows of a table that is larger than every cache, by uniform ids: what memory allows.

use std::sync::Arc;

use super::{Bench, On, on, plan_of, step_of, table, upload, values};
use crate::backend::single::{Rules, TableStep, pool};
use crate::backend::{Backend, Bag, Mat, MatMut};
use crate::config::{Dtype, OptimizerKind};
use crate::data::batch::{Segments, SortScratch};
use crate::rng::Rng;

/// Lists of ids that take turns: the rows of one are out of the caches when it comes again.
const LISTS: u64 = 16;

fn ids(rows: usize, lookups: usize, list: u64) -> Vec<u32> {
    let mut rng = Rng::at(5, &[list]);
    (0..lookups).map(|_| rng.below(rows as u64) as u32).collect()
}

/// Looks up single rows of fp32.
pub fn large_gather(on: &On, rows: usize, dim: usize, lookups: usize) -> Bench {
    on!(on, gather(rows, dim, lookups))
}

fn gather<B: Backend>(b: &Arc<B>, rows: usize, dim: usize, lookups: usize) -> Bench {
    let table = table(&**b, rows, dim, Dtype::Fp32, OptimizerKind::Sgd, 0);
    let lists: Vec<B::Buf<u32>> = (0..LISTS).map(|list| upload(&**b, ids(rows, lookups, list))).collect();
    let mut turn = 0;
    let mut out = upload(&**b, vec![0.0; lookups * dim]);
    let backend = Arc::clone(b);
    Bench::new(b, move || {
        turn = (turn + 1) % lists.len();
        let bag = Bag { ids: &lists[turn], offsets: None, weights: None, rows: lookups, lookups };
        pool(&*backend, MatMut::dense(&mut out, lookups, dim), &table, bag).expect("fits");
    })
}

/// The step of the rows that so many ids touch.
pub fn large_step(on: &On, kind: OptimizerKind, rows: usize, dim: usize, lookups: usize) -> Bench {
    on!(on, backward(kind, rows, dim, lookups))
}

fn backward<B: Backend>(b: &Arc<B>, kind: OptimizerKind, rows: usize, dim: usize, lookups: usize) -> Bench {
    let mut table = table(&**b, rows, dim, Dtype::Fp32, kind, 0);
    let plans: Vec<TableStep<B>> = (0..LISTS)
        .map(|list| {
            let mut segments = Segments::default();
            segments.build(&ids(rows, lookups, list), &mut SortScratch::default());
            plan_of(&**b, &segments)
        })
        .collect();
    let grads = upload(&**b, values(lookups * dim, 3));
    let rules = Rules::new(&**b, &step_of(kind)).expect("the device has room");
    let mut turn = 0;
    let backend = Arc::clone(b);
    Bench::new(b, move || {
        turn = (turn + 1) % plans.len();
        let grads = vec![Mat::dense(&grads, lookups, dim)];
        plans[turn].step(&*backend, &mut table, grads, &rules).expect("fits");
    })
}
