//! From the text of a feature to its codes, by what ingest fitted.

use hashbrown::HashMap;

use crate::data::dataset::{Feature, FeatureKind};

/// Encodes the cells of one feature column as ingest does.
pub(crate) struct Encoder<'a> {
    feature: &'a Feature,
    codes: HashMap<&'a str, u32>,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(feature: &'a Feature) -> Encoder<'a> {
        let values = match &feature.kind {
            FeatureKind::Categorical { values } | FeatureKind::MultiHot { values, .. } => values.as_slice(),
            FeatureKind::Numeric { .. } => &[],
        };
        Encoder { feature, codes: values.iter().map(String::as_str).zip(1..).collect() }
    }

    /// Appends the codes of a cell that is not empty: one (0 when the value is unknown), or the known ones of a
    /// list, ascending.
    /// The error completes "`text` …".
    pub(crate) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), &'static str> {
        match &self.feature.kind {
            FeatureKind::Categorical { .. } => out.push(self.codes.get(text).copied().unwrap_or(0)),
            FeatureKind::MultiHot { separator, .. } => {
                let start = out.len();
                for value in text.split(separator.as_str()).map(str::trim) {
                    if let Some(&code) = self.codes.get(value)
                        && !out[start..].contains(&code)
                    {
                        out.push(code);
                    }
                }
                out[start..].sort_unstable();
            }
            FeatureKind::Numeric { edges } => {
                let number: f64 = text.parse().map_err(|_| "is not a number")?;
                let bucket = 1 + edges.partition_point(|&edge| edge <= number) as u32;
                // NaN and infinity say nothing about an amount: missing.
                out.push(if number.is_finite() { bucket } else { 0 });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(kind: FeatureKind, text: &str) -> Result<Vec<u32>, &'static str> {
        let feature = Feature { name: "f".into(), kind };
        let mut codes = Vec::new();
        Encoder::new(&feature).encode(text, &mut codes).map(|()| codes)
    }

    #[test]
    fn each_kind_has_its_codes() {
        let values = vec!["red".to_owned(), "blue".to_owned()];
        let one = FeatureKind::Categorical { values: values.clone() };
        assert_eq!(encode(one.clone(), "blue"), Ok(vec![2]));
        assert_eq!(encode(one, "green"), Ok(vec![0]));
        let many = FeatureKind::MultiHot { separator: "|".into(), values };
        assert_eq!(encode(many, "blue | green|red|blue"), Ok(vec![1, 2]));
        // Code 1 + the edges that are <= the number.
        let number = FeatureKind::Numeric { edges: vec![10.0, 20.0] };
        assert_eq!(encode(number.clone(), "9.9"), Ok(vec![1]));
        assert_eq!(encode(number.clone(), "10"), Ok(vec![2]));
        assert_eq!(encode(number.clone(), "1e9"), Ok(vec![3]));
        assert_eq!(encode(number.clone(), "ten"), Err("is not a number"));
        assert_eq!(encode(number.clone(), "NaN"), Ok(vec![0]));
        assert_eq!(encode(number, "inf"), Ok(vec![0]));
    }
}
