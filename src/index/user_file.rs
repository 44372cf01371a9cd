//! A file of users to recommend to: ids, and whatever it tells of them.

use std::path::Path;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::data::dataset::SourceColumns;
use crate::data::ingest::time::parse_time;
use crate::data::vocabulary::{FeatureColumn, RawId, RawIds, Vocabulary};
use crate::{Error, Result};

use super::Lists;
use super::encode::Encoder;
use super::table::{Row, Table};
use super::users::{Listed, Users};

/// What a file of users held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFileSummary {
    /// Rows, without the header.
    pub rows: u64,
    /// Different users.
    pub users: u64,
    /// Users that no training row names: they are known by their history and features alone.
    pub new_users: u64,
    /// Interactions that the file tells of, with known items.
    pub interactions: u64,
    /// Interactions with items that the vocabulary does not have; left out.
    pub unknown_items: u64,
}

impl<'a> Users<'a> {
    /// Reads the users of a CSV or TSV file, in the order in which they first appear.
    ///
    /// Without a header (one column) each line is a raw id. With one, the user column is named as in `columns`, or
    /// `user`. Where there is an item column (as in `columns`, or `item`), each row with an item is an interaction that
    /// joins the end of the user's history, in the order of the time column (as in `columns`, or `time`; read
    /// as ingest reads times), else of the rows. Columns named like features of the users give
    /// those; of several cells of a user the last that is not empty counts, and without any what is known stays. A user
    /// that no training row names is read through row 0, the history and the features: what the vocabulary keeps of
    /// those that the other splits name, and what the file gives. Ids are kept as they are written. The file's users are
    /// held in memory.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Row`] for a row that cannot be read, [`Error::Schema`] when the user column is missing,
    /// [`Error::Input`] when there are no users.
    pub fn read(
        path: &Path,
        vocabulary: &'a Vocabulary,
        items: &Vocabulary,
        columns: &SourceColumns,
    ) -> Result<(Users<'a>, UserFileSummary)> {
        let user_names = [columns.user.as_str(), "user"];
        let item_names = [columns.item.as_str(), "item"];
        let time_names = [columns.time.as_deref().unwrap_or("time"), "time"];
        let mut table = Table::open(path, &user_names)?;
        let user_at = table.column(&user_names, true)?.unwrap_or(0);
        let item_at = table.column(&item_names, false)?;
        let time_at = table.column(&time_names, false)?;
        let mut given: Vec<GivenFeature<'_>> = Vec::new();
        for (number, feature) in vocabulary.info.features.iter().enumerate() {
            let at = table.names().iter().position(|name| *name == feature.name);
            if let Some(at) = at.filter(|&at| at != user_at && Some(at) != item_at && Some(at) != time_at) {
                given.push(GivenFeature { at, number, encoder: Encoder::new(feature), cells: vec![], codes: vec![] });
            }
        }

        let mut summary = UserFileSummary::default();
        let mut places: HashMap<String, u32> = HashMap::new();
        let mut names: Vec<String> = Vec::new();
        let mut interactions: Vec<(u32, i64, u32)> = Vec::new();
        while let Some(row) = table.next()? {
            summary.rows += 1;
            let name = row.get(user_at);
            if name.is_empty() {
                return Err(row.error(user_names[0], "is empty; every row needs a user"));
            }
            let user = match places.get(name) {
                Some(&user) => user,
                None => {
                    let user = u32::try_from(names.len()).map_err(|_| Error::input(path, "more than 2^32 users"))?;
                    names.push(name.to_owned());
                    places.insert(name.to_owned(), user);
                    user
                }
            };
            if let Some(raw) = item_at.map(|at| row.get(at)).filter(|raw| !raw.is_empty()) {
                match items.find(RawId::Text(raw)) {
                    Some(item) => {
                        let time = time_at.map_or(Ok(0), |at| seconds(&row, at, time_names[0]))?;
                        interactions.push((user, time, item));
                    }
                    None => summary.unknown_items += 1,
                }
            }
            for feature in &mut given {
                feature.read(&row, user)?;
            }
        }
        if names.is_empty() {
            return Err(Error::input(path, "no users; list raw user ids, one a line"));
        }
        drop(places);

        let ids: Vec<u32> = names.iter().map(|name| vocabulary.number(RawId::Text(name)).unwrap_or(0)).collect();
        let is_new = |&&id: &&u32| id == 0 || id as usize >= vocabulary.rows();
        summary.users = names.len() as u64;
        summary.new_users = ids.iter().filter(is_new).count() as u64;
        summary.interactions = interactions.len() as u64;
        // Stable: rows of the same time stay in their order.
        interactions.sort_by_key(|&(user, time, _)| (user, time));
        let listed = Listed {
            features: (!given.is_empty()).then(|| complete(vocabulary, &ids, &given)),
            given: item_at.is_some().then(|| histories(&interactions, names.len())),
            names: raw_ids(&names, matches!(vocabulary.table.ids, RawIds::Integer(_))),
            ids,
        };
        Ok((Users::listed(vocabulary, listed), summary))
    }
}

/// A feature column of the file.
struct GivenFeature<'a> {
    at: usize,
    /// Which feature of the vocabulary it is.
    number: usize,
    encoder: Encoder<'a>,
    /// User, and the range of its codes.
    cells: Vec<(u32, u32, u32)>,
    codes: Vec<u32>,
}

impl GivenFeature<'_> {
    fn read(&mut self, row: &Row<'_>, user: u32) -> Result<()> {
        let text = row.get(self.at);
        if text.is_empty() {
            return Ok(());
        }
        let start = self.codes.len() as u32;
        let name = self.encoder.name();
        self.encoder.encode(text, &mut self.codes).map_err(|what| row.error(name, format!("`{text}` {what}")))?;
        let end = u32::try_from(self.codes.len()).map_err(|_| row.error(name, "more than 2^32 codes in the file"))?;
        self.cells.push((user, start, end));
        Ok(())
    }
}

/// Every feature of every user: what is known, and what the file says in its place.
fn complete(vocabulary: &Vocabulary, ids: &[u32], given: &[GivenFeature<'_>]) -> Vec<FeatureColumn> {
    let mut columns = vocabulary.features_of(ids);
    for feature in given {
        let mut cells: Vec<Option<&[u32]>> = vec![None; ids.len()];
        for &(user, start, end) in &feature.cells {
            cells[user as usize] = Some(&feature.codes[start as usize..end as usize]);
        }
        match &mut columns[feature.number] {
            FeatureColumn::Codes(codes) => {
                for (code, cell) in codes.iter_mut().zip(cells) {
                    if let Some(&[given]) = cell {
                        *code = given;
                    }
                }
            }
            FeatureColumn::Lists { offsets, codes } => {
                let known = std::mem::take(codes);
                let ends = std::mem::replace(offsets, vec![0]);
                for (ends, cell) in ends.windows(2).zip(cells) {
                    codes.extend_from_slice(cell.unwrap_or(&known[ends[0] as usize..ends[1] as usize]));
                    offsets.push(codes.len() as u32);
                }
            }
        }
    }
    columns
}

/// Sorted interactions as one list per user.
fn histories(interactions: &[(u32, i64, u32)], users: usize) -> Lists {
    let mut lists = Lists::default();
    let mut rest = interactions;
    for user in 0..users as u32 {
        let (own, others) = rest.split_at(rest.partition_point(|row| row.0 <= user));
        lists.values.extend(own.iter().map(|row| row.2));
        lists.close();
        rest = others;
    }
    lists
}

/// Integers where the vocabulary has them and every name is one, written as integers are.
fn raw_ids(names: &[String], integers: bool) -> RawIds {
    let number = |name: &String| name.parse().ok().filter(|number: &i64| number.to_string() == *name);
    if integers && let Some(numbers) = names.iter().map(number).collect() {
        return RawIds::Integer(numbers);
    }
    let mut end = 0;
    let ends = names.iter().map(|name| {
        end += name.len() as u64;
        end
    });
    RawIds::Text { offsets: std::iter::once(0).chain(ends).collect(), bytes: names.concat().into_bytes() }
}

/// The time of a row in seconds, as ingest reads it.
fn seconds(row: &Row<'_>, at: usize, column: &str) -> Result<i64> {
    let text = row.get(at);
    parse_time(text.as_bytes()).map_err(|reason| row.error(column, format!("`{text}` {reason}")))
}
