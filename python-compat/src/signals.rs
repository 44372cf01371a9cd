//! Ctrl-C during calls that hold no interpreter.

use std::time::{Duration, Instant};

use pyo3::prelude::*;
use tercel::{Error, Result};

/// Time between two looks: taking the interpreter's lock is not free.
const EVERY: Duration = Duration::from_millis(100);

/// Calls Python, and keeps what it raised for when the call is over.
pub(crate) struct Watch {
    observer: Option<Py<PyAny>>,
    looked: Instant,
    raised: Option<PyErr>,
}

impl Watch {
    pub(crate) fn new(observer: Option<Py<PyAny>>) -> Watch {
        Watch { observer, looked: Instant::now(), raised: None }
    }

    /// Whether to go on, looked up now and then.
    pub(crate) fn look(&mut self) -> Result<()> {
        if self.looked.elapsed() >= EVERY {
            self.looked = Instant::now();
            self.keep(Python::attach(|py| py.check_signals()));
        }
        self.so_far()
    }

    /// Tells Python something, and looks for signals.
    pub(crate) fn tell(&mut self, words: impl FnOnce() -> String) {
        let Some(observer) = &self.observer else { return };
        let result = Python::attach(|py| {
            observer.call1(py, (words(),))?;
            py.check_signals()
        });
        self.keep(result);
    }

    /// As [`tell`](Watch::tell), several times a second and no more.
    pub(crate) fn tell_now_and_then(&mut self, words: impl FnOnce() -> String) -> Result<()> {
        if self.looked.elapsed() >= EVERY {
            self.looked = Instant::now();
            self.keep(Python::attach(|py| py.check_signals()));
            self.tell(words);
        }
        self.so_far()
    }

    fn keep(&mut self, result: PyResult<()>) {
        if let Err(error) = result {
            self.raised.get_or_insert(error);
        }
    }

    /// [`Error::Interrupted`] once Python has raised something.
    pub(crate) fn so_far(&self) -> Result<()> {
        match &self.raised {
            Some(_) => Err(Error::Interrupted { what: "the call".into() }),
            None => Ok(()),
        }
    }

    /// The call's result, or what Python raised in it.
    pub(crate) fn end<T>(self, result: Result<T>) -> PyResult<T> {
        match (result, self.raised) {
            (Err(_), Some(raised)) => Err(raised),
            (result, _) => crate::errors::raised(result),
        }
    }
}
