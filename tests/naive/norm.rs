//! L2 norms of rows.

fn norm(x: &[f64]) -> f64 {
    let squares: f64 = x.iter().map(|x| x * x).sum();
    squares.sqrt().max(1e-12)
}

pub fn forward(x: &[f64], dim: usize) -> Vec<f64> {
    x.chunks(dim).flat_map(|row| row.iter().map(move |v| v / norm(row))).collect()
}

/// The gradient by x, given the gradient by the result.
pub fn backward(dy: &[f64], x: &[f64], dim: usize) -> Vec<f64> {
    let y = forward(x, dim);
    let mut dx = Vec::new();
    for r in 0..x.len() / dim {
        let (y, dy) = (&y[r * dim..(r + 1) * dim], &dy[r * dim..(r + 1) * dim]);
        let dot: f64 = y.iter().zip(dy).map(|(a, b)| a * b).sum();
        let zero = y.iter().all(|&y| y == 0.0);
        for d in 0..dim {
            dx.push(if zero { 0.0 } else { (dy[d] - y[d] * dot) / norm(&x[r * dim..(r + 1) * dim]) });
        }
    }
    dx
}
