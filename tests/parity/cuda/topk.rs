//! The best items of each query: the same ids and the same bits as one chain of multiply-adds gives.

use super::super::architecture::Architecture;
use super::budget::counted;
use super::*;
use crate::Error;
use crate::backend::cuda::Buf;
use crate::backend::cuda::topk::{Approximate, CudaItems, Form, Method, Report, floors, topk_approx, topk_reported};
use crate::backend::{Memory, Scan, Skip, TopK, TopKOutput};

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// About normal, with deviation 1.
    pub(super) fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.next() as f32 / u64::MAX as f32).sum::<f32>() - 6.0
    }

    pub(super) fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }

    /// Small whole numbers, with many ties.
    pub(super) fn whole(&mut self, n: usize, below: usize) -> Vec<f32> {
        (0..n).map(|_| self.below(below) as f32 - (below / 2) as f32).collect()
    }
}

/// Ids and scores of queries x k.
pub(super) type TopKLists = (Vec<u32>, Vec<f32>);

/// Queries, items and skip lists of one case.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub queries: &'a [f32],
    pub items: &'a [f32],
    /// One an item; absent: none adds anything to its scores.
    pub biases: Option<&'a [f32]>,
    pub dim: usize,
    pub skip: Option<&'a [Vec<u32>]>,
    pub k: usize,
}

impl Case<'_> {
    pub(super) fn rows(&self) -> usize {
        self.queries.len() / self.dim
    }

    pub(super) fn pack(&self, cuda: &Cuda) -> CudaItems {
        let n = self.items.len() / self.dim;
        let mut packed = cuda.items(n, self.dim, self.biases.is_some()).expect("room");
        // In pieces, as a catalogue is: all but the last are a multiple of 64 items.
        for first in (0..n).step_by(1024) {
            let rows = (n - first).min(1024);
            let piece = cuda.upload(self.items[first * self.dim..(first + rows) * self.dim].to_vec()).expect("fits");
            let biases = self.biases.map(|biases| cuda.upload(biases[first..first + rows].to_vec()).expect("fits"));
            cuda.pack_items(&mut packed, first, &piece, biases.as_ref(), rows).expect("packs");
        }
        packed
    }

    /// Runs `search` with poisoned results.
    pub(super) fn run<R>(
        &self,
        cuda: &Cuda,
        search: impl FnOnce(TopKOutput<'_>, &TopK<'_, Buf<f32>>) -> R,
    ) -> (TopKLists, R) {
        let places = self.rows() * self.k;
        let mut found = (vec![7; places], vec![f32::NAN; places]);
        let mut offsets = vec![0];
        let mut values = Vec::new();
        for list in self.skip.unwrap_or(&[]) {
            values.extend_from_slice(list);
            offsets.push(values.len());
        }
        let skip = self.skip.map(|_| Skip { offsets: &offsets, items: &values });
        let queries = cuda.upload(self.queries.to_vec()).expect("fits");
        let best = TopKOutput { ids: &mut found.0, scores: &mut found.1 };
        let answer = search(best, &TopK { queries: &queries, rows: self.rows(), k: self.k, skip });
        (found, answer)
    }

    /// The exact search, by bf16 rows or by int8 codes.
    pub(super) fn exact(&self, cuda: &Cuda, int8: bool) -> (TopKLists, Report) {
        let items = self.pack(cuda);
        let codes = int8.then(|| items.codes(cuda).expect("room"));
        self.run(cuda, |best, asked| topk_reported(cuda, best, &items, codes.as_ref(), asked).expect("runs"))
    }

    pub(super) fn approximate(
        &self,
        cuda: &Cuda,
        int8: bool,
        recall: f64,
        method: Option<Method>,
    ) -> (TopKLists, Approximate) {
        let items = self.pack(cuda);
        let codes = int8.then(|| items.codes(cuda).expect("room"));
        self.run(cuda, |best, asked| {
            topk_approx(cuda, best, &items, codes.as_ref(), asked, recall, method).expect("runs")
        })
    }

    /// What must come out: each score one chain of multiply-adds from the bias on, the order total.
    pub(super) fn expected(&self) -> TopKLists {
        let (mut ids, mut scores) = (Vec::new(), Vec::new());
        for (q, query) in self.queries.chunks(self.dim).enumerate() {
            let chain = |(j, item): (usize, &[f32])| {
                let bias = self.biases.map_or(0.0, |biases| biases[j]);
                let score = item.iter().zip(query).fold(bias, |sum, (v, u)| u.mul_add(*v, sum)) + 0.0;
                if bias == f32::NEG_INFINITY { f32::NAN } else { score }
            };
            let all: Vec<f32> = self.items.chunks(self.dim).enumerate().map(chain).collect();
            let skip = self.skip.map_or(&[][..], |skip| &skip[q]);
            let mut order: Vec<u32> = (0..all.len() as u32)
                .filter(|i| !all[*i as usize].is_nan() && skip.binary_search(i).is_err())
                .collect();
            order.sort_by(|&a, &b| all[b as usize].total_cmp(&all[a as usize]).then(a.cmp(&b)));
            order.truncate(self.k);
            let missing = self.k - order.len();
            scores
                .extend(order.iter().map(|&i| all[i as usize]).chain(std::iter::repeat_n(f32::NEG_INFINITY, missing)));
            ids.extend(order.into_iter().chain(std::iter::repeat_n(u32::MAX, missing)));
        }
        (ids, scores)
    }

    #[track_caller]
    pub(super) fn check(&self, name: &str, found: &TopKLists) {
        let expected = self.expected();
        for place in 0..expected.0.len() {
            let (a, b) = ((found.0[place], found.1[place]), (expected.0[place], expected.1[place]));
            let same = a.0 == b.0 && a.1.to_bits() == b.1.to_bits();
            assert!(same, "{name}: query {}, place {}: found {a:?}, not {b:?}", place / self.k, place % self.k);
        }
    }

    /// The part of the k best that came back; each score must be its item's.
    pub(super) fn recall(&self, found: &TopKLists) -> f64 {
        let expected = self.expected();
        let mut hits = 0;
        for q in 0..self.rows() {
            let at = q * self.k..(q + 1) * self.k;
            let exact = &expected.0[at.clone()];
            for (id, score) in found.0[at.clone()].iter().zip(&found.1[at.clone()]) {
                if let Some(place) = exact.iter().position(|x| x == id) {
                    hits += 1;
                    assert_eq!(score.to_bits(), expected.1[at.start + place].to_bits(), "query {q}, item {id}");
                }
            }
        }
        hits as f64 / expected.0.iter().filter(|id| **id != u32::MAX).count() as f64
    }
}

#[test]
fn exact_with_ties_and_skips_on_ragged_shapes_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(3);
    let shapes = [(1, 1), (1, 31), (2, 33), (3, 64), (9, 100), (5, 1000)];
    for (t, (rows, n)) in shapes.into_iter().enumerate() {
        let dim = [4, 12, 64, 1, 7, 100][t];
        let (queries, items) = (random.whole(rows * dim, 5), random.whole(n * dim, 7));
        let lists: Vec<Vec<u32>> =
            (0..rows).map(|_| (0..n as u32).filter(|_| random.below(4) == 0).collect()).collect();
        for (k, skip) in [(1, None), (2, Some(&lists[..])), (100, None), (1024, Some(&lists[..]))] {
            let case = Case { queries: &queries, items: &items, biases: None, dim, skip, k };
            let name = format!("{rows} queries, {n} items, {dim} wide, k {k}, skip {}", skip.is_some());
            case.check(&name, &case.exact(&cuda, false).0);
        }
    }
}

#[test]
fn scans_find_what_a_ranking_of_all_finds_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(11);
    // Narrow and wide kernels, whole and ragged tiles, half panels.
    for (rows, n, dim, k) in
        [(3, 4097, 64, 10), (66, 2500, 64, 5), (65, 2111, 128, 3), (2, 3000, 100, 20), (33, 2300, 7, 12)]
    {
        let (queries, items) = (random.normals(rows * dim), random.normals(n * dim));
        // The items of the best scores are among those skipped.
        let mut lists = vec![Vec::new(); rows];
        let best = Case { queries: &queries, items: &items, biases: None, dim, skip: None, k: 6 }.expected().0;
        for (q, list) in lists.iter_mut().enumerate().skip(1) {
            *list = best[q * 6..q * 6 + q % 7].to_vec();
            list.sort_unstable();
        }
        for (skip, int8) in [(None, false), (Some(&lists[..]), true)] {
            let case = Case { queries: &queries, items: &items, biases: None, dim, skip, k };
            let name = format!("{rows} queries, {n} items, {dim} wide, k {k}, int8 {int8}");
            let (found, report) = case.exact(&cuda, int8);
            case.check(&name, &found);
            assert_eq!(report, Report::default(), "{name}: the first scan is enough");
        }
    }
}

#[test]
fn the_same_bits_twice_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(21);
    let (queries, items) = (random.normals(4 * 32), random.normals(3000 * 32));
    let case = Case { queries: &queries, items: &items, biases: None, dim: 32, skip: None, k: 25 };
    let (a, b) = (case.exact(&cuda, false).0, case.exact(&cuda, false).0);
    assert!(a.0 == b.0 && a.1.iter().map(|x| x.to_bits()).eq(b.1.iter().map(|x| x.to_bits())));
}

#[test]
fn ties_beyond_the_list_come_by_item_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for value in [0.0, -0.0, 1.0, f32::INFINITY, f32::NEG_INFINITY] {
        // More equal items than a list holds.
        let items = vec![value; 9000];
        let case = Case { queries: &[1.0, 0.0], items: &items, biases: None, dim: 1, skip: None, k: 40 };
        case.check(&value.to_string(), &case.exact(&cuda, false).0);
    }
    // Products below the smallest number: those below zero round to -0, which equals 0.
    let items: Vec<f32> = (0..5000).map(|i| if i % 3 == 0 { -1e-30 } else { 1e-30 }).collect();
    let case = Case { queries: &[1e-30], items: &items, biases: None, dim: 1, skip: None, k: 100 };
    let (ids, _) = case.exact(&cuda, false).0;
    assert_eq!(ids, (0..100).collect::<Vec<u32>>());
}

#[test]
fn values_that_are_not_finite_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(31);
    let (dim, n) = (8, 2600);
    let (mut queries, mut items) = (random.normals(7 * dim), random.normals(n * dim));
    for (item, value) in [(5, f32::NAN), (700, f32::INFINITY), (1500, f32::NEG_INFINITY), (2599, 3.3e38)] {
        items[item * dim + 3] = value;
    }
    queries[dim] = f32::NAN;
    queries[2 * dim + 3] = f32::INFINITY;
    queries[3 * dim..4 * dim].fill(0.0);
    queries[4 * dim..5 * dim].fill(3e38);
    queries[5 * dim..6 * dim].fill(1e-42);
    for int8 in [false, true] {
        let case = Case { queries: &queries, items: &items, biases: None, dim, skip: None, k: 9 };
        case.check(&format!("int8 {int8}"), &case.exact(&cuda, int8).0);
        // Without the item whose norm overflows, most queries are scanned for.
        let case = Case { queries: &queries, items: &items[..2599 * dim], biases: None, dim, skip: None, k: 9 };
        let (found, report) = case.exact(&cuda, int8);
        case.check(&format!("int8 {int8}, bounded"), &found);
        assert!(report.ranked_all < 7, "{report:?}");
    }
}

#[test]
fn a_misleading_sample_costs_time_alone_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(41);
    let (dim, n, k) = (4, 20_000, 30);
    // Nearly all items are equally good, far more than a list holds; the best stand at the end.
    let mut items = vec![0.5; n * dim];
    for x in &mut items[(n - 40) * dim..] {
        *x = 0.6 + random.below(100) as f32 * 1e-3;
    }
    let case = Case { queries: &[1.0, 0.5, 0.25, 1.0], items: &items, biases: None, dim, skip: None, k };
    let (found, report) = case.exact(&cuda, false);
    case.check("a plateau", &found);
    assert!(report.rescanned + report.ranked_all > 0, "{report:?}");
}

#[test]
fn more_places_than_a_block_holds_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(51);
    let items = random.whole(2700 * 3, 9);
    let lists = vec![vec![0, 5, 2699], (0..2699).collect()];
    let case = Case {
        queries: &[1.0, -2.0, 1.0, 3.0, 0.0, 1.0],
        items: &items,
        biases: None,
        dim: 3,
        skip: Some(&lists),
        k: 2650,
    };
    case.check("2,650 places", &case.exact(&cuda, false).0);
    let case = Case { k: 4200, ..case };
    case.check("4,200 places", &case.exact(&cuda, false).0);
}

#[test]
fn approximate_searches_reach_the_recall_that_is_asked_for_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(61);
    let (dim, n, rows) = (16, 12_000, 20);
    let centres = random.normals(20 * dim);
    let spread = random.normals(n * dim);
    // Clusters stand together, as catalogues sorted by category do.
    let clustered: Vec<f32> =
        (0..n * dim).map(|i| centres[i / dim * 20 / n * dim + i % dim] + 0.5 * spread[i]).collect();
    let queries = random.normals(rows * dim);
    for (name, items) in [("random", &spread), ("clustered", &clustered)] {
        for (int8, k, recall, method) in [
            (false, 10, 0.95, Method::Buckets),
            (true, 100, 0.9, Method::Buckets),
            (true, 300, 0.99, Method::Threshold),
            (false, 10, 1.0, Method::Exact),
        ] {
            let case = Case { queries: &queries, items, biases: None, dim, skip: None, k };
            let (found, done) = case.approximate(&cuda, int8, recall, Some(method));
            let measured = case.recall(&found);
            println!("{name}, k {k}, int8 {int8}: recall {measured}, {done:?}");
            assert!(measured >= recall, "{name}, k {k}, int8 {int8}: recall {measured}, {done:?}");
            assert!(done.recall >= recall, "{name}: {done:?}");
            assert_eq!(done.method, method, "{name}, recall {recall}: {done:?}");
        }
    }
}

#[test]
fn nothing_to_find_and_refusals_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    for (queries, items, k) in [(8, 0, 3), (8, 8, 0), (0, 8, 3)] {
        let (queries, items) = (vec![1.0; queries], vec![1.0; items]);
        let case = Case { queries: &queries, items: &items, biases: None, dim: 4, skip: None, k };
        case.check("nothing", &case.exact(&cuda, false).0);
    }
    let mut items = cuda.items(2, 4, false).expect("room");
    cuda.pack_items(&mut items, 0, &cuda.upload(vec![1.0; 8]).expect("fits"), None, 2).expect("packs");
    let queries = cuda.upload(vec![0.0; 4]).expect("fits");
    let asked = |rows, skip| TopK { queries: &queries, rows, k: 4, skip };
    let best = TopKOutput { ids: &mut [0; 3], scores: &mut [0.0; 4] };
    let short = topk_reported(&cuda, best, &items, None, &asked(1, None));
    assert!(matches!(short, Err(Error::Shape { op: "topk", .. })));
    let short = cuda.ask(&items, &asked(2, None));
    assert!(matches!(short, Err(Error::Shape { op: "topk", .. })));
    let skip = Skip { offsets: &[0, 5], items: &[1] };
    let beyond = cuda.ask(&items, &asked(1, Some(skip)));
    assert!(matches!(beyond, Err(Error::Shape { op: "topk", .. })));
    let ragged = cuda.pack_items(&mut items, 1, &queries, None, 1);
    assert!(matches!(ragged, Err(Error::Shape { op: "pack_items", .. })));
    let best = TopKOutput { ids: &mut [0; 4], scores: &mut [0.0; 4] };
    let recall = topk_approx(&cuda, best, &items, None, &asked(1, None), 0.0, None);
    assert!(matches!(recall, Err(Error::Shape { op: "topk_approx", .. })));
}

#[test]
fn scans_move_and_multiply_what_they_must_cuda() {
    let Some(_) = device(Precision::Bf16) else { return };
    let cuda = Cuda::with_kernels(0, Precision::Bf16, Architecture::Sm80).expect("every device runs these");
    let mut random = Random(71);
    for (dim, rows, n, int8, kernel) in [
        (64, 130, 2309, false, "topk_filter_bf16_128"),
        (128, 131, 2311, true, "topk_filter_int8_128"),
        (100, 40, 2333, false, "topk_filter_bf16"),
    ] {
        let (queries, items) = (random.normals(rows * dim), random.normals(n * dim));
        let case = Case { queries: &queries, items: &items, biases: None, dim, skip: None, k: 5 };
        let form = if int8 { Form::Int8 } else { Form::Bf16 };
        case.exact(&cuda, int8);
        let grid = floors::scan_grid(form, dim, n, rows, cuda.info().multiprocessors as usize);
        let Some(scan) = counted(&cuda, kernel, grid) else { return };
        scan.reads(floors::scan_sectors(form, dim, n, rows, grid[1]), 1.25);
        scan.multiplies(floors::scan_operations(form, dim, n, rows));
        scan.has_few_conflicts();
        // One atomic a candidate, nothing else is written: no score.
        let candidates = scan.count("atomics_global");
        assert!(candidates >= (rows * 5) as u64 && scan.count("global_store_sectors") <= candidates, "{candidates}");
        let Some(rank) = counted(&cuda, "topk_rank_list", [rows, 1, 1]) else { return };
        rank.has_few_conflicts();
        let Some(pack) = counted(&cuda, "topk_pack_bf16", [(n - 2048).div_ceil(8), 1, 1]) else { return };
        pack.moves(floors::pack_bytes(dim, n - 2048), 1.10);
        if !int8 {
            let Some(prepare) = counted(&cuda, "topk_prepare_bf16", [rows.div_ceil(8), 1, 1]) else { return };
            prepare.moves(floors::prepare_bytes(dim, rows), 1.25);
        }
    }
}
