//! The top K by the kernels for sm_90a: the bits of those for sm_80 and of one chain of multiply-adds, on a device that
//! runs both.

use super::super::architecture::Architecture;
use super::budget::{LaunchCosts, counted};
use super::topk::{Case, Random, TopKLists};
use super::*;
use crate::backend::cuda::topk::{Form, Report, floors};

/// The device with the kernels for sm_80, and with those for sm_90a by bf16 and by int8; none where it does not run the
/// latter.
pub(super) fn devices() -> Option<[Cuda; 3]> {
    let device = device(Precision::Bf16)?;
    let capability = device.info().compute_capability;
    if capability != 90 {
        println!("skipped: compute capability {capability}, and these kernels need 9.0");
        return None;
    }
    let with = |kernels| Cuda::with_kernels(0, Precision::Bf16, kernels).expect("the device runs both");
    let mut int8 = with(Architecture::Sm90a);
    int8.context.scan_form = Form::Int8;
    Some([with(Architecture::Sm80), with(Architecture::Sm90a), int8])
}

/// Unit rows, around `clusters` centres that stand together (0: none).
fn unit_rows(random: &mut Random, rows: usize, dim: usize, clusters: usize) -> Vec<f32> {
    let centres = random.normals(clusters.max(1) * dim);
    let mut all = random.normals(rows * dim);
    for (i, row) in all.chunks_mut(dim).enumerate() {
        let centre = i * clusters / rows * dim;
        (0..dim).filter(|_| clusters > 0).for_each(|j| row[j] = centres[centre + j] + 0.3 * row[j]);
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= norm);
    }
    all
}

/// Lists of which about half are among the query's best.
fn skips(random: &mut Random, case: &Case<'_>, most: usize) -> Vec<Vec<u32>> {
    let items = case.items.len() / case.dim;
    let best = Case { k: most, skip: None, ..*case }.expected().0;
    let list = |q: usize| {
        let from_best = best[q * most..q * most + q % most].iter().step_by(2).copied();
        let mut list: Vec<u32> =
            from_best.chain((0..q % 5 * 3).map(|_| random.below(items) as u32)).filter(|id| *id != u32::MAX).collect();
        list.sort_unstable();
        list.dedup();
        list
    };
    (0..case.rows()).map(list).collect()
}

/// All find what a ranking of all finds, to the bit: what those for sm_90a took.
#[track_caller]
pub(super) fn agree([old, bf16, int8]: &[Cuda; 3], case: &Case<'_>, name: &str) -> [Report; 2] {
    case.check(&format!("{name}, sm_80"), &case.exact(old, false).0);
    [bf16, int8].map(|cuda| {
        let (found, report) = case.exact(cuda, false);
        case.check(&format!("{name}, sm_90a, {:?}", cuda.scan_form()), &found);
        report
    })
}

/// Every place holds an item as good as the oracle's, in f64.
#[track_caller]
fn near_the_oracle(case: &Case<'_>, found: &TopKLists, name: &str) {
    let (items, biases) = (wide(case.items), case.biases.map(wide));
    for (q, query) in case.queries.chunks(case.dim).enumerate() {
        let scores = naive::topk::scores(&wide(query), &items, biases.as_deref());
        let best = naive::topk::topk(&scores, case.skip.map_or(&[], |skip| &skip[q]), case.k);
        for (place, id) in best.into_iter().enumerate() {
            let (at, expected) = (q * case.k + place, scores[id as usize]);
            let near = |x: f64| (x - expected).abs() <= 1e-5 * (1.0 + expected.abs());
            let (item, score) = (found.0[at] as usize, f64::from(found.1[at]));
            assert!(
                near(score) && near(scores[item]),
                "{name}: query {q}, place {place}: {item}, {score}, not {expected}"
            );
        }
    }
}

/// The scan for sm_90a was launched for this case, and not the other one.
pub(super) fn scanned_in_panels(cuda: &Cuda, case: &Case<'_>) -> Option<LaunchCosts> {
    let (columns, items) = (if case.dim > 64 { 128 } else { 64 }, case.items.len() / case.dim);
    let biased = if case.biases.is_some() { "_biased" } else { "" };
    let form = if cuda.scan_form() == Form::Int8 { "int8_" } else { "" };
    let grid = floors::panel_grid(cuda, case.dim, items, case.rows(), case.k, case.biases.is_some());
    counted(cuda, &format!("topk_panel_scan_{form}{columns}{biased}"), grid)
}

#[test]
fn panels_find_what_a_ranking_of_all_finds_cuda() {
    let Some(devices) = devices() else { return };
    let mut random = Random(11);
    for (rows, items, dim, k, clusters) in [
        (3, 4097, 64, 1, 0),
        (66, 2500, 64, 12, 8),
        (257, 2111, 48, 12, 0),
        (5, 6000, 128, 40, 0),
        (4, 6100, 100, 100, 16),
        (2, 2300, 7, 12, 0),
    ] {
        let (queries, catalogue) = (random.normals(rows * dim), unit_rows(&mut random, items, dim, clusters));
        let biases: Vec<f32> = random.normals(items).iter().map(|b| 0.3 * b).collect();
        let plain = Case { queries: &queries, items: &catalogue, biases: None, dim, skip: None, k };
        let lists = skips(&mut random, &plain, 12);
        for (skip, biases) in [(None, None), (Some(&lists[..]), Some(&biases[..]))] {
            let case = Case { skip, biases, ..plain };
            let name = format!("{rows} queries, {items} items, {dim} wide, k {k}, skips {}", skip.is_some());
            let reports = agree(&devices, &case, &name);
            near_the_oracle(&case, &case.exact(&devices[1], false).0, &name);
            assert_eq!(reports, [Report::default(); 2], "{name}: the first scan is enough");
            devices[1..].iter().for_each(|cuda| drop(scanned_in_panels(cuda, &case)));
        }
    }
}

#[test]
fn warps_rank_queries_by_themselves_where_there_are_many_cuda() {
    let Some([_, cuda, _]) = devices() else { return };
    let mut random = Random(61);
    // The last block of queries is ragged, and one query skips so much that a block ranks it.
    let (rows, items, dim, k) = (4100, 2100, 16, 3);
    let (queries, catalogue) = (random.normals(rows * dim), random.normals(items * dim));
    let biases: Vec<f32> = random.normals(items).iter().map(|b| 0.3 * b).collect();
    let list =
        |q: usize| (0..items as u32).filter(|i| q == 7 && i % 2 == 0 || q.is_multiple_of(9) && i % 700 == 5).collect();
    let lists: Vec<Vec<u32>> = (0..rows).map(list).collect();
    let case = Case { queries: &queries, items: &catalogue, biases: Some(&biases), dim, skip: Some(&lists), k };
    let (found, report) = case.exact(&cuda, false);
    case.check("by warps", &found);
    assert!(report.rescanned <= 1 && report.ranked_all <= 1, "{report:?}");
    let Some(_) = counted(&cuda, "topk_panel_rank_32", [rows - 1, 1, 1]) else { return };
}

#[test]
fn tiles_come_round_and_lists_overflow_in_one_part_cuda() {
    let Some([_, bf16, int8]) = devices() else { return };
    for cuda in [bf16, int8] {
        one_part(cuda);
    }
}

/// One part of the items: dozens of tiles a block, through eight stages and through two or three.
fn one_part(mut cuda: Cuda) {
    let mut random = Random(71);
    cuda.context.info.multiprocessors = 1;
    for (dim, shared) in [(64, 232_448), (64, 60_000), (100, 120_000)] {
        cuda.context.info.shared_bytes_per_block = shared;
        let (rows, items, k) = (20, 4300, 12);
        let (queries, catalogue) = (random.normals(rows * dim), random.normals(items * dim));
        let biases: Vec<f32> = random.normals(items).iter().map(|b| 0.3 * b).collect();
        for biases in [None, Some(&biases[..])] {
            let case = Case { queries: &queries, items: &catalogue, biases, dim, skip: None, k };
            let name = format!("{dim} wide, {shared} bytes, biased {}", biases.is_some());
            let (found, report) = case.exact(&cuda, false);
            case.check(&name, &found);
            assert_eq!(report, Report::default(), "{name}");
            assert_eq!(floors::panel_grid(&cuda, dim, items, rows, k, biases.is_some()), [1, 1, 1], "{name}");
            drop(scanned_in_panels(&cuda, &case));
        }
    }
    // Nearly all items are alike: more than a lane's list holds.
    let (rows, items, dim, k) = (20, 4300, 64, 12);
    let queries = random.normals(rows * dim);
    let mut alike = vec![0.5; items * dim];
    for x in &mut alike[(items - 40) * dim..] {
        *x = 0.6 + random.below(100) as f32 * 1e-3;
    }
    let case = Case { queries: &queries, items: &alike, biases: None, dim, skip: None, k };
    let (found, report) = case.exact(&cuda, false);
    case.check("a plateau in one part", &found);
    assert!(report.rescanned > 0 && report.ranked_all < rows, "{report:?}");
}

#[test]
fn panels_keep_duplicates_in_order_and_items_of_any_length_cuda() {
    let Some(devices) = devices() else { return };
    let mut random = Random(21);
    let (rows, items, dim, k) = (9, 4000, 64, 100);
    let queries = random.normals(rows * dim);
    // Each item four times.
    let few = random.normals(items / 4 * dim);
    let repeated: Vec<f32> = (0..items).flat_map(|i| few[i % 1000 * dim..][..dim].to_vec()).collect();
    // By popularity: the longest first, a hundred times the last.
    let mut sorted = random.normals(items * dim);
    for (i, row) in sorted.chunks_mut(dim).enumerate() {
        row.iter_mut().for_each(|x| *x *= 1.0 / (1.0 + i as f32 / 40.0));
    }
    // All the scores below zero: whole numbers do not compare as they do.
    let negative = vec![-100.0; items];
    for (name, catalogue, biases) in [
        ("duplicates", &repeated, None),
        ("popular first", &sorted, None),
        ("below zero", &repeated, Some(&negative[..])),
    ] {
        let case = Case { queries: &queries, items: catalogue, biases, dim, skip: None, k };
        agree(&devices, &case, name);
        agree(&devices, &Case { k: 1, ..case }, name);
    }
}

#[test]
fn what_panels_cannot_prove_is_scanned_again_cuda() {
    let Some(devices) = devices() else { return };
    let mut random = Random(31);
    let (rows, dim, k) = (20, 64, 12);
    let queries = random.normals(rows * dim);
    // Lists overflow: nearly all items are alike, far more than a lane's list holds, and the best stand at the end.
    let items = 6000;
    let mut alike = vec![0.5; items * dim];
    for x in &mut alike[(items - 40) * dim..] {
        *x = 0.6 + random.below(100) as f32 * 1e-3;
    }
    let case = Case { queries: &queries, items: &alike, biases: None, dim, skip: None, k };
    for report in agree(&devices, &case, "a plateau") {
        assert!(report.rescanned > 0 && report.ranked_all < rows, "{report:?}");
    }
    // All equal: ranked by item.
    let equal = vec![0.25; items * dim];
    let case = Case { items: &equal, ..case };
    for report in agree(&devices, &case, "all equal") {
        assert!(report.rescanned + report.ranked_all >= rows, "{report:?}");
    }
    // Some queries that no scan serves among others that it does; -inf takes items out.
    let catalogue = random.normals(items * dim);
    let mut hostile = queries.clone();
    hostile[..dim].fill(0.0);
    hostile[dim] = f32::NAN;
    hostile[2 * dim..3 * dim].fill(3e37);
    hostile[3 * dim..4 * dim].fill(1e-42);
    let mut biases = random.normals(items);
    (0..items).step_by(3).for_each(|i| biases[i] = f32::NEG_INFINITY);
    for biases in [None, Some(&biases[..])] {
        let case = Case { queries: &hostile, items: &catalogue, biases, dim, skip: None, k };
        for report in agree(&devices, &case, "hostile queries") {
            assert!((1..=4).contains(&report.ranked_all), "{report:?}");
        }
    }
    // Queries that skip nearly everything.
    let lists: Vec<Vec<u32>> =
        (0..rows).map(|q| (0..items as u32).filter(|i| q % 4 > 0 || i % 500 > 0).collect()).collect();
    let lists: Vec<Vec<u32>> =
        lists.into_iter().enumerate().map(|(q, list)| if q % 4 == 0 { list } else { Vec::new() }).collect();
    let case = Case { queries: &queries, items: &catalogue, biases: None, dim, skip: Some(&lists), k };
    agree(&devices, &case, "nearly all skipped");
}

#[test]
fn what_panels_do_not_serve_goes_to_the_other_kernels_cuda() {
    let Some(devices) = devices() else { return };
    let mut random = Random(41);
    let (rows, items) = (3, 2600);
    for (dim, k, value) in [(160, 5, 1.0), (16, 300, 1.0), (16, 5, f32::INFINITY), (16, 5, f32::NAN)] {
        let (queries, mut catalogue) = (random.normals(rows * dim), random.normals(items * dim));
        catalogue[700 * dim + 3] = value;
        let case = Case { queries: &queries, items: &catalogue, biases: None, dim, skip: None, k };
        agree(&devices, &case, &format!("{dim} wide, k {k}, a value {value}"));
    }
}

#[test]
fn panels_move_and_multiply_what_they_must_cuda() {
    let Some([_, bf16, int8]) = devices() else { return };
    let mut random = Random(51);
    let (rows, items, dim, k) = (300, 2700, 64, 5);
    let (queries, catalogue) = (random.normals(rows * dim), random.normals(items * dim));
    let case = Case { queries: &queries, items: &catalogue, biases: None, dim, skip: None, k };
    for (cuda, tile) in [(bf16, 64), (int8, 128)] {
        let (first, second) = (case.exact(&cuda, false).0, case.exact(&cuda, false).0);
        assert!(first.0 == second.0 && first.1.iter().map(|x| x.to_bits()).eq(second.1.iter().map(|x| x.to_bits())));
        let Some(scan) = scanned_in_panels(&cuda, &case) else { return };
        scan.multiplies(2 * (rows.next_multiple_of(256) * items.next_multiple_of(tile) * dim) as u64);
        // No score is stored, and no atomic counts what passes.
        assert_eq!(scan.count("atomics_global"), 0);
        assert!(scan.count("global_store_sectors") < (rows * items / 8) as u64);
        let Some(rank) = counted(&cuda, "topk_panel_rank_256", [rows, 1, 1]) else { return };
        rank.conflicts(1.0);
    }
}
