//! Whether values are numbers, at the speed of memory.

/// Whether none of the values is infinite or NaN.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    /// The bits of the largest number, without its sign.
    const LARGEST: i32 = f32::MAX.to_bits() as i32;
    // No early end within a piece: a loop without one runs on whole vectors.
    let odd = |piece: &[f32]| {
        piece.iter().fold(0, |odd, x| odd | i32::from((x.to_bits() & (u32::MAX >> 1)) as i32 > LARGEST)) != 0
    };
    !values.chunks(4096).any(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_and_nothing_else() {
        let numbers = [0.0, -0.0, 1.0, -1.0, f32::MAX, f32::MIN, f32::MIN_POSITIVE, f32::from_bits(1)];
        assert!(all_finite(&[]) && all_finite(&numbers));
        let odd =
            [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7f80_0001), f32::from_bits(!0)];
        for odd in odd {
            for at in [0, 4095, 4096, 9999] {
                let mut values = vec![1.5; 10_000];
                values[at] = odd;
                assert!(!all_finite(&values), "{odd} at {at}");
            }
        }
    }
}
