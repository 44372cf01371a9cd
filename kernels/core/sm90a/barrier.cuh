// Barriers of shared memory (mbarrier) and what they are waited for: bulk copies and other warps.
#pragma once
#include "core/shared.cuh"
#include "core/status.cuh"

// A wait that takes longer gives up: about 0.25 s.
#define STUCK_CYCLES 400000000ll

// Of one thread, before `barriers_ready` and a barrier of the block: `arrivals` complete a phase.
__device__ __forceinline__ void barrier_init(u32 barrier, u32 arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

// After the last `barrier_init`: the asynchronous copies see the barriers too.
__device__ __forceinline__ void barriers_ready() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

__device__ __forceinline__ void barrier_arrive(u32 barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

// Arrives, and lets the phase wait for so many bytes of copies.
__device__ __forceinline__ void barrier_expect(u32 barrier, u32 bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

__device__ __forceinline__ bool barrier_try(u32 barrier, u32 parity) {
    u32 done;
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}\n"
        : "=r"(done)
        : "r"(barrier), "r"(parity)
        : "memory");
    return done != 0;
}

// Who waits for what: the upper half of a report (`stuck_place`).
enum BarrierWait { WAIT_FREE = 1, WAIT_ROWS = 2, WAIT_TILE = 3 };

// Waits for the phase of this parity. Gives up after STUCK_CYCLES, or where another wait has, and reports the wait, the
// turn and the block in the word `stuck`: the kernel then ends with results that are wrong, but nothing hangs the device,
// and the host finds the report at its next read.
__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity, u64* stuck, BarrierWait what, u32 turn) {
    if (barrier_try(barrier, parity)) return;
    const long long start = clock64();
    u32 polls = 0;
    while (!barrier_try(barrier, parity)) {
        if (++polls % 16 != 0) continue;
        if (*reinterpret_cast<volatile u64*>(stuck) != ~0ull) return;
        if (clock64() - start > STUCK_CYCLES) {
            report(stuck, u64(what) << 24 | (turn & 0xffffff), blockIdx.y << 16 | (blockIdx.x & 0xffff));
            return;
        }
    }
}

// Copies `bytes` (a multiple of 16, as both addresses are) to shared memory; `barrier` was told to expect them.
__device__ __forceinline__ void bulk_copy(u32 to, const void* from, u32 bytes, u32 barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
                 "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(barrier)
                 : "memory");
}
