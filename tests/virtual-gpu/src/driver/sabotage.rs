//! Leaves out calls that order things, to see whether anybody notices: a mutation test of the host's
//! synchronisation that needs no change of the program.

use std::str::FromStr;

use super::state::Driver;

/// A call that orders streams or the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordering {
    /// cuStreamWaitEvent.
    Wait,
    /// cuEventSynchronize.
    Event,
    /// cuStreamSynchronize.
    Stream,
    /// cuCtxSynchronize.
    Context,
}

/// Which of these calls do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The kind of call.
    pub call: Ordering,
    /// Its number in the process, from 1; `None` for all.
    pub number: Option<u64>,
}

impl FromStr for LeftOut {
    type Err = String;

    fn from_str(text: &str) -> Result<LeftOut, String> {
        let (name, number) = text.split_once(':').map_or((text, None), |(name, number)| (name, Some(number)));
        let call = match name {
            "wait" => Ordering::Wait,
            "event" => Ordering::Event,
            "stream" => Ordering::Stream,
            "context" => Ordering::Context,
            _ => return Err(format!("`{text}` is none of wait, event, stream, context, with :NUMBER or without")),
        };
        let number =
            number.map(str::parse).transpose().map_err(|_| format!("`{text}` has no number behind the colon"))?;
        Ok(LeftOut { call, number })
    }
}

impl Driver {
    /// Counts the call; whether it is to do nothing.
    pub fn leaves_out(&mut self, call: Ordering) -> bool {
        let count = &mut self.ordering_calls[call as usize];
        *count += 1;
        self.settings.leave_out.is_some_and(|out| out.call == call && out.number.is_none_or(|n| n == *count))
    }
}
