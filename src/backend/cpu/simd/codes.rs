//! Products of codes: whole numbers from -63 to 63, an item's stored as a byte from 1 to 127.
//!
//! Sums are exact, so they are the same on every instruction set.

use super::{GROUP, PANEL, Pass, Simd};

/// The greatest code.
pub(crate) const LARGEST_CODE: f32 = 63.0;
/// How the code 0 of an item is stored: a sum is too large by this times the sum of the query's codes.
pub(crate) const CODE_ZERO: u8 = 64;

/// Bytes of a panel's items for four codes each.
const STRIDE: usize = 4 * PANEL;

/// Where a panel's item r keeps its code k: four codes of an item together, so that a vector holds those of as many items
/// as it has lanes. The same for every instruction set: codes are kept in files.
#[inline(always)]
pub(crate) fn code_at(r: usize, k: usize) -> usize {
    k / 4 * STRIDE + r * 4 + k % 4
}

/// Where a group keeps code k of its query r: tile by tile, eight codes of a query together.
#[inline(always)]
pub(crate) fn query_code_at<S: Simd>(r: usize, k: usize, width: usize) -> usize {
    r / S::CODE_ROWS * S::CODE_ROWS * width + (k / 8 * S::CODE_ROWS + r % S::CODE_ROWS) * 8 + k % 8
}

/// What the items of a panel add to their sums.
#[derive(Clone, Copy)]
pub(crate) struct CodeBiases<'a> {
    /// One an item, in the units of scores.
    pub values: &'a [f32; PANEL],
    /// What turns them into the units of each query's sums.
    pub units: &'a [f32; GROUP],
    /// The least sum without its bias that can be a hit, for each query: most tiles are done with after a look at this.
    pub loose: &'a [f32; GROUP],
}

/// Multiplies queries (see [`query_code_at`]) with a panel, and adds the items' biases. Bit j of
/// `hits[q]`: the sum of item j may be at least `bars[q]`; where a query has a hit its `sums[q * PANEL..]` are written.
/// Answers whether any has one. A NaN is no hit. The width is a multiple of 8.
#[inline(always)]
pub(crate) fn scan_codes<S: Simd>(
    s: S,
    sums: &mut [f32; GROUP * PANEL],
    hits: &mut [u32; GROUP],
    pass: Pass<'_, i8, u8>,
    biases: Option<CodeBiases<'_>>,
) -> bool {
    let Pass { queries, panel, width, live, .. } = pass;
    assert!(width.is_multiple_of(8) && panel.len() >= width * PANEL);
    assert!(live <= GROUP && queries.len() >= GROUP * width);
    *hits = [0; GROUP];
    let mut row = 0;
    while row < live {
        // Fewer queries than a tile has go one by one, or four by four.
        row += match (S::CODE_ROWS, live - row) {
            (12, 12..) => rows::<S, 12>(s, sums, hits, pass, row, biases),
            (3, 3..) => rows::<S, 3>(s, sums, hits, pass, row, biases),
            (_, 4..) => rows::<S, 4>(s, sums, hits, pass, row, biases),
            _ => rows::<S, 1>(s, sums, hits, pass, row, biases),
        };
    }
    hits.iter().any(|&h| h != 0)
}

/// `MR` queries from `row` on against the panel; answers `MR`.
#[inline(always)]
fn rows<S: Simd, const MR: usize>(
    s: S,
    sums: &mut [f32; GROUP * PANEL],
    hits: &mut [u32; GROUP],
    pass: Pass<'_, i8, u8>,
    row: usize,
    biases: Option<CodeBiases<'_>>,
) -> usize {
    let Pass { queries, panel, bars, width, .. } = pass;
    for column in (0..PANEL).step_by(2 * S::LANES) {
        let (q, items) = (queries[query_code_at::<S>(row, 0, width)..].as_ptr(), panel[column * 4..].as_ptr());
        // SAFETY: `scan_codes` checked that there are `width` times GROUP codes of queries and PANEL of items. The MR
        // queries from `row` on lie in one tile of queries, two vectors of items from `column` on in each row of a panel.
        let found = unsafe { tile::<S, MR>(s, q, items, width) };
        // Most tiles have no hit at all.
        let least = biases.map_or(bars, |biases| biases.loose);
        let mut any = 0;
        for (found, &least) in found.iter().zip(&least[row..]) {
            any |= s.at_least(s.to_float(s.max_int(found[0], found[1])), s.splat(least));
        }
        if any == 0 {
            continue;
        }
        for (r, found) in found.into_iter().enumerate() {
            let bar = s.splat(bars[row + r]);
            for (v, found) in found.into_iter().enumerate() {
                let (mut x, column) = (s.to_float(found), column + v * S::LANES);
                if let Some(CodeBiases { values, units, .. }) = biases {
                    x = s.fma(s.get(&values[column..]), s.splat(units[row + r]), x);
                }
                hits[row + r] |= s.at_least(x, bar) << column;
                s.put(&mut sums[(row + r) * PANEL + column..], x);
            }
        }
    }
    MR
}

/// The sums of `MR` queries by two vectors of items.
///
/// # Safety
/// Two vectors of items can be read in each of `width / 4` rows of a panel, and of queries what stands from the first of
/// `MR` on in their tile; `width` is a multiple of 8.
#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize>(s: S, queries: *const i8, items: *const u8, width: usize) -> [[S::I; 2]; MR] {
    let mut sums = [[s.zeros_int(); 2]; MR];
    for step in 0..width / 8 {
        let items = items.wrapping_add(step * 2 * STRIDE);
        let queries = queries.wrapping_add(step * 8 * S::CODE_ROWS);
        let mut a = [[s.zeros_int(); 2]; 2];
        for (v, a) in a.iter_mut().enumerate() {
            for (half, a) in a.iter_mut().enumerate() {
                // SAFETY: the caller vouches for these two rows of items.
                *a = unsafe { s.load_bytes(items.wrapping_add(half * STRIDE + v * 4 * S::LANES)) };
            }
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let q = queries.wrapping_add(r * 8);
            // SAFETY: the caller vouches for this query's eight codes.
            let b = unsafe { [s.splat_bytes(q), s.splat_bytes(q.wrapping_add(4))] };
            for (sum, &a) in sums.iter_mut().zip(&a) {
                *sum = s.dot8(*sum, a, b);
            }
        }
    }
    sums
}
