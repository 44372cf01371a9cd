// Operands of the tensor cores: fp32 matrices as bf16 tiles.
//
// Values become pairs (core/split.cuh), or their upper halves alone. Rows are padded with zeros to `width`, a multiple
// of 8 so that every copy is 16 bytes; of 16 so that rows begin on 32-byte sectors.
#include "core/split.cuh"
#include "tiles/arguments.cuh"

// The walk of a thread over rows x groups, in steps of the whole grid: one division at the start, none on the way.
struct Walk {
    u64 row, row_step;
    u32 group, group_step, groups;
    __device__ __forceinline__ explicit Walk(u32 groups_) : groups(groups_) {
        const u64 first = u64(blockIdx.x) * blockDim.x + threadIdx.x, step = u64(gridDim.x) * blockDim.x;
        row = first / groups, group = u32(first - row * groups);
        row_step = step / groups, group_step = u32(step - row_step * groups);
    }
    __device__ __forceinline__ void next() {
        row += row_step;
        group += group_step;
        if (group >= groups) group -= groups, ++row;
    }
};

// A thread makes 4 values at a time (16 bytes read, 8 written) where all rows of x begin on 16 bytes, one at a time
// elsewhere: a warp's accesses touch whole sectors either way. The wrapper checks all lengths; width >= 1.
extern "C" __global__ void __launch_bounds__(256) split_bf16(const __grid_constant__ SplitArgs args) {
    const SplitMatrix of = args.of[blockIdx.y];
    const float* x = of.x;
    const u32 cols = of.cols, width = of.width;
    if (((u64(x) | of.stride * 4) & 15) == 0) {
        for (Walk at(width / 4); at.row < of.rows; at.next()) {
            const u32 col = at.group * 4;
            const float* from = x + at.row * of.stride + col;
            float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (col + 4 <= cols) {
                v = __ldg(reinterpret_cast<const float4*>(from));
            } else {
                if (col < cols) v.x = from[0];
                if (col + 1 < cols) v.y = from[1];
                if (col + 2 < cols) v.z = from[2];
            }
            put_split(of.hi, of.lo, at.row * width + col, v);
        }
    } else {
        for (Walk at(width); at.row < of.rows; at.next()) {
            const float v = at.group < cols ? __ldg(x + at.row * of.stride + at.group) : 0.0f;
            put_split(of.hi, of.lo, at.row * width + at.group, v);
        }
    }
}
