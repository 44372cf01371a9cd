//! Which items a request searches: all, or those of an index.

use crate::Result;
use crate::index::item_index::{Admit, Admitted, IndexOptions, ItemIndex};
use crate::settings::SearchSettings;

/// Which items a request searches.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Search<'a> {
    /// All of them.
    #[default]
    Exact,
    /// Those of the model's approximate index that are likely to matter: the file [`INDEX_FILE`](super::INDEX_FILE) in its
    /// folder, which is built where it is missing, damaged, of another model or of a lower recall.
    Approx {
        /// The recall that is kept, between 0 and 1.
        recall: f32,
    },
    /// Those of this index, which [`Model::index`](super::Model::index) has built.
    With(&'a ItemIndex),
}

impl Search<'_> {
    /// An approximate search with the usual recall, 0.95.
    pub fn approx() -> Search<'static> {
        Search::Approx { recall: Search::RECALL }
    }

    /// The recall that is kept where none is asked for.
    pub const RECALL: f32 = crate::settings::RECALL;

    /// Checks what can be checked before any work.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for a recall that no index can keep.
    pub fn check(&self) -> Result<()> {
        match self {
            Search::Approx { recall } => IndexOptions::approx(*recall).check(),
            _ => Ok(()),
        }
    }
}

impl From<&SearchSettings> for Search<'_> {
    fn from(settings: &SearchSettings) -> Self {
        settings.kept().map_or(Search::Exact, |recall| Search::Approx { recall })
    }
}

impl<'a> From<&'a ItemIndex> for Search<'a> {
    fn from(index: &'a ItemIndex) -> Search<'a> {
        Search::With(index)
    }
}

/// The model's own index, and the filter that it was asked with last.
pub(super) struct OwnIndex {
    pub(super) index: ItemIndex,
    pub(super) only: Option<(Vec<u32>, Admitted)>,
}

impl OwnIndex {
    pub(super) fn new(index: ItemIndex) -> OwnIndex {
        OwnIndex { index, only: None }
    }

    /// Makes `only` the filter for these rows.
    pub(super) fn admit(&mut self, rows: Option<&[u32]>) -> Result<()> {
        let Some(rows) = rows else {
            self.only = None;
            return Ok(());
        };
        if self.only.as_ref().is_none_or(|(known, _)| known != rows) {
            let admitted = self.index.admit(&Admit::Items(rows.to_vec()))?;
            self.only = Some((rows.to_vec(), admitted));
        }
        Ok(())
    }
}
