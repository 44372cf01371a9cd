//! Factors as the products read them: in panels, and in bf16 also in pairs, each product's along its own k.

use std::ops::Range;

use crate::backend::SoftmaxLoss;
use crate::backend::cpu::Cpu;
use crate::backend::cpu::scratch::Scratch;
use crate::backend::cpu::simd::{Op, PANEL, Simd, pack_panels, rows as row};

/// Columns of a block: a multiple of [`PANEL`] and of every tile's rows.
pub(super) const COLUMNS: usize = 384;
/// Row length of a block's scores: rows start at different cache sets.
pub(super) const STRIDE: usize = COLUMNS + 16;
/// In bf16, columns j and j + HALF of a panel are a pair.
const HALF: usize = PANEL / 2;

/// The candidates, packed once per call.
pub(crate) struct PackedCandidates<'a> {
    /// For `<u, v>`: panels of [`PANEL`] candidates. In bf16 values k and k + (half a row) are a pair.
    pub panels: Scratch<'a>,
    /// For `p V`: the rows of each block of [`COLUMNS`] in panels as wide as a tile. In bf16 rows j and j + HALF of each
    /// [`PANEL`] are a pair.
    rows: Scratch<'a>,
    bf16: bool,
    d: usize,
}

impl<'a> PackedCandidates<'a> {
    pub(crate) fn new(cpu: &'a Cpu, loss: &SoftmaxLoss<'_, Cpu>) -> PackedCandidates<'a> {
        let (c, d, bf16) = (loss.columns, loss.dim, cpu.bf16);
        let columns = c.next_multiple_of(PANEL);
        let mut packed = PackedCandidates {
            panels: cpu.scratch.take(columns * width(d, bf16)),
            rows: cpu.scratch.take(width(columns, bf16) * d.next_multiple_of(PANEL)),
            bf16,
            d,
        };
        if d == 0 {
            return packed;
        }
        let panels = packed.panels.chunks_mut(COLUMNS * width(d, bf16));
        let rows = packed.rows.chunks_mut(width(COLUMNS, bf16) * d.next_multiple_of(PANEL));
        let parts = panels.zip(rows).zip(loss.candidates[..c * d].chunks(COLUMNS * d)).collect();
        cpu.threads.each(c * d > 1 << 15, parts, |((panels, rows), from)| {
            let panel = cpu.scratch.take(if bf16 { PANEL * d } else { 0 });
            cpu.isa.run(PackCandidates { panels, rows, from, d, panel, bf16 });
        });
        packed
    }

    /// A block's rows, and k.
    pub(crate) fn rows(&self, columns: &Range<usize>) -> (&[f32], usize) {
        let k = if self.bf16 { columns.len().next_multiple_of(PANEL) / 2 } else { columns.len() };
        (&self.rows[width(columns.start, self.bf16) * self.d.next_multiple_of(PANEL)..], k)
    }
}

/// How many values or pairs a row of `n` values is.
pub(crate) fn width(n: usize, bf16: bool) -> usize {
    if bf16 { n.div_ceil(2) } else { n }
}

/// One block of candidates.
struct PackCandidates<'a> {
    panels: &'a mut [f32],
    rows: &'a mut [f32],
    from: &'a [f32],
    d: usize,
    panel: Scratch<'a>,
    bf16: bool,
}

impl Op for PackCandidates<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (d, from) = (self.d, self.from);
        let n = from.len() / d;
        let candidate = |j: usize| from.get(j * d..(j + 1) * d).unwrap_or_default();
        if !self.bf16 {
            pack_panels(self.panels, from, n, d);
            pack_columns(s, self.rows, n, d, |k| (candidate(k), None));
            return;
        }
        let half = d.div_ceil(2);
        for (to, from) in self.panels.chunks_exact_mut(PANEL * half).zip(from.chunks(PANEL * d)) {
            pack_panels(&mut self.panel, from, from.len() / d, d);
            for (k, to) in to.chunks_exact_mut(PANEL).enumerate() {
                let second = self.panel.get((k + half) * PANEL..).unwrap_or_default();
                row::pairs(s, to, &self.panel[k * PANEL..(k + 1) * PANEL], &second[..second.len().min(PANEL)]);
            }
        }
        pack_columns(s, self.rows, n.next_multiple_of(PANEL) / 2, d, |k| {
            let j = k / HALF * PANEL + k % HALF;
            (candidate(j), Some(candidate(j + HALF)))
        });
    }
}

/// Lays out `n` rows, or pairs of rows, `d` wide, in panels as wide as a tile. What stands beyond a row's end is not
/// read.
#[inline(always)]
fn pack_columns<'a, S: Simd>(
    s: S,
    panels: &mut [f32],
    n: usize,
    d: usize,
    row: impl Fn(usize) -> (&'a [f32], Option<&'a [f32]>),
) {
    let wide = S::TILE_VECTORS * S::LANES;
    for (panel, start) in panels.chunks_exact_mut((n * wide).max(1)).zip((0..d).step_by(wide)) {
        let at = start..(start + wide).min(d);
        for (k, to) in panel.chunks_exact_mut(wide).enumerate() {
            let to = &mut to[..at.len()];
            match row(k) {
                (first, None) => to.copy_from_slice(&first[at.clone()]),
                (first, Some(second)) => {
                    let part = |row: &'a [f32]| row.get(at.clone()).unwrap_or_default();
                    row::pairs(s, to, part(first), part(second));
                }
            }
        }
    }
}

/// The users of one strip.
pub(crate) struct PackedUsers<'a> {
    /// For `<u, v>` in bf16: values k and k + (half a row) are a pair.
    along: Scratch<'a>,
    /// For `p^T U`: in panels as wide as a tile. In bf16 rows 2 i and 2 i + 1 are a pair.
    rows: Scratch<'a>,
    /// How many rows those are, or pairs of rows.
    k: usize,
    bf16: bool,
}

impl<'a> PackedUsers<'a> {
    /// Room for strips of so many rows.
    pub(crate) fn new(cpu: &'a Cpu, strip: usize, d: usize) -> PackedUsers<'a> {
        let bf16 = cpu.bf16;
        let along = cpu.scratch.take(if bf16 { strip * d.div_ceil(2) } else { 0 });
        PackedUsers { along, rows: cpu.scratch.take(strip * d.next_multiple_of(PANEL)), k: 0, bf16 }
    }

    #[inline(always)]
    pub(crate) fn pack<S: Simd>(&mut self, s: S, users: &[f32], d: usize) {
        if d == 0 {
            return;
        }
        let (n, half) = (users.len() / d, d.div_ceil(2));
        self.k = width(n, self.bf16);
        let user = |i: usize| users.get(i * d..(i + 1) * d).unwrap_or_default();
        if !self.bf16 {
            pack_columns(s, &mut self.rows, n, d, |k| (user(k), None));
            return;
        }
        for (to, user) in self.along.chunks_exact_mut(half).zip(users.chunks_exact(d)) {
            row::pairs(s, to, &user[..half], &user[half..]);
        }
        pack_columns(s, &mut self.rows, self.k, d, |k| (user(2 * k), Some(user(2 * k + 1))));
    }

    /// For `<u, v>`: the rows themselves, or pairs of their values.
    pub(crate) fn along<'b>(&'b self, users: &'b [f32]) -> &'b [f32] {
        if self.bf16 { &self.along } else { users }
    }

    /// For `p^T U`: the rows, and k.
    pub(crate) fn rows(&self) -> (&[f32], usize) {
        (&self.rows, self.k)
    }
}

/// The p of one strip and one block in bf16: nothing in fp32, where it is read as it is.
pub(crate) struct Rounded<'a>(Option<Both<'a>>);

struct Both<'a> {
    /// For `p V`: columns j and j + HALF of each panel are a pair; rows of STRIDE / 2.
    along: Scratch<'a>,
    /// For `p^T U`: rows 2 r and 2 r + 1 are a pair; rows of STRIDE.
    across: Scratch<'a>,
}

impl<'a> Rounded<'a> {
    pub(crate) fn new(cpu: &'a Cpu, strip: usize) -> Rounded<'a> {
        Rounded(cpu.bf16.then(|| Both {
            along: cpu.scratch.take(strip * STRIDE / 2),
            across: cpu.scratch.take(strip.div_ceil(2) * STRIDE),
        }))
    }

    /// For `p V`: a's elements and the distance of its rows.
    pub(crate) fn along<'b>(&'b self, p: &'b [f32]) -> (&'b [f32], usize) {
        self.0.as_ref().map_or((p, STRIDE), |both| (&both.along[..], STRIDE / 2))
    }

    /// For `p^T U`: a's elements.
    pub(crate) fn across<'b>(&'b self, p: &'b [f32]) -> &'b [f32] {
        self.0.as_ref().map_or(p, |both| &both.across)
    }

    /// Rounds row `r`, `width` wide, for `p V`.
    #[inline(always)]
    pub(crate) fn round_along<S: Simd>(&mut self, s: S, p: &[f32], r: usize, width: usize) {
        let Some(both) = &mut self.0 else { return };
        let p = &p[r * STRIDE..][..width];
        for (to, p) in both.along[r * STRIDE / 2..].chunks_exact_mut(HALF).zip(p.chunks_exact(PANEL)) {
            row::pairs(s, to, &p[..HALF], &p[HALF..]);
        }
    }

    /// Once row `r` of `rows` is there: rounds it and the one before it for `p^T U`, where both are.
    #[inline(always)]
    pub(crate) fn round_across<S: Simd>(&mut self, s: S, p: &[f32], r: usize, rows: usize, width: usize) {
        let Some(both) = &mut self.0 else { return };
        if r.is_multiple_of(2) && r + 1 < rows {
            return;
        }
        let first = r / 2 * 2;
        let second = if r > first { &p[r * STRIDE..][..width] } else { &[] };
        row::pairs(s, &mut both.across[r / 2 * STRIDE..][..width], &p[first * STRIDE..][..width], second);
    }
}
