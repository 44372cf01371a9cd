//! A gradient plan in a device's memory.

use super::super::{Backend, GradientPlan};
use super::upload;
use crate::data::batch::Segments;

/// A plan on the device.
pub(super) struct DevicePlan<B: Backend> {
    unique: B::Buf<u32>,
    starts: B::Buf<u32>,
    positions: B::Buf<u32>,
    uniques: usize,
    lookups: usize,
}

impl<B: Backend> DevicePlan<B> {
    pub(super) fn new(b: &B, segments: &Segments) -> Self {
        DevicePlan {
            unique: upload(b, segments.unique.clone()),
            starts: upload(b, segments.starts.clone()),
            positions: upload(b, segments.positions.clone()),
            uniques: segments.unique.len(),
            lookups: segments.positions.len(),
        }
    }

    pub(super) fn stage(&mut self, b: &B, segments: &Segments) {
        b.stage(&mut self.unique, &segments.unique).expect("the device has room");
        b.stage(&mut self.starts, &segments.starts).expect("the device has room");
        b.stage(&mut self.positions, &segments.positions).expect("the device has room");
        (self.uniques, self.lookups) = (segments.unique.len(), segments.positions.len());
    }

    pub(super) fn view(&self) -> GradientPlan<'_, B> {
        let DevicePlan { unique, starts, positions, uniques, lookups } = self;
        GradientPlan { unique, starts, positions, scales: None, uniques: *uniques, lookups: *lookups }
    }
}
