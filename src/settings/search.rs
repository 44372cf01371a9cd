//! What `index`, `evaluate` and `recommend` can be told.

use std::path::PathBuf;

use super::define::settings;
use super::limits::{between, list_length};
use super::value::choices;
use super::{Bytes, Table};
use crate::data::dataset::Split;
use crate::table::ReadOptions;
use crate::{Error, Result};

/// The recall that an approximate index keeps where none is asked for.
pub const RECALL: f32 = 0.95;

settings! {
    /// How items are searched: a part of [`EvaluateSettings`] and [`RecommendSettings`].
    pub struct SearchSettings["Search"] {
        /// Searches all items (exact), or uses the approximate index MODEL/items.index (approx), which is built if it is
        /// missing or does not match the model and the recall.
        pub index: IndexMode = IndexMode::Exact => flag("");
        /// Minimum recall of the approximate index.
        pub recall: Option<f32> = None, "0.95" => flag("R").check(between);
        /// Memory limit for scoring, as in 512MiB.
        pub memory: Option<Bytes> = None, "512MiB" => flag("BYTES");
    }

    /// Everything that `tercel evaluate` can be told beside its model and its dataset: `[evaluate]` of a nightly run.
    pub struct EvaluateSettings["Evaluation"] {
        /// Split to evaluate; `train` measures memorization.
        pub split: Split = Split::Test => flag("").named_in("nightly", "eval-split");
        /// List lengths, comma-separated.
        pub k: Vec<usize> = vec![10, 20] => flag("K,K").commas().named_in("nightly", "eval-k").check(list_length);
        /// Which of a user's next items count as relevant: those that are not in the user's training rows (discovery) or
        /// all, new or not (next); `both` evaluates the two views.
        pub view: Option<Views> = None, "both if at least 1 % of the split's rows repeat training rows, else discovery"
            => flag("").switch("include-seen", "next", "Keeps items that the user already has; short for --view next");
        /// Baselines in addition to popularity: the most popular items of the last 7 and 28 days (recent), these and
        /// item-kNN, the nearest neighbours of a user's items (all), or no others (none).
        pub baselines: Baselines = Baselines::All => flag("");
        /// How items are searched.
        pub search: SearchSettings, flat;
    }

    /// Everything that `tercel recommend` can be told beside its model: `[recommend]` of a nightly run.
    pub struct RecommendSettings["Recommendations"] {
        /// Predictions file: .parquet, .arrow, .csv or .jsonl; a bare file name is placed in the run's folder.
        pub file: PathBuf = "predictions.parquet".into() => flag_named("predictions", "FILE").only(&["nightly"]);
        /// Writes one line per user, keyed by user, for a key-value store; requires .jsonl.
        pub by_user: bool = false => flag("");
        /// Items per user.
        pub k: usize = 12 => flag("K").check(list_length);
        /// Users to recommend to: a file with one raw id per line, or a table with a header.
        pub users: Option<PathBuf> = None, "all" => flag("FILE");
        /// Items that may be recommended: a file with one raw id per line, or a table with a header.
        pub items: Option<PathBuf> = None, "all" => flag("FILE");
        /// Recommends only items with this feature value, as in category=shoes; if repeated, items must match all.
        pub tags: Vec<String> = Vec::new() => flag_named("tag", "COLUMN=VALUE");
        /// Items to exclude from a user's list: what the user has in any split of the dataset (all), in the training
        /// split (train), or nothing (none).
        pub exclude: Option<Exclude> = None, "all" => flag("");
        /// Allows items that the user already has; short for --exclude none (in a nightly run, also for the evaluation).
        pub include_seen: bool = false => flag("");
        /// How items are searched.
        pub search: SearchSettings, flat;
        /// Format of the tables of users and items. In a nightly run, settings left out here are taken from `[ingest]`,
        /// except for the column names.
        pub read: ReadOptions, flat => only(&["recommend"]);
    }

    /// Everything that `tercel index` can be told beside its model: `[index]` of a nightly run.
    pub struct IndexSettings["Index"] {
        /// Minimum share of the true top items that must be found, between 0 and 1.
        pub recall: Option<f32> = None, "0.95; in a nightly run, the recall of its evaluation and recommendations"
            => flag("R").only(&["index"]).check(between);
        /// List length at which the recall is measured.
        pub k: Option<usize> = None, "10; in a nightly run, that of the recommendations"
            => flag("K").named_in("nightly", "index-k").check(list_length);
        /// Seed; the same seed gives the same index.
        pub seed: u64 = 0 => flag("S").named_in("nightly", "index-seed");
    }
}

choices! {
    /// Which items are searched.
    #[derive(Default)]
    pub enum IndexMode in "index" {
        /// All.
        #[default]
        Exact = "exact",
        /// Those of the lists that are likely to matter.
        Approx = "approx",
    }

    /// What an evaluation looks at.
    #[derive(Default)]
    pub enum View in "view" {
        /// What users find that is new to them: items that they have in training are neither returned nor relevant.
        #[default]
        Discovery = "discovery",
        /// What users take next, be it new to them or not: items that they have in training are returned, and relevant.
        Next = "next",
    }

    /// What the evaluations of a model look at.
    pub enum Views in "view" {
        /// [`View::Discovery`].
        Discovery = "discovery",
        /// [`View::Next`].
        Next = "next",
        /// The one beside the other.
        Both = "both",
    }

    /// What stands beside the model and the popularity baseline, which costs nothing and always does.
    #[derive(Default)]
    pub enum Baselines in "baselines" {
        /// Nothing.
        #[default]
        None = "none",
        /// The most popular of the last 7 and 28 days of training, where there are times.
        Recent = "recent",
        /// These, and the neighbours of what a user has: item-kNN.
        All = "all",
    }

    /// Which items are left out of a user's list.
    #[derive(Default)]
    pub enum Exclude in "exclude" {
        /// What the user has in any split of the dataset.
        #[default]
        All = "all",
        /// What the user has in the training split.
        Train = "train",
        /// Nothing.
        None = "none",
    }
}

impl SearchSettings {
    /// Checks every setting, alone and with the others.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        self.check()?;
        if self.index == IndexMode::Exact && self.recall.is_some() {
            return Err(Error::config("recall", "requires an approximate index; an exact one always has recall 1"));
        }
        Ok(())
    }

    /// The recall that the index must keep; none where all items are searched.
    #[must_use]
    pub fn kept(&self) -> Option<f32> {
        (self.index == IndexMode::Approx).then(|| self.recall.unwrap_or(RECALL))
    }
}

impl View {
    /// What it is called where people read it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            View::Discovery => "Discovery (what users find that is new to them)",
            View::Next => "Next (what users interact with next, new to them or not)",
        }
    }
}

impl Views {
    /// The views, one by one.
    #[must_use]
    pub fn all(self) -> &'static [View] {
        match self {
            Views::Discovery => &[View::Discovery],
            Views::Next => &[View::Next],
            Views::Both => &[View::Discovery, View::Next],
        }
    }
}

impl EvaluateSettings {
    /// Checks every setting, alone and with the others.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first setting that cannot be used.
    pub fn validate(&self) -> Result<()> {
        self.check()?;
        if self.k.is_empty() {
            return Err(Error::config("k", "no list length given; the default is 10,20"));
        }
        self.search.validate()
    }
}

impl RecommendSettings {
    /// Checks every setting, alone and with the others.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first setting that cannot be used.
    pub fn validate(&self) -> Result<()> {
        self.check()?;
        self.excluded()?;
        self.search.validate()?;
        self.read.validate()
    }

    /// Which items are left out, whichever way it was said.
    ///
    /// # Errors
    /// [`Error::Config`] where the two ways contradict each other.
    pub fn excluded(&self) -> Result<Exclude> {
        Exclude::resolve(self.exclude, self.include_seen)
    }
}
