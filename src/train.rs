//! The training loop and what stands around it.

mod best;
mod diagnostics;
mod events;
mod report;
mod resume;
mod schedule;
mod stop;
mod trainer;

pub use diagnostics::Diagnostics;
pub use events::{RunSettings, TrainEvent, TrainSummary};
pub use report::keep_settings;
pub use resume::{can_resume, check_out, forget, remove_damaged};
pub(crate) use trainer::{PartialRun, train_unmeasured};
pub use trainer::{train, train_until};
