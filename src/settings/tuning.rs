//! What `tune` can be told beside what training can.

use std::path::PathBuf;

use super::define::settings;
use super::limits::{MAX_THREADS, at_most, positive, within};
use crate::Result;

settings! {
    /// Everything that `tercel tune` can be told beside its dataset and the settings of training, which are not searched
    /// where they are given.
    pub struct TuneSettings["Tuning"] {
        /// Metric to maximize on the validation split, such as `ndcg@10` or `recall@20`; for data with repeat purchases,
        /// the prefix `discovery.` or `next.` selects a view.
        pub metric: String = "ndcg@20".into() => flag("METRIC").check(|text: &String| crate::tune::metric(text).map(drop));
        /// Time limit in minutes, including the final training.
        pub minutes: Option<f32> = None, "10, unless --trials is given" => flag("M").check(positive);
        /// Number of trials; with --minutes, the maximum.
        pub trials: Option<usize> = None, "as many as --minutes allows" => flag("N").check(within(1, 10_000));
        /// Search space: a file with lists or ranges of values in place of settings.
        pub space: Option<PathBuf> = None, "derived from the data" => flag("FILE.toml");
        /// Number of parallel trials; 0 runs one per core, or two on a GPU. Does not affect the results.
        pub parallel: usize = 0 => flag("N").check(at_most(MAX_THREADS));
    }

    /// What `tercel nightly` is told of its searches.
    pub struct NightlyTuneSettings["Tuning"] {
        /// Number of nights between searches; a night is a run with new data.
        pub every: u64 = 7 => check(within(1, 1_000_000));
        /// The search itself.
        pub search: TuneSettings, flat;
    }
}

impl TuneSettings {
    /// The time limit in minutes, where there is one.
    #[must_use]
    pub fn limit(&self) -> Option<f64> {
        match (self.minutes, self.trials) {
            (None, None) => Some(10.0),
            (minutes, _) => minutes.map(f64::from),
        }
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) naming the first setting that cannot be used.
    pub fn validate(&self) -> Result<()> {
        use super::Table;
        self.check()
    }
}
