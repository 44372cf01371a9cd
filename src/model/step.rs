//! One training step: towers forward, loss, towers backward, every parameter stepped.

use crate::Result;
use crate::backend::{Backend, GradientPlan, Masked, Mat, OptimizerStep, SoftmaxGrads, SoftmaxLoss};
use crate::config::{LogQ, Negatives, Resolved};
use crate::model::core::Core;
use crate::model::inputs::{ModelBatch, TowerSide, gradient_sources};
use crate::model::negatives::{NegativeSampler, StreamingQ};
use crate::model::top_k::TopKRows;

/// The items of earlier batches that serve as further candidates: a ring of ids; their embeddings, as they were then,
/// stand in the same rows of [`Stepper::candidates`].
#[derive(Default)]
pub(crate) struct CandidateQueue {
    pub capacity: usize,
    pub ids: Vec<u32>,
    pub next: usize,
}

/// A gradient plan's arrays, staged one table after the other.
struct PlanBufs<B: Backend> {
    unique: B::Buf<u32>,
    starts: B::Buf<u32>,
    positions: B::Buf<u32>,
    scales: B::Buf<f32>,
}

/// What the loss reads of a batch, staged.
struct LossBufs<B: Backend> {
    ids: B::Buf<u32>,
    positives: B::Buf<u32>,
    masked_offsets: B::Buf<u32>,
    masked_columns: B::Buf<u32>,
    bias: B::Buf<f32>,
    weights: B::Buf<f32>,
    log1m: B::Buf<f32>,
}

/// What a step needs beside the model: gradients, the candidate queue, the streaming estimate of q.
pub(crate) struct Stepper<B: Backend> {
    /// Whether a row's own positive is no other row's candidate.
    mask_accidental_hits: bool,
    /// Rows of the item vocabulary.
    pub items: usize,
    pub queue: CandidateQueue,
    pub streaming: Option<StreamingQ>,
    pub top_k: Option<TopKRows<B>>,
    /// With a queue: its rows, then the batch's.
    pub candidates: B::Buf<f32>,
    d_users: B::Buf<f32>,
    d_candidates: B::Buf<f32>,
    d_items: B::Buf<f32>,
    stats: B::Buf<f32>,
    plan: PlanBufs<B>,
    loss: LossBufs<B>,
    sources: Vec<Vec<(TowerSide, usize)>>,
    columns: usize,
    all_ids: Vec<u32>,
    bias: Vec<f32>,
    positives: Vec<u32>,
}

impl<B: Backend> Stepper<B> {
    /// `users`, `items`: rows of the vocabularies.
    pub(crate) fn new(core: &Core<B>, config: &Resolved, users: usize, items: usize) -> Result<Stepper<B>> {
        let backend = &core.backend;
        let f = || backend.zeros::<f32>(0);
        let u = || backend.zeros::<u32>(0);
        let capacity = match config.negatives() {
            Negatives::CrossBatch(capacity) => capacity,
            _ => 0,
        };
        let candidates = match capacity {
            0 => f()?,
            _ => backend.zeros((capacity + config.batch_size()) * core.item.spec.dim)?,
        };
        let full = config.negatives() == Negatives::Full;
        let streaming = config.loss.logq == LogQ::Streaming && !full;
        Ok(Stepper {
            mask_accidental_hits: config.loss.mask_accidental_hits && !full,
            items,
            queue: CandidateQueue { capacity, ..Default::default() },
            streaming: streaming.then(|| StreamingQ::new(items)),
            top_k: TopKRows::new(backend, config, users)?,
            candidates,
            d_users: f()?,
            d_candidates: f()?,
            d_items: f()?,
            stats: backend.zeros(2)?,
            plan: PlanBufs { unique: u()?, starts: u()?, positions: u()?, scales: f()? },
            loss: LossBufs {
                ids: u()?,
                positives: u()?,
                masked_offsets: u()?,
                masked_columns: u()?,
                bias: f()?,
                weights: f()?,
                log1m: f()?,
            },
            sources: (0..core.tables.len()).map(|table| gradient_sources(&core.spec, table)).collect(),
            columns: 0,
            all_ids: Vec::new(),
            bias: Vec::new(),
            positives: Vec::new(),
        })
    }

    /// Does one step. Its loss comes with [`arrived`](crate::backend::Queue::arrived), at once on the CPU.
    pub(crate) fn step(
        &mut self,
        core: &mut Core<B>,
        sampler: &NegativeSampler,
        batch: &mut ModelBatch,
        step: &OptimizerStep,
        clip_norm: Option<f32>,
    ) -> Result<()> {
        core.backend.begin_batch()?;
        let fresh = batch.candidates.len();
        core.user.forward(&core.backend, &core.tables, &batch.user_bags, batch.rows)?;
        core.item.forward(&core.backend, &core.tables, &batch.item_bags, fresh)?;
        self.gather_candidates(core, sampler, batch, step.number)?;
        self.softmax(core, batch)?;

        let (backend, queued, dim) = (&core.backend, self.queue.ids.len(), core.item.spec.dim);
        core.user.backward(backend, &mut self.d_users)?;
        let d_items = match queued {
            0 => &mut self.d_candidates,
            _ => {
                backend.copy_rows(&mut self.d_items, 0, &self.d_candidates, queued, fresh, dim)?;
                &mut self.d_items
            }
        };
        core.item.backward(backend, d_items)?;
        let d_items = &*d_items;
        backend.copy_rows(&mut core.log_scale.grad, 0, &self.stats, 1, 1, 1)?;

        let mut step = *step;
        if let Some(limit) = clip_norm {
            let mut square = backend
                .squared_norm(core.user.d_input(&self.d_users), batch.rows * core.user.spec.width)?
                + backend.squared_norm(core.item.d_input(d_items), fresh * core.item.spec.width)?;
            for dense in core.dense().filter(|dense| dense.name != "log_scale" || core.learn_temperature) {
                square += backend.squared_norm(&dense.grad, dense.len)?;
            }
            step.grad_scale = (f64::from(limit) / square.sqrt()).min(1.0) as f32;
        }

        let PlanBufs { unique, starts, positions, scales } = &mut self.plan;
        for (table, plan) in batch.plans.iter().enumerate() {
            if plan.segments.unique.is_empty() {
                continue;
            }
            backend.stage(unique, &plan.segments.unique)?;
            backend.stage(starts, &plan.segments.starts)?;
            backend.stage(positions, &plan.segments.positions)?;
            backend.stage(scales, &plan.scales)?;
            let dim = core.tables[table].dim;
            let grads: Vec<Mat<'_, B>> = self.sources[table]
                .iter()
                .map(|&(side, input)| match side {
                    TowerSide::User => core.user.d_lookup(&self.d_users, input, dim),
                    TowerSide::Item => core.item.d_lookup(d_items, input, dim),
                })
                .collect();
            let plan = GradientPlan {
                unique,
                starts,
                positions,
                scales: (!plan.scales.is_empty()).then_some(&*scales),
                uniques: plan.segments.unique.len(),
                lookups: plan.segments.positions.len(),
            };
            backend.embedding_bag_bwd_step(&mut core.tables[table], &plan, &grads, &step)?;
        }
        let learned = core.learn_temperature;
        for dense in core.user.dense_mut().chain(core.item.dense_mut()) {
            dense.step(&core.backend, &step)?;
        }
        if learned {
            // The temperature is no weight: nothing should pull it to 1.
            core.log_scale.step(&core.backend, &OptimizerStep { weight_decay: 0.0, ..step })?;
        }
        self.enqueue(core, batch)?;
        core.backend.read_later(&self.stats)
    }

    /// Completes ids, biases and masks of the candidates: what only the order of the batches gives.
    fn gather_candidates(
        &mut self,
        core: &Core<B>,
        sampler: &NegativeSampler,
        batch: &mut ModelBatch,
        number: u64,
    ) -> Result<()> {
        let queued = self.queue.ids.len();
        self.columns = queued + batch.candidates.len();
        self.all_ids.clear();
        self.all_ids.extend_from_slice(&self.queue.ids);
        self.all_ids.extend_from_slice(&batch.candidates);
        self.bias.clear();
        if let Some(streaming) = &mut self.streaming {
            let mut items = batch.items.clone();
            items.sort_unstable();
            items.dedup();
            streaming.observe(number, items.into_iter());
            let rows = batch.rows;
            self.bias.extend(self.all_ids.iter().map(|&id| -sampler.mixture(streaming.p(id, rows), rows).ln()));
        } else if !batch.bias.is_empty() {
            self.bias.extend(self.queue.ids.iter().map(|&id| -sampler.q(id, batch.rows).ln()));
            self.bias.extend_from_slice(&batch.bias);
        }
        if !core.popularity.is_empty() {
            self.bias.resize(self.all_ids.len(), 0.0);
            for (bias, &id) in self.bias.iter_mut().zip(&self.all_ids) {
                *bias += core.popularity[id as usize];
            }
        }
        self.positives.clear();
        if queued > 0 {
            self.positives.extend((0..batch.rows).map(|row| (queued + row) as u32));
            let (dim, fresh) = (core.item.spec.dim, batch.candidates.len());
            core.backend.copy_rows(&mut self.candidates, queued, core.item.output(), 0, fresh, dim)?;
        } else {
            self.positives.extend_from_slice(&batch.positives);
        }
        if self.queue.capacity > 0 && !batch.known.is_empty() {
            batch.mask_known(&self.all_ids);
        }
        Ok(())
    }

    fn softmax(&mut self, core: &Core<B>, batch: &ModelBatch) -> Result<()> {
        let (backend, dim) = (&core.backend, core.item.spec.dim);
        reserve(backend, &mut self.d_users, batch.rows * dim)?;
        reserve(backend, &mut self.d_candidates, self.columns * dim)?;
        if !self.queue.ids.is_empty() {
            reserve(backend, &mut self.d_items, batch.candidates.len() * dim)?;
        }
        let LossBufs { ids, positives, masked_offsets, masked_columns, bias, weights, log1m } = &mut self.loss;
        backend.stage(bias, &self.bias)?;
        backend.stage(weights, &batch.weights)?;
        backend.stage(log1m, &batch.log1m)?;
        backend.stage(ids, &self.all_ids)?;
        backend.stage(positives, &self.positives)?;
        backend.stage(masked_offsets, &batch.masked_offsets)?;
        backend.stage(masked_columns, &batch.masked_columns)?;
        let masks = self.mask_accidental_hits;
        // Of the fresh candidates, which the queue stands before.
        let fresh = (!batch.positives.is_empty()).then_some(&*positives);
        let reweighed = self.top_k.as_mut().map(|top_k| top_k.weights(core, batch, fresh)).transpose()?.flatten();
        backend.softmax_loss(
            SoftmaxGrads { users: &mut self.d_users, candidates: &mut self.d_candidates, stats: &mut self.stats },
            &SoftmaxLoss {
                users: core.user.output(),
                candidates: if self.queue.ids.is_empty() { core.item.output() } else { &self.candidates },
                log_scale: &core.log_scale.value,
                bias: (!self.bias.is_empty()).then_some(&*bias),
                ids: masks.then_some(&*ids),
                positives: (!self.positives.is_empty()).then_some(&*positives),
                masked: (!batch.known.is_empty())
                    .then_some(Masked { offsets: masked_offsets, columns: masked_columns }),
                weights: reweighed.or((!batch.weights.is_empty()).then_some(&*weights)),
                corrected: (!batch.log1m.is_empty()).then_some(&*log1m),
                rows: batch.rows,
                columns: self.columns,
                dim,
            },
        )
    }

    /// Puts the batch's items into the queue, over the oldest.
    fn enqueue(&mut self, core: &Core<B>, batch: &ModelBatch) -> Result<()> {
        let (queue, dim) = (&mut self.queue, core.item.spec.dim);
        let skip = batch.items.len().saturating_sub(queue.capacity);
        let mut from = skip;
        while queue.capacity > 0 && from < batch.items.len() {
            let rows = (batch.items.len() - from).min(queue.capacity - queue.next);
            core.backend.copy_rows(&mut self.candidates, queue.next, core.item.output(), from, rows, dim)?;
            let end = queue.next + rows;
            if queue.ids.len() < end {
                queue.ids.resize(end, 0);
            }
            queue.ids[queue.next..end].copy_from_slice(&batch.items[from..from + rows]);
            queue.next = end % queue.capacity;
            from += rows;
        }
        Ok(())
    }
}

fn reserve<B: Backend>(backend: &B, buf: &mut B::Buf<f32>, len: usize) -> Result<()> {
    if backend.len(buf) < len {
        *buf = backend.zeros(len)?;
    }
    Ok(())
}
