//! [`Backend`] for a CUDA device: memory here, operations in their stems.

use std::borrow::Cow;
use std::sync::PoisonError;

use cudarc::driver::result;

use super::topk::Items;
use super::{Buf, Cuda, embedding, linear, loss, need, need_len, norm, optim, topk};
use crate::Result;
use crate::backend::{Backend, Bag, Elem, Mat, MatMut, Plan, Skip, SoftmaxGrads, SoftmaxLoss, Step, Table};

impl Backend for Cuda {
    type Buf<T: Elem> = Buf<T>;
    type Items = Items;

    fn path(&self) -> String {
        format!("cuda sm_{}", self.info().compute_capability)
    }

    fn free_memory(&self) -> Result<Option<(String, u64)>> {
        let (free, _) = self.context.check("ask for free memory", self.context.cuda.mem_get_info())?;
        Ok(Some((format!("cuda:{}", self.info().ordinal), free as u64)))
    }

    fn zeros<T: Elem>(&self, len: usize) -> Result<Buf<T>> {
        let mut buf = self.uninit(len)?;
        self.fill_zero(&mut buf, 0, len)?;
        Ok(buf)
    }

    fn upload<T: Elem>(&self, host: Vec<T>) -> Result<Buf<T>> {
        let buf = self.uninit(host.len())?;
        self.send(&buf, &host)?;
        Ok(buf)
    }

    fn host<'a, T: Elem>(&self, from: &'a Buf<T>, len: usize) -> Result<Cow<'a, [T]>> {
        let mut host = crate::memory::zeros(len, "values of the device")?;
        self.download(&mut host, from, 0)?;
        Ok(Cow::Owned(host))
    }

    fn len<T: Elem>(&self, buf: &Buf<T>) -> usize {
        buf.len()
    }

    fn write<T: Elem>(&self, to: &mut Buf<T>, host: &[T]) -> Result<()> {
        if to.len() < host.len() || !to.owned() {
            *to = self.uninit(host.len())?;
        }
        self.send(to, host)
    }

    fn begin_batch(&self) -> Result<()> {
        self.uploads().next(&self.context)
    }

    fn stage<T: Elem>(&self, to: &mut Buf<T>, host: &[T]) -> Result<()> {
        let (chunk, offset) = self.uploads().stage(&self.context, bytemuck::cast_slice(host))?;
        *to = Buf::staged(chunk, offset, host.len());
        Ok(())
    }

    fn read_later(&self, from: &Buf<f32>) -> Result<()> {
        need_len("read_later", "the buffer", from.len(), 1)?;
        self.readback.lock().unwrap_or_else(PoisonError::into_inner).ask(&self.context, from)
    }

    fn arrived(&self, all: bool, values: &mut Vec<f32>) -> Result<()> {
        self.readback.lock().unwrap_or_else(PoisonError::into_inner).take(&self.context, all, values)?;
        if all { self.check_status() } else { Ok(()) }
    }

    fn read<T: Elem>(&self, host: &mut [T], from: &Buf<T>, start: usize) -> Result<()> {
        self.download(host, from, start)?;
        self.check_status()
    }

    fn copy_rows(
        &self,
        to: &mut Buf<f32>,
        to_row: usize,
        from: &Buf<f32>,
        from_row: usize,
        rows: usize,
        dim: usize,
    ) -> Result<()> {
        need_len("copy_rows", "the source", from.len(), (from_row + rows) * dim)?;
        need_len("copy_rows", "the target", to.len(), (to_row + rows) * dim)?;
        need("copy_rows", to.owned(), "a target of its own", "a staged input")?;
        if rows * dim == 0 {
            return Ok(());
        }
        self.flush()?;
        self.context.bind()?;
        let (source, target, stream) =
            (from.ptr_at(from_row * dim), to.ptr_at(to_row * dim), self.context.compute.cu_stream());
        // SAFETY: both ranges lie inside their buffers (checked above), which are two, since one is borrowed for
        // writing; the one stream orders the copy with all other uses.
        let copy = unsafe { result::memcpy_dtod_async(target, source, rows * dim * size_of::<f32>(), stream) };
        self.context.check("copy rows", copy)
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

    fn linear_fwd(&self, y: MatMut<'_, Self>, x: Mat<'_, Self>, w: &Buf<f32>, b: &Buf<f32>, relu: bool) -> Result<()> {
        linear::forward(self, y, x, w, b, relu)
    }

    fn linear_bwd(
        &self,
        dx: Option<MatMut<'_, Self>>,
        dw: &mut Buf<f32>,
        db: &mut Buf<f32>,
        dy: MatMut<'_, Self>,
        y: Mat<'_, Self>,
        x: Mat<'_, Self>,
        w: &Buf<f32>,
        relu: bool,
    ) -> Result<()> {
        linear::backward(self, dx, dw, db, dy, y, x, w, relu)
    }

    fn l2_norm_fwd(
        &self,
        y: &mut Buf<f32>,
        inverse_norms: &mut Buf<f32>,
        x: &Buf<f32>,
        rows: usize,
        dim: usize,
    ) -> Result<()> {
        norm::forward(self, y, inverse_norms, x, rows, dim)
    }

    fn l2_norm_bwd(
        &self,
        dy: &mut Buf<f32>,
        y: &Buf<f32>,
        inverse_norms: &Buf<f32>,
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
        w: &mut Buf<f32>,
        state1: Option<&mut Buf<f32>>,
        state2: Option<&mut Buf<f32>>,
        dw: &Buf<f32>,
        len: usize,
        step: &Step,
    ) -> Result<()> {
        optim::dense_step(self, w, state1, state2, dw, len, step)
    }

    fn squared_norm(&self, x: &Buf<f32>, len: usize) -> Result<f64> {
        optim::squared_norm(self, x, len)
    }

    fn items(&self, rows: usize, dim: usize) -> Result<Items> {
        Items::new(self, rows, dim)
    }

    fn pack_items(&self, to: &mut Items, first: usize, embeddings: &Buf<f32>, rows: usize) -> Result<()> {
        to.pack(self, first, embeddings, rows)
    }

    fn topk(
        &self,
        ids: &mut [u32],
        scores: &mut [f32],
        queries: &Buf<f32>,
        items: &Items,
        skip: Option<Skip<'_>>,
        rows: usize,
        k: usize,
    ) -> Result<()> {
        topk::topk(self, ids, scores, queries, items, skip, rows, k)
    }
}
