//! Items and queries drawn about centres, and what is found of them without an index.

use tercel::index::Found;
use tercel::index::item_index::IndexOptions;
use tercel::rng::Rng;

pub const DIM: usize = 16;

pub fn exact() -> IndexOptions {
    IndexOptions::exact().threads(2)
}

pub fn approx(recall: f32) -> IndexOptions {
    IndexOptions::approx(recall).threads(2).catalogue("spring")
}

/// Sums of uniform numbers: normal enough.
fn normal(rng: &mut Rng) -> f32 {
    (0..12).map(|_| (rng.next_u64() >> 40) as f32 / (1u64 << 24) as f32).sum::<f32>() - 6.0
}

/// Points about `centers` centres; their lengths vary where `lengths` says so.
pub struct Cloud {
    pub centers: Vec<f32>,
    noise: f32,
    lengths: bool,
}

impl Cloud {
    pub fn new(centers: usize, noise: f32, lengths: bool) -> Cloud {
        let mut rng = Rng::at(7, &[1]);
        Cloud { centers: (0..centers * DIM).map(|_| normal(&mut rng)).collect(), noise, lengths }
    }

    pub fn draw(&self, rows: usize, stream: u64) -> Vec<f32> {
        let mut rng = Rng::at(7, &[2, stream]);
        let mut out = Vec::with_capacity(rows * DIM);
        for _ in 0..rows {
            let center = rng.below((self.centers.len() / DIM) as u64) as usize;
            let length = if self.lengths { (0.5 * normal(&mut rng)).exp() } else { 1.0 };
            let noise = self.noise;
            let point = self.centers[center * DIM..(center + 1) * DIM].iter();
            out.extend(point.map(|c| (c + noise * normal(&mut rng)) * length));
        }
        out
    }
}

/// The k best of one query, in f64, by the definition: score descending, then number ascending.
pub fn naive(items: &[(u32, &[f32])], query: &[f32], k: usize) -> Vec<(u32, f64)> {
    let score = |v: &[f32]| v.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let mut all: Vec<(u32, f64)> = items.iter().map(|(id, v)| (*id, score(v))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all.truncate(k);
    all
}

/// The part of the true k best that was found, by score.
pub fn recall(found: &Found, items: &[(u32, &[f32])], queries: &[f32]) -> f64 {
    let mut hits = 0.0;
    for (i, query) in queries.chunks(DIM).enumerate() {
        let best = naive(items, query, found.k);
        let least = best.last().map_or(f64::NEG_INFINITY, |(_, score)| score - 1e-4 * score.abs());
        let row = &found.scores[i * found.k..(i + 1) * found.k];
        hits += row.iter().filter(|s| f64::from(**s) >= least).count().min(best.len()) as f64 / best.len() as f64;
    }
    hits / (queries.len() / DIM) as f64
}

pub fn rows(values: &[f32]) -> Vec<(u32, &[f32])> {
    values.chunks(DIM).zip(0..).map(|(v, id)| (id, v)).collect()
}
