//! From a catalogue to lists: k-means, by the codes that searches use.

use super::super::super::Cpu;
use super::super::CpuItems;
use super::{Guide, InvertedLists};
use crate::backend::cpu::simd::{Op, Simd};
use crate::rng::Rng;
use crate::{Result, memory};

/// Items of a list that the centroids are found with.
const SAMPLE_A_LIST: usize = 32;
const ROUNDS: usize = 8;
/// Items that a task assigns.
const CHUNK: usize = 4096;
/// What takes the memory.
const WHAT: &str = "the lists of an index";
/// Items whose residuals say how residuals lie.
const RESIDUALS: usize = 1 << 16;
/// Marks the random numbers of lists.
const LISTS: u64 = u64::from_le_bytes(*b"lists\0\0\0");

/// How many lists `items` items are cut into: reading one list costs about as much as finding it.
pub(crate) fn lists_for(items: usize) -> usize {
    ((4.0 * (items as f64).sqrt()) as usize).clamp(1, items.max(1))
}

/// Lists of the rows of `values` (rows x D). The same seed gives the same lists, whatever the number of threads. None
/// where some value is not finite, or larger than codes can stand for.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub(crate) fn train(cpu: &Cpu, values: &[f32], dim: usize, seed: u64) -> Result<Option<InvertedLists>> {
    let rows = values.len() / dim.max(1);
    if rows == 0 || dim == 0 || !encodable(values) {
        return Ok(None);
    }
    let mut rng = Rng::at(seed, &[LISTS]);
    let lists = lists_for(rows);
    let sample = sample(&mut rng, values, dim, rows.min(lists * SAMPLE_A_LIST))?;
    let mut centroids = sample[..lists * dim].to_vec();
    for _ in 0..ROUNDS {
        let nearest = assign(cpu, &sample, &centroids, dim)?;
        centroids = means(cpu, &sample, &nearest, &centroids, dim, &mut rng)?;
    }
    let nearest = assign(cpu, values, &centroids, dim)?;
    lay_out(cpu, values, dim, centroids, &nearest).map(Some)
}

impl InvertedLists {
    /// Lists about the same centroids with these items in place of the old ones; `ids` are their rows. None where some
    /// value cannot be encoded.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(crate) fn reassigned(&self, cpu: &Cpu, values: &[f32], ids: &[u32]) -> Result<Option<InvertedLists>> {
        let dim = self.items.dim;
        if !encodable(values) {
            return Ok(None);
        }
        let nearest = assign(cpu, values, &self.centroids, dim)?;
        let mut lists = lay_out(cpu, values, dim, self.centroids.to_vec(), &nearest)?;
        lists.name(ids);
        Ok(Some(lists))
    }

    /// Gives the items their rows: `ids[r]` for what was row r of the values.
    pub(crate) fn name(&mut self, ids: &[u32]) {
        self.order.to_mut().iter_mut().for_each(|row| *row = ids[*row as usize]);
    }
}

/// Whether codes can stand for all values.
fn encodable(values: &[f32]) -> bool {
    values.iter().all(|x| x.abs() < 1e15)
}

/// `n` rows, without repeats, in random order.
fn sample(rng: &mut Rng, values: &[f32], dim: usize, n: usize) -> Result<Vec<f32>> {
    let rows = values.len() / dim;
    let mut numbers = memory::collect(0..rows as u32, WHAT)?;
    let mut out = memory::with_capacity(n * dim, WHAT)?;
    for i in 0..n {
        let other = i + rng.below((rows - i) as u64) as usize;
        numbers.swap(i, other);
        out.extend_from_slice(row(values, dim, numbers[i] as usize));
    }
    Ok(out)
}

fn row(values: &[f32], dim: usize, r: usize) -> &[f32] {
    &values[r * dim..(r + 1) * dim]
}

/// The centroid nearest to each row: the largest `<x, c> - |c|^2 / 2`, as far as codes tell.
pub(crate) fn assign(cpu: &Cpu, values: &[f32], centroids: &[f32], dim: usize) -> Result<Vec<u32>> {
    let halves: Vec<f32> = centroids.chunks_exact(dim).map(|c| -0.5 * c.iter().map(|x| x * x).sum::<f32>()).collect();
    let counts = vec![1; halves.len()];
    let guide = &Guide::new(cpu, centroids, dim, &halves, counts);
    let mut nearest = memory::zeros::<u32>(values.len() / dim, WHAT)?;
    let tasks = nearest.chunks_mut(CHUNK).zip(values.chunks(CHUNK * dim)).collect();
    cpu.threads.each(true, tasks, |(nearest, values)| cpu.isa.run(Assign { nearest, values, guide }));
    Ok(nearest)
}

struct Assign<'a> {
    nearest: &'a mut [u32],
    values: &'a [f32],
    guide: &'a Guide,
}

impl Op for Assign<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let guided = self.guide.encode(s, self.values, std::iter::repeat(1.0));
        for (nearest, found) in self.nearest.iter_mut().zip(self.guide.promising(s, &guided, 1, None)) {
            *nearest = found.first().map_or(0, |(list, _)| *list);
        }
    }
}

/// Which rows each list has, ascending: where each starts, and all rows.
fn group(nearest: &[u32], lists: usize) -> Result<(Vec<u32>, Vec<u32>)> {
    let mut starts = vec![0u32; lists + 1];
    nearest.iter().for_each(|&list| starts[list as usize + 1] += 1);
    (0..lists).for_each(|list| starts[list + 1] += starts[list]);
    let (mut next, mut order) = (starts.clone(), memory::zeros::<u32>(nearest.len(), WHAT)?);
    for (row, &list) in nearest.iter().enumerate() {
        order[next[list as usize] as usize] = row as u32;
        next[list as usize] += 1;
    }
    Ok((starts, order))
}

/// The mean of each list's rows. A list without rows starts again at a random row of the sample.
fn means(cpu: &Cpu, values: &[f32], nearest: &[u32], old: &[f32], dim: usize, rng: &mut Rng) -> Result<Vec<f32>> {
    let lists = old.len() / dim;
    let (starts, order) = group(nearest, lists)?;
    let mut means = vec![0.0; lists * dim];
    let tasks = means.chunks_mut(64 * dim).zip((0..).step_by(64)).collect();
    cpu.threads.each(true, tasks, |(means, first): (&mut [f32], usize)| {
        for (mean, list) in means.chunks_exact_mut(dim).zip(first..) {
            let rows = &order[starts[list] as usize..starts[list + 1] as usize];
            for &r in rows {
                mean.iter_mut().zip(row(values, dim, r as usize)).for_each(|(m, x)| *m += x);
            }
            mean.iter_mut().for_each(|m| *m /= rows.len().max(1) as f32);
        }
    });
    for list in 0..lists {
        if starts[list] == starts[list + 1] {
            let other = rng.below(nearest.len() as u64) as usize;
            means[list * dim..(list + 1) * dim].copy_from_slice(row(values, dim, other));
        }
    }
    Ok(means)
}

/// Puts the rows where their lists are.
fn lay_out(cpu: &Cpu, values: &[f32], dim: usize, centroids: Vec<f32>, nearest: &[u32]) -> Result<InvertedLists> {
    let lists = centroids.len() / dim;
    let (starts, order) = group(nearest, lists)?;
    let mut placed = memory::zeros::<f32>(values.len(), WHAT)?;
    let tasks = placed.chunks_mut(CHUNK * dim).zip(order.chunks(CHUNK)).collect();
    cpu.threads.each(true, tasks, |(placed, order)| {
        for (to, &r) in placed.chunks_exact_mut(dim).zip(order) {
            to.copy_from_slice(row(values, dim, r as usize));
        }
    });
    let mut spreads = vec![0.0; lists];
    let tasks = spreads.chunks_mut(64).zip((0..).step_by(64)).collect();
    cpu.threads.each(true, tasks, |(spreads, first): (&mut [f32], usize)| {
        for (spread, list) in spreads.iter_mut().zip(first..) {
            let (from, to) = (starts[list] as usize, starts[list + 1] as usize);
            let squares =
                placed[from * dim..to * dim].chunks_exact(dim).map(|x| distance(x, row(&centroids, dim, list)));
            // A list of one item says nothing about how it spreads.
            *spread = (squares.sum::<f32>() / (to - from).max(1) as f32 / dim as f32).sqrt();
        }
    });
    let shape = shape(&placed, &starts, &centroids, dim);
    let items = CpuItems::of(cpu, placed, dim)?;
    Ok(InvertedLists {
        items,
        order: order.into(),
        starts: starts.into(),
        centroids: centroids.into(),
        spreads: spreads.into(),
        shape: shape.into(),
    })
}

fn distance(x: &[f32], c: &[f32]) -> f32 {
    x.iter().zip(c).map(|(x, c)| (x - c) * (x - c)).sum()
}

/// The covariance of residuals, its trace D, from evenly spread items.
fn shape(placed: &[f32], starts: &[u32], centroids: &[f32], dim: usize) -> Vec<f32> {
    let rows = placed.len() / dim;
    let mut sums = vec![0.0f32; dim * dim];
    let (mut residual, mut list) = (vec![0.0; dim], 0);
    for place in (0..rows).step_by(rows.div_ceil(RESIDUALS)) {
        while starts[list + 1] as usize <= place {
            list += 1;
        }
        let both = row(placed, dim, place).iter().zip(row(centroids, dim, list));
        residual.iter_mut().zip(both).for_each(|(r, (x, c))| *r = x - c);
        for (sums, &x) in sums.chunks_exact_mut(dim).zip(&residual) {
            sums.iter_mut().zip(&residual).for_each(|(sum, &y)| *sum += x * y);
        }
    }
    let trace: f32 = (0..dim).map(|i| sums[i * dim + i]).sum();
    let scale = if trace > 0.0 { dim as f32 / trace } else { 0.0 };
    sums.iter_mut().for_each(|x| *x *= scale);
    sums
}
