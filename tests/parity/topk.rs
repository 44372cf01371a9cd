//! The best items of each query.

use super::*;
use crate::Error;
use crate::backend::cpu::topk::{ItemView, TopKMethod, TopKQueries, topk};
use crate::backend::{Scan, Skip, TopK};

/// Ids and scores of `rows` x `k`.
type TopKLists = (Vec<u32>, Vec<f32>);

/// What both ways find; they must agree bit for bit.
fn run(cpu: &Cpu, queries: &[f32], items: &[f32], dim: usize, skip: Option<&[Vec<u32>]>, k: usize) -> TopKLists {
    let [fp32, certified] =
        [TopKMethod::Fp32, TopKMethod::Certified].map(|method| run_by(cpu, queries, items, dim, skip, k, Some(method)));
    assert_eq!(fp32.0, certified.0, "items by codes");
    assert_eq!(bits(&fp32.1), bits(&certified.1), "scores by codes");
    certified
}

fn run_by(
    cpu: &Cpu,
    queries: &[f32],
    items: &[f32],
    dim: usize,
    skip: Option<&[Vec<u32>]>,
    k: usize,
    method: Option<TopKMethod>,
) -> TopKLists {
    let (rows, n) = (queries.len() / dim, items.len() / dim);
    // In pieces, as a catalogue is: all but the last are a multiple of 64 items.
    let mut packed = cpu.items(n, dim, false).expect("room");
    for first in (0..n).step_by(128) {
        let rows = (n - first).min(128);
        let piece = items[first * dim..(first + rows) * dim].to_vec();
        cpu.pack_items(&mut packed, first, &piece, None, rows).expect("packs");
    }
    let (mut ids, mut scores) = (vec![7; rows * k], vec![f32::NAN; rows * k]);
    let offsets: Vec<usize> = skip.map_or(vec![], |lists| {
        let ends = lists.iter().scan(0, |at, l| {
            *at += l.len();
            Some(*at)
        });
        std::iter::once(0).chain(ends).collect()
    });
    let values = skip.map_or(vec![], |lists| lists.concat());
    let skip = skip.map(|_| Skip { offsets: &offsets, items: &values });
    let view = ItemView { skip, ..Default::default() };
    topk(cpu, &mut ids, &mut scores, &packed, &TopKQueries { queries, rows, k, view }, method).expect("runs");
    (ids, scores)
}

/// Small whole numbers: their products and sums are exact in f32, with many ties.
fn whole(random: &mut Random, n: usize, below: usize) -> Vec<f32> {
    (0..n).map(|_| random.below(below) as f32 - (below / 2) as f32).collect()
}

fn exact_scores(query: &[f32], items: &[f32]) -> Vec<f64> {
    naive::topk::scores(&wide(query), &wide(items), None)
}

fn check(
    name: &str,
    found: &TopKLists,
    queries: &[f32],
    items: &[f32],
    dim: usize,
    skip: Option<&[Vec<u32>]>,
    k: usize,
) {
    for (q, query) in queries.chunks(dim).enumerate() {
        let scores = exact_scores(query, items);
        let expected = naive::topk::topk(&scores, skip.map_or(&[], |s| &s[q]), k);
        let (ids, found) = (&found.0[q * k..(q + 1) * k], &found.1[q * k..(q + 1) * k]);
        assert_eq!(&ids[..expected.len()], expected, "{name}, query {q}");
        for (i, &id) in ids.iter().enumerate() {
            match expected.get(i) {
                Some(&id) => assert_eq!(f64::from(found[i]), scores[id as usize], "{name}, query {q}, place {i}"),
                None => assert_eq!((id, found[i]), (u32::MAX, f32::NEG_INFINITY), "{name}, query {q}, place {i}"),
            }
        }
    }
}

#[test]
fn exact_with_ties_and_skips_on_ragged_shapes() {
    for (isa, cpu) in cpus(1) {
        let mut random = Random(3);
        for (t, &(rows, n)) in
            [(1, 1), (1, 31), (2, 33), (11, 64), (12, 100), (13, 1000), (97, 1500), (25, 3000)].iter().enumerate()
        {
            let dim = [4, 12, 64, 1, 7, 100][t % 6];
            let (queries, items) = (whole(&mut random, rows * dim, 5), whole(&mut random, n * dim, 7));
            let lists: Vec<Vec<u32>> =
                (0..rows).map(|_| (0..n as u32).filter(|_| random.below(4) == 0).collect()).collect();
            for k in [1, 2, 10, 100, 1024] {
                for skip in [None, Some(&lists[..])] {
                    let found = run(&cpu, &queries, &items, dim, skip, k);
                    let name =
                        format!("{isa:?}, {rows} queries, {n} items, {dim} wide, k {k}, skip {}", skip.is_some());
                    check(&name, &found, &queries, &items, dim, skip, k);
                }
            }
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn exact_anywhere(rows in 1usize..30, n in 1usize..700, dim in 1usize..20, k in 1usize..200, seed: u64) {
        let mut random = Random(seed);
        let (queries, items) = (whole(&mut random, rows * dim, 5), whole(&mut random, n * dim, 4));
        let lists: Vec<Vec<u32>> = (0..rows).map(|_| (0..n as u32).filter(|_| random.below(3) == 0).collect()).collect();
        for (isa, cpu) in cpus(1) {
            let found = run(&cpu, &queries, &items, dim, Some(&lists), k);
            check(&format!("{isa:?}, seed {seed}"), &found, &queries, &items, dim, Some(&lists), k);
        }
    }
}

#[test]
fn exact_where_few_queries_share_the_items_out() {
    for (isa, cpu) in cpus(2) {
        let mut random = Random(5);
        let (queries, items) = (whole(&mut random, 3 * 4, 9), whole(&mut random, 40_000 * 4, 3));
        let skip = vec![vec![], (0..39_990).collect(), (0..40_000).collect()];
        for k in [5, 700] {
            let found = run(&cpu, &queries, &items, 4, Some(&skip), k);
            check(&format!("{isa:?}, k {k}"), &found, &queries, &items, 4, Some(&skip), k);
        }
    }
}

#[test]
fn equal_scores_come_by_item() {
    for (isa, cpu) in cpus(1) {
        for value in [0.0, -0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY] {
            // One column: a score is the item's value.
            let items = vec![value; 5000];
            let (ids, scores) = run(&cpu, &[1.0; 2], &items, 1, None, 40);
            let expected: Vec<u32> = (0..40).chain(0..40).collect();
            assert_eq!(ids, expected, "{isa:?}: {value}");
            assert!(scores.iter().all(|&s| s == value), "{isa:?}: {value}");
        }
        // -0 and 0 are the same score.
        // The products are too small: rounded once, those below zero are -0.
        let items: Vec<f32> = (0..500).map(|i| if i % 3 == 0 { -1e-30 } else { 1e-30 }).collect();
        let (ids, _) = run(&cpu, &[1e-30], &items, 1, None, 100);
        assert_eq!(ids, (0..100).collect::<Vec<u32>>(), "{isa:?}");
    }
}

#[test]
fn nan_is_never_returned() {
    for (isa, cpu) in cpus(1) {
        let mut items = vec![1.0; 200];
        for i in (0..200).step_by(2) {
            items[i] = f32::NAN;
        }
        let (ids, scores) = run(&cpu, &[1.0, f32::NAN], &items, 1, None, 150);
        let expected: Vec<u32> = (1..200).step_by(2).chain(std::iter::repeat_n(u32::MAX, 200)).collect();
        assert_eq!(ids, expected, "{isa:?}");
        assert!(scores.iter().all(|s| !s.is_nan()), "{isa:?}");
    }
}

#[test]
fn a_score_depends_on_its_query_and_item_alone() {
    let mut random = Random(9);
    let (dim, n) = (37, 20_000);
    let (queries, items) = (random.vec(200 * dim, 1.0), random.vec(n * dim, 1.0));
    for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
        let of = |threads| Cpu::new(threads, Some(isa), Precision::Fp32).expect("there");
        let all = run(&of(1), &queries, &items, dim, None, 50);
        let found = run(&of(4), &queries, &items, dim, None, 50);
        assert!(all.0 == found.0 && bits(&all.1) == bits(&found.1), "{isa:?}: threads");
        for q in [0, 1, 13, 199] {
            // Alone, the items are shared out; the query stands at another place of its tile.
            let one = run(&of(3), &queries[q * dim..(q + 1) * dim], &items, dim, None, 50);
            assert_eq!(one.0, all.0[q * 50..(q + 1) * 50], "{isa:?}: query {q}");
            assert_eq!(bits(&one.1), bits(&all.1[q * 50..(q + 1) * 50]), "{isa:?}: query {q}");
        }
    }
}

/// Where codes cannot tell items apart, or cannot stand for them at all, the answer is the same.
#[test]
fn values_that_suit_codes_badly() {
    let (dim, n, rows) = (24, 9000, 13);
    let mut random = Random(11);
    let plain = random.vec(n * dim, 1.0);
    let asked = random.vec(rows * dim, 1.0);
    let map = |values: &[f32], f: &dyn Fn(usize, f32) -> f32| -> Vec<f32> {
        values.iter().enumerate().map(|(i, &x)| f(i, x)).collect()
    };
    let cases = [
        // All scores lie closer together than the bounds: thousands of items may be the best.
        ("near", map(&plain, &|_, x| 1.0 + x * 1e-4), map(&asked, &|_, x| 1.0 + x * 1e-4)),
        // One coordinate outshines the others, which decide.
        ("outlier", map(&plain, &|i, x| if i % dim == 3 { 1e4 } else { x }), asked.clone()),
        // Norms from tiny to huge, within a panel and between panels.
        ("norms", map(&plain, &|i, x| x * 2f32.powi((i / dim * 7 % 60) as i32 - 30)), asked.clone()),
        ("tiny", map(&plain, &|_, x| x * 1e-30), map(&asked, &|_, x| x * 1e-3)),
        ("huge", map(&plain, &|_, x| x * 1e15), map(&asked, &|_, x| x * 1e15)),
        ("zero items", map(&plain, &|i, x| if i / dim % 3 == 0 { 0.0 } else { x }), asked.clone()),
        ("zero queries", plain.clone(), map(&asked, &|i, x| if i / dim % 2 == 0 { 0.0 } else { x })),
        ("too large", map(&plain, &|i, x| if i == 777 { 1e20 } else { x }), asked.clone()),
        ("infinite", map(&plain, &|i, x| if i == 777 { f32::INFINITY } else { x }), asked.clone()),
        ("NaN query", plain.clone(), map(&asked, &|i, x| if i == 30 { f32::NAN } else { x })),
        ("equal", vec![0.5; n * dim], asked.clone()),
    ];
    for (isa, cpu) in cpus(2) {
        for (name, items, queries) in &cases {
            for k in [1, 12, 200] {
                let found = run(&cpu, queries, items, dim, None, k);
                assert!(found.1.iter().all(|s| !s.is_nan()), "{isa:?}, {name}, k {k}");
            }
        }
    }
}

/// Codes are whole numbers and exact, whatever the instruction set: so is what they leave to be scored.
#[test]
fn one_query_or_many_by_codes() {
    let mut random = Random(13);
    let (dim, n) = (40, 5000);
    let items = random.vec(n * dim, 1.0);
    for rows in [1, 2, 3, 4, 5, 11, 12, 13, 25, 100] {
        let queries = random.vec(rows * dim, 1.0);
        for (isa, cpu) in cpus(1) {
            let found = run(&cpu, &queries, &items, dim, None, 12);
            for q in [0, rows - 1] {
                let scores = exact_scores(&queries[q * dim..(q + 1) * dim], &items);
                let expected = naive::topk::topk(&scores, &[], 12);
                assert_eq!(found.0[q * 12..(q + 1) * 12], expected, "{isa:?}, {rows} queries, query {q}");
            }
        }
    }
}

#[test]
fn nothing_to_find() {
    let cpu = Cpu::new(1, None, Precision::Fp32).expect("there");
    assert_eq!(run(&cpu, &[1.0; 8], &[], 4, None, 3), (vec![u32::MAX; 6], vec![f32::NEG_INFINITY; 6]));
    assert_eq!(run(&cpu, &[1.0; 8], &[1.0; 8], 4, None, 0), (vec![], vec![]));
    assert_eq!(run(&cpu, &[], &[1.0; 8], 4, None, 3), (vec![], vec![]));
    let mut items = cpu.items(2, 4, false).expect("room");
    cpu.pack_items(&mut items, 0, &vec![1.0; 8], None, 2).expect("packs");
    let search = TopKQueries { queries: &[0.0; 4], rows: 1, k: 4, view: ItemView::default() };
    let short = topk(&cpu, &mut [0; 3], &mut [0.0; 4], &items, &search, None);
    assert!(matches!(short, Err(Error::Shape { op: "topk", .. })));
    let skip = Some(Skip { offsets: &[0, 5], items: &[1] });
    let beyond = cpu.ask(&items, &TopK { queries: &vec![0.0; 4], rows: 1, k: 4, skip });
    assert!(matches!(beyond, Err(Error::Shape { op: "topk", .. })));
}
