//! What tells how the values of a text file are kept apart: the settings, or the file's first lines.

use std::path::Path;

use memchr::{memchr, memchr_iter, memmem};

use super::dialect::{Dialect, RowEnd};
use super::options::{Mark, ReadOptions};
use super::rows::RowReader;
use crate::{Error, Result};

/// Separators that are looked for.
const SEPARATORS: [&[u8]; 5] = [b",", b"\t", b";", b"|", b"::"];
/// Lines that are looked at.
const LINES: usize = 200;

/// Tells the dialect of a file from its first bytes, which are whole lines. `width` stays 0.
///
/// # Errors
/// [`Error::Config`] for settings that cannot be used, [`Error::Input`] where two separators are as likely.
pub(crate) fn detect(path: &Path, sample: &[u8], options: &ReadOptions) -> Result<Dialect> {
    let lines: Vec<&[u8]> = sample.split(|byte| *byte == b'\n').map(trim_line_end).filter(|l| !l.is_empty()).collect();
    let sep = match options.separator()? {
        Some(sep) => sep,
        None => separator(path, &lines[..lines.len().min(LINES)])?,
    };
    let said = options.quote.map(Mark::byte);
    let quote = match said {
        Some(said) => said,
        None if sep.len() == 1 && sep != b"\t" => Some(b'"'),
        None => uses_quotes(&sep, sample, &lines).then_some(b'"'),
    };
    // A quote that escapes quotes is a doubled quote, which is read as such.
    let escape = options.escape.and_then(Mark::byte).filter(|escape| Some(*escape) != quote);
    if quote.is_some_and(|quote| sep.contains(&quote)) || escape.is_some_and(|escape| sep.contains(&escape)) {
        return Err(Error::config("sep", "separator, quote and escape have to be different characters"));
    }
    Ok(Dialect { sep, quote, escape, width: 0, quote_is_said: said.is_some(), json: false })
}

/// The separator that a first line `sep=;` names, how many lines that takes, and what follows.
pub(super) fn named_separator(sample: &[u8]) -> Option<(String, u64, &[u8])> {
    let end = memchr(b'\n', sample)?;
    let named = trim_line_end(&sample[..end]).strip_prefix(b"sep=")?;
    let sep = std::str::from_utf8(named).ok().filter(|sep| sep.chars().count() == 1)?;
    Some((sep.to_owned(), 1, &sample[end + 1..]))
}

/// Whether the separator that is said stands in the first line.
pub(super) fn first_line_has(sample: &[u8], options: &ReadOptions) -> Result<bool> {
    let Some(sep) = options.separator()? else { return Ok(true) };
    let first = sample.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    Ok(first.is_some_and(|line| memmem::find(line, &sep).is_some()))
}

fn trim_line_end(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Values of a line, quotes at their starts respected.
fn width(line: &[u8], sep: &[u8]) -> usize {
    let mut reader = RowReader::new(&plain(sep, true));
    reader.next(line, &mut 0).map_or(0, |row| row.len())
}

fn plain(sep: &[u8], quotes: bool) -> Dialect {
    let quote = quotes.then_some(b'"');
    Dialect { sep: sep.to_vec(), quote, escape: None, width: 0, quote_is_said: true, json: false }
}

/// What stands between the values: what the first line has and the lines after it have as often. A file of one column
/// has none; it is read as if it had commas.
fn separator(path: &Path, lines: &[&[u8]]) -> Result<Vec<u8>> {
    let Some((first, rest)) = lines.split_first() else { return Ok(b",".to_vec()) };
    let rest = &rest[..rest.len().min(20)];
    let mut found: Vec<(usize, usize, &[u8])> = Vec::new();
    for sep in SEPARATORS {
        let columns = width(first, sep);
        if columns > 1 {
            found.push((rest.iter().filter(|line| width(line, sep) == columns).count(), columns, sep));
        }
    }
    // No name has a tab in it.
    found.sort_by_key(|&(same, columns, sep)| std::cmp::Reverse((same, columns, sep == b"\t")));
    match found[..] {
        [] => Ok(b",".to_vec()),
        [(same, columns, a), (also, as_many, b), ..] if (same, columns) == (also, as_many) && a != b"\t" => {
            let (a, b) = (
                String::from_utf8_lossy(a).escape_default().to_string(),
                String::from_utf8_lossy(b).escape_default().to_string(),
            );
            Err(Error::input(path, format!("its values may be separated by `{a}` or by `{b}`; say which by sep=")))
        }
        [(_, _, sep), ..] => Ok(sep.to_vec()),
    }
}

/// Whether a file whose format has no quotes has them all the same. A title may begin with a quote, or stand in two:
/// only what cannot be a value proves it. Both readings of the sample are compared.
fn uses_quotes(sep: &[u8], sample: &[u8], lines: &[&[u8]]) -> bool {
    let Some((header, rows)) = lines.split_first() else { return false };
    if memchr(b'"', sample).is_none() {
        return false;
    }
    let fields = |line: &[u8]| -> Vec<(usize, usize)> {
        let mut start = 0;
        let ends = memmem::find_iter(line, sep).map(|n| (n, n + sep.len())).chain([(line.len(), 0)]);
        ends.map(|(end, next)| (std::mem::replace(&mut start, next), end)).collect()
    };
    let enclosed = |field: &[u8]| field.len() >= 2 && field.starts_with(b"\"") && field.ends_with(b"\"");
    let in_header = fields(header).iter().all(|&(start, end)| enclosed(&header[start..end]));
    let due = width(header, sep);
    let (mut ragged, mut doubled) = (false, false);
    // By column: values in quotes, and others.
    let mut values_of = vec![(0, 0); due];
    for line in rows {
        let values = fields(line);
        ragged |= values.len() != due;
        for (column, (start, end)) in values.into_iter().enumerate() {
            let field = &line[start..end];
            if let Some(counts) = values_of.get_mut(column).filter(|_| !field.is_empty()) {
                counts.0 += usize::from(enclosed(field));
                counts.1 += usize::from(!enclosed(field));
            }
            doubled |= is_quoted(field);
        }
    }
    let whole_column = values_of.iter().any(|&(inside, others)| inside >= 2 && others == 0);
    match is_regular(sep, sample, due) {
        true => ragged || in_header || doubled || whole_column,
        false => in_header,
    }
}

/// Whether this value is in quotes and has quotes in it, all doubled: what nobody writes who does not quote.
pub(super) fn is_quoted(value: &[u8]) -> bool {
    let [b'"', inner @ .., b'"'] = value else { return false };
    let quotes = memchr_iter(b'"', inner).count();
    quotes > 0 && memmem::find_iter(inner, b"\"\"").count() * 2 == quotes
}

/// What to say of such a value in a file whose first lines have none.
pub(super) const LATE_QUOTES: &str = "is in quotes with doubled quotes inside, and the first lines have no quotes; give quote=\" where quotes quote, \
     quote=none where they are text";

/// Whether every row of the sample has as many values when quotes count. A quote that is still open where a long sample
/// ends may be closed behind it.
fn is_regular(sep: &[u8], sample: &[u8], due: usize) -> bool {
    let dialect = plain(sep, true);
    let mut reader = RowReader::new(&dialect);
    let mut at = 0;
    while at < sample.len() {
        match dialect.row_end(sample, at, true) {
            RowEnd::Quoted(opened) => return sample.len() > 1 << 17 && opened > sample.len() / 2,
            RowEnd::Stray(..) => return false,
            // Prose has no separators of this kind: a line inside a value that is a whole row is one.
            RowEnd::At(end) if has_row_inside(&sample[at..end], sep, due) => return false,
            RowEnd::At(_) | RowEnd::Beyond => {}
        }
        match reader.next(sample, &mut at) {
            Some(row) if !row.text.is_empty() && (row.len() != due || row.spoilt.is_some()) => return false,
            _ => {}
        }
    }
    true
}

/// Whether a line between the first and the last of these has as many values as a row.
fn has_row_inside(lines: &[u8], sep: &[u8], due: usize) -> bool {
    let lines: Vec<&[u8]> = lines.trim_ascii_end().split(|byte| *byte == b'\n').collect();
    let inside = lines.get(1..lines.len().saturating_sub(1)).unwrap_or_default();
    due > 1 && inside.iter().any(|line| memmem::find_iter(line, sep).count() + 1 == due)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (String, Option<char>) {
        let dialect = detect(Path::new("a"), text.as_bytes(), &ReadOptions::default()).unwrap();
        (String::from_utf8(dialect.sep).unwrap(), dialect.quote.map(char::from))
    }

    #[test]
    fn separators_are_found() {
        for (line, sep) in [
            ("a,b", ","),
            ("a\tb, c", "\t"),
            ("1::Toy Story (1995), x::Animation", "::"),
            ("a;b;c,d", ";"),
            ("a|b|c\n1|2,5|3\n", "|"),
            ("alone", ","),
            ("\"a,b\";\"c,d\"\n1;2\n", ";"),
            ("a;b,c\n1;2\n3;4\n", ";"),
            ("a,b;c\n1,2\n3,4\n", ","),
        ] {
            assert_eq!(found(line).0, sep, "{line}");
        }
        let error = detect(Path::new("a"), b"a;b,c\n", &ReadOptions::default()).unwrap_err().to_string();
        assert!(error.contains("sep="), "{error}");
    }

    #[test]
    fn tabs_have_quotes_only_where_the_file_proves_it() {
        for (text, quote) in [
            ("id\ttitle\n1\t\"Weird Al\n2\tx\n", None),
            ("id\ttitle\n1\t\"Heroes\"\n2\tx\n", None),
            ("id\ttitle\n1\t\"Heroes\" live\n", None),
            ("\"id\"\t\"title\"\n\"1\"\t\"x\"\n", Some('"')),
            ("id\ttitle\n1\t\"5\"\" pipe\"\n", Some('"')),
            ("id\ttitle\n1\t\"a\"\n2\t\"b\"\n3\t\"c\"\n", Some('"')),
            ("id\ttitle\n1\t\"two\nlines\"\n2\tx\n", Some('"')),
            ("id\ttitle\n1\t\"a\ttab\"\n2\tx\n", Some('"')),
            ("id\ttitle\n1\t\"over\ntwo\"\n2\t\"\"\"a\"\"\"\n", Some('"')),
            ("\"id\"\t\"title\"\n1\t\"over\ntwo\"\n2\tx\n", Some('"')),
            ("id\ttitle\n1\t\"two\nlines\n2\tx\n", None),
            ("id::title\n1::\"x\n", None),
        ] {
            assert_eq!(found(text).1, quote, "{text}");
        }
        assert_eq!(found("id,title\n1,x\n").1, Some('"'));
    }
}
