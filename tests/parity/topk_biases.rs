//! The best items of each query where every item adds a bias of its own to its scores.

use super::*;
use crate::Error;
use crate::backend::cpu::topk::{ItemView, TopKMethod, TopKQueries, topk};
use crate::backend::{Scan, Skip};

/// Ids and scores of queries x k.
type TopKLists = (Vec<u32>, Vec<f32>);

/// Queries, items and their biases.
#[derive(Clone)]
struct Case {
    queries: Vec<f32>,
    items: Vec<f32>,
    biases: Option<Vec<f32>>,
    dim: usize,
    skip: Option<Vec<Vec<u32>>>,
    k: usize,
}

impl Case {
    fn rows(&self) -> usize {
        self.queries.len() / self.dim
    }

    /// What both ways find; they must agree bit for bit.
    fn run(&self, cpu: &Cpu, name: &str) -> TopKLists {
        let [fp32, certified] = [TopKMethod::Fp32, TopKMethod::Certified].map(|method| self.run_by(cpu, method));
        assert_eq!(fp32.0, certified.0, "{name}: items by codes");
        assert_eq!(bits(&fp32.1), bits(&certified.1), "{name}: scores by codes");
        certified
    }

    fn run_by(&self, cpu: &Cpu, method: TopKMethod) -> TopKLists {
        let (rows, n, dim) = (self.rows(), self.items.len() / self.dim, self.dim);
        let mut packed = cpu.items(n, dim, self.biases.is_some()).expect("room");
        // In pieces, as a catalogue is: all but the last are a multiple of 64 items.
        for first in (0..n).step_by(128) {
            let end = n.min(first + 128);
            let biases = self.biases.as_ref().map(|biases| biases[first..end].to_vec());
            let piece = self.items[first * dim..end * dim].to_vec();
            cpu.pack_items(&mut packed, first, &piece, biases.as_ref(), end - first).expect("packs");
        }
        let (mut ids, mut scores) = (vec![7; rows * self.k], vec![f32::NAN; rows * self.k]);
        let mut offsets = vec![0];
        let lists = self.skip.clone().unwrap_or_default();
        lists.iter().for_each(|list| offsets.push(offsets[offsets.len() - 1] + list.len()));
        let values = lists.concat();
        let skip = self.skip.as_ref().map(|_| Skip { offsets: &offsets, items: &values });
        let view = ItemView { skip, ..Default::default() };
        let search = TopKQueries { queries: &self.queries, rows, k: self.k, view };
        topk(cpu, &mut ids, &mut scores, &packed, &search, Some(method)).expect("runs");
        (ids, scores)
    }

    /// What the oracle finds; exact where values and sums are small whole numbers.
    fn check(&self, found: &TopKLists, name: &str) {
        let (items, biases) = (wide(&self.items), self.biases.as_ref().map(|biases| wide(biases)));
        for (q, query) in self.queries.chunks(self.dim).enumerate() {
            let scores = naive::topk::scores(&wide(query), &items, biases.as_deref());
            let expected = naive::topk::topk(&scores, self.skip.as_ref().map_or(&[], |skip| &skip[q]), self.k);
            let places = q * self.k..(q + 1) * self.k;
            for (i, (&id, &score)) in found.0[places.clone()].iter().zip(&found.1[places]).enumerate() {
                let there = expected.get(i).map_or((u32::MAX, f64::NEG_INFINITY), |&id| (id, scores[id as usize]));
                assert_eq!((id, f64::from(score)), there, "{name}, query {q}, place {i}");
            }
        }
    }

    /// One chain of multiply-adds from the bias on; what the instruction set makes of one.
    fn chain(&self, isa: Isa, q: usize, item: usize) -> f32 {
        let bias = self.biases.as_ref().map_or(0.0, |biases| biases[item]);
        let query = &self.queries[q * self.dim..(q + 1) * self.dim];
        let pairs = query.iter().zip(&self.items[item * self.dim..(item + 1) * self.dim]);
        let score = pairs.fold(bias, |sum, (u, v)| if isa == Isa::Portable { u * v + sum } else { u.mul_add(*v, sum) });
        if bias == f32::NEG_INFINITY { f32::NAN } else { score + 0.0 }
    }

    /// The order of all chains, bit for bit.
    fn check_chains(&self, isa: Isa, found: &TopKLists, name: &str) {
        for q in 0..self.rows() {
            let all: Vec<f32> = (0..self.items.len() / self.dim).map(|item| self.chain(isa, q, item)).collect();
            let mut order: Vec<u32> = (0..all.len() as u32).filter(|&i| !all[i as usize].is_nan()).collect();
            order.sort_by(|&a, &b| all[b as usize].total_cmp(&all[a as usize]).then(a.cmp(&b)));
            for i in 0..self.k {
                let place = q * self.k + i;
                let there = order.get(i).map_or((u32::MAX, f32::NEG_INFINITY), |&id| (id, all[id as usize]));
                let same = (found.0[place], found.1[place].to_bits()) == (there.0, there.1.to_bits());
                let found = (found.0[place], found.1[place]);
                assert!(same, "{name}, {isa:?}, query {q}, place {i}: {found:?}, not {there:?}");
            }
        }
    }
}

/// Small whole numbers: their products and sums are exact in f32, with many ties.
fn whole(random: &mut Random, n: usize, below: usize) -> Vec<f32> {
    (0..n).map(|_| random.below(below) as f32 - (below / 2) as f32).collect()
}

#[test]
fn exact_with_ties_and_skips_on_ragged_shapes() {
    for (isa, cpu) in cpus(1) {
        let mut random = Random(3);
        for (t, &(rows, n)) in
            [(1, 1), (1, 31), (2, 33), (11, 64), (12, 100), (13, 1000), (97, 1500), (25, 3000)].iter().enumerate()
        {
            let dim = [4, 12, 64, 1, 7, 100][t % 6];
            let mut biases = whole(&mut random, n, 9);
            // Items that are not to be found, and items of one bias.
            (0..n).step_by(7).for_each(|i| biases[i] = f32::NEG_INFINITY);
            let lists: Vec<Vec<u32>> =
                (0..rows).map(|_| (0..n as u32).filter(|_| random.below(4) == 0).collect()).collect();
            let mut case = Case {
                queries: whole(&mut random, rows * dim, 5),
                items: whole(&mut random, n * dim, 7),
                biases: None,
                dim,
                skip: None,
                k: 0,
            };
            for biases in [biases, vec![3.0; n], vec![f32::NEG_INFINITY; n]] {
                case.biases = Some(biases);
                for (k, skip) in [(1, None), (10, Some(lists.clone())), (100, None), (1024, Some(lists.clone()))] {
                    (case.k, case.skip) = (k, skip);
                    let name = format!("{isa:?}, {rows} queries, {n} items, {dim} wide, k {k}");
                    case.check(&case.run(&cpu, &name), &name);
                }
            }
        }
    }
}

#[test]
fn equal_biases_move_all_scores_and_no_item() {
    let mut random = Random(5);
    let (dim, n) = (24, 3000);
    for (isa, cpu) in cpus(2) {
        let (queries, items) = (whole(&mut random, 30 * dim, 5), whole(&mut random, n * dim, 5));
        let plain = Case { queries, items, biases: None, dim, skip: None, k: 20 };
        let moved = Case { biases: Some(vec![-40.0; n]), ..plain.clone() };
        let (plain, moved) = (plain.run(&cpu, "plain"), moved.run(&cpu, "moved"));
        assert_eq!(plain.0, moved.0, "{isa:?}");
        assert!(plain.1.iter().zip(&moved.1).all(|(a, b)| *a - 40.0 == *b), "{isa:?}");
        // Zeros are the same bits as none.
        let (queries, items) = (random.vec(30 * dim, 1.0), random.vec(n * dim, 1.0));
        let none = Case { queries, items, biases: None, dim, skip: None, k: 20 };
        let zeros = Case { biases: Some(vec![0.0; n]), ..none.clone() };
        let (none, zeros) = (none.run(&cpu, "none"), zeros.run(&cpu, "zeros"));
        assert!(none.0 == zeros.0 && bits(&none.1) == bits(&zeros.1), "{isa:?}");
    }
}

/// Scores are chains of multiply-adds that start at the bias, whatever its size beside the products.
#[test]
fn a_score_is_one_chain_from_the_bias_on() {
    let (dim, n, rows) = (37, 2500, 13);
    let mut random = Random(9);
    let (items, queries) = (random.vec(n * dim, 1.0), random.vec(rows * dim, 1.0));
    for size in [1e-6, 0.3, 5.0, 1e3, 1e6, 1e12] {
        let biases = Some(random.vec(n, size));
        let case = Case { queries: queries.clone(), items: items.clone(), biases, dim, skip: None, k: 30 };
        for (isa, cpu) in cpus(1) {
            let name = format!("biases up to {size}");
            case.check_chains(isa, &case.run(&cpu, &name), &name);
        }
    }
}

/// Where sums of codes cannot tell items apart, or cannot hold a bias at all, the answer is the same.
#[test]
fn biases_that_suit_codes_badly() {
    let (dim, n, rows) = (24, 4000, 13);
    let mut random = Random(11);
    let (plain, asked, small) = (random.vec(n * dim, 1.0), random.vec(rows * dim, 1.0), random.vec(n, 1.0));
    let with =
        |f: &dyn Fn(usize, f32) -> f32| -> Vec<f32> { small.iter().enumerate().map(|(i, &b)| f(i, b)).collect() };
    let scaled = |values: &[f32], by: f32| values.iter().map(|x| x * by).collect::<Vec<f32>>();
    let cases = [
        ("one stands out", plain.clone(), asked.clone(), with(&|i, b| if i == 777 { 1e6 } else { b })),
        ("one far below", plain.clone(), asked.clone(), with(&|i, b| if i == 777 { -1e14 } else { b })),
        ("one in each panel", plain.clone(), asked.clone(), with(&|i, b| if i % 32 == 5 { 1e5 + b } else { b })),
        ("all far out", plain.clone(), asked.clone(), with(&|_, b| 1e7 + b)),
        ("of all sizes", plain.clone(), asked.clone(), with(&|i, b| b * 2f32.powi((i * 7 % 60) as i32 - 30))),
        ("tiny vectors", scaled(&plain, 1e-14), scaled(&asked, 1e-14), small.clone()),
        ("tiny vectors, large biases", scaled(&plain, 1e-14), scaled(&asked, 1e-14), scaled(&small, 1e14)),
        ("large vectors", scaled(&plain, 1e14), scaled(&asked, 1e14), small.clone()),
        ("zero queries", plain.clone(), vec![0.0; rows * dim], small.clone()),
        ("zero items", vec![0.0; n * dim], asked.clone(), small.clone()),
        ("too large", plain.clone(), asked.clone(), with(&|i, b| if i == 777 { 1e20 } else { b })),
        ("the largest", plain.clone(), asked.clone(), with(&|i, b| if i % 9 == 7 { f32::MAX } else { b })),
        ("infinite", plain.clone(), asked.clone(), with(&|i, b| if i == 777 { f32::INFINITY } else { b })),
        ("NaN", plain.clone(), asked.clone(), with(&|i, b| if i % 3 == 0 { f32::NAN } else { b })),
        ("half left out", plain.clone(), asked.clone(), with(&|i, b| if i % 2 == 0 { f32::NEG_INFINITY } else { b })),
    ];
    for (isa, cpu) in cpus(2) {
        for (name, items, queries, biases) in &cases {
            let (queries, items, biases) = (queries.clone(), items.clone(), Some(biases.clone()));
            let mut case = Case { queries, items, biases, dim, skip: None, k: 0 };
            for k in [1, 12, 60] {
                case.k = k;
                let found = case.run(&cpu, name);
                assert!(found.1.iter().all(|score| !score.is_nan()), "{isa:?}, {name}, k {k}");
                case.check_chains(isa, &found, name);
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
        let biases = whole(&mut random, n, 1 << (seed % 12)).into_iter();
        let biases = Some(biases.map(|b| if random.below(9) == 0 { f32::NEG_INFINITY } else { b }).collect());
        let skip = Some((0..rows).map(|_| (0..n as u32).filter(|_| random.below(3) == 0).collect()).collect());
        let case = Case { queries, items, biases, dim, skip, k };
        for (isa, cpu) in cpus(1) {
            let name = format!("{isa:?}, seed {seed}");
            case.check(&case.run(&cpu, &name), &name);
        }
    }
}

#[test]
fn biases_that_are_not_there_or_too_many_are_refused() {
    let cpu = Cpu::new(1, None, Precision::Fp32).expect("there");
    let mut plain = cpu.items(2, 4, false).expect("room");
    let mut biased = cpu.items(2, 4, true).expect("room");
    let values = vec![1.0; 8];
    for (items, biases) in [(&mut plain, Some(vec![0.0; 2])), (&mut biased, None)] {
        let refused = cpu.pack_items(items, 0, &values, biases.as_ref(), 2);
        assert!(matches!(refused, Err(Error::Shape { op: "pack_items", .. })), "{refused:?}");
    }
    let few = cpu.pack_items(&mut biased, 0, &values, Some(&vec![0.0]), 2);
    assert!(matches!(few, Err(Error::Shape { op: "pack_items", .. })), "{few:?}");
}
