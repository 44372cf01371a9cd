//! How the rows and values of a text file are kept apart.

use memchr::memmem::{self, Finder};
use memchr::{memchr, memchr2, memchr3};

/// How rows and values are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) sep: Vec<u8>,
    /// At a value's start it quotes the value; doubled inside it stands for itself.
    pub(crate) quote: Option<u8>,
    /// Takes the character behind it as it is.
    pub(crate) escape: Option<u8>,
    /// Values of a row; 0 where that is not known yet.
    pub(crate) width: usize,
    /// Whether somebody has said what quotes.
    pub(crate) quote_is_said: bool,
    /// A line is a JSON object; nothing of the above counts.
    pub(crate) json: bool,
}

/// Where a row that starts somewhere ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RowEnd {
    /// Just behind its line feed.
    At(usize),
    /// Not in these bytes.
    Beyond,
    /// Not in these bytes, and a quote that opens here is still open.
    Quoted(usize),
    /// The quote that opens at the first place quotes nothing: the row is the one line that ends at the second.
    Stray(usize, usize),
}

impl Dialect {
    /// Lines of JSON objects.
    pub(crate) fn json(width: usize) -> Dialect {
        Dialect { sep: Vec::new(), quote: None, escape: None, width, quote_is_said: true, json: true }
    }

    /// Whether a line feed always ends a row.
    pub(crate) fn is_plain(&self) -> bool {
        self.quote.is_none() && self.escape.is_none()
    }

    /// Where the next quote, escape or line feed stands.
    fn special(&self, bytes: &[u8]) -> Option<usize> {
        match (self.quote, self.escape) {
            (Some(quote), Some(escape)) => memchr3(quote, escape, b'\n', bytes),
            (Some(one), None) | (None, Some(one)) => memchr2(one, b'\n', bytes),
            (None, None) => memchr(b'\n', bytes),
        }
    }

    /// Finds the end of the row that starts at `start`. `last`: no bytes follow these.
    pub(crate) fn row_end(&self, bytes: &[u8], start: usize, last: bool) -> RowEnd {
        let mut at = start;
        // Of a quoted value that runs over lines: where it opens.
        let mut over_lines = None;
        while let Some(n) = self.special(&bytes[at..]) {
            at += n;
            if bytes[at] == b'\n' {
                return match over_lines {
                    Some(opened) if !self.is_row(&bytes[start..=at]) || self.are_rows(&bytes[start..=at]) => {
                        RowEnd::Stray(opened, line_end(bytes, opened))
                    }
                    _ => RowEnd::At(at + 1),
                };
            }
            if Some(bytes[at]) == self.escape {
                at += 2;
                if at > bytes.len() {
                    return RowEnd::Beyond;
                }
                continue;
            }
            let opens = at == start || bytes[start..at].ends_with(&self.sep);
            at += 1;
            if !opens {
                continue;
            }
            let opened = at - 1;
            match self.closing(bytes, at, last) {
                Some(end) => {
                    if memchr(b'\n', &bytes[at..end]).is_some() {
                        let first = *over_lines.get_or_insert(opened);
                        if !self.is_end_of_value(bytes, end, last) {
                            // What closes it opens another value: it quotes nothing.
                            return RowEnd::Stray(first, line_end(bytes, first));
                        }
                    }
                    at = end;
                }
                None => return RowEnd::Quoted(opened),
            }
        }
        RowEnd::Beyond
    }

    /// Just behind the quote that closes a value whose text starts at `at`.
    fn closing(&self, bytes: &[u8], mut at: usize, last: bool) -> Option<usize> {
        let quote = self.quote?;
        loop {
            let found = match self.escape {
                Some(escape) if escape != quote => memchr2(quote, escape, bytes.get(at..)?),
                _ => memchr(quote, bytes.get(at..)?),
            };
            at += found? + 1;
            if bytes[at - 1] != quote {
                at += 1;
                continue;
            }
            match bytes.get(at) {
                Some(&next) if next == quote => at += 1,
                // The next byte decides whether the quote closes or is doubled.
                None if !last => return None,
                _ => return Some(at),
            }
        }
    }

    fn is_end_of_value(&self, bytes: &[u8], at: usize, last: bool) -> bool {
        let rest = &bytes[at..];
        let cut = !last && rest.len() < self.sep.len().max(2);
        rest.is_empty() || cut || rest.starts_with(&self.sep) || rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
    }

    /// Whether these lines have as many values as a row when quotes count. Where they have not, a quote is to blame, and
    /// rows would be lost in it.
    fn is_row(&self, lines: &[u8]) -> bool {
        let count = || {
            let (mut values, mut unquoted) = (Vec::new(), Vec::new());
            self.split_quoted(&Finder::new(&self.sep), trim_line_end(lines), &mut values, &mut unquoted);
            values.len()
        };
        self.width == 0 || count() == self.width
    }

    /// Whether each of these lines, taken without its quotes, has as many values as a row: then the quote that spans
    /// them is more likely a character of a value than a quote, and rows would be lost in it.
    fn are_rows(&self, lines: &[u8]) -> bool {
        let each = |line: &[u8]| memmem::find_iter(line, &self.sep).count() + 1 == self.width;
        !self.quote_is_said && self.width > 1 && lines.trim_ascii_end().split(|byte| *byte == b'\n').all(each)
    }

    /// Splits a row with quotes or escapes; the first value behind whose closing quote there is more text.
    /// Its values stand in `unquoted`, at the places `values`. `finder` finds separators.
    pub(super) fn split_quoted(
        &self,
        finder: &Finder<'_>,
        text: &[u8],
        values: &mut Vec<(u32, u32)>,
        unquoted: &mut Vec<u8>,
    ) -> Option<usize> {
        unquoted.clear();
        let (quote, escape) = (self.quote, self.escape);
        let sep_len = self.sep.len();
        let mut spoilt = None;
        let mut at = 0;
        loop {
            let begin = unquoted.len() as u32;
            if quote.is_some() && text.get(at).copied() == quote {
                at = self.unquote(text, at + 1, unquoted);
                if at < text.len() && !text[at..].starts_with(&self.sep) {
                    spoilt.get_or_insert(values.len());
                }
            }
            // The rest of the value, up to a separator that is not escaped.
            let mut end;
            loop {
                end = finder.find(&text[at..]).map(|n| at + n);
                let rest = &text[at..end.unwrap_or(text.len())];
                let Some(n) = escape.and_then(|escape| memchr(escape, rest)) else {
                    unquoted.extend_from_slice(rest);
                    break;
                };
                // `\N` by itself is the word for a missing value.
                let word = rest == b"\\N" && begin == unquoted.len() as u32;
                unquoted.extend_from_slice(&rest[..n + usize::from(word)]);
                // One that ends the row escapes nothing.
                unquoted.extend(text.get(at + n + 1).or(escape.as_ref()));
                at = (at + n + 2).min(text.len());
            }
            values.push((begin, unquoted.len() as u32));
            match end {
                Some(end) => at = end + sep_len,
                None => return spoilt,
            }
        }
    }

    /// Takes the value in quotes whose text starts at `at`; just behind its closing quote.
    fn unquote(&self, text: &[u8], mut at: usize, unquoted: &mut Vec<u8>) -> usize {
        let (quote, escape) = (self.quote.unwrap_or(b'"'), self.escape);
        loop {
            let found = match escape {
                Some(escape) => memchr2(quote, escape, &text[at..]),
                None => memchr(quote, &text[at..]),
            };
            let Some(n) = found else {
                unquoted.extend_from_slice(&text[at..]);
                return text.len();
            };
            unquoted.extend_from_slice(&text[at..at + n]);
            let is_quote = text[at + n] == quote;
            at += n + 1;
            match text.get(at) {
                Some(&next) if !is_quote || next == quote => {
                    unquoted.push(next);
                    at += 1;
                }
                _ if is_quote => return at,
                _ => return text.len(),
            }
        }
    }
}

/// Just behind the line in which this place lies.
fn line_end(bytes: &[u8], at: usize) -> usize {
    memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n + 1)
}

/// A line without its end.
pub(super) fn trim_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_that_swallows_rows_is_stray() {
        let dialect =
            Dialect { sep: b",".to_vec(), quote: Some(b'"'), quote_is_said: false, json: false, ..Dialect::json(3) };
        let rows = b"1,\"Weird Al,x\n2,a,y\n3,b\",z\n";
        assert_eq!(dialect.row_end(rows, 0, true), RowEnd::Stray(2, 14));
        let value = b"1,\"two\nlines\",x\n";
        assert_eq!(dialect.row_end(value, 0, true), RowEnd::At(value.len()));
        let spoilt = b"1,\"Weird Al,x\n2,\"b\",y\n";
        assert_eq!(dialect.row_end(spoilt, 0, true), RowEnd::Stray(2, 14));
        let said = Dialect { quote_is_said: true, ..dialect };
        assert_eq!(said.row_end(rows, 0, true), RowEnd::At(rows.len()));
    }
}
