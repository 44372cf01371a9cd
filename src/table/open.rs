//! Opening a text file: its dialect and its header.

use std::path::Path;
use std::sync::{Arc, Mutex};

use super::detect;
use super::dialect::Dialect;
use super::missing::Missing;
use super::rows::RowReader;
use super::source::OpenedInput;
use super::text::TextFile;
use super::{Hints, InputTable, OpenedPipe, TableFormat, foreign, json, names};
use crate::{Error, Result};

impl InputTable {
    pub(super) fn text(source: OpenedInput, hints: &Hints) -> Result<InputTable> {
        let OpenedInput { path, file, start, bytes, stamp } = source;
        let mut text = TextFile::new(&path, file, start, &Arc::default())?;
        let sample = text.sample()?;
        if foreign::is_binary(&sample) {
            return Err(Error::input(&path, "contains zero bytes: it is neither UTF-8 text nor a known format"));
        }
        if sample.trim_ascii().is_empty() {
            return Err(Error::input(&path, "the file has no rows"));
        }
        let mut table = InputTable {
            kind: TableFormat::Arrow,
            columns: Vec::new(),
            constants: Vec::new(),
            lists: Vec::new(),
            unusable: Vec::new(),
            schema: None,
            missing: Missing::new(&hints.options),
            is_list: false,
            is_ours: false,
            bytes,
            held: stamp.is_none().then(|| Arc::new(Mutex::new(Some(OpenedPipe::Text(text))))),
            stamp,
            path,
        };
        let keys = sample.trim_ascii_start().starts_with(b"{").then(|| json::keys(&sample)).flatten();
        if let Some(keys) = keys {
            table.columns = keys.columns;
            table.lists = keys.lists;
            table.unusable = keys.nested.into_iter().map(|name| (name, "an object".to_owned())).collect();
            table.add_constants(hints);
            let dialect = Dialect::json(table.file_columns());
            table.kind = TableFormat::Text { dialect, header: 0 };
            return Ok(table);
        }
        let mut options = hints.options.clone();
        let mut header = 0;
        // Excel's first line that names the separator.
        let mut sample = &sample[..];
        if let Some((sep, lines, rest)) = detect::named_separator(sample) {
            options.sep.get_or_insert(sep);
            (header, sample) = (lines, rest);
        }
        if memchr::memchr(b'\n', sample).is_none() && memchr::memchr(b'\r', sample.trim_ascii_end()).is_some() {
            let advice = "its lines end in bare carriage returns; convert them (tr '\\r' '\\n' < FILE)";
            return Err(Error::input(&table.path, advice));
        }
        if hints.soft_sep && !detect::first_line_has(sample, &options)? {
            options.sep = None;
        }
        let mut dialect = detect::detect(&table.path, sample, &options)?;
        let above = header;
        let mut at = 0;
        let mut reader = RowReader::new(&dialect);
        let mut names = Vec::new();
        // Empty lines before the header.
        while let Some(row) = reader.next(sample, &mut at) {
            header += row.lines;
            if !row.text.trim_ascii().is_empty() {
                names = (0..row.len()).map(|i| row.get(i).to_vec()).collect();
                break;
            }
        }
        table.columns = match &hints.options.columns {
            Some(columns) => {
                header = above;
                refuse_header(&table.path, columns, &names)?;
                columns.clone()
            }
            None => {
                let name = |(i, bytes): (usize, &Vec<u8>)| name_of(&table.path, i, bytes);
                let names: Vec<String> = names.iter().enumerate().map(name).collect::<Result<_>>()?;
                match &hints.is_header {
                    // A plain list: its first line is a value.
                    Some(is_header) if names.len() == 1 && !is_header(&names[0]) => {
                        header = above;
                        table.is_list = true;
                        vec![hints.list_name.clone()]
                    }
                    _ => names,
                }
            }
        };
        names::check_unique(&table.path, &table.columns)?;
        dialect.width = table.columns.len();
        table.kind = TableFormat::Text { dialect, header };
        table.add_constants(hints);
        Ok(table)
    }
}

/// Refuses names for the columns of a file that has a header of its own.
fn refuse_header(path: &Path, columns: &[String], first: &[Vec<u8>]) -> Result<()> {
    let first: Vec<String> = first.iter().map(|value| String::from_utf8_lossy(value).trim().to_owned()).collect();
    let names_both = [names::Role::User, names::Role::Item]
        .into_iter()
        .all(|role| matches!(names::guess(&first, role, &[]), Ok(Some(_)) | Err(_)));
    if names_both || first == columns {
        let reason =
            format!("its first line is a header ({}); leave out columns=, or remove the line", names::listed(&first));
        return Err(Error::input(path, reason));
    }
    Ok(())
}

fn name_of(path: &Path, at: usize, bytes: &[u8]) -> Result<String> {
    let name = std::str::from_utf8(bytes);
    let name = name.map_err(|_| Error::input(path, format!("the name of column {} is not UTF-8", at + 1)))?;
    Ok(name.trim().to_owned())
}
