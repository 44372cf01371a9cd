//! A trained model and what is asked of it: lists for users, figures, vectors, an index.
//!
//! [`Model`] is an opened MODEL folder. A request ([`Recommend`], [`Evaluate`]) carries everything that its answer
//! depends on; nothing is set on the model, and one call does not change the next.
//!
//! ```no_run
//! use tercel::{Dataset, Device, Exclude, Model, Recommend};
//!
//! # fn main() -> tercel::Result<()> {
//! let dataset = Dataset::open("data")?;
//! let mut model = Model::open("model", Device::Auto)?;
//! let shoes = Recommend::top(12).tags(["category=shoes"]).exclude(Exclude::All).seen(&dataset);
//! let done = model.recommend(shoes).write("top12.parquet")?;
//! println!("{} users in {:.1} s", done.users, done.seconds);
//! # Ok(())
//! # }
//! ```
//!
//! A call tells of its progress, and of what its caller should know, through one observer ([`Event`]); an error that the
//! observer answers with ends the call.

mod allowed;
mod evaluate;
mod event;
mod export;
mod extends;
mod index;
mod model;
mod ranker;
mod recommend;
mod search;
mod who;

pub use allowed::Items;
pub use evaluate::Evaluate;
pub use event::{Event, Note};
pub use export::Export;
pub use index::INDEX_FILE;
pub use model::Model;
pub use recommend::{Recommend, Recommending};
pub use search::Search;
pub use who::Who;

pub(crate) use event::Observer;
