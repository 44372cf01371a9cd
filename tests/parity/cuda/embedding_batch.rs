//! Many tables in one launch: of all widths and types, pooled and not, read by several inputs, and empty.

use super::super::embedding;
use super::budget::counted;
use super::embedding::{to_device, to_host};
use super::*;
use crate::backend::cpu::parity::embedding::{DTYPES, table, values, with_states};
use crate::backend::cpu::parity::optim::{KINDS, step};
use crate::backend::single::Rules;
use crate::backend::{Backend, Bag, EmbeddingTable, Mat, Memory, Operations, PoolInput, Pools, Queue};
use crate::config::{Dtype, OptimizerKind};
use crate::data::batch::SortScratch;
use crate::model::inputs::HostBag;
use crate::model::plans::{HostPlans, PlanBufs};

const ROWS: usize = 90;

/// A table, and the bags that read it.
struct Feature {
    table: EmbeddingTable<Cpu>,
    bags: Vec<HostBag>,
}

fn bag(random: &mut Random, pooled: bool, table_rows: usize) -> HostBag {
    if !pooled {
        return HostBag { ids: (0..ROWS).map(|_| random.below(table_rows) as u32).collect(), offsets: Vec::new() };
    }
    let lists = random_bags(random, ROWS, table_rows);
    HostBag { ids: lists.concat(), offsets: offsets(&lists) }
}

/// 40 tables: more than a warp finds its work among at once.
fn features(kind: OptimizerKind) -> Vec<Feature> {
    let mut random = Random(9);
    let dims = [64, 16, 7, 260, 64, 128, 1, 20];
    (0..40)
        .map(|n| {
            let (rows, dim) = (20 + 3 * n, dims[n % dims.len()]);
            let mut table = table(&random.vec(rows * dim, 1.0), rows, dim, DTYPES[n % 3]);
            table.number = n as u32;
            // Some tables have two readers, one has none.
            let readers = if n == 5 { 0 } else { 1 + usize::from(n % 7 == 0) };
            let bags = (0..readers).map(|reader| bag(&mut random, (n + reader) % 4 == 3, rows)).collect();
            Feature { table: with_states(table, kind), bags }
        })
        .collect()
}

/// The pools of every bag side by side, and the tables after a step by gradients that stand beside one another too.
fn run<B: Backend>(on: &B, features: &[Feature], tables: &mut [EmbeddingTable<B>], kind: OptimizerKind) -> Vec<f32> {
    let up = |x: &[u32]| on.upload(x.to_vec()).expect("fits");
    let bags: Vec<_> = features
        .iter()
        .enumerate()
        .flat_map(|(n, feature)| feature.bags.iter().map(move |bag| (n, bag)))
        .map(|(n, bag)| (n, up(&bag.ids), up(&bag.offsets), bag))
        .collect();
    let stride: usize = bags.iter().map(|(n, ..)| tables[*n].dim).sum();
    let mut out = on.upload(vec![f32::NAN; ROWS * stride]).expect("fits");
    let mut col = 0;
    let mut inputs = Vec::new();
    for (n, ids, offsets, host) in &bags {
        let (lookups, pooled) = (host.ids.len(), host.pooled());
        let bag = Bag { ids, offsets: pooled.then_some(offsets), weights: None, rows: ROWS, lookups };
        inputs.push(PoolInput { table: &tables[*n], bag, col });
        col += tables[*n].dim;
    }
    on.embedding_pools(&mut [Pools { out: &mut out, rows: ROWS, stride, inputs }]).expect("fits");
    let pools = on.host(&out, ROWS * stride).expect("there").into_owned();

    let mut plans = HostPlans::default();
    for feature in features {
        let bags = feature.bags.iter().enumerate().map(|(n, bag)| (bag, (n * ROWS) as u32));
        plans.push(bags, &mut SortScratch::default());
    }
    let gradients = on.upload(Random(4).vec(ROWS * stride, 1.0)).expect("fits");
    let mut col = 0;
    let grads: Vec<Vec<Mat<'_, B>>> = features
        .iter()
        .map(|feature| {
            let dim = feature.table.dim;
            let mut mat = || {
                col += dim;
                Mat { buf: &gradients, rows: ROWS, cols: dim, stride, col: col - dim }
            };
            feature.bags.iter().map(|_| mat()).collect()
        })
        .collect();
    on.begin_batch().expect("goes on");
    let mut bufs = PlanBufs::new(on).expect("fits");
    bufs.stage(on, &plans).expect("fits");
    let rules = Rules::new(on, &step(kind, 3)).expect("fits");
    on.embedding_step(tables, &bufs.view(&plans), &grads, &rules.view()).expect("fits");
    pools
}

#[test]
fn many_tables_are_the_cpus_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for kind in KINDS {
        let features = features(kind);
        let mut expected: Vec<EmbeddingTable<Cpu>> =
            self::features(kind).into_iter().map(|feature| feature.table).collect();
        let mut found: Vec<EmbeddingTable<Cuda>> =
            features.iter().map(|feature| to_device(&cuda, &feature.table)).collect();
        let pools = run(&cpu(), &features, &mut expected, kind);
        let on_device = run(&cuda, &features, &mut found, kind);
        ELEMENTWISE.check("pools", &on_device, &wide(&pools));
        assert!(!fused() || bits(&on_device) == bits(&pools), "pools");
        for (n, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let found = to_host(&cuda, found);
            let one = Tolerance { relative: 1.0 / 128.0, of_largest: 0.0, absolute: 1e-6 };
            one.check(&format!("{kind:?}, table {n}"), &values(&found), &wide(&values(expected)));
            if fused() && kind != OptimizerKind::RowwiseAdagrad {
                assert!(bits(&values(&found)) == bits(&values(expected)), "{kind:?}, table {n}");
                let state = |table: &EmbeddingTable<Cpu>| bits(table.state1.as_deref().unwrap_or_default());
                assert!(state(&found) == state(expected), "{kind:?}, table {n}: state 1");
            }
        }
    }
}

#[test]
fn many_tables_move_what_they_must_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    const TABLES: usize = 24;
    const LOOKUPS: usize = 517;
    let (rows, dim) = (400, 64);
    let mut random = Random(12);
    let mut tables: Vec<EmbeddingTable<Cuda>> = (0..TABLES)
        .map(|_| {
            let host = with_states(table(&random.vec(rows * dim, 1.0), rows, dim, Dtype::Fp32), OptimizerKind::Adam);
            to_device(&cuda, &host)
        })
        .collect();
    let bag = |random: &mut Random| HostBag {
        ids: (0..LOOKUPS).map(|_| 1 + random.below(rows - 1) as u32).collect(),
        offsets: Vec::new(),
    };
    let bags: Vec<HostBag> = (0..TABLES).map(|_| bag(&mut random)).collect();
    let ids: Vec<_> = bags.iter().map(|bag| cuda.upload(bag.ids.clone()).expect("fits")).collect();
    let mut out = cuda.zeros::<f32>(LOOKUPS * dim).expect("fits");
    // A tower that adds its inputs up.
    let inputs = tables.iter().zip(&ids).map(|(table, ids)| {
        let bag = Bag { ids, offsets: None, weights: None, rows: LOOKUPS, lookups: LOOKUPS };
        PoolInput { table, bag, col: 0 }
    });
    let inputs = inputs.collect();
    cuda.embedding_pools(&mut [Pools { out: &mut out, rows: LOOKUPS, stride: dim, inputs }]).expect("fits");
    let groups = 256 / (dim / 4);
    let Some(pools) = counted(&cuda, "embedding_pools", [LOOKUPS.div_ceil(groups), 1, 1]) else { return };
    // The result is written once for all inputs.
    let one = embedding::floor_bytes(LOOKUPS, 0, dim, 4, false);
    pools.moves(TABLES as u64 * one + (LOOKUPS * dim * 4) as u64, 1.10);

    let mut plans = HostPlans::default();
    bags.iter().for_each(|bag| plans.push([(bag, 0)].into_iter(), &mut SortScratch::default()));
    cuda.begin_batch().expect("goes on");
    let mut bufs = PlanBufs::new(&cuda).expect("fits");
    bufs.stage(&cuda, &plans).expect("fits");
    let rules = Rules::new(&cuda, &step(OptimizerKind::Adam, 1)).expect("fits");
    let grads: Vec<Vec<Mat<'_, Cuda>>> = (0..TABLES).map(|_| vec![Mat::dense(&out, LOOKUPS, dim)]).collect();
    let view = bufs.view(&plans);
    let blocks = view.positions.len().div_ceil(32).div_ceil(groups) + TABLES;
    cuda.embedding_step(&mut tables, &view, &grads, &rules.view()).expect("fits");
    let Some(chunks) = counted(&cuda, "embedding_step_adam", [blocks, 1, 1]) else { return };
    let Some(straddling) = counted(&cuda, "embedding_straddling", [blocks, 1, 1]) else { return };
    let floor = plans.parts.iter().enumerate().map(|(n, part)| {
        let starts = &plans.starts[part.unique as usize + n..][..=part.uniques as usize];
        let counts = (part.lookups as usize, part.uniques as usize, embedding::straddling_parts(starts));
        embedding::step_floor_bytes(counts, dim, 4, OptimizerKind::Adam, false)
    });
    chunks.moves_with(&straddling, floor.sum(), 1.10);
}
