//! Users and items: raw ids, counts and features by row.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::data::dataset::parts::{EntityInfo, FileInfo};
use crate::files::OpenedFile;
use crate::{Error, Result};

mod read;
mod write;

/// Raw ids of one side, by row. Row 0 of a vocabulary (unknown) has none: it stands as the empty text or 0 here, and
/// as null in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawIds {
    /// Texts.
    Text {
        /// Row r is `bytes[offsets[r]..offsets[r + 1]]`: one more entry than rows, the first is 0.
        offsets: Vec<u64>,
        /// The texts one after another, UTF-8.
        bytes: Vec<u8>,
    },
    /// Integers.
    Integer(Vec<i64>),
}

/// One raw id. Prints as it came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum RawId<'a> {
    /// A text.
    Text(&'a str),
    /// An integer.
    Integer(i64),
}

impl fmt::Display for RawId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RawId::Text(text) => f.write_str(text),
            RawId::Integer(number) => number.fmt(f),
        }
    }
}

impl RawIds {
    /// No texts yet.
    pub fn text() -> RawIds {
        RawIds::Text { offsets: vec![0], bytes: Vec::new() }
    }

    /// No integers yet.
    pub fn integer() -> RawIds {
        RawIds::Integer(Vec::new())
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            RawIds::Text { offsets, .. } => offsets.len().saturating_sub(1),
            RawIds::Integer(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The raw id of a row.
    ///
    /// # Panics
    /// When `row` is not below [`len`](RawIds::len).
    pub fn get(&self, row: usize) -> RawId<'_> {
        match self {
            RawIds::Text { offsets, bytes } => {
                let text = &bytes[offsets[row] as usize..offsets[row + 1] as usize];
                // Whoever filled the fields by hand with anything but UTF-8 gets an empty text.
                RawId::Text(std::str::from_utf8(text).unwrap_or_default())
            }
            RawIds::Integer(values) => RawId::Integer(values[row]),
        }
    }

    /// How many bytes an id takes, about.
    pub(crate) fn mean_bytes(&self) -> usize {
        match self {
            RawIds::Text { bytes, .. } => 4 + bytes.len() / self.len().max(1),
            RawIds::Integer(_) => size_of::<i64>(),
        }
    }

    /// Appends a row. An id of the other kind is converted; a text that is no integer becomes 0 among integers.
    pub fn push(&mut self, id: RawId<'_>) {
        match (self, id) {
            (ids @ RawIds::Text { .. }, RawId::Text(text)) => ids.push_text(text),
            (ids @ RawIds::Text { .. }, RawId::Integer(number)) => ids.push_text(&number.to_string()),
            (RawIds::Integer(values), RawId::Integer(number)) => values.push(number),
            (RawIds::Integer(values), RawId::Text(text)) => values.push(parse_canonical(text).unwrap_or_default()),
        }
    }

    /// Appends a text.
    pub fn push_text(&mut self, text: &str) {
        match self {
            RawIds::Text { offsets, bytes } => {
                bytes.extend_from_slice(text.as_bytes());
                offsets.push(bytes.len() as u64);
            }
            RawIds::Integer(_) => self.push(RawId::Text(text)),
        }
    }

    /// Appends an integer.
    pub fn push_integer(&mut self, number: i64) {
        self.push(RawId::Integer(number));
    }
}

/// The integer that prints as `text`: `12` is one, `012`, `+12` and `12 ` are not.
fn parse_canonical(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain =
        digits.as_bytes().first().is_some_and(u8::is_ascii_digit) && (digits == "0" || !digits.starts_with('0'));
    text.parse().ok().filter(|_| plain && text != "-0")
}

/// Codes of one feature column, by row; code 0 is missing or unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureColumn {
    /// One code a row.
    Codes(Vec<u32>),
    /// Any number of codes a row: row r has `codes[offsets[r]..offsets[r + 1]]`.
    Lists {
        /// One more entry than rows, the first is 0.
        offsets: Vec<u32>,
        /// The codes of all rows.
        codes: Vec<u32>,
    },
}

impl FeatureColumn {
    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            FeatureColumn::Codes(codes) => codes.len(),
            FeatureColumn::Lists { offsets, .. } => offsets.len().saturating_sub(1),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An empty column of the same kind.
    fn new_like(&self) -> FeatureColumn {
        match self {
            FeatureColumn::Codes(_) => FeatureColumn::Codes(Vec::new()),
            FeatureColumn::Lists { .. } => FeatureColumn::Lists { offsets: vec![0], codes: Vec::new() },
        }
    }

    /// Appends row `row` of `from`, a column of the same kind; without one, the unknown code or an empty list.
    fn push_row(&mut self, from: Option<(&FeatureColumn, usize)>) {
        match (self, from) {
            (FeatureColumn::Codes(to), Some((FeatureColumn::Codes(codes), row))) => to.push(codes[row]),
            (FeatureColumn::Codes(to), _) => to.push(0),
            (FeatureColumn::Lists { offsets, codes: to }, from) => {
                if let Some((FeatureColumn::Lists { offsets: starts, codes }, row)) = from {
                    to.extend_from_slice(&codes[starts[row] as usize..starts[row + 1] as usize]);
                }
                offsets.push(to.len() as u32);
            }
        }
    }
}

/// What `users.arrow` or `items.arrow` (or the file of the unseen ids) holds: the columns `id` (string or int64, null
/// in row 0 of a vocabulary), `count` (uint64) and one for each feature (uint32, or list of uint32 for multi-hot).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTable {
    /// The raw ids.
    pub ids: RawIds,
    /// Rows of the training split with this id.
    pub counts: Vec<u64>,
    /// The feature columns, in the manifest's order.
    pub features: Vec<FeatureColumn>,
}

impl EntityTable {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// An empty table of the same kind.
    pub(crate) fn new_like(&self) -> EntityTable {
        let ids = if matches!(self.ids, RawIds::Text { .. }) { RawIds::text() } else { RawIds::integer() };
        EntityTable { ids, counts: Vec::new(), features: self.features.iter().map(FeatureColumn::new_like).collect() }
    }

    /// Appends rows of `from`, a table of the same kind.
    ///
    /// # Errors
    /// [`Error::Shape`] when its ids are of the other type, it has other features, or no such rows; or when the lists of
    /// a feature come to hold more than 2^32 - 1 codes.
    pub(crate) fn append(&mut self, from: &EntityTable, rows: Range<usize>) -> Result<()> {
        let shape = |expected: &str| {
            let found = format!("rows {rows:?} of {}", from.len());
            Error::Shape { op: "EntityTable::append", expected: expected.into(), found }
        };
        if std::mem::discriminant(&self.ids) != std::mem::discriminant(&from.ids) {
            return Err(shape("ids of the same type: all texts, or all integers"));
        }
        if rows.end > from.len() || self.features.len() != from.features.len() {
            return Err(shape("rows that are there, with the same features"));
        }
        for (to, from) in self.features.iter_mut().zip(&from.features) {
            rows.clone().for_each(|row| to.push_row(Some((from, row))));
            if matches!(to, FeatureColumn::Lists { codes, .. } if u32::try_from(codes.len()).is_err()) {
                return Err(shape("at most 2^32 - 1 codes in the lists of a feature"));
            }
        }
        for row in rows {
            self.ids.push(from.ids.get(row));
            self.counts.push(from.counts[row]);
        }
        Ok(())
    }
}

/// One side of a dataset or model folder: known rows, then unseen rows.
#[derive(Debug)]
pub struct Vocabulary {
    /// What the manifest says.
    pub info: EntityInfo,
    /// The known ids; row 0 is the unknown id.
    pub table: EntityTable,
    /// The ids that only `valid` and `test` name, numbered from [`rows`](Vocabulary::rows) on.
    pub unseen: Option<EntityTable>,
    /// Numbers by the hash of their raw ids, made when an id is first looked up.
    index: OnceLock<HashTable<u32>>,
}

impl Vocabulary {
    /// Reads one side's files in the folder `dir`.
    ///
    /// # Errors
    /// As [`EntityTable::open`].
    pub fn open(dir: &Path, info: &EntityInfo) -> Result<Vocabulary> {
        Self::of(info, |file| OpenedFile::open(&dir.join(&file.name)))
    }

    /// [`open`](Vocabulary::open) of files that `open` gives.
    pub(crate) fn of(info: &EntityInfo, open: impl Fn(&FileInfo) -> Result<OpenedFile>) -> Result<Vocabulary> {
        let file = open(&info.file)?;
        let path = file.path();
        let table = EntityTable::of(&file, &info.file, &info.features)?;
        let bad = |path: &Path, reason: String| Err(Error::damaged(path, "column id", reason));
        if table.len() != info.rows as usize || table.is_empty() {
            return bad(path, format!("{} rows, the manifest says {}", table.len(), info.rows));
        }
        if !matches!(table.ids.get(0), RawId::Text("") | RawId::Integer(0)) {
            return bad(path, "row 0 stands for the unknown id and must be null".into());
        }
        let unseen = match &info.unseen_file {
            None if info.unseen > 0 => return bad(path, format!("{} unseen ids, but no file of them", info.unseen)),
            None => None,
            Some(file) => {
                let opened = open(file)?;
                let unseen = EntityTable::of(&opened, file, &info.features)?;
                if unseen.len() != info.unseen as usize {
                    return bad(opened.path(), format!("{} rows, the manifest says {}", unseen.len(), info.unseen));
                }
                Some(unseen)
            }
        };
        if info.rows.checked_add(info.unseen).is_none() {
            return bad(path, format!("{} known and {} unseen ids are more than 2^32 - 1", info.rows, info.unseen));
        }
        Ok(Vocabulary { info: info.clone(), table, unseen, index: OnceLock::new() })
    }

    /// Rows of the vocabulary, row 0 included.
    pub fn rows(&self) -> usize {
        self.table.len()
    }

    /// The raw id of a row, known or unseen; `None` for row 0 and past the end.
    pub fn raw(&self, id: u32) -> Option<RawId<'_>> {
        if id == 0 {
            return None;
        }
        self.place(id).map(|(table, row)| table.ids.get(row))
    }

    /// The known row of a raw id. A text finds the integer that prints so, an integer the text.
    pub fn find(&self, id: RawId<'_>) -> Option<u32> {
        self.number(id).filter(|&number| (number as usize) < self.rows())
    }

    /// The number of a raw id: its row, or for one that only the other splits name a number from
    /// [`rows`](Vocabulary::rows) on.
    pub fn number(&self, id: RawId<'_>) -> Option<u32> {
        let text;
        let id = match (&self.table.ids, id) {
            (RawIds::Integer(_), RawId::Text(text)) => RawId::Integer(parse_canonical(text)?),
            (RawIds::Text { .. }, RawId::Integer(number)) => {
                text = number.to_string();
                RawId::Text(&text)
            }
            (_, id) => id,
        };
        let hash_of = |&number: &u32| self.raw(number).map_or(0, hash);
        let index = self.index.get_or_init(|| {
            let numbers = self.rows() + self.unseen.as_ref().map_or(0, EntityTable::len);
            let mut index = HashTable::with_capacity(numbers);
            for number in 1..numbers as u32 {
                let Some(id) = self.raw(number) else { continue };
                // The first of equal ids is the one that is found.
                index.entry(hash(id), |&other| self.raw(other) == Some(id), hash_of).or_insert(number);
            }
            index
        });
        index.find(hash(id), |&number| self.raw(number) == Some(id)).copied()
    }

    /// Gathers the feature codes of rows, known or unseen; a row past the end has unknown codes. One column for each
    /// feature, `ids.len()` rows each.
    pub fn features_of(&self, ids: &[u32]) -> Vec<FeatureColumn> {
        (0..self.table.features.len())
            .map(|f| {
                let mut column = self.table.features[f].new_like();
                for &id in ids {
                    column.push_row(self.place(id).map(|(table, row)| (&table.features[f], row)));
                }
                column
            })
            .collect()
    }

    /// The table and the row in it of a numbered id.
    fn place(&self, id: u32) -> Option<(&EntityTable, usize)> {
        match (id as usize).checked_sub(self.rows()) {
            None => Some((&self.table, id as usize)),
            Some(row) => self.unseen.as_ref().filter(|unseen| row < unseen.len()).map(|unseen| (unseen, row)),
        }
    }
}

fn hash(id: RawId<'_>) -> u64 {
    match id {
        RawId::Text(text) => xxh3_64(text.as_bytes()),
        RawId::Integer(number) => xxh3_64(&number.to_le_bytes()),
    }
}

#[cfg(test)]
mod tests;
