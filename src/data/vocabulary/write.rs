//! Writing a vocabulary file.

use std::path::Path;

use arrow2::array::{Array, ListArray, PrimitiveArray, Utf8Array};
use arrow2::bitmap::Bitmap;
use arrow2::datatypes::{DataType, Field};
use arrow2::offset::OffsetsBuffer;

use super::{EntityTable, FeatureColumn, RawId, RawIds};
use crate::data::dataset::parts::{Feature, FileInfo};
use crate::data::writer::ArrowFile;
use crate::{Error, Result};

/// Rows of a record batch.
const BLOCK_ROWS: usize = 64 << 10;
/// A record batch ends before the texts or lists of a column reach this size: their offsets have 31 bits.
const BLOCK_BYTES: u64 = 256 << 20;

impl EntityTable {
    /// Writes the table to `path`, whole or not at all. In the first row an empty text or a 0 is stored as null: row 0
    /// of a vocabulary has no raw id.
    ///
    /// # Errors
    /// [`Error::Shape`] when columns differ in length or are not what `features` say, [`Error::Config`] for a feature
    /// name that is taken, [`Error::Io`].
    pub fn write(&self, path: &Path, features: &[Feature]) -> Result<FileInfo> {
        self.check(features)?;
        let mut fields = vec![
            Field::new(
                "id",
                match self.ids {
                    RawIds::Text { .. } => DataType::Utf8,
                    RawIds::Integer(_) => DataType::Int64,
                },
                true,
            ),
            Field::new("count", DataType::UInt64, false),
        ];
        for feature in features {
            let codes = match feature.is_list() {
                true => list_type(),
                false => DataType::UInt32,
            };
            fields.push(Field::new(feature.name.as_str(), codes, false));
        }
        let mut file = ArrowFile::create(path, fields)?;
        let mut from = 0;
        while from < self.len() {
            let to = self.block_end(from);
            let unnamed = from == 0 && matches!(self.ids.get(0), RawId::Text("") | RawId::Integer(0));
            let mut columns = vec![
                self.id_array(from, to, unnamed).ok_or_else(|| shape("a text that is not UTF-8"))?,
                PrimitiveArray::from_slice(&self.counts[from..to]).boxed(),
            ];
            for feature in &self.features {
                columns.push(code_array(feature, from, to).ok_or_else(|| shape("a list with bad offsets"))?);
            }
            file.write(columns)?;
            from = to;
        }
        file.finish(Vec::new())
    }

    fn check(&self, features: &[Feature]) -> Result<()> {
        let rows = self.len();
        if self.counts.len() != rows || self.features.len() != features.len() {
            return Err(shape(format!("{} counts, {} feature columns", self.counts.len(), self.features.len())));
        }
        if let RawIds::Text { offsets, bytes } = &self.ids
            && (!offsets.is_sorted() || offsets.last().is_none_or(|&end| end > bytes.len() as u64))
        {
            return Err(shape("text offsets that do not ascend or reach past the bytes"));
        }
        let mut names: hashbrown::HashSet<&str> = ["id", "count"].into_iter().collect();
        for (column, feature) in self.features.iter().zip(features) {
            let name = &feature.name;
            if !names.insert(name.as_str()) {
                return Err(Error::config(
                    format!("feature {name}"),
                    "the vocabulary file already has a column of this name; rename it in the input",
                ));
            }
            let list = matches!(column, FeatureColumn::Lists { .. });
            if column.len() != rows || list != feature.is_list() {
                return Err(shape(format!("feature {name} with {} rows, lists: {list}", column.len())));
            }
        }
        Ok(())
    }

    /// Where the record batch that starts at row `from` ends.
    fn block_end(&self, from: usize) -> usize {
        let mut to = self.len().min(from + BLOCK_ROWS);
        if let RawIds::Text { offsets, .. } = &self.ids {
            let fits = offsets[from..=to].partition_point(|&end| end - offsets[from] <= BLOCK_BYTES);
            to = to.min(from + (fits - 1).max(1));
        }
        for column in &self.features {
            if let FeatureColumn::Lists { offsets, .. } = column {
                let fits = offsets[from..=to]
                    .partition_point(|&end| u64::from(end.saturating_sub(offsets[from])) * 4 <= BLOCK_BYTES);
                to = to.min(from + (fits - 1).max(1));
            }
        }
        to
    }

    fn id_array(&self, from: usize, to: usize, unnamed: bool) -> Option<Box<dyn Array>> {
        let validity = unnamed.then(|| (from..to).map(|row| row != 0).collect::<Bitmap>());
        Some(match &self.ids {
            RawIds::Integer(values) => {
                PrimitiveArray::try_new(DataType::Int64, values[from..to].to_vec().into(), validity).ok()?.boxed()
            }
            RawIds::Text { offsets, bytes } => {
                let start = offsets[from];
                let relative: Option<Vec<i32>> =
                    offsets[from..=to].iter().map(|&end| i32::try_from(end - start).ok()).collect();
                let relative = OffsetsBuffer::try_from(relative?).ok()?;
                let bytes = bytes.get(start as usize..offsets[to] as usize)?.to_vec();
                Utf8Array::<i32>::try_new(DataType::Utf8, relative, bytes.into(), validity).ok()?.boxed()
            }
        })
    }
}

fn code_array(column: &FeatureColumn, from: usize, to: usize) -> Option<Box<dyn Array>> {
    Some(match column {
        FeatureColumn::Codes(codes) => PrimitiveArray::from_slice(&codes[from..to]).boxed(),
        FeatureColumn::Lists { offsets, codes } => {
            let start = offsets[from];
            let relative: Option<Vec<i32>> =
                offsets[from..=to].iter().map(|&end| i32::try_from(end.checked_sub(start)?).ok()).collect();
            let relative = OffsetsBuffer::try_from(relative?).ok()?;
            let codes = PrimitiveArray::from_slice(codes.get(start as usize..offsets[to] as usize)?).boxed();
            ListArray::<i32>::try_new(list_type(), relative, codes, None).ok()?.boxed()
        }
    })
}

fn list_type() -> DataType {
    DataType::List(Box::new(Field::new("item", DataType::UInt32, false)))
}

fn shape(found: impl Into<String>) -> Error {
    Error::Shape {
        op: "EntityTable::write",
        expected: "as many ids, counts and codes as rows, and the manifest's features".into(),
        found: found.into(),
    }
}
