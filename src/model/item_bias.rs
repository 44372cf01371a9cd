//! Popularity as a bias of each item: what is added to inner products, which are compared without the temperature.

use crate::Result;
use crate::backend::Backend;
use crate::model::core::Core;

/// `T x popularity` of these item rows, T being the temperature: scores are compared as `T` times what training calls a
/// score. None where popularity adds nothing.
pub(crate) fn biases<B: Backend>(core: &Core<B>, rows: &[u32]) -> Result<Option<Vec<f32>>> {
    if core.popularity.is_empty() {
        return Ok(None);
    }
    let mut log_scale = [0.0];
    core.backend.read(&mut log_scale, &core.log_scale.value, 0)?;
    let temperature = (-log_scale[0]).exp();
    Ok(Some(rows.iter().map(|&row| temperature * core.popularity[row as usize]).collect()))
}
