// Operands of the tensor cores: fp32 matrices as bf16 tiles.
//
// x ~ hi + lo with hi = bf16(x) and lo = bf16(x - hi): hi alone is the fast path (2^-9 relative), hi hi + hi lo + lo hi
// the precise one (2^-17). Rows are padded with zeros to `width`, a multiple of 8 so that every copy is 16 bytes; of 16
// so that rows begin on 32-byte sectors.
#include "core/common.cuh"
#include "core/split.cuh"

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

// hi, lo: rows x width; x: element (r, c) at x[r * stride + c], columns `cols` and on count as zero. lo may be null.
// A thread makes 4 values at a time (16 bytes read, 8 written) where all rows of x begin on 16 bytes, one at a time
// elsewhere: a warp's accesses touch whole sectors either way. The wrapper checks all lengths; width >= 1.
extern "C" __global__ void __launch_bounds__(256)
    split_bf16(u16* __restrict__ hi, u16* __restrict__ lo, const float* __restrict__ x, u64 rows, u32 cols, u64 stride,
               u32 width) {
    if (((u64(x) | stride * 4) & 15) == 0) {
        for (Walk at(width / 4); at.row < rows; at.next()) {
            const u32 col = at.group * 4;
            const float* from = x + at.row * stride + col;
            float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            if (col + 4 <= cols) {
                v = *reinterpret_cast<const float4*>(from);
            } else {
                if (col < cols) v.x = from[0];
                if (col + 1 < cols) v.y = from[1];
                if (col + 2 < cols) v.z = from[2];
            }
            put_split(hi, lo, at.row * width + col, v);
        }
    } else {
        for (Walk at(width); at.row < rows; at.next()) {
            const float v = at.group < cols ? x[at.row * stride + at.group] : 0.0f;
            put_split(hi, lo, at.row * width + at.group, v);
        }
    }
}
