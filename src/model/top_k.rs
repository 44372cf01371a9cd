//! SoftmaxLoss@K: rows count by how near their item is to the user's K best (Yang et al., KDD 2025).
//!
//! A row weighs `sigmoid((s - b) / width)`, s its score and b the score of the user's K-th best item: what is hopelessly
//! far from the list costs nothing, and the model spends itself on what can enter it. The thresholds b are taken over all
//! items between epochs; the weight is a constant for the gradient (through it, popular items are pushed away:
//! `benches/results/losses.md`).

use crate::Result;
use crate::backend::{Backend, TopKWeights};
use crate::config::Resolved;
use crate::model::core::Core;
use crate::model::inputs::ModelBatch;

/// Thresholds are taken anew after each such part of the epochs.
const PARTS: u64 = 6;

/// The weights of SoftmaxLoss@K.
pub(crate) struct TopKRows<B: Backend> {
    pub k: usize,
    width: f32,
    /// Epochs from one time that thresholds are taken to the next.
    every: u64,
    /// Rows of the user vocabulary.
    pub users: usize,
    /// The score of each user row's K-th best item, -inf where it has none; empty until they are taken.
    pub thresholds: Vec<f32>,
    staged: [B::Buf<f32>; 3],
    weights: B::Buf<f32>,
}

impl<B: Backend> TopKRows<B> {
    /// None where rows weigh alike.
    pub(crate) fn new(backend: &B, config: &Resolved, users: usize) -> Result<Option<TopKRows<B>>> {
        let (k, width) = (config.top_k(), config.loss.top_k_width);
        if k == 0 {
            return Ok(None);
        }
        let empty = || backend.zeros(0);
        Ok(Some(TopKRows {
            k,
            width,
            every: config.epochs().div_ceil(PARTS),
            users,
            thresholds: Vec::new(),
            staged: [empty()?, empty()?, empty()?],
            weights: empty()?,
        }))
    }

    /// Whether thresholds are to be taken before this epoch (from 0).
    pub(crate) fn is_due(&self, epoch: u64) -> bool {
        epoch > 0 && epoch.is_multiple_of(self.every)
    }

    /// Stages what the weights of a batch are made from; false before there are thresholds.
    pub(crate) fn stage(&mut self, core: &Core<B>, batch: &ModelBatch) -> Result<bool> {
        if self.thresholds.is_empty() {
            return Ok(false);
        }
        let backend = &core.backend;
        let [thresholds, popularity, weights] = &mut self.staged;
        let of_rows: Vec<f32> = batch.users.iter().map(|&user| self.thresholds[user as usize]).collect();
        backend.stage(thresholds, &of_rows)?;
        if !core.popularity.is_empty() {
            let of_rows: Vec<f32> = batch.items.iter().map(|&item| core.popularity[item as usize]).collect();
            backend.stage(popularity, &of_rows)?;
        }
        backend.stage(weights, &batch.weights)?;
        if backend.len(&self.weights) < batch.rows {
            self.weights = backend.zeros(batch.rows)?;
        }
        Ok(true)
    }

    /// The weights of the staged batch, whose towers' outputs stand in `core` and whose positives are these rows of the item
    /// tower's (`None`: its rows in order).
    pub(crate) fn weights(
        &mut self,
        core: &Core<B>,
        batch: &ModelBatch,
        positives: Option<&B::Buf<u32>>,
    ) -> Result<&B::Buf<f32>> {
        let [thresholds, popularity, weights] = &self.staged;
        core.backend.top_k_weights(
            &mut self.weights,
            &TopKWeights {
                users: core.user.output(),
                candidates: core.item.output(),
                positives,
                log_scale: &core.log_scale.value,
                popularity: (!core.popularity.is_empty()).then_some(popularity),
                thresholds,
                weights: (!batch.weights.is_empty()).then_some(weights),
                width: self.width,
                rows: batch.rows,
                columns: batch.candidates.len(),
                dim: core.item.spec.dim,
            },
        )?;
        Ok(&self.weights)
    }
}
