//! Ranking with work ahead: what a ranker reads of a block is gathered on other threads, and the lists of a block may come
//! when the next one has been begun.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;

use super::{Found, Lists, Ranker, UserBlock};
use crate::{Error, Result};

/// A block of users as its ranker reads it.
pub struct Gathered(Inputs);

enum Inputs {
    /// As it was given: the users, and what must not be returned to them.
    Block(UserBlock, Option<Lists>),
    /// As the ranker's own reader has made it.
    Own(Box<dyn Any + Send>),
}

impl Gathered {
    /// What a reader of a ranker's own has made.
    pub(crate) fn own<T: Send + 'static>(made: T) -> Gathered {
        Gathered(Inputs::Own(Box::new(made)))
    }

    /// What was given to [`own`](Gathered::own).
    ///
    /// # Errors
    /// [`Error::Shape`] when the block was gathered for another ranker.
    pub(crate) fn into_own<T: 'static>(self) -> Result<Box<T>> {
        match self.0 {
            Inputs::Own(made) => made.downcast().map_err(|_| foreign()),
            Inputs::Block(..) => Err(foreign()),
        }
    }

    /// The block as it was given.
    ///
    /// # Errors
    /// [`Error::Shape`] when it was gathered for another ranker.
    pub(crate) fn into_block(self) -> Result<(UserBlock, Option<Lists>)> {
        match self.0 {
            Inputs::Block(users, skip) => Ok((users, skip)),
            Inputs::Own(_) => Err(foreign()),
        }
    }
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered").finish_non_exhaustive()
    }
}

fn foreign() -> Error {
    let found = "one that another ranker's reader gathered".into();
    Error::Shape { op: "rank", expected: "a block that the ranker's reader gathered".into(), found }
}

type Gather = dyn Fn(UserBlock, Option<Lists>) -> Result<Gathered> + Send + Sync;

/// Gathers blocks for a ranker, on any thread.
pub struct Reader(Box<Gather>);

impl Reader {
    /// Leaves blocks as they are.
    pub(crate) fn as_given() -> Reader {
        Reader::new(|users, skip| Ok(Gathered(Inputs::Block(users, skip))))
    }

    pub(crate) fn new(gather: impl Fn(UserBlock, Option<Lists>) -> Result<Gathered> + Send + Sync + 'static) -> Reader {
        Reader(Box::new(gather))
    }

    pub(crate) fn gather(&self, users: UserBlock, skip: Option<Lists>) -> Result<Gathered> {
        (self.0)(users, skip)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// Blocks that were begun, and what is known of them beside.
pub(crate) struct UnderWay<T>(VecDeque<T>);

impl<T> UnderWay<T> {
    pub(crate) fn new() -> UnderWay<T> {
        UnderWay(VecDeque::new())
    }

    /// Has a block ranked; without one, what is left. What has been found is the oldest block's.
    ///
    /// # Errors
    /// As [`Ranker::top_k`].
    pub(crate) fn rank(
        &mut self,
        ranker: &mut dyn Ranker,
        block: Option<(T, Gathered)>,
        k: usize,
    ) -> Result<Option<(T, Found)>> {
        let found = match block {
            Some((known, gathered)) => {
                self.0.push_back(known);
                ranker.rank(gathered, k)?
            }
            None if self.0.is_empty() => None,
            None => ranker.rest()?,
        };
        Ok(found.and_then(|found| Some((self.0.pop_front()?, found))))
    }
}
