//! One setting of a search: the values that it may take, and where a value lies among them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What one setting may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Axis {
    /// One of these values.
    Choices(Vec<Value>),
    /// A number between two.
    Range(Range),
}

/// A range as a file has it: `{ from = 0.05, to = 0.3, scale = "log" }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The smallest value.
    pub from: f64,
    /// The largest value.
    pub to: f64,
    /// What is drawn evenly: the values, or their logarithms.
    #[serde(default)]
    pub scale: Scale,
    /// Whether only whole numbers are drawn. A range that is read has it of itself where its setting takes no others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

/// How a range is drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// Evenly by order of magnitude.
    Log,
}

impl Axis {
    /// Where a value lies in the axis: the number of the choice, or from 0 to 1 in the range. None for a value that is not
    /// in it.
    pub(super) fn place(&self, value: &Value) -> Option<f64> {
        match self {
            Axis::Choices(choices) => choices.iter().position(|choice| same(choice, value)).map(|at| at as f64),
            Axis::Range(range) => range.place(value.as_f64()?),
        }
    }

    /// The value at a [place](Axis::place), numbers with three digits, as people would choose them.
    pub(super) fn at(&self, place: f64) -> Value {
        match self {
            Axis::Choices(choices) => choices[(place.max(0.0) as usize).min(choices.len() - 1)].clone(),
            Axis::Range(range) => range.number(range.at(place)),
        }
    }

    /// Why there is nothing to draw from, if so.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Axis::Choices(choices) if choices.is_empty() => Err("empty list: there is nothing to choose from".into()),
            Axis::Range(Range { from, to, scale, whole }) => {
                let positive = *scale == Scale::Linear || *from > 0.0;
                let no_counts = *whole && [from, to].iter().any(|end| end.fract() != 0.0 || **end < 0.0);
                match from < to && from.is_finite() && to.is_finite() && positive {
                    true if no_counts => {
                        Err(format!("takes whole numbers from 0, so the range cannot be {from} to {to}"))
                    }
                    true => Ok(()),
                    false => Err(format!(
                        "{from} to {to} is not a valid range: it must be finite and increasing, and positive on a log scale"
                    )),
                }
            }
            Axis::Choices(_) => Ok(()),
        }
    }
}

impl Range {
    /// Where a value lies, from 0 to 1; None for one outside. A whole number lies in the middle of what is drawn as it.
    fn place(&self, value: f64) -> Option<f64> {
        let (value, to) = if self.whole { (value + 0.5, self.to + 1.0) } else { (value, self.to) };
        let place = match self.scale {
            Scale::Linear => (value - self.from) / (to - self.from),
            Scale::Log => (value / self.from).ln() / (to / self.from).ln(),
        };
        (-1e-6..=1.0 + 1e-6).contains(&place).then_some(place.clamp(0.0, 1.0))
    }

    fn at(&self, place: f64) -> f64 {
        let to = if self.whole { self.to + 1.0 } else { self.to };
        let value = match self.scale {
            Scale::Linear => self.from + place * (to - self.from),
            Scale::Log => self.from * (to / self.from).powf(place),
        };
        (if self.whole { value.floor() } else { three_digits(value) }).clamp(self.from, self.to)
    }

    /// A value as its setting is written.
    pub(super) fn number(&self, value: f64) -> Value {
        if self.whole { json!(value as u64) } else { json!(value) }
    }
}

/// Equal, 1 and 1.0 too.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-6 * a.abs().max(b.abs()),
        _ => a == b,
    }
}

fn three_digits(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
