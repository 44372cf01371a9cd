//! The best items of a query.

/// The k best of `scores` by (score descending, item ascending); NaN and the rows of `skip` are left out.
pub fn topk(scores: &[f64], skip: &[u32], k: usize) -> Vec<u32> {
    let mut items: Vec<u32> =
        (0..scores.len() as u32).filter(|i| !skip.contains(i) && !scores[*i as usize].is_nan()).collect();
    items.sort_by(|&a, &b| {
        let (x, y) = (scores[a as usize], scores[b as usize]);
        y.partial_cmp(&x).expect("no NaN is left").then(a.cmp(&b))
    });
    items.truncate(k);
    items
}
