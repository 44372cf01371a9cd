//! A trained model, opened for use.

use std::path::Path;
use std::sync::Arc;

use ndarray::Array2;

use crate::backend::Backend;
use crate::backend::cpu::Cpu;
#[cfg(feature = "cuda")]
use crate::backend::cuda::Cuda;
use crate::config::Resolved;
use crate::data::history::History;
use crate::data::vocabulary::Vocabulary;
use crate::index::{Found, Lists, Ranker, UserBlock};
use crate::model::checkpoint::{ModelDir, ModelInfo};
use crate::model::core::Core;
use crate::model::popularity::SINGLE;
use crate::model::rank::{Catalogue, embed_items, embed_users};
use crate::model::spec::ModelSpec;
use crate::model::tensors::TensorFile;
use crate::{Device, Error, Result};

/// The same words for every backend.
macro_rules! loaded {
    ($engine:expr, $loaded:ident => $words:expr) => {
        match $engine {
            Engine::Cpu($loaded) => $words,
            #[cfg(feature = "cuda")]
            Engine::Cuda($loaded) => $words,
        }
    };
}

mod index;

/// A trained model: embeds users and items, and finds the best items of users.
pub struct TwoTower {
    engine: Engine,
    info: ModelInfo,
    dir: ModelDir,
    users: Arc<Vocabulary>,
    items: Arc<Vocabulary>,
    allow: Option<Vec<u32>>,
    /// In the place of the catalogues of the engine.
    index: Option<index::Used>,
    device: Device,
}

/// One variant per backend: the only place where the public API meets the type parameter.
enum Engine {
    Cpu(Box<Loaded<Cpu>>),
    #[cfg(feature = "cuda")]
    Cuda(Box<Loaded<Cuda>>),
}

struct Loaded<B: Backend> {
    core: Core<B>,
    catalogue: Option<Catalogue<B>>,
}

impl<B: Backend> Loaded<B> {
    fn new(
        backend: B,
        spec: ModelSpec,
        config: &Resolved,
        parameters: &mut TensorFile,
        items: &Vocabulary,
    ) -> Result<Box<Self>> {
        let core = Core::new(backend, spec, config, parameters, None, &items.table.counts)?;
        Ok(Box::new(Loaded { core, catalogue: None }))
    }
}

impl TwoTower {
    /// Opens a MODEL folder.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when the folder is not a whole model, [`Error::CudaUnavailable`] when `device` cannot be
    /// used.
    pub fn load(dir: impl AsRef<Path>, device: Device, threads: usize) -> Result<TwoTower> {
        let dir = ModelDir::new(dir);
        let info = dir.info()?;
        let users = Arc::new(Vocabulary::open(dir.path(), &info.users)?);
        let items = Arc::new(Vocabulary::open(dir.path(), &info.items)?);
        let spec = ModelSpec::new(&info.config.model, &info.users, &info.items)?;
        let mut parameters = dir.parameters()?;
        let device = device.resolve()?;
        let engine = match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(ordinal) => {
                let backend = Cuda::new(ordinal, info.config.train.precision)?;
                Engine::Cuda(Loaded::new(backend, spec, &info.config, &mut parameters, &items)?)
            }
            #[cfg(not(feature = "cuda"))]
            Device::Cuda(ordinal) => return Err(crate::backend::no_cuda_feature(ordinal)),
            Device::Cpu | Device::Auto => {
                let backend = Cpu::new(threads, None, info.config.train.precision)?;
                Engine::Cpu(Loaded::new(backend, spec, &info.config, &mut parameters, &items)?)
            }
        };
        Ok(TwoTower { engine, info, dir, users, items, allow: None, index: None, device })
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The settings it was trained with.
    pub fn config(&self) -> &Resolved {
        &self.info.config
    }

    /// What its folder's `config.json` says.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The users it was trained with.
    pub fn users(&self) -> &Arc<Vocabulary> {
        &self.users
    }

    /// The items it was trained with: the catalogue.
    pub fn items(&self) -> &Arc<Vocabulary> {
        &self.items
    }

    /// How many items of a user's history the user tower reads; 0 for none.
    pub fn history_len(&self) -> usize {
        self.info.config.model.user.history
    }

    /// The training rows by user: seen items and histories.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Io`].
    pub fn history(&self) -> Result<History> {
        History::open(self.dir.path(), &self.info.history, self.info.users.rows, self.info.items.rows)
    }

    /// From now on returns only these items (rows of the vocabulary, ascending); `None` for the whole catalogue.
    ///
    /// # Errors
    /// As [`use_index`](TwoTower::use_index), where an index is used.
    pub fn allow_only(&mut self, rows: Option<Vec<u32>>) -> Result<()> {
        self.allow = rows;
        loaded!(&mut self.engine, loaded => loaded.catalogue = None);
        let index = self.index.take().map(index::Used::into_index);
        self.use_index(index)
    }

    /// The columns of embeddings: `model.dim`, and one more where `model.popularity` is not 0.
    pub fn width(&self) -> usize {
        let config = &self.info.config;
        config.model.dim + usize::from(config.popularity() != 0.0)
    }

    /// The embeddings of users, one row each: what is compared by inner product. They are [`width`](TwoTower::width)
    /// columns wide; the one that popularity adds is 1 for users and, for an item, what its popularity adds to the
    /// score. Inner products with items rank exactly as [`top_k`](Ranker::top_k) does.
    ///
    /// # Errors
    /// [`Error::Shape`] when the block does not fit the model.
    pub fn embed_users(&mut self, users: &UserBlock) -> Result<Array2<f32>> {
        let values = loaded!(&mut self.engine, loaded => embed_users(&mut loaded.core, users, SINGLE)?);
        self.rows_of(values, users.len())
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
        let values = loaded!(&mut self.engine, loaded => embed_items(&mut loaded.core, features, rows, SINGLE)?);
        self.rows_of(values, rows.len())
    }

    fn rows_of(&self, values: Vec<f32>, rows: usize) -> Result<Array2<f32>> {
        Array2::from_shape_vec((rows, self.width()), values).map_err(|e| Error::Shape {
            op: "embeddings",
            expected: format!("{rows} rows"),
            found: e.to_string(),
        })
    }
}

impl Ranker for TwoTower {
    fn top_k(&mut self, users: &UserBlock, k: usize, skip: Option<&Lists>) -> Result<Found> {
        if let Some(found) = self.find(users, k, skip)? {
            return Ok(found);
        }
        let (items, allow) = (&self.items, self.allow.as_deref());
        loaded!(&mut self.engine, loaded => {
            let Loaded { core, catalogue } = &mut **loaded;
            let catalogue = match catalogue {
                Some(catalogue) => catalogue,
                None => catalogue.insert(Catalogue::new(core, &items.table.features, items.rows(), allow)?),
            };
            catalogue.top_k(core, users, k, skip)
        })
    }
}
