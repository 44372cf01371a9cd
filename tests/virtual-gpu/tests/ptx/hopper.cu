// Small kernels with Hopper's instructions, each with bugs to choose from, as in seeded.cu: `bug` 0 is the correct kernel,
// and a line that says `finds N` is where bug N must be found. hopper_90a.ptx is what NVRTC 12.9 makes of it for
// compute_90a, with --std=c++17 -lineinfo.
#define KERNEL extern "C" __global__ void
typedef unsigned u32;
typedef unsigned short u16;
typedef unsigned long long u64;

// Macros, not functions: what is found is then found at the line that uses them.
#define ADDRESS(p) ((u32)__cvta_generic_to_shared(p))
#define INIT(bar, count) asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(count) : "memory")
#define ARRIVE(bar) asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory")
#define EXPECT(bar, bytes) asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory")
#define AWAIT(bar, parity) asm volatile( \
    "{\n.reg .pred p;\nAGAIN:\nmbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n@!p bra AGAIN;\n}\n" ::"r"(bar), "r"(parity) : "memory")
#define COPY(to, from, bytes, bar) asm volatile( \
    "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" \
    ::"r"(to), "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(bar) : "memory")
#define STORE_SHARED(at, x) asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" \
    ::"r"(at), "r"((x).x), "r"((x).y), "r"((x).z), "r"((x).w) : "memory")
#define PROXY_FENCE() asm volatile("fence.proxy.async.shared::cta;" ::: "memory")
#define DESCRIPTOR(at, leading, stride, swizzle) \
    ((u64)((at) >> 4) | (u64)((leading) >> 4) << 16 | (u64)((stride) >> 4) << 32 | (u64)(swizzle) << 62)

#define EIGHT(f, i) f(i), f(i + 1), f(i + 2), f(i + 3), f(i + 4), f(i + 5), f(i + 6), f(i + 7)
#define IN_OUT(i) "+f"(d[i])
#define SUMS "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}"
// d (64 x 32) += A (64 x 16) B (16 x 32), by descriptors.
#define PRODUCT(a, b) asm volatile("wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 " SUMS ", %16, %17, 1, 1, 1, 0, 0;" \
    : EIGHT(IN_OUT, 0), EIGHT(IN_OUT, 8) : "l"(a), "l"(b))
// The same, A in registers, B by rows of k.
#define PRODUCT_OF_REGISTERS(a, b) asm volatile( \
    "wgmma.mma_async.sync.aligned.m64n32k16.f32.bf16.bf16 " SUMS ", {%16, %17, %18, %19}, %20, 1, 1, 1, 1;" \
    : EIGHT(IN_OUT, 0), EIGHT(IN_OUT, 8) : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "l"(b))
#define WGMMA_FENCE() asm volatile("wgmma.fence.sync.aligned;" ::: "memory")
#define COMMIT() asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory")
#define WAIT(n) asm volatile("wgmma.wait_group.sync.aligned " #n ";" ::: "memory")
#define ZERO() _Pragma("unroll") for (int i = 0; i < 16; ++i) asm volatile("mov.f32 %0, 0f00000000;" : "=f"(d[i])::"memory")
#define STORE(c) _Pragma("unroll") for (int i = 0; i < 16; ++i) \
    (c)[(threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + (i & 2) * 4) * 32 + threadIdx.x % 4 * 2 + i / 4 * 8 + (i & 1)] = d[i]

// c (64 x 32) = a (64 x 64) b^T, b (32 x 64), bf16 by rows; one warpgroup. Both are written to shared memory by hand.
KERNEL multiply(float* c, const uint4* a, const uint4* b, int bug) {
    extern __shared__ __align__(1024) unsigned char raw[];
    u32 t = threadIdx.x, base = ADDRESS(raw);
    // A, a group of 8 rows that nobody writes, B.
    u32 a_at = base, b_at = base + 9 * 1024 - (bug == 8 ? 512 : 0);
    for (u32 i = t; i < 96 * 8; i += 128) {
        u32 row = i / 8, chunk = i % 8;
        u32 at = row < 64 ? a_at + row * 128 : b_at + (row - 64) * 128;
        uint4 x = row < 64 ? a[i] : b[i - 64 * 8];
        STORE_SHARED(at + ((chunk ^ (row & 7)) << 4), x);
    }
    if (bug != 1) PROXY_FENCE();
    if (bug != 2) __syncthreads();
    float d[16];
    ZERO();
    if (bug != 3) WGMMA_FENCE();
#pragma unroll 1
    for (u32 k = 0; k < 4; ++k) {
        u64 x = DESCRIPTOR(a_at + k * 32 + (bug == 11 ? 1024 : 0), 16, 1024, bug == 9 ? 0 : 1);
        u64 y = DESCRIPTOR(b_at + k * 32 + (bug == 7 ? 1024 : 0), 16, 1024, 1);
        if (bug == 12 && k == 3 && t / 32 == 3) break;
        PRODUCT(x, y);  // finds 1, 2, 3, 7, 8, 9, 10, 11, 12
    }
    if (bug != 5) COMMIT();
    if (bug == 10) asm volatile("st.shared.u32 [%0], %1;" ::"r"(b_at + t * 4), "r"(t) : "memory");
    if (bug == 13) asm volatile("mov.f32 %0, 0f3f800000;" : "+f"(d[3])::"memory");  // finds 13
    if (bug == 6) WAIT(1);
    else if (bug != 4) WAIT(0);
    STORE(c);  // finds 4, 5, 6
    if (bug == 14) {
        WGMMA_FENCE();
        PRODUCT(DESCRIPTOR(a_at, 16, 1024, 1), DESCRIPTOR(b_at, 16, 1024, 1));  // finds 14
        COMMIT();
    }
}

// c (64 x 32) = a (64 x 64) b, b (64 x 32, 64 in a row); a is read into registers.
KERNEL multiply_registers(float* c, const u32* a, const uint4* b, int bug) {
    extern __shared__ __align__(1024) unsigned char raw[];
    u32 t = threadIdx.x, base = ADDRESS(raw);
    for (u32 i = t; i < 64 * 8; i += 128) {
        uint4 x = b[i];
        STORE_SHARED(base + i / 8 * 128 + ((i % 8 ^ (i / 8 & 7)) << 4), x);
    }
    PROXY_FENCE();
    __syncthreads();
    u32 row = t / 32 * 16 + t % 32 / 4;
    float d[16];
    ZERO();
    u32 x[4][4];
#pragma unroll
    for (u32 i = 0; i < 16; ++i) {
        const u32* from = a + (row + (i & 1) * 8) * 32 + i / 4 * 8 + (i & 2) * 2 + t % 4;
        asm volatile("ld.global.b32 %0, [%1];" : "=r"(x[i / 4][i % 4]) : "l"(__cvta_generic_to_global(from)) : "memory");
    }
    if (bug != 1) WGMMA_FENCE();
#pragma unroll
    for (u32 k = 0; k < 4; ++k) {
        if (bug == 2 && k == 2) asm volatile("xor.b32 %0, %0, 1;" : "+r"(x[0][1])::"memory");  // finds 2
        PRODUCT_OF_REGISTERS(x[k], DESCRIPTOR(base + k * 2048, 16, 1024, 1));  // finds 1, 3
        if (bug == 3 && k == 0) asm volatile("xor.b32 %0, %0, 1;" : "+r"(x[1][1])::"memory");
    }
    COMMIT();
    WAIT(0);
    STORE(c);
}

// sums[t] = the sum of word t of n tiles of 128 words; a thread of warp 0 copies, warps 1 to 4 add up, two stages.
KERNEL pipeline(u32* sums, const u32* tiles, u32 n, int bug) {
    __shared__ __align__(1024) u32 stages[2][128];
    __shared__ u64 full[2], empty[2], rest;
    u32 t = threadIdx.x, warp = t / 32, lane = t % 32;
    if (t == 0) {
        for (u32 s = 0; s < 2; ++s) {
            INIT(ADDRESS(&full[s]), 1);
            INIT(ADDRESS(&empty[s]), bug == 10 ? 5 : bug == 11 ? 3 : 4);
        }
        INIT(ADDRESS(&rest), 1);
        if (bug == 15) asm volatile("" ::: "memory");
        else asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    if (bug != 14) __syncthreads();
    if (warp == 0) {
        if (lane == 0) {
#pragma unroll 1
            for (u32 i = 0; i < n; ++i) {
                u32 s = i % 2, bar = ADDRESS(&full[s]);
                if (bug != 9) AWAIT(ADDRESS(&empty[s]), i / 2 % 2 ^ 1);  // finds 8, 10
                if (bug == 3) ARRIVE(bar);
                else if (bug != 21) EXPECT(bar, bug == 4 ? 1024 : bug == 5 ? 256 : 512);  // finds 9
                u32 bytes = bug == 6 ? 500 : bug == 17 && i == n - 1 ? 528 : 512;
                u32 to = ADDRESS(stages[s]) + (bug == 16 && i == 1 ? 1024 : 0);
                COPY(to, tiles + i * 128 + (bug == 7 ? 2 : 0), bytes, bar);  // finds 6, 7, 11, 12, 13, 15, 16, 17, 19, 21
                if (bug == 21) ARRIVE(bar);
            }
            if (bug == 18) {
                AWAIT(ADDRESS(&empty[0]), 0);
                COPY(ADDRESS(stages[0]), tiles, 512, ADDRESS(&rest));  // finds 18
            }
        }
    } else {
        u32 sum = 0, column = t - 32;
#pragma unroll 1
        for (u32 i = 0; i < n; ++i) {
            u32 s = i % 2;
            if (bug != 2) AWAIT(ADDRESS(&full[s]), (i / 2 % 2) ^ (bug == 1 ? 1 : 0));  // finds 4, 5, 14
            if (bug == 12 && lane == 0) ARRIVE(ADDRESS(&empty[s]));
            sum += *(volatile u32*)&stages[s][column];  // finds 1, 2, 3, 20
            if (bug == 19) *(volatile u32*)&stages[s][column] = 0;
            if (bug != 13) __syncwarp();
            if (bug == 20 && warp == 2 && i == 1) *(volatile u32*)&stages[s][96 + lane] = 0;
            if (bug != 8 && bug != 12 && lane == 0) ARRIVE(ADDRESS(&empty[s]));
        }
        sums[column] = sum;
    }
}

// out[t] = word 127 - t of `in` and `more`: one warpgroup hands words to the other; both change their registers.
KERNEL __launch_bounds__(256, 2) roles(u32* out, const u32* in, int bug) {
    __shared__ u32 words[2][128];
    u32 t = threadIdx.x;
    if (t < 128) {
        if (bug == 1) asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");  // finds 1
        else if (bug == 3) asm volatile("setmaxnreg.inc.sync.aligned.u32 104;");  // finds 3
        else if (bug != 2 || t < 96) asm volatile("setmaxnreg.inc.sync.aligned.u32 216;");  // finds 2
        words[0][t] = in[t];  // finds 10
        if (bug == 10) asm volatile("bar.sync 3, 128;" ::: "memory");
        if (bug == 4) asm volatile("bar.arrive 1, 128;" ::: "memory");
        else if (bug == 5) asm volatile("bar.arrive 1, 192;" ::: "memory");
        else if (bug == 6) asm volatile("bar.arrive 1, %0;" ::"r"(bug + 244) : "memory");  // finds 6
        else if (bug != 7 && bug != 10) asm volatile("bar.arrive 1, 256;" ::: "memory");
        words[bug == 8 ? 0 : 1][t] = in[128 + t];
        if (bug != 9) asm volatile("bar.arrive 2, 256;" ::: "memory");
        else asm volatile("bar.sync 2, 128;" ::: "memory");
    } else {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (bug == 5) asm volatile("bar.sync 1, 192;" ::: "memory");  // finds 5
        else if (bug != 10) asm volatile("bar.sync 1, 256;" ::: "memory");  // finds 4, 7
        u32 sum = *(volatile u32*)&words[0][255 - t];  // finds 8
        if (bug != 9) asm volatile("bar.sync 2, 256;" ::: "memory");
        else asm volatile("bar.sync 3, 128;" ::: "memory");
        out[t - 128] = sum + *(volatile u32*)&words[1][255 - t];  // finds 9
    }
}
