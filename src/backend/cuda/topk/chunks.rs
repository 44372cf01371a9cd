//! A call in chunks of queries, each of bounded memory on the device.
//!
//! A chunk is queued as a whole: its inputs come from a [`Room`], where its results land. The host waits for them once the
//! next chunk is queued, of this call or of the next one: the device has always something to do.

use std::cell::RefCell;
use std::ops::Range;

use super::form::Form;
use super::hits::HitsOf;
use super::items::{Codes, CudaItems};
use super::plan;
use super::search::{Left, Pass, QueryChunk, QueryState, Report, Skips, all_done};
use super::{Buf, Cuda, need, need_len};
use crate::Result;
use crate::backend::cuda::arguments::{In, Out};
use crate::backend::cuda::room::{Fetched, Room};
use crate::backend::{Queue, Skip, TopK, TopKLists, TopKOutput};
use crate::memory;

/// What a list has in a place without an item.
const NO_ITEM: u32 = u32::MAX;

/// What is asked, checked. There is something to find.
pub(super) struct Call<'a> {
    pub queries: &'a Buf<f32>,
    pub rows: usize,
    pub k: usize,
    pub skip: Option<Skip<'a>>,
}

impl<'a> Call<'a> {
    /// Checks the arguments as the CPU does. `None`, and results without items, where there is nothing to find. `best`:
    /// absent where lists stay on the device.
    pub(super) fn new(
        best: Option<&mut TopKOutput<'_>>,
        items: &CudaItems,
        asked: &TopK<'a, Buf<f32>>,
    ) -> Result<Option<Call<'a>>> {
        const OP: &str = "topk";
        let &TopK { queries, rows, k, skip } = asked;
        if let Some(best) = &best {
            need_len(OP, "ids", best.ids.len(), rows * k)?;
            need_len(OP, "scores", best.scores.len(), rows * k)?;
        }
        need_len(OP, "queries", queries.len(), rows * items.dim)?;
        if let Some(skip) = skip {
            need_len(OP, "skip offsets", skip.offsets.len(), rows + 1)?;
            let ok =
                skip.offsets[..rows + 1].windows(2).all(|w| w[0] <= w[1]) && skip.offsets[rows] <= skip.items.len();
            need(OP, ok, format_args!("ascending skip offsets up to {}", skip.items.len()), "others")?;
        }
        need(OP, k <= i32::MAX as usize, "k below 2^31", k)?;
        if k == 0 || rows == 0 || items.rows == 0 {
            if let Some(best) = best {
                best.ids[..rows * k].fill(NO_ITEM);
                best.scores[..rows * k].fill(f32::NEG_INFINITY);
            }
            return Ok(None);
        }
        Ok(Some(Call { queries, rows, k, skip }))
    }

    /// The queries from `q` on.
    pub(super) fn queries_at(&self, q: usize, items: &CudaItems) -> In<f32> {
        self.queries.input_at(q * items.dim)
    }

    /// How many items query `q` skips.
    pub(super) fn skipped(&self, q: usize) -> usize {
        self.skip.map_or(0, |skip| skip.offsets[q + 1] - skip.offsets[q])
    }

    /// Queries of a chunk at most: chunks of about the same size.
    pub(super) fn chunk_rows(&self) -> usize {
        self.rows.div_ceil(self.rows.div_ceil(plan::MOST_QUERIES))
    }
}

/// How the queries of a call are searched.
pub(super) struct Way<Bytes, Queue> {
    /// Bytes that a query takes on the device for its lists and maxima.
    pub bytes: Bytes,
    /// Queues the first pass of a chunk, which has the queries at these places of the call.
    pub queue: Queue,
    /// Whether that pass may leave out items of a list that would have room for them.
    pub leaves_out: bool,
}

/// Queues the chunks of a call one after the other. The results of each are brought back when the next is queued; the last
/// one is the answer.
pub(super) fn each_chunk(
    cuda: &Cuda,
    (items, codes): (&CudaItems, Option<&Codes>),
    call: &Call<'_>,
    best: &mut TopKOutput<'_>,
    way: Way<impl Fn(usize) -> usize, impl Fn(&QueryChunk<'_>, Range<usize>) -> Result<Pass>>,
) -> Result<(Option<QueuedChunk>, Report)> {
    let (mut last, mut report): (Option<QueuedChunk>, _) = (None, Report::default());
    for at in chunks(call, items, &way.bytes) {
        let next = cuda.repeated(|| QueuedChunk::new(cuda, items, call, at.clone(), &way.queue, None))?;
        let next = next.fill(call, items, way.leaves_out);
        if let Some(before) = last.replace(next) {
            report.add(before.finish(cuda, items, codes, best)?);
        }
    }
    Ok((last, report))
}

/// As [`each_chunk`], one after the other, of lists that stay on the device: `words` gets their hits.
pub(super) fn each_chunk_counted(
    cuda: &Cuda,
    items: &CudaItems,
    call: &Call<'_>,
    way: &Way<impl Fn(usize) -> usize, impl Fn(&QueryChunk<'_>, Range<usize>) -> Result<Pass>>,
    hits: &HitsOf<'_>,
    words: &mut [u32],
) -> Result<()> {
    for at in chunks(call, items, &way.bytes) {
        let to = &mut words[at.start * hits.words..at.end * hits.words];
        let queued = cuda.repeated(|| QueuedChunk::new(cuda, items, call, at.clone(), &way.queue, Some(hits)))?;
        queued.finish_hits(cuda, items, hits, to)?;
    }
    Ok(())
}

/// Which queries of a call its chunks have: as many as fit.
fn chunks(call: &Call<'_>, items: &CudaItems, bytes: impl Fn(usize) -> usize) -> impl Iterator<Item = Range<usize>> {
    let (rows, most) = (call.rows, call.chunk_rows());
    let each = plan::query_bytes(items.dim, call.k);
    let all_bytes = move |q| {
        // Its offset, too.
        let skipped = if call.skip.is_some() { (call.skipped(q) + 1) * 4 } else { 0 };
        bytes(q).saturating_add(each).saturating_add(skipped)
    };
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = (from < rows).then(|| from..plan::chunk_end(from, rows.min(from + most), &all_bytes))?;
        from = at.end;
        Some(at)
    })
}

/// A chunk that was queued.
pub(super) struct QueuedChunk {
    /// Its queries' places in the call.
    at: Range<usize>,
    k: usize,
    skips: Skips,
    found: FoundLists,
    /// Hits, where they come instead of lists.
    words: Option<Buf<u32>>,
    pass: Pass,
    room: Room,
    /// Lists, or hits.
    lists: Fetched,
    states: Fetched,
    /// What its kernels reported.
    status: Option<Fetched>,
    /// How many items each query's list must have; empty where the first pass leaves none out.
    wanted: Vec<u32>,
}

impl QueuedChunk {
    /// `hits`: what is brought to the host instead of its lists.
    fn new(
        cuda: &Cuda,
        items: &CudaItems,
        call: &Call<'_>,
        at: Range<usize>,
        queue: &impl Fn(&QueryChunk<'_>, Range<usize>) -> Result<Pass>,
        hits: Option<&HitsOf<'_>>,
    ) -> Result<QueuedChunk> {
        let (rows, k) = (at.len(), call.k);
        let (status, brought) = (cuda.status().words(), rows * hits.map_or(2 * k, |hits| hits.words));
        let mut room = cuda.room((brought + rows) * 4 + status.len() * 8, 3)?;
        let skips = skips_of(cuda, &mut room, call.skip, &at)?;
        let found = FoundLists::new(cuda, rows * k)?;
        let chunk = found.chunk(cuda, items, k, &skips, &mut room);
        let pass = queue(&chunk, at.clone())?;
        let mut words = None;
        if let Some(hits) = hits {
            let to = words.insert(cuda.scratch(brought)?);
            let states = if matches!(pass.left, Left::Nothing) { In::NULL } else { pass.prepared.states.input() };
            hits.count(&chunk, to, at.start, states, false)?;
        }
        let context = &cuda.context;
        let lists = room.fetch(context, words.as_ref().unwrap_or(&found.0), brought)?;
        let rows = if matches!(pass.left, Left::Nothing) { 0 } else { rows };
        let states = room.fetch(context, &pass.prepared.states, rows)?;
        let status = pass.waits.then(|| room.fetch(context, status, status.len())).transpose()?;
        room.end(cuda)?;
        Ok(QueuedChunk { at, k, skips, found, words, pass, room, lists, states, status, wanted: Vec::new() })
    }

    /// Sees to it that short lists are completed, where the first pass may leave some.
    fn fill(mut self, call: &Call<'_>, items: &CudaItems, leaves_out: bool) -> QueuedChunk {
        if leaves_out {
            let wanted = |q| call.k.min(items.rows.saturating_sub(call.skipped(q))) as u32;
            self.wanted = self.at.clone().map(wanted).collect();
        }
        self
    }

    /// Waits for the chunk, does what its first pass left, and puts its results in their places of the call's. `items` and
    /// `codes` are those that it was queued with.
    pub(super) fn finish(
        self,
        cuda: &Cuda,
        items: &CudaItems,
        codes: Option<&Codes>,
        best: &mut TopKOutput<'_>,
    ) -> Result<Report> {
        let QueuedChunk { at, k, skips, found, mut pass, mut room, lists, states, status, wanted, .. } = self;
        let (rows, places) = (at.len(), at.start * k..at.end * k);
        let (to_ids, to_scores) = (&mut best.ids[places.clone()], &mut best.scores[places]);
        let landed = room.landed(cuda)?;
        if let Some(status) = status {
            cuda.heed(landed.values(status))?;
        }
        let (ids, scores) = landed.values::<u32>(lists).split_at(rows * k);
        let mut states = landed.values::<u32>(states).to_vec();
        for (q, &wanted) in wanted.iter().enumerate() {
            // Places without an item are the last ones.
            if wanted > 0 && ids[q * k + wanted as usize - 1] == NO_ITEM {
                states[q] = QueryState::SHORT;
            }
        }
        if all_done(&states) {
            to_ids.copy_from_slice(ids);
            to_scores.copy_from_slice(bytemuck::cast_slice(scores));
            let ranked_all = if matches!(pass.left, Left::Nothing) { rows } else { 0 };
            return Ok(Report { rescanned: 0, ranked_all });
        }
        let chunk = found.chunk(cuda, items, k, &skips, &mut room);
        let codes = codes.filter(|_| pass.prepared.form == Form::Int8);
        let report = chunk.settle(codes, &mut pass, states)?;
        cuda.download(to_ids, &found.0, 0)?;
        cuda.download(bytemuck::cast_slice_mut::<f32, u32>(to_scores), &found.0, rows * k)?;
        Ok(report)
    }
}

impl QueuedChunk {
    /// As [`finish`](QueuedChunk::finish), of a chunk that was queued without codes and for these hits: `to` gets them.
    fn finish_hits(self, cuda: &Cuda, items: &CudaItems, hits: &HitsOf<'_>, to: &mut [u32]) -> Result<()> {
        let QueuedChunk { at, k, skips, found, words, mut pass, mut room, lists, states, status, .. } = self;
        let landed = room.landed(cuda)?;
        if let Some(status) = status {
            cuda.heed(landed.values(status))?;
        }
        to.copy_from_slice(landed.values(lists));
        let states = landed.values::<u32>(states).to_vec();
        let (false, Some(words)) = (all_done(&states), words) else { return Ok(()) };
        let chunk = found.chunk(cuda, items, k, &skips, &mut room);
        let before = chunk.staged(&states)?;
        chunk.settle(None, &mut pass, states)?;
        hits.count(&chunk, &words, at.start, before.input(), true)?;
        cuda.download(to, &words, 0)
    }
}

/// Lists on the device: the items of all, then the scores, in one piece.
struct FoundLists(Buf<u32>);

impl FoundLists {
    /// So many places without items or scores.
    fn new(cuda: &Cuda, places: usize) -> Result<FoundLists> {
        let mut found = cuda.scratch(2 * places)?;
        // Queries that a first pass does not serve leave their places as they are, and all are brought back.
        cuda.fill_zero(&mut found, 0, 2 * places)?;
        Ok(FoundLists(found))
    }

    /// A chunk of queries that finds these.
    fn chunk<'a>(
        &self,
        cuda: &'a Cuda,
        items: &'a CudaItems,
        k: usize,
        skips: &'a Skips,
        room: &'a mut Room,
    ) -> QueryChunk<'a> {
        let places = self.0.len() / 2;
        let (ids, scores) = (self.0.output(), Out::new(self.0.ptr_at(places)));
        QueryChunk { cuda, items, rows: places / k, k, skips, ids, scores, room: RefCell::new(room) }
    }
}

/// The chunk's skip lists on the device, once they are sent.
fn skips_of(cuda: &Cuda, room: &mut Room, skip: Option<Skip<'_>>, at: &Range<usize>) -> Result<Skips> {
    let Some(skip) = skip else { return Ok(Skips { offsets: None, items: None }) };
    let first = skip.offsets[at.start];
    let items = &skip.items[first..skip.offsets[at.end]];
    need("topk", u32::try_from(items.len()).is_ok(), "fewer than 2^32 skipped items a query", items.len())?;
    let offsets: Vec<u32> = skip.offsets[at.start..=at.end].iter().map(|&end| (end - first) as u32).collect();
    let (offsets, items) = (room.stage(&cuda.context, &offsets)?, room.stage(&cuda.context, items)?);
    Ok(Skips { offsets: Some(offsets), items: Some(items) })
}

/// Lists that were asked for: the host has not waited for the last of them.
pub(crate) struct AskedLists {
    lists: TopKLists,
    last: Option<QueuedChunk>,
}

impl AskedLists {
    /// Of a call that `queue` has queued, all but for the last chunk brought back.
    pub(super) fn new(
        rows: usize,
        k: usize,
        queue: impl FnOnce(TopKOutput<'_>) -> Result<Option<QueuedChunk>>,
    ) -> Result<AskedLists> {
        const WHAT: &str = "the lists that are found";
        let places = rows.saturating_mul(k);
        let mut lists = TopKLists { ids: memory::zeros(places, WHAT)?, scores: memory::zeros(places, WHAT)? };
        let last = queue(lists.output())?;
        Ok(AskedLists { lists, last })
    }

    /// The lists, once they are there; of these items.
    pub(super) fn lists(self, cuda: &Cuda, items: &CudaItems, codes: Option<&Codes>) -> Result<TopKLists> {
        let AskedLists { mut lists, last } = self;
        if let Some(last) = last {
            last.finish(cuda, items, codes, &mut lists.output())?;
        }
        Ok(lists)
    }
}
