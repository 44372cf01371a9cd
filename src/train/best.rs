//! Which epoch of a run is the best.

/// Whether an epoch with this value of the watched metric is the best so far, given those before it: it is better than
/// every one; or none has found anything yet (NaN where there was nothing to find), and training has gone on since.
pub(super) fn is_best(value: f64, before: &[f64]) -> bool {
    let found = |&value: &f64| value > 0.0;
    match before.iter().copied().filter(found).reduce(f64::max) {
        Some(best) => value > best,
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::is_best;

    #[test]
    fn the_best_epoch_is_the_first_of_the_highest_unless_nothing_was_found() {
        assert!(is_best(0.3, &[]) && is_best(0.4, &[0.3, 0.2]));
        assert!(!is_best(0.3, &[0.3]) && !is_best(0.0, &[0.3]) && !is_best(0.25, &[0.3, 0.2]), "no better than before");
        assert!(is_best(0.0, &[]) && is_best(0.0, &[0.0, f64::NAN]) && is_best(f64::NAN, &[f64::NAN]));
        assert!(is_best(0.1, &[0.0, f64::NAN]) && !is_best(0.0, &[0.0, 0.1]) && !is_best(f64::NAN, &[0.1]));
    }
}
