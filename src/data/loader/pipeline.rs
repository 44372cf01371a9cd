//! The threads: windows are built ahead, batches prepared ahead, and handed out in order.
//!
//! One lock guards what is to be done and what is done. A worker takes the next batch if its window is there and not
//! too many batches wait for the consumer; else it builds the next window if there is room; else it sleeps.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::Inner;
use super::pool::{ObjectPool, Pooled};
use super::window::{Order, Window};
use crate::data::batch::{Cursor, Prepare};
use crate::{Error, Result};

/// Rows of prepared batches that may wait for the consumer, and of windows, beyond the least that works.
const ROWS_AHEAD: u64 = 1 << 20;

/// The batches of an epoch, in order. See [`Loader::batches`](super::Loader::batches).
pub struct Batches<P: Prepare> {
    shared: Arc<Shared<P>>,
    workers: Vec<JoinHandle<()>>,
    finished: bool,
}

struct Shared<P: Prepare> {
    inner: Arc<Inner>,
    prepare: Arc<P>,
    epoch: u64,
    order: Order,
    pool: Arc<ObjectPool<P::Output>>,
    /// Batches that may be prepared or waiting at once.
    depth: u64,
    /// Windows that may be in memory at once.
    max_windows: usize,
    first_batch: u64,
    state: Mutex<State<P::Output>>,
    /// There may be something to do.
    work: Condvar,
    /// There may be something to hand out.
    ready: Condvar,
}

struct State<T: Default> {
    /// The next batch to prepare.
    next_batch: u64,
    /// The batch before which preparation ends: the epoch's end, or the first error.
    end: u64,
    /// The batch that the consumer gets next.
    delivered: u64,
    /// The next window to build.
    next_window: u64,
    windows: BTreeMap<u64, Slot>,
    spare: Vec<Window>,
    outputs: BTreeMap<u64, Result<Pooled<T>>>,
    stop: bool,
}

enum Slot {
    Building,
    Built {
        window: Arc<Window>,
        /// Batches of it that are not prepared yet.
        left: u64,
    },
}

enum LoaderTask {
    Build { number: u64, window: Window },
    Prepare { batch: u64, window: Arc<Window> },
}

impl<P: Prepare> Batches<P> {
    pub(super) fn start(inner: Arc<Inner>, from: Cursor, prepare: Arc<P>) -> Batches<P> {
        let threads = inner.threads.max(1) as u64;
        let end = inner.rows.div_ceil(inner.batch_size);
        let first = from.batch.min(end);
        let depth = (ROWS_AHEAD / inner.batch_size).clamp(2, 2 * threads + 2);
        let max_windows = 1 + threads.clamp(1, 3).min((3 * ROWS_AHEAD / inner.window_rows).max(1)) as usize;
        let shared = Arc::new(Shared {
            order: Order::new(&inner, from.epoch),
            prepare,
            epoch: from.epoch,
            pool: ObjectPool::new(depth as usize + 2),
            depth,
            max_windows,
            first_batch: first,
            state: Mutex::new(State {
                next_batch: first,
                end,
                delivered: first,
                next_window: first / inner.batches_per_window(),
                windows: BTreeMap::new(),
                spare: Vec::new(),
                outputs: BTreeMap::new(),
                stop: false,
            }),
            work: Condvar::new(),
            ready: Condvar::new(),
            inner,
        });
        let mut batches = Batches { shared, workers: Vec::new(), finished: first >= end };
        // No more workers than batches.
        for number in 0..threads.min(end - first) {
            let shared = batches.shared.clone();
            let worker = std::thread::Builder::new().name(format!("loader-{number}"));
            match worker.spawn(move || shared.run()) {
                Ok(worker) => batches.workers.push(worker),
                Err(e) if batches.workers.is_empty() => {
                    let error = Error::io(&batches.shared.inner.dir, e);
                    let mut state = batches.shared.lock();
                    state.end = first;
                    state.outputs.insert(first, Err(error));
                    drop(state);
                    break;
                }
                // With some threads it works, too.
                Err(_) => break,
            }
        }
        batches
    }
}

impl<P: Prepare> Iterator for Batches<P> {
    type Item = Result<Pooled<P::Output>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let mut state = self.shared.lock();
        loop {
            let delivered = state.delivered;
            if let Some(output) = state.outputs.remove(&delivered) {
                state.delivered += 1;
                self.finished = output.is_err() || state.delivered >= state.end && !state.outputs_remain();
                drop(state);
                self.shared.work.notify_one();
                return Some(output);
            }
            state = self.shared.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<P: Prepare> Drop for Batches<P> {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // What a worker may panic with is caught inside it.
            let _ = worker.join();
        }
    }
}

impl<T: Default> State<T> {
    /// Whether an error stands at the next place, behind the last batch that will be prepared.
    fn outputs_remain(&self) -> bool {
        self.outputs.contains_key(&self.delivered)
    }

    /// Ends the batches with an error at `batch`.
    fn fail(&mut self, batch: u64, error: Error) {
        if batch <= self.end {
            self.end = batch;
            self.outputs.insert(batch, Err(error));
        }
    }
}

impl<P: Prepare> Shared<P> {
    fn lock(&self) -> MutexGuard<'_, State<P::Output>> {
        // Nothing panics while it holds the lock; a poisoned one would still be consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker's life.
    fn run(&self) {
        let mut state = self.lock();
        while !state.stop {
            let Some(task) = self.next_task(&mut state) else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            state = match task {
                LoaderTask::Build { number, window } => self.build(number, window),
                LoaderTask::Prepare { batch, window } => self.prepare(batch, window),
            };
        }
    }

    fn next_task(&self, state: &mut State<P::Output>) -> Option<LoaderTask> {
        let batch = state.next_batch;
        if batch < state.end
            && batch < state.delivered + self.depth
            && let Some(Slot::Built { window, .. }) = state.windows.get(&(batch / self.inner.batches_per_window()))
        {
            state.next_batch += 1;
            return Some(LoaderTask::Prepare { batch, window: window.clone() });
        }
        let number = state.next_window;
        let first = number.saturating_mul(self.inner.batches_per_window());
        if first < state.end && state.windows.len() < self.max_windows {
            state.next_window += 1;
            state.windows.insert(number, Slot::Building);
            return Some(LoaderTask::Build { number, window: state.spare.pop().unwrap_or_default() });
        }
        None
    }

    fn build(&self, number: u64, mut window: Window) -> MutexGuard<'_, State<P::Output>> {
        let built = self.caught(|| window.build(&self.inner, &self.order, self.epoch, number));
        let first = (number * self.inner.batches_per_window()).max(self.first_batch);
        let mut state = self.lock();
        match built {
            Ok(()) => {
                let batches = self.inner.rows.div_ceil(self.inner.batch_size);
                let end = batches.min((number + 1) * self.inner.batches_per_window());
                state.windows.insert(number, Slot::Built { window: Arc::new(window), left: end - first });
            }
            Err(error) => {
                state.fail(first, error);
                self.ready.notify_all();
            }
        }
        self.work.notify_all();
        state
    }

    fn prepare(&self, batch: u64, window: Arc<Window>) -> MutexGuard<'_, State<P::Output>> {
        let mut output = self.pool.take();
        let number = batch / self.inner.batches_per_window();
        let from = (batch % self.inner.batches_per_window()) * self.inner.batch_size;
        let to = (from + self.inner.batch_size).min(self.inner.rows - number * self.inner.window_rows);
        let at = Cursor { epoch: self.epoch, batch };
        let prepared = self.caught(|| match window.rows(from as usize, to as usize) {
            Some(rows) => self.prepare.prepare(at, rows, &mut output),
            None => Err(Error::io(&self.inner.dir, std::io::Error::other("a window has fewer rows than it should"))),
        });
        drop(window);
        let mut state = self.lock();
        match prepared {
            Ok(()) => {
                // Behind an error that came in the meantime nothing is handed out.
                if batch < state.end {
                    state.outputs.insert(batch, Ok(output));
                }
            }
            Err(error) => state.fail(batch, error),
        }
        if let Some(Slot::Built { left, .. }) = state.windows.get_mut(&number) {
            *left -= 1;
            if *left == 0
                && let Some(Slot::Built { window, .. }) = state.windows.remove(&number)
            {
                state.spare.extend(Arc::into_inner(window));
                self.work.notify_all();
            }
        }
        if batch == state.delivered || prepared_is_err(&state, batch) {
            self.ready.notify_all();
        }
        state
    }

    /// Runs `work`; a panic in it becomes an error.
    fn caught(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let message = format!("a loader thread panicked: {}", words(&*panic));
            Err(Error::io(&self.inner.dir, std::io::Error::other(message)))
        })
    }
}

fn prepared_is_err<T: Default>(state: &State<T>, batch: u64) -> bool {
    matches!(state.outputs.get(&batch), Some(Err(_)))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
