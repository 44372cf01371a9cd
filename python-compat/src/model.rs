//! Trained models.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::PyArray2;
use pyo3::prelude::*;
use tercel::eval::{Baselines, Views, views};
use tercel::index::item_index::IndexOptions;
use tercel::table::ReadOptions;
use tercel::{Dataset, Evaluate, Event, Exclude, Items, Model, Recommend, Result, Search, Who};

use crate::dataset::{invalid, open};
use crate::errors::raised;
use crate::index::ItemIndex;
use crate::signals::Watch;
use crate::stream::Given;

/// A trained model, opened for use. One call at a time: others wait.
#[pyclass(frozen)]
pub(crate) struct TwoTower {
    inner: Mutex<Model>,
}

impl TwoTower {
    fn lock(&self) -> MutexGuard<'_, Model> {
        // A panic inside left nothing half-changed that a search would read.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is asked about, as Python says it: raw ids, a path, or a table by name (`("users", stream)`).
#[derive(FromPyObject)]
pub(crate) enum Asked<'py> {
    #[pyo3(transparent)]
    Ids(Vec<String>),
    #[pyo3(transparent)]
    Table(Given<'py>),
}

fn who(asked: Option<Asked<'_>>) -> PyResult<Who> {
    match asked {
        None => Ok(Who::Everyone),
        Some(Asked::Ids(ids)) => Ok(Who::Ids(ids)),
        Some(Asked::Table(table)) => Ok(Who::Table(table.input()?)),
    }
}

/// What the observers of a call are told, in Python; notes are kept for its end.
struct Told<'a> {
    watch: &'a RefCell<Watch>,
    notes: Vec<String>,
}

impl Told<'_> {
    fn tell(&mut self, event: Event<'_>) -> Result<()> {
        match event {
            Event::Progress(at) => {
                let words = || serde_json::json!({"done": at.done, "users": at.total}).to_string();
                self.watch.borrow_mut().tell_now_and_then(words)
            }
            Event::Note(note) if !note.is_minor() => {
                self.notes.push(note.to_string());
                Ok(())
            }
            _ => self.watch.borrow_mut().look(),
        }
    }
}

#[pymethods]
impl TwoTower {
    /// Opens a model folder on `device` (`auto`, `cpu`, `cuda:N`), with `threads` threads (0: every core).
    #[new]
    fn load(py: Python<'_>, path: PathBuf, device: &str, threads: usize) -> PyResult<TwoTower> {
        let device = raised(device.parse())?;
        let model = raised(py.detach(|| Model::load(&path, device, threads)))?;
        Ok(TwoTower { inner: Mutex::new(model) })
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
    fn catalogue(&self) -> String {
        self.lock().catalogue().to_owned()
    }

    /// An index of its items, numbered as in its vocabulary.
    fn build_index(&self, py: Python<'_>, recall: Option<f32>, k: usize) -> PyResult<ItemIndex> {
        let options = recall.map_or_else(IndexOptions::exact, IndexOptions::approx).k(k);
        Ok(ItemIndex::new(raised(py.detach(|| self.lock().index(&options)))?))
    }

    /// Writes the top `k` of every user (or of those that `users` names) to the file `out`; what came of it, as JSON,
    /// with `notes`: what the caller should know.
    ///
    /// `items`: raw ids that may be recommended. `tags`: `column=value`, all of which an item must have. `seen`: the
    /// dataset that says what users have; else the model does. `exclude`: `all`, `train` or `none` of it; `include_seen` is
    /// short for `none`. `recall`: of the approximate index to search; else every item is. `read`: how a table of users is
    /// read, as JSON.
    #[pyo3(signature = (out, k, users, items, tags, seen, exclude, include_seen, recall, by_user, memory, read, observer))]
    #[allow(clippy::too_many_arguments)]
    fn recommend(
        &self,
        py: Python<'_>,
        out: PathBuf,
        k: usize,
        users: Option<Asked<'_>>,
        items: Option<Vec<String>>,
        tags: Vec<String>,
        seen: Option<PathBuf>,
        exclude: Option<&str>,
        include_seen: bool,
        recall: Option<f32>,
        by_user: bool,
        memory: Option<u64>,
        read: &str,
        observer: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let read: ReadOptions = serde_json::from_str(read).map_err(invalid)?;
        raised(read.validate())?;
        let exclude = raised(exclude.map(str::parse).transpose())?;
        let exclude = raised(Exclude::resolve(exclude, include_seen))?;
        let seen: Option<Dataset> = seen.map(|path| open(&path)).transpose()?;
        let search = recall.map_or(Search::Exact, |recall| Search::Approx { recall });
        let who = who(users)?;
        let (result, notes, watch) = py.detach(|| {
            let watch = RefCell::new(Watch::new(observer));
            let mut told = Told { watch: &watch, notes: Vec::new() };
            let mut observer = |event: Event<'_>| told.tell(event);
            let mut request =
                Recommend::top(k).users(who).tags(tags).exclude(exclude).index(search).by_user(by_user).read(read);
            if let Some(items) = items {
                request = request.items(Items::Ids(items));
            }
            if let Some(seen) = &seen {
                request = request.seen(seen);
            }
            if let Some(memory) = memory {
                request = request.memory(memory);
            }
            let result = self.lock().recommend(request.observe(&mut observer)).write(&out);
            (result, told.notes, watch.into_inner())
        });
        let mut found = serde_json::to_value(watch.end(result)?).map_err(invalid)?;
        found["notes"] = notes.into();
        Ok(found.to_string())
    }

    /// Evaluates on a split of the dataset at `data`: the full catalogue, one row per user. JSON, a list with an object for
    /// each view, in the words of `tercel evaluate --json`.
    #[pyo3(signature = (data, split, ks, view, baselines, bootstrap, seed, observer))]
    #[allow(clippy::too_many_arguments)]
    fn evaluate(
        &self,
        py: Python<'_>,
        data: PathBuf,
        split: &str,
        ks: Vec<usize>,
        view: Option<&str>,
        baselines: &str,
        bootstrap: usize,
        seed: u64,
        observer: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let (dataset, split) = (open(&data)?, raised(split.parse())?);
        let asked: Option<Views> = raised(view.map(str::parse).transpose())?;
        let baselines: Baselines = raised(baselines.parse())?;
        let (result, watch) = py.detach(|| {
            let watch = RefCell::new(Watch::new(observer));
            let mut told = Told { watch: &watch, notes: Vec::new() };
            let mut observer = |event: Event<'_>| told.tell(event);
            let request = Evaluate::split(split).k(&ks).baselines(baselines).bootstrap(bootstrap, seed);
            let mut evaluations = Vec::new();
            let result = views(&dataset, split, asked).and_then(|views| {
                let request = request.observe(&mut observer);
                self.lock().evaluate_views(request, views, &dataset, |found| evaluations.push(found))
            });
            (result.map(|()| evaluations), watch.into_inner())
        });
        let evaluations = watch.end(result)?;
        serde_json::to_string(&evaluations).map_err(invalid)
    }

    /// The vectors of users (all without `users`), as they are compared by inner product.
    fn user_embeddings<'py>(&self, py: Python<'py>, users: Option<Asked<'py>>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let who = who(users)?;
        matrix(py, raised(py.detach(|| self.lock().user_vectors(who)))?)
    }

    /// The vectors of items (all without `items`), as they are compared by inner product.
    fn item_embeddings<'py>(&self, py: Python<'py>, items: Option<Vec<String>>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        matrix(py, raised(py.detach(|| self.lock().item_vectors(items.as_deref())))?)
    }
}

/// A matrix of NumPy's that takes the values over.
fn matrix(py: Python<'_>, values: tercel::ndarray::Array2<f32>) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let shape = values.dim();
    let array = numpy::ndarray::Array2::from_shape_vec(shape, values.into_raw_vec_and_offset().0);
    array
        .map(|array| PyArray2::from_owned_array(py, array))
        .map_err(|e| crate::errors::exception(&tercel::Error::config("vectors", e.to_string())))
}
