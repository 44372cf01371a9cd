//! What a search may change: settings, each with a range or a list of values.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::axis::{Axis, Range};
use crate::config::{Config, Table};
use crate::settings::Description;
pub(super) use crate::settings::as_written;
use crate::{Error, Result};

/// The settings of one trial that the search chose, by key (`model.temperature`).
pub type Chosen = BTreeMap<String, Value>;

/// The settings that are searched, by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Space(pub BTreeMap<String, Axis>);

impl Space {
    /// Reads a TOML text: the tables of the settings, with lists of values or `{ from, to, scale }` for values.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key that cannot be searched, and `name`, which the text is called.
    pub fn from_toml(text: &str, name: &str) -> Result<Space> {
        let table: Value = toml::from_str(text).map_err(|e| Error::config(name, e.message().to_owned()))?;
        Space::from_value(&table, name)
    }

    /// The same from a file's contents.
    ///
    /// # Errors
    /// As [`from_toml`](Space::from_toml).
    pub fn from_value(table: &Value, name: &str) -> Result<Space> {
        let mut space = Space::default();
        collect("", table, &Config::describe(), &mut space).map_err(|reason| Error::config(name, reason))?;
        space.check(name)?;
        Ok(space)
    }

    /// Refuses what cannot be searched; `name` is what an error calls the space.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        let refuse = |reason: String| Error::config(name, reason);
        if self.0.is_empty() {
            return Err(refuse("names no settings to search".into()));
        }
        let settings = Config::describe();
        let default = Config::default();
        for (key, axis) in &self.0 {
            searched(key, &settings).map_err(refuse)?;
            let ends = match axis {
                Axis::Choices(choices) => choices.clone(),
                Axis::Range(range) => vec![range.number(range.from), range.number(range.to)],
            };
            let tried = ends.into_iter().try_for_each(|value| {
                with(&default, &Chosen::from([(key.clone(), value)]))?.check().map_err(|e| e.to_string())
            });
            axis.check().and(tried).map_err(|reason| {
                // What a setting says of itself starts with its key.
                let named = reason.starts_with(&format!("{key}: "));
                refuse(if named { reason } else { format!("{key}: {reason}") })
            })?;
        }
        Ok(())
    }
}

/// Refuses a key that is no setting, or one that is not about how good a model is.
fn searched(key: &str, settings: &[Description]) -> Result<(), String> {
    match settings.iter().find(|setting| setting.key == key) {
        None => Err(format!("{key}: no such setting")),
        Some(setting) if setting.searched => Ok(()),
        Some(_) => {
            let others = settings.iter().filter(|setting| setting.searched).map(|setting| setting.key.as_str());
            let others: BTreeSet<&str> = others.collect();
            let others = others.into_iter().collect::<Vec<_>>().join(", ");
            Err(format!(
                "{key}: does not affect model quality and cannot be searched (pass it to the search itself); settings that \
                 can be searched: {others}"
            ))
        }
    }
}

/// Finds the axes in a table of a file.
fn collect(prefix: &str, table: &Value, known: &[Description], space: &mut Space) -> Result<(), String> {
    let Value::Object(fields) = table else { return Err(format!("{prefix}: not a table")) };
    for (name, value) in fields {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        if known.iter().any(|known| known.key == key) {
            // Before its values, which are none of a search's.
            searched(&key, known)?;
            let axis = match value {
                Value::Array(choices) => Axis::Choices(choices.clone()),
                Value::Object(_) if !takes(&key, &json!(1)) => {
                    return Err(format!("{key}: takes no numbers, so it has no range; list the values to try"));
                }
                Value::Object(_) => {
                    let range: Range = serde_json::from_value(value.clone()).map_err(|e| {
                        format!("{key}: {}", e.to_string().replace("expected f64", "expected a number"))
                    })?;
                    Axis::Range(Range { whole: range.whole || counts(&key), ..range })
                }
                fixed => Axis::Choices(vec![fixed.clone()]),
            };
            space.0.insert(key, axis);
        } else if known.iter().any(|known| known.key.starts_with(&format!("{key}."))) {
            collect(&key, value, known, space)?;
        } else {
            return Err(format!("{key}: no such setting"));
        }
    }
    Ok(())
}

/// Whether a setting takes whole numbers alone.
fn counts(key: &str) -> bool {
    takes(key, &json!(1)) && !takes(key, &json!(1.5))
}

/// Whether a value is of a setting's type.
fn takes(key: &str, value: &Value) -> bool {
    with(&Config::default(), &Chosen::from([(key.to_owned(), value.clone())])).is_ok()
}

/// The settings with what was chosen put over them.
///
/// # Errors
/// Why a value does not fit its setting.
pub(super) fn with(config: &Config, chosen: &Chosen) -> Result<Config, String> {
    let mut all = serde_json::to_value(config).map_err(|e| e.to_string())?;
    for (key, value) in chosen {
        *field(&mut all, key) = value.clone();
    }
    serde_json::from_value(all).map_err(|e| e.to_string())
}

/// A setting's value in the settings' JSON.
pub(super) fn value_of(all: &Value, key: &str) -> Value {
    key.split('.').try_fold(all, |table, name| table.get(name)).cloned().unwrap_or_default()
}

/// The place of a key in a JSON object, made where it is missing.
pub(super) fn field<'a>(all: &'a mut Value, key: &str) -> &'a mut Value {
    key.split('.').fold(all, |table, name| {
        if !table.is_object() {
            *table = Value::Object(Map::new());
        }
        // Index inserts null for a new key of an object.
        &mut table[name]
    })
}

#[cfg(test)]
mod tests;
