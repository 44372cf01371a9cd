//! Popularity as columns of what is compared, so that inner products have it in them.

use crate::Result;
use crate::backend::Backend;
use crate::model::core::Core;

/// Columns that hold the popularity in a catalogue: spread out, it is no larger than the other values, which keeps the
/// codes of a scan fine. Powers of two: the products are exact.
pub(crate) const SPREAD: PopularityColumns = PopularityColumns { count: 8, user: 0.25, item: 0.5 };
/// One column, for everyone else.
pub(crate) const SINGLE: PopularityColumns = PopularityColumns { count: 1, user: 1.0, item: 1.0 };

/// How popularity is part of an inner product: `count * user * item` is 1.
#[derive(Clone, Copy)]
pub(crate) struct PopularityColumns {
    count: usize,
    user: f32,
    item: f32,
}

impl PopularityColumns {
    /// Columns of what is compared: the towers' outputs, and these where popularity adds to scores.
    pub(crate) fn width<B: Backend>(self, core: &Core<B>) -> usize {
        core.item.spec.dim + if core.popularity.is_empty() { 0 } else { self.count }
    }

    /// The item tower's last outputs with what popularity adds to each; none where it adds nothing.
    pub(crate) fn items<B: Backend>(self, core: &Core<B>, rows: &[u32]) -> Result<Option<Vec<f32>>> {
        if core.popularity.is_empty() {
            return Ok(None);
        }
        // Inner products are compared, not inner products over T.
        let mut log_scale = [0.0];
        core.backend.read(&mut log_scale, &core.log_scale.value, 0)?;
        let unit = (-log_scale[0]).exp() * self.item;
        let values = core.backend.host(core.item.output(), rows.len() * core.item.spec.dim)?;
        let column = rows.iter().map(|&row| unit * core.popularity[row as usize]);
        Ok(Some(self.append(&values, core.item.spec.dim, column)))
    }

    /// The user tower's last outputs, ready for the items; none where popularity adds nothing.
    pub(crate) fn users<B: Backend>(self, core: &Core<B>, rows: usize) -> Result<Option<Vec<f32>>> {
        if core.popularity.is_empty() {
            return Ok(None);
        }
        let values = core.backend.host(core.user.output(), rows * core.user.spec.dim)?;
        Ok(Some(self.append(&values, core.user.spec.dim, std::iter::repeat_n(self.user, rows))))
    }

    fn append(self, values: &[f32], dim: usize, column: impl Iterator<Item = f32>) -> Vec<f32> {
        let mut out = Vec::with_capacity(values.len() / dim * (dim + self.count));
        for (row, x) in values.chunks_exact(dim).zip(column) {
            out.extend_from_slice(row);
            out.extend(std::iter::repeat_n(x, self.count));
        }
        out
    }
}
