//! What all scores of a softmax are taken relative to: one fixed reference, or each row's largest score so far. And ids in an
//! order that lets whole tiles pass without a look at each score, and in one that does not.

use super::loss::{Case, near_in_norm};
use super::*;

const PRECISIONS: [Precision; 2] = [Precision::Bf16, Precision::Fp32];

/// Rows of length 1.
fn normalised(rows: usize, columns: usize, dim: usize, seed: u64) -> Case {
    let mut case = Case::plain(rows, columns, dim, seed);
    for row in case.users.chunks_mut(dim).chain(case.candidates.chunks_mut(dim)) {
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        row.iter_mut().for_each(|x| *x /= length);
    }
    case
}

/// Biases that reach over `span`, in no order.
fn biases(columns: usize, span: f32) -> Vec<f32> {
    (0..columns).map(|c| (c * 37 % columns) as f32 / columns as f32 * span).collect()
}

#[test]
fn softmax_matches_with_a_fixed_reference_and_without_cuda() {
    // In powers of 2 the scores reach over 2.9 e^log_scale and the biases' span times 1.44: the third and the last two take
    // the running maximum.
    for (log_scale, span, precisions) in [
        (1.2, 0.0, &PRECISIONS[..]),
        (3.0, 10.0, &PRECISIONS[..]),
        (4.4, 30.0, &PRECISIONS[..1]),
        (1.2, 65.0, &PRECISIONS[..]),
        (1.2, 75.0, &PRECISIONS[..]),
        (1.2, 200.0, &PRECISIONS[..]),
    ] {
        for &precision in precisions {
            let Some(cuda) = device(precision) else { return };
            for dim in [30, 40, 100] {
                let mut case = normalised(90, 150, dim, 7);
                case.log_scale = log_scale;
                case.bias = Some(biases(150, span));
                case.check(&cuda, &format!("scale e^{log_scale}, biases over {span}"));
            }
        }
    }
}

#[test]
fn softmax_at_the_ends_of_a_fixed_reference_cuda() {
    // All scores lie at one end of the range, far from the reference: neither a sum's overflow nor its last digits may show.
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for (end, span) in [(1.0, 0.0), (-1.0, 0.0), (1.0, 69.0), (-1.0, 69.0)] {
            let mut case = Case::plain(40, 200, 16, 3);
            for (rows, length) in [(&mut case.users, 1.0), (&mut case.candidates, end)] {
                for x in rows.chunks_mut(16) {
                    x.iter_mut().for_each(|x| *x *= 0.05);
                    x[0] = length;
                }
            }
            case.log_scale = if span > 0.0 { 30.0f32.ln() } else { 60.0f32.ln() };
            // The column with the largest bias is masked for every row.
            let mut bias = vec![0.0; 200];
            bias[199] = span;
            case.bias = Some(bias);
            case.masked = Some(((0..=40).collect(), vec![199; 40]));
            let found = case.run(&cuda).expect("runs");
            let name = format!("{precision:?}: scores near {end} x scale, biases over {span}");
            let expected = case.oracle(precision);
            loss_value(precision).check(&name, &found.stats[..1], &[expected.loss]);
            // What the scores have in common cancels, but for the rounding of the products' operands.
            near_in_norm(&name, &found.users, &expected.users, 0.05);
            near_in_norm(&name, &found.candidates, &expected.candidates, 0.05);
        }
    }
}

#[test]
fn softmax_without_a_bias_for_a_positive_cuda() {
    // -inf counts as masked, but not where the column is its row's positive: the corrected form takes its score without.
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        let mut case = Case::with(30, 60, 16, 8, 4);
        let mut bias = biases(60, 3.0);
        for column in [0, 20, 59] {
            bias[column] = f32::NEG_INFINITY;
        }
        case.bias = Some(bias);
        let masked = |c: &u32| [0, 20, 59].contains(c);
        case.positives = Some((0..30).map(|i| if i % 7 == 0 { [0, 20, 59][i % 3] } else { i as u32 + 25 }).collect());
        assert!(case.positives.iter().flatten().any(masked));
        let found = case.run(&cuda).expect("runs");
        assert!(found.bits().iter().all(|&bits| f32::from_bits(bits).is_finite()), "{precision:?}");
        case.check(&cuda, "a positive's bias of -inf");
    }
}

#[test]
fn softmax_masks_sorted_and_mixed_ids_cuda() {
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        for repeats in [1, 3, 50, 200] {
            let sorted: Vec<u32> = (0..200).map(|i| u32::MAX - (200 - i) / repeats).collect();
            let mut mixed = sorted.clone();
            let mut random = Random(u64::from(repeats));
            for i in (1..mixed.len()).rev() {
                mixed.swap(i, random.below(i + 1));
            }
            for (name, ids) in [("sorted", sorted), ("mixed", mixed)] {
                for (dim, options) in [(64, 4), (100, 0), (24, 2)] {
                    let mut case = Case::with(200, 200, dim, 5, options);
                    case.ids = Some(ids.clone());
                    case.check(&cuda, &format!("{name} ids, {repeats} times each, options {options}"));
                }
            }
        }
    }
}

#[test]
fn softmax_rows_do_not_depend_on_their_neighbours_cuda() {
    // A row's results are the same bits wherever it stands in its tile, and whatever shares its tile.
    for precision in PRECISIONS {
        let Some(cuda) = device(precision) else { return };
        let whole = normalised(150, 150, 48, 9);
        let positives: Vec<u32> = (0..150).collect();
        let mut first = whole.clone();
        first.positives = Some(positives.clone());
        let mut turned = whole.clone();
        let by = 37;
        turned.users.rotate_left(by * 48);
        turned.positives = Some([&positives[by..], &positives[..by]].concat());
        let (first, mut turned) = (first.run(&cuda).expect("runs"), turned.run(&cuda).expect("runs"));
        turned.users.rotate_right(by * 48);
        assert_eq!(bits(&first.users), bits(&turned.users), "{precision:?}");
    }
}
