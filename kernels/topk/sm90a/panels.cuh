// Queries and items in panels (core/sm90a/panel.cuh), items in an order as if at random: a sample is their first rows, and
// no order of the catalogue gives one list more hits than another.
#pragma once
#include "core/sm90a/panel.cuh"
#include "topk/sm90a/arguments.cuh"
#include "topk/sm90a/scatter.cuh"

// A thread a chunk of 8 columns.
extern "C" __global__ void __launch_bounds__(256)
    topk_panels(const __grid_constant__ PanelArgs args) {
    const u32 chunks = args.columns / 8;
    const u64 i = u64(blockIdx.x) * 256 + threadIdx.x;
    const u32 row = u32(i / chunks), chunk = u32(i % chunks);
    if (row >= args.padded) return;
    const bool there = row < args.rows;
    u32 from = row;
    if (args.order && there) {
        from = scattered(row, args.rows);
        if (chunk == 0) args.order[row] = from;
    }
    if (args.biases && chunk == 0)
        args.biases[fragment_order(row)] = there ? __ldg(args.item_biases + from) : neg_inf();
    uint4 x = make_uint4(0, 0, 0, 0);
    if (there && chunk * 8 < args.width)
        x = __ldg(reinterpret_cast<const uint4*>(args.from + (u64(from) * args.width + chunk * 8) * 2));
    const u64 panel = u64(chunk / 8) * args.padded * PANEL_COLUMNS;
    *(reinterpret_cast<uint4*>(args.panels) + (panel + panel_place(row, chunk % 8)) / 8) = x;
}
