//! Work for other threads, whose results come out in the order in which it was given.
//!
//! The queue is bounded: what was given and not yet taken out is never more than `most`. A result waits for those before it,
//! so that neither the number of threads nor their speed changes what comes out.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A bounded queue of work. One thread gives, one takes, any number [work](Ordered::work).
pub(crate) struct Ordered<I, O> {
    most: usize,
    state: Mutex<State<I, O>>,
    /// Something was given, taken or done, or everything is to stop.
    changed: Condvar,
}

struct State<I, O> {
    /// What was given and not taken out, oldest first.
    places: VecDeque<Place<I, O>>,
    /// How many places were taken out: the number of the oldest.
    taken: usize,
    /// How many were given to workers.
    started: usize,
    /// Nothing more will be given.
    ended: bool,
    stopped: bool,
}

enum Place<I, O> {
    Given(I),
    UnderWork,
    /// Or the panic of its worker.
    Done(thread::Result<O>),
}

impl<I, O> Ordered<I, O> {
    pub(crate) fn new(most: usize) -> Ordered<I, O> {
        let state = State { places: VecDeque::new(), taken: 0, started: 0, ended: false, stopped: false };
        Ordered { most: most.max(1), state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<I, O>> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<I, O>>) -> MutexGuard<'a, State<I, O>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`give`](Ordered::give) would not wait.
    pub(crate) fn has_room(&self) -> bool {
        self.lock().places.len() < self.most
    }

    /// Adds work, once there is room. False when everything is to stop.
    pub(crate) fn give(&self, work: I) -> bool {
        let mut state = self.lock();
        while state.places.len() >= self.most && !state.stopped {
            state = self.wait(state);
        }
        if !state.stopped {
            state.places.push_back(Place::Given(work));
            self.changed.notify_all();
        }
        !state.stopped
    }

    /// Nothing more will be given.
    pub(crate) fn end(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Gives up what is under way: nobody waits here any more.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        self.changed.notify_all();
    }

    /// The next result, once it is there; none when there is no more, or when everything is to stop. A panic of the worker
    /// goes on here.
    pub(crate) fn take(&self) -> Option<O> {
        let mut state = self.lock();
        while !state.stopped {
            if let Some(Place::Done(_)) = state.places.front()
                && let Some(Place::Done(done)) = state.places.pop_front()
            {
                state.taken += 1;
                drop(state);
                self.changed.notify_all();
                return Some(done.unwrap_or_else(|panic| resume_unwind(panic)));
            }
            if state.ended && state.places.is_empty() {
                return None;
            }
            state = self.wait(state);
        }
        None
    }

    /// A worker's life: does what is given, until there is no more or everything is to stop.
    pub(crate) fn work(&self, mut work: impl FnMut(I) -> O) {
        let mut state = self.lock();
        while !state.stopped {
            let (number, at) = (state.started, state.started - state.taken);
            let Some(place) = state.places.get_mut(at) else {
                if state.ended {
                    return;
                }
                state = self.wait(state);
                continue;
            };
            let Place::Given(input) = std::mem::replace(place, Place::UnderWork) else { return };
            state.started += 1;
            drop(state);
            let done = catch_unwind(AssertUnwindSafe(|| work(input)));
            state = self.lock();
            // Places before it can have been taken out, but not this one.
            let at = number - state.taken;
            if let Some(place) = state.places.get_mut(at) {
                *place = Place::Done(done);
            }
            self.changed.notify_all();
        }
    }
}

/// Stops a queue when it goes: whoever waits there is woken, however its holder ends.
pub(crate) struct StopOnDrop<'a, I, O>(pub(crate) &'a Ordered<I, O>);

impl<I, O> Drop for StopOnDrop<'_, I, O> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn results_come_in_order_whoever_is_first() {
        for workers in [1, 2, 5] {
            let queue = Ordered::new(3);
            let got = thread::scope(|scope| {
                for worker in 0..workers {
                    let queue = &queue;
                    // The first worker is the slowest.
                    scope.spawn(move || queue.work(|n: usize| (0..=(5 - worker) * 1000).fold(n, |n, _| n ^ 1 ^ 1)));
                }
                scope.spawn(|| {
                    (0..100).for_each(|n| assert!(queue.give(n)));
                    queue.end();
                });
                std::iter::from_fn(|| queue.take()).collect::<Vec<_>>()
            });
            assert_eq!(got, (0..100).collect::<Vec<_>>(), "{workers}");
        }
    }

    #[test]
    fn no_more_is_under_way_than_the_bound() {
        let queue = Ordered::<usize, usize>::new(2);
        assert!(queue.give(0) && queue.has_room() && queue.give(1) && !queue.has_room());
        let (gave, given) = channel();
        thread::scope(|scope| {
            let queue = &queue;
            scope.spawn(move || queue.work(|n| n));
            scope.spawn(move || gave.send(queue.give(2)));
            // Two are under way, done or not: the third was not given before one was taken.
            assert_eq!((queue.take(), given.recv()), (Some(0), Ok(true)));
            queue.end();
            assert_eq!((queue.take(), queue.take(), queue.take()), (Some(1), Some(2), None));
        });
    }

    #[test]
    fn what_is_stopped_wakes_everybody() {
        let queue = Ordered::<usize, usize>::new(1);
        assert!(queue.give(0));
        thread::scope(|scope| {
            let waiting = [scope.spawn(|| queue.give(1)), scope.spawn(|| queue.take().is_some())];
            drop(StopOnDrop(&queue));
            scope.spawn(|| queue.work(|n| n));
            assert!(waiting.into_iter().all(|waiting| !waiting.join().unwrap()));
        });
        assert!(!queue.give(2));
    }

    #[test]
    fn a_panic_goes_on_where_the_result_is_taken() {
        let queue = Ordered::<usize, usize>::new(4);
        (0..3).for_each(|n| assert!(queue.give(n)));
        queue.end();
        queue.work(|n| if n == 1 { panic!("of {n}") } else { n });
        assert_eq!(queue.take(), Some(0));
        let panic = catch_unwind(AssertUnwindSafe(|| queue.take())).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "of 1");
        assert_eq!(queue.take(), Some(2));
    }
}
