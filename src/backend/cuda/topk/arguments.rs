//! What the kernels of the top K take.

use crate::backend::cuda::arguments::{In, Out, Pad, Value, arguments};

/// A byte of a row as the scan reads it: of bf16 values or int8 codes, as the kernel's name says.
pub(crate) struct ScanByte(#[allow(dead_code)] u8);

impl Value for ScanByte {
    #[cfg(test)]
    const CUDA: &'static str = "u8";
}

arguments! { "topk/arguments.cuh" with "core/types.cuh":
    /// Items that a query must not return: items[offsets[q] .. offsets[q + 1]], ascending. offsets may be null: none.
    struct SkipLists {
        offsets: In<u32>,
        items: In<u32>,
    }

    /// Items in fp32: `count` rows of `pitch` columns, a multiple of 8. Null biases: none adds anything to its scores.
    struct ExactItems {
        rows: In<f32>,
        biases: In<f32>,
        count: u32,
        pitch: u32,
    }

    /// Items and queries as a scan reads them, rows of `row_bytes`; int8: with a scale each. Null biases: none adds
    /// anything to its scores.
    struct ScanOperands {
        items: In<ScanByte>,
        item_scales: In<f32>,
        item_biases: In<f32>,
        queries: In<ScanByte>,
        query_scales: In<f32>,
        item_count: u32,
        /// Queries that the launch is for.
        rows: u32,
        row_bytes: u32,
        /// Tiles of items.
        tiles: u32,
    }

    /// Items [first, first + rows): their fp32 rows of `pitch` columns, and bf16 rows of `width`.
    struct PackBf16Args {
        exact: Out<f32>,
        scan: Out<ScanByte>,
        stats: Out<u32>,
        embeddings: In<f32>,
        first: u64,
        rows: u64,
        dim: u32,
        pitch: u32,
        width: u32,
        unused: Pad,
    }

    /// Biases of items [first, first + rows).
    struct PackBiasesArgs {
        to: Out<f32>,
        stats: Out<u32>,
        biases: In<f32>,
        first: u64,
        rows: u64,
    }

    /// Int8 codes of all items, `width` a row, from their fp32 rows of `pitch` columns.
    struct PackInt8Args {
        codes: Out<ScanByte>,
        scales: Out<f32>,
        stats: Out<u32>,
        exact: In<f32>,
        rows: u64,
        pitch: u32,
        width: u32,
    }

    /// What is known of each query before the scan: the bound of the scan's error, that of the scores, and whether the
    /// scan can serve it.
    struct QueryTerms {
        errors: Out<f32>,
        ceilings: Out<f32>,
        states: Out<u32>,
    }

    /// Queries, `dim` values each: in fp32, padded to a multiple of 16, and rows of `width` bf16 values or codes.
    struct PrepareArgs {
        exact: Out<f32>,
        scan: Out<ScanByte>,
        /// Int8 alone.
        scales: Out<f32>,
        terms: QueryTerms,
        queries: In<f32>,
        stats: In<u32>,
        rows: u32,
        dim: u32,
        width: u32,
        unused: Pad,
    }

    /// maxima: groups x pitch. The sample's item s is near s * item_step / 2^32.
    struct SampleArgs {
        maxima: Out<f32>,
        operands: ScanOperands,
        item_step: u64,
        pitch: u32,
        /// Groups of 32 items, not 8.
        wide_groups: u32,
    }

    /// A value a query; maxima: groups x pitch.
    struct ThresholdArgs {
        thresholds: Out<f32>,
        bars: Out<f32>,
        errors: In<f32>,
        states: In<u32>,
        ranks: In<u32>,
        maxima: In<f32>,
        rows: u32,
        groups: u32,
        pitch: u32,
        /// 1 for the exact search (bar = threshold - error), 0 for the approximate one.
        margin: f32,
    }

    /// lists: list_room scan keys a query of the launch. Filter: `counts`, how many passed (zero before). Buckets: lists of
    /// all buckets x 4; counts and bars are null.
    struct ScanArgs {
        lists: Out<u64>,
        counts: Out<u32>,
        bars: In<f32>,
        operands: ScanOperands,
        /// Queries by block row; null: all of them in order.
        index: In<u32>,
        skip: SkipLists,
        list_room: u32,
        unused: Pad,
    }

    /// ids, scores: k a query, at the query's place; lists: list_room a query of the launch.
    struct RankListArgs {
        ids: Out<u32>,
        scores: Out<f32>,
        states: Out<u32>,
        /// Null: lists are taken as they are (buckets).
        thresholds: Out<f32>,
        bars: Out<f32>,
        errors: In<f32>,
        /// Queries by block; null: all of them in order.
        index: In<u32>,
        lists: In<u64>,
        /// They may pass list_room. Null: all places are valid.
        counts: In<u32>,
        queries: In<f32>,
        items: ExactItems,
        list_room: u32,
        k: u32,
        /// Keys of a block: a power of two that holds k and a batch.
        room: u32,
        /// 1, or the part of the error that an approximate search allows for.
        margin: f32,
    }

    /// keys: k a part, parts of a query side by side.
    struct RankAllArgs {
        keys: Out<u64>,
        /// Queries by block; null: all of them in order.
        index: In<u32>,
        /// By block: keys up to this one have been returned before. Null: none.
        after: In<u64>,
        ceilings: In<f32>,
        skip: SkipLists,
        queries: In<f32>,
        items: ExactItems,
        /// Items of a part.
        per_part: u32,
        k: u32,
        room: u32,
        unused: Pad,
    }

    /// Lists of k items a query: NO_ITEM where there is none.
    struct HitsArgs {
        /// k / 32 words a query, rounded up: bit j of word i is that of place 32 i + j.
        hits: Out<u32>,
        /// A value an item: lowered.
        first_places: Out<u32>,
        ids: In<u32>,
        /// Which lists a first scan has proven; null: all.
        states: In<u32>,
        /// relevant[offsets[q] .. offsets[q + 1]] are query q's, ascending; what is not below `listed` is nobody's.
        offsets: In<u32>,
        relevant: In<u32>,
        rows: u32,
        k: u32,
        listed: u32,
        /// 0: the lists that are proven; 1: the others alone.
        rest: u32,
    }

    /// n keys a block -> places [place, place + k) of its query's `places`, and its last key.
    struct RankMergeArgs {
        ids: Out<u32>,
        scores: Out<f32>,
        last: Out<u64>,
        /// Queries by block; null: all of them in order.
        index: In<u32>,
        keys: In<u64>,
        n: u32,
        k: u32,
        places: u32,
        place: u32,
        room: u32,
        unused: Pad,
    }
}
