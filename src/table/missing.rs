//! Words that stand for a missing value.

use super::options::ReadOptions;

/// The words that databases, spreadsheets and data frames write, as they write them. The empty value is one in every
/// case.
const WORDS: [&str; 13] =
    ["\\N", "NULL", "Null", "null", "NaN", "nan", "NAN", "None", "N/A", "n/a", "NA", "<NA>", "#N/A"];

/// Tells missing values from others. White space around a word does not count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Missing {
    /// In the place of the usual ones.
    words: Option<Vec<Vec<u8>>>,
}

impl Missing {
    pub(crate) fn new(options: &ReadOptions) -> Missing {
        let bytes = |words: &Vec<String>| words.iter().map(|word| word.trim().as_bytes().to_vec()).collect();
        Missing { words: options.null.as_ref().map(bytes) }
    }

    /// Whether this value is missing where an id is due: there the usual words count in any case.
    #[inline]
    pub(crate) fn is_id(&self, value: &[u8]) -> bool {
        match value {
            [] => true,
            // What most ids begin with begins no word.
            [b'0'..=b'9', ..] if self.words.is_none() => false,
            _ => self.is_word(value.trim_ascii(), |word, value| {
                // A backslash and a small letter is a line break that is written out.
                word.as_bytes().eq_ignore_ascii_case(value) && value != b"\\n"
            }),
        }
    }

    /// Whether this value of a feature is missing: `None` is, `NONE` (a word of its own in shops' data) is not.
    #[inline]
    pub(crate) fn is_value(&self, value: &[u8]) -> bool {
        self.is_word(value.trim_ascii(), |word, value| word.as_bytes() == value)
    }

    fn is_word(&self, value: &[u8], same: impl Fn(&str, &[u8]) -> bool) -> bool {
        match &self.words {
            _ if value.is_empty() => true,
            Some(words) => words.iter().any(|word| word == value),
            None => value.len() <= 4 && WORDS.iter().any(|word| same(word, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let usual = Missing::default();
        for word in ["", " ", "\\N", "NULL", "null", "NaN", "nan", "None", "N/A", "n/a", "NA", "<NA>", "#N/A", " NULL "]
        {
            assert!(usual.is_id(word.as_bytes()) && usual.is_value(word.as_bytes()), "{word}");
        }
        for word in ["NONE", "none", "nA", "nuLL"] {
            assert!(usual.is_id(word.as_bytes()) && !usual.is_value(word.as_bytes()), "{word}");
        }
        for id in ["0", "Nancy", "NULL1", "none of these", "-", "N", "nil", "\\n", "x"] {
            assert!(!usual.is_id(id.as_bytes()) && !usual.is_value(id.as_bytes()), "{id}");
        }
        let options = ReadOptions { null: Some(vec!["-".into(), "0".into()]), ..Default::default() };
        let own = Missing::new(&options);
        assert!(own.is_id(b"-") && own.is_id(b"0") && own.is_id(b"") && own.is_value(b"  "));
        assert!(!own.is_id(b"NULL") && !own.is_value(b"NA"));
    }
}
