//! Lookups and the sums of their gradients.

/// Bag b pools the rows `ids` of a table: a mean without weights, else a weighted sum.
pub fn forward(table: &[f64], dim: usize, bags: &[Vec<u32>], weights: Option<&[Vec<f64>]>) -> Vec<f64> {
    let mut out = vec![0.0; bags.len() * dim];
    for (b, ids) in bags.iter().enumerate() {
        for (l, &id) in ids.iter().enumerate() {
            let w = weights.map_or(1.0 / ids.len() as f64, |w| w[b][l]);
            for d in 0..dim {
                out[b * dim + d] += w * table[id as usize * dim + d];
            }
        }
    }
    out
}

/// The gradient of each row of the table that `forward`'s result has, given the result's gradient.
pub fn backward(d_out: &[f64], rows: usize, dim: usize, bags: &[Vec<u32>], weights: Option<&[Vec<f64>]>) -> Vec<f64> {
    let mut d_table = vec![0.0; rows * dim];
    for (b, ids) in bags.iter().enumerate() {
        for (l, &id) in ids.iter().enumerate() {
            let w = weights.map_or(1.0 / ids.len() as f64, |w| w[b][l]);
            for d in 0..dim {
                d_table[id as usize * dim + d] += w * d_out[b * dim + d];
            }
        }
    }
    d_table
}
