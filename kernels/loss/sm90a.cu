// The in-batch softmax for sm_90a: entry points. Their shapes are those of src/backend/cuda/loss/sm90a/shape.rs.
#include "loss/sm90a/backward.cuh"
#include "loss/sm90a/forward.cuh"
#include "loss/sm90a/prepare.cuh"

// Name; width, consumer warpgroups of a block, blocks of a multiprocessor, stages.
LOSS_FORWARD_SM90A(loss_fwd_sm90a_64, 64, 3, 1, 6)
LOSS_FORWARD_SM90A(loss_fwd_sm90a_64_few, 64, 1, 2, 5)
LOSS_FORWARD_SM90A(loss_fwd_sm90a_128, 128, 2, 1, 5)
LOSS_BACKWARD_SM90A(loss_bwd_sm90a_64, 64, 3, 1, 6)
LOSS_BACKWARD_SM90A(loss_bwd_sm90a_64_few, 64, 1, 2, 5)
LOSS_BACKWARD_SM90A(loss_bwd_sm90a_128, 128, 2, 1, 5)
