//! Data with a known answer: to rehearse a pipeline at full size, and to test what a model should find.

pub mod hm;
pub mod planted;
