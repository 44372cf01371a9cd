//! The CPU: the whole of [`Backend`] in safe Rust over the kernels of [`simd`].
//!
//! Work is cut the same way whatever the number of threads, and every sum has one order: the same bits for any number
//! of threads. Between instruction sets bits differ (fused multiply-add, the order of a vector's lanes).

mod embedding;
mod linear;
mod loss;
mod norm;
mod optim;
#[cfg(test)]
#[path = "../../tests/parity/parity.rs"]
pub(crate) mod parity;
mod scratch;
pub(crate) mod simd;
pub(crate) mod topk;

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use simd::Isa;

use super::check::{need, need_len, need_mat};
use super::{Backend, Bag, Elem, Mat, MatMut, Plan, Skip, SoftmaxGrads, SoftmaxLoss, Step, Table};
use crate::config::Precision;
use crate::threads::Threads;
use crate::{Error, Result, memory};

pub(crate) use topk::Items;

/// The host's processors.
pub(crate) struct Cpu {
    pub(crate) threads: Threads,
    pub(super) isa: Isa,
    /// Whether the softmax loss rounds the factors of its products to bf16.
    bf16: bool,
    scratch: scratch::Pool,
    /// Values asked for with `read_later`.
    later: Mutex<Vec<f32>>,
}

impl Cpu {
    /// `threads` threads (0: every core) with the instruction set `isa`, or the best that the host has. Where the host
    /// gains by multiplying bf16 values, or `isa` says so, `precision` says whether the softmax loss does; elsewhere it
    /// computes in fp32.
    ///
    /// # Errors
    /// [`Error::Config`] where the host lacks `isa`; [`Error::Threads`] where the threads cannot be started.
    pub(crate) fn new(threads: usize, isa: Option<Isa>, precision: Precision) -> Result<Cpu> {
        let (isa, bf16) = choose(isa, precision)?;
        Ok(Cpu {
            threads: Threads::new(threads)?,
            isa,
            bf16,
            scratch: scratch::Pool::default(),
            later: Mutex::default(),
        })
    }

    /// Rounds factors to bf16 whatever the instruction set: slow, for tests.
    #[cfg(test)]
    pub(crate) fn with_bf16(mut self) -> Cpu {
        self.bf16 = true;
        self
    }
}

/// The instruction set, and whether the softmax loss multiplies bf16 values.
fn choose(asked: Option<Isa>, precision: Precision) -> Result<(Isa, bool)> {
    let pairs = asked.map_or_else(Isa::gains_by_bf16, Isa::multiplies_bf16);
    let isa = asked.unwrap_or_else(Isa::best);
    if !isa.available() {
        let has: Vec<&str> = Isa::ALL.iter().filter(|isa| isa.available()).map(|isa| isa.name()).collect();
        let reason = format!("this processor has no {}; it has {}", isa.name(), has.join(", "));
        return Err(Error::config("train.instructions", reason));
    }
    Ok((isa, precision == Precision::Bf16 && pairs))
}

/// What decides the bits of results on this host: see [`Backend::path`].
///
/// # Errors
/// [`Error::Config`] where the host lacks `asked`.
pub(crate) fn path(asked: Option<Isa>, precision: Precision) -> Result<String> {
    let (isa, bf16) = choose(asked, precision)?;
    Ok(path_of(isa, bf16))
}

fn path_of(isa: Isa, bf16: bool) -> String {
    // What AVX512-BF16 adds changes no bit where it is not used.
    let isa = if isa == Isa::Avx512Bf16 && !bf16 { Isa::Avx512 } else { isa };
    match std::env::consts::ARCH {
        "x86_64" => isa.name().to_owned(),
        arch => format!("{} ({arch})", isa.name()),
    }
}

impl Backend for Cpu {
    type Buf<T: Elem> = Vec<T>;
    type Items = Items;

    fn path(&self) -> String {
        path_of(self.isa, self.bf16)
    }

    fn free_memory(&self) -> Result<Option<(String, u64)>> {
        Ok(None)
    }

    fn zeros<T: Elem>(&self, len: usize) -> Result<Vec<T>> {
        simd::pages::zeros(len)
    }

    fn upload<T: Elem>(&self, host: Vec<T>) -> Result<Vec<T>> {
        Ok(host)
    }

    fn host<'a, T: Elem>(&self, from: &'a Vec<T>, len: usize) -> Result<Cow<'a, [T]>> {
        need_len("host", "the buffer", from.len(), len)?;
        Ok(Cow::Borrowed(&from[..len]))
    }

    fn len<T: Elem>(&self, buf: &Vec<T>) -> usize {
        buf.len()
    }

    fn write<T: Elem>(&self, to: &mut Vec<T>, host: &[T]) -> Result<()> {
        if to.len() < host.len() {
            to.clear();
            memory::extend(to, host, "the values of a batch")?;
        } else {
            to[..host.len()].copy_from_slice(host);
        }
        Ok(())
    }

    fn begin_batch(&self) -> Result<()> {
        Ok(())
    }

    fn stage<T: Elem>(&self, to: &mut Vec<T>, host: &[T]) -> Result<()> {
        self.write(to, host)
    }

    fn read_later(&self, from: &Vec<f32>) -> Result<()> {
        need_len("read_later", "the buffer", from.len(), 1)?;
        self.later.lock().unwrap_or_else(PoisonError::into_inner).push(from[0]);
        Ok(())
    }

    fn arrived(&self, _all: bool, values: &mut Vec<f32>) -> Result<()> {
        values.append(&mut self.later.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn read<T: Elem>(&self, host: &mut [T], from: &Vec<T>, start: usize) -> Result<()> {
        let end = start.saturating_add(host.len());
        need_len("read", "the buffer", from.len(), end)?;
        host.copy_from_slice(&from[start..end]);
        Ok(())
    }

    fn copy_rows(
        &self,
        to: &mut Vec<f32>,
        to_row: usize,
        from: &Vec<f32>,
        from_row: usize,
        rows: usize,
        dim: usize,
    ) -> Result<()> {
        need_len("copy_rows", "the source", from.len(), (from_row + rows) * dim)?;
        need_len("copy_rows", "the target", to.len(), (to_row + rows) * dim)?;
        to[to_row * dim..(to_row + rows) * dim].copy_from_slice(&from[from_row * dim..(from_row + rows) * dim]);
        Ok(())
    }

    fn embedding_bag_fwd(
        &self,
        out: MatMut<'_, Self>,
        table: &Table<Self>,
        bag: &Bag<'_, Self>,
        add: bool,
    ) -> Result<()> {
        embedding::forward(self, out, table, bag, add)
    }

    fn embedding_bag_bwd_step(
        &self,
        table: &mut Table<Self>,
        plan: &Plan<'_, Self>,
        grads: &[Mat<'_, Self>],
        step: &Step,
    ) -> Result<()> {
        embedding::backward_step(self, table, plan, grads, step)
    }

    fn linear_fwd(&self, y: MatMut<'_, Self>, x: Mat<'_, Self>, w: &Vec<f32>, b: &Vec<f32>, relu: bool) -> Result<()> {
        linear::forward(self, y, x, w, b, relu)
    }

    fn linear_bwd(
        &self,
        dx: Option<MatMut<'_, Self>>,
        dw: &mut Vec<f32>,
        db: &mut Vec<f32>,
        dy: MatMut<'_, Self>,
        y: Mat<'_, Self>,
        x: Mat<'_, Self>,
        w: &Vec<f32>,
        relu: bool,
    ) -> Result<()> {
        linear::backward(self, dx, dw, db, dy, y, x, w, relu)
    }

    fn l2_norm_fwd(
        &self,
        y: &mut Vec<f32>,
        inverse_norms: &mut Vec<f32>,
        x: &Vec<f32>,
        rows: usize,
        dim: usize,
    ) -> Result<()> {
        norm::forward(self, y, inverse_norms, x, rows, dim)
    }

    fn l2_norm_bwd(
        &self,
        dy: &mut Vec<f32>,
        y: &Vec<f32>,
        inverse_norms: &Vec<f32>,
        rows: usize,
        dim: usize,
    ) -> Result<()> {
        norm::backward(self, dy, y, inverse_norms, rows, dim)
    }

    fn softmax_loss(&self, grads: SoftmaxGrads<'_, Self>, loss: &SoftmaxLoss<'_, Self>) -> Result<()> {
        loss::softmax(self, grads, loss)
    }

    fn dense_step(
        &self,
        w: &mut Vec<f32>,
        state1: Option<&mut Vec<f32>>,
        state2: Option<&mut Vec<f32>>,
        dw: &Vec<f32>,
        len: usize,
        step: &Step,
    ) -> Result<()> {
        optim::dense_step(self, w, state1, state2, dw, len, step)
    }

    fn squared_norm(&self, x: &Vec<f32>, len: usize) -> Result<f64> {
        optim::squared_norm(self, x, len)
    }

    fn items(&self, rows: usize, dim: usize) -> Result<Items> {
        Items::new(rows, dim)
    }

    fn pack_items(&self, to: &mut Items, first: usize, embeddings: &Vec<f32>, rows: usize) -> Result<()> {
        to.pack(self, first, embeddings, rows)
    }

    fn topk(
        &self,
        ids: &mut [u32],
        scores: &mut [f32],
        queries: &Vec<f32>,
        items: &Items,
        skip: Option<Skip<'_>>,
        rows: usize,
        k: usize,
    ) -> Result<()> {
        let who = topk::Who { skip, ..Default::default() };
        topk::topk(self, ids, scores, items, &topk::Search { queries, rows, k, who }, None)
    }
}
