//! Item indexes.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use numpy::{IntoPyArray, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use tercel::index::Lists;
use tercel::index::item_index::{Admit, Filter, IndexOptions};

use crate::dataset::invalid;
use crate::errors::{exception, raised, shape_error};

/// Item numbers and scores of every query.
type Answer<'py> = (Bound<'py, PyArray2<u32>>, Bound<'py, PyArray2<f32>>);

/// Items to be found by inner product. Any number of threads may search at once.
#[pyclass(frozen)]
pub(crate) struct ItemIndex {
    inner: RwLock<tercel::index::ItemIndex>,
}

impl ItemIndex {
    pub(crate) fn new(index: tercel::index::ItemIndex) -> ItemIndex {
        ItemIndex { inner: RwLock::new(index) }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, tercel::index::ItemIndex> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, tercel::index::ItemIndex> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rule for items, as nested JSON: `{"tag": …}`, `{"items": […]}`, `{"all": […]}`, `{"any": […]}`, `{"not": …}`.
fn rule(value: &serde_json::Value) -> Option<Admit> {
    let (word, value) = value.as_object()?.iter().next()?;
    let rules = || value.as_array()?.iter().map(rule).collect::<Option<Vec<_>>>();
    let number = |value: &serde_json::Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    Some(match word.as_str() {
        "tag" => Admit::Tag(value.as_str()?.to_owned()),
        "items" => Admit::Items(value.as_array()?.iter().map(number).collect::<Option<Vec<_>>>()?),
        "all" => Admit::All(rules()?),
        "any" => Admit::Any(rules()?),
        "not" => Admit::Not(Box::new(rule(value)?)),
        _ => return None,
    })
}

fn slice<'a>(array: &'a PyReadonlyArray2<'_, f32>) -> PyResult<&'a [f32]> {
    array.as_slice().map_err(|_| shape_error("the array is not contiguous; use numpy.ascontiguousarray".into()))
}

fn list<'a>(biases: &'a PyReadonlyArray1<'_, f32>) -> PyResult<&'a [f32]> {
    biases.as_slice().map_err(|_| shape_error("biases are not contiguous; use numpy.ascontiguousarray".into()))
}

#[pymethods]
impl ItemIndex {
    /// Builds an index of `vectors` (rows x D), each with one of `biases` where there are any.
    #[staticmethod]
    #[pyo3(signature = (vectors, biases, ids, queries, recall, k, seed, threads, catalogue, device))]
    #[allow(clippy::too_many_arguments)]
    fn build(
        py: Python<'_>,
        vectors: PyReadonlyArray2<'_, f32>,
        biases: Option<PyReadonlyArray1<'_, f32>>,
        ids: Option<PyReadonlyArray1<'_, u32>>,
        queries: Option<PyReadonlyArray2<'_, f32>>,
        recall: Option<f32>,
        k: usize,
        seed: u64,
        threads: usize,
        catalogue: String,
        device: &str,
    ) -> PyResult<ItemIndex> {
        let options = recall.map_or_else(IndexOptions::exact, IndexOptions::approx);
        let options = options.k(k).seed(seed).threads(threads).catalogue(catalogue).device(raised(device.parse())?);
        let dim = vectors.shape()[1];
        let values = slice(&vectors)?.to_vec();
        let ids = match &ids {
            Some(ids) => Some(ids.as_slice().map_err(|_| shape_error("ids are not contiguous".into()))?.to_vec()),
            None => None,
        };
        let biases = biases.as_ref().map(list).transpose()?.map(<[f32]>::to_vec);
        let queries = queries.as_ref().map(slice).transpose()?;
        let index = py.detach(|| match biases {
            Some(biases) => tercel::index::ItemIndex::build_biased(values, biases, dim, ids, queries, &options),
            None => tercel::index::ItemIndex::build(values, dim, ids, queries, &options),
        });
        Ok(ItemIndex::new(raised(index)?))
    }

    /// Opens an index file: reads it into memory, or maps it.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, device: &str, threads: usize, mmap: bool) -> PyResult<ItemIndex> {
        let device = raised(device.parse())?;
        let index = py.detach(|| match mmap {
            true => tercel::index::ItemIndex::open(&path, device, threads),
            false => tercel::index::ItemIndex::read(&path, device, threads),
        });
        Ok(ItemIndex::new(raised(index)?))
    }

    /// Writes the index file, whole or not at all.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        raised(py.detach(|| self.write().save(&path)))
    }

    /// The best `k` items of every query. `skip`: offsets and ascending item numbers of a list for every query. `only`: a
    /// rule as JSON.
    #[pyo3(signature = (queries, k, skip, only))]
    fn search<'py>(
        &self,
        py: Python<'py>,
        queries: PyReadonlyArray2<'py, f32>,
        k: usize,
        skip: Option<(Vec<usize>, Vec<u32>)>,
        only: Option<&str>,
    ) -> PyResult<Answer<'py>> {
        let (rows, dim) = (queries.shape()[0], queries.shape()[1]);
        if rows > 0 && dim != self.read().dim() {
            return Err(shape_error(format!("queries are {dim} wide, the index's vectors {}", self.read().dim())));
        }
        let values = slice(&queries)?;
        let skip = skip.map(|(offsets, values)| Lists { offsets, values });
        let only = match only {
            Some(text) => {
                let value: serde_json::Value = serde_json::from_str(text).map_err(invalid)?;
                let unknown = || exception(&tercel::Error::config("only", format!("not a rule for items: {text}")));
                Some(rule(&value).ok_or_else(unknown)?)
            }
            None => None,
        };
        let found = raised(py.detach(|| {
            let index = self.read();
            let only = only.map(|rule| index.admit(&rule)).transpose()?;
            index.search(values, k, &Filter { skip: skip.as_ref(), only: only.as_ref() })
        }))?;
        let shape = |e: numpy::ndarray::ShapeError| shape_error(e.to_string());
        let ids = numpy::ndarray::Array2::from_shape_vec((rows, k), found.ids).map_err(shape)?;
        let scores = numpy::ndarray::Array2::from_shape_vec((rows, k), found.scores).map_err(shape)?;
        Ok((ids.into_pyarray(py), scores.into_pyarray(py)))
    }

    /// Gives these items, and no others, the tag.
    fn set_tag(&self, tag: &str, items: Vec<u32>) -> PyResult<()> {
        raised(self.write().set_tag(tag, &items))
    }

    /// The tags, and how many items each has.
    fn tags(&self) -> Vec<(String, usize)> {
        self.read().tags().map(|(tag, items)| (tag.to_owned(), items)).collect()
    }

    /// Adds items, or replaces them; with their biases where the index has any.
    #[pyo3(signature = (ids, vectors, biases))]
    fn add(
        &self,
        py: Python<'_>,
        ids: PyReadonlyArray1<'_, u32>,
        vectors: PyReadonlyArray2<'_, f32>,
        biases: Option<PyReadonlyArray1<'_, f32>>,
    ) -> PyResult<()> {
        let ids = ids.as_slice().map_err(|_| shape_error("ids are not contiguous".into()))?;
        let (values, biases) = (slice(&vectors)?, biases.as_ref().map(list).transpose()?);
        raised(py.detach(|| match biases {
            Some(biases) => self.write().add_biased(ids, values, biases),
            None => self.write().add(ids, values),
        }))
    }

    /// Removes items; answers how many were there.
    fn remove(&self, py: Python<'_>, ids: Vec<u32>) -> usize {
        py.detach(|| self.write().remove(&ids))
    }

    /// Measures recall again; JSON, `null` for an exact index.
    fn measure(&self, py: Python<'_>) -> PyResult<String> {
        let measured = raised(py.detach(|| self.write().measure().map(|measured| measured.cloned())))?;
        serde_json::to_string(&measured).map_err(invalid)
    }

    /// Why it should be built anew, if it should.
    fn rebuild_advised(&self) -> Option<String> {
        self.read().rebuild_advised()
    }

    /// What is known of it, as JSON.
    fn about(&self) -> PyResult<String> {
        serde_json::to_string(self.read().about()).map_err(invalid)
    }

    /// Whether each item adds a bias of its own to its scores.
    fn has_biases(&self) -> bool {
        self.read().has_biases()
    }

    /// How many items it has, and the width of their vectors.
    fn shape(&self) -> (usize, usize) {
        (self.read().len(), self.read().dim())
    }
}
