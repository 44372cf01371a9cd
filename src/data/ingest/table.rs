//! A file of rows and named columns, whatever its format.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::arrow::{self, Batches};
use super::inputs::TableInput;
use super::rows::{Reject, RowReader, check_width};
use super::text::{Dialect, Piece, Pieces, TextFile, open_file};
use crate::{Error, Result};

/// How a file is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lines; with `header`, the first one names the columns.
    Text {
        dialect: Dialect,
        header: bool,
    },
    /// Arrow IPC, file or stream.
    Arrow,
    Parquet,
    /// Record batches that somebody hands in.
    Table(TableInput),
}

/// What is known about a text file before it is opened.
#[derive(Clone, Debug, Default)]
pub(super) struct TextOptions {
    pub(super) sep: Option<Vec<u8>>,
    pub(super) quoting: Option<bool>,
    /// The columns' names, where there is no header line.
    pub(super) columns: Option<Vec<String>>,
}

/// A file whose columns are known.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) columns: Vec<String>,
    pub(super) bytes: u64,
}

/// Takes a row's number and its values, or why it cannot be read.
pub(super) type EachRow<'a> = dyn FnMut(u64, std::result::Result<&[&[u8]], Reject>) -> Result<()> + 'a;

/// The name without `.gz` and `.zst`, in lower case.
pub(super) fn plain_name(path: &Path) -> String {
    let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.trim_end_matches(".gz").trim_end_matches(".zst").to_owned()
}

/// The kind that a file's name tells; None for a name that tells none.
pub(super) fn kind_of_name(path: &Path) -> Option<&'static str> {
    match plain_name(path).rsplit_once('.')?.1 {
        "parquet" | "pq" => Some("parquet"),
        "arrow" | "arrows" | "feather" | "ipc" => Some("arrow"),
        "csv" | "tsv" | "txt" | "dat" | "inter" | "data" => Some("csv"),
        _ => None,
    }
}

/// What stands between the values of this line.
fn detect_separator(line: &[u8]) -> Option<Vec<u8>> {
    let count = |sep: &[u8]| memchr::memmem::find_iter(line, sep).count();
    let candidates: [&[u8]; 4] = [b"::", b"\t", b";", b","];
    // The first of the most frequent ones.
    let best = candidates.into_iter().rev().max_by_key(|sep| count(sep))?;
    (count(best) > 0).then(|| best.to_vec())
}

impl Table {
    /// Opens a text file and reads its header.
    pub(super) fn text(path: &Path, options: &TextOptions) -> Result<Table> {
        let bytes = open_file(path)?.metadata().map_err(|e| Error::io(path, e))?.len();
        let mut file = TextFile::open(path, &Arc::default())?;
        let Some((line, _)) = file.first_line()? else {
            let reason = if bytes == 0 { "the file is empty" } else { "the file has no rows" };
            return Err(Error::input(path, reason));
        };
        let sep = match options.sep.clone().or_else(|| detect_separator(&line)) {
            Some(sep) => sep,
            None => {
                let reason = "no separator (`,`, tab, `;`, `::`) in its first line; give one with --sep";
                return Err(Error::input(path, reason));
            }
        };
        let quoting = options.quoting.unwrap_or(true) && sep.len() == 1;
        let dialect = Dialect { sep, quoting };
        let (columns, header) = match &options.columns {
            Some(columns) => (columns.clone(), false),
            None => (header(path, &line, &dialect)?, true),
        };
        Ok(Table { path: path.to_owned(), kind: Kind::Text { dialect, header }, columns, bytes })
    }

    /// Opens an Arrow IPC or a Parquet file and reads its schema.
    pub(super) fn columnar(path: &Path, kind: Kind) -> Result<Table> {
        let bytes = open_file(path)?.metadata().map_err(|e| Error::io(path, e))?.len();
        if bytes == 0 {
            return Err(Error::input(path, "the file is empty"));
        }
        let columns = arrow::columns(path, &kind)?;
        Ok(Table { path: path.to_owned(), kind, columns, bytes })
    }

    /// Record batches; how many bytes they have is not known.
    pub(super) fn batches(input: &TableInput) -> Result<Table> {
        let (path, kind) = (input.name.clone(), Kind::Table(input.clone()));
        let columns = arrow::columns(&path, &kind)?;
        Ok(Table { path, kind, columns, bytes: 0 })
    }

    /// Where the column is.
    ///
    /// # Errors
    /// [`Error::Schema`] that lists the columns.
    pub(super) fn index(&self, column: &str) -> Result<usize> {
        self.columns.iter().position(|c| c == column).ok_or_else(|| Error::Schema {
            path: self.path.clone(),
            column: column.to_owned(),
            expected: "a column of this name".into(),
            found: format!("the columns {}", self.columns.join(", ")),
        })
    }

    /// Calls `each` with every row's number and its values as text (a null is empty), or why it cannot be read.
    pub(super) fn for_each(&self, bytes: &Arc<AtomicU64>, each: &mut EachRow<'_>) -> Result<()> {
        match &self.kind {
            Kind::Text { dialect, header } => self.for_each_line(dialect, *header, bytes, each),
            kind => {
                let mut row = 0;
                for batch in Batches::open(&self.path, kind, None, bytes)? {
                    row = arrow::for_each_row(&self.path, &batch?, row, each)?;
                }
                Ok(())
            }
        }
    }

    fn for_each_line(
        &self,
        dialect: &Dialect,
        header: bool,
        bytes: &Arc<AtomicU64>,
        each: &mut EachRow<'_>,
    ) -> Result<()> {
        let mut file = TextFile::open(&self.path, bytes)?;
        let mut line = if header { file.first_line()?.map_or(0, |(_, lines)| lines) } else { 0 };
        let mut pieces = Pieces::new(file, dialect.clone(), 1 << 20);
        let mut reader = RowReader::new(dialect);
        let mut buffer = Vec::new();
        while let Some(piece) = pieces.next(&mut buffer)? {
            if let Piece::Bad { line: at, lines, quote, reason } = piece {
                each(line + 1 + at, Err(bad_lines((at, quote, reason), &buffer, &self.columns, dialect)))?;
                line += lines;
                continue;
            }
            let mut at = 0;
            while let Some(row) = reader.next(&buffer, &mut at) {
                line += 1;
                let first = line;
                line += row.lines.saturating_sub(1);
                if row.text.is_empty() {
                    continue;
                }
                match check_width(&row, self.columns.len()) {
                    Ok(()) => {
                        let values: Vec<&[u8]> = (0..row.len()).map(|i| row.get(i)).collect();
                        each(first, Ok(&values))?;
                    }
                    Err((column, reason)) => {
                        let column = self.columns[column].clone();
                        each(first, Err(Reject { line: 0, column, reason, text: row.text.to_vec() }))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What to say about lines that are no row: see [`Piece::Bad`].
pub(super) fn bad_lines(
    (line, quote, reason): (u64, Option<usize>, String),
    text: &[u8],
    columns: &[String],
    dialect: &Dialect,
) -> Reject {
    let column = quote.map_or(0, |quote| {
        let mut reader = RowReader::new(dialect);
        reader.next(&text[..quote], &mut 0).map_or(0, |row| row.len() - 1)
    });
    let column = columns.get(column).or(columns.last()).cloned().unwrap_or_default();
    Reject { line, column, reason, text: text.trim_ascii_end().to_vec() }
}

fn header(path: &Path, line: &[u8], dialect: &Dialect) -> Result<Vec<String>> {
    let mut reader = RowReader::new(dialect);
    let mut columns: Vec<String> = Vec::new();
    let Some(row) = reader.next(line, &mut 0) else { return Ok(columns) };
    for i in 0..row.len() {
        let name = std::str::from_utf8(row.get(i));
        let name = name.map_err(|_| Error::input(path, format!("the name of column {} is not UTF-8", i + 1)))?;
        if columns.iter().any(|c| c == name) {
            return Err(Error::input(path, format!("two columns are called `{name}`; rename one")));
        }
        columns.push(name.to_owned());
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_found() {
        for (line, sep) in [
            ("a,b", Some(",")),
            ("a\tb, c", Some("\t")),
            ("1::Toy Story (1995), x::Animation", Some("::")),
            ("a;b;c,d", Some(";")),
            ("alone", None),
        ] {
            assert_eq!(detect_separator(line.as_bytes()).as_deref(), sep.map(str::as_bytes), "{line}");
        }
    }
}
