//! One training step: towers forward, loss, towers backward, every parameter stepped.

use crate::Result;
use crate::backend::{Backend, Masked, Mat, OptimizerStep, SoftmaxGrads, SoftmaxLoss, StepRules};
use crate::config::{LogQ, Negatives, Resolved};
use crate::model::core::Core;
use crate::model::inputs::{ModelBatch, TowerSide, gradient_sources};
use crate::model::negatives::{NegativeSampler, StreamingQ};
use crate::model::plans::PlanBufs;
use crate::model::top_k::TopKRows;
use crate::model::tower::{backward, forward, room_for};

/// The items of earlier batches that serve as further candidates: a ring of ids; their embeddings, as they were then,
/// stand in the same rows of [`Stepper::candidates`].
#[derive(Default)]
pub(crate) struct CandidateQueue {
    pub capacity: usize,
    pub ids: Vec<u32>,
    pub next: usize,
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
    masked_room: usize,
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
    rules: B::Buf<u32>,
    /// What clipping found.
    grad_scale: B::Buf<f32>,
    /// Whether rows of this batch have other weights than their own.
    reweighed: bool,
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
            plan: PlanBufs::new(backend)?,
            rules: u()?,
            grad_scale: backend.zeros(1)?,
            reweighed: false,
            loss: LossBufs {
                ids: u()?,
                positives: u()?,
                masked_offsets: u()?,
                masked_columns: u()?,
                bias: f()?,
                weights: f()?,
                log1m: f()?,
                masked_room: 0,
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
        self.stage(core, sampler, batch, step)?;
        let key = self.key(batch);
        while !core.backend.replay(&key)? {
            let queued = self.queue_step(core, batch, step, clip_norm);
            if core.backend.recorded(queued)? {
                break;
            }
        }
        self.enqueued(batch);
        core.backend.read_later(&self.stats)
    }

    /// Stages all that the step reads of a batch, in one order: where it stands is part of what is replayed.
    fn stage(
        &mut self,
        core: &mut Core<B>,
        sampler: &NegativeSampler,
        batch: &mut ModelBatch,
        step: &OptimizerStep,
    ) -> Result<()> {
        self.complete(core, sampler, batch, step.number);
        let Core { backend, user, item, .. } = core;
        let fresh = batch.candidates.len();
        backend.stage_rules(&mut self.rules, step)?;
        user.stage(backend, &batch.user_bags, batch.rows, true)?;
        item.stage(backend, &batch.item_bags, fresh, true)?;
        self.plan.stage(backend, &batch.plans)?;
        let LossBufs { ids, positives, masked_offsets, masked_columns, bias, weights, log1m, masked_room } =
            &mut self.loss;
        backend.stage(bias, &self.bias)?;
        backend.stage(weights, &batch.weights)?;
        backend.stage(log1m, &batch.log1m)?;
        backend.stage(ids, &self.all_ids)?;
        backend.stage(positives, &self.positives)?;
        backend.stage(masked_offsets, &batch.masked_offsets)?;
        backend.stage_in(masked_columns, &batch.masked_columns, room_for(masked_room, batch.masked_columns.len()))?;
        self.reweighed = match &mut self.top_k {
            Some(top_k) => top_k.stage(core, batch)?,
            None => false,
        };
        let (backend, dim) = (&core.backend, core.item.spec.dim);
        reserve(backend, &mut self.d_users, batch.rows * dim)?;
        reserve(backend, &mut self.d_candidates, self.columns * dim)?;
        if !self.queue.ids.is_empty() {
            reserve(backend, &mut self.d_items, fresh * dim)?;
        }
        Ok(())
    }

    /// What decides which operations a step queues, beside the lengths of what was staged.
    fn key(&self, batch: &ModelBatch) -> [u64; 5] {
        let flags = [self.reweighed, batch.known.is_empty(), self.bias.is_empty(), batch.weights.is_empty()];
        let flags = flags.iter().fold(0, |bits, &flag| 2 * bits + usize::from(flag));
        [batch.rows, batch.candidates.len(), self.queue.ids.len(), self.queue.next, flags].map(|n| n as u64)
    }

    /// Queues the step on what was staged.
    fn queue_step(
        &mut self,
        core: &mut Core<B>,
        batch: &ModelBatch,
        step: &OptimizerStep,
        clip_norm: Option<f32>,
    ) -> Result<()> {
        let (queued, fresh, dim) = (self.queue.ids.len(), batch.candidates.len(), core.item.spec.dim);
        forward(&core.backend, &core.tables, &mut [&mut core.user, &mut core.item])?;
        if queued > 0 {
            core.backend.copy_rows(&mut self.candidates, queued, core.item.output(), 0, fresh, dim)?;
        }
        self.softmax(core, batch)?;
        let Core { backend, user, item, tables, log_scale, .. } = core;
        let d_items = match queued {
            0 => &mut self.d_candidates,
            _ => {
                backend.copy_rows(&mut self.d_items, 0, &self.d_candidates, queued, fresh, dim)?;
                &mut self.d_items
            }
        };
        backward(backend, &mut [(user, &mut self.d_users), (item, d_items)])?;
        let d_items = &*d_items;
        let learned = core.learn_temperature;
        if learned {
            backend.copy_rows(&mut log_scale.grad, 0, &self.stats, 1, 1, 1)?;
        }

        if let Some(limit) = clip_norm {
            let mut grads = vec![
                (user.d_input(&self.d_users), batch.rows * user.spec.width),
                (item.d_input(d_items), fresh * item.spec.width),
            ];
            let dense = user.dense().chain(item.dense()).chain(learned.then_some(&*log_scale));
            grads.extend(dense.map(|dense| (&dense.grad, dense.len)));
            backend.clip_scale(&mut self.grad_scale, &grads, limit)?;
        }
        let rules =
            StepRules { step: *step, staged: &self.rules, grad_scale: clip_norm.is_some().then_some(&self.grad_scale) };
        let gradients = |table: usize| {
            let dim = tables[table].dim;
            let of = |&(side, input): &(TowerSide, usize)| match side {
                TowerSide::User => user.d_lookup(&self.d_users, input, dim),
                TowerSide::Item => item.d_lookup(d_items, input, dim),
            };
            self.sources[table].iter().map(of).collect()
        };
        let grads: Vec<Vec<Mat<'_, B>>> = (0..tables.len()).map(gradients).collect();
        backend.embedding_step(tables, &self.plan.view(&batch.plans), &grads, &rules)?;
        drop(grads);
        let mut params: Vec<_> = user.dense_mut().chain(item.dense_mut()).map(|dense| dense.param(true)).collect();
        if learned {
            // The temperature is no weight: nothing should pull it to 1.
            params.push(log_scale.param(false));
        }
        if !params.is_empty() {
            backend.dense_steps(&mut params, &rules)?;
        }
        drop(params);
        self.enqueue(core, batch)
    }

    /// Completes ids, biases and masks of the candidates: what only the order of the batches gives.
    fn complete(&mut self, core: &Core<B>, sampler: &NegativeSampler, batch: &mut ModelBatch, number: u64) {
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
        } else {
            self.positives.extend_from_slice(&batch.positives);
        }
        if self.queue.capacity > 0 && !batch.known.is_empty() {
            batch.mask_known(&self.all_ids);
        }
    }

    fn softmax(&mut self, core: &Core<B>, batch: &ModelBatch) -> Result<()> {
        let (backend, dim) = (&core.backend, core.item.spec.dim);
        let LossBufs { ids, positives, masked_offsets, masked_columns, bias, weights, log1m, .. } = &self.loss;
        let masks = self.mask_accidental_hits;
        // Of the fresh candidates, which the queue stands before.
        let fresh = (!batch.positives.is_empty()).then_some(positives);
        let reweighed = match &mut self.top_k {
            Some(top_k) if self.reweighed => Some(top_k.weights(core, batch, fresh)?),
            _ => None,
        };
        backend.softmax_loss(
            SoftmaxGrads { users: &mut self.d_users, candidates: &mut self.d_candidates, stats: &mut self.stats },
            &SoftmaxLoss {
                users: core.user.output(),
                candidates: if self.queue.ids.is_empty() { core.item.output() } else { &self.candidates },
                log_scale: &core.log_scale.value,
                bias: (!self.bias.is_empty()).then_some(bias),
                ids: masks.then_some(ids),
                positives: (!self.positives.is_empty()).then_some(positives),
                masked: (!batch.known.is_empty())
                    .then_some(Masked { offsets: masked_offsets, columns: masked_columns }),
                weights: reweighed.or((!batch.weights.is_empty()).then_some(weights)),
                corrected: (!batch.log1m.is_empty()).then_some(log1m),
                rows: batch.rows,
                columns: self.columns,
                dim,
            },
        )
    }

    /// Where the batch's items go in the queue, over the oldest: runs of (first of them, place, number).
    fn places(&self, items: usize) -> Vec<(usize, usize, usize)> {
        let (capacity, mut next) = (self.queue.capacity, self.queue.next);
        let (mut places, mut from) = (Vec::new(), items.saturating_sub(capacity));
        while capacity > 0 && from < items {
            let rows = (items - from).min(capacity - next);
            places.push((from, next, rows));
            (from, next) = (from + rows, (next + rows) % capacity);
        }
        places
    }

    /// Copies the batch's item embeddings into the queue.
    fn enqueue(&mut self, core: &Core<B>, batch: &ModelBatch) -> Result<()> {
        for (from, place, rows) in self.places(batch.items.len()) {
            let dim = core.item.spec.dim;
            core.backend.copy_rows(&mut self.candidates, place, core.item.output(), from, rows, dim)?;
        }
        Ok(())
    }

    /// Notes what [`enqueue`](Stepper::enqueue) copied.
    fn enqueued(&mut self, batch: &ModelBatch) {
        for (from, place, rows) in self.places(batch.items.len()) {
            let (queue, end) = (&mut self.queue, place + rows);
            if queue.ids.len() < end {
                queue.ids.resize(end, 0);
            }
            queue.ids[place..end].copy_from_slice(&batch.items[from..from + rows]);
            queue.next = end % queue.capacity;
        }
    }
}

fn reserve<B: Backend>(backend: &B, buf: &mut B::Buf<f32>, len: usize) -> Result<()> {
    if backend.len(buf) < len {
        *buf = backend.zeros(len)?;
    }
    Ok(())
}
