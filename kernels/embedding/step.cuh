// The step of the touched rows: sums of their gradients and the optimizer, in one pass (backend/cpu/embedding/step.rs).
//
// All tables in one launch: a block works for one table, a group of `lanes` threads (a power of two, at least 4) for one
// chunk of 32 positions of its part of the plan; a lane owns N neighbouring columns. Runs of positions that lie inside a chunk step their row at once. A run that
// straddles chunks leaves one partial sum a chunk, and step_straddling, one group for each such run, adds them in
// order. No atomics on values, no waiting between blocks, and the host's order of adding.
#pragma once
#include "core/reduce.cuh"
#include "core/rounding.cuh"
#include "core/status.cuh"
#include "embedding/fwd.cuh"
#include "optim/rule.cuh"

#define CHUNK 32

// Gradient matrices whose descriptions a block keeps.
#define SHARED_GRADIENTS 8

// What a block works on: a table and its part of the plan.
struct Work {
    StepTable to;
    PlanPart part;
    GradientRows shared[SHARED_GRADIENTS];
    Rule rule;
    u64 run_key;
    const GradientRows* gradients;
    const u32 *unique, *starts, *positions;
    const float* scales;
    // Of the table's blocks.
    u32 block;
    bool any;
};

// Finds what this block works on. Blocks are given to the tables of the launch in their order, each as many as its lookups
// take: they are found from the batch's own counts, so that a launch is right for every batch that it has enough blocks
// for. One warp looks, the others wait. False: nothing is left for this block.
__device__ __forceinline__ bool find_work(const StepArgs& args, Work& work) {
    if (threadIdx.x < WARP) {
        const u32 lane = threadIdx.x, log_threads = 31 - __clz(blockDim.x);
        u32 before = 0, found = 0, table = 0, block = 0;
        for (u32 base = 0; base < args.count && !found; base += WARP) {
            u32 blocks = 0;
            if (base + lane < args.count) {
                const StepTable& one = args.tables[base + lane];
                const u32 chunks = (args.parts[base + lane].lookups + CHUNK - 1) / CHUNK;
                const u32 log_groups = log_threads - one.log_lanes;
                if (args.vector == 0 || one.vector == args.vector) blocks = (chunks + (1u << log_groups) - 1) >> log_groups;
            }
            u32 end = blocks;
            for (u32 step = 1; step < WARP; step *= 2) {
                const u32 other = __shfl_up_sync(FULL, end, step);
                if (lane >= step) end += other;
            }
            found = __ballot_sync(FULL, before + end > blockIdx.x);
            const u32 first = found ? __ffs(found) - 1 : WARP - 1;
            table = base + first;
            block = blockIdx.x - before - __shfl_sync(FULL, end - blocks, first);
            before += __shfl_sync(FULL, end, first);
        }
        if (found) {
            copy_words(&work.to, args.tables + table);
            copy_words(&work.part, args.parts + table);
            copy_words(&work.rule, &args.rules->decayed);
            copy_words(&work.run_key, &args.rules->run_key);
            __syncwarp();
            const GradientRows* gradients = args.gradients + work.to.first_gradient;
            const bool few = work.to.gradients <= SHARED_GRADIENTS;
            if (few) copy_words(work.shared, gradients, work.to.gradients);
            if (lane == 0) {
                if (args.grad_scale) work.rule.grad_scale = *args.grad_scale;
                work.gradients = few ? work.shared : gradients;
                work.unique = args.unique + work.part.unique, work.starts = args.starts + work.part.unique + table;
                work.positions = args.positions + work.part.position;
                work.scales = work.part.scales == NOTHING ? nullptr : args.scales + work.part.scales;
                work.block = block;
            }
        }
        if (lane == 0) work.any = found != 0;
    }
    __syncthreads();
    return work.any;
}

// The chunk of this thread's group, in its table's part.
__device__ __forceinline__ u32 chunk_of(const Work& work) {
    return (work.block * blockDim.x + threadIdx.x) >> work.to.log_lanes;
}

__device__ __forceinline__ const float* gradient_row(const Work& work, u32 position) {
    const GradientRows* from = work.gradients;
    for (u32 i = 1; i < work.to.gradients && position >= from[1].first; ++i) ++from;
    return from->data + u64(position - from->first) * from->stride;
}

// The lanes of a group: some of a warp, or whole warps where a row takes more.
struct Group {
    // Lanes that this warp has of it, its mask, and this lane's place among them.
    u32 width, mask, sub;
    // Its warps, a power of two.
    u32 warps;

    __device__ __forceinline__ explicit Group(u32 log_lanes) {
        const u32 lane = threadIdx.x % WARP;
        width = log_lanes < 5 ? 1u << log_lanes : WARP;
        mask = width == WARP ? FULL : ((1u << width) - 1) << (lane & ~(width - 1));
        sub = lane & (width - 1);
        warps = log_lanes < 5 ? 1 : 1u << (log_lanes - 5);
    }

    template <typename V>
    __device__ __forceinline__ V from(V x, u32 lane) const {
        return __shfl_sync(mask, x, lane, width);
    }

    __device__ __forceinline__ u32 any_bits(u32 x) const {
        for (u32 step = width / 2; step > 0; step /= 2) x |= __shfl_xor_sync(mask, x, step);
        return x;
    }

    // Waits for the group's other warps, at a barrier of its own: a block has at most 16 such groups.
    __device__ __forceinline__ void meet(u32 barrier) const {
        asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(warps * WARP) : "memory");
    }

    // The sum over the whole row, in one order.
    __device__ __forceinline__ float sum(float x) const {
        x = group_sum(x, width, mask);
        if (warps > 1) {
            __shared__ float sums[WARP];
            const u32 warp = threadIdx.x / WARP, first = warp & ~(warps - 1);
            // What was read last time was read.
            meet(first / warps);
            if (sub == 0) sums[warp] = x;
            meet(first / warps);
            x = 0.0f;
            for (u32 i = 0; i < warps; ++i) x += sums[first + i];
        }
        return x;
    }
};

// One row's values on their way through a step.
template <typename T, int N>
struct Loaded {
    Packed<T, N> w;
    Packed<F32, N> m, v;
};

template <typename T>
__device__ __forceinline__ typename T::Word* table_of(const StepTable& to) {
    return static_cast<typename T::Word*>(to.table);
}

template <typename T, int N>
__device__ __forceinline__ void load_row(Loaded<T, N>& x, const StepTable& to, int kind, u32 row, u32 column) {
    const u64 at = u64(row) * to.dim + column;
    x.w.load(table_of<T>(to) + at);
    if (kind == ADAGRAD || kind == ADAM) x.m.load(to.state1 + at);
    if (kind == ADAM) x.v.load(to.state2 + at);
}

// Steps a lane's part of a row (none where `here` is false, but it takes part in the row's sum). `rowwise` is the row's
// state for row-wise Adagrad.
template <typename T, int N>
__device__ __forceinline__ void step_row(Loaded<T, N>& x, const StepTable& to, const Rule& rule, int kind,
                                         const float (&gradient)[N], float rowwise, u32 row, u32 column, bool here,
                                         const Group& group, u64 run_key) {
    float rate = 0.0f;
    if (kind == ROWWISE) {
        float squares = 0.0f;
#pragma unroll
        for (int i = 0; i < N; ++i) squares = __fmaf_rn(gradient[i], gradient[i], squares);
        rate = rowwise_rate(rule, group.sum(squares), to.dim, rowwise);
        if (column == 0) to.state1[row] = rowwise;
    }
    if (!here) return;
    const u64 at = u64(row) * to.dim + column;
    float w[N];
#pragma unroll
    for (int i = 0; i < N; ++i) {
        w[i] = x.w.get(i);
        if (kind == ROWWISE) {
            w[i] = rowwise_value(rule, w[i], gradient[i], rate);
        } else {
            float m = 0.0f, v = 0.0f;
            if (kind != SGD) m = x.m.get(i);
            if (kind == ADAM) v = x.v.get(i);
            step_value(kind, rule, w[i], gradient[i], m, v);
            if (kind != SGD) x.m.x[i] = __float_as_uint(m);
            if (kind == ADAM) x.v.x[i] = __float_as_uint(v);
        }
    }
    if (kind == ADAGRAD || kind == ADAM) x.m.store(to.state1 + at);
    if (kind == ADAM) x.v.store(to.state2 + at);
    const u64 key = sizeof(typename T::Word) == 4 ? 0 : row_key(run_key, to.number, row);
    round_values<T, N>(w, key, column).store(table_of<T>(to) + at);
}

// The last run that starts at or before position p, and where it starts. starts[0] counts as 0.
__device__ __forceinline__ u32 run_of(const u32* __restrict__ starts, u32 uniques, u32 p, u32& begun) {
    u32 low = 0, high = uniques;
    begun = 0;
    while (high - low > 1) {
        const u32 middle = low + (high - low) / 2, start = starts[middle];
        if (start <= p) {
            low = middle, begun = start;
        } else {
            high = middle;
        }
    }
    return low;
}

// The runs that end inside the chunk at p0: bit j of the result says that one ends with position p0 + j. `rows` gets
// the table rows of the first `width` runs from `run` on, one a lane. A plan out of order is reported.
__device__ __forceinline__ u32 run_ends(const u32* __restrict__ unique, const u32* __restrict__ starts,
                                        u64* __restrict__ status, u32 uniques, u32 table_rows, u32 run, u32 begun,
                                        u32 p0, u32& rows, const Group& group) {
    u32 ends = 0, last_end = begun;
    // Where this chunk starts with a new run, the run before it is checked here, else by an earlier chunk.
    u32 last_row = NOTHING;
    if (begun == p0 && run > 0) {
        last_row = unique[run - 1];
        if (group.sub == 0 && starts[run - 1] >= p0) report(status, 0x80000000u + u64(run), last_row);
    }
    rows = NOTHING;
    for (u32 i = group.sub;; i += group.width) {
        const u32 u = run + i;
        u32 end = NOTHING, row = NOTHING;
        if (u < uniques) end = starts[u + 1], row = unique[u];
        if (i == group.sub) rows = row;
        u32 end_before = __shfl_up_sync(group.mask, end, 1, group.width);
        u32 row_before = __shfl_up_sync(group.mask, row, 1, group.width);
        if (group.sub == 0) end_before = last_end, row_before = last_row;
        if (u < uniques) {
            const bool ascending = end > end_before && (row > row_before || row_before == NOTHING);
            if (row >= table_rows || !ascending) report(status, 0x80000000u + u64(u), row);
        }
        if (end - 1 - p0 < CHUNK) ends |= 1u << (end - 1 - p0);
        last_end = group.from(end, group.width - 1);
        last_row = group.from(row, group.width - 1);
        if (last_end - p0 >= CHUNK) break;
    }
    return group.any_bits(ends);
}

// table[unique[u]] steps by the sum over p from starts[u] to starts[u + 1] of scales[p] gradient(positions[p]). KIND -1
// takes the optimizer from the rule; N 4 needs rows aligned to 16 bytes (8 for 16-bit tables), N 1 nothing.
// partials: a head and a tail for each chunk; straddling: for each chunk the run that starts in it and ends in a later
// one, or NOTHING. The wrapper checks the lengths, `lookups` <= 2^31 and 1 <= uniques <= lookups; rows, positions and the
// order of the plan are checked here and reported: a row of `unique` as position 2^31 + u.
template <typename T, int N, int KIND>
__device__ __forceinline__ void step_chunk(const StepArgs& args, const Work& work) {
    // Positions in flight: 48 to 64 bytes a lane, so that 16 warps already keep a multiprocessor busy.
    constexpr int FLIGHT = KIND == SGD || KIND == ROWWISE ? 2 : 1;
    const StepTable& to = work.to;
    const Rule& rule = work.rule;
    const u64 run_key = work.run_key;
    const int kind = KIND >= 0 ? KIND : int(rule.kind);
    const u32 *unique = work.unique, *starts = work.starts, *positions = work.positions;
    const float* scales = work.scales;
    float* partials = args.partials;
    u64* status = args.status;
    const u32 uniques = work.part.uniques, lookups = work.part.lookups, log_lanes = to.log_lanes;
    const u32 chunk = chunk_of(work), p0 = chunk * CHUNK;
    if (p0 >= lookups) return;
    // Where the chunk stands in the whole plan.
    const u32 place = work.part.position / CHUNK + chunk;
    const Group group(log_lanes);
    const u32 column = (threadIdx.x & ((1u << log_lanes) - 1)) * N;
    const bool here = column < to.dim;
    const u32 count = lookups - p0 < CHUNK ? lookups - p0 : CHUNK;
    u32 begun, rows;
    u32 run = run_of(starts, uniques, p0, begun);
    const u32 ends = run_ends(unique, starts, status, uniques, to.rows, run, begun, p0, rows, group);
    // The first run came from an earlier chunk, the last one goes on in the next.
    const bool head = begun < p0, tail = !(ends >> (count - 1) & 1);
    if (column == 0) {
        if (p0 + count == lookups && (tail || starts[uniques] != lookups || starts[0] != 0)) {
            report(status, 0x80000000u + u64(uniques), starts[uniques]);
        }
        args.straddling[place] = tail && (ends != 0 || !head) ? run + __popc(ends) : NOTHING;
    }
    float sum[N];
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] = 0.0f;

    for (u32 base = 0; base < count; base += group.width) {
        // Every lane looks one position up: where its gradient stands, and which row it ends.
        const u32 mine = base + group.sub;
        const float* gradient = nullptr;
        float scale = 1.0f, state = 0.0f;
        u32 row = NOTHING;
        const u32 before = __popc(ends & ((1u << (mine % CHUNK)) - 1));
        const u32 known = group.from(rows, before % group.width);
        if (mine < count) {
            const u32 position = __ldg(positions + p0 + mine);
            if (position < to.gradient_rows) {
                gradient = gradient_row(work, position);
            } else {
                report(status, p0 + mine, position);
            }
            if (scales) scale = __ldg(scales + p0 + mine);
            if ((ends >> mine & 1) && (before > 0 || !head)) {
                row = before < group.width ? known : unique[run + before];
                if (row >= to.rows) row = NOTHING;
                if (kind == ROWWISE && row != NOTHING) state = to.state1[row];
            }
        }
        // A state is read by the lane that looked it up, and written by the first.
        if (kind == ROWWISE) __syncwarp(group.mask);
        for (u32 first = 0; first < group.width && base + first < count; first += FLIGHT) {
            Packed<F32, N> g[FLIGHT];
            Loaded<T, N> x[FLIGHT];
#pragma unroll
            for (int k = 0; k < FLIGHT; ++k) {
                const float* from = reinterpret_cast<const float*>(group.from(u64(gradient), first + k));
                const u32 ended = group.from(row, first + k);
                g[k].clear();
                if (from && here) g[k].load_constant(from + column);
                if (ended != NOTHING && here) load_row(x[k], to, kind, ended, column);
            }
#pragma unroll
            for (int k = 0; k < FLIGHT; ++k) {
                const u32 j = base + first + k;
                const float factor = group.from(scale, first + k), rowwise = group.from(state, first + k);
                const u32 ended = group.from(row, first + k);
#pragma unroll
                for (int i = 0; i < N; ++i) sum[i] = __fmaf_rn(g[k].get(i), factor, sum[i]);
                const bool end = j < count && ends >> j & 1;
                if (!end && j + 1 != count) continue;
                if (ended != NOTHING) {
                    step_row(x[k], to, rule, kind, sum, rowwise, ended, column, here, group, run_key);
                } else if (here && (!end || (ends & ((1u << j) - 1)) == 0)) {
                    // The head, or the tail; a chunk inside one run is a head.
                    const bool first_run = head && (ends & ((1u << j) - 1)) == 0;
                    Packed<F32, N> out;
#pragma unroll
                    for (int i = 0; i < N; ++i) out.x[i] = __float_as_uint(sum[i]);
                    out.store(partials + (2 * u64(place) + (first_run ? 0 : 1)) * args.width + column);
                }
#pragma unroll
                for (int i = 0; i < N; ++i) sum[i] = 0.0f;
            }
        }
    }
}

// Adds the partial sums of the run that starts in a group's chunk and ends in a later one, in order, and steps its row.
template <typename T, int N>
__device__ __forceinline__ void step_straddling(const StepArgs& args, const Work& work) {
    constexpr int FLIGHT = 4;
    const StepTable& to = work.to;
    const Rule& rule = work.rule;
    const int kind = rule.kind;
    const u32* starts = work.starts;
    const u32 lookups = work.part.lookups, log_lanes = to.log_lanes, chunk = chunk_of(work);
    if (chunk * CHUNK >= lookups) return;
    const u32 first = work.part.position / CHUNK, run = args.straddling[first + chunk];
    // Runs that are none were reported by step_chunk.
    if (run >= work.part.uniques) return;
    const float* partials = args.partials + 2 * u64(first) * args.width;
    const u32 row = work.unique[run], end = starts[run + 1] < lookups ? starts[run + 1] : lookups;
    // Reported by step_chunk.
    if (row >= to.rows || end <= chunk * CHUNK) return;
    const Group group(log_lanes);
    const u32 column = (threadIdx.x & ((1u << log_lanes) - 1)) * N, last = (end - 1) / CHUNK;
    const bool here = column < to.dim;
    float sum[N];
#pragma unroll
    for (int i = 0; i < N; ++i) sum[i] = 0.0f;
    Loaded<T, N> x;
    float state = 0.0f;
    if (here) {
        load_row(x, to, kind, row, column);
        Packed<F32, N> part;
        part.load_constant(partials + (2 * u64(chunk) + 1) * args.width + column);
#pragma unroll
        for (int i = 0; i < N; ++i) sum[i] = part.get(i);
        for (u32 at = chunk + 1; at <= last; at += FLIGHT) {
            Packed<F32, N> parts[FLIGHT];
#pragma unroll
            for (int k = 0; k < FLIGHT; ++k) {
                parts[k].clear();
                if (at + k <= last) parts[k].load_constant(partials + 2 * u64(at + k) * args.width + column);
            }
#pragma unroll
            for (int k = 0; k < FLIGHT; ++k) {
#pragma unroll
                for (int i = 0; i < N; ++i) sum[i] += at + k <= last ? parts[k].get(i) : 0.0f;
            }
        }
    }
    if (kind == ROWWISE) {
        state = to.state1[row];
        // All have read it before the first lane writes it.
        __syncwarp(group.mask);
    }
    step_row(x, to, rule, kind, sum, state, row, column, here, group, work.run_key);
}
