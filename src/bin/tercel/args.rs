//! Flags that more than one subcommand has, and what they change in a configuration.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::error::{ContextKind, ErrorKind};
use tercel::config::{EarlyStop, Negatives, OptimizerKind};
use tercel::data::ingest::{FeatureSpec, Format, IngestConfig, OnError};
use tercel::data::split::SplitRule;
use tercel::table::{Mark, ReadOptions, TimeUnit};
use tercel::{Config, Device, Error, Result};

use crate::output::Output;

/// How the input is read and split.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Input")]
pub struct IngestFlags {
    /// csv, movielens, hm, arrow or parquet; told by the file names where it is not given
    #[arg(long)]
    pub format: Option<Format>,
    /// The user column; a common name (user_id, customer_id, …) is found without it
    #[arg(long, value_name = "COL")]
    pub user: Option<String>,
    /// The item column
    #[arg(long, value_name = "COL")]
    pub item: Option<String>,
    /// The time column: epoch seconds, YYYY-MM-DD, or YYYY-MM-DD HH:MM[:SS]
    #[arg(long, value_name = "COL")]
    pub time: Option<String>,
    /// The weight column: numbers from 0
    #[arg(long, value_name = "COL")]
    pub weight: Option<String>,
    #[command(flatten)]
    pub read: ReadFlags,
    /// last-per-user:N, time:VALID_START,TEST_START, random:FRACTION or none
    #[arg(long, value_name = "RULE")]
    pub split: Option<SplitRule>,
    /// A file of the validation split; may be given more than once
    #[arg(long, value_name = "INPUT")]
    pub valid: Vec<PathBuf>,
    /// A file of the test split; may be given more than once
    #[arg(long, value_name = "INPUT")]
    pub test: Vec<PathBuf>,
    /// The fewest training rows of a user and of an item; `N,M` sets them apart
    #[arg(long, value_name = "N[,M]", value_parser = min_count)]
    pub min_count: Option<(u32, u32)>,
    /// The fewest training rows of a user
    #[arg(long, value_name = "N")]
    pub min_user_count: Option<u32>,
    /// The fewest training rows of an item
    #[arg(long, value_name = "N")]
    pub min_item_count: Option<u32>,
    /// A file with one row per user: the id, then its features
    #[arg(long, value_name = "FILE")]
    pub user_features: Option<PathBuf>,
    /// A file with one row per item: the id, then its features
    #[arg(long, value_name = "FILE")]
    pub item_features: Option<PathBuf>,
    /// The key column of the user feature file: the column with the user column's name without it
    #[arg(long, value_name = "COL")]
    pub user_key: Option<String>,
    /// The key column of the item feature file: the column with the item column's name without it
    #[arg(long, value_name = "COL")]
    pub item_key: Option<String>,
    /// What a user feature is: categorical, multi-hot:SEP, numeric[:BUCKETS] or skip; may be given more than once
    #[arg(long, value_name = "COL=KIND", value_parser = FeatureSpec::parse_assignment)]
    pub user_feature: Vec<(String, FeatureSpec)>,
    /// What an item feature is
    #[arg(long, value_name = "COL=KIND", value_parser = FeatureSpec::parse_assignment)]
    pub item_feature: Vec<(String, FeatureSpec)>,
    /// What a row that cannot be read does: stop, or skip (it is counted and written to rejected.csv)
    #[arg(long, value_name = "stop|skip")]
    pub on_error: Option<OnError>,
}

impl IngestFlags {
    /// Puts every flag that was given over what `config` says.
    pub fn apply(&self, config: &mut IngestConfig) {
        over(&mut config.format, &self.format);
        over(&mut config.user, &self.user);
        over(&mut config.item, &self.item);
        over(&mut config.time, &self.time);
        over(&mut config.weight, &self.weight);
        self.read.apply(&mut config.read);
        over(&mut config.user_key, &self.user_key);
        over(&mut config.item_key, &self.item_key);
        over(&mut config.user_features, &self.user_features);
        over(&mut config.item_features, &self.item_features);
        set(&mut config.split, &self.split);
        set(&mut config.on_error, &self.on_error);
        if !self.valid.is_empty() {
            config.valid.clone_from(&self.valid);
        }
        if !self.test.is_empty() {
            config.test.clone_from(&self.test);
        }
        if let Some((user, item)) = self.min_count {
            (config.min_count.user, config.min_count.item) = (user, item);
        }
        set(&mut config.min_count.user, &self.min_user_count);
        set(&mut config.min_count.item, &self.min_item_count);
        config.user_feature_kinds.extend(self.user_feature.iter().cloned());
        config.item_feature_kinds.extend(self.item_feature.iter().cloned());
    }
}

/// How text files and times are written.
#[derive(Args, Clone, Debug, Default)]
pub struct ReadFlags {
    /// The separator of text files: `,` `tab` `;` `|` `::` or 1 to 8 bytes; detected from the first lines without it
    #[arg(long)]
    pub sep: Option<String>,
    /// The character that quotes a value, or none; `"` for `,` `;` `|` without it
    #[arg(long, value_name = "CHAR|none")]
    pub quote: Option<Mark>,
    /// The character that takes the next one as it is; Spark, MySQL and Hive write `\`
    #[arg(long, value_name = "CHAR")]
    pub escape: Option<Mark>,
    /// The words that stand for a missing value; without it: empty, \N, NULL, NaN, None, N/A, NA, <NA>, #N/A
    #[arg(long, value_name = "WORD,WORD", value_delimiter = ',')]
    pub null: Option<Vec<String>>,
    /// The columns' names, for text files without a header line
    #[arg(long, value_name = "A,B,C", value_delimiter = ',')]
    pub columns: Option<Vec<String>>,
    /// What integer times count: s, ms, us, ns or days since 1970-01-01, or a spreadsheet's day numbers (excel)
    #[arg(long, value_name = "s|ms|us|ns|days|excel")]
    pub time_unit: Option<TimeUnit>,
    /// How times are written: %Y%m%d, %d/%m/%Y
    #[arg(long, value_name = "FORMAT")]
    pub time_format: Option<String>,
}

impl ReadFlags {
    /// Puts every flag that was given over what `options` says.
    pub fn apply(&self, options: &mut ReadOptions) {
        over(&mut options.sep, &self.sep);
        over(&mut options.quote, &self.quote);
        over(&mut options.escape, &self.escape);
        over(&mut options.null, &self.null);
        over(&mut options.columns, &self.columns);
        over(&mut options.time_unit, &self.time_unit);
        over(&mut options.time_format, &self.time_format);
    }
}

/// What the model is and how it learns; the rest stands in a TOML file.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Model and training")]
pub struct TrainFlags {
    /// Width of the embeddings: a multiple of 4
    #[arg(long, value_name = "D")]
    pub dim: Option<usize>,
    /// Rows of a batch
    #[arg(long, value_name = "B")]
    pub batch_size: Option<usize>,
    /// Passes over the training split; by its rows where it is not given: 60 million rows' worth, from 5 to 30
    #[arg(long, value_name = "E")]
    pub epochs: Option<u64>,
    /// The peak learning rate
    #[arg(long, value_name = "X")]
    pub lr: Option<f32>,
    /// sgd, adagrad, rowwise-adagrad or adam
    #[arg(long, value_name = "NAME")]
    pub optimizer: Option<OptimizerKind>,
    /// Scores are divided by it
    #[arg(long, value_name = "T")]
    pub temperature: Option<f32>,
    /// in-batch, in-batch+uniform:M, cross-batch:M or full
    #[arg(long, value_name = "SPEC")]
    pub negatives: Option<Negatives>,
    /// Pools the last N items before a row into the user tower; 0 is off
    #[arg(long, value_name = "N")]
    pub history: Option<usize>,
    /// Stops when a validation metric has not improved for so many epochs: ndcg@20,3
    #[arg(long, value_name = "METRIC,PATIENCE")]
    pub early_stop: Option<EarlyStop>,
    /// Seed of initial values, order, negatives and rounding: the same seed gives the same bits
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Batches between checkpoints, beside the one at every epoch's end
    #[arg(long, value_name = "N")]
    pub checkpoint_every: Option<u64>,
}

impl TrainFlags {
    /// Puts every flag that was given over what `config` says.
    pub fn apply(&self, config: &mut Config) {
        set(&mut config.model.dim, &self.dim);
        set(&mut config.model.temperature, &self.temperature);
        set(&mut config.model.user.history, &self.history);
        set(&mut config.loss.negatives, &self.negatives);
        set(&mut config.optimizer.lr, &self.lr);
        set(&mut config.optimizer.name, &self.optimizer);
        set(&mut config.train.batch_size, &self.batch_size);
        over(&mut config.train.epochs, &self.epochs);
        set(&mut config.train.checkpoint_every, &self.checkpoint_every);
        set(&mut config.train.seed, &self.seed);
        over(&mut config.train.early_stop, &self.early_stop);
    }
}

/// Where the work runs.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Machine")]
pub struct MachineFlags {
    /// auto, cpu or cuda:N
    #[arg(long)]
    pub device: Option<Device>,
    /// Threads; 0 takes every core. The results do not depend on it
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

impl MachineFlags {
    /// The device, checked and said: a device that is not there is an error at once, not after an hour of ingest.
    pub fn device(&self, out: &Output) -> Result<Device> {
        announce(self.device.unwrap_or_default(), out)
    }

    pub fn threads(&self) -> usize {
        self.threads.unwrap_or(0)
    }
}

/// Says which device `asked` stands for, and why.
pub fn announce(asked: Device, out: &Output) -> Result<Device> {
    let choice = asked.choose()?;
    out.event("device", &choice);
    out.text(format_args!("device: {} ({})", choice.device, choice.reason));
    Ok(choice.device)
}

fn set<T: Clone>(field: &mut T, flag: &Option<T>) {
    if let Some(value) = flag {
        field.clone_from(value);
    }
}

fn over<T: Clone>(field: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        field.clone_from(flag);
    }
}

fn min_count(text: &str) -> Result<(u32, u32), String> {
    let number = |n: &str| n.trim().parse().map_err(|_| format!("`{n}` is not a number of rows"));
    match text.split_once(',') {
        Some((user, item)) => Ok((number(user)?, number(item)?)),
        None => number(text).map(|n| (n, n)),
    }
}

/// A number of bytes: `512MiB`, `2GB`, `1073741824`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(format!("`{text}` is not a number of bytes, as in 512MiB or 2GB")),
    };
    let number: Option<u64> = digits.parse().ok();
    let bytes = number.and_then(|n| n.checked_mul(factor)).filter(|&n| n > 0);
    bytes.ok_or_else(|| format!("`{text}` is not a number of bytes, as in 512MiB or 2GB"))
}

/// Reads a TOML file into a configuration; an error names the file, the line and the field.
pub fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    parse_toml(&text, &path.display().to_string())
}

/// [`read_toml`] of a text; `name` is what an error calls it.
pub fn parse_toml<T: serde::de::DeserializeOwned>(text: &str, name: &str) -> Result<T> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        let at = line.map_or(name.to_owned(), |line| format!("{name}: line {line}"));
        Error::config(at, one_line(error.message()))
    })
}

/// Joins the lines of a message: an error is one line.
pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// clap's message without the usage text, in one line, and where to read on.
pub fn usage_error(error: &clap::Error) -> String {
    let text = error.to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return text;
    }
    let words = text.split("\n\nUsage:").next().unwrap_or(&text);
    let words = words.split("\n\nFor more information").next().unwrap_or(words);
    // The usage line names the subcommand: `Usage: tercel train [OPTIONS] …`.
    let command: String = match error.get(ContextKind::Usage) {
        Some(usage) => {
            let usage = usage.to_string();
            let names = usage.split_whitespace().skip_while(|w| *w != "tercel").skip(1);
            names.take_while(|w| w.chars().all(|c| c.is_ascii_lowercase())).map(|w| format!("{w} ")).collect()
        }
        None => String::new(),
    };
    format!("{} (see `tercel {command}--help`)", one_line(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_bounds() {
        assert_eq!(bytes("512MiB"), Ok(512 << 20));
        assert_eq!(bytes("2gb"), Ok(2_000_000_000));
        assert_eq!(bytes("77"), Ok(77));
        for bad in ["", "0", "MiB", "1.5G", "3 bushels", "99999999999999G"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        assert_eq!(min_count("5"), Ok((5, 5)));
        assert_eq!(min_count("5,2"), Ok((5, 2)));
        assert!(min_count("5,").is_err() && min_count("-1").is_err());
    }

    #[test]
    fn a_toml_error_names_file_line_and_field() {
        let error = parse_toml::<Config>("[train]\nepochs = 3\nepoch = 4\n", "c.toml").expect_err("no such field");
        let text = error.to_string();
        assert!(text.starts_with("c.toml: line 3: ") && text.contains("`epoch`"), "{text}");
        assert_eq!((error.exit_code(), text.lines().count()), (2, 1));
    }

    #[test]
    fn only_flags_that_were_given_change_a_configuration() {
        let mut config = Config::default();
        config.train.epochs = Some(7);
        TrainFlags { dim: Some(32), ..TrainFlags::default() }.apply(&mut config);
        assert_eq!((config.model.dim, config.train.epochs, config.train.batch_size), (32, Some(7), 512));
    }
}
