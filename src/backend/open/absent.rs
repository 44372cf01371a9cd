//! What stands for a CUDA device in a build without the `cuda` feature: a type that has no values. Nothing here runs,
//! but for the functions that say so.

use std::borrow::Cow;

use crate::backend::{
    DenseParam, Elem, EmbeddingTable, FreeMemory, GradientPlans, HitCounts, LinearGrads, LinearPass, Mat, MatMut,
    Memory, NormGrads, NormPass, Operations, OptimizerStep, Pools, Queue, Relevant, Scan, SoftmaxGrads, SoftmaxLoss,
    StepRules, TopK, TopKLists, TopKWeights,
};
use crate::config::Precision;
use crate::device::CudaInfo;
use crate::{Error, Result};

enum Never {}

/// No device. The field is private, so that code that matches on it is not told that it cannot be reached.
pub(crate) struct Cuda(Never);

fn reason(ordinal: usize) -> String {
    format!("this build has no `cuda` feature (cuda:{ordinal} was requested)")
}

/// Never.
pub(super) fn probe(ordinal: usize) -> Result<(), String> {
    Err(reason(ordinal))
}

impl Cuda {
    /// # Errors
    /// [`Error::CudaUnavailable`], always.
    pub(crate) fn new(ordinal: usize, _: Precision) -> Result<Cuda> {
        Err(Error::CudaUnavailable { reason: reason(ordinal) })
    }

    pub(crate) fn info(&self) -> &CudaInfo {
        match self.0 {}
    }

    pub(crate) fn follow(&self, _: &Cuda) -> Result<bool> {
        match self.0 {}
    }

    pub(super) fn load_kernels(&self) -> Result<()> {
        match self.0 {}
    }
}

impl Memory for Cuda {
    type Buf<T: Elem> = Vec<T>;

    fn path(&self) -> String {
        match self.0 {}
    }

    fn free_memory(&self) -> Result<Option<FreeMemory>> {
        match self.0 {}
    }

    fn zeros<T: Elem>(&self, _: usize) -> Result<Vec<T>> {
        match self.0 {}
    }

    fn upload<T: Elem>(&self, _: Vec<T>) -> Result<Vec<T>> {
        match self.0 {}
    }

    fn host<'a, T: Elem>(&self, _: &'a Vec<T>, _: usize) -> Result<Cow<'a, [T]>> {
        match self.0 {}
    }

    fn len<T: Elem>(&self, _: &Vec<T>) -> usize {
        match self.0 {}
    }

    fn write<T: Elem>(&self, _: &mut Vec<T>, _: &[T]) -> Result<()> {
        match self.0 {}
    }

    fn read<T: Elem>(&self, _: &mut [T], _: &Vec<T>, _: usize) -> Result<()> {
        match self.0 {}
    }

    fn copy_rows(&self, _: &mut Vec<f32>, _: usize, _: &Vec<f32>, _: usize, _: usize, _: usize) -> Result<()> {
        match self.0 {}
    }
}

impl Queue for Cuda {
    fn begin_batch(&self) -> Result<()> {
        match self.0 {}
    }

    fn stage<T: Elem>(&self, _: &mut Vec<T>, _: &[T]) -> Result<()> {
        match self.0 {}
    }

    fn stage_in<T: Elem>(&self, _: &mut Vec<T>, _: &[T], _: usize) -> Result<()> {
        match self.0 {}
    }

    fn repeated<T>(&self, _: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.0 {}
    }

    fn replay(&self, _: &[u64]) -> Result<bool> {
        match self.0 {}
    }

    fn recorded(&self, _: Result<()>) -> Result<bool> {
        match self.0 {}
    }

    fn read_later(&self, _: &Vec<f32>) -> Result<()> {
        match self.0 {}
    }

    fn arrived(&self, _: bool, _: &mut Vec<f32>) -> Result<()> {
        match self.0 {}
    }
}

impl Operations for Cuda {
    fn embedding_pools(&self, _: &mut [Pools<'_, Self>]) -> Result<()> {
        match self.0 {}
    }

    fn embedding_step(
        &self,
        _: &mut [EmbeddingTable<Self>],
        _: &GradientPlans<'_, Self>,
        _: &[Vec<Mat<'_, Self>>],
        _: &StepRules<'_, Self>,
    ) -> Result<()> {
        match self.0 {}
    }

    fn linear_fwd(&self, _: MatMut<'_, Self>, _: Mat<'_, Self>, _: &Vec<f32>, _: &Vec<f32>, _: bool) -> Result<()> {
        match self.0 {}
    }

    fn linear_bwd(&self, _: LinearGrads<'_, Self>, _: LinearPass<'_, Self>) -> Result<()> {
        match self.0 {}
    }

    fn l2_norm_fwd(&self, _: &mut [NormPass<'_, Self>], _: usize) -> Result<()> {
        match self.0 {}
    }

    fn l2_norm_bwd(&self, _: &mut [NormGrads<'_, Self>], _: usize) -> Result<()> {
        match self.0 {}
    }

    fn softmax_loss(&self, _: SoftmaxGrads<'_, Self>, _: &SoftmaxLoss<'_, Self>) -> Result<()> {
        match self.0 {}
    }

    fn top_k_weights(&self, _: &mut Vec<f32>, _: &TopKWeights<'_, Self>) -> Result<()> {
        match self.0 {}
    }

    fn stage_rules(&self, _: &mut Vec<u32>, _: &OptimizerStep) -> Result<()> {
        match self.0 {}
    }

    fn dense_steps(&self, _: &mut [DenseParam<'_, Self>], _: &StepRules<'_, Self>) -> Result<()> {
        match self.0 {}
    }

    fn clip_scale(&self, _: &mut Vec<f32>, _: &[(&Vec<f32>, usize)], _: f32) -> Result<()> {
        match self.0 {}
    }
}

impl Scan for Cuda {
    type Items = ();
    type Asked = ();
    const LATER: bool = true;

    fn items(&self, _: usize, _: usize, _: bool) -> Result<()> {
        match self.0 {}
    }

    fn pack_items(&self, _: &mut (), _: usize, _: &Vec<f32>, _: Option<&Vec<f32>>, _: usize) -> Result<()> {
        match self.0 {}
    }

    fn ask(&self, _: &(), _: &TopK<'_, Vec<f32>>) -> Result<()> {
        match self.0 {}
    }

    fn lists(&self, _: &(), (): ()) -> Result<TopKLists> {
        match self.0 {}
    }

    fn topk_hits(&self, _: HitCounts<'_, Self>, _: &(), _: &TopK<'_, Vec<f32>>, _: &Relevant<'_, Self>) -> Result<()> {
        match self.0 {}
    }
}

/// Searches on the device.
pub(crate) mod topk {
    use super::{Cuda, Never};
    use crate::Result;
    use crate::backend::{TopK, TopKLists};

    /// No catalogue.
    pub(crate) struct CudaIndex(Never);

    /// No lists.
    pub(crate) struct AskedLists;

    impl CudaIndex {
        pub(crate) fn new<'a>(
            cuda: &Cuda,
            _: usize,
            _: usize,
            _: bool,
            _: impl Fn(usize) -> (&'a [f32], f32),
        ) -> Result<CudaIndex> {
            match cuda.0 {}
        }

        pub(crate) fn ask(&self, _: &Cuda, _: &TopK<'_, Vec<f32>>, _: f32) -> Result<AskedLists> {
            match self.0 {}
        }

        pub(crate) fn lists(&self, _: &Cuda, _: AskedLists) -> Result<TopKLists> {
            match self.0 {}
        }
    }
}
