//! The approximate top K with a recall that is asked for: the expected part of the true k best that comes back.
//!
//! Two ways, both with exact fp32 scores in the end:
//! - Buckets: one scan that keeps the best 4 items of each of L buckets of a query in registers: no sample, no
//!   threshold, no second try. Items fall into buckets as if at random, so that the expected recall follows from L and
//!   k alone ([`expected_recall`]).
//! - Threshold: the exact search with a part of the margin for the scan's error ([`margin`]). An item is missed only
//!   where the scan is off by five deviations or more.
//!
//! Int8 codes halve the bytes of either; they are used where they are given. Which way is cheaper was counted on the
//! virtual GPU: 128 queries, 64 columns, 64 buckets (thousands of 32-byte sectors; PTX warp instructions per 32 scores;
//! each for sample + scan + rank, or scan + rank; candidates a query):
//!
//! | N, k, form | threshold | candidates | buckets | candidates |
//! |---|---|---|---|---|
//! | 32,768, 10, bf16 | 26 + 157 + 28; 4.8 + 14.0 + 5.9 | 140 | 156 + 34; 23.6 + 6.8 | 256 |
//! | 32,768, 10, int8 | 23 + 104 + 30; 4.8 + 15.8 + 6.2 | 151 | 90 + 35; 24.5 + 6.8 | 256 |
//! | 32,768, 100, bf16 | 26 + 189 + 171; 4.8 + 18.7 + 17.8 | 431 | 156 + 156; 23.6 + 10.1 | 256 |
//! | 32,768, 100, int8 | 23 + 144 + 182; 4.8 + 20.2 + 21.0 | 450 | 90 + 164; 24.4 + 11.2 | 256 |
//! | 262,144, 10, bf16 | 26 + 1141 + 63; 0.6 + 11.7 + 2.6 | 674 | 1073 + 35; 12.8 + 0.9 | 256 |
//! | 262,144, 10, int8 | 23 + 716 + 68; 0.6 + 13.2 + 2.6 | 712 | 578 + 37; 13.7 + 0.9 | 256 |
//!
//! So buckets win where they leave fewer candidates than the sample's threshold does, and in any case once each holds
//! thousands of items, most of which are passed over without a change to what is kept ([`LONG_BUCKET`]).

use std::ops::Range;

use super::plan::{self, Sample, Tile};
use super::search::{Left, Pass, QueryChunk, Report, Shortlists};
use super::{
    Buf, Call, Codes, Cuda, CudaItems, ExactPlan, Form, QueuedChunk, ScanPlan, TopK, TopKOutput, Way, each_chunk, need,
    sample_for,
};
use crate::Result;
use crate::backend::cuda::arguments::In;

/// Items kept a bucket (`topk/scan.cuh`).
pub(super) const KEPT: usize = 4;
/// Items of a bucket from which on buckets are cheaper whatever they leave.
const LONG_BUCKET: usize = 4096;
/// Buckets of a query at most: their items are all ranked.
const MOST_BUCKETS: usize = 512;

/// How an approximate search found its items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// The best of each bucket.
    Buckets,
    /// What passed a threshold.
    Threshold,
    /// No shortcut was worth it: the exact answer.
    Exact,
}

/// What an approximate search did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Approximate {
    pub method: Method,
    /// Whether int8 codes were scanned.
    pub int8: bool,
    /// Buckets of a query.
    pub buckets: usize,
    /// The expected recall of the method.
    pub recall: f64,
    pub report: Report,
}

/// As [`Scan::ask`](crate::backend::Scan::ask), at least the part `recall` of whose results is expected to be there.
/// Scores are exact. `forced`: a method to be used where it reaches the recall; absent, the cheaper one.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) as `ask`, and where `recall` is not above 0 and at most 1, or `codes` are
/// those of another catalogue.
#[cfg(test)]
pub(crate) fn topk_approx(
    cuda: &Cuda,
    mut best: TopKOutput<'_>,
    items: &CudaItems,
    codes: Option<&Codes>,
    asked: &TopK<'_, Buf<f32>>,
    recall: f64,
    forced: Option<Method>,
) -> Result<Approximate> {
    let all = (items, codes);
    let (queued, mut done) = queue_approx(cuda, &mut best, all, asked, &Wish { recall, forced, full: false })?;
    done.report = super::finish(cuda, &mut best, all, queued)?;
    Ok(done)
}

/// What is wished of an approximate search.
pub(super) struct Wish {
    /// The part of the k best that is expected to be there.
    pub recall: f64,
    /// A method to be used where it reaches the recall; absent, the cheaper one.
    pub forced: Option<Method>,
    /// Whether every list has k items whenever that many may be given.
    pub full: bool,
}

/// Queues an approximate search; what has come back of it is in its place.
pub(super) fn queue_approx(
    cuda: &Cuda,
    best: &mut TopKOutput<'_>,
    (items, codes): (&CudaItems, Option<&Codes>),
    asked: &TopK<'_, Buf<f32>>,
    &Wish { recall, forced, full }: &Wish,
) -> Result<((Option<QueuedChunk>, Report), Approximate)> {
    need("topk_approx", recall > 0.0 && recall <= 1.0, "a recall above 0 and at most 1", recall)?;
    if let Some(codes) = codes {
        let same = codes.items == items.rows && codes.dim == items.dim;
        need("topk_approx", same, format_args!("codes of {} items", items.rows), codes.items)?;
    }
    let form = if codes.is_some() { Form::Int8 } else { Form::Bf16 };
    let sample = sample_for(cuda, items, asked.k, form);
    let call = Call::new(Some(&mut *best), items, asked)?;
    let rows = call.as_ref().map_or(asked.rows, Call::chunk_rows);
    let tile = Tile::of(form, form.row_bytes(items.dim), rows);
    let choice = match sample {
        Some(sample) => {
            let splits = tile.splits(rows, items.rows, cuda.info().multiprocessors as usize);
            choose(&Size { items: items.rows, k: asked.k, recall, splits }, tile, &sample, forced)
        }
        None => ApproxConfig { method: Method::Exact, tile, splits: 0, recall: 1.0 },
    };
    let done = Approximate {
        method: choice.method,
        int8: codes.is_some() && choice.method != Method::Exact,
        buckets: choice.tile.buckets * choice.splits,
        recall: choice.recall,
        report: Report::default(),
    };
    let Some(call) = call else { return Ok(((None, Report::default()), done)) };
    let all = (items, codes);
    let queued = match (choice.method, sample) {
        (Method::Threshold, Some(sample)) => {
            let plan = ScanPlan::new(sample, items.rows, &call);
            let margin = margin(items.dim);
            let queue = |chunk: &QueryChunk<'_>, at: Range<usize>| {
                chunk.scan(codes, &plan.first(call.queries_at(at.start, items), at, margin))
            };
            each_chunk(cuda, all, &call, best, Way { bytes: |_| plan.bytes(), queue, leaves_out: full })
        }
        (Method::Buckets, Some(_)) => {
            let room = choice.tile.buckets * choice.splits * KEPT;
            let queue = |chunk: &QueryChunk<'_>, at: Range<usize>| {
                buckets(chunk, codes, &choice, call.queries_at(at.start, items))
            };
            each_chunk(cuda, all, &call, best, Way { bytes: |_| room * 8, queue, leaves_out: full })
        }
        _ => {
            let plan = ExactPlan::new(cuda, items, None, &call)?;
            let queue = |chunk: &QueryChunk<'_>, at| plan.queue(chunk, &call, at);
            each_chunk(cuda, all, &call, best, Way { bytes: |q| plan.bytes(q), queue, leaves_out: false })
        }
    }?;
    Ok((queued, done))
}

/// The best of each bucket of a chunk's queries.
fn buckets(search: &QueryChunk<'_>, codes: Option<&Codes>, choice: &ApproxConfig, queries: In<f32>) -> Result<Pass> {
    let form = if codes.is_some() { Form::Int8 } else { Form::Bf16 };
    let prepared = search.items.prepare(search.cuda, form, queries, search.rows)?;
    let room = choice.tile.buckets * choice.splits * KEPT;
    let lists = search.cuda.scratch::<u64>(search.rows * room)?;
    let kept = Shortlists { lists: &lists, room };
    search.buckets(&prepared, codes, kept, &choice.tile, choice.splits)?;
    search.rank_buckets(&prepared, kept, margin(search.items.dim))?;
    // Queries that are zero or not finite were not scanned for: their exact answer is cheap or unlikely to be asked.
    Ok(Pass { prepared, left: Left::Ranking, waits: false })
}

/// A way to search.
#[derive(Clone, Copy, Debug)]
struct ApproxConfig {
    method: Method,
    tile: Tile,
    splits: usize,
    recall: f64,
}

/// What a choice depends on.
struct Size {
    items: usize,
    k: usize,
    recall: f64,
    /// Splits that fill the device.
    splits: usize,
}

/// The cheapest method that reaches the recall, or `forced` where it does.
fn choose(size: &Size, tile: Tile, sample: &Sample, forced: Option<Method>) -> ApproxConfig {
    let exact = ApproxConfig { method: Method::Exact, tile, splits: 0, recall: 1.0 };
    let threshold = ApproxConfig { method: Method::Threshold, recall: threshold_recall(), ..exact };
    // Enough buckets for the recall, and enough blocks for the device; each block with several tiles of its own.
    let needed = buckets_for(size.k, size.recall).div_ceil(tile.buckets);
    let most = size.items.div_ceil(tile.items) / 8;
    let splits = size.splits.min(most).max(needed);
    let ranked = splits * tile.buckets * KEPT;
    let can = needed <= most && ranked <= MOST_BUCKETS * KEPT;
    let part = sample.items as f64 / size.items as f64;
    let passing = plan::rank(size.k, part) as f64 / part;
    let cheaper = (ranked as f64) < passing || size.items >= splits * tile.buckets * LONG_BUCKET;
    if can && (forced == Some(Method::Buckets) || (forced.is_none() && cheaper)) {
        let recall = expected_recall(size.k, splits * tile.buckets, KEPT);
        return ApproxConfig { method: Method::Buckets, tile, splits, recall };
    }
    if forced != Some(Method::Exact) && threshold.recall >= size.recall { threshold } else { exact }
}

/// The part of the error's bound that an approximate search allows for. Rounding errors of D columns add up as if at
/// random: where the bound is e, their standard deviation is about e / sqrt(2 D), and the difference of two scores
/// moves by sqrt(2) of it. Scores may differ by 2 margin e: five deviations.
fn margin(dim: usize) -> f32 {
    (2.5 / (dim as f32).sqrt()).min(1.0)
}

/// Recall of the threshold method: measured 1.0 on random and clustered items (`tests/parity/cuda/topk.rs`); promised
/// is a little less.
fn threshold_recall() -> f64 {
    0.999
}

/// The expected recall of the k best when each of `buckets` random buckets keeps its best `kept`
/// (arXiv 2506.04165): `1 - L/K E[(X - K')+]`, X the number of the k best in a bucket, binomial for items >> k (with
/// few items X spreads less, and the recall is higher).
pub(super) fn expected_recall(k: usize, buckets: usize, kept: usize) -> f64 {
    let (n, p) = (k as f64, 1.0 / buckets.max(1) as f64);
    if buckets <= 1 {
        return (kept as f64 / n).min(1.0);
    }
    let odds = (p / (1.0 - p)).ln();
    let (mut log, mut lost) = (n * (-p).ln_1p(), 0.0);
    for r in 0..=k {
        lost += r.saturating_sub(kept) as f64 * log.exp();
        log += ((n - r as f64) / (r as f64 + 1.0)).ln() + odds;
    }
    1.0 - lost / (n * p)
}

/// The fewest buckets whose expected recall is `recall`.
pub(super) fn buckets_for(k: usize, recall: f64) -> usize {
    let (mut low, mut high) = (1, 1);
    while high < k.saturating_mul(64) && expected_recall(k, high, KEPT) < recall {
        (low, high) = (high, high * 2);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if expected_recall(k, middle, KEPT) >= recall { high = middle } else { low = middle + 1 }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recall_formula_agrees_with_random_assignment() {
        let mut seed = 7u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for (k, buckets) in [(10, 4), (100, 45), (100, 77), (1000, 400)] {
            let trials = 2000;
            let mut found = 0;
            for _ in 0..trials {
                let mut filled = vec![0usize; buckets];
                (0..k).for_each(|_| filled[random(buckets)] += 1);
                found += filled.iter().map(|&x| x.min(KEPT)).sum::<usize>();
            }
            let measured = found as f64 / (trials * k) as f64;
            let expected = expected_recall(k, buckets, KEPT);
            assert!((measured - expected).abs() < 2e-3, "k {k}, {buckets} buckets: {measured}, expected {expected}");
        }
    }

    #[test]
    fn the_cheaper_way_ranks_fewer_items() {
        let sample = Sample::of(1 << 20, 100).expect("there is one");
        let size = |k, recall| Size { items: 1 << 20, k, recall, splits: 16 };
        let tile = Tile::of(Form::Bf16, 128, 2048);
        let chosen = |k, recall, forced| choose(&size(k, recall), tile, &sample, forced).method;
        assert_eq!(chosen(100, 0.95, None), Method::Buckets, "256 items against more than 300");
        assert_eq!(chosen(10, 0.95, None), Method::Buckets, "16,384 items a bucket");
        let (few, sample) = (Size { items: 1 << 17, ..size(10, 0.95) }, Sample::of(1 << 17, 10).expect("there is one"));
        assert_eq!(choose(&few, tile, &sample, None).method, Method::Threshold, "256 items against about 110");
        assert_eq!(chosen(10, 0.95, Some(Method::Buckets)), Method::Buckets);
        assert_eq!(chosen(100, 1.0, None), Method::Exact, "buckets and thresholds promise less");
        assert_eq!(chosen(100, 0.9, Some(Method::Exact)), Method::Exact);
    }

    #[test]
    fn buckets_are_as_published() {
        // arXiv 2506.04165 gives these for 4 kept items.
        for (k, recall, buckets) in
            [(100, 0.95, 45), (100, 0.99, 77), (100, 0.999, 150), (10, 0.99, 7), (1000, 0.99, 775)]
        {
            let found = buckets_for(k, recall);
            assert!(found.abs_diff(buckets) <= 1 + buckets / 50, "k {k}, recall {recall}: {found}, not {buckets}");
        }
        assert_eq!(buckets_for(4, 1.0), 1);
    }
}
