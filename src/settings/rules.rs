//! The defaults that follow from the data: a rule for every setting that can be left open, each with its reason.
//!
//! A rule is given what is known of the data ([`Shape`]), what was said ([`Config`]) and what the rules before it
//! decided. It is asked only where its setting is open; what is set never changes.

use super::resolved::Opened;
use super::{Config, Decision, EarlyStop, EarlyStopping, LogQ, Negatives, OptimizerKind, Resolved, Word};
use crate::data::shape::Shape;

/// Rows that a run sees, all epochs together.
const ROWS: u64 = 60_000_000;
/// The fewest and the most passes over the training rows.
const EPOCHS: (u64, u64) = (5, 30);
/// Epochs without an improvement: a validation metric rises and falls by some per cent from one to the next.
const PATIENCE: u64 = 5;

impl Config {
    /// These settings for a dataset of this shape, with what was left open filled in. Nothing that is set changes.
    ///
    /// [`Resolved::decisions`] says what each open setting became, and why.
    #[must_use]
    pub fn for_shape(&self, shape: &Shape) -> Resolved {
        let mut made = Decisions(Vec::new());
        let (model, train, optimizer) = (&self.model, &self.train, &self.optimizer);
        let history = made.of("model.user.history", model.user.history, || history(self, shape));
        let user_id = made.of("model.user.id", model.user.id, || user_id(history));
        let negatives = made.of("loss.negatives", self.loss.negatives, || negatives(shape));
        let open = Opened {
            history,
            user_id,
            negatives,
            temperature: made.of("model.temperature", model.temperature, || temperature(shape)),
            popularity: made.of("model.popularity", model.popularity, || popularity(self, shape)),
            lr: made.of("optimizer.lr", optimizer.lr, || lr(shape)),
            weight_decay: made.of("optimizer.weight_decay", optimizer.weight_decay, || weight_decay(self, shape)),
            batch_size: made.of("train.batch_size", train.batch_size, || batch_size(shape)),
            epochs: made.of("train.epochs", train.epochs, || epochs(shape)),
            early_stop: made.of("train.early_stop", train.early_stop.clone(), || early_stop(shape)),
        };
        Resolved::new(self.clone(), open, made.0)
    }
}

/// A value, and why.
type Choice<T> = (T, String);

fn history(_: &Config, _: &Shape) -> Choice<usize> {
    (0, "the user's id says what they like".into())
}

fn user_id(history: usize) -> Choice<bool> {
    match history {
        0 => (true, "there is no history to know a user by".into()),
        _ => (true, "beside the history".into()),
    }
}

fn negatives(_: &Shape) -> Choice<Negatives> {
    (Negatives::InBatch, "a batch's own items suffice with the logQ correction".into())
}

fn temperature(shape: &Shape) -> Choice<f32> {
    (0.2, rows_a_user(shape))
}

fn popularity(config: &Config, shape: &Shape) -> Choice<f32> {
    match config.loss.logq {
        LogQ::Exact | LogQ::Streaming => (0.5, gini(shape)),
        logq => (0.0, format!("`loss.logq` is {logq}")),
    }
}

fn lr(shape: &Shape) -> Choice<f32> {
    (0.01, rows(shape))
}

fn weight_decay(config: &Config, shape: &Shape) -> Choice<f32> {
    let name = config.optimizer.name;
    match (name, config.model.normalize) {
        (OptimizerKind::Adam, true) => (2.0, rows_a_user(shape)),
        (OptimizerKind::Adam, false) => (0.0, "without `model.normalize` it would shrink scores".into()),
        _ => (0.0, format!("the optimizer is {name}")),
    }
}

fn batch_size(shape: &Shape) -> Choice<usize> {
    (512, rows(shape))
}

/// A small dataset needs the steps, a large one has them in a few passes.
fn epochs(shape: &Shape) -> Choice<u64> {
    ((ROWS / shape.rows.max(1)).clamp(EPOCHS.0, EPOCHS.1), rows(shape))
}

fn early_stop(shape: &Shape) -> Choice<EarlyStopping> {
    match shape.valid_rows {
        0 => (EarlyStopping::Off, "there is no validation split".into()),
        n => {
            let stop = EarlyStop { view: None, metric: "ndcg@20".into(), patience: PATIENCE };
            (EarlyStopping::On(stop), format!("{} validation rows", grouped(n)))
        }
    }
}

fn rows(shape: &Shape) -> String {
    format!("{} training rows", grouped(shape.rows))
}

fn rows_a_user(shape: &Shape) -> String {
    let decimals = usize::from(shape.user_rows < 10.0);
    format!("{:.decimals$} rows a user", shape.user_rows)
}

fn gini(shape: &Shape) -> String {
    format!("Gini {:.2} of the items' rows", shape.gini)
}

/// With commas between thousands.
fn grouped(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        _ => format!("{},{:03}", grouped(n / 1_000), n % 1_000),
    }
}

/// The decisions of a run, in the order in which they are made.
struct Decisions(Vec<Decision>);

impl Decisions {
    /// What is set; else what the rule says, which is noted.
    fn of<T: Word>(&mut self, key: &'static str, set: Option<T>, rule: impl FnOnce() -> Choice<T>) -> T {
        set.unwrap_or_else(|| {
            let (value, why) = rule();
            self.0.push(Decision { key, value: value.text(), why });
            value
        })
    }
}

#[cfg(test)]
mod tests;
