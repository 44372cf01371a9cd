//! Who is asked about, before it is looked up in a model.

use std::path::{Path, PathBuf};

use super::{Note, Observer};
use crate::data::dataset::SourceColumns;
use crate::data::vocabulary::{RawId, Vocabulary};
use crate::index::Users;
use crate::table::{Input, ReadOptions};
use crate::{Error, Result};

/// The users of a request.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Who {
    /// Everybody: the users that the model was trained with, then those that only the other splits of its dataset name.
    #[default]
    Everyone,
    /// The users with these raw ids; one that the model does not know is an error.
    Ids(Vec<String>),
    /// The users of a file or of a table in memory ([`Users::read`]): ids, items that they had, features. New users are
    /// welcome.
    Table(Input),
}

impl Who {
    /// These raw ids.
    pub fn ids<I: ToString>(ids: impl IntoIterator<Item = I>) -> Who {
        Who::Ids(ids.into_iter().map(|id| id.to_string()).collect())
    }

    /// Looks the users up. `elsewhere`: a dataset may know users whom the model does not.
    ///
    /// # Errors
    /// Those of [`Users::read`]; [`Error::Input`] for a table of nobody who is known anywhere, of whom it tells nothing.
    pub(super) fn find<'a>(
        self,
        users: &'a Vocabulary,
        items: &Vocabulary,
        columns: &SourceColumns,
        read: &ReadOptions,
        elsewhere: bool,
        observer: &mut Observer<'_>,
    ) -> Result<Users<'a>> {
        match self {
            Who::Everyone => Ok(Users::all(users)),
            Who::Ids(ids) => Ok(Users::of(users, numbers(&ids, "users", |id| users.number(id))?)),
            Who::Table(input) => {
                let source = name(&input);
                let (users, summary) = Users::read(input, users, items, columns, read)?;
                if summary.strangers && !elsewhere {
                    let first = users.name(0).map(|id| id.to_string()).unwrap_or_default();
                    let reason =
                        format!("none of its {} users is known to the model (the first is `{first}`)", summary.users);
                    let advice = "for new users, the table needs their features or their items";
                    return Err(Error::input(source, format!("{reason}; {advice}")));
                }
                if summary.new_users > 0 {
                    observer.note(Note::NewUsers { source, summary })?;
                }
                Ok(users)
            }
        }
    }
}

/// What an input is called.
pub(super) fn name(input: &Input) -> PathBuf {
    match input {
        Input::Path(path) => path.clone(),
        Input::Table(table) => table.name().to_owned(),
    }
}

/// The numbers of raw ids, as `find` knows them.
///
/// # Errors
/// [`Error::Config`] that names the first unknown id.
pub(super) fn numbers(ids: &[String], field: &str, find: impl Fn(RawId<'_>) -> Option<u32>) -> Result<Vec<u32>> {
    let unknown = |id| Error::config(field, format!("`{id}` is not known to the model"));
    ids.iter().map(|id| find(RawId::Text(id)).ok_or_else(|| unknown(id))).collect()
}

impl From<&Path> for Who {
    fn from(path: &Path) -> Who {
        Who::Table(path.to_owned().into())
    }
}

impl From<PathBuf> for Who {
    fn from(path: PathBuf) -> Who {
        Who::Table(path.into())
    }
}

impl From<Vec<String>> for Who {
    fn from(ids: Vec<String>) -> Who {
        Who::Ids(ids)
    }
}

impl<const N: usize> From<[&str; N]> for Who {
    fn from(ids: [&str; N]) -> Who {
        Who::ids(ids)
    }
}
