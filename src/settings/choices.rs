//! What a setting can be, as it is written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::limits::MAX_NEGATIVES;
use super::value::{Word, choices, words};
use crate::data::dataset::Split;
use crate::{Device, Error, Result};

choices! {
    /// How a tower puts its pooled features together.
    #[derive(Default)]
    pub enum Combine in "combine" {
        /// Added up, each `dim` wide.
        #[default]
        Sum = "sum",
        /// Side by side, each `feature_dim` wide.
        Concat = "concat",
    }

    /// How a table is stored.
    #[derive(Default)]
    pub enum Dtype in "dtype" {
        /// 4 bytes a value.
        #[default]
        Fp32 = "fp32",
        /// 2 bytes, 8 bits of precision; stochastic rounding.
        Bf16 = "bf16",
        /// 2 bytes, 11 bits of precision, up to 65,504; stochastic rounding.
        Fp16 = "fp16",
    }

    /// What a CUDA device's tensor cores multiply, and the softmax loss of a CPU with AVX512-BF16. Sums are fp32 in
    /// both; any other CPU always multiplies in fp32.
    #[derive(Default)]
    pub enum Precision in "precision" {
        /// Factors rounded to bf16.
        #[default]
        Bf16 = "bf16",
        /// CUDA: factors split into two bf16 each, three products: about 2^-16 relative, at a third of the speed. CPU:
        /// fp32.
        Fp32 = "fp32",
    }

    /// Where the sampling probabilities q of the logQ correction come from.
    #[derive(Default)]
    pub enum LogQ in "logq" {
        /// No correction.
        Off = "off",
        /// Counts of the training split.
        #[default]
        Exact = "exact",
        /// Estimated from the stream of batches (Yi et al. 2019, algorithm 2).
        Streaming = "streaming",
        /// Exact counts in the corrected form of arXiv 2507.09331.
        Corrected = "corrected",
    }

    /// An optimizer. On tables each touches only the rows of the batch.
    #[derive(Default)]
    pub enum OptimizerKind in "optimizer.name" {
        /// `w -= lr g`.
        Sgd = "sgd",
        /// `m += g^2; w -= lr g / (sqrt(m) + eps)`.
        Adagrad = "adagrad",
        /// `m += mean_d(g^2); w -= lr g / (sqrt(m) + eps)`: one number a row.
        RowwiseAdagrad = "rowwise-adagrad",
        /// Adam on the touched rows of tables, AdamW on dense parameters.
        #[default]
        Adam = "adam",
    }

    /// How the learning rate moves after the warm-up.
    #[derive(Default)]
    pub enum Schedule in "schedule" {
        /// It stays.
        Constant = "constant",
        /// Down to zero in a line.
        #[default]
        Linear = "linear",
        /// Down to zero in half a cosine.
        Cosine = "cosine",
    }
}

/// The names of a dataset's splits.
impl Word for Split {
    const NAMES: Option<&'static str> = Some("train|valid|test");
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: Error| error.to_string())
    }
    fn text(&self) -> String {
        self.name().to_owned()
    }
}

words!(Negatives: "in-batch|in-batch+uniform:M|cross-batch:M|full", Device: "auto|cpu|cuda:N");

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

impl Word for FeatureSelection {
    const KIND: &'static str = "all|none|NAME,NAME";
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "all" => FeatureSelection::All,
            "none" => FeatureSelection::None,
            names => FeatureSelection::Named(names.split(',').map(str::to_owned).collect()),
        })
    }
    fn text(&self) -> String {
        match self {
            FeatureSelection::All => "all".into(),
            FeatureSelection::None => "none".into(),
            FeatureSelection::Named(names) => names.join(","),
        }
    }
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
        let number = |n: &str| n.parse().ok().filter(|n: &usize| *n > 0 && *n <= MAX_NEGATIVES);
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

impl fmt::Display for Negatives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Negatives::InBatch => f.write_str("in-batch"),
            Negatives::InBatchUniform(n) => write!(f, "in-batch+uniform:{n}"),
            Negatives::CrossBatch(n) => write!(f, "cross-batch:{n}"),
            Negatives::Full => f.write_str("full"),
        }
    }
}

impl From<Negatives> for String {
    fn from(negatives: Negatives) -> String {
        negatives.to_string()
    }
}
