//! The vectors of a graph, lifted onto a sphere: there the largest inner product is the nearest neighbour.

use std::io;

/// Values that a dot product takes at a time.
const LANES: usize = 8;

/// Rows of `dim` values, one more, and zeros to a multiple of [`LANES`].
pub(super) struct Points {
    dim: usize,
    stride: usize,
    values: Vec<f32>,
}

impl Points {
    /// # Errors
    /// [`OutOfMemory`](io::ErrorKind::OutOfMemory) when there is no room for so many.
    pub(super) fn new(rows: usize, dim: usize) -> io::Result<Points> {
        let stride = (dim + 1).next_multiple_of(LANES);
        let mut values = Vec::new();
        let room = rows.checked_mul(stride).map(|n| values.try_reserve_exact(n).is_ok());
        if room != Some(true) {
            let reason = format!("no memory for {rows} vectors; a .usearch file's graph needs them all");
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, reason));
        }
        Ok(Points { dim, stride, values })
    }

    pub(super) fn push(&mut self, vector: &[f32]) {
        let end = self.values.len() + self.stride;
        self.values.extend_from_slice(vector);
        self.values.resize(end, 0.0);
    }

    /// Gives every vector x one more value, the root of R^2 - |x|^2 with R the largest norm: all have norm R then. A
    /// query has 0 there, which changes no inner product with it and makes their order that of distances (Bachrach and
    /// others 2014). Links by inner products alone would all lead to the few longest vectors.
    pub(super) fn lifted(&mut self) -> &Points {
        let square = |row: &[f32]| row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
        let (dim, stride) = (self.dim, self.stride);
        let largest = self.values.chunks_exact(stride).map(|row| square(&row[..dim])).fold(0.0, f64::max);
        for row in self.values.chunks_exact_mut(stride) {
            row[dim] = (largest - square(&row[..dim])).max(0.0).sqrt() as f32;
        }
        self
    }

    pub(super) fn rows(&self) -> usize {
        self.values.len() / self.stride
    }

    pub(super) fn row(&self, row: u32) -> &[f32] {
        &self.values[row as usize * self.stride..][..self.stride]
    }

    /// What orders pairs by distance: half its square without the constant part, smaller is nearer.
    pub(super) fn distance(&self, a: u32, b: u32) -> f32 {
        -dot(self.row(a), self.row(b))
    }
}

/// Both have a multiple of [`LANES`] values.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_product_is_the_nearest_point() {
        let mut points = Points::new(4, 2).expect("room");
        let vectors = [[3.0, 0.0], [1.0, 1.0], [0.0, 0.0], [-2.0, 2.0f32]];
        vectors.iter().for_each(|vector| points.push(vector));
        points.lifted();
        assert_eq!(points.rows(), 4);
        let norm = |row: &[f32]| row.iter().map(|x| x * x).sum::<f32>().sqrt();
        for row in 0..4 {
            assert!((norm(points.row(row)) - 3.0).abs() < 1e-6, "all lie on a sphere");
            assert_eq!(points.row(row)[..2], vectors[row as usize]);
            assert_eq!(points.row(row)[3..], [0.0; 5]);
            assert!((points.distance(row, row) + 9.0).abs() < 1e-5);
        }
    }
}
