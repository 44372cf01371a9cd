//! A MODEL folder: what it holds, how it is written so that no kill leaves it torn, how it is read.
//!
//! Training works in a folder beside the model's place, which becomes the model when it is finished; then
//! its `config.json` names the parameters, and no reader takes one that does not.
//!
//! A checkpoint is two tensor files and `trainer.json`. Both tensor files are first written as `NAME.new`; then
//! `trainer.json`, which holds their checksums, is renamed into place: that is the moment the checkpoint exists; then
//! the `.new` files take their names. A reader that finds a file whose checksum is not the one in `trainer.json` looks
//! for it under `NAME.new`, so every moment has exactly one whole checkpoint.

mod finished;
mod texts;

pub(crate) use finished::FinishedModel;
pub use finished::accept;
pub use texts::{Extends, FORMAT, FORMAT_VERSION, ModelInfo, TrainerState};

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use crate::backend::{Backend, EmbeddingTable, TableData};
use crate::config::Resolved;
use crate::data::dataset::{Dataset, EntityInfo, FileInfo, check_name, verify_file};
use crate::data::history::History;
use crate::files::{
    Work, hash_file, other_format, parse_json, read_json, read_unchecked, remove_file, sync_folder, write_json_inside,
};
use crate::model::core::{Core, FromF32, ParameterSource};
use crate::model::spec::TableSpec;
use crate::model::step::Stepper;
use crate::model::tensors::{Tensor, TensorFile, write_tensors};
use crate::{Error, Result};

const MODEL: &str = "model.safetensors";
const TRAINER: &str = "trainer.safetensors";
/// SoftmaxLoss@K: the score of each user's K-th best item.
const THRESHOLDS: &str = "top_k.thresholds";
const BEST: &str = "best.safetensors";
/// The folder's manifest.
pub(crate) const MANIFEST: &str = "config.json";
pub(crate) const STATE: &str = "trainer.json";
/// What a folder holds beside the files that its manifest names.
pub(crate) const BESIDE: [&str; 7] = [MODEL, TRAINER, STATE, BEST, "metrics.json", "README.md", "items.index"];

/// Models as outputs.
pub(crate) const WORK: Work = Work {
    what: "model",
    ending: "training",
    manifest: MANIFEST,
    parts: |dir| {
        let info: ModelInfo = read_unchecked(&dir.join(MANIFEST))?;
        Ok(info.files().map(|file| file.name.clone()).chain(BESIDE.map(String::from)).collect())
    },
    written: &["metrics.json", "items.index"],
    resumable: Some(STATE),
};

/// The paths of a MODEL folder.
#[derive(Clone, Debug)]
pub struct ModelDir {
    dir: PathBuf,
}

impl ModelDir {
    /// The folder at `dir`; nothing is read yet.
    pub fn new(dir: impl AsRef<Path>) -> ModelDir {
        ModelDir { dir: dir.as_ref().to_owned() }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The path of a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Fills an empty folder with `config.json` and copies of the dataset's vocabularies and history.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a file that is not what the dataset's manifest says; [`Error::Io`].
    pub(crate) fn create(&self, dataset: &Dataset, config: &Resolved) -> Result<ModelInfo> {
        let manifest = dataset.manifest();
        let history = match &manifest.history {
            Some(file) => {
                dataset.copy(file, &self.file(&file.name))?;
                file.clone()
            }
            None => History::write_of(&self.dir, dataset)?,
        };
        let info = ModelInfo {
            format: FORMAT.into(),
            version: FORMAT_VERSION,
            config: config.clone(),
            columns: manifest.columns.clone(),
            users: manifest.users.clone(),
            // What the model does not know cannot be recommended.
            items: EntityInfo { unseen: 0, unseen_valid: 0, unseen_file: None, ..manifest.items.clone() },
            history,
            dataset: dataset.fingerprint().to_owned(),
            held_out_rows: Some(manifest.valid.rows + manifest.test.rows),
            extends: Extends::of(manifest),
            parameters: None,
        };
        for file in [&info.users.file, &info.items.file].into_iter().chain(&info.users.unseen_file) {
            dataset.copy(file, &self.file(&file.name))?;
        }
        write_json_inside(&self.file(MANIFEST), &info)?;
        Ok(info)
    }

    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when there is none or it is another program's; [`Error::Damaged`] when it cannot be
    /// understood or its checksum differs.
    pub fn info(&self) -> Result<ModelInfo> {
        let path = self.file(MANIFEST);
        let text = fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => finished::missing(&self.dir),
            _ => Error::io(&path, source),
        })?;
        parse_info(&path, &text)
    }

    /// Reads `trainer.json`; `None` where there is no checkpoint yet.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it cannot be understood or its checksum differs.
    pub fn state(&self) -> Result<Option<TrainerState>> {
        let path = self.file(STATE);
        if path.exists() { read_json(&path).map(Some) } else { Ok(None) }
    }

    /// Where a tensor file of the checkpoint really is: under its name, or still under `NAME.new`.
    fn locate(&self, state: Option<&TrainerState>, name: &str) -> Result<PathBuf> {
        let path = self.file(name);
        let Some(expected) = state.and_then(|s| s.files.iter().find(|f| f.name == name)) else { return Ok(path) };
        let is_it = |path: &Path| -> Result<bool> { Ok(path.exists() && Some(hash_file(path)?) == expected.xxh3) };
        let new = self.file(&format!("{name}.new"));
        if is_it(&path)? {
            Ok(path)
        } else if is_it(&new)? {
            Ok(new)
        } else {
            Err(Error::checkpoint(
                &path,
                "is not the file that trainer.json describes: it is missing or damaged; train again without `resume`",
            ))
        }
    }

    /// Before training goes on: gives files their names that a kill left under `NAME.new`, and removes unfinished ones.
    pub(crate) fn recover(&self, state: &TrainerState) -> Result<()> {
        for name in [MODEL, TRAINER] {
            let (path, new) = (self.file(name), self.file(&format!("{name}.new")));
            let step = if self.locate(Some(state), name)? == new {
                fs::rename(&new, &path)
            } else {
                remove_file(&new)?;
                continue;
            };
            step.map_err(|e| Error::io(&new, e))?;
        }
        sync_folder(&self.dir)
    }

    /// Opens the parameters of the checkpoint.
    pub(crate) fn parameters(&self, state: &TrainerState) -> Result<TensorFile> {
        TensorFile::open(&self.locate(Some(state), MODEL)?)
    }

    /// Writes a checkpoint. `state` is completed with the checksums.
    pub(crate) fn save<B: Backend>(
        &self,
        state: &mut TrainerState,
        core: &Core<B>,
        stepper: &Stepper<B>,
    ) -> Result<()> {
        state.queue_next = stepper.queue.next;
        let model = write_tensors(&self.file(&format!("{MODEL}.new")), MODEL, &model_tensors(core)?)?;
        let trainer = trainer_tensors(core, stepper)?;
        let trainer = write_tensors(&self.file(&format!("{TRAINER}.new")), TRAINER, &trainer)?;
        state.files = vec![model, trainer];
        self.commit(state)
    }

    /// Writes `trainer.json` and gives the `.new` files their names.
    pub(crate) fn commit(&self, state: &TrainerState) -> Result<()> {
        write_json_inside(&self.file(STATE), state)?;
        for name in [MODEL, TRAINER] {
            let new = self.file(&format!("{name}.new"));
            if new.exists() {
                fs::rename(&new, self.file(name)).map_err(|e| Error::io(&new, e))?;
            }
        }
        sync_folder(&self.dir)
    }

    /// Keeps the parameters as the best so far.
    pub(crate) fn save_best<B: Backend>(&self, core: &Core<B>) -> Result<FileInfo> {
        let new = self.file(&format!("{BEST}.new"));
        let best = write_tensors(&new, BEST, &model_tensors(core)?)?;
        fs::rename(&new, self.file(BEST)).map_err(|e| Error::io(&new, e))?;
        sync_folder(&self.dir)?;
        Ok(best)
    }

    /// Opens the kept best parameters.
    pub(crate) fn best(&self, state: &TrainerState) -> Result<TensorFile> {
        let path = self.file(BEST);
        match &state.best {
            Some(best) => verify_file(&path, best)?,
            None => {
                return Err(Error::checkpoint(&path, "is not listed in any checkpoint; train again without `resume`"));
            }
        }
        TensorFile::open(&path)
    }

    /// Ends training: with `best`, the kept best parameters become the model's. [`seal`](ModelDir::seal) is what is left
    /// to do.
    pub(crate) fn finish(&self, state: &mut TrainerState, best: bool) -> Result<()> {
        state.finished = true;
        if best {
            let (kept, new) = (self.file(BEST), self.file(&format!("{MODEL}.new")));
            fs::copy(&kept, &new).map_err(|e| Error::io(&kept, e))?;
            let file = fs::File::open(&new).map_err(|e| Error::io(&new, e))?;
            file.sync_all().map_err(|e| Error::io(&new, e))?;
            let hash = Some(hash_file(&new)?);
            if let Some(model) = state.files.iter_mut().find(|file| file.name == MODEL) {
                model.xxh3 = hash;
            }
        }
        self.commit(state)
    }

    /// Makes a finished run's folder a model: `config.json` names the parameters, and nothing unfinished is left.
    pub(crate) fn seal(&self, state: &TrainerState) -> Result<()> {
        let mut info = self.info()?;
        info.parameters = state.files.iter().find(|file| file.name == MODEL).cloned();
        write_json_inside(&self.file(MANIFEST), &info)?;
        for name in [MODEL, TRAINER, BEST] {
            remove_file(&self.file(&format!("{name}.new")))?;
        }
        remove_file(&self.file(BEST))
    }

    /// Puts the optimizer's state, the queue and the streaming estimate back.
    pub(crate) fn restore<B: Backend>(
        &self,
        state: &TrainerState,
        core: &mut Core<B>,
        stepper: &mut Stepper<B>,
    ) -> Result<()> {
        let file = TensorFile::open(&self.locate(Some(state), TRAINER)?)?;
        let Core { backend, spec, tables, user, item, log_scale, .. } = core;
        let load = |name: String, shape: Vec<usize>, to: &mut Option<B::Buf<f32>>| -> Result<()> {
            if to.is_some() {
                *to = Some(backend.upload(file.read(&name, &shape)?)?);
            }
            Ok(())
        };
        for (spec, table) in spec.tables.iter().zip(tables) {
            let row_wise = table.state1.as_ref().is_some_and(|s| backend.len(s) == spec.rows) && spec.dim != 1;
            let shape = if row_wise { vec![spec.rows] } else { vec![spec.rows, spec.dim] };
            load(format!("{}.state1", spec.name), shape, &mut table.state1)?;
            load(format!("{}.state2", spec.name), vec![spec.rows, spec.dim], &mut table.state2)?;
        }
        for dense in user.dense_mut().chain(item.dense_mut()).chain([log_scale]) {
            load(format!("{}.state1", dense.name), dense.shape.clone(), &mut dense.state1)?;
            load(format!("{}.state2", dense.name), dense.shape.clone(), &mut dense.state2)?;
        }
        if file.has("queue.ids") {
            let rows = file.shape("queue.ids")?.iter().product::<usize>();
            let dim = core.item.spec.dim;
            if rows > stepper.queue.capacity || state.queue_next >= stepper.queue.capacity {
                return Err(Error::checkpoint(
                    &self.dir,
                    "the size of the candidate queue differs from the configuration",
                ));
            }
            stepper.queue.ids = file.read("queue.ids", &[rows])?;
            if let Some(id) = stepper.queue.ids.iter().find(|id| **id as usize >= stepper.items) {
                let items = stepper.items;
                return Err(Error::checkpoint(&self.dir, format!("the candidate queue names item {id} of {items}")));
            }
            stepper.queue.next = state.queue_next;
            let values: Vec<f32> = file.read("queue.embeddings", &[rows, dim])?;
            core.backend.write(&mut stepper.candidates, &values)?;
        }
        if let Some(streaming) = &mut stepper.streaming {
            let items = [streaming.gap.len()];
            streaming.last = file.read("streaming.last", &items)?;
            streaming.gap = file.read("streaming.gap", &items)?;
        }
        if let Some(top_k) = &mut stepper.top_k
            && file.has(THRESHOLDS)
        {
            top_k.thresholds = file.read(THRESHOLDS, &[top_k.users])?;
        }
        Ok(())
    }
}

/// Parameters from a tensor file.
impl ParameterSource for TensorFile {
    fn dense(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let values = self.read(name, shape)?;
        self.need_finite(name, &values)?;
        Ok(values)
    }

    fn table<T: FromF32>(&mut self, spec: &TableSpec) -> Result<Vec<T>> {
        let name = format!("{}.weight", spec.name);
        let values = self.read(&name, &[spec.rows, spec.dim])?;
        self.need_finite(&name, &values)?;
        Ok(values)
    }
}

fn model_tensors<B: Backend>(core: &Core<B>) -> Result<Vec<Tensor<'_>>> {
    let b = &core.backend;
    let mut tensors = Vec::new();
    for (spec, table) in core.spec.tables.iter().zip(&core.tables) {
        let (name, shape, len) = (format!("{}.weight", spec.name), [spec.rows, spec.dim], spec.rows * spec.dim);
        tensors.push(match &table.data {
            TableData::F32(buf) => Tensor::new(name, &shape, b.host(buf, len)?),
            TableData::Bf16(buf) => Tensor::new(name, &shape, b.host(buf, len)?),
            TableData::F16(buf) => Tensor::new(name, &shape, b.host(buf, len)?),
        });
    }
    for dense in core.dense() {
        tensors.push(Tensor::new(dense.name.clone(), &dense.shape, b.host(&dense.value, dense.len)?));
    }
    Ok(tensors)
}

fn trainer_tensors<'a, B: Backend>(core: &'a Core<B>, stepper: &'a Stepper<B>) -> Result<Vec<Tensor<'a>>> {
    let b = &core.backend;
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize], buf: Option<&'a B::Buf<f32>>| -> Result<()> {
        if let Some(buf) = buf {
            tensors.push(Tensor::new(name, shape, b.host(buf, shape.iter().product())?));
        }
        Ok(())
    };
    for (spec, EmbeddingTable { state1, state2, .. }) in core.spec.tables.iter().zip(&core.tables) {
        let full = [spec.rows, spec.dim];
        let row_wise = state1.as_ref().is_some_and(|s| b.len(s) == spec.rows) && spec.dim != 1;
        add(format!("{}.state1", spec.name), if row_wise { &full[..1] } else { &full }, state1.as_ref())?;
        add(format!("{}.state2", spec.name), &full, state2.as_ref())?;
    }
    for dense in core.dense() {
        add(format!("{}.state1", dense.name), &dense.shape, dense.state1.as_ref())?;
        add(format!("{}.state2", dense.name), &dense.shape, dense.state2.as_ref())?;
    }
    let queued = stepper.queue.ids.len();
    if queued > 0 {
        add("queue.embeddings".into(), &[queued, core.item.spec.dim], Some(&stepper.candidates))?;
        tensors.push(Tensor::new("queue.ids", &[queued], Cow::Borrowed(&stepper.queue.ids[..])));
    }
    if let Some(streaming) = &stepper.streaming {
        let items = [streaming.gap.len()];
        tensors.push(Tensor::new("streaming.last", &items, Cow::Borrowed(&streaming.last[..])));
        tensors.push(Tensor::new("streaming.gap", &items, Cow::Borrowed(&streaming.gap[..])));
    }
    if let Some(top_k) = stepper.top_k.as_ref().filter(|top_k| !top_k.thresholds.is_empty()) {
        let values = Cow::Borrowed(&top_k.thresholds[..]);
        tensors.push(Tensor::new(THRESHOLDS, &[top_k.thresholds.len()], values));
    }
    Ok(tensors)
}

/// The text of a `config.json`, checked.
fn parse_info(path: &Path, text: &[u8]) -> Result<ModelInfo> {
    if let Some(found) = other_format(text, FORMAT, FORMAT_VERSION) {
        return Err(Error::checkpoint(path, format!("{found}; this build reads version {FORMAT_VERSION}")));
    }
    let info: ModelInfo = parse_json(path, text)?;
    info.config.validate()?;
    info.files().try_for_each(|file| check_name(file, path))?;
    Ok(info)
}
