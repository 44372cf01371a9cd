//! CUDA's driver, without a GPU: the functions of `libcuda.so.1` over the interpreter.
//!
//! [`abi`] has the C functions. They look at their arguments ([`copies`], [`launch`], [`allocate`]), put an operation
//! in a stream ([`schedule`]) and leave; the operation runs when the stream mode says ([`execute`]), on the thread
//! that happens to force it. Each operation carries a vector clock ([`clock`]) of all that happens before it, so two
//! operations that touch the same bytes ([`hazard`]) and are not ordered are found in every mode, whether or not the
//! numbers came out right. What is found goes to the [`journal`]. In a stream that is captured nothing is queued: its
//! operations become the nodes of a [`graph`], which go through the same queues at each launch.

pub mod abi;
pub mod allocate;
pub mod buffers;
pub mod clock;
pub mod contexts;
pub mod copies;
pub mod counts;
pub mod device;
pub mod error;
pub mod execute;
pub mod exit;
pub mod graph;
pub mod hazard;
pub mod host;
pub mod journal;
pub mod launch;
pub mod module;
pub mod sabotage;
pub mod schedule;
pub mod settings;
pub mod state;
pub mod stream;
