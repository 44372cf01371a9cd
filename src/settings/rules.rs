//! The defaults that follow from the data: a rule for every setting that can be left open, each with its reason.
//!
//! A rule is given what is known of the data ([`Shape`]), what was said ([`Config`]) and what the rules before it
//! decided. It is asked only where its setting is open; what is set never changes.

use super::resolved::OpenSettings;
use super::{Combine, Config, Decision, EarlyStop, EarlyStopping, LogQ, Negatives, OptimizerKind, Resolved, Word};
use crate::data::dataset::LATE;
use crate::data::shape::{HeldOut, Shape};

/// Rows that a run sees, all epochs together.
const ROWS: u64 = 60_000_000;
/// The fewest and the most passes over the training rows.
const EPOCHS: (u64, u64) = (5, 30);
/// The fewest epochs without an improvement, and the part of all epochs that are waited for: a metric may fall at first, from
/// what popularity alone gives, and the learning rate settles only in the second half of its schedule.
const PATIENCE: u64 = 5;
const WAITED: u64 = 2;
/// The items of a history that are read, where it pays.
const LAST: usize = 2;
/// It pays where the last two items tell so much more than two earlier ones and than popularity, and at least so much of what
/// all tell.
const MORE: f64 = 1.2;
const AS_MUCH: f64 = 0.8;
/// The least that they tell: where hardly anything explains the next item, a history adds noise (Complete Journey).
const LEAST: f64 = 0.04;
/// The fewest users that are asked for it: with 200 the two shares of one data set differ by some per cent from draw to draw.
const ENOUGH_USERS: u64 = 500;
/// Scores that a whole training takes when every row is compared with all items, where that takes minutes at most.
const FEW_SCORES: u128 = 100_000_000_000;
/// The temperature where nothing is known, the highest, the highest where the last items alone are read, that with
/// SoftmaxLoss@K, and the lowest.
const USUAL: f32 = 0.2;
const SOFT: f32 = 0.3;
const OF_HISTORY: f32 = 0.15;
const OF_TOP_K: f32 = 0.15;
const SHARP: f32 = 0.1;
/// The power of popularity where nothing is known, the least and the most.
const POPULARITY_USUAL: f32 = 0.5;
const POPULARITY: (f64, f64) = (0.2, 0.8);
/// Neighbours tell nothing of a user where they tell so many times what popularity tells, and enough from the second on.
const LIFT: (f64, f64) = (1.25, 1.4);
/// The temperature times the logarithm of how much more likely an item is that the neighbours tell, and the same where the last
/// items alone are read; they tell so many.
const RANGE: f64 = 0.7;
const RANGE_ALONE: f64 = 0.45;
const TOLD: f64 = 20.0;
/// SoftmaxLoss@K pays where neighbours tell so many times what popularity tells.
const LIFT_OF_TOP_K: f64 = 2.5;
const TOP_K: usize = 20;
/// Times that a run with it ranks all items for all users, and what ranking an item costs beside scoring a candidate.
const RANKINGS: f64 = 5.0;
const RANKED: f64 = 0.3;
/// What a row's candidates and the rest of a row cost by default, in candidates.
const USUAL_COST: f64 = 600.0;
/// Rows a user from which an id of their own is worth reading beside a history.
const ENOUGH_ROWS: f64 = 30.0;

impl Config {
    /// These settings for a dataset of this shape, with what was left open filled in. Nothing that is set changes.
    ///
    /// [`Resolved::decisions`] says what each open setting became, and why.
    #[must_use]
    pub fn for_shape(&self, shape: &Shape) -> Resolved {
        let mut made = Decisions(Vec::new());
        let (model, train, optimizer) = (&self.model, &self.train, &self.optimizer);
        let history = made.of("model.user.history", model.user.history, || history(self, shape));
        let user_id = made.of("model.user.id", model.user.id, || user_id(history, shape));
        let passes = train.epochs.unwrap_or_else(|| epochs(shape).0);
        let negatives = made.of("loss.negatives", self.loss.negatives, || negatives(history, user_id, shape, passes));
        let top_k = made.of("loss.top_k", self.loss.top_k, || top_k(history, shape, passes));
        let scores = match (history > 0 && !user_id, top_k > 0) {
            (true, _) => Scores::OfHistory,
            (_, true) => Scores::OfTopK,
            _ => Scores::OfUsers,
        };
        let temperature = made.of("model.temperature", model.temperature, || temperature(scores, shape));
        let popularity = made.of("model.popularity", model.popularity, || popularity(self, shape));
        let lr = made.of("optimizer.lr", optimizer.lr, || lr(shape));
        let weight_decay = made.of("optimizer.weight_decay", optimizer.weight_decay, || weight_decay(self, shape));
        let batch_size = made.of("train.batch_size", train.batch_size, || batch_size(shape));
        let epochs = made.of("train.epochs", train.epochs, || epochs(shape));
        let early_stop = made.of("train.early_stop", train.early_stop.clone(), || early_stop(shape, epochs));
        let open = OpenSettings {
            history,
            user_id,
            negatives,
            top_k,
            temperature,
            popularity,
            lr,
            weight_decay,
            batch_size,
            epochs,
            early_stop,
        };
        Resolved::new(self.clone(), open, made.0)
    }
}

/// A value, and why.
type Reasoned<T> = (T, String);

/// The last items where they tell more of the next one than popularity does, and about as much as all items: measured on
/// MovieLens-100K, Online Retail, Complete Journey and planted purchases (`benches/results/defaults.md`, "The last two
/// items").
fn history(config: &Config, shape: &Shape) -> Reasoned<usize> {
    let (item, user) = (&config.model.item, &config.model.user);
    // It reads the items' own table, which must be as wide as what it is added to.
    if item.id == Some(false) || item.combine != Combine::Sum || user.combine != Combine::Sum {
        return (0, "the item tower has no id embeddings that can be pooled".into());
    }
    let Some(next) = &shape.next else { return (0, "no times: the order of interactions is unknown".into()) };
    let reason = format!(
        "share of next items predicted: by the last two {:.1} %, by two earlier ones {:.1} %, by all {:.1} %, by popularity \
         {:.1} %",
        100.0 * next.last,
        100.0 * next.earlier,
        100.0 * next.all,
        100.0 * next.popularity
    );
    if let Some(later) = shape.later.filter(|later| *later < LATE) {
        return (0, format!("only {:.1} % of the held-out rows come after their user's training rows", 100.0 * later));
    }
    let tells_more = next.last > MORE * next.earlier.max(next.popularity);
    let pays = tells_more && next.last >= LEAST.max(AS_MUCH * next.all);
    match next.users {
        0..ENOUGH_USERS => {
            (0, format!("{} users are too few to measure how well the last items predict the next", next.users))
        }
        _ if pays => (LAST, reason),
        _ => (0, reason),
    }
}

/// An id needs rows to be learned from; beside a history it is in the way where they are few.
fn user_id(history: usize, shape: &Shape) -> Reasoned<bool> {
    let rows = rows_a_user(shape);
    match history {
        0 => (true, "there is no history input".into()),
        _ if shape.user_rows < ENOUGH_ROWS => {
            (false, format!("{rows}: too few for an id embedding beside the history"))
        }
        _ => (true, format!("{rows}: enough for an id embedding beside the history")),
    }
}

/// All items where the last ones alone are read and it does not take long; measured on planted sequences and purchases
/// (`benches/results/defaults.md`, "The last two items").
fn negatives(history: usize, user_id: bool, shape: &Shape, epochs: u64) -> Reasoned<Negatives> {
    let scores = u128::from(shape.rows).saturating_mul(shape.items.into()).saturating_mul(epochs.into());
    match history > 0 && !user_id && scores <= FEW_SCORES {
        true => (
            Negatives::Full,
            format!("the user tower reads no user id, and {} items are few enough", grouped(shape.items)),
        ),
        false => (Negatives::InBatch, "in-batch items suffice with the logQ correction".into()),
    }
}

/// What a temperature is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scores {
    OfUsers,
    /// The user tower reads the last items alone.
    OfHistory,
    /// Rows are weighed by SoftmaxLoss@K.
    OfTopK,
}

/// Scores of unit vectors lie between -1 / T and 1 / T: how far a likely item can stand above one that has nothing to do
/// with the user. That must be more the more items there are, and the more of what a user takes the others explain:
/// `T = 0.7 / ln(h n / 20)`, where h is the share of items told among 20 of n by the neighbours of the user's others
/// (`benches/results/defaults.md`, "Temperature"). Where the others explain hardly more than popularity does, T goes over
/// to the highest.
///
/// The last items alone tell more sharply: `0.45 / ln(h n / 20)`. With SoftmaxLoss@K, T is 0.15 whatever the catalogue
/// (`benches/results/losses.md`).
fn temperature(scores: Scores, shape: &Shape) -> Reasoned<f32> {
    let Some(HeldOut { users, neighbours, popularity }) = shape.held_out else {
        return (USUAL, "how well a user's items predict each other was not measured".into());
    };
    let reason = format!("{:.1} % of items are predicted by the user's other items", 100.0 * neighbours);
    let among = format!("{reason}, among {} items", grouped(shape.items));
    let times = (neighbours * shape.items as f64 / TOLD).max(1.0);
    let (range, most) = match scores {
        Scores::OfUsers => (RANGE, SOFT),
        Scores::OfTopK => return (OF_TOP_K, "rows are weighed by `loss.top_k`".into()),
        Scores::OfHistory => (RANGE_ALONE, OF_HISTORY),
    };
    let most = f64::from(most);
    let found = (range / times.ln()).clamp(SHARP.into(), most);
    let told_by_them = ((neighbours / popularity.max(f64::MIN_POSITIVE) - LIFT.0) / (LIFT.1 - LIFT.0)).clamp(0.0, 1.0);
    match users {
        0..ENOUGH_USERS => {
            (USUAL, format!("{users} users are too few to measure how well a user's items predict each other"))
        }
        _ if scores == Scores::OfHistory => (digits(found), format!("{among}; the user tower reads no user id")),
        _ if told_by_them < 1.0 => (
            digits(most - told_by_them * (most - found)),
            format!("{among}, {:.1} % by popularity", 100.0 * popularity),
        ),
        _ => (digits(found), among),
    }
}

/// Rows that cannot enter their user's list are left alone where taste tells far more than popularity; where popularity
/// tells much, they are what it is learned from (`benches/results/losses.md`).
fn top_k(history: usize, shape: &Shape, epochs: u64) -> Reasoned<usize> {
    let lift = shape.held_out.filter(|found| found.users >= ENOUGH_USERS).map(|found| {
        let times = found.neighbours / found.popularity.max(f64::MIN_POSITIVE);
        (times, format!("a user's other items predict {times:.1} times as many as popularity"))
    });
    match lift {
        None => (0, "how well a user's items predict each other was not measured".into()),
        Some(_) if history > 0 => (0, "the user tower reads a history".into()),
        Some(_) if epochs < 2 => (0, "there is one epoch".into()),
        Some(_) if top_k_cost(shape) > USUAL_COST * epochs as f64 => {
            (0, format!("ranking {} items for {} users takes too long", grouped(shape.items), grouped(shape.users)))
        }
        Some((times, reason)) if times >= LIFT_OF_TOP_K => (TOP_K, reason),
        Some((_, reason)) => (0, reason),
    }
}

/// What the rankings of a run with `loss.top_k` cost, in candidates of each training row.
pub(crate) fn top_k_cost(shape: &Shape) -> f64 {
    RANKED * RANKINGS * shape.users as f64 * shape.items as f64 / shape.rows.max(1) as f64
}

fn popularity(config: &Config, shape: &Shape) -> Reasoned<f32> {
    match config.loss.logq {
        LogQ::Exact | LogQ::Streaming => popularity_told(shape),
        logq => (0.0, format!("`loss.logq` is {logq}")),
    }
}

/// The share that popularity has in what neighbours tell (`benches/results/defaults.md`, "Popularity").
fn popularity_told(shape: &Shape) -> Reasoned<f32> {
    match shape.held_out {
        Some(HeldOut { users, neighbours, popularity }) if users >= ENOUGH_USERS => {
            let reason = format!(
                "{:.1} % of items are predicted by popularity, {:.1} % by the user's other items",
                100.0 * popularity,
                100.0 * neighbours
            );
            let share = if neighbours > 0.0 { popularity / neighbours } else { POPULARITY.1 };
            // What comes after training is popular for other reasons than a user's taste.
            let least =
                if shape.later.is_some_and(|later| later >= LATE) { POPULARITY_USUAL.into() } else { POPULARITY.0 };
            (digits(share.clamp(least, POPULARITY.1)), reason)
        }
        _ => (POPULARITY_USUAL, gini(shape)),
    }
}

/// Rounded to two decimals: what people would write.
fn digits(value: f64) -> f32 {
    ((value * 100.0).round() / 100.0) as f32
}

fn lr(shape: &Shape) -> Reasoned<f32> {
    (0.01, rows(shape))
}

fn weight_decay(config: &Config, shape: &Shape) -> Reasoned<f32> {
    let name = config.optimizer.name;
    match (name, config.model.normalize) {
        (OptimizerKind::Adam, true) => (2.0, rows_a_user(shape)),
        (OptimizerKind::Adam, false) => (0.0, "without `model.normalize` it would shrink the scores".into()),
        _ => (0.0, format!("the optimizer is {name}")),
    }
}

fn batch_size(shape: &Shape) -> Reasoned<usize> {
    (512, rows(shape))
}

/// A small dataset needs the steps, a large one has them in a few passes.
fn epochs(shape: &Shape) -> Reasoned<u64> {
    ((ROWS / shape.rows.max(1)).clamp(EPOCHS.0, EPOCHS.1), rows(shape))
}

fn early_stop(shape: &Shape, epochs: u64) -> Reasoned<EarlyStopping> {
    match shape.valid_rows {
        0 => (EarlyStopping::Off, "there is no validation split".into()),
        n => {
            let patience = PATIENCE.max(epochs.div_ceil(WAITED));
            let stop = EarlyStop { view: None, metric: "ndcg@20".into(), patience };
            (EarlyStopping::On(stop), format!("{} validation rows", grouped(n)))
        }
    }
}

fn rows(shape: &Shape) -> String {
    format!("{} training rows", grouped(shape.rows))
}

fn rows_a_user(shape: &Shape) -> String {
    let decimals = usize::from(shape.user_rows < 10.0);
    format!("{:.decimals$} rows per user", shape.user_rows)
}

fn gini(shape: &Shape) -> String {
    format!("Gini {:.2} of the rows per item", shape.gini)
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
    fn of<T: Word>(&mut self, key: &'static str, set: Option<T>, rule: impl FnOnce() -> Reasoned<T>) -> T {
        set.unwrap_or_else(|| {
            let (value, why) = rule();
            self.0.push(Decision { key, value: value.text(), why });
            value
        })
    }
}

#[cfg(test)]
mod tests;
