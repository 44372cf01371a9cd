//! A whole training step.

use std::sync::Arc;

use super::{Bench, On, Zipf, on, step_of, table, upload};
use crate::backend::single::Rules;
use crate::backend::{Backend, Bag, Mat, NormGrads, NormPass, PoolInput, Pools, SoftmaxGrads, SoftmaxLoss};
use crate::config::{Dtype, OptimizerKind};
use crate::data::batch::SortScratch;
use crate::model::inputs::HostBag;
use crate::model::plans::{HostPlans, PlanBufs};
use crate::rng::Rng;

/// A whole training step of two embedding tables (200,000 users, 50,000 items, Zipf ids) under in-batch softmax with
/// logQ and accidental hits masked: sorting the ids, lookups, norms when asked, loss, gradients, the tables' step.
pub fn training_step(on: &On, kind: OptimizerKind, batch: usize, dim: usize, normalize: bool) -> Bench {
    training_step_on_tables(on, kind, batch, dim, normalize, (200_000, 50_000))
}

/// [`training_step`] with so many users and items.
pub fn training_step_on_tables(
    on: &On,
    kind: OptimizerKind,
    batch: usize,
    dim: usize,
    normalize: bool,
    tables: (usize, usize),
) -> Bench {
    on!(on, whole(kind, batch, dim, normalize, tables))
}

fn whole<B: Backend>(
    b: &Arc<B>,
    kind: OptimizerKind,
    batch: usize,
    dim: usize,
    normalize: bool,
    (users, items): (usize, usize),
) -> Bench {
    const BATCHES: usize = 32;
    let (user_rows, item_rows) = (users + 1, items + 1);
    let mut rng = Rng::at(1, &[]);
    let (zipf_users, zipf_items) = (Zipf::new(user_rows, &mut rng), Zipf::new(item_rows, &mut rng));
    let batches: Vec<(Vec<u32>, Vec<u32>, Vec<f32>)> = (0..BATCHES)
        .map(|_| {
            let users = (0..batch).map(|_| zipf_users.draw(&mut rng).0).collect();
            let (items, bias) = (0..batch).map(|_| zipf_items.draw(&mut rng)).unzip();
            (users, items, bias)
        })
        .collect();
    let mut tables = [(user_rows, 0), (item_rows, 1)].map(|(rows, n)| table(&**b, rows, dim, Dtype::Fp32, kind, n));
    let mut plans = HostPlans::default();
    let mut bufs = PlanBufs::new(&**b).expect("the device has room");
    let mut rules = Rules::new(&**b, &step_of(kind)).expect("the device has room");
    let mut sort = SortScratch::default();
    let up = |values: Vec<f32>| upload(&**b, values);
    let pair = || [up(vec![0.0; batch * dim]), up(vec![0.0; batch * dim])];
    let (mut x, mut y, mut d) = (pair(), pair(), pair());
    let mut inverse = [up(vec![0.0; batch]), up(vec![0.0; batch])];
    let (mut stats, log_scale) = (up(vec![0.0; 2]), up(vec![if normalize { 5f32.ln() } else { 0.0 }]));
    let mut ids = [upload(&**b, Vec::<u32>::new()), upload(&**b, Vec::<u32>::new())];
    let mut bias = up(Vec::new());
    let mut step = step_of(kind);
    let mut losses = Vec::new();
    let backend = Arc::clone(b);
    Bench::new(b, move || {
        let b = &*backend;
        let (users, items, log_q) = &batches[step.number as usize % BATCHES];
        plans.clear();
        for host in [users, items] {
            let bag = HostBag { ids: host.clone(), offsets: Vec::new() };
            plans.push([(&bag, 0)].into_iter(), &mut sort);
        }
        b.begin_batch().expect("goes on");
        rules.stage(b, &step).expect("the device has room");
        b.stage(&mut bias, log_q).expect("the device has room");
        for (ids, host) in ids.iter_mut().zip([users, items]) {
            b.stage(ids, host).expect("the device has room");
        }
        bufs.stage(b, &plans).expect("the device has room");
        // Captured, it is queued once more where the driver refuses that: benchmarks do not care.
        if !b.replay(&[]).expect("goes on") {
            let [xu, xv] = &mut x;
            let pools = [xu, xv].into_iter().zip(&tables).zip(&ids).map(|((out, table), ids)| {
                let bag = Bag { ids, offsets: None, weights: None, rows: batch, lookups: batch };
                Pools { out, rows: batch, stride: dim, inputs: vec![PoolInput { table, bag, col: 0 }] }
            });
            b.embedding_pools(&mut pools.collect::<Vec<_>>()).expect("fits");
            if normalize {
                let norms = y.iter_mut().zip(&mut inverse).zip(&x);
                let norms = norms.map(|((y, inverse_norms), x)| NormPass { y, inverse_norms, x, rows: batch });
                b.l2_norm_fwd(&mut norms.collect::<Vec<_>>(), dim).expect("fits");
            }
            let out = if normalize { &y } else { &x };
            let [du, dv] = &mut d;
            let grads = SoftmaxGrads { users: du, candidates: dv, stats: &mut stats };
            let loss = SoftmaxLoss {
                users: &out[0],
                candidates: &out[1],
                log_scale: &log_scale,
                bias: Some(&bias),
                ids: Some(&ids[1]),
                positives: None,
                masked: None,
                weights: None,
                corrected: None,
                rows: batch,
                columns: batch,
                dim,
            };
            b.softmax_loss(grads, &loss).expect("fits");
            if normalize {
                let norms = d.iter_mut().zip(&y).zip(&inverse);
                let norms = norms.map(|((dy, y), inverse_norms)| NormGrads { dy, y, inverse_norms, rows: batch });
                b.l2_norm_bwd(&mut norms.collect::<Vec<_>>(), dim).expect("fits");
            }
            let grads: Vec<_> = d.iter().map(|d| vec![Mat::dense(d, batch, dim)]).collect();
            b.embedding_step(&mut tables, &bufs.view(&plans), &grads, &rules.view()).expect("fits");
            b.recorded(Ok(())).expect("goes on");
        }
        b.read_later(&stats).expect("goes on");
        b.arrived(false, &mut losses).expect("goes on");
        assert!(losses.drain(..).all(f32::is_finite));
        step.number += 1;
    })
}
