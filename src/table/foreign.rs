//! Files that are not read: what they are, told by how they begin, and the command that makes something of them.

use std::path::Path;

/// What to say of a file that begins with these bytes; None where it may be text.
pub(super) fn of(start: &[u8], path: &Path) -> Option<String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let lower = name.to_lowercase();
    let described = |what: &str, advice: String| Some(format!("is {what}; {advice}"));
    match start {
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            described("compressed by bzip2", format!("unpack it first: bunzip2 -k {name}"))
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            described("compressed by xz", format!("unpack it first: unxz -k {name}"))
        }
        [0x04, 0x22, 0x4d, 0x18, ..] => described("compressed by lz4", format!("unpack it first: unlz4 {name}")),
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => {
            described("a 7-Zip archive", format!("unpack it first: 7z x {name}"))
        }
        [0x1f, 0x9d, ..] => described("compressed by compress", format!("unpack it first: uncompress {name}")),
        [0x1f, 0x8b, ..] => described("compressed twice", "unpack it once first: gunzip".into()),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => described("compressed twice", "unpack it once first: unzstd".into()),
        [b'P', b'K', 3, 4, ..] if lower.ends_with(".xlsx") => {
            described("an Excel workbook", "save the sheet as CSV (UTF-8)".into())
        }
        [b'P', b'K', 3, 4, ..] => described("a zip archive", format!("unpack it first: unzip {name}")),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => described("an old Excel workbook", "save the sheet as CSV (UTF-8)".into()),
        [b'P', b'A', b'R', b'1', ..] => {
            described("a compressed Parquet file", "unpack it first: Parquet compresses by itself".into())
        }
        [b'A', b'R', b'R', b'O', b'W', b'1', ..] => described("a compressed Arrow file", "unpack it first".into()),
        [b'O', b'R', b'C', ..] => described("an ORC file", "convert it to Parquet (pyarrow.orc reads it)".into()),
        [b'O', b'b', b'j', 1, ..] => {
            described("an Avro file", "convert it to Parquet (DuckDB and Spark read it)".into())
        }
        [0x89, b'H', b'D', b'F', ..] => {
            described("an HDF5 file", "convert it to Parquet (pandas.read_hdf reads it)".into())
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            described("a NumPy file", "write it as Parquet or CSV with named columns".into())
        }
        [0x80, 2..=5, ..] if lower.ends_with(".pkl") || lower.ends_with(".pickle") => {
            described("a pickle", "write the frame as Parquet instead (to_parquet)".into())
        }
        _ if start.starts_with(b"SQLite format 3\0") => {
            described("an SQLite database", "export the table: sqlite3 -header -csv FILE 'select * from TABLE'".into())
        }
        _ if start.get(257..262) == Some(b"ustar") => {
            described("a tar archive", format!("unpack it first: tar xf {name}"))
        }
        _ if start.trim_ascii_start().starts_with(b"[") && lower.contains(".json") => {
            described("one JSON array", format!("one object per line is required: jq -c '.[]' {name} > lines.jsonl"))
        }
        _ => None,
    }
}

/// Whether these bytes are no text at all.
pub(super) fn is_binary(start: &[u8]) -> bool {
    start.iter().take(4096).any(|byte| *byte == 0)
}
