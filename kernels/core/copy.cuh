// Asynchronous copies from global to shared memory (sm_80 and newer).
#pragma once
#include "core/shared.cuh"

// 16 bytes, past L1; the last 16 - `bytes` become zero (`bytes` 0: nothing is read).
__device__ __forceinline__ void copy_async(u32 to, const void* from, int bytes = 16) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most `PENDING` of this thread's newest groups are under way.
template <int PENDING>
__device__ __forceinline__ void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

// Starts the copy of COUNT 4-byte values (a multiple of 4), by the threads from FIRST on. The source is padded.
template <int COUNT, int FIRST>
__device__ __forceinline__ void copy_values(u32 to, const void* from, u64 first) {
    const u32 i = threadIdx.x - FIRST;  // wraps to far above COUNT for the threads before FIRST
    if (i < COUNT / 4) copy_async(to + i * 16, static_cast<const u32*>(from) + first + i * 4);
}
