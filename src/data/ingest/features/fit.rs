//! Codes for a column's values: fitted on the training entities, given to all.

use std::cmp::Reverse;

use super::values::{Counted, Store, Values};
use crate::data::dataset::FeatureKind;
use crate::data::ingest::config::{BUCKETS, FeatureSpec};
use crate::data::vocabulary::FeatureColumn;
use crate::table::quoted;

/// A column without a declared kind that holds numbers is numeric if it has more distinct ones than this.
const FEW_NUMBERS: usize = 20;
/// A column without a declared kind is left out if it has more distinct texts than this and most entities their own.
const FREE_TEXT: usize = 1000;

impl Values {
    /// What the column's codes mean, the codes of all entities, and what the column was taken for; or why it is left out.
    pub(super) fn fit(self, name: &str) -> Result<(FeatureKind, FeatureColumn, String), String> {
        let known = self.known;
        match self.store {
            Store::Dropped(reason) => Err(reason),
            Store::Numbers(cells) => {
                let buckets = match self.spec {
                    Some(FeatureSpec::Numeric(buckets)) => buckets,
                    _ => BUCKETS,
                };
                Ok(numeric(&cells, known, buckets, self.odd, None))
            }
            Store::Texts { texts, cells } => {
                if self.spec.is_none() {
                    if texts.distinct == 0 {
                        return Err("no training row has a value".into());
                    }
                    let found = texts.numbers(FEW_NUMBERS);
                    if found.are_amounts && !is_code_name(name) {
                        let numbers: Vec<f64> = cells.iter().map(|&cell| texts.number(cell)).collect();
                        let first = found.first_odd.map(|text| quoted(texts.texts.get(text)));
                        return Ok(numeric(&numbers, known, BUCKETS, found.odd, first));
                    }
                    let filled = cells[..known].iter().filter(|cell| **cell > 0).count();
                    if texts.distinct > FREE_TEXT && texts.distinct * 2 > filled {
                        return Err(format!(
                            "{} different texts on {filled} rows; declare it to keep it",
                            texts.distinct
                        ));
                    }
                }
                let found = texts.numbers(FEW_NUMBERS);
                let (values, codes) = rank(&texts);
                let code = |&cell: &u32| if cell == 0 { 0 } else { codes[cell as usize - 1] };
                let encoded = FeatureColumn::Codes(cells.iter().map(code).collect());
                let empty = cells[..known].iter().skip(1).filter(|cell| **cell == 0).count();
                let mut note = format!("categorical, {} values{}", values.len(), missing_words(empty));
                if let Some(odd) = found.first_odd.filter(|_| self.spec.is_none() && found.mostly) {
                    let first = quoted(texts.texts.get(odd));
                    note +=
                        &format!(", mostly numbers: {} are not (the first is {first}); declare it numeric", found.odd);
                }
                Ok((FeatureKind::Categorical { values }, encoded, note))
            }
            Store::Lists { texts, flat, cells, .. } => {
                let (values, codes) = rank(&texts);
                let empty = cells[..known].iter().skip(1).filter(|(start, end)| start == end).count();
                let note = format!("multi-hot, {} values{}", values.len(), missing_words(empty));
                let (mut offsets, mut all): (Vec<u32>, Vec<u32>) = (vec![0], Vec::with_capacity(flat.len()));
                for (start, end) in cells {
                    let begin = all.len();
                    all.extend(flat[start..end].iter().map(|&text| codes[text as usize]).filter(|code| *code > 0));
                    all[begin..].sort_unstable();
                    let end = u32::try_from(all.len()).map_err(|_| "more than 4 billion values".to_owned())?;
                    offsets.push(end);
                }
                let separator = match self.spec {
                    Some(FeatureSpec::MultiHot(separator)) => separator,
                    _ => "|".into(),
                };
                Ok((FeatureKind::MultiHot { separator, values }, FeatureColumn::Lists { offsets, codes: all }, note))
            }
        }
    }
}

/// What to say of entities without a value.
fn missing_words(missing: usize) -> String {
    if missing == 0 { String::new() } else { format!(", {missing} missing") }
}

fn numeric(
    cells: &[f64],
    known: usize,
    buckets: u32,
    odd: u64,
    first_odd: Option<String>,
) -> (FeatureKind, FeatureColumn, String) {
    let (kind, codes) = fit_numbers(cells, known, buckets);
    let empty = cells[..known].iter().skip(1).filter(|value| value.is_nan()).count();
    let buckets = match &kind {
        FeatureKind::Numeric { edges } => edges.len() + 1,
        _ => 0,
    };
    let mut note = format!("numeric, {buckets} buckets{}", missing_words(empty - (odd as usize).min(empty)));
    if odd > 0 {
        note += &format!(", {odd} no numbers");
        note += &first_odd.map(|first| format!(" (the first is {first})")).unwrap_or_default();
    }
    (kind, codes, note)
}

impl Counted {
    fn number(&self, cell: u32) -> f64 {
        match cell {
            0 => f64::NAN,
            n => super::values::parse_number(self.texts.get(n - 1)).unwrap_or(f64::NAN),
        }
    }
}

/// Numbers in a column of this name are names of something, and not amounts.
fn is_code_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["_id", "_no", "_code", "_key"].iter().any(|end| name.ends_with(end))
        || ["zip", "zip_code", "postal_code"].contains(&&*name)
}

/// The texts that training entities have, most frequent first, ties in byte order; and each text's code.
fn rank(texts: &Counted) -> (Vec<String>, Vec<u32>) {
    let get = |text: u32| texts.texts.get(text);
    let mut order: Vec<u32> = (0..texts.training.len() as u32).filter(|&t| texts.training[t as usize] > 0).collect();
    order.sort_unstable_by(|&a, &b| {
        let count = |t: u32| Reverse(texts.training[t as usize]);
        count(a).cmp(&count(b)).then_with(|| get(a).cmp(get(b)))
    });
    let mut codes = vec![0; texts.training.len()];
    for (at, &text) in order.iter().enumerate() {
        codes[text as usize] = at as u32 + 1;
    }
    // The values were checked when they were read: they are UTF-8.
    let values = order.iter().map(|&text| String::from_utf8_lossy(get(text)).into_owned()).collect();
    (values, codes)
}

/// Edges at the quantiles of the training entities' numbers, each once, and none that would leave the first bucket
/// empty.
fn fit_numbers(cells: &[f64], known: usize, buckets: u32) -> (FeatureKind, FeatureColumn) {
    let mut sorted: Vec<f64> = cells[..known].iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = Vec::new();
    for i in 1..u64::from(buckets) {
        // Below 4096 * rows, which fits.
        let at = i * sorted.len() as u64 / u64::from(buckets);
        let Some(&edge) = sorted.get(at as usize) else { continue };
        if edge > edges.last().copied().unwrap_or(sorted[0]) {
            edges.push(edge);
        }
    }
    let code = |&value: &f64| match value {
        v if v.is_nan() => 0,
        v => 1 + edges.partition_point(|edge| *edge <= v) as u32,
    };
    let codes = cells.iter().map(code).collect();
    (FeatureKind::Numeric { edges }, FeatureColumn::Codes(codes))
}

/// Takes the rows from `at` on off a column.
pub(super) fn split_off(column: &mut FeatureColumn, at: usize) -> FeatureColumn {
    match column {
        FeatureColumn::Codes(codes) => FeatureColumn::Codes(codes.split_off(at)),
        FeatureColumn::Lists { offsets, codes } => {
            let start = offsets[at];
            let tail = codes.split_off(start as usize);
            let ends = offsets[at..].iter().map(|end| end - start).collect();
            offsets.truncate(at + 1);
            FeatureColumn::Lists { offsets: ends, codes: tail }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Missing;

    fn fit(
        spec: Option<&str>,
        name: &str,
        known: &[&str],
        others: &[&str],
    ) -> Result<(FeatureKind, FeatureColumn), String> {
        let spec = spec.map(|s| s.parse().unwrap());
        let mut values = Values::new(spec, known.len() + 1, known.len() + 1 + others.len(), &Missing::default());
        for (row, value) in known.iter().chain(others).enumerate() {
            assert_eq!(values.check(value.as_bytes()), None);
            values.set(row as u32 + 1, value.as_bytes());
        }
        values.fit(name).map(|(kind, codes, _)| (kind, codes))
    }

    #[test]
    fn categories_come_from_training_entities_alone() {
        let (kind, codes) = fit(None, "x", &["b", "a", "c", "b", "", "a"], &["z", "c", "z", "z"]).unwrap();
        assert_eq!(kind, FeatureKind::Categorical { values: ["a", "b", "c"].map(String::from).into() });
        assert_eq!(codes, FeatureColumn::Codes(vec![0, 2, 1, 3, 2, 0, 1, 0, 3, 0, 0]));
    }

    #[test]
    fn lists_are_sets() {
        let (kind, mut lists) = fit(Some("multi-hot:|"), "x", &["b|a", "", "c| b |b|"], &["z|a"]).unwrap();
        let values = ["b", "a", "c"].map(String::from).into();
        assert_eq!(kind, FeatureKind::MultiHot { separator: "|".into(), values });
        let unseen = split_off(&mut lists, 4);
        assert_eq!(lists, FeatureColumn::Lists { offsets: vec![0, 0, 2, 2, 4], codes: vec![1, 2, 1, 3] });
        assert_eq!(unseen, FeatureColumn::Lists { offsets: vec![0, 1], codes: vec![2] });
    }

    #[test]
    fn numbers_fall_into_quantiles_of_training_entities() {
        let (kind, codes) =
            fit(Some("numeric:4"), "x", &["1", "2", "3", "4", "nan", ""], &["-9", "2.5", "1e9"]).unwrap();
        assert_eq!(kind, FeatureKind::Numeric { edges: vec![2.0, 3.0, 4.0] });
        assert_eq!(codes, FeatureColumn::Codes(vec![0, 1, 2, 3, 4, 0, 0, 1, 2, 4]));
        let (kind, _) = fit(Some("numeric:4"), "x", &["5", "5", "5", "9"], &[]).unwrap();
        assert_eq!(kind, FeatureKind::Numeric { edges: vec![9.0] });
        let (kind, codes) = fit(Some("numeric"), "x", &[""], &["3"]).unwrap();
        assert_eq!((kind, codes), (FeatureKind::Numeric { edges: vec![] }, FeatureColumn::Codes(vec![0, 0, 1])));
    }

    #[test]
    fn kinds_are_told_from_training_values() {
        let numbers: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        assert!(matches!(fit(None, "price", &numbers, &["high"]).unwrap().0, FeatureKind::Numeric { .. }));
        assert!(matches!(fit(None, "price", &numbers[..20], &[]).unwrap().0, FeatureKind::Categorical { .. }));
        assert!(matches!(fit(None, "brand_id", &numbers, &[]).unwrap().0, FeatureKind::Categorical { .. }));
        let texts: Vec<String> = (0..1500).map(|n| format!("text {n}")).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert!(fit(None, "title", &texts, &[]).unwrap_err().contains("1500 different texts"));
        assert!(fit(Some("categorical"), "title", &texts, &[]).is_ok());
        assert!(fit(None, "title", &["", ""], &["a"]).is_err());
        assert!(fit(Some("skip"), "title", &["a"], &[]).is_err());
    }

    #[test]
    fn very_many_values() {
        let numbers: Vec<String> = (0..70_000).map(|n| format!("{n}.5")).collect();
        let mut texts: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let (kind, codes) = fit(None, "price", &texts, &["x", "7"]).unwrap();
        let FeatureKind::Numeric { edges } = kind else { panic!("{kind:?}") };
        assert_eq!(edges.len(), 31);
        let FeatureColumn::Codes(codes) = codes else { panic!() };
        assert_eq!((codes[1], codes[70_000], codes[70_001], codes[70_002]), (1, 32, 0, 1));
        // One in a hundred that is no number does not matter, more do.
        texts[69_999] = "x";
        assert!(matches!(fit(None, "price", &texts, &[]).unwrap().0, FeatureKind::Numeric { .. }));
        texts[60_000..62_000].fill("x");
        assert!(fit(None, "price", &texts, &[]).unwrap_err().contains("65536"));
    }
}
