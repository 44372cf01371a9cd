//! What lookups and optimizer steps move against what they must.

use super::super::{embedding, optim};
use super::budget::counted;
use super::embedding::to_device;
use super::embedding_step::{Grads, step_on};
use super::*;
use crate::backend::cpu::parity::embedding::{offsets, plan, random_bags, skewed_ids, table, with_states};
use crate::backend::cpu::parity::optim::{KINDS, clip, dense_step, step};
use crate::backend::single::pool;
use crate::backend::{Bag, MatMut, Memory};
use crate::config::{Dtype, OptimizerKind};

/// A table's type, and bytes of a value.
const TYPES: [(Dtype, usize); 2] = [(Dtype::Fp32, 4), (Dtype::Bf16, 2)];
/// Not a multiple of anything, and more than other tests look up: their grids are others.
const LOOKUPS: usize = 4099;
const TABLE_ROWS: usize = 3000;

#[test]
fn lookups_move_what_they_must_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for (dtype, size) in TYPES {
        for dim in [64, 128] {
            let mut random = Random(3);
            let table = to_device(&cuda, &table(&random.vec(TABLE_ROWS * dim, 1.0), TABLE_ROWS, dim, dtype));
            let groups = 256 / (dim / 4);

            let ids: Vec<u32> = (0..LOOKUPS).map(|_| random.below(TABLE_ROWS) as u32).collect();
            let ids = cuda.upload(ids).expect("fits");
            let mut out = cuda.zeros::<f32>(LOOKUPS * dim).expect("fits");
            let bag = Bag { ids: &ids, offsets: None, weights: None, rows: LOOKUPS, lookups: LOOKUPS };
            pool(&cuda, MatMut::dense(&mut out, LOOKUPS, dim), &table, bag).expect("fits");
            let grid = [LOOKUPS.div_ceil(2 * groups), 1, 1];
            let Some(rows) = counted(&cuda, "embedding_pools", grid) else { return };
            rows.moves(embedding::floor_bytes(LOOKUPS, LOOKUPS, dim, size, false), 1.10);

            let bags = random_bags(&mut random, 403, TABLE_ROWS);
            let ids = bags.concat();
            let lookups = ids.len();
            let (ids, offsets) = (cuda.upload(ids).expect("fits"), cuda.upload(offsets(&bags)).expect("fits"));
            let bag = Bag { ids: &ids, offsets: Some(&offsets), weights: None, rows: bags.len(), lookups };
            pool(&cuda, MatMut::dense(&mut out, bags.len(), dim), &table, bag).expect("fits");
            let grid = [bags.len().div_ceil(groups), 1, 1];
            let Some(pools) = counted(&cuda, "embedding_pools", grid) else { return };
            pools.moves(embedding::floor_bytes(lookups, bags.len(), dim, size, true), 1.10);
        }
    }
}

#[test]
fn row_steps_move_what_they_must_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for (dtype, size) in TYPES {
        for dim in [64, 128] {
            let mut random = Random(5);
            let start = random.vec(TABLE_ROWS * dim, 1.0);
            let grads = Grads::dense(&random.vec(LOOKUPS * dim, 1.0), dim);
            let rows: Vec<u32> = (0..LOOKUPS as u32).collect();
            let spread = (0..LOOKUPS).map(|_| random.below(TABLE_ROWS) as u32).collect();
            // Mostly single positions, and long runs.
            for ids in [spread, skewed_ids(&mut random, LOOKUPS, TABLE_ROWS)] {
                let sorted = plan(&ids, &rows, &vec![1.0; LOOKUPS]);
                let parts = embedding::straddling_parts(&sorted.starts);
                for (kind, word) in KINDS.into_iter().zip(["sgd", "adagrad", "rowwise", "adam"]) {
                    let mut table = to_device(&cuda, &with_states(table(&start, TABLE_ROWS, dim, dtype), kind));
                    step_on(&cuda, &mut table, &sorted, false, &grads, &step(kind, 1)).expect("fits");
                    let grid = [LOOKUPS.div_ceil(32).div_ceil(256 / (dim / 4)) + 1, 1, 1];
                    let kernel = format!("embedding_step_{word}");
                    let Some(chunks) = counted(&cuda, &kernel, grid) else { return };
                    let Some(straddling) = counted(&cuda, "embedding_straddling", grid) else { return };
                    let counts = (LOOKUPS, sorted.unique.len(), parts);
                    let floor = embedding::step_floor_bytes(counts, dim, size, kind, false);
                    chunks.moves_with(&straddling, floor, 1.10);
                }
            }
        }
    }
}

#[test]
fn dense_steps_move_what_they_must_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let len = 262_147;
    let up = || cuda.upload(Random(1).vec(len, 1.0)).expect("fits");
    let (mut w, mut m, mut v, dw) = (up(), up(), up(), up());
    for (kind, word) in
        [(OptimizerKind::Sgd, "sgd"), (OptimizerKind::Adagrad, "adagrad"), (OptimizerKind::Adam, "adam")]
    {
        dense_step(&cuda, &mut w, [Some(&mut m), Some(&mut v)], &dw, len, &step(kind, 1)).expect("fits");
        let grid = [len.div_ceil(4).div_ceil(256), 1, 1];
        let Some(dense) = counted(&cuda, &format!("dense_steps_{word}"), grid) else { return };
        dense.moves(optim::floor_bytes(len, kind), 1.10);
    }
    clip(&cuda, &[(&dw, len)], 1.0).expect("fits");
    let Some(pieces) = counted(&cuda, "squared_norms", [len.div_ceil(1 << 14), 1, 1]) else { return };
    pieces.moves(len as u64 * 4, 1.10);
    pieces.has_few_conflicts();
}
