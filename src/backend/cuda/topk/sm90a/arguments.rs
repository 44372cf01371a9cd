//! What the scan's kernels for sm_90a take.

use crate::backend::cuda::arguments::{In, Out, Pad, arguments};
use crate::backend::cuda::topk::arguments::{ExactItems, ScanByte, SkipLists};

arguments! { "topk/sm90a/arguments.cuh" with "topk/arguments.cuh":
    /// Rows of bf16 become panels of 64 columns, [panel][row][64], with the swizzle of 128 bytes. Rows in [rows, padded)
    /// and columns from `width` on become zero.
    struct PanelArgs {
        panels: Out<u16>,
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

    /// Queries and items in panels. Null biases: none adds anything to its scores.
    struct PanelOperands {
        queries: In<u16>,
        items: In<u16>,
        item_biases: In<f32>,
        /// Where a wait that never ends is reported.
        stuck: Out<u64>,
        /// Values of a panel.
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
    /// are no place, but take what an overflow writes. An entry: fp32 bits of the approximate score, and the row of the
    /// item's panel.
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
