//! Which files are read: those that are named, and those of folders.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use super::presets::{self, EntitySide, Preset};
use crate::data::dataset::Split;
use crate::data::ingest::config::Format;
use crate::data::ingest::inputs::Inputs;
use crate::table::folder::{self, DataFile, NameKind, kind_of_name, ours, plain_name};
use crate::table::{FileId, Input};
use crate::{Error, Result};

/// What has a part in the test split.
const TEST: &str = "among the test files";
/// The most lines about files that are not read.
const MOST_NOTES: usize = 20;

/// A file of interactions, or a table.
pub(super) struct Candidate {
    pub(super) input: Input,
    pub(super) split: Split,
    pub(super) preset: Preset,
    /// Columns that its folders add.
    pub(super) constants: Vec<(String, String)>,
    /// Whether it was found in a folder.
    pub(super) in_folder: bool,
    /// Whether its name says that it has the interactions of its folder.
    pub(super) is_main: bool,
}

/// What was found.
pub(super) struct FolderInputs {
    pub(super) interactions: Vec<Candidate>,
    /// Feature files beside the interactions.
    pub(super) user_features: Option<PathBuf>,
    pub(super) item_features: Option<PathBuf>,
}

/// The files that the inputs mean. A file that is given twice is read once; what is held out, or has features, is no
/// training input.
///
/// # Errors
/// [`Error::Io`], [`Error::Input`] for a folder without data, or with data of several formats; [`Error::Config`] for a
/// file that is given for both held-out splits, and a pipe that is given twice.
pub(super) fn candidates(inputs: &Inputs, format: Option<Format>, notes: &mut Vec<String>) -> Result<FolderInputs> {
    // What has another part already: its place in the sentence.
    let mut used: HashMap<FileId, &'static str> = HashMap::new();
    for input in inputs.user_features.iter().chain(&inputs.item_features) {
        if let Some(id) = input.path().and_then(id_of) {
            used.insert(id, "among the feature files");
        }
    }
    let mut interactions = Vec::new();
    let held_out = [(Split::Test, &inputs.test), (Split::Valid, &inputs.valid)];
    for (split, given) in held_out.into_iter().chain([(Split::Train, &inputs.train)]) {
        let mut own = Vec::new();
        for input in given {
            own.extend(expand(input, split, format, inputs, notes)?);
        }
        own.retain(|candidate| {
            let Some(path) = candidate.input.path() else { return true };
            let Some(id) = id_of(path) else { return true };
            let word = match split {
                Split::Train => "given already",
                Split::Valid => "among the validation files",
                Split::Test => TEST,
            };
            match used.get(&id) {
                Some(&where_) if split == Split::Valid && where_ == TEST && !candidate.in_folder => {
                    notes.push(format!("{}: read as valid rows and as test rows", path.display()));
                    true
                }
                Some(&where_) => {
                    notes.push(format!("{}: not read as {} rows: it is {where_}", path.display(), split.name()));
                    false
                }
                None => {
                    used.insert(id, word);
                    true
                }
            }
        });
        if own.is_empty() && !given.is_empty() && split != Split::Train {
            let name = split.name();
            return Err(Error::config(name, "all of its files are already used for another split; use each file once"));
        }
        if split == Split::Train {
            no_held_out(&own)?;
        }
        interactions.splice(0..0, own);
    }
    pipes_once(inputs)?;
    let beside = |side: EntitySide| match inputs.train.first() {
        Some(Input::Path(path)) if path.is_dir() => {
            let first = interactions.first().and_then(|first: &Candidate| first.input.path());
            presets::find_beside(first.unwrap_or(path), Some(path), side)
        }
        Some(Input::Path(path)) if interactions.first().is_some_and(|first| first.preset != Preset::Plain) => {
            presets::find_beside(path, None, side)
        }
        _ => None,
    };
    let user_features = if inputs.user_features.is_none() { beside(EntitySide::User) } else { None };
    let item_features = if inputs.item_features.is_none() { beside(EntitySide::Item) } else { None };
    Ok(FolderInputs { interactions, user_features, item_features })
}

/// Refuses a folder with files that are named after held-out splits, which would be trained on.
fn no_held_out(candidates: &[Candidate]) -> Result<()> {
    const NAMES: [&str; 7] = ["test", "valid", "validation", "val", "dev", "holdout", "eval"];
    let is_held_out = |path: &Path| {
        path.components().rev().take(2).any(|part| {
            let name = part.as_os_str().to_string_lossy().to_lowercase();
            let word: String = name.chars().take_while(char::is_ascii_alphabetic).collect();
            NAMES.contains(&word.as_str())
        })
    };
    let in_folders = candidates.iter().filter(|candidate| candidate.in_folder).filter_map(|c| c.input.path());
    let (held_out, others): (Vec<&Path>, Vec<&Path>) = in_folders.partition(|path| is_held_out(path));
    match (held_out.first(), others.is_empty()) {
        (Some(first), false) => Err(Error::input(
            first,
            "is named like a held-out split, but its folder is the training input; pass it by valid= or test=, or name \
             the training files themselves",
        )),
        _ => Ok(()),
    }
}

/// Refuses a pipe that two parts would read.
fn pipes_once(inputs: &Inputs) -> Result<()> {
    let parts = inputs.train.iter().chain(&inputs.valid).chain(&inputs.test);
    let paths = parts.chain(&inputs.user_features).chain(&inputs.item_features).filter_map(Input::path);
    let mut seen: Vec<PathBuf> = Vec::new();
    for path in paths.filter(|path| crate::table::is_pipe(path)) {
        let name = match path.to_str() {
            Some("-" | "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0") => PathBuf::from("standard input"),
            _ => path.to_owned(),
        };
        if seen.contains(&name) {
            return Err(Error::config(
                "inputs",
                format!("{} is given twice, but can only be read once", name.display()),
            ));
        }
        seen.push(name);
    }
    Ok(())
}

/// Which file this is; None for what is none.
fn id_of(path: &Path) -> Option<FileId> {
    let about = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some(FileId::of(path, &about))
}

/// The files of interactions that an input means.
fn expand(
    input: &Input,
    split: Split,
    format: Option<Format>,
    inputs: &Inputs,
    notes: &mut Vec<String>,
) -> Result<Vec<Candidate>> {
    let one = |input: Input, preset| {
        let (constants, in_folder, is_main) = (Vec::new(), false, false);
        vec![Candidate { input, split, preset, constants, in_folder, is_main }]
    };
    let path = match input {
        Input::Table(_) => return Ok(one(input.clone(), Preset::Plain)),
        Input::Path(path) => path,
    };
    if !path.is_dir() {
        return Ok(one(input.clone(), Preset::of_file(path, format)?));
    }
    if let Some(what) = ours(path) {
        return Err(Error::input(path, format!("is {what} of Tercel, not a folder of interactions")));
    }
    let found = folder::walk(path)?;
    // Files of features have names of their own, and a line of their own.
    let others = found.passed.iter().filter(|(path, _)| presets::side_of(path).is_none());
    let mut passed: Vec<String> = others.map(|(path, why)| format!("{}: not read: {why}", path.display())).collect();
    let candidates = of_folder(path, found.files, split, format, inputs, &mut passed);
    if passed.len() > MOST_NOTES {
        let more = passed.len() - MOST_NOTES;
        passed.truncate(MOST_NOTES);
        passed.push(format!("{}: {more} more files are not read", path.display()));
    }
    notes.extend(passed);
    candidates
}

fn of_folder(
    root: &Path,
    mut files: Vec<DataFile>,
    split: Split,
    format: Option<Format>,
    inputs: &Inputs,
    passed: &mut Vec<String>,
) -> Result<Vec<Candidate>> {
    let main = presets::main_file(files.iter().map(|file| file.path.as_path()), format);
    // Files of features have names of their own.
    let given = |side: EntitySide| match side {
        EntitySide::User => inputs.user_features.is_some(),
        EntitySide::Item => inputs.item_features.is_some(),
    };
    files.retain(|file| {
        let side = presets::side_of(&file.path).filter(|_| main.as_deref() != Some(&*plain_name(&file.path)));
        if side.is_some_and(given) {
            let reason = "features are given by another file";
            let explicit = inputs.user_features.iter().chain(&inputs.item_features).filter_map(Input::path);
            if !explicit.filter_map(id_of).any(|id| id == file.id) {
                passed.push(format!("{}: not read: {reason}", file.path.display()));
            }
        }
        side.is_none()
    });
    let wanted = |kind: NameKind| match format {
        None => true,
        Some(Format::Csv | Format::Movielens | Format::Hm) => kind == NameKind::Text,
        Some(Format::Arrow) => kind == NameKind::Arrow,
        Some(Format::Parquet) => kind == NameKind::Parquet,
    };
    files.retain(|file| {
        let keep = kind_of_name(&file.path).is_none_or(wanted);
        if !keep {
            passed.push(format!("{}: not read: different format", file.path.display()));
        }
        keep
    });
    let kinds: Vec<Option<NameKind>> = files.iter().map(|file| kind_of_name(&file.path)).collect();
    let Some(first) = kinds.first() else {
        return Err(Error::input(root, "is a folder without files of interactions; name the files themselves"));
    };
    if main.is_none()
        && let Some(other) = kinds.iter().position(|kind| kind != first)
    {
        let word = |kind: &Option<NameKind>| kind.map_or("text", NameKind::word);
        let (a, b) = (plain_name(&files[0].path), plain_name(&files[other].path));
        let (first, second) = (word(first), word(&kinds[other]));
        let reason = format!("is a folder with files of different formats ({a}: {first}, {b}: {second}); give format=");
        return Err(Error::input(root, reason));
    }
    let mut candidates = Vec::new();
    for DataFile { path, constants, .. } in files {
        let is_main = main.as_deref() == Some(&*plain_name(&path));
        let preset = match &main {
            None => Preset::of_file(&path, format)?,
            Some(main) => {
                let preset = Preset::of_file(Path::new(main), format)?;
                if !is_main && !preset.may_be_part(&path) {
                    passed.push(format!("{}: not read: the interactions are in {main}", path.display()));
                    continue;
                }
                preset
            }
        };
        candidates.push(Candidate { input: Input::Path(path), split, preset, constants, in_folder: true, is_main });
    }
    // The known file first: its columns are those of the others.
    candidates.sort_by_key(|candidate| !candidate.is_main);
    Ok(candidates)
}
