//! The vectors of a graph, and how near they are.

use std::io;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::memory;

/// Values that an inner product takes at a time.
const LANES: usize = 8;

/// Rows of `dim` values, with zeros to a multiple of [`LANES`].
pub(super) struct Points {
    stride: usize,
    values: Vec<f32>,
}

impl Points {
    /// # Errors
    /// [`OutOfMemory`](io::ErrorKind::OutOfMemory) when there is no room for so many.
    pub(super) fn new(rows: usize, dim: usize) -> io::Result<Points> {
        let stride = dim.next_multiple_of(LANES);
        let mut values = Vec::new();
        let room = rows.checked_mul(stride).map(|n| memory::reserve_exact(&mut values, n, "vectors").is_ok());
        if room != Some(true) {
            let reason =
                format!("not enough memory for {rows} vectors; the graph of a .usearch file needs all of them");
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, reason));
        }
        Ok(Points { stride, values })
    }

    pub(super) fn push(&mut self, vector: &[f32]) {
        let end = self.values.len() + self.stride;
        self.values.extend_from_slice(vector);
        self.values.resize(end, 0.0);
    }

    pub(super) fn rows(&self) -> usize {
        self.values.len() / self.stride
    }

    pub(super) fn row(&self, row: u32) -> &[f32] {
        &self.values[row as usize * self.stride..][..self.stride]
    }

    /// What usearch's metric `ip` orders by; smaller is nearer. It is no distance (a long vector may be nearer to a row
    /// than the row itself), but searches walk by it, and links by the distances of vectors that are made equally long
    /// lose recall as soon as lengths differ much.
    pub(super) fn distance(&self, a: u32, b: u32) -> f32 {
        -dot(self.row(a), self.row(b))
    }

    /// For each row the first one with the same bits.
    pub(super) fn first_copies(&self) -> Vec<u32> {
        let bits = |row: u32| bytemuck::cast_slice::<f32, u8>(self.row(row));
        let mut firsts: HashTable<u32> = HashTable::new();
        let first = |row: u32| {
            let same = |&other: &u32| bits(other) == bits(row);
            *firsts.entry(xxh3_64(bits(row)), same, |&other| xxh3_64(bits(other))).or_insert(row).get()
        };
        (0..self.rows() as u32).map(first).collect()
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
    fn products_and_copies_by_hand() {
        let mut points = Points::new(4, 9).expect("room");
        let rows = [[1.0; 9], [0.5; 9], [1.0; 9], [-0.0; 9]];
        rows.iter().for_each(|row| points.push(row));
        assert_eq!((points.rows(), points.row(1).len()), (4, 16));
        assert_eq!((points.distance(0, 1), points.distance(0, 2), points.distance(0, 3)), (-4.5, -9.0, 0.0));
        assert_eq!(points.first_copies(), [0, 1, 0, 3]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        for (rows, dim) in [(usize::MAX, 64), (1 << 60, 8)] {
            assert_eq!(Points::new(rows, dim).err().map(|e| e.kind()), Some(io::ErrorKind::OutOfMemory));
        }
    }
}
