//! Reading on several threads: one reads and cuts, several parse and number the ids, the caller's takes the pieces in
//! their order. A fixed number of slots goes round between them, so memory does not depend on the input.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;

use super::ids::{Dictionary, ResolveScratch};
use super::rejected::Rejected;
use super::rows::{Layout, ParsedRows, Readings, mixed};
use super::spill::Spill;
use super::{IngestProgress, Stage};
use crate::data::dataset::Split;
use crate::table::{Dialect, InputTable, Met, Piece, Pieces, Reject, RowReader, TableFormat, bad_lines};
use crate::threads::spawn_in;
use crate::{Error, Result, memory};

/// Bytes of text that a worker gets at once.
const PIECE: usize = 1 << 20;
/// More threads than this do not help: one thread reads for all.
const MAX_THREADS: usize = 64;

/// A file of interactions.
pub(super) struct InputFile {
    pub(super) table: InputTable,
    pub(super) layout: Layout,
    /// The columns that are read, where a format can leave the others out; `layout` counts among them.
    pub(super) columns: Option<Vec<usize>>,
    pub(super) split: Split,
}

/// The dictionaries of both sides.
pub(super) struct Dictionaries {
    pub(super) users: Dictionary,
    pub(super) items: Dictionary,
}

/// Where the rows go.
pub(super) struct Sink<'a> {
    pub(super) spill: &'a mut Spill,
    pub(super) rejected: &'a mut Rejected,
    /// Rows by provisional user, where the split needs them.
    pub(super) user_rows: Option<&'a mut Vec<u32>>,
    /// What is found out about each file.
    pub(super) found: &'a mut Vec<FileFindings>,
}

/// What reading a file has shown.
#[derive(Clone, Debug, Default)]
pub(super) struct FileFindings {
    /// What its times were taken for.
    pub(super) readings: Readings,
    pub(super) met: Met,
}

/// What a slot holds for the worker.
enum Body {
    Text,
    Batch(RecordBatch),
    Bad(Reject, u64),
    Failed(Error),
}

/// A piece of an input file on its way.
struct Slot {
    sequence: u64,
    file: usize,
    /// On a file's first piece: lines before it.
    start: Option<u64>,
    body: Body,
    text: Vec<u8>,
    columns: ParsedRows,
    users: Vec<u32>,
    items: Vec<u32>,
}

impl Slot {
    fn new() -> Slot {
        Slot {
            sequence: 0,
            file: 0,
            start: None,
            body: Body::Text,
            text: Vec::new(),
            columns: ParsedRows::default(),
            users: Vec::new(),
            items: Vec::new(),
        }
    }
}

/// Reads every row of `files` into the sink, in input order whatever the number of threads.
pub(super) fn read_rows(
    files: &[InputFile],
    threads: usize,
    dictionaries: &Dictionaries,
    mut sink: Sink<'_>,
    progress: &(dyn Fn(IngestProgress) -> Result<()> + Sync),
) -> Result<()> {
    let threads = threads.clamp(1, MAX_THREADS);
    let stop = sink.rejected.stops();
    let bytes = Arc::new(AtomicU64::new(0));
    let total_bytes = files.iter().map(|f| f.table.bytes).sum();
    sink.found.resize(files.len(), FileFindings::default());
    let (free_out, free_in) = channel::<Slot>();
    for _ in 0..2 * threads + 2 {
        // The receiver is at hand: this cannot fail.
        let _ = free_out.send(Slot::new());
    }
    let (work_out, work_in) = channel::<Slot>();
    let (done_out, done_in) = channel::<Slot>();
    let work_in = Mutex::new(work_in);
    std::thread::scope(|scope| {
        // Every thread ends when the channel that it reads does. An error below drops `free_out`: the reader stops, and
        // with it the workers.
        let free_out = free_out;
        spawn_in(scope, "ingest-reader", {
            let bytes = Arc::clone(&bytes);
            move || {
                let (free, work, bytes) = (&free_in, &work_out, &bytes);
                Feeder { free, work, spare: None, sequence: 0, bytes }.read_files(files);
            }
        })?;
        let mut started = 0;
        for worker in 0..threads {
            let (work_in, done_out) = (&work_in, done_out.clone());
            let turn = worker * 64 / threads;
            let work = move || work(files, dictionaries, turn, stop, work_in, &done_out);
            match spawn_in(scope, "ingest-worker", work) {
                Ok(_) => started += 1,
                // With some threads it works, too. Dropping the channel ends the reader.
                Err(error) if started == 0 => return Err(error),
                Err(_) => break,
            }
        }
        drop(done_out);
        let mut waiting = BTreeMap::new();
        let mut next = 0;
        let mut lines = 0;
        for slot in done_in {
            waiting.insert(slot.sequence, slot);
            while let Some(mut slot) = waiting.remove(&next) {
                next += 1;
                take(files, &mut slot, &mut lines, &mut sink)?;
                progress(IngestProgress {
                    stage: Stage::Read,
                    rows: sink.spill.rows,
                    bytes: bytes.load(Relaxed).min(total_bytes),
                    total_bytes,
                })?;
                // A line of many megabytes is rare: its memory is not kept.
                slot.text.clear();
                slot.text.shrink_to(4 * PIECE);
                // The reader may be done already.
                let _ = free_out.send(slot);
            }
        }
        Ok(())
    })
}

/// The consumer's step: a piece in its turn.
fn take(files: &[InputFile], slot: &mut Slot, lines: &mut u64, sink: &mut Sink<'_>) -> Result<()> {
    if let Some(start) = slot.start {
        *lines = start;
    }
    let file = &files[slot.file];
    if let Body::Failed(error) = std::mem::replace(&mut slot.body, Body::Text) {
        return Err(error);
    }
    let found = &mut sink.found[slot.file];
    let columns = &mut slot.columns;
    // Times that are read otherwise than those of the pieces before.
    if let (Some((before, _)), Some((now, line))) = (found.readings.one, columns.readings.one)
        && before != now
        && !file.layout.times.are_said()
    {
        let column = file.layout.time.map(|i| file.layout.columns[i].clone()).unwrap_or_default();
        columns.mixed = Some(Reject { line, column, reason: mixed(now, before), text: Vec::new() });
    }
    let end = columns.mixed.as_ref().map_or(u64::MAX, |mixed| mixed.line);
    for reject in columns.rejects.drain(..).filter(|reject| reject.line <= end) {
        sink.rejected.push(&file.table.path, *lines + reject.line + 1, reject)?;
    }
    if let Some(Reject { line, column, reason, .. }) = columns.mixed.take() {
        return Err(Error::Row { path: file.table.path.clone(), row: *lines + line + 1, column, reason });
    }
    found.readings.one = found.readings.one.or(columns.readings.one);
    found.readings.not_compact |= columns.readings.not_compact;
    if columns.over_lines.0 > 0 {
        let first =
            if found.met.over_lines.0 == 0 { *lines + columns.over_lines.1 + 1 } else { found.met.over_lines.1 };
        found.met.over_lines = (found.met.over_lines.0 + columns.over_lines.0, first);
    }
    for key in columns.other_keys.drain(..) {
        if !found.met.other_keys.contains(&key) {
            found.met.other_keys.push(key);
        }
    }
    *lines += columns.lines;
    if let Some(rows) = sink.user_rows.as_deref_mut() {
        for &user in &slot.users {
            let user = user as usize;
            if user >= rows.len() {
                let len = (user + 1).next_power_of_two();
                memory::reserve_exact(rows, len - rows.len(), "the rows of each user")?;
                rows.resize(len, 0);
            }
            rows[user] = rows[user].saturating_add(1);
        }
    }
    sink.spill.append(file.split, &slot.users, &slot.items, &slot.columns.times, &slot.columns.weights)
}

/// The reading thread's end of the slots.
struct Feeder<'a> {
    free: &'a Receiver<Slot>,
    work: &'a Sender<Slot>,
    /// A slot that was taken and not needed.
    spare: Option<Slot>,
    sequence: u64,
    bytes: &'a Arc<AtomicU64>,
}

impl Feeder<'_> {
    /// A slot to fill; None when nobody wants more.
    fn slot(&mut self) -> Option<Slot> {
        self.spare.take().or_else(|| self.free.recv().ok())
    }

    fn send(&mut self, mut slot: Slot, file: usize, start: Option<u64>, body: Body) -> Option<()> {
        (slot.sequence, slot.file, slot.start, slot.body) = (self.sequence, file, start, body);
        self.sequence += 1;
        self.work.send(slot).ok()
    }

    fn read_files(&mut self, files: &[InputFile]) {
        for (i, file) in files.iter().enumerate() {
            let read = match &file.table.kind {
                TableFormat::Text { dialect, header } => self.read_text(i, &file.table, dialect, *header),
                _ => self.read_batches(i, file),
            };
            match read {
                Ok(Some(())) => {}
                Ok(None) => return,
                Err(error) => {
                    if let Some(slot) = self.slot() {
                        self.send(slot, i, None, Body::Failed(error));
                    }
                    return;
                }
            }
        }
    }

    /// Sends a file's pieces; None when nobody wants more.
    fn read_text(&mut self, file: usize, table: &InputTable, dialect: &Dialect, header: u64) -> Result<Option<()>> {
        let mut start = Some(header);
        let mut pieces = Pieces::new(table.open_text(header, self.bytes)?, dialect.clone(), PIECE);
        loop {
            let Some(mut slot) = self.slot() else { return Ok(None) };
            let body = match pieces.next(&mut slot.text)? {
                None => {
                    self.spare = Some(slot);
                    return Ok(Some(()));
                }
                Some(Piece::Rows) => Body::Text,
                Some(Piece::Bad { line, lines, quote, reason }) => {
                    Body::Bad(bad_lines((line, quote, reason), &slot.text, &table.columns, dialect), lines)
                }
            };
            if self.send(slot, file, start.take(), body).is_none() {
                return Ok(None);
            }
        }
    }

    fn read_batches(&mut self, at: usize, file: &InputFile) -> Result<Option<()>> {
        let mut start = Some(0);
        let table = &file.table;
        for batch in table.open_batches(file.columns.as_deref(), self.bytes)? {
            let body = Body::Batch(batch?);
            let Some(slot) = self.slot() else { return Ok(None) };
            if self.send(slot, at, start.take(), body).is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }
}

/// A parsing thread.
fn work(
    files: &[InputFile],
    dictionaries: &Dictionaries,
    turn: usize,
    stop: bool,
    work: &Mutex<Receiver<Slot>>,
    done: &Sender<Slot>,
) {
    let mut scratch = ResolveScratch::default();
    let mut reader: Option<(usize, RowReader)> = None;
    loop {
        let received = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut slot) = received else { return };
        let file = &files[slot.file];
        slot.columns.clear();
        slot.users.clear();
        slot.items.clear();
        match std::mem::replace(&mut slot.body, Body::Text) {
            Body::Text => {
                if let TableFormat::Text { dialect, .. } = &file.table.kind {
                    let reader = match &mut reader {
                        Some((of, reader)) if *of == slot.file => reader,
                        other => {
                            let columns = &file.layout.columns[..file.table.file_columns()];
                            &mut other
                                .insert((
                                    slot.file,
                                    RowReader::of_columns(dialect, columns, &[file.layout.user, file.layout.item]),
                                ))
                                .1
                        }
                    };
                    slot.columns.read_text(&slot.text, reader, &file.layout, stop);
                }
            }
            Body::Batch(batch) => {
                if let Err(error) = slot.columns.read_batch(&file.table.path, &batch, &file.layout, stop) {
                    slot.body = Body::Failed(error);
                }
            }
            Body::Bad(reject, lines) => {
                slot.columns.lines = lines;
                slot.columns.rejects.push(reject);
            }
            failed @ Body::Failed(_) => slot.body = failed,
        }
        let columns = &slot.columns;
        let users = dictionaries.users.resolve(&columns.users, turn, &mut scratch, &mut slot.users);
        let items = dictionaries.items.resolve(&columns.items, turn, &mut scratch, &mut slot.items);
        if users.and(items).is_err() {
            slot.body = Body::Failed(Error::input(
                &file.table.path,
                "too many ids: the limit is about 4 billion users or items",
            ));
        }
        if done.send(slot).is_err() {
            return;
        }
    }
}
