//! What is read: files, formats, columns and feature files, told from names and headers where nobody says.

use std::path::{Path, PathBuf};

use super::config::{FeatureSpec, Format, IngestConfig};
use super::features::FeatureInput;
use super::inputs::Inputs;
use super::pipeline::{FileFindings, InputFile};
use super::rows::{Layout, Readings};
use super::typed;
use crate::data::dataset::{SourceColumns, Split};
use crate::data::split::SplitRule;
use crate::table::names::{self, Role, ambiguous, guess, listed};
use crate::table::time::format_time;
use crate::table::{Hints, Input, InputTable, ReadOptions, TableFormat, Times, Wanted, is_plausible};
use crate::{Error, Result};

mod files;
mod presets;

use files::{Candidate, candidates};
use presets::{EntitySide, Preset};

/// Everything that will be read.
pub(super) struct ReadPlan {
    pub(super) files: Vec<InputFile>,
    pub(super) columns: SourceColumns,
    /// Whether a file has the ids of this side as a text column: they stay texts then, whatever they look like.
    pub(super) text_users: bool,
    pub(super) text_items: bool,
    pub(super) user_features: Option<FeatureInput>,
    pub(super) item_features: Option<FeatureInput>,
    /// What is not read, and why.
    pub(super) notes: Vec<String>,
}

/// Finds, opens and checks every file's columns.
pub(super) fn plan(inputs: &Inputs, config: &IngestConfig) -> Result<ReadPlan> {
    if inputs.train.is_empty() {
        return Err(Error::config("inputs", "no input given"));
    }
    if config.split != SplitRule::None && !(inputs.valid.is_empty() && inputs.test.is_empty()) {
        return Err(Error::config("split", "rows are given for a split: use `none` (the default) with them"));
    }
    let times = Times::new(&config.read)?;
    check_bounds(config)?;
    let mut notes = Vec::new();
    let found = candidates(inputs, config.format, &mut notes)?;
    let preset = found.interactions.first().map_or(Preset::Plain, |first| first.preset);
    let mut tables: Vec<(Candidate, InputTable)> = Vec::new();
    for candidate in found.interactions {
        let table = open(&candidate, config)?;
        tables.push((candidate, table));
    }
    let nothing = |notes: &[String]| {
        let reason = format!("no file with training rows is left to be read; {}", notes.join("; "));
        Error::config("inputs", reason)
    };
    let Some((candidate, first)) = tables.iter().find(|(candidate, _)| candidate.split == Split::Train) else {
        return Err(nothing(&notes));
    };
    let mut columns = column_names(first, candidate.in_folder, preset, config)?;
    keep_parts(&mut tables, &mut notes);
    let (mut text_users, mut text_items) = (false, false);
    let mut files = Vec::with_capacity(tables.len());
    for (Candidate { split, .. }, table) in tables {
        let file = input_file(table, split, &columns, &times)?;
        if let Some(schema) = file.table.schema() {
            text_users |= typed::check_id_type(&file.table.path, schema, &columns.user)?;
            text_items |= typed::check_id_type(&file.table.path, schema, &columns.item)?;
        }
        files.push(file);
    }
    columns.left = left(&files, &columns);
    let mut features = |side: EntitySide| -> Result<Option<FeatureInput>> {
        let (given, beside, id) = match side {
            EntitySide::User => (&inputs.user_features, &found.user_features, &columns.user),
            EntitySide::Item => (&inputs.item_features, &found.item_features, &columns.item),
        };
        match (given, beside) {
            (Some(input), _) => feature_input(input, side, id, preset, config, &mut notes).map(Some),
            (None, Some(path)) => {
                notes.push(format!("{}: read as the features of the {}s", path.display(), side.role().word()));
                feature_input(&Input::Path(path.clone()), side, id, preset, config, &mut notes).map(Some)
            }
            (None, None) => no_features(side, config),
        }
    };
    let (user_features, item_features) = (features(EntitySide::User)?, features(EntitySide::Item)?);
    Ok(ReadPlan { files, columns, text_users, text_items, user_features, item_features, notes })
}

/// Refuses bounds of a split that are numbers which nobody takes for seconds: 20240106 is no second of 1970.
fn check_bounds(config: &IngestConfig) -> Result<()> {
    let SplitRule::Time { valid, test } = config.split else { return Ok(()) };
    let strange = |at: &i64| !is_plausible(*at) && at.rem_euclid(86_400) != 0;
    match [valid, test].iter().find(|at| config.read.time_unit.is_none() && strange(at)) {
        None => Ok(()),
        Some(at) => Err(Error::config(
            "split",
            format!("`{at}` is {} in epoch seconds; write bounds as dates, YYYY-MM-DD", format_time(*at)),
        )),
    }
}

/// The files that an ingest of these inputs reads, in the order of their paths: those of interactions and of features,
/// those found by convention included. Pipes and tables are left out.
///
/// # Errors
/// As [`ingest`](super::ingest), as far as files are found and their columns read.
pub fn files(inputs: &[PathBuf], config: &IngestConfig) -> Result<Vec<PathBuf>> {
    let train = inputs.iter().cloned().map(Input::Path).collect();
    let all = Inputs { train, ..Inputs::default() }.with_files_of(config);
    let given = all.train.iter().chain(&all.valid).chain(&all.test).chain(&all.user_features).chain(&all.item_features);
    let pipe = |input: &Input| matches!(input, Input::Path(path) if crate::table::is_pipe(path));
    let mut read: Vec<PathBuf> = if given.clone().any(pipe) {
        // Looking into a pipe would take from it.
        given.filter(|input| !pipe(input)).filter_map(Input::path).map(Path::to_owned).collect()
    } else {
        let plan = plan(&all, config)?;
        let features = plan.user_features.iter().chain(&plan.item_features).map(|input| &input.table);
        plan.files.iter().map(|file| &file.table).chain(features).map(|table| table.path.clone()).collect()
    };
    read.sort();
    read.dedup();
    Ok(read)
}

/// Where a table has the columns that are read.
fn input_file(table: InputTable, split: Split, columns: &SourceColumns, times: &Times) -> Result<InputFile> {
    if table.is_ours {
        let reason = "is part of a Tercel dataset: its users and items are vocabulary rows, not ids";
        return Err(Error::input(&table.path, reason));
    }
    let find = |name: &Option<String>| name.as_deref().map(|name| table.index(name)).transpose();
    let mut layout = Layout {
        columns: table.columns.clone(),
        constants: table.constants.clone(),
        user: table.index(&columns.user)?,
        item: table.index(&columns.item)?,
        time: find(&columns.time)?,
        weight: find(&columns.weight)?,
        times: times.clone(),
        missing: table.missing.clone(),
        unsure_quotes: false,
    };
    for column in [Some(layout.user), Some(layout.item), layout.time, layout.weight].into_iter().flatten() {
        table.check_usable(&table.columns[column])?;
    }
    let mut used = None;
    match &table.kind {
        TableFormat::Text { dialect, .. } => layout.unsure_quotes = dialect.quote.is_none() && !dialect.quote_is_said,
        _ => used = Some(layout.narrow()),
    }
    Ok(InputFile { table, layout, columns: used, split })
}

/// The columns that no file gives to the dataset.
fn left(files: &[InputFile], columns: &SourceColumns) -> Vec<String> {
    let used = [Some(&columns.user), Some(&columns.item), columns.time.as_ref(), columns.weight.as_ref()];
    let mut seen = hashbrown::HashSet::new();
    let all = files.iter().flat_map(|file| &file.table.columns);
    all.filter(|name| !used.contains(&Some(name)) && seen.insert(name.as_str())).cloned().collect()
}

/// Of a folder with a known file of interactions, other files are parts of it where they have its columns; they are
/// left out where they have others. In other folders every file is a part.
fn keep_parts(tables: &mut Vec<(Candidate, InputTable)>, notes: &mut Vec<String>) {
    let Some(main) = tables.iter().find(|(candidate, _)| candidate.is_main).map(|(_, table)| table.columns.clone())
    else {
        return;
    };
    let mut names = main.clone();
    names.sort_unstable();
    tables.retain(|(candidate, table)| {
        let mut own = table.columns.clone();
        own.sort_unstable();
        let part = !candidate.in_folder || candidate.is_main || own == names;
        if !part {
            notes.push(format!(
                "{}: not read: its columns ({}) differ from those of the interactions",
                table.path.display(),
                listed(&table.columns)
            ));
        }
        part
    });
}

/// Kinds or a key without a feature file are a mistake.
fn no_features(side: EntitySide, config: &IngestConfig) -> Result<Option<FeatureInput>> {
    let (kinds, field, key, key_field) = of_side(side, config);
    if let Some(name) = kinds.keys().next() {
        return Err(Error::config(field, format!("`{name}` has a kind, but there is no feature file")));
    }
    match key {
        Some(key) => Err(Error::config(key_field, format!("`{key}` is a key, but there is no feature file"))),
        None => Ok(None),
    }
}

type SideSettings<'a> =
    (&'a std::collections::BTreeMap<String, FeatureSpec>, &'static str, &'a Option<String>, &'static str);

fn of_side(side: EntitySide, config: &IngestConfig) -> SideSettings<'_> {
    match side {
        EntitySide::User => (&config.user_feature_kinds, "user_feature_kinds", &config.user_key, "user_key"),
        EntitySide::Item => (&config.item_feature_kinds, "item_feature_kinds", &config.item_key, "item_key"),
    }
}

/// Opens a file of interactions.
fn open(candidate: &Candidate, config: &IngestConfig) -> Result<InputTable> {
    let preset = candidate.preset.text_options();
    let said = config.read.clone();
    let options = ReadOptions {
        sep: said.sep.clone().or(preset.sep),
        quote: said.quote.or(preset.quote),
        columns: said.columns.clone().or(preset.columns),
        ..said
    };
    let wanted = config.format.map(|format| match format {
        Format::Csv | Format::Movielens | Format::Hm => Wanted::Text,
        Format::Arrow => Wanted::Arrow,
        Format::Parquet => Wanted::Parquet,
    });
    InputTable::of(
        &candidate.input,
        &Hints { options, wanted, constants: candidate.constants.clone(), ..Hints::default() },
    )
}

/// The interaction columns' names: as given, as the format has them, or as the header looks.
fn column_names(table: &InputTable, in_folder: bool, preset: Preset, config: &IngestConfig) -> Result<SourceColumns> {
    let [user, item, time] = preset.columns(&table.columns);
    let given = [&config.user, &config.item, &config.time, &config.weight].into_iter().flatten();
    let assigned: Vec<usize> =
        given.filter_map(|name| table.columns.iter().position(|column| column == name)).collect();
    let missing = |word: &str| {
        if matches!(table.kind, TableFormat::Text { .. }) && table.columns.len() == 1 {
            let reason = "no separator (`,`, tab, `;`, `|`, `::`) in its first line; give one by sep=";
            return Error::input(&table.path, reason);
        }
        let no_header = match table.kind {
            TableFormat::Text { header: 1.., .. } => "; for a file without a header line give columns=A,B,C",
            _ => "",
        };
        let names = listed(&table.columns);
        let others = if in_folder { "; or name the files of interactions themselves" } else { "" };
        let advice = format!("it has the columns {names}: give {word}=COLUMN{no_header}{others}");
        Error::input(&table.path, format!("no column looks like the {word}; {advice}"))
    };
    let pick = |given: &Option<String>, preset: Option<&str>, role: Role, assigned: &[usize]| {
        if let Some(name) = given.clone().or_else(|| preset.map(str::to_owned)) {
            return Ok(Some(name));
        }
        match guess(&table.columns, role, assigned) {
            Ok(found) => Ok(found.map(|at| table.columns[at].clone())),
            Err(candidates) => Err(ambiguous(&table.path, role, &candidates, role.word())),
        }
    };
    let user = pick(&config.user, user, Role::User, &assigned)?.ok_or_else(|| missing("user"))?;
    let item = pick(&config.item, item, Role::Item, &assigned)?.ok_or_else(|| missing("item"))?;
    let time = match config.time.as_deref() {
        // No column, where one would be found.
        Some("") => None,
        _ => pick(&config.time, time, Role::Time, &assigned)?,
    };
    if user == item {
        return Err(Error::config("item", format!("`{item}` is already the user column")));
    }
    Ok(SourceColumns { user, item, time, weight: config.weight.clone(), ..SourceColumns::default() })
}

fn feature_input(
    input: &Input,
    side: EntitySide,
    id: &str,
    preset: Preset,
    config: &IngestConfig,
    notes: &mut Vec<String>,
) -> Result<FeatureInput> {
    let preset_options = input.path().map(presets::feature_options).unwrap_or_default();
    let options = ReadOptions {
        columns: preset_options.columns.clone(),
        sep: preset_options.sep.or(config.read.sep.clone()),
        quote: preset_options.quote.or(config.read.quote),
        ..config.read.clone()
    };
    let soft_sep = preset_options.columns.is_none();
    let table = InputTable::of(input, &Hints { options, soft_sep, ..Hints::default() })?;
    let path = table.path.as_path();
    let (kinds, field, said_key, key_field) = of_side(side, config);
    let key = match said_key {
        Some(name) => table.index(name)?,
        None => match names::key(&table.columns, id, side.role()) {
            Ok(Some(at)) => at,
            Ok(None) => {
                let (word, names) = (side.role().word(), listed(&table.columns));
                return Err(Error::input(
                    path,
                    format!(
                        "no column is named `{id}` or looks like the {word}; it has {names}: give {key_field}=COLUMN"
                    ),
                ));
            }
            Err(candidates) => return Err(ambiguous(path, side.role(), &candidates, key_field)),
        },
    };
    table.check_usable(&table.columns[key])?;
    if let Some(schema) = table.schema() {
        typed::check_id_type(path, schema, &table.columns[key])?;
    }
    let has: hashbrown::HashSet<&String> = table.columns.iter().collect();
    if let Some(name) = kinds.keys().find(|name| !has.contains(name)) {
        let has = listed(&table.columns);
        return Err(Error::config(field, format!("{} has no column `{name}`; it has {has}", path.display())));
    }
    let lists: hashbrown::HashSet<&String> = table.lists.iter().collect();
    let unusable: hashbrown::HashMap<&String, &String> =
        table.unusable.iter().map(|(name, what)| (name, what)).collect();
    let mut columns = Vec::new();
    let file = table.short_name();
    for (i, name) in table.columns.iter().enumerate().filter(|(i, _)| *i != key) {
        let by_type = || lists.contains(name).then(|| FeatureSpec::MultiHot(crate::table::LIST_SEPARATOR.into()));
        let spec = kinds.get(name).cloned().or_else(by_type).or_else(|| preset.feature_kind(side, name));
        match (unusable.get(name), reserved(name)) {
            _ if spec == Some(FeatureSpec::Skip) => {}
            (Some(_), _) if kinds.contains_key(name) => table.check_usable(name)?,
            (Some(what), _) => {
                notes.push(format!("{file}: column {name} is left out: it is {what}, which cannot be used"))
            }
            (None, Some(why)) if kinds.contains_key(name) => {
                return Err(Error::input(path, format!("{why}; rename the column, or leave it out ({name}=skip)")));
            }
            (None, Some(why)) => notes.push(format!("{file}: a column is left out: {why}")),
            (None, None) => columns.push((i, spec)),
        }
    }
    drop((has, lists, unusable));
    Ok(FeatureInput { table, key, columns })
}

/// Why a feature cannot have this name: the vocabulary file has an `id` and a `count` of its own.
fn reserved(name: &str) -> Option<String> {
    match name {
        "" => Some("it has no name".into()),
        _ if name.starts_with("Unnamed: ") || name.starts_with("__index_level_") => {
            Some(format!("`{name}` is a data frame's index"))
        }
        "id" | "count" => Some(format!("a feature cannot be called `{name}`")),
        _ => None,
    }
}

/// Refuses times that are all dates without separators too.
///
/// # Errors
/// [`Error::Input`].
pub(super) fn check_times(file: &InputFile, readings: &Readings) -> Result<()> {
    let Some((reading, _)) = readings.one else { return Ok(()) };
    if readings.not_compact || file.layout.times.are_said() {
        return Ok(());
    }
    let column = file.layout.time.map(|i| file.layout.columns[i].as_str()).unwrap_or_default();
    Err(Error::input(
        &file.table.path,
        format!(
            "all values of the column {column} are plausible as {reading} and as dates written %Y%m%d%H or %y%m%d%H%M; \
             say which by time_unit=s or time_format="
        ),
    ))
}

/// What reading the files has shown: notes, and what the times were taken for.
///
/// # Errors
/// As [`check_times`].
pub(super) fn after_reading(
    files: &[InputFile],
    found: &[FileFindings],
    notes: &mut Vec<String>,
) -> Result<Option<String>> {
    let mut readings: Vec<String> = Vec::new();
    for (file, found) in files.iter().zip(found) {
        check_times(file, &found.readings)?;
        if let Some((reading, _)) = found.readings.one
            && !readings.contains(&reading.to_string())
        {
            readings.push(reading.to_string());
        }
        notes.extend(found.met.notes(&file.table.short_name()));
    }
    Ok((!readings.is_empty()).then(|| readings.join(", ")))
}
