//! The rows that promise most to queries, as far as codes tell, weighed by a scan of codes alone. A row's score may have
//! a term that a query multiplies with a value of its own, in columns beside the row's, and a bias.

use super::candidates::TopKCandidates;
use super::codes::{ItemCodes, QueryCode, step};
use super::scan::up_to;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::simd::{CodeBiases, GROUP, Op, PANEL, Pass, Simd, query_code_at, scan_codes};

/// Rows by their codes.
pub(crate) struct CodedRows {
    codes: ItemCodes,
    /// The value of the code 1, in every panel the same.
    unit: f32,
    rows: usize,
    dim: usize,
    /// Columns that share the extra value, so that it is no larger than the others.
    columns: usize,
    /// The extra values' middle, which no column holds.
    middle: f32,
    /// A query's extra value is multiplied with this in each column, and a row's divided by it.
    balance: f32,
    /// What is added to the score of each row, up to whole panels; absent: nothing.
    biases: Option<Vec<f32>>,
    /// Bit j of word i: row 32 i + j may be found.
    live: Vec<u32>,
}

/// A row and its estimated score.
pub(crate) type Estimate = (u32, f32);

/// What is looked for among coded rows.
#[derive(Clone, Copy)]
pub(crate) struct EstimateQueries<'a> {
    /// Queries x D.
    pub queries: &'a [f32],
    /// A query's own part of the extra term.
    pub extras: &'a [f32],
    /// Rows for each query, at most.
    pub most: usize,
    /// Absent: the best rows of each query, best first. Else all that reach its bar, up to `most`, in any order.
    pub bars: Option<&'a [f32]>,
}

/// Queries in codes.
struct CodedQueries {
    codes: Vec<i8>,
    about: Vec<ScoreTransform>,
}

/// What turns a query's sums into scores.
#[derive(Clone, Copy)]
struct ScoreTransform {
    unit: f32,
    excess: f32,
    shift: f32,
}

impl CodedRows {
    /// `values`: rows x D; `extra`: what is added to a row's score, times the query's own extra value; `biases`: what is
    /// added as it is, absent: nothing; `live`: which rows may be found.
    pub(crate) fn new(
        cpu: &Cpu,
        values: &[f32],
        dim: usize,
        extra: &[f32],
        biases: Option<Vec<f32>>,
        live: impl Fn(usize) -> bool,
    ) -> CodedRows {
        let rows = extra.len();
        let (least, most) = extra.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
        let middle = if rows == 0 { 0.0 } else { 0.5 * least + 0.5 * most };
        let columns = (dim + 1).next_multiple_of(8) - dim;
        let largest = values.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let share = (most - middle) / columns as f32;
        // Both are finite: codes stand for the rows.
        let balance = if share > 0.0 && largest > 0.0 { share / largest } else { 1.0 };
        let wide = dim + columns;
        let mut widened = Vec::with_capacity(rows * wide);
        for (row, x) in values.chunks_exact(dim.max(1)).zip(extra) {
            widened.extend_from_slice(row);
            widened.extend(std::iter::repeat_n((x - middle) / columns as f32 / balance, columns));
        }
        let unit = step(&widened).unwrap_or(1.0);
        let mut codes = ItemCodes::of_few(rows, wide);
        codes.encode(cpu, 0, &widened, None, Some(unit));
        let biases = biases.map(|mut biases| {
            biases.resize(rows.next_multiple_of(PANEL), 0.0);
            biases
        });
        let mut bits = vec![0; rows.div_ceil(PANEL)];
        (0..rows).filter(|&row| live(row)).for_each(|row| bits[row / PANEL] |= 1 << (row % PANEL));
        CodedRows { codes, unit, rows, dim, columns, middle, balance, biases, live: bits }
    }

    /// What codes tell of each query; nothing of one that they cannot stand for.
    pub(crate) fn best(&self, cpu: &Cpu, asked: EstimateQueries<'_>) -> Vec<Vec<Estimate>> {
        cpu.isa.run(Best { rows: self, asked })
    }

    /// Encodes queries with their extra values.
    #[inline(always)]
    fn encode<S: Simd>(&self, _: S, queries: &[f32], extras: &[f32]) -> CodedQueries {
        let (rows, width) = (queries.len() / self.dim.max(1), self.codes.width);
        let mut codes = vec![0; rows.next_multiple_of(GROUP) * width];
        let mut about = Vec::with_capacity(rows);
        let mut wide = vec![0.0; self.dim + self.columns];
        for (n, (query, &extra)) in queries.chunks_exact(self.dim.max(1)).zip(extras).enumerate() {
            wide[..self.dim].copy_from_slice(query);
            wide[self.dim..].fill(extra * self.balance);
            let group = &mut codes[n / GROUP * GROUP * width..];
            let code = QueryCode::encode(group, &wide, |k| query_code_at::<S>(n % GROUP, k, width)).unwrap_or_default();
            about.push(ScoreTransform { unit: code.step * self.unit, excess: code.excess, shift: extra * self.middle });
        }
        CodedQueries { codes, about }
    }

    #[inline(always)]
    fn scan<S: Simd, const BIASED: bool>(
        &self,
        s: S,
        coded: &CodedQueries,
        most: usize,
        bars: Option<&[f32]>,
    ) -> Vec<Vec<Estimate>> {
        let (queries, width, rows) = (coded.about.len(), self.codes.width, self.rows);
        let start = |n: usize| match bars {
            None => f32::NEG_INFINITY,
            Some(bars) => {
                let ScoreTransform { unit, excess, shift } = coded.about[n];
                ((bars[n] - shift) / unit + excess).floor()
            }
        };
        let mut found: Vec<TopKCandidates> = (0..queries).map(|n| TopKCandidates::from_bar(most, start(n))).collect();
        let (mut sums, mut hits) = ([0.0; GROUP * PANEL], [0; GROUP]);
        for first in (0..queries).step_by(GROUP) {
            let live = (queries - first).min(GROUP);
            let (mut limits, mut units) = ([f32::INFINITY; GROUP], [0.0; GROUP]);
            for r in 0..live {
                limits[r] = start(first + r);
                // Of a query without codes nothing is known.
                let unit = coded.about[first + r].unit;
                units[r] = if unit > 0.0 { 1.0 / unit } else { 0.0 };
            }
            let group = &coded.codes[first * width..(first + GROUP) * width];
            for row in (0..rows).step_by(PANEL) {
                let (bytes, _) = self.codes.panel(row);
                let biases: Option<&[f32; PANEL]> = match &self.biases {
                    Some(biases) if BIASED => biases[row..].first_chunk(),
                    _ => None,
                };
                let mut loose = [f32::NEG_INFINITY; GROUP];
                if let Some(biases) = biases {
                    let top = biases.iter().fold(f32::NEG_INFINITY, |m, &b| m.max(b));
                    for (loose, (limit, unit)) in loose.iter_mut().zip(limits.iter().zip(&units)) {
                        let most = top * unit;
                        *loose = (limit - most - 1e-6 * (limit.abs() + most.abs())).max(f32::NEG_INFINITY);
                    }
                }
                let biases = biases.map(|values| CodeBiases { values, units: &units, loose: &loose });
                let pass = Pass { queries: group, panel: bytes, bars: &limits, width, live };
                if !scan_codes(s, &mut sums, &mut hits, pass, biases) {
                    continue;
                }
                let there = self.live[row / PANEL] & up_to(rows - row);
                for (r, &hits) in hits[..live].iter().enumerate().filter(|(_, hits)| **hits & there != 0) {
                    let sums = &sums[r * PANEL..(r + 1) * PANEL];
                    limits[r] = found[first + r].push(hits & there, sums, row, Some);
                }
            }
        }
        let estimates = |(list, n): (TopKCandidates, usize)| {
            let ScoreTransform { unit, excess, shift } = coded.about[n];
            list.sorted().map(|(sum, row)| (row, (sum - excess) * unit + shift)).collect()
        };
        found.into_iter().zip(0..).map(estimates).collect()
    }
}

struct Best<'a> {
    rows: &'a CodedRows,
    asked: EstimateQueries<'a>,
}

impl Op for Best<'_> {
    type Output = Vec<Vec<Estimate>>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Output {
        let EstimateQueries { queries, extras, most, bars } = self.asked;
        let coded = self.rows.encode(s, queries, extras);
        match self.rows.biases {
            Some(_) => self.rows.scan::<S, true>(s, &coded, most, bars),
            None => self.rows.scan::<S, false>(s, &coded, most, bars),
        }
    }
}
