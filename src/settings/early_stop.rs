//! When training stops before its last epoch.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::View;
use super::limits::MAX_K;
use super::value::words;
use crate::{Error, Result};

/// The metrics that can be watched, each at a `k`.
const METRICS: [&str; 6] = ["recall", "ndcg", "map", "mrr", "hit_rate", "precision"];

/// Whether training stops early: written `off`, or as an [`EarlyStop`] is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EarlyStopping {
    /// Every epoch is trained, and the last one's parameters are kept.
    Off,
    /// A metric of the validation split is watched, and the best epoch's parameters are kept.
    On(EarlyStop),
}

/// What is watched, written `METRIC,PATIENCE` (`ndcg@20,3`) or `VIEW.METRIC,PATIENCE` (`next.ndcg@20,3`).
#[derive(Clone, Debug, PartialEq)]
pub struct EarlyStop {
    /// Whose metric it is; open: the discovery view's, or the next view's where there is nothing to discover.
    pub view: Option<View>,
    /// A metric of the evaluation, such as `recall@20`.
    pub metric: String,
    /// Epochs without an improvement after which training stops.
    pub patience: u64,
}

impl EarlyStop {
    /// The `k` of the metric.
    #[must_use]
    pub fn k(&self) -> usize {
        self.metric.rsplit('@').next().and_then(|k| k.parse().ok()).unwrap_or(20)
    }
}

impl EarlyStopping {
    /// What is watched; nothing where it is off.
    #[must_use]
    pub fn on(&self) -> Option<&EarlyStop> {
        match self {
            EarlyStopping::Off => None,
            EarlyStopping::On(stop) => Some(stop),
        }
    }
}

impl FromStr for EarlyStop {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once(',').and_then(|(metric, patience)| {
            let metric = metric.trim();
            let (view, metric) = match metric.split_once('.') {
                Some((view, metric)) => (Some(view.parse().ok()?), metric),
                None => (None, metric),
            };
            let (name, k) = metric.split_once('@')?;
            let k_ok = k.parse::<usize>().is_ok_and(|k| (1..=MAX_K).contains(&k));
            let patience = patience.trim().parse().ok().filter(|p| *p > 0)?;
            (METRICS.contains(&name) && k_ok).then(|| EarlyStop { view, metric: metric.to_owned(), patience })
        });
        parsed.ok_or_else(|| {
            let reason = format!(
                "`{text}` is neither off nor METRIC,PATIENCE; a metric is recall, ndcg, map, mrr, hit_rate or precision \
                 with @k, as in ndcg@20,3, optionally with a view, as in discovery.ndcg@20,3 or next.ndcg@20,3"
            );
            Error::config("train.early_stop", reason)
        })
    }
}

impl fmt::Display for EarlyStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(view) = self.view {
            write!(f, "{view}.")?;
        }
        write!(f, "{},{}", self.metric, self.patience)
    }
}

impl FromStr for EarlyStopping {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "off" => Ok(EarlyStopping::Off),
            text => text.parse().map(EarlyStopping::On),
        }
    }
}

impl fmt::Display for EarlyStopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EarlyStopping::Off => f.write_str("off"),
            EarlyStopping::On(stop) => stop.fmt(f),
        }
    }
}

words!(EarlyStopping: "off|METRIC,PATIENCE");

impl TryFrom<String> for EarlyStopping {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<EarlyStopping> for String {
    fn from(stopping: EarlyStopping) -> String {
        stopping.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["off", "ndcg@20,3", "discovery.ndcg@20,3", "next.hit_rate@1024,1"] {
            assert_eq!(text.parse::<EarlyStopping>().unwrap().to_string(), text);
        }
        let stop: EarlyStop = " next.recall@7 , 2".parse().unwrap();
        assert_eq!(stop, EarlyStop { view: Some(View::Next), metric: "recall@7".into(), patience: 2 });
        assert_eq!(stop.k(), 7);
        assert_eq!("map@3,1".parse::<EarlyStop>().unwrap().view, None);
    }

    #[test]
    fn what_cannot_be_watched_is_refused() {
        for text in [
            "",
            "on",
            "Off",
            "ndcg@20",
            "ndcg@20,0",
            "ndcg@0,3",
            "ndcg@1025,3",
            "loss@1,3",
            "ndcg,3",
            "both.ndcg@20,3",
            ".ndcg@20,3",
            "next.,3",
            "next.next.ndcg@20,3",
            "next.loss@3,3",
            "next,3",
            "ndcg@20.next,3",
        ] {
            let error = text.parse::<EarlyStopping>().unwrap_err().to_string();
            assert!(error.starts_with("train.early_stop: "), "{text}: {error}");
        }
    }
}
