//! From a catalogue to lists: k-means, by the codes that searches use.

use super::{Guide, InvertedLists};
use crate::backend::cpu::Cpu;
use crate::backend::cpu::topk::{CpuItems, EstimateQueries};
use crate::rng::Rng;
use crate::slab::Slab;
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

/// How much more a difference of biases counts than one of values when neighbours are found.
const BIAS_WEIGHT: f32 = 2.0;

/// Items to be put into lists.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// Rows x D.
    pub values: &'a [f32],
    /// One a row; absent: none is biased.
    pub biases: Option<&'a [f32]>,
    pub dim: usize,
}

impl<'a> Rows<'a> {
    fn count(&self) -> usize {
        self.values.len() / self.dim
    }

    fn row(&self, r: usize) -> &'a [f32] {
        row(self.values, self.dim, r)
    }

    fn bias(&self, r: usize) -> f32 {
        self.biases.map_or(0.0, |biases| biases[r])
    }

    /// Whether codes can stand for all values, and sums of them for all biases.
    fn encodable(&self) -> bool {
        self.values.iter().chain(self.biases.unwrap_or_default()).all(|x| x.abs() < 1e15)
    }
}

/// Rows that are owned: items, a sample of them, or centroids.
pub(crate) struct OwnRows {
    /// Rows x D.
    pub values: Vec<f32>,
    /// One a row; absent: none is biased.
    pub biases: Option<Vec<f32>>,
    pub dim: usize,
}

impl OwnRows {
    /// All of them.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { values: &self.values, biases: self.biases.as_deref(), dim: self.dim }
    }
}

/// Lists of these rows. The same seed gives the same lists, whatever the number of threads. None where some value is
/// not finite, or larger than codes can stand for.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub(crate) fn train(cpu: &Cpu, rows: Rows<'_>, seed: u64) -> Result<Option<InvertedLists>> {
    let dim = rows.dim;
    if dim == 0 || rows.count() == 0 || !rows.encodable() {
        return Ok(None);
    }
    let mut rng = Rng::at(seed, &[LISTS]);
    let lists = lists_for(rows.count());
    let sample = sample(&mut rng, rows, rows.count().min(lists * SAMPLE_A_LIST))?;
    let mut centroids = OwnRows {
        values: sample.values[..lists * dim].to_vec(),
        biases: sample.biases.as_ref().map(|biases| biases[..lists].to_vec()),
        dim,
    };
    for _ in 0..ROUNDS {
        let nearest = assign(cpu, sample.rows(), centroids.rows())?;
        centroids = means(cpu, sample.rows(), &nearest, lists, &mut rng)?;
    }
    let nearest = assign(cpu, rows, centroids.rows())?;
    lay_out(cpu, rows, centroids, &nearest).map(Some)
}

impl InvertedLists {
    /// Lists about the same centroids with these items in place of the old ones; `ids` are their rows. None where some
    /// value cannot be encoded.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(crate) fn reassigned(&self, cpu: &Cpu, rows: Rows<'_>, ids: &[u32]) -> Result<Option<InvertedLists>> {
        if !rows.encodable() {
            return Ok(None);
        }
        let biases = self.centroid_biases.as_ref().map(|biases| biases.to_vec());
        let centroids = OwnRows { values: self.centroids.to_vec(), biases, dim: rows.dim };
        let nearest = assign(cpu, rows, centroids.rows())?;
        let mut lists = lay_out(cpu, rows, centroids, &nearest)?;
        lists.name(ids);
        Ok(Some(lists))
    }

    /// Gives the items their rows: `ids[r]` for what was row r of the values.
    pub(crate) fn name(&mut self, ids: &[u32]) {
        self.order.to_mut().iter_mut().for_each(|row| *row = ids[*row as usize]);
    }
}

/// `n` rows, without repeats, in random order.
fn sample(rng: &mut Rng, rows: Rows<'_>, n: usize) -> Result<OwnRows> {
    let mut numbers = memory::collect(0..rows.count() as u32, WHAT)?;
    let mut values = memory::with_capacity(n * rows.dim, WHAT)?;
    for i in 0..n {
        let other = i + rng.below((rows.count() - i) as u64) as usize;
        numbers.swap(i, other);
        values.extend_from_slice(rows.row(numbers[i] as usize));
    }
    let biases = rows.biases.map(|biases| numbers[..n].iter().map(|&r| biases[r as usize]).collect());
    Ok(OwnRows { values, biases, dim: rows.dim })
}

fn row(values: &[f32], dim: usize, r: usize) -> &[f32] {
    &values[r * dim..(r + 1) * dim]
}

/// The centroid nearest to each row, as far as codes tell: the largest `<x, c> - |c|^2 / 2`, and with biases
/// `w (x_b c_b - c_b^2 / 2)` more, w being [`BIAS_WEIGHT`].
fn assign(cpu: &Cpu, rows: Rows<'_>, centroids: Rows<'_>) -> Result<Vec<u32>> {
    let dim = rows.dim;
    let half = |(c, r): (&[f32], usize)| {
        let bias = centroids.bias(r);
        -0.5 * c.iter().map(|x| x * x).sum::<f32>() - 0.5 * BIAS_WEIGHT * bias * bias
    };
    let halves: Vec<f32> = centroids.values.chunks_exact(dim).zip(0..).map(half).collect();
    let counts = vec![1; halves.len()];
    let guide = &match centroids.biases {
        Some(biases) => Guide::new(cpu, centroids.values, dim, biases, Some(halves), counts),
        None => Guide::new(cpu, centroids.values, dim, &halves, None, counts),
    };
    let mut nearest = memory::zeros::<u32>(rows.count(), WHAT)?;
    let tasks = nearest.chunks_mut(CHUNK).zip((0..).step_by(CHUNK)).collect();
    cpu.threads.each(true, tasks, |(nearest, first): (&mut [u32], usize)| {
        let some = first..first + nearest.len();
        let extras = some.clone().map(|r| rows.biases.map_or(1.0, |biases| BIAS_WEIGHT * biases[r]));
        let (queries, extras) = (&rows.values[some.start * dim..some.end * dim], &extras.collect::<Vec<_>>());
        let found = guide.promising(cpu, EstimateQueries { queries, extras, most: 1, bars: None });
        for (nearest, found) in nearest.iter_mut().zip(found) {
            *nearest = found.first().map_or(0, |(list, _)| *list);
        }
    });
    Ok(nearest)
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
fn means(cpu: &Cpu, rows: Rows<'_>, nearest: &[u32], lists: usize, rng: &mut Rng) -> Result<OwnRows> {
    let dim = rows.dim;
    let (starts, order) = group(nearest, lists)?;
    let members = |list: usize| &order[starts[list] as usize..starts[list + 1] as usize];
    let mut means = vec![0.0; lists * dim];
    let tasks = means.chunks_mut(64 * dim).zip((0..).step_by(64)).collect();
    cpu.threads.each(true, tasks, |(means, first): (&mut [f32], usize)| {
        for (mean, list) in means.chunks_exact_mut(dim).zip(first..) {
            let members = members(list);
            for &r in members {
                mean.iter_mut().zip(rows.row(r as usize)).for_each(|(m, x)| *m += x);
            }
            mean.iter_mut().for_each(|m| *m /= members.len().max(1) as f32);
        }
    });
    let mean = |list| members(list).iter().map(|&r| rows.bias(r as usize)).sum::<f32>() / members(list).len() as f32;
    let mut biases: Option<Vec<f32>> = rows.biases.map(|_| (0..lists).map(mean).collect());
    for list in 0..lists {
        if members(list).is_empty() {
            let other = rng.below(nearest.len() as u64) as usize;
            means[list * dim..(list + 1) * dim].copy_from_slice(rows.row(other));
            if let Some(biases) = &mut biases {
                biases[list] = rows.bias(other);
            }
        }
    }
    Ok(OwnRows { values: means, biases, dim })
}

/// Puts the rows where their lists are.
fn lay_out(cpu: &Cpu, rows: Rows<'_>, centroids: OwnRows, nearest: &[u32]) -> Result<InvertedLists> {
    let dim = rows.dim;
    let OwnRows { values: centroids, biases: centroid_biases, .. } = centroids;
    let lists = centroids.len() / dim;
    let (starts, order) = group(nearest, lists)?;
    let mut placed = memory::zeros::<f32>(rows.values.len(), WHAT)?;
    let tasks = placed.chunks_mut(CHUNK * dim).zip(order.chunks(CHUNK)).collect();
    cpu.threads.each(true, tasks, |(placed, order)| {
        for (to, &r) in placed.chunks_exact_mut(dim).zip(order) {
            to.copy_from_slice(rows.row(r as usize));
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
    let biases = match rows.biases {
        Some(biases) => Some(memory::collect(order.iter().map(|&r| biases[r as usize]), WHAT)?),
        None => None,
    };
    let items = CpuItems::of(cpu, placed, biases, dim)?;
    Ok(InvertedLists {
        items,
        order: order.into(),
        starts: starts.into(),
        centroids: centroids.into(),
        centroid_biases: centroid_biases.map(Slab::from),
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
