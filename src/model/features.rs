//! Features of many entities, laid out for batches that draw a few of them at random.

use crate::data::vocabulary::FeatureColumn;
use crate::model::inputs::HostBag;
use crate::model::spec::{InputSource, TowerSpec};
use crate::{Result, memory};

/// Codes of a cache line. Lines are where they say, so that an entity with up to 16 features costs one miss, not one a
/// feature.
const LINE: usize = 16;
#[derive(Clone, Copy, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u32; LINE]);

/// Entities that are gathered together: their lines stay in the first-level cache from the first feature to the last.
const TOGETHER: usize = 128;

/// The features that a tower reads, an entity's codes side by side.
pub(crate) struct FeatureRows {
    /// Entity e has lines `e * lines..(e + 1) * lines`.
    codes: Vec<Line>,
    lines: usize,
    columns: Vec<Column>,
}

/// A feature column.
enum Column {
    /// One code an entity, here among its codes.
    At(usize),
    Lists(FeatureColumn),
    Unread,
}

impl FeatureRows {
    /// Lays out the columns that `spec` reads. All have the same number of entities.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    pub(crate) fn new(spec: &TowerSpec, columns: Vec<FeatureColumn>) -> Result<FeatureRows> {
        let mut plain = Vec::new();
        let place = |(n, column)| match column {
            _ if !spec.inputs.iter().any(|input| input.source == InputSource::Column(n)) => Column::Unread,
            FeatureColumn::Codes(codes) => {
                plain.push(codes);
                Column::At(plain.len() - 1)
            }
            lists @ FeatureColumn::Lists { .. } => Column::Lists(lists),
        };
        let columns = columns.into_iter().enumerate().map(place).collect();
        let (entities, lines) = (plain.first().map_or(0, Vec::len), plain.len().div_ceil(LINE));
        let mut codes: Vec<Line> = memory::zeros(entities * lines, "features of users")?;
        for (place, column) in plain.into_iter().enumerate() {
            let rows = codes.chunks_exact_mut(lines);
            rows.zip(column).for_each(|(row, code)| row[place / LINE].0[place % LINE] = code);
        }
        Ok(FeatureRows { codes, lines, columns })
    }

    /// The bags of the tower's inputs for given entities; a history bag is left as it is.
    pub(crate) fn bags(&self, spec: &TowerSpec, ids: &[u32], bags: &mut Vec<HostBag>) {
        bags.resize_with(spec.inputs.len(), HostBag::default);
        let mut plain = Vec::with_capacity(spec.inputs.len());
        for (input, bag) in spec.inputs.iter().zip(bags) {
            match input.source {
                InputSource::Id => {
                    bag.clear();
                    bag.ids.extend_from_slice(ids);
                }
                InputSource::Column(column) => match &self.columns[column] {
                    Column::Lists(column) => bag.gather(column, ids.iter().map(|&id| id as usize)),
                    &Column::At(place) => {
                        bag.clear();
                        plain.push((bag, place));
                    }
                    Column::Unread => bag.clear(),
                },
                InputSource::History(_) => {}
            }
        }
        for ids in ids.chunks(TOGETHER) {
            for (bag, place) in &mut plain {
                let line = |&id: &u32| &self.codes[id as usize * self.lines + *place / LINE];
                bag.ids.extend(ids.iter().map(|id| line(id).0[*place % LINE]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::inputs::entity_bags;
    use crate::model::spec::TowerInput;

    fn tower(sources: impl Iterator<Item = InputSource>) -> TowerSpec {
        let inputs = sources.map(|source| TowerInput { source, table: 0, col: 0 }).collect();
        TowerSpec { name: "user", inputs, width: 4, layers: Vec::new(), normalize: true, dim: 4 }
    }

    #[test]
    fn bags_are_those_of_the_columns() {
        const ENTITIES: u32 = 300;
        let lists = FeatureColumn::Lists {
            offsets: (0..=ENTITIES).map(|row| row / 2).collect(),
            codes: (0..ENTITIES / 2).collect(),
        };
        let codes = |n: u32| FeatureColumn::Codes((0..ENTITIES).map(|row| row * 31 + n).collect());
        let ids: Vec<u32> = (0..500).map(|n| n * 7 % ENTITIES).collect();
        // One line an entity, a full one, and three.
        for plain in [0, 1, 16, 33] {
            let columns: Vec<_> = (0..plain).map(codes).chain([lists.clone(), codes(99)]).collect();
            // The last column is read by nobody, the others in an order of their own.
            let sources = (0..=plain as usize).rev().map(InputSource::Column);
            let sources = [InputSource::Id, InputSource::History(3)].into_iter().chain(sources);
            let spec = tower(sources);
            let rows = FeatureRows::new(&spec, columns.clone()).unwrap();
            let (mut bags, mut expected) = (Vec::new(), Vec::new());
            // Twice: what an earlier batch left is overwritten.
            for ids in [&ids[..], &ids[..130]] {
                rows.bags(&spec, ids, &mut bags);
                entity_bags(&spec, ids, &columns, &mut expected);
                for (bag, expected) in bags.iter().zip(&expected) {
                    assert_eq!((&bag.ids, &bag.offsets), (&expected.ids, &expected.offsets));
                }
            }
        }
    }
}
