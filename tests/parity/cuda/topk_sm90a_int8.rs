//! What int8 codes alone meet in the top K by the kernels for sm_90a: units of their own for queries, biases in whole numbers
//! of them, a wider bound.

use super::topk::{Case, Random};
use super::topk_sm90a::{agree, devices, scanned_in_panels};
use crate::backend::cuda::topk::{Report, floors};

#[test]
fn queries_of_any_length_share_a_scan_cuda() {
    let Some(devices) = devices() else { return };
    let mut random = Random(81);
    let (rows, items, dim, k) = (70, 3000, 60, 12);
    let (mut queries, catalogue) = (random.normals(rows * dim), random.normals(items * dim));
    // From a thousandth of the longest on, codes resolve them; the shortest have the code 0 throughout, and one is zero.
    for (q, query) in queries.chunks_mut(dim).enumerate() {
        let length = [1.0, 30.0, 0.05, 1e-3, 1e-9, 0.0][q % 6];
        query.iter_mut().for_each(|x| *x *= length);
    }
    let biases: Vec<f32> = random.normals(items).iter().map(|b| 0.3 * b).collect();
    for biases in [None, Some(&biases[..])] {
        let case = Case { queries: &queries, items: &catalogue, biases, dim, skip: None, k };
        let [bf16, int8] = agree(&devices, &case, &format!("lengths, biased {}", biases.is_some()));
        assert!(int8.rescanned <= bf16.rescanned + rows / 2, "{int8:?} beside {bf16:?}");
    }
}

#[test]
fn biases_of_any_size_are_whole_numbers_of_units_cuda() {
    let Some(devices) = devices() else { return };
    let mut random = Random(91);
    let (rows, items, k) = (20, 2600, 20);
    for dim in [64, 128] {
        let (queries, catalogue) = (random.normals(rows * dim), random.normals(items * dim));
        for size in [0.0, 1e-6, 1.0, 1e7] {
            let mut biases: Vec<f32> = random.normals(items).iter().map(|b| size * b).collect();
            (0..items).step_by(7).for_each(|i| biases[i] = f32::NEG_INFINITY);
            let case = Case { queries: &queries, items: &catalogue, biases: Some(&biases), dim, skip: None, k };
            let reports = agree(&devices, &case, &format!("{dim} wide, biases of {size}"));
            assert_eq!(reports, [Report::default(); 2], "{dim} wide, biases of {size}: the first scan is enough");
            drop(scanned_in_panels(&devices[2], &case));
        }
    }
}

#[test]
fn items_that_codes_tell_apart_badly_are_found_cuda() {
    let Some(devices) = devices() else { return };
    let mut random = Random(101);
    let (rows, items, dim, k) = (30, 2500, 32, 10);
    let queries = random.normals(rows * dim);
    // One item is so long that all others have codes of 0 and 1.
    let mut one_long = random.normals(items * dim);
    one_long[5 * dim..6 * dim].iter_mut().for_each(|x| *x *= 300.0);
    // All have the same codes but for one column that decides.
    let mut alike = random.normals(dim).repeat(items);
    alike.chunks_mut(dim).enumerate().for_each(|(i, row)| row[3] += 1e-4 * i as f32);
    let zero = vec![0.0; items * dim];
    let biases = random.normals(items);
    for (name, catalogue) in [("one long item", &one_long), ("alike", &alike), ("all zero", &zero)] {
        for biases in [None, Some(&biases[..])] {
            let case = Case { queries: &queries, items: catalogue, biases, dim, skip: None, k };
            agree(&devices, &case, &format!("{name}, biased {}", biases.is_some()));
        }
    }
}

/// Items as a trained model has them: around centres, with what makes each different, all of one length.
fn trained(random: &mut Random, rows: usize, dim: usize, centres: &[f32]) -> Vec<f32> {
    let mut all = random.normals(rows * dim);
    for row in all.chunks_mut(dim) {
        let centre = random.below(centres.len() / dim) * dim;
        row.iter_mut().zip(&centres[centre..]).for_each(|(x, c)| *x = 0.7 * *x + c);
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
    }
    all
}

#[test]
fn codes_let_at_most_three_times_as_many_pass_cuda() {
    let Some([_, bf16, int8]) = devices() else { return };
    let mut random = Random(111);
    let (rows, items, dim) = (64, 12_000, 64);
    let centres = random.normals(40 * dim);
    let (catalogue, queries) = (trained(&mut random, items, dim, &centres), trained(&mut random, rows, dim, &centres));
    for k in [12, 100] {
        let case = Case { queries: &queries, items: &catalogue, biases: None, dim, skip: None, k };
        let [few, many] = [&bf16, &int8].map(|cuda| {
            let (passed, (found, report)) = floors::passed(|| case.exact(cuda, false));
            case.check("trained", &found);
            assert_eq!(report, Report::default());
            passed as f64 / rows as f64
        });
        println!("k {k}: {few:.0} items a query pass by bf16, {many:.0} by int8");
        assert!(few < many && many < 3.0 * few, "k {k}: {few} and {many} items a query");
    }
}
