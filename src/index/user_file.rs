//! A table of users to recommend to: ids, and whatever it tells of them.

use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::data::dataset::SourceColumns;
use crate::data::ingest::{Encoder, feature_value};
use crate::data::vocabulary::{FeatureColumn, RawId, RawIds, Vocabulary};
use crate::table::names::{Role, ambiguous, guess, is_name_of, key, listed};
use crate::table::{Hints, Input, InputTable, ReadOptions, Reject, Times, closest, quoted};
use crate::{Error, Result};

use super::Lists;
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
    /// Whether no user is known, and the table tells nothing of them but their ids.
    pub strangers: bool,
}

/// Where a table of users has what is read of it.
struct UserFileColumns {
    user: usize,
    item: Option<usize>,
    time: Option<usize>,
}

impl UserFileColumns {
    fn find(table: &InputTable, columns: &SourceColumns) -> Result<UserFileColumns> {
        let path = &table.path;
        let user = user_column(table, &columns.user, Role::User)?;
        let item = key(&table.columns, &columns.item, Role::Item);
        let item = item.map_err(|found| ambiguous(path, Role::Item, &found, "item"))?.filter(|at| *at != user);
        let named = columns.time.as_ref().and_then(|name| table.columns.iter().position(|column| column == name));
        let time = match (item, named) {
            (None, _) => None,
            (_, Some(at)) => Some(at),
            (Some(item), None) => guess(&table.columns, Role::Time, &[user, item])
                .map_err(|found| ambiguous(path, Role::Time, &found, "time"))?,
        };
        Ok(UserFileColumns { user, item, time })
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        [Some(self.user), self.item, self.time].into_iter().flatten()
    }
}

/// Opens a table of users or items: a list of ids without a header, or a table with one.
pub(super) fn open_list(input: &Input, name: &str, role: Role, options: &ReadOptions) -> Result<InputTable> {
    let of_side = name.to_owned();
    let is_header = move |column: &str| is_name_of(column, &of_side, role);
    InputTable::of(
        input,
        &Hints {
            options: options.clone(),
            is_header: Some(Arc::new(is_header)),
            list_name: name.to_owned(),
            ..Hints::default()
        },
    )
}

/// The column of a table of users or items that names them.
///
/// # Errors
/// [`Error::Input`] that lists the columns.
pub(super) fn user_column(table: &InputTable, name: &str, role: Role) -> Result<usize> {
    if table.is_list {
        return Ok(0);
    }
    let at = match key(&table.columns, name, role) {
        Ok(Some(at)) => at,
        Ok(None) => {
            let (names, word) = (listed(&table.columns), role.word());
            let advice =
                format!("the columns are {names}; name the column of raw ids `{name}`, or list one id per line");
            return Err(Error::input(
                &table.path,
                format!("no column is named `{name}` or looks like the {word}: {advice}"),
            ));
        }
        Err(found) => return Err(ambiguous(&table.path, role, &found, role.word())),
    };
    table.check_usable(&table.columns[at])?;
    Ok(at)
}

/// Refuses ids of which most would be known, written otherwise.
///
/// # Errors
/// [`Error::Input`] with an example.
pub(super) fn check_written(
    path: &Path,
    unknown: &[Vec<u8>],
    listed: u64,
    known: &Vocabulary,
    word: &str,
) -> Result<()> {
    // Some new users are nothing strange.
    if unknown.is_empty() || (unknown.len() as u64) * 10 < listed * 9 {
        return Ok(());
    }
    let ids = |each: &mut dyn FnMut(&[u8])| {
        for row in 1..known.rows() as u32 {
            match known.raw(row) {
                Some(RawId::Text(text)) => each(text.as_bytes()),
                Some(RawId::Integer(number)) => each(number.to_string().as_bytes()),
                None => {}
            }
        }
    };
    match closest(unknown, &ids) {
        Some(found) if found.ids * 2 >= listed => {
            let (here, there) = (quoted(&found.example.0), quoted(&found.example.1));
            let reason = format!(
                "{} of {listed} {word} are known only {}: {here} is {there} in the model",
                found.ids, found.how
            );
            Err(Error::input(path, format!("{reason}; write the ids as they are in the training data")))
        }
        _ => Ok(()),
    }
}

impl<'a> Users<'a> {
    /// Reads the users of a table, in the order in which they first appear. Any format that ingest reads will do.
    ///
    /// A text file of one column may be a list of raw ids, one a line: its first line is a header where it is a name of
    /// the user column. In a table the user column is named as in `columns`, or has a common name. Where there is an
    /// item column, each row with an item is an interaction that joins the end of the user's history, in the order of the
    /// time column (read as ingest reads times, by `options`), else of the rows. Columns named like features of the
    /// users give those; of several cells of a user the last that is not missing counts, and without any what is known
    /// stays. A user that no training row names is read through row 0, the history and the features: what the vocabulary
    /// keeps of those that the other splits name, and what the table gives. Ids are compared as they are written. The
    /// table's users are held in memory.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Row`] for a row that cannot be read, [`Error::Input`] when the user column is missing,
    /// when there are no users, or when most would be known, written otherwise.
    pub fn read(
        input: impl Into<Input>,
        vocabulary: &'a Vocabulary,
        items: &Vocabulary,
        columns: &SourceColumns,
        options: &ReadOptions,
    ) -> Result<(Users<'a>, UserFileSummary)> {
        let times = Times::new(options)?;
        let table = open_list(&input.into(), &columns.user, Role::User, options)?;
        let path = &table.path;
        let places = UserFileColumns::find(&table, columns)?;
        let mut given: Vec<GivenFeature<'_>> = Vec::new();
        for (number, feature) in vocabulary.info.features.iter().enumerate() {
            let at = table.columns.iter().position(|name| *name == feature.name);
            if let Some(at) = at.filter(|&at| places.all().all(|place| place != at)) {
                table.check_usable(&feature.name)?;
                given.push(GivenFeature { at, number, encoder: Encoder::new(feature), cells: vec![], codes: vec![] });
            }
        }
        let mut wanted: Vec<usize> = places.all().chain(given.iter().map(|feature| feature.at)).collect();
        wanted.sort_unstable();

        let integers = matches!(vocabulary.table.ids, RawIds::Integer(_));
        let mut summary = UserFileSummary::default();
        let mut found: HashMap<String, u32> = HashMap::new();
        let mut names: Vec<String> = Vec::new();
        let mut interactions: Vec<(u32, i64, u32)> = Vec::new();
        let mut unknown_items = Vec::new();
        let id_columns: Vec<usize> = [Some(places.user), places.item].into_iter().flatten().collect();
        table.for_each(Some(&wanted), &id_columns, &mut |row, values| {
            let error = |column: usize, reason: String| Error::Row {
                path: path.clone(),
                row,
                column: table.columns[column].clone(),
                reason,
            };
            let values = values.map_err(|reject| {
                let Reject { column, reason, .. } = reject;
                Error::Row { path: path.clone(), row, column, reason }
            })?;
            let value = |at: usize| -> Result<&str> {
                let text = std::str::from_utf8(values[at]);
                text.map_err(|_| error(at, format!("{} is not UTF-8", quoted(values[at]))))
            };
            summary.rows += 1;
            let name = value(places.user)?;
            if table.missing.is_id(name.as_bytes()) {
                return Err(error(
                    places.user,
                    format!("{} is no id; every row needs a user", quoted(name.as_bytes())),
                ));
            }
            let user = match found.get(name) {
                Some(&user) => user,
                None => {
                    let user = u32::try_from(names.len()).map_err(|_| Error::input(path, "more than 2^32 users"))?;
                    names.push(name.to_owned());
                    found.insert(name.to_owned(), user);
                    user
                }
            };
            if let Some(at) = places.item
                && !table.missing.is_id(values[at])
            {
                match items.find(RawId::Text(value(at)?)) {
                    Some(item) => {
                        let time = |at: usize| {
                            let read = times.text(values[at]);
                            read.map_err(|reason| error(at, format!("{} {reason}", quoted(values[at]))))
                        };
                        let time = places.time.map_or(Ok(0), |at| time(at).map(|(seconds, _)| seconds))?;
                        interactions.push((user, time, item));
                    }
                    None => {
                        summary.unknown_items += 1;
                        if unknown_items.len() < KEPT {
                            unknown_items.push(values[at].to_vec());
                        }
                    }
                }
            }
            for feature in &mut given {
                let text = feature_value(values[feature.at], &table.missing);
                feature.read(text, user).map_err(|reason| error(feature.at, reason))?;
            }
            Ok(())
        })?;
        if names.is_empty() {
            return Err(Error::input(path, "no users; list raw user ids, one per line"));
        }
        drop(found);

        let ids: Vec<u32> = names.iter().map(|name| vocabulary.number(RawId::Text(name)).unwrap_or(0)).collect();
        let is_word = |name: &str| name.chars().all(|c| c.is_alphabetic() || matches!(c, '_' | '-' | ' ' | '.'));
        if table.is_list && ids.len() > 1 && ids[0] == 0 && is_word(&names[0]) && ids[1..].iter().all(|&id| id > 0) {
            let (first, name) = (quoted(names[0].as_bytes()), &columns.user);
            let reason = format!("its first line, {first}, is not a known user, but all other lines are");
            return Err(Error::input(
                path,
                format!(
                    "{reason}; if it is a header, rename it to `{name}`; otherwise insert a line `{name}` above it"
                ),
            ));
        }
        summary.strangers = given.is_empty() && places.item.is_none() && ids.iter().all(|&id| id == 0);
        let is_new = |&&id: &&u32| id == 0 || id as usize >= vocabulary.rows();
        summary.users = names.len() as u64;
        summary.new_users = ids.iter().filter(is_new).count() as u64;
        summary.interactions = interactions.len() as u64;
        let new = names.iter().zip(&ids).filter(|(_, id)| **id == 0);
        let new: Vec<Vec<u8>> = new.take(KEPT).map(|(name, _)| name.as_bytes().to_vec()).collect();
        check_written(path, &new, summary.users, vocabulary, "users")?;
        check_written(
            path,
            &unknown_items,
            summary.interactions + summary.unknown_items,
            items,
            "interactions' items",
        )?;
        // Stable: rows of the same time stay in their order.
        interactions.sort_by_key(|&(user, time, _)| (user, time));
        let listed = Listed {
            features: (!given.is_empty()).then(|| complete(vocabulary, &ids, &given)),
            given: places.item.is_some().then(|| histories(&interactions, names.len())),
            names: raw_ids(&names, integers),
            ids,
        };
        Ok((Users::listed(vocabulary, listed), summary))
    }
}

/// Ids that are kept to see whether they would be known, written otherwise.
pub(super) const KEPT: usize = 20_000;

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
    fn read(&mut self, value: &[u8], user: u32) -> Result<(), String> {
        if value.is_empty() {
            return Ok(());
        }
        let text = std::str::from_utf8(value).map_err(|_| format!("{} is not UTF-8", quoted(value)))?;
        let start = self.codes.len() as u32;
        self.encoder.encode(text, &mut self.codes).map_err(|what| format!("`{text}` {what}"))?;
        let end = u32::try_from(self.codes.len()).map_err(|_| "more than 2^32 codes in the file".to_owned())?;
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
