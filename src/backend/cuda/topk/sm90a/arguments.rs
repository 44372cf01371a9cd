//! What the scan's kernels for sm_90a take.

use crate::backend::cuda::arguments::{In, Out, Pad, arguments};
use crate::backend::cuda::topk::arguments::{ExactItems, ScanByte, SkipLists};

arguments! { "topk/sm90a/arguments.cuh" with "topk/arguments.cuh":
    /// Rows of bf16 become panels of 64 columns, [panel][row][64], with the swizzle of 128 bytes. Rows in [rows, padded)
    /// and columns from `width` on become zero.
    struct PanelArgs {
        panels: Out<ScanByte>,
        /// Where each row comes from, items alone: scattered as if at random, and written here. Null: rows in order.
        order: Out<u32>,
        /// Items alone: their biases in fragment order, -inf in [rows, padded). Null: none.
        biases: Out<f32>,
        from: In<ScanByte>,
        /// By item.
        item_biases: In<f32>,
        rows: u32,
        /// A multiple of 8.
        padded: u32,
        /// Columns of a row of `from`, a multiple of 16.
        width: u32,
        /// 64 or 128.
        columns: u32,
    }

    /// What decides how scores of codes compare: largest values by size, as fp32 bits.
    struct CodeScales {
        /// Of the queries of a launch.
        queries: In<u32>,
        /// Of the items; then the largest norm of the rounding errors of an item's codes.
        items: In<u32>,
        /// Of the catalogue (`topk/bounds.cuh`).
        stats: In<u32>,
    }

    /// `count` values, a multiple of 4; `largest` is raised to the largest of them by size, as fp32 bits.
    struct LargestArgs {
        largest: Out<u32>,
        values: In<f32>,
        count: u64,
    }

    /// Int8 codes of items in panels of rows of `row_bytes`, 64 or 128, from fp32 rows of `pitch` columns. Else as
    /// PanelArgs.
    struct ItemCodesArgs {
        panels: Out<ScanByte>,
        order: Out<u32>,
        biases: Out<f32>,
        /// Raised to the largest norm of rounding errors, as fp32 bits.
        rounding: Out<u32>,
        /// The largest value by size, as fp32 bits.
        largest: In<u32>,
        from: In<f32>,
        item_biases: In<f32>,
        rows: u32,
        row_bytes: u32,
        pitch: u32,
        unused: Pad,
    }

    /// The same of queries, with a unit, a multiplier and an error a query.
    struct QueryCodesArgs {
        panels: Out<ScanByte>,
        units: Out<f32>,
        multipliers: Out<u32>,
        errors: Out<f32>,
        from: In<f32>,
        scales: CodeScales,
        rows: u32,
        row_bytes: u32,
        pitch: u32,
        dim: u32,
        /// 1 where items have biases, else 0.
        biased: u32,
        unused: Pad,
    }

    /// Biases in whole bias units.
    struct ItemTermsArgs {
        terms: Out<u32>,
        biases: In<f32>,
        scales: CodeScales,
        count: u32,
        unused: Pad,
    }

    /// Queries and items in panels.
    struct PanelOperands {
        queries: In<ScanByte>,
        items: In<ScanByte>,
        /// What an item adds to its scores, in fragment order: fp32 bits of biases, or ItemTermsArgs. Null: nothing.
        item_terms: In<u32>,
        /// Of queries in codes; null for others.
        units: In<f32>,
        multipliers: In<u32>,
        /// Where a wait that never ends is reported.
        stuck: Out<u64>,
        /// Bytes of a panel.
        query_panel: u64,
        item_panel: u64,
        /// Queries that the launch is for.
        rows: u32,
        /// Tiles of items, and how many of them a part has.
        tiles: u32,
        part_tiles: u32,
        /// Tiles on their way through shared memory.
        stages: u32,
    }

    /// maxima: groups x pitch, 128 groups a part.
    struct PanelSampleArgs {
        maxima: Out<f32>,
        operands: PanelOperands,
        pitch: u32,
        unused: Pad,
    }

    /// A query's lists, four a part of the items, are equal shares of lists[places[q] .. places[q + 1]]; 9 of a share
    /// are no place, but take what an overflow writes. An entry: the approximate score, fp32 bits or a whole
    /// number of the query's units, and the row of the item's panel.
    struct PanelScanArgs {
        lists: Out<[u32; 2]>,
        /// How many entries each list asked for.
        counts: Out<u32>,
        bars: In<f32>,
        /// A value a query, and the end.
        places: In<u32>,
        operands: PanelOperands,
    }

    /// As RankListArgs, of the lists that a scan of panels leaves.
    struct PanelRankArgs {
        ids: Out<u32>,
        scores: Out<f32>,
        states: Out<u32>,
        thresholds: Out<f32>,
        bars: Out<f32>,
        errors: In<f32>,
        ceilings: In<f32>,
        /// Of queries in codes; null for others.
        units: In<f32>,
        /// Queries by block; null: all of them in order.
        index: In<u32>,
        lists: In<[u32; 2]>,
        counts: In<u32>,
        places: In<u32>,
        /// The item of a panel's row.
        order: In<u32>,
        skip: SkipLists,
        queries: In<f32>,
        items: ExactItems,
        /// Parts of the items.
        parts: u32,
        k: u32,
        /// Candidates that a block holds.
        room: u32,
        unused: Pad,
    }
}
