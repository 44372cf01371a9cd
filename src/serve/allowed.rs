//! Which items may be recommended at all.

use std::path::{Path, PathBuf};

use super::model::Model;
use super::who::name;
use super::{Note, Observer};
use crate::data::dataset::{Feature, FeatureKind};
use crate::data::vocabulary::{FeatureColumn, RawId};
use crate::index::filter::{AllowList, in_all};
use crate::table::{Input, ReadOptions};
use crate::{Error, Result};

/// A feature with more values than this gives no tags.
const MOST_TAGS: usize = 4096;

/// The only items that may be recommended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Items {
    /// Those with these raw ids; what the model does not know cannot be recommended and is counted.
    Ids(Vec<String>),
    /// Those of a file or of a table in memory ([`AllowList::read`]).
    Table(Input),
}

impl Items {
    /// These raw ids.
    pub fn ids<I: ToString>(ids: impl IntoIterator<Item = I>) -> Items {
        Items::Ids(ids.into_iter().map(|id| id.to_string()).collect())
    }
}

impl From<&Path> for Items {
    fn from(path: &Path) -> Items {
        Items::Table(path.to_owned().into())
    }
}

impl From<PathBuf> for Items {
    fn from(path: PathBuf) -> Items {
        Items::Table(path.into())
    }
}

impl From<Vec<String>> for Items {
    fn from(ids: Vec<String>) -> Items {
        Items::Ids(ids)
    }
}

impl<const N: usize> From<[&str; N]> for Items {
    fn from(ids: [&str; N]) -> Items {
        Items::ids(ids)
    }
}

impl Model {
    /// The rows that may be recommended, ascending; absent for all.
    pub(super) fn allowed(
        &self,
        items: Option<&Items>,
        tags: &[String],
        read: &ReadOptions,
        observer: &mut Observer<'_>,
    ) -> Result<Option<Vec<u32>>> {
        let mut lists = tags.iter().map(|tag| self.tagged(tag)).collect::<Result<Vec<_>>>()?;
        if let Some(items) = items {
            let (list, file) = match items {
                Items::Table(input) => {
                    let column = &self.info().columns.item;
                    (AllowList::read(input.clone(), self.items(), column, read)?, Some(name(input)))
                }
                Items::Ids(ids) => (self.listed(ids)?, None),
            };
            if let Some(first) = list.first_unknown {
                let (unknown, listed) = (list.unknown, list.listed);
                observer.note(Note::UnknownItems { file, unknown, listed, first })?;
            }
            lists.push(list.rows);
        }
        match in_all(lists) {
            Some(rows) if rows.is_empty() => Err(Error::config("tag", "no item matches all conditions; use fewer")),
            rows => Ok(rows),
        }
    }

    fn listed(&self, ids: &[String]) -> Result<AllowList> {
        let mut list = AllowList { rows: Vec::new(), listed: ids.len() as u64, unknown: 0, first_unknown: None };
        for id in ids {
            match self.items().find(RawId::Text(id)) {
                Some(row) => list.rows.push(row),
                None => {
                    list.unknown += 1;
                    list.first_unknown.get_or_insert_with(|| id.clone());
                }
            }
        }
        list.rows.sort_unstable();
        list.rows.dedup();
        if list.rows.is_empty() {
            let reason = match &list.first_unknown {
                Some(id) => format!("none of the {} items is known to the model (the first is `{id}`)", ids.len()),
                None => "no item may be recommended: the list is empty".to_owned(),
            };
            return Err(Error::config("items", reason));
        }
        Ok(list)
    }

    /// The items whose feature `column` has this value, as `tag` says them (`column=value`): rows of the vocabulary,
    /// ascending.
    ///
    /// # Errors
    /// [`Error::Config`] when no item has it; it names what there is.
    pub fn tagged(&self, tag: &str) -> Result<Vec<u32>> {
        let Some((name, value)) = tag.split_once('=') else {
            return Err(Error::config("tag", format!("`{tag}` is not COLUMN=VALUE, as in category=shoes")));
        };
        let Some((feature, column)) = self.item_features().find(|(feature, _)| feature.name == name) else {
            let names: Vec<&str> = self.item_features().map(|(feature, _)| feature.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return Err(Error::config("tag", format!("there is no item feature `{name}`; the features are: {names}")));
        };
        let tags = tags(feature, column);
        match tags.iter().find(|(of, items)| *of == value && !items.is_empty()) {
            Some((_, items)) => Ok(items.clone()),
            None => {
                let values: Vec<&str> = tags.iter().map(|(value, _)| *value).take(8).collect();
                let values = if values.is_empty() { "none that can be matched".to_owned() } else { values.join(", ") };
                Err(Error::config("tag", format!("no item has {name} `{value}`; values are {values} …")))
            }
        }
    }

    pub(super) fn item_features(&self) -> impl Iterator<Item = (&Feature, &FeatureColumn)> {
        self.info().items.features.iter().zip(&self.items().table.features)
    }
}

/// The values of a feature, each with the items that have it, ascending; none of a number, or of too many values.
pub(super) fn tags<'a>(feature: &'a Feature, column: &FeatureColumn) -> Vec<(&'a str, Vec<u32>)> {
    let values = match &feature.kind {
        FeatureKind::Categorical { values } | FeatureKind::MultiHot { values, .. } if values.len() <= MOST_TAGS => {
            values
        }
        _ => return Vec::new(),
    };
    let mut tags: Vec<(&str, Vec<u32>)> = values.iter().map(|value| (value.as_str(), Vec::new())).collect();
    // Code 0 is no value.
    let mut take = |code: u32, row: usize| {
        if let Some((_, items)) = (code as usize).checked_sub(1).and_then(|at| tags.get_mut(at)) {
            items.push(row as u32);
        }
    };
    match column {
        FeatureColumn::Codes(codes) => codes.iter().enumerate().skip(1).for_each(|(row, &code)| take(code, row)),
        FeatureColumn::Lists { offsets, codes } => {
            for (row, range) in offsets.windows(2).enumerate().skip(1) {
                codes[range[0] as usize..range[1] as usize].iter().for_each(|&code| take(code, row));
            }
        }
    }
    tags
}
