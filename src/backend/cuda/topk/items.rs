//! A catalogue on the device, and queries as its scan reads them.

use std::sync::OnceLock;

use super::arguments::{ExactItems, PackBf16Args, PackBiasesArgs, PackInt8Args, PrepareArgs, QueryTerms, ScanByte};
use super::form::Form;
use super::plan::RANK_THREADS;
use super::sm90a::ItemPanels;
use crate::Result;
use crate::backend::cuda::arguments::{In, Pad};
use crate::backend::cuda::{Buf, Cuda, input, need, need_biases, need_len, output};

/// Items of a block of the CPU's layout; pieces are whole ones on every backend.
const PANEL: usize = 32;
/// Rows of a block of the kernels that pack and prepare.
const ROWS: usize = 8;
/// Words of a catalogue's stats, and the one with its flags (`topk/prepare.cuh`).
const STATS: usize = 5;
const STAT_FLAGS: usize = 3;

/// Item embeddings: fp32 rows for exact scores, bf16 rows for the scan, what each item adds to its scores, and maxima
/// of norms and biases that bound the scan's error.
pub(crate) struct CudaItems {
    pub(super) rows: usize,
    pub(super) dim: usize,
    /// N x `pitch`, zero beyond `dim`.
    pub(super) exact: Buf<f32>,
    /// `dim`, up to a multiple of 8: whole sectors.
    pub(super) pitch: usize,
    /// N rows of [`Form::Bf16`].
    pub(super) scan: Buf<ScanByte>,
    /// A value an item, -inf where it has no score; absent: none adds anything.
    pub(super) biases: Option<Buf<f32>>,
    pub(super) stats: Buf<u32>,
    /// The items as Hopper's scan reads them, by form, from the first call on that it serves.
    panels: [OnceLock<ItemPanels>; 2],
}

/// Int8 codes of a catalogue: an int8 row and a scale an item. Made once the items are packed.
pub(crate) struct Codes {
    /// N rows of [`Form::Int8`].
    pub(super) codes: Buf<ScanByte>,
    pub(super) scales: Buf<f32>,
    pub(super) items: usize,
    pub(super) dim: usize,
}

#[cfg(test)]
impl Codes {
    /// Bytes of the device that they take.
    pub(super) fn device_bytes(&self) -> usize {
        self.codes.len() + self.scales.len() * 4
    }
}

/// Queries of a chunk as the scan reads them.
pub(super) struct Prepared {
    pub form: Form,
    /// In fp32, [`padded`] columns a query, zero beyond `dim`.
    pub exact: Buf<f32>,
    pub scan: Buf<ScanByte>,
    /// Int8: a scale a query.
    pub scales: Option<Buf<f32>>,
    /// Bounds of the scan's error.
    pub errors: Buf<f32>,
    /// Bounds of the scores.
    pub ceilings: Buf<f32>,
    /// [`QueryState`](super::search::QueryState) of each query.
    pub states: Buf<u32>,
}

/// Columns of a query as the ranking reads it.
pub(super) fn padded(dim: usize) -> usize {
    dim.next_multiple_of(16)
}

/// Blocks of the kernels that give a warp to each row.
fn grid(op: &'static str, rows: usize) -> Result<[u32; 3]> {
    need(op, rows <= i32::MAX as usize, "fewer than 2^31 rows", rows)?;
    Ok([rows.div_ceil(ROWS) as u32, 1, 1])
}

impl CudaItems {
    /// See [`Scan::items`](crate::backend::Scan::items).
    pub(crate) fn new(cuda: &Cuda, rows: usize, dim: usize, biased: bool) -> Result<CudaItems> {
        need("items", rows < i32::MAX as usize, "fewer than 2^31 - 1 items", rows)?;
        let (pitch, bytes) = (dim.next_multiple_of(8), Form::Bf16.row_bytes(dim));
        let mut items = CudaItems {
            rows,
            dim,
            exact: cuda.uninit(rows * pitch)?,
            pitch,
            scan: cuda.uninit(rows * bytes)?,
            biases: if biased { Some(cuda.uninit(rows)?) } else { None },
            stats: cuda.uninit(STATS)?,
            panels: Default::default(),
        };
        // Items that are never packed are zero, as on the CPU.
        cuda.fill_zero(&mut items.exact, 0, rows * pitch)?;
        cuda.fill_zero(&mut items.scan, 0, rows * bytes)?;
        cuda.fill_zero(&mut items.stats, 0, STATS)?;
        if let Some(biases) = &mut items.biases {
            cuda.fill_zero(biases, 0, rows)?;
        }
        Ok(items)
    }

    /// See [`Scan::pack_items`](crate::backend::Scan::pack_items).
    pub(crate) fn pack(
        &mut self,
        cuda: &Cuda,
        first: usize,
        embeddings: &Buf<f32>,
        biases: Option<&Buf<f32>>,
        rows: usize,
    ) -> Result<()> {
        const OP: &str = "pack_items";
        need_len(OP, "embeddings", embeddings.len(), rows * self.dim)?;
        let end = first.saturating_add(rows);
        let whole = first.is_multiple_of(PANEL) && (rows.is_multiple_of(PANEL) || end == self.rows);
        need(OP, whole && end <= self.rows, format_args!("whole panels inside {} items", self.rows), "others")?;
        need_biases(OP, biases.map(Buf::len), self.biases.is_some(), rows)?;
        self.panels = Default::default();
        if let (Some(kept), Some(biases)) = (&self.biases, biases) {
            let kernel = &cuda.kernels.topk(&cuda.context)?.topk_pack_biases;
            let args = PackBiasesArgs {
                to: kept.output(),
                stats: self.stats.output(),
                biases: biases.input(),
                first: first as u64,
                rows: rows as u64,
            };
            let grid = [rows.div_ceil(RANK_THREADS) as u32, 1, 1];
            // SAFETY: items [first, end) lie inside the buffer of the catalogue's items, and `biases` holds rows values
            // (checked above); stats have STATS words. One stream orders it.
            unsafe { cuda.launch(kernel, grid, RANK_THREADS as u32, 0, &args) }?;
        }
        if self.dim == 0 {
            return Ok(());
        }
        let kernel = &cuda.kernels.topk(&cuda.context)?.topk_pack_bf16;
        let args = PackBf16Args {
            exact: self.exact.output(),
            scan: self.scan.output(),
            stats: self.stats.output(),
            embeddings: embeddings.input(),
            first: first as u64,
            rows: rows as u64,
            dim: self.dim as u32,
            pitch: self.pitch as u32,
            width: (Form::Bf16.row_bytes(self.dim) / 2) as u32,
            unused: Pad::Zero,
        };
        // SAFETY: rows [first, end) lie inside both buffers of the catalogue's items, and `embeddings` holds rows x dim
        // values (checked above). Buffers begin on 16 bytes, and so do their rows of whole 16 bytes. One stream orders
        // it.
        unsafe { cuda.launch(kernel, grid(OP, rows)?, RANK_THREADS as u32, 0, &args) }
    }

    /// The items as they are ranked.
    pub(super) fn exact(&self) -> ExactItems {
        ExactItems {
            rows: self.exact.input(),
            biases: input(self.biases.as_ref()),
            count: self.rows as u32,
            pitch: self.pitch as u32,
        }
    }

    /// The items in panels of `columns` together, as they are now.
    pub(super) fn panels(&self, cuda: &Cuda, form: Form, columns: usize) -> Result<&ItemPanels> {
        let place = &self.panels[form as usize];
        if let Some(panels) = place.get() {
            return Ok(panels);
        }
        let panels = ItemPanels::new(cuda, self, form, columns)?;
        Ok(place.get_or_init(|| panels))
    }

    /// Bytes of the device that it takes now.
    #[cfg(test)]
    pub(crate) fn device_bytes(&self) -> usize {
        let of_values = |len: usize| len * 4;
        let biases = self.biases.as_ref().map_or(0, Buf::len);
        let panels: usize = self.panels.iter().filter_map(OnceLock::get).map(ItemPanels::device_bytes).sum();
        of_values(self.exact.len() + biases + self.stats.len()) + self.scan.len() + panels
    }

    /// Whether every value of the items is finite and small enough for the bounds of a scan.
    pub(super) fn bounded(&self, cuda: &Cuda) -> Result<bool> {
        let mut flags = [0];
        cuda.download(&mut flags, &self.stats, STAT_FLAGS)?;
        Ok(flags == [0])
    }

    /// Codes of the items as they are now.
    pub(crate) fn codes(&self, cuda: &Cuda) -> Result<Codes> {
        let width = Form::Int8.row_bytes(self.dim);
        let codes = Codes {
            codes: cuda.uninit(self.rows * width)?,
            scales: cuda.uninit(self.rows)?,
            items: self.rows,
            dim: self.dim,
        };
        let kernel = &cuda.kernels.topk(&cuda.context)?.topk_pack_int8;
        let args = PackInt8Args {
            codes: codes.codes.output(),
            scales: codes.scales.output(),
            stats: self.stats.output(),
            exact: self.exact.input(),
            rows: self.rows as u64,
            pitch: self.pitch as u32,
            width: width as u32,
        };
        // SAFETY: all buffers are sized here or in `new` for these rows; the kernel guards rows and columns. One stream
        // orders it.
        unsafe { cuda.launch(kernel, grid("items", self.rows)?, RANK_THREADS as u32, 0, &args) }?;
        Ok(codes)
    }

    /// Makes queries ready: `rows` of them, `dim` values each (the caller checked the length).
    pub(super) fn prepare(&self, cuda: &Cuda, form: Form, queries: In<f32>, rows: usize) -> Result<Prepared> {
        let bytes = form.row_bytes(self.dim);
        let prepared = Prepared {
            form,
            exact: cuda.scratch(rows * padded(self.dim))?,
            scan: cuda.scratch(rows * bytes)?,
            scales: if form == Form::Int8 { Some(cuda.scratch(rows)?) } else { None },
            errors: cuda.scratch(rows)?,
            ceilings: cuda.scratch(rows)?,
            states: cuda.scratch(rows)?,
        };
        let kernels = cuda.kernels.topk(&cuda.context)?;
        let (kernel, width) = match form {
            Form::Bf16 => (&kernels.topk_prepare_bf16, bytes / 2),
            Form::Int8 => (&kernels.topk_prepare_int8, bytes),
        };
        let args = PrepareArgs {
            exact: prepared.exact.output(),
            scan: prepared.scan.output(),
            scales: output(prepared.scales.as_ref()),
            terms: QueryTerms {
                errors: prepared.errors.output(),
                ceilings: prepared.ceilings.output(),
                states: prepared.states.output(),
            },
            queries,
            stats: self.stats.input(),
            rows: rows as u32,
            dim: self.dim as u32,
            width: width as u32,
            unused: Pad::Zero,
        };
        // SAFETY: every output is sized above for these rows, scales for int8; queries hold rows x dim values. One stream
        // orders it.
        unsafe { cuda.launch(kernel, grid("topk", rows)?, RANK_THREADS as u32, 0, &args) }?;
        Ok(prepared)
    }
}
