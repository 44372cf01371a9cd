//! A feature column's values, while they are read.

use crate::data::ingest::config::FeatureSpec;
use crate::data::ingest::ids::Interner;
use crate::table::{Missing, quoted};

/// A column without a declared kind that has more distinct values than this is a number or left out.
const MOST_VALUES: usize = 65_536;

/// What MovieLens writes for no genre.
const NO_GENRES: &[u8] = b"(no genres listed)";

/// A feature's value without the white space around it; empty where it is missing.
pub(crate) fn feature_value<'a>(value: &'a [u8], missing: &Missing) -> &'a [u8] {
    let value = value.trim_ascii();
    if missing.is_value(value) || value == NO_GENRES { b"" } else { value }
}

/// Values by entity: first those of the training split, then the others.
pub(super) struct Values {
    pub(super) spec: Option<FeatureSpec>,
    /// Entities of the training split, row 0 included.
    pub(super) known: usize,
    pub(super) store: Store,
    /// Training entities whose value is no number where numbers are due, once texts are no longer kept.
    pub(super) odd: u64,
    missing: Missing,
}

pub(super) enum Store {
    /// A text each: 1 + its number in `texts`; 0 where there is none.
    Texts { texts: Counted, cells: Vec<u32> },
    /// Texts each: `flat[cells[r].0..cells[r].1]` are numbers in `texts`. `last` is the row that had each text last.
    Lists { texts: Counted, flat: Vec<u32>, cells: Vec<(usize, usize)>, last: Vec<u32> },
    /// A number each; NaN where there is none.
    Numbers(Vec<f64>),
    /// Nothing more is kept of a column that is left out.
    Dropped(String),
}

/// Distinct texts, and how many training entities have each.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) texts: Interner,
    pub(super) training: Vec<u32>,
    /// Texts that a training entity has.
    pub(super) distinct: usize,
}

/// How far the texts of training entities are numbers.
pub(super) struct Numbers {
    /// Whether nearly all are, and there are enough of them to be amounts.
    pub(super) are_amounts: bool,
    /// Whether more than half are, and there are enough of them to be amounts.
    pub(super) mostly: bool,
    /// Entities whose text is no number, and the first such text.
    pub(super) odd: u64,
    pub(super) first_odd: Option<u32>,
}

impl Counted {
    /// The text's number; None when there is no room for more.
    fn add(&mut self, text: &[u8], training: bool) -> Option<u32> {
        let number = self.texts.add(text)?;
        if self.texts.len() > self.training.len() {
            self.training.push(0);
        }
        if training {
            let count = &mut self.training[number as usize];
            self.distinct += usize::from(*count == 0);
            *count += 1;
        }
        Some(number)
    }

    /// How far the training entities' texts are numbers. One in a hundred that is none does not make a column one of
    /// names.
    pub(super) fn numbers(&self, few: usize) -> Numbers {
        let (mut distinct, mut numbers, mut odd, mut first_odd) = (0, 0u64, 0u64, None);
        for (text, &count) in self.training.iter().enumerate().filter(|(_, count)| **count > 0) {
            match parse_number(self.texts.get(text as u32)) {
                Some(_) => (distinct, numbers) = (distinct + 1, numbers + u64::from(count)),
                None => {
                    odd += u64::from(count);
                    first_odd.get_or_insert(text as u32);
                }
            }
        }
        let enough = distinct > few;
        Numbers { are_amounts: enough && odd * 100 <= numbers + odd, mostly: enough && numbers > odd, odd, first_odd }
    }
}

/// Reads a number; NaN for one that is not finite. None for what is no number.
pub(super) fn parse_number(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    Some(if value.is_finite() { value } else { f64::NAN })
}

impl Values {
    pub(super) fn new(spec: Option<FeatureSpec>, known: usize, entities: usize, missing: &Missing) -> Values {
        let store = match &spec {
            Some(FeatureSpec::Numeric(_)) => Store::Numbers(vec![f64::NAN; entities]),
            Some(FeatureSpec::MultiHot(_)) => {
                let (texts, cells) = (Counted::default(), vec![(0, 0); entities]);
                Store::Lists { texts, flat: Vec::new(), cells, last: Vec::new() }
            }
            Some(FeatureSpec::Skip) => Store::Dropped("as asked".into()),
            Some(FeatureSpec::Categorical) | None => {
                Store::Texts { texts: Counted::default(), cells: vec![0; entities] }
            }
        };
        Values { spec, known, store, odd: 0, missing: missing.clone() }
    }

    /// Why this value cannot be taken, if so.
    pub(super) fn check(&self, value: &[u8]) -> Option<String> {
        if matches!(self.store, Store::Dropped(_)) {
            return None;
        }
        if let Err(error) = std::str::from_utf8(value) {
            return Some(format!("{} is not UTF-8 (byte {} of the value)", quoted(value), error.valid_up_to() + 1));
        }
        let declared = matches!(self.spec, Some(FeatureSpec::Numeric(_)));
        (declared && !value.is_empty() && parse_number(value).is_none())
            .then(|| format!("{} is not a number", quoted(value)))
    }

    /// Takes a checked value; an empty one is missing.
    pub(super) fn set(&mut self, row: u32, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        let entity = row as usize;
        let is_training = entity < self.known;
        let mut full = false;
        match &mut self.store {
            Store::Texts { texts, cells } => match texts.add(value, is_training) {
                Some(number) => cells[entity] = number + 1,
                None => full = true,
            },
            Store::Lists { texts, flat, cells, last } => {
                let start = flat.len();
                let separator = match &self.spec {
                    Some(FeatureSpec::MultiHot(separator)) => separator.as_bytes(),
                    _ => b"|",
                };
                let mut at = 0;
                let ends = memchr::memmem::find_iter(value, separator).map(|n| (n, n + separator.len()));
                for (end, next) in ends.chain([(value.len(), 0)]) {
                    let text = value[at..end].trim_ascii();
                    at = next;
                    if self.missing.is_value(text) {
                        continue;
                    }
                    let Some(number) = texts.texts.add(text) else {
                        full = true;
                        break;
                    };
                    last.resize(last.len().max(texts.texts.len()), 0);
                    // A text that a cell has twice counts once. Row 0 has no cell.
                    if std::mem::replace(&mut last[number as usize], row) != row {
                        flat.extend(texts.add(text, is_training));
                    }
                }
                cells[entity] = (start, flat.len());
            }
            Store::Numbers(cells) => match parse_number(value) {
                Some(number) => cells[entity] = number,
                // Only a column without a declared kind comes here.
                None if is_training => self.odd += 1,
                None => {}
            },
            Store::Dropped(_) => {}
        }
        if full {
            self.store = Store::Dropped(too_many());
        } else if self.spec.is_none() {
            self.bound(is_training);
        }
    }

    /// Keeps memory small where a column has very many values: numbers become numbers, texts go.
    fn bound(&mut self, is_training: bool) {
        let Store::Texts { texts, cells } = &self.store else { return };
        if !is_training || texts.distinct <= MOST_VALUES {
            return;
        }
        if !texts.numbers(0).are_amounts {
            self.store = Store::Dropped(too_many());
            return;
        }
        let number = |&cell: &u32| match cell {
            0 => f64::NAN,
            n => parse_number(texts.texts.get(n - 1)).unwrap_or(f64::NAN),
        };
        self.odd = texts.numbers(0).odd;
        self.store = Store::Numbers(cells.iter().map(number).collect());
    }
}

fn too_many() -> String {
    format!("more than {MOST_VALUES} different texts; declare it categorical to keep it")
}
