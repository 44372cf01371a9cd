//! Trained models.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use numpy::{PyArray2, ToPyArray};
use pyo3::prelude::*;
use tercel::data::vocabulary::{RawId, Vocabulary};
use tercel::eval::{EvaluateOptions, evaluate};
use tercel::index::filter::Seen;
use tercel::index::item_index::{IndexKind, IndexOptions};
use tercel::index::users::Reading;
use tercel::index::{Lists, Progress, RecommendOptions, UserBlock, Users, recommend};
use tercel::{Error, Result};

use crate::dataset::{invalid, open};
use crate::errors::raised;
use crate::index::ItemIndex;
use crate::signals::{Interruptible, Watch};

/// Bytes that a block of users may take while they are embedded.
const MEMORY: u64 = 256 << 20;

/// A trained model, opened for use. One call at a time: others wait.
#[pyclass(frozen)]
pub(crate) struct TwoTower {
    inner: Mutex<tercel::model::TwoTower>,
    threads: usize,
}

impl TwoTower {
    fn lock(&self) -> MutexGuard<'_, tercel::model::TwoTower> {
        // A panic inside left nothing half-changed that a search would read.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who gets recommendations, as Python says it.
#[derive(FromPyObject)]
enum Who {
    #[pyo3(transparent)]
    File(PathBuf),
    #[pyo3(transparent)]
    Ids(Vec<String>),
}

impl Who {
    fn users<'a>(
        who: Option<&Who>,
        users: &'a Vocabulary,
        items: &Vocabulary,
        model: &tercel::model::TwoTower,
    ) -> Result<Users<'a>> {
        match who {
            None => Ok(Users::all(users)),
            Some(Who::File(path)) => {
                Ok(Users::read(path.as_path(), users, items, &model.info().columns, &Default::default())?.0)
            }
            Some(Who::Ids(ids)) => Ok(Users::of(users, numbers_of(ids, "users", |id| users.number(id))?)),
        }
    }
}

/// The numbers of raw ids, as `find` knows them.
///
/// # Errors
/// [`Error::Config`] that names the first unknown id.
fn numbers_of(ids: &[String], field: &str, find: impl Fn(RawId<'_>) -> Option<u32>) -> Result<Vec<u32>> {
    let unknown = |id| Error::config(field, format!("`{id}` is not known to the model"));
    ids.iter().map(|id| find(RawId::Text(id)).ok_or_else(|| unknown(id))).collect()
}

fn told(watch: &RefCell<Watch>, at: Progress) {
    // What it answers is looked up before the next block.
    let words = || serde_json::json!({"done": at.done, "users": at.users}).to_string();
    let _ = watch.borrow_mut().tell_now_and_then(words);
}

#[pymethods]
impl TwoTower {
    /// Opens a model folder on `device` (`auto`, `cpu`, `cuda:N`), with `threads` threads (0: every core).
    #[new]
    fn load(py: Python<'_>, path: PathBuf, device: &str, threads: usize) -> PyResult<TwoTower> {
        let device = raised(device.parse())?;
        let model = raised(py.detach(|| tercel::model::TwoTower::load(&path, device, threads)))?;
        Ok(TwoTower { inner: Mutex::new(model), threads })
    }

    /// The folder's `config.json`.
    fn info(&self) -> PyResult<String> {
        serde_json::to_string(self.lock().info()).map_err(invalid)
    }

    /// Where it computes.
    fn device(&self) -> String {
        self.lock().device().to_string()
    }

    /// The checksum of its parameters.
    fn catalogue(&self) -> PyResult<String> {
        raised(self.lock().catalogue())
    }

    /// Uses the approximate index of this file, which is built where it is missing or does not fit. Answers whether it
    /// was built.
    fn use_approx(&self, py: Python<'_>, file: PathBuf, recall: f32, k: usize) -> PyResult<bool> {
        let threads = self.threads;
        raised(py.detach(|| {
            let mut model = self.lock();
            if let Ok(index) = tercel::index::ItemIndex::open(&file, model.device(), threads)
                && model.fits(&index, recall)?
            {
                model.use_index(Some(index))?;
                return Ok(false);
            }
            let kind = IndexKind::Approx { recall };
            let options = IndexOptions { kind, k, threads, device: model.device(), ..IndexOptions::default() };
            let mut index = model.build_index(&options)?;
            // A folder that cannot be written is as good to search.
            let _ = index.save(&file);
            model.use_index(Some(index))?;
            Ok(true)
        }))
    }

    /// Searches every item again.
    fn use_exact(&self) -> PyResult<()> {
        raised(self.lock().use_index(None))
    }

    /// An index of its items, numbered as in its vocabulary.
    fn build_index(&self, py: Python<'_>, recall: Option<f32>, k: usize) -> PyResult<ItemIndex> {
        let kind = recall.map_or(IndexKind::Exact, |recall| IndexKind::Approx { recall });
        let index = py.detach(|| {
            let mut model = self.lock();
            let threads = self.threads;
            let options = IndexOptions { kind, k, threads, device: model.device(), ..IndexOptions::default() };
            model.build_index(&options)
        });
        Ok(ItemIndex::new(raised(index)?))
    }

    /// Writes the top `k` of every user (or of those that `users` names) to the file `out`; what came of it, as JSON.
    ///
    /// `items`: raw ids that may be recommended. `tags`: `column=value`, all of which an item must have. `seen`: the
    /// dataset whose training items are left out; else the model's own.
    #[pyo3(signature = (out, k, users, items, tags, seen, include_seen, by_user, memory, observer))]
    #[allow(clippy::too_many_arguments)]
    fn recommend(
        &self,
        py: Python<'_>,
        out: PathBuf,
        k: usize,
        users: Option<Who>,
        items: Option<Vec<String>>,
        tags: Vec<String>,
        seen: Option<PathBuf>,
        include_seen: bool,
        by_user: bool,
        memory: Option<u64>,
        observer: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let (result, watch) = py.detach(|| {
            let watch = RefCell::new(Watch::new(observer));
            let mut model = self.lock();
            let result = (|| {
                let (user_ids, item_ids) = (Arc::clone(model.users()), Arc::clone(model.items()));
                let seen = seen_items(&model, seen.as_deref())?;
                let allowed = allowed(&model, items.as_deref(), &tags)?;
                let restricted = allowed.is_some();
                let users = Who::users(users.as_ref(), &user_ids, &item_ids, &model)?;
                let mut options = RecommendOptions { k, exclude_seen: !include_seen, by_user, ..Default::default() };
                options.history = model.history_len();
                options.memory = memory.unwrap_or(options.memory);
                model.allow_only(allowed)?;
                let mut ranker = Interruptible { ranker: &mut *model, watch: &watch };
                let found = recommend(&mut ranker, &users, &item_ids, Some(&seen), &out, &options, &mut |at| {
                    told(&watch, at);
                });
                if restricted {
                    model.allow_only(None)?;
                }
                found
            })();
            (result, watch.into_inner())
        });
        let found = watch.end(result)?;
        serde_json::to_string(&found).map_err(invalid)
    }

    /// Evaluates on a split of the dataset at `data`: the full catalogue, one row per user. JSON, in the words of
    /// `tercel evaluate --json`.
    #[pyo3(signature = (data, split, ks, include_seen, bootstrap, seed, observer))]
    #[allow(clippy::too_many_arguments)]
    fn evaluate(
        &self,
        py: Python<'_>,
        data: PathBuf,
        split: &str,
        ks: Vec<usize>,
        include_seen: bool,
        bootstrap: usize,
        seed: u64,
        observer: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let (dataset, split) = (open(&data)?, raised(split.parse())?);
        let (result, watch) = py.detach(|| {
            let watch = RefCell::new(Watch::new(observer));
            let mut model = self.lock();
            let history = model.history_len();
            let options = EvaluateOptions { ks, include_seen, bootstrap, seed, history, ..Default::default() };
            let mut ranker = Interruptible { ranker: &mut *model, watch: &watch };
            let result = evaluate(&dataset, split, &mut ranker, &options, &mut |at| told(&watch, at));
            (result, watch.into_inner())
        });
        let evaluation = watch.end(result)?;
        serde_json::to_string(&evaluation).map_err(invalid)
    }

    /// The vectors of users (all without `users`), as they are compared by inner product.
    fn user_embeddings<'py>(&self, py: Python<'py>, users: Option<Who>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (values, width) = raised(py.detach(|| {
            let mut model = self.lock();
            let (user_ids, item_ids) = (Arc::clone(model.users()), Arc::clone(model.items()));
            let seen = seen_items(&model, None)?;
            let users = Who::users(users.as_ref(), &user_ids, &item_ids, &model)?;
            let history = model.history_len();
            let reading = Reading { seen: Some(&seen), exclude_seen: false, history, memory: MEMORY, k: 0 };
            let (mut block, mut skip, mut next) = (UserBlock::default(), Lists::default(), 0);
            let mut values: Vec<f32> = Vec::with_capacity(users.len() * model.width());
            while next < users.len() {
                next = users.block(next, &reading, &mut block, &mut skip)?;
                values.extend(model.embed_users(&block)?);
            }
            Ok((values, model.width()))
        }))?;
        matrix(py, values, width)
    }

    /// The vectors of items (all without `items`), as they are compared by inner product.
    fn item_embeddings<'py>(&self, py: Python<'py>, items: Option<Vec<String>>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (values, width) = raised(py.detach(|| {
            let mut model = self.lock();
            let vocabulary = Arc::clone(model.items());
            let rows = match items {
                Some(ids) => numbers_of(&ids, "items", |id| vocabulary.find(id))?,
                None => (1..vocabulary.rows() as u32).collect(),
            };
            let values = model.embed_items(&rows)?;
            Ok((values.into_raw_vec_and_offset().0, model.width()))
        }))?;
        matrix(py, values, width)
    }
}

/// A matrix of NumPy's that takes the values over.
fn matrix(py: Python<'_>, values: Vec<f32>, width: usize) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let rows = values.len() / width.max(1);
    let array = numpy::ndarray::Array2::from_shape_vec((rows, width), values);
    match array {
        Ok(array) => Ok(PyArray2::from_owned_array(py, array)),
        Err(_) => Ok(numpy::ndarray::Array2::<f32>::zeros((0, width)).to_pyarray(py)),
    }
}

/// The items that users have had: of a dataset, or those that the model keeps.
fn seen_items(model: &tercel::model::TwoTower, dataset: Option<&Path>) -> Result<Seen> {
    match dataset {
        Some(path) => {
            let dataset = tercel::data::dataset::Dataset::open(path)?;
            Seen::with_vocabularies(&dataset, model.users(), model.items())
        }
        None => Ok(Seen::new(Arc::new(model.history()?))),
    }
}

/// The item rows that may be recommended; absent for all.
fn allowed(model: &tercel::model::TwoTower, items: Option<&[String]>, tags: &[String]) -> Result<Option<Vec<u32>>> {
    let mut lists = tags.iter().map(|tag| model.tagged(tag)).collect::<Result<Vec<_>>>()?;
    if let Some(items) = items {
        // Stock that the model has never seen cannot be recommended: left out, as the command does.
        let vocabulary = model.items();
        let mut rows: Vec<u32> = items.iter().filter_map(|id| vocabulary.find(RawId::Text(id))).collect();
        rows.sort_unstable();
        rows.dedup();
        lists.push(rows);
    }
    match tercel::index::filter::in_all(lists) {
        Some(rows) if rows.is_empty() => Err(Error::config("items", "no item is left that may be recommended")),
        rows => Ok(rows),
    }
}
