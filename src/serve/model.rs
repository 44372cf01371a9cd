//! A trained model, opened for use.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::Array2;

use super::search::OwnIndex;
use crate::backend::Backend;
use crate::backend::cpu::Cpu;
use crate::backend::open::{Cuda, OpenedDevice, open};
use crate::config::Resolved;
use crate::data::history::History;
use crate::data::vocabulary::Vocabulary;
use crate::index::ahead::{Gathered, Reader};
use crate::index::{Found, HitCounter, Lists, Ranker, UserBlock};
use crate::model::checkpoint::{FinishedModel, ModelInfo};
use crate::model::core::Core;
use crate::model::item_bias::biases;
use crate::model::rank::{Asked, Catalogue, embed_items, embed_users};
use crate::model::spec::ModelSpec;
use crate::model::tensors::TensorFile;
use crate::{Device, Error, Result};

/// The same words for every backend.
macro_rules! loaded {
    ($engine:expr, $loaded:ident => $words:expr) => {
        match $engine {
            Engine::Cpu($loaded) => $words,
            Engine::Cuda($loaded) => $words,
        }
    };
}

pub(super) use loaded;

/// A trained two-tower model: recommends, evaluates, embeds users and items, builds an index of its items.
///
/// As a [`Ranker`] it searches the whole catalogue exactly.
pub struct Model {
    engine: Engine,
    files: FinishedModel,
    users: Arc<Vocabulary>,
    items: Arc<Vocabulary>,
    /// What an index of its items is called.
    catalogue: String,
    history: Mutex<Option<Arc<History>>>,
    /// The approximate index that was used last.
    pub(super) own_index: Option<OwnIndex>,
    device: Device,
    threads: usize,
}

/// One variant per backend: the only place where the public API meets the type parameter.
pub(super) enum Engine {
    Cpu(Box<LoadedModel<Cpu>>),
    Cuda(Box<LoadedModel<Cuda>>),
}

pub(super) struct LoadedModel<B: Backend> {
    pub(super) core: Core<B>,
    /// What was scanned last, and the rows that it is limited to.
    catalogue: Option<(Option<Vec<u32>>, Catalogue<B>)>,
    /// What was asked of it and has not been fetched.
    asked: Option<Asked<B>>,
}

impl<B: Backend> LoadedModel<B> {
    fn new(
        backend: B,
        spec: ModelSpec,
        config: &Resolved,
        parameters: &mut TensorFile,
        items: &Vocabulary,
    ) -> Result<Box<Self>> {
        let core = Core::new(backend, spec, config, parameters, None, &items.table.counts)?;
        Ok(Box::new(LoadedModel { core, catalogue: None, asked: None }))
    }

    /// The catalogue of all items, or of the rows of `allow`, and what uses it.
    fn catalogue(&mut self, items: &Vocabulary, allow: Option<&[u32]>) -> Result<InUse<'_, B>> {
        let LoadedModel { core, catalogue, asked } = self;
        let (_, catalogue) = match catalogue.take() {
            Some((rows, known)) if rows.as_deref() == allow => catalogue.insert((rows, known)),
            _ => {
                *asked = None;
                let new = Catalogue::new(core, &items.table.features, items.rows(), allow)?;
                catalogue.insert((allow.map(<[u32]>::to_vec), new))
            }
        };
        Ok(InUse { catalogue, core, asked })
    }
}

/// A catalogue, the model that it is of, and what was asked of it and has not been fetched.
struct InUse<'a, B: Backend> {
    catalogue: &'a Catalogue<B>,
    core: &'a mut Core<B>,
    asked: &'a mut Option<Asked<B>>,
}

impl Model {
    /// Opens a MODEL folder, to compute on `device` with every core.
    ///
    /// # Errors
    /// As [`load`](Model::load).
    pub fn open(dir: impl AsRef<Path>, device: Device) -> Result<Model> {
        Model::load(dir, device, 0)
    }

    /// Opens a MODEL folder, to compute on `device` with so many threads (0: every core), which change no result.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the folder is not a whole model, [`Error::CudaUnavailable`] when `device` cannot be
    /// used.
    pub fn load(dir: impl AsRef<Path>, device: Device, threads: usize) -> Result<Model> {
        let files = FinishedModel::open(dir.as_ref())?;
        let info = &files.info;
        let users = Arc::new(files.vocabulary(&info.users)?);
        let items = Arc::new(files.vocabulary(&info.items)?);
        let spec = ModelSpec::new(&info.config, &info.users, &info.items)?;
        let mut parameters = files.parameters()?;
        let catalogue = info.catalogue().unwrap_or_default();
        let device = device.resolve()?;
        let engine = match open(device, threads, None, info.config.train.precision)? {
            OpenedDevice::Cpu(cpu) => Engine::Cpu(LoadedModel::new(cpu, spec, &info.config, &mut parameters, &items)?),
            OpenedDevice::Cuda(cuda) => {
                Engine::Cuda(LoadedModel::new(*cuda, spec, &info.config, &mut parameters, &items)?)
            }
        };
        let (history, own_index) = (Mutex::new(None), None);
        Ok(Model { engine, files, users, items, catalogue, history, own_index, device, threads })
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.files.dir()
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// How many threads it computes with; 0 for every core.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The settings it was trained with.
    pub fn config(&self) -> &Resolved {
        &self.info().config
    }

    /// What its folder's `config.json` says.
    pub fn info(&self) -> &ModelInfo {
        &self.files.info
    }

    /// The users it was trained with.
    pub fn users(&self) -> &Arc<Vocabulary> {
        &self.users
    }

    /// The items it was trained with: the catalogue.
    pub fn items(&self) -> &Arc<Vocabulary> {
        &self.items
    }

    /// What an index of its items is called: a checksum of its settings, vocabularies and parameters.
    pub fn catalogue(&self) -> &str {
        &self.catalogue
    }

    /// The training rows by user: seen items and histories. Opened once.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Io`].
    pub fn history(&self) -> Result<Arc<History>> {
        let mut kept = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(history) = &*kept {
            return Ok(Arc::clone(history));
        }
        Ok(Arc::clone(kept.insert(Arc::new(self.files.history()?))))
    }

    /// The columns of embeddings: `model.dim`, and one more where `model.popularity` is not 0.
    pub fn width(&self) -> usize {
        let config = self.config();
        config.model.dim + usize::from(config.popularity() != 0.0)
    }

    /// The embeddings of users, one row each: what is compared by inner product. They are [`width`](Model::width)
    /// columns wide; the one that popularity adds is 1 for users and, for an item, what its popularity adds to the
    /// score. Inner products with items rank exactly as [`top_k`](Ranker::top_k) does.
    ///
    /// # Errors
    /// [`Error::Shape`] when the block does not fit the model.
    pub fn embed_users(&mut self, users: &UserBlock) -> Result<Array2<f32>> {
        let values = loaded!(&mut self.engine, loaded => embed_users(&mut loaded.core, users)?);
        let ones = (self.config().popularity() != 0.0).then(|| vec![1.0; users.len()]);
        self.rows_of(self.with_column(values, ones), users.len())
    }

    /// The embeddings of items by their rows in the vocabulary, one row each; as wide as the users'.
    ///
    /// # Errors
    /// [`Error::Shape`] when the vocabulary has no such row.
    pub fn embed_items(&mut self, rows: &[u32]) -> Result<Array2<f32>> {
        if let Some(&row) = rows.iter().find(|&&row| row as usize >= self.items.rows()) {
            let expected = format!("item rows below {}", self.items.rows());
            return Err(Error::Shape { op: "embed_items", expected, found: row.to_string() });
        }
        let features = &self.items.table.features;
        let (values, biases) = loaded!(&mut self.engine, loaded => {
            (embed_items(&mut loaded.core, features, rows)?, biases(&loaded.core, rows)?)
        });
        self.rows_of(self.with_column(values, biases), rows.len())
    }

    /// Embeddings, with a last column where there is one.
    fn with_column(&self, values: Vec<f32>, column: Option<Vec<f32>>) -> Vec<f32> {
        let Some(column) = column else { return values };
        let mut out = Vec::with_capacity(values.len() + column.len());
        for (row, x) in values.chunks_exact(self.config().model.dim).zip(column) {
            out.extend_from_slice(row);
            out.push(x);
        }
        out
    }

    pub(super) fn rows_of(&self, values: Vec<f32>, rows: usize) -> Result<Array2<f32>> {
        Array2::from_shape_vec((rows, self.width()), values).map_err(|e| Error::Shape {
            op: "embeddings",
            expected: format!("{rows} rows"),
            found: e.to_string(),
        })
    }

    pub(super) fn files(&self) -> &FinishedModel {
        &self.files
    }

    pub(super) fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    pub(super) fn engine_and_index(&mut self) -> (&mut Engine, Option<&OwnIndex>) {
        (&mut self.engine, self.own_index.as_ref())
    }

    /// A ranker of all items, or of the rows of `allow`.
    pub(super) fn scan<'a>(&'a mut self, allow: Option<&'a [u32]>) -> Scan<'a> {
        Scan { model: self, allow }
    }
}

/// A model that searches all items, or the rows of `allow`.
pub(super) struct Scan<'a> {
    model: &'a mut Model,
    allow: Option<&'a [u32]>,
}

impl<'a> Scan<'a> {
    /// What counts hits among the best that it finds.
    pub(super) fn into_hit_counter(self, k: usize) -> Result<Box<dyn HitCounter + 'a>> {
        let Model { engine, items, .. } = self.model;
        loaded!(engine, loaded => {
            let used = loaded.catalogue(items, self.allow)?;
            used.catalogue.hit_counter(used.core, k)
        })
    }
}

/// Does something with the catalogue in use, on every backend.
macro_rules! in_use {
    ($scan:expr, $used:ident => $words:expr) => {{
        let Model { engine, items, .. } = &mut *$scan.model;
        loaded!(engine, loaded => {
            let $used = loaded.catalogue(items, $scan.allow)?;
            $words
        })
    }};
}

impl Ranker for Scan<'_> {
    fn history_len(&self) -> usize {
        self.model.config().history()
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        in_use!(self, used => used.catalogue.top_k(used.core, users, k, skip))
    }

    fn reader(&mut self) -> Result<Reader> {
        in_use!(self, used => {
            *used.asked = None;
            Ok(used.catalogue.reader(used.core).for_ranker())
        })
    }

    fn rank(&mut self, block: Gathered, k: usize) -> Result<Option<Found>> {
        in_use!(self, used => used.catalogue.next(used.core, used.asked, block, k))
    }

    fn rest(&mut self) -> Result<Option<Found>> {
        in_use!(self, used => used.asked.take().map(|asked| used.catalogue.found(used.core, asked)).transpose())
    }
}

impl Ranker for Model {
    fn history_len(&self) -> usize {
        self.config().history()
    }

    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        self.scan(None).top_k(users, k, skip)
    }

    fn reader(&mut self) -> Result<Reader> {
        self.scan(None).reader()
    }

    fn rank(&mut self, block: Gathered, k: usize) -> Result<Option<Found>> {
        self.scan(None).rank(block, k)
    }

    fn rest(&mut self) -> Result<Option<Found>> {
        self.scan(None).rest()
    }

    fn hit_counter(&mut self, k: usize) -> Result<Option<Box<dyn HitCounter + '_>>> {
        self.scan(None).into_hit_counter(k).map(Some)
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (users, items) = (self.users.rows() - 1, self.items.rows() - 1);
        f.debug_struct("Model")
            .field("dir", &self.dir())
            .field("device", &self.device)
            .field("users", &users)
            .field("items", &items)
            .finish_non_exhaustive()
    }
}
