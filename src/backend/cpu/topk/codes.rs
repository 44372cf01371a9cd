//! Vectors as small whole numbers, and how far that can take a score from the truth.
//!
//! A query u is near `u' = step_u * q`, an item v near `v' = step_v * c`, with codes q and c from -63 to 63. Then
//! `<u, v> = <u', v'> + <u - u', v> + <u', v - v'>`, and by Cauchy and Schwarz the last two are at most
//! `|u - u'| |v| + |u'| |v - v'|`. Both distances are computed from the values themselves, and the rounding of the fp32
//! score is added, so the bound is a true one. Items of a panel share their step.
//!
//! An item's bias b has no code: it is added to the sum of codes in fp32. Where a score's chain starts at b, each of
//! its D roundings may also be of b: the bound grows by `|b| D 2^-24 / (1 - D 2^-24)`, and by a millionth of b for the
//! roundings of what is compared.

use crate::slab::Slab;
use crate::{Result, memory};

use super::super::Cpu;
use super::super::simd::{CODE_ZERO, LARGEST_CODE, Op, PANEL, Simd, code_at};
use super::WHAT;

/// Values that codes can stand for, in size; below, they count as zero.
const LEAST: f32 = 1e-15;
const MOST: f32 = 1e15;
/// Panels that one task encodes.
const PANELS: usize = 128;

/// What a panel's codes stand for.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Panel {
    /// The value of the code 1.
    pub step: f32,
    /// The largest norm of an item.
    pub norm: f32,
    /// The largest distance from an item to what its codes say.
    pub rest: f32,
    /// The largest bias; 0 without biases.
    pub top: f32,
    /// How far the largest bias in size can take a score from the sum of it and the codes; 0 without biases.
    pub bias: f32,
}

/// The codes of all items.
pub(crate) struct ItemCodes {
    /// By panel; see [`code_at`].
    pub bytes: Slab<u8>,
    pub panels: Slab<Panel>,
    /// Codes of an item: the width, up to a multiple of 8.
    pub width: usize,
    pub dim: usize,
}

/// A query's codes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueryCode {
    /// The value of the code 1.
    pub step: f32,
    /// What the item's norm is multiplied with: the distance from the query to what its codes say, and rounding.
    pub error: f32,
    /// What the item's rest is multiplied with: the norm of what the codes say.
    pub norm: f32,
    /// By how much a sum is too large, because item codes are stored with [`CODE_ZERO`] added.
    pub excess: f32,
}

/// A value a little above x: more than all roundings since.
fn above(x: f64) -> f32 {
    (x * (1.0 + 1e-6)) as f32
}

/// The code next to x, which is hardly more than the greatest.
fn nearest(x: f32) -> f32 {
    // Adding this leaves no room for a fraction.
    const WHOLE: f32 = 12_582_912.0;
    ((x + WHOLE) - WHOLE).clamp(-LARGEST_CODE, LARGEST_CODE)
}

/// The value of the code 1 for these values; none where codes cannot stand for them.
pub(super) fn step(values: &[f32]) -> Option<f32> {
    // NaN fails the comparison.
    let within = values.iter().all(|x| x.abs() <= MOST);
    let largest = values.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    within.then(|| (largest / LARGEST_CODE).max(LEAST))
}

/// A chain of n multiply-adds errs by at most n 2^-24 / (1 - n 2^-24) times |u| |v|, and times where it starts.
fn chain_error(n: usize) -> f64 {
    let roundings = (n + 1) as f64 / f64::from(1 << 24);
    roundings / (1.0 - roundings)
}

/// The largest bias in size, without NaN, whose item has no score; none where one is larger than sums can stand for.
fn largest(biases: &[f32]) -> Option<f32> {
    let largest = biases.iter().fold(0.0f32, |m, b| m.max(b.abs()));
    (largest <= MOST).then_some(largest)
}

impl ItemCodes {
    pub(super) fn new(rows: usize, dim: usize) -> Result<ItemCodes> {
        let (panels, width) = (rows.div_ceil(PANEL), dim.next_multiple_of(8));
        let bytes = memory::filled(CODE_ZERO, panels * PANEL * width, WHAT)?;
        let panels = memory::zeros::<Panel>(panels, WHAT)?;
        Ok(ItemCodes { bytes: bytes.into(), panels: panels.into(), width, dim })
    }

    /// Of few rows: their memory is not worth a refusal.
    pub(super) fn of_few(rows: usize, dim: usize) -> ItemCodes {
        let (panels, width) = (rows.div_ceil(PANEL), dim.next_multiple_of(8));
        let (bytes, panels) = (vec![CODE_ZERO; panels * PANEL * width], vec![Panel::default(); panels]);
        ItemCodes { bytes: bytes.into(), panels: panels.into(), width, dim }
    }

    /// Encodes the items from `first` on, the start of a panel. `biases`: theirs, as a catalogue keeps them. `unit`:
    /// the value of the code 1; absent, each panel has its own.
    pub(super) fn encode(
        &mut self,
        cpu: &Cpu,
        first: usize,
        values: &[f32],
        biases: Option<&[f32]>,
        unit: Option<f32>,
    ) {
        let (dim, width) = (self.dim, self.width);
        if values.is_empty() {
            return;
        }
        let panels = self.panels.to_mut()[first / PANEL..].chunks_mut(PANELS);
        let bytes = self.bytes.to_mut()[first * width..].chunks_mut(PANELS * PANEL * width);
        let parts: Vec<_> = values.chunks(PANELS * PANEL * dim).zip(bytes).zip(panels).collect();
        cpu.threads.each(values.len() > 1 << 16, parts, |((values, bytes), panels)| {
            let bytes = bytes.chunks_mut(PANEL * width);
            for ((values, bytes), panel) in values.chunks(PANEL * dim).zip(bytes).zip(panels) {
                *panel = cpu.isa.run(Encode { bytes, values, dim, unit });
            }
        });
        let panels = &mut self.panels.to_mut()[first / PANEL..];
        for (panel, biases) in panels.iter_mut().zip(biases.unwrap_or_default().chunks(PANEL)) {
            match largest(biases) {
                Some(bias) => {
                    panel.top = biases.iter().fold(f32::NEG_INFINITY, |m, &b| m.max(b));
                    panel.bias = above(f64::from(bias) * (chain_error(dim) + 1e-6));
                }
                None => panel.norm = f32::INFINITY,
            }
        }
    }

    /// Whether every item has codes: none holds NaN, infinity or a value or bias beyond 1e15.
    pub(super) fn usable(&self) -> bool {
        self.dim > 0 && self.panels.iter().all(|panel| panel.norm.is_finite())
    }

    /// The codes of the panel that starts with `item`, and what they stand for.
    pub(super) fn panel(&self, item: usize) -> (&[u8], &Panel) {
        (&self.bytes[item * self.width..(item + PANEL) * self.width], &self.panels[item / PANEL])
    }
}

/// Encodes a panel's items. A norm that is not finite says that they have no codes.
struct Encode<'a> {
    bytes: &'a mut [u8],
    values: &'a [f32],
    dim: usize,
    unit: Option<f32>,
}

impl Op for Encode<'_> {
    type Output = Panel;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Panel {
        let Some(step) = self.unit.or_else(|| step(self.values)) else {
            return Panel { step: 1.0, norm: f32::INFINITY, rest: f32::INFINITY, ..Panel::default() };
        };
        let (inverse, mut norm, mut rest) = (1.0 / step, 0.0f64, 0.0f64);
        for (r, item) in self.values.chunks_exact(self.dim).enumerate() {
            let (mut squares, mut left) = (0.0, 0.0);
            for (k, &x) in item.iter().enumerate() {
                let code = nearest(x * inverse);
                self.bytes[code_at(r, k)] = (code as i32 + i32::from(CODE_ZERO)) as u8;
                let miss = f64::from(x) - f64::from(code) * f64::from(step);
                squares += f64::from(x) * f64::from(x);
                left += miss * miss;
            }
            (norm, rest) = (norm.max(squares), rest.max(left));
        }
        Panel { step, norm: above(norm.sqrt()), rest: above(rest.sqrt()), ..Panel::default() }
    }
}

impl QueryCode {
    /// With bounds of this part of the true ones.
    pub(super) fn narrowed(self, part: f32) -> QueryCode {
        QueryCode { error: self.error * part, norm: self.norm * part, ..self }
    }

    /// Encodes a query; code k goes to `codes[place(k)]`. None where codes cannot stand for its values.
    #[inline(always)]
    pub(super) fn encode(codes: &mut [i8], query: &[f32], place: impl Fn(usize) -> usize) -> Option<QueryCode> {
        let step = step(query)?;
        let (inverse, mut sum) = (1.0 / step, 0);
        let (mut squares, mut norm, mut left) = (0.0, 0.0, 0.0);
        for (k, &x) in query.iter().enumerate() {
            let whole = nearest(x * inverse);
            codes[place(k)] = whole as i8;
            sum += whole as i32;
            let (x, near) = (f64::from(x), f64::from(whole) * f64::from(step));
            squares += x * x;
            norm += near * near;
            left += (x - near) * (x - near);
        }
        let error = left.sqrt() + squares.sqrt() * chain_error(query.len());
        Some(QueryCode {
            step,
            error: above(error),
            norm: above(norm.sqrt()),
            excess: (sum * i32::from(CODE_ZERO)) as f32,
        })
    }
}
