//! Scores of queries and items in tiles, compared with bars while they are in registers.

use super::gemm::{Left, Right, tile};
use super::pack::turn_over;
use super::{PANEL, Simd};

/// Queries that [`scan_panel`] takes at once.
pub(crate) const GROUP: usize = 12;

/// The first `live` of up to [`GROUP`] queries against one panel of items.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a, Q, P> {
    pub queries: &'a [Q],
    pub panel: &'a [P],
    /// The least result that is a hit, for each query.
    pub bars: &'a [f32; GROUP],
    /// Values of a query, as they are packed.
    pub width: usize,
    pub live: usize,
}

/// Items of a tile.
#[inline(always)]
const fn wide<S: Simd>() -> usize {
    S::TILE_VECTORS * S::LANES
}

/// Where a group keeps value k of its query r: tile by tile, so that a tile reads one line after the other.
#[inline(always)]
pub(crate) fn query_at<S: Simd>(r: usize, k: usize, dim: usize) -> usize {
    (r / S::TILE_ROWS * dim + k) * S::TILE_ROWS + r % S::TILE_ROWS
}

/// Lays a panel of up to [`PANEL`] items out for [`scan_panel`], tile by tile as well; missing ones are zero.
#[inline(always)]
pub(crate) fn pack_items<S: Simd>(panel: &mut [f32], items: &[f32], dim: usize) {
    for (t, out) in panel.chunks_exact_mut(dim * wide::<S>()).enumerate() {
        let at = (t * wide::<S>() * dim).min(items.len());
        let items = &items[at..(at + wide::<S>() * dim).min(items.len())];
        match wide::<S>() {
            8 => turn_over::<8>(out, items, dim),
            16 => turn_over::<16>(out, items, dim),
            _ => turn_over::<32>(out, items, dim),
        }
    }
}

/// Scores one query against `N` items, as [`scan_panel`] does: one chain each, from the item's bias.
#[inline(always)]
pub(crate) fn score_rows<S: Simd, const N: usize>(
    s: S,
    query: &[f32],
    rows: [&[f32]; N],
    biases: [f32; N],
) -> [f32; N] {
    let rows = rows.map(|row| &row[..query.len()]);
    let mut sums = biases;
    for (k, &x) in query.iter().enumerate() {
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum = s.fma_one(x, row[k], *sum);
        }
    }
    sums
}

/// Scores queries (see [`query_at`]) against a panel (see [`pack_items`]). Bit j of `hits[q]`: the score of item j is
/// at least `bars[q]`. Where a query has a hit its `scores[q * PANEL..]` are written. Answers whether any has one. A
/// score's chain starts at the item's bias, or at 0 where `biases` are absent.
#[inline(always)]
pub(crate) fn scan_panel<S: Simd>(
    s: S,
    scores: &mut [f32; GROUP * PANEL],
    hits: &mut [u32; GROUP],
    pass: Pass<'_, f32, f32>,
    biases: Option<&[f32; PANEL]>,
) -> bool {
    let Pass { queries, panel, width: dim, live, .. } = pass;
    assert!(queries.len() >= dim * GROUP && panel.len() >= dim * PANEL);
    *hits = [0; GROUP];
    for row in (0..live.min(GROUP)).step_by(S::TILE_ROWS) {
        match (S::TILE_ROWS, S::TILE_VECTORS) {
            (12, _) => scan_rows::<S, 12, 2>(s, scores, hits, pass, row, biases),
            (6, _) => scan_rows::<S, 6, 2>(s, scores, hits, pass, row, biases),
            _ => scan_rows::<S, 4, 1>(s, scores, hits, pass, row, biases),
        }
    }
    hits.iter().any(|&h| h != 0)
}

#[inline(always)]
fn scan_rows<S: Simd, const MR: usize, const NV: usize>(
    s: S,
    scores: &mut [f32; GROUP * PANEL],
    hits: &mut [u32; GROUP],
    pass: Pass<'_, f32, f32>,
    row: usize,
    biases: Option<&[f32; PANEL]>,
) {
    let Pass { queries, panel, bars, width: dim, .. } = pass;
    for column in (0..PANEL).step_by(NV * S::LANES) {
        let a = Left { at: queries[row * dim..].as_ptr(), row: 1, col: MR };
        let b = Right { at: panel[column * dim..].as_ptr(), row: NV * S::LANES };
        let mut start = [s.splat(0.0); NV];
        if let Some(biases) = biases {
            start.iter_mut().enumerate().for_each(|(v, start)| *start = s.get(&biases[column + v * S::LANES..]));
        }
        // SAFETY: `scan_panel` checked that there are `dim` times GROUP values of queries and PANEL of items; the tile
        // takes `dim` times MR of the first from query `row` on and NV vectors of the second from item `column` on.
        let sums = unsafe { tile::<S, MR, NV, false, false>(s, start, a, b, dim, S::LANES) };
        // Most tiles have no hit at all.
        let mut any = 0;
        for (sums, &bar) in sums.iter().zip(&bars[row..]) {
            for &x in sums {
                any |= s.at_least(x, s.splat(bar));
            }
        }
        if any == 0 {
            continue;
        }
        for (r, sums) in sums.into_iter().enumerate() {
            let bar = s.splat(bars[row + r]);
            for (v, &x) in sums.iter().enumerate() {
                let column = column + v * S::LANES;
                hits[row + r] |= s.at_least(x, bar) << column;
                s.put(&mut scores[(row + r) * PANEL + column..], x);
            }
        }
    }
}
