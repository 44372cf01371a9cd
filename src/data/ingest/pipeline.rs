//! Reading on several threads: one reads and cuts, several parse and number the ids, the caller's takes the pieces in
//! their order. A fixed number of slots goes round between them, so memory does not depend on the input.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;

use super::arrow::Batches;
use super::ids::{Dictionary, Scratch};
use super::rejected::Rejected;
use super::rows::{Columns, Layout, Reject, RowReader};
use super::spill::Spill;
use super::table::{Kind, Table, bad_lines};
use super::text::{Dialect, Piece, Pieces, TextFile};
use super::{Progress, Stage};
use crate::data::dataset::Split;
use crate::{Error, Result};

/// Bytes of text that a worker gets at once.
const PIECE: usize = 1 << 20;
/// More threads than this do not help: one thread reads for all.
const MAX_THREADS: usize = 64;

/// A file of interactions.
pub(super) struct InputFile {
    pub(super) table: Table,
    pub(super) layout: Layout,
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
    columns: Columns,
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
            columns: Columns::default(),
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
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<()> {
    let threads = threads.clamp(1, MAX_THREADS);
    let stop = sink.rejected.stops();
    let bytes = Arc::new(AtomicU64::new(0));
    let total_bytes = files.iter().map(|f| f.table.bytes).sum();
    let (free_out, free_in) = channel::<Slot>();
    for _ in 0..2 * threads + 2 {
        // The receiver is at hand: this cannot fail.
        let _ = free_out.send(Slot::new());
    }
    let (work_out, work_in) = channel::<Slot>();
    let (done_out, done_in) = channel::<Slot>();
    let work_in = Mutex::new(work_in);
    std::thread::scope(|scope| {
        // Every loop ends when the channel before it does: an error here drops `done_in` and `free_out`.
        scope.spawn({
            let bytes = Arc::clone(&bytes);
            move || read_files(files, &free_in, &work_out, &bytes)
        });
        for worker in 0..threads {
            let (work_in, done_out) = (&work_in, done_out.clone());
            let turn = worker * 64 / threads;
            scope.spawn(move || work(files, dictionaries, turn, stop, work_in, &done_out));
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
                progress(Progress { stage: Stage::Read, rows: sink.spill.rows, bytes: bytes.load(Relaxed).min(total_bytes), total_bytes });
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
    for reject in slot.columns.rejects.drain(..) {
        sink.rejected.push(&file.table.path, *lines + reject.line + 1, reject)?;
    }
    *lines += slot.columns.lines;
    if let Some(rows) = sink.user_rows.as_deref_mut() {
        for &user in &slot.users {
            let user = user as usize;
            if user >= rows.len() {
                rows.resize((user + 1).next_power_of_two(), 0);
            }
            rows[user] = rows[user].saturating_add(1);
        }
    }
    sink.spill.append(file.split, &slot.users, &slot.items, &slot.columns.times, &slot.columns.weights)
}

/// The reading thread.
fn read_files(files: &[InputFile], free: &Receiver<Slot>, work: &Sender<Slot>, bytes: &Arc<AtomicU64>) {
    let mut sequence = 0;
    for (i, file) in files.iter().enumerate() {
        let mut send = |mut slot: Slot, start: Option<u64>, body: Body| {
            (slot.sequence, slot.file, slot.start, slot.body) = (sequence, i, start, body);
            sequence += 1;
            work.send(slot).is_ok()
        };
        let read = match &file.table.kind {
            Kind::Text { dialect, header } => read_text(file, dialect, *header, free, bytes, &mut send),
            kind => read_batches(&file.table.path, kind, free, bytes, &mut send),
        };
        match read {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                if let Ok(slot) = free.recv() {
                    send(slot, None, Body::Failed(error));
                }
                return;
            }
        }
    }
}

/// Sends a file's pieces; false when nobody wants more.
fn read_text(
    file: &InputFile,
    dialect: &Dialect,
    header: bool,
    free: &Receiver<Slot>,
    bytes: &Arc<AtomicU64>,
    send: &mut dyn FnMut(Slot, Option<u64>, Body) -> bool,
) -> Result<bool> {
    let mut text = TextFile::open(&file.table.path, bytes)?;
    let header = if header { text.first_line()?.map_or(0, |(_, lines)| lines) } else { 0 };
    let mut start = Some(header);
    let mut pieces = Pieces::new(text, dialect.clone(), PIECE);
    loop {
        let Ok(mut slot) = free.recv() else { return Ok(false) };
        let body = match pieces.next(&mut slot.text)? {
            None => return Ok(true),
            Some(Piece::Rows) => Body::Text,
            Some(Piece::Bad { line, lines, quote, reason }) => {
                Body::Bad(bad_lines((line, quote, reason), &slot.text, &file.table.columns, dialect), lines)
            }
        };
        if !send(slot, start.take(), body) {
            return Ok(false);
        }
    }
}

fn read_batches(
    path: &PathBuf,
    kind: &Kind,
    free: &Receiver<Slot>,
    bytes: &Arc<AtomicU64>,
    send: &mut dyn FnMut(Slot, Option<u64>, Body) -> bool,
) -> Result<bool> {
    let mut start = Some(0);
    for batch in Batches::open(path, kind, bytes)? {
        let body = Body::Batch(batch?);
        let Ok(slot) = free.recv() else { return Ok(false) };
        if !send(slot, start.take(), body) {
            return Ok(false);
        }
    }
    Ok(true)
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
    let mut scratch = Scratch::default();
    let mut reader: Option<(Dialect, RowReader)> = None;
    loop {
        let received = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(mut slot) = received else { return };
        let file = &files[slot.file];
        slot.columns.clear();
        slot.users.clear();
        slot.items.clear();
        match std::mem::replace(&mut slot.body, Body::Text) {
            Body::Text => {
                if let Kind::Text { dialect, .. } = &file.table.kind {
                    let reader = match &mut reader {
                        Some((of, reader)) if of == dialect => reader,
                        other => &mut other.insert((dialect.clone(), RowReader::new(dialect))).1,
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
            slot.body = Body::Failed(Error::input(&file.table.path, "more ids than fit: about 4 billion a side"));
        }
        if done.send(slot).is_err() {
            return;
        }
    }
}
