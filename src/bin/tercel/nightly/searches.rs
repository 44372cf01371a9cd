//! What the night's record holds of searches for settings. The fuzz target of `nightly.json` compiles this file too.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tercel::tune::Chosen;

/// What the record has of searches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Nights so far.
    pub night: u64,
    /// What this night's `dataset.json` held.
    pub dataset: Option<String>,
    pub searched: Option<Searched>,
    pub kept: Option<TunedSettings>,
    /// What the settings that were left open became in this night, and why.
    #[serde(default)]
    pub decisions: Vec<Value>,
}

/// The last search that came to an end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Searched {
    pub night: u64,
    pub date: String,
    /// What it was asked.
    pub question: String,
    pub outcome: SearchOutcome,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchOutcome {
    /// Its settings are kept.
    Better,
    /// Nothing was better than the defaults.
    NothingBetter,
    Failed,
}

/// The settings that the nights train with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "struct Kept")]
pub struct TunedSettings {
    /// The night in which they were found, and its date.
    pub night: u64,
    pub date: String,
    pub metric: String,
    pub value: f64,
    pub interval: Option<[f64; 2]>,
    pub gain: Option<[f64; 3]>,
    pub trials: usize,
    pub chosen: Chosen,
    /// All that training is told of them, as a configuration file has it.
    pub settings: Value,
}

impl Tuning {
    /// Why a search is due; none where it is not.
    pub fn due(&self, every: u64, question: &str) -> Option<String> {
        let Some(last) = &self.searched else { return Some("there has been none yet".into()) };
        let ago = self.night.saturating_sub(last.night);
        if last.question != question {
            return Some("its settings differ from those of the last one".into());
        }
        match (ago, last.outcome) {
            (0, _) => None,
            (_, SearchOutcome::Failed) => Some("the last one failed".into()),
            _ if ago >= every => Some(format!("the last one was {}", nights_ago(ago))),
            _ => None,
        }
    }
}

pub fn nights_ago(nights: u64) -> String {
    match nights {
        0 => "tonight".into(),
        1 => "a night ago".into(),
        nights => format!("{nights} nights ago"),
    }
}
