//! What every table of settings can do.

use serde::de::MapAccess;
use serde::ser::SerializeStruct;

use super::{Description, Setting};
use crate::{Error, Result};

/// A table of settings, as the macro `settings!` defines it.
pub trait Table: Clone + Default + 'static {
    /// The heading of its flags.
    const HEADING: &'static str;

    /// Every setting of the table and of the tables in it.
    fn settings() -> Vec<Setting<Self>>;

    /// Its own keys.
    #[doc(hidden)]
    fn keys() -> Vec<&'static str>;

    /// Reads the value of `key`; false where there is no such key.
    #[doc(hidden)]
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<bool, A::Error>;

    /// Writes every field.
    #[doc(hidden)]
    fn give<S: SerializeStruct>(&self, to: &mut S) -> Result<(), S::Error>;

    /// Checks every setting alone.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first setting that cannot be used.
    fn check(&self) -> Result<()> {
        self.check_in("")
    }

    /// Checks every setting alone; `table` is where they stand.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first setting that cannot be used.
    fn check_in(&self, table: &str) -> Result<()> {
        let dot = if table.is_empty() { "" } else { "." };
        Self::settings().iter().try_for_each(|setting| {
            (setting.check)(self).map_err(|reason| Error::config(format!("{table}{dot}{}", setting.key), reason))
        })
    }

    /// What is known of every setting: the source of `--help` and of every printed list.
    #[must_use]
    fn describe() -> Vec<Description> {
        Self::settings().iter().map(Setting::describe).collect()
    }
}
