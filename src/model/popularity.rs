//! What an item's popularity adds to its score.
//!
//! A cosine has to learn how popular an item is from the item's own rows, and most items have few. Its share of all
//! training rows is known: `s = <u, v> / T + popularity * ln(N p)`, in training and in serving, with N the number of
//! items (an even share adds nothing; a constant changes no ranking and no softmax). With the logQ correction of in-batch
//! negatives the share's logarithm cancels in part: at 1 the towers learn only how a user differs from the crowd, at 0
//! they learn everything.

/// `popularity * ln(N p)` of every item row; empty where it adds nothing. `counts`: training rows of each item row. An item
/// without rows counts as one with a single row.
pub(crate) fn terms(popularity: f32, counts: &[u64]) -> Vec<f32> {
    let strength = f64::from(popularity);
    if strength == 0.0 {
        return Vec::new();
    }
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let items = counts.len().saturating_sub(1) as f64;
    counts.iter().map(|&count| (strength * (count.max(1) as f64 / total * items).ln()) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_by_hand() {
        assert!(terms(0.0, &[0, 3, 1]).is_empty());
        assert_eq!(terms(0.5, &[0, 3, 1]), [0.5 * 0.5f32.ln(), 0.5 * 1.5f32.ln(), 0.5 * 0.5f32.ln()]);
    }
}
