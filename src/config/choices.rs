//! What a setting can be, as it is written.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which feature columns a tower reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "FeatureWords", into = "FeatureWords")]
pub enum FeatureSelection {
    /// Every column that the dataset has.
    #[default]
    All,
    /// None.
    None,
    /// These.
    Named(Vec<String>),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum FeatureWords {
    Word(String),
    Names(Vec<String>),
}

impl From<FeatureWords> for FeatureSelection {
    fn from(words: FeatureWords) -> Self {
        match words {
            FeatureWords::Word(w) if w == "all" => FeatureSelection::All,
            FeatureWords::Word(w) if w == "none" => FeatureSelection::None,
            FeatureWords::Word(w) => FeatureSelection::Named(vec![w]),
            FeatureWords::Names(names) => FeatureSelection::Named(names),
        }
    }
}

impl From<FeatureSelection> for FeatureWords {
    fn from(selection: FeatureSelection) -> Self {
        match selection {
            FeatureSelection::All => FeatureWords::Word("all".into()),
            FeatureSelection::None => FeatureWords::Word("none".into()),
            FeatureSelection::Named(names) => FeatureWords::Names(names),
        }
    }
}

/// How a tower puts its pooled features together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Combine {
    /// Added up, each `dim` wide.
    #[default]
    Sum,
    /// Side by side, each `feature_dim` wide.
    Concat,
}

/// How a table is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 4 bytes a value.
    #[default]
    Fp32,
    /// 2 bytes, 8 bits of precision; stochastic rounding.
    Bf16,
    /// 2 bytes, 11 bits of precision, up to 65,504; stochastic rounding.
    Fp16,
}

/// What a CUDA device's tensor cores multiply, and the softmax loss of a CPU with AVX512-BF16. Sums are fp32 in both; any
/// other CPU always multiplies in fp32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Factors rounded to bf16.
    #[default]
    Bf16,
    /// CUDA: factors split into two bf16 each, three products: about 2^-16 relative, at a third of the speed. CPU: fp32.
    Fp32,
}

/// Who the candidates of a batch are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Negatives {
    /// The batch's own items.
    #[default]
    InBatch,
    /// The batch's items and this many uniform draws from the catalogue; q is the mixture's.
    InBatchUniform(usize),
    /// The batch's items and the item embeddings of the batches before, up to this many.
    CrossBatch(usize),
    /// Every item of the catalogue: the exact softmax.
    Full,
}

impl FromStr for Negatives {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let number = |n: &str| n.parse().ok().filter(|n: &usize| *n > 0 && *n <= 1 << 24);
        let found = match text {
            "in-batch" => Some(Negatives::InBatch),
            "full" => Some(Negatives::Full),
            _ => match text.split_once(':') {
                Some(("in-batch+uniform", n)) => number(n).map(Negatives::InBatchUniform),
                Some(("cross-batch", n)) => number(n).map(Negatives::CrossBatch),
                _ => None,
            },
        };
        found.ok_or_else(|| {
            Error::config(
                "loss.negatives",
                format!("`{text}` is not one of in-batch, in-batch+uniform:M, cross-batch:M, full (M from 1)"),
            )
        })
    }
}

impl TryFrom<String> for Negatives {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Negatives> for String {
    fn from(negatives: Negatives) -> String {
        match negatives {
            Negatives::InBatch => "in-batch".into(),
            Negatives::InBatchUniform(n) => format!("in-batch+uniform:{n}"),
            Negatives::CrossBatch(n) => format!("cross-batch:{n}"),
            Negatives::Full => "full".into(),
        }
    }
}

/// Where the sampling probabilities q of the logQ correction come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogQ {
    /// No correction.
    Off,
    /// Counts of the training split.
    #[default]
    Exact,
    /// Estimated from the stream of batches (Yi et al. 2019, algorithm 2).
    Streaming,
    /// Exact counts in the corrected form of arXiv 2507.09331.
    Corrected,
}

/// An optimizer. On tables each touches only the rows of the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// `w -= lr g`.
    Sgd,
    /// `m += g^2; w -= lr g / (sqrt(m) + eps)`.
    Adagrad,
    /// `m += mean_d(g^2); w -= lr g / (sqrt(m) + eps)`: one number a row.
    RowwiseAdagrad,
    /// Adam on the touched rows of tables, AdamW on dense parameters.
    #[default]
    Adam,
}

impl FromStr for OptimizerKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "sgd" => Ok(OptimizerKind::Sgd),
            "adagrad" => Ok(OptimizerKind::Adagrad),
            "rowwise-adagrad" => Ok(OptimizerKind::RowwiseAdagrad),
            "adam" => Ok(OptimizerKind::Adam),
            _ => Err(Error::config(
                "optimizer.name",
                format!("`{text}` is not one of sgd, adagrad, rowwise-adagrad, adam"),
            )),
        }
    }
}

/// How the learning rate moves after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// Down to zero in a line.
    #[default]
    Linear,
    /// Down to zero in half a cosine.
    Cosine,
}

/// Early stopping, written `METRIC,PATIENCE` (`ndcg@20,3`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EarlyStop {
    /// A metric of the evaluation, such as `recall@20`.
    pub metric: String,
    /// Epochs without an improvement after which training stops.
    pub patience: u64,
}

impl FromStr for EarlyStop {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once(',').and_then(|(metric, patience)| {
            let (name, k) = metric.trim().split_once('@')?;
            let known = ["recall", "ndcg", "map", "mrr", "hit_rate", "precision"].contains(&name);
            let k_ok = k.parse::<usize>().is_ok_and(|k| (1..=1024).contains(&k));
            let patience = patience.trim().parse().ok().filter(|p| *p > 0)?;
            (known && k_ok).then(|| EarlyStop { metric: metric.trim().into(), patience })
        });
        parsed.ok_or_else(|| {
            Error::config(
                "train.early_stop",
                format!(
                    "`{text}` is not METRIC,PATIENCE; a metric is recall, ndcg, map, mrr, hit_rate or precision with @k, as in ndcg@20,3"
                ),
            )
        })
    }
}

impl TryFrom<String> for EarlyStop {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<EarlyStop> for String {
    fn from(stop: EarlyStop) -> String {
        format!("{},{}", stop.metric, stop.patience)
    }
}
