//! `tercel inspect`: what a shard, a dataset, a model, a search's or a run's folder holds, every checksum compared.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tercel::data::dataset::{Dataset, EntityInfo, Feature, FeatureKind, FileInfo, Split, verify_file};
use tercel::data::shape::Shape;
use tercel::data::shard::{Summary, summarise};
use tercel::files::{read_json, settled};
use tercel::index::ItemIndex;
use tercel::model::checkpoint::{ModelDir, ModelInfo, TrainerState};
use tercel::{Error, Result};

use crate::nightly;
use crate::output::{Output, date, size, thousands};
use crate::paths::shown;

mod accept;
mod search;
mod shape;

const EXAMPLES: &str = r"Examples, after `tercel demo`:
  tercel inspect out/demo/dataset
  tercel inspect out/demo/dataset/train-00000.arrow
  tercel inspect out/demo/model --json";

/// Shows the contents of a shard, dataset, model, index, search or nightly run, and verifies every checksum.
///
/// For a search, it shows the result, or the progress if it is unfinished. Every file is read in full; if one is damaged,
/// the error names it and the exit code is 3.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Shard, dataset folder, model folder, index, or folder of a search or nightly run
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Accepts manual edits of a dataset, a model or one of their JSON files: recomputes sizes and checksums. Review the
    /// contents first, because damage is accepted, too
    #[arg(long)]
    accept: bool,
}

pub fn run(args: &Args, out: &Output) -> Result<()> {
    let path = &args.path;
    if args.accept {
        accept::accept(path)?;
    }
    // A search works beside its place until it is done.
    if !path.exists() && search::unfinished(path, out)? {
        return Ok(());
    }
    let about = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if about.is_file() && ItemIndex::is_index(path)? {
        return index(path, about.len(), out);
    }
    if about.is_file() && path.extension().is_some_and(|ending| ending == "json") {
        return text(path, about.len(), out);
    }
    if about.is_file() {
        return shard(path, about.len(), out);
    }
    if path.join("dataset.json").is_file() {
        return dataset(path, out);
    }
    if path.join("config.json").is_file() {
        return model(path, out);
    }
    if search::search(path, out)? {
        if path.join("model/config.json").is_file() {
            model(&path.join("model"), out)?;
        }
        search::unfinished(path, out)?;
        return Ok(());
    }
    if nightly::is_run(path) {
        let record = path.join("nightly.json");
        read_json::<serde_json::Map<String, Value>>(&record)?;
        let parts = [path.join("dataset"), path.join("model")];
        if parts[0].join("dataset.json").is_file() {
            dataset(&parts[0], out)?;
        }
        if parts[1].join("config.json").is_file() {
            model(&parts[1], out)?;
        }
        let tuned = path.join(nightly::SEARCH);
        search::search(&tuned, out)?;
        search::unfinished(&tuned, out)?;
        return Ok(());
    }
    let reason = "is not a shard, dataset, model or search: it has no dataset.json, config.json or tune.json";
    Err(Error::input(path, reason))
}

/// One of our JSON texts by itself.
fn text(path: &Path, bytes: u64, out: &Output) -> Result<()> {
    let keys = read_json::<serde_json::Map<String, Value>>(path)?.len();
    out.event("inspect", &json!({ "kind": "text", "path": shown(path), "bytes": bytes, "keys": keys }));
    out.text(format_args!("{}: JSON, {}; checksum OK", path.display(), size(bytes)));
    Ok(())
}

fn index(path: &Path, bytes: u64, out: &Output) -> Result<()> {
    let index = ItemIndex::open(path, tercel::Device::Cpu, 0)?;
    let mut fields =
        json!({ "kind": "index", "path": shown(path), "bytes": bytes, "items": index.len(), "dim": index.dim() });
    merge(&mut fields, &crate::about_index::describe(index.about()));
    fields["tags"] = json!(index.tags().count());
    fields["rebuild_advised"] = json!(index.rebuild_advised());
    out.event("inspect", &fields);
    let (items, dim) = (thousands(index.len() as u64), index.dim());
    out.text(format_args!("{}: index, {items} items of width {dim}, {}", path.display(), size(bytes)));
    crate::about_index::lines(index.about(), out);
    out.text(format_args!("  {} tags; all checksums OK", index.tags().count()));
    if let Some(reason) = index.rebuild_advised() {
        out.text(format_args!("  rebuild advised: {reason}"));
    }
    Ok(())
}

fn shard(path: &Path, bytes: u64, out: &Output) -> Result<()> {
    let summary = summarise(path)?;
    let mut fields = json!({ "kind": "shard", "path": shown(path), "bytes": bytes });
    merge(&mut fields, &summary);
    out.event("inspect", &fields);
    out.text(format_args!("{}: shard, {} rows, {}", path.display(), thousands(summary.rows), size(bytes)));
    shard_lines(&summary, out);
    let checked = if summary.checksums { "all block checksums OK" } else { "no checksums: not written by Tercel" };
    out.text(format_args!("  {} blocks; {checked}", summary.blocks));
    Ok(())
}

fn shard_lines(summary: &Summary, out: &Output) {
    let range = |name: &str, from: String, to: String| out.text(format_args!("  {name:<10} {from} to {to}"));
    if let Some((from, to)) = summary.users {
        range("user", from.to_string(), to.to_string());
    }
    if let Some((from, to)) = summary.items {
        range("item", from.to_string(), to.to_string());
    }
    if let Some((from, to)) = summary.timestamps {
        range("timestamp", format!("{from} ({})", date(from)), format!("{to} ({})", date(to)));
    }
    if let Some((from, to)) = summary.weights {
        range("weight", from.to_string(), to.to_string());
    }
}

fn dataset(path: &Path, out: &Output) -> Result<()> {
    let dataset = Dataset::open(path)?;
    dataset.verify()?;
    // Beyond the files' checksums: every block of every shard is read as the loader would.
    for split in Split::ALL {
        for file in &dataset.split(split).files {
            let found = dataset.summarise(file)?;
            if found.rows != file.rows {
                let reason = format!("{} rows, dataset.json says {}; ingest again", found.rows, file.rows);
                return Err(Error::damaged(dataset.path(file), "rows", reason));
            }
        }
    }
    let found = Shape::of(&dataset)?;
    let manifest = dataset.manifest();
    let checksums = dataset.files().filter(|file| file.xxh3.is_some()).count();
    let files = dataset.files().count();
    let bytes: u64 = dataset.files().map(|file| file.bytes).sum();
    let split = |split: Split| {
        let info = dataset.split(split);
        json!({
            "rows": info.rows,
            "shards": info.files.len(),
            "first_timestamp_seconds": info.first_timestamp,
            "last_timestamp_seconds": info.last_timestamp,
        })
    };
    let mut event = json!({
        "kind": "dataset",
        "path": shown(path),
        "bytes": bytes,
        "files": files,
        "checksums_verified": checksums,
        "columns": manifest.columns,
        "train": split(Split::Train),
        "valid": split(Split::Valid),
        "test": split(Split::Test),
        "users": entity(&manifest.users),
        "items": entity(&manifest.items),
        "shape": found,
    });
    if let Some(derived) = &manifest.derived {
        merge(&mut event, &json!({ "derived": derived }));
    }
    out.event("inspect", &event);
    out.text(format_args!("{}: dataset, {} in {files} files; {checksums} checksums OK", path.display(), size(bytes)));
    if let Some(derived) = &manifest.derived {
        out.text(format_args!("  derived from dataset {}: {}", derived.from, derived.kind));
    }
    for which in Split::ALL {
        let info = dataset.split(which);
        let times = match (info.first_timestamp, info.last_timestamp) {
            (Some(from), Some(to)) => format!(", {} to {}", date(from), date(to)),
            _ => String::new(),
        };
        let shards = info.files.len();
        out.text(format_args!("  {:<6} {:>12} rows in {shards} shards{times}", which.name(), thousands(info.rows)));
    }
    entity_lines("users", &manifest.users, &manifest.columns.user, out);
    entity_lines("items", &manifest.items, &manifest.columns.item, out);
    shape::lines(&found, out);
    Ok(())
}

/// A model folder whose files have been compared with their checksums.
struct VerifiedModel {
    info: ModelInfo,
    state: Option<TrainerState>,
    checked: usize,
    tensors: Vec<(String, String, Vec<u64>)>,
}

impl VerifiedModel {
    fn of(dir: &ModelDir) -> Result<VerifiedModel> {
        let info = dir.info()?;
        let state = dir.state()?;
        let mut checked = 0;
        let mut tensors = Vec::new();
        for file in info.files() {
            let at = dir.file(&file.name);
            verify_file(&at, file)?;
            checked += usize::from(file.xxh3.is_some());
            if info.parameters.as_ref() == Some(file) {
                tensors = header(&at)?;
            }
        }
        for file in state.iter().flat_map(|state| &state.files) {
            // A model that was given away may come without the optimizer's state.
            if info.parameters.is_some() && !dir.file(&file.name).exists() {
                continue;
            }
            let at = locate(dir, file)?;
            checked += usize::from(file.xxh3.is_some());
            if file.name.starts_with("model.") {
                tensors = header(&at)?;
            }
        }
        let metrics = dir.file("metrics.json");
        if metrics.exists() {
            read_json::<serde_json::Map<String, Value>>(&metrics)?;
        }
        Ok(VerifiedModel { info, state, checked, tensors })
    }
}

fn model(path: &Path, out: &Output) -> Result<()> {
    let dir = ModelDir::new(path);
    let missing = || Error::checkpoint(path, "the model no longer exists");
    let checked = settled(&dir.file("config.json"), missing, |_| VerifiedModel::of(&dir))?;
    let VerifiedModel { info, state, checked, tensors } = checked;
    let values: u64 = tensors.iter().map(|(_, _, shape)| shape.iter().product::<u64>()).sum();
    let (epoch, steps) = state.as_ref().map_or((0, 0), |state| (state.epoch_losses.len(), state.step));
    let finished = info.parameters.is_some();
    out.event(
        "inspect",
        &json!({
            "kind": "model",
            "path": shown(path),
            "checksums_verified": checked,
            "parameters": values,
            "tensors": tensors.iter().map(|(name, dtype, shape)| json!({ "name": name, "dtype": dtype, "shape": shape })).collect::<Vec<_>>(),
            "epochs": epoch,
            "steps": steps,
            "finished": finished,
            "config": info.config,
            "users": entity(&info.users),
            "items": entity(&info.items),
        }),
    );
    let stands = match (&state, finished) {
        (None, false) => "no checkpoint yet".to_owned(),
        (None, true) => "trained".to_owned(),
        (Some(_), true) => format!("trained, {epoch} epochs, {} steps", thousands(steps)),
        (Some(_), false) => format!("unfinished after {} steps: continue with --resume", thousands(steps)),
    };
    out.text(format_args!("{}: model, {stands}; {checked} checksums OK", path.display()));
    out.text(format_args!("  {} values in {} tensors", thousands(values), tensors.len()));
    for (name, dtype, shape) in &tensors {
        let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
        out.text(format_args!("    {name:<28} {dtype:<5} {}", shape.join(" x ")));
    }
    entity_lines("users", &info.users, &info.columns.user, out);
    entity_lines("items", &info.items, &info.columns.item, out);
    Ok(())
}

/// A tensor file of a checkpoint, under its name or, after a kill in the middle of a rename, under `NAME.new`.
fn locate(dir: &ModelDir, file: &FileInfo) -> Result<PathBuf> {
    let path = dir.file(&file.name);
    match verify_file(&path, file) {
        Ok(()) => Ok(path),
        Err(error) => {
            let new = dir.file(&format!("{}.new", file.name));
            if verify_file(&new, file).is_ok() { Ok(new) } else { Err(error) }
        }
    }
}

/// Name, dtype and shape of every tensor, from the JSON header of a safetensors file.
fn header(path: &Path) -> Result<Vec<(String, String, Vec<u64>)>> {
    let damaged = |reason: &str| Error::damaged(path, "header", reason);
    let mut file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|e| Error::io(path, e))?;
    let length = u64::from_le_bytes(length);
    if length > 100_000_000 {
        return Err(damaged("the header claims to be longer than the maximum"));
    }
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text).map_err(|e| Error::io(path, e))?;
    let header: serde_json::Map<String, Value> = serde_json::from_slice(&text).map_err(|e| damaged(&e.to_string()))?;
    let tensor = |(name, about): (&String, &Value)| {
        let shape = about["shape"].as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<u64>>>()?;
        Some((name.clone(), about["dtype"].as_str()?.to_owned(), shape))
    };
    let tensors = header.iter().filter(|(name, _)| *name != "__metadata__").map(tensor);
    tensors.collect::<Option<Vec<_>>>().ok_or_else(|| damaged("a tensor without dtype or shape"))
}

fn entity(info: &EntityInfo) -> Value {
    let features: Vec<Value> = info
        .features
        .iter()
        .map(|feature| json!({ "name": feature.name, "kind": kind(feature), "rows": feature.rows() }))
        .collect();
    json!({ "rows": info.rows, "unseen": info.unseen, "features": features })
}

fn kind(feature: &Feature) -> &'static str {
    match feature.kind {
        FeatureKind::Categorical { .. } => "categorical",
        FeatureKind::MultiHot { .. } => "multi_hot",
        FeatureKind::Numeric { .. } => "numeric",
    }
}

fn entity_lines(name: &str, info: &EntityInfo, column: &str, out: &Output) {
    let unseen = match info.unseen {
        0 => String::new(),
        n => format!(", and {} only in valid and test", thousands(n.into())),
    };
    out.text(format_args!(
        "  {name}: {} of column {column}{unseen}",
        thousands(u64::from(info.rows.saturating_sub(1)))
    ));
    for feature in &info.features {
        let values = thousands(feature.rows() as u64 - 1);
        let what = if matches!(feature.kind, FeatureKind::Numeric { .. }) { "buckets" } else { "values" };
        out.text(format_args!("    {:<28} {}, {values} {what}", feature.name, kind(feature)));
    }
}

/// Puts the fields of one object beside those of another.
fn merge(fields: &mut Value, more: &impl serde::Serialize) {
    if let (Value::Object(fields), Ok(Value::Object(more))) = (&mut *fields, serde_json::to_value(more)) {
        fields.extend(more);
    }
}
