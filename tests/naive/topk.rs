//! The best items of a query.

/// The scores of a query: `<u, v_j> + b_j` of every item (rows as wide as the query). NaN, which is no score, where the
/// bias is -inf. `biases`: absent, 0.
pub fn scores(query: &[f64], items: &[f64], biases: Option<&[f64]>) -> Vec<f64> {
    let score = |(j, item): (usize, &[f64])| {
        let bias = biases.map_or(0.0, |biases| biases[j]);
        let product: f64 = item.iter().zip(query).map(|(v, u)| v * u).sum();
        if bias == f64::NEG_INFINITY { f64::NAN } else { product + bias }
    };
    items.chunks(query.len()).enumerate().map(score).collect()
}

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

/// Whether each place of a list has a relevant item.
pub fn hits(list: &[u32], relevant: &[u32]) -> Vec<bool> {
    list.iter().map(|item| relevant.contains(item)).collect()
}

/// The first place (from 0) that each of so many items has in any of the lists; `u32::MAX` where it has none.
pub fn first_places(lists: &[Vec<u32>], items: usize) -> Vec<u32> {
    let places = |item: u32| lists.iter().filter_map(move |list| list.iter().position(|&other| other == item));
    (0..items as u32).map(|item| places(item).min().map_or(u32::MAX, |place| place as u32)).collect()
}
