//! What kernels report of ids that they refuse: one word an operation, read when the host reads anyway.

use super::arguments::Out;
use super::buffer::Buf;
use super::context::Context;
use crate::{Error, Result};

/// A word without a report.
const NOTHING: u64 = u64::MAX;
/// What each word is about: the operation's name.
const OPS: [&str; 4] = ["embedding_pools", "embedding_step", "softmax_loss", "a kernel for sm_90a"];
/// The word of waits that did not end.
const STUCK: usize = 3;

/// Words that kernels lower with `atomicMin` to `position << 32 | id`: the first offender wins, whatever the order.
/// Positions of ids are below 2^31; from there on they number bags or a plan's rows.
pub(crate) struct Status {
    words: Buf<u64>,
}

impl Status {
    pub(super) fn new(context: &Context) -> Result<Status> {
        let words = Buf::own(context.alloc(OPS.len() * 8)?, OPS.len());
        let status = Status { words };
        status.reset(context)?;
        Ok(status)
    }

    /// Room for [`words`](Status::words).
    pub(super) fn empty() -> [u64; OPS.len()] {
        [NOTHING; OPS.len()]
    }

    /// All words, to be read.
    pub(super) fn words(&self) -> &Buf<u64> {
        &self.words
    }

    /// Takes reports back.
    pub(super) fn reset(&self, context: &Context) -> Result<()> {
        context.bind()?;
        // SAFETY: the buffer holds this many bytes and is used on the compute stream alone.
        let set = unsafe {
            cudarc::driver::result::memset_d8_async(self.words.ptr(), 0xff, OPS.len() * 8, context.compute.cu_stream())
        };
        context.check("reset the status words", set)
    }

    /// The word for ids of lookups.
    pub(crate) fn lookup(&self) -> Out<u64> {
        self.words.output_at(0)
    }

    /// The word for rows and positions of plans.
    pub(crate) fn plan(&self) -> Out<u64> {
        self.words.output_at(1)
    }

    /// The word for positives and masked columns of the loss.
    pub(crate) fn loss(&self) -> Out<u64> {
        self.words.output_at(2)
    }

    /// The word for waits that did not end (`kernels/core/sm90a/barrier.cuh`).
    pub(crate) fn stuck(&self) -> Out<u64> {
        self.words.output_at(STUCK)
    }
}

/// What the first of these words that holds a report says.
pub(super) fn refusal(words: &[u64]) -> Option<Error> {
    // Whatever else was reported, a kernel that gave up comes first: what it left is not to be trusted.
    let reported = |&at: &usize| words.get(at).is_some_and(|&word| word != NOTHING);
    let at = [STUCK].into_iter().chain(0..STUCK).find(reported)?;
    let (position, value) = (words[at] >> 32, words[at] as u32);
    if at == STUCK {
        let what = match position >> 24 {
            1 => "its producer, for a free stage",
            2 => "a consumer, for its rows",
            3 => "a consumer, for a tile",
            _ => "one of its warps",
        };
        let (turn, x, y) = (position & 0xff_ffff, value & 0xffff, value >> 16);
        let message = format!(
            "a wait did not end: {what}, in turn {turn} of block ({x}, {y}); its results are wrong. This is a fault of \
             Tercel's or of the device's: please report it. TERCEL_KERNELS=sm_80 avoids these kernels"
        );
        return Some(Error::Cuda { op: OPS[STUCK].into(), message });
    }
    // Upper positions are not those of ids: rows of the bags, or unique rows of a plan.
    let (expected, found) = match (at, position.checked_sub(1 << 31)) {
        (0, Some(row)) => ("ascending offsets up to the lookups", format!("the end {value} of bag {row}")),
        (1, Some(row)) => ("ascending unique rows of the table", format!("{value} as row {row} of the plan")),
        _ => ("ids inside their table", format!("id {value} at position {position}")),
    };
    Some(Error::Shape { op: OPS[at], expected: expected.into(), found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_did_not_end_comes_before_refusals() {
        assert!(refusal(&Status::empty()).is_none());
        let mut words = Status::empty();
        words[2] = 7 << 32 | 9;
        assert!(matches!(refusal(&words), Some(Error::Shape { op: "softmax_loss", .. })));
        // A consumer, for its fifth tile, in block (3, 2).
        words[STUCK] = (3 << 24 | 5) << 32 | 2 << 16 | 3;
        let error = refusal(&words).expect("two reports");
        let words = error.to_string();
        assert!(matches!(error, Error::Cuda { .. }), "{words}");
        assert!(words.contains("for a tile, in turn 5 of block (3, 2)") && words.contains("TERCEL_KERNELS"), "{words}");
    }
}
