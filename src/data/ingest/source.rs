//! What is read: files, formats, columns and feature files, told from names and headers where nobody says.

use std::path::{Path, PathBuf};

use super::arrow;
use super::config::{FeatureSpec, Format, IngestConfig};
use super::features::{FeatureInput, check_name};
use super::inputs::{Input, Inputs};
use super::pipeline::InputFile;
use super::rows::Layout;
use super::table::{Kind, Table, TextOptions, kind_of_name, plain_name};
use crate::data::dataset::{SourceColumns, Split};
use crate::data::split::SplitRule;
use crate::{Error, Result};

mod names;
mod presets;

use names::{ITEM_NAMES, TIME_NAMES, USER_NAMES, guess};
use presets::{Preset, Side, find_beside};

/// Everything that will be read.
pub(super) struct Plan {
    pub(super) files: Vec<InputFile>,
    pub(super) columns: SourceColumns,
    /// Whether a file has the ids of this side as a text column: they stay texts then, whatever they look like.
    pub(super) text_users: bool,
    pub(super) text_items: bool,
    pub(super) user_features: Option<FeatureInput>,
    pub(super) item_features: Option<FeatureInput>,
}

/// Finds, opens and checks every file's columns.
pub(super) fn plan(inputs: &Inputs, config: &IngestConfig) -> Result<Plan> {
    if inputs.train.is_empty() {
        return Err(Error::config("inputs", "no input is given"));
    }
    if config.split != SplitRule::None && !(inputs.valid.is_empty() && inputs.test.is_empty()) {
        return Err(Error::config("split", "rows are given for a split: use `none` (the default) with them"));
    }
    let mut tables = Vec::new();
    let mut first = None;
    for (split, inputs) in [(Split::Train, &inputs.train), (Split::Valid, &inputs.valid), (Split::Test, &inputs.test)] {
        for input in inputs {
            match input {
                Input::Table(table) => {
                    first.get_or_insert(Preset::Arrow);
                    tables.push((split, Table::batches(table)?));
                }
                Input::Path(path) => {
                    for (path, preset) in expand(path, config.format)? {
                        first.get_or_insert(preset);
                        tables.push((split, open(&path, preset, config)?));
                    }
                }
            }
        }
    }
    let preset = first.unwrap_or(Preset::Arrow);
    let columns = column_names(&tables[0].1, preset, config)?;
    let (mut text_users, mut text_items) = (false, false);
    let mut files = Vec::with_capacity(tables.len());
    for (split, table) in tables {
        let find = |name: &Option<String>| name.as_deref().map(|name| table.index(name)).transpose();
        let mut layout = Layout {
            columns: table.columns.clone(),
            user: table.index(&columns.user)?,
            item: table.index(&columns.item)?,
            time: find(&columns.time)?,
            weight: find(&columns.weight)?,
        };
        let mut columns = None;
        if !matches!(table.kind, Kind::Text { .. }) {
            text_users |= arrow::check_id_type(&table.path, &table.kind, layout.user)?;
            text_items |= arrow::check_id_type(&table.path, &table.kind, layout.item)?;
            columns = Some(layout.narrow());
        }
        files.push(InputFile { table, layout, columns, split });
    }
    let folder = match &inputs.train[0] {
        Input::Path(path) => path.is_dir() || matches!(preset, Preset::Hm | Preset::Movielens(_)),
        Input::Table(_) => false,
    };
    let first = &files[0].table.path;
    let features = |side: Side, given: &Option<Input>, id: &str| match given {
        Some(input) => feature_input(input, side, id, preset, config).map(Some),
        None if folder => match find_beside(first, side) {
            Some(path) => feature_input(&Input::Path(path), side, id, preset, config).map(Some),
            None => no_features(side, config),
        },
        None => no_features(side, config),
    };
    let user_features = features(Side::User, &inputs.user_features, &columns.user)?;
    let item_features = features(Side::Item, &inputs.item_features, &columns.item)?;
    Ok(Plan { files, columns, text_users, text_items, user_features, item_features })
}

/// Kinds without a feature file are a mistake.
fn no_features(side: Side, config: &IngestConfig) -> Result<Option<FeatureInput>> {
    let (kinds, field) = match side {
        Side::User => (&config.user_feature_kinds, "user_feature_kinds"),
        Side::Item => (&config.item_feature_kinds, "item_feature_kinds"),
    };
    match kinds.keys().next() {
        Some(name) => Err(Error::config(field, format!("`{name}` has a kind, but there is no feature file"))),
        None => Ok(None),
    }
}

/// The files of interactions that an input names, with what is known about them.
fn expand(path: &Path, format: Option<Format>) -> Result<Vec<(PathBuf, Preset)>> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if !metadata.is_dir() {
        return Ok(vec![(path.to_owned(), Preset::of_file(path, format)?)]);
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>())
        .map_err(|e| Error::io(path, e))?;
    entries.sort_unstable();
    entries.retain(|entry| entry.is_file() && !plain_name(entry).starts_with(['.', '_']));
    if let Some(main) = presets::main_file(&entries, format) {
        let preset = Preset::of_file(&main, format)?;
        return Ok(vec![(main, preset)]);
    }
    let wanted = |entry: &PathBuf| match (format, kind_of_name(entry)) {
        (None, kind) => kind,
        (Some(Format::Csv), Some("csv")) => Some("csv"),
        (Some(Format::Arrow), Some("arrow")) => Some("arrow"),
        (Some(Format::Parquet), Some("parquet")) => Some("parquet"),
        _ => None,
    };
    entries.retain(|entry| wanted(entry).is_some());
    let Some(first) = entries.first() else {
        return Err(Error::input(path, "is a folder without files of interactions; name the files themselves"));
    };
    if let Some(other) = entries.iter().find(|entry| wanted(entry) != wanted(first)) {
        let (a, b) = (plain_name(first), plain_name(other));
        return Err(Error::input(
            path,
            format!("is a folder with files of different formats ({a}, {b}); give --format"),
        ));
    }
    entries.into_iter().map(|entry| Preset::of_file(&entry, format).map(|preset| (entry, preset))).collect()
}

/// Opens a file of interactions.
fn open(path: &Path, preset: Preset, config: &IngestConfig) -> Result<Table> {
    if let Some(kind) = preset.columnar() {
        return Table::columnar(path, kind);
    }
    let preset = preset.text_options();
    let options = TextOptions {
        sep: config.read.separator()?.or(preset.sep),
        quoting: config.read.quote.map(|quote| quote.byte().is_some()).or(preset.quoting),
        columns: config.read.columns.clone().or(preset.columns),
    };
    Table::text(path, &options)
}

/// The interaction columns' names: as given, as the format has them, or as the header looks.
fn column_names(table: &Table, preset: Preset, config: &IngestConfig) -> Result<SourceColumns> {
    let [user, item, time] = preset.columns(&table.columns);
    let missing = |what: &str| {
        let no_header = match table.kind {
            Kind::Text { header: true, .. } => "; for a file without a header line give --columns",
            _ => "",
        };
        Error::input(
            &table.path,
            format!(
                "no column looks like the {what}; it has the columns {}: give --{what} COLUMN{no_header}",
                table.columns.iter().map(|c| c.chars().take(40).collect()).collect::<Vec<String>>().join(", ")
            ),
        )
    };
    let pick = |given: &Option<String>, preset: Option<&str>, names: &[&str]| {
        given.clone().or_else(|| preset.map(str::to_owned)).or_else(|| guess(&table.columns, names))
    };
    let columns = SourceColumns {
        user: pick(&config.user, user, USER_NAMES).ok_or_else(|| missing("user"))?,
        item: pick(&config.item, item, ITEM_NAMES).ok_or_else(|| missing("item"))?,
        time: pick(&config.time, time, TIME_NAMES),
        weight: config.weight.clone(),
    };
    if columns.user == columns.item {
        return Err(Error::config("item", format!("`{}` is the user column already", columns.item)));
    }
    Ok(columns)
}

fn feature_input(input: &Input, side: Side, id: &str, preset: Preset, config: &IngestConfig) -> Result<FeatureInput> {
    let table = match input {
        Input::Table(table) => Table::batches(table)?,
        Input::Path(path) => match kind_of_name(path) {
            Some("parquet") => Table::columnar(path, Kind::Parquet)?,
            Some("arrow") => Table::columnar(path, Kind::Arrow)?,
            _ => Table::text(path, &presets::feature_options(path))?,
        },
    };
    let path = table.path.as_path();
    let key = table.columns.iter().position(|c| c == id).unwrap_or(0);
    let (kinds, field) = match side {
        Side::User => (&config.user_feature_kinds, "user_feature_kinds"),
        Side::Item => (&config.item_feature_kinds, "item_feature_kinds"),
    };
    if let Some(name) = kinds.keys().find(|name| !table.columns.contains(name)) {
        let has = table.columns.join(", ");
        return Err(Error::config(field, format!("{} has no column `{name}`; it has {has}", path.display())));
    }
    let lists = match table.kind {
        Kind::Text { .. } => Vec::new(),
        _ => arrow::list_columns(path, &table.kind)?,
    };
    let mut columns = Vec::new();
    for (i, name) in table.columns.iter().enumerate() {
        let by_type = || lists.contains(name).then(|| FeatureSpec::MultiHot(arrow::LIST_SEPARATOR.into()));
        let spec = kinds.get(name).cloned().or_else(by_type).or_else(|| preset.feature_kind(side, name));
        if i != key && spec != Some(FeatureSpec::Skip) {
            check_name(path, name)?;
            columns.push((i, spec));
        }
    }
    Ok(FeatureInput { table, key, columns })
}
