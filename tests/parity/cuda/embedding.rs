//! Lookups and pools.

use super::*;
use crate::Error;
use crate::backend::cpu::parity::embedding::{DTYPES, offsets, random_bags, table, values};
use crate::backend::single::pool;
use crate::backend::{Backend, Bag, EmbeddingTable, MatMut, Memory, PoolInput, Pools, TableData};
use crate::config::Dtype;

/// The same table on the device.
pub(super) fn to_device(cuda: &Cuda, table: &EmbeddingTable<Cpu>) -> EmbeddingTable<Cuda> {
    let up = |x: &Option<Vec<f32>>| x.as_ref().map(|x| cuda.upload(x.clone()).expect("fits"));
    let data = match &table.data {
        TableData::F32(x) => TableData::F32(cuda.upload(x.clone()).expect("fits")),
        TableData::Bf16(x) => TableData::Bf16(cuda.upload(x.clone()).expect("fits")),
        TableData::F16(x) => TableData::F16(cuda.upload(x.clone()).expect("fits")),
    };
    let EmbeddingTable { rows, dim, number, .. } = *table;
    EmbeddingTable { rows, dim, data, state1: up(&table.state1), state2: up(&table.state2), number }
}

/// The same table on the host.
pub(super) fn to_host(cuda: &Cuda, table: &EmbeddingTable<Cuda>) -> EmbeddingTable<Cpu> {
    let down =
        |x: &Option<super::super::Buf<f32>>| x.as_ref().map(|x| cuda.host(x, x.len()).expect("fits").into_owned());
    let len = table.rows * table.dim;
    let data = match &table.data {
        TableData::F32(x) => TableData::F32(cuda.host(x, len).expect("fits").into_owned()),
        TableData::Bf16(x) => TableData::Bf16(cuda.host(x, len).expect("fits").into_owned()),
        TableData::F16(x) => TableData::F16(cuda.host(x, len).expect("fits").into_owned()),
    };
    let EmbeddingTable { rows, dim, number, .. } = *table;
    EmbeddingTable { rows, dim, data, state1: down(&table.state1), state2: down(&table.state2), number }
}

/// A lookup's inputs on the host.
struct Lists {
    ids: Vec<u32>,
    offsets: Option<Vec<u32>>,
    weights: Option<Vec<f32>>,
    rows: usize,
}

/// Looks up into a view of a poisoned buffer, added to rows of another table (`before`): the view's values.
fn look_up<B: Backend>(
    on: &B,
    table: &EmbeddingTable<B>,
    lists: &Lists,
    before: Option<&[f32]>,
    stride: usize,
    col: usize,
) -> Vec<f32> {
    let (rows, dim) = (lists.rows, table.dim);
    let poison = vec![f32::NAN; rows * dim];
    let mut out = on.upload(framed(&poison, dim, stride, col)).expect("fits");
    let ids = on.upload(lists.ids.clone()).expect("fits");
    let offsets = lists.offsets.clone().map(|x| on.upload(x).expect("fits"));
    let weights = lists.weights.clone().map(|x| on.upload(x).expect("fits"));
    let (offsets, weights) = (offsets.as_ref(), weights.as_ref());
    let bag = Bag { ids: &ids, offsets, weights, rows, lookups: lists.ids.len() };
    let all: Vec<u32> = (0..rows as u32).collect();
    let all = on.upload(all).expect("fits");
    let data = TableData::F32(on.upload(before.unwrap_or_default().to_vec()).expect("fits"));
    let other = EmbeddingTable { rows, dim, data, state1: None, state2: None, number: 0 };
    let mut inputs = Vec::new();
    if before.is_some() {
        let bag = Bag { ids: &all, offsets: None, weights: None, rows, lookups: rows };
        inputs.push(PoolInput { table: &other, bag, col });
    }
    inputs.push(PoolInput { table, bag, col });
    on.embedding_pools(&mut [Pools { out: &mut out, rows, stride, inputs }]).expect("fits");
    let mut host = vec![0.0; rows * stride];
    on.read(&mut host, &out, 0).expect("no id was refused");
    unframed(&host, rows, dim, stride, col)
}

#[test]
fn lookups_are_the_cpus_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(1);
    let shapes =
        [(0, 4), (1, 1), (3, 4), (31, 12), (33, 100), (70, 64), (9, 7), (17, 8), (33, 16), (5, 128), (3, 1024)];
    for dtype in DTYPES {
        for (rows, dim) in shapes.into_iter().chain([(7, 260), (5, 3), (2, 1023)]) {
            let v = 50;
            let table = table(&random.vec(v * dim, 1.0), v, dim, dtype);
            let stored = values(&table);
            let on_device = to_device(&cuda, &table);
            let bags = random_bags(&mut random, rows, v);
            let ids = bags.concat();
            let single: Vec<u32> = (0..rows).map(|_| random.below(v) as u32).collect();
            let weights = random.vec(ids.len(), 1.0);
            let offsets = Some(offsets(&bags));
            let forms = [
                Lists { ids: single.clone(), offsets: None, weights: None, rows },
                Lists { ids: single.clone(), offsets: None, weights: Some(random.vec(rows, 1.0)), rows },
                Lists { ids: ids.clone(), offsets: offsets.clone(), weights: None, rows },
                Lists { ids, offsets, weights: Some(weights), rows },
            ];
            let before = random.vec(rows * dim, 1.0);
            for (form, lists) in forms.iter().enumerate() {
                // Rows of out that are aligned, rows that are not, and an odd column.
                for (stride, col) in [(dim.next_multiple_of(4) + 8, 4), (dim + 5, 4), (dim + 8, 3)] {
                    for before in [None, Some(&before[..])] {
                        let found = look_up(&cuda, &on_device, lists, before, stride, col);
                        let expected = look_up(&cpu(), &table, lists, before, stride, col);
                        let name =
                            format!("{dtype:?} {rows} x {dim}, form {form}, stride {stride}, add {}", before.is_some());
                        ELEMENTWISE.check(&name, &found, &wide(&expected));
                        if fused() {
                            assert_eq!(bits(&found), bits(&expected), "{name}");
                        }
                        if form == 0 && before.is_none() {
                            let copies = single.iter().flat_map(|&id| &stored[id as usize * dim..][..dim]);
                            assert!(found.iter().eq(copies), "{name}: a lookup is a copy");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn nan_in_a_table_shows_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for dtype in DTYPES {
        let mut start = vec![0.5; 4 * 24];
        start[2 * 24 + 5] = f32::NAN;
        let table = to_device(&cuda, &table(&start, 4, 24, dtype));
        let bag = Lists { ids: vec![1, 3, 2, 1], offsets: Some(vec![0, 2, 4]), weights: None, rows: 2 };
        let single = Lists { ids: vec![1, 2], offsets: None, weights: None, rows: 2 };
        for lists in [bag, single] {
            let found = look_up(&cuda, &table, &lists, None, 24, 0);
            let bad: Vec<usize> = (0..48).filter(|&i| found[i].is_nan()).collect();
            assert_eq!(bad, [24 + 5], "{dtype:?}");
        }
    }
}

/// The error that the next read gives.
fn late_error(cuda: &Cuda, table: &EmbeddingTable<Cuda>, ids: Vec<u32>, offsets: Option<Vec<u32>>) -> Option<String> {
    let (rows, lookups) = (2, ids.len());
    let mut out = cuda.zeros::<f32>(rows * table.dim).expect("fits");
    let ids = cuda.upload(ids).expect("fits");
    let offsets = offsets.map(|x| cuda.upload(x).expect("fits"));
    let bag = Bag { ids: &ids, offsets: offsets.as_ref(), weights: None, rows, lookups };
    pool(cuda, MatMut::dense(&mut out, rows, table.dim), table, bag).expect("queued");
    let mut host = vec![0.0; rows * table.dim];
    let found = cuda.read(&mut host, &out, 0);
    assert!(host.iter().all(|x| (0.0..=2.5).contains(x)), "a refused id gives zeros: {host:?}");
    cuda.read(&mut host, &out, 0).expect("an error is told once");
    match found {
        Ok(()) => None,
        Err(error @ Error::Shape { op: "embedding_pools", .. }) => Some(error.to_string()),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn refuses_ids_and_offsets_that_do_not_fit_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for dim in [4, 3, 64] {
        let table = to_device(&cuda, &table(&vec![2.5; 3 * dim], 3, dim, Dtype::Fp32));
        let error = |ids: &[u32], offsets: Option<&[u32]>| {
            late_error(&cuda, &table, ids.to_vec(), offsets.map(<[u32]>::to_vec))
        };
        let bad_id = |id: u32, at| {
            Some(format!("embedding_pools: expected ids inside their table, found id {id} at position {at}"))
        };
        assert_eq!(error(&[0, 2], None), None);
        assert_eq!(error(&[0, 3], None), bad_id(3, 1));
        assert_eq!(error(&[u32::MAX, 3], None), bad_id(u32::MAX, 0));
        assert_eq!(error(&[0, 1, 7, 2, 9], Some(&[0, 1, 5])), bad_id(7, 2));
        let bad_bag = |end: u32, row| {
            let expected = "expected ascending offsets up to the lookups";
            Some(format!("embedding_pools: {expected}, found the end {end} of bag {row}"))
        };
        assert_eq!(error(&[0, 1], Some(&[0, 2, 1])), bad_bag(1, 1));
        assert_eq!(error(&[0, 1], Some(&[0, 1, 3])), bad_bag(3, 1));
    }
    let mut out = cuda.zeros::<f32>(8).expect("fits");
    let table = to_device(&cuda, &table(&[0.0; 12], 3, 4, Dtype::Fp32));
    let ids = cuda.upload(vec![0u32]).expect("fits");
    let mut refused = |rows, stride, lookups| {
        let bag = Bag { ids: &ids, offsets: None, weights: None, rows, lookups };
        let view = MatMut { buf: &mut out, rows: 2, cols: 4, stride, col: 0 };
        matches!(pool(&cuda, view, &table, bag), Err(Error::Shape { .. }))
    };
    assert!(refused(2, 4, 1), "too few ids");
    assert!(refused(2, 4, 2), "ids beyond their buffer");
    assert!(refused(1, 4, 1), "another number of rows");
    assert!(refused(2, 5, 2), "out beyond its buffer");
}
