//! What `tune` can be told beside what training can.

use std::path::PathBuf;

use super::define::settings;
use super::limits::{MAX_THREADS, at_most, positive, within};
use crate::Result;

settings! {
    /// Everything that `tercel tune` can be told beside its dataset and the settings of training, which are not searched
    /// where they are given.
    pub struct TuneSettings["Search for settings"] {
        /// What is best, on the validation split: `ndcg@10`, `recall@20`; with `discovery.` or `next.` before it where
        /// people buy again.
        pub metric: String = "ndcg@20".into() => flag("METRIC").check(|text: &String| crate::tune::metric(text).map(drop));
        /// How long it may take, the last training included.
        pub minutes: Option<f32> = None, "10, unless --trials is given" => flag("M").check(positive);
        /// How many settings are tried; with --minutes at most so many.
        pub trials: Option<usize> = None, "what --minutes allows" => flag("N").check(within(1, 10_000));
        /// What is searched: a file with lists of values, or ranges, in the place of settings.
        pub space: Option<PathBuf> = None, "what the data suggests" => flag("FILE.toml");
        /// Trials side by side; 0: one a core, two on a GPU. The results do not depend on it.
        pub parallel: usize = 0 => flag("N").check(at_most(MAX_THREADS));
    }

    /// What `tercel nightly` is told of its searches.
    pub struct NightlyTuneSettings["Search for settings"] {
        /// Nights from a search to the next; a night is a run with other data than the one before.
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
