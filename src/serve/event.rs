//! What a call says while it runs.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::data::dataset::Split;
use crate::index::item_index::About;
use crate::index::{Progress, UserFileSummary};

/// Something that a call tells its observer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// How far it is.
    Progress(Progress),
    /// An index has been opened and is used.
    IndexOpened {
        /// Its file.
        file: &'a Path,
        /// What is known of it.
        about: &'a About,
    },
    /// An index has been built.
    IndexBuilt {
        /// What is known of it.
        about: &'a About,
        /// Its items.
        items: usize,
        /// How long it took.
        seconds: f64,
    },
    /// Something that the caller should know. It prints as a sentence.
    Note(Note),
}

/// Something that the caller should know: what was left out, or is not as it may seem.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// Items of all splits were to be excluded; without a dataset those of the training split alone are known.
    TrainingItemsOnly,
    /// Users of a file or table are new to the model.
    NewUsers {
        /// Where they stand.
        source: PathBuf,
        /// What it held.
        summary: UserFileSummary,
    },
    /// Items that may be recommended are not in the model.
    UnknownItems {
        /// The file that lists them; none where they were given as ids.
        file: Option<PathBuf>,
        /// How many.
        unknown: u64,
        /// Of how many.
        listed: u64,
        /// The first of them.
        first: String,
    },
    /// The model was trained on the rows that it is measured on: its dataset is a refit of the one that was given.
    TrainedOn {
        /// The split of the dataset that was given.
        split: Split,
    },
    /// The index file is of another model, or of a lower recall; it is built again.
    IndexOutdated {
        /// The file.
        file: PathBuf,
    },
    /// The index file cannot be read; it is built again.
    IndexUnreadable {
        /// The error, which names the file.
        reason: String,
    },
    /// The index that was built is used, but could not be written.
    IndexNotKept {
        /// The error, which names the file.
        reason: String,
    },
}

impl Note {
    /// Whether it only tells of the course of things: nobody has to look into it.
    pub fn is_minor(&self) -> bool {
        matches!(self, Note::IndexOutdated { .. })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::TrainingItemsOnly => f.write_str(
                "the model stores training rows only: items of the validation and test splits are not excluded; pass the \
                 dataset (`seen`) to exclude them too",
            ),
            Note::NewUsers { source, summary } => {
                write!(f, "{}: {} of {} users are new to the model", source.display(), summary.new_users, summary.users)
            }
            Note::UnknownItems { file, unknown, listed, first } => {
                if let Some(file) = file {
                    write!(f, "{}: ", file.display())?;
                }
                write!(f, "{unknown} of {listed} items are not in the model (the first is `{first}`)")
            }
            Note::TrainedOn { split } => {
                let split = split.name();
                write!(
                    f,
                    "the model was also trained on the {split} split: its metrics there do not estimate quality on new \
                     rows"
                )
            }
            Note::IndexOutdated { file } => {
                write!(f, "{}: was built for another model or recall; rebuilding it", file.display())
            }
            Note::IndexUnreadable { reason } => write!(f, "{reason}; rebuilding it"),
            Note::IndexNotKept { reason } => write!(f, "the index was not saved: {reason}"),
        }
    }
}

/// Takes events; what it fails with ends the call.
type Tell<'a> = &'a mut dyn FnMut(Event<'_>) -> Result<()>;

/// Whom a call tells.
#[derive(Default)]
pub(crate) struct Observer<'a>(Option<Tell<'a>>);

impl<'a> Observer<'a> {
    pub(super) fn new(observer: &'a mut dyn FnMut(Event<'_>) -> Result<()>) -> Observer<'a> {
        Observer(Some(observer))
    }

    pub(super) fn tell(&mut self, event: Event<'_>) -> Result<()> {
        self.0.as_mut().map_or(Ok(()), |observer| observer(event))
    }

    pub(super) fn note(&mut self, note: Note) -> Result<()> {
        self.tell(Event::Note(note))
    }

    pub(super) fn progress(&mut self, at: Progress) -> Result<()> {
        self.tell(Event::Progress(at))
    }
}

impl fmt::Debug for Observer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(_)" } else { "None" })
    }
}
