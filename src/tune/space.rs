//! What a search may change: settings, each with a range or a list of values.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

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

/// What one setting may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Axis {
    /// One of these values.
    Choices(Vec<Value>),
    /// A number between two.
    Range(Range),
}

/// A range as a file has it: `{ from = 0.05, to = 0.3, scale = "log" }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The smallest value.
    pub from: f64,
    /// The largest value.
    pub to: f64,
    /// What is drawn evenly: the values, or their logarithms.
    #[serde(default)]
    pub scale: Scale,
    /// Whether only whole numbers are drawn. A range that is read has it of itself where its setting takes no others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

/// How a range is drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// Evenly by order of magnitude.
    Log,
}

impl Axis {
    /// Where a value lies in the axis: the number of the choice, or from 0 to 1 in the range. None for a value that is not
    /// in it.
    pub(super) fn place(&self, value: &Value) -> Option<f64> {
        match self {
            Axis::Choices(choices) => choices.iter().position(|choice| same(choice, value)).map(|at| at as f64),
            Axis::Range(range) => range.place(value.as_f64()?),
        }
    }

    /// The value at a [place](Axis::place), numbers with three digits, as people would choose them.
    pub(super) fn at(&self, place: f64) -> Value {
        match self {
            Axis::Choices(choices) => choices[(place.max(0.0) as usize).min(choices.len() - 1)].clone(),
            Axis::Range(range) => range.number(range.at(place)),
        }
    }

    fn check(&self) -> Result<(), String> {
        match self {
            Axis::Choices(choices) if choices.is_empty() => Err("empty list: there is nothing to choose from".into()),
            Axis::Range(Range { from, to, scale, whole }) => {
                let positive = *scale == Scale::Linear || *from > 0.0;
                let no_counts = *whole && [from, to].iter().any(|end| end.fract() != 0.0 || **end < 0.0);
                match from < to && from.is_finite() && to.is_finite() && positive {
                    true if no_counts => {
                        Err(format!("takes whole numbers from 0, so the range cannot be {from} to {to}"))
                    }
                    true => Ok(()),
                    false => Err(format!(
                        "{from} to {to} is not a valid range: it must be finite and increasing, and positive on a log scale"
                    )),
                }
            }
            Axis::Choices(_) => Ok(()),
        }
    }
}

impl Range {
    /// Where a value lies, from 0 to 1; None for one outside. A whole number lies in the middle of what is drawn as it.
    fn place(&self, value: f64) -> Option<f64> {
        let (value, to) = if self.whole { (value + 0.5, self.to + 1.0) } else { (value, self.to) };
        let place = match self.scale {
            Scale::Linear => (value - self.from) / (to - self.from),
            Scale::Log => (value / self.from).ln() / (to / self.from).ln(),
        };
        (-1e-6..=1.0 + 1e-6).contains(&place).then_some(place.clamp(0.0, 1.0))
    }

    fn at(&self, place: f64) -> f64 {
        let to = if self.whole { self.to + 1.0 } else { self.to };
        let value = match self.scale {
            Scale::Linear => self.from + place * (to - self.from),
            Scale::Log => self.from * (to / self.from).powf(place),
        };
        (if self.whole { value.floor() } else { three_digits(value) }).clamp(self.from, self.to)
    }

    /// A value as its setting is written.
    fn number(&self, value: f64) -> Value {
        if self.whole { json!(value as u64) } else { json!(value) }
    }
}

/// Equal, 1 and 1.0 too.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * a.abs().max(b.abs()),
        _ => a == b,
    }
}

fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

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
mod tests {
    use super::*;

    const FILE: &str = r#"
        [model]
        temperature = { from = 0.05, to = 0.5, scale = "log" }
        popularity = { from = 0.0, to = 1.0 }
        [model.user]
        history = [0, 2, 20]
        mlp = [[], [128]]
        [loss]
        negatives = ["in-batch", "full"]
    "#;

    #[test]
    fn a_file_names_what_is_searched() {
        let space = Space::from_toml(FILE, "space.toml").unwrap();
        let keys: Vec<&str> = space.0.keys().map(String::as_str).collect();
        let expected =
            ["loss.negatives", "model.popularity", "model.temperature", "model.user.history", "model.user.mlp"];
        assert_eq!(keys, expected);
        // As the state of a search keeps it.
        let text = serde_json::to_string(&space).unwrap();
        assert_eq!(serde_json::from_str::<Space>(&text).unwrap(), space);
    }

    #[test]
    fn places_and_values_are_each_others_reverse() {
        let space = Space::from_toml(FILE, "space.toml").unwrap();
        let temperature = &space.0["model.temperature"];
        assert_eq!(temperature.at(0.0), json!(0.05));
        assert_eq!(temperature.at(0.5), json!(0.158));
        assert_eq!(temperature.at(1.0), json!(0.5));
        assert!((temperature.place(&json!(0.158)).unwrap() - 0.5).abs() < 1e-3);
        assert_eq!(temperature.place(&json!(0.6)), None);
        let mlp = &space.0["model.user.mlp"];
        assert_eq!((mlp.at(1.99), mlp.place(&json!([128]))), (json!([128]), Some(1.0)));
        assert_eq!(space.0["model.user.history"].place(&json!(2.0)), Some(1.0));
    }

    #[test]
    fn of_a_setting_that_counts_whole_numbers_are_drawn() {
        let text =
            "[model.user]\nhistory = { from = 1, to = 5 }\n[train]\nepochs = { from = 5, to = 60, scale = 'log' }";
        let space = Space::from_toml(text, "space.toml").unwrap();
        let history = &space.0["model.user.history"];
        let drawn = [0.0, 0.199, 0.201, 0.5, 0.99, 1.0].map(|place| history.at(place));
        assert_eq!(drawn, [1, 1, 2, 3, 5, 5].map(|number| json!(number)));
        let epochs = &space.0["train.epochs"];
        assert_eq!([epochs.at(0.0), epochs.at(1.0)], [json!(5), json!(60)]);
        for (axis, numbers) in [(history, 1..=5), (epochs, 5..=60)] {
            assert!(numbers.clone().all(|number| axis.at(axis.place(&json!(number)).unwrap()) == json!(number)));
            assert_eq!(axis.place(&json!(numbers.end() + 1)), None);
        }
        assert_eq!(serde_json::from_str::<Space>(&serde_json::to_string(&space).unwrap()).unwrap(), space);
        let error =
            Space::from_toml("[train]\nepochs = { from = 1.5, to = 3.0 }", "space.toml").unwrap_err().to_string();
        assert!(error.contains("train.epochs: takes whole numbers from 0, so the range cannot be 1.5 to 3"), "{error}");
    }

    #[test]
    fn what_cannot_be_searched_is_named() {
        for (text, words) in [
            ("", "no settings to search"),
            ("[model]\ntemprature = [1]", "model.temprature: no such setting"),
            ("[model]\ntemperature = []", "model.temperature: empty list"),
            ("[model]\ntemperature = { from = 0.0, to = 1.0, scale = \"log\" }", "model.temperature:"),
            ("[model]\ntemperature = { from = 1.0, to = 0.1 }", "is not a valid range"),
            ("[model]\ntemperature = { from = 1.0, too = 0.1 }", "unknown field `too`"),
            ("[optimizer]\nwarmup_steps = { from = -1, to = 9 }", "optimizer.warmup_steps: takes whole numbers from 0"),
            ("[loss]\nnegatives = { from = 1, to = 2 }", "loss.negatives: takes no numbers"),
            ("[model.user]\nid = { from = 0, to = 1 }", "model.user.id: takes no numbers"),
            (
                "[model]\ntemperature = { from = \"low\", to = 1.0 }",
                "model.temperature: invalid type: string \"low\", expected a number",
            ),
            ("[model]\ndim = [3]", "space.toml: model.dim: 3 is not a multiple of 4"),
            ("[train]\nbatch_size = [0]", "space.toml: train.batch_size: 0"),
            ("[train]\nbatch_size = [\"many\"]", "train.batch_size"),
            ("model = 3", "not a table"),
        ] {
            let error = Space::from_toml(text, "space.toml").unwrap_err().to_string();
            assert!(error.contains("space.toml") && error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_search_tries_what_makes_a_model_better_and_nothing_else() {
        let settings = Config::describe();
        let kept: Vec<&str> = settings.iter().filter(|one| !one.searched).map(|one| one.key.as_str()).collect();
        let expected = [
            "train.seed",
            "train.device",
            "train.instructions",
            "train.threads",
            "train.checkpoint_every",
            "train.early_stop",
        ];
        assert_eq!(kept, expected, "a new setting is searched, or says that it is not");
        for key in expected {
            let name = key.strip_prefix("train.").unwrap();
            let error = Space::from_toml(&format!("[train]\n{name} = [1, 2]"), "space.toml").unwrap_err().to_string();
            assert!(error.starts_with(&format!("space.toml: {key}: ")), "{error}");
            let (_, listed) = error.split_once("settings that can be searched: ").unwrap();
            assert!(listed.contains("optimizer.lr, ") && listed.contains(", train.epochs"), "{error}");
            assert!(expected.iter().all(|other| !listed.contains(other)), "{error}");
            // Not by hand either.
            let space = Space([(key.to_owned(), Axis::Choices(vec![json!(1)]))].into());
            assert!(space.check("space").unwrap_err().to_string().contains(key));
        }
    }

    #[test]
    fn what_is_chosen_stands_over_the_settings() {
        let chosen = Chosen::from([
            ("model.user.history".to_owned(), json!(2)),
            ("loss.negatives".to_owned(), json!("full")),
            ("train.epochs".to_owned(), json!(7)),
        ]);
        let config = with(&Config::default(), &chosen).unwrap();
        assert_eq!(config.train.epochs, Some(7));
        let all = serde_json::to_value(&config).unwrap();
        assert_eq!(value_of(&all, "loss.negatives"), json!("full"));
        let half = with(&config, &Chosen::from([("model.temperature".to_owned(), json!(0.158))])).unwrap();
        let half = value_of(&serde_json::to_value(half).unwrap(), "model.temperature");
        assert_eq!(as_written(half), json!(0.158));
        assert_eq!([as_written(json!(3)), as_written(json!("full"))], [json!(3), json!("full")]);
        assert!(with(&config, &Chosen::from([("train.epochs".to_owned(), json!("x"))])).is_err());
    }
}
