//! A gradient plan in a device's memory.

use super::super::Backend;
use super::super::single::TableStep;
use crate::data::batch::Segments;

/// The plan of segments, uploaded.
pub(super) fn plan_of<B: Backend>(b: &B, segments: &Segments) -> TableStep<B> {
    let Segments { unique, starts, positions } = segments;
    TableStep::new(b, unique, starts, positions, &[]).expect("the device has room")
}
