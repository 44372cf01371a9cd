//! All kernels, by name: each `kernels/<stem>/<stem>.cu` becomes one module on the device, loaded at its first use. So does
//! `kernels/<folder>/sm90a.cu`, which `architecture` decides about.

use std::marker::PhantomData;
use std::sync::OnceLock;

use cudarc::driver::CudaFunction;

use super::architecture::Architecture;
use super::compile::{self, CompiledModule, KernelSource};
use super::context::Context;
use super::embedding::arguments::{PoolsArgs, StepArgs};
use super::linear::arguments::{MaskArgs, ProductArgs, SumArgs};
use super::loss::arguments::{
    LossAddArgs, LossBackwardArgs, LossFinishArgs, LossForwardArgs, LossOperandsArgs, LossPrepareArgs, LossStatsArgs,
    TopKWeightsArgs,
};
use super::loss::sm90a::arguments::{HopperBackwardArgs, HopperForwardArgs, PrepareHopperArgs};
use super::norm::arguments::{NormBackwardArgs, NormForwardArgs};
use super::optim::arguments::{ClipArgs, DenseStepsArgs, SquaredNormsArgs};
use super::params::param_size;
use super::source;
use super::tiles::arguments::SplitArgs;
use super::topk::arguments::{
    HitsArgs, PackBf16Args, PackBiasesArgs, PackInt8Args, PrepareArgs, RankAllArgs, RankListArgs, RankMergeArgs,
    SampleArgs, ScanArgs, ThresholdArgs,
};
use super::topk::sm90a::arguments::{
    ItemCodesArgs, ItemTermsArgs, LargestArgs, PanelArgs, PanelRankArgs, PanelSampleArgs, PanelScanArgs, QueryCodesArgs,
};
use crate::Result;

/// A loaded kernel, which takes `A`.
pub(crate) struct Kernel<A> {
    pub(super) name: &'static str,
    pub(super) function: CudaFunction,
    /// Bytes of its parameter, as its PTX declares it; `None` where it declares another number of them.
    pub(super) param: Option<usize>,
    arguments: PhantomData<fn(&A)>,
}

impl<A> Kernel<A> {
    fn of(context: &Context, loaded: &CompiledModule, name: &'static str) -> Result<Kernel<A>> {
        let function = context.check(&format!("find kernel {name}"), loaded.module.load_function(name))?;
        Ok(Kernel { name, function, param: param_size(&loaded.ptx, name), arguments: PhantomData })
    }
}

/// A stem's source below `kernels/`: of a folder of its name, or the one in `folder` for compute capability 9.0.
macro_rules! source_path {
    ($stem:ident) => {
        concat!(stringify!($stem), "/", stringify!($stem), ".cu")
    };
    ($stem:ident $folder:ident) => {
        concat!(stringify!($folder), "/sm90a.cu")
    };
}

/// A stem's source, its committed PTX, and its kernels by what they take. `loss_sm90a for sm_90a of loss`: the stem is
/// `kernels/loss/sm90a.cu`, and loaded only where the device's kernels are sm_90a's.
macro_rules! kernels {
    ($($(#[$doc:meta])* $module:ident in $stem:ident $(for sm_90a of $folder:ident)? {
        $($args:ty: [$($kernel:ident),* $(,)?],)*
    })*) => {
        $($(#[$doc])*
        pub(crate) struct $module {
            $($(pub $kernel: Kernel<$args>,)*)*
        })*

        /// The modules that have been used so far.
        #[derive(Default)]
        pub(crate) struct Kernels {
            $($stem: OnceLock<$module>,)*
        }

        impl Kernels {
            $(pub(super) fn $stem(&self, context: &Context) -> Result<&$module> {
                if let Some(module) = self.$stem.get() {
                    return Ok(module);
                }
                let source = KernelSource {
                    stem: stringify!($stem),
                    cuda: include_str!(concat!("../../../kernels/", source_path!($stem $($folder)?))),
                    ptx: include_bytes!(concat!("../../../kernels/ptx/", stringify!($stem), ".ptx.zst")),
                };
                let loaded = compile::load(context, &source)?;
                let module = $module {
                    $($($kernel: Kernel::of(context, &loaded, stringify!($kernel))?,)*)*
                };
                Ok(self.$stem.get_or_init(|| module))
            })*

            /// Loads every module that the device's kernels are of: what `tercel doctor` tries.
            pub(crate) fn load_all(&self, context: &Context) -> Result<()> {
                $(if source::only_for(stringify!($stem)).is_none() || context.architecture == Architecture::Sm90a {
                    self.$stem(context)?;
                })*
                Ok(())
            }
        }
    };
}

kernels! {
    /// Lookups in tables, and the step of the touched rows.
    Embedding in embedding {
        PoolsArgs: [embedding_pools],
        StepArgs: [
            embedding_step_sgd, embedding_step_adagrad, embedding_step_adam, embedding_step_rowwise,
            embedding_step_unaligned, embedding_straddling, embedding_straddling_any,
        ],
    }
    /// Steps of dense parameters, and norms of gradients.
    Optim in optim {
        DenseStepsArgs: [dense_steps_sgd, dense_steps_adagrad, dense_steps_adam],
        SquaredNormsArgs: [squared_norms],
        ClipArgs: [clip_scale],
    }
    /// Linear layers: three products, each in two precisions and two sizes of tile, and what goes round them.
    Linear in linear {
        ProductArgs: [
            linear_fwd_bf16_64, linear_fwd_bf16_128, linear_fwd_fp32_64, linear_fwd_fp32_128,
            linear_bwd_x_bf16_64, linear_bwd_x_bf16_128, linear_bwd_x_fp32_64, linear_bwd_x_fp32_128,
            linear_bwd_w_bf16_64, linear_bwd_w_bf16_128, linear_bwd_w_fp32_64, linear_bwd_w_fp32_128,
        ],
        MaskArgs: [linear_bwd_mask],
        SumArgs: [linear_sum],
    }
    /// L2 norms of rows, by the longest row.
    Norm in norm {
        NormForwardArgs: [
            l2_norm_fwd_f32_128, l2_norm_fwd_f32_256, l2_norm_fwd_f32_512, l2_norm_fwd_f32_1024, l2_norm_fwd_f32_any,
        ],
        NormBackwardArgs: [
            l2_norm_bwd_f32_128, l2_norm_bwd_f32_256, l2_norm_bwd_f32_512, l2_norm_bwd_f32_1024, l2_norm_bwd_f32_any,
        ],
    }
    /// The best items of each query.
    Topk in topk {
        PackBf16Args: [topk_pack_bf16],
        PackBiasesArgs: [topk_pack_biases],
        PackInt8Args: [topk_pack_int8],
        PrepareArgs: [topk_prepare_bf16, topk_prepare_int8],
        SampleArgs: [topk_sample_bf16, topk_sample_int8],
        ThresholdArgs: [topk_threshold],
        ScanArgs: [
            topk_filter_bf16, topk_filter_bf16_128, topk_filter_bf16_256,
            topk_filter_int8, topk_filter_int8_64, topk_filter_int8_128,
            topk_buckets_bf16, topk_buckets_bf16_128, topk_buckets_bf16_256,
            topk_buckets_int8, topk_buckets_int8_64, topk_buckets_int8_128,
        ],
        RankListArgs: [topk_rank_list],
        RankAllArgs: [topk_rank_all],
        RankMergeArgs: [topk_rank_merge],
        HitsArgs: [topk_hits],
    }
    /// The best items of each query, by warpgroups.
    TopkSm90a in topk_sm90a for sm_90a of topk {
        PanelArgs: [topk_panels],
        LargestArgs: [topk_largest],
        ItemCodesArgs: [topk_item_codes],
        QueryCodesArgs: [topk_query_codes],
        ItemTermsArgs: [topk_item_terms],
        PanelSampleArgs: [
            topk_panel_sample_64, topk_panel_sample_64_biased, topk_panel_sample_128, topk_panel_sample_128_biased,
            topk_panel_sample_int8_64, topk_panel_sample_int8_64_biased,
            topk_panel_sample_int8_128, topk_panel_sample_int8_128_biased,
        ],
        PanelScanArgs: [
            topk_panel_scan_64, topk_panel_scan_64_biased, topk_panel_scan_128, topk_panel_scan_128_biased,
            topk_panel_scan_int8_64, topk_panel_scan_int8_64_biased,
            topk_panel_scan_int8_128, topk_panel_scan_int8_128_biased,
        ],
        PanelRankArgs: [topk_panel_rank_32, topk_panel_rank_256],
    }
    /// Operands of the tensor cores.
    Tiles in tiles {
        SplitArgs: [split_bf16],
    }
    /// The in-batch softmax.
    Loss in loss {
        LossOperandsArgs: [loss_operands],
        LossPrepareArgs: [loss_prepare],
        LossFinishArgs: [loss_finish],
        LossStatsArgs: [loss_stats],
        LossAddArgs: [loss_add],
        TopKWeightsArgs: [loss_top_k_weights],
        LossForwardArgs: [
            loss_fwd_bf16_32, loss_fwd_bf16_64, loss_fwd_bf16_128, loss_fwd_bf16_wide,
            loss_fwd_fp32_32, loss_fwd_fp32_64, loss_fwd_fp32_128, loss_fwd_fp32_wide,
        ],
        LossBackwardArgs: [
            loss_bwd_bf16_32, loss_bwd_bf16_64, loss_bwd_bf16_128, loss_bwd_bf16_wide,
            loss_bwd_fp32_32, loss_bwd_fp32_64, loss_bwd_fp32_128, loss_bwd_fp32_wide,
        ],
    }
    /// The in-batch softmax, by warpgroups.
    LossSm90a in loss_sm90a for sm_90a of loss {
        PrepareHopperArgs: [loss_prepare_sm90a],
        HopperForwardArgs: [loss_fwd_sm90a_64, loss_fwd_sm90a_64_few, loss_fwd_sm90a_128],
        HopperBackwardArgs: [loss_bwd_sm90a_64, loss_bwd_sm90a_64_few, loss_bwd_sm90a_128],
    }
}
