//! Words that stand for a missing value.

use super::options::ReadOptions;

/// The words that databases, spreadsheets and data frames write, in lower case. The empty value is one in every case.
const WORDS: [&[u8]; 7] = [b"\\n", b"na", b"nan", b"null", b"none", b"n/a", b"<na>"];
/// What spreadsheets write.
const SPREADSHEET: &[u8] = b"#n/a";

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

    /// Whether this value is missing.
    #[inline]
    pub(crate) fn is(&self, value: &[u8]) -> bool {
        match value {
            [] => true,
            // What most ids begin with begins no word.
            [b'0'..=b'9', ..] if self.words.is_none() => false,
            _ => self.is_word(value.trim_ascii()),
        }
    }

    fn is_word(&self, value: &[u8]) -> bool {
        match &self.words {
            _ if value.is_empty() => true,
            Some(words) => words.iter().any(|word| word == value),
            None if value.len() > 4 => false,
            None => {
                let same = |word: &&[u8]| word.eq_ignore_ascii_case(value);
                // A backslash and a capital: `\n` written out is a line break.
                value != b"\\n" && (WORDS.iter().any(|word| same(word)) || same(&SPREADSHEET))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let usual = Missing::default();
        for word in ["", " ", "\\N", "NULL", "null", "NaN", "nan", "None", "N/A", "n/a", "NA", "<NA>", "#N/A", " NULL "] {
            assert!(usual.is(word.as_bytes()), "{word}");
        }
        for id in ["0", "Nancy", "NULL1", "none of these", "-", "N", "nil", "\\n", "x"] {
            assert!(!usual.is(id.as_bytes()), "{id}");
        }
        let options = ReadOptions { null: Some(vec!["-".into(), "0".into()]), ..Default::default() };
        let own = Missing::new(&options);
        assert!(own.is(b"-") && own.is(b"0") && own.is(b"") && own.is(b"  "));
        assert!(!own.is(b"NULL") && !own.is(b"NA"));
    }
}
