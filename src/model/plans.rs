//! Which rows of each table a batch touches, and whose gradients each sums. Made on the loader's threads.

use crate::Result;
use crate::backend::{Backend, GradientPlans, PlanPart};
use crate::data::batch::{Segments, SortScratch};
use crate::model::inputs::HostBag;
use crate::model::tower::room_for;

/// Positions of a table's list begin at a multiple of this: sums run over chunks of so many.
const CHUNK: usize = 32;

/// The plans of all tables, one behind the other; see [`crate::backend::GradientPlans`].
#[derive(Default)]
pub(crate) struct HostPlans {
    pub parts: Vec<PlanPart>,
    pub unique: Vec<u32>,
    pub starts: Vec<u32>,
    pub positions: Vec<u32>,
    pub scales: Vec<f32>,
    segments: Segments,
    ids: Vec<u32>,
    rows: Vec<u32>,
    row_scales: Vec<f32>,
}

impl HostPlans {
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.unique.clear();
        self.starts.clear();
        self.positions.clear();
        self.scales.clear();
    }

    /// The plan of the next table, for bags whose gradient rows start at the number beside each. Row 0, the unknown id, is left
    /// out: it stays zero.
    pub(crate) fn push<'a>(
        &mut self,
        bags: impl Iterator<Item = (&'a HostBag, u32)> + Clone,
        scratch: &mut SortScratch,
    ) {
        self.ids.clear();
        self.rows.clear();
        self.row_scales.clear();
        let plain = bags.clone().all(|(bag, base)| base == 0 && !bag.pooled());
        for (bag, base) in bags {
            self.ids.extend_from_slice(&bag.ids);
            if plain {
                continue;
            }
            if bag.pooled() {
                for (row, ends) in bag.offsets.windows(2).enumerate() {
                    let len = (ends[1] - ends[0]) as usize;
                    self.rows.extend(std::iter::repeat_n(base + row as u32, len));
                    self.row_scales.extend(std::iter::repeat_n(1.0 / len as f32, len));
                }
            } else {
                self.rows.extend(base..base + bag.ids.len() as u32);
                self.row_scales.resize(self.rows.len(), 1.0);
            }
        }
        self.segments.build(&self.ids, scratch);
        let Segments { unique, starts, positions } = &self.segments;
        // The unknown row is the first, where it comes at all.
        let (skip, unknown) = if unique.first() == Some(&0) { (1, starts[1]) } else { (0, 0) };
        let positions = &positions[unknown as usize..];
        self.positions.resize(self.positions.len().next_multiple_of(CHUNK), 0);
        self.parts.push(PlanPart {
            unique: self.unique.len() as u32,
            uniques: (unique.len() - skip) as u32,
            position: self.positions.len() as u32,
            lookups: positions.len() as u32,
            scales: if plain { u32::MAX } else { self.scales.len() as u32 },
        });
        self.unique.extend_from_slice(&unique[skip..]);
        self.starts.extend(starts[skip..].iter().map(|start| start - unknown));
        if plain {
            self.positions.extend_from_slice(positions);
        } else {
            self.positions.extend(positions.iter().map(|&p| self.rows[p as usize]));
            self.scales.extend(positions.iter().map(|&p| self.row_scales[p as usize]));
        }
    }
}

/// The gradient plans' arrays, staged, and the room that each has.
pub(crate) struct PlanBufs<B: Backend> {
    parts: B::Buf<u32>,
    unique: B::Buf<u32>,
    starts: B::Buf<u32>,
    positions: B::Buf<u32>,
    scales: B::Buf<f32>,
    rooms: [usize; 3],
}

impl<B: Backend> PlanBufs<B> {
    pub(crate) fn new(backend: &B) -> Result<PlanBufs<B>> {
        let list = || backend.zeros::<u32>(0);
        let (parts, unique, starts, positions) = (list()?, list()?, list()?, list()?);
        Ok(PlanBufs { parts, unique, starts, positions, scales: backend.zeros(0)?, rooms: [0; 3] })
    }

    pub(crate) fn stage(&mut self, backend: &B, host: &HostPlans) -> Result<()> {
        let [uniques, positions, scales] = &mut self.rooms;
        let uniques = room_for(uniques, host.unique.len());
        backend.stage(&mut self.parts, bytemuck::cast_slice(&host.parts))?;
        backend.stage_in(&mut self.unique, &host.unique, uniques)?;
        backend.stage_in(&mut self.starts, &host.starts, uniques + host.parts.len())?;
        backend.stage_in(&mut self.positions, &host.positions, room_for(positions, host.positions.len()))?;
        backend.stage_in(&mut self.scales, &host.scales, room_for(scales, host.scales.len()))
    }

    pub(crate) fn view<'a>(&'a self, host: &'a HostPlans) -> GradientPlans<'a, B> {
        let PlanBufs { parts, unique, starts, positions, scales, .. } = self;
        GradientPlans { parts: &host.parts, staged_parts: parts, unique, starts, positions, scales }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_table_sums_history_and_item_gradients_and_leaves_the_unknown_row_alone() {
        let history = HostBag { ids: vec![5, 3, 0, 5], offsets: vec![0, 2, 4] };
        let items = HostBag { ids: vec![3, 5, 9], offsets: vec![] };
        let mut plans = HostPlans::default();
        plans.push([(&history, 0), (&items, 2)].into_iter(), &mut SortScratch::default());
        assert_eq!(plans.unique, [3, 5, 9]);
        assert_eq!(plans.starts, [0, 2, 5, 6]);
        assert_eq!(plans.positions, [0, 2, 0, 1, 3, 4]);
        assert_eq!(plans.scales, [0.5, 1.0, 0.5, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn tables_stand_one_behind_the_other_and_begin_on_chunks() {
        let ids = |ids: &[u32]| HostBag { ids: ids.to_vec(), offsets: vec![] };
        let (mut plans, mut scratch) = (HostPlans::default(), SortScratch::default());
        plans.push([(&ids(&[2, 1, 2]), 0)].into_iter(), &mut scratch);
        plans.push([(&ids(&[0, 0]), 0)].into_iter(), &mut scratch);
        plans.push([(&ids(&[7]), 0)].into_iter(), &mut scratch);
        let part =
            |unique, uniques, position, lookups| PlanPart { unique, uniques, position, lookups, scales: u32::MAX };
        assert_eq!(plans.parts, [part(0, 2, 0, 3), part(2, 0, 32, 0), part(2, 1, 32, 1)]);
        assert_eq!(plans.unique, [1, 2, 7]);
        assert_eq!(plans.starts, [0, 1, 3, 0, 0, 1]);
        assert_eq!(plans.positions[..3], [1, 0, 2]);
        assert_eq!(plans.positions[3..], [vec![0; 29], vec![0]].concat());
        assert!(plans.scales.is_empty(), "plain inputs need none");
    }
}
