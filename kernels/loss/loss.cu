// The in-batch softmax: entry points. Their shapes are those of src/backend/cuda/loss/shape.rs.
#include "loss/narrow_bwd.cuh"
#include "loss/narrow_fwd.cuh"
#include "loss/operands.cuh"
#include "loss/rows.cuh"
#include "loss/weights.cuh"
#include "loss/wide_bwd.cuh"
#include "loss/wide_fwd.cuh"

// Name, blocks to an SM; width, tiles of 16 rows a warp, columns of a tile, stages, hi and lo, rows kept in registers.
LOSS_FORWARD(loss_fwd_bf16_32, 2, 32, 2, 64, 3, false, true)
LOSS_FORWARD(loss_fwd_bf16_64, 2, 64, 2, 64, 3, false, true)
LOSS_FORWARD(loss_fwd_bf16_128, 2, 128, 2, 32, 3, false, false)
LOSS_FORWARD(loss_fwd_fp32_32, 2, 32, 1, 64, 3, true, true)
LOSS_FORWARD(loss_fwd_fp32_64, 2, 64, 1, 64, 2, true, true)
LOSS_FORWARD(loss_fwd_fp32_128, 2, 128, 1, 32, 2, true, false)
LOSS_BACKWARD(loss_bwd_bf16_32, 2, 32, 2, 64, 3, false, true)
LOSS_BACKWARD(loss_bwd_bf16_64, 2, 64, 2, 64, 3, false, true)
LOSS_BACKWARD(loss_bwd_bf16_128, 2, 128, 2, 32, 3, false, false)
LOSS_BACKWARD(loss_bwd_fp32_32, 4, 32, 1, 64, 3, true, false)
LOSS_BACKWARD(loss_bwd_fp32_64, 3, 64, 1, 64, 2, true, true)
LOSS_BACKWARD(loss_bwd_fp32_128, 2, 128, 1, 32, 2, true, false)

// Name; tiles of 16 rows a warp, hi and lo.
LOSS_FORWARD_WIDE(loss_fwd_bf16_wide, 2, false)
LOSS_FORWARD_WIDE(loss_fwd_fp32_wide, 1, true)
LOSS_BACKWARD_WIDE(loss_bwd_bf16_wide, 2, false)
LOSS_BACKWARD_WIDE(loss_bwd_fp32_wide, 1, true)
