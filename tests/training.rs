//! Training as a whole: it learns what can be known, does not depend on threads, stops when it should.

mod checkerboard;
mod early_stopping;
mod folder;
mod same_bits;
mod ways;
