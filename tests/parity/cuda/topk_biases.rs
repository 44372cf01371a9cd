//! The best items of each query where every item adds a bias of its own to its scores: the bits of one chain of
//! multiply-adds that starts at the bias.

use super::topk::{Case, Random};
use super::*;
use crate::Error;
use crate::backend::cuda::topk::{Method, Report};
use crate::backend::{Memory, Scan};

#[test]
fn exact_with_biases_ties_and_skips_on_ragged_shapes_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(3);
    for (t, (rows, n)) in [(1, 1), (1, 31), (2, 33), (3, 64), (9, 100), (5, 1000)].into_iter().enumerate() {
        let dim = [4, 12, 64, 1, 7, 100][t];
        let (queries, items) = (random.whole(rows * dim, 5), random.whole(n * dim, 7));
        let mut biases = random.whole(n, 9);
        (0..n).step_by(7).for_each(|i| biases[i] = f32::NEG_INFINITY);
        let lists: Vec<Vec<u32>> =
            (0..rows).map(|_| (0..n as u32).filter(|_| random.below(4) == 0).collect()).collect();
        for (k, skip) in [(1, None), (2, Some(&lists[..])), (100, None), (1024, Some(&lists[..]))] {
            let case = Case { queries: &queries, items: &items, biases: Some(&biases), dim, skip, k };
            let name = format!("{rows} queries, {n} items, {dim} wide, k {k}, skip {}", skip.is_some());
            case.check(&name, &case.exact(&cuda, false).0);
        }
    }
}

#[test]
fn scans_with_biases_find_what_a_ranking_of_all_finds_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(11);
    // Narrow and wide kernels of both forms, whole and ragged tiles, half panels.
    for (rows, n, dim, k) in [
        (3, 4097, 64, 10),
        (66, 2500, 64, 5),
        (65, 2111, 128, 3),
        (2, 3000, 100, 20),
        (33, 2300, 7, 12),
        (66, 2200, 16, 4),
    ] {
        let (queries, items) = (random.normals(rows * dim), random.normals(n * dim));
        // As large as the products, far smaller, far larger: where a bias decides, scores must still be told apart.
        for size in [1e-3, 4.0, 1e4] {
            let biases: Vec<f32> = random.normals(n).iter().map(|b| b * size).collect();
            for int8 in [false, true] {
                let case = Case { queries: &queries, items: &items, biases: Some(&biases), dim, skip: None, k };
                let name = format!("{rows} queries, {n} items, {dim} wide, k {k}, int8 {int8}, biases of {size}");
                let (found, report) = case.exact(&cuda, int8);
                case.check(&name, &found);
                assert_eq!(report, Report::default(), "{name}: the first scan is enough");
            }
        }
    }
}

#[test]
fn zero_biases_are_none_and_equal_ones_move_scores_alone_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(21);
    let (dim, n) = (32, 2600);
    let (queries, items) = (random.normals(4 * dim), random.normals(n * dim));
    let zeros = vec![0.0; n];
    let case = Case { queries: &queries, items: &items, biases: None, dim, skip: None, k: 25 };
    let (none, zeros) = (case.exact(&cuda, false).0, Case { biases: Some(&zeros), ..case }.exact(&cuda, false).0);
    assert!(none.0 == zeros.0 && none.1.iter().map(|x| x.to_bits()).eq(zeros.1.iter().map(|x| x.to_bits())));
    let (queries, items, biases) = (random.whole(4 * dim, 5), random.whole(n * dim, 5), vec![-40.0; n]);
    let case = Case { queries: &queries, items: &items, biases: None, dim, skip: None, k: 25 };
    let (plain, moved) = (case.exact(&cuda, true).0, Case { biases: Some(&biases), ..case }.exact(&cuda, true).0);
    assert_eq!(plain.0, moved.0);
    assert!(plain.1.iter().zip(&moved.1).all(|(a, b)| *a - 40.0 == *b));
}

#[test]
fn hostile_biases_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(31);
    let (dim, n, rows) = (8, 2600, 6);
    let (mut queries, items) = (random.normals(rows * dim), random.normals(n * dim));
    queries[..dim].fill(0.0);
    queries[dim..2 * dim].iter_mut().for_each(|x| *x *= 1e-36);
    queries[2 * dim] = f32::NAN;
    let small = random.normals(n);
    let with =
        |f: &dyn Fn(usize, f32) -> f32| -> Vec<f32> { small.iter().enumerate().map(|(i, &b)| f(i, b)).collect() };
    let cases = [
        ("as they are", small.clone()),
        ("one stands out", with(&|i, b| if i == 777 { 1e6 } else { b })),
        ("large", with(&|_, b| b * 1e20)),
        ("beyond the bound", with(&|i, b| if i == 5 { 3e38 } else { b })),
        ("infinite", with(&|i, b| if i == 1500 { f32::INFINITY } else { b })),
        ("NaN", with(&|i, b| if i % 3 == 0 { f32::NAN } else { b })),
        // More than a list holds would pass, were they let through.
        ("nearly all left out", with(&|i, b| if i % 50 > 0 { f32::NEG_INFINITY } else { b })),
        ("all left out", vec![f32::NEG_INFINITY; n]),
        ("of one size", vec![2.5; n]),
    ];
    for (name, biases) in &cases {
        for int8 in [false, true] {
            let case = Case { queries: &queries, items: &items, biases: Some(biases), dim, skip: None, k: 9 };
            case.check(&format!("{name}, int8 {int8}"), &case.exact(&cuda, int8).0);
        }
    }
    // Items that are left out cost no second scan, and no ranking of everything.
    let biases = with(&|i, b| if i % 4 == 0 { f32::NEG_INFINITY } else { b });
    let queries = random.normals(rows * dim);
    let case = Case { queries: &queries, items: &items, biases: Some(&biases), dim, skip: None, k: 9 };
    let (found, report) = case.exact(&cuda, false);
    case.check("a quarter left out", &found);
    assert_eq!(report, Report::default());
}

#[test]
fn approximate_searches_with_biases_reach_the_recall_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let mut random = Random(61);
    let (dim, n, rows) = (16, 12_000, 20);
    let (items, queries) = (random.normals(n * dim), random.normals(rows * dim));
    let biases: Vec<f32> = random.normals(n).iter().map(|b| 3.0 * b).collect();
    for (int8, k, recall, method) in
        [(false, 10, 0.95, Method::Buckets), (true, 100, 0.9, Method::Buckets), (true, 300, 0.99, Method::Threshold)]
    {
        let case = Case { queries: &queries, items: &items, biases: Some(&biases), dim, skip: None, k };
        let (found, done) = case.approximate(&cuda, int8, recall, Some(method));
        let measured = case.recall(&found);
        assert!(measured >= recall && done.method == method, "k {k}, int8 {int8}: recall {measured}, {done:?}");
    }
}

#[test]
fn biases_that_do_not_fit_are_refused_cuda() {
    let Some(cuda) = device(Precision::Bf16) else { return };
    let upload = |values: Vec<f32>| cuda.upload(values).expect("fits");
    let values = upload(vec![1.0; 8]);
    for (biased, biases) in [(false, Some(upload(vec![0.0; 2]))), (true, None), (true, Some(upload(vec![0.0])))] {
        let mut items = cuda.items(2, 4, biased).expect("room");
        let refused = cuda.pack_items(&mut items, 0, &values, biases.as_ref(), 2);
        assert!(matches!(refused, Err(Error::Shape { op: "pack_items", .. })), "{refused:?}");
    }
}
