//! What ingest can be told.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::split::SplitRule;
use crate::table::ReadOptions;
use crate::{Error, Result};

/// Everything that `tercel ingest` can be told beside its inputs and its output. Every field has a default; unknown
/// fields are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// The input's format. Default: told by the file names.
    pub format: Option<Format>,
    /// The user column. Default: a common name that the header has (`user_id`, `customer_id`, …).
    pub user: Option<String>,
    /// The item column. Default: a common name that the header has (`item_id`, `movieId`, …).
    pub item: Option<String>,
    /// The time column. Default: a common name that the header has (`timestamp`, `t_dat`, …), or none.
    pub time: Option<String>,
    /// The weight column (numbers from 0). Default: none, every row weighs the same.
    pub weight: Option<String>,
    /// How text files and times are written; in TOML and JSON these stand beside the others (`sep = "tab"`).
    #[serde(flatten)]
    pub read: ReadOptions,
    /// How the rows are split. Default `none`.
    pub split: SplitRule,
    /// Files of the validation split (with `split = "none"`), in the inputs' format.
    pub valid: Vec<PathBuf>,
    /// Files of the test split (with `split = "none"`), in the inputs' format.
    pub test: Vec<PathBuf>,
    /// Users and items with fewer training rows are left out. Default: none is.
    pub min_count: MinCount,
    /// A file with one row per user: the id, then features.
    pub user_features: Option<PathBuf>,
    /// A file with one row per item: the id, then features.
    pub item_features: Option<PathBuf>,
    /// The key column of the user feature file. Default: the column with the user column's name, or a known one.
    pub user_key: Option<String>,
    /// The key column of the item feature file. Default: the column with the item column's name, or a known one.
    pub item_key: Option<String>,
    /// Kinds of user feature columns, by name. Default: as their values look.
    pub user_feature_kinds: BTreeMap<String, FeatureSpec>,
    /// Kinds of item feature columns, by name. Default: as their values look.
    pub item_feature_kinds: BTreeMap<String, FeatureSpec>,
    /// What a row that cannot be read does. Default `stop`.
    pub on_error: OnError,
    /// Threads that read rows; 0 (default) takes every core. The result does not depend on it.
    pub threads: usize,
    /// Seed of the random split. Default 0.
    pub seed: u64,
}

impl IngestConfig {
    /// Checks the fields against each other.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn validate(&self) -> Result<()> {
        if self.split != SplitRule::None && !(self.valid.is_empty() && self.test.is_empty()) {
            return Err(Error::config("split", "files are given for a split: use `none` (the default) with them"));
        }
        self.read.validate()?;
        if self.threads > 1024 {
            return Err(Error::config("threads", format!("{} is more than 1024", self.threads)));
        }
        Ok(())
    }
}

/// How an input is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text with a separator: `,`, tab, `;`, `::`; plain, gzip or zstd.
    Csv,
    /// A MovieLens folder or its `ratings.dat`, `u.data` or `ratings.csv`.
    Movielens,
    /// An H&M folder or its `transactions_train.csv`.
    Hm,
    /// An Arrow IPC (Feather 2) file or stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl FromStr for Format {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "csv" | "tsv" => Ok(Format::Csv),
            "movielens" => Ok(Format::Movielens),
            "hm" => Ok(Format::Hm),
            "arrow" => Ok(Format::Arrow),
            "parquet" => Ok(Format::Parquet),
            _ => Err(Error::config("format", format!("`{text}` is not one of csv, movielens, hm, arrow, parquet"))),
        }
    }
}

/// The fewest training rows that a user and an item need. One pass: the rows of a user or item below its bound go, and
/// what is left is not counted against the bounds again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinCount {
    /// Of a user. 0 and 1 leave none out.
    pub user: u32,
    /// Of an item. 0 and 1 leave none out.
    pub item: u32,
}

/// What a row that cannot be read does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It ends the run, with file, row and column.
    #[default]
    Stop,
    /// It is left out, counted, and written to `rejected.csv` in the dataset's folder.
    Skip,
}

impl FromStr for OnError {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "stop" => Ok(OnError::Stop),
            "skip" => Ok(OnError::Skip),
            _ => Err(Error::config("on_error", format!("`{text}` is not one of stop, skip"))),
        }
    }
}

/// What a feature column is to become: `categorical`, `multi-hot:SEPARATOR`, `numeric`, `numeric:BUCKETS` or `skip`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FeatureSpec {
    /// One value of a closed set.
    Categorical,
    /// Several values of a closed set in one cell, with this between them.
    MultiHot(String),
    /// A number, in this many quantile buckets at most (2 to 4096; 32 where none is given).
    Numeric(u32),
    /// Left out.
    Skip,
}

/// Buckets of a numeric feature where none are given.
pub(super) const BUCKETS: u32 = 32;

impl FeatureSpec {
    /// Reads `COLUMN=KIND`, as a command-line flag has it.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn parse_assignment(text: &str) -> Result<(String, FeatureSpec)> {
        match text.split_once('=') {
            Some((column, kind)) if !column.is_empty() => Ok((column.to_owned(), kind.parse()?)),
            _ => Err(Error::config("feature", format!("`{text}` is not COLUMN=KIND, as in age=numeric:16"))),
        }
    }
}

impl FromStr for FeatureSpec {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let spec = match text.split_once(':') {
            None if text == "categorical" => Some(FeatureSpec::Categorical),
            None if text == "numeric" => Some(FeatureSpec::Numeric(BUCKETS)),
            None if text == "skip" => Some(FeatureSpec::Skip),
            Some(("numeric", n)) => n.parse().ok().filter(|n| (2..=4096).contains(n)).map(FeatureSpec::Numeric),
            Some(("multi-hot", separator)) if !separator.is_empty() => Some(FeatureSpec::MultiHot(separator.into())),
            _ => None,
        };
        spec.ok_or_else(|| {
            Error::config(
                "feature",
                format!(
                    "`{text}` is not one of categorical, multi-hot:SEPARATOR, numeric, numeric:BUCKETS (2 to 4096), skip"
                ),
            )
        })
    }
}

impl fmt::Display for FeatureSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FeatureSpec::Categorical => f.write_str("categorical"),
            FeatureSpec::MultiHot(separator) => write!(f, "multi-hot:{separator}"),
            FeatureSpec::Numeric(buckets) => write!(f, "numeric:{buckets}"),
            FeatureSpec::Skip => f.write_str("skip"),
        }
    }
}

impl TryFrom<String> for FeatureSpec {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<FeatureSpec> for String {
    fn from(spec: FeatureSpec) -> String {
        spec.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_round_trip_and_unknown_fields() {
        let text = r#"
            format = "hm"
            sep = "tab"
            split = "time:2017-12-04,2017-12-11"
            on_error = "skip"
            min_count = { user = 2 }
            user_feature_kinds = { age = "numeric:16", tags = "multi-hot:|" }
        "#;
        let config: IngestConfig = toml::from_str(text).unwrap();
        config.validate().unwrap();
        assert_eq!(config.format, Some(Format::Hm));
        assert_eq!(config.min_count, MinCount { user: 2, item: 0 });
        assert_eq!(config.user_feature_kinds["age"], FeatureSpec::Numeric(16));
        assert_eq!(config.read.sep.as_deref(), Some("tab"));
        let again: IngestConfig = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        assert!(toml::from_str::<IngestConfig>("spilt = \"none\"").is_err());
        assert!(toml::from_str::<IngestConfig>("user_feature_kinds = { a = \"numbers\" }").is_err());
    }

    #[test]
    fn fields_that_do_not_go_together() {
        let files = IngestConfig { split: SplitRule::Random(0.1), test: vec!["t.csv".into()], ..Default::default() };
        assert!(files.validate().unwrap_err().to_string().starts_with("split: "));
        let sep: IngestConfig = toml::from_str("sep = '\"'").unwrap();
        assert!(sep.validate().unwrap_err().to_string().starts_with("sep: "));
    }

    #[test]
    fn feature_flags() {
        assert_eq!(FeatureSpec::parse_assignment("a=numeric").unwrap(), ("a".into(), FeatureSpec::Numeric(32)));
        assert_eq!(
            FeatureSpec::parse_assignment("a=multi-hot::").unwrap(),
            ("a".into(), FeatureSpec::MultiHot(":".into()))
        );
        for bad in ["a", "=skip", "a=numeric:1", "a=multi-hot:", "a=text"] {
            assert!(FeatureSpec::parse_assignment(bad).is_err(), "{bad}");
        }
    }
}
