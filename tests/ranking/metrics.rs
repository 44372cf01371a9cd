//! Per-user metrics, by hand and against the plain definitions.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tercel::Error;
use tercel::eval::Metric;
use tercel::eval::metrics::{MAX_K, Metrics};

/// recall, ndcg, map, mrr, hit_rate, precision at one k.
fn at(k: usize, list: &[u32], relevant: &[u32]) -> [f64; 6] {
    let mut values = Vec::new();
    Metrics::new(&[k]).unwrap().of_user(list, relevant, &mut values);
    values.try_into().unwrap()
}

fn close(found: [f64; 6], expected: [f64; 6]) {
    for ((metric, found), expected) in Metric::ALL.into_iter().zip(found).zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{metric}: {found}, expected {expected}");
    }
}

#[test]
fn two_hits_by_hand() {
    // R = {20, 40, 99}; 99 is never found. Hits at ranks 2 and 4.
    let (list, relevant) = ([10, 20, 30, 40], [20, 40, 99]);
    // k = 2: one hit. recall 1/3. DCG 1/log2(3) = 0.63093, ideal of min(2, 3) = 2 ranks 1 + 0.63093, ndcg 0.38685.
    // map: precision at rank 2 is 1/2, over min(2, 3) = 2: 0.25. mrr 1/2. precision 1/2.
    close(at(2, &list, &relevant), [1.0 / 3.0, 0.38685, 0.25, 0.5, 1.0, 0.5]);
    // k = 4: recall 2/3. DCG 0.63093 + 1/log2(5) = 0.63093 + 0.43068 = 1.06161, ideal of min(4, 3) = 3 ranks
    // 1 + 0.63093 + 0.5 = 2.13093, ndcg 0.49819. map: (1/2 + 2/4) / 3 = 1/3. mrr 1/2. precision 2/4.
    close(at(4, &list, &relevant), [2.0 / 3.0, 0.49819, 1.0 / 3.0, 0.5, 1.0, 0.5]);
}

#[test]
fn more_relevant_items_than_places() {
    // Every place a hit, |R| = 5 > k = 2: recall is not capped (2/5); ndcg and map are, and reach 1.
    close(at(2, &[1, 2], &[1, 2, 3, 4, 5]), [0.4, 1.0, 1.0, 1.0, 1.0, 1.0]);
}

#[test]
fn a_list_shorter_than_k() {
    // Two items could be returned, k = 5, R = {7}: rank 1. Precision still divides by k.
    close(at(5, &[7, 8], &[7]), [1.0, 1.0, 1.0, 1.0, 1.0, 0.2]);
    // R = {7, 8, 9}: map (1/1 + 2/2) / min(5, 3) = 2/3; ndcg (1 + 0.63093) / 2.13093 = 0.76536.
    close(at(5, &[7, 8], &[7, 8, 9]), [2.0 / 3.0, 0.76536, 2.0 / 3.0, 1.0, 1.0, 0.4]);
}

#[test]
fn misses_and_nothing_to_find() {
    close(at(3, &[1, 2, 3], &[4]), [0.0; 6]);
    close(at(3, &[], &[4]), [0.0; 6]);
    close(at(3, &[1, 2, 3], &[]), [0.0; 6]);
}

#[test]
fn several_k_come_in_their_order() {
    let metrics = Metrics::new(&[4, 2]).unwrap();
    let (mut both, list, relevant) = (Vec::new(), [10, 20, 30, 40], [20, 40, 99]);
    metrics.of_user(&list, &relevant, &mut both);
    assert_eq!(both, [at(4, &list, &relevant), at(2, &list, &relevant)].concat());
    assert_eq!((metrics.max_k(), metrics.width()), (4, 12));
    assert_eq!(metrics.names().nth(7), Some((Metric::Ndcg, 2)));
}

#[test]
fn k_that_cannot_be_used() {
    for ks in [&[][..], &[0], &[MAX_K + 1], &[5, 5]] {
        assert!(matches!(Metrics::new(ks), Err(Error::Config { .. })), "{ks:?}");
    }
    assert!(Metrics::new(&[MAX_K]).is_ok());
    assert!("auc".parse::<Metric>().is_err());
    assert_eq!("hit_rate".parse::<Metric>().unwrap(), Metric::HitRate);
}

/// The definitions, word for word.
fn naive(k: usize, list: &[u32], relevant: &BTreeSet<u32>) -> [f64; 6] {
    let top: Vec<bool> = list.iter().take(k).map(|item| relevant.contains(item)).collect();
    let hits_to = |rank: usize| top[..rank].iter().filter(|hit| **hit).count() as f64;
    let ranks: Vec<usize> = (1..=top.len()).filter(|rank| top[rank - 1]).collect();
    let n = k.min(relevant.len());
    let gain = |rank: usize| 1.0 / (rank as f64 + 1.0).log2();
    [
        ranks.len() as f64 / relevant.len() as f64,
        ranks.iter().map(|&rank| gain(rank)).sum::<f64>() / (1..=n).map(gain).sum::<f64>(),
        ranks.iter().map(|&rank| hits_to(rank) / rank as f64).sum::<f64>() / n as f64,
        ranks.first().map_or(0.0, |&rank| 1.0 / rank as f64),
        if ranks.is_empty() { 0.0 } else { 1.0 },
        ranks.len() as f64 / k as f64,
    ]
}

proptest! {
    #[test]
    fn metrics_are_shares_and_agree_with_the_definitions(
        list in Just((0..40_u32).collect::<Vec<_>>()).prop_shuffle(),
        length in 0..40_usize,
        relevant in proptest::collection::btree_set(0..60_u32, 1..30),
        k in 1..50_usize,
    ) {
        let list = &list[..length];
        let sorted: Vec<u32> = relevant.iter().copied().collect();
        let found = at(k, list, &sorted);
        let expected = naive(k, list, &relevant);
        for ((metric, found), expected) in Metric::ALL.into_iter().zip(found).zip(expected) {
            prop_assert!((0.0..=1.0).contains(&found), "{} {}", metric, found);
            prop_assert!((found - expected).abs() < 1e-12, "{} {} {}", metric, found, expected);
        }
    }
}
