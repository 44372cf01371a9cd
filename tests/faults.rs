//! The command under faults: killed, stopped, starved and lied to at every call that it makes.
//!
//! Each suite counts its cases, and what it must never find: a wrong value, a state between two good ones, a death that is
//! none of ours. A seeded part of the cases runs with the other tests; `TERCEL_FAULTS=long` (`just faults`) runs them all.
//! `TERCEL_FAULTS_SEED` chooses another part.

#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

mod beside;
mod command;
mod cut;
mod damage;
mod foreign;
mod full;
mod jobs;
mod kill;
mod locks;
mod memory;
mod readers;
mod state;
mod swap;
mod tally;
mod tree;
mod world;
