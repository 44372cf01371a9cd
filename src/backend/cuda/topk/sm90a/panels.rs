//! Queries and items laid out for Hopper's scan: bf16 rows or int8 codes in panels (`kernels/topk/sm90a/panels.cuh`,
//! `kernels/topk/sm90a/codes.cuh`).

use super::arguments::{CodeScales, ItemCodesArgs, ItemTermsArgs, LargestArgs, PanelArgs, QueryCodesArgs};
use super::plan::{self, PanelPlan};
use crate::Result;
use crate::backend::cuda::arguments::{In, Out, Pad};
use crate::backend::cuda::launch::blocks;
use crate::backend::cuda::topk::arguments::ScanByte;
use crate::backend::cuda::topk::form::Form;
use crate::backend::cuda::topk::items::{CudaItems, Prepared, padded};
use crate::backend::cuda::{Buf, Cuda, input, output};

/// A catalogue in panels.
pub(in crate::backend::cuda::topk) struct ItemPanels {
    /// [`Form::panel_bytes`] of each of `padded` rows.
    pub panels: Buf<ScanByte>,
    pub padded: usize,
    /// The item of each row.
    pub order: Buf<u32>,
    /// In fragment order, for `padded` rows.
    pub biases: Option<Buf<f32>>,
    /// Of int8 codes: bits of the items' largest value, and of the largest norm of a row's rounding errors.
    scales: Option<Buf<u32>>,
    /// Whether every value is finite and small enough for the bounds of a scan.
    pub bounded: bool,
}

impl Form {
    /// Bytes of a row in panels of `columns` together.
    pub(in crate::backend::cuda) fn panel_bytes(self, columns: usize) -> usize {
        match self {
            Form::Bf16 => columns * 2,
            Form::Int8 => columns,
        }
    }
}

impl ItemPanels {
    /// Lays out what is packed now.
    pub(in crate::backend::cuda::topk) fn new(
        cuda: &Cuda,
        items: &CudaItems,
        form: Form,
        columns: usize,
    ) -> Result<ItemPanels> {
        let padded = plan::padded_items(items.rows);
        let mut panels = ItemPanels {
            panels: cuda.uninit(padded * form.panel_bytes(columns))?,
            padded,
            order: cuda.uninit(items.rows)?,
            biases: if items.biases.is_some() { Some(cuda.uninit(padded)?) } else { None },
            scales: None,
            bounded: items.bounded(cuda)?,
        };
        match form {
            Form::Bf16 => {
                let args = PanelArgs {
                    panels: panels.panels.output(),
                    order: panels.order.output(),
                    biases: output(panels.biases.as_ref()),
                    from: items.scan.input(),
                    item_biases: input(items.biases.as_ref()),
                    rows: items.rows as u32,
                    padded: padded as u32,
                    width: (Form::Bf16.row_bytes(items.dim) / 2) as u32,
                    columns: columns as u32,
                };
                lay_out(cuda, &args, padded, columns)?;
            }
            Form::Int8 => panels.scales = Some(panels.encode(cuda, items, columns)?),
        }
        Ok(panels)
    }

    /// Bytes of the device that they take.
    #[cfg(test)]
    pub(in crate::backend::cuda::topk) fn device_bytes(&self) -> usize {
        let (biases, scales) = (self.biases.as_ref().map_or(0, Buf::len), self.scales.as_ref().map_or(0, Buf::len));
        self.panels.len() + (self.order.len() + biases + scales) * 4
    }

    /// Writes the codes; what decides how their scores compare.
    fn encode(&self, cuda: &Cuda, items: &CudaItems, columns: usize) -> Result<Buf<u32>> {
        let mut scales = cuda.uninit(2)?;
        cuda.fill_zero(&mut scales, 0, 2)?;
        find_largest(cuda, &scales, items.exact.input(), items.rows * items.pitch)?;
        let args = ItemCodesArgs {
            panels: self.panels.output(),
            order: self.order.output(),
            biases: output(self.biases.as_ref()),
            rounding: scales.output_at(1),
            largest: scales.input(),
            from: items.exact.input(),
            item_biases: input(items.biases.as_ref()),
            rows: items.rows as u32,
            pitch: items.pitch as u32,
            row_bytes: columns as u32,
            unused: Pad::Zero,
        };
        let kernel = &cuda.kernels.topk_sm90a(&cuda.context)?.topk_item_codes;
        // SAFETY: `from` holds `rows` rows of `pitch` columns, and so many biases where there are any; panels, order and
        // biases are sized for `padded` rows, a multiple of 128 and so many as the grid has, or `rows`; scales are two words.
        // One stream orders it.
        unsafe { cuda.launch(kernel, [blocks(self.padded * columns / 16, 256), 1, 1], 256, 0, &args) }?;
        Ok(scales)
    }
}

/// Queries of a chunk in panels, and what items add to their scores.
pub(super) struct QueryPanels {
    pub panels: Buf<ScanByte>,
    pub padded: usize,
    pub codes: Option<QueryCodes>,
}

/// What is known of queries in codes.
pub(super) struct QueryCodes {
    /// The value of a whole score of one.
    pub units: Buf<f32>,
    pub multipliers: Buf<u32>,
    /// Biases of items as whole numbers, in fragment order.
    pub terms: Option<Buf<u32>>,
}

impl QueryPanels {
    /// Lays out `rows` queries. In codes, their errors become those of codes.
    pub(super) fn new(
        cuda: &Cuda,
        plan: &PanelPlan,
        items: (&CudaItems, &ItemPanels),
        prepared: &Prepared,
        rows: usize,
    ) -> Result<QueryPanels> {
        let (items, item_panels) = items;
        let padded = rows.next_multiple_of(plan.tile.queries);
        let panels = cuda.scratch::<ScanByte>(padded * plan.form.panel_bytes(plan.columns))?;
        let codes = match &item_panels.scales {
            None => {
                let args = PanelArgs {
                    panels: panels.output(),
                    order: Out::NULL,
                    biases: Out::NULL,
                    from: prepared.scan.input(),
                    item_biases: In::NULL,
                    rows: rows as u32,
                    padded: padded as u32,
                    width: (Form::Bf16.row_bytes(items.dim) / 2) as u32,
                    columns: plan.columns as u32,
                };
                lay_out(cuda, &args, padded, plan.columns)?;
                None
            }
            Some(scales) => {
                let (items, prepared) = ((items, item_panels, scales), (prepared, rows));
                Some(QueryCodes::new(cuda, (&panels, padded, plan.columns), items, prepared)?)
            }
        };
        Ok(QueryPanels { panels, padded, codes })
    }
}

impl QueryCodes {
    /// Writes codes of queries to `panels`.
    fn new(
        cuda: &Cuda,
        (panels, padded_rows, columns): (&Buf<ScanByte>, usize, usize),
        (items, item_panels, item_scales): (&CudaItems, &ItemPanels, &Buf<u32>),
        (prepared, rows): (&Prepared, usize),
    ) -> Result<QueryCodes> {
        let kernels = cuda.kernels.topk_sm90a(&cuda.context)?;
        let (pitch, biases) = (padded(items.dim), item_panels.biases.as_ref());
        let mut largest = cuda.scratch::<u32>(1)?;
        cuda.fill_zero(&mut largest, 0, 1)?;
        find_largest(cuda, &largest, prepared.exact.input(), rows * pitch)?;
        let scales = CodeScales { queries: largest.input(), items: item_scales.input(), stats: items.stats.input() };
        let codes = QueryCodes {
            units: cuda.scratch(rows)?,
            multipliers: cuda.scratch(rows)?,
            terms: if biases.is_some() { Some(cuda.scratch(item_panels.padded)?) } else { None },
        };
        let args = QueryCodesArgs {
            panels: panels.output(),
            units: codes.units.output(),
            multipliers: codes.multipliers.output(),
            errors: prepared.errors.output(),
            from: prepared.exact.input(),
            scales,
            rows: rows as u32,
            pitch: pitch as u32,
            row_bytes: columns as u32,
            dim: items.dim as u32,
            biased: u32::from(biases.is_some()),
            unused: Pad::Zero,
        };
        let grid = [blocks(padded_rows * columns / 16, 256), 1, 1];
        // SAFETY: `from` holds `rows` rows of `pitch` columns; the panels are sized for the padded rows, a multiple of 256 and
        // so many as the grid has; a value a query in the others; the words of the scales are there. One stream orders it.
        unsafe { cuda.launch(&kernels.topk_query_codes, grid, 256, 0, &args) }?;
        if let (Some(terms), Some(biases)) = (&codes.terms, biases) {
            let count = item_panels.padded as u32;
            let args =
                ItemTermsArgs { terms: terms.output(), biases: biases.input(), scales, count, unused: Pad::Zero };
            let grid = [blocks(item_panels.padded, 256), 1, 1];
            // SAFETY: both hold `count` values, and the words of the scales are there. One stream orders it.
            unsafe { cuda.launch(&kernels.topk_item_terms, grid, 256, 0, &args) }?;
        }
        Ok(codes)
    }
}

/// Queues the kernel that raises the first word of `largest` to the largest of `count` values, a multiple of 4.
fn find_largest(cuda: &Cuda, largest: &Buf<u32>, values: In<f32>, count: usize) -> Result<()> {
    let kernel = &cuda.kernels.topk_sm90a(&cuda.context)?.topk_largest;
    let args = LargestArgs { largest: largest.output(), values, count: count as u64 };
    let most = 4 * cuda.info().multiprocessors;
    // SAFETY: so many values are there, and a word. One stream orders it.
    unsafe { cuda.launch(kernel, [blocks(count / 4, 256).clamp(1, most), 1, 1], 256, 0, &args) }
}

/// Queues the kernel that lays out `padded` rows of bf16.
fn lay_out(cuda: &Cuda, args: &PanelArgs, padded: usize, columns: usize) -> Result<()> {
    let kernel = &cuda.kernels.topk_sm90a(&cuda.context)?.topk_panels;
    // SAFETY: `from` holds `rows` bf16 rows of `width` columns, no more than `columns`; the panels hold padded x columns
    // values; order and biases, where there are any, `rows` and `padded`, and so many biases are read. One stream orders it.
    unsafe { cuda.launch(kernel, [blocks(padded * columns / 8, 256), 1, 1], 256, 0, args) }
}
