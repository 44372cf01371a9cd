// What kernels report of input that they refuse (backend/cuda/status.rs).
#pragma once
#include "core/types.cuh"

// The offender at the lowest position: position << 32 | value; all ones while there is none.
__device__ __forceinline__ void report(u64* status, u64 position, u32 value) {
    atomicMin(status, position << 32 | value);
}
