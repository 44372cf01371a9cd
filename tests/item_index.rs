//! The index: the recall it was asked for, the items it must and must not give, its file, and its changes.

mod bad_input;
mod biases;
mod changes;
mod cloud;
mod file;
mod filters;
mod search;
