// Work that several warps share in parts: who comes last has all of it, and no one waits.
#pragma once
#include "core/types.cuh"

// Whether this warp is the last of `parts` to take a ticket at `taken`, which was 0. What the others stored before is seen
// from here on. The whole warp calls it.
__device__ __forceinline__ bool comes_last(u32* taken, u32 parts) {
    // The lane that releases and acquires does it for all.
    __syncwarp();
    u32 before = 0;
    if (parts > 1 && threadIdx.x % WARP == 0)
        asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;"
                     : "=r"(before)
                     : "l"(__cvta_generic_to_global(taken))
                     : "memory");
    before = __shfl_sync(FULL, before, 0);
    __syncwarp();
    return before == parts - 1;
}
