//! Which format a name says.

use std::path::Path;

use crate::{Error, Result};

#[derive(Clone, Copy)]
pub(super) enum PredictionFormat {
    Arrow,
    Parquet,
    Csv(Packing),
    JsonLines(Packing),
}

#[derive(Clone, Copy)]
pub(super) enum Packing {
    None,
    Gzip,
    Zstd,
}

impl PredictionFormat {
    pub(super) fn of(path: &Path) -> Result<PredictionFormat> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (stem, packing) = match name.rsplit_once('.') {
            Some((stem, "gz")) => (stem, Packing::Gzip),
            Some((stem, "zst")) => (stem, Packing::Zstd),
            _ => (name.as_str(), Packing::None),
        };
        match (stem.rsplit_once('.').map(|(_, ending)| ending), packing) {
            (Some("arrow"), Packing::None) => Ok(PredictionFormat::Arrow),
            (Some("parquet"), Packing::None) => Ok(PredictionFormat::Parquet),
            (Some("csv"), _) => Ok(PredictionFormat::Csv(packing)),
            (Some("jsonl"), _) => Ok(PredictionFormat::JsonLines(packing)),
            _ => Err(Error::config(
                "out",
                format!(
                    "`{}` does not end in .arrow, .parquet, .csv or .jsonl (.gz or .zst may follow the last two)",
                    path.display()
                ),
            )),
        }
    }
}
