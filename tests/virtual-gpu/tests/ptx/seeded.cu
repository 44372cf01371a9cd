// Small kernels of the kinds that training has, each with bugs to choose from: `bug` 0 is the correct kernel, another
// number plants one bug. A line that says `finds N` is where bug N must be found (the compilers give the first or the
// last line of a statement). The .ptx files beside this are what
// NVRTC makes of it: seeded_80.ptx by 11.8 for compute_80, seeded_100.ptx by 12.9 for compute_100, both with
// --std=c++17 -lineinfo, so that the tests need no compiler.
#define KERNEL extern "C" __global__ void

// y[i, :] = x[rows[i], :] for n rows of `dim` floats; 4 rows a block of (32, 4).
KERNEL gather(float* y, const float* x, const unsigned* rows, unsigned n, unsigned dim, int bug) {
    unsigned i = blockIdx.x * 4 + threadIdx.y;
    if (bug == 1 ? i > n : i >= n) return;
    unsigned row = rows[i];  // finds 1
    unsigned columns = bug == 2 ? 64 : dim;
    unsigned to = bug == 3 ? i / 2 : i;
    #pragma unroll 1
    for (unsigned c = threadIdx.x; c < columns; c += 32) {
        float v = x[row * dim + c];
        if (bug == 4) v = y[row % n * dim + c];  // finds 4
        y[to * dim + c] = v;  // finds 2, 3, 4
    }
    if (bug == 5) *(float2*)(y + i * dim + 1) = make_float2(0.0f, 0.0f);  // finds 5
    if (bug == 6) y[i * dim] = __ldg(y + i * dim + threadIdx.x) + 1.0f;  // finds 6
}

// out[s] = the sum of x[offsets[s] .. offsets[s + 1]], *total = the sum of all; a block of 128 per segment.
KERNEL segment_sum(float* out, float* total, const float* x, const unsigned* offsets, int bug) {
    __shared__ float partial[4];
    unsigned s = blockIdx.x, t = threadIdx.x, lane = t & 31, warp = t >> 5;
    unsigned end = offsets[bug == 1 ? s + 2 : s + 1];  // finds 1
    float v = 0.0f;
    #pragma unroll 1
    for (unsigned i = offsets[s] + t; i < end; i += 128) v += x[i];
    if (bug == 2 && lane < 16) v += __shfl_down_sync(0xffff, v, 16);  // finds 2
    if (bug == 3 && lane < 16) v += __shfl_down_sync(~0u, v, 8);  // finds 3
    if (bug == 4 && lane != 7) v += __ballot_sync(~0u, v > 0.0f);  // finds 4
    for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(~0u, v, d);
    if (lane == 0 && !(bug == 5 && warp == 3)) partial[warp] = v;  // finds 8
    if (bug == 6) {
        if (t < 100) __syncthreads();
        else __syncthreads();  // finds 6
    }
    if (bug == 7 && t < 64) __syncthreads();
    if (bug != 8) __syncthreads();  // finds 7
    if (t == 0) {
        float sum = 0.0f;
        #pragma unroll 1
        for (int w = 0; w < 4; w++) sum += partial[w];  // finds 5
        out[s] = sum;
        if (bug == 9) *total += sum;  // finds 9
        else atomicAdd(total, sum);
    }
}

// c = a b^T: a is m x k, b is n x k; tiles of 16 x 16, dynamic shared memory of 2 * 16 * 17 floats.
KERNEL product(float* c, const float* a, const float* b, unsigned m, unsigned n, unsigned k, int bug) {
    extern __shared__ float tiles[];
    float *as = tiles, *bs = tiles + 16 * 17;
    unsigned x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 16 + y, col = blockIdx.x * 16 + x;
    float sum = 0.0f;
    #pragma unroll 1
    for (unsigned k0 = 0; k0 < k; k0 += 16) {
        unsigned other = blockIdx.x * 16 + y;
        as[y * 17 + x] =  // finds 4
            row < m && k0 + x < k ? a[row * k + k0 + x] : 0.0f;
        if (!(bug == 1 && y == 9))
            bs[(bug == 2 ? y + 1 : y) * 17 + x] =  // finds 2, 3
                (bug == 3 || other < n) && k0 + x < k ? b[other * k + k0 + x] : 0.0f;  // finds 3
        if (bug != 5) __syncthreads();
        #pragma unroll 1
        for (unsigned i = 0; i < 16; i++) sum += as[y * 17 + i] * bs[x * 17 + i];  // finds 1, 5
        if (bug != 4) __syncthreads();
    }
    if ((bug == 6 || row < m) && col < n) c[row * n + (bug == 7 ? col & ~1u : col)] = sum;  // finds 6, 7
}

// The mean of each thread's 8 values, picked by an index that only the data know: an array in local memory.
KERNEL spill(float* y, const unsigned* order, int bug) {
    float values[8];
    unsigned t = threadIdx.x;
    #pragma unroll 1
    for (unsigned i = 0; i < (bug == 1 ? 7 : 8); i++) values[order[i] & 15] = t * 8.0f + i;
    float sum = 0.0f;
    #pragma unroll 1
    for (unsigned i = 0; i < 8; i++) sum += values[order[i] + (bug == 2 && i == 5 ? 8 : 0)];  // finds 1, 2
    y[t] = sum / 8.0f;
}

__device__ unsigned address_of(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

// c = a b^T in f32 from bf16 (as words of two): a is 16 x k, b is 16 x k, k a multiple of 8. Two warps, 8 columns of c
// each; warp 0 copies a's tiles, warp 1 b's, one tile ahead.
KERNEL tensor_product(float* c, const unsigned* a, const unsigned* b, unsigned k, int bug) {
    __shared__ __align__(16) unsigned tiles[2][2][16][12];
    unsigned t = threadIdx.x, lane = t & 31, warp = t >> 5, count = (k + 15) / 16;
    const unsigned* from = warp == 0 ? a : b;
    auto copy = [&](unsigned tile) {
        unsigned r = lane / 2, half = lane % 2, at = tile * 16 + half * 8;
        unsigned bytes = at < k || bug == 1 ? 16 : 0;
        const unsigned* source = from + (r * k + at) / 2;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::  // finds 1, 5
            "r"(address_of(&tiles[tile & 1][warp][r][half * 4])), "l"(source), "r"(bytes));  // finds 1, 5
    };
    float d[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    copy(0);
    asm volatile("cp.async.commit_group;");
    #pragma unroll 1
    for (unsigned i = 0; i < count; i++) {
        if (i + 1 < count) copy(i + 1);
        asm volatile("cp.async.commit_group;");
        if (bug == 2) asm volatile("cp.async.wait_group 2;");
        else if (bug != 3) asm volatile("cp.async.wait_group 1;");
        if (bug != 4) __syncthreads();
        unsigned x[4], y[2];
        const void* p = &tiles[i & 1][0][lane % 16][lane / 16 * 4];
        const void* q = &tiles[i & 1][1][warp * 8 + lane % 8][lane / 8 % 2 * 4 + (bug == 6 ? 1 : 0)];
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"  // finds 2, 3
            : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(address_of(p)));  // finds 2, 3
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"  // finds 4, 6
            : "=r"(y[0]), "=r"(y[1]) : "r"(address_of(q)));  // finds 4, 6
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
        if (bug != 5) __syncthreads();
    }
    float* to = c + lane / 4 * 16 + warp * 8 + lane % 4 * 2;
    *(float2*)to = make_float2(d[0], d[1]);
    *(float2*)(to + 8 * 16) = make_float2(d[2], d[3]);
}

// Sorts 128 keys a block, largest first, by a bitonic network.
KERNEL sort(unsigned* keys, int bug) {
    __shared__ unsigned s[128];
    unsigned t = threadIdx.x, base = blockIdx.x * 128;
    s[t] = keys[base + t];
    if (bug != 1) __syncthreads();
    #pragma unroll 1
    for (unsigned size = 2; size <= 128; size *= 2) {
        #pragma unroll 1
        for (unsigned d = size / 2; d > 0; d /= 2) {
            unsigned partner = bug == 2 && d == 32 ? (t + d) & 127 : t ^ d;
            if (partner > t || (bug == 2 && d == 32)) {
                unsigned p = s[t], q = s[partner];  // finds 1, 2, 3
                if (t & size ? p > q : p < q) {
                    s[t] = q;
                    s[partner] = p;
                }
            }
            if (bug != 3) __syncthreads();
        }
    }
    keys[base + t] = s[t];
}

// counts[digit] += how many of n keys have the digit (bits 4 to 7).
KERNEL histogram(unsigned* counts, const unsigned* keys, unsigned n, int bug) {
    __shared__ unsigned bins[16];
    unsigned t = threadIdx.x;
    if (t < 16 && bug != 1) bins[t] = 0;
    if (bug != 2) __syncthreads();
    #pragma unroll 1
    for (unsigned i = blockIdx.x * blockDim.x + t; i < n; i += gridDim.x * blockDim.x) {
        unsigned digit = keys[i] >> 4 & 15;
        if (bug == 3) bins[digit]++;  // finds 3
        else atomicAdd(&bins[digit], 1u);  // finds 1, 2
        if (bug == 4) __syncthreads();
    }
    if (bug != 5) __syncthreads();  // finds 4
    if (bug == 6 && t == 0)
        while (atomicAdd(&bins[0], 0u) != ~0u) {}  // finds 6
    if (t < 16) {
        unsigned count = bins[t];  // finds 5
        if (bug == 7) counts[t] += count;  // finds 7
        else atomicAdd(&counts[t], count);
    }
}

// out[t] = the sum over blocks of x[block * 64 + t]: each leaves its part, and the last to come adds them in order.
KERNEL join(float* out, float* parts, unsigned* taken, const float* x, int bug) {
    __shared__ bool last;
    unsigned t = threadIdx.x;
    parts[blockIdx.x * 64 + t] = x[blockIdx.x * 64 + t];
    if (bug != 1) __syncthreads();
    if (t == 0) {
        if (bug == 3) __threadfence_block();
        else if (bug != 2) __threadfence();
        unsigned before = atomicAdd(taken + (bug == 6), 1u);  // finds 6
        last = before == gridDim.x - (bug == 5 ? 2 : 1);
        if (bug != 4) __threadfence();
    }
    __syncthreads();
    if (!last) return;
    float sum = 0.0f;
    #pragma unroll 1
    for (unsigned s = 0; s < gridDim.x; s++) sum += parts[s * 64 + t];  // finds 1, 2, 3, 4, 5
    out[t] = sum;
}
