//! All kernels, by name: each `kernels/<stem>/<stem>.cu` becomes one module on the device, loaded at its first use.

use std::sync::OnceLock;

use cudarc::driver::CudaFunction;

use super::compile::{self, KernelSource};
use super::context::Context;
use super::params::{ParamSizes, param_sizes};
use crate::Result;

/// A loaded kernel.
pub(crate) struct Kernel {
    pub(super) name: &'static str,
    pub(super) function: CudaFunction,
    /// Bytes of each parameter, as its PTX declares them.
    pub(super) params: ParamSizes,
}

/// A stem's source, its committed PTX, and its kernels.
macro_rules! kernels {
    ($($(#[$doc:meta])* $module:ident in $stem:ident: [$($kernel:ident),* $(,)?];)*) => {
        $($(#[$doc])*
        pub(crate) struct $module {
            $(pub $kernel: Kernel,)*
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
                    cuda: include_str!(concat!(
                        "../../../kernels/", stringify!($stem), "/", stringify!($stem), ".cu"
                    )),
                    ptx: include_bytes!(concat!("../../../kernels/ptx/", stringify!($stem), ".ptx.zst")),
                };
                let loaded = compile::load(context, &source)?;
                let module = $module {
                    $($kernel: Kernel {
                        name: stringify!($kernel),
                        function: context
                            .check(concat!("find kernel ", stringify!($kernel)), loaded.module.load_function(stringify!($kernel)))?,
                        params: param_sizes(&loaded.ptx, stringify!($kernel)),
                    },)*
                };
                Ok(self.$stem.get_or_init(|| module))
            })*

            /// Loads every module: what `tercel doctor` tries.
            pub(crate) fn load_all(&self, context: &Context) -> Result<()> {
                $(self.$stem(context)?;)*
                Ok(())
            }
        }
    };
}

kernels! {
    /// Lookups in tables, and the step of the touched rows.
    Embedding in embedding: [
        embedding_rows_fwd_f32_v4,
        embedding_rows_fwd_bf16_v8,
        embedding_rows_fwd_f16_v8,
        embedding_bag_fwd_f32_v4,
        embedding_bag_fwd_bf16_v8,
        embedding_bag_fwd_f16_v8,
        embedding_bag_fwd_bf16_v4,
        embedding_bag_fwd_f16_v4,
        embedding_bag_fwd_f32_v1,
        embedding_bag_fwd_bf16_v1,
        embedding_bag_fwd_f16_v1,
        embedding_bag_bwd_step_sgd_f32,
        embedding_bag_bwd_step_adagrad_f32,
        embedding_bag_bwd_step_adam_f32,
        embedding_bag_bwd_step_rowwise_f32,
        embedding_bag_bwd_step_f32_v1,
        embedding_bag_bwd_step_sgd_bf16,
        embedding_bag_bwd_step_adagrad_bf16,
        embedding_bag_bwd_step_adam_bf16,
        embedding_bag_bwd_step_rowwise_bf16,
        embedding_bag_bwd_step_bf16_v1,
        embedding_bag_bwd_step_sgd_f16,
        embedding_bag_bwd_step_adagrad_f16,
        embedding_bag_bwd_step_adam_f16,
        embedding_bag_bwd_step_rowwise_f16,
        embedding_bag_bwd_step_f16_v1,
        embedding_bag_bwd_straddling_f32,
        embedding_bag_bwd_straddling_f32_v1,
        embedding_bag_bwd_straddling_bf16,
        embedding_bag_bwd_straddling_bf16_v1,
        embedding_bag_bwd_straddling_f16,
        embedding_bag_bwd_straddling_f16_v1,
    ];
    /// Steps of dense parameters, and norms of gradients.
    Optim in optim: [
        dense_step_sgd,
        dense_step_adagrad,
        dense_step_adam,
        squared_norm_pieces,
        squared_norm_total,
    ];
    /// Linear layers: three products, each in two precisions and two sizes of tile, and what goes round them.
    Linear in linear: [
        linear_fwd_bf16_64, linear_fwd_bf16_128, linear_fwd_fp32_64, linear_fwd_fp32_128,
        linear_bwd_x_bf16_64, linear_bwd_x_bf16_128, linear_bwd_x_fp32_64, linear_bwd_x_fp32_128,
        linear_bwd_w_bf16_64, linear_bwd_w_bf16_128, linear_bwd_w_fp32_64, linear_bwd_w_fp32_128,
        linear_bwd_mask, linear_sum,
    ];
    /// L2 norms of rows, by the longest row.
    Norm in norm: [
        l2_norm_fwd_f32_128, l2_norm_fwd_f32_256, l2_norm_fwd_f32_512, l2_norm_fwd_f32_1024, l2_norm_fwd_f32_any,
        l2_norm_bwd_f32_128, l2_norm_bwd_f32_256, l2_norm_bwd_f32_512, l2_norm_bwd_f32_1024, l2_norm_bwd_f32_any,
    ];
    /// The best items of each query.
    Topk in topk: [
        topk_pack_bf16, topk_pack_int8, topk_prepare_bf16, topk_prepare_int8, topk_sample_bf16, topk_sample_int8,
        topk_threshold, topk_filter_bf16, topk_filter_bf16_128, topk_filter_bf16_256, topk_filter_int8,
        topk_filter_int8_64, topk_filter_int8_128, topk_buckets_bf16, topk_buckets_bf16_128, topk_buckets_bf16_256,
        topk_buckets_int8, topk_buckets_int8_64, topk_buckets_int8_128, topk_rank_list, topk_rank_all, topk_rank_merge,
    ];
    /// Operands of the tensor cores.
    Tiles in tiles: [split_bf16];
    /// The in-batch softmax.
    Loss in loss: [
        loss_prepare, loss_finish, loss_stats, loss_add, loss_top_k_weights,
        loss_fwd_bf16_32, loss_fwd_bf16_64, loss_fwd_bf16_128, loss_fwd_bf16_wide,
        loss_fwd_fp32_32, loss_fwd_fp32_64, loss_fwd_fp32_128, loss_fwd_fp32_wide,
        loss_bwd_bf16_32, loss_bwd_bf16_64, loss_bwd_bf16_128, loss_bwd_bf16_wide,
        loss_bwd_fp32_32, loss_bwd_fp32_64, loss_bwd_fp32_128, loss_bwd_fp32_wide,
    ];
}
