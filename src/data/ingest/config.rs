//! What ingest can be told.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::split::SplitRule;
use crate::settings::define::settings;
use crate::settings::limits::{self, MAX_THREADS, at_most};
use crate::settings::value::{choices, words};
use crate::settings::{Table, Word};
use crate::table::ReadOptions;
use crate::{Error, Result};

settings! {
    /// Everything that `tercel ingest` can be told beside its inputs and its output. Every field has a default; unknown
    /// fields are refused.
    pub struct IngestConfig["Input"] {
        /// Input format.
        pub format: Option<Format> = None, "detected from the file names" => flag("");
        /// User column.
        pub user: Option<String> = None, "a common name found in the header (user_id, customer_id, …)" => flag("COL");
        /// Item column.
        pub item: Option<String> = None, "a common name found in the header (item_id, movieId, …)" => flag("COL");
        /// Time column: numbers, dates, or dates with a time of day.
        pub time: Option<String> = None, "a common name found in the header (timestamp, t_dat, …), else none"
            => flag("COL");
        /// Weight column: non-negative numbers.
        pub weight: Option<String> = None, "none; all rows have equal weight" => flag("COL");
        /// Format of text files and times.
        pub read: ReadOptions, flat;
        /// How rows are split: `last-per-user:N`, `time:TEST`, `time:VALID,TEST`, `random:FRACTION` or `none`.
        pub split: SplitRule = SplitRule::None => flag("RULE");
        /// Files of the validation split, in the input format; requires `split = "none"`.
        pub valid: Vec<PathBuf> = Vec::new() => flag("INPUT");
        /// Files of the test split, in the input format; requires `split = "none"`.
        pub test: Vec<PathBuf> = Vec::new() => flag("INPUT");
        /// Minimum number of training rows per user and per item; `N,M` sets them separately. Users and items with fewer
        /// are removed from every split.
        pub min_count: MinCount, table => flag("N[,M]");
        /// Keeps validation and test rows of users and items below the minimum count, treating them as new.
        pub keep_below_min_count: bool = false => flag("");
        /// File of user features: one row per user, with a key column.
        pub user_features: Option<PathBuf> = None, "none" => flag("FILE");
        /// File of item features: one row per item, with a key column.
        pub item_features: Option<PathBuf> = None, "none" => flag("FILE");
        /// Key column of the user feature file.
        pub user_key: Option<String> = None, "the column named like the user column, or a common name" => flag("COL");
        /// Key column of the item feature file.
        pub item_key: Option<String> = None, "the column named like the item column, or a common name" => flag("COL");
        /// Type of a user feature column: categorical, multi-hot:SEP, numeric, numeric:BUCKETS or skip. The types of the
        /// other columns are inferred from their values.
        pub user_feature_kinds: BTreeMap<String, FeatureSpec> = BTreeMap::new()
            => flag_named("user-feature", "COL=KIND");
        /// Type of an item feature column: categorical, multi-hot:SEP, numeric, numeric:BUCKETS or skip. The types of the
        /// other columns are inferred from their values.
        pub item_feature_kinds: BTreeMap<String, FeatureSpec> = BTreeMap::new()
            => flag_named("item-feature", "COL=KIND");
        /// How to handle malformed rows: stop, or skip, count and write them to rejected.csv.
        pub on_error: OnError = OnError::Stop => flag("");
        /// Number of threads that read rows; 0 uses every core. Does not affect the result.
        pub threads: usize = 0 => flag("N").under("Machine").check(at_most(MAX_THREADS));
        /// Seed for the random split.
        pub seed: u64 = 0 => flag("S");
    }

    /// The fewest training rows that a user and an item need. The rows of a user or item below its bound leave the
    /// dataset, those of the validation and test splits with those of the training split: nobody is measured, or given a
    /// list, who was not trained on. From a bound of 2 on this is also true of those whose training rows all went with
    /// the other side, and of the new ones, who have none; with a bound of 0 or 1 new users and items stay, as unseen
    /// ones. One pass: what is left is not counted against the bounds again.
    #[derive(Copy)]
    pub struct MinCount["Input"] {
        /// Minimum number of training rows per user; 0 or 1 keeps all users.
        pub user: u32 = 0 => flag_named("min-user-count", "N");
        /// Minimum number of training rows per item; 0 or 1 keeps all items.
        pub item: u32 = 0 => flag_named("min-item-count", "N");
    }
}

impl IngestConfig {
    /// Checks every field, alone and with the others.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn validate(&self) -> Result<()> {
        self.check()?;
        if self.split != SplitRule::None && !(self.valid.is_empty() && self.test.is_empty()) {
            return Err(Error::config("split", "files are given for a split: use `none` (the default) with them"));
        }
        self.read.validate()
    }
}

choices! {
    /// How an input is laid out.
    pub enum Format in "format" {
        /// Text with a separator: `,`, tab, `;`, `::`; plain, gzip or zstd.
        Csv = "csv" | "tsv",
        /// A MovieLens folder or its `ratings.dat`, `u.data` or `ratings.csv`.
        Movielens = "movielens",
        /// An H&M folder or its `transactions_train.csv`.
        Hm = "hm",
        /// An Arrow IPC (Feather 2) file or stream.
        Arrow = "arrow",
        /// A Parquet file.
        Parquet = "parquet",
    }

    /// What a row that cannot be read does.
    #[derive(Default)]
    pub enum OnError in "on_error" {
        /// It ends the run, with file, row and column.
        #[default]
        Stop = "stop",
        /// It is left out, counted, and written to `rejected.csv` in the dataset's folder.
        Skip = "skip",
    }
}

words!(SplitRule: "none|last-per-user:N|time:TEST|time:VALID,TEST|random:FRACTION", FeatureSpec: "KIND");

/// `N`, or `N,M` for users and items apart.
impl Word for MinCount {
    const KIND: &'static str = "N[,M]";
    fn parse(text: &str) -> Result<Self, String> {
        let number = |n: &str| n.trim().parse().map_err(|_| format!("`{n}` is not a number of rows"));
        let (user, item) = text.split_once(',').unwrap_or((text, text));
        Ok(MinCount { user: number(user)?, item: number(item)? })
    }
    fn text(&self) -> String {
        format!("{},{}", self.user, self.item)
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

impl FromStr for FeatureSpec {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let spec = match text.split_once(':') {
            None if text == "categorical" => Some(FeatureSpec::Categorical),
            None if text == "numeric" => Some(FeatureSpec::Numeric(BUCKETS)),
            None if text == "skip" => Some(FeatureSpec::Skip),
            Some(("numeric", n)) => n.parse().ok().filter(|n| limits::BUCKETS.contains(n)).map(FeatureSpec::Numeric),
            Some(("multi-hot", separator)) if !separator.is_empty() => Some(FeatureSpec::MultiHot(separator.into())),
            _ => None,
        };
        spec.ok_or_else(|| {
            Error::config(
                "feature",
                format!(
                    "`{text}` is not one of categorical, multi-hot:SEPARATOR, numeric, numeric:BUCKETS ({} to {}), skip",
                    limits::BUCKETS.start(),
                    limits::BUCKETS.end()
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
    fn words_of_flags() {
        let feature = |text: &str| <(String, FeatureSpec)>::parse(text);
        assert_eq!(feature("a=numeric").unwrap(), ("a".into(), FeatureSpec::Numeric(32)));
        assert_eq!(feature("a=multi-hot::").unwrap(), ("a".into(), FeatureSpec::MultiHot(":".into())));
        for bad in ["a", "=skip", "a=numeric:1", "a=numeric:4097", "a=multi-hot:", "a=text"] {
            assert!(feature(bad).is_err(), "{bad}");
        }
        assert_eq!(MinCount::parse("5"), Ok(MinCount { user: 5, item: 5 }));
        assert_eq!(MinCount::parse("5,2"), Ok(MinCount { user: 5, item: 2 }));
        assert!(MinCount::parse("5,").is_err() && MinCount::parse("-1").is_err());
        assert_eq!("tsv".parse::<Format>().unwrap().to_string(), "csv");
    }
}
